//! Two images over each other, with the objects of both.

use std::fmt;
use std::sync::Arc;

use cnn_core::{Interpolation, Rng};

use super::Transform;
use super::arguments::{ordered, probability};
use super::geometry::{crop, fill_color};
use super::partner::partner;
use super::random_horizontal_flip::mirrored;
use super::resize::resize_sample;
use crate::transform::fitted;
use crate::{Affine, Dataset, Error, Image, Mask, Sample};

/// Blends an image with another one of a dataset, half and half, and takes the objects of both, as
/// YOLOX does it (after Zhang et al. 2017, "mixup", and 2019, "Bag of Freebies for Training Object
/// Detection").
///
/// The other image has an object. It is fitted into the first one's size, scaled by a factor within
/// `scale`, half of the time mirrored, and cut or filled up with black to that size. An image
/// without objects is left alone. Label and mask stay the first image's.
#[derive(Clone)]
pub struct ObjectMixup {
    dataset: Arc<dyn Dataset>,
    p: f64,
    scale: [f64; 2],
    fill: [u8; 3],
}

impl ObjectMixup {
    /// With images of `dataset`. Default always, scaled by 0.5 to 1.5, beside a grey of 114.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the dataset is empty.
    pub fn new(dataset: Arc<dyn Dataset>) -> Result<Self, Error> {
        if dataset.is_empty() {
            return Err(Error::argument("dataset", "no image", "at least one"));
        }
        Ok(Self {
            dataset,
            p: 1.0,
            scale: [0.5, 1.5],
            fill: [114; 3],
        })
    }

    /// The probability that an image is blended with another. Default 1.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `p` is not in `0..=1`.
    pub fn with_prob(self, p: f64) -> Result<Self, Error> {
        Ok(Self {
            p: probability("prob", p)?,
            ..self
        })
    }

    /// The smallest and the largest factor of the other image's size. Default 0.5 and 1.5.
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

    /// What is laid over an image of this size.
    fn overlay(
        &self,
        other: Sample,
        [height, width]: [usize; 2],
        rng: &mut Rng,
    ) -> Result<Sample, Error> {
        let fill = fill_color(self.fill, other.image.channels())?;
        let fitted = fitted([other.image.height(), other.image.width()], [height, width]);
        let other = resize_sample(other, fitted, Interpolation::Bilinear)?;
        let other = cut(other, [0, 0], [height, width], &fill)?;
        let factor = rng.uniform_in(self.scale[0], self.scale[1]);
        let scaled = [height, width].map(|side| ((side as f64 * factor) as usize).max(1));
        let other = resize_sample(other, scaled, Interpolation::Bilinear)?;
        let is_mirrored = rng.bernoulli(0.5);
        let other = if is_mirrored { mirrored(other)? } else { other };
        let mut start = |scaled: usize, side: usize| {
            let surplus = scaled.saturating_sub(side) as u64;
            rng.below(surplus + 1) as i64
        };
        let corner = [start(scaled[0], height), start(scaled[1], width)];
        let black = vec![0; other.image.channels()];
        cut(other, corner, [height, width], &black)
    }
}

impl Transform for ObjectMixup {
    fn apply(&self, mut sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        if sample.boxes.is_empty() || !rng.bernoulli(self.p) {
            return Ok(sample);
        }
        let has_object = |sample: &Sample| !sample.boxes.is_empty();
        let Some(other) = partner(self.dataset.as_ref(), rng, has_object) else {
            return Ok(sample);
        };
        let [height, width] = [sample.image.height(), sample.image.width()];
        let channels = sample.image.channels();
        let overlay = self.overlay(other, [height, width], rng)?;
        let other = overlay.image.with_channels(channels)?;
        let mut bytes = sample.image.into_bytes();
        for (byte, &other) in bytes.iter_mut().zip(other.bytes()) {
            *byte = ((u16::from(*byte) + u16::from(other)) / 2) as u8;
        }
        sample.image = Image::from_pixels(height, width, channels, bytes)?;
        sample.boxes.extend(overlay.boxes);
        sample.ignored.extend(overlay.ignored);
        Ok(sample)
    }
}

/// The part of a sample that begins at a corner, filled up where there is none.
fn cut(
    sample: Sample,
    [top, left]: [i64; 2],
    size: [usize; 2],
    fill: &[u8],
) -> Result<Sample, Error> {
    sample.transformed(
        &Affine::translation(-left as f64, -top as f64),
        |image| crop(&image, [top, left], size, fill),
        |mask| crop(&mask, [top, left], size, &[Mask::IGNORE]),
    )
}

impl fmt::Debug for ObjectMixup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectMixup")
            .field("images", &self.dataset.len())
            .field("p", &self.p)
            .field("scale", &self.scale)
            .field("fill", &self.fill)
            .finish()
    }
}
