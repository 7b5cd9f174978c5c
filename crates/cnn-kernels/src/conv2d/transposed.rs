//! Transposed 2-D convolution (Zeiler et al. 2010; "deconvolution"): the gradient of a convolution's
//! input as an operation of its own.
//!
//! All three passes are those of the convolution that reads the output and gives the input, so that
//! a 2×2 kernel with stride 2 is a 1×1 convolution whose pixels are written in their four places.

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, apply};
use crate::conv2d::{Convolution, shared};
use crate::error::{Checked, Error};
use crate::geometry::MAX_EXTENT;
use crate::machine::recycle::Buffer;
use crate::norm::channel_sums::sum_over_pixels;
use crate::{FeatureMap, Padding, Window};

pub(super) const OP: &str = "conv_transpose2d";

/// How a transposed convolution spreads its input, `[rows, columns]` each; the kernel's extent is
/// the weight's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvTranspose2dSpec {
    /// Rows and columns of the output between what neighbouring inputs give; default 1.
    pub stride: [usize; 2],
    /// Rows and columns left out of the output on both sides; default 0.
    pub padding: [usize; 2],
    /// Rows below and columns to the right that the output has beyond the least, fewer than the
    /// stride; default 0. Strided convolutions of maps of several sizes give one size: it says which
    /// of them comes back.
    pub output_padding: [usize; 2],
    /// Distance between the taps of the kernel; default 1.
    pub dilation: [usize; 2],
    /// Groups of channels that do not see each other; default 1.
    pub groups: usize,
}

impl Default for ConvTranspose2dSpec {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            padding: [0, 0],
            output_padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
        }
    }
}

/// `ys[n, y·stride − pad + i·dilation, x·stride − pad + j·dilation, o] = bias[o] + Σ xs[n, y, x, c] · weight[c, o, i, j]`
/// over all `y, x, i, j` that lead to the place, and the input channels `c` of `o`'s group: PyTorch's
/// `conv_transpose2d`. Differentiable.
///
/// # Shapes
/// - `xs`: `(N, H, W, C_in)`
/// - `weight`: `(C_in, C_out / groups, K_h, K_w)`, PyTorch's
/// - `bias`: `(C_out)`
/// - output: `(N, (H − 1)·stride − 2·padding + dilation·(K_h − 1) + output_padding + 1, …, C_out)`
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_kernels::{ConvTranspose2dSpec, FeatureMap, conv_transpose2d};
///
/// let xs = FeatureMap::from_nhwc(&Tensor::new(&[[[[1f32], [10.]]]], &Device::Cpu)?)?;
/// let weight = Tensor::new(&[[[[1f32, 2., 3.]]]], &Device::Cpu)?;
/// let spec = ConvTranspose2dSpec {
///     stride: [1, 2],
///     ..ConvTranspose2dSpec::default()
/// };
/// let ys = conv_transpose2d(&xs, &weight, None, &spec)?.flatten()?;
/// assert_eq!(ys.to_vec2::<f32>()?, [[1., 2., 13., 20., 30.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// If a shape does not fit, nothing of the output is left beside the padding, or the output's
/// padding is not less than the stride, with the numbers.
pub fn conv_transpose2d(
    xs: &FeatureMap,
    weight: &Tensor,
    bias: Option<&Tensor>,
    spec: &ConvTranspose2dSpec,
) -> Result<FeatureMap> {
    let adjoint = adjoint(xs.dims(), weight.dims(), bias.map(Tensor::dims), spec)?;
    let parameters: Vec<&Tensor> = [weight].into_iter().chain(bias).collect();
    apply(Transposed::new(adjoint), &[xs], &parameters)
}

