//! What tells images under attack from others.

use crate::{AttackedModel, Error, Images};

/// A score of each image: the higher, the more it looks as if it was attacked.
pub trait InputDetector {
    /// Its name, as in the command line.
    fn name(&self) -> &'static str;

    /// The score of each image that a model is to classify.
    ///
    /// # Errors
    /// What the model reports.
    fn scores(&self, model: &dyn AttackedModel, images: &Images) -> Result<Vec<f64>, Error>;
}
