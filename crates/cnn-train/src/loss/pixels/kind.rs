//! A loss of pixels by its name.

use std::fmt;
use std::str::FromStr;

use candle_core::Tensor;
use cnn_core::did_you_mean;

use super::closed_form::{ClosedForm, Evaluated, Pixels, apply};
use super::real::Real;
use super::{
    DiceLoss, FocalLoss, JaccardLoss, LovaszLoss, PixelCrossEntropy, PixelLoss, PixelTargets,
    TverskyLoss,
};
use crate::Error;
use crate::settings::{Choice, Setting};

/// A loss of pixels.
///
/// As text it is a name, or a name with settings by the names of the fields: `dice`,
/// `focal:gamma=3,alpha=0.25`, `cross-entropy:class_weights=1+2.5+4`, `dice:classes=1+2,log_loss`.
/// What is not set keeps its default. Names may be written with `_` for `-`.
///
/// ```
/// use cnn_train::{FocalLoss, PixelLossKind};
///
/// let loss: PixelLossKind = "focal:gamma=3".parse()?;
/// let focal = FocalLoss {
///     gamma: 3.,
///     ..FocalLoss::default()
/// };
/// assert_eq!(loss, PixelLossKind::Focal(focal));
/// assert_eq!(
///     loss.to_string(),
///     "focal:alpha=none,gamma=3,reduced_threshold=none,class_weights=none"
/// );
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub enum PixelLossKind {
    /// `cross-entropy`.
    CrossEntropy(PixelCrossEntropy),
    /// `focal`.
    Focal(FocalLoss),
    /// `dice`.
    Dice(DiceLoss),
    /// `jaccard`.
    Jaccard(JaccardLoss),
    /// `lovasz`.
    Lovasz(LovaszLoss),
    /// `tversky`.
    Tversky(TverskyLoss),
}

impl PixelLossKind {
    /// The names that [`named`](Self::named) and [`FromStr`] accept.
    pub const NAMES: [&str; 6] = [
        "cross-entropy",
        "focal",
        "dice",
        "jaccard",
        "lovasz",
        "tversky",
    ];

    /// The loss of this name with its defaults: one of [`NAMES`](Self::NAMES).
    ///
    /// # Errors
    /// If there is none; the nearest name is suggested.
    pub fn named(name: &str) -> Result<Self, Error> {
        match name.replace('_', "-").as_str() {
            "cross-entropy" => Ok(Self::CrossEntropy(PixelCrossEntropy::default())),
            "focal" => Ok(Self::Focal(FocalLoss::default())),
            "dice" => Ok(Self::Dice(DiceLoss::default())),
            "jaccard" => Ok(Self::Jaccard(JaccardLoss::default())),
            "lovasz" => Ok(Self::Lovasz(LovaszLoss::default())),
            "tversky" => Ok(Self::Tversky(TverskyLoss::default())),
            _ => {
                let expected = format!(
                    "one of {}{}",
                    Self::NAMES.join(", "),
                    did_you_mean(name, Self::NAMES)
                );
                Err(Error::argument("loss", format!("`{name}`"), expected))
            }
        }
    }
}

impl PixelLoss for PixelLossKind {
    fn loss(&self, logits: &Tensor, targets: &PixelTargets) -> Result<Tensor, Error> {
        apply(self, logits, targets)
    }
}

/// Does the same with whichever loss it is.
macro_rules! for_each_loss {
    ($kind:expr, $loss:ident => $body:expr) => {
        match $kind {
            PixelLossKind::CrossEntropy($loss) => $body,
            PixelLossKind::Focal($loss) => $body,
            PixelLossKind::Dice($loss) => $body,
            PixelLossKind::Jaccard($loss) => $body,
            PixelLossKind::Lovasz($loss) => $body,
            PixelLossKind::Tversky($loss) => $body,
        }
    };
}

impl ClosedForm for PixelLossKind {
    const NAME: &'static str = "loss of pixels";

