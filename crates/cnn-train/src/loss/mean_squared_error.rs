//! Mean squared error.

use candle_core::Tensor;

use super::same_shape;
use crate::Error;

/// `mean((xs − targets)²)` over all elements, as a scalar.
///
/// # Shapes
/// Any shape, the same for both; targets are converted to the element type of `xs`.
///
/// # Errors
/// If the shapes differ or are empty.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::mean_squared_error;
///
/// let xs = Tensor::new(&[1f32, 2., 3.], &Device::Cpu)?;
/// let targets = Tensor::new(&[1f32, 2., 6.], &Device::Cpu)?;
/// assert_eq!(mean_squared_error(&xs, &targets)?.to_scalar::<f32>()?, 3.);
/// # Ok::<(), cnn_train::Error>(())
/// ```
pub fn mean_squared_error(xs: &Tensor, targets: &Tensor) -> Result<Tensor, Error> {
    same_shape(xs, targets)?;
    Ok((xs - targets.to_dtype(xs.dtype())?)?.sqr()?.mean_all()?)
}
