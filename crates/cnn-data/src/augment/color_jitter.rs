//! Changing colors at random.

use cnn_core::Rng;

use super::arguments::within;
use super::{Transform, color};
use crate::{Error, Sample};

/// Changes brightness, contrast, saturation and hue by random factors in random order:
/// torchvision's `ColorJitter` with Pillow's arithmetic. Boxes and mask stay as they are.
///
/// Each factor is uniform in `[max(0, 1 − x), 1 + x]`, and the turn of the color wheel is uniform
/// in `[−hue, hue]`. Saturation and hue leave grey images as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct ColorJitter {
    brightness: f64,
    contrast: f64,
    saturation: f64,
    hue: f64,
}

impl ColorJitter {
    /// How much each of the four may change; 0 leaves it as it is.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `brightness`, `contrast` or `saturation` is not in `0..=100`
    /// or `hue` not in `0..=0.5`.
    pub fn new(brightness: f64, contrast: f64, saturation: f64, hue: f64) -> Result<Self, Error> {
        Ok(Self {
            brightness: within("brightness", brightness, 0.0..=100.0)?,
            contrast: within("contrast", contrast, 0.0..=100.0)?,
            saturation: within("saturation", saturation, 0.0..=100.0)?,
            hue: within("hue", hue, 0.0..=0.5)?,
        })
    }
}

impl Transform for ColorJitter {
    fn apply(&self, mut sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let order = rng.permutation(4);
        let mut factor = |most: f64| rng.uniform_in((1.0 - most).max(0.0), 1.0 + most) as f32;
        let [brightness, contrast, saturation] =
            [self.brightness, self.contrast, self.saturation].map(&mut factor);
        let hue = rng.uniform_in(-self.hue, self.hue);
        for step in order {
            sample.image = match step {
                0 if self.brightness > 0.0 => color::brightness(sample.image, brightness)?,
                1 if self.contrast > 0.0 => color::contrast(sample.image, contrast)?,
                2 if self.saturation > 0.0 => color::saturation(sample.image, saturation)?,
                3 if self.hue > 0.0 => color::hue(sample.image, hue)?,
                _ => sample.image,
            };
        }
        Ok(sample)
    }
}
