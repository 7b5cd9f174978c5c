//! Layer normalisation over the channels of each pixel (Ba et al. 2016), as ConvNeXt's
//! `LayerNorm2d`.
#![allow(unsafe_code)]

use std::sync::{Arc, OnceLock};

use candle_core::{Result, Tensor};

use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, apply};
use crate::machine::isa::{Loop, vectorised};
use crate::machine::recycle::Buffer;
use crate::machine::register::{Register, load, store};
use crate::machine::shared::filled_chunks;
use crate::machine::simd::Simd;
use crate::norm::pixel_sums::{PixelTerms, Row, pixel_sums};
use crate::{Error, FeatureMap};

/// `(x − mean) / √(var + eps) · weight + bias` with mean and biased variance over the channels of
/// each pixel.
///
/// # Shapes
/// `xs` `(N, H, W, C)`; `weight` and `bias` `(C)`.
///
/// # Errors
/// If shapes or element types differ.
pub fn layer_norm(xs: &FeatureMap, weight: &Tensor, bias: &Tensor, eps: f64) -> Result<FeatureMap> {
    let channels = xs.channels();
    for (what, vector) in [("the weight", weight), ("the bias", bias)] {
        if vector.dims() != [channels] {
            let expected = format!("[{channels}], one per channel");
            return Err(Error::Shape {
                op: LayerNorm::NAME,
                what,
                found: vector.dims().to_vec(),
                expected,
            }
            .into());
        }
    }
    let kernel = LayerNorm {
        dims: xs.dims(),
        eps,
        is_affine: true,
    };
    apply(kernel, &[xs], &[weight, bias])
}

/// `(x − mean) / √(var + eps)`: [`layer_norm`] without a factor and an offset of each channel, for a
/// convolution behind it that has taken them in.
///
/// # Shapes
/// `xs` `(N, H, W, C)`.
///
/// # Errors
/// If the element type is not supported.
pub fn layer_norm_plain(xs: &FeatureMap, eps: f64) -> Result<FeatureMap> {
    let kernel = LayerNorm {
        dims: xs.dims(),
        eps,
        is_affine: false,
    };
    apply(kernel, &[xs], &[])
}

/// Elements per parallel task, about.
const CHUNK: usize = 1 << 14;
/// Pixels whose gradients of the parameters are summed in the element type before f64 takes over.
const TERMS: usize = 128;

struct LayerNorm {
    dims: [usize; 4],
    eps: f64,
    /// Whether there are a weight and a bias.
    is_affine: bool,
}

impl LayerNorm {
    /// Elements of a parallel task: whole pixels.
    fn chunk(&self) -> usize {
        CHUNK.next_multiple_of(self.dims[3].max(1))
    }
}

