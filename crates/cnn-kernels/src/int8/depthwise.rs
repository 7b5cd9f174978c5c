//! Depthwise convolution of bytes: each channel with its own kernel.
//!
//! Four rows under a window are interleaved, so that the dot product of four bytes is a sum along a
//! column of the kernel. Columns are interleaved once for all outputs of a row that read them.
#![allow(unsafe_code, unsafe_op_in_unsafe_fn)]

use crate::conv2d::Convolution;
use crate::geometry::Axis;
use crate::int8::microkernel::{Output, Residual};
use crate::int8::packed::QUAD;
use crate::int8::packed_depthwise::{Block, CHUNK, Columns, PackedDepthwise};
use crate::machine::integers::{Integers, MAX_INTEGER_LANES, byte_of};
use crate::machine::parallel;
use crate::machine::scratch::Scratch;

/// Outputs that are computed together.
const TILE: usize = 4;
/// Multiply-adds that are worth a task of their own.
const TASK_WORK: usize = 1 << 18;

/// A row of the source, or zero points again and again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    pub(crate) start: *const u8,
    /// Bytes between neighbouring pixels.
    pub(crate) step: usize,
}

/// One row of outputs.
pub(crate) struct RowTile<'a> {
    /// Those under the kernel, whole quads.
    pub(crate) rows: &'a [Row],
    /// A pixel of zero points.
    pub(crate) outside: *const u8,
    pub(crate) columns: Axis,
    pub(crate) channels: usize,
    pub(crate) weights: &'a PackedDepthwise,
    /// At the row's first pixel.
    pub(crate) output: Output<'a>,
    /// Working memory of [`PackedDepthwise::scratch`] floats.
    pub(crate) scratch: *mut f32,
}

/// What a depthwise convolution reads.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) values: &'a [u8],
    pub(crate) zero_point: u8,
}

/// All outputs, in parallel tasks of some rows.
///
/// # Safety
/// The output has room for the convolution's, and nobody else uses it meanwhile.
pub(crate) unsafe fn convolve(
    conv: &Convolution,
    source: Source,
    weights: &PackedDepthwise,
    output: &Output,
) {
    let outside = vec![source.zero_point; conv.c_in];
    let height = conv.geometry.rows.output;
    let all_rows = conv.batch * height;
    let row_values = conv.geometry.columns.output * conv.c_in;
    let work = all_rows * row_values * conv.taps();
    let tasks = (work / TASK_WORK).clamp(1, parallel::wanted_tasks().min(all_rows.max(1)));
    parallel::for_each(tasks, |task| {
        let mut rows = Vec::new();
        let mut scratch = Scratch::take(weights.scratch(conv));
        for row in all_rows * task / tasks..all_rows * (task + 1) / tasks {
            rows_under(conv, source.values, &outside, row, &mut rows);
            // SAFETY: the rows are those of the source or of the pixel outside; this row of the
            // output belongs to this task.
            unsafe {
                (weights.kernels.depthwise)(&RowTile {
                    rows: &rows,
                    outside: outside.as_ptr(),
                    columns: conv.geometry.columns,
                    channels: conv.c_in,
                    weights,
                    output: output.from(row * row_values),
                    scratch: scratch.as_mut_ptr(),
                });
            }
        }
    });
}

/// The rows under the kernel for output `row`, counted over the batch; behind the last, rows that
/// have weights of zero.
fn rows_under(conv: &Convolution, xs: &[u8], outside: &[u8], row: usize, rows: &mut Vec<Row>) {
    let axis = &conv.geometry.rows;
    let line = conv.geometry.columns.input * conv.c_in;
    let image = row / axis.output * axis.input;
    let none = Row {
        start: outside.as_ptr(),
        step: 0,
    };
    rows.clear();
    rows.extend((0..axis.kernel).map(|tap| {
        axis.source(row % axis.output, tap)
            .map_or(none, |source| Row {
                start: xs[(image + source) * line..].as_ptr(),
                step: conv.c_in,
            })
    }));
    rows.resize(axis.kernel.next_multiple_of(QUAD), none);
}

/// Whole blocks of `R`, and a last one of `N` if that is enough.
///
/// # Safety
/// As [`Integers`], and every address that the tile names is valid.
#[inline(always)]
pub(crate) unsafe fn convolve_row<R: Integers, N: Integers>(tile: &RowTile) {
    for start in (0..tile.channels).step_by(4 * R::LANES) {
        let own = Block::new(start, tile.channels, [R::LANES, N::LANES]);
        if own.lanes == R::LANES {
            block::<R>(tile, own);
        } else {
            block::<N>(tile, own);
        }
    }
}

#[inline(always)]
unsafe fn block<R: Integers>(tile: &RowTile, block: Block) {
    let width = tile.columns.output;
    for first in (0..width).step_by(CHUNK) {
        let outputs = CHUNK.min(width - first);
        let columns = Columns::of(&tile.columns, outputs);
        if block.channels == 4 * R::LANES {
            interleave::<R, true>(tile, block, &columns, first);
        } else {
            interleave::<R, false>(tile, block, &columns, first);
        }
        match (tile.columns.kernel, columns.step) {
            (3, 1) => chunk::<R, 3, 1>(tile, block, first, outputs, columns.step),
            (3, 2) => chunk::<R, 3, 2>(tile, block, first, outputs, columns.step),
            (5, 1) => chunk::<R, 5, 1>(tile, block, first, outputs, columns.step),
            (5, 2) => chunk::<R, 5, 2>(tile, block, first, outputs, columns.step),
            _ => chunk::<R, 0, 0>(tile, block, first, outputs, columns.step),
        }
    }
}

