//! Segments of a mask: connected components.

use super::masks::{check_size, neighbours};
use crate::Error;

/// The connected components of the pixels of `mask` that are of `class`: a label image, with a
/// number from 1 for each component and 0 for all other pixels.
///
/// Two pixels are connected if one is left of, right of, above or below the other
/// (4-neighbourhood). Components are numbered in the order of their first pixels, row by row.
/// `mask` has `height` rows of `width` pixels. Time and memory are in proportion to them.
///
/// # Errors
///
/// [`Error::ImageSize`] if the pixels are not `height · width`; [`Error::InvalidArgument`] if there
/// are more components than u32 can number.
///
/// ```
/// let mask = [
///     1, 1, 0, 1, //
///     0, 0, 1, 1,
/// ];
/// let labels = cnn_metrics::connected_components(&mask, 2, 4, 1)?;
/// assert_eq!(labels, [1, 1, 0, 2, 0, 0, 2, 2]);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn connected_components(
    mask: &[u8],
    height: usize,
    width: usize,
    class: u8,
) -> Result<Vec<u32>, Error> {
    check_size(mask.len(), height, width)?;
    let mut labels = vec![0_u32; mask.len()];
    let mut last = 0_u32;
    let mut reached = Vec::new();
    for first in 0..mask.len() {
        if mask[first] != class || labels[first] != 0 {
            continue;
        }
        last = last.checked_add(1).ok_or_else(|| {
            Error::argument("mask", "one of more components", "at most 4294967295")
        })?;
        labels[first] = last;
        reached.push(first);
        while let Some(pixel) = reached.pop() {
            for other in neighbours(pixel, height, width) {
                if mask[other] == class && labels[other] == 0 {
                    labels[other] = last;
                    reached.push(other);
                }
            }
        }
    }
    Ok(labels)
}
