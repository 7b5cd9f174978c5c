//! Batch normalisation (Ioffe & Szegedy 2015), with the batch's statistics or with running ones.
#![allow(unsafe_code)]

use std::sync::{Arc, OnceLock};

use candle_core::{Result, Tensor};

use crate::FeatureMap;
use crate::activation::on_registers::{for_each_on_registers, is_on_registers};
use crate::activation::{Activation, BackwardRule, activate, passed_by_output};
use crate::autograd::element::Element;
use crate::autograd::gradient::Gradient;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::error::{Checked, Error};
use crate::machine::recycle::Buffer;
use crate::machine::shared::filled_chunks;
use crate::norm::affine::{
    Centre, Normalise, Passed, Scale, affine, all_rounded, centring, inverse_std, of_parameters,
};
use crate::norm::channel_map::{Formula, Target, map_channels};
use crate::norm::channel_sums::channel_sums;
use crate::norm::moments::Moments;

const OP: &str = "batch_norm";

/// Mean and variance of each channel over a batch, from [`batch_norm_train`].
#[derive(Debug, Clone)]
pub struct BatchStatistics {
    /// Means, `(C)`, detached.
    pub mean: Tensor,
    /// Unbiased variances (divided by `count − 1`), `(C)`, detached: what PyTorch averages into
    /// `running_var`.
    pub unbiased_var: Tensor,
    /// Values per channel, `N·H·W`.
    pub count: usize,
}

/// `activation((x − mean) / √(var + eps) · weight + bias + residual)` with the batch's own mean and
/// biased variance per channel; also returns them for the running averages. Gradients flow through
/// the statistics. A residual, and a rectifier, SiLU, hard-swish or none, cost no pass of their own;
/// with a residual, a rectifier or none.
///
/// # Shapes
/// `xs` and `residual` `(N, H, W, C)`; `weight` and `bias` `(C)`.
///
/// # Errors
/// If shapes differ or a channel has only one value.
pub fn batch_norm_train(
    xs: &FeatureMap,
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    residual: Option<&FeatureMap>,
    activation: Activation,
) -> Result<(FeatureMap, BatchStatistics)> {
    let [n, h, w, channels] = xs.dims();
    check_vectors(channels, &[("the weight", weight), ("the bias", bias)])?;
    let count = n * h * w;
    check_count(count)?;
    let moments = Arc::new(OnceLock::new());
    let kernel = BatchNorm::new(
        xs,
        eps,
        Source::Batch,
        residual,
        activation,
        moments.clone(),
    );
    let ys = kernel.apply(xs, residual, [weight, bias], activation)?;
    let moments: &Moments = moments.get().expect("the forward pass has run");
    let statistics = statistics(moments, count, xs)?;
    Ok((ys, statistics))
}

/// `activation((x − running_mean) / √(running_var + eps) · weight + bias + residual)`: an affine
/// map per channel. No gradient flows to the running statistics.
///
/// # Shapes
/// `xs` and `residual` `(N, H, W, C)`; all vectors `(C)`.
///
/// # Errors
/// If shapes or element types differ.
#[expect(
    clippy::too_many_arguments,
    reason = "the arguments of PyTorch's functional batch_norm, and what is fused"
)]
pub fn batch_norm_running(
    xs: &FeatureMap,
    weight: &Tensor,
    bias: &Tensor,
    running_mean: &Tensor,
    running_var: &Tensor,
    eps: f64,
    residual: Option<&FeatureMap>,
    activation: Activation,
) -> Result<FeatureMap> {
    let vectors = [
        ("the weight", weight),
        ("the bias", bias),
        ("running_mean", running_mean),
        ("running_var", running_var),
    ];
    check_vectors(xs.channels(), &vectors)?;
    let values = |vector: &Tensor| vector.to_dtype(candle_core::DType::F64)?.to_vec1::<f64>();
    let moments = OnceLock::from(Moments {
        mean: values(running_mean)?,
        var: values(running_var)?,
    });
    let kernel = BatchNorm::new(
        xs,
        eps,
        Source::Running,
        residual,
        activation,
        Arc::new(moments),
    );
    kernel.apply(xs, residual, [weight, bias], activation)
}

/// Whether there are enough values per channel for a variance.
pub(crate) fn check_count(count: usize) -> Checked<()> {
    if count >= 2 {
        return Ok(());
    }
    Err(Error::Argument {
        op: OP,
        what: "values per channel",
        found: count.to_string(),
        expected: "at least 2: a variance needs more than one".to_string(),
    })
}

