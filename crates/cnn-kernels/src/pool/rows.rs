//! The loops of pooling: one row of outputs, or of the input's gradient, at a time.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::{Cover, Place, Pool, Reduce};
use crate::autograd::element::Element;
use crate::machine::isa::Loop;
use crate::machine::register::{load, store};
use crate::machine::simd::Simd;

/// One row of outputs of an image.
pub(super) struct Row<'a, T, P> {
    pub(super) pool: &'a Pool,
    pub(super) xs: &'a [T],
    pub(super) y: usize,
    pub(super) ys: &'a mut [MaybeUninit<T>],
    pub(super) places: Option<&'a mut [MaybeUninit<P>]>,
}

impl<T: Element, P: Place> Loop for Row<'_, T, P> {
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let channels = self.pool.input[3];
        for (x, ys) in self.ys.chunks_exact_mut(channels).enumerate() {
            let mut pixels = self.pool.pixels(self.y, x);
            let of_nothing = if self.pool.reduce == Reduce::Max {
                f64::NEG_INFINITY
            } else {
                0.
            };
            match pixels.next() {
                Some(first) => ys
                    .iter_mut()
                    .zip(&self.xs[first..])
                    .for_each(|(y, &x)| _ = y.write(x)),
                None => ys.fill(MaybeUninit::new(T::from_f64(of_nothing))),
            }
            // SAFETY: all have just been written.
            let ys = unsafe { ys.assume_init_mut() };
            match self.pool.reduce {
                Reduce::Max => {
                    let places = self.places.as_mut().map_or(&mut [][..], |places| {
                        &mut places[x * channels..][..channels]
                    });
                    places.fill(MaybeUninit::new(P::new(0)));
                    for (tap, pixel) in (1..).zip(pixels) {
                        let wins =
                            |value: T, best: T| value > best || (is_nan(value) && !is_nan(best));
                        // The places first, while the maxima are still the old ones.
                        for ((place, &best), &value) in
                            places.iter_mut().zip(&*ys).zip(&self.xs[pixel..])
                        {
                            if wins(value, best) {
                                place.write(P::new(tap));
                            }
                        }
                        for (best, &value) in ys.iter_mut().zip(&self.xs[pixel..]) {
                            *best = if wins(value, *best) { value } else { *best };
                        }
                    }
                }
                Reduce::Mean => {
                    pixels.for_each(|pixel| {
                        ys.iter_mut()
                            .zip(&self.xs[pixel..])
                            .for_each(|(sum, &value)| *sum += value);
                    });
                    let divisor = T::from_f64(self.pool.divisor(self.y, x));
                    ys.iter_mut().for_each(|sum| *sum /= divisor);
                }
            }
        }
    }
}

/// One row of the gradient of an image's input.
pub(super) struct GradRow<'a, T, P> {
    pub(super) pool: &'a Pool,
    /// The windows over this row, and over each column.
    pub(super) rows: &'a [Cover],
    pub(super) columns: &'a [Vec<Cover>],
    pub(super) grad: &'a [T],
    /// Empty for means.
    pub(super) places: &'a [P],
    pub(super) grad_xs: &'a mut [MaybeUninit<T>],
}

impl<T, P: Place> GradRow<'_, T, P> {
    /// The windows over a pixel of the row: where their gradients begin, and which of their taps
    /// the pixel is.
    #[inline(always)]
    fn windows(&self, x: usize) -> impl Iterator<Item = (usize, usize)> {
        let columns = &self.pool.columns;
        self.rows.iter().flat_map(move |row| {
            self.columns[x].iter().map(move |column| {
                let pixel = row.output * columns.len() + column.output;
                (
                    pixel * self.pool.input[3],
                    row.tap * columns[column.output].count + column.tap,
                )
            })
        })
    }
}

impl<T: Element, P: Place> Loop for GradRow<'_, T, P> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let channels = self.pool.input[3];
        let is_max = self.pool.reduce == Reduce::Max;
        for x in 0..self.columns.len() {
            let mut sums = vec![T::zero(); channels];
            for (start, tap) in self.windows(x) {
                let grad = &self.grad[start..start + channels];
                let tap = P::new(tap);
                if is_max {
                    for ((sum, &grad), &place) in
                        sums.iter_mut().zip(grad).zip(&self.places[start..])
                    {
                        *sum += if place == tap { grad } else { T::zero() };
                    }
                } else {
                    sums.iter_mut()
                        .zip(grad)
                        .for_each(|(sum, &grad)| *sum += grad);
                }
            }
            self.grad_xs[x * channels..][..channels].write_copy_of_slice(&sums);
        }
    }
}

