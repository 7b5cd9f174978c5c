//! Pooling, adaptive and global pooling, and nearest upsampling: one kernel that reduces the taps of separable windows.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::Arc;

use candle_core::Result;

use crate::element::Element;
use crate::error::{Checked, Error};
use crate::geometry::Axis;
use crate::gradient::Gradient;
use crate::isa::{Loop, vectorised};
use crate::kernel::{Kernel, Saved, apply};
use crate::recycle::Buffer;
use crate::shared::filled_chunks;
use crate::simd::Simd;
use crate::{FeatureMap, Padding, Window};

/// Max-pooling: the largest value under the window; padding never wins. The gradient goes to the first of equal values, as in
/// PyTorch; NaN wins over every number.
///
/// # Shapes
/// `(N, H, W, C)` to `(N, H', W', C)` with the size rule of [`Window::place`].
///
/// # Errors
/// If the window does not fit, or padding exceeds half of the (dilated) window: such a window could see nothing but padding.
pub fn max_pool(xs: &FeatureMap, window: &Window) -> Result<FeatureMap> {
    let [rows, columns] = windows("max_pool", xs, window)?;
    pool(xs, rows, columns, Reduce::Max)
}

/// Average pooling. With `count_include_pad` (PyTorch's default) zeros of the padding count in the divisor, otherwise only the
/// values inside the input do.
///
/// # Shapes
/// As [`max_pool`].
///
/// # Errors
/// As [`max_pool`].
pub fn avg_pool(xs: &FeatureMap, window: &Window, count_include_pad: bool) -> Result<FeatureMap> {
    let [mut rows, mut columns] = windows("avg_pool", xs, window)?;
    if !count_include_pad {
        rows.iter_mut().chain(columns.iter_mut()).for_each(|taps| taps.divisor = taps.count);
    }
    pool(xs, rows, columns, Reduce::Mean)
}

/// Average over windows that divide the input into `output` = `[rows, columns]` bins: bin `i` covers `⌊i·H/rows⌋` up to
/// `⌈(i+1)·H/rows⌉`, as PyTorch's `AdaptiveAvgPool2d`.
///
/// # Errors
/// If a number is zero.
pub fn adaptive_avg_pool(xs: &FeatureMap, output: [usize; 2]) -> Result<FeatureMap> {
    let [rows, columns] = bins("adaptive_avg_pool", xs, output)?;
    pool(xs, rows, columns, Reduce::Mean)
}

/// Maximum over the bins of [`adaptive_avg_pool`].
///
/// # Errors
/// If a number is zero.
pub fn adaptive_max_pool(xs: &FeatureMap, output: [usize; 2]) -> Result<FeatureMap> {
    let [rows, columns] = bins("adaptive_max_pool", xs, output)?;
    pool(xs, rows, columns, Reduce::Max)
}

/// Mean over each whole map: `(N, H, W, C)` to `(N, 1, 1, C)`.
///
/// # Errors
/// If the maps are empty.
pub fn global_avg_pool(xs: &FeatureMap) -> Result<FeatureMap> {
    adaptive_avg_pool(xs, [1, 1])
}

/// Maximum over each whole map: `(N, H, W, C)` to `(N, 1, 1, C)`.
///
/// # Errors
/// If the maps are empty.
pub fn global_max_pool(xs: &FeatureMap) -> Result<FeatureMap> {
    adaptive_max_pool(xs, [1, 1])
}

/// Nearest-neighbour resizing to `[height, width]`: output `i` reads input `⌊i · H / height⌋`, in f32 arithmetic as PyTorch's
/// `interpolate(mode="nearest")` does.
///
/// # Errors
/// If a number is zero.
pub fn upsample_nearest(xs: &FeatureMap, size: [usize; 2]) -> Result<FeatureMap> {
    let input = check_sizes("upsample_nearest", xs, size)?;
    let axis = |index: usize| {
        let scale = input[index] as f32 / size[index] as f32;
        let source = move |i: usize| ((i as f32 * scale) as usize).min(input[index] - 1);
        (0..size[index]).map(|i| Taps { start: source(i), step: 1, count: 1, divisor: 1 }).collect()
    };
    pool(xs, axis(0), axis(1), Reduce::Mean)
}

