//! Pooling, adaptive and global pooling: one kernel that reduces the taps of separable windows.
#![allow(unsafe_code)]

mod rows;

use std::mem::MaybeUninit;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::Result;

use crate::autograd::element::Element;
use crate::autograd::gradient::Gradient;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::error::{Checked, Error};
use crate::geometry::{Axis, MAX_EXTENT};
use crate::machine::isa::vectorised;
use crate::machine::recycle::Buffer;
use crate::machine::shared::filled_chunks;
use crate::{FeatureMap, Padding, Window};
use rows::{GradRow, InRegisters, Row};

/// Max-pooling: the largest value under the window; padding never wins. The gradient goes to the
/// first of equal values, as in PyTorch; NaN wins over every number.
///
/// # Shapes
/// `(N, H, W, C)` to `(N, H', W', C)` with the size rule of [`Window::place`].
///
/// # Errors
/// If the window does not fit, or padding exceeds half of the (dilated) window: such a window could
/// see nothing but padding.
pub fn max_pool(xs: &FeatureMap, window: &Window) -> Result<FeatureMap> {
    let [rows, columns] = windows("max_pool", [xs.height(), xs.width()], window)?;
    pool(xs, rows, columns, Reduce::Max)
}

/// Average pooling. With `count_include_pad` (PyTorch's default) zeros of the padding count in the
/// divisor, otherwise only the values inside the input do.
///
/// # Shapes
/// As [`max_pool`].
///
/// # Errors
/// As [`max_pool`].
pub fn avg_pool(xs: &FeatureMap, window: &Window, count_include_pad: bool) -> Result<FeatureMap> {
    let [mut rows, mut columns] = windows("avg_pool", [xs.height(), xs.width()], window)?;
    if !count_include_pad {
        rows.iter_mut()
            .chain(columns.iter_mut())
            .for_each(|taps| taps.divisor = taps.count);
    }
    pool(xs, rows, columns, Reduce::Mean)
}

/// Average over windows that divide the input into `output` = `[rows, columns]` bins: bin `i`
/// covers `⌊i·H/rows⌋` up to `⌈(i+1)·H/rows⌉`, as PyTorch's `AdaptiveAvgPool2d`.
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

/// The inputs that one output reads along one axis.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taps {
    pub(crate) start: usize,
    pub(crate) step: usize,
    pub(crate) count: usize,
    /// What a mean divides by along this axis; more than `count` where zeros of the padding take
    /// part.
    pub(crate) divisor: usize,
}

/// The inputs under each window along the rows and the columns of an input of `[height, width]`.
pub(crate) fn windows(
    op: &'static str,
    input: [usize; 2],
    window: &Window,
) -> Checked<[Vec<Taps>; 2]> {
    let geometry = window.place(op, input)?;
    for (axis, what) in [
        (geometry.rows, "padding of the rows"),
        (geometry.columns, "padding of the columns"),
    ] {
        let extent = axis.dilation * (axis.kernel - 1) + 1;
        let padding = axis.before.max(axis.after);
        if padding > extent / 2 && window.padding != Padding::Same {
            let expected = format!(
                "at most {}, half of the window's extent {extent}",
                extent / 2
            );
            return Err(Error::Argument {
                op,
                what,
                found: padding.to_string(),
                expected,
            });
        }
    }
    Ok([taps(&geometry.rows), taps(&geometry.columns)])
}

fn taps(axis: &Axis) -> Vec<Taps> {
    let within_padding = |i: usize| {
        (0..axis.kernel)
            .filter(|tap| {
                i * axis.stride + tap * axis.dilation < axis.before + axis.input + axis.after
            })
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
        let input = input[axis];
        let output = output[axis];
        let bin = |i: usize| (i * input / output, ((i + 1) * input).div_ceil(output));
        (0..output)
            .map(bin)
            .map(|(start, end)| Taps {
                start,
                step: 1,
                count: end - start,
                divisor: end - start,
            })
            .collect()
    }))
}

fn check_sizes(op: &'static str, xs: &FeatureMap, output: [usize; 2]) -> Checked<[usize; 2]> {
    let input = [xs.height(), xs.width()];
    for (what, size) in [
        ("output size", output[0]),
        ("output size", output[1]),
        ("input size", input[0]),
        ("input size", input[1]),
    ] {
        if size == 0 || size > MAX_EXTENT {
            let expected = format!("1 to {MAX_EXTENT}");
            return Err(Error::Argument {
                op,
                what,
                found: size.to_string(),
                expected,
            });
        }
    }
    Ok(input)
}

fn pool(
    xs: &FeatureMap,
    rows: Vec<Taps>,
    columns: Vec<Taps>,
    reduce: Reduce,
) -> Result<FeatureMap> {
    let keeps_places = reduce == Reduce::Max && xs.node().is_some();
    let kernel = Pool {
        input: xs.dims(),
        rows,
        columns,
        reduce,
        keeps_places,
        places: OnceLock::new(),
    };
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
    /// Whether the forward pass of a maximum sets `places`.
    keeps_places: bool,
    places: OnceLock<Places>,
}

