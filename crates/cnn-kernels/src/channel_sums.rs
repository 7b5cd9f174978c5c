//! Sums over all pixels per channel, in an order that does not depend on the number of threads.

use crate::element::Element;
use crate::isa::{Loop, vectorised};
use crate::parallel;
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

/// What one value of `a` and one of `b` add to the two sums of their channel, which has the values `of_channel`. Implementations are
/// `#[inline(always)]`: a closure would not be compiled for the instruction set of the loop.
pub(crate) trait Terms<T, const K: usize>: Sync {
    fn of(&self, a: T, b: T, of_channel: [T; K]) -> [T; 2];
}

/// Two sums per channel of terms of `a`, `b` and the channel's values of `vectors`: short sums in the element type, those of a chunk and then the
/// chunks in order in f64.
pub(crate) fn channel_sums<T: Element, const K: usize>(
    a: &[T],
    b: &[T],
    vectors: [&[f64]; K],
    terms: &impl Terms<T, K>,
) -> [Vec<f64>; 2] {
    let channels = vectors[0].len();
    let vectors: [Vec<T>; K] = vectors.map(|vector| repeated(vector.iter().copied()));
    let period = vectors[0].len();
    let chunk = (TERMS * period).max(1);
    let of_chunk = |index: usize| {
        let range = index * chunk..a.len().min((index + 1) * chunk);
        let (a, b) = (&a[range.clone()], &b[range]);
        let mut sums = [vec![T::zero(); period], vec![T::zero(); period]];
        let slices = sums.each_mut().map(Vec::as_mut_slice);
        vectorised(Sums { a, b, vectors: vectors.each_ref().map(Vec::as_slice), sums: slices, terms });
        sums.map(|sums| folded(channels, sums.chunks_exact(channels.max(1)), |value: &T| value.to_f64()))
    };
    let partials: Vec<[Vec<f64>; 2]> = parallel::map(a.len().div_ceil(chunk), of_chunk);
    [0, 1].map(|n| folded(channels, partials.iter().map(|sums| sums[n].as_slice()), |&value| value))
}

/// The sum of each channel over all pixels.
pub(crate) fn sum_over_pixels<T: Element>(values: &[T], channels: usize) -> Vec<T> {
    let [sums, _] = channel_sums(values, values, [&vec![0.; channels]], &Values);
    sums.into_iter().map(T::from_f64).collect()
}

struct Values;

impl<T: Element> Terms<T, 1> for Values {
    #[inline(always)]
    fn of(&self, value: T, _: T, _: [T; 1]) -> [T; 2] {
        [value, T::zero()]
    }
}

fn folded<'a, T: 'a>(len: usize, rows: impl Iterator<Item = &'a [T]>, value: impl Fn(&T) -> f64) -> Vec<f64> {
    rows.fold(vec![0.; len], |mut sums, row| {
        sums.iter_mut().zip(row).for_each(|(sum, term)| *sum += value(term));
        sums
    })
}

struct Sums<'a, T, F, const K: usize> {
    a: &'a [T],
    b: &'a [T],
    /// Over one period.
    vectors: [&'a [T]; K],
    sums: [&'a mut [T]; 2],
    terms: &'a F,
}

impl<T: Element, F: Terms<T, K>, const K: usize> Loop for Sums<'_, T, F, K> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let period = self.vectors[0].len();
        let [first, second] = self.sums;
        for (a, b) in self.a.chunks(period).zip(self.b.chunks(period)) {
            add_terms(a, b, self.vectors, first, second, self.terms);
        }
    }
}

/// Slices as parameters, so that the compiler knows that the sums overlap nothing.
#[inline(always)]
fn add_terms<T: Element, const K: usize>(
    a: &[T],
    b: &[T],
    vectors: [&[T]; K],
    first: &mut [T],
    second: &mut [T],
    terms: &impl Terms<T, K>,
) {
    let len = a.len();
    let (b, first, second) = (&b[..len], &mut first[..len], &mut second[..len]);
    let vectors = vectors.map(|vector| &vector[..len]);
    for i in 0..len {
        let of_value = terms.of(a[i], b[i], vectors.map(|vector| vector[i]));
        first[i] += of_value[0];
        second[i] += of_value[1];
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
