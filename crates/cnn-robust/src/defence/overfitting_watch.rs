//! Catastrophic overfitting (Wong et al. 2020, arXiv:2001.03994, section 5.4): of a sudden a
//! network that is trained with one step is right under one step, and wrong under many.

use candle_core::{DType, Tensor};
use cnn_layers::{Mode, Store};
use cnn_train::{Error, class_labels};

use super::adversarial_step::other;
use super::crafted::CraftedBatch;
use crate::attack::{Attack, AttackBatch, Pgd};
use crate::{AttackedModel, Normalization, Threat};

/// The name of the number of updates among what a run keeps.
const UPDATES: &str = "updates";
/// Updates from look to look.
const INTERVAL: i64 = 50;
/// Steps of the attack that one step is compared with.
const STEPS: usize = 10;
/// The share of the batch by which one step may leave more right than many.
const GAP: f64 = 0.4;

/// Looks now and then whether many steps find what one step does not.
pub(super) struct OverfittingWatch {
    store: Store,
}

impl OverfittingWatch {
    pub(super) fn new() -> Result<Self, Error> {
        let store = Store::new(0);
        store.builder(Mode::Eval).counter(UPDATES)?;
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
        let updates = self.store.get(UPDATES)?.to_scalar::<i64>()? + 1;
        let counter = Tensor::new(updates, &candle_core::Device::Cpu)?;
        self.store.set(UPDATES, &counter.to_dtype(DType::I64)?)?;
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
        if one as f64 - many as f64 <= GAP * batch.len() as f64 {
            return Ok(());
        }
        Err(other(crate::Error::CatastrophicOverfitting {
            updates: updates as usize,
            images: batch.len(),
            one_step: one,
            many_steps: many,
        }))
    }
}
