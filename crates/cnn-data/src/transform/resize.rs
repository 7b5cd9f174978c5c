//! Resizing as Pillow does it: antialiased when an image shrinks.

use cnn_core::Interpolation;
use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use crate::{Error, Image, Limits};

/// Resizes an image without regard to its aspect ratio.
///
/// Bilinear and bicubic (a = −0.5) are convolutions whose support grows with the shrinking factor, as in Pillow; the
/// result differs from Pillow's by at most 1 of 255. Nearest takes the pixel under each centre and equals Pillow's.
///
/// # Errors
///
/// [`Error::InvalidArgument`] if a side is zero, [`Error::TooLarge`] beyond the default [`Limits`].
pub fn resize(image: &Image, height: usize, width: usize, interpolation: Interpolation) -> Result<Image, Error> {
    resize_window(image, [height, width], Window { top: 0, left: 0, height, width }, interpolation)
}

/// A part of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) height: usize,
    pub(super) width: usize,
}

/// What lies in `window` after resizing the image to `size` (height and width); the rest is never computed.
pub(super) fn resize_window(
    image: &Image,
    size: [usize; 2],
    window: Window,
    interpolation: Interpolation,
) -> Result<Image, Error> {
    if window.height == 0 || window.width == 0 {
        return Err(Error::argument("size", format!("{}x{}", window.height, window.width), "no side to be zero"));
    }
    Limits::default().check(window.width as u64, window.height as u64)?;
    let whole = Window { top: 0, left: 0, height: image.height(), width: image.width() };
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

/// For positions `start..start + len` of `resized`, the source positions under their centres, in Pillow's arithmetic
/// (which adds up the step).
fn nearest_sources(source: usize, resized: usize, start: usize, len: usize) -> Vec<usize> {
    let step = source as f64 / resized as f64;
    std::iter::successors(Some(step * 0.5), |position| Some(position + step))
        .skip(start)
        .take(len)
        .map(|position| (position as usize).min(source - 1))
        .collect()
}

fn convolution(
    image: &Image,
    [height, width]: [usize; 2],
    window: Window,
    filter: FilterType,
) -> Result<Vec<u8>, Error> {
    let scale_y = image.height() as f64 / height as f64;
    let scale_x = image.width() as f64 / width as f64;
    let options = ResizeOptions::new().resize_alg(ResizeAlg::Convolution(filter)).crop(
        window.left as f64 * scale_x,
        window.top as f64 * scale_y,
        window.width as f64 * scale_x,
        window.height as f64 * scale_y,
    );
    let resized = if image.channels() == 1 {
        resize_pixels::<U8>(image, window, &options)
    } else {
        resize_pixels::<U8x3>(image, window, &options)
    };
    resized.map_err(|reason| {
        Error::argument("size", format!("{height}x{width}"), format!("a size that can be resized to ({reason})"))
    })
}

/// The typed interface: the other one compiles the convolutions of every pixel type into this crate, which takes minutes.
fn resize_pixels<P: PixelTrait>(image: &Image, window: Window, options: &ResizeOptions) -> Result<Vec<u8>, String> {
    let (width, height) = (window.width as u32, window.height as u32);
    let mut pixels = vec![0; window.width * window.height * image.channels()];
    let source = TypedImageRef::<P>::from_buffer(image.width() as u32, image.height() as u32, image.bytes())
        .map_err(|error| error.to_string())?;
    let mut target = TypedImage::<P>::from_buffer(width, height, &mut pixels).map_err(|error| error.to_string())?;
    Resizer::new().resize_typed(&source, &mut target, options).map_err(|error| error.to_string())?;
    drop(target);
    Ok(pixels)
}