/// Writes the interleaved columns of the outputs from `first` on, all quads of rows of each.
#[inline(always)]
unsafe fn interleave<R: Integers, const FULL: bool>(
    tile: &RowTile,
    block: Block,
    columns: &Columns,
    first: usize,
) {
    let mut to = tile.scratch.cast::<u8>();
    for column in 0..columns.count {
        let source = columns.source(&tile.columns, first, column);
        for rows in tile.rows.chunks_exact(QUAD) {
            let values: [R; 4] = std::array::from_fn(|i| {
                let row = rows.get_unchecked(i);
                let from = source.map_or(tile.outside, |source| row.start.add(source * row.step));
                if FULL {
                    R::load_bytes(from.add(block.first))
                } else {
                    R::load_first_bytes(from.add(block.first), block.channels)
                }
            });
            for values in R::interleave(values) {
                values.store_bytes(to);
                to = to.add(R::LANES * QUAD);
            }
        }
    }
}

/// Some outputs from interleaved columns. `K` is the kernel's width and `S` the step between
/// outputs; 0 for any.
#[inline(always)]
unsafe fn chunk<R: Integers, const K: usize, const S: usize>(
    tile: &RowTile,
    block: Block,
    first: usize,
    outputs: usize,
    step: usize,
) {
    let step = if S == 0 { step } else { S };
    let width = if K == 0 { tile.columns.kernel } else { K };
    if outputs < TILE {
        for x in 0..outputs {
            let sums = sums_of::<R, 1>(tile, block, x, width, step);
            store_all::<R, 1>(tile, block, &sums, first + x);
        }
        return;
    }
    for x in (0..outputs).step_by(TILE) {
        // The last outputs are computed twice rather than one by one.
        let x = x.min(outputs - TILE);
        let sums = sums_of::<R, TILE>(tile, block, x, width, step);
        store_all::<R, TILE>(tile, block, &sums, first + x);
    }
}

/// The sums of `T` outputs from the `x`th of the chunk on.
#[inline(always)]
unsafe fn sums_of<R: Integers, const T: usize>(
    tile: &RowTile,
    block: Block,
    x: usize,
    width: usize,
    step: usize,
) -> [[R; 4]; T] {
    let weights = tile.weights;
    let register = R::LANES * QUAD;
    let column = weights.row_quads * 4 * register;
    let columns = tile.scratch.cast::<u8>().add(x * step * column);
    let packed = weights.weights.as_ptr().cast::<u8>();
    let packed = packed.add(weights.block_weights(block.start));
    let bias = weights.bias.as_ptr().add(block.start);
    let mut kept = [[R::splat(0); 4]; T];
    for v in 0..4 {
        let mut sums = [R::load(bias.add(v * R::LANES)); T];
        for quad in 0..weights.row_quads {
            for j in 0..width {
                let w = packed.add(((quad * width + j) * 4 + v) * register);
                let w = R::load_bytes(w);
                let columns = columns.add(j * column + (quad * 4 + v) * register);
                for (t, sum) in sums.iter_mut().enumerate() {
                    *sum = sum.add_dot(R::load_bytes(columns.add(t * step * column)), w);
                }
            }
        }
        for (kept, sum) in kept.iter_mut().zip(sums) {
            *kept.get_unchecked_mut(v) = sum;
        }
    }
    kept
}

#[inline(always)]
unsafe fn store_all<R: Integers, const T: usize>(
    tile: &RowTile,
    block: Block,
    sums: &[[R; 4]; T],
    x: usize,
) {
    let factors = tile.weights.factors.as_ptr().add(block.start);
    for (t, sums) in sums.iter().enumerate() {
        let place = (x + t) * tile.channels + block.first;
        store::<R>(sums, tile.output.from(place), factors, block.channels);
    }
}

#[inline(always)]
unsafe fn load<R: Integers>(from: *const u8, count: usize) -> R {
    if count >= 4 * R::LANES {
        R::load_bytes(from)
    } else {
        R::load_first_bytes(from, count)
    }
}

#[inline(always)]
unsafe fn store<R: Integers>(sums: &[R; 4], output: Output, factors: *const f32, channels: usize) {
    match output {
        Output::Sums(to) => {
            for (register, sum) in sums.iter().enumerate() {
                let mut lanes = [0; MAX_INTEGER_LANES];
                sum.store_first(lanes.as_mut_ptr(), R::LANES);
                for (lane, &sum) in lanes.iter().enumerate().take(R::LANES) {
                    let channel = byte_of(register, lane);
                    if channel < channels {
                        *to.add(channel) = sum;
                    }
                }
            }
        }
        Output::Bytes {
            to,
            requantize,
            residual,
        } => {
            let mut floats: [R::Floats; 4] =
                std::array::from_fn(|v| sums[v].scaled(R::load_floats(factors.add(v * R::LANES))));
            if let Some(Residual {
                from,
                zero_point,
                factor,
            }) = residual
            {
                let nothing = R::splat(0);
                let values = R::interleave([load(from, channels), nothing, nothing, nothing]);
                for (floats, values) in floats.iter_mut().zip(values) {
                    *floats = R::add_scaled(*floats, values, zero_point, factor);
                }
            }
            let bytes = R::gathered(floats, requantize);
            if channels >= 4 * R::LANES {
                bytes.store_bytes(to);
            } else {
                bytes.store_first_bytes(to, channels);
            }
        }
    }
}
