//! Batch normalisation (Ioffe & Szegedy 2015), with the batch's statistics or with running ones.

use std::sync::OnceLock;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::FeatureMap;
use crate::channel_sums::{channel_sums, sum_over_pixels};
use crate::element::Element;
use crate::error::{Checked, Error};
use crate::kernel::{Kernel, apply};

const OP: &str = "batch_norm";

/// Pixels per parallel task.
const CHUNK_PIXELS: usize = 1024;

/// Mean and variance of each channel over a batch, from [`batch_norm_train`].
#[derive(Debug, Clone)]
pub struct BatchStatistics {
    /// Means, `(C)`, detached.
    pub mean: Tensor,
    /// Unbiased variances (divided by `count − 1`), `(C)`, detached: what PyTorch averages into `running_var`.
    pub unbiased_var: Tensor,
    /// Values per channel, `N·H·W`.
    pub count: usize,
}

/// `(x − mean) / √(var + eps) · weight + bias` with the batch's own mean and biased variance per channel; also returns them for the
/// running averages. Gradients flow through the statistics.
///
/// # Shapes
/// `xs` `(N, H, W, C)`; `weight` and `bias` `(C)`.
///
/// # Errors
/// If shapes differ or a channel has only one value.
pub fn batch_norm_train(
    xs: &FeatureMap,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
) -> Result<(FeatureMap, BatchStatistics)> {
    let [n, h, w, channels] = xs.dims();
    check_vectors(channels, &[("the weight", weight), ("the bias", bias)])?;
    let count = n * h * w;
    if count < 2 {
        let expected = "at least 2: a variance needs more than one".to_string();
        return Err(Error::Argument { op: OP, what: "values per channel", found: count.to_string(), expected }.into());
    }
    let moments = std::sync::Arc::new(OnceLock::new());
    let kernel = BatchNorm { dims: xs.dims(), eps, source: Source::Batch, moments: moments.clone() };
    let ys = apply(kernel, &[xs.tensor(), weight, bias])?;
    let moments: &Moments = moments.get().expect("the forward pass has run");
    let unbiased = count as f64 / (count - 1) as f64;
    let vector = |values: Vec<f64>| Tensor::from_vec(values, channels, xs.device())?.to_dtype(xs.dtype());
    let statistics = BatchStatistics {
        mean: vector(moments.mean.clone())?,
        unbiased_var: vector(moments.var.iter().map(|var| var * unbiased).collect())?,
        count,
    };
    Ok((FeatureMap::wrap(ys), statistics))
}

/// `(x − running_mean) / √(running_var + eps) · weight + bias`: an affine map per channel. No gradient flows to the running
/// statistics.
///
/// # Shapes
/// `xs` `(N, H, W, C)`; all vectors `(C)`.
///
/// # Errors
/// If shapes or element types differ.
pub fn batch_norm_running(
    xs: &FeatureMap,
    weight: &Tensor,
    bias: &Tensor,
    running_mean: &Tensor,
    running_var: &Tensor,
    eps: f64,
) -> Result<FeatureMap> {
    let vectors =
        [("the weight", weight), ("the bias", bias), ("running_mean", running_mean), ("running_var", running_var)];
    check_vectors(xs.channels(), &vectors)?;
    let values = |vector: &Tensor| vector.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>();
    let moments = OnceLock::from(Moments { mean: values(running_mean)?, var: values(running_var)? });
    let kernel = BatchNorm { dims: xs.dims(), eps, source: Source::Running, moments: moments.into() };
    Ok(FeatureMap::wrap(apply(kernel, &[xs.tensor(), weight, bias])?))
}

