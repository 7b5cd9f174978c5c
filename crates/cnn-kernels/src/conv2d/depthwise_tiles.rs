//! Depthwise convolution through windows of at most three neighbouring columns, and the gradient of
//! its weight: tiles of neighbouring pixels of a row, each value of the source loaded once for all
//! pixels of the tile that read it.
//!
//! The sums of a tile stay in registers over all taps. Columns outside the source are zeros and
//! rows outside it are left out, so that maps of few pixels, which are mostly border, cost no more
//! than others.
#![allow(unsafe_code)]

use std::ops::Range;

use crate::conv2d::direct::Epilogue;
use crate::conv2d::plan::{Plan, StridePhase};
use crate::machine::isa::Loop;
use crate::machine::register::{load, store};
use crate::machine::shared::Shared;
use crate::machine::simd::{MAX_LANES, Simd};

/// Columns of a window.
const MAX_COLUMNS: usize = 3;
/// Columns of the source at each end of a tile that may lie outside.
const EDGE: usize = 2;
/// Pixels of a tile where there are 32 registers: a divisor of the sizes of most networks' maps.
const MANY: usize = 7;
/// Pixels of a tile where there are 16 registers, or of narrow maps.
const FEW: usize = 3;
/// Channels that are computed for all rows of a strip before the next ones, about: what three rows
/// of a tile read, and the weights, stay in the first-level cache.
const BLOCK: usize = 192;
/// Floats of the source under a row of a strip, about, likewise.
const STRIP: usize = 2048;
/// Floats of a source that stays in a cache, about.
const CACHE: usize = 2 << 20;
/// How far below a tile's last row the source is asked for.
const ROWS_AHEAD: usize = 2;
/// Columns under the widest tile.
const MAX_SPAN: usize = (MANY - 1) * 2 + MAX_COLUMNS;

/// Whether these tiles can compute the plan.
pub(crate) fn suits(plan: &Plan) -> bool {
    let axis = &plan.columns;
    let fits = |phase: &StridePhase| {
        let (Some(first), Some(last)) = (phase.taps.first(), phase.taps.last()) else {
            return false;
        };
        let are_neighbours = last.shift - first.shift + 1 == phase.taps.len() as isize;
        let behind = (phase.count.max(1) - 1) * axis.step + 1;
        let beyond = behind as isize + last.shift - axis.source as isize;
        let widths = match axis.step {
            1 => 1..=MAX_COLUMNS,
            2 => MAX_COLUMNS..=MAX_COLUMNS,
            _ => return false,
        };
        are_neighbours
            && widths.contains(&phase.taps.len())
            && -first.shift <= EDGE as isize
            && beyond <= EDGE as isize
    };
    axis.phases.iter().all(fits)
}

/// A row of the kernel that meets the source.
#[derive(Clone, Copy)]
struct Line {
    /// Where the row of the source begins.
    source: *const f32,
    weights: usize,
}

/// Adds the rows of the kernel that the `t`th row of a phase reads inside the source.
fn add_lines(
    lines: &mut Vec<Line>,
    plan: &Plan,
    source: *const f32,
    phase: &StridePhase,
    image: usize,
    t: usize,
) {
    let inside = 0..plan.rows.source as isize;
    let at = (t * plan.rows.step) as isize;
    for tap in phase
        .taps
        .iter()
        .filter(|tap| inside.contains(&(at + tap.shift)))
    {
        let row = image * plan.rows.source + (at + tap.shift) as usize;
        let source = source.wrapping_add(row * plan.columns.source * plan.c_source);
        lines.push(Line {
            source,
            weights: tap.index * plan.kernel_columns * plan.c_source,
        });
    }
}

/// What a tile reads of its lines.
struct Span<'a> {
    lines: &'a [Line],
    /// Elements from a line's start to the tile's first column, which may lie before it.
    offset: isize,
    /// The columns inside the source, counted from the first.
    inside: Range<usize>,
    channels: usize,
}