/// Which tap of its window each maximum comes from, numbered in row order.
enum Places {
    Few(Vec<u8>),
    Many(Vec<u32>),
}

/// The number of a tap.
trait Place: Copy + Eq + Send + Sync {
    fn new(tap: usize) -> Self;
    fn places(all: Vec<Self>) -> Places;
}

impl Place for u8 {
    fn new(tap: usize) -> Self {
        tap as u8
    }
    fn places(all: Vec<Self>) -> Places {
        Places::Few(all)
    }
}

impl Place for u32 {
    fn new(tap: usize) -> Self {
        tap as u32
    }
    fn places(all: Vec<Self>) -> Places {
        Places::Many(all)
    }
}

/// The start of the places, which tasks write through, each its own part.
struct Start<P>(*mut P);

// SAFETY: whoever writes through it promises to be the only one at that place.
unsafe impl<P: Send> Sync for Start<P> {}

impl<P> Start<P> {
    /// # Safety
    /// The elements lie in the buffer, and nobody else uses them.
    #[expect(clippy::mut_from_ref, reason = "the caller's promise")]
    unsafe fn part(&self, first: usize, len: usize) -> &mut [MaybeUninit<P>] {
        // SAFETY: the caller's promise; the elements may be uninitialised.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(first).cast(), len) }
    }
}

/// One input position under a window: of which output, and which tap of its window.
#[derive(Debug, Clone, Copy)]
struct Cover {
    output: usize,
    tap: usize,
}

/// The windows over each position of an axis, ascending.
fn covers(taps: &[Taps], input: usize) -> Vec<Vec<Cover>> {
    let mut covers = vec![Vec::new(); input];
    for (output, taps) in taps.iter().enumerate() {
        (0..taps.count)
            .for_each(|tap| covers[taps.start + tap * taps.step].push(Cover { output, tap }));
    }
    covers
}

impl Pool {
    /// Offsets into the image of the pixels under the window of output `(y, x)`, in row order.
    #[inline(always)]
    fn pixels(&self, y: usize, x: usize) -> impl Iterator<Item = usize> {
        let rows = self.rows[y];
        let columns = self.columns[x];
        let [_, _, width, channels] = self.input;
        (0..rows.count).flat_map(move |i| {
            let row = rows.start + i * rows.step;
            (0..columns.count)
                .map(move |j| (row * width + columns.start + j * columns.step) * channels)
        })
    }

    /// Rows that the outputs of row `y + 1` read and those before do not, if windows have no holes.
    fn rows_ahead(&self, y: usize) -> Range<usize> {
        match (&self.rows[y], self.rows.get(y + 1)) {
            (taps, Some(next)) if next.step == 1 => {
                (taps.start + taps.count).max(next.start)..next.start + next.count
            }
            _ => 0..0,
        }
    }

    fn divisor(&self, y: usize, x: usize) -> f64 {
        (self.rows[y].divisor * self.columns[x].divisor).max(1) as f64
    }

    fn image_elements(&self) -> usize {
        self.input[1] * self.input[2] * self.input[3]
    }

    /// Whether a byte holds the number of any tap.
    fn has_few_taps(&self) -> bool {
        let most = |taps: &[Taps]| taps.iter().map(|taps| taps.count).max().unwrap_or(0);
        most(&self.rows) * most(&self.columns) <= 1 << 8
    }

    /// The output, row by row, and the places of its maxima if they are kept.
    fn pooled<T: Element, P: Place>(&self, xs: &[T], compute: impl Fn(Row<T, P>) + Sync) -> Vec<T> {
        let len = self.output_shape().iter().product();
        let row = self.columns.len() * self.input[3];
        let mut places = Vec::with_capacity(if self.keeps_places { len } else { 0 });
        let start = Start(places.as_mut_ptr());
        // SAFETY: the loop writes every pixel; the tasks' rows do not overlap and lie in the
        // output.
        let ys = unsafe {
            filled_chunks(len, row, |first, ys| {
                let image = first / row / self.rows.len();
                let y = first / row % self.rows.len();
                let xs = &xs[image * self.image_elements()..][..self.image_elements()];
                let places = self.keeps_places.then(|| start.part(first, ys.len()));
                compute(Row {
                    pool: self,
                    xs,
                    y,
                    ys,
                    places,
                });
            })
        };
        if self.keeps_places {
            // SAFETY: the capacity is `len`, and the loop has written every element.
            unsafe { places.set_len(len) };
            _ = self.places.set(P::places(places));
        }
        ys
    }

