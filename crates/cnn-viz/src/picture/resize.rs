//! Maps of values brought to another size.

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::F32;
use fast_image_resize::{FilterType, ResizeAlg, ResizeOptions, Resizer};

use crate::Error;

/// Brings a map of `from` = `[height, width]` to `to`: bilinear between pixel centres; averaged
/// over what a pixel covers where it becomes smaller.
pub(crate) fn resize_values(
    values: &[f32],
    from: [usize; 2],
    to: [usize; 2],
) -> Result<Vec<f32>, Error> {
    resize_part(values, from, [0., 0., from[0] as f64, from[1] as f64], to)
}

/// The same for a part of the map: `[top, left, height, width]`, within it.
pub(crate) fn resize_part(
    values: &[f32],
    [height, width]: [usize; 2],
    [top, left, part_height, part_width]: [f64; 4],
    to: [usize; 2],
) -> Result<Vec<f32>, Error> {
    let refused = |reason: &dyn std::fmt::Display| Error::Resize {
        from: format!("{height}x{width}"),
        to: format!("{}x{}", to[0], to[1]),
        reason: reason.to_string(),
    };
    let side = |side: usize| u32::try_from(side).map_err(|error| refused(&error));
    let pixels: Vec<F32> = values.iter().copied().map(F32::new).collect();
    let source = TypedImageRef::new(side(width)?, side(height)?, &pixels)
        .map_err(|error| refused(&error))?;
    let mut target = TypedImage::<F32>::new(side(to[1])?, side(to[0])?);
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, part_width, part_height);
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .map_err(|error| refused(&error))?;
    Ok(target.pixels().iter().map(|pixel| pixel.0).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    // cv2.resize(np.float32([[0, 4, 8], [2, 6, 1]]), (5, 4))
    #[test]
    fn larger_maps_are_those_of_opencv() {
        let expected = [
            [0., 1.6, 4., 6.4, 8.],
            [0.5, 2.1, 4.5, 5.55, 6.25],
            [1.5, 3.1, 5.5, 3.85, 2.75],
            [2., 3.6, 6., 3., 1.],
        ];
        let found = resize_values(&[0., 4., 8., 2., 6., 1.], [2, 3], [4, 5]).unwrap();
        let close = |(found, expected): (&f32, &f32)| (found - expected).abs() < 1e-5;
        assert!(
            found.iter().zip(expected.as_flattened()).all(close),
            "{found:?}"
        );
    }

    #[test]
    fn smaller_maps_average_and_parts_are_cut_out() {
        assert_eq!(resize_values(&[1.; 64], [8, 8], [1, 3]).unwrap(), [1.; 3]);
        let part =
            resize_part(&[0., 1., 2., 3., 4., 5.], [2, 3], [1., 1., 1., 2.], [1, 2]).unwrap();
        assert_eq!(part, [4., 5.]);
    }
}
