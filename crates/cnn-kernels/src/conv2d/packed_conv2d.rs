//! Convolution for inference: weights are laid out once, and what follows it happens before a
//! result leaves the registers.
#![allow(unsafe_code)]

mod joined;

pub use joined::JoinedMap;

use std::sync::OnceLock;

use candle_core::{DType, Result, Tensor};

use crate::autograd::feature_map::Held;
use crate::autograd::kernel::{Cost, Kernel, op_time, with_slices};
use crate::conv2d::depthwise_direct;
use crate::conv2d::direct;
use crate::conv2d::direct::{Epilogue, least_scratch};
use crate::conv2d::expanded::{self, Part};
use crate::conv2d::joined::SourcePart;
use crate::conv2d::packed_weights::PackedWeights;
use crate::conv2d::plan::Plan;
use crate::conv2d::winograd::{self, Matrices};
use crate::conv2d::{Convolution, MAX_SCRATCH};
use crate::machine::profile::{self, OpTime, Pass, timed};
use crate::machine::shared::{Shared, Target, filled};
use crate::{
    Activation, BackwardRule, Conv2dSpec, Error, FeatureMap, activate, add, concat, conv2d,
};

/// A convolution whose weights never change: `activation(conv2d(xs) + bias + residual)` in one
/// pass.
///
/// Nothing is recorded for a backward pass. In f64 it is the plain operations one after the other.
pub struct PackedConv2d {
    /// `(C_out, C_in / groups, K_h, K_w)`.
    dims: [usize; 4],
    spec: Conv2dSpec,
    weights: Weights,
}

enum Weights {
    /// Of another type than f32.
    Plain {
        weight: Tensor,
        bias: Option<Tensor>,
    },
    Depthwise {
        taps: Vec<f32>,
        bias: Option<Vec<f32>>,
    },
    Direct {
        panels: PackedWeights,
        matrices: OnceLock<Matrices>,
        bias: Option<Vec<f32>>,
    },
}

