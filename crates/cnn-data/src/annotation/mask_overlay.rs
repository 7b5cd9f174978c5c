//! A mask drawn over its photo.

use super::{Mask, MaskPalette};
use crate::{Error, Image};

/// How a mask is drawn over a photo: classes in half-transparent colors with opaque borders, and
/// pixels whose class is unknown hatched in grey.
///
/// ```
/// use cnn_data::{Image, Mask, MaskOverlay, MaskPalette};
///
/// let photo = Image::from_pixels(1, 4, 1, vec![100; 4])?;
/// let mask = Mask::new(1, 4, vec![0, 0, 1, 1])?;
/// let overlay = MaskOverlay::new()
///     .with_palette(MaskPalette::voc())
///     .with_opacity(0.5)?
///     .with_clear(0);
/// let drawn = overlay.draw(&photo, &mask)?;
/// // Class 0 is not drawn; where class 1 begins, its color is opaque.
/// assert_eq!(drawn.bytes()[..3], [100; 3]);
/// assert_eq!(drawn.bytes()[6..], [128, 0, 0, 114, 50, 50]);
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MaskOverlay {
    palette: MaskPalette,
    opacity: f64,
    clear: Option<u8>,
}

/// The lines of a hatching are as wide as this, and repeat after [`PERIOD`].
const LINE: usize = 2;
const PERIOD: usize = 8;
const GREY: [u8; 3] = [128; 3];

impl MaskOverlay {
    /// Half-transparent colors of [`MaskPalette::distinct`] for all classes.
    pub fn new() -> Self {
        Self {
            palette: MaskPalette::distinct(),
            opacity: 0.5,
            clear: None,
        }
    }

    /// The same with the first class left as in the photo where its name is `background`.
    #[must_use]
    pub fn for_classes(self, names: &[String]) -> Self {
        match names.first() {
            Some(first) if first.eq_ignore_ascii_case("background") => self.with_clear(0),
            _ => self,
        }
    }

    /// The classes' colors. Default [`MaskPalette::distinct`].
    #[must_use]
    pub fn with_palette(self, palette: MaskPalette) -> Self {
        Self { palette, ..self }
    }

    /// How much of a class's color is seen, from 0 to 1. Default 0.5.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] outside of that range.
    pub fn with_opacity(self, opacity: f64) -> Result<Self, Error> {
        if !(0.0..=1.0).contains(&opacity) {
            return Err(Error::argument("opacity", opacity, "a number from 0 to 1"));
        }
        Ok(Self { opacity, ..self })
    }

    /// A class that is left as in the photo, as the background often is. Default none.
    #[must_use]
    pub fn with_clear(self, class: u8) -> Self {
        Self {
            clear: Some(class),
            ..self
        }
    }

    /// The photo with the mask over it, in RGB.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the mask is not of the photo's size.
    pub fn draw(&self, photo: &Image, mask: &Mask) -> Result<Image, Error> {
        let height = photo.height();
        let width = photo.width();
        if [mask.height(), mask.width()] != [height, width] {
            return Err(Error::argument(
                "mask",
                format!("{}x{}", mask.height(), mask.width()),
                format!("the photo's size, {height}x{width}"),
            ));
        }
        let mut bytes = photo.to_rgb().into_bytes();
        for (at, (pixel, &value)) in bytes.chunks_exact_mut(3).zip(mask.bytes()).enumerate() {
            let place = Place {
                x: at % width,
                y: at / width,
            };
            if let Some((color, opacity)) = self.ink(mask, place, value) {
                for (byte, ink) in pixel.iter_mut().zip(color) {
                    *byte = blend(*byte, ink, opacity);
                }
            }
        }
        Image::from_pixels(height, width, 3, bytes)
    }

    /// What is drawn at a pixel, and how much of it is seen.
    fn ink(&self, mask: &Mask, place: Place, value: u8) -> Option<([u8; 3], f64)> {
        if value == Mask::IGNORE {
            let is_line = (place.x + place.y) % PERIOD < LINE;
            return is_line.then_some((GREY, 1.0));
        }
        if self.clear == Some(value) {
            return None;
        }
        let opacity = if is_border(mask, place, value) {
            1.0
        } else {
            self.opacity
        };
        Some((self.palette.color(value), opacity))
    }
}

impl Default for MaskOverlay {
    fn default() -> Self {
        Self::new()
    }
}

#[derive(Clone, Copy)]
struct Place {
    x: usize,
    y: usize,
}

/// Whether one of the four neighbours inside the mask has another value.
fn is_border(mask: &Mask, Place { x, y }: Place, value: u8) -> bool {
    let differs = |x: usize, y: usize| {
        x < mask.width() && y < mask.height() && mask.bytes()[y * mask.width() + x] != value
    };
    differs(x.wrapping_sub(1), y)
        || differs(x.wrapping_add(1), y)
        || differs(x, y.wrapping_sub(1))
        || differs(x, y.wrapping_add(1))
}

fn blend(under: u8, over: u8, opacity: f64) -> u8 {
    let under = f64::from(under);
    (under + opacity * (f64::from(over) - under)).round_ties_even() as u8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn borders_are_opaque_and_unknown_pixels_hatched() {
        let photo = Image::from_pixels(3, 9, 1, vec![100; 27]).unwrap();
        let row = [1, 1, 1, 2, 2, 2, 255, 255, 255];
        let mask = Mask::new(3, 9, row.repeat(3)).unwrap();
        let palette = MaskPalette::distinct().with_colors(&[[0; 3], [200, 0, 0], [0, 0, 200]]);
        let drawn = MaskOverlay::new().with_palette(palette).draw(&photo, &mask);
        let drawn = drawn.unwrap();
        let found: Vec<&[u8]> = drawn.bytes()[..27].chunks_exact(3).collect();
        let photo = [100; 3];
        assert_eq!(
            found,
            [
                [150, 50, 50],
                [150, 50, 50],
                [200, 0, 0],
                [0, 0, 200],
                [50, 50, 150],
                [0, 0, 200],
                // Lines of two pixels in eight, along the diagonals.
                photo,
                photo,
                GREY,
            ]
        );
    }

    #[test]
    fn bad_arguments_are_named() {
        let photo = Image::from_pixels(3, 9, 1, vec![100; 27]).unwrap();
        let mask = Mask::new(9, 3, vec![0; 27]).unwrap();
        let message = MaskOverlay::new().draw(&photo, &mask).unwrap_err();
        assert_eq!(
            message.to_string(),
            "`mask`: found 9x3, expected the photo's size, 3x9"
        );
        assert!(MaskOverlay::new().with_opacity(f64::NAN).is_err());
    }
}
