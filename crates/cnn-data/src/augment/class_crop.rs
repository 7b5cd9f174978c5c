//! Cutting out parts that hold the rare classes of masks.

use cnn_core::{Interpolation, Rng};

use super::Transform;
use super::arguments::{ordered, probability, size};
use super::geometry::{crop, fill_color};
use super::resize::resize_sample;
use crate::{Affine, Error, Mask, Sample};

/// Cuts out a part at a random scale and place, which with some probability holds a pixel of a class
/// that was drawn, rare ones more often than frequent ones.
///
/// The image is enlarged by a factor that is uniform in `scale`, and a window of the wanted size is
/// cut out; in code it is cut first and resized then. With the probability `p` a class is drawn
/// among those of the image's mask, with weights inverse to their shares in the dataset, and a pixel
/// of it; each place of the window that holds the pixel is equally likely. Otherwise, and without a
/// mask, each place inside the image is. Where the image is smaller than the window, the rest is
/// `fill`, and [`Mask::IGNORE`] in the mask. Boxes are cut, and go by the rule of
/// [`BoundingBox::placed`](crate::BoundingBox::placed).
///
/// ```
/// use cnn_core::Key;
/// use cnn_data::{ClassCrop, Image, Mask, Sample, Transform};
///
/// // One pixel of class 1 among 10,000 of class 0.
/// let mut bytes = vec![0; 100 * 100];
/// bytes[70 * 100 + 20] = 1;
/// let sample = Sample::new(Image::from_pixels(100, 100, 1, vec![9; 10_000])?, None)
///     .with_mask(Mask::new(100, 100, bytes)?)?;
/// let crop = ClassCrop::new(16, 24, &[0.9999, 0.0001])?
///     .with_scale(1.0, 1.0)?
///     .with_probability(1.0)?;
/// let mask = crop.apply(sample, &mut Key::new(0).rng())?.mask.expect("it had one");
/// assert_eq!((mask.height(), mask.width()), (16, 24));
/// assert!(mask.bytes().contains(&1));
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ClassCrop {
    size: [usize; 2],
    scale: [f64; 2],
    p: f64,
    weights: Vec<f64>,
    fill: [u8; 3],
}

/// A share that is smaller, or 0 because the class was not seen, counts as this.
const LEAST_SHARE: f64 = 1e-6;

impl ClassCrop {
    /// Makes images of `height` and `width` at half to twice their scale, half of them with a class
    /// that was drawn; `shares` are those of the classes among all pixels, as a
    /// [`survey`](crate::survey()) counts them.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a side is zero, or a share is no number from 0 to 1,
    /// [`Error::TooLarge`] beyond the default [`Limits`](crate::Limits).
    pub fn new(height: usize, width: usize, shares: &[f64]) -> Result<Self, Error> {
        if let Some(share) = shares.iter().find(|share| !(0.0..=1.0).contains(*share)) {
            return Err(Error::argument("shares", share, "numbers from 0 to 1"));
        }
        Ok(Self {
            size: size(height, width)?,
            scale: [0.5, 2.0],
            p: 0.5,
            weights: shares
                .iter()
                .map(|share| 1.0 / share.max(LEAST_SHARE))
                .collect(),
            fill: [0; 3],
        })
    }

    /// Smallest and largest factor that images are enlarged by. Default 0.5 and 2.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if they are out of order or not in `0.01..=100`.
    pub fn with_scale(self, low: f64, high: f64) -> Result<Self, Error> {
        Ok(Self {
            scale: ordered("scale", [low, high], 0.01..=100.0)?,
            ..self
        })
    }

    /// How often a class is drawn. Default 0.5.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is not in `0..=1`.
    pub fn with_probability(self, p: f64) -> Result<Self, Error> {
        Ok(Self {
            p: probability("p", p)?,
            ..self
        })
    }

    /// The color outside the image as red, green and blue; grey images get its luma. Default black.
    pub fn with_fill(self, fill: [u8; 3]) -> Self {
        Self { fill, ..self }
    }

    /// The row and the column of a pixel of a class that is drawn.
    fn draw_pixel(&self, mask: &Mask, rng: &mut Rng) -> Option<[usize; 2]> {
        let mut counts = vec![0_u64; self.weights.len()];
        for &value in mask.bytes() {
            if let Some(count) = counts.get_mut(usize::from(value)) {
                *count += 1;
            }
        }
        let weight = |class: usize| {
            if counts[class] > 0 {
                self.weights[class]
            } else {
                0.0
            }
        };
        let sum: f64 = (0..counts.len()).map(weight).sum();
        let mut left = rng.uniform() * sum;
        let mut present = (0..counts.len()).filter(|&class| counts[class] > 0);
        let last = present.clone().next_back()?;
        let drawn = present.find(|&class| {
            left -= self.weights[class];
            left < 0.0
        });
        let class = drawn.unwrap_or(last);
        let number = rng.below(counts[class]) as usize;
        let of_class = mask.bytes().iter().enumerate();
        let mut of_class = of_class.filter(|&(_, value)| usize::from(*value) == class);
        let (at, _) = of_class.nth(number)?;
        Some([at / mask.width(), at % mask.width()])
    }
}