fn check_vectors(channels: usize, vectors: &[(&'static str, &Tensor)]) -> Checked<()> {
    for (what, vector) in vectors {
        if vector.dims() != [channels] {
            let expected = format!("[{channels}], one per channel");
            return Err(Error::Shape { op: OP, what, found: vector.dims().to_vec(), expected });
        }
    }
    Ok(())
}

/// Where mean and variance come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Batch,
    Running,
}

/// Mean and biased variance per channel.
#[derive(Debug)]
struct Moments {
    mean: Vec<f64>,
    var: Vec<f64>,
}

struct BatchNorm {
    dims: [usize; 4],
    eps: f64,
    source: Source,
    /// Known from the start for running statistics; set by the forward pass for the batch's.
    moments: std::sync::Arc<OnceLock<Moments>>,
}

impl BatchNorm {
    fn channels(&self) -> usize {
        self.dims[3]
    }

    fn inverse_std(&self, moments: &Moments) -> Vec<f64> {
        moments.var.iter().map(|var| 1. / (var + self.eps).sqrt()).collect()
    }
}

impl Kernel for BatchNorm {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn forward<T: Element>(&self, inputs: &[&[T]]) -> Vec<T> {
        let (xs, weight, bias) = (inputs[0], inputs[1], inputs[2]);
        let moments = self.moments.get_or_init(|| batch_moments(xs, self.channels()));
        let scale: Vec<f64> = weight.iter().zip(self.inverse_std(moments)).map(|(w, s)| w.to_f64() * s).collect();
        let shift = bias.iter().zip(&scale).zip(&moments.mean).map(|((b, s), m)| T::from_f64(b.to_f64() - s * m));
        let (shift, scale): (Vec<T>, Vec<T>) = (shift.collect(), scale.iter().map(|&s| T::from_f64(s)).collect());
        let mut ys = vec![T::zero(); xs.len()];
        for_each_pixel(&mut ys, xs, self.channels(), |ys, xs| {
            for (((y, &x), &scale), &shift) in ys.iter_mut().zip(xs).zip(&scale).zip(&shift) {
                *y = x * scale + shift;
            }
        });
        ys
    }

    fn backward<T: Element>(&self, inputs: &[&[T]], _: &[T], grad: &[T], wanted: &[bool]) -> Vec<Option<Vec<T>>> {
        let moments = self.moments.get().expect("the forward pass has run");
        let inverse_std = self.inverse_std(moments);
        let needs_sums = wanted[1] || wanted[2] || self.source == Source::Batch;
        let sums = needs_sums.then(|| parameter_gradients(inputs[0], grad, &moments.mean, &inverse_std));
        let grad_xs = wanted[0].then(|| {
            let scale: Vec<f64> = inputs[1].iter().zip(&inverse_std).map(|(w, s)| w.to_f64() * s).collect();
            match (&sums, self.source) {
                (Some(sums), Source::Batch) => self.grad_input_of_batch(inputs[0], grad, &scale, &inverse_std, sums),
                _ => self.grad_input_of_running(grad, &scale),
            }
        });
        let [grad_weight, grad_bias] = [0, 1].map(|which| {
            let sums = sums.as_ref().filter(|_| wanted[1 + which])?;
            Some(sums[which].iter().map(|&sum| T::from_f64(sum)).collect())
        });
        vec![grad_xs, grad_weight, grad_bias]
    }
}

impl BatchNorm {
    /// `scale · (dy − mean(dy) − x̂ · mean(dy · x̂))`, an affine map of `dy` and `x` per channel.
    fn grad_input_of_batch<T: Element>(
        &self,
        xs: &[T],
        grad: &[T],
        scale: &[f64],
        inverse_std: &[f64],
        [grad_weight, grad_bias]: &[Vec<f64>; 2],
    ) -> Vec<T> {
        let moments = self.moments.get().expect("the forward pass has run");
        let count = (xs.len() / self.channels().max(1)) as f64;
        let factors: Vec<[T; 3]> = (0..self.channels())
            .map(|c| {
                let through_x = -scale[c] * inverse_std[c] * grad_weight[c] / count;
                let constant = -scale[c] * grad_bias[c] / count - through_x * moments.mean[c];
                [scale[c], through_x, constant].map(T::from_f64)
            })
            .collect();
        let mut grad_xs = grad.to_vec();
        for_each_pixel(&mut grad_xs, xs, self.channels(), |grad_xs, xs| {
            for ((grad, &x), [scale, through_x, constant]) in grad_xs.iter_mut().zip(xs).zip(&factors) {
                *grad = *grad * *scale + x * *through_x + *constant;
            }
        });
        grad_xs
    }

    fn grad_input_of_running<T: Element>(&self, grad: &[T], scale: &[f64]) -> Vec<T> {
        let scale: Vec<T> = scale.iter().map(|&scale| T::from_f64(scale)).collect();
        let mut grad_xs = vec![T::zero(); grad.len()];
        for_each_pixel(&mut grad_xs, grad, self.channels(), |grad_xs, grad| {
            grad_xs.iter_mut().zip(grad).zip(&scale).for_each(|((out, &grad), &scale)| *out = grad * scale);
        });
        grad_xs
    }
}

/// Calls `f` with each pixel of both, in parallel.
fn for_each_pixel<T: Element>(ys: &mut [T], xs: &[T], channels: usize, f: impl Fn(&mut [T], &[T]) + Sync) {
    let chunk = (CHUNK_PIXELS * channels).max(1);
    ys.par_chunks_mut(chunk).zip(xs.par_chunks(chunk)).for_each(|(ys, xs)| {
        ys.chunks_exact_mut(channels).zip(xs.chunks_exact(channels)).for_each(|(ys, xs)| f(ys, xs));
    });
}

/// Two passes, so that a large mean does not swallow the variance.
fn batch_moments<T: Element>(xs: &[T], channels: usize) -> Moments {
    let count = (xs.len() / channels.max(1)) as f64;
    let mean: Vec<f64> = sum_over_pixels(xs, channels).into_iter().map(|sum| sum / count).collect();
    let [var] = channel_sums(xs, xs, channels, |pixel, _, [sums]| {
        for ((sum, x), mean) in sums.iter_mut().zip(pixel).zip(&mean) {
            let deviation = x.to_f64() - mean;
            *sum += deviation * deviation;
        }
    });
    Moments { mean, var: var.into_iter().map(|sum| sum / count).collect() }
}

/// `(Σ dy · x̂, Σ dy)` per channel.
fn parameter_gradients<T: Element>(xs: &[T], grad: &[T], mean: &[f64], inverse_std: &[f64]) -> [Vec<f64>; 2] {
    let [mut weight, bias] = channel_sums(xs, grad, mean.len(), |xs, grad, [weight, bias]| {
        for ((((weight, bias), x), grad), mean) in weight.iter_mut().zip(bias).zip(xs).zip(grad).zip(mean) {
            *weight += grad.to_f64() * (x.to_f64() - mean);
            *bias += grad.to_f64();
        }
    });
    weight.iter_mut().zip(inverse_std).for_each(|(sum, inverse_std)| *sum *= inverse_std);
    [weight, bias]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn one_value_per_channel_and_wrong_vectors_are_errors() {
        let tensor = |shape: &[usize]| Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        let (one, vector) = (FeatureMap::from_nchw(&tensor(&[1, 3, 1, 1])).unwrap(), tensor(&[3]));
        let message = batch_norm_train(&one, &vector, &vector, 1e-5).unwrap_err().to_string();
        assert!(message.contains("values per channel is 1, expected at least 2"), "{message}");
        let message = batch_norm_running(&one, &vector, &vector, &tensor(&[2]), &vector, 1e-5).unwrap_err().to_string();
        assert!(message.contains("running_mean has shape [2], expected [3]"), "{message}");
    }
}
