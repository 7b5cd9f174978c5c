//! PNG, GIF and WebP by the `image` crate, with the conversions that Pillow applies.

use std::io::Cursor;

use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::metadata::Orientation;
use image::{ColorType, ImageDecoder, ImageError};

use super::contain::contain_panic;
use super::header::{self, Header};
use super::metadata;
use super::orientation::Orientations;
use super::{Decoded, FileFormat, Image, ImageInfo, Limits};
use crate::Error;

pub(super) fn decode_png(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    let header = header::png(bytes).ok_or_else(|| broken(FileFormat::Png, "no whole header"))?;
    let decoded = decode(FileFormat::Png, header, limits, || {
        PngDecoder::with_limits(Cursor::new(bytes), decoder_limits(header))
    })?;
    let metadata = metadata::png(bytes);
    Ok(decoded.oriented(metadata.orientations()))
}

pub(super) fn decode_gif(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    let header = header::gif(bytes).ok_or_else(|| broken(FileFormat::Gif, "no whole header"))?;
    decode(FileFormat::Gif, header, limits, || {
        GifDecoder::new(Cursor::new(bytes))
    })
}

pub(super) fn decode_webp(bytes: &[u8], limits: &Limits) -> Result<Decoded, Error> {
    header::check_webp_chunks(bytes).map_err(|reason| broken(FileFormat::WebP, reason))?;
    let header = header::webp(bytes).ok_or_else(|| broken(FileFormat::WebP, "no whole header"))?;
    let plain = header::webp_without_metadata(bytes);
    let decoded = decode(FileFormat::WebP, header, limits, || {
        WebPDecoder::new(Cursor::new(plain.as_ref()))
    })?;
    let orientations = Orientations {
        exif: header::webp_exif(bytes),
        xmp: header::webp_xmp(bytes),
    };
    Ok(decoded.oriented(orientations))
}

impl Decoded {
    fn oriented(self, orientations: Orientations<'_>) -> Self {
        let orientation = orientations.first();
        Self {
            image: self.image.oriented(orientation),
            orientation,
            ..self
        }
    }
}

fn decode<D: ImageDecoder>(
    format: FileFormat,
    header: Header,
    limits: &Limits,
    open: impl FnOnce() -> Result<D, ImageError>,
) -> Result<Decoded, Error> {
    limits.check(header.width, header.height)?;
    let (image, dimensions) = contain_panic(|| read(open()?, header))
        .map_err(|panic| broken(format, panic))?
        .map_err(|error| broken(format, reason(error)))?;
    let (width, height) = dimensions;
    let info = ImageInfo {
        format,
        width,
        height,
        color: header.color,
        bits: header.bits,
    };
    Ok(Decoded {
        image,
        info,
        orientation: Orientation::NoTransforms,
    })
}

type Dimensions = (usize, usize);

fn read(mut decoder: impl ImageDecoder, header: Header) -> Result<(Image, Dimensions), ImageError> {
    decoder.set_limits(decoder_limits(header))?;
    let (width, height) = decoder.dimensions();
    let width = width as usize;
    let height = height as usize;
    let color = decoder.color_type();
    let mut buffer = vec![0; width * height * usize::from(color.bytes_per_pixel())];
    decoder.read_image(&mut buffer)?;
    let (channels, bytes) = drop_alpha_and_low_bytes(buffer, color);
    let image = Image::from_pixels(height, width, channels, bytes)
        .map_err(|error| ImageError::IoError(std::io::Error::other(error)))?;
    Ok((image, (width, height)))
}

/// The number of color channels, and their bytes with eight bits each.
fn drop_alpha_and_low_bytes(buffer: Vec<u8>, color: ColorType) -> (usize, Vec<u8>) {
    let stored = usize::from(color.channel_count());
    let kept = if color.has_color() { 3 } else { 1 };
    let bytes_per_channel = usize::from(color.bytes_per_pixel()) / stored;
    match bytes_per_channel {
        1 if stored == kept => (kept, buffer),
        1 => (
            kept,
            buffer
                .chunks_exact(stored)
                .flat_map(|pixel| &pixel[..kept])
                .copied()
                .collect(),
        ),
        _ => {
            let upper = |channel: &[u8]| (u16::from_ne_bytes([channel[0], channel[1]]) >> 8) as u8;
            let pixels = buffer.chunks_exact(2 * stored);
            (
                kept,
                pixels
                    .flat_map(|pixel| pixel.chunks_exact(2).take(kept))
                    .map(upper)
                    .collect(),
            )
        }
    }
}

/// How much a decoder may allocate, including animation frames and embedded profiles: twice the
/// declared pixels with four 16-bit channels, and a constant for everything else.
fn decoder_limits(header: Header) -> image::Limits {
    const REST: u64 = 64 << 20;
    let mut limits = image::Limits::default();
    limits.max_alloc = Some(
        header
            .width
            .saturating_mul(header.height)
            .saturating_mul(16)
            .saturating_add(REST),
    );
    limits
}

fn reason(error: ImageError) -> String {
    match error {
        ImageError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            "truncated".to_owned()
        }
        error => error.to_string(),
    }
}

fn broken(format: FileFormat, reason: impl Into<String>) -> Error {
    Error::BrokenImage {
        format,
        reason: reason.into(),
    }
}
