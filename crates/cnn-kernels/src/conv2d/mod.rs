//! 2-D convolution (cross-correlation, as in every deep-learning library), its geometry and its
//! choice of algorithm.

mod depthwise;
mod depthwise_direct;
mod depthwise_tiles;
mod dilated;
pub(crate) mod direct;
mod expanded;
mod gemm;
mod general;
mod gradients;
mod joined;
mod microkernel;
mod packed_conv2d;
mod packed_transposed;
pub(crate) mod packed_weights;
mod passes;
mod plan;
mod strip;
mod transposed;
mod weight_gradient;
mod wide_pixels;
mod winograd;

pub use gradients::conv2d_gradients;
pub use packed_conv2d::{JoinedMap, PackedConv2d};
pub use packed_transposed::PackedConvTranspose2d;
pub use transposed::{ConvTranspose2dSpec, conv_transpose2d};

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, apply};
use crate::error::{Checked, Error};
use crate::machine::recycle::Buffer;
use crate::norm::channel_sums::sum_over_pixels;
use crate::{FeatureMap, Geometry, Padding, Window};

const OP: &str = "conv2d";

/// Floats of a padded row of windows beyond which patches are gathered instead: padding or dilation
/// of absurd size.
pub(crate) const MAX_SCRATCH: usize = 1 << 26;

/// How a convolution's window moves; the kernel's extent is the weight's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conv2dSpec {
    /// Rows and columns between neighbouring outputs; default 1.
    pub stride: [usize; 2],
    /// Zeros around the input; default none.
    pub padding: Padding,
    /// Distance between the taps of the kernel; default 1.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other; default 1. As many groups as channels is a
    /// depthwise convolution.
    pub groups: usize,
}

impl Default for Conv2dSpec {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            padding: Padding::Valid,
            dilation: [1, 1],
            groups: 1,
        }
    }
}

/// `ys[n, y, x, o] = bias[o] + Σ xs[n, y·stride − pad + i·dilation, x·stride − pad + j·dilation, c] · weight[o, c, i, j]`
/// over the taps `i, j` and the input channels `c` of `o`'s group.
///
/// # Shapes
/// - `xs`: `(N, H, W, C_in)`
/// - `weight`: `(C_out, C_in / groups, K_h, K_w)`, PyTorch's, or a linear layer's
///   `(C_out, C_in / groups)` for a window of one pixel
/// - `bias`: `(C_out)`
/// - output: `(N, ⌊(H + padding − dilation·(K_h − 1) − 1) / stride⌋ + 1, …, C_out)`
///
/// # Errors
/// If a shape does not fit, with the numbers.
pub fn conv2d(
    xs: &FeatureMap,
    weight: &Tensor,
    bias: Option<&Tensor>,
    spec: &Conv2dSpec,
) -> Result<FeatureMap> {
    let kernel = Convolution::new(xs.dims(), weight.dims(), bias.map(Tensor::dims), spec)?;
    let parameters: Vec<&Tensor> = [weight].into_iter().chain(bias).collect();
    apply(kernel, &[xs], &parameters)
}

/// A convolution whose shapes agree.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Convolution {
    pub(crate) batch: usize,
    pub(crate) c_in: usize,
    pub(crate) c_out: usize,
    pub(crate) groups: usize,
    pub(crate) geometry: Geometry,
}

impl Convolution {
    pub(crate) fn new(
        xs: [usize; 4],
        weight: &[usize],
        bias: Option<&[usize]>,
        spec: &Conv2dSpec,
    ) -> Checked<Self> {
        let [batch, height, width, c_in] = xs;
        let groups = spec.groups;
        if c_in == 0 {
            let found = c_in.to_string();
            let expected = "at least 1".to_string();
            return Err(Error::Argument {
                op: OP,
                what: "number of input channels",
                found,
                expected,
            });
        }
        if groups == 0 || !c_in.is_multiple_of(groups) {
            let expected = format!("a divisor of the {c_in} input channels");
            return Err(Error::Argument {
                op: OP,
                what: "groups",
                found: groups.to_string(),
                expected,
            });
        }
        let [c_out, group_in, kernel_rows, kernel_columns] = match *weight {
            [c_out, group_in] => [c_out, group_in, 1, 1],
            [c_out, group_in, rows, columns] => [c_out, group_in, rows, columns],
            _ => {
                let expected = "(out_channels, in_channels / groups, rows, columns)".to_string();
                return Err(Error::Shape {
                    op: OP,
                    what: "the weight",
                    found: weight.to_vec(),
                    expected,
                });
            }
        };
        if group_in != c_in / groups || !c_out.is_multiple_of(groups) || c_out == 0 {
            let expected = format!(
                "(a multiple of {groups}, {}, rows, columns) for {c_in} input channels",
                c_in / groups
            );
            return Err(Error::Shape {
                op: OP,
                what: "the weight",
                found: weight.to_vec(),
                expected,
            });
        }
        if let Some(bias) = bias
            && bias != [c_out]
        {
            return Err(Error::Shape {
                op: OP,
                what: "the bias",
                found: bias.to_vec(),
                expected: format!("[{c_out}]"),
            });
        }
        let window = Window {
            kernel_size: [kernel_rows, kernel_columns],
            stride: spec.stride,
            padding: spec.padding,
            dilation: spec.dilation,
            ceil_mode: false,
        };
        Ok(Self {
            batch,
            c_in,
            c_out,
            groups,
            geometry: window.place(OP, [height, width])?,
        })
    }

