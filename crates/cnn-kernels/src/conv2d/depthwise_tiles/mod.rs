//! Depthwise convolution through windows of a few neighbouring columns, and the gradient of its
//! weight: tiles of neighbouring pixels of a row, each value of the source loaded once for all
//! pixels of the tile that read it.
//!
//! The sums of a tile stay in registers over all taps. Columns outside the source are zeros and
//! rows outside it are left out, so that maps of few pixels, which are mostly border, cost no more
//! than others.
#![allow(unsafe_code)]

mod forward;
mod weight_gradient;

use std::ops::Range;

use crate::conv2d::plan::{Plan, StridePhase};
use crate::machine::register::load;
use crate::machine::simd::{MAX_LANES, Simd};

pub(crate) use forward::Rows;
pub(crate) use weight_gradient::WeightRows;

/// Columns of the widest window.
const MAX_COLUMNS: usize = 7;
/// Columns of the widest window whose pixels lie two columns apart.
const MAX_STRIDED_COLUMNS: usize = 5;
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
const MAX_SPAN: usize = (MANY - 1) * 2 + MAX_STRIDED_COLUMNS;

/// Columns of the source at each end of a tile that may lie outside, for windows of so many columns.
const fn edge(columns: usize) -> usize {
    if columns <= 5 { 2 } else { columns / 2 }
}

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
        let columns = phase.taps.len();
        let has_tiles = match axis.step {
            1 => matches!(columns, 1..=5 | MAX_COLUMNS),
            2 => matches!(columns, 3 | MAX_STRIDED_COLUMNS),
            _ => return false,
        };
        are_neighbours
            && has_tiles
            && -first.shift <= edge(columns) as isize
            && beyond <= edge(columns) as isize
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

/// What is read: a map, or some rows of it.
#[derive(Clone, Copy)]
struct Source {
    start: *const f32,
    /// The first row, counted over the whole batch.
    first_row: usize,
}

impl Source {
    /// A whole map.
    fn whole(map: &[f32]) -> Self {
        Self {
            start: map.as_ptr(),
            first_row: 0,
        }
    }
}

/// Adds the rows of the kernel that the `t`th row of a phase reads inside the source.
fn add_lines(
    lines: &mut Vec<Line>,
    plan: &Plan,
    source: Source,
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
        let row_floats = plan.columns.source * plan.c_source;
        lines.push(Line {
            source: source
                .start
                .wrapping_add((row - source.first_row) * row_floats),
            weights: tap.index * plan.kernel_columns * plan.c_source,
        });
    }
}

/// Some rows of the target, in order, and what they read.
struct RowsRead {
    lines: Vec<Line>,
    rows: Vec<Row>,
}

/// A row of the target and where its lines are among all of them.
struct Row {
    target: usize,
    lines: Range<usize>,
}

impl RowsRead {
    /// The rows of these numbers, counted over the whole batch.
    fn new(plan: &Plan, source: Source, numbers: Range<usize>) -> Self {
        let mut lines = Vec::new();
        let mut rows = Vec::new();
        for number in numbers {
            let image = number / plan.rows.count();
            let t = number % plan.rows.count();
            for phase in plan.rows.phases.iter().filter(|phase| t < phase.count) {
                let first = lines.len();
                add_lines(&mut lines, plan, source, phase, image, t);
                rows.push(Row {
                    target: image * plan.rows.target + phase.first + t * phase.stride,
                    lines: first..lines.len(),
                });
            }
        }
        Self { lines, rows }
    }

    /// Each row of the target with its lines.
    fn iter(&self) -> impl Iterator<Item = (usize, &[Line])> {
        self.rows
            .iter()
            .map(|row| (row.target, &self.lines[row.lines.clone()]))
    }
}

/// What a tile of `N` neighbouring pixels reads of its lines through `K` columns of taps, `STEP`
/// columns of the source from pixel to pixel.
struct Span<'a, const K: usize, const STEP: usize, const N: usize> {
    lines: &'a [Line],
    /// Elements from a line's start to the tile's first column, which may lie before it.
    offset: isize,
    /// The columns inside the source, counted from the first.
    inside: Range<usize>,
    /// Elements from a row of the weights to each of its taps.
    taps: [usize; K],
    channels: usize,
    /// The first column under the tile in the rows that will be read soon, if they are to be asked
    /// for.
    ahead: Option<*const f32>,
    /// Elements between rows of the source.
    source_row: usize,
}

impl<'a, const K: usize, const STEP: usize, const N: usize> Span<'a, K, STEP, N> {
    const COLUMNS: usize = (N - 1) * STEP + K;
    const EDGE: usize = edge(K);

