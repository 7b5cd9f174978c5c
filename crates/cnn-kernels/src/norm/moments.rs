//! Mean and variance of each channel over a batch.
#![allow(unsafe_code)]

use crate::autograd::element::Element;
use crate::machine::register::Register;
use crate::norm::channel_sums::{Terms, channel_sums};

/// Pixels that the provisional means are taken from.
const SAMPLE: usize = 8;

/// Mean and biased variance per channel.
#[derive(Debug)]
pub(crate) struct Moments {
    pub(crate) mean: Vec<f64>,
    pub(crate) var: Vec<f64>,
}

impl Moments {
    /// Sums of differences to provisional means, so that a large mean does not swallow the variance:
    /// with means of a few pixels from everywhere, what is left of the mean is small beside the
    /// standard deviation.
    pub(crate) fn of_batch<T: Element>(xs: &[T], channels: usize) -> Self {
        let pixels = xs.len() / channels.max(1);
        let count = pixels as f64;
        let provisional = provisional_means(xs, channels, pixels);
        let negative: Vec<T> = provisional.iter().map(|mean| T::from_f64(-mean)).collect();
        let [sums, squares] = channel_sums([xs], [&negative], channels, &Deviations);
        let rests: Vec<f64> = sums.into_iter().map(|sum| sum / count).collect();
        let variance = |(sum, rest): (f64, &f64)| (sum / count - rest * rest).at_least_zero();
        let var = squares.into_iter().zip(&rests).map(variance).collect();
        Self {
            mean: provisional
                .iter()
                .zip(rests)
                .map(|(mean, rest)| mean + rest)
                .collect(),
            var,
        }
    }
}

/// Differences to a provisional mean, whose negative is the channel's value, and their squares.
struct Deviations;

impl<T: Element> Terms<T, 1, 1> for Deviations {
    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(&self, [x]: [R; 1], [mean]: [R; 1]) -> [R; 2] {
        // SAFETY: the caller's promise.
        unsafe {
            let deviation = x.add(mean);
            [deviation, deviation.multiply(deviation)]
        }
    }
}

/// Means over evenly spaced pixels, as `T` holds them.
fn provisional_means<T: Element>(xs: &[T], channels: usize, pixels: usize) -> Vec<f64> {
    let sample = SAMPLE.min(pixels);
    let mut means = vec![0.; channels];
    for pixel in (0..sample).map(|index| index * pixels / sample) {
        let values = &xs[pixel * channels..][..channels];
        means
            .iter_mut()
            .zip(values)
            .for_each(|(mean, x)| *mean += x.to_f64() / sample as f64);
    }
    means
        .into_iter()
        .map(|mean| T::from_f64(mean).to_f64())
        .collect()
}
