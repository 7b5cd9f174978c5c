//! Batch normalisation of several maps as if their channels lay one after another, without a copy
//! of them that does.
#![allow(unsafe_code)]

use std::sync::{Arc, OnceLock};

use candle_core::{DType, Result, Tensor};

use crate::activation::on_registers::{OnRegisters, for_each_on_registers, is_on_registers};
use crate::activation::{Activation, BackwardRule, activate};
use crate::autograd::combine::check_alike;
use crate::autograd::element::Element;
use crate::autograd::kernel::{Backward, Inputs, Kernel, Saved, apply};
use crate::machine::recycle::Buffer;
use crate::machine::register::Register;
use crate::machine::shared::filled_chunks;
use crate::norm::affine::{
    Centre, Normalise, Passed, Scale, affine, all_rounded, centring, inverse_std, of_parameters,
};
use crate::norm::batch_norm::{check_count, check_vectors, statistics};
use crate::norm::channel_map::{Formula, Strided, Target, map_strided_channels};
use crate::norm::channel_sums::strided_channel_sums;
use crate::norm::moments::Moments;
use crate::{BatchStatistics, FeatureMap};

const OP: &str = "concat_norm";

/// A map that several norms read: its mean and variance per channel are computed once, by the first
/// that needs them.
#[derive(Debug, Clone)]
pub struct MeasuredMap {
    map: FeatureMap,
    moments: Arc<OnceLock<Moments>>,
}

impl MeasuredMap {
    /// A map whose statistics nobody has asked for.
    pub fn new(map: FeatureMap) -> Self {
        Self {
            map,
            moments: Arc::default(),
        }
    }

    /// The map.
    pub fn map(&self) -> &FeatureMap {
        &self.map
    }
}

/// [`batch_norm_train`](crate::batch_norm_train) of the maps' channels one after another, as
/// [`concat`](crate::concat) joins them: what it costs is one pass that reads the maps and writes
/// the result, and the statistics of those maps that no norm has read before.
///
/// # Shapes
/// Maps `(N, H, W, C₁)`, `(N, H, W, C₂)`, …; `weight` and `bias` `(C₁ + C₂ + …)`; the result
/// `(N, H, W, C₁ + C₂ + …)`.
///
/// # Errors
/// If there is no map, shapes differ or a channel has only one value.
pub fn concat_norm_train(
    maps: &[MeasuredMap],
    weight: &Tensor,
    bias: &Tensor,
    eps: f64,
    activation: Activation,
) -> Result<(FeatureMap, BatchStatistics)> {
    let inputs: Vec<&FeatureMap> = maps.iter().map(MeasuredMap::map).collect();
    let moments: Vec<_> = maps.iter().map(|map| map.moments.clone()).collect();
    let kernel = ConcatNorm::new(&inputs, eps, Source::Batch, moments.clone())?;
    let channels = kernel.all_channels();
    check_vectors(channels, &[("the weight", weight), ("the bias", bias)])?;
    let count = kernel.pixels();
    check_count(count)?;
    let ys = kernel.apply(&inputs, [weight, bias], activation)?;
    let mut all = Moments {
        mean: Vec::with_capacity(channels),
        var: Vec::with_capacity(channels),
    };
    for moments in &moments {
        let moments = moments.get().expect("the forward pass has run");
        all.mean.extend(&moments.mean);
        all.var.extend(&moments.var);
    }
    let statistics = statistics(&all, count, inputs[0])?;
    Ok((ys, statistics))
}

/// [`batch_norm_running`](crate::batch_norm_running) of the maps' channels one after another, as
/// [`concat`](crate::concat) joins them, in one pass.
///
/// # Shapes
/// As [`concat_norm_train`]; all vectors `(C₁ + C₂ + …)`.
///
/// # Errors
/// If there is no map, or shapes or element types differ.
pub fn concat_norm_running(
    maps: &[&FeatureMap],
    [weight, bias]: [&Tensor; 2],
    [running_mean, running_var]: [&Tensor; 2],
    eps: f64,
    activation: Activation,
) -> Result<FeatureMap> {
    let mut kernel = ConcatNorm::new(maps, eps, Source::Running, Vec::new())?;
    let vectors = [
        ("the weight", weight),
        ("the bias", bias),
        ("running_mean", running_mean),
        ("running_var", running_var),
    ];
    check_vectors(kernel.all_channels(), &vectors)?;
    let values = |vector: &Tensor| vector.to_dtype(DType::F64)?.to_vec1::<f64>();
    let [mean, var] = [values(running_mean)?, values(running_var)?];
    for part in kernel.parts() {
        let range = part.first..part.first + part.channels;
        let moments = Moments {
            mean: mean[range.clone()].to_vec(),
            var: var[range].to_vec(),
        };
        kernel.moments.push(Arc::new(OnceLock::from(moments)));
    }
    kernel.apply(maps, [weight, bias], activation)
}

