//! A random step, then steps along the gradient's sign: R+FGSM (Tramèr et al. 2018,
//! arXiv:1705.07204).

use super::checks::not_negative;
use super::fgsm::sign;
use super::{Attack, AttackBatch, Pgd};
use crate::{AttackedModel, Draw, Error, Images, Norm, Threat};

/// Changes each value by `α` up or down at random, then goes steps of `α` along the sign of the
/// cross-entropy's gradient within the L∞ ball: the random step leaves the place where a defence
/// has flattened the loss.
///
/// The paper's form has one step; ten are what torchattacks has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RFgsm {
    threat: Threat,
    steps: usize,
    step_size: f64,
}

impl RFgsm {
    /// Looks in the L∞ ball of radius `eps`. Default: 10 steps of `ε / 4`.
    ///
    /// # Errors
    /// [`Error::Argument`] as [`Threat::new`].
    pub fn new(eps: f64) -> Result<Self, Error> {
        Ok(Self {
            threat: Threat::new(Norm::Linf, eps)?,
            steps: 10,
            step_size: eps / 4.,
        })
    }

    /// How many steps follow the random one.
    #[must_use]
    pub fn with_steps(self, steps: usize) -> Self {
        Self { steps, ..self }
    }

    /// How far each step goes, the random one among them: `α`.
    ///
    /// # Errors
    /// [`Error::Argument`] if it is negative or not finite.
    pub fn with_step_size(self, step_size: f64) -> Result<Self, Error> {
        let step_size = not_negative("step_size", step_size)?;
        Ok(Self { step_size, ..self })
    }

    fn start(&self, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let clean = batch.images();
        let mut moved = clean.clone();
        for (index, &sample) in batch.samples().iter().enumerate() {
            let values = moved.image_mut(index);
            let draw = Draw::new("start", sample);
            let draws = batch.draws().normal(draw, values.len())?;
            for (value, draw) in values.iter_mut().zip(draws) {
                *value += self.step_size * sign(draw);
            }
        }
        Ok(self.threat.project(&moved, clean))
    }
}

impl Attack for RFgsm {
    fn name(&self) -> &'static str {
        "rfgsm"
    }

    fn threat(&self) -> Option<Threat> {
        Some(self.threat)
    }

    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        let pgd = Pgd::new(self.threat).with_steps(self.steps);
        let start = self.start(batch)?;
        pgd.with_step_size(self.step_size)?
            .ascend(model, batch, start)
    }
}
