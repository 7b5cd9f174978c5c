//! Convolution as matrix multiplication over tiles of gathered patches, for any kernel, stride,
//! dilation and groups.

use std::ops::Range;

use rayon::prelude::*;

use crate::autograd::element::Element;
use crate::conv2d::Convolution;
use crate::conv2d::gemm::{Matrix, gemm};

/// Elements of one tile of patches: it should stay in a core's second-level cache, unless so few
/// pixels would fit that a product takes less time than packing the weights for it.
const TILE_ELEMENTS: usize = 1 << 16;
/// Output channels copied at a time between the two orders of weights: one line of the cache.
const REORDER_BLOCK: usize = 16;
/// Most input channels of one task of the weight gradient, so that a 1×1 kernel has more than one
/// task.
const WEIGHT_BLOCK: usize = 64;

/// `ys` is zero-filled by the caller.
pub(crate) fn forward<T: Element>(conv: &Convolution, xs: &[T], weight: &[T], ys: &mut [T]) {
    let packed = pack(conv, weight);
    let group_out = conv.group_out();
    let depth = conv.taps() * conv.group_in();
    let tile = tile_pixels(depth);
    ys.par_chunks_mut(tile * conv.c_out)
        .enumerate()
        .for_each_init(Vec::new, |patches, (index, ys)| {
            let pixels = ys.len() / conv.c_out;
            for group in 0..conv.groups {
                let lhs = patch_matrix(conv, xs, index * tile, pixels, group, patches);
                let rhs = Matrix::new(
                    &packed[group * depth * group_out..],
                    depth,
                    group_out,
                    group_out,
                );
                gemm(&mut ys[group * group_out..], conv.c_out, lhs, rhs, false);
            }
        });
}

/// `grad_xs` is zero-filled by the caller.
pub(crate) fn grad_input<T: Element>(
    conv: &Convolution,
    weight: &[T],
    grad: &[T],
    grad_xs: &mut [T],
) {
    let packed = pack(conv, weight);
    if conv.geometry.is_pointwise() && conv.groups == 1 {
        return grad_input_pointwise(conv, &packed, grad, grad_xs);
    }
    let group_out = conv.group_out();
    let depth = conv.taps() * conv.group_in();
    let pixels_in = conv.input_pixels();
    let pixels_out = conv.output_pixels();
    let tile = tile_pixels(depth);
    grad_xs
        .par_chunks_mut(pixels_in * conv.c_in)
        .enumerate()
        .for_each_init(Vec::new, |patches, (image, grad_xs)| {
            for first in (0..pixels_out).step_by(tile) {
                let pixels = tile.min(pixels_out - first);
                for group in 0..conv.groups {
                    let start = (image * pixels_out + first) * conv.c_out + group * group_out;
                    let lhs = Matrix::new(&grad[start..], pixels, group_out, conv.c_out);
                    let rhs = Matrix::new(
                        &packed[group * depth * group_out..],
                        depth,
                        group_out,
                        group_out,
                    )
                    .transposed();
                    patches.resize(pixels * depth, T::zero());
                    gemm(patches, depth, lhs, rhs, false);
                    PatchBlock::whole(conv, group).scatter(conv, patches, first, grad_xs);
                }
            }
        });
}

fn grad_input_pointwise<T: Element>(
    conv: &Convolution,
    packed: &[T],
    grad: &[T],
    grad_xs: &mut [T],
) {
    let tile = tile_pixels(conv.c_in);
    grad_xs
        .par_chunks_mut(tile * conv.c_in)
        .enumerate()
        .for_each(|(index, grad_xs)| {
            let lhs = Matrix::new(
                &grad[index * tile * conv.c_out..],
                grad_xs.len() / conv.c_in,
                conv.c_out,
                conv.c_out,
            );
            gemm(
                grad_xs,
                conv.c_in,
                lhs,
                Matrix::new(packed, conv.c_in, conv.c_out, conv.c_out).transposed(),
                false,
            );
        });
}

