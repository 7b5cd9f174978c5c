//! Activations, each with the backward rule of the explanation methods, and softmax.
#![allow(unsafe_code)]

pub(crate) mod on_registers;
pub(crate) mod values;

use std::mem::MaybeUninit;
use std::sync::Arc;

use candle_core::{D, DType, Result, Tensor};

use crate::autograd::element::Element;
use crate::autograd::gradient::Gradient;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::autograd::tape;
use crate::machine::isa::{Loop, vectorised};
use crate::machine::recycle::Buffer;
use crate::machine::shared::filled_chunks;
use crate::machine::simd::Simd;
use crate::{Error, FeatureMap};

/// An element-wise non-linearity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// `x`.
    Identity,
    /// `max(x, 0)`; the slope at 0 is 0, as in PyTorch.
    Relu,
    /// `x` where positive, else `slope · x`; PyTorch's default slope is 0.01.
    LeakyRelu(
        /// Slope of the negative side.
        f64,
    ),
    /// `min(max(x, 0), 6)`.
    Relu6,
    /// `1 / (1 + e^−x)`.
    Sigmoid,
    /// `x · sigmoid(x)`, also called swish (Elfwing et al. 2017).
    Silu,
    /// `x · relu6(x + 3) / 6` (Howard et al. 2019, MobileNetV3).
    HardSwish,
    /// `relu6(x + 3) / 6`.
    HardSigmoid,
    /// Hyperbolic tangent.
    Tanh,
    /// `x · Φ(x)` with the error function (Hendrycks & Gimpel 2016).
    Gelu,
    /// GELU by its tanh approximation, PyTorch's `approximate="tanh"`.
    GeluTanh,
}

/// How the gradient passes a rectifying activation (ReLU, leaky ReLU, ReLU6); the others always use
/// the standard rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum BackwardRule {
    /// The derivative.
    #[default]
    Standard,
    /// The derivative, and only positive gradients (Springenberg et al. 2014, guided
    /// backpropagation).
    Guided,
    /// Only positive gradients, wherever the input was (Zeiler & Fergus 2013, deconvnet).
    Deconvnet,
}

/// Applies an activation to every element of a map. Differentiable.
///
/// # Errors
/// If the element type is neither f32 nor f64.
pub fn activate(xs: &FeatureMap, activation: Activation, rule: BackwardRule) -> Result<FeatureMap> {
    if activation == Activation::Identity {
        return Ok(xs.clone());
    }
    apply(
        Activate {
            shape: xs.values().dims().to_vec(),
            activation,
            rule,
        },
        &[xs],
        &[],
    )
}

/// [`activate`] for a tensor of any shape, such as one vector per image.
///
/// # Errors
/// As [`activate`].
pub fn activate_tensor(xs: &Tensor, activation: Activation, rule: BackwardRule) -> Result<Tensor> {
    tape::leave(&activate(
        &tape::enter(&xs.contiguous()?)?,
        activation,
        rule,
    )?)
}

/// `e^x_i / Σ e^x_j` along the last dimension, shifted by the maximum so that it cannot overflow.
/// Differentiable.
///
/// # Errors
/// If the tensor is a scalar or the element type is neither f32 nor f64.
pub fn softmax(xs: &Tensor) -> Result<Tensor> {
    if !matches!(xs.dtype(), DType::F32 | DType::F64) {
        let found = format!("{:?}", xs.dtype());
        let expected = "F32 or F64".to_string();
        return Err(Error::Element {
            op: "softmax",
            what: "the input's element type",
            found,
            expected,
        }
        .into());
    }
    if xs.elem_count() == 0 {
        return Ok(xs.clone());
    }
    let shifted = xs.broadcast_sub(&xs.max_keepdim(D::Minus1)?.detach())?;
    let exponentials = shifted.exp()?;
    exponentials.broadcast_div(&exponentials.sum_keepdim(D::Minus1)?)
}

impl Activation {
    pub(crate) fn is_rectifier(self) -> bool {
        matches!(self, Self::Relu | Self::LeakyRelu(_) | Self::Relu6)
    }

    /// Whether the slope at `x` follows from `y` as it follows from `x`, so that `x` can be
    /// forgotten.
    pub(crate) fn slope_is_in_the_output(self) -> bool {
        match self {
            Self::Relu | Self::Relu6 => true,
            Self::LeakyRelu(slope) => slope > 0.,
            _ => false,
        }
    }

