//! Classifiers as attacks see them: functions of images with values in 0..1.

mod attacked;
mod counted;
mod logit_loss;
mod logits;
mod normalization;
mod pixel_classifier;

pub use attacked::{AttackedModel, ImageGradient};
pub use counted::{Counted, Queries};
pub use logit_loss::LogitLoss;
pub use logits::Logits;
pub(crate) use logits::highest;
pub use normalization::Normalization;
pub(crate) use normalization::unnormalized;
pub use pixel_classifier::PixelClassifier;