/// The inputs that one output reads along one axis.
#[derive(Debug, Clone, Copy)]
struct Taps {
    start: usize,
    step: usize,
    count: usize,
    /// What a mean divides by along this axis; more than `count` where zeros of the padding take part.
    divisor: usize,
}

fn windows(op: &'static str, xs: &FeatureMap, window: &Window) -> Checked<[Vec<Taps>; 2]> {
    let geometry = window.place(op, [xs.height(), xs.width()])?;
    for (axis, what) in [(geometry.rows, "padding of the rows"), (geometry.columns, "padding of the columns")] {
        let extent = axis.dilation * (axis.kernel - 1) + 1;
        let padding = axis.before.max(axis.after);
        if padding > extent / 2 && window.padding != Padding::Same {
            let expected = format!("at most {}, half of the window's extent {extent}", extent / 2);
            return Err(Error::Argument { op, what, found: padding.to_string(), expected });
        }
    }
    Ok([taps(&geometry.rows), taps(&geometry.columns)])
}

fn taps(axis: &Axis) -> Vec<Taps> {
    let within_padding = |i: usize| {
        (0..axis.kernel)
            .filter(|tap| i * axis.stride + tap * axis.dilation < axis.before + axis.input + axis.after)
            .count()
    };
    (0..axis.output)
        .map(|i| {
            let inside = axis.taps_inside(i);
            Taps {
                start: axis.source(i, inside.start).unwrap_or(0),
                step: axis.dilation,
                count: inside.len(),
                divisor: within_padding(i),
            }
        })
        .collect()
}

fn bins(op: &'static str, xs: &FeatureMap, output: [usize; 2]) -> Checked<[Vec<Taps>; 2]> {
    let input = check_sizes(op, xs, output)?;
    Ok([0, 1].map(|axis| {
        let (input, output) = (input[axis], output[axis]);
        let bin = |i: usize| (i * input / output, ((i + 1) * input).div_ceil(output));
        (0..output)
            .map(bin)
            .map(|(start, end)| Taps { start, step: 1, count: end - start, divisor: end - start })
            .collect()
    }))
}

fn check_sizes(op: &'static str, xs: &FeatureMap, output: [usize; 2]) -> Checked<[usize; 2]> {
    const LARGEST: usize = 1 << 20;
    let input = [xs.height(), xs.width()];
    for (what, size) in
        [("output size", output[0]), ("output size", output[1]), ("input size", input[0]), ("input size", input[1])]
    {
        if size == 0 || size > LARGEST {
            let expected = format!("1 to {LARGEST}");
            return Err(Error::Argument { op, what, found: size.to_string(), expected });
        }
    }
    Ok(input)
}

