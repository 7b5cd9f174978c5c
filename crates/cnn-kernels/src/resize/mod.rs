//! Bilinear and nearest resizing: along each axis an output is a blend of two neighbours, or a copy
//! of one place. Beside it, pixels of a block as channels.
#![allow(unsafe_code)]

mod axis;
mod rows;
pub(crate) mod space_to_depth;

use std::sync::Arc;

use candle_core::Result;

use self::axis::{Axis, Blend, Share, shares};
use self::rows::{Column, GradRows, Rows, Weighted};
use crate::FeatureMap;
use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::error::{Checked, Error};
use crate::geometry::MAX_EXTENT;
use crate::machine::isa::vectorised;
use crate::machine::parallel;
use crate::machine::recycle::Buffer;
use crate::machine::shared::filled_chunks;

const OP: &str = "resize";

/// How a pixel between pixels gets its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interpolation {
    /// The value of one pixel: output `i` reads input `⌊i · step⌋`, in f32 arithmetic as PyTorch's
    /// `interpolate(mode="nearest")`.
    Nearest,
    /// Of the two nearest pixels along each axis, each by how near it is, as PyTorch's
    /// `interpolate(mode="bilinear")` without `antialias`.
    Bilinear {
        /// Whether the centres of the corner pixels stay where they are: output `i` lies at
        /// `i · (H − 1) / (H' − 1)`. Otherwise the edges of the map do, PyTorch's default: it lies
        /// at `(i + ½) · step − ½`, or at 0 where that is negative.
        align_corners: bool,
    },
}

/// To which size maps are resized.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ResizeTo {
    /// `[height, width]`: a step is the input's size over the output's, PyTorch's `size`.
    Size([usize; 2]),
    /// By `[rows, columns]`: to `⌊H · factor⌋`, and a step is `1 / factor` also where that was
    /// rounded, PyTorch's `scale_factor`.
    Factor([f64; 2]),
}

impl ResizeTo {
    /// `[height, width]` that maps of `input` size get.
    ///
    /// # Errors
    /// If a size is 0 or more than 1048576, or a factor is not a positive number.
    pub fn output(self, input: [usize; 2]) -> Result<[usize; 2]> {
        Ok(self.axes(input)?.map(|axis| axis.output))
    }

    fn axes(self, input: [usize; 2]) -> Checked<[Axis; 2]> {
        let axis = |index: usize| {
            let input = checked_size("input size", input[index])?;
            let factor = match self {
                Self::Size(_) => None,
                Self::Factor(factors) => Some(checked_factor(factors[index])?),
            };
            let output = match self {
                Self::Size(size) => size[index],
                // Beyond the largest size it is refused, whatever a cast makes of it.
                Self::Factor(factors) => (input as f64 * factors[index]) as usize,
            };
            Ok(Axis {
                input,
                output: checked_size("output size", output)?,
                factor,
            })
        };
        Ok([axis(0)?, axis(1)?])
    }
}

fn checked_size(what: &'static str, size: usize) -> Checked<usize> {
    if (1..=MAX_EXTENT).contains(&size) {
        return Ok(size);
    }
    Err(Error::Argument {
        op: OP,
        what,
        found: size.to_string(),
        expected: format!("1 to {MAX_EXTENT}"),
    })
}

fn checked_factor(factor: f64) -> Checked<f64> {
    if factor > 0. && factor.is_finite() {
        return Ok(factor);
    }
    Err(Error::Argument {
        op: OP,
        what: "the factor",
        found: factor.to_string(),
        expected: "a positive number".to_string(),
    })
}

/// Maps of another size. Differentiable; sums of the gradient have a fixed order. Positions are
/// computed in f64 for both element types, but for the nearest pixel.
///
/// # Shapes
/// `(N, H, W, C)` to `(N, H', W', C)`, see [`ResizeTo`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_kernels::{FeatureMap, Interpolation, ResizeTo, resize};
///
/// let xs = FeatureMap::from_nhwc(&Tensor::new(&[[[[0f32], [4.]]]], &Device::Cpu)?)?;
/// let row = |interpolation| {
///     resize(&xs, ResizeTo::Size([1, 4]), interpolation)?
///         .flatten()?
///         .to_vec2::<f32>()
/// };
/// let bilinear = |align_corners| Interpolation::Bilinear { align_corners };
/// assert_eq!(row(Interpolation::Nearest)?, [[0., 0., 4., 4.]]);
/// assert_eq!(row(bilinear(false))?, [[0., 1., 3., 4.]]);
/// assert_eq!(row(bilinear(true))?[0][0], 0.);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// If a size is 0 or more than 1048576, or a factor is not a positive number.
pub fn resize(xs: &FeatureMap, to: ResizeTo, interpolation: Interpolation) -> Result<FeatureMap> {
    let axes = to.axes([xs.height(), xs.width()])?;
    let [rows, columns] = axes.map(|axis| axis.blends(interpolation));
    let kernel = Resize {
        input: xs.dims(),
        rows,
        columns,
    };
    apply(kernel, &[xs], &[])
}

