//! Sums over all pixels per channel, in an order that does not depend on the number of threads.

use rayon::prelude::*;

use crate::element::Element;

/// Pixels per partial sum.
const CHUNK_PIXELS: usize = 1024;

/// `N` sums per channel over the pixels of `a` and `b`, accumulated in f64: fixed chunks in parallel, then the chunks in order.
/// `add` adds one pixel of both to the sums.
pub(crate) fn channel_sums<T: Element, const N: usize>(
    a: &[T],
    b: &[T],
    channels: usize,
    add: impl Fn(&[T], &[T], &mut [Vec<f64>; N]) + Sync,
) -> [Vec<f64>; N] {
    let zeros = || std::array::from_fn::<_, N, _>(|_| vec![0f64; channels]);
    let chunk = (CHUNK_PIXELS * channels).max(1);
    let partials: Vec<[Vec<f64>; N]> = a
        .par_chunks(chunk)
        .zip(b.par_chunks(chunk))
        .map(|(a, b)| {
            let mut sums = zeros();
            let pixels = a.chunks_exact(channels).zip(b.chunks_exact(channels));
            pixels.for_each(|(a, b)| add(a, b, &mut sums));
            sums
        })
        .collect();
    partials.into_iter().fold(zeros(), |mut sums, partial| {
        for (sum, partial) in sums.iter_mut().zip(partial) {
            sum.iter_mut().zip(partial).for_each(|(sum, value)| *sum += value);
        }
        sums
    })
}

/// The sum of each channel over all pixels.
pub(crate) fn sum_over_pixels<T: Element>(values: &[T], channels: usize) -> Vec<f64> {
    let [sums] = channel_sums(values, values, channels, |pixel, _, [sums]| {
        sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value.to_f64());
    });
    sums
}