/// The same in f32 with explicit registers.
pub(super) struct InRegisters<R>(pub(super) R);

impl Loop for InRegisters<Row<'_, f32, u8>> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self(Row {
            pool,
            xs,
            y,
            ys,
            places,
        }) = self;
        let channels = pool.input[3];
        let places = places.map_or(std::ptr::null_mut(), |places| {
            places.as_mut_ptr().cast::<u8>()
        });
        let [_, _, width, _] = pool.input;
        let rows_ahead: Vec<usize> = pool
            .rows_ahead(y)
            .map(|row| row * width * channels)
            .collect();
        let mut offsets = Vec::new();
        let mut columns_before = 0;
        let mut shape = None;
        for (x, taps) in pool.columns.iter().enumerate() {
            let first = pool.pixels(y, x).next().unwrap_or(0);
            // Most windows of a row have the same shape.
            if shape.replace((taps.count, taps.step)) != Some((taps.count, taps.step)) {
                offsets.clear();
                offsets.extend(pool.pixels(y, x).map(|pixel| pixel - first));
            }
            let end = taps.start + taps.count;
            let columns_ahead = columns_before.max(taps.start)..end;
            columns_before = end;
            let pixel = MaxPixel {
                xs: xs.as_ptr().wrapping_add(first),
                offsets: &offsets,
                image: xs.as_ptr(),
                rows_ahead: &rows_ahead,
                columns_ahead,
                channels,
                y: ys[x * channels..(x + 1) * channels].as_mut_ptr().cast(),
                places: if places.is_null() {
                    places
                } else {
                    places.wrapping_add(x * channels)
                },
            };
            // SAFETY: all pixels have the channels; `S` is what the caller is compiled for.
            unsafe {
                if places.is_null() {
                    pixel.run::<S, false>();
                } else {
                    pixel.run::<S, true>();
                }
            }
        }
    }
}

/// One output of a maximum and what is under its window.
struct MaxPixel<'a> {
    /// The window's first pixel, and the distances of all of them from it.
    xs: *const f32,
    offsets: &'a [usize],
    /// Rows of the image, as offsets, and columns that will be read soon.
    image: *const f32,
    rows_ahead: &'a [usize],
    columns_ahead: Range<usize>,
    channels: usize,
    y: *mut f32,
    /// Null if they are not kept.
    places: *mut u8,
}

impl MaxPixel<'_> {
    /// # Safety
    /// Every pointer is valid for the channels, but for places unless `PLACES`.
    #[inline(always)]
    unsafe fn run<S: Simd, const PLACES: bool>(&self) {
        let mut channel = 0;
        // SAFETY: the caller's promise; several registers first, then whole ones, then what is
        // left.
        unsafe {
            while channel + 4 * S::LANES <= self.channels {
                self.registers::<S, 4, true, PLACES>(channel);
                channel += 4 * S::LANES;
            }
            while channel + S::LANES <= self.channels {
                self.registers::<S, 1, true, PLACES>(channel);
                channel += S::LANES;
            }
            if channel < self.channels {
                self.registers::<S, 1, false, PLACES>(channel);
            }
        }
    }

    /// `V` registers; unless `FULL`, one with what is left of the channels.
    #[inline(always)]
    unsafe fn registers<S: Simd, const V: usize, const FULL: bool, const PLACES: bool>(
        &self,
        channel: usize,
    ) {
        let count = if FULL {
            S::LANES
        } else {
            self.channels - channel
        };
        // SAFETY: the caller's promise.
        unsafe {
            for v in 0..V {
                S::prefetch_to_write(self.y.add(channel + v * S::LANES));
            }
            let mut best = [S::splat(f32::NEG_INFINITY); V];
            let mut place = [S::splat(0.); V];
            if !self.offsets.is_empty() {
                for (v, best) in best.iter_mut().enumerate() {
                    *best = load::<S, FULL>(self.xs.add(channel + v * S::LANES), count);
                }
            }
            for (tap, &offset) in self.offsets.iter().enumerate().skip(1) {
                let tap = S::splat(tap as f32);
                let pixel = self.xs.add(offset);
                for v in 0..V {
                    let value = load::<S, FULL>(pixel.add(channel + v * S::LANES), count);
                    (best[v], place[v]) = best[v].larger(place[v], value, tap);
                }
            }
            for row in self.rows_ahead {
                for column in self.columns_ahead.clone() {
                    for v in 0..V {
                        let at = row + column * self.channels + channel + v * S::LANES;
                        S::prefetch(self.image.wrapping_add(at));
                    }
                }
            }
            for v in 0..V {
                let at = channel + v * S::LANES;
                store::<S, FULL>(best[v], self.y.add(at), count);
                if PLACES {
                    place[v].store_bytes(self.places.add(at), count);
                }
            }
        }
    }
}

