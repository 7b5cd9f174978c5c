//! Losses of semantic segmentation: scores of every pixel's classes against masks.

mod arguments;
mod closed_form;
mod cross_entropy;
mod dice;
mod focal;
mod jaccard;
mod kind;
mod lovasz;
mod real;
mod region;
mod softmax;
mod targets;
mod tversky;
mod weighted_sum;

use candle_core::Tensor;

use crate::Error;

pub use cross_entropy::PixelCrossEntropy;
pub use dice::DiceLoss;
pub use focal::FocalLoss;
pub use jaccard::JaccardLoss;
pub use kind::PixelLossKind;
pub use lovasz::LovaszLoss;
pub use targets::PixelTargets;
pub use tversky::TverskyLoss;
pub use weighted_sum::{PixelLossSum, PixelLossTerm};

/// A loss of the scores of pixels: [`PixelCrossEntropy`], [`FocalLoss`], [`DiceLoss`],
/// [`JaccardLoss`], [`LovaszLoss`], [`TverskyLoss`], a [`PixelLossSum`] of them, or one's own as a
/// function of logits and targets that gives a differentiable scalar.
///
/// # Shapes
/// Logits are `(N, H, W, K)` in f32 or f64 with `K` from 2 on, a number for each class, or with one
/// channel, which tells class 1 from class 0; the masks of the targets are `(N, H, W)`. Pixels that
/// are ignored have no part in any loss and no gradient.
///
/// The losses of this crate are one operation of candle's graph each, on the CPU. They read the
/// logits once forward and once backward, sum in f64, and give the same bytes whatever the number
/// of threads. Logits of ±10⁴ are no harm.
///
/// # One's own
/// The mean absolute difference of probabilities and truth, from candle's operations:
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::{Error, PixelLoss, PixelTargets, log_softmax};
///
/// fn absolute(logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error> {
///     let classes = logits.dim(3)?;
///     let truth = targets.distributions(classes)?.to_dtype(logits.dtype())?;
///     let counted = targets.counted()?.to_dtype(logits.dtype())?;
///     let difference = (log_softmax(logits)?.exp()? - truth)?.abs()?.sum(3)?;
///     let counted_difference = (difference * &counted)?.sum_all()?;
///     Ok((counted_difference / counted.sum_all()?)?)
/// }
///
/// let logits = Tensor::new(&[[[[0f32, 0.], [7., 7.]]]], &Device::Cpu)?;
/// let targets = PixelTargets::new(&Tensor::new(&[[[1u8, 255]]], &Device::Cpu)?)?;
/// let loss = absolute.loss(&logits, &targets)?.to_scalar::<f32>()?;
/// assert!((loss - 1.).abs() < 1e-6);
/// # Ok::<(), Error>(())
/// ```
pub trait PixelLoss: Send + Sync {
    /// The loss as a scalar of the logits' element type.
    ///
    /// # Errors
    /// [`Error::Argument`] if a shape, an element type, a class of the masks or a setting is out of
    /// its range, and what a loss of one's own reports.
    fn loss(&self, logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error>;
}

impl<F> PixelLoss for F
where
    F: Fn(&Tensor, &PixelTargets) -> Result<Tensor, Error> + Send + Sync,
{
    fn loss(&self, logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error> {
        self(logits, targets)
    }
}
