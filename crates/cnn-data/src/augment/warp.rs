//! Moving a sample's pixels by an affine map.

use super::geometry::fill_color;
use crate::{Affine, Error, Image, Mask, Sample};

/// The sample after `map`, of the same size. The image is sampled bilinearly and is surrounded by
/// `fill`; the mask takes its nearest pixels and is surrounded by [`Mask::IGNORE`].
pub(super) fn warp(sample: Sample, map: &Affine, fill: [u8; 3]) -> Result<Sample, Error> {
    let size = [sample.image.height(), sample.image.width()];
    warp_to(sample, map, size, fill)
}

/// The same, of which the first rows and columns are seen, `size` of them.
pub(super) fn warp_to(
    sample: Sample,
    map: &Affine,
    size: [usize; 2],
    fill: [u8; 3],
) -> Result<Sample, Error> {
    let back = map.inverse();
    let fill = fill_color(fill, sample.image.channels())?;
    sample.transformed(
        map,
        |image| bilinear(&image, &back, size, &fill),
        |mask| nearest(&mask, &back, size),
    )
}

/// Takes the pixel under each point.
fn nearest(image: &Image, back: &Affine, size: [usize; 2]) -> Result<Image, Error> {
    resampled(image, back, size, |[x, y], bytes| {
        let found = pixel(image, x.floor() as i64, y.floor() as i64);
        bytes.push(found.map_or(Mask::IGNORE, |pixel| pixel[0]));
    })
}

/// Blends the four pixels around each point.
fn bilinear(image: &Image, back: &Affine, size: [usize; 2], fill: &[u8]) -> Result<Image, Error> {
    let channels = image.channels();
    let [rows, columns] = [image.height() as i64, image.width() as i64];
    let bytes_of_row = image.width() * channels;
    resampled(image, back, size, |[x, y], bytes| {
        let x = x - 0.5;
        let y = y - 0.5;
        let left = x.floor();
        let top = y.floor();
        let right_weight = x - left;
        let bottom_weight = y - top;
        let blend = |[a, b, c, d]: [u8; 4]| {
            let [a, b, c, d] = [a, b, c, d].map(f64::from);
            let upper = a + right_weight * (b - a);
            let lower = c + right_weight * (d - c);
            (upper + bottom_weight * (lower - upper)).round_ties_even() as u8
        };
        let column = left as i64;
        let row = top as i64;
        let is_inside = row >= 0 && column >= 0 && row + 1 < rows && column + 1 < columns;
        if is_inside {
            let start = row as usize * bytes_of_row + column as usize * channels;
            let upper = &image.bytes()[start..][..2 * channels];
            let lower = &image.bytes()[start + bytes_of_row..][..2 * channels];
            for channel in 0..channels {
                bytes.push(blend([
                    upper[channel],
                    upper[channel + channels],
                    lower[channel],
                    lower[channel + channels],
                ]));
            }
            return;
        }
        let corners = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .map(|(down, along)| pixel(image, column + along, row + down).unwrap_or(fill));
        for channel in 0..channels {
            bytes.push(blend(corners.map(|corner| corner[channel])));
        }
    })
}

/// An image of this size: for each pixel, `take` gets the point that its centre comes from, and
/// appends the pixel's bytes.
fn resampled(
    image: &Image,
    back: &Affine,
    [height, width]: [usize; 2],
    take: impl Fn([f64; 2], &mut Vec<u8>),
) -> Result<Image, Error> {
    let mut bytes = Vec::with_capacity(height * width * image.channels());
    for row in 0..height {
        for column in 0..width {
            let centre = [column as f64 + 0.5, row as f64 + 0.5];
            take(back.apply(centre), &mut bytes);
        }
    }
    Image::from_pixels(height, width, image.channels(), bytes)
}

