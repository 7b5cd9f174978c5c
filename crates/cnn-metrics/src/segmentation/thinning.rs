//! Borders between segments made thin.
//!
//! P. Soille and L. M. Vincent, "Determining watersheds in digital pictures via flooding
//! simulations", 1990.

use std::collections::VecDeque;

use super::masks::{check_size, neighbours};
use crate::Error;

/// Grows the segments of a label image over its background (label 0) until lines of one pixel are
/// left between them.
///
/// It is the flood of a watershed over a flat background, with 4-neighbours: pixels are taken in
/// the order in which the growing segments reach them, first those beside a segment. A pixel takes
/// the label that its labelled neighbours agree on; it becomes a line, and keeps 0, where they
/// disagree or where only lines reached it. The order is that of `WatershedTransform2D`, which the
/// ISBI 2012 challenge's script calls: the first pixels column by column, then a pixel's neighbours
/// left, above, right, below. So the lines should be the script's, pixel by pixel; its source was
/// followed, Fiji itself was not run.
///
/// Without any segment the whole image becomes one, as there. `labels` has `height` rows of `width`
/// pixels. Time and memory are in proportion to them.
///
/// # Errors
///
/// [`Error::ImageSize`] if the pixels are not `height · width`.
///
/// ```
/// let labels = [
///     1, 0, 0, 0, 2, //
///     1, 0, 0, 0, 2,
/// ];
/// let thin = cnn_metrics::thin_borders(&labels, 2, 5)?;
/// assert_eq!(thin, [1, 1, 0, 2, 2, 1, 1, 0, 2, 2]);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn thin_borders(labels: &[u32], height: usize, width: usize) -> Result<Vec<u32>, Error> {
    check_size(labels.len(), height, width)?;
    if labels.iter().all(|&label| label == 0) {
        return Ok(vec![1; labels.len()]);
    }
    let mut flood = Flood {
        reached: labels.iter().map(|&label| label != 0).collect(),
        labels: labels.to_vec(),
        queue: VecDeque::new(),
        height,
        width,
    };
    flood.start();
    while let Some(pixel) = flood.queue.pop_front() {
        flood.take(pixel);
    }
    Ok(flood.labels)
}

struct Flood {
    labels: Vec<u32>,
    /// Which pixels have a segment's label from the start, or are in the queue, or were.
    reached: Vec<bool>,
    queue: VecDeque<usize>,
    height: usize,
    width: usize,
}

impl Flood {
    /// Queues the background beside segments, column by column.
    fn start(&mut self) {
        for column in 0..self.width {
            for row in 0..self.height {
                let pixel = row * self.width + column;
                let labelled = |other: usize| self.labels[other] != 0;
                if self.labels[pixel] == 0
                    && neighbours(pixel, self.height, self.width).any(labelled)
                {
                    self.reached[pixel] = true;
                    self.queue.push_back(pixel);
                }
            }
        }
    }

    /// Decides on a pixel and queues the neighbours that it reaches.
    fn take(&mut self, pixel: usize) {
        let mut label = 0;
        let mut agreed = true;
        for other in neighbours(pixel, self.height, self.width) {
            if !self.reached[other] {
                self.reached[other] = true;
                self.queue.push_back(other);
            }
            let theirs = self.labels[other];
            if theirs != 0 {
                agreed &= label == 0 || label == theirs;
                label = theirs;
            }
        }
        if agreed {
            self.labels[pixel] = label;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::connected_components;
    use crate::random::Draws;

    #[test]
    fn segments_grow_and_never_touch() {
        for (height, width) in [(1, 40), (17, 12), (12, 17)] {
            for seed in 0..10 {
                let mut draws = Draws::new(seed, height as u64);
                let cell = |_| u8::from(draws.below(5) < 2);
                let mask: Vec<u8> = (0..height * width).map(cell).collect();
                let labels = connected_components(&mask, height, width, 1).unwrap();
                let thin = thin_borders(&labels, height, width).unwrap();
                for pixel in 0..thin.len() {
                    if labels[pixel] != 0 {
                        assert_eq!(thin[pixel], labels[pixel]);
                    }
                    let touched = |&other: &usize| thin[other] != 0;
                    let around: Vec<u32> = neighbours(pixel, height, width)
                        .filter(touched)
                        .map(|other| thin[other])
                        .collect();
                    if thin[pixel] != 0 {
                        assert!(around.iter().all(|&label| label == thin[pixel]));
                    }
                }
            }
        }
    }

    #[test]
    fn a_line_of_one_pixel_is_left_of_odd_and_even_borders() {
        assert_eq!(thin_borders(&[1, 0, 2], 1, 3).unwrap(), [1, 0, 2]);
        // Which of the two is the line depends on which side comes first.
        assert_eq!(thin_borders(&[1, 0, 0, 2], 1, 4).unwrap(), [1, 1, 0, 2]);
        assert_eq!(thin_borders(&[1, 0, 0, 2], 4, 1).unwrap(), [1, 1, 0, 2]);
        assert_eq!(thin_borders(&[0, 0, 7], 1, 3).unwrap(), [7, 7, 7]);
    }

    #[test]
    fn an_image_without_segments_becomes_one() {
        assert_eq!(thin_borders(&[0; 6], 2, 3).unwrap(), [1; 6]);
        assert!(thin_borders(&[], 0, 0).unwrap().is_empty());
        assert!(thin_borders(&[0; 6], usize::MAX, 3).is_err());
    }
}
