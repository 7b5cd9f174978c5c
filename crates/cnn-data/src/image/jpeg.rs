//! JPEG by zune-jpeg in strict mode, with the conversions that libjpeg and Pillow apply.

use image::metadata::Orientation;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;

use super::contain::contain_panic;
use super::{ColorModel, Decoded, FileFormat, Image, ImageInfo, Limits};
use crate::Error;

/// The most pixels that a byte of compressed data can stand for, as a block of 8×8 pixels takes at
/// least one bit.
const MAX_PIXELS_PER_BYTE: u64 = 8 * 64;

pub(super) fn decode(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    contain_panic(|| decode_uncontained(bytes, limits)).unwrap_or_else(|panic| Err(broken(panic)))
}

fn decode_uncontained(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    if !has_end(bytes) {
        return Err(broken(format!(
            "truncated, no end marker in its {} bytes",
            bytes.len()
        )));
    }
    let header = read_header(bytes)?;
    let width = header.width as u64;
    let height = header.height as u64;
    limits.check(width, height)?;
    if width * height > MAX_PIXELS_PER_BYTE.saturating_mul(bytes.len() as u64) {
        return Err(broken(format!(
            "{} bytes cannot hold the declared {width}x{height} pixels",
            bytes.len()
        )));
    }
    let image = read_pixels(bytes, &header)?.oriented(header.orientation);
    let color = match header.stored {
        ColorSpace::Luma => ColorModel::Grey,
        ColorSpace::CMYK | ColorSpace::YCCK => ColorModel::Cmyk,
        _ => ColorModel::Rgb,
    };
    let info = ImageInfo {
        format: FileFormat::Jpeg,
        width: header.width,
        height: header.height,
        color,
        bits: 8,
    };
    Ok(Decoded { image, info })
}

struct Header {
    width: usize,
    height: usize,
    stored: ColorSpace,
    orientation: Orientation,
}

fn read_header(bytes: &[u8]) -> Result<Header, Error> {
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options());
    decoder
        .decode_headers()
        .map_err(|error| broken(error.to_string()))?;
    let (width, height) = decoder
        .dimensions()
        .ok_or_else(|| broken("no dimensions".to_owned()))?;
    let stored = decoder
        .input_colorspace()
        .ok_or_else(|| broken("no color space".to_owned()))?;
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif))
        .unwrap_or(Orientation::NoTransforms);
    Ok(Header {
        width,
        height,
        stored,
        orientation,
    })
}

fn read_pixels(bytes: &[u8], header: &Header) -> Result<Image, Error> {
    let (channels, wanted) = match header.stored {
        ColorSpace::Luma => (1, ColorSpace::Luma),
        ColorSpace::YCbCr | ColorSpace::RGB => (3, ColorSpace::RGB),
        ColorSpace::CMYK | ColorSpace::YCCK => (4, header.stored),
        other => {
            return Err(broken(format!(
                "color space {other:?}, accepted are grey, YCbCr, RGB, CMYK and YCCK"
            )));
        }
    };
    let mut decoder = JpegDecoder::new_with_options(
        ZCursor::new(bytes),
        options().jpeg_set_out_colorspace(wanted),
    );
    let decoded = decoder
        .decode()
        .map_err(|error| broken(error.to_string()))?;
    let pixels = match header.stored {
        ColorSpace::CMYK => decoded
            .chunks_exact(4)
            .flat_map(|inks| rgb_of_inverted_inks([inks[0], inks[1], inks[2]], inks[3]))
            .collect(),
        ColorSpace::YCCK => decoded
            .chunks_exact(4)
            .flat_map(|ycck| {
                rgb_of_inverted_inks(
                    rgb_of_ycc(ycck[0], ycck[1], ycck[2]).map(|value| 255 - value),
                    ycck[3],
                )
            })
            .collect(),
        _ => decoded,
    };
    Image::from_pixels(header.height, header.width, channels.min(3), pixels)
        .map_err(|error| broken(error.to_string()))
}

/// RGB of inks as Adobe stores them (255 is no ink), in Pillow's integer arithmetic.
fn rgb_of_inverted_inks(inks: [u8; 3], inverted_black: u8) -> [u8; 3] {
    let light = u32::from(inverted_black);
    inks.map(|inverted| {
        let product = (255 - u32::from(inverted)) * light + 128;
        let rounded = ((product >> 8) + product) >> 8;
        light.saturating_sub(rounded) as u8
    })
}

/// RGB of luma and chroma in libjpeg's fixed-point arithmetic.
fn rgb_of_ycc(luma: u8, blue: u8, red: u8) -> [u8; 3] {
    const HALF: i32 = 1 << 15;
    let luma = i32::from(luma);
    let blue = i32::from(blue) - 128;
    let red = i32::from(red) - 128;
    [
        luma + ((91_881 * red + HALF) >> 16),
        luma + ((-22_554 * blue - 46_802 * red + HALF) >> 16),
        luma + ((116_130 * blue + HALF) >> 16),
    ]
    .map(|value| value.clamp(0, 255) as u8)
}

fn options() -> DecoderOptions {
    // The dimensions are checked by `Limits`, whose message has the numbers.
    DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
}

/// Whether the segments lead to an end-of-image marker.
///
/// The decoder accepts a file without one, and so a truncated file that lacks its last rows.
fn has_end(bytes: &[u8]) -> bool {
    const RESTART: std::ops::RangeInclusive<u8> = 0xd0..=0xd7;
    const END: u8 = 0xd9;
    const STUFFING: u8 = 0x00;
    const TEMPORARY: u8 = 0x01;
    let mut position = 2;
    while let Some(found) = bytes
        .get(position..)
        .and_then(|rest| rest.iter().position(|&byte| byte == 0xff))
    {
        position += found + 1;
        match bytes.get(position) {
            None => return false,
            Some(&0xff) => {}
            Some(&END) => return true,
            Some(&(STUFFING | TEMPORARY)) => position += 1,
            Some(marker) if RESTART.contains(marker) => position += 1,
            Some(_) => {
                let length = bytes
                    .get(position + 1..position + 3)
                    .map_or(0, |length| u16::from_be_bytes([length[0], length[1]]));
                position += 1 + usize::from(length);
            }
        }
    }
    false
}

fn broken(reason: String) -> Error {
    Error::BrokenImage {
        format: FileFormat::Jpeg,
        reason,
    }
}
