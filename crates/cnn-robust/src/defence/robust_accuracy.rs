//! The accuracy under an attack as a metric of validation images.

use candle_core::Tensor;
use cnn_core::{Key, Preprocessing};
use cnn_layers::Classifier;
use cnn_train::{Error, ImageMetric};
use std::sync::Arc;

use super::adversarial_step::other;
use crate::attack::{Attack, AttackBatch, Pgd};
use crate::{AttackedModel, Normalization, PixelClassifier, Threat};

/// Steps of the attack.
const STEPS: usize = 10;

/// The share of the first validation images that a classifier is right about under PGD with 10
/// steps: a curve to choose an epoch by (Rice et al. 2020, arXiv:2002.11569), not a measure of
/// robustness, which takes stronger attacks.
#[derive(Clone)]
pub struct RobustAccuracy {
    model: Arc<dyn Classifier>,
    record: Preprocessing,
    normalization: Normalization,
    threat: Threat,
    most: usize,
    seen: usize,
    right: usize,
}

impl RobustAccuracy {
    /// Of at most `most` images. `model` is the network that is trained, built in
    /// [`Mode::Eval`](cnn_layers::Mode::Eval) from the same store, and `record` its preprocessing.
    ///
    /// # Errors
    /// If the record is invalid.
    pub fn new(
        model: Arc<dyn Classifier>,
        record: &Preprocessing,
        threat: Threat,
        most: usize,
    ) -> Result<Self, crate::Error> {
        Ok(Self {
            model,
            record: record.clone(),
            normalization: Normalization::new(record)?,
            threat,
            most,
            seen: 0,
            right: 0,
        })
    }

    fn standing(
        &self,
        inputs: &Tensor,
        samples: &[u64],
        labels: &[u32],
    ) -> Result<usize, crate::Error> {
        let model =
            PixelClassifier::new(self.model.as_ref(), &self.record)?.with_dtype(inputs.dtype());
        let images = self.normalization.images(inputs)?;
        let batch = AttackBatch::new(images, labels.to_vec())?
            .with_samples(samples.to_vec())?
            .with_key(Key::new(0).stream("robust accuracy"));
        let right = model.logits(batch.images())?.predictions();
        let places: Vec<usize> = (0..batch.len())
            .filter(|&place| right[place] == labels[place])
            .collect();
        let batch = batch.select(&places);
        if batch.is_empty() {
            return Ok(0);
        }
        let pgd = Pgd::new(self.threat)
            .with_steps(STEPS)
            .with_early_stop(true);
        let fooled = batch.successes(&model.logits(&pgd.run(&model, &batch)?)?);
        Ok(fooled.iter().filter(|fooled| !**fooled).count())
    }
}

impl ImageMetric for RobustAccuracy {
    fn update(&mut self, inputs: &Tensor, samples: &[usize], labels: &[u32]) -> Result<(), Error> {
        let count = labels.len().min(self.most - self.seen);
        if count == 0 {
            return Ok(());
        }
        let samples: Vec<u64> = samples[..count]
            .iter()
            .map(|&sample| sample as u64)
            .collect();
        let inputs = inputs.narrow(0, 0, count)?;
        self.right += self
            .standing(&inputs, &samples, &labels[..count])
            .map_err(other)?;
        self.seen += count;
        Ok(())
    }

    fn value(&self) -> f64 {
        self.right as f64 / self.seen.max(1) as f64
    }
}
