//! Batch normalisation (Ioffe & Szegedy 2015), with the batch's statistics or with running ones.

use std::sync::OnceLock;

use candle_core::{Result, Tensor};
use rayon::prelude::*;

use crate::FeatureMap;
use crate::element::Element;
use crate::error::{Checked, Error};
use crate::kernel::{Kernel, apply};

const OP: &str = "batch_norm";

/// Pixels per partial sum; fixed, so that the order of summation does not depend on the number of threads.
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
        for_each_pixel(&mut ys, xs, self.channels(), |y, x, c| *y = x * scale[c] + shift[c]);
        ys
    }

    fn backward<T: Element>(&self, inputs: &[&[T]], _: &[T], grad: &[T], wanted: &[bool]) -> Vec<Option<Vec<T>>> {
        let channels = self.channels();
        let moments = self.moments.get().expect("the forward pass has run");
        let inverse_std = self.inverse_std(moments);
        let (grad_weight, grad_bias) = parameter_gradients(inputs[0], grad, &moments.mean, &inverse_std);
        let grad_xs = wanted[0].then(|| {
            let scale: Vec<f64> = inputs[1].iter().zip(&inverse_std).map(|(w, s)| w.to_f64() * s).collect();
            let count = (inputs[0].len() / channels.max(1)) as f64;
            // dx = scale · (dy − mean(dy) − x̂ · mean(dy · x̂)), an affine map of dy and x per channel.
            let (through_x, constant): (Vec<T>, Vec<T>) = (0..channels)
                .map(|c| match self.source {
                    Source::Running => (T::zero(), T::zero()),
                    Source::Batch => {
                        let through_x = -scale[c] * inverse_std[c] * grad_weight[c] / count;
                        let constant = -scale[c] * grad_bias[c] / count - through_x * moments.mean[c];
                        (T::from_f64(through_x), T::from_f64(constant))
                    }
                })
                .unzip();
            let scale: Vec<T> = scale.into_iter().map(T::from_f64).collect();
            let mut grad_xs = grad.to_vec();
            for_each_pixel(&mut grad_xs, inputs[0], channels, |g, x, c| {
                *g = *g * scale[c] + x * through_x[c] + constant[c];
            });
            grad_xs
        });
        let vector = |values: Vec<f64>| values.into_iter().map(T::from_f64).collect();
        vec![grad_xs, wanted[1].then(|| vector(grad_weight)), wanted[2].then(|| vector(grad_bias))]
    }
}

fn for_each_pixel<T: Element>(ys: &mut [T], xs: &[T], channels: usize, f: impl Fn(&mut T, T, usize) + Sync) {
    let chunk = (CHUNK_PIXELS * channels).max(1);
    ys.par_chunks_mut(chunk).zip(xs.par_chunks(chunk)).for_each(|(ys, xs)| {
        for (ys, xs) in ys.chunks_exact_mut(channels).zip(xs.chunks_exact(channels)) {
            ys.iter_mut().zip(xs).enumerate().for_each(|(channel, (y, &x))| f(y, x, channel));
        }
    });
}

/// Two passes, so that a large mean does not swallow the variance.
fn batch_moments<T: Element>(xs: &[T], channels: usize) -> Moments {
    let count = (xs.len() / channels.max(1)) as f64;
    let [mean] = channel_sums(xs, xs, channels, |x, _, _| [x]);
    let mean: Vec<f64> = mean.into_iter().map(|sum| sum / count).collect();
    let [var] = channel_sums(xs, xs, channels, |x, _, channel| [(x - mean[channel]) * (x - mean[channel])]);
    Moments { mean, var: var.into_iter().map(|sum| sum / count).collect() }
}

/// `(Σ dy · x̂, Σ dy)` per channel.
fn parameter_gradients<T: Element>(xs: &[T], grad: &[T], mean: &[f64], inverse_std: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let [weight, bias] = channel_sums(xs, grad, mean.len(), |x, grad, c| [grad * (x - mean[c]) * inverse_std[c], grad]);
    (weight, bias)
}

/// Sums `terms(a, b, channel)` over all pixels in f64: fixed chunks in parallel, then the chunks in order.
fn channel_sums<T: Element, const N: usize>(
    a: &[T],
    b: &[T],
    channels: usize,
    terms: impl Fn(f64, f64, usize) -> [f64; N] + Sync,
) -> [Vec<f64>; N] {
    let zeros = || std::array::from_fn::<_, N, _>(|_| vec![0f64; channels]);
    let chunk = (CHUNK_PIXELS * channels).max(1);
    let partials: Vec<[Vec<f64>; N]> = a
        .par_chunks(chunk)
        .zip(b.par_chunks(chunk))
        .map(|(a, b)| {
            let mut sums = zeros();
            for (a, b) in a.chunks_exact(channels).zip(b.chunks_exact(channels)) {
                for (channel, (a, b)) in a.iter().zip(b).enumerate() {
                    let terms = terms(a.to_f64(), b.to_f64(), channel);
                    sums.iter_mut().zip(terms).for_each(|(sum, term)| sum[channel] += term);
                }
            }
            sums
        })
        .collect();
    partials.into_iter().fold(zeros(), |mut sums, partial| {
        for (sum, partial) in sums.iter_mut().zip(partial) {
            sum.iter_mut().zip(partial).for_each(|(sum, value)| *sum += value);
        }
        sums
    })
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
