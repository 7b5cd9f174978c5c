//! Pooling, adaptive and global pooling, and nearest upsampling: one kernel that reduces the taps of separable windows.

use std::sync::Arc;

use candle_core::Result;
use rayon::prelude::*;

use crate::element::Element;
use crate::error::{Checked, Error};
use crate::geometry::Axis;
use crate::gradient::Gradient;
use crate::kernel::{Kernel, Saved, apply};
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

impl Pool {
    /// Offsets into one image of the pixels under the window of output `(y, x)`, in row order.
    fn pixels(&self, y: usize, x: usize) -> impl Iterator<Item = usize> {
        let (rows, columns) = (self.rows[y], self.columns[x]);
        let [_, _, width, channels] = self.input;
        (0..rows.count).flat_map(move |i| {
            let line = (rows.start + i * rows.step) * width;
            (0..columns.count).map(move |j| (line + columns.start + j * columns.step) * channels)
        })
    }

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
        let channels = self.input[3];
        let mut ys = vec![T::zero(); self.output_shape().iter().product()];
        ys.par_chunks_mut((self.columns.len() * channels).max(1)).enumerate().for_each(|(line, ys)| {
            let (image, y) = (line / self.rows.len(), line % self.rows.len());
            let xs = &inputs[0][image * self.image_elements()..][..self.image_elements()];
            for (x, ys) in ys.chunks_exact_mut(channels).enumerate() {
                match self.reduce {
                    Reduce::Max => self.max(xs, y, x, ys),
                    Reduce::Mean => self.mean(xs, y, x, ys),
                }
            }
        });
        ys
    }

    fn backward<T: Element>(
        &self,
        inputs: &[&[T]],
        output: &[T],
        grad: Gradient<'_, T>,
        _: &[bool],
    ) -> Vec<Option<Arc<Vec<T>>>> {
        let mut grad_xs = vec![T::zero(); self.input.iter().product()];
        let output_elements = self.rows.len() * self.columns.len() * self.input[3];
        grad_xs.par_chunks_mut(self.image_elements().max(1)).enumerate().for_each(|(image, grad_xs)| {
            let of_image = image * output_elements..(image + 1) * output_elements;
            match self.reduce {
                Reduce::Max => self.max_backward(
                    &inputs[0][image * self.image_elements()..],
                    &output[of_image.clone()],
                    &grad[of_image],
                    grad_xs,
                ),
                Reduce::Mean => self.mean_backward(&grad[of_image], grad_xs),
            }
        });
        vec![Some(Arc::new(grad_xs))]
    }
}

impl Pool {
    fn max<T: Element>(&self, xs: &[T], y: usize, x: usize, ys: &mut [T]) {
        let mut pixels = self.pixels(y, x);
        match pixels.next() {
            Some(first) => ys.copy_from_slice(&xs[first..first + ys.len()]),
            None => ys.fill(T::from_f64(f64::NEG_INFINITY)),
        }
        pixels.for_each(|pixel| {
            for (best, &value) in ys.iter_mut().zip(&xs[pixel..]) {
                *best = if value > *best || is_nan(value) { value } else { *best };
            }
        });
    }

    fn mean<T: Element>(&self, xs: &[T], y: usize, x: usize, ys: &mut [T]) {
        self.pixels(y, x).for_each(|pixel| {
            ys.iter_mut().zip(&xs[pixel..]).for_each(|(sum, &value)| *sum += value);
        });
        let divisor = T::from_f64(self.divisor(y, x));
        ys.iter_mut().for_each(|sum| *sum /= divisor);
    }

    fn max_backward<T: Element>(&self, xs: &[T], ys: &[T], grad: &[T], grad_xs: &mut [T]) {
        let channels = self.input[3];
        let mut waiting = vec![T::zero(); channels];
        for (index, (ys, grad)) in ys.chunks_exact(channels).zip(grad.chunks_exact(channels)).enumerate() {
            let (y, x) = (index / self.columns.len(), index % self.columns.len());
            // A gradient waits for the first pixel that equals the maximum; after that it is zero.
            waiting.copy_from_slice(grad);
            self.pixels(y, x).for_each(|pixel| {
                let values = grad_xs[pixel..].iter_mut().zip(&xs[pixel..]).zip(ys);
                for (((sum, &x), &y), waiting) in values.zip(&mut waiting) {
                    let (given, kept) = if x == y || is_nan(x) { (*waiting, T::zero()) } else { (T::zero(), *waiting) };
                    *sum += given;
                    *waiting = kept;
                }
            });
        }
    }

    fn mean_backward<T: Element>(&self, grad: &[T], grad_xs: &mut [T]) {
        let channels = self.input[3];
        for (index, grad) in grad.chunks_exact(channels).enumerate() {
            let (y, x) = (index / self.columns.len(), index % self.columns.len());
            let divisor = T::from_f64(self.divisor(y, x));
            self.pixels(y, x).for_each(|pixel| {
                grad_xs[pixel..].iter_mut().zip(grad).for_each(|(sum, &value)| *sum += value / divisor);
            });
        }
    }
}

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