/// The gradient in PyTorch's weight order. Each task owns one block of the patch and sums over the
/// pixels in order, so the result does not depend on the number of threads.
pub(crate) fn grad_weight<T: Element>(conv: &Convolution, xs: &[T], grad: &[T]) -> Vec<T> {
    let mut packed =
        vec![T::zero(); conv.groups * conv.taps() * conv.group_in() * conv.group_out()];
    let mut tasks = Vec::new();
    let mut rest = packed.as_mut_slice();
    for group in 0..conv.groups {
        for block in PatchBlock::split(conv, group) {
            let (out, after) = rest.split_at_mut(block.len() * conv.group_out());
            tasks.push((group, block, out));
            rest = after;
        }
    }
    tasks
        .into_par_iter()
        .for_each_init(Vec::new, |gathered, (group, block, out)| {
            grad_weight_block(
                conv,
                xs,
                &grad[group * conv.group_out()..],
                &block,
                gathered,
                out,
            );
        });
    unpack(conv, &packed)
}

/// `grad` starts at the group's first channel.
fn grad_weight_block<T: Element>(
    conv: &Convolution,
    xs: &[T],
    grad: &[T],
    block: &PatchBlock,
    gathered: &mut Vec<T>,
    out: &mut [T],
) {
    let group_out = conv.group_out();
    let depth = block.len();
    let total = conv.batch * conv.output_pixels();
    let tile = tile_pixels(depth.max(group_out));
    for first in (0..total).step_by(tile) {
        let pixels = tile.min(total - first);
        block.gather(conv, xs, first..first + pixels, gathered);
        let lhs = Matrix::new(gathered, pixels, depth, depth).transposed();
        let rhs = Matrix::new(&grad[first * conv.c_out..], pixels, group_out, conv.c_out);
        gemm(out, group_out, lhs, rhs, true);
    }
}

fn tile_pixels(row_elements: usize) -> usize {
    (TILE_ELEMENTS / row_elements.max(1)).clamp(64, 1024)
}

/// The patches of `pixels` outputs from `first` on: one row each of `taps · group_in` values. A
/// pointwise convolution's patches are the input itself.
fn patch_matrix<'a, T: Element>(
    conv: &Convolution,
    xs: &'a [T],
    first: usize,
    pixels: usize,
    group: usize,
    patches: &'a mut Vec<T>,
) -> Matrix<'a, T> {
    let group_in = conv.group_in();
    let offset = group * group_in;
    if conv.geometry.is_pointwise() {
        return Matrix::new(
            &xs[first * conv.c_in + offset..],
            pixels,
            group_in,
            conv.c_in,
        );
    }
    PatchBlock::whole(conv, group).gather(conv, xs, first..first + pixels, patches);
    let depth = conv.taps() * group_in;
    Matrix::new(patches, pixels, depth, depth)
}

/// A box of the patch under one output pixel, in the order (row, column, channel).
struct PatchBlock {
    rows: Range<usize>,
    columns: Range<usize>,
    /// Of the input, not of the group.
    channels: Range<usize>,
}

impl PatchBlock {
    /// All that one group reads.
    fn whole(conv: &Convolution, group: usize) -> Self {
        let channels = group * conv.group_in()..(group + 1) * conv.group_in();
        Self {
            rows: 0..conv.geometry.rows.kernel,
            columns: 0..conv.geometry.columns.kernel,
            channels,
        }
    }

    /// The same in blocks for the tasks of the weight gradient, in order: whole rows of few
    /// channels, else single taps.
    fn split(conv: &Convolution, group: usize) -> Vec<Self> {
        let Self {
            rows,
            columns,
            channels,
        } = Self::whole(conv, group);
        if channels.len() < WEIGHT_BLOCK / 2 {
            return rows
                .map(|i| Self {
                    rows: i..i + 1,
                    columns: columns.clone(),
                    channels: channels.clone(),
                })
                .collect();
        }
        let mut blocks = Vec::new();
        for (i, j) in rows.flat_map(|i| columns.clone().map(move |j| (i, j))) {
            for first in channels.clone().step_by(WEIGHT_BLOCK) {
                let channels = first..channels.end.min(first + WEIGHT_BLOCK);
                blocks.push(Self {
                    rows: i..i + 1,
                    columns: j..j + 1,
                    channels,
                });
            }
        }
        blocks
    }

    /// Values per pixel.
    fn len(&self) -> usize {
        self.rows.len() * self.columns.len() * self.channels.len()
    }

