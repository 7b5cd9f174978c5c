//! timm's evaluation transform: resize, crop, normalise.

use cnn_core::{ColorOrder, CropMode, Interpolation, LetterboxFill, Preprocessing};

use super::FloatImage;
use super::placement::Placement;
use super::resize::resize_window;
use crate::{Error, Image, Limits, Mask};

/// Makes a network's input of an image as `record` asks: `(x / 255 − mean) / std` of the resized
/// and cropped image, where `x / 255` is brought to the record's range of values.
///
/// The steps and their rounding are those of timm's `transforms_imagenet_eval`. With
/// [`CropMode::Center`] the image is resized until it covers [`Preprocessing::resize_size`] and its
/// centre cut out (filled with black where it is smaller than the input), with [`CropMode::Squash`]
/// it is stretched, with [`CropMode::Border`] it is fitted inside and the border filled with the
/// mean color; a letterbox fits it into the upper left corner. The image is made grey or RGB by
/// [`Image::with_channels`].
///
/// # Errors
///
/// [`Error::Preprocessing`] if the record is invalid, [`Error::Argument`] if it asks for
/// other than 1 or 3 channels, [`Error::TooLarge`] if its input size is beyond the default
/// [`Limits`].
///
/// ```
/// use cnn_core::Preprocessing;
/// use cnn_data::{Image, preprocess};
///
/// let image = Image::from_pixels(375, 500, 1, vec![255; 375 * 500])?;
/// let input = preprocess(&image, &Preprocessing::default())?;
/// assert_eq!(
///     (input.height(), input.width(), input.channels()),
///     (224, 224, 3)
/// );
/// assert_eq!(input.values()[..3], [2.2489083, 2.4285715, 2.64]);
/// # Ok::<(), cnn_data::Error>(())
/// ```
pub fn preprocess(image: &Image, record: &Preprocessing) -> Result<FloatImage, Error> {
    normalize(resize_and_crop(image, record)?, record)
}

/// The last part of [`preprocess`] alone: `(x / 255 − mean) / std`, of an image that keeps its
/// size.
///
/// # Errors
///
/// As [`preprocess`].
pub fn normalize(image: Image, record: &Preprocessing) -> Result<FloatImage, Error> {
    record.validate()?;
    let channels = record.channels();
    let image = image.with_channels(channels)?;
    let table = normalization_table(record);
    let mut values = Vec::with_capacity(image.bytes().len());
    let is_reversed = record.color_order == ColorOrder::Bgr;
    for pixel in image.bytes().chunks_exact(channels) {
        let normalize = |(byte, normalized): (&u8, &[f32; 256])| normalized[usize::from(*byte)];
        if is_reversed {
            values.extend(pixel.iter().rev().zip(&table).map(normalize));
        } else {
            values.extend(pixel.iter().zip(&table).map(normalize));
        }
    }
    Ok(FloatImage::new(
        image.height(),
        image.width(),
        channels,
        values,
    ))
}

/// Makes the mask of a network's input of an image's mask, as [`preprocess`] makes the input of the
/// image: it takes the nearest pixels at the same places, and [`Mask::IGNORE`] where the input is
/// filled.
///
/// # Errors
///
/// [`Error::Preprocessing`] if the record is invalid, [`Error::TooLarge`] if its input size is
/// beyond the default [`Limits`].
///
/// ```
/// use cnn_core::Preprocessing;
/// use cnn_data::{Mask, preprocess_mask};
///
/// let record = Preprocessing {
///     input_size: [3, 2, 2],
///     crop_pct: 1.0,
///     ..Preprocessing::default()
/// };
/// // The short side becomes 2 pixels; of the 4 columns the central 2 stay.
/// let mask = Mask::new(2, 4, vec![0, 1, 2, 3, 4, 5, 6, 7])?;
/// assert_eq!(preprocess_mask(mask, &record)?.bytes(), [1, 2, 5, 6]);
/// # Ok::<(), cnn_data::Error>(())
/// ```
pub fn preprocess_mask(mask: Mask, record: &Preprocessing) -> Result<Mask, Error> {
    record.validate()?;
    Limits::default().check(record.width() as u64, record.height() as u64)?;
    let placement = Placement::of([mask.height(), mask.width()], record);
    mask.map_pixels(|image| {
        let window = resize_window(
            &image,
            placement.resized,
            placement.window,
            Interpolation::Nearest,
        )?;
        pad(window, &placement, record, &[Mask::IGNORE])
    })
}

/// The first part of [`preprocess`] alone: the image that a network sees, in bytes, of the record's
/// size and number of channels.
///
/// # Errors
///
/// As [`preprocess`].
///
/// ```
/// use cnn_core::Preprocessing;
/// use cnn_data::{Image, normalize, preprocess, resize_and_crop};
///
/// let photo = Image::from_pixels(30, 40, 3, (0..3600).map(|byte| byte as u8).collect())?;
/// let record = Preprocessing {
///     input_size: [3, 16, 16],
///     ..Preprocessing::default()
/// };
/// let seen = resize_and_crop(&photo, &record)?;
/// assert_eq!((seen.height(), seen.width()), (16, 16));
/// assert_eq!(normalize(seen, &record)?, preprocess(&photo, &record)?);
/// # Ok::<(), cnn_data::Error>(())
/// ```
pub fn resize_and_crop(image: &Image, record: &Preprocessing) -> Result<Image, Error> {
    record.validate()?;
    Limits::default().check(record.width() as u64, record.height() as u64)?;
    // Grey is resized as one channel and then multiplied, RGB made grey first: the results are
    // equal, the work is less.
    let grey = (record.channels() == 1).then(|| image.to_grey());
    let placement = Placement::of([image.height(), image.width()], record);
    let window = resize_window(
        grey.as_ref().unwrap_or(image),
        placement.resized,
        placement.window,
        record.interpolation,
    )?;
    let window = window.with_channels(record.channels())?;
    let fill: Vec<u8> = match (record.letterbox_fill, record.crop_mode) {
        (Some(LetterboxFill::Grey(fill)), _) => vec![fill; record.channels()],
        (Some(LetterboxFill::Mean(_)), _) | (None, CropMode::Border) => record
            .mean
            .iter()
            .map(|mean| (255.0 * mean).round_ties_even() as u8)
            .collect(),
        (None, CropMode::Center | CropMode::Squash) => vec![0; record.channels()],
    };
    pad(window, &placement, record, &fill)
}

