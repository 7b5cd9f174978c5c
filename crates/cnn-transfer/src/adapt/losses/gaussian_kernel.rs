//! Gaussian kernels of all pairs of rows.

use candle_core::Tensor;

use super::distances::squared_distances;
use crate::Error;
use crate::adapt::domains::positive;

/// `k(x, y) = e^(−|x − y|² / 2σ²)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum GaussianKernel {
    /// `σ²` is a multiple of the mean of all `|x_i − x_j|²` of the batch, each with itself included;
    /// no gradient goes through that mean.
    Relative {
        /// The multiple, above 0.
        factor: f64,
    },
    /// One width whatever the features are.
    Fixed {
        /// σ, above 0.
        sigma: f64,
    },
}

impl GaussianKernel {
    /// The five widths of the Transfer-Learning-Library for features: the mean times 2ᵏ, k from −3
    /// to 1.
    pub fn five_widths() -> Vec<Self> {
        (-3..=1)
            .map(|power| Self::Relative {
                factor: f64::powi(2., power),
            })
            .collect()
    }

    /// `2σ²`.
    fn width(self, mean_distance: f64) -> Result<f64, Error> {
        // The batch may be one and the same row: then every distance is 0 and every kernel 1.
        const SMALLEST: f64 = 1e-30;
        match self {
            Self::Relative { factor } => {
                positive("factor", factor)?;
                Ok((2. * factor * mean_distance).max(SMALLEST))
            }
            Self::Fixed { sigma } => {
                positive("sigma", sigma)?;
                Ok(2. * sigma * sigma)
            }
        }
    }
}

/// The sum of several kernels for all pairs of rows, `(N, D)` to `(N, N)`.
pub(super) fn kernel_sum(kernels: &[GaussianKernel], features: &Tensor) -> Result<Tensor, Error> {
    let distances = squared_distances(features)?;
    let wide = distances.detach().to_dtype(candle_core::DType::F64)?;
    let mean = wide.mean_all()?.to_scalar::<f64>()?;
    let mut sum: Option<Tensor> = None;
    for kernel in kernels {
        let values = distances.affine(-1. / kernel.width(mean)?, 0.)?.exp()?;
        sum = Some(match sum {
            Some(sum) => (sum + values)?,
            None => values,
        });
    }
    sum.ok_or_else(|| Error::argument("kernels", "none", "at least one"))
}