/// What is told of a batch, as tensors of the maps' element type.
pub(crate) fn statistics(
    moments: &Moments,
    count: usize,
    xs: &FeatureMap,
) -> Result<BatchStatistics> {
    let unbiased = count as f64 / (count - 1) as f64;
    let channels = moments.mean.len();
    let vector =
        |values: Vec<f64>| Tensor::from_vec(values, channels, xs.device())?.to_dtype(xs.dtype());
    Ok(BatchStatistics {
        mean: vector(moments.mean.clone())?,
        unbiased_var: vector(moments.var.iter().map(|var| var * unbiased).collect())?,
        count,
    })
}

pub(crate) fn check_vectors(channels: usize, vectors: &[(&'static str, &Tensor)]) -> Checked<()> {
    for (what, vector) in vectors {
        if vector.dims() != [channels] {
            let expected = format!("[{channels}], one per channel");
            return Err(Error::Shape {
                op: OP,
                what,
                found: vector.dims().to_vec(),
                expected,
            });
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

struct BatchNorm {
    dims: [usize; 4],
    eps: f64,
    source: Source,
    /// Whether a second map is added before the activation.
    residual: bool,
    /// One that [`is_on_registers`].
    activation: Activation,
    /// Known from the start for running statistics; set by the forward pass for the batch's.
    moments: Arc<OnceLock<Moments>>,
}

/// Elements per parallel task, about.
const CHUNK: usize = 1 << 14;

impl BatchNorm {
    fn new(
        xs: &FeatureMap,
        eps: f64,
        source: Source,
        residual: Option<&FeatureMap>,
        activation: Activation,
        moments: Arc<OnceLock<Moments>>,
    ) -> Self {
        // Other activations are operations of their own, as are those whose slope would need the
        // sum behind the residual.
        let fits = is_on_registers(activation)
            && (residual.is_none() || activation.slope_is_in_the_output());
        let activation = if fits {
            activation
        } else {
            Activation::Identity
        };
        Self {
            dims: xs.dims(),
            eps,
            source,
            residual: residual.is_some(),
            activation,
            moments,
        }
    }

    fn apply(
        self,
        xs: &FeatureMap,
        residual: Option<&FeatureMap>,
        parameters: [&Tensor; 2],
        activation: Activation,
    ) -> Result<FeatureMap> {
        if let Some(residual) = residual.filter(|residual| residual.dims() != self.dims) {
            let found = residual.dims().to_vec();
            let expected = format!("{:?} as the input", self.dims);
            return Err(Error::Shape {
                op: OP,
                what: "the residual",
                found,
                expected,
            }
            .into());
        }
        let after = if self.activation == activation {
            Activation::Identity
        } else {
            activation
        };
        let maps: Vec<&FeatureMap> = [xs].into_iter().chain(residual).collect();
        activate(
            &apply(self, &maps, &parameters)?,
            after,
            BackwardRule::Standard,
        )
    }

    fn channels(&self) -> usize {
        self.dims[3]
    }

    /// Elements of a parallel task: whole pixels.
    fn chunk(&self) -> usize {
        CHUNK.next_multiple_of(self.channels().max(1))
    }
}

impl Kernel for BatchNorm {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        self.dims.to_vec()
    }

    fn maps(&self) -> usize {
        if self.residual { 2 } else { 1 }
    }

    fn saved(&self) -> Saved {
        match (self.residual, self.activation) {
            (false, _) => Saved::Inputs,
            (true, Activation::Identity) => Saved::First,
            (true, _) => Saved::FirstAndOutput,
        }
    }

    fn reads_twice(&self) -> bool {
        self.source == Source::Batch
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let xs = inputs.xs();
        let moments = self
            .moments
            .get_or_init(|| Moments::of_batch(xs, self.channels()));
        let vectors: [Vec<T>; 3] = all_rounded(affine(inputs.parameters(), moments, self.eps));
        let vectors = vectors.each_ref().map(Vec::as_slice);
        let channels = self.channels();
        // SAFETY: each chunk is whole pixels, of which every value is written, and the maps have
        // them all.
        unsafe {
            filled_chunks(xs.len(), self.chunk(), |start, ys| {
                let values = start..start + ys.len();
                let part = |map: &[T]| map[values.clone()].as_ptr();
                let target = Target {
                    values: ys.as_mut_ptr().cast(),
                    pixels: ys.len() / channels.max(1),
                    channels,
                };
                for_each_on_registers!(self.activation, known => match inputs.addend() {
                    None => map_channels([part(xs)], vectors, target, &Normalise(known)),
                    Some(residual) => {
                        let maps = [part(xs), part(residual)];
                        map_channels(maps, vectors, target, &Normalise(known));
                    }
                });
            })
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward {
            inputs,
            output,
            grad,
            wanted,
        } = pass;
        let xs = inputs.xs();
        let moments = self.moments.get().expect("the forward pass has run");
        let affine = affine(inputs.parameters(), moments, self.eps);
        // What passes the activation is the gradient of the residual; only without one it is told
        // from the input, on the way.
        let (grad, of_residual, activation) = if self.residual {
            let passed = passed_by_output(self.activation, grad, output);
            (
                Gradient::Shared(passed.clone()),
                Some(passed),
                Activation::Identity,
            )
        } else {
            (grad, None, self.activation)
        };
        let parameters = [wanted.weight(), wanted.bias() == Some(true)];
        let of_input = wanted.xs();
        let needs_sums = parameters.contains(&true) || of_input && self.source == Source::Batch;
        let sums =
            needs_sums.then(|| self.parameter_gradients(xs, &grad, &affine, activation, moments));
        let of_parameters = [0, 1].map(|which| {
            let sums = sums.as_ref().filter(|_| parameters[which])?;
            Some(Buffer::shared(
                sums[which].iter().map(|&sum| T::from_f64(sum)).collect(),
            ))
        });
        let sums = sums.as_ref().filter(|_| self.source == Source::Batch);
        let of_input = of_input.then(|| self.grad_input(xs, grad, affine, activation, sums));
        let of_residual = self
            .residual
            .then(|| of_residual.filter(|_| wanted.addend()));
        [of_input]
            .into_iter()
            .chain(of_residual)
            .chain(of_parameters)
            .collect()
    }
}

impl BatchNorm {
    /// `scale · (dy − mean(dy) − x̂ · mean(dy · x̂))` with the sums of the batch, else
    /// `scale · dy`; `dy` is what passes the activation.
    fn grad_input<T: Element>(
        &self,
        xs: &[T],
        grad: Gradient<'_, T>,
        [mean, scale, shift]: [Vec<f64>; 3],
        activation: Activation,
        sums: Option<&[Vec<f64>; 2]>,
    ) -> Arc<Buffer<T>> {
        let affine = [mean, scale, shift];
        let Some([of_weight, of_bias]) = sums else {
            return for_each_on_registers!(activation, known => {
                self.updated(xs, grad, affine, &Scale(known))
            });
        };
        let moments = self.moments.get().expect("the forward pass has run");
        let inverse_std = inverse_std(moments, self.eps);
        let count = (xs.len() / self.channels().max(1)) as f64;
        let vectors = centring(affine, &inverse_std, [of_weight, of_bias], count);
        for_each_on_registers!(activation, known => {
            self.updated(xs, grad, vectors, &Centre(known))
        })
    }

    /// A formula of the input and the gradient, in place of the gradient.
    fn updated<T: Element, const K: usize>(
        &self,
        xs: &[T],
        grad: Gradient<'_, T>,
        vectors: [Vec<f64>; K],
        formula: &impl Formula<T, 2, K>,
    ) -> Arc<Buffer<T>> {
        let vectors: [Vec<T>; K] = all_rounded(vectors);
        let vectors = vectors.each_ref().map(Vec::as_slice);
        let channels = self.channels();
        grad.updated(self.chunk(), |start, grad| {
            let xs = xs[start..start + grad.len()].as_ptr();
            let target = Target {
                values: grad.as_mut_ptr(),
                pixels: grad.len() / channels.max(1),
                channels,
            };
            let maps = [xs, target.values.cast_const()];
            // SAFETY: a chunk is whole pixels, which both maps have.
            unsafe { map_channels(maps, vectors, target, formula) };
        })
    }

    /// `(Σ dy · x̂, Σ dy)` per channel; `dy` is what passes the activation.
    fn parameter_gradients<T: Element>(
        &self,
        xs: &[T],
        grad: &[T],
        affine: &[Vec<f64>; 3],
        activation: Activation,
        moments: &Moments,
    ) -> [Vec<f64>; 2] {
        let vectors: [Vec<T>; 3] = all_rounded(affine.clone());
        let vectors = vectors.each_ref().map(Vec::as_slice);
        let sums = for_each_on_registers!(activation, known => {
            channel_sums([xs, grad], vectors, self.channels(), &Passed(known))
        });
        of_parameters::<T>(sums, moments, self.eps)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn one_value_per_channel_and_wrong_vectors_are_errors() {
        let tensor =
            |shape: &[usize]| Tensor::ones(shape, candle_core::DType::F32, &Device::Cpu).unwrap();
        let one = FeatureMap::from_nchw(&tensor(&[1, 3, 1, 1])).unwrap();
        let vector = tensor(&[3]);
        let message = batch_norm_train(&one, &vector, &vector, 1e-5, None, Activation::Identity)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("values per channel is 1, expected at least 2"),
            "{message}"
        );
        let message = batch_norm_running(
            &one,
            &vector,
            &vector,
            &tensor(&[2]),
            &vector,
            1e-5,
            None,
            Activation::Identity,
        )
        .unwrap_err()
        .to_string();
        assert!(
            message.contains("running_mean has shape [2], expected [3]"),
            "{message}"
        );
    }
}