    fn check(&self) -> Result<(), Error> {
        for_each_loss!(self, loss => ClosedForm::check(loss))
    }

    fn check_channels(&self, channels: usize) -> Result<(), Error> {
        for_each_loss!(self, loss => loss.check_channels(channels))
    }

    fn evaluate<T: Real>(&self, pixels: &Pixels<'_, T>) -> Evaluated<T> {
        for_each_loss!(self, loss => loss.evaluate(pixels))
    }
}

impl Choice for PixelLossKind {
    const WHAT: &'static str = "loss";

    fn with_defaults(name: &str) -> Result<Self, Error> {
        Self::named(name)
    }

    fn settings(&mut self) -> (&'static str, Vec<(&'static str, Setting<'_>)>) {
        use Setting::{Flag, Indices, Number, OptionalList, OptionalNumber};
        match self {
            Self::CrossEntropy(PixelCrossEntropy {
                label_smoothing,
                class_weights,
                count_ignored,
            }) => {
                let settings = vec![
                    ("label_smoothing", Number(label_smoothing)),
                    ("class_weights", OptionalList(class_weights)),
                    ("count_ignored", Flag(count_ignored)),
                ];
                ("cross-entropy", settings)
            }
            Self::Focal(FocalLoss {
                alpha,
                gamma,
                normalized,
                reduced_threshold,
                class_weights,
            }) => {
                let settings = vec![
                    ("alpha", OptionalNumber(alpha)),
                    ("gamma", Number(gamma)),
                    ("normalized", Flag(normalized)),
                    ("reduced_threshold", OptionalNumber(reduced_threshold)),
                    ("class_weights", OptionalList(class_weights)),
                ];
                ("focal", settings)
            }
            Self::Dice(DiceLoss {
                smooth,
                eps,
                log_loss,
                classes,
                class_weights,
            }) => {
                let settings = vec![
                    ("smooth", Number(smooth)),
                    ("eps", Number(eps)),
                    ("log_loss", Flag(log_loss)),
                    ("classes", Indices(classes)),
                    ("class_weights", OptionalList(class_weights)),
                ];
                ("dice", settings)
            }
            Self::Jaccard(JaccardLoss {
                smooth,
                eps,
                log_loss,
                classes,
                class_weights,
            }) => {
                let settings = vec![
                    ("smooth", Number(smooth)),
                    ("eps", Number(eps)),
                    ("log_loss", Flag(log_loss)),
                    ("classes", Indices(classes)),
                    ("class_weights", OptionalList(class_weights)),
                ];
                ("jaccard", settings)
            }
            Self::Lovasz(LovaszLoss { per_image }) => {
                ("lovasz", vec![("per_image", Flag(per_image))])
            }
            Self::Tversky(TverskyLoss {
                alpha,
                beta,
                gamma,
                smooth,
                eps,
                log_loss,
                classes,
                class_weights,
            }) => {
                let settings = vec![
                    ("alpha", Number(alpha)),
                    ("beta", Number(beta)),
                    ("gamma", Number(gamma)),
                    ("smooth", Number(smooth)),
                    ("eps", Number(eps)),
                    ("log_loss", Flag(log_loss)),
                    ("classes", Indices(classes)),
                    ("class_weights", OptionalList(class_weights)),
                ];
                ("tversky", settings)
            }
        }
    }

    fn check(&self) -> Result<(), Error> {
        ClosedForm::check(self)
    }
}

impl fmt::Display for PixelLossKind {
    /// Name and all settings.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write(f)
    }
}

impl FromStr for PixelLossKind {
    type Err = Error;

    /// Reads a name, or a name with settings.
    ///
    /// # Errors
    /// Names the part that is not understood, or the first number that is out of its range, and
    /// what would be accepted.
    fn from_str(text: &str) -> Result<Self, Error> {
        Self::read(text)
    }
}
