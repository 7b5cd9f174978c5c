//! A training step on images under attack.

use candle_core::DType;
use cnn_core::{Key, Preprocessing};
use cnn_data::Batch;
use cnn_layers::{BatchNormPolicy, Classifier, Store};
use cnn_train::{Classification, Error, GradientStep, Step, StepReport, Update, class_labels};

use super::crafted::{AdversarialTask, CraftedBatch};
use super::free::Replays;
use super::overfitting_watch::OverfittingWatch;
use super::trades::Divergence;
use super::weight_perturbation::WeightPerturbation;
use super::{AdversarialConfig, AdversarialMethod};
use crate::attack::{Attack, AttackBatch, CrossEntropyLoss, Pgd};
use crate::{AttackedModel, Draw, Images, Normalization, PixelClassifier};

/// How far the attacks of TRADES and MART start from the image, times a normal number for each
/// value.
const START: f64 = 1e-3;

/// A step of [`Classification`] on images under attack, in place of [`GradientStep`].
///
/// The images are attacked with running batch-norm statistics, which do not move; then the loss is
/// that of a training pass. Image by image the attack's random numbers come from the update's key,
/// so an interrupted run ends in the same bytes.
///
/// The reports say `robust_top1`, the accuracy on the attacked images.
pub struct AdversarialStep {
    config: AdversarialConfig,
    step: GradientStep,
    attacked: Box<dyn Classifier>,
    record: Preprocessing,
    normalization: Normalization,
    replays: Option<Replays>,
    watch: Option<OverfittingWatch>,
}

impl AdversarialStep {
    /// Trains as `config` says. `attacked` is the network that is trained, built in
    /// [`Mode::Eval`](cnn_layers::Mode::Eval) from the same store, and `record` its preprocessing;
    /// a batch has at most `batch_size` images.
    ///
    /// # Errors
    /// As [`AdversarialConfig::check`], for [`AdversarialMethod::Interval`], which attacks nothing
    /// and is [`IntervalStep`](super::IntervalStep)'s, and if the record is invalid.
    pub fn new(
        config: AdversarialConfig,
        attacked: Box<dyn Classifier>,
        record: &Preprocessing,
        batch_size: usize,
    ) -> Result<Self, Error> {
        config.check().map_err(other)?;
        if matches!(config.method, AdversarialMethod::Interval { .. }) {
            let expected = "a method that attacks; `IntervalStep` trains with bounds";
            return Err(Error::argument("method", config.method, expected));
        }
        let [channels, height, width] = record.input_size;
        let shape = [batch_size, height, width, channels];
        let normalization = Normalization::new(record).map_err(other)?;
        let replays = match config.method {
            AdversarialMethod::Free { replays } => {
                Some(Replays::new(replays, config.threat, &shape)?)
            }
            _ => None,
        };
        let watch = match config.method {
            AdversarialMethod::Fast => Some(OverfittingWatch::new()?),
            _ => None,
        };
        Ok(Self {
            replays,
            watch,
            config,
            step: GradientStep::default(),
            attacked,
            record: record.clone(),
            normalization,
        })
    }

    /// Clips the gradients of the weights as this step does.
    #[must_use]
    pub fn with_step(self, step: GradientStep) -> Self {
        Self { step, ..self }
    }

    /// The network under attack, of weights of this type.
    fn model(&self, dtype: DType) -> Result<PixelClassifier<'_>, crate::Error> {
        Ok(PixelClassifier::new(self.attacked.as_ref(), &self.record)?.with_dtype(dtype))
    }

    /// The images of a batch, and the batch under attack as the network reads it.
    fn craft<'b>(&self, batch: &'b Batch, key: Key) -> Result<CraftedBatch<'b>, crate::Error> {
        let images = self.normalization.images(&batch.images)?;
        let model = self.model(batch.images.dtype())?;
        let attacked = AttackBatch::new(images, class_labels(batch)?)?.with_key(key);
        attacked.check(&model)?;
        let adversarial = self.attack(&model, &attacked)?;
        let adversarial = self
            .normalization
            .inputs(&adversarial, batch.images.dtype())?;
        Ok(CraftedBatch { batch, adversarial })
    }

    fn attack(
        &self,
        model: &PixelClassifier<'_>,
        batch: &AttackBatch<'_>,
    ) -> Result<Images, crate::Error> {
        let AdversarialConfig {
            method,
            threat,
            steps,
            step_size,
            ..
        } = self.config;
        let pgd = Pgd::new(threat)
            .with_steps(steps)
            .with_step_size(step_size)?;
        match method {
            AdversarialMethod::Trades { .. } => {
                let divergence = Divergence::from(&model.logits(batch.images())?);
                pgd.ascend_from(model, batch, near(batch)?, &divergence)
            }
            AdversarialMethod::Mart { .. } => {
                pgd.ascend_from(model, batch, near(batch)?, &CrossEntropyLoss(batch))
            }
            _ => pgd.run(model, batch),
        }
    }
}

/// Images a little beside those of a batch, where the divergence has a gradient.
fn near(batch: &AttackBatch<'_>) -> Result<Images, crate::Error> {
    let mut start = batch.images().clone();
    for (index, &sample) in batch.samples().iter().enumerate() {
        let image = start.image_mut(index);
        let noise = batch
            .draws()
            .normal(Draw::new("near", sample), image.len())?;
        for (value, noise) in image.iter_mut().zip(noise) {
            *value += START * noise;
        }
    }
    Ok(start)
}

impl Step<Classification> for AdversarialStep {
    fn step(
        &mut self,
        task: &Classification,
        batches: &[Batch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, Error> {
        if let Some(replays) = &self.replays {
            return replays.step(&self.step, &self.normalization, task, batches, update);
        }
        let key = update.key.stream("attack");
        let crafted = (0..batches.len())
            .map(|number| self.craft(&batches[number], key.at(number as u64)))
            .collect::<Result<Vec<_>, _>>()
            .map_err(other)?;
        let attacked = |batch_norm| AdversarialTask {
            task,
            method: self.config.method,
            batch_norm,
        };
        let moved = WeightPerturbation {
            share: self.config.weight_perturbation,
        };
        // The pass that says where the weights are moved leaves the statistics alone, as the
        // authors' does, who make it with a copy of the network.
        let searched = attacked(BatchNormPolicy::BatchOnly);
        let undo = moved.apply(&self.step, &searched, &crafted, update)?;
        let trained = attacked(BatchNormPolicy::Update);
        let gradients = self.step.gradients(&trained, &crafted, update);
        undo.restore()?;
        let Some((gradients, mut report)) = gradients? else {
            return Ok(StepReport::default());
        };
        report.gradient_norm = self.step.update(gradients, update)?;
        if let Some(watch) = &self.watch {
            let model = self.model(batches[0].images.dtype()).map_err(other)?;
            watch.look(&model, &self.normalization, self.config.threat, &crafted[0])?;
        }
        Ok(report)
    }

    fn kept(&self) -> Vec<(String, Store)> {
        let replays = self.replays.iter();
        let kept = replays.map(|replays| ("free".to_string(), replays.kept()));
        let watch = self.watch.iter();
        kept.chain(watch.map(|watch| ("watch".to_string(), watch.kept())))
            .collect()
    }
}

/// As an error of training.
pub(super) fn other(error: crate::Error) -> Error {
    Error::other(error)
}
