//! The maximum mean discrepancy with several kernels, the loss of deep adaptation networks (Long et
//! al. 2015, <https://arxiv.org/abs/1502.02791>; Gretton et al. 2012).

use candle_core::Tensor;

use super::gaussian_kernel::{GaussianKernel, KernelSum};
use super::known_gradient::known_gradient;
use super::pairs::Pairs;
use crate::Error;
use crate::adapt::Domains;
use crate::adapt::domains::DomainSizes;

/// Which pairs a discrepancy is estimated from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MmdEstimate {
    /// All pairs, none of a sample with itself: unbiased, the least spread.
    #[default]
    Quadratic,
    /// Each sample with the next one, the last with the first: unbiased, a sum of as many terms as
    /// samples. The domains must have equally many.
    Linear,
}

/// `MMD² = E k(s, s′) + E k(t, t′) − 2 E k(s, t)`, with `k` a sum of Gaussian kernels: 0 where both
/// domains have the same distribution. Being unbiased it may fall below 0.
///
/// The Transfer-Learning-Library adds `2 / (N − 1)`, which changes no gradient; here 0 means equal.
///
/// # Shapes
/// Source `(N, D)`, target `(M, D)`, of both at least 2.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::{Domains, losses::{GaussianKernel, MmdEstimate, MultiKernelMmd}};
///
/// let mmd = MultiKernelMmd {
///     kernels: vec![GaussianKernel::Fixed { sigma: 1. }],
///     estimate: MmdEstimate::Quadratic,
/// };
/// let source = Tensor::new(&[[0f64], [0.]], &Device::Cpu)?;
/// let target = Tensor::new(&[[1f64], [1.]], &Device::Cpu)?;
/// let loss = mmd.loss(Domains { source: &source, target: &target })?.to_scalar::<f64>()?;
/// assert!((loss - (2. - 2. * (-0.5f64).exp())).abs() < 1e-12);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct MultiKernelMmd {
    /// The kernels that are summed, at least one. Default: [`GaussianKernel::five_widths`].
    pub kernels: Vec<GaussianKernel>,
    /// Which pairs count. Default: all.
    pub estimate: MmdEstimate,
}

impl Default for MultiKernelMmd {
    fn default() -> Self {
        Self {
            kernels: GaussianKernel::five_widths(),
            estimate: MmdEstimate::default(),
        }
    }
}

impl MultiKernelMmd {
    /// The squared discrepancy as a scalar.
    ///
    /// # Errors
    /// If the shapes do not fit, or a kernel is out of its range.
    pub fn loss(&self, features: Domains<'_>) -> Result<Tensor, Error> {
        let sizes = features.sizes(2)?;
        let coefficients = self.estimate.coefficients(sizes)?;
        let pairs = Pairs::around_the_mean(features, sizes)?;
        let kernels = KernelSum::of(&self.kernels, &pairs.squared_distances()?)?;
        let by_distance = kernels.by_distance.iter().zip(&coefficients);
        let by_distance: Vec<f64> = by_distance.map(|(slope, c)| slope * c).collect();
        let slopes = pairs.slopes_of_distances(&by_distance)?;
        let value = kernels.values.iter().zip(&coefficients);
        let value = value.map(|(kernel, c)| kernel * c).sum();
        Ok(known_gradient(value, slopes)?)
    }
}

impl MmdEstimate {
    /// What each pair counts, row by row.
    pub(super) fn coefficients(self, sizes: DomainSizes) -> Result<Vec<f64>, Error> {
        match self {
            Self::Quadratic => Ok(all_pairs(sizes)),
            Self::Linear => neighbours(sizes),
        }
    }
}

/// What each pair counts, row by row, where all do.
fn all_pairs(sizes: DomainSizes) -> Vec<f64> {
    let DomainSizes { source, target, .. } = sizes;
    let within = |rows: usize| 1. / (rows * (rows - 1)) as f64;
    let coefficient = |i: usize, j: usize| match [i < source, j < source] {
        _ if i == j => 0.,
        [true, true] => within(source),
        [false, false] => within(target),
        _ => -1. / (source * target) as f64,
    };
    let all = source + target;
    (0..all * all)
        .map(|at| coefficient(at / all, at % all))
        .collect()
}

/// What each pair counts, row by row, where only neighbours do.
fn neighbours(sizes: DomainSizes) -> Result<Vec<f64>, Error> {
    let rows = sizes.source;
    if sizes.target != rows {
        return Err(Error::argument(
            "target",
            format!("{} samples", sizes.target),
            format!("{rows}, as many as the source for the linear estimate"),
        ));
    }
    let share = 1. / rows as f64;
    let mut coefficients = vec![0.; 4 * rows * rows];
    let mut add = |i: usize, j: usize, value: f64| coefficients[i * 2 * rows + j] += value;
    for this in 0..rows {
        let next = (this + 1) % rows;
        add(this, next, share);
        add(rows + this, rows + next, share);
        add(this, rows + next, -share);
        add(next, rows + this, -share);
    }
    Ok(coefficients)
}
