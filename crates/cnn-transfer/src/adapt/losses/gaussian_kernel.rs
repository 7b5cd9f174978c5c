//! Gaussian kernels of all pairs of rows.

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

/// The sum of several kernels for all pairs of rows, and its derivative by their squared distances.
pub(super) struct KernelSum {
    pub(super) values: Vec<f64>,
    pub(super) by_distance: Vec<f64>,
}

impl KernelSum {
    pub(super) fn of(kernels: &[GaussianKernel], distances: &[f64]) -> Result<Self, Error> {
        if kernels.is_empty() {
            return Err(Error::argument("kernels", "none", "at least one"));
        }
        let mean = distances.iter().sum::<f64>() / distances.len() as f64;
        let mut sum = Self {
            values: vec![0.; distances.len()],
            by_distance: vec![0.; distances.len()],
        };
        for kernel in kernels {
            let width = kernel.width(mean)?;
            let sums = sum.values.iter_mut().zip(&mut sum.by_distance);
            for ((value, slope), distance) in sums.zip(distances) {
                let kernel = (-distance / width).exp();
                *value += kernel;
                *slope -= kernel / width;
            }
        }
        Ok(sum)
    }
}
