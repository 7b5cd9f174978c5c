//! The changes of Square Attack in L2 and L1: pairs of a hill and a valley, of which one window
//! gives its size to another.

use super::super::projection::to_l1_ball_within_unit;
use super::canvas::{Canvas, Window, corner, sign};
use crate::Norm;

/// Keeps a division by the size of a window finite.
const FLOOR: f64 = 1e-12;

/// How many random numbers the first hills want.
pub(super) fn numbers_of_start(canvas: &Canvas<'_>) -> usize {
    tiles(canvas).len() * (1 + canvas.size[2])
}

/// How many random numbers a step wants.
pub(super) fn numbers_of_step(canvas: &Canvas<'_>) -> usize {
    5 + canvas.size[2]
}

/// A hill and a valley in each tile.
pub(super) fn start(canvas: &Canvas<'_>, numbers: &[f64]) -> Vec<f64> {
    let mut change = vec![0.; canvas.clean.len()];
    let rows = numbers.chunks_exact(1 + canvas.size[2]);
    for (tile, numbers) in tiles(canvas).into_iter().zip(rows) {
        let hill = hill_and_valley(canvas.threat.norm, tile.side, numbers[0]);
        for (pixel, height) in tile.pixels().zip(hill) {
            for (channel, number) in numbers[1..].iter().enumerate() {
                change[canvas.place(pixel, channel)] += height * sign(*number);
            }
        }
    }
    allowed(canvas, change)
}

/// One window of the best change so far gets another hill and valley, and the size that a second
/// window, which becomes empty, had.
pub(super) fn step(canvas: &Canvas<'_>, best: &[f64], side: usize, numbers: &[f64]) -> Vec<f64> {
    let norm = canvas.threat.norm;
    let pairs = best.iter().zip(canvas.clean);
    let mut change: Vec<f64> = pairs.map(|(a, b)| a - b).collect();
    let window = corner(canvas, side, [numbers[0], numbers[1]]);
    let emptied = corner(canvas, side, [numbers[2], numbers[3]]);
    let hill = hill_and_valley(norm, side, numbers[4]);
    let size = norm.size(&change);
    for (channel, number) in numbers[5..].iter().enumerate() {
        let place = |pixel| canvas.place(pixel, channel);
        let old: Vec<f64> = window.pixels().map(|pixel| change[place(pixel)]).collect();
        let beside = emptied.pixels().filter(|pixel| !window.contains(*pixel));
        let both = old.iter().copied();
        let both: Vec<f64> = both
            .chain(beside.map(|pixel| change[place(pixel)]))
            .collect();
        let scale = sign(*number);
        let of_old = 1. / (FLOOR + norm.size(&old));
        let pairs = hill.iter().zip(&old);
        let new: Vec<f64> = pairs.map(|(h, d)| h * scale + d * of_old).collect();
        let factor = grown(canvas, size, norm.size(&both)) / (FLOOR + norm.size(&new));
        for pixel in emptied.pixels() {
            change[place(pixel)] = 0.;
        }
        for (pixel, value) in window.pixels().zip(new) {
            change[place(pixel)] = value * factor;
        }
    }
    allowed(canvas, change)
}

/// The size of a channel's new window: that of both old ones, and what the ball has left.
fn grown(canvas: &Canvas<'_>, size: f64, of_windows: f64) -> f64 {
    let eps = canvas.threat.eps;
    let channels = canvas.size[2] as f64;
    match canvas.threat.norm {
        Norm::L1 => ((eps - size).max(0.) / channels + of_windows) * channels,
        Norm::L2 | Norm::Linf => {
            let left = (eps * eps - size * size).max(0.);
            (left / channels + of_windows * of_windows).sqrt()
        }
    }
}

/// The image with a change as large as the ball.
fn allowed(canvas: &Canvas<'_>, mut change: Vec<f64>) -> Vec<f64> {
    let eps = canvas.threat.eps;
    match canvas.threat.norm {
        Norm::L1 => to_l1_ball_within_unit(canvas.clean, &mut change, eps * (1. - 1e-6)),
        Norm::L2 | Norm::Linf => {
            let factor = eps / (Norm::L2.size(&change) + FLOOR);
            change.iter_mut().for_each(|value| *value *= factor);
        }
    }
    let pairs = canvas.clean.iter().zip(change);
    pairs.map(|(x, d)| (x + d).clamp(0., 1.)).collect()
}

/// The tiles that the first change is made of: about five a side of the height.
fn tiles(canvas: &Canvas<'_>) -> Vec<Window> {
    let [height, width, _] = canvas.size;
    let side = (height / 5).clamp(1, width.max(1));
    // Of an image of 32 pixels one is left at the upper border and one at the lower.
    let ends = |length: usize| {
        let count = length / side;
        let margin = (length - count * side) / 2;
        (0..count).map(move |index| margin + index * side)
    };
    let rows = ends(height).flat_map(|top| ends(width).map(move |left| Window { top, left, side }));
    rows.collect()
}

/// A square whose upper half is a hill and whose lower half is a valley, of size 1; lying on its
/// side for a number above a half.
fn hill_and_valley(norm: Norm, side: usize, number: f64) -> Vec<f64> {
    let upper = side / 2;
    let mut heights = hill(norm, [upper, side]);
    heights.extend(hill(norm, [side - upper, side]).iter().map(|h| -h));
    let size = norm.size(&heights);
    heights.iter_mut().for_each(|height| *height /= size);
    if number <= 0.5 {
        return heights;
    }
    let places = (0..side * side).map(|place| heights[place % side * side + place / side]);
    places.collect()
}

/// Rectangles around the middle, each wider by one on every side and added with the weight `1 / n²`
/// in L2, `1 / n⁴` in L1; of size 1.
fn hill(norm: Norm, [rows, columns]: [usize; 2]) -> Vec<f64> {
    let mut heights = vec![0.; rows * columns];
    let power = if norm == Norm::L1 { 4 } else { 2 };
    for ring in 0..(rows / 2 + 1).max(columns / 2 + 1) {
        let weight = 1. / ((ring + 1) as f64).powi(power);
        let within = |middle: usize, place: usize| middle.abs_diff(place) <= ring;
        for (place, height) in heights.iter_mut().enumerate() {
            if within(rows / 2, place / columns) && within(columns / 2, place % columns) {
                *height += weight;
            }
        }
    }
    let size = norm.size(&heights).max(f64::MIN_POSITIVE);
    heights.iter_mut().for_each(|height| *height /= size);
    heights
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_hill_is_highest_in_the_middle() {
        // By hand, 1x3: the ring 0 adds 1 to the middle, the ring 1 adds 1/4 to all three.
        let heights = hill(Norm::L2, [1, 3]);
        let size = (0.25_f64 * 0.25 * 2. + 1.25 * 1.25).sqrt();
        let expected = [0.25 / size, 1.25 / size, 0.25 / size];
        let pairs = heights.iter().zip(expected);
        assert!(
            pairs.clone().all(|(a, b)| (a - b).abs() < 1e-12),
            "{heights:?}"
        );
        let upright = hill_and_valley(Norm::L2, 3, 0.2);
        let lying = hill_and_valley(Norm::L2, 3, 0.8);
        assert!(upright[1] > 0. && upright[7] < 0. && upright[1] == lying[3]);
        assert!((Norm::L2.size(&upright) - 1.).abs() < 1e-12);
    }
}
