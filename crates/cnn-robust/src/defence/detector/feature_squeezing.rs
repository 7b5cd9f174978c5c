//! Feature squeezing (W. Xu, D. Evans, Y. Qi, "Feature Squeezing: Detecting Adversarial Examples in
//! Deep Neural Networks", 2018, arXiv:1704.01155).

use super::InputDetector;
use crate::defence::{BitDepth, InputTransform, Median};
use crate::{AttackedModel, Error, Images};

/// How far the prediction moves when an image is squeezed: `max_s ‖p(x) − p(s(x))‖₁` over the
/// squeezers, with `p` the softmax, so between 0 and 2. An image that was not attacked keeps its
/// prediction.
///
/// An attacker who knows of it finds changes that squeezing leaves alone (W. He et al. 2017,
/// arXiv:1706.04701): what it finds of other attacks is no measure of robustness.
pub struct FeatureSqueezing {
    squeezers: Vec<Box<dyn InputTransform>>,
}

impl FeatureSqueezing {
    /// With these squeezers.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is none.
    pub fn new(squeezers: Vec<Box<dyn InputTransform>>) -> Result<Self, Error> {
        if squeezers.is_empty() {
            return Err(Error::argument("squeezers", 0, "at least 1"));
        }
        Ok(Self { squeezers })
    }

    /// The paper's for images of so many channels, but for its non-local means: one bit of grey
    /// images and five of others, and a median of 2×2.
    ///
    /// # Errors
    /// None with arguments that were accepted.
    pub fn of_channels(channels: usize) -> Result<Self, Error> {
        let bits = if channels == 1 { 1 } else { 5 };
        Self::new(vec![
            Box::new(BitDepth::new(bits)?),
            Box::new(Median::new(2)?),
        ])
    }
}

impl InputDetector for FeatureSqueezing {
    fn name(&self) -> &'static str {
        "squeeze"
    }

    fn scores(&self, model: &dyn AttackedModel, images: &Images) -> Result<Vec<f64>, Error> {
        let before = model.logits(images)?;
        let mut scores = vec![0f64; images.len()];
        for squeezer in &self.squeezers {
            let after = model.logits(&squeezer.apply(images)?)?;
            for (index, score) in scores.iter_mut().enumerate() {
                let pairs = before.probabilities(index).into_iter();
                let pairs = pairs.zip(after.probabilities(index));
                let moved: f64 = pairs.map(|(before, after)| (before - after).abs()).sum();
                *score = score.max(moved);
            }
        }
        Ok(scores)
    }
}
