//! Adaptive feature norms: features of the target are too short to be classified (Xu et al. 2019,
//! "AFN", <https://arxiv.org/abs/1811.07456>).

use candle_core::Tensor;

use super::root::row_norms;
use crate::Error;
use crate::adapt::Domains;
use crate::adapt::domains::{positive, rows};

/// The hard variant, `(Σ_n |s_n| / N − R)² + (Σ_m |t_m| / M − R)²`: the mean length of each domain's
/// features is to be `R`.
///
/// # Shapes
/// Source `(N, D)`, target `(M, D)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::{Domains, losses::HardFeatureNorm};
///
/// let features = Tensor::new(&[[3f64, 4.]], &Device::Cpu)?;
/// let loss = HardFeatureNorm::default().loss(Domains { source: &features, target: &features })?;
/// assert_eq!(loss.to_scalar::<f64>()?, 2. * 400.);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HardFeatureNorm {
    /// `R`, above 0; the paper's and the default is 25.
    pub radius: f64,
}

impl Default for HardFeatureNorm {
    fn default() -> Self {
        Self { radius: 25. }
    }
}

impl HardFeatureNorm {
    /// The loss as a scalar; the paper adds 0.05 times it.
    ///
    /// # Errors
    /// If the shapes do not fit or the radius is out of its range.
    pub fn loss(&self, features: Domains<'_>) -> Result<Tensor, Error> {
        features.sizes(1)?;
        positive("radius", self.radius)?;
        let of = |xs: &Tensor| (row_norms(xs)?.mean_all()? - self.radius)?.sqr();
        Ok((of(features.source)? + of(features.target)?)?)
    }
}

/// The stepwise variant, `Σ_n (|x_n| − (|x_n|′ + Δ))² / N`, where `|x|′` is the same length without a
/// gradient: every step makes each feature vector a little longer. The value is always `Δ²`; what
/// matters is the gradient `−2Δ · x / |x| / N`, which is 0 for a vector of zeros.
///
/// # Shapes
/// `(N, D)`; it is taken of each domain for itself.
///
/// ```
/// use candle_core::{Device, Var};
/// use cnn_transfer::adapt::losses::StepwiseFeatureNorm;
///
/// let features = Var::new(&[[3f64, 4.]], &Device::Cpu)?;
/// let loss = StepwiseFeatureNorm::default().loss(&features)?;
/// assert_eq!(loss.to_scalar::<f64>()?, 1.);
/// let gradient = cnn_layers::backward(&loss)?.remove(&features).expect("the loss reads them");
/// let gradient = gradient.to_vec2::<f64>()?;
/// assert!((gradient[0][0] + 1.2).abs() < 1e-12 && (gradient[0][1] + 1.6).abs() < 1e-12);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepwiseFeatureNorm {
    /// `Δ`, above 0; the paper's and the default is 1.
    pub step: f64,
}

impl Default for StepwiseFeatureNorm {
    fn default() -> Self {
        Self { step: 1. }
    }
}

impl StepwiseFeatureNorm {
    /// The loss of one domain as a scalar; the paper adds 0.05 times that of both.
    ///
    /// # Errors
    /// If the features are no matrix or the step is out of its range.
    pub fn loss(&self, features: &Tensor) -> Result<Tensor, Error> {
        rows("features", features, 1)?;
        positive("step", self.step)?;
        let norms = row_norms(features)?;
        let wanted = (norms.detach() + self.step)?;
        Ok((norms - wanted)?.sqr()?.mean_all()?)
    }
}
