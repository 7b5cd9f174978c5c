//! Exchanging top and bottom.

use cnn_core::Rng;

use super::Transform;
use super::arguments::probability;
use crate::{Affine, Error, Image, Sample};

/// Mirrors image, boxes and mask top to bottom with a given probability.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomVerticalFlip {
    p: f64,
}

impl RandomVerticalFlip {
    /// Flips with probability `p`.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `p` is not in `0..=1`.
    pub fn new(p: f64) -> Result<Self, Error> {
        Ok(Self {
            p: probability("p", p)?,
        })
    }
}

impl Transform for RandomVerticalFlip {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        if !rng.bernoulli(self.p) {
            return Ok(sample);
        }
        let height = sample.image.height() as f64;
        let mirror = Affine::scaling(1.0, -1.0).then(&Affine::translation(0.0, height));
        sample.transformed(&mirror, flip, flip)
    }
}

fn flip(image: Image) -> Result<Image, Error> {
    let rows = image.bytes().chunks_exact(image.width() * image.channels());
    let bytes = rows.rev().flatten().copied().collect();
    Image::from_pixels(image.height(), image.width(), image.channels(), bytes)
}
