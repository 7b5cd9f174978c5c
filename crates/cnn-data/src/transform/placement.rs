//! Where the parts of an image go on their way to a network's input, by timm's evaluation
//! transform.

use cnn_core::{CropMode, Preprocessing};

use super::resize::Window;
use crate::{Affine, Error};

/// The image is resized to `resized`, and its part `window` is put at `top` and `left` of the
/// input; the rest is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Placement {
    pub(super) resized: [usize; 2],
    pub(super) window: Window,
    pub(super) top: usize,
    pub(super) left: usize,
}

impl Placement {
    pub(super) fn of(image: [usize; 2], record: &Preprocessing) -> Self {
        let resized = resized_size(image, record);
        let extent = if record.letterbox_fill.is_some() {
            Extent::first
        } else {
            Extent::centred
        };
        let rows = extent(resized[0], record.height());
        let columns = extent(resized[1], record.width());
        let window = Window {
            top: rows.from,
            left: columns.from,
            height: rows.len,
            width: columns.len,
        };
        Self {
            resized,
            window,
            top: rows.to,
            left: columns.to,
        }
    }
}

/// Which part of an image a network sees, and where in its input it lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InputPlacement {
    /// `[top, left, height, width]` of the part, in pixels of the image.
    pub source: [f64; 4],
    /// `[top, left, height, width]` of it in the input; the rest of the input is filled.
    pub target: [usize; 4],
    /// Rows and columns of the input for one of the image. In a letterbox both are the one ratio
    /// that its sizes were rounded down from, by which detectors learn boxes.
    pub scale: [f64; 2],
}

impl InputPlacement {
    /// The map from pixels of the image to pixels of the input.
    ///
    /// ```
    /// use cnn_core::Preprocessing;
    /// use cnn_data::input_placement;
    ///
    /// let map = input_placement([512, 1024], &Preprocessing::default())?.map();
    /// assert_eq!(map.apply([512., 256.]), [112., 112.]); // centre to centre
    ///     
    /// # Ok::<(), cnn_data::Error>(())
    /// ```
    pub fn map(&self) -> Affine {
        let Self {
            source,
            target,
            scale: [rows, columns],
        } = *self;
        Affine::translation(-source[1], -source[0])
            .then(&Affine::scaling(columns, rows))
            .then(&Affine::translation(target[1] as f64, target[0] as f64))
    }
}

/// Where the parts of an image of `[height, width]` go on their way to the input that
/// [`preprocess`](crate::preprocess) makes of it.
///
/// # Errors
///
/// [`Error::Preprocessing`] if the record is invalid, [`Error::Argument`] if the image has
/// no pixels.
///
/// ```
/// use cnn_core::Preprocessing;
/// use cnn_data::input_placement;
///
/// // The short side becomes 256 pixels, of which the central 224 are cut out.
/// let placement = input_placement([512, 1024], &Preprocessing::default())?;
/// assert_eq!(
///     (placement.source, placement.target),
///     ([32., 288., 448., 448.], [0, 0, 224, 224])
/// );
/// # Ok::<(), cnn_data::Error>(())
/// ```
pub fn input_placement(image: [usize; 2], record: &Preprocessing) -> Result<InputPlacement, Error> {
    record.validate()?;
    if image.contains(&0) {
        return Err(Error::argument(
            "image",
            format!("{}x{} pixels", image[0], image[1]),
            "at least one pixel",
        ));
    }
    let Placement {
        resized,
        window,
        top,
        left,
    } = Placement::of(image, record);
    let [rows, columns] = [0, 1].map(|axis| image[axis] as f64 / resized[axis] as f64);
    let source = [
        window.top as f64 * rows,
        window.left as f64 * columns,
        window.height as f64 * rows,
        window.width as f64 * columns,
    ];
    let target = [top, left, window.height, window.width];
    let scale = match record.letterbox_fill {
        Some(_) => [fit(image, [record.height(), record.width()]); 2],
        None => [0, 1].map(|axis| target[axis + 2] as f64 / source[axis + 2]),
    };
    Ok(InputPlacement {
        source,
        target,
        scale,
    })
}

fn resized_size(image: [usize; 2], record: &Preprocessing) -> [usize; 2] {
    let target = record.resize_size();
    if record.letterbox_fill.is_some() {
        return fitted(image, [record.height(), record.width()]);
    }
    match record.crop_mode {
        CropMode::Squash => target,
        CropMode::Center if target[0] == target[1] => with_short_side(image, target[0]),
        CropMode::Center => scaled(
            image,
            f64::min(ratio(image, target, 0), ratio(image, target, 1)),
        ),
        CropMode::Border => scaled(
            image,
            f64::max(ratio(image, target, 0), ratio(image, target, 1)),
        ),
    }
}

/// As torchvision's `Resize(side)`: the long side is rounded down.
fn with_short_side([height, width]: [usize; 2], side: usize) -> [usize; 2] {
    let long = |long: usize, short: usize| ((side as u128 * long as u128) / short as u128) as usize;
    if width <= height {
        [long(height, width), side]
    } else {
        [side, long(width, height)]
    }
}

