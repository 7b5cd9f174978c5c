//! Changing colors as SSD does.

use cnn_core::Rng;

use super::arguments::probability;
use super::{Transform, color};
use crate::{Error, Image, Sample};

/// Changes brightness, contrast, saturation and hue, and exchanges channels, each with probability
/// `p` (Howard 2013 and Liu et al. 2016, "SSD"), by the order and the ranges of torchvision's
/// `RandomPhotometricDistort`. Boxes and mask stay as they are.
///
/// Brightness changes by a factor within 0.875 to 1.125, contrast and saturation within 0.5 to 1.5,
/// hue by up to 0.05 of the color wheel; contrast comes before saturation and hue or after them.
#[derive(Clone, Debug, PartialEq)]
pub struct PhotometricDistortion {
    p: f64,
}

impl PhotometricDistortion {
    /// Each change with probability `p`; torchvision has 0.5.
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

impl Transform for PhotometricDistortion {
    fn apply(&self, mut sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let mut drawn = |low: f64, high: f64| {
            let is_changed = rng.bernoulli(self.p);
            let value = rng.uniform_in(low, high);
            is_changed.then_some(value)
        };
        let brightness = drawn(0.875, 1.125);
        let contrast = drawn(0.5, 1.5);
        let saturation = drawn(0.5, 1.5);
        let hue = drawn(-0.05, 0.05);
        let is_contrast_first = rng.bernoulli(0.5);
        let order = rng.bernoulli(self.p).then(|| rng.permutation(3));
        let mut image = sample.image;
        if let Some(factor) = brightness {
            image = color::brightness(image, factor as f32)?;
        }
        if let Some(factor) = contrast.filter(|_| is_contrast_first) {
            image = color::contrast(image, factor as f32)?;
        }
        if let Some(factor) = saturation {
            image = color::saturation(image, factor as f32)?;
        }
        if let Some(shift) = hue {
            image = color::hue(image, shift)?;
        }
        if let Some(factor) = contrast.filter(|_| !is_contrast_first) {
            image = color::contrast(image, factor as f32)?;
        }
        if let Some(order) = order {
            image = exchanged(image, &order)?;
        }
        sample.image = image;
        Ok(sample)
    }
}

/// The channels of an image in another order; a grey image as it is.
fn exchanged(image: Image, order: &[usize]) -> Result<Image, Error> {
    let [height, width, channels] = [image.height(), image.width(), image.channels()];
    if channels != order.len() {
        return Ok(image);
    }
    let mut bytes = image.into_bytes();
    for pixel in bytes.as_chunks_mut::<3>().0 {
        let old = *pixel;
        for (to, &from) in pixel.iter_mut().zip(order) {
            *to = old[from];
        }
    }
    Image::from_pixels(height, width, channels, bytes)
}