    pub(crate) fn taps(&self) -> usize {
        self.geometry.rows.kernel * self.geometry.columns.kernel
    }

    pub(crate) fn group_in(&self) -> usize {
        self.c_in / self.groups
    }

    pub(crate) fn group_out(&self) -> usize {
        self.c_out / self.groups
    }

    pub(crate) fn input_pixels(&self) -> usize {
        self.geometry.rows.input * self.geometry.columns.input
    }

    pub(crate) fn output_pixels(&self) -> usize {
        self.geometry.rows.output * self.geometry.columns.output
    }

    pub(crate) fn is_depthwise(&self) -> bool {
        self.groups == self.c_in && self.c_out == self.c_in && self.groups > 1
    }
}

impl Kernel for Convolution {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        let [rows, columns] = self.geometry.output();
        vec![self.batch, rows, columns, self.c_out]
    }

    fn geometry(&self) -> String {
        let rows = self.geometry.rows;
        let columns = self.geometry.columns;
        let groups = if self.is_depthwise() {
            " depthwise"
        } else {
            ""
        };
        format!("{}x{}/{}{groups}", rows.kernel, columns.kernel, rows.stride)
    }

    fn multiply_adds(&self) -> usize {
        self.batch * self.output_pixels() * self.c_out * self.taps() * self.group_in()
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        self.output(inputs.xs(), inputs.weight(), inputs.bias())
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward {
            inputs,
            grad,
            wanted,
            ..
        } = pass;
        let grad_xs = || self.grad_input(&grad, inputs.weight(), None);
        let grad_weight = || self.grad_weight(inputs.xs(), &grad);
        let mut grads = vec![wanted.xs().then(grad_xs), wanted.weight().then(grad_weight)];
        if let Some(wanted) = wanted.bias() {
            grads.push(wanted.then(|| sum_over_pixels(&grad, self.c_out)));
        }
        shared(grads)
    }

    fn forward_f32(&self, inputs: Inputs<'_, f32>) -> Vec<f32> {
        self.output_f32(inputs.xs(), inputs.weight(), inputs.bias())
    }

    fn backward_f32(&self, pass: Backward<'_, f32>) -> Vec<Option<Arc<Buffer<f32>>>> {
        let Backward {
            inputs,
            grad,
            wanted,
            ..
        } = pass;
        let grad_xs = || self.grad_input_f32(&grad, inputs.weight(), None);
        let grad_weight = || self.grad_weight_f32(inputs.xs(), &grad);
        let mut grads = vec![wanted.xs().then(grad_xs), wanted.weight().then(grad_weight)];
        if let Some(wanted) = wanted.bias() {
            grads.push(wanted.then(|| sum_over_pixels(&grad, self.c_out)));
        }
        shared(grads)
    }
}

fn shared<T>(grads: Vec<Option<Vec<T>>>) -> Vec<Option<Arc<Buffer<T>>>> {
    let grads = grads.into_iter();
    grads.map(|grad| grad.map(Buffer::shared)).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device};

    fn zeros(shape: &[usize]) -> Tensor {
        Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()
    }

    #[test]
    fn shapes_that_cannot_work_are_named() {
        let xs = FeatureMap::from_nchw(&zeros(&[1, 6, 5, 7])).unwrap();
        let groups = |groups| Conv2dSpec {
            groups,
            ..Conv2dSpec::default()
        };
        let table: [(&[usize], Option<usize>, Conv2dSpec, &str); 7] = [
            (
                &[4, 6, 3],
                None,
                groups(1),
                "the weight has shape [4, 6, 3], expected (out_channels",
            ),
            (
                &[4, 5, 3, 3],
                None,
                groups(1),
                "the weight has shape [4, 5, 3, 3], expected (a multiple of 1, 6, rows",
            ),
            (
                &[4, 6, 3, 3],
                Some(5),
                groups(1),
                "the bias has shape [5], expected [4]",
            ),
            (
                &[4, 2, 3, 3],
                None,
                groups(3),
                "expected (a multiple of 3, 2, rows, columns) for 6 input channels",
            ),
            (
                &[4, 2, 3, 3],
                None,
                groups(4),
                "groups is 4, expected a divisor of the 6 input channels",
            ),
            (&[4, 6, 3, 3], None, groups(0), "groups is 0"),
            (
                &[4, 6, 6, 3],
                None,
                groups(1),
                "a window of 6 along the height does not fit into an input of 5",
            ),
        ];
        for (weight, bias, spec, expected) in table {
            let bias = bias.map(|bias| zeros(&[bias]));
            let message = conv2d(&xs, &zeros(weight), bias.as_ref(), &spec)
                .unwrap_err()
                .to_string();
            assert!(message.contains(expected), "{message}");
        }
        let double = zeros(&[4, 6, 3, 3]).to_dtype(DType::F64).unwrap();
        let message = conv2d(&xs, &double, None, &groups(1))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("a parameter's element type is F64, expected F32"),
            "{message}"
        );
    }
}