fn pool(xs: &FeatureMap, rows: Vec<Taps>, columns: Vec<Taps>, reduce: Reduce) -> Result<FeatureMap> {
    let kernel = Pool { input: xs.dims(), rows, columns, reduce };
    apply(kernel, &[xs], &[])
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reduce {
    Max,
    Mean,
}

struct Pool {
    input: [usize; 4],
    rows: Vec<Taps>,
    columns: Vec<Taps>,
    reduce: Reduce,
}

/// Input rows of a parallel task of the backward pass, counted over the whole batch.
const BAND: usize = 16;

impl Pool {
    /// The pixels under the window of output `(y, x)`, in row order: row, and offset into the image.
    #[inline(always)]
    fn pixels(&self, y: usize, x: usize) -> impl Iterator<Item = (usize, usize)> {
        let (rows, columns) = (self.rows[y], self.columns[x]);
        let [_, _, width, channels] = self.input;
        (0..rows.count).flat_map(move |i| {
            let row = rows.start + i * rows.step;
            (0..columns.count).map(move |j| (row, (row * width + columns.start + j * columns.step) * channels))
        })
    }

    #[inline(always)]
    fn divisor(&self, y: usize, x: usize) -> f64 {
        (self.rows[y].divisor * self.columns[x].divisor).max(1) as f64
    }

    fn image_elements(&self) -> usize {
        self.input[1] * self.input[2] * self.input[3]
    }
}

impl Kernel for Pool {
    const NAME: &'static str = "pool";

    fn output_shape(&self) -> Vec<usize> {
        vec![self.input[0], self.rows.len(), self.columns.len(), self.input[3]]
    }

    fn saved(&self) -> Saved {
        match self.reduce {
            Reduce::Max => Saved::Both,
            Reduce::Mean => Saved::Nothing,
        }
    }

    fn forward<T: Element>(&self, inputs: &[&[T]]) -> Vec<T> {
        let row = self.columns.len() * self.input[3];
        // SAFETY: the loop writes every pixel.
        unsafe {
            filled_chunks(self.output_shape().iter().product(), row, |start, ys| {
                let (image, y) = (start / row / self.rows.len(), start / row % self.rows.len());
                let xs = &inputs[0][image * self.image_elements()..][..self.image_elements()];
                vectorised(Row { pool: self, xs, y, ys });
            })
        }
    }

    fn backward<T: Element>(
        &self,
        inputs: &[&[T]],
        output: &[T],
        grad: Gradient<'_, T>,
        _: &[bool],
    ) -> Vec<Option<Arc<Buffer<T>>>> {
        let [_, height, width, channels] = self.input;
        let (row, band) = (width * channels, BAND * width * channels);
        let outputs = self.rows.len() * self.columns.len() * channels;
        // SAFETY: a task sets its rows to zero before it adds to them.
        let grad_xs = unsafe {
            filled_chunks(self.input.iter().product(), band, |start, grad_xs| {
                let mut rest = zeroed(grad_xs);
                let mut first = start / row;
                while !rest.is_empty() {
                    let (image, y) = (first / height, first % height);
                    let rows = y..height.min(y + rest.len() / row);
                    let (part, others) = rest.split_at_mut(rows.len() * row);
                    let of_image = |values: &'_ [T], elements| -> Range<usize> {
                        if values.is_empty() { 0..0 } else { image * elements..(image + 1) * elements }
                    };
                    let xs = inputs[0];
                    let xs = &xs[of_image(xs, self.image_elements())];
                    let (ys, grad) = (&output[of_image(output, outputs)], &grad[of_image(&grad, outputs)]);
                    first += rows.len();
                    vectorised(Band { pool: self, xs, ys, grad, rows, grad_xs: part });
                    rest = others;
                }
            })
        };
        vec![Some(Buffer::shared(grad_xs))]
    }
}

#[inline]
fn zeroed<T: Element>(values: &mut [MaybeUninit<T>]) -> &mut [T] {
    values.fill(MaybeUninit::new(T::zero()));
    // SAFETY: all have just been written.
    unsafe { values.assume_init_mut() }
}

/// One row of outputs of an image.
struct Row<'a, T> {
    pool: &'a Pool,
    xs: &'a [T],
    y: usize,
    ys: &'a mut [MaybeUninit<T>],
}

impl<T: Element> Loop for Row<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for (x, ys) in self.ys.chunks_exact_mut(self.pool.input[3]).enumerate() {
            let mut pixels = self.pool.pixels(self.y, x);
            let of_nothing = if self.pool.reduce == Reduce::Max { f64::NEG_INFINITY } else { 0. };
            match pixels.next() {
                Some((_, first)) => ys.iter_mut().zip(&self.xs[first..]).for_each(|(y, &x)| _ = y.write(x)),
                None => ys.fill(MaybeUninit::new(T::from_f64(of_nothing))),
            }
            // SAFETY: all have just been written.
            let ys = unsafe { ys.assume_init_mut() };
            match self.pool.reduce {
                Reduce::Max => pixels.for_each(|(_, pixel)| {
                    for (best, &value) in ys.iter_mut().zip(&self.xs[pixel..]) {
                        *best = if value > *best || is_nan(value) { value } else { *best };
                    }
                }),
                Reduce::Mean => {
                    pixels.for_each(|(_, pixel)| {
                        ys.iter_mut().zip(&self.xs[pixel..]).for_each(|(sum, &value)| *sum += value);
                    });
                    let divisor = T::from_f64(self.pool.divisor(self.y, x));
                    ys.iter_mut().for_each(|sum| *sum /= divisor);
                }
            }
        }
    }
}