    /// The gradient of the input, row by row, from the output's, which is divided already; no
    /// places for means.
    fn gathered<T: Element, P: Place>(
        &self,
        grad: &[T],
        places: &[P],
        compute: impl Fn(GradRow<T, P>) + Sync,
    ) -> Vec<Option<Arc<Buffer<T>>>> {
        let [_, height, width, channels] = self.input;
        let rows = covers(&self.rows, height);
        let columns = covers(&self.columns, width);
        let row = width * channels;
        let outputs = self.rows.len() * self.columns.len() * channels;
        // SAFETY: the loop writes every pixel.
        let grad_xs = unsafe {
            filled_chunks(self.input.iter().product(), row, |first, grad_xs| {
                let image = first / row / height;
                let y = first / row % height;
                let of_image = image * outputs..(image + 1) * outputs;
                let places = if places.is_empty() {
                    places
                } else {
                    &places[of_image.clone()]
                };
                let rows = &rows[y];
                let columns = &columns[..];
                let grad = &grad[of_image];
                compute(GradRow {
                    pool: self,
                    rows,
                    columns,
                    grad,
                    places,
                    grad_xs,
                });
            })
        };
        vec![Some(Buffer::shared(grad_xs))]
    }

    /// The gradient of means divided by how many they are of.
    fn divided<T: Element>(&self, grad: Gradient<'_, T>) -> Arc<Buffer<T>> {
        let channels = self.input[3];
        grad.updated(self.columns.len() * channels, |first, grad| {
            let y = first / (self.columns.len() * channels) % self.rows.len();
            for (x, grad) in grad.chunks_exact_mut(channels).enumerate() {
                let divisor = T::from_f64(self.divisor(y, x));
                grad.iter_mut().for_each(|grad| *grad /= divisor);
            }
        })
    }

    fn kept_places(&self) -> &Places {
        self.places
            .get()
            .expect("the forward pass of a tracked input has run")
    }
}

impl Kernel for Pool {
    const NAME: &'static str = "pool";

    fn output_shape(&self) -> Vec<usize> {
        vec![
            self.input[0],
            self.rows.len(),
            self.columns.len(),
            self.input[3],
        ]
    }

    fn saved(&self) -> Saved {
        Saved::Nothing
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        if self.has_few_taps() {
            self.pooled::<T, u8>(inputs.xs(), |row| vectorised(row))
        } else {
            self.pooled::<T, u32>(inputs.xs(), |row| vectorised(row))
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        match self.reduce {
            Reduce::Mean => {
                self.gathered::<T, u8>(&self.divided(pass.grad), &[], |row| vectorised(row))
            }
            Reduce::Max => match self.kept_places() {
                Places::Few(places) => self.gathered(&pass.grad, places, |row| vectorised(row)),
                Places::Many(places) => self.gathered(&pass.grad, places, |row| vectorised(row)),
            },
        }
    }

    fn forward_f32(&self, inputs: Inputs<'_, f32>) -> Vec<f32> {
        if self.reduce == Reduce::Mean || !self.has_few_taps() {
            return self.forward(inputs);
        }
        self.pooled::<f32, u8>(inputs.xs(), |row| vectorised(InRegisters(row)))
    }

    fn backward_f32(&self, pass: Backward<'_, f32>) -> Vec<Option<Arc<Buffer<f32>>>> {
        match self.reduce {
            Reduce::Mean => self.gathered(&self.divided(pass.grad), &[], |row| {
                vectorised(InRegisters(row))
            }),
            Reduce::Max => match self.kept_places() {
                Places::Few(places) => {
                    self.gathered(&pass.grad, places, |row| vectorised(InRegisters(row)))
                }
                Places::Many(_) => self.backward(pass),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Tensor, Var};

    #[test]
    fn the_first_of_equal_values_gets_the_gradient() {
        let xs = Var::from_tensor(
            &Tensor::ones((1, 1, 2, 4), candle_core::DType::F32, &Device::Cpu).unwrap(),
        )
        .unwrap();
        let map = FeatureMap::from_nchw(&xs).unwrap();
        let ys = max_pool(
            &map,
            &Window {
                stride: [2, 2],
                ..Window::new([2, 2])
            },
        )
        .unwrap();
        let grads = ys.to_nchw().unwrap().sum_all().unwrap().backward().unwrap();
        let grad = grads
            .get(&xs)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_vec1::<f32>()
            .unwrap();
        assert_eq!(grad, [1., 0., 1., 0., 0., 0., 0., 0.]);
    }

    #[test]
    fn padding_beyond_half_of_the_window_is_an_error() {
        let xs = FeatureMap::from_nchw(
            &Tensor::ones((1, 1, 5, 4), candle_core::DType::F32, &Device::Cpu).unwrap(),
        )
        .unwrap();
        let message = max_pool(
            &xs,
            &Window {
                padding: Padding::all(2),
                ..Window::new([3, 3])
            },
        )
        .unwrap_err()
        .to_string();
        assert!(
            message.contains(
                "padding of the rows is 2, expected at most 1, half of the window's extent 3"
            ),
            "{message}"
        );
        assert!(adaptive_avg_pool(&xs, [1, 0]).is_err());
    }
}
