//! Distribution focal loss (Li et al. 2020, <https://arxiv.org/abs/2006.04388>, equation 6).

use candle_core::{Result, Tensor};

use super::cross_entropy::Exponentials;
use super::operation::{RowLoss, check_targets, each, reduced, shape_fault};
use super::reduction::Reduction;
use crate::Error;

/// `−((k + 1 − y) ln s_k + (y − k) ln s_(k+1))` of each row, where `s` is the softmax over the bins 0,
/// 1, …, and the target `y` lies between the bins `k` and `k + 1`: a number, as the distance of an
/// edge, is the mean of a distribution that is to gather around it.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::detection::losses::{DistributionFocalLoss, Reduction};
///
/// // Four edges of one box, distances from 0 to 15.
/// let logits = Tensor::zeros((4, 16), candle_core::DType::F64, &Device::Cpu)?;
/// let distances = [0., 2.5, 7.25, 15.];
/// let mean = DistributionFocalLoss.loss(&logits, &distances, &Reduction::mean())?;
/// assert!((mean.to_scalar::<f64>()? - 16f64.ln()).abs() < 1e-14);
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DistributionFocalLoss;

impl DistributionFocalLoss {
    /// The loss as a scalar of the logits' element type; weights are one per row.
    ///
    /// # Shapes
    /// Logits `(R, bins)`, also of no rows, and `R` targets from 0 to `bins − 1`, in bins.
    ///
    /// # Errors
    /// If the shapes, the element type or the reduction do not fit, or a target is out of its range.
    pub fn loss(&self, logits: &Tensor, targets: &[f32], reduction: &Reduction) -> Result<Tensor> {
        reduced(Rows::new(logits, targets)?, logits, 1, reduction)
    }

    /// The loss of each row, without a graph.
    ///
    /// # Errors
    /// As [`loss`](Self::loss).
    pub fn each(&self, logits: &Tensor, targets: &[f32]) -> Result<Vec<f64>> {
        each(&Rows::new(logits, targets)?, logits)
    }
}

struct Rows {
    targets: Vec<f32>,
    bins: usize,
}

impl Rows {
    fn new(logits: &Tensor, targets: &[f32]) -> Result<Self> {
        let &[rows, bins @ 2..=usize::MAX] = logits.dims() else {
            return Err(shape_fault(logits, "shape (rows, bins), with two bins or more").into());
        };
        check_targets(targets.len(), rows, "row")?;
        let last = (bins - 1) as f32;
        if let Some(target) = targets
            .iter()
            .find(|target| !(0. ..=last).contains(*target))
        {
            return Err(Error::argument("targets", target, format!("0 to {last}")).into());
        }
        Ok(Self {
            targets: targets.to_vec(),
            bins,
        })
    }

    /// The bin below a target, which is not the last one, and how far the target lies above it.
    fn place(&self, index: usize) -> Place {
        let target = f64::from(self.targets[index]);
        let below = (target as usize).min(self.bins - 2);
        Place {
            below,
            above: target - below as f64,
        }
    }
}

struct Place {
    below: usize,
    above: f64,
}

impl RowLoss for Rows {
    const NAME: &'static str = "distribution focal loss";

    fn width(&self) -> usize {
        self.bins
    }

    fn value(&self, index: usize, row: &[f64]) -> f64 {
        let Place { below, above } = self.place(index);
        let log_sum = Exponentials::of(row).log_sum();
        (1. - above) * (log_sum - row[below]) + above * (log_sum - row[below + 1])
    }

    fn gradient(&self, index: usize, row: &[f64], gradient: &mut [f64]) {
        let Place { below, above } = self.place(index);
        Exponentials::of(row).write_softmax(row, gradient);
        gradient[below] -= 1. - above;
        gradient[below + 1] -= above;
    }
}
