//! Resizing as Pillow does it: antialiased when an image shrinks.

use cnn_core::Interpolation;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeError, ResizeOptions, Resizer};

use crate::{Error, Image, Limits, Mask};

/// Resizes an image without regard to its aspect ratio.
///
/// Bilinear and bicubic (a = −0.5) are convolutions whose support grows with the shrinking factor,
/// as in Pillow; the result differs from Pillow's by at most 1 of 255. Nearest takes the pixel
/// under each centre and equals Pillow's.
///
/// # Errors
///
/// [`Error::Argument`] if a side is zero, [`Error::TooLarge`] beyond the default [`Limits`].
pub fn resize(
    image: &Image,
    height: usize,
    width: usize,
    interpolation: Interpolation,
) -> Result<Image, Error> {
    resize_window(
        image,
        [height, width],
        Window {
            top: 0,
            left: 0,
            height,
            width,
        },
        interpolation,
    )
}

/// Resizes a mask without regard to its aspect ratio, to the pixels under each centre: class numbers
/// are never mixed.
///
/// # Errors
///
/// As [`resize`].
pub fn resize_mask(mask: Mask, height: usize, width: usize) -> Result<Mask, Error> {
    mask.map_pixels(|image| resize(&image, height, width, Interpolation::Nearest))
}

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// The part of the image in `window` after a resize to `size` (height and width); the rest is never
/// computed.
pub(super) fn resize_window(
    image: &Image,
    size: [usize; 2],
    window: Window,
    interpolation: Interpolation,
) -> Result<Image, Error> {
    if window.height == 0 || window.width == 0 {
        return Err(Error::argument(
            "size",
            format!("{}x{}", window.height, window.width),
            "no side to be zero",
        ));
    }
    Limits::default().check(window.width as u64, window.height as u64)?;
    let whole = Window {
        top: 0,
        left: 0,
        height: image.height(),
        width: image.width(),
    };
    if size == [whole.height, whole.width] && window == whole {
        return Ok(image.clone());
    }
    let pixels = match interpolation {
        Interpolation::Nearest => nearest(image, size, window),
        Interpolation::Bilinear => convolution(image, size, window, FilterType::Bilinear)?,
        Interpolation::Bicubic => convolution(image, size, window, FilterType::CatmullRom)?,
    };
    Image::from_pixels(window.height, window.width, image.channels(), pixels)
}

fn nearest(image: &Image, [height, width]: [usize; 2], window: Window) -> Vec<u8> {
    let channels = image.channels();
    let rows = nearest_sources(image.height(), height, window.top, window.height);
    let columns = nearest_sources(image.width(), width, window.left, window.width);
    let mut pixels = Vec::with_capacity(window.height * window.width * channels);
    for row in rows {
        let start = row * image.width() * channels;
        let source = &image.bytes()[start..start + image.width() * channels];
        for &column in &columns {
            pixels.extend_from_slice(&source[column * channels..(column + 1) * channels]);
        }
    }
    pixels
}

/// The source positions under the centres of the positions `start..start + len` of `resized`, in
/// Pillow's arithmetic, which adds up the step.
fn nearest_sources(source: usize, resized: usize, start: usize, len: usize) -> Vec<usize> {
    let step = source as f64 / resized as f64;
    std::iter::successors(Some(step * 0.5), |position| Some(position + step))
        .skip(start)
        .take(len)
        .map(|position| (position as usize).min(source - 1))
        .collect()
}

/// Resizes in Pillow's two passes, first along the width. Their order matters because values are
/// rounded to bytes between them.
fn convolution(
    image: &Image,
    [height, width]: [usize; 2],
    window: Window,
    filter: FilterType,
) -> Result<Vec<u8>, Error> {
    let columns = Pass {
        resized: width,
        start: window.left,
        len: window.width,
    };
    let rows = Pass {
        resized: height,
        start: window.top,
        len: window.height,
    };
    let narrowed = columns.along_width(image, filter)?;
    Ok(rows.along_height(&narrowed, filter)?.into_bytes())
}

/// One axis of a resize: of `resized` pixels, `len` are wanted from `start` on.
struct Pass {
    resized: usize,
    start: usize,
    len: usize,
}

impl Pass {
    fn along_width(&self, image: &Image, filter: FilterType) -> Result<Image, Error> {
        let (left, width) = self.source(image.width());
        let crop = [left, 0.0, width, image.height() as f64];
        convolve(image, [image.height(), self.len], crop, filter)
    }

    fn along_height(&self, image: &Image, filter: FilterType) -> Result<Image, Error> {
        let (top, height) = self.source(image.height());
        let crop = [0.0, top, image.width() as f64, height];
        convolve(image, [self.len, image.width()], crop, filter)
    }

    /// Start and length of the part of `source` pixels that becomes the wanted part. The length is
    /// bounded because rounding must not lead outside.
    fn source(&self, source: usize) -> (f64, f64) {
        let scale = source as f64 / self.resized as f64;
        let start = self.start as f64 * scale;
        (start, (self.len as f64 * scale).min(source as f64 - start))
    }
}

fn convolve(
    image: &Image,
    [height, width]: [usize; 2],
    [left, top, crop_width, crop_height]: [f64; 4],
    filter: FilterType,
) -> Result<Image, Error> {
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(filter))
        .crop(left, top, crop_width, crop_height);
    let mut bytes = vec![0; height * width * image.channels()];
    // The pixel types are named, because to choose one at run time would compile the convolutions
    // of all thirteen.
    let resized = match image.channels() {
        1 => convolve_typed::<U8>(image, [height, width], &mut bytes, &options),
        _ => convolve_typed::<U8x3>(image, [height, width], &mut bytes, &options),
    };
    resized.map_err(|error| {
        Error::argument(
            "size",
            format!("{height}x{width}"),
            format!("a size that can be resized to ({error})"),
        )
    })?;
    Image::from_pixels(height, width, image.channels(), bytes)
}

fn convolve_typed<P: PixelTrait>(
    image: &Image,
    [height, width]: [usize; 2],
    bytes: &mut [u8],
    options: &ResizeOptions,
) -> Result<(), ResizeError> {
    const SIZED: &str = "the buffer has exactly the bytes of its dimensions";
    let source =
        TypedImageRef::<P>::from_buffer(image.width() as u32, image.height() as u32, image.bytes())
            .expect(SIZED);
    let mut target = TypedImage::<P>::from_buffer(width as u32, height as u32, bytes).expect(SIZED);
    Resizer::new().resize_typed(&source, &mut target, options)
}
