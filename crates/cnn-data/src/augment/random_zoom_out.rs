//! Putting an image somewhere on a larger canvas.

use cnn_core::Rng;

use super::Transform;
use super::arguments::{ordered, probability};
use super::geometry::{crop, fill_color};
use crate::{Affine, Error, Limits, Mask, Sample};

/// Puts an image at a random place of a larger canvas, so that its objects become small ones (Liu et
/// al. 2016, "SSD: Single Shot MultiBox Detector", section 3.6), as torchvision's `RandomZoomOut`
/// does.
///
/// Both sides of the canvas are the image's times one factor, which is uniform. In the mask the
/// canvas is [`Mask::IGNORE`].
#[derive(Clone, Debug, PartialEq)]
pub struct RandomZoomOut {
    p: f64,
    factor: [f64; 2],
    fill: [u8; 3],
}

impl RandomZoomOut {
    /// With probability `p`; factors from 1 to 4, on black.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `p` is not in `0..=1`.
    pub fn new(p: f64) -> Result<Self, Error> {
        Ok(Self {
            p: probability("p", p)?,
            factor: [1.0, 4.0],
            fill: [0; 3],
        })
    }

    /// The smallest and the largest factor. Default 1 and 4.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if they are out of order or not in `1..=100`.
    pub fn with_factor(self, low: f64, high: f64) -> Result<Self, Error> {
        Ok(Self {
            factor: ordered("factor", [low, high], 1.0..=100.0)?,
            ..self
        })
    }

    /// The canvas' color as red, green and blue; grey images get its luma. Default black.
    #[must_use]
    pub fn with_fill(self, fill: [u8; 3]) -> Self {
        Self { fill, ..self }
    }
}

impl Transform for RandomZoomOut {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        if !rng.bernoulli(self.p) {
            return Ok(sample);
        }
        let factor = rng.uniform_in(self.factor[0], self.factor[1]);
        let sides = [sample.image.height(), sample.image.width()];
        let size = sides.map(|side| (side as f64 * factor) as usize);
        Limits::default().check(size[1] as u64, size[0] as u64)?;
        let mut place = |axis: usize| {
            let free = (size[axis] - sides[axis]) as f64;
            (free * rng.uniform()) as i64
        };
        let left = place(1);
        let top = place(0);
        let fill = fill_color(self.fill, sample.image.channels())?;
        sample.transformed(
            &Affine::translation(left as f64, top as f64),
            |image| crop(&image, [-top, -left], size, &fill),
            |mask| crop(&mask, [-top, -left], size, &[Mask::IGNORE]),
        )
    }
}