impl<'a> Span<'a> {
    /// `columns` neighbouring columns from `first`.
    fn new(plan: &Plan, lines: &'a [Line], first: isize, columns: usize) -> Self {
        let source = plan.columns.source as isize;
        let within =
            |column: isize| (column.clamp(0, source) - first).clamp(0, columns as isize) as usize;
        let inside = within(first)..within(first + columns as isize);
        Self {
            lines,
            offset: first * plan.c_source as isize,
            inside,
            channels: plan.c_source,
        }
    }

    fn is_whole(&self, columns: usize) -> bool {
        self.inside == (0..columns)
    }

    /// The first `columns` columns of a line at a register of channels, the others zero.
    ///
    /// # Safety
    /// The columns inside lie in the source with this many channels; unless `BORDER`, all are
    /// inside.
    #[inline(always)]
    unsafe fn load<S: Simd, const FULL: bool, const BORDER: bool>(
        &self,
        line: &Line,
        columns: usize,
        channel: usize,
    ) -> [S; MAX_SPAN] {
        let from = line.source.wrapping_offset(self.offset + channel as isize);
        // SAFETY: the caller's promise.
        unsafe {
            let mut xs = [S::splat(0.); MAX_SPAN];
            for (j, x) in xs.iter_mut().enumerate().take(columns) {
                let may_be_outside = BORDER && (j < EDGE || j + EDGE >= columns);
                if !may_be_outside || self.inside.contains(&j) {
                    *x = load::<S, FULL>(
                        from.wrapping_add(j * self.channels),
                        self.channels - channel,
                    );
                }
            }
            xs
        }
    }
}

/// Some rows of outputs, counted over the whole batch.
pub(crate) struct Rows<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) source: &'a [f32],
    /// `[tap][channel]`.
    pub(crate) weights: &'a [f32],
    pub(crate) epilogue: Epilogue<'a>,
    pub(crate) target: Shared,
    pub(crate) rows: Range<usize>,
}

/// A row of the target and what it reads.
struct Row {
    target: usize,
    lines: Range<usize>,
}

