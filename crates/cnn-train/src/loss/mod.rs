//! Losses: differentiable scalars, averaged over the batch.

mod binary_cross_entropy;
mod cross_entropy;
mod log_sigmoid;
mod mean_squared_error;
mod pixels;

use candle_core::Tensor;

use crate::Error;

pub use binary_cross_entropy::binary_cross_entropy_with_logits;
pub use cross_entropy::{CrossEntropy, Targets, log_softmax};
pub use mean_squared_error::mean_squared_error;
pub use pixels::{
    DiceLoss, FocalLoss, JaccardLoss, LovaszLoss, PixelCrossEntropy, PixelLoss, PixelLossKind,
    PixelLossSum, PixelLossTerm, PixelTargets, TverskyLoss,
};

/// A loss of class scores: [`CrossEntropy`], or one's own as a function of logits `(N, K)` and
/// targets that gives a differentiable scalar, averaged over the batch.
///
/// The focal loss (Lin et al. 2017, <https://arxiv.org/abs/1708.02002>), which counts what is right
/// already for less:
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::{ClassificationLoss, Error, Targets, log_softmax};
///
/// fn focal(logits: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
///     let (samples, classes) = logits.dims2()?;
///     let log = log_softmax(logits)?;
///     let wrong = (1. - log.exp()?)?.sqr()?;
///     let losses = (targets.distributions(classes)? * wrong * log)?;
///     Ok((losses.sum_all()? / -(samples as f64))?)
/// }
///
/// let logits = Tensor::new(&[[2f32, 0.], [0., 0.]], &Device::Cpu)?;
/// let loss = focal
///     .loss(&logits, &Targets::Classes(vec![0, 1]))?
///     .to_scalar::<f32>()?;
/// assert!((loss - (0.0142 * 0.1269 + 0.25 * 0.6931) / 2.).abs() < 1e-3);
/// # Ok::<(), Error>(())
/// ```
pub trait ClassificationLoss: Send + Sync {
    /// The loss as a scalar.
    ///
    /// # Errors
    /// What the loss reports, as [`Error::other`] or [`Error::argument`].
    fn loss(&self, logits: &Tensor, targets: &Targets) -> Result<Tensor, Error>;
}

impl ClassificationLoss for CrossEntropy {
    fn loss(&self, logits: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
        CrossEntropy::loss(self, logits, targets)
    }
}

impl<F> ClassificationLoss for F
where
    F: Fn(&Tensor, &Targets) -> Result<Tensor, Error> + Send + Sync,
{
    fn loss(&self, logits: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
        self(logits, targets)
    }
}

/// The loss's targets have the outputs' shape, which is not empty.
fn same_shape(xs: &Tensor, targets: &Tensor) -> Result<(), Error> {
    if xs.elem_count() == 0 {
        return Err(Error::argument(
            "outputs",
            format!("shape {:?}", xs.dims()),
            "at least one element",
        ));
    }
    if xs.dims() != targets.dims() {
        let expected = format!("shape {:?}, the outputs'", xs.dims());
        return Err(Error::argument(
            "targets",
            format!("shape {:?}", targets.dims()),
            expected,
        ));
    }
    Ok(())
}
