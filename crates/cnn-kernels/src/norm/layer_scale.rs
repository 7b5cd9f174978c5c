//! One learned factor per channel at the end of a residual branch: layer scale (Touvron et al. 2021,
//! "Going deeper with Image Transformers").
#![allow(unsafe_code)]

use std::sync::Arc;

use candle_core::{Result, Tensor};

use crate::autograd::element::Element;
use crate::autograd::gradient::Gradient;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::machine::recycle::Buffer;
use crate::machine::register::Register;
use crate::machine::shared::filled_chunks;
use crate::norm::channel_map::{Formula, Target, map_channels};
use crate::norm::channel_sums::{Terms, channel_sums};
use crate::{Error, FeatureMap};

/// `xs · factors + residual`. Differentiable; the residual costs no pass of its own.
///
/// # Shapes
/// `xs` and `residual` `(N, H, W, C)`; `factors` `(C)`.
///
/// # Errors
/// If shapes or element types differ.
pub fn layer_scale(
    xs: &FeatureMap,
    factors: &Tensor,
    residual: Option<&FeatureMap>,
) -> Result<FeatureMap> {
    let dims = xs.dims();
    let channels = xs.channels();
    let mismatch = |what, found: &[usize], expected: String| Error::Shape {
        op: LayerScale::NAME,
        what,
        found: found.to_vec(),
        expected,
    };
    if factors.dims() != [channels] {
        let expected = format!("[{channels}], one per channel");
        return Err(mismatch("the factors", factors.dims(), expected).into());
    }
    if let Some(residual) = residual.filter(|residual| residual.dims() != dims) {
        let expected = format!("{dims:?} as the input");
        return Err(mismatch("the residual", &residual.dims(), expected).into());
    }
    let kernel = LayerScale {
        dims,
        residual: residual.is_some(),
    };
    let maps: Vec<&FeatureMap> = [xs].into_iter().chain(residual).collect();
    apply(kernel, &maps, &[factors])
}

/// Elements per parallel task, about.
const CHUNK: usize = 1 << 14;

struct LayerScale {
    dims: [usize; 4],
    /// Whether a second map is added.
    residual: bool,
}

impl LayerScale {
    /// Elements of a parallel task: whole pixels.
    fn chunk(&self) -> usize {
        CHUNK.next_multiple_of(self.dims[3].max(1))
    }

    fn target<T>(&self, values: *mut T, count: usize) -> Target<T> {
        let channels = self.dims[3];
        Target {
            values,
            pixels: count / channels.max(1),
            channels,
        }
    }
}

impl Kernel for LayerScale {
    const NAME: &'static str = "layer_scale";

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn maps(&self) -> usize {
        if self.residual { 2 } else { 1 }
    }

    fn saved(&self) -> Saved {
        Saved::First
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let xs = inputs.xs();
        let vectors = [inputs.weight()];
        // SAFETY: each chunk is whole pixels, of which every value is written, and the maps have
        // them all.
        unsafe {
            filled_chunks(xs.len(), self.chunk(), |start, ys| {
                let values = start..start + ys.len();
                let part = |map: &[T]| map[values.clone()].as_ptr();
                let target = self.target(ys.as_mut_ptr().cast(), ys.len());
                match inputs.addend() {
                    None => map_channels([part(xs)], vectors, target, &Product),
                    Some(residual) => {
                        let maps = [part(xs), part(residual)];
                        map_channels(maps, vectors, target, &ProductAndSum);
                    }
                }
            })
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward {
            inputs,
            grad,
            wanted,
            ..
        } = pass;
        let vectors = [inputs.weight()];
        let of_factors = wanted.weight().then(|| {
            let [sums, _] = channel_sums([inputs.xs(), &grad], [], self.dims[3], &Products);
            Buffer::shared(sums.into_iter().map(T::from_f64).collect())
        });
        let scaled = |grad: Gradient<'_, T>| {
            grad.updated(self.chunk(), |_, grad| {
                let target = self.target(grad.as_mut_ptr(), grad.len());
                // SAFETY: a chunk is whole pixels.
                unsafe {
                    map_channels([target.values.cast_const()], vectors, target, &Product);
                }
            })
        };
        if !self.residual {
            return vec![wanted.xs().then(|| scaled(grad)), of_factors];
        }
        // The residual's gradient is the output's own, which then stays as it is.
        let grad = grad.into_shared();
        let of_residual = wanted.addend().then(|| grad.clone());
        let of_input = wanted.xs().then(|| scaled(Gradient::Shared(grad)));
        vec![of_input, of_residual, of_factors]
    }
}

/// A value times the factor of its channel.
struct Product;

impl<T: Element> Formula<T, 1, 1> for Product {
    const IN_PLACE: bool = false;

    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(&self, [x]: [R; 1], [factor]: [R; 1]) -> R {
        // SAFETY: the caller's promise.
        unsafe { x.multiply(factor) }
    }
}

/// A value times the factor of its channel, and the residual's.
struct ProductAndSum;

impl<T: Element> Formula<T, 2, 1> for ProductAndSum {
    const IN_PLACE: bool = false;

    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(&self, [x, residual]: [R; 2], [factor]: [R; 1]) -> R {
        // SAFETY: the caller's promise.
        unsafe { residual.add_product(x, factor) }
    }
}

/// The product of two maps.
struct Products;

impl<T: Element> Terms<T, 2, 0> for Products {
    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(&self, [x, grad]: [R; 2], _: [R; 0]) -> [R; 2] {
        // SAFETY: the caller's promise.
        unsafe { [x.multiply(grad), R::splat(T::zero())] }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{DType, Device};

    #[test]
    fn shapes_that_differ_are_named() {
        let ones = |shape: &[usize]| Tensor::ones(shape, DType::F32, &Device::Cpu).unwrap();
        let map = |shape: [usize; 4]| FeatureMap::from_nhwc(&ones(&shape)).unwrap();
        let xs = map([1, 2, 3, 4]);
        let message = layer_scale(&xs, &ones(&[3]), None).unwrap_err().to_string();
        assert!(
            message.contains("the factors has shape [3], expected [4], one per channel"),
            "{message}"
        );
        let message = layer_scale(&xs, &ones(&[4]), Some(&map([1, 2, 1, 4])))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("the residual has shape [1, 2, 1, 4], expected [1, 2, 3, 4]"),
            "{message}"
        );
    }
}
