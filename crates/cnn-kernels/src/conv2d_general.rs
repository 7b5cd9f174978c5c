//! Convolution as matrix multiplication over tiles of gathered patches, for any kernel, stride, dilation and groups.

use rayon::prelude::*;

use crate::conv2d::Convolution;
use crate::element::Element;
use crate::gemm::{Matrix, gemm};

/// Elements of one tile of patches: it should stay in a core's second-level cache.
const TILE_ELEMENTS: usize = 1 << 16;
/// Input channels of one task of the weight gradient, so that a 1×1 kernel has more than one task.
const WEIGHT_BLOCK: usize = 64;

/// `ys` is zero-filled by the caller.
pub(crate) fn forward<T: Element>(conv: &Convolution, xs: &[T], weight: &[T], ys: &mut [T]) {
    let packed = pack(conv, weight);
    let (group_out, depth) = (conv.group_out(), conv.taps() * conv.group_in());
    let tile = tile_pixels(depth);
    ys.par_chunks_mut(tile * conv.c_out).enumerate().for_each_init(Vec::new, |patches, (index, ys)| {
        let pixels = ys.len() / conv.c_out;
        for group in 0..conv.groups {
            let lhs = patch_matrix(conv, xs, index * tile, pixels, group, patches);
            let rhs = Matrix::new(&packed[group * depth * group_out..], depth, group_out, group_out);
            gemm(&mut ys[group * group_out..], conv.c_out, lhs, rhs, false);
        }
    });
}

/// `grad_xs` is zero-filled by the caller.
pub(crate) fn grad_input<T: Element>(conv: &Convolution, weight: &[T], grad: &[T], grad_xs: &mut [T]) {
    let packed = pack(conv, weight);
    if conv.geometry.is_pointwise() && conv.groups == 1 {
        return grad_input_pointwise(conv, &packed, grad, grad_xs);
    }
    let (group_out, depth) = (conv.group_out(), conv.taps() * conv.group_in());
    let (pixels_in, pixels_out) = (conv.input_pixels(), conv.output_pixels());
    let tile = tile_pixels(depth);
    grad_xs.par_chunks_mut(pixels_in * conv.c_in).enumerate().for_each_init(Vec::new, |patches, (image, grad_xs)| {
        for first in (0..pixels_out).step_by(tile) {
            let pixels = tile.min(pixels_out - first);
            for group in 0..conv.groups {
                let start = (image * pixels_out + first) * conv.c_out + group * group_out;
                let lhs = Matrix::new(&grad[start..], pixels, group_out, conv.c_out);
                let rhs = Matrix::new(&packed[group * depth * group_out..], depth, group_out, group_out).transposed();
                patches.resize(pixels * depth, T::zero());
                gemm(patches, depth, lhs, rhs, false);
                scatter(conv, patches, first, group, grad_xs);
            }
        }
    });
}

fn grad_input_pointwise<T: Element>(conv: &Convolution, packed: &[T], grad: &[T], grad_xs: &mut [T]) {
    let tile = tile_pixels(conv.c_in);
    grad_xs.par_chunks_mut(tile * conv.c_in).enumerate().for_each(|(index, grad_xs)| {
        let lhs = Matrix::new(&grad[index * tile * conv.c_out..], grad_xs.len() / conv.c_in, conv.c_out, conv.c_out);
        gemm(grad_xs, conv.c_in, lhs, Matrix::new(packed, conv.c_in, conv.c_out, conv.c_out).transposed(), false);
    });
}

/// The gradient in PyTorch's weight order. Each task owns one tap and one block of input channels of one group and sums over the
/// pixels in order, so the result does not depend on the number of threads.
pub(crate) fn grad_weight<T: Element>(conv: &Convolution, xs: &[T], grad: &[T]) -> Vec<T> {
    let (taps, group_in, group_out) = (conv.taps(), conv.group_in(), conv.group_out());
    let mut packed = vec![T::zero(); conv.groups * taps * group_in * group_out];
    let mut tasks = Vec::new();
    for (row_block, block) in packed.chunks_mut(group_in * group_out).enumerate() {
        let (group, tap) = (row_block / taps, row_block % taps);
        for (index, out) in block.chunks_mut(WEIGHT_BLOCK * group_out).enumerate() {
            tasks.push((group, tap, index * WEIGHT_BLOCK, out));
        }
    }
    tasks.into_par_iter().for_each_init(Vec::new, |gathered, (group, tap, first_channel, out)| {
        grad_weight_block(conv, xs, grad, (group, tap, first_channel), gathered, out);
    });
    unpack(conv, &packed)
}

