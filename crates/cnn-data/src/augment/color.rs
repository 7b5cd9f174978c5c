//! Changing brightness, contrast, saturation and hue with Pillow's arithmetic, byte by byte.

use crate::{Error, Image};

/// `factor · image`: 0 is black, 1 leaves the image as it is.
pub(super) fn brightness(image: Image, factor: f32) -> Result<Image, Error> {
    map_bytes(image, |byte| blend(0, byte, factor))
}

/// Blends the mean grey of the whole image (factor 0) with the image (factor 1), and beyond.
pub(super) fn contrast(image: Image, factor: f32) -> Result<Image, Error> {
    let grey = image.to_grey();
    let sum: u64 = grey.bytes().iter().map(|&byte| u64::from(byte)).sum();
    let mean = (sum as f64 / grey.bytes().len() as f64 + 0.5) as u8;
    map_bytes(image, |byte| blend(mean, byte, factor))
}

/// Blends each pixel's grey (factor 0) with the pixel (factor 1), and beyond. Grey images stay as
/// they are.
pub(super) fn saturation(image: Image, factor: f32) -> Result<Image, Error> {
    if image.channels() == 1 {
        return Ok(image);
    }
    let grey = image.to_grey();
    map_pixels(image, |index, pixel| {
        pixel.map(|byte| blend(grey.bytes()[index], byte, factor))
    })
}

/// Turns the color wheel by `shift` of a whole turn. Grey images stay as they are.
pub(super) fn hue(image: Image, shift: f64) -> Result<Image, Error> {
    if image.channels() == 1 {
        return Ok(image);
    }
    // Cut towards zero and wrapped round, as torchvision's conversion to a byte does.
    let shift = (shift * 255.0) as i64 as u8;
    map_pixels(image, |_, pixel| {
        let [hue, saturation, value] = hsv_of_rgb(pixel);
        rgb_of_hsv([hue.wrapping_add(shift), saturation, value])
    })
}

/// Adds to hue, saturation and value, each in 255ths of its range: the hue wraps round, the others
/// stop at their ends. Grey images are brightened alone.
pub(super) fn shift_hsv(image: Image, shift: [i16; 3]) -> Result<Image, Error> {
    let [hue_shift, saturation_shift, value_shift] = shift.map(f32::from);
    let moved = |number: f32, shift: f32| (number + shift).clamp(0.0, 255.0);
    if image.channels() == 1 {
        return map_bytes(image, |byte| moved(f32::from(byte), value_shift) as u8);
    }
    // Sixths of a turn, so that it stays below three turns of the wheel.
    let hue_shift = 6.0 * hue_shift / 255.0 + 6.0;
    map_pixels(image, |_, [red, green, blue]| {
        let high = red.max(green).max(blue);
        let low = red.min(green).min(blue);
        let [r, g, b] = [red, green, blue].map(f32::from);
        let range = f32::from(high - low).max(1.0);
        let sixths = if red == high {
            (g - b) / range
        } else if green == high {
            2.0 + (b - r) / range
        } else {
            4.0 + (r - g) / range
        };
        let saturation = 255.0 * f32::from(high - low) / f32::from(high).max(1.0);
        let saturation = moved(saturation, saturation_shift) / 255.0;
        let value = moved(f32::from(high), value_shift);
        let sixths = sixths + hue_shift;
        let sector = sixths as u8;
        let fraction = sixths - f32::from(sector);
        let scaled = |share: f32| (value * (1.0 - saturation * share) + 0.5) as u8;
        let [value, low] = [scaled(0.0), scaled(1.0)];
        let [falling, rising] = [scaled(fraction), scaled(1.0 - fraction)];
        match sector % 6 {
            0 => [value, rising, low],
            1 => [falling, value, low],
            2 => [low, value, rising],
            3 => [low, falling, value],
            4 => [rising, low, value],
            _ => [value, low, falling],
        }
    })
}

/// The value between `from` (factor 0) and `to` (factor 1), or beyond; `as` drops the fraction and
/// saturates.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

fn map_bytes(image: Image, change: impl Fn(u8) -> u8) -> Result<Image, Error> {
    let table: [u8; 256] = std::array::from_fn(|byte| change(byte as u8));
    let height = image.height();
    let width = image.width();
    let channels = image.channels();
    let mut bytes = image.into_bytes();
    bytes
        .iter_mut()
        .for_each(|byte| *byte = table[usize::from(*byte)]);
    Image::from_pixels(height, width, channels, bytes)
}

