//! Differences of numbers, squared where they are small (Girshick 2015,
//! <https://arxiv.org/abs/1504.08083>, equation 3).

use candle_core::{Result, Tensor};

use super::operation::{RowLoss, check_targets, each, reduced, row_elements};
use super::reduction::Reduction;
use crate::Error;

/// `d² / (2β)` of each difference `d` below `β`, `|d| − β / 2` of the others: PyTorch's
/// `smooth_l1_loss`, and its `l1_loss` for `β = 0`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::detection::losses::{Reduction, SmoothL1Loss};
///
/// let codes = Tensor::new(&[[0.5f32, 0., 0., 3.]], &Device::Cpu)?;
/// let sum = SmoothL1Loss::default().loss(&codes, &[0.; 4], &Reduction::sum())?;
/// assert_eq!(sum.to_scalar::<f32>()?, 0.125 + 2.5);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SmoothL1Loss {
    /// `β`, not negative; default 1. Faster R-CNN's is 1 / 9.
    pub beta: f64,
}

impl Default for SmoothL1Loss {
    fn default() -> Self {
        Self { beta: 1. }
    }
}

impl SmoothL1Loss {
    /// `|d|`.
    pub const fn l1() -> Self {
        Self { beta: 0. }
    }

    /// The loss as a scalar of the predictions' element type; weights are one per row, the last
    /// dimension of the predictions, or one per element.
    ///
    /// # Shapes
    /// Predictions of any shape, also none, and a target for each of their elements, in their order.
    ///
    /// # Errors
    /// If the targets, the element type or the reduction do not fit, or `beta` is negative.
    pub fn loss(
        &self,
        predictions: &Tensor,
        targets: &[f32],
        reduction: &Reduction,
    ) -> Result<Tensor> {
        let rows = self.rows(predictions, targets)?;
        reduced(rows, predictions, row_elements(predictions), reduction)
    }

    /// The loss of each element, without a graph.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn each(&self, predictions: &Tensor, targets: &[f32]) -> Result<Vec<f64>> {
        each(&self.rows(predictions, targets)?, predictions)
    }

    fn rows(&self, predictions: &Tensor, targets: &[f32]) -> Result<Rows> {
        check_targets(targets.len(), predictions.elem_count(), "element")?;
        let is_valid = self.beta >= 0. && self.beta.is_finite();
        if !is_valid {
            let expected = "a finite number, 0 or more";
            return Err(Error::argument("beta", self.beta, expected).into());
        }
        Ok(Rows {
            beta: self.beta,
            targets: targets.to_vec(),
        })
    }
}

struct Rows {
    beta: f64,
    targets: Vec<f32>,
}

impl RowLoss for Rows {
    const NAME: &'static str = "smooth L1 loss";

    fn width(&self) -> usize {
        1
    }

    fn value(&self, index: usize, row: &[f64]) -> f64 {
        let difference = (row[0] - f64::from(self.targets[index])).abs();
        if difference < self.beta {
            0.5 * difference * difference / self.beta
        } else {
            difference - 0.5 * self.beta
        }
    }

    fn gradient(&self, index: usize, row: &[f64], gradient: &mut [f64]) {
        let difference = row[0] - f64::from(self.targets[index]);
        gradient[0] = if difference.abs() < self.beta {
            difference / self.beta
        } else if difference == 0. {
            0.
        } else {
            difference.signum()
        };
    }
}