/// Where mean and variance come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Batch,
    Running,
}

struct ConcatNorm {
    /// N, H, W.
    outer: [usize; 3],
    /// Of each map.
    channels: Vec<usize>,
    eps: f64,
    source: Source,
    /// One that [`is_on_registers`].
    activation: Activation,
    /// Of each map, as those of a batch norm.
    moments: Vec<Arc<OnceLock<Moments>>>,
}

/// The place of a map's channels among all.
#[derive(Debug, Clone, Copy)]
struct Part {
    map: usize,
    first: usize,
    channels: usize,
}

/// Elements of the result per parallel task, about.
const CHUNK: usize = 1 << 14;

impl ConcatNorm {
    fn new(
        maps: &[&FeatureMap],
        eps: f64,
        source: Source,
        moments: Vec<Arc<OnceLock<Moments>>>,
    ) -> Result<Self> {
        let outer = check_alike(OP, maps)?;
        Ok(Self {
            outer,
            channels: maps.iter().map(|map| map.channels()).collect(),
            eps,
            source,
            activation: Activation::Identity,
            moments,
        })
    }

    fn apply(
        mut self,
        maps: &[&FeatureMap],
        parameters: [&Tensor; 2],
        activation: Activation,
    ) -> Result<FeatureMap> {
        // Other activations are operations of their own.
        let after = if is_on_registers(activation) {
            self.activation = activation;
            Activation::Identity
        } else {
            activation
        };
        let ys = apply(self, maps, &parameters)?;
        activate(&ys, after, BackwardRule::Standard)
    }

    fn pixels(&self) -> usize {
        self.outer.iter().product()
    }

    fn all_channels(&self) -> usize {
        self.channels.iter().sum()
    }

    fn parts(&self) -> Vec<Part> {
        let mut first = 0;
        let part = |(map, &channels): (usize, &usize)| {
            let part = Part {
                map,
                first,
                channels,
            };
            first += channels;
            part
        };
        self.channels.iter().enumerate().map(part).collect()
    }

    /// What a batch norm of the part's channels alone computes with.
    fn affine<T: Element>(&self, part: Part, parameters: [&[T]; 2]) -> [Vec<f64>; 3] {
        let parameters = parameters.map(|all| &all[part.first..][..part.channels]);
        affine(parameters, self.moments_of(part), self.eps)
    }

    fn moments_of(&self, part: Part) -> &Moments {
        let moments = self.moments[part.map].get();
        moments.expect("the forward pass has run")
    }

    /// Pixels of a parallel task.
    fn task(&self) -> usize {
        (CHUNK / self.all_channels().max(1)).max(1)
    }
}

impl Kernel for ConcatNorm {
    const NAME: &'static str = OP;

    fn output_shape(&self) -> Vec<usize> {
        let all = [self.all_channels()];
        self.outer.into_iter().chain(all).collect()
    }

    fn maps(&self) -> usize {
        self.channels.len()
    }

    fn saved(&self) -> Saved {
        Saved::Inputs
    }

    fn forward<T: Element>(&self, inputs: Inputs<'_, T>) -> Vec<T> {
        let all = self.all_channels();
        let parts: Vec<(Part, [Vec<T>; 3])> = self
            .parts()
            .into_iter()
            .map(|part| {
                let xs = inputs.maps()[part.map];
                self.moments[part.map].get_or_init(|| Moments::of_batch(xs, part.channels));
                (part, all_rounded(self.affine(part, inputs.parameters())))
            })
            .collect();
        // SAFETY: each chunk is whole pixels, of which the parts are all channels, and the maps
        // have these pixels.
        unsafe {
            filled_chunks(
                self.pixels() * all,
                (self.task() * all).max(1),
                |start, ys| {
                    let pixel = start / all.max(1);
                    for (part, vectors) in &parts {
                        let xs = &inputs.maps()[part.map][pixel * part.channels..];
                        let map = Strided {
                            first: xs.as_ptr(),
                            pixel: part.channels,
                        };
                        let target = Target {
                            values: ys[part.first..].as_mut_ptr().cast(),
                            pixels: ys.len() / all,
                            channels: part.channels,
                        };
                        let vectors = vectors.each_ref().map(Vec::as_slice);
                        for_each_on_registers!(self.activation, known => {
                            map_strided_channels([map], vectors, target, all, &Normalise(known))
                        });
                    }
                },
            )
        }
    }

