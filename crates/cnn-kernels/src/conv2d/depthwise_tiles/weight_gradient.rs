//! The gradient of the weight.
#![allow(unsafe_code)]

use std::ops::Range;

use super::{
    FEW, Line, MANY, ROWS_AHEAD, RowsRead, Source, Span, Tile, channel_blocks, for_each_window,
    pixels, strip,
};
use crate::conv2d::plan::Plan;
use crate::machine::isa::Loop;
use crate::machine::register::{load, store};
use crate::machine::simd::Simd;

/// The part of the weight gradient that some rows of outputs, counted over the whole batch, add to
/// `sums`, `[tap][channel]`.
pub(crate) struct WeightRows<'a> {
    /// The forward pass.
    pub(crate) plan: &'a Plan,
    pub(crate) xs: &'a [f32],
    pub(crate) grad: &'a [f32],
    pub(crate) rows: Range<usize>,
    pub(crate) sums: &'a mut [f32],
}

impl Loop for WeightRows<'_> {
    /// In strips as the convolution.
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let plan = self.plan;
        let rows = RowsRead::new(plan, Source::whole(self.xs), self.rows.clone());
        let count = plan.columns.phases[0].count;
        for channels in channel_blocks(plan) {
            let strip = strip(plan, channels.len()) * MANY;
            for first in (0..count).step_by(strip) {
                for (row, lines) in rows.iter() {
                    let place = Place {
                        lines,
                        row,
                        pixels: first..count.min(first + strip),
                        channels: channels.clone(),
                    };
                    self.any_window::<S>(&place);
                }
            }
        }
    }
}

/// Neighbouring pixels of a row of the gradient and some of their channels.
struct Place<'a> {
    lines: &'a [Line],
    row: usize,
    pixels: Range<usize>,
    channels: Range<usize>,
}

impl WeightRows<'_> {
    #[inline(always)]
    fn any_window<S: Simd>(&mut self, place: &Place) {
        let columns = &self.plan.columns;
        let taps = columns.phases[0].taps.len();
        for_each_window!(taps, columns.step, self.tiles::<S>(place))
    }

    #[inline(always)]
    fn tiles<S: Simd, const K: usize, const STEP: usize>(&mut self, place: &Place) {
        let Range { start: mut u, end } = place.pixels.clone();
        while u < end {
            let pixels = pixels::<S>(end - u);
            match pixels {
                MANY => self.tile::<S, K, STEP, MANY>(place, u),
                FEW => self.tile::<S, K, STEP, FEW>(place, u),
                _ => self.tile::<S, K, STEP, 1>(place, u),
            }
            u += pixels;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const K: usize, const STEP: usize, const N: usize>(
        &mut self,
        place: &Place,
        u: usize,
    ) {
        let columns = &self.plan.columns.phases[0];
        let grad_row = columns.count * self.plan.c_source;
        let pixel = place.row * columns.count + u;
        let tile = WeightTile::<K, STEP, N> {
            // The input was made in the forward pass and has long left the caches, however small,
            // so it is asked for ahead.
            span: Span::new(self.plan, place.lines, columns, u),
            grad: self.grad[pixel * self.plan.c_source..].as_ptr(),
            grad_row,
            sums: self.sums.as_mut_ptr(),
        };
        // SAFETY: the lines lie in the input, the pixels in the gradient; `S` is what the caller is
        // compiled for.
        unsafe { tile.run::<S>(place.channels.clone()) };
    }
}

/// Neighbouring pixels of the gradient and what they read.
struct WeightTile<'a, const K: usize, const STEP: usize, const N: usize> {
    span: Span<'a, K, STEP, N>,
    grad: *const f32,
    grad_row: usize,
    sums: *mut f32,
}

impl<const K: usize, const STEP: usize, const N: usize> Tile<K, STEP, N>
    for WeightTile<'_, K, STEP, N>
{
    #[inline(always)]
    fn span(&self) -> &Span<'_, K, STEP, N> {
        &self.span
    }

    #[inline(always)]
    unsafe fn register<S: Simd, const FULL: bool, const BORDER: bool>(&self, channel: usize) {
        let channels = self.span.channels;
        let count = channels - channel;
        // SAFETY: the caller's promise.
        unsafe {
            let mut grad = [S::splat(0.); N];
            for (n, grad) in grad.iter_mut().enumerate() {
                *grad = load::<S, FULL>(self.grad.add(n * channels + channel), count);
            }
            for line in self.span.lines {
                let xs = self.span.load::<S, FULL, BORDER>(line, channel);
                let mut sums = [S::splat(0.); K];
                for (n, grad) in grad.iter().enumerate() {
                    for (k, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.add_product(xs[n * STEP + k], *grad);
                    }
                }
                for (tap, sum) in self.span.taps.iter().zip(&sums) {
                    let to = self.sums.add(line.weights + tap + channel);
                    store::<S, FULL>(load::<S, FULL>(to, count).add(*sum), to, count);
                }
            }
            self.span.ask_ahead::<S>(channel);
            if self.span.ahead.is_some() {
                for n in 0..N {
                    let place = ROWS_AHEAD * self.grad_row + n * channels + channel;
                    S::prefetch(self.grad.wrapping_add(place));
                }
            }
        }
    }
}
