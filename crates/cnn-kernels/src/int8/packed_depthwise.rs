//! Weights of a depthwise convolution of bytes in the order of interleaved rows, and which columns
//! are interleaved.

use crate::conv2d::Convolution;
use crate::geometry::Axis;
use crate::int8::microkernel::Microkernels;
use crate::int8::packed::QUAD;
use crate::machine::integers::byte_of;

/// Outputs of a row whose interleaved columns should stay in a core's first-level cache.
pub(crate) const CHUNK: usize = 32;

/// Weights, bias and factors in the order of interleaved bytes, block by block of channels.
pub(crate) struct PackedDepthwise {
    pub(crate) kernels: &'static Microkernels,
    /// `[block][quad of rows][column][register][lane][4 rows]`.
    pub(crate) weights: Vec<i8>,
    /// `[block][register][lane]`.
    pub(crate) bias: Vec<i32>,
    pub(crate) factors: Vec<f32>,
    kernel_columns: usize,
    pub(crate) row_quads: usize,
}

impl PackedDepthwise {
    pub(crate) fn new(conv: &Convolution, weight: &[i8], bias: &[i32], factors: &[f32]) -> Self {
        let kernels = Microkernels::current();
        let kernel_rows = conv.geometry.rows.kernel;
        let kernel_columns = conv.geometry.columns.kernel;
        let row_quads = kernel_rows.div_ceil(QUAD);
        let places = conv.c_in.next_multiple_of(4 * kernels.lanes);
        let mut packed = Self {
            kernels,
            weights: vec![0; places * row_quads * kernel_columns * QUAD],
            bias: vec![0; places],
            factors: vec![0.; places],
            kernel_columns,
            row_quads,
        };
        for start in (0..conv.c_in).step_by(4 * kernels.lanes) {
            let block = Block::new(start, conv.c_in, [kernels.lanes, kernels.narrow_lanes]);
            for place in 0..4 * block.lanes {
                let channel = block.first + byte_of(place / block.lanes, place % block.lanes);
                if channel >= conv.c_in {
                    continue;
                }
                packed.bias[start + place] = bias[channel];
                packed.factors[start + place] = factors[channel];
                let taps = (0..kernel_rows).flat_map(|i| (0..kernel_columns).map(move |j| (i, j)));
                for (i, j) in taps {
                    let column = i / QUAD * kernel_columns + j;
                    let to = packed.block_weights(start) + column * 4 * block.lanes * QUAD;
                    packed.weights[to + place * QUAD + i % QUAD] =
                        weight[(channel * kernel_rows + i) * kernel_columns + j];
                }
            }
        }
        packed
    }

    /// Floats of working memory: interleaved columns of a few outputs.
    pub(crate) fn scratch(&self, conv: &Convolution) -> usize {
        let axis = &conv.geometry.columns;
        let outputs = axis.output.min(CHUNK);
        Columns::of(axis, outputs).count * self.row_quads * 4 * self.kernels.lanes
    }

    /// Where the weights of a block begin.
    #[inline(always)]
    pub(crate) fn block_weights(&self, start: usize) -> usize {
        start * self.row_quads * self.kernel_columns * QUAD
    }
}

/// Channels that are computed together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// Its place in the packed order.
    pub(crate) start: usize,
    /// Its first channel. The last block begins earlier than the one before it ends rather than
    /// have fewer channels: some are computed twice.
    pub(crate) first: usize,
    pub(crate) channels: usize,
    /// Of its four registers.
    pub(crate) lanes: usize,
}

impl Block {
    /// The block at a place, of wide registers or of narrow ones if those are enough.
    #[inline(always)]
    pub(crate) fn new(start: usize, channels: usize, [wide, narrow]: [usize; 2]) -> Self {
        let lanes = if channels - start <= 4 * narrow {
            narrow
        } else {
            wide
        };
        let whole = (4 * lanes).min(channels);
        Self {
            start,
            first: start.min(channels - whole),
            channels: whole,
            lanes,
        }
    }
}

/// The interleaved columns that some neighbouring outputs read.
pub(crate) struct Columns {
    pub(crate) count: usize,
    /// From the first column of an output to that of the next one.
    pub(crate) step: usize,
    /// Whether neighbouring outputs share columns.
    shared: bool,
}

impl Columns {
    #[inline(always)]
    pub(crate) fn of(axis: &Axis, outputs: usize) -> Self {
        let shared = axis.dilation == 1 && axis.stride < axis.kernel;
        let step = if shared { axis.stride } else { axis.kernel };
        Self {
            count: (outputs - 1) * step + axis.kernel,
            step,
            shared,
        }
    }

    /// The source column of one of them, `None` outside.
    #[inline(always)]
    pub(crate) fn source(&self, axis: &Axis, first: usize, column: usize) -> Option<usize> {
        if self.shared {
            axis.source(first, column)
        } else {
            axis.source(first + column / axis.kernel, column % axis.kernel)
        }
    }
}
