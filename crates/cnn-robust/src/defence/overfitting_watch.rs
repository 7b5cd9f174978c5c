//! Catastrophic overfitting (Wong et al. 2020, arXiv:2001.03994, section 5.4): of a sudden a
//! network that is trained with one step is right under one step, and wrong under many.

use candle_core::{DType, Tensor};
use cnn_layers::{Mode, Store};
use cnn_train::{Error, class_labels};

use super::adversarial_step::other;
use super::crafted::CraftedBatch;
use crate::attack::{Attack, AttackBatch, Pgd};
use crate::{AttackedModel, Normalization, Threat};

/// What a run keeps, by name: the number of updates; the most images, of a hundred, that were right
/// under many steps so far; how many times in a row one step left many more right.
const UPDATES: &str = "updates";
const MOST: &str = "most";
const GAPS: &str = "gaps";
/// Updates from look to look.
const INTERVAL: i64 = 50;
/// Steps of the attack that one step is compared with.
const STEPS: usize = 10;
/// By how many images of a hundred one step may leave more right than many.
const GAP: i64 = 40;
/// How many images of a hundred fewer than before may be right under many steps.
const DROP: i64 = 20;
/// How often in a row the gap may be seen: at its start a network stands one step only, too.
const LOOKS: i64 = 20;

/// Looks now and then whether many steps find what one step does not, where they did not before, or
/// have done for long.
pub(super) struct OverfittingWatch {
    store: Store,
}

impl OverfittingWatch {
    pub(super) fn new() -> Result<Self, Error> {
        let store = Store::new(0);
        let root = store.builder(Mode::Eval);
        for name in [UPDATES, MOST, GAPS] {
            root.counter(name)?;
        }
        Ok(Self { store })
    }

    pub(super) fn kept(&self) -> Store {
        self.store.clone()
    }

    /// Counts an update, and every so often compares the batch under one step with the batch under
    /// many.
    ///
    /// # Errors
    /// [`Error::Other`] with [`crate::Error::CatastrophicOverfitting`] if they differ too much.
    pub(super) fn look(
        &self,
        model: &dyn AttackedModel,
        normalization: &Normalization,
        threat: Threat,
        crafted: &CraftedBatch<'_>,
    ) -> Result<(), Error> {
        let updates = self.count(UPDATES)? + 1;
        self.set(UPDATES, updates)?;
        if updates % INTERVAL != 0 {
            return Ok(());
        }
        let labels = class_labels(crafted.batch)?;
        let under_one = normalization.images(&crafted.adversarial).map_err(other)?;
        let images = normalization.images(&crafted.batch.images).map_err(other)?;
        let batch = AttackBatch::new(images, labels).map_err(other)?;
        let pgd = Pgd::new(threat).with_steps(STEPS).with_early_stop(true);
        let under_many = pgd.run(model, &batch).map_err(other)?;
        let standing = |images| {
            let fooled = batch.successes(&model.logits(images)?);
            Ok(fooled.iter().filter(|fooled| !**fooled).count())
        };
        let one = standing(&under_one).map_err(other)?;
        let many = standing(&under_many).map_err(other)?;
        let of_hundred = |standing: usize| (100 * standing / batch.len().max(1)) as i64;
        let most = self.count(MOST)?;
        let has_gap = of_hundred(one) - of_hundred(many) > GAP;
        let gaps = if has_gap { self.count(GAPS)? + 1 } else { 0 };
        self.set(MOST, most.max(of_hundred(many)))?;
        self.set(GAPS, gaps)?;
        let has_dropped = most - of_hundred(many) > DROP;
        if !has_gap || !has_dropped && gaps < LOOKS {
            return Ok(());
        }
        Err(other(crate::Error::CatastrophicOverfitting {
            updates: updates as usize,
            images: batch.len(),
            one_step: one,
            many_steps: many,
        }))
    }

    fn count(&self, name: &str) -> Result<i64, Error> {
        Ok(self.store.get(name)?.to_scalar::<i64>()?)
    }

    fn set(&self, name: &str, count: i64) -> Result<(), Error> {
        let counter = Tensor::new(count, &candle_core::Device::Cpu)?;
        Ok(self.store.set(name, &counter.to_dtype(DType::I64)?)?)
    }
}
