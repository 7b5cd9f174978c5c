//! Batch normalisation (Ioffe & Szegedy 2015), with the batch's statistics or with running ones.
#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::sync::{Arc, OnceLock};

use candle_core::{Result, Tensor};

use crate::FeatureMap;
use crate::activation::{Activation, BackwardRule, activate};
use crate::channel_sums::{Terms, channel_sums, period, repeated};
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

/// `activation((x − mean) / √(var + eps) · weight + bias)` with the batch's own mean and biased variance per channel; also returns them for the
/// running averages. Gradients flow through the statistics. A rectifier or none costs no pass of its own.
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
    activation: Activation,
) -> Result<(FeatureMap, BatchStatistics)> {
    let [n, h, w, channels] = xs.dims();
    check_vectors(channels, &[("the weight", weight), ("the bias", bias)])?;
    let count = n * h * w;
    if count < 2 {
        let expected = "at least 2: a variance needs more than one".to_string();
        return Err(Error::Argument { op: OP, what: "values per channel", found: count.to_string(), expected }.into());
    }
    let moments = Arc::new(OnceLock::new());
    let ys = norm_and_activation(xs, weight, bias, activation, Source::Batch, eps, &moments)?;
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

/// `activation((x − running_mean) / √(running_var + eps) · weight + bias)`: an affine map per channel. No gradient flows to the running
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
    activation: Activation,
) -> Result<FeatureMap> {
    let vectors =
        [("the weight", weight), ("the bias", bias), ("running_mean", running_mean), ("running_var", running_var)];
    check_vectors(xs.channels(), &vectors)?;
    let values = |vector: &Tensor| vector.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>();
    let moments = OnceLock::from(Moments { mean: values(running_mean)?, var: values(running_var)? });
    norm_and_activation(xs, weight, bias, activation, Source::Running, eps, &Arc::new(moments))
}

/// Rectifiers are a part of the kernel, other activations an operation of their own.
fn norm_and_activation(
    xs: &FeatureMap,
    weight: &Tensor,
    bias: &Tensor,
    activation: Activation,
    source: Source,
    eps: f64,
    moments: &Arc<OnceLock<Moments>>,
) -> Result<FeatureMap> {
    let [inside, after] = match activation.is_rectifier() {
        true => [activation, Activation::Identity],
        false => [Activation::Identity, activation],
    };
    let kernel = BatchNorm { dims: xs.dims(), eps, source, activation: inside, moments: moments.clone() };
    activate(&apply(kernel, &[xs], &[weight, bias])?, after, BackwardRule::Standard)
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
    /// A rectifier or none.
    activation: Activation,
    /// Known from the start for running statistics; set by the forward pass for the batch's.
    moments: Arc<OnceLock<Moments>>,
}

/// Evaluates an expression with `$activation`, a rectifier or none, known to the compiler, so that each is a loop of its own.
macro_rules! for_each_rectifier {
    ($activation:expr, $constant:ident => $body:expr) => {
        match $activation {
            Activation::Relu => {
                let $constant = Activation::Relu;
                $body
            }
            Activation::Relu6 => {
                let $constant = Activation::Relu6;
                $body
            }
            Activation::LeakyRelu(slope) => {
                let $constant = Activation::LeakyRelu(slope);
                $body
            }
            _ => {
                let $constant = Activation::Identity;
                $body
            }
        }
    };
}

/// Pixels that the provisional means are taken from.
const SAMPLE: usize = 64;

/// Elements per parallel task, about.
const CHUNK: usize = 1 << 14;

impl BatchNorm {
    fn inverse_std(&self, moments: &Moments) -> Vec<f64> {
        moments.var.iter().map(|var| 1. / (var + self.eps).sqrt()).collect()
    }

    /// Mean, scale and shift per channel: what is activated is `(x − mean) · scale + shift` in `T`.
    fn affine<T: Element>(&self, weight: &[T], bias: &[T], moments: &Moments) -> [Vec<f64>; 3] {
        let scale: Vec<f64> = weight.iter().zip(self.inverse_std(moments)).map(|(w, s)| w.to_f64() * s).collect();
        // The mean in T is not quite the mean; what it lacks goes into the shift.
        let shift =
            bias.iter().zip(&scale).zip(&moments.mean).map(|((b, s), &m)| b.to_f64() + s * lost::<T>(m)).collect();
        [moments.mean.clone(), scale, shift]
    }

