//! What geometric transforms share: cutting parts out, and the color outside.

use crate::{Error, Image};

/// A color for an image of this many channels; grey images get its luma.
pub(super) fn fill_color(rgb: [u8; 3], channels: usize) -> Result<Vec<u8>, Error> {
    Ok(Image::from_pixels(1, 1, 3, rgb.to_vec())?
        .with_channels(channels)?
        .into_bytes())
}

/// The part of an image that begins at row `top` and column `left`. Where the part reaches beyond
/// the image, it is `fill`.
pub(super) fn crop(
    image: &Image,
    [top, left]: [i64; 2],
    [height, width]: [usize; 2],
    fill: &[u8],
) -> Result<Image, Error> {
    let mut bytes = fill.repeat(height * width);
    paste(&mut bytes, [height, width], image, [-top, -left]);
    Image::from_pixels(height, width, image.channels(), bytes)
}

/// Copies an image onto a canvas of as many channels, its first pixel to row `top` and column
/// `left`. What reaches beyond the canvas is left out.
pub(super) fn paste(
    canvas: &mut [u8],
    [height, width]: [usize; 2],
    image: &Image,
    [top, left]: [i64; 2],
) {
    let channels = image.channels();
    let rows = Overlap::of(-top, height, image.height());
    let columns = Overlap::of(-left, width, image.width());
    let targets = canvas
        .chunks_exact_mut(width * channels)
        .skip(rows.to)
        .take(rows.len);
    let sources = image
        .bytes()
        .chunks_exact(image.width() * channels)
        .skip(rows.from);
    for (target, source) in targets.zip(sources) {
        let source = &source[columns.from * channels..][..columns.len * channels];
        target[columns.to * channels..][..columns.len * channels].copy_from_slice(source);
    }
}

/// One axis of a crop: `len` pixels, which begin at `from` in the image, go to `to` in the crop.
struct Overlap {
    from: usize,
    to: usize,
    len: usize,
}

impl Overlap {
    fn of(start: i64, crop: usize, image: usize) -> Self {
        let from = (start.max(0) as usize).min(image);
        let to = (start.min(0).unsigned_abs() as usize).min(crop);
        Self {
            from,
            to,
            len: (image - from).min(crop - to),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn crops_inside_across_and_outside() {
        let image = Image::from_pixels(2, 3, 1, b"abcdef".to_vec()).unwrap();
        let cases: [([i64; 2], [usize; 2], &[u8]); 7] = [
            ([0, 0], [2, 3], b"abcdef"),
            ([1, 1], [1, 2], b"ef"),
            ([-1, -1], [2, 3], b"----ab"),
            ([1, 2], [2, 2], b"f---"),
            ([-1, -1], [4, 5], b"------abc--def------"),
            ([2, 0], [1, 3], b"---"),
            ([0, -9], [1, 3], b"---"),
        ];
        for (corner, size, expected) in cases {
            assert_eq!(
                crop(&image, corner, size, b"-").unwrap().bytes(),
                expected,
                "{corner:?} {size:?}"
            );
        }
        let colors = Image::from_pixels(1, 2, 3, b"abcdef".to_vec()).unwrap();
        assert_eq!(
            crop(&colors, [0, 1], [1, 2], b"xyz").unwrap().bytes(),
            b"defxyz"
        );
    }

    #[test]
    fn fill_colors_have_the_images_channels() {
        assert_eq!(fill_color([255, 0, 0], 3).unwrap(), [255, 0, 0]);
        assert_eq!(fill_color([255, 0, 0], 1).unwrap(), [76]);
    }
}
