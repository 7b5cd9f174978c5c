//! Layer normalisation over the channels of each pixel (Ba et al. 2016), as ConvNeXt's
//! `LayerNorm2d`.

use std::sync::Arc;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, apply};
use crate::machine::recycle::Buffer;
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
    apply(
        LayerNorm {
            dims: xs.dims(),
            eps,
        },
        &[xs],
        &[weight, bias],
    )
}

/// Pixels per parallel task and per partial sum.
const CHUNK_PIXELS: usize = 256;

struct LayerNorm {
    dims: [usize; 4],
    eps: f64,
}

impl LayerNorm {
    /// Mean and inverse standard deviation of one pixel.
    fn moments<T: Element>(&self, pixel: &[T]) -> (f64, f64) {
        let count = pixel.len() as f64;
        let mean = pixel.iter().map(|x| x.to_f64()).sum::<f64>() / count;
        let var = pixel
            .iter()
            .map(|x| (x.to_f64() - mean) * (x.to_f64() - mean))
            .sum::<f64>()
            / count;
        (mean, 1. / (var + self.eps).sqrt())
    }

    fn pixel_backward<T: Element>(
        &self,
        xs: &[T],
        weight: &[T],
        grad: &[T],
        grad_xs: &mut [T],
        sums: &mut [Vec<f64>; 2],
    ) {
        let (mean, inverse_std) = self.moments(xs);
        let normalised = |x: &T| (x.to_f64() - mean) * inverse_std;
        let mut mean_grad = 0.;
        let mut mean_product = 0.;
        for (c, ((x, w), g)) in xs.iter().zip(weight).zip(grad).enumerate() {
            let weighted = g.to_f64() * w.to_f64();
            mean_grad += weighted;
            mean_product += weighted * normalised(x);
            sums[0][c] += g.to_f64() * normalised(x);
            sums[1][c] += g.to_f64();
        }
        mean_grad /= xs.len() as f64;
        mean_product /= xs.len() as f64;
        for (((out, x), w), g) in grad_xs.iter_mut().zip(xs).zip(weight).zip(grad) {
            let weighted = g.to_f64() * w.to_f64();
            *out = T::from_f64(inverse_std * (weighted - mean_grad - normalised(x) * mean_product));
        }
    }
}

impl Kernel for LayerNorm {
    const NAME: &'static str = "layer_norm";

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let channels = self.dims[3];
        let xs = inputs.xs();
        let weight = inputs.weight();
        let bias = inputs.bias().expect("the operation has a bias");
        let mut ys = vec![T::zero(); xs.len()];
        let chunk = (CHUNK_PIXELS * channels).max(1);
        ys.par_chunks_mut(chunk)
            .zip(xs.par_chunks(chunk))
            .for_each(|(ys, xs)| {
                for (ys, xs) in ys.chunks_exact_mut(channels).zip(xs.chunks_exact(channels)) {
                    let (mean, inverse_std) = self.moments(xs);
                    for (((y, x), w), b) in ys.iter_mut().zip(xs).zip(weight).zip(bias) {
                        *y = T::from_f64(
                            (x.to_f64() - mean) * inverse_std * w.to_f64() + b.to_f64(),
                        );
                    }
                }
            });
        ys
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward { inputs, grad, .. } = pass;
        let channels = self.dims[3];
        let mut grad_xs = vec![T::zero(); grad.len()];
        let chunk = (CHUNK_PIXELS * channels).max(1);
        let chunks = grad_xs
            .par_chunks_mut(chunk)
            .zip(inputs.xs().par_chunks(chunk))
            .zip(grad.par_chunks(chunk));
        let partials: Vec<[Vec<f64>; 2]> = chunks
            .map(|((grad_xs, xs), grad)| {
                let mut sums = [vec![0.; channels], vec![0.; channels]];
                let pixels = grad_xs
                    .chunks_exact_mut(channels)
                    .zip(xs.chunks_exact(channels))
                    .zip(grad.chunks_exact(channels));
                for ((grad_xs, xs), grad) in pixels {
                    self.pixel_backward(xs, inputs.weight(), grad, grad_xs, &mut sums);
                }
                sums
            })
            .collect();
        let [grad_weight, grad_bias] = [0, 1].map(|which| {
            (0..channels)
                .map(|c| T::from_f64(partials.iter().map(|sums| sums[which][c]).sum()))
                .collect()
        });
        [grad_xs, grad_weight, grad_bias]
            .map(|grad| Some(Buffer::shared(grad)))
            .into()
    }
}
