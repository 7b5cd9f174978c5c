//! What a method found.

use candle_core::Tensor;

use super::target::Score;
use super::{Method, Target};
use crate::Error;
use crate::picture::Heatmap;

/// The maps of a batch of images by one method.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The method.
    pub method: Method,
    /// What was explained in each image.
    pub scores: Vec<Score>,
    /// One map per image, of the input's size.
    ///
    /// A class activation map lies in 0..1 (each image's is stretched). Of methods with signs it is
    /// the attribution's sum over the channels, which adds up to the score's difference where the
    /// method is complete; of the others the sum of magnitudes.
    pub maps: Vec<Heatmap>,
    /// The value of each channel of each pixel, `(N, C, H, W)`; `None` for class activation maps.
    pub attribution: Option<Tensor>,
    /// Of Integrated Gradients, for each image: how far the sum of the attribution is from the
    /// difference between the scores of the image and of a grey one, as a share of that difference.
    pub completeness_gaps: Option<Vec<f64>>,
}

impl Explanation {
    /// The maps as one tensor `(N, H, W)`.
    ///
    /// # Errors
    /// If the tensor cannot be made.
    pub fn to_tensor(&self) -> Result<Tensor, Error> {
        let size = self
            .maps
            .first()
            .map_or([0, 0], |map| [map.height(), map.width()]);
        let values: Vec<f32> = self
            .maps
            .iter()
            .flat_map(|map| map.values().iter().copied())
            .collect();
        Ok(Tensor::from_vec(
            values,
            (self.maps.len(), size[0], size[1]),
            &candle_core::Device::Cpu,
        )?)
    }

    /// The target of an image with its class filled in, to explain another network for the same.
    pub fn target(&self, image: usize) -> Option<Target> {
        self.scores.get(image).map(Score::as_target)
    }
}