impl Kernel for LayerNorm {
    const NAME: &'static str = "layer_norm";

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let xs = inputs.xs();
        let affine = self.is_affine.then(|| {
            let bias = inputs.bias().expect("an affine norm has a bias");
            [inputs.weight(), bias]
        });
        // SAFETY: each chunk is whole pixels, of which every value is written.
        unsafe {
            filled_chunks(xs.len(), self.chunk(), |start, ys| {
                vectorised(Normalise {
                    xs: &xs[start..start + ys.len()],
                    affine,
                    eps: self.eps,
                    channels: self.dims[3],
                    ys: ys.as_mut_ptr().cast::<T>(),
                });
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
        let channels = self.dims[3];
        let chunk = self.chunk();
        let weight = self.is_affine.then(|| inputs.weight());
        let wants_sums = self.is_affine && (wanted.weight() || wanted.bias() == Some(true));
        let partials: Vec<OnceLock<[Vec<f64>; 2]>> = (0..grad.len().div_ceil(chunk.max(1)))
            .map(|_| OnceLock::new())
            .collect();
        let of_input = grad.updated(chunk, |start, grad| {
            let mut sums = wants_sums.then(|| [vec![0.; channels], vec![0.; channels]]);
            vectorised(Denormalise {
                xs: &inputs.xs()[start..start + grad.len()],
                weight,
                eps: self.eps,
                channels,
                grad,
                sums: sums.as_mut(),
            });
            if let Some(sums) = sums {
                let is_first = partials[start / chunk].set(sums).is_ok();
                debug_assert!(is_first, "a chunk has one task");
            }
        });
        let of_input = wanted.xs().then_some(of_input);
        if !self.is_affine {
            return vec![of_input];
        }
        let [of_weight, of_bias] = [wanted.weight(), wanted.bias() == Some(true)];
        let total = |which: usize| {
            let mut sums = vec![0.; channels];
            for partial in partials.iter().filter_map(OnceLock::get) {
                sums.iter_mut()
                    .zip(&partial[which])
                    .for_each(|(sum, value)| *sum += value);
            }
            Buffer::shared(sums.into_iter().map(T::from_f64).collect())
        };
        vec![
            of_input,
            of_weight.then(|| total(0)),
            of_bias.then(|| total(1)),
        ]
    }
}

/// Mean's negative and inverse standard deviation of a pixel, in every lane.
#[derive(Clone, Copy)]
struct PixelMoments<R> {
    negative_mean: R,
    inverse_std: R,
}

impl<R> PixelMoments<R> {
    /// # Safety
    /// The row has the pixel's values, and that of [`Register`].
    #[inline(always)]
    unsafe fn of<T: Element>(row: &Row<R>, xs: *const T, eps: f64) -> Self
    where
        R: Register<Value = T>,
    {
        let count = row.channels as f64;
        // SAFETY: the caller's promise.
        unsafe {
            let [sum] = pixel_sums(row, [xs], &Values);
            let negative_mean = R::splat(T::from_f64(-sum.to_f64() / count));
            let [squares] = pixel_sums(row, [xs], &Squares(negative_mean));
            let inverse_std = 1. / (squares.to_f64() / count + eps).sqrt();
            Self {
                negative_mean,
                inverse_std: R::splat(T::from_f64(inverse_std)),
            }
        }
    }
}

struct Values;

impl<R: Register> PixelTerms<R, 1, 1> for Values {
    #[inline(always)]
    unsafe fn of<const FULL: bool>(&self, [x]: [R; 1], _: R) -> [R; 1] {
        [x]
    }
}

/// Squares of the differences to a mean, of which this is the negative.
struct Squares<R>(R);

impl<R: Register> PixelTerms<R, 1, 1> for Squares<R> {
    #[inline(always)]
    unsafe fn of<const FULL: bool>(&self, [x]: [R; 1], present: R) -> [R; 1] {
        // SAFETY: the caller's promise.
        unsafe {
            let deviation = deviation::<R, FULL>(x, self.0, present);
            [deviation.multiply(deviation)]
        }
    }
}

/// `x − mean`, zero in the lanes behind the last channel.
#[inline(always)]
unsafe fn deviation<R: Register, const FULL: bool>(x: R, negative_mean: R, present: R) -> R {
    // SAFETY: the caller's promise.
    unsafe {
        let deviation = x.add(negative_mean);
        if FULL {
            deviation
        } else {
            deviation.multiply(present)
        }
    }
}

/// The forward pass of some pixels.
struct Normalise<'a, T> {
    xs: &'a [T],
    /// Factor and offset of each channel.
    affine: Option<[&'a [T]; 2]>,
    eps: f64,
    channels: usize,
    ys: *mut T,
}

impl<T: Element> Loop for Normalise<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let channels = self.channels;
        // SAFETY: whoever made this promised that the output has room for the input's whole pixels,
        // and `S` is what the caller is compiled for.
        unsafe {
            let row = Row::<T::Register<S>>::new(channels);
            for place in (0..self.xs.len()).step_by(channels.max(1)) {
                let xs = self.xs.as_ptr().add(place);
                let ys = self.ys.add(place);
                let moments = PixelMoments::of(&row, xs, self.eps);
                for channel in row.registers() {
                    self.register::<T::Register<S>, true>(xs, ys, channel, row.lanes(), moments);
                }
                if let Some(channel) = row.rest() {
                    let count = channels - channel;
                    self.register::<T::Register<S>, false>(xs, ys, channel, count, moments);
                }
            }
        }
    }
}

impl<T: Element> Normalise<'_, T> {
    #[inline(always)]
    unsafe fn register<R: Register<Value = T>, const FULL: bool>(
        &self,
        xs: *const T,
        ys: *mut T,
        channel: usize,
        count: usize,
        moments: PixelMoments<R>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let x = load::<R, FULL>(xs.add(channel), count);
            let normal = x.add(moments.negative_mean).multiply(moments.inverse_std);
            let y = match self.affine {
                None => normal,
                Some([weight, bias]) => {
                    let weight = load::<R, FULL>(weight.as_ptr().add(channel), count);
                    let bias = load::<R, FULL>(bias.as_ptr().add(channel), count);
                    bias.add_product(normal, weight)
                }
            };
            store::<R, FULL>(y, ys.add(channel), count);
        }
    }
}

/// The backward pass of some pixels: the input's gradient in place of the output's.
struct Denormalise<'a, T> {
    xs: &'a [T],
    weight: Option<&'a [T]>,
    eps: f64,
    channels: usize,
    grad: &'a mut [T],
    /// Where the gradients of weight and bias are added, if they are wanted.
    sums: Option<&'a mut [Vec<f64>; 2]>,
}

impl<T: Element> Loop for Denormalise<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let channels = self.channels;
        let mut sums = self.sums;
        let mut short = [vec![T::zero(); channels], vec![T::zero(); channels]];
        // SAFETY: the gradient has as many whole pixels as the input, the short sums as many
        // channels, and `S` is what the caller is compiled for.
        unsafe {
            let row = Row::<T::Register<S>>::new(channels);
            let starts = (0..self.xs.len()).step_by(channels.max(1));
            for (pixel, place) in starts.enumerate() {
                let at = PixelPlace {
                    xs: self.xs.as_ptr().add(place),
                    grad: self.grad.as_mut_ptr().add(place),
                    weight: self.weight.map(<[T]>::as_ptr),
                    short: sums
                        .is_some()
                        .then(|| short.each_mut().map(|sums| sums.as_mut_ptr())),
                };
                at.denormalise(&row, self.eps);
                if let Some(sums) = &mut sums
                    && (pixel + 1).is_multiple_of(TERMS)
                {
                    flush(sums, &mut short);
                }
            }
            if let Some(sums) = &mut sums {
                flush(sums, &mut short);
            }
        }
    }
}