    fn backward<T: Element>(&self, pass: Backward<'_, T>) -> Vec<Option<Arc<Buffer<T>>>> {
        let Backward {
            inputs,
            grad,
            wanted,
            ..
        } = pass;
        let of_parameters = [wanted.weight(), wanted.bias() == Some(true)];
        let mut of_maps = Vec::with_capacity(self.maps());
        let mut gradients = [Vec::new(), Vec::new()];
        for part in self.parts() {
            let of_input = wanted.all()[part.map];
            let centres = of_input && self.source == Source::Batch;
            let part = PartPass {
                kernel: self,
                part,
                xs: inputs.maps()[part.map],
                grad: &grad,
                affine: self.affine(part, inputs.parameters()),
            };
            let sums = (centres || of_parameters.contains(&true)).then(|| part.sums());
            if let Some(sums) = &sums {
                for (all, sums) in gradients.iter_mut().zip(sums) {
                    all.extend(sums.iter().map(|&sum| T::from_f64(sum)));
                }
            }
            let sums = sums.filter(|_| centres);
            of_maps.push(of_input.then(|| Buffer::shared(part.of_input(sums))));
        }
        let of_parameters = gradients
            .into_iter()
            .zip(of_parameters)
            .map(|(gradient, wanted)| wanted.then(|| Buffer::shared(gradient)));
        of_maps.into_iter().chain(of_parameters).collect()
    }
}

/// The backward pass of one map.
struct PartPass<'a, T> {
    kernel: &'a ConcatNorm,
    part: Part,
    xs: &'a [T],
    /// Of all channels.
    grad: &'a [T],
    affine: [Vec<f64>; 3],
}

impl<T: Element> PartPass<'_, T> {
    /// `(Σ dy · x̂, Σ dy)` per channel; `dy` is what passes the activation.
    fn sums(&self) -> [Vec<f64>; 2] {
        let ConcatNorm {
            eps, activation, ..
        } = *self.kernel;
        let channels = self.part.channels;
        let vectors: [Vec<T>; 3] = all_rounded(self.affine.clone());
        let vectors = vectors.each_ref().map(Vec::as_slice);
        let maps = [
            Strided {
                first: self.xs,
                pixel: channels,
            },
            Strided {
                first: self.grad.get(self.part.first..).unwrap_or_default(),
                pixel: self.kernel.all_channels(),
            },
        ];
        let extent = [self.kernel.pixels(), channels];
        let sums = for_each_on_registers!(activation, known => {
            strided_channel_sums(maps, vectors, extent, &Passed(known))
        });
        of_parameters::<T>(sums, self.kernel.moments_of(self.part), eps)
    }

    /// The gradient of the map; with the sums where its statistics are the batch's.
    fn of_input(&self, sums: Option<[Vec<f64>; 2]>) -> Vec<T> {
        let affine = self.affine.clone();
        let activation = self.kernel.activation;
        let Some([of_weight, of_bias]) = sums else {
            return for_each_on_registers!(activation, known => {
                self.computed(affine, &Scaled(known))
            });
        };
        let moments = self.kernel.moments_of(self.part);
        let inverse_std = inverse_std(moments, self.kernel.eps);
        let count = self.kernel.pixels() as f64;
        let vectors = centring(affine, &inverse_std, [&of_weight, &of_bias], count);
        for_each_on_registers!(activation, known => {
            self.computed(vectors, &Centred(known))
        })
    }

    /// A formula of the input and the gradient.
    fn computed<const K: usize>(
        &self,
        vectors: [Vec<f64>; K],
        formula: &impl Formula<T, 2, K>,
    ) -> Vec<T> {
        let vectors: [Vec<T>; K] = all_rounded(vectors);
        let vectors = vectors.each_ref().map(Vec::as_slice);
        let Part {
            first, channels, ..
        } = self.part;
        let all = self.kernel.all_channels();
        let chunk = (self.kernel.task() * channels).max(1);
        // SAFETY: each chunk is whole pixels, which the map and the gradient have.
        unsafe {
            filled_chunks(self.xs.len(), chunk, |start, values| {
                let maps = [
                    Strided {
                        first: self.xs[start..].as_ptr(),
                        pixel: channels,
                    },
                    Strided {
                        first: self.grad[start / channels * all + first..].as_ptr(),
                        pixel: all,
                    },
                ];
                let target = Target {
                    values: values.as_mut_ptr().cast(),
                    pixels: values.len() / channels,
                    channels,
                };
                map_strided_channels(maps, vectors, target, channels, formula);
            })
        }
    }
}

/// [`Scale`] where the gradient stays as it is.
struct Scaled<F>(F);

impl<T: Element, F: OnRegisters> Formula<T, 2, 3> for Scaled<F> {
    const IN_PLACE: bool = false;

    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(&self, values: [R; 2], of_channel: [R; 3]) -> R {
        // SAFETY: the caller's promise.
        unsafe { Scale(self.0).of(values, of_channel) }
    }
}

/// [`Centre`] where the gradient stays as it is.
struct Centred<F>(F);

impl<T: Element, F: OnRegisters> Formula<T, 2, 5> for Centred<F> {
    const IN_PLACE: bool = false;

    #[inline(always)]
    unsafe fn of<R: Register<Value = T>>(&self, values: [R; 2], of_channel: [R; 5]) -> R {
        // SAFETY: the caller's promise.
        unsafe { Centre(self.0).of(values, of_channel) }
    }
}