    /// The gradient of `x` by that of the output.
    #[inline(always)]
    pub(crate) fn passed<T: Element>(self, grad: T, x: T) -> T {
        let zero = T::zero();
        match self {
            Self::Identity => grad,
            Self::Relu => select(x > zero, grad, zero),
            _ => grad * self.slope(x),
        }
    }

    #[inline(always)]
    fn slope<T: Element>(self, x: T) -> T {
        let constant = T::from_f64;
        let zero = T::zero();
        let one = T::one();
        match self {
            Self::Identity => one,
            Self::Relu => select(x > zero, one, zero),
            Self::LeakyRelu(slope) => select(x > zero, one, constant(slope)),
            Self::Relu6 => select(x > zero && x < constant(6.), one, zero),
            Self::Sigmoid => {
                let y = sigmoid(x);
                y * (one - y)
            }
            Self::Silu => {
                let gate = sigmoid(x);
                gate * (one + x * (one - gate))
            }
            Self::HardSwish => {
                let inside = (constant(2.) * x + constant(3.)) * constant(1. / 6.);
                select(
                    x <= constant(-3.),
                    zero,
                    select(x >= constant(3.), one, inside),
                )
            }
            Self::HardSigmoid => select(
                x > constant(-3.) && x < constant(3.),
                one / constant(6.),
                zero,
            ),
            Self::Tanh => {
                let y = x.tanh();
                one - y * y
            }
            Self::Gelu => {
                gaussian_cdf(x) + x * constant(INVERSE_ROOT_TWO_PI) * (constant(-0.5) * x * x).exp()
            }
            Self::GeluTanh => {
                let tanh = gelu_inner(x).tanh();
                let inner_slope =
                    constant(GELU_TANH_SCALE) * (one + constant(3. * GELU_TANH_CUBIC) * x * x);
                constant(0.5) * (one + tanh) + constant(0.5) * x * (one - tanh * tanh) * inner_slope
            }
        }
    }
}

/// `1 / √(2π)`.
const INVERSE_ROOT_TWO_PI: f64 = 0.398_942_280_401_432_7;
/// `√(2/π)`.
const GELU_TANH_SCALE: f64 = 0.797_884_560_802_865_4;
const GELU_TANH_CUBIC: f64 = 0.044715;

#[inline(always)]
fn select<T>(condition: bool, yes: T, no: T) -> T {
    if condition { yes } else { no }
}

#[inline(always)]
fn sigmoid<T: Element>(x: T) -> T {
    T::one() / (T::one() + (T::zero() - x).exp())
}

#[inline(always)]
fn gaussian_cdf<T: Element>(x: T) -> T {
    T::from_f64(0.5) * (T::one() + (x * T::from_f64(std::f64::consts::FRAC_1_SQRT_2)).erf())
}

#[inline(always)]
fn gelu_inner<T: Element>(x: T) -> T {
    T::from_f64(GELU_TANH_SCALE) * (x + T::from_f64(GELU_TANH_CUBIC) * x * x * x)
}

/// Elements per parallel task.
const CHUNK: usize = 1 << 14;

struct Activate {
    shape: Vec<usize>,
    activation: Activation,
    rule: BackwardRule,
}

impl Kernel for Activate {
    const NAME: &'static str = "activation";

    fn output_shape(&self) -> Vec<usize> {
        self.shape.clone()
    }

