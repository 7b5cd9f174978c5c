//! Turning, moving, scaling and shearing at random.

use cnn_core::Rng;

use super::Transform;
use super::arguments::{ordered, within};
use super::warp::warp;
use crate::{Affine, Error, Sample};

/// Applies a random affine map about the image's centre to image, boxes and mask, as torchvision's
/// `RandomAffine` does; the size stays.
///
/// Angle, translation, scale and shear are each uniform in their range: the angle within
/// `−degrees..degrees`, the translation, rounded to whole pixels, within a share of each side.
/// Pixels and boxes are treated as by [`RandomRotation`](crate::RandomRotation).
#[derive(Clone, Debug, PartialEq)]
pub struct RandomAffine {
    degrees: f64,
    translation: [f64; 2],
    scale: [f64; 2],
    shear: [f64; 2],
    fill: [u8; 3],
}

impl RandomAffine {
    /// Turns by at most `degrees` either way, without translation, scaling or shear; what comes in
    /// from outside is black.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `degrees` is not in `0..=180`.
    pub fn new(degrees: f64) -> Result<Self, Error> {
        let degrees = within("degrees", degrees, 0.0..=180.0)?;
        Ok(Self {
            degrees,
            translation: [0.0; 2],
            scale: [1.0; 2],
            shear: [0.0; 2],
            fill: [0; 3],
        })
    }

    /// The largest translations as shares of width and height. Default 0 and 0.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if one is not in `0..=1`.
    pub fn with_translation(self, horizontal: f64, vertical: f64) -> Result<Self, Error> {
        let horizontal = within("horizontal translation", horizontal, 0.0..=1.0)?;
        let vertical = within("vertical translation", vertical, 0.0..=1.0)?;
        Ok(Self {
            translation: [horizontal, vertical],
            ..self
        })
    }

    /// The smallest and the largest factor of size. Default 1 and 1.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if they are out of order or not in `0.001..=1000`.
    pub fn with_scale(self, low: f64, high: f64) -> Result<Self, Error> {
        Ok(Self {
            scale: ordered("scale", [low, high], 0.001..=1000.0)?,
            ..self
        })
    }

    /// The largest shear along the rows and along the columns, in degrees. Default 0 and 0.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if one is not in `0..=89`.
    pub fn with_shear(self, horizontal: f64, vertical: f64) -> Result<Self, Error> {
        let horizontal = within("horizontal shear", horizontal, 0.0..=89.0)?;
        let vertical = within("vertical shear", vertical, 0.0..=89.0)?;
        Ok(Self {
            shear: [horizontal, vertical],
            ..self
        })
    }

    /// The color outside the image as red, green and blue; grey images get its luma. Default black.
    pub fn with_fill(self, fill: [u8; 3]) -> Self {
        Self { fill, ..self }
    }

    fn draw(&self, height: usize, width: usize, rng: &mut Rng) -> Affine {
        let mut symmetric = |most: f64| rng.uniform_in(-most, most);
        let angle = symmetric(self.degrees);
        let sides = [width as f64, height as f64];
        let [x, y] =
            [0, 1].map(|axis| symmetric(self.translation[axis] * sides[axis]).round_ties_even());
        let shear = self.shear.map(symmetric);
        let scale = rng.uniform_in(self.scale[0], self.scale[1]);
        Affine::about(sides.map(|side| side / 2.0), angle, [x, y], scale, shear)
    }
}

impl Transform for RandomAffine {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let map = self.draw(sample.image.height(), sample.image.width(), rng);
        warp(sample, &map, self.fill)
    }
}
