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
    vectorised(Pixels {
        maps,
        vectors: vectors.map(<[T]>::as_ptr),
        target,
        ahead: ahead(target.channels),
        formula,
    });
}

struct Pixels<'a, T, F, const N: usize, const K: usize> {
    maps: [*const T; N],
    vectors: [*const T; K],
    target: Target<T>,
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
        let Target {
            pixels, channels, ..
        } = self.target;
        // SAFETY: whoever made this promised that the pixels exist, and `S` is what the caller is
        // compiled for.
        unsafe { walk::<T::Register<S>>(0..pixels, channels, &mut self) };
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
                let place = pixel * self.target.channels + channel;
                let to = self.target.values.add(place);
                R::prefetch_to_write(to.wrapping_add(self.ahead));
                let values: [R; N] = std::array::from_fn(|n| {
                    let from = self.maps[n].add(place);
                    if !(F::IN_PLACE && n + 1 == N) {
                        R::prefetch(from.wrapping_add(self.ahead));
                    }
                    load::<R, FULL>(from, count)
                });
                store::<R, FULL>(self.formula.of(values, vectors), to, count);
            }
        }
    }
}
