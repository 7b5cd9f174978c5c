//! Correlation alignment (Sun & Saenko 2016, "Deep CORAL", <https://arxiv.org/abs/1607.01719>).

use candle_core::Tensor;

use super::known_gradient::known_gradient;
use super::pairs::Pairs;
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
    let sizes = features.sizes(2)?;
    let pairs = Pairs::around_both_means(features, sizes)?;
    // ‖C_s − C_t‖² is a sum over pairs of samples, of which there are fewer than of features: with the
    // products G of centred rows, and 1 / (N − 1) of the source's and −1 / (M − 1) of the target's as
    // weights w, it is Σ_ij w_i w_j G_ij².
    let weight = |row: usize| {
        if row < sizes.source {
            1. / (sizes.source - 1) as f64
        } else {
            -1. / (sizes.target - 1) as f64
        }
    };
    let count = pairs.count();
    let products = pairs.products()?;
    let weighted = products.iter().enumerate();
    let weighted: Vec<f64> = weighted
        .map(|(at, product)| weight(at / count) * weight(at % count) * product)
        .collect();
    let total: f64 = weighted
        .iter()
        .zip(&products)
        .map(|(w, product)| w * product)
        .sum();
    let square = (sizes.columns * sizes.columns) as f64;
    let slopes = pairs.slopes(weighted.iter().map(|w| w / square).collect())?;
    // Rounding may leave less than nothing.
    Ok(known_gradient((total / (4. * square)).max(0.), slopes)?)
}
