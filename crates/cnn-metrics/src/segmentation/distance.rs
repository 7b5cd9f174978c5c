//! The exact Euclidean distance transform in linear time.
//!
//! P. F. Felzenszwalb and D. P. Huttenlocher, "Distance transforms of sampled functions", 2012.

/// Squared distances, with the memory that they are computed in: one for all images.
#[derive(Clone, Debug, Default)]
pub(super) struct DistanceTransform {
    squared: Vec<f64>,
    envelope: Vec<Parabola>,
}

/// Where `height + (x − centre)²` is the lowest of all parabolas: from `start` to the next one's.
#[derive(Clone, Copy, Debug)]
struct Parabola {
    centre: f64,
    height: f64,
    start: f64,
}

impl DistanceTransform {
    /// The squared distance, in pixels, from the centre of each pixel to that of the nearest one
    /// in the set; ∞ for an empty set. Exact up to sides of 2²⁶ pixels. `width` is not 0.
    pub(super) fn squared(
        &mut self,
        height: usize,
        width: usize,
        is_in_set: impl Fn(usize) -> bool,
    ) -> &[f64] {
        self.along_columns(height * width, width, is_in_set);
        for row in self.squared.chunks_exact_mut(width) {
            lower_envelope(row, &mut self.envelope);
        }
        &self.squared
    }

    /// Squared distances within each column.
    fn along_columns(&mut self, pixels: usize, width: usize, is_in_set: impl Fn(usize) -> bool) {
        self.squared.clear();
        self.squared.resize(pixels, f64::INFINITY);
        for pixel in 0..pixels {
            if is_in_set(pixel) {
                self.squared[pixel] = 0.0;
            } else if pixel >= width {
                self.squared[pixel] = self.squared[pixel - width] + 1.0;
            }
        }
        for pixel in (0..pixels.saturating_sub(width)).rev() {
            self.squared[pixel] = self.squared[pixel].min(self.squared[pixel + width] + 1.0);
        }
        for distance in &mut self.squared {
            *distance *= *distance;
        }
    }
}

/// Replaces the heights `f(q)` by `min_q f(q) + (x − q)²` at every `x`.
fn lower_envelope(row: &mut [f64], envelope: &mut Vec<Parabola>) {
    envelope.clear();
    for (position, &height) in row
        .iter()
        .enumerate()
        .filter(|(_, height)| height.is_finite())
    {
        let centre = position as f64;
        let mut start = f64::NEG_INFINITY;
        while let Some(last) = envelope.last() {
            let rise = (height + centre * centre) - (last.height + last.centre * last.centre);
            start = rise / (2.0 * (centre - last.centre));
            if start > last.start {
                break;
            }
            envelope.pop();
            start = f64::NEG_INFINITY;
        }
        envelope.push(Parabola {
            centre,
            height,
            start,
        });
    }
    let mut lowest = 0;
    for (position, value) in row.iter_mut().enumerate() {
        let x = position as f64;
        while envelope.get(lowest + 1).is_some_and(|next| next.start < x) {
            lowest += 1;
        }
        if let Some(parabola) = envelope.get(lowest) {
            *value = parabola.height + (x - parabola.centre) * (x - parabola.centre);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Draws;

    fn brute_force(height: usize, width: usize, set: &[bool]) -> Vec<f64> {
        let distance = |from: usize, to: usize| {
            let rows = (from / width).abs_diff(to / width);
            let columns = (from % width).abs_diff(to % width);
            (rows * rows + columns * columns) as f64
        };
        let members = || (0..set.len()).filter(|&pixel| set[pixel]);
        (0..height * width)
            .map(|pixel| {
                members()
                    .map(|member| distance(pixel, member))
                    .fold(f64::INFINITY, f64::min)
            })
            .collect()
    }

    #[test]
    fn equals_every_distance_tried() {
        let mut transform = DistanceTransform::default();
        let mut draws = Draws::new(1, 0);
        for (height, width) in [(1, 1), (1, 9), (9, 1), (7, 12), (23, 5)] {
            for one_in in [1, 2, 5, 30, 1000] {
                let set: Vec<bool> = (0..height * width)
                    .map(|_| draws.below(one_in) == 0)
                    .collect();
                assert_eq!(
                    transform.squared(height, width, |pixel| set[pixel]),
                    brute_force(height, width, &set),
                    "{height}x{width}, one in {one_in}"
                );
            }
        }
    }
}
