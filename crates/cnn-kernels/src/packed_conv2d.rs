//! Convolution for inference: weights are laid out once, and what follows it happens before a result leaves the registers.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use candle_core::{DType, Result, Tensor};

use crate::conv2d::{Convolution, MAX_SCRATCH};
use crate::conv2d_direct::{Epilogue, least_scratch};
use crate::conv2d_plan::Plan;
use crate::conv2d_winograd::{self, Matrices};
use crate::kernel::{Cost, Kernel, op_time, with_slices};
use crate::packed_weights::PackedWeights;
use crate::profile::{self, Pass, timed};
use crate::{
    Activation, BackwardRule, Conv2dSpec, Error, FeatureMap, InstructionSet, activate, add, conv2d,
    conv2d_depthwise_direct, conv2d_direct,
};

/// A convolution whose weights never change: `activation(conv2d(xs) + bias + residual)` in one pass.
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
        let dims = weight.dims4().map(<[usize; 4]>::from)?;
        // An image as large as the kernel: how weights are laid out does not depend on the size.
        let [_, group_in, rows, columns] = dims;
        let c_in = group_in.saturating_mul(spec.groups);
        let extent = |kernel: usize, axis: usize| (kernel.saturating_sub(1)).saturating_mul(spec.dilation[axis]) + 1;
        let smallest = [1, extent(rows, 0), extent(columns, 1), c_in];
        let conv = Convolution::new(smallest, weight.dims(), bias.map(Tensor::dims), spec)?;
        if weight.dtype() != DType::F32 {
            let weights = Weights::Plain { weight: weight.detach(), bias: bias.map(Tensor::detach) };
            return Ok(Self { dims, spec: *spec, weights });
        }
        let plan = Plan::forward(&conv);
        let bias = bias.map(Tensor::to_vec1::<f32>).transpose()?;
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        let weights = match conv.is_depthwise() {
            true => Weights::Depthwise { taps: conv2d_depthwise_direct::pack(&plan, &values), bias },
            false => {
                let panels = PackedWeights::new(InstructionSet::current(), &plan, &values);
                Weights::Direct { panels, matrices: OnceLock::new(), bias }
            }
        };
        Ok(Self { dims, spec: *spec, weights })
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
        let (c_out, conv) = (self.dims[0], Convolution::new(xs.dims(), &self.dims, None, &self.spec)?);
        check_residual(&conv, residual)?;
        let plan = Plan::forward(&conv);
        let absurd = !conv.is_depthwise() && least_scratch(&plan) > MAX_SCRATCH;
        let (weight, bias) = match &self.weights {
            Weights::Plain { weight, bias } => (weight.clone(), bias.clone()),
            Weights::Direct { panels, bias, .. } if absurd => {
                let weight = Tensor::from_vec(panels.unpacked(&plan), &self.dims[..], xs.device())?;
                let bias = bias.clone().map(|bias| Tensor::from_vec(bias, c_out, xs.device())).transpose()?;
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
        let maps: Vec<&Tensor> = [xs].into_iter().chain(residual).map(FeatureMap::values).collect();
        if let Some(map) = maps.iter().find(|map| map.dtype() != DType::F32 || !map.device().is_cpu()) {
            let (found, expected) =
                (format!("{:?} on {:?}", map.dtype(), map.device().location()), "F32 on the CPU".into());
            return Err(Error::Element { op: "conv2d", what: "a map's element type", found, expected }.into());
        }
        let (bounds, after) = match activation {
            Activation::Relu => ([0., f32::INFINITY], Activation::Identity),
            Activation::Relu6 => ([0., 6.], Activation::Identity),
            other => ([f32::NEG_INFINITY, f32::INFINITY], other),
        };
        let describe = || {
            let [read, once] = [maps.iter().map(|map| map.elem_count()).sum(), self.dims.iter().product()];
            let cost = Cost { read, once, written: conv.output_shape().iter().product() };
            op_time(conv, Pass::Forward, &profile::label(), DType::F32, &cost)
        };
        let compute = || {
            with_slices::<f32, _>("conv2d", &maps, |maps| {
                let residual = maps.get(1).copied();
                match &self.weights {
                    Weights::Direct { panels, matrices, bias } => {
                        let epilogue = Epilogue { bias: bias.as_deref(), residual, bounds };
                        if conv2d_winograd::suits(plan, true) {
                            let matrices = matrices.get_or_init(|| Matrices::new(plan, panels));
                            return conv2d_winograd::convolve(plan, maps[0], matrices, epilogue);
                        }
                        conv2d_direct::convolve(plan, maps[0], panels, epilogue)
                    }
                    Weights::Depthwise { taps, bias } => {
                        let epilogue = Epilogue { bias: bias.as_deref(), residual, bounds };
                        conv2d_depthwise_direct::convolve(plan, maps[0], taps, epilogue)
                    }
                    Weights::Plain { .. } => unreachable!("plain weights are not fused"),
                }
            })
        };
        let values = timed(describe, compute)?;
        let ys = FeatureMap::wrap(Tensor::from_vec(values, conv.output_shape(), xs.device())?, None);
        activate(&ys, after, BackwardRule::Standard)
    }
}

fn check_residual(conv: &Convolution, residual: Option<&FeatureMap>) -> Result<()> {
    match residual {
        Some(residual) if residual.dims()[..] != conv.output_shape()[..] => {
            let (op, found) = ("conv2d", residual.dims().to_vec());
            let expected = format!("{:?} as the output", conv.output_shape());
            Err(Error::Shape { op, what: "the residual", found, expected }.into())
        }
        _ => Ok(()),
    }
}

impl std::fmt::Debug for PackedConv2d {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedConv2d").field("dims", &self.dims).field("spec", &self.spec).finish_non_exhaustive()
    }
}
