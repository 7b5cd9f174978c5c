//! The smallest ball in which an attack succeeds, for each image.

use std::collections::BTreeMap;

use super::checks::positive;
use super::{Attack, AttackBatch};
use crate::{AttackedModel, Error, Images};

/// Finds by bisection how large a ball an attack needs for each image.
///
/// An attack that succeeds in a ball may fail in a larger one, for it is no proof; what is found is
/// one size at which it succeeded, of which it failed at the size one precision below.
///
/// ```
/// use cnn_robust::attack::{AttackBatch, Fgsm, MinimalSize};
/// use cnn_robust::{AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits};
///
/// /// Says class 1 of images whose one value is above 0.5.
/// struct Threshold;
///
/// impl AttackedModel for Threshold {
///     fn num_classes(&self) -> usize {
///         2
///     }
///
///     fn logits(&self, images: &Images) -> Result<Logits, Error> {
///         let scores = images.values().iter().flat_map(|value| [0.5, *value]);
///         let scores = Images::new(images.len(), [1, 1, 2], scores.collect())?;
///         Logits::from_tensor(&scores.to_nhwc(candle_core::DType::F64)?.flatten_from(1)?)
///     }
///
///     fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
///         let logits = self.logits(images)?;
///         let mut gradient = images.zeros_like();
///         let mut losses = Vec::new();
///         for (index, value) in gradient.values_mut().iter_mut().enumerate() {
///             let mut upstream = [0.; 2];
///             losses.push(loss.loss(index, logits.row(index), &mut upstream));
///             *value = upstream[1];
///         }
///         Ok(ImageGradient { logits, losses, images: gradient })
///     }
/// }
///
/// let images = Images::new(3, [1, 1, 1], vec![0.3, 0.6, 0.0])?;
/// let batch = AttackBatch::new(images, vec![0, 0, 0])?;
/// let search = MinimalSize::up_to(0.25)?.with_steps(10);
/// let found = search.find(&Threshold, &batch, |eps| Ok(Box::new(Fgsm::new(eps)?)))?;
/// assert!((found.sizes[0] - 0.2).abs() <= 0.25 / 1024.);
/// assert_eq!(found.sizes[1], 0.);
/// assert_eq!(found.sizes[2], f64::INFINITY);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MinimalSize {
    largest: f64,
    steps: u32,
}

/// What [`MinimalSize::find`] gives.
#[derive(Clone, Debug, PartialEq)]
pub struct MinimalSizes {
    /// The smallest size at which the attack succeeded on each image: 0 where the model errs on the
    /// image itself, infinite where it did not succeed at the largest size.
    pub sizes: Vec<f64>,
    /// The images at these sizes; the image itself where there is none.
    pub images: Images,
}

impl MinimalSize {
    /// Looks up to this size. Default: a precision of 2⁻⁸ of it.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is not above 0 or not finite.
    pub fn up_to(largest: f64) -> Result<Self, Error> {
        Ok(Self {
            largest: positive("largest", largest)?,
            steps: 8,
        })
    }

    /// How often the interval of an image is halved, at most 50 times; each costs a run of the
    /// attack.
    #[must_use]
    pub fn with_steps(self, steps: u32) -> Self {
        Self {
            steps: steps.min(50),
            ..self
        }
    }

    /// The smallest size of each image at which the attack that `attack` makes of a size succeeds.
    /// Images that are at the same size of their searches are attacked together.
    ///
    /// # Errors
    /// As [`AttackBatch::check`], and what the attack reports.
    pub fn find(
        &self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
        attack: impl Fn(f64) -> Result<Box<dyn Attack>, Error>,
    ) -> Result<MinimalSizes, Error> {
        batch.check(model)?;
        let parts = 1_u64 << self.steps;
        let size = |part: u64| self.largest * part as f64 / parts as f64;
        let mut found = MinimalSizes {
            sizes: vec![f64::INFINITY; batch.len()],
            images: batch.images().clone(),
        };
        let mut failed_at = vec![0; batch.len()];
        let mut enough = vec![parts; batch.len()];
        let clean = batch.successes(&model.logits(batch.images())?);
        let mut running = BTreeMap::from([(parts, places(&clean, false))]);
        for index in places(&clean, true) {
            found.sizes[index] = 0.;
        }
        while let Some((part, indices)) = running.pop_first() {
            if indices.is_empty() {
                continue;
            }
            let some = batch.select(&indices);
            let images = attack(size(part))?.run(model, &some)?;
            let successes = some.successes(&model.logits(&images)?);
            for (place, (&index, success)) in indices.iter().zip(successes).enumerate() {
                if success {
                    enough[index] = part;
                    found.sizes[index] = size(part);
                    found.images.replace(&[index], &images.select(&[place]));
                } else {
                    failed_at[index] = part;
                }
                if failed_at[index] + 1 < enough[index] {
                    let middle = u64::midpoint(failed_at[index], enough[index]);
                    running.entry(middle).or_insert_with(Vec::new).push(index);
                }
            }
        }
        Ok(found)
    }
}

/// Where the flags are so.
fn places(flags: &[bool], wanted: bool) -> Vec<usize> {
    (0..flags.len()).filter(|&at| flags[at] == wanted).collect()
}
