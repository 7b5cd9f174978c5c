//! What is asked of masks and label images before anything is counted.

use crate::Error;

/// The target of a pixel that is ignored: it counts in no metric.
pub const IGNORED_TARGET: u8 = 255;

/// Fails unless every class has a number below [`IGNORED_TARGET`].
pub(super) fn check_classes(classes: usize) -> Result<(), Error> {
    if (1..=usize::from(IGNORED_TARGET)).contains(&classes) {
        Ok(())
    } else {
        Err(Error::argument("classes", classes, "1 to 255"))
    }
}

/// Fails unless both masks have as many pixels and only classes that there are; a target may be
/// ignored.
pub(super) fn check_masks(predictions: &[u8], targets: &[u8], classes: usize) -> Result<(), Error> {
    check_counts(predictions.len(), targets.len())?;
    let out_of_range = |role, pixels: &[u8], pixel: usize| Error::PixelOutOfRange {
        role,
        pixel,
        class: pixels[pixel],
        classes,
    };
    let is_class = |class: u8| usize::from(class) < classes;
    if let Some(pixel) = predictions.iter().position(|&class| !is_class(class)) {
        return Err(out_of_range("prediction", predictions, pixel));
    }
    let is_target = |class: u8| is_class(class) || class == IGNORED_TARGET;
    if let Some(pixel) = targets.iter().position(|&class| !is_target(class)) {
        return Err(out_of_range("target", targets, pixel));
    }
    Ok(())
}

/// Fails unless prediction and truth have as many pixels.
pub(super) fn check_counts(predictions: usize, targets: usize) -> Result<(), Error> {
    if predictions == targets {
        Ok(())
    } else {
        Err(Error::PixelCount {
            predictions,
            targets,
        })
    }
}

/// Fails unless so many pixels make an image of this size.
pub(super) fn check_size(pixels: usize, height: usize, width: usize) -> Result<(), Error> {
    if height.checked_mul(width) == Some(pixels) {
        Ok(())
    } else {
        Err(Error::ImageSize {
            pixels,
            height,
            width,
        })
    }
}

/// The 4-neighbours of a pixel within the image: left, above, right, below.
pub(super) fn neighbours(pixel: usize, height: usize, width: usize) -> impl Iterator<Item = usize> {
    let column = pixel % width;
    let row = pixel / width;
    let left = (column > 0).then(|| pixel - 1);
    let above = (row > 0).then(|| pixel - width);
    let right = (column + 1 < width).then(|| pixel + 1);
    let below = (row + 1 < height).then(|| pixel + width);
    [left, above, right, below].into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_stay_within_the_image() {
        let of = |pixel| neighbours(pixel, 3, 4).collect::<Vec<_>>();
        assert_eq!(of(0), [1, 4]);
        assert_eq!(of(3), [2, 7]);
        assert_eq!(of(5), [4, 1, 6, 9]);
        assert_eq!(of(11), [10, 7]);
        assert_eq!(neighbours(0, 1, 1).count(), 0);
    }
}
