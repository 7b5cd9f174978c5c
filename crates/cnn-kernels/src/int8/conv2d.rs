//! Convolution of bytes with int8 weights.
#![allow(unsafe_code)]

use crate::conv2d::Convolution;
use crate::error::{Checked, Error};
use crate::int8::depthwise::{self, Source};
use crate::int8::direct::DirectConvolution;
use crate::int8::map::{QuantizedMap, elements};
use crate::int8::microkernel::{Output, Residual};
use crate::int8::packed::PackedWeights;
use crate::int8::packed_depthwise::PackedDepthwise;
use crate::int8::quantization::{Quantization, factor};
use crate::machine::integers::{MAX_INTEGER_LANES, Requantize};
use crate::machine::shared::{Shared, filled};
use crate::{Activation, Conv2dSpec};

const OP: &str = "quantized_conv2d";

/// Two scaled sums of this size are together an i32.
const NEAR: f32 = 1e9;

/// Weights of bytes, symmetric about 0, with a scale for each output channel, and a bias.
#[derive(Debug, Clone, Copy)]
pub struct QuantizedWeight<'a> {
    /// `(C_out, C_in / groups, K_h, K_w)`, PyTorch's.
    pub dims: [usize; 4],
    /// In the order of the shape. Quantisers give −127 to 127; −128 is computed as rightly.
    pub values: &'a [i8],
    /// `(C_out)`: a weight is `scale · value`.
    pub scales: &'a [f32],
    /// `(C_out)`, each in steps of the input's scale times the channel's; default none.
    pub bias: Option<&'a [i32]>,
}

/// Everything that a convolution of bytes is made of.
#[derive(Debug, Clone, Copy)]
pub struct QuantizedConv2dConfig<'a> {
    /// Its weights.
    pub weight: QuantizedWeight<'a>,
    /// How the window moves.
    pub spec: Conv2dSpec,
    /// What the bytes of its input stand for.
    pub input: Quantization,
    /// What those of its output shall stand for.
    pub output: Quantization,
    /// [`Activation::Identity`], [`Activation::Relu`] or [`Activation::Relu6`]; others are an
    /// [`ActivationTable`](crate::int8::ActivationTable) of their own.
    pub activation: Activation,
}

/// A convolution of bytes whose weights are laid out once.
///
/// With the input's zero point `z_x`, the output's `z_y`, the scales `s_x`, `s_y` and `s_w[o]`:
///
/// ```text
/// sum  = bias[o] + Σ (x − z_x) · weight[o, …]                exactly, in i32; padding is z_x
/// m[o] = f32(s_x · s_w[o] / s_y)                              product and quotient in f64
/// t    = f32(sum) · m[o]                                      in f32, rounded half to even twice
/// t    = t + f32(r − z_r) · f32(s_r / s_y)                    with a residual r: each in f32
/// y    = clamp(round(t), low − z_y, high − z_y) + z_y         half to even
/// ```
///
/// `low` and `high` are 0 and 255, and what the activation leaves of that: `low = z_y` for ReLU,
/// and `high` the byte for 6 for ReLU6. All instruction sets compute the same bits.
///
/// A linear layer is a 1×1 convolution of `(N, 1, 1, C_in)`.
pub struct QuantizedConv2d {
    dims: [usize; 4],
    spec: Conv2dSpec,
    input: Quantization,
    output: Quantization,
    requantize: Requantize,
    /// What a sum stands for in each channel: the input's scale times the weight's.
    sum_scales: Vec<f32>,
    weights: Weights,
}

enum Weights {
    Depthwise(PackedDepthwise),
    Dense {
        panels: PackedWeights,
        /// One per channel and a register more.
        bias: Vec<i32>,
        factors: Vec<f32>,
    },
}

