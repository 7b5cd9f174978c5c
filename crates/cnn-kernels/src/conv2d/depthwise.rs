//! Depthwise convolution, one kernel per channel, for any element type: a multiply-add along the
//! channels of each pixel.

use rayon::prelude::*;

use crate::autograd::element::Element;
use crate::conv2d::Convolution;

/// Output rows per partial sum of the weight gradient; fixed, so that the order of summation is.
const WEIGHT_ROWS: usize = 8;

/// `ys` is zero-filled by the caller.
pub(crate) fn forward<T: Element>(conv: &Convolution, xs: &[T], weight: &[T], ys: &mut [T]) {
    let c = conv.c_in;
    let rows = conv.geometry.rows;
    let columns = conv.geometry.columns;
    let packed = transpose(weight, c, conv.taps());
    ys.par_chunks_mut(columns.output * c)
        .enumerate()
        .for_each(|(index, ys)| {
            let image = index / rows.output;
            let y = index % rows.output;
            for i in 0..rows.kernel {
                let Some(source) = rows.source(y, i) else {
                    continue;
                };
                let line =
                    &xs[(image * rows.input + source) * columns.input * c..][..columns.input * c];
                for (x, ys) in ys.chunks_exact_mut(c).enumerate() {
                    for j in 0..columns.kernel {
                        let Some(source) = columns.source(x, j) else {
                            continue;
                        };
                        multiply_add(
                            ys,
                            &line[source * c..][..c],
                            &packed[(i * columns.kernel + j) * c..][..c],
                        );
                    }
                }
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
    let c = conv.c_in;
    let rows = conv.geometry.rows;
    let columns = conv.geometry.columns;
    let packed = transpose(weight, c, conv.taps());
    grad_xs
        .par_chunks_mut(columns.input * c)
        .enumerate()
        .for_each(|(index, grad_xs)| {
            let image = index / rows.input;
            let y = index % rows.input;
            for i in 0..rows.kernel {
                let Some(target) = rows.target(y, i) else {
                    continue;
                };
                let line = &grad[(image * rows.output + target) * columns.output * c..]
                    [..columns.output * c];
                for (x, grad_xs) in grad_xs.chunks_exact_mut(c).enumerate() {
                    for j in 0..columns.kernel {
                        let Some(target) = columns.target(x, j) else {
                            continue;
                        };
                        multiply_add(
                            grad_xs,
                            &line[target * c..][..c],
                            &packed[(i * columns.kernel + j) * c..][..c],
                        );
                    }
                }
            }
        });
}

/// The gradient in PyTorch's weight order, `(C, 1, K_h, K_w)`.
pub(crate) fn grad_weight<T: Element>(conv: &Convolution, xs: &[T], grad: &[T]) -> Vec<T> {
    let c = conv.c_in;
    let rows = conv.geometry.rows;
    let columns = conv.geometry.columns;
    let lines: Vec<usize> = (0..conv.batch * rows.output).collect();
    let partials: Vec<Vec<T>> = lines
        .par_chunks(WEIGHT_ROWS)
        .map(|lines| {
            let mut sums = vec![T::zero(); conv.taps() * c];
            for &line in lines {
                let image = line / rows.output;
                let y = line % rows.output;
                let grad = &grad[line * columns.output * c..][..columns.output * c];
                for i in 0..rows.kernel {
                    let Some(source) = rows.source(y, i) else {
                        continue;
                    };
                    let xs = &xs[(image * rows.input + source) * columns.input * c..]
                        [..columns.input * c];
                    for (x, grad) in grad.chunks_exact(c).enumerate() {
                        for j in 0..columns.kernel {
                            let Some(source) = columns.source(x, j) else {
                                continue;
                            };
                            let sums = &mut sums[(i * columns.kernel + j) * c..][..c];
                            multiply_add(sums, &xs[source * c..][..c], grad);
                        }
                    }
                }
            }
            sums
        })
        .collect();
    let mut packed = vec![T::zero(); conv.taps() * c];
    for partial in partials {
        packed
            .iter_mut()
            .zip(partial)
            .for_each(|(sum, value)| *sum += value);
    }
    transpose(&packed, conv.taps(), c)
}

#[inline]
fn multiply_add<T: Element>(sums: &mut [T], a: &[T], b: &[T]) {
    for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
        *sum += a * b;
    }
}

/// A row-major `(rows, columns)` matrix with both exchanged.
pub(crate) fn transpose<T: Element>(values: &[T], rows: usize, columns: usize) -> Vec<T> {
    let mut transposed = vec![T::zero(); values.len()];
    for row in 0..rows {
        for column in 0..columns {
            transposed[column * rows + row] = values[row * columns + column];
        }
    }
    transposed
}
