//! Tversky loss (Salehi et al. 2017, <https://arxiv.org/abs/1706.05721>, equation 4), and the focal
//! one (Abraham and Khan 2019, <https://arxiv.org/abs/1810.07842>, equation 4).

use candle_core::Tensor;

use super::arguments::{not_negative, positive};
use super::closed_form::{ClosedForm, Evaluated, Pixels, apply};
use super::real::Real;
use super::region::Region;
use super::{PixelLoss, PixelTargets};
use crate::Error;

/// One minus the Tversky score, averaged over the classes and then raised to `gamma`:
/// `1 − (Σpt + smooth) / max(Σpt + α Σp(1−t) + β Σ(1−p)t + smooth, eps)`, where `p` is the
/// probability of a class, `t` is 1 where it is true, and sums run over all pixels of the batch
/// that count.
///
/// What is missed costs more than what is found wrongly where `β > α`, as for objects that cover
/// little. `α = β = 0.5` is the Dice score, `α = β = 1` Jaccard's.
///
/// It is `TverskyLoss` of segmentation_models.pytorch 0.6, on logits. As there, the mean is raised and
/// not the loss of each class, and a class that no pixel of the batch has counts as right, with
/// loss 0, and is part of the mean; so where no pixel counts, loss and gradient are 0. The gradient
/// is also 0 where the loss is. With one channel there is one class, 1, with probability `σ(x)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::{PixelLoss, PixelTargets, TverskyLoss};
///
/// // One image of one row with two pixels and one channel: half of class 1 is missed, and half
/// // of the other pixel is found wrongly.
/// let logits = Tensor::new(&[[[[0f64], [0.]]]], &Device::Cpu)?;
/// let targets = PixelTargets::new(&Tensor::new(&[[[0u8, 1]]], &Device::Cpu)?)?;
/// let tversky = TverskyLoss {
///     alpha: 0.3,
///     beta: 0.7,
///     ..TverskyLoss::default()
/// };
/// let loss = tversky.loss(&logits, &targets)?.to_scalar::<f64>()?;
/// assert!((loss - 0.5).abs() < 1e-15);
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct TverskyLoss {
    /// `α`, of what is found wrongly; not negative, default 0.5.
    pub alpha: f64,
    /// `β`, of what is missed; not negative, default 0.5.
    pub beta: f64,
    /// The power of the mean over the classes, above 0; default 1. Abraham and Khan have 3/4.
    pub gamma: f64,
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

impl Default for TverskyLoss {
    fn default() -> Self {
        Self {
            alpha: 0.5,
            beta: 0.5,
            gamma: 1.,
            smooth: 0.,
            eps: 1e-7,
            log_loss: false,
            classes: None,
            class_weights: None,
        }
    }
}

impl PixelLoss for TverskyLoss {
    fn loss(&self, logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error> {
        apply(self, logits, targets)
    }
}

impl TverskyLoss {
    fn region(&self) -> Region<'_> {
        // Σpt + α (Σp − Σpt) + β (Σt − Σpt).
        Region {
            factor: 1.,
            overlap: 1. - self.alpha - self.beta,
            predicted: self.alpha,
            truth: self.beta,
            smooth: self.smooth,
            eps: self.eps,
            log_loss: self.log_loss,
            classes: self.classes.as_deref(),
            class_weights: self.class_weights.as_deref(),
            power: self.gamma,
        }
    }
}

impl ClosedForm for TverskyLoss {
    const NAME: &'static str = "Tversky loss";

    fn check(&self) -> Result<(), Error> {
        not_negative("alpha", self.alpha)?;
        not_negative("beta", self.beta)?;
        positive("gamma", self.gamma)?;
        self.region().check()
    }

    fn check_channels(&self, channels: usize) -> Result<(), Error> {
        self.region().check_channels(channels)
    }

    fn evaluate<T: Real>(&self, pixels: &Pixels<'_, T>) -> Evaluated<T> {
        self.region().evaluate(pixels)
    }
}
