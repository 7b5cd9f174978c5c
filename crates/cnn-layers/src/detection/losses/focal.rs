//! Focal loss (Lin et al. 2017, <https://arxiv.org/abs/1708.02002>, equation 5).

use candle_core::{Result, Tensor};

use super::binary::{sigmoid, softplus};
use super::operation::{RowLoss, each, reduced, row_elements};
use super::reduction::Reduction;
use super::targets::BinaryTargets;
use crate::Error;
use crate::detection::check_share;

/// `−a (1 − p)^γ ln p` of each logit, torchvision's `sigmoid_focal_loss`: binary cross-entropy of
/// which what is right already counts for less. `p` is `σ(x)` for a target of 1 and `σ(−x)` for one
/// of 0, and `a` is `alpha` for 1 and one minus it for 0; both are blended for targets in between.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::detection::losses::{BinaryTargets, Reduction, SigmoidFocalLoss};
///
/// let logits = Tensor::new(&[[0f64, 0.]], &Device::Cpu)?;
/// let targets = BinaryTargets::Classes(vec![Some(1)]);
/// let loss = SigmoidFocalLoss::default();
/// let sum = loss.loss(&logits, &targets, &Reduction::over(1.))?;
/// assert!((sum.to_scalar::<f64>()? - 0.25 * 2f64.ln()).abs() < 1e-15);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SigmoidFocalLoss {
    /// From 0 to 1, default 0.25; `None`: `a` is 1, torchvision's −1.
    pub alpha: Option<f64>,
    /// Not negative, default 2. With 0 it is the binary cross-entropy.
    pub gamma: f64,
}

impl Default for SigmoidFocalLoss {
    fn default() -> Self {
        Self {
            alpha: Some(0.25),
            gamma: 2.,
        }
    }
}

impl SigmoidFocalLoss {
    /// The loss as a scalar of the logits' element type; weights are one per row, the last dimension
    /// of the logits, or one per logit.
    ///
    /// # Shapes
    /// Logits of any shape, also none, and targets as [`BinaryTargets`] says.
    ///
    /// # Errors
    /// If the targets, the element type or the reduction do not fit, or a target or a setting is out
    /// of its range.
    pub fn loss(
        &self,
        logits: &Tensor,
        targets: &BinaryTargets,
        reduction: &Reduction,
    ) -> Result<Tensor> {
        let rows = self.rows(logits, targets)?;
        reduced(rows, logits, row_elements(logits), reduction)
    }

    /// The loss of each logit, without a graph.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn each(&self, logits: &Tensor, targets: &BinaryTargets) -> Result<Vec<f64>> {
        each(&self.rows(logits, targets)?, logits)
    }

    fn rows(&self, logits: &Tensor, targets: &BinaryTargets) -> Result<Rows> {
        if let Some(alpha) = self.alpha {
            check_share("alpha", alpha)?;
        }
        let is_valid = self.gamma >= 0. && self.gamma.is_finite();
        if !is_valid {
            let expected = "a finite number, 0 or more";
            return Err(Error::argument("gamma", self.gamma, expected).into());
        }
        targets.check(logits)?;
        Ok(Rows {
            loss: *self,
            targets: targets.clone(),
            per_row: row_elements(logits),
        })
    }
}

struct Rows {
    loss: SigmoidFocalLoss,
    targets: BinaryTargets,
    per_row: usize,
}

impl Rows {
    fn factor(&self, target: f64) -> f64 {
        match self.loss.alpha {
            Some(alpha) => alpha * target + (1. - alpha) * (1. - target),
            None => 1.,
        }
    }
}

/// What the target does not get of the probability: `1 − p`.
fn missed(x: f64, target: f64) -> f64 {
    sigmoid(x) * (1. - target) + sigmoid(-x) * target
}

/// `x^γ`; most use 2.
#[inline]
fn power(x: f64, gamma: f64) -> f64 {
    if gamma == 2. {
        x * x
    } else if gamma == 1. {
        x
    } else {
        x.powf(gamma)
    }
}

impl RowLoss for Rows {
    const NAME: &'static str = "sigmoid focal loss";

    fn width(&self) -> usize {
        1
    }

    fn value(&self, index: usize, row: &[f64]) -> f64 {
        let x = row[0];
        let target = self.targets.of(index, self.per_row);
        let entropy = target * softplus(-x) + (1. - target) * softplus(x);
        self.factor(target) * power(missed(x, target), self.loss.gamma) * entropy
    }

    fn gradient(&self, index: usize, row: &[f64], gradient: &mut [f64]) {
        let x = row[0];
        let gamma = self.loss.gamma;
        let target = self.targets.of(index, self.per_row);
        let yes = sigmoid(x);
        let no = sigmoid(-x);
        let missed = missed(x, target);
        let of_entropy = (1. - target) * yes - target * no;
        let mut slope = power(missed, gamma) * of_entropy;
        // The entropy falls faster to 0 than a power of what is missed rises.
        if gamma > 0. && missed > 0. {
            let entropy = target * softplus(-x) + (1. - target) * softplus(x);
            let of_missed = (1. - 2. * target) * yes * no;
            slope += gamma * power(missed, gamma - 1.) * of_missed * entropy;
        }
        gradient[0] = self.factor(target) * slope;
    }
}