/// Adds short sums to the long ones and starts them anew.
#[inline(always)]
fn flush<T: Element>(sums: &mut [Vec<f64>; 2], short: &mut [Vec<T>; 2]) {
    for (sums, short) in sums.iter_mut().zip(short) {
        sums.iter_mut()
            .zip(&*short)
            .for_each(|(sum, value)| *sum += value.to_f64());
        short.fill(T::zero());
    }
}

/// Where a pixel's values are.
struct PixelPlace<T> {
    xs: *const T,
    grad: *mut T,
    weight: Option<*const T>,
    /// Sums of the gradients of weight and bias.
    short: Option<[*mut T; 2]>,
}

impl<T: Element> PixelPlace<T> {
    /// `(dy · w − mean(dy · w) − x̂ · mean(dy · w · x̂)) / √(var + eps)`.
    #[inline(always)]
    unsafe fn denormalise<R: Register<Value = T>>(&self, row: &Row<R>, eps: f64) {
        let count = row.channels as f64;
        // SAFETY: the caller's promise.
        unsafe {
            let moments = PixelMoments::of(row, self.xs, eps);
            let maps = [self.xs, self.grad.cast_const()];
            let [sum, product] = match self.weight {
                None => pixel_sums(row, maps, &Passed(moments)),
                Some(weight) => {
                    let [xs, grad] = maps;
                    pixel_sums(row, [xs, grad, weight], &Passed(moments))
                }
            };
            let inverse_std = moments.inverse_std;
            let back = Back {
                moments,
                constant: R::splat(T::from_f64(-sum.to_f64() / count)).multiply(inverse_std),
                through_x: R::splat(T::from_f64(-product.to_f64() / count)).multiply(inverse_std),
            };
            for channel in row.registers() {
                self.register::<R, true>(channel, row.lanes(), &back);
            }
            if let Some(channel) = row.rest() {
                self.register::<R, false>(channel, row.channels - channel, &back);
            }
        }
    }

    #[inline(always)]
    unsafe fn register<R: Register<Value = T>, const FULL: bool>(
        &self,
        channel: usize,
        count: usize,
        back: &Back<R>,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let PixelMoments {
                negative_mean,
                inverse_std,
            } = back.moments;
            let x = load::<R, FULL>(self.xs.add(channel), count);
            let normal = x.add(negative_mean).multiply(inverse_std);
            let to = self.grad.add(channel);
            let grad = load::<R, FULL>(to.cast_const(), count);
            if let Some([of_weight, of_bias]) = self.short.map(|sums| sums.map(|s| s.add(channel)))
            {
                let weight_sum = load::<R, FULL>(of_weight.cast_const(), count);
                let bias_sum = load::<R, FULL>(of_bias.cast_const(), count);
                store::<R, FULL>(weight_sum.add_product(grad, normal), of_weight, count);
                store::<R, FULL>(bias_sum.add(grad), of_bias, count);
            }
            let weighted = match self.weight {
                None => grad,
                Some(weight) => grad.multiply(load::<R, FULL>(weight.add(channel), count)),
            };
            let of_input = back
                .constant
                .add_product(normal, back.through_x)
                .add_product(weighted, inverse_std);
            store::<R, FULL>(of_input, to, count);
        }
    }
}

/// What belongs to a pixel in its backward pass.
struct Back<R> {
    moments: PixelMoments<R>,
    constant: R,
    /// The factor of the normalised value.
    through_x: R,
}

/// `dy · w` and `dy · w · x̂`, where there is a weight.
struct Passed<R>(PixelMoments<R>);

impl<R: Register> Passed<R> {
    #[inline(always)]
    unsafe fn terms<const FULL: bool>(&self, x: R, weighted: R) -> [R; 2] {
        // What lies behind the last channel has the gradient zero.
        // SAFETY: the caller's promise.
        unsafe {
            let normal = x.add(self.0.negative_mean).multiply(self.0.inverse_std);
            [weighted, weighted.multiply(normal)]
        }
    }
}

impl<R: Register> PixelTerms<R, 2, 2> for Passed<R> {
    #[inline(always)]
    unsafe fn of<const FULL: bool>(&self, [x, grad]: [R; 2], _: R) -> [R; 2] {
        // SAFETY: the caller's promise.
        unsafe { self.terms::<FULL>(x, grad) }
    }
}

impl<R: Register> PixelTerms<R, 3, 2> for Passed<R> {
    #[inline(always)]
    unsafe fn of<const FULL: bool>(&self, [x, grad, weight]: [R; 3], _: R) -> [R; 2] {
        // SAFETY: the caller's promise.
        unsafe { self.terms::<FULL>(x, grad.multiply(weight)) }
    }
}