impl PackedConv2d {
    /// Lays out a weight, with a bias or none; shapes as in [`conv2d`](conv2d()).
    ///
    /// # Errors
    /// If the weight or the bias does not fit the groups.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>, spec: &Conv2dSpec) -> Result<Self> {
        let weight = &match *weight.dims() {
            [c_out, c_in] => weight.reshape((c_out, c_in, 1, 1))?,
            _ => weight.clone(),
        };
        let dims = weight.dims4().map(<[usize; 4]>::from)?;
        // An image as large as the kernel: how weights are laid out does not depend on the size.
        let [_, group_in, rows, columns] = dims;
        let c_in = group_in.saturating_mul(spec.groups);
        let extent = |kernel: usize, axis: usize| {
            (kernel.saturating_sub(1)).saturating_mul(spec.dilation[axis]) + 1
        };
        let smallest = [1, extent(rows, 0), extent(columns, 1), c_in];
        let conv = Convolution::new(smallest, weight.dims(), bias.map(Tensor::dims), spec)?;
        if weight.dtype() != DType::F32 {
            let weights = Weights::Plain {
                weight: weight.detach(),
                bias: bias.map(Tensor::detach),
            };
            return Ok(Self {
                dims,
                spec: *spec,
                weights,
            });
        }
        let plan = Plan::forward(&conv);
        let bias = bias.map(Tensor::to_vec1::<f32>).transpose()?;
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        let weights = if conv.is_depthwise() {
            Weights::Depthwise {
                taps: depthwise_direct::pack(&plan, &values),
                bias,
            }
        } else {
            let panels = PackedWeights::new(&plan, &values);
            Weights::Direct {
                panels,
                matrices: OnceLock::new(),
                bias,
            }
        };
        Ok(Self {
            dims,
            spec: *spec,
            weights,
        })
    }

    /// `activation(conv2d(xs) + bias + residual)`.
    ///
    /// # Errors
    /// If a shape or an element type does not fit.
    pub fn forward(
        &self,
        xs: &FeatureMap,
        residual: Option<&FeatureMap>,
        activation: Activation,
    ) -> Result<FeatureMap> {
        let xs = xs.detach();
        let c_out = self.dims[0];
        let conv = Convolution::new(xs.dims(), &self.dims, None, &self.spec)?;
        check_residual(&conv, residual)?;
        let plan = Plan::forward(&conv);
        let absurd = !conv.is_depthwise() && least_scratch(&plan) > MAX_SCRATCH;
        let (weight, bias) = match &self.weights {
            Weights::Plain { weight, bias } => (weight.clone(), bias.clone()),
            Weights::Direct { panels, bias, .. } if absurd => {
                let weight = Tensor::from_vec(panels.unpacked(&plan), &self.dims[..], xs.device())?;
                let bias = bias
                    .clone()
                    .map(|bias| Tensor::from_vec(bias, c_out, xs.device()))
                    .transpose()?;
                (weight, bias)
            }
            _ => return self.fused(&conv, &plan, &xs, residual, activation),
        };
        let mut ys = conv2d(&xs, &weight, bias.as_ref(), &self.spec)?;
        if let Some(residual) = residual {
            ys = add(&ys, &residual.detach())?;
        }
        activate(&ys, activation, BackwardRule::Standard)
    }

    fn fused(
        &self,
        conv: &Convolution,
        plan: &Plan,
        xs: &FeatureMap,
        residual: Option<&FeatureMap>,
        activation: Activation,
    ) -> Result<FeatureMap> {
        let maps: Vec<&Tensor> = [xs]
            .into_iter()
            .chain(residual)
            .map(FeatureMap::values)
            .collect();
        check_maps(&maps)?;
        let elements = conv.output_shape().iter().product();
        let compute = || {
            with_slices::<f32, _>("conv2d", &maps, |maps| {
                let epilogue = |bias| Epilogue {
                    bias,
                    residual: maps.get(1).copied(),
                    activation,
                };
                match &self.weights {
                    Weights::Depthwise { taps, bias } => {
                        depthwise_direct::convolve(plan, maps[0], taps, epilogue(bias.as_deref()))
                    }
                    // SAFETY: every output is written.
                    _ => unsafe {
                        filled(elements, |start| {
                            let target = Target {
                                start,
                                pixel: plan.c_target,
                            };
                            let part = [SourcePart::whole(plan, maps[0])];
                            self.direct(plan, &part, epilogue, target);
                        })
                    },
                }
            })
        };
        let values = timed(|| self.cost(conv, &maps), compute)?;
        Ok(FeatureMap::wrap(
            Held::ours(Tensor::from_vec(values, conv.output_shape(), xs.device())?),
            None,
        ))
    }

    /// `after[1](depthwise(after[0](self(xs))))`, where the map between is wide enough that it is
    /// faster to compute both some rows at a time; `None` if it is not, or if `self` is no 1×1
    /// convolution, `depthwise` is none or does not fit.
    ///
    /// # Errors
    /// If the shape of `xs` does not fit.
    pub fn forward_expanded(
        &self,
        depthwise: &Self,
        xs: &FeatureMap,
        after: [Activation; 2],
    ) -> Result<Option<FeatureMap>> {
        let (
            Weights::Direct { panels, bias, .. },
            Weights::Depthwise {
                taps,
                bias: depthwise_bias,
            },
        ) = (&self.weights, &depthwise.weights)
        else {
            return Ok(None);
        };
        let xs = xs.detach();
        let first = Convolution::new(xs.dims(), &self.dims, None, &self.spec)?;
        let between = first.output_shape();
        let between = [between[0], between[1], between[2], between[3]];
        if depthwise.dims[0] != between[3] {
            return Ok(None);
        }
        let second = Convolution::new(between, &depthwise.dims, None, &depthwise.spec)?;
        let plans = [Plan::forward(&first), Plan::forward(&second)];
        let maps = [xs.values()];
        if !expanded::suits(&plans[0], &plans[1]) || check_maps(&maps).is_err() {
            return Ok(None);
        }
        let epilogue = |bias, activation| Epilogue {
            bias,
            residual: None,
            activation,
        };
        let compute = || {
            with_slices::<f32, _>("conv2d", &maps, |maps| {
                let pointwise = Part {
                    plan: &plans[0],
                    weights: panels,
                    epilogue: epilogue(bias.as_deref(), after[0]),
                };
                let depthwise = Part {
                    plan: &plans[1],
                    weights: &taps[..],
                    epilogue: epilogue(depthwise_bias.as_deref(), after[1]),
                };
                expanded::convolve(maps[0], &pointwise, &depthwise)
            })
        };
        let cost = || {
            let expand = self.cost(&first, &maps);
            let cost = Cost {
                read: xs.values().elem_count(),
                once: self.dims.iter().product::<usize>()
                    + depthwise.dims.iter().product::<usize>(),
                written: second.output_shape().iter().product(),
            };
            let label = profile::label();
            let both = op_time(&second, Pass::Forward, &label, DType::F32, &cost);
            OpTime {
                geometry: format!("{} + {}", expand.geometry, both.geometry),
                flops: expand.flops + both.flops,
                ..both
            }
        };
        let values = timed(cost, compute)?;
        let ys = Tensor::from_vec(values, second.output_shape(), xs.device())?;
        Ok(Some(FeatureMap::wrap(Held::ours(ys), None)))
    }

    /// # Safety
    /// The target has room for the plan's, and nobody else uses these channels meanwhile.
    unsafe fn direct<'a>(
        &'a self,
        plan: &Plan,
        xs: &[SourcePart],
        epilogue: impl FnOnce(Option<&'a [f32]>) -> Epilogue<'a>,
        target: Target,
    ) {
        let Weights::Direct {
            panels,
            matrices,
            bias,
        } = &self.weights
        else {
            unreachable!("other weights have ways of their own")
        };
        let epilogue = epilogue(bias.as_deref());
        // SAFETY: the caller's promise.
        unsafe {
            if winograd::suits(plan, true) {
                let matrices = matrices.get_or_init(|| Matrices::new(plan, panels));
                return winograd::convolve_into(plan, xs, matrices, epilogue, target);
            }
            direct::convolve_into(plan, xs, panels, epilogue, target);
        }
    }

    fn cost(&self, conv: &Convolution, maps: &[&Tensor]) -> OpTime {
        let [read, once] = [
            maps.iter().map(|map| map.elem_count()).sum(),
            self.dims.iter().product(),
        ];
        let cost = Cost {
            read,
            once,
            written: conv.output_shape().iter().product(),
        };
        op_time(conv, Pass::Forward, &profile::label(), DType::F32, &cost)
    }

    /// The channels of several convolutions' outputs one after another,
    /// `activation(conv2d(xs) + bias)` each: what [`concat`](concat()) gives, without a pass of its
    /// own.
    ///
    /// # Errors
    /// If there is no part, or a shape or an element type does not fit.
    pub fn forward_concat(parts: &[(&Self, &FeatureMap, Activation)]) -> Result<FeatureMap> {
        let place = |(conv, xs, _): &(&Self, &FeatureMap, Activation)| {
            let conv = Convolution::new(xs.dims(), &conv.dims, None, &conv.spec)?;
            Ok((Plan::forward(&conv), conv))
        };
        let placed = parts.iter().map(place).collect::<Result<Vec<_>>>()?;
        let direct =
            |((conv, ..), (plan, _)): (&(&Self, &FeatureMap, Activation), &(Plan, Convolution))| {
                let fits = least_scratch(plan) <= MAX_SCRATCH;
                fits && matches!(conv.weights, Weights::Direct { .. })
            };
        let shapes: Vec<Vec<usize>> = placed.iter().map(|(_, conv)| conv.output_shape()).collect();
        let alike = shapes.windows(2).all(|pair| pair[0][..3] == pair[1][..3]);
        if !alike || shapes.is_empty() || !parts.iter().zip(&placed).all(direct) {
            let outputs = parts
                .iter()
                .map(|(conv, xs, activation)| conv.forward(xs, None, *activation));
            let outputs = outputs.collect::<Result<Vec<_>>>()?;
            return concat(&outputs.iter().collect::<Vec<_>>());
        }
        let maps: Vec<&Tensor> = parts.iter().map(|(_, xs, _)| xs.values()).collect();
        check_maps(&maps)?;
        let channels: usize = shapes.iter().map(|shape| shape[3]).sum();
        let shape = [&shapes[0][..3], &[channels]].concat();
        let values = with_slices::<f32, _>("conv2d", &maps, |slices| {
            // SAFETY: each part writes its channels of every pixel.
            unsafe {
                filled(shape.iter().product(), |start| {
                    let mut first = 0;
                    for (index, (part, (plan, conv))) in parts.iter().zip(&placed).enumerate() {
                        let target = Target {
                            start: Shared::new(start.at(first)),
                            pixel: channels,
                        };
                        let epilogue = |bias| Epilogue {
                            bias,
                            residual: None,
                            activation: part.2,
                        };
                        let source = [SourcePart::whole(plan, slices[index])];
                        timed(
                            || part.0.cost(conv, &maps[index..=index]),
                            || part.0.direct(plan, &source, epilogue, target),
                        );
                        first += conv.c_out;
                    }
                })
            }
        })?;
        Ok(FeatureMap::wrap(
            Held::ours(Tensor::from_vec(values, shape, maps[0].device())?),
            None,
        ))
    }
}

fn check_maps(maps: &[&Tensor]) -> Result<()> {
    match maps
        .iter()
        .find(|map| map.dtype() != DType::F32 || !map.device().is_cpu())
    {
        Some(map) => {
            let found = format!("{:?} on {:?}", map.dtype(), map.device().location());
            let expected = "F32 on the CPU".to_string();
            Err(Error::Element {
                op: "conv2d",
                what: "a map's element type",
                found,
                expected,
            }
            .into())
        }
        None => Ok(()),
    }
}

fn check_residual(conv: &Convolution, residual: Option<&FeatureMap>) -> Result<()> {
    match residual {
        Some(residual) if residual.dims()[..] != conv.output_shape()[..] => {
            let op = "conv2d";
            let found = residual.dims().to_vec();
            let expected = format!("{:?} as the output", conv.output_shape());
            Err(Error::Shape {
                op,
                what: "the residual",
                found,
                expected,
            }
            .into())
        }
        _ => Ok(()),
    }
}

impl std::fmt::Debug for PackedConv2d {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedConv2d")
            .field("dims", &self.dims)
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