    /// Copies the block of each output pixel, counted over the whole batch, into a row of
    /// `gathered`; zeros for the padding.
    fn gather<T: Element>(
        &self,
        conv: &Convolution,
        xs: &[T],
        pixels: Range<usize>,
        gathered: &mut Vec<T>,
    ) {
        gathered.clear();
        gathered.resize(pixels.len() * self.len(), T::zero());
        for (pixel, row) in pixels.zip(gathered.chunks_exact_mut(self.len())) {
            self.for_each_run(conv, pixel, |in_block, in_input, len| {
                row[in_block..in_block + len].copy_from_slice(&xs[in_input..in_input + len]);
            });
        }
    }

    /// Adds rows as [`PatchBlock::gather`] makes them, of the pixels from `first` on, to where they
    /// came from.
    fn scatter<T: Element>(&self, conv: &Convolution, gathered: &[T], first: usize, xs: &mut [T]) {
        for (pixel, row) in (first..).zip(gathered.chunks_exact(self.len())) {
            self.for_each_run(conv, pixel, |in_block, in_input, len| {
                let sums = xs[in_input..in_input + len].iter_mut();
                sums.zip(&row[in_block..in_block + len])
                    .for_each(|(sum, &value)| *sum += value);
            });
        }
    }

    /// Calls `f(start in the block, start in the input, length)` for each run of values that lie
    /// side by side in both.
    #[inline]
    fn for_each_run(
        &self,
        conv: &Convolution,
        pixel: usize,
        mut f: impl FnMut(usize, usize, usize),
    ) {
        let rows = &conv.geometry.rows;
        let columns = &conv.geometry.columns;
        let image = pixel / conv.output_pixels();
        let place = pixel % conv.output_pixels();
        let y = place / columns.output;
        let x = place % columns.output;
        let inside_rows = intersect(rows.taps_inside(y), &self.rows);
        let inside = intersect(columns.taps_inside(x), &self.columns);
        let channels = self.channels.len();
        // Neighbouring taps that read all channels of neighbouring pixels are one run.
        let together = columns.dilation == 1 && channels == conv.c_in;
        for i in inside_rows {
            let line = (image * rows.input + y * rows.stride + i * rows.dilation - rows.before)
                * columns.input;
            let block_row = (i - self.rows.start) * self.columns.len();
            let run = |j: usize| {
                let pixel = line + x * columns.stride + j * columns.dilation - columns.before;
                (
                    (block_row + j - self.columns.start) * channels,
                    pixel * conv.c_in + self.channels.start,
                )
            };
            if together && !inside.is_empty() {
                let (in_block, in_input) = run(inside.start);
                f(in_block, in_input, inside.len() * channels);
            } else {
                for (in_block, in_input) in inside.clone().map(run) {
                    f(in_block, in_input, channels);
                }
            }
        }
    }
}

fn intersect(a: Range<usize>, b: &Range<usize>) -> Range<usize> {
    a.start.max(b.start)..a.end.min(b.end)
}

/// `(C_out, C_in / groups, K_h, K_w)` to `[group][tap][in][out]`.
fn pack<T: Element>(conv: &Convolution, weight: &[T]) -> Vec<T> {
    reorder(conv, weight, |packed, unpacked| (packed, unpacked))
}

/// `[group][tap][in][out]` to `(C_out, C_in / groups, K_h, K_w)`.
fn unpack<T: Element>(conv: &Convolution, packed: &[T]) -> Vec<T> {
    reorder(conv, packed, |packed, unpacked| (unpacked, packed))
}

/// Copies between the two orders; `direction` turns (packed index, PyTorch index) into (to, from).
fn reorder<T: Element>(
    conv: &Convolution,
    from: &[T],
    direction: fn(usize, usize) -> (usize, usize),
) -> Vec<T> {
    let taps = conv.taps();
    let group_in = conv.group_in();
    let group_out = conv.group_out();
    let mut to = vec![T::zero(); from.len()];
    let blocks = (0..conv.groups).flat_map(|group| {
        (0..group_out)
            .step_by(REORDER_BLOCK)
            .map(move |out| (group, out))
    });
    for (group, first) in blocks {
        for channel in 0..group_in {
            for tap in 0..taps {
                for out in first..group_out.min(first + REORDER_BLOCK) {
                    let packed = ((group * taps + tap) * group_in + channel) * group_out + out;
                    let unpacked = ((group * group_out + out) * group_in + channel) * taps + tap;
                    let (target, source) = direction(packed, unpacked);
                    to[target] = from[source];
                }
            }
        }
    }
    to
}
