//! Pixels of one length: L2 normalisation over channels with a learned factor for each (Liu et al.
//! 2015, "ParseNet", <https://arxiv.org/abs/1506.04579>, section 3.3).

use std::ops::Range;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, apply};
use crate::machine::isa::{Loop, vectorised};
use crate::machine::parallel::{self, for_each_chunk};
use crate::machine::recycle::Buffer;
use crate::machine::simd::Simd;
use crate::{Error, FeatureMap};

/// `x / max(‖x‖, eps) · factor`, where `‖x‖ = √Σx²` is over the channels of a pixel: PyTorch's
/// `normalize` with a factor per channel. Differentiable.
///
/// # Shapes
/// `xs` `(N, H, W, C)`; `factors` `(C)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_kernels::{FeatureMap, l2_norm};
///
/// let xs = FeatureMap::from_nhwc(&Tensor::new(&[[[[2f64, 2., -2., 2.]]]], &Device::Cpu)?)?;
/// let factors = Tensor::new(&[1f64, 20., 10., 0.], &Device::Cpu)?;
/// let ys = l2_norm(&xs, &factors, 1e-12)?;
/// assert_eq!(ys.flatten()?.to_vec2::<f64>()?, [[0.5, 10., -5., 0.]]);
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// # Errors
/// If shapes or element types differ, or `eps` is not positive.
pub fn l2_norm(xs: &FeatureMap, factors: &Tensor, eps: f64) -> Result<FeatureMap> {
    let channels = xs.channels();
    if factors.dims() != [channels] {
        return Err(Error::Shape {
            op: L2Norm::NAME,
            what: "the factors",
            found: factors.dims().to_vec(),
            expected: format!("[{channels}], one per channel"),
        }
        .into());
    }
    let is_valid = eps > 0. && eps.is_finite();
    if !is_valid {
        return Err(Error::Argument {
            op: L2Norm::NAME,
            what: "eps",
            found: eps.to_string(),
            expected: "a finite number above 0".to_string(),
        }
        .into());
    }
    let kernel = L2Norm {
        dims: xs.dims(),
        eps,
    };
    apply(kernel, &[xs], &[factors])
}

/// Elements per parallel task, about.
const CHUNK: usize = 1 << 14;

struct L2Norm {
    dims: [usize; 4],
    eps: f64,
}

impl L2Norm {
    /// Elements of a parallel task: whole pixels.
    fn chunk(&self) -> usize {
        CHUNK.next_multiple_of(self.dims[3].max(1))
    }

    /// The gradient of the factors; each chunk is summed by itself, then they are in order.
    fn of_factors<T: Element>(&self, xs: &[T], grad: &[T]) -> Vec<T> {
        let chunk = self.chunk();
        let part = |number: usize| -> Range<usize> {
            let start = number * chunk;
            start..(start + chunk).min(xs.len())
        };
        let partials = parallel::map(xs.len().div_ceil(chunk), |number| {
            let mut sums = vec![0.; self.dims[3]];
            vectorised(SumOfFactors {
                xs: &xs[part(number)],
                grad: &grad[part(number)],
                eps: self.eps,
                sums: &mut sums,
            });
            sums
        });
        let mut sums = vec![0.; self.dims[3]];
        for partial in partials {
            for (sum, term) in sums.iter_mut().zip(partial) {
                *sum += term;
            }
        }
        sums.into_iter().map(T::from_f64).collect()
    }
}

impl Kernel for L2Norm {
    const NAME: &'static str = "l2_norm";

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let xs = inputs.xs();
        let mut ys = vec![T::zero(); xs.len()];
        for_each_chunk(&mut ys, self.chunk(), |start, ys| {
            vectorised(Normalise {
                xs: &xs[start..start + ys.len()],
                factors: inputs.weight(),
                eps: self.eps,
                ys,
            });
        });
        ys
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let xs = pass.inputs.xs();
        let factors = pass.inputs.weight();
        let of_factors = pass
            .wanted
            .weight()
            .then(|| Buffer::shared(self.of_factors(xs, &pass.grad)));
        let of_input = pass.wanted.xs().then(|| {
            pass.grad.updated(self.chunk(), |start, grad| {
                vectorised(Denormalise {
                    xs: &xs[start..start + grad.len()],
                    factors,
                    eps: self.eps,
                    grad,
                });
            })
        });
        vec![of_input, of_factors]
    }
}

/// Sums side by side, so that several are added at a time.
const SIDE_BY_SIDE: usize = 32;

