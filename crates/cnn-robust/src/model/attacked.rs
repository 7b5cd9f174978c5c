//! What an attack needs of a classifier.

use candle_core::DType;

use crate::{Error, Images, LogitLoss, Logits};

/// A classifier as an attack sees it: a function of images with values in 0..1, whatever it does to
/// them first.
///
/// [`PixelClassifier`](crate::PixelClassifier) is one for every network. One of one's own says what
/// is deployed ([`logits`](Self::logits)) and what an attacker who knows it differentiates
/// ([`gradient`](Self::gradient)); the two differ where a defence hides its gradient (Athalye et
/// al. 2018, arXiv:1802.00420).
pub trait AttackedModel {
    /// The number of classes.
    fn num_classes(&self) -> usize;

    /// The element type in which it computes. Default: f32.
    fn dtype(&self) -> DType {
        DType::F32
    }

    /// The class scores of images.
    ///
    /// # Errors
    /// If the images do not fit.
    fn logits(&self, images: &Images) -> Result<Logits, Error>;

    /// The class scores of images, a loss of each image, and the gradient of that loss by the
    /// image.
    ///
    /// # Errors
    /// If the images do not fit.
    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error>;
}

/// What [`AttackedModel::gradient`] gives.
#[derive(Clone, Debug)]
pub struct ImageGradient {
    /// The class scores.
    pub logits: Logits,
    /// The loss of each image.
    pub losses: Vec<f64>,
    /// The gradient of each image's loss by its values.
    pub images: Images,
}