/// As timm's `ResizeKeepRatio`: both sides are rounded, and halves to even.
fn scaled(image: [usize; 2], ratio: f64) -> [usize; 2] {
    image.map(|side| ((side as f64 / ratio).round_ties_even() as usize).max(1))
}

/// As YOLOX's `preproc`: both sides are rounded down.
pub(crate) fn fitted(image: [usize; 2], input: [usize; 2]) -> [usize; 2] {
    let scale = fit(image, input);
    image.map(|side| ((side as f64 * scale) as usize).max(1))
}

/// By how much an image grows until it fits the input.
fn fit(image: [usize; 2], input: [usize; 2]) -> f64 {
    let of_side = |axis: usize| input[axis] as f64 / image[axis] as f64;
    f64::min(of_side(0), of_side(1))
}

fn ratio(image: [usize; 2], target: [usize; 2], axis: usize) -> f64 {
    image[axis] as f64 / target[axis] as f64
}

/// One axis of a centre crop: `len` pixels, which begin at `from` in the resized image, go to `to`
/// in the input.
struct Extent {
    from: usize,
    to: usize,
    len: usize,
}

impl Extent {
    /// All of the image, from the first pixel of the input on.
    fn first(resized: usize, input: usize) -> Self {
        Self {
            from: 0,
            to: 0,
            len: resized.min(input),
        }
    }

    /// As torchvision's `CenterCrop`: a start of half a pixel is rounded to even, and of an odd
    /// padding the smaller half comes first.
    fn centred(resized: usize, input: usize) -> Self {
        match resized.checked_sub(input) {
            Some(surplus) => Self {
                from: (surplus as f64 / 2.0).round_ties_even() as usize,
                to: 0,
                len: input,
            },
            None => Self {
                from: 0,
                to: (input - resized) / 2,
                len: resized,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // int(side * long / short) of torchvision 0.29 and round(x / ratio) of timm 1.0.31.
    #[test]
    fn the_resized_size_is_torchvisions_and_timms() {
        let cases = [
            ([375, 500], [224, 224], CropMode::Center, [256, 341]),
            ([500, 375], [224, 224], CropMode::Center, [341, 256]),
            ([256, 256], [224, 224], CropMode::Center, [256, 256]),
            ([1, 30_000], [224, 224], CropMode::Center, [256, 7_680_000]),
            ([375, 500], [192, 224], CropMode::Center, [219, 292]),
            ([375, 500], [224, 192], CropMode::Center, [256, 341]),
            ([375, 500], [192, 224], CropMode::Squash, [219, 256]),
            ([375, 500], [224, 224], CropMode::Border, [192, 256]),
            ([30_000, 1], [224, 224], CropMode::Border, [256, 1]),
        ];
        for (image, [height, width], crop_mode, expected) in cases {
            let record = Preprocessing {
                input_size: [3, height, width],
                crop_mode,
                ..Preprocessing::default()
            };
            assert_eq!(
                resized_size(image, &record),
                expected,
                "{image:?} {crop_mode:?} {height}x{width}"
            );
        }
    }

    // cv2.resize(img, (int(width * r), int(height * r))) with r = min(416 / height, 416 / width),
    // into the upper left corner: YOLOX's preproc.
    #[test]
    fn a_letterbox_is_yoloxs() {
        let record = Preprocessing {
            input_size: [3, 416, 416],
            ..Preprocessing::letterbox(114)
        };
        let cases = [
            ([480, 640], [312, 416]),
            ([640, 427], [416, 277]),
            ([200, 200], [416, 416]),
            ([3, 4000], [1, 416]),
        ];
        for (image, resized) in cases {
            let placement = Placement::of(image, &record);
            assert_eq!(placement.resized, resized, "{image:?}");
            let window = placement.window;
            assert_eq!([window.height, window.width], resized);
            assert_eq!([placement.top, placement.left], [0, 0]);
        }
        // Boxes grow by the ratio, not by what is left of it in whole pixels.
        let placement = input_placement([640, 427], &record);
        let scale = placement.map(|placement| placement.map().apply([427., 640.]));
        assert_eq!(scale.ok(), Some([427. * 0.65, 416.]));
    }

    // crop_top = int(round((image_height - crop_height) / 2.0)) and (crop - image) // 2 of torchvision 0.29.
    #[test]
    fn the_centre_is_torchvisions() {
        let cases = [
            (256, 224, (16, 0, 224)),
            (255, 224, (16, 0, 224)),
            (253, 224, (14, 0, 224)),
            (225, 224, (0, 0, 224)),
            (227, 224, (2, 0, 224)),
            (224, 224, (0, 0, 224)),
            (223, 224, (0, 0, 223)),
            (221, 224, (0, 1, 221)),
            (1, 224, (0, 111, 1)),
        ];
        for (resized, input, expected) in cases {
            let Extent { from, to, len } = Extent::centred(resized, input);
            assert_eq!((from, to, len), expected, "{resized} to {input}");
        }
    }
}