struct Resize {
    input: [usize; 4],
    rows: Vec<Blend>,
    columns: Vec<Blend>,
}

impl Resize {
    /// Values of a row of the output.
    fn output_row(&self) -> usize {
        self.columns.len() * self.input[3]
    }

    /// Values of a row of the input.
    fn input_row(&self) -> usize {
        self.input[2] * self.input[3]
    }

    /// Rows of one task, of so many of the whole batch.
    fn rows_per_task(&self, of_image: usize) -> usize {
        (self.input[0] * of_image)
            .div_ceil(parallel::wanted_tasks())
            .max(1)
    }
}

/// What each place of an axis gives, in the element type.
fn weighted<T: Element>(shares: &[Vec<Share>], scale: usize) -> Vec<Vec<Weighted<T>>> {
    let weighted = |share: &Share| Weighted {
        offset: share.output * scale,
        weight: T::from_f64(share.weight),
    };
    let all = shares.iter();
    all.map(|shares| shares.iter().map(weighted).collect())
        .collect()
}

impl Kernel for Resize {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        let [batch, _, _, channels] = self.input;
        vec![batch, self.rows.len(), self.columns.len(), channels]
    }

    fn saved(&self) -> Saved {
        Saved::Nothing
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let channels = self.input[3];
        let column = |blend: &Blend| Column {
            low: blend.low * channels,
            high: blend.high * channels,
            weights: [1. - blend.weight, blend.weight].map(T::from_f64),
        };
        let columns: Vec<Column<T>> = self.columns.iter().map(column).collect();
        let row = self.output_row();
        let len = self.output_shape().iter().product();
        // SAFETY: the loop writes every pixel of its rows.
        unsafe {
            filled_chunks(
                len,
                self.rows_per_task(self.rows.len()) * row,
                |first, ys| {
                    vectorised(Rows {
                        xs: inputs.xs(),
                        input_rows: self.input[1],
                        input_row: self.input_row(),
                        channels,
                        rows: &self.rows,
                        columns: &columns,
                        first_row: first / row,
                        ys,
                    });
                },
            )
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let [_, height, width, channels] = self.input;
        let output_row = self.output_row();
        let rows = weighted::<T>(&shares(&self.rows, height), output_row);
        let columns = weighted::<T>(&shares(&self.columns, width), channels);
        let row = self.input_row();
        let len = self.input.iter().product();
        // SAFETY: the loop writes every pixel of its rows.
        let grad_xs = unsafe {
            filled_chunks(len, self.rows_per_task(height) * row, |first, grad_xs| {
                vectorised(GradRows {
                    grad: &pass.grad,
                    output_rows: self.rows.len(),
                    output_row,
                    channels,
                    rows: &rows,
                    columns: &columns,
                    first_row: first / row,
                    grad_xs,
                });
            })
        };
        vec![Some(Buffer::shared(grad_xs))]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device, Tensor};

    #[test]
    fn sizes_and_factors_that_cannot_be_are_named() {
        let ones = Tensor::ones((1, 3, 5, 2), DType::F32, &Device::Cpu).unwrap();
        let xs = FeatureMap::from_nhwc(&ones).unwrap();
        let factor = |rows: f64| ResizeTo::Factor([rows, 1.]);
        for (to, expected) in [
            (
                ResizeTo::Size([0, 4]),
                "resize: output size is 0, expected 1 to 1048576",
            ),
            (
                ResizeTo::Size([4, usize::MAX]),
                "output size is 18446744073709551615",
            ),
            (factor(0.2), "output size is 0"),
            (factor(1e300), "output size is 18446744073709551615"),
            (factor(0.), "the factor is 0, expected a positive number"),
            (factor(-2.), "the factor is -2"),
            (factor(f64::NAN), "the factor is NaN"),
            (factor(f64::INFINITY), "the factor is inf"),
        ] {
            let error = resize(&xs, to, Interpolation::Nearest).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert_eq!(factor(1.7).output([3, 5]).unwrap(), [5, 5]);
    }
}