    /// Elements of a parallel task: whole periods.
    fn chunk(&self) -> usize {
        let period = period(self.dims[3]).max(1);
        CHUNK.next_multiple_of(period)
    }
}

/// What rounding to `T` adds.
fn lost<T: Element>(exact: f64) -> f64 {
    T::from_f64(exact).to_f64() - exact
}

fn all_repeated<T: Element, const N: usize>(vectors: [Vec<f64>; N]) -> [Vec<T>; N] {
    vectors.map(|vector| repeated(vector.into_iter()))
}

impl Kernel for BatchNorm {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn reads_twice(&self) -> bool {
        self.source == Source::Batch
    }

    fn forward<T: Element>(&self, inputs: &[&[T]]) -> Vec<T> {
        let xs = inputs[0];
        let moments = self.moments.get_or_init(|| batch_moments(xs, self.dims[3]));
        let [mean, scale, shift] = all_repeated::<T, 3>(self.affine(inputs[1], inputs[2], moments));
        // SAFETY: the loop writes every element.
        unsafe {
            filled_chunks(xs.len(), self.chunk(), |start, ys| {
                let xs = &xs[start..start + ys.len()];
                let activation = self.activation;
                vectorised(Normalise { activation, xs, ys, mean: &mean, scale: &scale, shift: &shift });
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
        let affine = self.affine(inputs[1], inputs[2], moments);
        let needs_sums = wanted[1] || wanted[2] || self.source == Source::Batch;
        let sums = needs_sums.then(|| self.parameter_gradients(xs, &grad, &affine, &self.inverse_std(moments)));
        let of_parameters = [0, 1].map(|which| {
            let sums = sums.as_ref().filter(|_| wanted[1 + which])?;
            Some(Arc::new(sums[which].iter().map(|&sum| T::from_f64(sum)).collect()))
        });
        let sums = sums.as_ref().filter(|_| self.source == Source::Batch);
        let grad_xs = wanted[0].then(|| self.grad_input(xs, grad, affine, sums));
        [grad_xs].into_iter().chain(of_parameters).collect()
    }
}

impl BatchNorm {
    /// `scale · (dy − mean(dy) − x̂ · mean(dy · x̂))` with the sums of the batch, else `scale · dy`; `dy` is what passes the activation.
    fn grad_input<T: Element>(
        &self,
        xs: &[T],
        grad: Gradient<'_, T>,
        affine: [Vec<f64>; 3],
        sums: Option<&[Vec<f64>; 2]>,
    ) -> Arc<Vec<T>> {
        let moments = self.moments.get().expect("the forward pass has run");
        let (inverse_std, count) = (self.inverse_std(moments), (xs.len() / self.dims[3].max(1)) as f64);
        let (through_x, constant): (Vec<f64>, Vec<f64>) = match sums {
            Some([of_weight, of_bias]) => (0..self.dims[3])
                .map(|c| (-affine[1][c] * inverse_std[c] * of_weight[c] / count, -affine[1][c] * of_bias[c] / count))
                .unzip(),
            None => (vec![0.; self.dims[3]], vec![0.; self.dims[3]]),
        };
        let [mean, scale, shift] = all_repeated::<T, 3>(affine);
        if sums.is_none() && self.activation == Activation::Identity {
            return grad.updated(self.chunk(), |_, grad| vectorised(Scale { grad, scale: &scale }));
        }
        let [through_x, constant] = all_repeated::<T, 2>([through_x, constant]);
        grad.updated(self.chunk(), |start, grad| {
            let (activation, xs) = (self.activation, &xs[start..start + grad.len()]);
            let (mean, scale, shift) = (&mean, &scale, &shift);
            vectorised(Centre { activation, grad, xs, mean, scale, shift, through_x: &through_x, constant: &constant });
        })
    }

    /// `(Σ dy · x̂, Σ dy)` per channel; `dy` is what passes the activation.
    fn parameter_gradients<T: Element>(
        &self,
        xs: &[T],
        grad: &[T],
        [mean, scale, shift]: &[Vec<f64>; 3],
        inverse_std: &[f64],
    ) -> [Vec<f64>; 2] {
        let [mut weight, bias] = channel_sums(xs, grad, [mean, scale, shift], &Passed::by(self.activation));
        for (((sum, bias), &mean), inverse_std) in weight.iter_mut().zip(&bias).zip(mean).zip(inverse_std) {
            *sum = (*sum + bias * lost::<T>(mean)) * inverse_std;
        }
        [weight, bias]
    }
}

/// `dy · (x − mean)` and `dy` of what passes a rectifier whose slope is 1 between two bounds and `outside` beyond.
struct Passed<T> {
    low: T,
    /// NaN, which nothing reaches, if there is none.
    high: T,
    outside: T,
}

impl<T: Element> Passed<T> {
    fn by(activation: Activation) -> Self {
        let [low, high, outside] = match activation {
            Activation::Relu => [0., f64::NAN, 0.],
            Activation::Relu6 => [0., 6., 0.],
            Activation::LeakyRelu(slope) => [0., f64::NAN, slope],
            _ => [f64::NEG_INFINITY, f64::NAN, 1.],
        };
        Self { low: T::from_f64(low), high: T::from_f64(high), outside: T::from_f64(outside) }
    }
}

impl<T: Element> Terms<T, 3> for Passed<T> {
    #[inline(always)]
    fn of(&self, x: T, grad: T, [mean, scale, shift]: [T; 3]) -> [T; 2] {
        let deviation = x - mean;
        let before = deviation * scale + shift;
        let above = if before > self.low { grad } else { grad * self.outside };
        let passed = if before >= self.high { grad * self.outside } else { above };
        [passed * deviation, passed]
    }
}

/// Differences to a provisional mean, and their squares.
struct Deviations;

impl<T: Element> Terms<T, 1> for Deviations {
    #[inline(always)]
    fn of(&self, x: T, _: T, [mean]: [T; 1]) -> [T; 2] {
        let deviation = x - mean;
        [deviation, deviation * deviation]
    }
}

/// `activation((x − mean) · scale + shift)`; the vectors span a period.
struct Normalise<'a, T> {
    activation: Activation,
    xs: &'a [T],
    ys: &'a mut [MaybeUninit<T>],
    mean: &'a [T],
    scale: &'a [T],
    shift: &'a [T],
}

impl<T: Element> Loop for Normalise<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let period = self.mean.len();
        for (ys, xs) in self.ys.chunks_mut(period).zip(self.xs.chunks(period)) {
            let vectors = self.mean.iter().zip(self.scale).zip(self.shift);
            let values = ys.iter_mut().zip(xs).zip(vectors);
            for_each_rectifier!(self.activation, activation => {
                for ((y, &x), ((&mean, &scale), &shift)) in values {
                    y.write(activation.value((x - mean) * scale + shift));
                }
            });
        }
    }
}