/// The window at its place in the input, with `fill` around it.
fn pad(
    window: Image,
    placement: &Placement,
    record: &Preprocessing,
    fill: &[u8],
) -> Result<Image, Error> {
    if [window.height(), window.width()] == [record.height(), record.width()] {
        return Ok(window);
    }
    let channels = window.channels();
    let mut bytes = fill.repeat(record.height() * record.width());
    let row_len = window.width() * channels;
    let rows = bytes
        .chunks_exact_mut(record.width() * channels)
        .skip(placement.top);
    for (row, source) in rows.zip(window.bytes().chunks_exact(row_len)) {
        row[placement.left * channels..][..row_len].copy_from_slice(source);
    }
    Image::from_pixels(record.height(), record.width(), channels, bytes)
}

/// For each channel what each byte becomes, in torchvision's order of f32 operations.
fn normalization_table(record: &Preprocessing) -> Vec<[f32; 256]> {
    let channels = record.mean.iter().zip(&record.std);
    let [black, white] = record.value_range.map(|value| value as f32);
    let value = |byte: usize| match record.value_range {
        // Exactly the byte: 255 · (byte / 255) is not always.
        [0.0, 255.0] => byte as f32,
        [0.0, 1.0] => byte as f32 / 255.0,
        _ => black + byte as f32 / 255.0 * (white - black),
    };
    channels
        .map(|(&mean, &std)| std::array::from_fn(|byte| (value(byte) - mean as f32) / std as f32))
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    /// YOLOX's preproc of a red image of two rows and four columns: blue first, bytes as they are,
    /// the rest 114.
    #[test]
    fn a_letterbox_in_bgr_keeps_bytes() {
        let image = Image::from_pixels(2, 4, 3, [200, 7, 1].repeat(8)).unwrap();
        let record = Preprocessing {
            input_size: [3, 4, 4],
            mean: vec![0.0; 3],
            std: vec![1.0; 3],
            color_order: ColorOrder::Bgr,
            value_range: [0.0, 255.0],
            ..Preprocessing::letterbox(114)
        };
        let input = preprocess(&image, &record).unwrap();
        assert_eq!(input.values()[..3], [1.0, 7.0, 200.0]);
        assert_eq!(input.values()[24..], [114.0; 24]);
        let other = Preprocessing {
            value_range: [-1.0, 1.0],
            ..record
        };
        let input = preprocess(&image, &other).unwrap();
        assert!((input.values()[2] - (200.0 / 127.5 - 1.0)).abs() < 1e-6);
    }

    #[test]
    fn grey_and_rgb_inputs_come_from_either_kind_of_image() {
        let grey = Image::from_pixels(9, 7, 1, (0..63).map(|value| value * 4).collect()).unwrap();
        let three = Preprocessing {
            input_size: [3, 5, 4],
            ..Preprocessing::default()
        };
        let one = Preprocessing {
            input_size: [1, 5, 4],
            mean: vec![0.485],
            std: vec![0.229],
            ..three.clone()
        };
        let [from_grey, from_rgb] =
            [&grey, &grey.to_rgb()].map(|image| preprocess(image, &three).unwrap());
        assert_eq!(from_grey, from_rgb);
        let single = preprocess(&grey.to_rgb(), &one).unwrap();
        assert_eq!(single.channels(), 1);
        let red: Vec<f32> = from_grey.values().iter().step_by(3).copied().collect();
        assert_eq!(single.values(), red);
    }

    #[test]
    fn extreme_shapes_cost_no_more_than_the_input() {
        for (height, width) in [(1, 30_000), (30_000, 1)] {
            let image = Image::from_pixels(height, width, 1, vec![9; 30_000]).unwrap();
            for crop_mode in [CropMode::Center, CropMode::Squash, CropMode::Border] {
                let record = Preprocessing {
                    crop_mode,
                    ..Preprocessing::default()
                };
                assert_eq!(
                    preprocess(&image, &record).unwrap().values().len(),
                    3 * 224 * 224
                );
            }
        }
    }

    #[test]
    fn an_unusable_record_is_named() {
        let image = Image::from_pixels(2, 2, 1, vec![0; 4]).unwrap();
        let cases = [
            (
                Preprocessing {
                    crop_pct: 0.0,
                    ..Preprocessing::default()
                },
                "preprocessing field `crop_pct`: found 0",
            ),
            (
                Preprocessing {
                    input_size: [2, 8, 8],
                    mean: vec![0.0; 2],
                    std: vec![1.0; 2],
                    ..Preprocessing::default()
                },
                "`channels`: found 2, expected 1 or 3",
            ),
            (
                Preprocessing {
                    input_size: [3, 65_000, 65_000],
                    crop_pct: 1.0,
                    ..Preprocessing::default()
                },
                "declares 65000x65000 pixels, accepted are at most 32768 on a side",
            ),
        ];
        for (record, expected) in cases {
            let message = preprocess(&image, &record).unwrap_err().to_string();
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
