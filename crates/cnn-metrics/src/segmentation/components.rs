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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::random::Draws;

    /// Every pixel takes the lowest number among itself and its neighbours until nothing changes.
    fn slowly(mask: &[u8], height: usize, width: usize) -> Vec<u32> {
        let mut lowest: Vec<usize> = (0..mask.len()).collect();
        loop {
            let before = lowest.clone();
            for pixel in 0..mask.len() {
                for other in neighbours(pixel, height, width) {
                    if mask[pixel] == 1 && mask[other] == 1 {
                        lowest[pixel] = lowest[pixel].min(lowest[other]);
                    }
                }
            }
            if lowest == before {
                break;
            }
        }
        let first = |pixel: &usize| mask[*pixel] == 1 && lowest[*pixel] == *pixel;
        let firsts: Vec<usize> = (0..mask.len()).filter(first).collect();
        let number = |pixel: usize| match mask[pixel] {
            1 => firsts.binary_search(&lowest[pixel]).unwrap() as u32 + 1,
            _ => 0,
        };
        (0..mask.len()).map(number).collect()
    }

    #[test]
    fn equals_the_slow_way() {
        for (height, width) in [(1, 1), (1, 30), (30, 1), (13, 22)] {
            for density in 1..5 {
                let mut draws = Draws::new(density, width as u64);
                let cell = |_| u8::from(draws.below(5) < density);
                let mask: Vec<u8> = (0..height * width).map(cell).collect();
                let labels = connected_components(&mask, height, width, 1).unwrap();
                assert_eq!(labels, slowly(&mask, height, width));
            }
        }
    }

    #[test]
    fn a_size_that_does_not_fit_is_an_error() {
        for (height, width) in [(2, 2), (0, 3), (usize::MAX, usize::MAX)] {
            let error = connected_components(&[0, 1, 0], height, width, 1);
            assert!(matches!(error, Err(Error::ImageSize { pixels: 3, .. })));
        }
        assert!(connected_components(&[], 0, 7, 1).unwrap().is_empty());
        assert!(connected_components(&[], 7, 0, 1).unwrap().is_empty());
    }
}
