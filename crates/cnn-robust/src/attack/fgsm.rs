//! One step along the sign of the gradient: FGSM (Goodfellow et al. 2015, arXiv:1412.6572), and the
//! same from a random point of the ball (Wong et al. 2020, arXiv:2001.03994).

use candle_core::DType;

use super::checks::not_negative;
use super::pgd::random_start;
use super::{Attack, AttackBatch, CrossEntropyLoss, SingleCrossEntropyLoss};
use crate::{AttackedModel, Error, Images, Norm, Threat};

/// How far the step goes from a random point, as a share of `ε` (Wong et al. 2020: 10/255 of
/// 8/255).
const STEP_FROM_RANDOM: f64 = 1.25;

/// One step of the size `ε` along the sign of the cross-entropy's gradient, which is computed in
/// the network's own precision, so that figures compare with published ones
/// ([`SingleCrossEntropyLoss`]).
///
/// With [`with_random_start`](Self::with_random_start) it begins at a point that is uniform in the
/// ball, steps `1.25 ε`, and comes back to the ball: what fast adversarial training trains with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fgsm {
    threat: Threat,
    step_size: f64,
    random_start: bool,
}

impl Fgsm {
    /// Changes each value by `eps`. Default: starts at the image.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`Threat::new`].
    pub fn new(eps: f64) -> Result<Self, Error> {
        Ok(Self {
            threat: Threat::new(Norm::Linf, eps)?,
            step_size: eps,
            random_start: false,
        })
    }

    /// Starts at a random point of the ball and steps `1.25 ε` from there.
    #[must_use]
    pub fn with_random_start(self) -> Self {
        Self {
            step_size: STEP_FROM_RANDOM * self.threat.eps,
            random_start: true,
            ..self
        }
    }

    /// How far the step goes before it is brought to the ball.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is negative or not finite.
    pub fn with_step_size(self, step_size: f64) -> Result<Self, Error> {
        let step_size = not_negative("step_size", step_size)?;
        Ok(Self { step_size, ..self })
    }

    fn start(&self, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        if self.random_start {
            return random_start(self.threat, batch, 0);
        }
        Ok(batch.images().clone())
    }
}

impl Attack for Fgsm {
    fn name(&self) -> &'static str {
        if self.random_start { "ffgsm" } else { "fgsm" }
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let start = self.start(batch)?;
        let gradient = match model.dtype() {
            DType::F32 => model.gradient(&start, &SingleCrossEntropyLoss(batch))?,
            _ => model.gradient(&start, &CrossEntropyLoss(batch))?,
        };
        let moved = start.plus(&gradient.images.map(sign), self.step_size);
        Ok(self.threat.project(&moved, batch.images()))
    }
}

/// −1, 0 or 1.
pub(crate) fn sign(value: f64) -> f64 {
    if value == 0. { 0. } else { value.signum() }
}