fn grad_weight_block<T: Element>(
    conv: &Convolution,
    xs: &[T],
    grad: &[T],
    (group, tap, first_channel): (usize, usize, usize),
    gathered: &mut Vec<T>,
    out: &mut [T],
) {
    let group_out = conv.group_out();
    let channels = out.len() / group_out;
    let first_channel = group * conv.group_in() + first_channel;
    let total = conv.batch * conv.output_pixels();
    let tile = tile_pixels(channels.max(group_out));
    for first in (0..total).step_by(tile) {
        let pixels = tile.min(total - first);
        gathered.clear();
        for pixel in first..first + pixels {
            match source_pixel(conv, pixel, tap) {
                Some(source) => {
                    let start = source * conv.c_in + first_channel;
                    gathered.extend_from_slice(&xs[start..start + channels]);
                }
                None => gathered.resize(gathered.len() + channels, T::zero()),
            }
        }
        let lhs = Matrix::new(gathered, pixels, channels, channels).transposed();
        let rhs = Matrix::new(&grad[first * conv.c_out + group * group_out..], pixels, group_out, conv.c_out);
        gemm(out, group_out, lhs, rhs, true);
    }
}

fn tile_pixels(row_elements: usize) -> usize {
    (TILE_ELEMENTS / row_elements.max(1)).clamp(16, 1024)
}

/// The input pixel that an output pixel reads through a tap, both counted over the whole batch.
#[inline]
fn source_pixel(conv: &Convolution, pixel: usize, tap: usize) -> Option<usize> {
    let (rows, columns) = (&conv.geometry.rows, &conv.geometry.columns);
    let (image, place) = (pixel / conv.output_pixels(), pixel % conv.output_pixels());
    let y = rows.source(place / columns.output, tap / columns.kernel)?;
    let x = columns.source(place % columns.output, tap % columns.kernel)?;
    Some((image * rows.input + y) * columns.input + x)
}

/// The patches of `pixels` outputs from `first` on: one row each of `taps · group_in` values. A pointwise convolution's patches are
/// the input itself.
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
        return Matrix::new(&xs[first * conv.c_in + offset..], pixels, group_in, conv.c_in);
    }
    let (taps, depth) = (conv.taps(), conv.taps() * group_in);
    patches.clear();
    patches.reserve(pixels * depth);
    for pixel in first..first + pixels {
        for tap in 0..taps {
            match source_pixel(conv, pixel, tap) {
                Some(source) => {
                    let start = source * conv.c_in + offset;
                    patches.extend_from_slice(&xs[start..start + group_in]);
                }
                None => patches.resize(patches.len() + group_in, T::zero()),
            }
        }
    }
    Matrix::new(patches, pixels, depth, depth)
}

/// Adds rows of patches to the pixels of one image that they were gathered from.
fn scatter<T: Element>(conv: &Convolution, patches: &[T], first: usize, group: usize, grad_xs: &mut [T]) {
    let group_in = conv.group_in();
    for (index, values) in patches.chunks_exact(group_in).enumerate() {
        let (pixel, tap) = (first + index / conv.taps(), index % conv.taps());
        if let Some(source) = source_pixel(conv, pixel, tap) {
            let start = source * conv.c_in + group * group_in;
            grad_xs[start..start + group_in].iter_mut().zip(values).for_each(|(sum, &value)| *sum += value);
        }
    }
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
fn reorder<T: Element>(conv: &Convolution, from: &[T], direction: fn(usize, usize) -> (usize, usize)) -> Vec<T> {
    let (taps, group_in, group_out) = (conv.taps(), conv.group_in(), conv.group_out());
    let mut to = vec![T::zero(); from.len()];
    for out in 0..conv.c_out {
        let (group, out_in_group) = (out / group_out, out % group_out);
        for channel in 0..group_in {
            for tap in 0..taps {
                let packed = ((group * taps + tap) * group_in + channel) * group_out + out_in_group;
                let (target, source) = direction(packed, (out * group_in + channel) * taps + tap);
                to[target] = from[source];
            }
        }
    }
    to
}