impl QuantizedConv2d {
    /// Lays out the weights.
    ///
    /// # Errors
    /// If a shape does not fit, a scale is not above zero, a sum could leave the range of i32
    /// (`|bias| + 255 · Σ |weight|` of a channel), or the activation is none of the three.
    pub fn new(config: &QuantizedConv2dConfig) -> Result<Self, Error> {
        let weight = &config.weight;
        let conv = smallest(weight, &config.spec)?;
        let c_out = conv.c_out;
        check_weight(weight, c_out)?;
        let mut requantize = config.output.requantize(OP, config.activation)?;
        requantize.far = false;
        let per_channel = weight.values.len() / c_out;
        let zero_point = i64::from(config.input.zero_point());
        let mut bias = vec![0; c_out + MAX_INTEGER_LANES];
        let mut factors = vec![0.; c_out + MAX_INTEGER_LANES];
        let mut sum_scales = Vec::with_capacity(c_out);
        for (channel, values) in weight.values.chunks_exact(per_channel).enumerate() {
            let own = weight.bias.map_or(0, |bias| i64::from(bias[channel]));
            let largest = largest_sum(channel, own, values)?;
            let sum: i64 = values.iter().map(|&value| i64::from(value)).sum();
            // Sums wrap on their way, so that only where they end matters.
            bias[channel] = (own - zero_point * sum) as i32;
            let scale = f64::from(config.input.scale()) * f64::from(weight.scales[channel]);
            factors[channel] = factor(OP, scale, f64::from(config.output.scale()))?;
            requantize.far |= largest as f32 * factors[channel] > NEAR;
            sum_scales.push(factor(OP, scale, 1.)?);
        }
        let weights = if conv.is_depthwise() {
            Weights::Depthwise(PackedDepthwise::new(&conv, weight.values, &bias, &factors))
        } else {
            Weights::Dense {
                panels: PackedWeights::new(&conv, weight.values),
                bias,
                factors,
            }
        };
        Ok(Self {
            dims: weight.dims,
            spec: config.spec,
            input: config.input,
            output: config.output,
            requantize,
            sum_scales,
            weights,
        })
    }

    /// `(N, H, W, C_in)` to `(N, H', W', C_out)`, with a map of the output's shape, of any
    /// quantisation, added or none.
    ///
    /// # Errors
    /// If a shape does not fit, or the input's bytes do not stand for what was said.
    pub fn forward(
        &self,
        xs: &QuantizedMap,
        residual: Option<&QuantizedMap>,
    ) -> Result<QuantizedMap, Error> {
        let conv = self.place(xs)?;
        let dims = output_dims(&conv);
        let residual = match residual {
            Some(residual) => Some(self.residual(dims, residual)?),
            None => None,
        };
        let most = residual.map_or(0., |residual| f32::from(u8::MAX) * residual.factor);
        let requantize = Requantize {
            far: self.requantize.far || most > NEAR,
            ..self.requantize
        };
        // SAFETY: every byte is written.
        let values = unsafe {
            filled(dims.iter().product(), |to: Shared<u8>| {
                let output = Output::Bytes {
                    to: to.at(0),
                    requantize: &requantize,
                    residual,
                };
                self.run(&conv, xs, &output);
            })
        };
        Ok(QuantizedMap::wrap(dims, values, self.output))
    }

    /// The sums themselves, in the order of `(N, H', W', C_out)`, without an activation; one of
    /// channel `o` stands for [`sum_scales`](Self::sum_scales)`[o]` times itself. What a network
    /// ends with loses nothing that way.
    ///
    /// # Errors
    /// As [`QuantizedConv2d::forward`].
    pub fn forward_sums(&self, xs: &QuantizedMap) -> Result<Vec<i32>, Error> {
        let conv = self.place(xs)?;
        // SAFETY: every sum is written.
        Ok(unsafe {
            filled(output_dims(&conv).iter().product(), |to: Shared<i32>| {
                self.run(&conv, xs, &Output::Sums(to.at(0)));
            })
        })
    }

    /// What a sum of each output channel is multiplied by to be a number: the input's scale times
    /// the weight's, rounded to f32.
    pub fn sum_scales(&self) -> &[f32] {
        &self.sum_scales
    }

    /// What the bytes of the output stand for.
    pub fn output(&self) -> Quantization {
        self.output
    }

