//! Overwriting a random rectangle.

use cnn_core::Rng;

use super::Transform;
use super::arguments::{ordered, probability};
use super::geometry::fill_color;
use crate::{Error, Image, Sample};

/// What an erased rectangle is filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EraseFill {
    /// One color as red, green and blue; grey images get its luma.
    Color([u8; 3]),
    /// A random byte for each channel of each pixel; all bytes are equally likely.
    Noise,
}

/// Overwrites a random rectangle of the image with a given probability (Z. Zhong et al., "Random
/// Erasing Data Augmentation", 2017), by the algorithm of torchvision's `RandomErasing`. Boxes and
/// mask stay as they are.
///
/// The rectangle's share of the image's area is uniform in `scale`, the logarithm of its aspect
/// ratio (height over width) is uniform between the logarithms of `ratio`, and its place is
/// uniform. If no rectangle in ten draws is smaller than the image, nothing is erased.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomErasing {
    p: f64,
    scale: [f64; 2],
    ratio: [f64; 2],
    fill: EraseFill,
}

impl RandomErasing {
    /// Erases with probability `p`; scale 0.02 to 0.33, ratio 0.3 to 3.3, black.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `p` is not in `0..=1`.
    pub fn new(p: f64) -> Result<Self, Error> {
        let p = probability("p", p)?;
        Ok(Self {
            p,
            scale: [0.02, 0.33],
            ratio: [0.3, 3.3],
            fill: EraseFill::Color([0; 3]),
        })
    }

    /// Smallest and largest share of the image's area. Default 0.02 and 0.33.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if they are out of order or not in `0..=1`.
    pub fn with_scale(self, low: f64, high: f64) -> Result<Self, Error> {
        Ok(Self {
            scale: ordered("scale", [low, high], 0.0..=1.0)?,
            ..self
        })
    }

    /// Smallest and largest aspect ratio, height over width. Default 0.3 and 3.3.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if they are out of order or not in `0.001..=1000`.
    pub fn with_ratio(self, low: f64, high: f64) -> Result<Self, Error> {
        Ok(Self {
            ratio: ordered("ratio", [low, high], 0.001..=1000.0)?,
            ..self
        })
    }

    /// What the rectangle is filled with. Default black.
    pub fn with_fill(self, fill: EraseFill) -> Self {
        Self { fill, ..self }
    }

    fn draw(&self, height: usize, width: usize, rng: &mut Rng) -> Option<Rectangle> {
        let area = height as f64 * width as f64;
        let [low, high] = self.ratio.map(libm::log);
        for _ in 0..10 {
            let target = area * rng.uniform_in(self.scale[0], self.scale[1]);
            let ratio = libm::exp(rng.uniform_in(low, high));
            let rows = (target * ratio).sqrt().round_ties_even() as usize;
            let columns = (target / ratio).sqrt().round_ties_even() as usize;
            if rows < height && columns < width {
                let top = rng.below((height - rows + 1) as u64) as usize;
                let left = rng.below((width - columns + 1) as u64) as usize;
                return Some(Rectangle {
                    top,
                    left,
                    height: rows,
                    width: columns,
                });
            }
        }
        None
    }

    fn erase(&self, image: Image, rectangle: Rectangle, rng: &mut Rng) -> Result<Image, Error> {
        let height = image.height();
        let width = image.width();
        let channels = image.channels();
        let mut bytes = image.into_bytes();
        let rows = bytes
            .chunks_exact_mut(width * channels)
            .skip(rectangle.top)
            .take(rectangle.height);
        let parts =
            rows.map(|row| &mut row[rectangle.left * channels..][..rectangle.width * channels]);
        match self.fill {
            EraseFill::Color(rgb) => {
                let color = fill_color(rgb, channels)?;
                parts.for_each(|part| {
                    part.chunks_exact_mut(channels)
                        .for_each(|pixel| pixel.copy_from_slice(&color))
                });
            }
            EraseFill::Noise => {
                parts.for_each(|part| part.fill_with(|| (rng.next_u32() >> 24) as u8))
            }
        }
        Image::from_pixels(height, width, channels, bytes)
    }
}

impl Transform for RandomErasing {
    fn apply(&self, mut sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        if !rng.bernoulli(self.p) {
            return Ok(sample);
        }
        if let Some(rectangle) = self.draw(sample.image.height(), sample.image.width(), rng) {
            sample.image = self.erase(sample.image, rectangle, rng)?;
        }
        Ok(sample)
    }
}

#[derive(Clone, Copy, Debug)]
struct Rectangle {
    top: usize,
    left: usize,
    height: usize,
    width: usize,
}
