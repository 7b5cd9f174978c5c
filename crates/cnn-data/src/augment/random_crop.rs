//! Cutting out a part of fixed size at a random place.

use cnn_core::{MAX_IMAGE_SIDE, Rng};

use super::Transform;
use super::arguments::size;
use super::geometry::{crop, fill_color};
use crate::{Affine, Error, Mask, Sample};

/// Pads image, boxes and mask on all sides and cuts out a window, as torchvision's `RandomCrop`
/// does; each place is equally likely.
///
/// If a side is too short even with its padding, what is missing is added at both of its ends, as
/// with torchvision's `pad_if_needed`. In the mask the padding is [`Mask::IGNORE`].
#[derive(Clone, Debug, PartialEq)]
pub struct RandomCrop {
    size: [usize; 2],
    padding: usize,
    fill: [u8; 3],
}

impl RandomCrop {
    /// Cuts out `height` rows and `width` columns, without padding.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a side is zero, [`Error::TooLarge`] beyond the default
    /// [`Limits`](crate::Limits).
    pub fn new(height: usize, width: usize) -> Result<Self, Error> {
        Ok(Self {
            size: size(height, width)?,
            padding: 0,
            fill: [0; 3],
        })
    }

    /// How many pixels are added at each side of the image before the cut. Default 0.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `padding` is above 65,535.
    pub fn with_padding(self, padding: usize) -> Result<Self, Error> {
        if padding > MAX_IMAGE_SIDE {
            return Err(Error::argument(
                "padding",
                padding,
                format!("at most {MAX_IMAGE_SIDE}"),
            ));
        }
        Ok(Self { padding, ..self })
    }

    /// The padding's color as red, green and blue; grey images get its luma. Default black.
    pub fn with_fill(self, fill: [u8; 3]) -> Self {
        Self { fill, ..self }
    }

    /// The window's first pixel along one axis, counted from the image's first pixel.
    fn start(&self, image: usize, window: usize, rng: &mut Rng) -> i64 {
        let padded = image + 2 * self.padding;
        let missing = window.saturating_sub(padded);
        let places = padded + 2 * missing - window + 1;
        rng.below(places as u64) as i64 - (self.padding + missing) as i64
    }
}

impl Transform for RandomCrop {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let [height, width] = self.size;
        let top = self.start(sample.image.height(), height, rng);
        let left = self.start(sample.image.width(), width, rng);
        let fill = fill_color(self.fill, sample.image.channels())?;
        sample.transformed(
            &Affine::translation(-left as f64, -top as f64),
            |image| crop(&image, [top, left], self.size, &fill),
            |mask| crop(&mask, [top, left], self.size, &[Mask::IGNORE]),
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::collections::HashSet;

    use super::*;
    use cnn_core::Key;

    // Image, window, padding; the first and the last place.
    #[test]
    fn every_place_is_reached() {
        let cases = [
            (5, 5, 0, 0, 0),
            (7, 5, 0, 0, 2),
            (5, 5, 2, -2, 2),
            (3, 7, 1, -3, -1),
            (1, 4, 0, -3, 0),
            (9, 1, 0, 0, 8),
        ];
        for (image, window, padding, first, last) in cases {
            let crop = RandomCrop::new(1, window)
                .unwrap()
                .with_padding(padding)
                .unwrap();
            let mut rng = Key::new(0).rng();
            let seen: HashSet<i64> = (0..400)
                .map(|_| crop.start(image, window, &mut rng))
                .collect();
            assert_eq!(seen, (first..=last).collect(), "{image} {window} {padding}");
        }
    }
}
