//! Binary cross-entropy on logits, for labels that do not exclude each other.

use candle_core::Tensor;

use super::log_sigmoid::log_sigmoid;
use super::same_shape;
use crate::Error;

/// `−mean(p·t·ln σ(x) + (1 − t)·ln(1 − σ(x)))` over all elements, as a scalar; `p` is `pos_weight`,
/// 1 where it is `None`.
///
/// The same as `max(x, 0) − x·t + ln(1 + e^(−|x|))` for `p = 1`: neither value nor gradient
/// overflows or loses its digits for large `|x|`.
///
/// # Shapes
/// `logits` and `targets` have the same shape, targets in `0..=1`; `pos_weight` is broadcast to it,
/// as `(K)` to `(N, K)`. Both are converted to the element type of `logits`, f32 or f64.
///
/// # Errors
/// If the shapes do not fit or are empty, or the element type is another.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::binary_cross_entropy_with_logits;
///
/// let logits = Tensor::new(&[1e4f64, -1e4, 0.], &Device::Cpu)?;
/// let targets = Tensor::new(&[1f64, 0., 1.], &Device::Cpu)?;
/// let loss = binary_cross_entropy_with_logits(&logits, &targets, None)?.to_scalar::<f64>()?;
/// assert!((loss - 2f64.ln() / 3.).abs() < 1e-15);
/// # Ok::<(), cnn_train::Error>(())
/// ```
pub fn binary_cross_entropy_with_logits(
    logits: &Tensor,
    targets: &Tensor,
    pos_weight: Option<&Tensor>,
) -> Result<Tensor, Error> {
    same_shape(logits, targets)?;
    let targets = targets.to_dtype(logits.dtype())?;
    let mut positive = targets.mul(&log_sigmoid(logits)?)?;
    if let Some(weight) = pos_weight {
        let fits = weight.to_dtype(logits.dtype())?.broadcast_as(logits.dims());
        let weight = fits.map_err(|_| {
            let expected = format!("a shape that can be broadcast to {:?}", logits.dims());
            Error::argument("pos_weight", format!("shape {:?}", weight.dims()), expected)
        })?;
        positive = positive.mul(&weight)?;
    }
    let negative = targets
        .affine(-1., 1.)?
        .mul(&log_sigmoid(&logits.neg()?)?)?;
    Ok((positive + negative)?.mean_all()?.neg()?)
}