fn pixel(image: &Image, column: i64, row: i64) -> Option<&[u8]> {
    let column = usize::try_from(column).ok()?;
    let row = usize::try_from(row).ok()?;
    if column >= image.width() || row >= image.height() {
        return None;
    }
    let start = (row * image.width() + column) * image.channels();
    Some(&image.bytes()[start..start + image.channels()])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    const HEIGHT: usize = 6;
    const WIDTH: usize = 9;

    fn pixels() -> Vec<u8> {
        let at = |index| (index % WIDTH, index / WIDTH);
        (0..HEIGHT * WIDTH)
            .map(at)
            .map(|(x, y)| ((17 * x + 31 * y + 7 * x * y) % 256) as u8)
            .collect()
    }

    fn warped(angle: f64, translation: [f64; 2], scale: f64, shear: [f64; 2]) -> Sample {
        let image = Image::from_pixels(HEIGHT, WIDTH, 1, pixels()).unwrap();
        let mask = Mask::new(HEIGHT, WIDTH, pixels()).unwrap();
        let map = Affine::about(
            [WIDTH as f64 / 2.0, HEIGHT as f64 / 2.0],
            angle,
            translation,
            scale,
            shear,
        );
        warp(
            Sample::new(image, None).with_mask(mask).unwrap(),
            &map,
            [0; 3],
        )
        .unwrap()
    }

    // torchvision 0.29.2: t = torch.tensor([[(17*x + 31*y + 7*x*y) % 256 for x in range(9)] for y in range(6)], uint8)[None]
    // v2.functional.rotate(t, 30, BILINEAR), rotate(t, -75, BILINEAR), affine(t, 25, [2, -1], 0.8, [10, -15], BILINEAR) and
    // the same with NEAREST and fill=[255.]. torchvision's rotate is counter-clockwise, its affine clockwise; both compute
    // in f32. No fill is zero outside; a fill of its own torchvision weighs twice at the border.
    #[test]
    fn the_bytes_are_torchvisions() {
        let still = ([0.0; 2], 1.0, [0.0; 2]);
        let cases = [
            (-30.0, still, ROTATED_BY_30),
            (75.0, still, ROTATED_BY_MINUS_75),
            (25.0, ([2.0, -1.0], 0.8, [10.0, -15.0]), AFFINE),
        ];
        for (angle, (translation, scale, shear), expected) in cases {
            let found = warped(angle, translation, scale, shear);
            for (index, (found, expected)) in found.image.bytes().iter().zip(expected).enumerate() {
                assert!(
                    found.abs_diff(expected) <= 1,
                    "{angle}, pixel {index}: {found} for {expected}"
                );
            }
        }
        let mask = warped(25.0, [2.0, -1.0], 0.8, [10.0, -15.0]).mask.unwrap();
        assert_eq!(mask.bytes(), AFFINE_NEAREST);
    }

    #[test]
    fn no_turn_and_a_half_turn_move_whole_pixels() {
        let half: Vec<u8> = pixels().into_iter().rev().collect();
        let still = warped(0.0, [0.0; 2], 1.0, [0.0; 2]);
        let turned = warped(180.0, [0.0; 2], 1.0, [0.0; 2]);
        for (found, expected) in [(still, pixels()), (turned, half)] {
            assert_eq!(found.image.bytes(), expected);
            assert_eq!(found.mask.unwrap().bytes(), expected);
        }
    }

    #[rustfmt::skip]
    const ROTATED_BY_30: [u8; HEIGHT * WIDTH] = [
        0, 0, 20, 62, 112, 166, 141, 77, 24,
        4, 26, 62, 107, 158, 215, 128, 92, 125,
        16, 52, 95, 143, 194, 113, 69, 142, 204,
        36, 76, 122, 174, 232, 96, 110, 148, 30,
        44, 93, 142, 168, 55, 71, 145, 142, 13,
        24, 104, 157, 179, 47, 73, 44, 0, 0,
    ];

    #[rustfmt::skip]
    const ROTATED_BY_MINUS_75: [u8; HEIGHT * WIDTH] = [
        52, 188, 164, 136, 105, 70, 33, 0, 0,
        2, 49, 198, 178, 147, 106, 62, 12, 0,
        0, 30, 19, 149, 192, 145, 95, 35, 0,
        0, 43, 79, 114, 162, 187, 131, 65, 0,
        0, 30, 144, 92, 65, 233, 171, 105, 3,
        0, 0, 189, 149, 92, 95, 163, 143, 36,
    ];

    #[rustfmt::skip]
    const AFFINE: [u8; HEIGHT * WIDTH] = [
        0, 0, 0, 107, 118, 116, 102, 77, 29,
        0, 0, 73, 173, 185, 186, 175, 153, 120,
        0, 0, 0, 65, 61, 54, 168, 197, 180,
        0, 0, 0, 0, 21, 100, 95, 78, 50,
        0, 0, 0, 0, 0, 28, 197, 155, 158,
        0, 0, 0, 0, 0, 0, 4, 26, 100,
    ];

    #[rustfmt::skip]
    const AFFINE_NEAREST: [u8; HEIGHT * WIDTH] = [
        255, 255, 255, 124, 131, 124, 103, 68, 255,
        255, 255, 155, 169, 214, 207, 186, 151, 102,
        255, 255, 255, 207, 3, 3, 245, 217, 175,
        255, 255, 255, 255, 255, 107, 93, 65, 23,
        255, 255, 255, 255, 255, 255, 211, 183, 141,
        255, 255, 255, 255, 255, 255, 255, 7, 228,
    ];
}
