//! One step along the sign of the gradient: FGSM (Goodfellow et al. 2015, arXiv:1412.6572).

use super::{Attack, AttackBatch, CrossEntropyLoss};
use crate::{AttackedModel, Error, Images, Norm, Threat};

/// One step of the size `ε` along the sign of the cross-entropy's gradient.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fgsm {
    threat: Threat,
}

impl Fgsm {
    /// Changes each value by `eps`.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`Threat::new`].
    pub fn new(eps: f64) -> Result<Self, Error> {
        Ok(Self {
            threat: Threat::new(Norm::Linf, eps)?,
        })
    }
}

impl Attack for Fgsm {
    fn name(&self) -> &'static str {
        "fgsm"
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn run(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let gradient = model.gradient(batch.images(), &CrossEntropyLoss(batch))?;
        let moved = batch
            .images()
            .plus(&gradient.images.map(sign), self.threat.eps);
        Ok(self.threat.project(&moved, batch.images()))
    }
}

/// −1, 0 or 1.
pub(crate) fn sign(value: f64) -> f64 {
    if value == 0. { 0. } else { value.signum() }
}
