//! Exchanging left and right.

use cnn_core::Rng;

use super::Transform;
use super::arguments::probability;
use crate::{Affine, Error, Image, Sample};

/// Mirrors image, boxes and mask left to right with a given probability.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomHorizontalFlip {
    p: f64,
}

impl RandomHorizontalFlip {
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

impl Transform for RandomHorizontalFlip {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        if !rng.bernoulli(self.p) {
            return Ok(sample);
        }
        mirrored(sample)
    }
}

/// The sample with left and right exchanged.
pub(super) fn mirrored(sample: Sample) -> Result<Sample, Error> {
    let width = sample.image.width() as f64;
    let mirror = Affine::scaling(-1.0, 1.0).then(&Affine::translation(width, 0.0));
    sample.transformed(&mirror, flip, flip)
}

fn flip(image: Image) -> Result<Image, Error> {
    let height = image.height();
    let width = image.width();
    let channels = image.channels();
    let mut bytes = image.into_bytes();
    for row in bytes.chunks_exact_mut(width * channels) {
        row.reverse();
        // Reversing the row also reversed each pixel's channels.
        row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
    }
    Image::from_pixels(height, width, channels, bytes)
}
