//! Jaccard loss (Rahman and Wang 2016, Optimizing Intersection-Over-Union in Deep Neural Networks
//! for Image Segmentation, <https://doi.org/10.1007/978-3-319-50835-1_22>, equation 3).

use candle_core::Tensor;

use super::closed_form::{ClosedForm, Evaluated, Pixels, apply};
use super::real::Real;
use super::region::Region;
use super::{PixelLoss, PixelTargets};
use crate::Error;

/// One minus the intersection over union, averaged over the classes:
/// `1 − (Σpt + smooth) / max(Σp + Σt − Σpt + smooth, eps)`, where `p` is the probability of a
/// class, `t` is 1 where it is true, and sums run over all pixels of the batch that count.
///
/// It is `JaccardLoss` of segmentation_models.pytorch 0.6, on logits. As there, a class that no pixel
/// of the batch has counts as right, with loss 0, and is part of the mean; so where no pixel counts,
/// loss and gradient are 0. With one channel there is one class, 1, with probability `σ(x)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::{JaccardLoss, PixelLoss, PixelTargets};
///
/// // One image of one row with two pixels, two classes, nothing known.
/// let logits = Tensor::new(&[[[[0f64, 0.], [0., 0.]]]], &Device::Cpu)?;
/// let targets = PixelTargets::new(&Tensor::new(&[[[0u8, 1]]], &Device::Cpu)?)?;
/// let loss = JaccardLoss::default()
///     .loss(&logits, &targets)?
///     .to_scalar::<f64>()?;
/// assert!((loss - 2. / 3.).abs() < 1e-15);
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct JaccardLoss {
    /// Added to numerator and denominator; not negative, default 0.
    pub smooth: f64,
    /// The least denominator, and with [`log_loss`](Self::log_loss) the least score; above 0,
    /// default 1e-7.
    pub eps: f64,
    /// Takes `−ln` of the score in place of one minus it. Default no.
    pub log_loss: bool,
    /// The classes over which the loss is averaged; not for one channel. Default `None`: all.
    pub classes: Option<Vec<usize>>,
    /// The weight of each class of the logits in that mean; finite, not negative, with a sum above
    /// 0; not for one channel. Default `None`: 1 each.
    pub class_weights: Option<Vec<f64>>,
}

impl Default for JaccardLoss {
    fn default() -> Self {
        Self {
            smooth: 0.,
            eps: 1e-7,
            log_loss: false,
            classes: None,
            class_weights: None,
        }
    }
}

impl PixelLoss for JaccardLoss {
    fn loss(&self, logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error> {
        apply(self, logits, targets)
    }
}

impl JaccardLoss {
    fn region(&self) -> Region<'_> {
        Region {
            factor: 1.,
            overlap: -1.,
            predicted: 1.,
            truth: 1.,
            smooth: self.smooth,
            eps: self.eps,
            log_loss: self.log_loss,
            classes: self.classes.as_deref(),
            class_weights: self.class_weights.as_deref(),
            power: 1.,
        }
    }
}

impl ClosedForm for JaccardLoss {
    const NAME: &'static str = "Jaccard loss";

    fn check(&self) -> Result<(), Error> {
        self.region().check()
    }

    fn check_channels(&self, channels: usize) -> Result<(), Error> {
        self.region().check_channels(channels)
    }

    fn evaluate<T: Real>(&self, pixels: &Pixels<'_, T>) -> Evaluated<T> {
        self.region().evaluate(pixels)
    }
}