/// The first pixel of a window along one axis: anywhere inside the image, or around it where the
/// window is larger, and so that it holds `pixel`.
fn start(image: usize, window: usize, pixel: Option<usize>, rng: &mut Rng) -> i64 {
    let slack = image as i64 - window as i64;
    let mut first = slack.min(0);
    let mut last = slack.max(0);
    if let Some(pixel) = pixel {
        first = first.max(pixel as i64 + 1 - window as i64);
        last = last.min(pixel as i64);
    }
    first + rng.below((last - first + 1) as u64) as i64
}

impl Transform for ClassCrop {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let scale = rng.uniform_in(self.scale[0], self.scale[1]);
        let window = self
            .size
            .map(|side| ((side as f64 / scale).round() as usize).max(1));
        let window = size(window[0], window[1])?;
        let is_drawn = rng.bernoulli(self.p);
        let mask = sample.mask.as_ref().filter(|_| is_drawn);
        let pixel = mask.and_then(|mask| self.draw_pixel(mask, rng));
        let sides = [sample.image.height(), sample.image.width()];
        let [top, left] =
            [0, 1].map(|axis| start(sides[axis], window[axis], pixel.map(|at| at[axis]), rng));
        let fill = fill_color(self.fill, sample.image.channels())?;
        let cropped = sample.transformed(
            &Affine::translation(-left as f64, -top as f64),
            |image| crop(&image, [top, left], window, &fill),
            |mask| crop(&mask, [top, left], window, &[Mask::IGNORE]),
        )?;
        resize_sample(cropped, self.size, Interpolation::Bilinear)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::Image;
    use cnn_core::Key;

    /// 60 rows and 40 columns of class 0, with 10 pixels of class 1, 1 of class 2 and 1 unknown.
    fn sample() -> Sample {
        let mut bytes = vec![0; 60 * 40];
        bytes[100..110].fill(1);
        bytes[59 * 40 + 39] = 2;
        bytes[7] = Mask::IGNORE;
        let image = Image::from_pixels(60, 40, 1, vec![3; 60 * 40]).unwrap();
        let mask = Mask::new(60, 40, bytes).unwrap();
        Sample::new(image, None).with_mask(mask).unwrap()
    }

    #[test]
    fn windows_hold_the_drawn_pixel_and_lie_inside_if_they_can() {
        let mut rng = Key::new(0).rng();
        for (image, window, pixel, first, last) in [
            (10, 4, None, 0, 6),
            (10, 4, Some(0), 0, 0),
            (10, 4, Some(5), 2, 5),
            (10, 4, Some(9), 6, 6),
            (3, 5, None, -2, 0),
            (3, 5, Some(2), -2, 0),
            (1, 1, Some(0), 0, 0),
        ] {
            let starts: Vec<i64> = (0..300)
                .map(|_| start(image, window, pixel, &mut rng))
                .collect();
            let found = (starts.iter().min().copied(), starts.iter().max().copied());
            assert_eq!(
                found,
                (Some(first), Some(last)),
                "{image} {window} {pixel:?}"
            );
        }
    }

    // Weights 1, 10 and 100 for classes that all are in the mask.
    #[test]
    fn classes_are_drawn_inversely_to_their_shares() {
        let crop = ClassCrop::new(8, 8, &[1.0, 0.1, 0.01]).unwrap();
        let mask = sample().mask.unwrap();
        let mut rng = Key::new(5).rng();
        let mut counts = [0; 3];
        for _ in 0..11_100 {
            let [row, column] = crop.draw_pixel(&mask, &mut rng).unwrap();
            counts[usize::from(mask.bytes()[row * 40 + column])] += 1;
        }
        // Standard deviations 10, 30 and 32.
        for (found, expected, slack) in [
            (counts[0], 100, 40),
            (counts[1], 1000, 120),
            (counts[2], 10_000, 130),
        ] {
            assert!(i32::abs(found - expected) < slack, "{counts:?}");
        }
    }

    #[test]
    fn without_a_mask_or_without_luck_any_place_is_taken() {
        let crop = ClassCrop::new(9, 7, &[0.5, 0.5]).unwrap();
        let plain = Sample {
            mask: None,
            ..sample()
        };
        let cropped = crop.apply(plain, &mut Key::new(1).rng()).unwrap();
        assert_eq!((cropped.image.height(), cropped.image.width()), (9, 7));
        let never = crop.with_probability(0.0).unwrap();
        let cropped = never.apply(sample(), &mut Key::new(1).rng()).unwrap();
        assert_eq!(cropped.mask.unwrap().bytes().len(), 63);
        assert!(ClassCrop::new(8, 8, &[0.5, f64::NAN]).is_err());
    }
}
