//! Batch spectral penalisation (Chen et al. 2019, "BSP",
//! <https://proceedings.mlr.press/v97/chen19i.html>).

use candle_core::{DType, Tensor};
use cnn_metrics::largest_eigenpairs;

use crate::Error;
use crate::adapt::Domains;

/// `Σ_{i≤k} σ_i(s)² + σ_i(t)²`, the largest singular values of the domains' features: adversaries
/// align the domains along few directions, and this keeps the others, which tell classes apart.
///
/// `σ_i² = |u_iᵀ X|²` with the left singular vectors `u_i`, whose own gradient adds nothing where
/// `σ_i` is above the next; so the gradient is `2 σ_i u_i v_iᵀ`.
///
/// # Shapes
/// Source `(N, D)`, target `(M, D)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::{Domains, losses::BatchSpectralPenalty};
///
/// let features = Tensor::new(&[[3f64, 0., 0.], [0., 0., 2.]], &Device::Cpu)?;
/// let loss =
///     BatchSpectralPenalty::default().loss(Domains { source: &features, target: &features })?;
/// assert!((loss.to_scalar::<f64>()? - 18.).abs() < 1e-12);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchSpectralPenalty {
    /// `k`, from 1 to the number of singular values; the paper's and the default is 1.
    pub values: usize,
}

impl Default for BatchSpectralPenalty {
    fn default() -> Self {
        Self { values: 1 }
    }
}

impl BatchSpectralPenalty {
    /// The loss as a scalar; the paper adds 1e-4 times it.
    ///
    /// # Errors
    /// If the shapes do not fit, a domain has fewer singular values, or a feature is not finite.
    pub fn loss(&self, features: Domains<'_>) -> Result<Tensor, Error> {
        let sizes = features.sizes(1)?;
        let most = sizes.source.min(sizes.target).min(sizes.columns);
        if !(1..=most).contains(&self.values) {
            let expected = format!("1 to {most}, the singular values that each domain has");
            return Err(Error::argument("values", self.values, expected));
        }
        Ok((self.of(features.source)? + self.of(features.target)?)?)
    }

    fn of(&self, features: &Tensor) -> Result<Tensor, Error> {
        let directions = self.left_singular_vectors(features)?;
        Ok(directions.matmul(features)?.sqr()?.sum_all()?)
    }

    /// `(k, N)`, without a gradient.
    fn left_singular_vectors(&self, features: &Tensor) -> Result<Tensor, Error> {
        let values = features.detach().to_dtype(DType::F64)?;
        let samples = features.dim(0)?;
        let gram: Vec<f64> = values.matmul(&values.t()?)?.flatten_all()?.to_vec1()?;
        let product = |xs: &[f64]| {
            let row = |row: &[f64]| row.iter().zip(xs).map(|(a, b)| a * b).sum();
            gram.chunks_exact(samples).map(row).collect()
        };
        let pairs = largest_eigenpairs(samples, self.values, product)?;
        let vectors = pairs.into_iter().flat_map(|pair| pair.vector);
        let vectors = Tensor::from_iter(vectors, features.device())?;
        Ok(vectors
            .reshape((self.values, samples))?
            .to_dtype(features.dtype())?)
    }
}
