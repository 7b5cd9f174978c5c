//! SmoothGrad (Smilkov et al. 2017, arXiv:1706.03825) and VarGrad (Adebayo et al. 2018,
//! arXiv:1810.03307): mean and variance of the gradients of noisy copies.

use candle_core::Tensor;
use cnn_layers::BackwardRule;

use crate::Error;
use crate::explain::subject::Subject;
use crate::explain::target::Score;

/// What is known of the gradients of noisy copies, `(N, H, W, C)` each.
pub(crate) struct Moments {
    pub(crate) mean: Tensor,
    /// The mean square less the square of the mean.
    pub(crate) variance: Tensor,
}

/// Adds each of the noises `(N, H, W, C)` to the images and collects the gradients.
pub(crate) fn noisy_gradients(
    subject: &Subject<'_>,
    images: &Tensor,
    targets: &[Score],
    count: usize,
    noise: &mut dyn FnMut(usize) -> Result<Tensor, Error>,
) -> Result<Moments, Error> {
    let mut sum = images.zeros_like()?;
    let mut squares = images.zeros_like()?;
    for sample in 0..count {
        let noisy = (images + noise(sample)?)?;
        let (_, gradient) = subject.gradient(&noisy, targets, BackwardRule::Standard)?;
        sum = (sum + &gradient)?;
        squares = (squares + gradient.sqr()?)?;
        subject.report((sample + 1) * targets.len(), count * targets.len());
    }
    let mean = (sum / count as f64)?;
    let variance = ((squares / count as f64)? - mean.sqr()?)?.relu()?;
    Ok(Moments { mean, variance })
}