/// The gradient of some rows of an image's input, which holds zeros.
struct Band<'a, T> {
    pool: &'a Pool,
    /// Of the image; empty for means.
    xs: &'a [T],
    ys: &'a [T],
    grad: &'a [T],
    rows: Range<usize>,
    grad_xs: &'a mut [T],
}

impl<T: Element> Loop for Band<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let (pool, channels) = (self.pool, self.pool.input[3]);
        let start = self.rows.start * pool.input[2] * channels;
        let mut waiting = vec![T::zero(); channels];
        let reads = |taps: &Taps| (0..taps.count).any(|i| self.rows.contains(&(taps.start + i * taps.step)));
        for (y, _) in pool.rows.iter().enumerate().filter(|(_, taps)| reads(taps)) {
            for x in 0..pool.columns.len() {
                let output = (y * pool.columns.len() + x) * channels..(y * pool.columns.len() + x + 1) * channels;
                let grad = &self.grad[output.clone()];
                match pool.reduce {
                    Reduce::Max => {
                        // A gradient waits for the first pixel that equals the maximum, in these rows or not; after that it is zero.
                        waiting.copy_from_slice(grad);
                        for (row, pixel) in pool.pixels(y, x) {
                            let (xs, ys) = (&self.xs[pixel..pixel + channels], &self.ys[output.clone()]);
                            if self.rows.contains(&row) {
                                let sums = &mut self.grad_xs[pixel - start..][..channels];
                                for (((sum, &x), &y), waiting) in sums.iter_mut().zip(xs).zip(ys).zip(&mut waiting) {
                                    let here = x == y || is_nan(x);
                                    *sum += if here { *waiting } else { T::zero() };
                                    *waiting = if here { T::zero() } else { *waiting };
                                }
                            } else {
                                for ((&x, &y), waiting) in xs.iter().zip(ys).zip(&mut waiting) {
                                    *waiting = if x == y || is_nan(x) { T::zero() } else { *waiting };
                                }
                            }
                        }
                    }
                    Reduce::Mean => {
                        let divisor = T::from_f64(pool.divisor(y, x));
                        for (_, pixel) in pool.pixels(y, x).filter(|(row, _)| self.rows.contains(row)) {
                            let sums = &mut self.grad_xs[pixel - start..][..channels];
                            sums.iter_mut().zip(grad).for_each(|(sum, &value)| *sum += value / divisor);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
#[expect(clippy::eq_op, reason = "NaN is the one value that differs from itself, and the trait has no is_nan")]
fn is_nan<T: Element>(value: T) -> bool {
    value != value
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Tensor, Var};

    #[test]
    fn the_first_of_equal_values_gets_the_gradient() {
        let xs = Var::from_tensor(&Tensor::ones((1, 1, 2, 4), candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let map = FeatureMap::from_nchw(&xs).unwrap();
        let ys = max_pool(&map, &Window { stride: [2, 2], ..Window::new([2, 2]) }).unwrap();
        let grads = ys.to_nchw().unwrap().sum_all().unwrap().backward().unwrap();
        let grad = grads.get(&xs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(grad, [1., 0., 1., 0., 0., 0., 0., 0.]);
    }

    #[test]
    fn padding_beyond_half_of_the_window_is_an_error() {
        let xs =
            FeatureMap::from_nchw(&Tensor::ones((1, 1, 5, 4), candle_core::DType::F32, &Device::Cpu).unwrap()).unwrap();
        let message =
            max_pool(&xs, &Window { padding: Padding::all(2), ..Window::new([3, 3]) }).unwrap_err().to_string();
        assert!(
            message.contains("padding of the rows is 2, expected at most 1, half of the window's extent 3"),
            "{message}"
        );
        assert!(upsample_nearest(&xs, [0, 4]).is_err());
        assert!(adaptive_avg_pool(&xs, [1, 0]).is_err());
    }
}