/// The convolution from the output to the input.
pub(super) fn adjoint(
    xs: [usize; 4],
    weight: &[usize],
    bias: Option<&[usize]>,
    spec: &ConvTranspose2dSpec,
) -> Checked<Convolution> {
    let [batch, height, width, channels] = xs;
    let groups = spec.groups;
    if channels == 0 {
        return Err(Error::Argument {
            op: OP,
            what: "number of input channels",
            found: channels.to_string(),
            expected: "at least 1".to_string(),
        });
    }
    if groups == 0 || !channels.is_multiple_of(groups) {
        return Err(Error::Argument {
            op: OP,
            what: "groups",
            found: groups.to_string(),
            expected: format!("a divisor of the {channels} input channels"),
        });
    }
    let (group_out, kernel_size) = match *weight {
        [found, group_out, rows, columns] if found == channels && group_out > 0 => {
            (group_out, [rows, columns])
        }
        _ => {
            return Err(Error::Shape {
                op: OP,
                what: "the weight",
                found: weight.to_vec(),
                expected: format!("({channels}, out_channels / {groups}, rows, columns)"),
            });
        }
    };
    let c_out = group_out.saturating_mul(groups);
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
    let [rows, columns] = spec.padding;
    let window = Window {
        stride: spec.stride,
        padding: Padding::symmetric(rows, columns),
        dilation: spec.dilation,
        ..Window::new(kernel_size)
    };
    let output = [
        output_size(&window, spec, 0, height)?,
        output_size(&window, spec, 1, width)?,
    ];
    Ok(Convolution {
        batch,
        c_in: c_out,
        c_out: channels,
        groups,
        geometry: window.place(OP, output)?,
    })
}

/// The output's size along an axis of an input of so many places.
fn output_size(
    window: &Window,
    spec: &ConvTranspose2dSpec,
    axis: usize,
    input: usize,
) -> Checked<usize> {
    let argument = |what, found: usize, expected: String| Error::Argument {
        op: OP,
        what,
        found: found.to_string(),
        expected,
    };
    let kernel = window.kernel_size[axis];
    let stride = spec.stride[axis];
    let dilation = spec.dilation[axis];
    for (what, value) in [
        ("kernel_size", kernel),
        ("stride", stride),
        ("dilation", dilation),
        ("input size", input),
    ] {
        if value == 0 || value > MAX_EXTENT {
            return Err(argument(what, value, format!("1 to {MAX_EXTENT}")));
        }
    }
    let output_padding = spec.output_padding[axis];
    if output_padding >= stride {
        let expected = format!("less than the stride {stride}");
        return Err(argument("output_padding", output_padding, expected));
    }
    // No factor is beyond 2²⁰, so that nothing overflows.
    let all = (input - 1) * stride + dilation * (kernel - 1) + 1 + output_padding;
    let padding = spec.padding[axis];
    let most = (all - 1) / 2;
    if padding > most {
        let expected = format!("at most {most}, so that something of {all} is left");
        return Err(argument("padding", padding, expected));
    }
    let output = all - 2 * padding;
    if output > MAX_EXTENT {
        let expected = format!("at most {MAX_EXTENT}");
        return Err(argument("output size", output, expected));
    }
    Ok(output)
}

/// A transposed convolution whose shapes agree.
pub(super) struct Transposed {
    adjoint: Convolution,
}

impl Transposed {
    pub(super) fn new(adjoint: Convolution) -> Self {
        Self { adjoint }
    }
}

impl Kernel for Transposed {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        output_shape(&self.adjoint)
    }

    fn geometry(&self) -> String {
        self.adjoint.geometry()
    }

    fn multiply_adds(&self) -> usize {
        self.adjoint.multiply_adds()
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        self.adjoint
            .grad_input(inputs.xs(), inputs.weight(), inputs.bias())
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward {
            inputs,
            grad,
            wanted,
            ..
        } = pass;
        let grad_xs = || self.adjoint.output(&grad, inputs.weight(), None);
        let grad_weight = || self.adjoint.grad_weight(&grad, inputs.xs());
        let mut grads = vec![wanted.xs().then(grad_xs), wanted.weight().then(grad_weight)];
        if let Some(wanted) = wanted.bias() {
            grads.push(wanted.then(|| sum_over_pixels(&grad, self.adjoint.c_in)));
        }
        shared(grads)
    }

    fn forward_f32(&self, inputs: Inputs<'_, f32>) -> Vec<f32> {
        self.adjoint
            .grad_input_f32(inputs.xs(), inputs.weight(), inputs.bias())
    }

    fn backward_f32(&self, pass: Backward<'_, f32>) -> Vec<Option<Arc<Buffer<f32>>>> {
        let Backward {
            inputs,
            grad,
            wanted,
            ..
        } = pass;
        let grad_xs = || self.adjoint.output_f32(&grad, inputs.weight(), None);
        let grad_weight = || self.adjoint.grad_weight_f32(&grad, inputs.xs());
        let mut grads = vec![wanted.xs().then(grad_xs), wanted.weight().then(grad_weight)];
        if let Some(wanted) = wanted.bias() {
            grads.push(wanted.then(|| sum_over_pixels(&grad, self.adjoint.c_in)));
        }
        shared(grads)
    }
}

