//! The loops of resizing: some rows of outputs, or of the input's gradient, at a time.
//!
//! Rows come before columns: two rows are blended whole, value by value, so that their registers are
//! full however few channels there are, and a pixel is then a blend of two places in one row.

use std::mem::MaybeUninit;

use super::axis::Blend;
use crate::autograd::element::Element;
use crate::machine::isa::Loop;
use crate::machine::register::{Register, load, store};
use crate::machine::simd::Simd;

/// What one output pixel reads in a row of the input.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column<T> {
    /// Where its pixels begin, the second not before the first.
    pub(super) low: usize,
    pub(super) high: usize,
    pub(super) weights: [T; 2],
}

/// Some rows of outputs, counted over the whole batch.
pub(super) struct Rows<'a, T> {
    pub(super) xs: &'a [T],
    /// Of an image.
    pub(super) input_rows: usize,
    /// Values of a row.
    pub(super) input_row: usize,
    pub(super) channels: usize,
    pub(super) rows: &'a [Blend],
    pub(super) columns: &'a [Column<T>],
    pub(super) first_row: usize,
    pub(super) ys: &'a mut [MaybeUninit<T>],
}

impl<T: Element> Loop for Rows<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let mut scratch = vec![T::zero(); self.input_row];
        let ys = std::mem::take(&mut self.ys);
        let whole = self.whole_pixels::<T::Register<S>>();
        let rows = ys.chunks_exact_mut(self.columns.len() * self.channels);
        for (row, ys) in (self.first_row..).zip(rows) {
            let image = row / self.rows.len() * self.input_rows;
            let blend = &self.rows[row % self.rows.len()];
            let of_row =
                |place: usize| &self.xs[(image + place) * self.input_row..][..self.input_row];
            let line = if blend.is_copy() {
                of_row(blend.low)
            } else {
                let weights = [1. - blend.weight, blend.weight].map(T::from_f64);
                blend_rows(of_row(blend.low), of_row(blend.high), weights, &mut scratch);
                &scratch
            };
            let to = ys.as_mut_ptr().cast::<T>();
            // SAFETY: the columns lie in the line; `whole` pixels may be read and written beyond
            // their channels; `S` is what the caller is compiled for.
            unsafe {
                for (x, column) in self.columns.iter().enumerate() {
                    let to = to.add(x * self.channels);
                    if x < whole {
                        pixel::<T::Register<S>, true>(column, line.as_ptr(), to, self.channels);
                    } else {
                        pixel::<T::Register<S>, false>(column, line.as_ptr(), to, self.channels);
                    }
                }
            }
        }
    }
}

impl<T: Element> Rows<'_, T> {
    /// How many pixels at the start of a row can be computed in whole registers: these reach into
    /// the pixels behind, which are written after them, but not beyond a row.
    fn whole_pixels<R: Register>(&self) -> usize {
        let reach = self.channels.next_multiple_of(R::LANES);
        let row = self.columns.len() * self.channels;
        let fits = |(x, column): &(usize, &Column<T>)| {
            column.high + reach <= self.input_row && x * self.channels + reach <= row
        };
        self.columns.iter().enumerate().take_while(fits).count()
    }
}

#[inline(always)]
fn blend_rows<T: Element>(low: &[T], high: &[T], weights: [T; 2], to: &mut [T]) {
    for ((to, &low), &high) in to.iter_mut().zip(low).zip(high) {
        *to = low * weights[0] + high * weights[1];
    }
}

/// One output pixel; if `WHOLE`, in whole registers.
///
/// # Safety
/// The column's pixels lie in the line and the output's channels are valid, or as many values as
/// registers touch.
#[inline(always)]
unsafe fn pixel<R: Register, const WHOLE: bool>(
    column: &Column<R::Value>,
    line: *const R::Value,
    to: *mut R::Value,
    channels: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let weights = column.weights.map(|weight| R::splat(weight));
        let mut channel = 0;
        while channel < channels {
            let count = (channels - channel).min(R::LANES);
            let low = load::<R, WHOLE>(line.add(column.low + channel), count);
            let value = if column.low == column.high {
                low
            } else {
                let high = load::<R, WHOLE>(line.add(column.high + channel), count);
                low.multiply(weights[0]).add_product(high, weights[1])
            };
            store::<R, WHOLE>(value, to.add(channel), count);
            channel += R::LANES;
        }
    }
}

/// What a place in the input gives to an output: where that begins, and by how much.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighted<T> {
    pub(super) offset: usize,
    pub(super) weight: T,
}