    /// What the tile reads that begins at the `u`th pixel of a phase.
    fn new(plan: &Plan, lines: &'a [Line], phase: &StridePhase, u: usize) -> Self {
        let source = plan.columns.source as isize;
        let first = (u * STEP) as isize + phase.taps[0].shift;
        let within = |column: isize| {
            (column.clamp(0, source) - first).clamp(0, Self::COLUMNS as isize) as usize
        };
        let source_row = plan.columns.source * plan.c_source;
        let soon = |line: &Line| {
            line.source
                .wrapping_add(ROWS_AHEAD * source_row + u * STEP * plan.c_source)
        };
        Self {
            lines,
            offset: first * plan.c_source as isize,
            inside: within(first)..within(first + Self::COLUMNS as isize),
            taps: std::array::from_fn(|k| phase.taps[k].index * plan.c_source),
            channels: plan.c_source,
            ahead: lines.last().map(soon),
            source_row,
        }
    }

    /// The columns of a line at a register of channels; those outside the source are zero.
    ///
    /// # Safety
    /// The columns inside lie in the source with this many channels; unless `BORDER`, all are
    /// inside.
    #[inline(always)]
    unsafe fn load<S: Simd, const FULL: bool, const BORDER: bool>(
        &self,
        line: &Line,
        channel: usize,
    ) -> [S; MAX_SPAN] {
        let from = line.source.wrapping_offset(self.offset + channel as isize);
        // SAFETY: the caller's promise.
        unsafe {
            let mut xs = [S::splat(0.); MAX_SPAN];
            for (j, x) in xs.iter_mut().enumerate().take(Self::COLUMNS) {
                let may_be_outside = BORDER && (j < Self::EDGE || j + Self::EDGE >= Self::COLUMNS);
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

    /// Asks for what the tiles below will read.
    ///
    /// # Safety
    /// That of [`Simd`].
    #[inline(always)]
    unsafe fn ask_ahead<S: Simd>(&self, channel: usize) {
        if let Some(ahead) = self.ahead {
            for row in 0..STEP {
                for n in 0..N * STEP {
                    let place = row * self.source_row + n * self.channels + channel;
                    // SAFETY: the caller's promise.
                    unsafe { S::prefetch(ahead.wrapping_add(place)) };
                }
            }
        }
    }
}

/// What is computed of a span, a register of channels at a time.
trait Tile<const K: usize, const STEP: usize, const N: usize> {
    fn span(&self) -> &Span<'_, K, STEP, N>;

    /// Works on the register that begins at a channel, and is cut off at the last one unless it is
    /// `FULL`.
    ///
    /// # Safety
    /// As [`run`](Self::run); unless `BORDER`, all columns of the span are inside the source.
    unsafe fn register<S: Simd, const FULL: bool, const BORDER: bool>(&self, channel: usize);

    /// Works on some channels.
    ///
    /// # Safety
    /// The columns inside lie in the source, and what is written exists, all with their channels;
    /// and that of [`Simd`].
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, channels: Range<usize>) {
        // SAFETY: the caller's promise.
        unsafe {
            if self.span().inside == (0..Span::<K, STEP, N>::COLUMNS) {
                self.registers::<S, false>(channels);
            } else {
                self.registers::<S, true>(channels);
            }
        }
    }

    /// Whole registers first, then what is left.
    ///
    /// # Safety
    /// As [`register`](Self::register).
    #[inline(always)]
    unsafe fn registers<S: Simd, const BORDER: bool>(&self, channels: Range<usize>) {
        let Range {
            start: mut channel,
            end,
        } = channels;
        // SAFETY: the caller's promise.
        unsafe {
            while channel + S::LANES <= end {
                self.register::<S, true, BORDER>(channel);
                channel += S::LANES;
            }
            if channel < end {
                self.register::<S, false, BORDER>(channel);
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

/// Calls a method with the columns of the window and the step from pixel to pixel as constants.
macro_rules! for_each_window {
    ($columns:expr, $step:expr, $self:ident.$method:ident::<$simd:ty>($($argument:expr),*)) => {
        match ($step, $columns) {
            (1, 1) => $self.$method::<$simd, 1, 1>($($argument),*),
            (1, 2) => $self.$method::<$simd, 2, 1>($($argument),*),
            (1, 3) => $self.$method::<$simd, 3, 1>($($argument),*),
            (1, 4) => $self.$method::<$simd, 4, 1>($($argument),*),
            (1, 5) => $self.$method::<$simd, 5, 1>($($argument),*),
            (1, _) => $self.$method::<$simd, 7, 1>($($argument),*),
            (_, 3) => $self.$method::<$simd, 3, 2>($($argument),*),
            _ => $self.$method::<$simd, 5, 2>($($argument),*),
        }
    };
}
use for_each_window;

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