impl Loop for Rows<'_> {
    /// Strips of tiles from the first row to the last, so that a row of the source is still in the
    /// first-level cache when the next ones read it.
    #[inline(always)]
    fn run<S: Simd>(self) {
        let plan = self.plan;
        let mut lines = Vec::new();
        let mut rows = Vec::new();
        for row in self.rows.clone() {
            let image = row / plan.rows.count();
            let t = row % plan.rows.count();
            for phase in plan.rows.phases.iter().filter(|phase| t < phase.count) {
                let first = lines.len();
                add_lines(&mut lines, plan, self.source.as_ptr(), phase, image, t);
                let target = image * plan.rows.target + phase.first + t * phase.stride;
                rows.push(Row {
                    target,
                    lines: first..lines.len(),
                });
            }
        }
        let tiles = |phase: &StridePhase| phase.count.div_ceil(pixels::<S>(phase.count));
        let most = plan.columns.phases.iter().map(tiles).max().unwrap_or(0);
        for channels in channel_blocks(plan) {
            let strip = strip(plan, channels.len());
            for first in (0..most).step_by(strip) {
                for row in &rows {
                    for tile in first..most.min(first + strip) {
                        for columns in plan
                            .columns
                            .phases
                            .iter()
                            .filter(|phase| tile < tiles(phase))
                        {
                            let place = Place {
                                lines: &lines[row.lines.clone()],
                                columns,
                                row: row.target,
                                tile,
                            };
                            match (plan.columns.step, columns.taps.len()) {
                                (1, 1) => self.any_tile::<S, 1, 1>(&place, channels.clone()),
                                (1, 2) => self.any_tile::<S, 2, 1>(&place, channels.clone()),
                                (1, _) => self.any_tile::<S, 3, 1>(&place, channels.clone()),
                                _ => self.any_tile::<S, 3, 2>(&place, channels.clone()),
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Pixels of a tile in rows of `count`.
#[inline(always)]
fn pixels<S: Simd>(count: usize) -> usize {
    let most = if S::LANES == MAX_LANES { MANY } else { FEW };
    [most, FEW]
        .into_iter()
        .find(|&pixels| pixels <= count)
        .unwrap_or(1)
}

/// Whether the source is too large for a cache. Then whole rows in their order are faster than
/// strips, and asking for them early is.
fn comes_from_memory(plan: &Plan) -> bool {
    plan.batch * plan.rows.source * plan.columns.source * plan.c_source > CACHE
}

/// Equal parts of the channels, of whole registers but for the last.
fn channel_blocks(plan: &Plan) -> impl Iterator<Item = Range<usize>> {
    let channels = plan.c_source;
    let parts = if comes_from_memory(plan) {
        1
    } else {
        channels.div_ceil(BLOCK).max(1)
    };
    let block = channels.div_ceil(parts).next_multiple_of(MAX_LANES);
    (0..channels)
        .step_by(block)
        .map(move |first| first..channels.min(first + block))
}

/// Tiles of a row that belong to a strip.
fn strip(plan: &Plan, channels: usize) -> usize {
    let under_tile = MANY * plan.columns.step * channels;
    if comes_from_memory(plan) {
        plan.columns.count().max(1)
    } else {
        (STRIP / under_tile).max(1)
    }
}

/// A tile's place: in a row of the target, which one of a phase.
struct Place<'a> {
    lines: &'a [Line],
    columns: &'a StridePhase,
    row: usize,
    tile: usize,
}

impl Rows<'_> {
    #[inline(always)]
    fn any_tile<S: Simd, const K: usize, const STEP: usize>(
        &self,
        place: &Place,
        channels: Range<usize>,
    ) {
        match pixels::<S>(place.columns.count) {
            MANY => self.tile::<S, K, STEP, MANY>(place, channels),
            FEW => self.tile::<S, K, STEP, FEW>(place, channels),
            _ => self.tile::<S, K, STEP, 1>(place, channels),
        }
    }

    /// A last tile that would reach beyond the row begins earlier, and computes some outputs again.
    #[inline(always)]
    fn tile<S: Simd, const K: usize, const STEP: usize, const N: usize>(
        &self,
        place: &Place,
        channels: Range<usize>,
    ) {
        let plan = self.plan;
        let columns = place.columns;
        let lines = place.lines;
        let c = plan.c_source;
        let span = (N - 1) * STEP + K;
        let u = (place.tile * N).min(columns.count - N);
        let pixel = place.row * plan.columns.target + columns.first + u * columns.stride;
        let start = |values: Option<&[f32]>, offset: usize| {
            values.map_or(std::ptr::null(), |v| v[offset..].as_ptr())
        };
        let soon = |line: &Line| {
            line.source
                .wrapping_add((ROWS_AHEAD * plan.columns.source + u * STEP) * c)
        };
        let tile = Tile::<K> {
            source: Span::new(
                plan,
                lines,
                (u * STEP) as isize + columns.taps[0].shift,
                span,
            ),
            weights: self.weights.as_ptr(),
            taps: std::array::from_fn(|k| columns.taps[k].index * c),
            bias: start(self.epilogue.bias, 0),
            residual: start(self.epilogue.residual, pixel * c),
            bounds: self.epilogue.bounds,
            // SAFETY: row, column and channel lie in the target.
            target: unsafe { self.target.at(pixel * c) },
            target_step: columns.stride * c,
            ahead: lines.last().filter(|_| comes_from_memory(plan)).map(soon),
            source_row: plan.columns.source * c,
        };
        // SAFETY: the lines lie in the source, the pixels in the target; `S` is what the caller is
        // compiled for.
        unsafe {
            if tile.source.is_whole(span) {
                tile.run::<S, STEP, N, false>(channels);
            } else {
                tile.run::<S, STEP, N, true>(channels);
            }
        }
    }
}

/// Neighbouring outputs of a phase through `K` columns of taps.
struct Tile<'a, const K: usize> {
    source: Span<'a>,
    weights: *const f32,
    /// Elements from a row of the weights to each of its taps.
    taps: [usize; K],
    /// Null if there is none.
    bias: *const f32,
    /// As `target`; null if there is none.
    residual: *const f32,
    bounds: [f32; 2],
    target: *mut f32,
    target_step: usize,
    /// The first pixel of the columns under the tile in the rows that will be read soon, if they
    /// are to be asked for.
    ahead: Option<*const f32>,
    /// Elements between rows of the source.
    source_row: usize,
}

impl<const K: usize> Tile<'_, K> {
    /// # Safety
    /// The columns inside lie in the source, `N` pixels in the target, all with their channels;
    /// unless `BORDER`, all columns are inside.
    #[inline(always)]
    unsafe fn run<S: Simd, const STEP: usize, const N: usize, const BORDER: bool>(
        &self,
        channels: Range<usize>,
    ) {
        let end = channels.end;
        let mut channel = channels.start;
        // SAFETY: the caller's promise; whole registers first, then what is left.
        unsafe {
            while channel + S::LANES <= end {
                self.register::<S, STEP, N, true, BORDER>(channel);
                channel += S::LANES;
            }
            if channel < end {
                self.register::<S, STEP, N, false, BORDER>(channel);
            }
        }
    }

    #[inline(always)]
    unsafe fn register<
        S: Simd,
        const STEP: usize,
        const N: usize,
        const FULL: bool,
        const BORDER: bool,
    >(
        &self,
        channel: usize,
    ) {
        let count = self.source.channels - channel;
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
            for line in self.source.lines {
                let xs = self
                    .source
                    .load::<S, FULL, BORDER>(line, (N - 1) * STEP + K, channel);
                let weights = self.weights.add(line.weights + channel);
                for (k, tap) in self.taps.iter().enumerate() {
                    let weight = load::<S, FULL>(weights.add(*tap), count);
                    for (n, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.add_product(xs[n * STEP + k], weight);
                    }
                }
            }
            if let Some(ahead) = self.ahead {
                for row in 0..STEP {
                    for n in 0..N * STEP {
                        S::prefetch(ahead.wrapping_add(
                            row * self.source_row + n * self.source.channels + channel,
                        ));
                    }
                }
            }
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
        let mut lines = Vec::new();
        let mut rows = Vec::new();
        let columns = &plan.columns.phases[0];
        for row in self.rows.clone() {
            let first = lines.len();
            let count = plan.rows.count();
            add_lines(
                &mut lines,
                plan,
                self.xs.as_ptr(),
                &plan.rows.phases[0],
                row / count,
                row % count,
            );
            rows.push(Row {
                target: row,
                lines: first..lines.len(),
            });
        }
        for channels in channel_blocks(plan) {
            let strip = strip(plan, channels.len()) * MANY;
            for first in (0..columns.count).step_by(strip) {
                for row in &rows {
                    let place = WeightPlace {
                        lines: &lines[row.lines.clone()],
                        row: row.target,
                        pixels: first..columns.count.min(first + strip),
                        channels: channels.clone(),
                    };
                    match (plan.columns.step, columns.taps.len()) {
                        (1, 1) => self.pixels::<S, 1, 1>(place),
                        (1, 2) => self.pixels::<S, 2, 1>(place),
                        (1, _) => self.pixels::<S, 3, 1>(place),
                        _ => self.pixels::<S, 3, 2>(place),
                    }
                }
            }
        }
    }
}

/// Neighbouring pixels of a row of the gradient and some of their channels.
struct WeightPlace<'a> {
    lines: &'a [Line],
    row: usize,
    pixels: Range<usize>,
    channels: Range<usize>,
}

impl WeightRows<'_> {
    #[inline(always)]
    fn pixels<S: Simd, const K: usize, const STEP: usize>(&mut self, place: WeightPlace) {
        let Range { start: mut u, end } = place.pixels.clone();
        while u < end {
            let pixels = pixels::<S>(end - u);
            match pixels {
                MANY => self.tile::<S, K, STEP, MANY>(&place, u),
                FEW => self.tile::<S, K, STEP, FEW>(&place, u),
                _ => self.tile::<S, K, STEP, 1>(&place, u),
            }
            u += pixels;
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const K: usize, const STEP: usize, const N: usize>(
        &mut self,
        place: &WeightPlace,
        u: usize,
    ) {
        let plan = self.plan;
        let c = self.plan.c_source;
        let span = (N - 1) * STEP + K;
        let columns = &plan.columns.phases[0];
        let soon = |line: &Line| {
            line.source
                .wrapping_add((ROWS_AHEAD * plan.columns.source + u * STEP) * c)
        };
        let tile = WeightTile::<K> {
            xs: Span::new(
                plan,
                place.lines,
                (u * STEP) as isize + columns.taps[0].shift,
                span,
            ),
            grad: self.grad[(place.row * columns.count + u) * c..].as_ptr(),
            grad_row: columns.count * c,
            taps: std::array::from_fn(|k| columns.taps[k].index * c),
            sums: self.sums.as_mut_ptr(),
            // The input was made in the forward pass and has long left the caches, however small.
            ahead: place.lines.last().map(soon),
            source_row: plan.columns.source * c,
        };
        // SAFETY: the lines lie in the input, the pixels in the gradient; `S` is what the caller is
        // compiled for.
        unsafe {
            if tile.xs.is_whole(span) {
                tile.run::<S, STEP, N, false>(place.channels.clone());
            } else {
                tile.run::<S, STEP, N, true>(place.channels.clone());
            }
        }
    }
}

/// Neighbouring pixels of the gradient and what they read.
struct WeightTile<'a, const K: usize> {
    xs: Span<'a>,
    grad: *const f32,
    grad_row: usize,
    /// Elements from a row of the sums to each of its taps.
    taps: [usize; K],
    sums: *mut f32,
    /// As in [`Tile`].
    ahead: Option<*const f32>,
    source_row: usize,
}

impl<const K: usize> WeightTile<'_, K> {
    /// # Safety
    /// The columns inside lie in the input, `N` pixels in the gradient, all taps in the sums, all
    /// with their channels; unless `BORDER`, all columns are inside.
    #[inline(always)]
    unsafe fn run<S: Simd, const STEP: usize, const N: usize, const BORDER: bool>(
        &self,
        channels: Range<usize>,
    ) {
        let end = channels.end;
        let mut channel = channels.start;
        // SAFETY: the caller's promise; whole registers first, then what is left.
        unsafe {
            while channel + S::LANES <= end {
                self.register::<S, STEP, N, true, BORDER>(channel);
                channel += S::LANES;
            }
            if channel < end {
                self.register::<S, STEP, N, false, BORDER>(channel);
            }
        }
    }

    #[inline(always)]
    unsafe fn register<
        S: Simd,
        const STEP: usize,
        const N: usize,
        const FULL: bool,
        const BORDER: bool,
    >(
        &self,
        channel: usize,
    ) {
        let channels = self.xs.channels;
        let count = self.xs.channels - channel;
        // SAFETY: the caller's promise.
        unsafe {
            let mut grad = [S::splat(0.); N];
            for (n, grad) in grad.iter_mut().enumerate() {
                *grad = load::<S, FULL>(self.grad.add(n * channels + channel), count);
            }
            for line in self.xs.lines {
                let xs = self
                    .xs
                    .load::<S, FULL, BORDER>(line, (N - 1) * STEP + K, channel);
                let mut sums = [S::splat(0.); K];
                for (n, grad) in grad.iter().enumerate() {
                    for (k, sum) in sums.iter_mut().enumerate() {
                        *sum = sum.add_product(xs[n * STEP + k], *grad);
                    }
                }
                for (k, sum) in sums.iter().enumerate() {
                    let to = self.sums.add(line.weights + self.taps[k] + channel);
                    store::<S, FULL>(load::<S, FULL>(to, count).add(*sum), to, count);
                }
            }
            if let Some(ahead) = self.ahead {
                for row in 0..STEP {
                    for n in 0..N * STEP {
                        S::prefetch(
                            ahead.wrapping_add(row * self.source_row + n * channels + channel),
                        );
                    }
                }
                for n in 0..N {
                    S::prefetch(
                        self.grad
                            .wrapping_add(ROWS_AHEAD * self.grad_row + n * channels + channel),
                    );
                }
            }
        }
    }
}