/// `dy · scale + (x − mean) · through_x + constant` in place of the output's gradient, with the `dy` that passes the activation; the vectors span a
/// period.
struct Centre<'a, T> {
    activation: Activation,
    grad: &'a mut [T],
    xs: &'a [T],
    mean: &'a [T],
    scale: &'a [T],
    shift: &'a [T],
    through_x: &'a [T],
    constant: &'a [T],
}

impl<T: Element> Loop for Centre<'_, T> {
    #[inline(always)]
    fn run<S: Simd>(self) {
        let period = self.mean.len();
        for (grad, xs) in self.grad.chunks_mut(period).zip(self.xs.chunks(period)) {
            let vectors = self.mean.iter().zip(self.scale).zip(self.shift).zip(self.through_x).zip(self.constant);
            let values = grad.iter_mut().zip(xs).zip(vectors);
            for_each_rectifier!(self.activation, activation => {
                for ((grad, &x), ((((&mean, &scale), &shift), &through_x), &constant)) in values {
                    let deviation = x - mean;
                    let passed = activation.passed(*grad, deviation * scale + shift);
                    *grad = passed * scale + deviation * through_x + constant;
                }
            });
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
    let [sums, squares] = channel_sums(xs, xs, [&provisional], &Deviations);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn one_value_per_channel_and_wrong_vectors_are_errors() {
        let tensor = |shape: &[usize]| Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        let (one, vector) = (FeatureMap::from_nchw(&tensor(&[1, 3, 1, 1])).unwrap(), tensor(&[3]));
        let message = batch_norm_train(&one, &vector, &vector, 1e-5, Activation::Identity).unwrap_err().to_string();
        assert!(message.contains("values per channel is 1, expected at least 2"), "{message}");
        let message = batch_norm_running(&one, &vector, &vector, &tensor(&[2]), &vector, 1e-5, Activation::Identity)
            .unwrap_err()
            .to_string();
        assert!(message.contains("running_mean has shape [2], expected [3]"), "{message}");
    }
}
