//! What JPEG files of low quality lose.

mod bits;
mod blocks;
mod cosines;
mod file;

use cnn_data::{Image, decode};

use super::Severity;
use super::chance::Chance;
use super::pixels::Pixels;
use super::severity::Table;
use crate::Error;

/// Qualities as libjpeg counts them.
const QUALITIES: Table<u8> = Table {
    large: [25, 18, 15, 10, 7],
    small: [80, 65, 58, 50, 40],
};

pub(super) fn corrupt(image: &Image, severity: Severity, _: &Chance) -> Result<Image, Error> {
    jpeg_round_trip(image, QUALITIES.of(&Pixels::of(image), severity))
}

/// The image after it was stored as a JPEG file of a quality from 1 to 100, as Pillow writes and
/// reads it: chroma of half the resolution, libjpeg's integer arithmetic, its tables at that
/// quality.
///
/// # Errors
/// [`Error::Argument`] if the quality is not in 1..=100, or if a side has more than 65,535 pixels;
/// [`Error::Other`] if the image is larger than those that are read.
///
/// ```
/// use cnn_data::Image;
/// use cnn_robust::corruption::jpeg_round_trip;
///
/// // Blocks of one colour keep it but for the rounding of their only coefficient.
/// let flat = Image::from_pixels(8, 8, 1, vec![99; 64])?;
/// let [kept] = jpeg_round_trip(&flat, 100)?.bytes()[..1] else { unreachable!() };
/// let [lost] = jpeg_round_trip(&flat, 10)?.bytes()[..1] else { unreachable!() };
/// assert_eq!((kept, lost), (99, 98));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn jpeg_round_trip(image: &Image, quality: u8) -> Result<Image, Error> {
    let file = file::encode(image, quality)?;
    decode(&file).map_err(|error| Error::Other(Box::new(error)))
}