    fn place(&self, xs: &QuantizedMap) -> Checked<Convolution> {
        if xs.quantization() != self.input {
            return Err(Error::Argument {
                op: OP,
                what: "the input's quantisation",
                found: format!("{:?}", xs.quantization()),
                expected: format!("{:?}", self.input),
            });
        }
        Convolution::new(xs.dims(), &self.dims, None, &self.spec)
    }

    fn residual(&self, dims: [usize; 4], residual: &QuantizedMap) -> Checked<Residual> {
        if residual.dims() != dims {
            return Err(Error::Shape {
                op: OP,
                what: "the residual",
                found: residual.dims().to_vec(),
                expected: format!("{dims:?} as the output"),
            });
        }
        let quantization = residual.quantization();
        let [scale, of_output] = [quantization.scale(), self.output.scale()].map(f64::from);
        Ok(Residual {
            from: residual.values().as_ptr(),
            zero_point: i32::from(quantization.zero_point()),
            factor: factor(OP, scale, of_output)?,
        })
    }

    /// # Safety
    /// The output has room for the convolution's, and nobody else uses it meanwhile.
    unsafe fn run(&self, conv: &Convolution, xs: &QuantizedMap, output: &Output) {
        let source = Source {
            values: xs.values(),
            zero_point: self.input.zero_point(),
        };
        // SAFETY: the caller's promise.
        unsafe {
            match &self.weights {
                Weights::Depthwise(weights) => {
                    depthwise::convolve(conv, source, weights, output);
                }
                Weights::Dense {
                    panels,
                    bias,
                    factors,
                } => DirectConvolution {
                    conv,
                    source,
                    weights: panels,
                    bias,
                    factors,
                }
                .run(output),
            }
        }
    }
}

fn output_dims(conv: &Convolution) -> [usize; 4] {
    let [rows, columns] = conv.geometry.output();
    [conv.batch, rows, columns, conv.c_out]
}

/// The convolution of an image as large as the kernel: how weights are laid out does not depend on
/// the size.
fn smallest(weight: &QuantizedWeight, spec: &Conv2dSpec) -> Checked<Convolution> {
    let [_, group_in, rows, columns] = weight.dims;
    let extent = |kernel: usize, dilation: usize| {
        let steps = kernel.saturating_sub(1).saturating_mul(dilation);
        steps.saturating_add(1)
    };
    let c_in = group_in.saturating_mul(spec.groups);
    let image = [
        1,
        extent(rows, spec.dilation[0]),
        extent(columns, spec.dilation[1]),
        c_in,
    ];
    let bias = weight.bias.map(|bias| [bias.len()]);
    Convolution::new(
        image,
        &weight.dims,
        bias.as_ref().map(|bias| &bias[..]),
        spec,
    )
}

fn check_weight(weight: &QuantizedWeight, c_out: usize) -> Checked<()> {
    if elements(weight.dims) != Some(weight.values.len()) {
        return Err(Error::Shape {
            op: OP,
            what: "the weight's buffer",
            found: vec![weight.values.len()],
            expected: format!("a value for each place of {:?}", weight.dims),
        });
    }
    if weight.scales.len() != c_out {
        return Err(Error::Shape {
            op: OP,
            what: "the weight's scales",
            found: vec![weight.scales.len()],
            expected: format!("[{c_out}]"),
        });
    }
    let bad = |scale: &&f32| !(scale.is_finite() && **scale >= 0.);
    match weight.scales.iter().find(bad) {
        Some(scale) => Err(Error::Argument {
            op: OP,
            what: "a scale of the weight",
            found: scale.to_string(),
            expected: "a finite number of at least 0".to_string(),
        }),
        None => Ok(()),
    }
}

/// The largest sum of a channel, which must be an i32.
fn largest_sum(channel: usize, bias: i64, weights: &[i8]) -> Checked<i64> {
    let weights: i64 = weights
        .iter()
        .map(|&value| i64::from(value.unsigned_abs()))
        .sum();
    let largest = bias.abs() + i64::from(u8::MAX) * weights;
    if largest <= i64::from(i32::MAX) {
        return Ok(largest);
    }
    Err(Error::Argument {
        op: OP,
        what: "the largest sum of a channel",
        found: format!("{largest} in channel {channel}"),
        expected: format!("at most {}", i32::MAX),
    })
}
