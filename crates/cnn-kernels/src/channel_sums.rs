//! Sums over all pixels per channel, in an order that does not depend on the number of threads.

use rayon::prelude::*;

use crate::element::Element;
use crate::isa::{Loop, vectorised};
use crate::simd::Simd;

/// Floats that a vector of one value per channel is repeated to, so that few channels vectorise as well as many.
const PERIOD: usize = 512;
/// Terms that are summed in the element type before f64 takes over.
const TERMS: usize = 64;

/// Values after which the same channels come again: a few whole pixels.
pub(crate) fn period(channels: usize) -> usize {
    channels * PERIOD.div_ceil(channels.max(1)).max(1)
}

/// One value per channel repeated over a [`period`].
pub(crate) fn repeated<T: Element>(values: impl ExactSizeIterator<Item = f64> + Clone) -> Vec<T> {
    let period = period(values.len());
    values.map(T::from_f64).cycle().take(period).collect()
}

/// `N` sums per channel of terms of `a`, `b` and the channel's `shift`: short sums in the element type, those of a chunk and then the chunks in order
/// in f64.
pub(crate) fn channel_sums<T: Element, const N: usize>(
    a: &[T],
    b: &[T],
    shift: &[f64],
    terms: impl Fn(T, T, T) -> [T; N] + Sync,
) -> [Vec<f64>; N] {
    let channels = shift.len();
    let shift: Vec<T> = repeated(shift.iter().copied());
    let chunk = (TERMS * shift.len()).max(1);
    let of_chunk = |(a, b)| {
        let mut sums: [Vec<T>; N] = std::array::from_fn(|_| vec![T::zero(); shift.len()]);
        let slices = sums.each_mut().map(Vec::as_mut_slice);
        vectorised(Sums { a, b, shift: &shift, sums: slices, terms: &terms });
        sums.map(|sums| folded(channels, sums.chunks_exact(channels.max(1)), |value: &T| value.to_f64()))
    };
    let partials: Vec<[Vec<f64>; N]> = a.par_chunks(chunk).zip(b.par_chunks(chunk)).map(of_chunk).collect();
    std::array::from_fn(|n| folded(channels, partials.iter().map(|sums| sums[n].as_slice()), |&value| value))
}

/// The sum of each channel over all pixels.
pub(crate) fn sum_over_pixels<T: Element>(values: &[T], channels: usize) -> Vec<T> {
    let [sums] = channel_sums(values, values, &vec![0.; channels], |value, _, _| [value]);
    sums.into_iter().map(T::from_f64).collect()
}

fn folded<'a, T: 'a>(len: usize, rows: impl Iterator<Item = &'a [T]>, value: impl Fn(&T) -> f64) -> Vec<f64> {
    rows.fold(vec![0.; len], |mut sums, row| {
        sums.iter_mut().zip(row).for_each(|(sum, term)| *sum += value(term));
        sums
    })
}

struct Sums<'a, T, F, const N: usize> {
    a: &'a [T],
    b: &'a [T],
    /// Over one period.
    shift: &'a [T],
    sums: [&'a mut [T]; N],
    terms: &'a F,
}

impl<T: Element, F: Fn(T, T, T) -> [T; N], const N: usize> Loop for Sums<'_, T, F, N> {
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let period = self.shift.len();
        for (a, b) in self.a.chunks(period).zip(self.b.chunks(period)) {
            let len = a.len();
            let (b, shift) = (&b[..len], &self.shift[..len]);
            let sums = self.sums.each_mut().map(|sums| &mut sums[..len]);
            for i in 0..len {
                let terms = (self.terms)(a[i], b[i], shift[i]);
                for n in 0..N {
                    sums[n][i] += terms[n];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_counts_once_whatever_the_channels() {
        for channels in [1, 3, 16, 511, 512, 700] {
            let pixels = 3 * TERMS * PERIOD / channels + 5;
            let values: Vec<f32> = (0..pixels * channels).map(|i| (i % channels) as f32).collect();
            let expected: Vec<f32> = (0..channels).map(|channel| (channel * pixels) as f32).collect();
            assert_eq!(sum_over_pixels(&values, channels), expected, "{channels}");
        }
        assert!(sum_over_pixels::<f32>(&[], 0).is_empty());
    }
}
