//! Rows and columns of zeros around a map.
#![allow(unsafe_code)]

use std::sync::Arc;

use candle_core::Result;

use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::geometry::MAX_EXTENT;
use crate::machine::recycle::Buffer;
use crate::machine::shared::filled_chunks;
use crate::{Error, FeatureMap};

const OP: &str = "zero_pad";

/// How many rows or columns of zeros are put at each end of an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Margin {
    /// Above, or to the left.
    pub before: usize,
    /// Below, or to the right.
    pub after: usize,
}

/// A map with rows and columns of zeros around it. Differentiable.
///
/// # Shapes
/// `(N, H, W, C)` to `(N, before + H + after, before + W + after, C)`.
///
/// # Errors
/// If there would be no pixel, or a side of more than 1048576.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_kernels::{FeatureMap, Margin, zero_pad};
///
/// let xs = FeatureMap::from_nhwc(&Tensor::new(&[[[[1f32], [2.]]]], &Device::Cpu)?)?;
/// let right = Margin { before: 0, after: 1 };
/// let padded = zero_pad(&xs, Margin::default(), right)?;
/// assert_eq!(padded.flatten()?.to_vec2::<f32>()?, [[1., 2., 0.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn zero_pad(xs: &FeatureMap, rows: Margin, columns: Margin) -> Result<FeatureMap> {
    let [n, h, w, c] = xs.dims();
    let side = |size: usize, margin: Margin| {
        let side = size
            .saturating_add(margin.before)
            .saturating_add(margin.after);
        if (1..=MAX_EXTENT).contains(&side) {
            return Ok(side);
        }
        Err(Error::Argument {
            op: OP,
            what: "output size",
            found: side.to_string(),
            expected: format!("1 to {MAX_EXTENT}"),
        })
    };
    let kernel = ZeroPad {
        input: [n, h, w, c],
        output: [n, side(h, rows)?, side(w, columns)?, c],
        above: rows.before,
        left: columns.before,
    };
    apply(kernel, &[xs], &[])
}

struct ZeroPad {
    /// N, H, W, C.
    input: [usize; 4],
    output: [usize; 4],
    above: usize,
    left: usize,
}

impl ZeroPad {
    /// Where a row of the output lies in the input, both counted over the batch.
    fn row_of_input(&self, row: usize) -> Option<usize> {
        let [_, rows, ..] = self.input;
        let [_, padded_rows, ..] = self.output;
        let within = (row % padded_rows).checked_sub(self.above)?;
        (within < rows).then_some(row / padded_rows * rows + within)
    }
}

impl Kernel for ZeroPad {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        self.output.to_vec()
    }

    fn saved(&self) -> Saved {
        Saved::Nothing
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let xs = inputs.xs();
        let [_, _, columns, c] = self.input;
        let [n, padded_rows, padded_columns, _] = self.output;
        let row_values = padded_columns * c;
        // SAFETY: of each row all values are zeros or copied.
        unsafe {
            filled_chunks(
                n * padded_rows * row_values,
                row_values.max(1),
                |start, values| {
                    let row = self.row_of_input(start / row_values.max(1));
                    let inside = self.left * c..(self.left + columns) * c;
                    for value in values.iter_mut() {
                        value.write(T::zero());
                    }
                    if let Some(row) = row {
                        values[inside].write_copy_of_slice(&xs[row * columns * c..][..columns * c]);
                    }
                },
            )
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward { grad, wanted, .. } = pass;
        let [n, rows, columns, c] = self.input;
        let [_, padded_rows, padded_columns, _] = self.output;
        let row_values = columns * c;
        let of_input = || {
            // SAFETY: each row is copied whole.
            let values = unsafe {
                filled_chunks(n * rows * row_values, row_values.max(1), |start, values| {
                    let row = start / row_values.max(1);
                    let padded = row / rows * padded_rows + self.above + row % rows;
                    let place = (padded * padded_columns + self.left) * c;
                    values.write_copy_of_slice(&grad[place..][..row_values]);
                })
            };
            Buffer::shared(values)
        };
        vec![wanted.xs().then(of_input)]
    }
}