    fn saved(&self) -> Saved {
        if self.activation.slope_is_in_the_output() {
            Saved::Output
        } else {
            Saved::Inputs
        }
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let xs = inputs.xs();
        // SAFETY: the loop writes every element.
        unsafe {
            filled_chunks(xs.len(), CHUNK, |start, ys| {
                let xs = &xs[start..start + ys.len()];
                vectorised(Values {
                    activation: self.activation,
                    xs,
                    ys,
                });
            })
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let activation = self.activation;
        let rule = if activation.is_rectifier() {
            self.rule
        } else {
            BackwardRule::Standard
        };
        let xs = if activation.slope_is_in_the_output() {
            pass.output
        } else {
            pass.inputs.xs()
        };
        let grad_xs = pass.grad.updated(CHUNK, |start, grad| {
            vectorised(Slopes {
                activation,
                rule,
                xs: &xs[start..start + grad.len()],
                grad,
            });
        });
        vec![Some(grad_xs)]
    }
}

/// What passes a rectifier, or none, of the gradient of its output.
pub(crate) fn passed_by_output<T: Element>(
    activation: Activation,
    grad: Gradient<'_, T>,
    output: &[T],
) -> Arc<Buffer<T>> {
    if activation == Activation::Identity {
        return grad.into_shared();
    }
    grad.updated(CHUNK, |start, grad| {
        let rule = BackwardRule::Standard;
        let xs = &output[start..start + grad.len()];
        vectorised(Slopes {
            activation,
            rule,
            xs,
            grad,
        });
    })
}

/// Evaluates an expression with `$activation` known to the compiler, so that each activation is a
/// loop of its own.
macro_rules! for_each_activation {
    ($activation:expr, $constant:ident => $loop:expr) => {
        for_each_activation!(
            $activation, $constant => $loop;
            Identity Relu Relu6 Sigmoid Silu HardSwish HardSigmoid Tanh Gelu GeluTanh
        )
    };
    ($activation:expr, $constant:ident => $loop:expr; $($name:ident)*) => {
        match $activation {
            $($crate::Activation::$name => {
                let $constant = $crate::Activation::$name;
                $loop
            })*
            $crate::Activation::LeakyRelu(slope) => {
                let $constant = $crate::Activation::LeakyRelu(slope);
                $loop
            }
        }
    };
}

pub(crate) use for_each_activation;

struct Values<'a, T> {
    activation: Activation,
    xs: &'a [T],
    ys: &'a mut [MaybeUninit<T>],
}

impl<T: Element> Loop for Values<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let count = self.ys.len().min(self.xs.len());
        let ys = self.ys.as_mut_ptr().cast::<T>();
        for_each_activation!(self.activation, activation => {
            // SAFETY: both have so many values; `S` is what the caller is compiled for.
            unsafe { values::activate::<T, T::Register<S>>(activation, self.xs.as_ptr(), ys, count) };
        });
    }
}

/// The gradient in place; `xs` is the output where the slope can be told from it.
struct Slopes<'a, T> {
    activation: Activation,
    rule: BackwardRule,
    xs: &'a [T],
    grad: &'a mut [T],
}

impl<T: Element> Loop for Slopes<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let zero = T::zero();
        let pairs = self.grad.iter_mut().zip(self.xs);
        match self.rule {
            BackwardRule::Standard => {
                for_each_activation!(self.activation, activation => for (grad, &x) in pairs {
                    *grad = activation.passed(*grad, x);
                })
            }
            BackwardRule::Guided => {
                for (grad, &x) in pairs {
                    *grad = select(*grad > zero, self.activation.passed(*grad, x), zero);
                }
            }
            BackwardRule::Deconvnet => {
                for grad in self.grad {
                    *grad = select(*grad > zero, *grad, zero);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Var};

    fn gradient(
        activation: Activation,
        rule: BackwardRule,
        xs: &[f32],
        upstream: &[f32],
    ) -> Vec<f32> {
        let xs = Var::new(xs, &Device::Cpu).unwrap();
        let ys = activate_tensor(&xs, activation, rule).unwrap();
        let loss = (ys * Tensor::new(upstream, &Device::Cpu).unwrap())
            .unwrap()
            .sum_all()
            .unwrap();
        loss.backward()
            .unwrap()
            .get(&xs)
            .unwrap()
            .to_vec1()
            .unwrap()
    }

    #[test]
    fn explanation_rules_gate_the_gradient_of_rectifiers_only() {
        let xs = [-1., -1., 0., 2., 2.];
        let upstream = [3., -3., 3., 3., -3.];
        assert_eq!(
            gradient(Activation::Relu, BackwardRule::Standard, &xs, &upstream),
            [0., 0., 0., 3., -3.]
        );
        assert_eq!(
            gradient(Activation::Relu, BackwardRule::Guided, &xs, &upstream),
            [0., 0., 0., 3., 0.]
        );
        assert_eq!(
            gradient(Activation::Relu, BackwardRule::Deconvnet, &xs, &upstream),
            [3., 0., 3., 3., 0.]
        );
        let standard = gradient(Activation::Tanh, BackwardRule::Standard, &xs, &upstream);
        assert_eq!(
            gradient(Activation::Tanh, BackwardRule::Guided, &xs, &upstream),
            standard
        );
    }

    #[test]
    fn softmax_of_large_logits_stays_finite() {
        let logits = Tensor::new(&[[1000f32, 1000.], [-1000., 0.]], &Device::Cpu).unwrap();
        assert_eq!(
            softmax(&logits).unwrap().to_vec2::<f32>().unwrap(),
            [[0.5, 0.5], [0., 1.]]
        );
    }
}
