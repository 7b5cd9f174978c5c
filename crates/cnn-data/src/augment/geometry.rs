//! What geometric transforms share: the same change to image, boxes and mask.

use crate::{BoundingBox, Error, Image, Mask, Sample};

/// What is left of a box must have this area in square pixels …
const LEAST_AREA: f32 = 1.0;
/// … and this share of the area that the box had before it was cut.
const LEAST_SHARE: f32 = 0.1;

/// The sample with other pixels; to `change_mask` the mask looks like a grey image.
pub(super) fn map_pixels(
    sample: Sample,
    change_image: impl FnOnce(Image) -> Result<Image, Error>,
    change_mask: impl FnOnce(Image) -> Result<Image, Error>,
) -> Result<Sample, Error> {
    let Sample {
        image,
        label,
        boxes,
        mask,
    } = sample;
    let changed = Sample::new(change_image(image)?, label).with_boxes(boxes);
    let Some(mask) = mask else { return Ok(changed) };
    let mask = Image::from_pixels(mask.height(), mask.width(), 1, mask.into_bytes())?;
    let mask = change_mask(mask)?;
    changed.with_mask(Mask::new(mask.height(), mask.width(), mask.into_bytes())?)
}

/// The sample with `place` applied to each box, cut at the image's edges; boxes of which (nearly)
/// nothing is left go.
pub(super) fn map_boxes(mut sample: Sample, place: impl Fn(&BoundingBox) -> BoundingBox) -> Sample {
    let height = sample.image.height();
    let width = sample.image.width();
    let placed = sample.boxes.iter().map(place);
    let clipped = placed.map(|whole| (whole.area(), whole.clip(height, width)));
    let visible = clipped
        .filter(|(whole, left)| left.area() >= LEAST_AREA && left.area() >= LEAST_SHARE * whole);
    sample.boxes = visible.map(|(_, left)| left).collect();
    sample
}

/// The box after moving the origin to `left` and `top` and then stretching both axes.
pub(super) fn moved(
    bounding_box: &BoundingBox,
    [top, left]: [f64; 2],
    [vertical, horizontal]: [f64; 2],
) -> BoundingBox {
    let x = |edge: f32| ((f64::from(edge) - left) * horizontal) as f32;
    let y = |edge: f32| ((f64::from(edge) - top) * vertical) as f32;
    let BoundingBox {
        x_min,
        y_min,
        x_max,
        y_max,
        class,
    } = *bounding_box;
    BoundingBox {
        x_min: x(x_min),
        y_min: y(y_min),
        x_max: x(x_max),
        y_max: y(y_max),
        class,
    }
}

/// A color for an image of this many channels; grey images get its luma.
pub(super) fn fill_color(rgb: [u8; 3], channels: usize) -> Result<Vec<u8>, Error> {
    Ok(Image::from_pixels(1, 1, 3, rgb.to_vec())?
        .with_channels(channels)?
        .into_bytes())
}

/// The part of an image that begins at row `top` and column `left`; where it reaches beyond the
/// image it is `fill`.
pub(super) fn crop(
    image: &Image,
    [top, left]: [i64; 2],
    [height, width]: [usize; 2],
    fill: &[u8],
) -> Result<Image, Error> {
    let channels = image.channels();
    let mut bytes = fill.repeat(height * width);
    let rows = Overlap::of(top, height, image.height());
    let columns = Overlap::of(left, width, image.width());
    let targets = bytes
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
    Image::from_pixels(height, width, channels, bytes)
}

/// One axis of a crop: `len` pixels from `from` of the image on go to `to` of the crop.
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
    fn boxes_of_which_little_is_left_go() {
        // In an image of 10 rows and 20 columns: what is placed and what is left.
        let cases = [
            ([0.0, 0.0, 20.0, 10.0], Some([0.0, 0.0, 20.0, 10.0])),
            ([-10.0, 2.0, 10.0, 4.0], Some([0.0, 2.0, 10.0, 4.0])),
            ([-10.0, 2.0, 1.0, 4.0], None),
            ([3.0, 3.0, 4.0, 4.0], Some([3.0, 3.0, 4.0, 4.0])),
            ([3.0, 3.0, 3.9, 4.0], None),
            ([20.0, 0.0, 30.0, 10.0], None),
        ];
        for ([x_min, y_min, x_max, y_max], expected) in cases {
            let placed = BoundingBox {
                x_min,
                y_min,
                x_max,
                y_max,
                class: 1,
            };
            let image = Image::from_pixels(10, 20, 1, vec![0; 200]).unwrap();
            let sample = map_boxes(Sample::new(image, None).with_boxes(vec![placed]), |whole| {
                *whole
            });
            let left: Vec<_> = sample
                .boxes
                .iter()
                .map(|left| [left.x_min, left.y_min, left.x_max, left.y_max])
                .collect();
            assert_eq!(left, Vec::from_iter(expected), "{placed:?}");
        }
    }

    #[test]
    fn fill_colors_have_the_images_channels() {
        assert_eq!(fill_color([255, 0, 0], 3).unwrap(), [255, 0, 0]);
        assert_eq!(fill_color([255, 0, 0], 1).unwrap(), [76]);
    }
}
