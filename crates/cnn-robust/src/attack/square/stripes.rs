//! The changes of Square Attack in L∞: vertical stripes, then squares of one sign in each channel.

use super::canvas::{Canvas, corner, sign};

/// How many random numbers the stripes want.
pub(super) fn numbers_of_start(canvas: &Canvas<'_>) -> usize {
    let [_, width, channels] = canvas.size;
    width * channels
}

/// How many random numbers a square wants.
pub(super) fn numbers_of_step(canvas: &Canvas<'_>) -> usize {
    2 + canvas.size[2]
}

/// A stripe of `± ε` for each column and channel.
pub(super) fn start(canvas: &Canvas<'_>, numbers: &[f64]) -> Vec<f64> {
    let row = numbers.iter().cycle();
    let pairs = canvas.clean.iter().zip(row);
    let eps = canvas.threat.eps;
    pairs
        .map(|(x, number)| (x + eps * sign(*number)).clamp(0., 1.))
        .collect()
}

/// A square of the best image so far becomes lighter or darker, as far as it may.
pub(super) fn step(canvas: &Canvas<'_>, best: &[f64], side: usize, numbers: &[f64]) -> Vec<f64> {
    let window = corner(canvas, side, [numbers[0], numbers[1]]);
    let eps = canvas.threat.eps;
    let mut image = best.to_vec();
    for pixel in window.pixels() {
        for (channel, number) in numbers[2..].iter().enumerate() {
            let place = canvas.place(pixel, channel);
            let clean = canvas.clean[place];
            let changed = image[place] + 2. * eps * sign(*number);
            image[place] = changed.clamp(clean - eps, clean + eps).clamp(0., 1.);
        }
    }
    image
}
