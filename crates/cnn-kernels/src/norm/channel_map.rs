//! A new map from the values of others, pixel by pixel, and from what belongs to each channel.
#![allow(unsafe_code)]

use crate::autograd::element::Element;
use crate::machine::isa::{Loop, vectorised};
use crate::machine::register::{Register, load, store};
use crate::machine::simd::Simd;
use crate::norm::walk::{Body, ahead, walk};

/// The new value that comes of one value of each of `N` maps, in a channel that has the values
/// `of_channel`. Implementations are `#[inline(always)]`, as those of
/// [`Terms`](crate::norm::channel_sums::Terms).
pub(crate) trait Formula<T, const N: usize, const K: usize>: Sync {
    /// Whether the new values take the place of the last map's.
    const IN_PLACE: bool;

    /// # Safety
    /// That of [`Register`].
    unsafe fn of<R: Register<Value = T>>(&self, values: [R; N], of_channel: [R; K]) -> R;
}

/// Where the new values go: some pixels with all their channels.
#[derive(Clone, Copy)]
pub(crate) struct Target<T> {
    pub(crate) values: *mut T,
    pub(crate) pixels: usize,
    pub(crate) channels: usize,
}

/// Values of some channels of a map, the first of the first pixel and how many there are between
/// neighbouring pixels.
#[derive(Clone, Copy)]
pub(crate) struct Strided<P> {
    pub(crate) first: P,
    pub(crate) pixel: usize,
}

/// Computes a formula for all values of the target.
///
/// # Safety
/// The target can be written, and each map has its pixels; a map may be the target itself.
pub(crate) unsafe fn map_channels<T: Element, const N: usize, const K: usize>(
    maps: [*const T; N],
    vectors: [&[T]; K],
    target: Target<T>,
    formula: &impl Formula<T, N, K>,
) {
    let pixel = target.channels;
    let maps = maps.map(|first| Strided { first, pixel });
    // SAFETY: the caller's promise.
    unsafe { map_strided_channels(maps, vectors, target, pixel, formula) };
}

/// The same of maps, and for a target, that are some channels of wider ones: neighbouring pixels of
/// the target are `target_pixel` values apart.
///
/// # Safety
/// As [`map_channels`].
pub(crate) unsafe fn map_strided_channels<T: Element, const N: usize, const K: usize>(
    maps: [Strided<*const T>; N],
    vectors: [&[T]; K],
    target: Target<T>,
    target_pixel: usize,
    formula: &impl Formula<T, N, K>,
) {
    // As many pixels ahead as in a map of these channels alone.
    let ahead = ahead(target.channels) / target.channels.max(1);
    vectorised(Pixels {
        maps,
        vectors: vectors.map(<[T]>::as_ptr),
        target: Strided {
            first: target.values,
            pixel: target_pixel,
        },
        pixels: target.pixels,
        channels: target.channels,
        ahead,
        formula,
    });
}

struct Pixels<'a, T, F, const N: usize, const K: usize> {
    maps: [Strided<*const T>; N],
    vectors: [*const T; K],
    target: Strided<*mut T>,
    pixels: usize,
    channels: usize,
    /// Pixels ahead of the one that is read.
    ahead: usize,
    formula: &'a F,
}

impl<T, F, const N: usize, const K: usize> Loop for Pixels<'_, T, F, N, K>
where
    T: Element,
    F: Formula<T, N, K>,
{
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        // SAFETY: whoever made this promised that the pixels exist, and `S` is what the caller is
        // compiled for.
        unsafe { walk::<T::Register<S>>(0..self.pixels, self.channels, &mut self) };
    }
}

impl<T, R, F, const N: usize, const K: usize> Body<R> for Pixels<'_, T, F, N, K>
where
    T: Element,
    R: Register<Value = T>,
    F: Formula<T, N, K>,
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
            let vectors = self
                .vectors
                .map(|vector| load::<R, FULL>(vector.add(channel), count));
            for pixel in pixel..pixel + PIXELS {
                let to = self.target.first.add(pixel * self.target.pixel + channel);
                R::prefetch_to_write(to.wrapping_add(self.ahead * self.target.pixel));
                let values: [R; N] = std::array::from_fn(|n| {
                    let map = self.maps[n];
                    let from = map.first.add(pixel * map.pixel + channel);
                    if !(F::IN_PLACE && n + 1 == N) {
                        R::prefetch(from.wrapping_add(self.ahead * map.pixel));
                    }
                    load::<R, FULL>(from, count)
                });
                store::<R, FULL>(self.formula.of(values, vectors), to, count);
            }
        }
    }
}