/// `Σ f(i)` over the numbers below `count`, in an order that `count` alone decides.
#[inline(always)]
fn sum<T: Element>(count: usize, term: impl Fn(usize) -> T) -> T {
    let mut sums = [T::zero(); SIDE_BY_SIDE];
    let whole = count / SIDE_BY_SIDE * SIDE_BY_SIDE;
    for first in (0..whole).step_by(SIDE_BY_SIDE) {
        for (lane, sum) in sums.iter_mut().enumerate() {
            *sum += term(first + lane);
        }
    }
    for (place, sum) in (whole..count).zip(&mut sums) {
        *sum += term(place);
    }
    sums.into_iter().fold(T::zero(), |total, sum| total + sum)
}

/// A pixel's length.
#[derive(Clone, Copy)]
struct Length<T> {
    /// 1 / max(‖x‖, eps).
    inverse: T,
    /// Whether it is less than eps, and so a constant.
    is_short: bool,
}

impl<T: Element> Length<T> {
    #[inline(always)]
    fn of(pixel: &[T], eps: f64) -> Self {
        let squares = sum(pixel.len(), |channel| pixel[channel] * pixel[channel]);
        let length = squares.to_f64().sqrt();
        let is_short = length < eps;
        Self {
            inverse: T::from_f64(1. / if is_short { eps } else { length }),
            is_short,
        }
    }
}

/// The forward pass of some pixels.
struct Normalise<'a, T> {
    xs: &'a [T],
    factors: &'a [T],
    eps: f64,
    ys: &'a mut [T],
}

impl<T: Element> Loop for Normalise<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let channels = self.factors.len();
        let pixels = self.xs.chunks_exact(channels);
        for (xs, ys) in pixels.zip(self.ys.chunks_exact_mut(channels)) {
            let length = Length::of(xs, self.eps);
            for ((y, &x), &factor) in ys.iter_mut().zip(xs).zip(self.factors) {
                *y = x * length.inverse * factor;
            }
        }
    }
}

/// The backward pass of some pixels: the input's gradient in place of the output's.
struct Denormalise<'a, T> {
    xs: &'a [T],
    factors: &'a [T],
    eps: f64,
    grad: &'a mut [T],
}

impl<T: Element> Loop for Denormalise<'_, T> {
    /// `(g − x̂ Σ g x̂) / ‖x‖`, where `g` is the gradient times the factors.
    #[inline(always)]
    fn run<S: Simd>(self) {
        let channels = self.factors.len();
        let pixels = self.xs.chunks_exact(channels);
        for (xs, grad) in pixels.zip(self.grad.chunks_exact_mut(channels)) {
            let length = Length::of(xs, self.eps);
            let through_length = if length.is_short {
                T::zero()
            } else {
                let along = sum(channels, |channel| {
                    grad[channel] * self.factors[channel] * xs[channel]
                });
                along * length.inverse * length.inverse
            };
            for ((grad, &x), &factor) in grad.iter_mut().zip(xs).zip(self.factors) {
                *grad = (*grad * factor - x * through_length) * length.inverse;
            }
        }
    }
}

/// Adds the gradients of the factors by some pixels.
struct SumOfFactors<'a, T> {
    xs: &'a [T],
    grad: &'a [T],
    eps: f64,
    sums: &'a mut [f64],
}

impl<T: Element> Loop for SumOfFactors<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let channels = self.sums.len();
        let pixels = self.xs.chunks_exact(channels);
        for (xs, grad) in pixels.zip(self.grad.chunks_exact(channels)) {
            let length = Length::of(xs, self.eps);
            for ((sum, &x), &grad) in self.sums.iter_mut().zip(xs).zip(grad) {
                *sum += (x * length.inverse * grad).to_f64();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn what_does_not_fit_is_named_and_nothing_is_nothing() {
        let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        let map = |shape: &[usize]| FeatureMap::from_nhwc(&ones(shape)).unwrap();
        let message = l2_norm(&map(&[1, 2, 3, 4]), &ones(&[3]), 1e-12)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("the factors has shape [3], expected [4], one per channel"),
            "{message}"
        );
        assert!(l2_norm(&map(&[1, 2, 3, 4]), &ones(&[4]), 0.).is_err());
        let nothing = l2_norm(&map(&[0, 2, 3, 4]), &ones(&[4]), 1e-12).unwrap();
        assert_eq!(nothing.dims(), [0, 2, 3, 4]);
        let no_channels = l2_norm(&map(&[1, 2, 3, 0]), &ones(&[0]), 1e-12);
        assert_eq!(no_channels.unwrap().dims(), [1, 2, 3, 0]);
        let zeros = FeatureMap::from_nhwc(&ones(&[1, 1, 1, 4]).zeros_like().unwrap()).unwrap();
        let ys = l2_norm(&zeros, &ones(&[4]), 1e-12).unwrap();
        assert_eq!(ys.flatten().unwrap().to_vec2::<f32>().unwrap(), [[0.; 4]]);
    }
}
