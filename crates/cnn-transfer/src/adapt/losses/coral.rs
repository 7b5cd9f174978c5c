//! Correlation alignment (Sun & Saenko 2016, "Deep CORAL", <https://arxiv.org/abs/1607.01719>).

use candle_core::{Result as CandleResult, Tensor};

use crate::Error;
use crate::adapt::Domains;

/// `‖C_s − C_t‖²_F / 4D²`, with the covariances `C` of the domains' features, over one less than
/// their samples.
///
/// # Shapes
/// Source `(N, D)`, target `(M, D)`, of both at least 2.
///
/// # Errors
/// If the shapes do not fit.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::{Domains, losses::coral};
///
/// let source = Tensor::new(&[[0f64], [2.]], &Device::Cpu)?; // variance 2
/// let target = Tensor::new(&[[5f64], [5.]], &Device::Cpu)?; // variance 0
/// let loss = coral(Domains { source: &source, target: &target })?;
/// assert_eq!(loss.to_scalar::<f64>()?, 1.);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub fn coral(features: Domains<'_>) -> Result<Tensor, Error> {
    let columns = features.sizes(2)?.columns as f64;
    let difference = (covariance(features.source)? - covariance(features.target)?)?;
    Ok(difference
        .sqr()?
        .sum_all()?
        .affine(0.25 / (columns * columns), 0.)?)
}

fn covariance(xs: &Tensor) -> CandleResult<Tensor> {
    let centred = xs.broadcast_sub(&xs.mean_keepdim(0)?)?;
    let products = centred.t()?.matmul(&centred)?;
    products.affine(1. / (xs.dim(0)? - 1) as f64, 0.)
}
