//! The numbers that a PNG stores for its pixels, before they become colors.

use std::io::Cursor;

use image::metadata::Orientation;
use png::{ColorType, DecodingError, Transformations};

use super::contain::contain_panic;
use super::header::{self, Header};
use super::{FileFormat, Limits, metadata};
use crate::Error;

/// A PNG as it is stored.
pub(crate) struct StoredPixels {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) values: StoredValues,
    /// How the pixels are to be turned so that they stand upright.
    pub(crate) orientation: Orientation,
}

/// What is stored for each pixel, row by row.
pub(crate) enum StoredValues {
    /// Grey values or numbers of a palette with 1, 2, 4, 8 or 16 bits, as they are and not spread
    /// over a larger range.
    Numbers(Vec<u16>),
    /// Red, green and blue; of grey with transparency the grey value three times. Of 16 bits the
    /// upper eight.
    Colors(Vec<[u8; 3]>),
}

/// Reads what a PNG stores for its pixels. Transparency is dropped.
///
/// # Errors
///
/// As [`decode`](crate::decode()).
pub(crate) fn stored_png(bytes: &[u8]) -> Result<StoredPixels, Error> {
    let header = header::png(bytes).ok_or_else(|| broken("no whole header"))?;
    Limits::default().check(header.width, header.height)?;
    let values = contain_panic(|| read(bytes, header))
        .map_err(broken)?
        .map_err(|error| broken(reason(&error)))?;
    let orientation = metadata::png(bytes).orientations().first();
    Ok(StoredPixels {
        height: header.height as usize,
        width: header.width as usize,
        values,
        orientation,
    })
}

/// Width and height that a PNG's header declares.
pub(crate) fn png_sides(bytes: &[u8]) -> Option<[u64; 2]> {
    header::png(bytes).map(|header| [header.width, header.height])
}

fn read(bytes: &[u8], header: Header) -> Result<StoredValues, DecodingError> {
    // Twice the declared pixels with four 16-bit channels, and a constant for everything else.
    const REST: u64 = 64 << 20;
    let most = header
        .width
        .saturating_mul(header.height)
        .saturating_mul(16)
        .saturating_add(REST);
    let limits = png::Limits {
        bytes: usize::try_from(most).unwrap_or(usize::MAX),
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let mut reader = decoder.read_info()?;
    let len = reader
        .output_buffer_size()
        .ok_or(DecodingError::LimitsExceeded)?;
    let mut packed = vec![0; len];
    let frame = reader.next_frame(&mut packed)?;
    let bits = frame.bit_depth as usize;
    let width = frame.width as usize;
    let rows = packed.chunks_exact(frame.line_size.max(1));
    Ok(match frame.color_type {
        ColorType::Grayscale | ColorType::Indexed => {
            let numbers = rows.flat_map(|row| unpacked(row, bits).take(width));
            StoredValues::Numbers(numbers.collect())
        }
        ColorType::GrayscaleAlpha => StoredValues::Colors(colors(&packed, bits / 8, 2, 1)),
        ColorType::Rgb => StoredValues::Colors(colors(&packed, bits / 8, 3, 3)),
        ColorType::Rgba => StoredValues::Colors(colors(&packed, bits / 8, 4, 3)),
    })
}

/// The numbers of a row, of which several may share a byte, the first in its upper bits.
fn unpacked(row: &[u8], bits: usize) -> impl Iterator<Item = u16> + '_ {
    let per_byte = (8 / bits).max(1);
    let step = bits.div_ceil(8);
    row.chunks_exact(step).flat_map(move |chunk| {
        (0..per_byte).map(move |place| match *chunk {
            [high, low] => u16::from_be_bytes([high, low]),
            [byte] => u16::from(byte >> (8 - bits * (place + 1))) & ((1 << bits) - 1),
            _ => 0,
        })
    })
}

/// The colors of pixels with this many channels of one or two bytes, of which the first `kept` are
/// taken.
fn colors(packed: &[u8], depth: usize, channels: usize, kept: usize) -> Vec<[u8; 3]> {
    let pixels = packed.chunks_exact((depth * channels).max(1));
    let color = |pixel: &[u8]| {
        [0, 1, 2].map(|channel| {
            pixel
                .get(channel.min(kept - 1) * depth)
                .copied()
                .unwrap_or(0)
        })
    };
    pixels.map(color).collect()
}

fn reason(error: &DecodingError) -> String {
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "truncated".to_owned()
        }
        error => error.to_string(),
    }
}

fn broken(reason: impl Into<String>) -> Error {
    Error::BrokenImage {
        format: FileFormat::Png,
        reason: reason.into(),
    }
}
