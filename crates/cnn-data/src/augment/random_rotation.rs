//! Turning by a random angle.

use cnn_core::Rng;

use super::Transform;
use super::arguments::within;
use super::warp::warp;
use crate::{Affine, Error, Sample};

/// Turns image, boxes and mask about the image's centre; the angle is uniform in
/// `−degrees..degrees`, and the size stays.
///
/// The image is sampled bilinearly, and the mask takes its nearest pixels. What comes in from
/// outside has the fill color, and in the mask [`Mask::IGNORE`](crate::Mask::IGNORE). A box becomes
/// the smallest upright box around its turned corners.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomRotation {
    degrees: f64,
    fill: [u8; 3],
}

impl RandomRotation {
    /// Turns by at most `degrees` either way, with black around.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `degrees` is not in `0..=180`.
    pub fn new(degrees: f64) -> Result<Self, Error> {
        Ok(Self {
            degrees: within("degrees", degrees, 0.0..=180.0)?,
            fill: [0; 3],
        })
    }

    /// The color outside the image as red, green and blue; grey images get its luma. Default black.
    pub fn with_fill(self, fill: [u8; 3]) -> Self {
        Self { fill, ..self }
    }
}

impl Transform for RandomRotation {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let degrees = rng.uniform_in(-self.degrees, self.degrees);
        rotate(sample, degrees, self.fill)
    }
}

/// Turns counter-clockwise, as torchvision's `rotate`.
fn rotate(sample: Sample, degrees: f64, fill: [u8; 3]) -> Result<Sample, Error> {
    let center = [
        sample.image.width() as f64 / 2.0,
        sample.image.height() as f64 / 2.0,
    ];
    warp(
        sample,
        &Affine::about(center, -degrees, [0.0; 2], 1.0, [0.0; 2]),
        fill,
    )
}
