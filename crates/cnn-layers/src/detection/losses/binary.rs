//! Binary cross-entropy of logits.

use candle_core::{Result, Tensor};

use super::operation::{RowLoss, each, reduced, row_elements};
use super::reduction::Reduction;
use super::targets::BinaryTargets;
use crate::detection::check_positive;

/// `−(p t ln σ(x) + (1 − t) ln(1 − σ(x)))` of each logit, PyTorch's
/// `binary_cross_entropy_with_logits`. Neither value nor gradient overflows or loses its digits for
/// large `|x|`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::detection::losses::{BinaryCrossEntropy, BinaryTargets, Reduction};
///
/// // Two places with three classes; the second is background.
/// let logits = Tensor::new(&[[0f64, -1e4, -1e4], [-1e4, -1e4, -1e4]], &Device::Cpu)?;
/// let targets = BinaryTargets::Classes(vec![Some(0), None]);
/// let loss = BinaryCrossEntropy::default();
/// let sum = loss.loss(&logits, &targets, &Reduction::sum())?;
/// assert!((sum.to_scalar::<f64>()? - 2f64.ln()).abs() < 1e-15);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BinaryCrossEntropy {
    /// `p`, what a target of 1 counts; above 0, default 1.
    pub pos_weight: f64,
}

impl Default for BinaryCrossEntropy {
    fn default() -> Self {
        Self { pos_weight: 1. }
    }
}

impl BinaryCrossEntropy {
    /// The loss as a scalar of the logits' element type; weights are one per row, the last dimension
    /// of the logits, or one per logit.
    ///
    /// # Shapes
    /// Logits of any shape, also none, and targets as [`BinaryTargets`] says.
    ///
    /// # Errors
    /// If the targets, the element type or the reduction do not fit, a target is out of its range, or
    /// `pos_weight` is not positive.
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
        check_positive("pos_weight", self.pos_weight)?;
        targets.check(logits)?;
        Ok(Rows {
            pos_weight: self.pos_weight,
            targets: targets.clone(),
            per_row: row_elements(logits),
        })
    }
}

struct Rows {
    pos_weight: f64,
    targets: BinaryTargets,
    per_row: usize,
}

impl RowLoss for Rows {
    const NAME: &'static str = "binary cross-entropy";

    fn width(&self) -> usize {
        1
    }

    fn value(&self, index: usize, row: &[f64]) -> f64 {
        let x = row[0];
        let target = self.targets.of(index, self.per_row);
        self.pos_weight * target * softplus(-x) + (1. - target) * softplus(x)
    }

    fn gradient(&self, index: usize, row: &[f64], gradient: &mut [f64]) {
        let x = row[0];
        let target = self.targets.of(index, self.per_row);
        gradient[0] = (1. - target) * sigmoid(x) - self.pos_weight * target * sigmoid(-x);
    }
}

/// `ln(1 + e^x)`.
#[inline]
pub(super) fn softplus(x: f64) -> f64 {
    x.max(0.) + (-x.abs()).exp().ln_1p()
}

/// `1 / (1 + e^−x)`; `1 − σ(x)` is `σ(−x)`.
#[inline]
pub(super) fn sigmoid(x: f64) -> f64 {
    let power = (-x.abs()).exp();
    if x < 0. {
        power / (1. + power)
    } else {
        1. / (1. + power)
    }
}
