//! Maps times one factor per image and channel: what squeeze-and-excitation ends with (Hu et al.
//! 2017).
#![allow(unsafe_code)]

use std::ops::Range;
use std::sync::Arc;

use candle_core::Result;

use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, apply};
use crate::machine::recycle::Buffer;
use crate::machine::register::Register;
use crate::machine::shared::filled_chunks;
use crate::norm::channel_map::{Formula, Target, map_channels};
use crate::norm::channel_sums::{Terms, channel_sums};
use crate::{Error, FeatureMap};

/// `xs` times the factors of its image. Differentiable.
///
/// # Shapes
/// `xs` `(N, H, W, C)`; `factors` `(N, 1, 1, C)`.
///
/// # Errors
/// If shapes or element types differ.
pub fn scale_channels(xs: &FeatureMap, factors: &FeatureMap) -> Result<FeatureMap> {
    let dims = xs.dims();
    let expected = [dims[0], 1, 1, dims[3]];
    if factors.dims() != expected {
        return Err(Error::Shape {
            op: ScaleChannels::NAME,
            what: "the factors",
            found: factors.dims().to_vec(),
            expected: format!("{expected:?}, one per image and channel"),
        }
        .into());
    }
    apply(ScaleChannels { dims }, &[xs, factors], &[])
}

/// Elements per parallel task, about.
const CHUNK: usize = 1 << 14;

struct ScaleChannels {
    dims: [usize; 4],
}

impl ScaleChannels {
    /// Values of an image.
    fn image(&self) -> usize {
        self.dims[1..].iter().product()
    }

    /// Elements of a parallel task: whole pixels.
    fn chunk(&self) -> usize {
        CHUNK.next_multiple_of(self.dims[3].max(1))
    }

    /// Writes the product of `maps`' first map and the factors of each image for the values of a
    /// chunk, which are whole pixels.
    ///
    /// # Safety
    /// `to` has room for the values, and `from` has them.
    unsafe fn scale<T: Element>(
        &self,
        from: *const T,
        factors: &[T],
        to: *mut T,
        values: Range<usize>,
    ) {
        let channels = self.dims[3];
        let mut start = values.start;
        while start < values.end {
            let image = start / self.image();
            let end = values.end.min((image + 1) * self.image());
            let target = Target {
                // SAFETY: the caller's promise.
                values: unsafe { to.add(start - values.start) },
                pixels: (end - start) / channels,
                channels,
            };
            let factors = &factors[image * channels..][..channels];
            // SAFETY: the caller's promise.
            unsafe {
                let from = from.add(start - values.start);
                map_channels([from], [factors], target, &Product);
            }
            start = end;
        }
    }
}

impl Kernel for ScaleChannels {
    const NAME: &'static str = "channel_scale";

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn maps(&self) -> usize {
        2
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let xs = inputs.xs();
        let factors = inputs.addend().expect("the operation has two maps");
        // SAFETY: each chunk is whole pixels, of which every value is written.
        unsafe {
            filled_chunks(xs.len(), self.chunk(), |start, ys| {
                let values = start..start + ys.len();
                let from = xs[values.clone()].as_ptr();
                self.scale(from, factors, ys.as_mut_ptr().cast(), values);
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
        let xs = inputs.xs();
        let factors = inputs.addend().expect("the operation has two maps");
        let of_factors = wanted.addend().then(|| {
            let sums = (0..self.dims[0]).flat_map(|image| {
                let values = image * self.image()..(image + 1) * self.image();
                let maps = [&xs[values.clone()], &grad[values]];
                let [sums, _] = channel_sums(maps, [], self.dims[3], &Products);
                sums.into_iter().map(T::from_f64)
            });
            Buffer::shared(sums.collect())
        });
        let of_input = wanted.xs().then(|| {
            grad.updated(self.chunk(), |start, grad| {
                let values = start..start + grad.len();
                let to = grad.as_mut_ptr();
                // SAFETY: a chunk is whole pixels.
                unsafe { self.scale(to.cast_const(), factors, to, values) };
            })
        });
        vec![of_input, of_factors]
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

/// The product of two maps.
struct Products;

impl<T: Element> Terms<T, 2, 0> for Products {
    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(&self, [x, grad]: [R; 2], _: [R; 0]) -> [R; 2] {
        // SAFETY: the caller's promise.
        unsafe { [x.multiply(grad), R::splat(T::zero())] }
    }
}
