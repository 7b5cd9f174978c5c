//! Batch normalisation (Ioffe & Szegedy 2015), with the batch's statistics or with running ones.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::{Arc, OnceLock};

use candle_core::{Result, Tensor};

use crate::FeatureMap;
use crate::channel_sums::{channel_sums, period, repeated};
use crate::element::Element;
use crate::error::{Checked, Error};
use crate::gradient::Gradient;
use crate::isa::{Loop, vectorised};
use crate::kernel::{Kernel, apply};
use crate::shared::filled_chunks;
use crate::simd::Simd;

const OP: &str = "batch_norm";

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
    let moments = Arc::new(OnceLock::new());
    let kernel = BatchNorm { dims: xs.dims(), eps, source: Source::Batch, moments: moments.clone() };
    let ys = apply(kernel, &[xs], &[weight, bias])?;
    let moments: &Moments = moments.get().expect("the forward pass has run");
    let unbiased = count as f64 / (count - 1) as f64;
    let vector = |values: Vec<f64>| Tensor::from_vec(values, channels, xs.device())?.to_dtype(xs.dtype());
    let statistics = BatchStatistics {
        mean: vector(moments.mean.clone())?,
        unbiased_var: vector(moments.var.iter().map(|var| var * unbiased).collect())?,
        count,
    };
    Ok((ys, statistics))
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
    apply(kernel, &[xs], &[weight, bias])
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
    moments: Arc<OnceLock<Moments>>,
}

/// Pixels that the provisional means are taken from.
const SAMPLE: usize = 64;

/// Elements per parallel task, about.
const CHUNK: usize = 1 << 14;

impl BatchNorm {
    fn inverse_std(&self, moments: &Moments) -> Vec<f64> {
        moments.var.iter().map(|var| 1. / (var + self.eps).sqrt()).collect()
    }

    /// Elements of a parallel task: whole periods.
    fn chunk(&self) -> usize {
        let period = period(self.dims[3]).max(1);
        CHUNK.next_multiple_of(period)
    }
}

impl Kernel for BatchNorm {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn forward<T: Element>(&self, inputs: &[&[T]]) -> Vec<T> {
        let (xs, weight, bias) = (inputs[0], inputs[1], inputs[2]);
        let moments = self.moments.get_or_init(|| batch_moments(xs, self.dims[3]));
        let scale = weight.iter().zip(self.inverse_std(moments)).map(|(w, s)| w.to_f64() * s).collect::<Vec<_>>();
        let mean: Vec<T> = repeated(moments.mean.iter().copied());
        // The mean in T is not quite the mean; what it lacks goes into the bias.
        let rests = moments.mean.iter().zip(&mean).map(|(exact, mean)| mean.to_f64() - exact);
        let bias: Vec<f64> = bias.iter().zip(&scale).zip(rests).map(|((b, s), rest)| b.to_f64() + s * rest).collect();
        let (scale, bias): (Vec<T>, Vec<T>) = (repeated(scale.into_iter()), repeated(bias.into_iter()));
        // SAFETY: the loop writes every element.
        unsafe {
            filled_chunks(xs.len(), self.chunk(), |start, ys| {
                let xs = &xs[start..start + ys.len()];
                vectorised(Normalise { xs, ys, mean: &mean, scale: &scale, bias: &bias });
            })
        }
    }

    fn backward<T: Element>(
        &self,
        inputs: &[&[T]],
        _: &[T],
        grad: Gradient<'_, T>,
        wanted: &[bool],
    ) -> Vec<Option<Arc<Vec<T>>>> {
        let (xs, moments) = (inputs[0], self.moments.get().expect("the forward pass has run"));
        let inverse_std = self.inverse_std(moments);
        let needs_sums = wanted[1] || wanted[2] || self.source == Source::Batch;
        let sums = needs_sums.then(|| parameter_gradients(xs, &grad, &moments.mean, &inverse_std));
        let of_parameters = [0, 1].map(|which| {
            let sums = sums.as_ref().filter(|_| wanted[1 + which])?;
            Some(Arc::new(sums[which].iter().map(|&sum| T::from_f64(sum)).collect()))
        });
        let grad_xs = wanted[0].then(|| {
            let scale: Vec<f64> = inputs[1].iter().zip(&inverse_std).map(|(w, s)| w.to_f64() * s).collect();
            match (&sums, self.source) {
                (Some(sums), Source::Batch) => self.grad_input_of_batch(xs, grad, &scale, &inverse_std, sums),
                _ => self.grad_input_of_running(grad, &scale),
            }
        });
        [grad_xs].into_iter().chain(of_parameters).collect()
    }
}

