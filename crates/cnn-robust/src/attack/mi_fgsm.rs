//! Steps along the sign of gathered gradients: MI-FGSM (Dong et al. 2018, arXiv:1710.06081).

use super::checks::not_negative;
use super::fgsm::sign;
use super::{Attack, AttackBatch, CrossEntropyLoss};
use crate::{AttackedModel, Error, Images, Norm, Threat};

/// Keeps a division by the size of a gradient finite.
const FLOOR: f64 = 1e-300;

/// Steps along the sign of a momentum `g ← μ g + ∇L / mean|∇L|`, within the L∞ ball. Its images
/// fool other networks, too, more often than those of BIM.
///
/// It goes all its steps on each image, as the published one does: an image that the network errs
/// on already is made worse, which is what lets it fool others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MiFgsm {
    threat: Threat,
    steps: usize,
    step_size: f64,
    decay: f64,
}

impl MiFgsm {
    /// Looks in the L∞ ball of radius `eps`. Default: 10 steps of `ε / 4`, `μ = 1`.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`Threat::new`].
    pub fn new(eps: f64) -> Result<Self, Error> {
        Ok(Self {
            threat: Threat::new(Norm::Linf, eps)?,
            steps: 10,
            step_size: eps / 4.,
            decay: 1.,
        })
    }

    /// How many steps.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// How far a step goes.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is negative or not finite.
    pub fn with_step_size(self, step_size: f64) -> Result<Self, Error> {
        let step_size = not_negative("step_size", step_size)?;
        Ok(Self { step_size, ..self })
    }

    /// How much of the momentum is kept in a step: `μ`.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is negative or not finite.
    pub fn with_decay(self, decay: f64) -> Result<Self, Error> {
        let decay = not_negative("decay", decay)?;
        Ok(Self { decay, ..self })
    }
}

impl Attack for MiFgsm {
    fn name(&self) -> &'static str {
        "mifgsm"
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let clean = batch.images();
        let mut images = clean.clone();
        let mut momentum = clean.zeros_like();
        for _ in 0..self.steps {
            let mut gradient = model.gradient(&images, &CrossEntropyLoss(batch))?.images;
            for index in 0..gradient.len() {
                to_unit_mean(gradient.image_mut(index));
            }
            momentum = gradient.plus(&momentum, self.decay);
            let moved = images.plus(&momentum.map(sign), self.step_size);
            images = self.threat.project(&moved, clean);
        }
        Ok(images)
    }
}

/// Scales a gradient so that the mean of its magnitudes is 1; one of zeros stays.
fn to_unit_mean(gradient: &mut [f64]) {
    let sum = Norm::L1.size(gradient);
    let factor = gradient.len() as f64 / sum.max(FLOOR);
    gradient.iter_mut().for_each(|value| *value *= factor);
}