/// Changes every pixel of an image with three channels.
fn map_pixels(image: Image, change: impl Fn(usize, [u8; 3]) -> [u8; 3]) -> Result<Image, Error> {
    let height = image.height();
    let width = image.width();
    let mut bytes = image.into_bytes();
    let (pixels, _) = bytes.as_chunks_mut::<3>();
    for (index, pixel) in pixels.iter_mut().enumerate() {
        *pixel = change(index, *pixel);
    }
    Image::from_pixels(height, width, 3, bytes)
}

/// Hue, saturation and value as bytes, with a float in every place where Pillow has one.
fn hsv_of_rgb([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let high = red.max(green).max(blue);
    let low = red.min(green).min(blue);
    if high == low {
        return [0, 0, high];
    }
    let range = f32::from(high - low);
    let [r, g, b] = [red, green, blue].map(|channel| f64::from(f32::from(high - channel) / range));
    let sixths = if red == high {
        b - g
    } else if green == high {
        2.0 + r - b
    } else {
        4.0 + g - r
    };
    let turns = (f64::from(sixths as f32) / 6.0 + 1.0) % 1.0;
    let saturation = range / f32::from(high);
    [
        (f64::from(turns as f32) * 255.0) as u8,
        (f64::from(saturation) * 255.0) as u8,
        high,
    ]
}

fn rgb_of_hsv([hue, saturation, value]: [u8; 3]) -> [u8; 3] {
    let sixths = f64::from(hue) * 6.0 / 255.0;
    let fraction = f64::from((sixths - sixths.floor()) as f32);
    let saturation = f64::from((f64::from(saturation) / 255.0) as f32);
    let scaled = |share: f64| (f64::from(value) * share).round() as u8;
    let low = scaled(1.0 - saturation);
    let falling = scaled(1.0 - saturation * fraction);
    let rising = scaled(1.0 - saturation * (1.0 - fraction));
    match sixths as u8 {
        1 => [falling, value, low],
        2 => [low, value, rising],
        3 => [low, falling, value],
        4 => [rising, low, value],
        5 => [value, low, falling],
        _ => [value, rising, low],
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    const SOURCE: [u8; 36] = [
        5, 53, 175, 115, 129, 217, 123, 103, 157, 29, 231, 251, 89, 1, 243, 47, 181, 133, 159, 3,
        177, 169, 235, 119, 77, 109, 215, 139, 137, 209, 99, 63, 101, 213, 143, 147,
    ];

    fn source() -> Image {
        Image::from_pixels(3, 4, 3, SOURCE.to_vec()).unwrap()
    }

    // torchvision 0.29.2 with Pillow 13.0:
    // img = Image.fromarray(np.array([(37*i*i + 11*i + 5) % 256 for i in range(36)], np.uint8).reshape(3, 4, 3))
    // torchvision.transforms.functional.adjust_brightness(img, 0.3), …
    #[test]
    fn the_bytes_are_torchvisions() {
        type Change = fn(Image, f64) -> Result<Image, Error>;
        let changes: [Change; 4] = [
            |image, factor| brightness(image, factor as f32),
            |image, factor| contrast(image, factor as f32),
            |image, factor| saturation(image, factor as f32),
            hue,
        ];
        for (change, factor, expected) in GOLDEN {
            let found = changes[change](source(), factor).unwrap();
            assert_eq!(found.bytes(), expected, "change {change} by {factor}");
        }
    }

    #[test]
    fn hue_saturation_and_value_are_shifted_and_stop_at_their_ends() {
        let still = shift_hsv(source(), [0; 3]).unwrap();
        for (found, expected) in still.bytes().iter().zip(SOURCE) {
            assert!(found.abs_diff(expected) <= 1, "{found} for {expected}");
        }
        let pixel = |rgb: [u8; 3], shift| {
            let image = Image::from_pixels(1, 1, 3, rgb.to_vec()).unwrap();
            shift_hsv(image, shift).unwrap().into_bytes()
        };
        assert_eq!(pixel([100, 100, 100], [0, 0, 20]), [120, 120, 120]);
        assert_eq!(pixel([250, 250, 250], [0, 0, 20]), [255, 255, 255]);
        assert_eq!(pixel([200, 100, 100], [0, -255, 0]), [200, 200, 200]);
        // A third of the color wheel, both ways round: red becomes green, and blue.
        assert_eq!(pixel([200, 0, 0], [85, 0, 0]), [0, 200, 0]);
        assert_eq!(pixel([200, 0, 0], [-85, 0, 0]), [0, 0, 200]);
        let grey = Image::from_pixels(1, 1, 1, vec![9]).unwrap();
        assert_eq!(shift_hsv(grey, [50, 50, -20]).unwrap().bytes(), [0]);
    }

    // The same of Image.fromarray(array[:, :, 0]).
    #[test]
    fn grey_images_have_contrast_but_no_color() {
        let bytes = SOURCE.iter().step_by(3).copied().collect();
        let grey = Image::from_pixels(3, 4, 1, bytes).unwrap();
        let expected = [75, 108, 110, 82, 100, 87, 121, 124, 96, 115, 103, 137];
        assert_eq!(contrast(grey.clone(), 0.3).unwrap().bytes(), expected);
        assert_eq!(saturation(grey.clone(), 0.3).unwrap(), grey);
        assert_eq!(hue(grey.clone(), 0.3).unwrap(), grey);
    }

    #[test]
    fn a_factor_of_one_changes_nothing() {
        for change in [brightness, contrast, saturation] {
            assert_eq!(change(source(), 1.0).unwrap(), source());
        }
    }

    #[rustfmt::skip]
    const GOLDEN: [(usize, f64, [u8; 36]); 8] = [
        (0, 0.3, [
            1, 15, 52, 34, 38, 65, 36, 30, 47, 8, 69, 75, 26, 0, 72, 14, 54, 39,
            47, 0, 53, 50, 70, 35, 23, 32, 64, 41, 41, 62, 29, 18, 30, 63, 42, 44,
        ]),
        (0, 1.7, [
            8, 90, 255, 195, 219, 255, 209, 175, 255, 49, 255, 255, 151, 1, 255, 79, 255, 226,
            255, 5, 255, 255, 255, 202, 130, 185, 255, 236, 232, 255, 168, 107, 171, 255, 243, 249,
        ]),
        (1, 0.3, [
            85, 99, 136, 118, 122, 149, 120, 114, 131, 92, 153, 159, 110, 84, 156, 98, 138, 123,
            131, 84, 137, 134, 154, 119, 107, 116, 148, 125, 125, 146, 113, 102, 114, 147, 126, 128,
        ]),
        (1, 1.7, [
            0, 6, 213, 111, 135, 255, 125, 91, 182, 0, 255, 255, 67, 0, 255, 0, 223, 142,
            186, 0, 216, 203, 255, 118, 46, 101, 255, 152, 148, 255, 84, 23, 87, 255, 159, 165,
        ]),
        (2, 0.3, [
            38, 53, 89, 129, 133, 159, 117, 111, 127, 129, 190, 196, 65, 38, 111, 108, 148, 134,
            96, 49, 101, 192, 211, 177, 101, 111, 142, 143, 143, 164, 84, 73, 84, 178, 157, 158,
        ]),
        (2, 1.7, [
            0, 53, 255, 101, 124, 255, 128, 94, 186, 0, 255, 255, 112, 0, 255, 0, 213, 131,
            222, 0, 252, 145, 255, 60, 52, 106, 255, 134, 130, 253, 113, 52, 117, 247, 128, 135,
        ]),
        (3, -0.2, [
            5, 175, 93, 116, 217, 182, 103, 149, 157, 56, 251, 30, 2, 206, 243, 123, 181, 48,
            3, 57, 177, 235, 160, 120, 78, 215, 155, 138, 209, 196, 63, 73, 101, 194, 144, 213,
        ]),
        (3, 0.35, [
            175, 5, 37, 217, 116, 120, 157, 126, 103, 251, 30, 212, 243, 104, 2, 145, 48, 181,
            177, 171, 3, 120, 160, 235, 215, 78, 97, 209, 144, 138, 101, 101, 63, 144, 213, 144,
        ]),
    ];
}