impl BatchNorm {
    /// `scale · (dy − mean(dy) − x̂ · mean(dy · x̂))`.
    fn grad_input_of_batch<T: Element>(
        &self,
        xs: &[T],
        grad: Gradient<'_, T>,
        scale: &[f64],
        inverse_std: &[f64],
        [grad_weight, grad_bias]: &[Vec<f64>; 2],
    ) -> Arc<Vec<T>> {
        let moments = self.moments.get().expect("the forward pass has run");
        let count = (xs.len() / self.dims[3].max(1)) as f64;
        let channels = 0..self.dims[3];
        let through_x = channels.clone().map(|c| -scale[c] * inverse_std[c] * grad_weight[c] / count);
        let constant = channels.map(|c| -scale[c] * grad_bias[c] / count);
        let (mean, scale): (Vec<T>, Vec<T>) = (repeated(moments.mean.iter().copied()), repeated(scale.iter().copied()));
        let (through_x, constant): (Vec<T>, Vec<T>) = (repeated(through_x), repeated(constant));
        grad.updated(self.chunk(), |start, grad| {
            let xs = &xs[start..start + grad.len()];
            vectorised(Centre { grad, xs, mean: &mean, scale: &scale, through_x: &through_x, constant: &constant });
        })
    }

    fn grad_input_of_running<T: Element>(&self, grad: Gradient<'_, T>, scale: &[f64]) -> Arc<Vec<T>> {
        let scale: Vec<T> = repeated(scale.iter().copied());
        grad.updated(self.chunk(), |_, grad| vectorised(Scale { grad, scale: &scale }))
    }
}

/// `(x − mean) · scale + bias`; the vectors span a period.
struct Normalise<'a, T> {
    xs: &'a [T],
    ys: &'a mut [MaybeUninit<T>],
    mean: &'a [T],
    scale: &'a [T],
    bias: &'a [T],
}

impl<T: Element> Loop for Normalise<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let period = self.mean.len();
        for (ys, xs) in self.ys.chunks_mut(period).zip(self.xs.chunks(period)) {
            let vectors = self.mean.iter().zip(self.scale).zip(self.bias);
            for ((y, &x), ((&mean, &scale), &bias)) in ys.iter_mut().zip(xs).zip(vectors) {
                y.write((x - mean) * scale + bias);
            }
        }
    }
}

/// `dy · scale + (x − mean) · through_x + constant` in place of `dy`; the vectors span a period.
struct Centre<'a, T> {
    grad: &'a mut [T],
    xs: &'a [T],
    mean: &'a [T],
    scale: &'a [T],
    through_x: &'a [T],
    constant: &'a [T],
}

impl<T: Element> Loop for Centre<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let period = self.mean.len();
        for (grad, xs) in self.grad.chunks_mut(period).zip(self.xs.chunks(period)) {
            let vectors = self.mean.iter().zip(self.scale).zip(self.through_x).zip(self.constant);
            for ((grad, &x), (((&mean, &scale), &through_x), &constant)) in grad.iter_mut().zip(xs).zip(vectors) {
                *grad = *grad * scale + (x - mean) * through_x + constant;
            }
        }
    }
}

/// `dy · scale` in place; the vector spans a period.
struct Scale<'a, T> {
    grad: &'a mut [T],
    scale: &'a [T],
}

impl<T: Element> Loop for Scale<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        for grad in self.grad.chunks_mut(self.scale.len()) {
            grad.iter_mut().zip(self.scale).for_each(|(grad, &scale)| *grad *= scale);
        }
    }
}

/// Sums of differences to provisional means, so that a large mean does not swallow the variance: with means of a few pixels from everywhere, what is
/// left of the mean is small beside the standard deviation.
fn batch_moments<T: Element>(xs: &[T], channels: usize) -> Moments {
    let pixels = xs.len() / channels.max(1);
    let count = pixels as f64;
    let provisional = provisional_means(xs, channels, pixels);
    let [sums, squares] = channel_sums(xs, xs, &provisional, |x, _, mean| {
        let deviation = x - mean;
        [deviation, deviation * deviation]
    });
    let rests: Vec<f64> = sums.into_iter().map(|sum| sum / count).collect();
    let variance = |(sum, rest): (f64, &f64)| (sum / count - rest * rest).at_least_zero();
    let var = squares.into_iter().zip(&rests).map(variance).collect();
    Moments { mean: provisional.iter().zip(rests).map(|(mean, rest)| mean + rest).collect(), var }
}

/// Means over evenly spaced pixels, as `T` holds them.
fn provisional_means<T: Element>(xs: &[T], channels: usize, pixels: usize) -> Vec<f64> {
    let sample = SAMPLE.min(pixels);
    let mut means = vec![0.; channels];
    for pixel in (0..sample).map(|index| index * pixels / sample) {
        let values = &xs[pixel * channels..][..channels];
        means.iter_mut().zip(values).for_each(|(mean, x)| *mean += x.to_f64() / sample as f64);
    }
    means.into_iter().map(|mean| T::from_f64(mean).to_f64()).collect()
}

/// `(Σ dy · x̂, Σ dy)` per channel.
fn parameter_gradients<T: Element>(xs: &[T], grad: &[T], mean: &[f64], inverse_std: &[f64]) -> [Vec<f64>; 2] {
    let [mut weight, bias] = channel_sums(xs, grad, mean, |x, grad, mean| [grad * (x - mean), grad]);
    // The mean in T is not quite the mean.
    let rests = mean.iter().map(|&exact| T::from_f64(exact).to_f64() - exact);
    for (((sum, bias), rest), inverse_std) in weight.iter_mut().zip(&bias).zip(rests).zip(inverse_std) {
        *sum = (*sum + bias * rest) * inverse_std;
    }
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