impl Loop for InRegisters<GradRow<'_, f32, u8>> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let Self(mut row) = self;
        let channels = row.pool.input[3];
        let columns = &row.pool.columns;
        let grad_xs = std::mem::take(&mut row.grad_xs);
        let mut windows = Vec::new();
        for (x, grad_xs) in grad_xs.chunks_exact_mut(channels).enumerate() {
            windows.clear();
            for over_row in row.rows {
                for over in &row.columns[x] {
                    let start = (over_row.output * columns.len() + over.output) * channels;
                    let tap = (over_row.tap * columns[over.output].count + over.tap) as f32;
                    let grad = row.grad.as_ptr().wrapping_add(start);
                    let places = row.places.as_ptr().wrapping_add(start);
                    windows.push(Covering { grad, places, tap });
                }
            }
            let pixel = GradPixel {
                windows: &windows,
                channels,
                grad_x: grad_xs.as_mut_ptr().cast(),
            };
            // SAFETY: all pixels have the channels, and all windows have places or none; `S` is
            // what the caller is compiled for.
            unsafe {
                match row.pool.reduce {
                    Reduce::Max => pixel.run::<S, true>(),
                    Reduce::Mean => pixel.run::<S, false>(),
                }
            }
        }
    }
}

/// A window over a pixel.
struct Covering {
    grad: *const f32,
    /// Not to be read for means.
    places: *const u8,
    /// Which of the window's taps the pixel is.
    tap: f32,
}

/// The gradient of one pixel of the input and the windows over it.
struct GradPixel<'a> {
    windows: &'a [Covering],
    channels: usize,
    grad_x: *mut f32,
}

impl GradPixel<'_> {
    /// # Safety
    /// Every pointer is valid for the channels, but for places unless `MAX`.
    #[inline(always)]
    unsafe fn run<S: Simd, const MAX: bool>(&self) {
        let mut channel = 0;
        // SAFETY: the caller's promise; whole registers first, then what is left.
        unsafe {
            while channel + 4 * S::LANES <= self.channels {
                self.registers::<S, 4, true, MAX>(channel);
                channel += 4 * S::LANES;
            }
            while channel + S::LANES <= self.channels {
                self.registers::<S, 1, true, MAX>(channel);
                channel += S::LANES;
            }
            if channel < self.channels {
                self.registers::<S, 1, false, MAX>(channel);
            }
        }
    }

    /// `V` registers; unless `FULL`, one with what is left of the channels.
    #[inline(always)]
    unsafe fn registers<S: Simd, const V: usize, const FULL: bool, const MAX: bool>(
        &self,
        channel: usize,
    ) {
        let count = if FULL {
            S::LANES
        } else {
            self.channels - channel
        };
        // SAFETY: the caller's promise.
        unsafe {
            for v in 0..V {
                S::prefetch_to_write(self.grad_x.add(channel + v * S::LANES));
            }
            let mut sums = [S::splat(0.); V];
            for window in self.windows {
                let tap = S::splat(window.tap);
                for (v, sum) in sums.iter_mut().enumerate() {
                    let at = channel + v * S::LANES;
                    let mut grad = load::<S, FULL>(window.grad.add(at), count);
                    if MAX {
                        grad = S::load_bytes(window.places.add(at), count).where_equal(tap, grad);
                    }
                    *sum = sum.add(grad);
                }
            }
            for (v, &sum) in sums.iter().enumerate() {
                store::<S, FULL>(sum, self.grad_x.add(channel + v * S::LANES), count);
            }
        }
    }
}

#[inline(always)]
#[expect(
    clippy::eq_op,
    reason = "NaN is the one value that differs from itself, and the trait has no is_nan"
)]
fn is_nan<T: Element>(value: T) -> bool {
    value != value
}