/// Some rows of the gradient of the input, counted over the whole batch.
pub(super) struct GradRows<'a, T> {
    pub(super) grad: &'a [T],
    /// Of an image.
    pub(super) output_rows: usize,
    /// Values of a row.
    pub(super) output_row: usize,
    pub(super) channels: usize,
    /// The outputs of each row and of each column of the input.
    pub(super) rows: &'a [Vec<Weighted<T>>],
    pub(super) columns: &'a [Vec<Weighted<T>>],
    pub(super) first_row: usize,
    pub(super) grad_xs: &'a mut [MaybeUninit<T>],
}

impl<T: Element> Loop for GradRows<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(mut self) {
        let mut scratch = vec![T::zero(); self.output_row];
        let grad_xs = std::mem::take(&mut self.grad_xs);
        let whole = self.whole_pixels::<T::Register<S>>();
        let rows = grad_xs.chunks_exact_mut(self.columns.len() * self.channels);
        for (row, grad_xs) in (self.first_row..).zip(rows) {
            let image = row / self.rows.len() * self.output_rows;
            let grad = &self.grad[image * self.output_row..][..self.output_rows * self.output_row];
            let to = grad_xs.as_mut_ptr().cast::<T>();
            // SAFETY: the rows lie in the image's gradient, the columns in a row; `whole` pixels may
            // be read and written beyond their channels; `S` is what the caller is compiled for.
            unsafe {
                sum_values::<T::Register<S>>(
                    grad.as_ptr(),
                    &self.rows[row % self.rows.len()],
                    scratch.as_mut_ptr(),
                    self.output_row,
                );
                for (x, outputs) in self.columns.iter().enumerate() {
                    let to = to.add(x * self.channels);
                    let mut channel = 0;
                    while channel < self.channels {
                        let count = (self.channels - channel).min(<T::Register<S>>::LANES);
                        let from = scratch.as_ptr().add(channel);
                        let to = to.add(channel);
                        if x < whole {
                            sum::<T::Register<S>, 1, true>(from, outputs, to, count);
                        } else {
                            sum::<T::Register<S>, 1, false>(from, outputs, to, count);
                        }
                        channel += <T::Register<S>>::LANES;
                    }
                }
            }
        }
    }
}

impl<T: Element> GradRows<'_, T> {
    /// As [`Rows::whole_pixels`].
    fn whole_pixels<R: Register>(&self) -> usize {
        let reach = self.channels.next_multiple_of(R::LANES);
        let row = self.columns.len() * self.channels;
        let fits = |(x, outputs): &(usize, &Vec<Weighted<T>>)| {
            let last = outputs.last().map_or(0, |output| output.offset);
            last + reach <= self.output_row && x * self.channels + reach <= row
        };
        self.columns.iter().enumerate().take_while(fits).count()
    }
}

/// `len` sums of terms, those of the first term first.
///
/// # Safety
/// As [`sum`].
#[inline(always)]
unsafe fn sum_values<R: Register>(
    from: *const R::Value,
    terms: &[Weighted<R::Value>],
    to: *mut R::Value,
    len: usize,
) where
    R::Value: Default,
{
    let mut at = 0;
    // SAFETY: the caller's promise; several registers first, then whole ones, then what is left.
    unsafe {
        while at + 4 * R::LANES <= len {
            sum::<R, 4, true>(from.add(at), terms, to.add(at), R::LANES);
            at += 4 * R::LANES;
        }
        while at < len {
            let count = (len - at).min(R::LANES);
            sum::<R, 1, false>(from.add(at), terms, to.add(at), count);
            at += R::LANES;
        }
    }
}

/// `Σ term · weight` of `V` registers; unless `WHOLE`, of `count` values of one.
///
/// # Safety
/// Each term has as many values from its offset on, and so has `to`.
#[inline(always)]
unsafe fn sum<R: Register, const V: usize, const WHOLE: bool>(
    from: *const R::Value,
    terms: &[Weighted<R::Value>],
    to: *mut R::Value,
    count: usize,
) where
    R::Value: Default,
{
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums = [R::splat(R::Value::default()); V];
        for term in terms {
            let weight = R::splat(term.weight);
            let from = from.add(term.offset);
            for (v, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add_product(load::<R, WHOLE>(from.add(v * R::LANES), count), weight);
            }
        }
        for (v, &sum) in sums.iter().enumerate() {
            store::<R, WHOLE>(sum, to.add(v * R::LANES), count);
        }
    }
}