/// The shape of a transposed convolution's output: what its adjoint reads.
pub(super) fn output_shape(adjoint: &Convolution) -> Vec<usize> {
    let rows = adjoint.geometry.rows.input;
    let columns = adjoint.geometry.columns.input;
    vec![adjoint.batch, rows, columns, adjoint.c_in]
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
    fn what_cannot_work_is_named() {
        let xs = FeatureMap::from_nhwc(&zeros(&[1, 5, 7, 6])).unwrap();
        let plain = ConvTranspose2dSpec::default();
        let strided = ConvTranspose2dSpec {
            stride: [2, 2],
            ..plain
        };
        let table: [(&[usize], Option<usize>, ConvTranspose2dSpec, &str); 11] = [
            (
                &[5, 4, 3, 3],
                None,
                plain,
                "the weight has shape [5, 4, 3, 3], expected (6, out_channels / 1, rows, columns)",
            ),
            (&[6, 4, 3], None, plain, "the weight has shape [6, 4, 3]"),
            (
                &[6, 0, 3, 3],
                None,
                plain,
                "the weight has shape [6, 0, 3, 3]",
            ),
            (
                &[6, 4, 3, 3],
                Some(6),
                plain,
                "the bias has shape [6], expected [4]",
            ),
            (
                &[6, 4, 3, 3],
                None,
                ConvTranspose2dSpec { groups: 4, ..plain },
                "groups is 4, expected a divisor of the 6 input channels",
            ),
            (
                &[6, 4, 3, 3],
                None,
                ConvTranspose2dSpec { groups: 0, ..plain },
                "groups is 0",
            ),
            (
                &[6, 4, 2, 2],
                None,
                ConvTranspose2dSpec {
                    output_padding: [0, 2],
                    ..strided
                },
                "output_padding is 2, expected less than the stride 2",
            ),
            (
                &[6, 4, 1, 1],
                None,
                ConvTranspose2dSpec {
                    padding: [3, 0],
                    ..plain
                },
                "padding is 3, expected at most 2, so that something of 5 is left",
            ),
            (
                &[6, 4, 1, 1],
                None,
                ConvTranspose2dSpec {
                    stride: [1, 0],
                    ..plain
                },
                "stride is 0, expected 1 to 1048576",
            ),
            (
                &[6, 4, 1, 1],
                None,
                ConvTranspose2dSpec {
                    stride: [1 << 20, 1],
                    ..plain
                },
                "output size is 4194305, expected at most 1048576",
            ),
            (
                &[6, 4, 1, 1],
                None,
                ConvTranspose2dSpec {
                    padding: [usize::MAX, 0],
                    dilation: [1, usize::MAX],
                    ..plain
                },
                "padding is 18446744073709551615",
            ),
        ];
        for (weight, bias, spec, expected) in table {
            let bias = bias.map(|bias| zeros(&[bias]));
            let error = conv_transpose2d(&xs, &zeros(weight), bias.as_ref(), &spec).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn the_output_is_what_a_convolution_to_the_input_reads() {
        for (stride, padding, output_padding, dilation, expected) in [
            ([2, 2], [0, 0], [0, 0], [1, 1], [10, 15]),
            ([2, 3], [1, 0], [1, 2], [1, 2], [9, 25]),
            ([1, 1], [2, 2], [0, 0], [2, 2], [3, 7]),
        ] {
            let spec = ConvTranspose2dSpec {
                stride,
                padding,
                output_padding,
                dilation,
                groups: 1,
            };
            let adjoint = adjoint([2, 5, 7, 3], &[3, 4, 2, 3], None, &spec).unwrap();
            assert_eq!(adjoint.geometry.output(), [5, 7], "{spec:?}");
            assert_eq!(output_shape(&adjoint)[1..3], expected, "{spec:?}");
        }
    }
}
