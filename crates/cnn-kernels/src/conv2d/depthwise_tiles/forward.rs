//! The convolution itself.
#![allow(unsafe_code)]

use std::ops::Range;

use super::{
    FEW, Line, MANY, RowsRead, Source, Span, Tile, channel_blocks, comes_from_memory,
    for_each_window, pixels, strip,
};
use crate::activation::values::InRows;
use crate::conv2d::direct::Epilogue;
use crate::conv2d::plan::{Plan, StridePhase};
use crate::machine::isa::Loop;
use crate::machine::register::{load, store};
use crate::machine::shared::Shared;
use crate::machine::simd::Simd;

/// Some rows of outputs, counted over the whole batch.
pub(crate) struct Rows<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) source: &'a [f32],
    /// The row, counted over the whole batch, with which the source begins.
    pub(crate) first_row: usize,
    /// `[tap][channel]`.
    pub(crate) weights: &'a [f32],
    pub(crate) epilogue: Epilogue<'a>,
    pub(crate) target: Shared,
    pub(crate) rows: Range<usize>,
}

impl Loop for Rows<'_> {
    /// Strips of tiles from the first row to the last, so that a row of the source is still in the
    /// first-level cache when the next ones read it.
    #[inline(always)]
    fn run<S: Simd>(self) {
        let plan = self.plan;
        let source = Source {
            start: self.source.as_ptr(),
            first_row: self.first_row,
        };
        let rows = RowsRead::new(plan, source, self.rows.clone());
        let tiles = |phase: &StridePhase| phase.count.div_ceil(pixels::<S>(phase.count));
        let most = plan.columns.phases.iter().map(tiles).max().unwrap_or(0);
        for channels in channel_blocks(plan) {
            let strip = strip(plan, channels.len());
            for first in (0..most).step_by(strip) {
                for (row, lines) in rows.iter() {
                    for tile in first..most.min(first + strip) {
                        for columns in &plan.columns.phases {
                            if tile < tiles(columns) {
                                let place = Place {
                                    lines,
                                    columns,
                                    row,
                                    tile,
                                    channels: channels.clone(),
                                };
                                self.any_window::<S>(&place);
                            }
                        }
                    }
                    let tiles = first..most.min(first + strip);
                    self.activate::<S>(row, tiles, channels.clone());
                }
            }
        }
    }
}

/// A tile's place: in a row of the target, which one of a phase; and some channels.
struct Place<'a> {
    lines: &'a [Line],
    columns: &'a StridePhase,
    row: usize,
    tile: usize,
    channels: Range<usize>,
}

impl Rows<'_> {
    #[inline(always)]
    fn any_window<S: Simd>(&self, place: &Place) {
        let columns = place.columns.taps.len();
        for_each_window!(columns, self.plan.columns.step, self.any_tile::<S>(place))
    }

    #[inline(always)]
    fn any_tile<S: Simd, const K: usize, const STEP: usize>(&self, place: &Place) {
        match pixels::<S>(place.columns.count) {
            MANY => self.tile::<S, K, STEP, MANY>(place),
            FEW => self.tile::<S, K, STEP, FEW>(place),
            _ => self.tile::<S, K, STEP, 1>(place),
        }
    }

    /// Applies what bounds do not express to the outputs of some tiles, which were just stored.
    #[inline(always)]
    fn activate<S: Simd>(&self, row: usize, tiles: Range<usize>, channels: Range<usize>) {
        let Some(activation) = self.epilogue.after() else {
            return;
        };
        for columns in &self.plan.columns.phases {
            let pixels = pixels::<S>(columns.count);
            let last = columns.count - pixels;
            let first = (tiles.start * pixels).min(last);
            let end = (tiles.end * pixels).min(columns.count);
            let start = row * self.plan.columns.target + columns.first;
            let places = (first..end)
                .map(|u| (start + u * columns.stride) * self.plan.c_source + channels.start);
            InRows {
                activation,
                // SAFETY: the target begins there.
                start: unsafe { self.target.at(0) },
                places,
                channels: channels.len(),
            }
            .run::<S>();
        }
    }

    /// A last tile that would reach beyond the row begins earlier, and computes some outputs again.
    #[inline(always)]
    fn tile<S: Simd, const K: usize, const STEP: usize, const N: usize>(&self, place: &Place) {
        let plan = self.plan;
        let columns = place.columns;
        let c = plan.c_source;
        let u = (place.tile * N).min(columns.count - N);
        let pixel = place.row * plan.columns.target + columns.first + u * columns.stride;
        let start = |values: Option<&[f32]>, offset: usize| {
            values.map_or(std::ptr::null(), |v| v[offset..].as_ptr())
        };
        let span = Span::new(plan, place.lines, columns, u);
        let tile = OutputTile::<K, STEP, N> {
            span: if comes_from_memory(plan) {
                span
            } else {
                Span {
                    ahead: None,
                    ..span
                }
            },
            weights: self.weights.as_ptr(),
            bias: start(self.epilogue.bias, 0),
            residual: start(self.epilogue.residual, pixel * c),
            bounds: self.epilogue.bounds(),
            // SAFETY: row, column and channel lie in the target.
            target: unsafe { self.target.at(pixel * c) },
            target_step: columns.stride * c,
        };
        // SAFETY: the lines lie in the source, the pixels in the target; `S` is what the caller is
        // compiled for.
        unsafe { tile.run::<S>(place.channels.clone()) };
    }
}

/// Neighbouring outputs of a phase.
struct OutputTile<'a, const K: usize, const STEP: usize, const N: usize> {
    span: Span<'a, K, STEP, N>,
    weights: *const f32,
    /// Null if there is none.
    bias: *const f32,
    /// As `target`; null if there is none.
    residual: *const f32,
    bounds: [f32; 2],
    target: *mut f32,
    target_step: usize,
}

impl<const K: usize, const STEP: usize, const N: usize> Tile<K, STEP, N>
    for OutputTile<'_, K, STEP, N>
{
    #[inline(always)]
    fn span(&self) -> &Span<'_, K, STEP, N> {
        &self.span
    }

    #[inline(always)]
    unsafe fn register<S: Simd, const FULL: bool, const BORDER: bool>(&self, channel: usize) {
        let count = self.span.channels - channel;
        // SAFETY: the caller's promise.
        unsafe {
            for n in 0..N {
                S::prefetch_to_write(self.target.add(n * self.target_step + channel));
            }
            let start = if self.bias.is_null() {
                S::splat(0.)
            } else {
                load::<S, FULL>(self.bias.add(channel), count)
            };
            let mut sums = [start; N];
            for line in self.span.lines {
                let xs = self.span.load::<S, FULL, BORDER>(line, channel);
                let weights = self.weights.add(line.weights + channel);
                for (k, tap) in self.span.taps.iter().enumerate() {
                    let weight = load::<S, FULL>(weights.add(*tap), count);
                    for (n, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.add_product(xs[n * STEP + k], weight);
                    }
                }
            }
            self.span.ask_ahead::<S>(channel);
            let [low, high] = self.bounds.map(|bound| S::splat(bound));
            for (n, &sum) in sums.iter().enumerate() {
                let mut sum = sum;
                let offset = n * self.target_step + channel;
                if !self.residual.is_null() {
                    sum = sum.add(load::<S, FULL>(self.residual.add(offset), count));
                }
                store::<S, FULL>(sum.within(low, high), self.target.add(offset), count);
            }
        }
    }
}
