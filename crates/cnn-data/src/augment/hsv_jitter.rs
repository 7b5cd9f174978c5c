//! Changing hue, saturation and value at random.

use cnn_core::Rng;

use super::arguments::within;
use super::{Transform, color};
use crate::{Error, Sample};

/// Adds to hue, saturation and value what is uniform in `[−x, x]` for each, and half of the time
/// nothing, as YOLOX does it. Boxes and mask stay as they are; grey images have a value alone.
#[derive(Clone, Debug, PartialEq)]
pub struct HsvJitter {
    most: [f64; 3],
}

impl HsvJitter {
    /// How much each may change: the hue in turns of the color wheel, the others in shares of their
    /// range. YOLOX has 5/180, 30/255 and 30/255.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `hue` is not in `0..=0.5`, or another not in `0..=1`.
    pub fn new(hue: f64, saturation: f64, value: f64) -> Result<Self, Error> {
        Ok(Self {
            most: [
                within("hue", hue, 0.0..=0.5)?,
                within("saturation", saturation, 0.0..=1.0)?,
                within("value", value, 0.0..=1.0)?,
            ],
        })
    }
}

impl Transform for HsvJitter {
    fn apply(&self, mut sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let shift = self.most.map(|most| {
            let is_changed = rng.bernoulli(0.5);
            let shift = 255.0 * rng.uniform_in(-most, most);
            if is_changed { shift as i16 } else { 0 }
        });
        if shift != [0; 3] {
            sample.image = color::shift_hsv(sample.image, shift)?;
        }
        Ok(sample)
    }
}
