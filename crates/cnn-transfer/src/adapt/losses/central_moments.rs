//! The central moment discrepancy (Zellinger et al. 2017, <https://arxiv.org/abs/1702.08811>).

use candle_core::{Result as CandleResult, Tensor};

use super::root::square_root;
use crate::Error;
use crate::adapt::Domains;
use crate::adapt::domains::positive;

/// `CMD = |E s − E t| / w + Σ_{k=2}^K |c_k(s) − c_k(t)| / wᵏ`, with the central moments
/// `c_k(x) = E (x − E x)ᵏ` of each feature and `w` the width of the range that features lie in.
///
/// The gradient of a norm that is 0 is taken as 0.
///
/// # Shapes
/// Source `(N, D)`, target `(M, D)`, none empty.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::{Domains, losses::CentralMoments};
///
/// let source = Tensor::new(&[[0f64], [1.]], &Device::Cpu)?; // mean 0.5, variance 0.25
/// let target = Tensor::new(&[[0f64], [0.]], &Device::Cpu)?;
/// let moments = CentralMoments { moments: 2, width: 1. };
/// let loss = moments.loss(Domains { source: &source, target: &target })?;
/// assert_eq!(loss.to_scalar::<f64>()?, 0.75);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CentralMoments {
    /// `K`, the highest moment, at least 1; the paper's and the default is 5.
    pub moments: usize,
    /// `w`, above 0: 1 for features behind a sigmoid, 2 behind tanh. Default 1.
    pub width: f64,
}

impl Default for CentralMoments {
    fn default() -> Self {
        Self {
            moments: 5,
            width: 1.,
        }
    }
}

impl CentralMoments {
    /// The discrepancy as a scalar.
    ///
    /// # Errors
    /// If the shapes do not fit or a field is out of its range.
    pub fn loss(&self, features: Domains<'_>) -> Result<Tensor, Error> {
        features.sizes(1)?;
        positive("width", self.width)?;
        if self.moments == 0 {
            return Err(Error::argument("moments", 0, "at least 1"));
        }
        let means = [features.source, features.target].map(|xs| xs.mean_keepdim(0));
        let [source_mean, target_mean] = means;
        let [source_mean, target_mean] = [source_mean?, target_mean?];
        let source = features.source.broadcast_sub(&source_mean)?;
        let target = features.target.broadcast_sub(&target_mean)?;
        let mut loss = (distance(&source_mean, &target_mean)? / self.width)?;
        let mut source_power = source.clone();
        let mut target_power = target.clone();
        let mut scale = self.width;
        for _ in 2..=self.moments {
            source_power = (source_power * &source)?;
            target_power = (target_power * &target)?;
            scale *= self.width;
            let moments = [source_power.mean_keepdim(0)?, target_power.mean_keepdim(0)?];
            loss = (loss + (distance(&moments[0], &moments[1])? / scale)?)?;
        }
        Ok(loss)
    }
}

/// The Euclidean distance of two vectors as a scalar.
fn distance(a: &Tensor, b: &Tensor) -> CandleResult<Tensor> {
    square_root(&(a - b)?.sqr()?.sum_all()?)
}
