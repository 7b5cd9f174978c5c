//! Sums over all pixels per channel, in an order that does not depend on the number of threads.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::autograd::element::Element;
use crate::machine::isa::{Loop, vectorised};
use crate::machine::parallel;
use crate::machine::register::{Register, load};
use crate::machine::simd::{MAX_LANES, Simd};
use crate::norm::channel_map::Strided;
use crate::norm::walk::{Body, GROUP, ahead, walk};

/// Terms that are summed in the element type before f64 takes over.
const TERMS: usize = 128;
/// Values of a task, about.
const TASK: usize = 1 << 15;
/// What one value of each of `N` maps adds to the two sums of its channel, which has the values
/// `of_channel`. Implementations are `#[inline(always)]`: a closure would not be compiled for the
/// instruction set of the loop.
pub(crate) trait Terms<T, const N: usize, const K: usize>: Sync {
    /// # Safety
    /// That of [`Register`].
    unsafe fn of<R: Register<Value = T>>(&self, values: [R; N], of_channel: [R; K]) -> [R; 2];
}

/// Two sums per channel of terms of the maps and the channel's values of `vectors`: short sums in
/// the element type, those of a task and then the tasks in order in f64.
pub(crate) fn channel_sums<T: Element, const N: usize, const K: usize>(
    maps: [&[T]; N],
    vectors: [&[T]; K],
    channels: usize,
    terms: &impl Terms<T, N, K>,
) -> [Vec<f64>; 2] {
    let pixels = maps[0].len() / channels.max(1);
    let maps = maps.map(|first| Strided {
        first,
        pixel: channels,
    });
    strided_channel_sums(maps, vectors, [pixels, channels], terms)
}

/// The same of maps that are some channels of wider ones, over so many pixels and channels.
pub(crate) fn strided_channel_sums<T: Element, const N: usize, const K: usize>(
    maps: [Strided<&[T]>; N],
    vectors: [&[T]; K],
    [pixels, channels]: [usize; 2],
    terms: &impl Terms<T, N, K>,
) -> [Vec<f64>; 2] {
    for map in maps {
        let needed = pixels.saturating_sub(1) * map.pixel + channels.min(pixels * channels);
        assert!(map.first.len() >= needed, "a map lacks pixels");
    }
    let task = (TASK / channels.max(1))
        .next_multiple_of(GROUP)
        .max(4 * GROUP);
    let of_task = |index: usize| {
        let mut sums = [vec![0.; channels], vec![0.; channels]];
        let range = index * task..pixels.min((index + 1) * task);
        vectorised(Sums {
            maps,
            vectors,
            channels,
            range,
            sums: &mut sums,
            terms,
        });
        sums
    };
    let partials: Vec<[Vec<f64>; 2]> = parallel::map(pixels.div_ceil(task), of_task);
    let mut sums = [vec![0.; channels], vec![0.; channels]];
    for partial in partials {
        for (sums, partial) in sums.iter_mut().zip(partial) {
            sums.iter_mut()
                .zip(partial)
                .for_each(|(sum, value)| *sum += value);
        }
    }
    sums
}

/// The sum of each channel over all pixels.
pub(crate) fn sum_over_pixels<T: Element>(values: &[T], channels: usize) -> Vec<T> {
    let [sums, _] = channel_sums([values], [], channels, &Values);
    sums.into_iter().map(T::from_f64).collect()
}

struct Values;

impl<T: Element> Terms<T, 1, 0> for Values {
    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(&self, [value]: [R; 1], _: [R; 0]) -> [R; 2] {
        // SAFETY: the caller's promise.
        [value, unsafe { R::splat(T::zero()) }]
    }
}

struct Sums<'a, T, F, const N: usize, const K: usize> {
    maps: [Strided<&'a [T]>; N],
    vectors: [&'a [T]; K],
    channels: usize,
    /// Pixels.
    range: Range<usize>,
    sums: &'a mut [Vec<f64>; 2],
    terms: &'a F,
}

impl<T: Element, F: Terms<T, N, K>, const N: usize, const K: usize> Loop for Sums<'_, T, F, N, K> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let padded = self.channels.next_multiple_of(MAX_LANES);
        let mut short = [vec![T::zero(); padded], vec![T::zero(); padded]];
        for start in self.range.clone().step_by(TERMS) {
            let pixels = start..self.range.end.min(start + TERMS);
            let sums = short.each_mut().map(|sums| sums.as_mut_ptr());
            let mut body = ShortSums {
                maps: self.maps,
                vectors: self.vectors,
                ahead: ahead(self.channels) / self.channels.max(1),
                sums,
                terms: self.terms,
            };
            // SAFETY: the pixels lie in the maps, the short sums are whole registers, and `S` is
            // what the caller is compiled for.
            unsafe { walk::<T::Register<S>>(pixels, self.channels, &mut body) };
            for (sums, short) in self.sums.iter_mut().zip(&mut short) {
                sums.iter_mut()
                    .zip(&*short)
                    .for_each(|(sum, value)| *sum += value.to_f64());
                short.fill(T::zero());
            }
        }
    }
}

struct ShortSums<'a, T, F, const N: usize, const K: usize> {
    maps: [Strided<&'a [T]>; N],
    vectors: [&'a [T]; K],
    /// Pixels ahead of the one that is read.
    ahead: usize,
    sums: [*mut T; 2],
    terms: &'a F,
}

impl<T, R, F, const N: usize, const K: usize> Body<R> for ShortSums<'_, T, F, N, K>
where
    T: Element,
    R: Register<Value = T>,
    F: Terms<T, N, K>,
{
    #[inline(always)]
    unsafe fn run<const PIXELS: usize, const FULL: bool>(
        &mut self,
        pixel: usize,
        channel: usize,
        count: usize,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let vectors: [R; K] = std::array::from_fn(|k| {
                load::<R, FULL>(self.vectors[k].as_ptr().add(channel), count)
            });
            let [first, second] = self.sums.map(|sums| sums.add(channel));
            let mut sums = [R::load(first), R::load(second)];
            for pixel in pixel..pixel + PIXELS {
                let values: [R; N] = std::array::from_fn(|n| {
                    let map = self.maps[n];
                    let from = map.first.as_ptr().add(pixel * map.pixel + channel);
                    R::prefetch(from.wrapping_add(self.ahead * map.pixel));
                    load::<R, FULL>(from, count)
                });
                let terms = self.terms.of(values, vectors);
                sums = [sums[0].add(terms[0]), sums[1].add(terms[1])];
            }
            sums[0].store(first);
            sums[1].store(second);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_counts_once_whatever_the_channels() {
        for channels in [1, 3, 16, 511, 512, 700] {
            let pixels = 3 * TASK / channels + 5;
            let values: Vec<f32> = (0..pixels * channels)
                .map(|i| (i % channels) as f32)
                .collect();
            let expected: Vec<f32> = (0..channels)
                .map(|channel| (channel * pixels) as f32)
                .collect();
            assert_eq!(sum_over_pixels(&values, channels), expected, "{channels}");
        }
        assert!(sum_over_pixels::<f32>(&[], 0).is_empty());
    }
}
