//! Convolution for inference: weights are laid out once, and what follows it happens before a
//! result leaves the registers.
#![allow(unsafe_code)]

use std::sync::OnceLock;

use candle_core::{DType, Result, Tensor};

use crate::autograd::feature_map::Held;
use crate::autograd::kernel::{Cost, Kernel, op_time, with_slices};
use crate::conv2d::depthwise_direct;
use crate::conv2d::direct;
use crate::conv2d::direct::{Epilogue, least_scratch};
use crate::conv2d::expanded::{self, Part};
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
                            self.direct(plan, maps[0], epilogue, target);
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
        xs: &[f32],
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
                        timed(
                            || part.0.cost(conv, &maps[index..=index]),
                            || part.0.direct(plan, slices[index], epilogue, target),
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Padding;
    use candle_core::Device;

    fn random(shape: &[usize]) -> Tensor {
        Tensor::rand(-1f32, 1., shape, &Device::Cpu).unwrap()
    }

    fn map(shape: [usize; 4]) -> FeatureMap {
        FeatureMap::from_nhwc(&random(&shape)).unwrap()
    }

    fn assert_close(found: &FeatureMap, expected: &FeatureMap) {
        assert_eq!(found.dims(), expected.dims());
        let difference = (found.to_nhwc() - expected.to_nhwc())
            .unwrap()
            .abs()
            .unwrap()
            .flatten_all()
            .unwrap();
        let largest = difference
            .max(0)
            .unwrap()
            .to_dtype(DType::F64)
            .unwrap()
            .to_scalar::<f64>()
            .unwrap();
        assert!(largest < 2e-5, "{largest}");
    }

    #[test]
    fn one_pass_computes_what_the_operations_do() {
        let huge = Padding::symmetric(0, 1 << 20);
        let cases = [
            // input, weight, spec
            (
                [2, 9, 7, 5],
                [19, 5, 3, 3],
                Conv2dSpec {
                    padding: Padding::all(1),
                    ..Conv2dSpec::default()
                },
            ),
            (
                [1, 30, 31, 16],
                [24, 16, 3, 3],
                Conv2dSpec {
                    padding: Padding::all(1),
                    ..Conv2dSpec::default()
                },
            ),
            (
                [2, 9, 7, 6],
                [12, 2, 3, 1],
                Conv2dSpec {
                    stride: [2, 1],
                    groups: 3,
                    ..Conv2dSpec::default()
                },
            ),
            (
                [2, 9, 7, 21],
                [21, 1, 3, 3],
                Conv2dSpec {
                    groups: 21,
                    ..Conv2dSpec::default()
                },
            ),
            (
                [1, 1, 3, 40],
                [3, 40, 1, 1],
                Conv2dSpec {
                    stride: [1, 1 << 19],
                    padding: huge,
                    ..Conv2dSpec::default()
                },
            ),
        ];
        let activations = [
            Activation::Identity,
            Activation::Relu,
            Activation::Relu6,
            Activation::LeakyRelu(0.1),
            Activation::Silu,
            Activation::HardSwish,
            Activation::Gelu,
        ];
        for (input, weight, spec) in cases {
            let (xs, weight, bias) = (map(input), random(&weight), random(&weight[..1]));
            let packed = PackedConv2d::new(&weight, Some(&bias), &spec).unwrap();
            let sum = conv2d(&xs, &weight, Some(&bias), &spec).unwrap();
            let residual = map(sum.dims());
            for activation in activations {
                let after =
                    |ys: &FeatureMap| activate(ys, activation, BackwardRule::Standard).unwrap();
                assert_close(
                    &packed.forward(&xs, None, activation).unwrap(),
                    &after(&sum),
                );
                let expected = after(&add(&sum, &residual).unwrap());
                assert_close(
                    &packed.forward(&xs, Some(&residual), activation).unwrap(),
                    &expected,
                );
            }
        }
    }

    #[test]
    fn convolutions_side_by_side_are_a_concatenation() {
        let xs = map([2, 13, 11, 16]);
        let conv = |c_out: usize, kernel: usize, groups: usize| {
            let spec = Conv2dSpec {
                padding: Padding::all(kernel / 2),
                groups,
                ..Conv2dSpec::default()
            };
            PackedConv2d::new(
                &random(&[c_out, 16 / groups, kernel, kernel]),
                Some(&random(&[c_out])),
                &spec,
            )
            .unwrap()
        };
        let small = conv(24, 1, 1);
        let large = conv(40, 3, 1);
        let depthwise = conv(16, 3, 16);
        for last in [
            (&large, Activation::Relu6),
            (&depthwise, Activation::Relu),
            (&large, Activation::Tanh),
        ] {
            let parts = [(&small, &xs, Activation::Relu), (last.0, &xs, last.1)];
            let outputs =
                parts.map(|(conv, xs, activation)| conv.forward(xs, None, activation).unwrap());
            let found = PackedConv2d::forward_concat(&parts).unwrap();
            assert_close(&found, &concat(&[&outputs[0], &outputs[1]]).unwrap());
        }
        assert!(PackedConv2d::forward_concat(&[]).is_err());
        let other = map([2, 13, 12, 16]);
        let different = [
            (&small, &xs, Activation::Relu),
            (&large, &other, Activation::Relu),
        ];
        assert!(
            PackedConv2d::forward_concat(&different)
                .unwrap_err()
                .to_string()
                .contains("a map has shape")
        );
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let packed =
            PackedConv2d::new(&random(&[4, 3, 1, 1]), None, &Conv2dSpec::default()).unwrap();
        let xs = map([1, 2, 2, 3]);
        let message = packed
            .forward(&xs, Some(&map([1, 2, 2, 3])), Activation::Relu)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("the residual has shape [1, 2, 2, 3], expected [1, 2, 2, 4]"),
            "{message}"
        );
        assert!(
            packed
                .forward(&map([1, 2, 2, 5]), None, Activation::Relu)
                .is_err()
        );
        let double = FeatureMap::from_nhwc(&xs.to_nhwc().to_dtype(DType::F64).unwrap()).unwrap();
        let message = packed
            .forward(&double, None, Activation::Relu)
            .unwrap_err()
            .to_string();
        assert!(message.contains("expected F32"), "{message}");
        assert!(PackedConv2d::new(&random(&[4, 3, 1]), None, &Conv2dSpec::default()).is_err());
        assert!(
            PackedConv2d::new(
                &random(&[4, 3, 1, 1]),
                Some(&random(&[3])),
                &Conv2dSpec::default()
            )
            .is_err()
        );
        let spec = Conv2dSpec {
            dilation: [1 << 40, 1],
            ..Conv2dSpec::default()
        };
        assert!(PackedConv2d::new(&random(&[4, 3, 3, 1]), None, &spec).is_err());
    }

    #[test]
    fn a_map_that_is_not_written_between_changes_no_bit() {
        // With many threads, maps of so few rows are computed in two passes.
        let two = rayon::ThreadPoolBuilder::new().num_threads(2).build();
        two.unwrap().install(expanded_equals_two_passes);
    }

    fn expanded_equals_two_passes() {
        let table = [
            // batch, size, channels, kernel, stride, padding
            ([1, 60, 61], [5, 48], 3, 1, Padding::all(1)),
            ([2, 57, 56], [16, 40], 3, 2, Padding::all(1)),
            ([3, 29, 31], [24, 72], 5, 2, Padding::all(2)),
            ([1, 43, 47], [8, 70], 5, 1, Padding::all(2)),
            ([2, 33, 35], [3, 96], 7, 1, Padding::all(3)),
            ([2, 40, 44], [7, 64], 3, 1, Padding::Valid),
            ([9, 14, 14], [4, 96], 3, 1, Padding::all(1)),
            // Rows so long that a task goes on several times, with rows that it has already.
            ([1, 160, 128], [3, 96], 3, 1, Padding::all(1)),
            ([1, 200, 130], [3, 96], 5, 2, Padding::all(2)),
            ([3, 48, 180], [2, 96], 3, 1, Padding::all(1)),
        ];
        let after = [Activation::Silu, Activation::HardSwish];
        for ([batch, height, width], [c_in, wide], kernel, stride, padding) in table {
            let pointwise = PackedConv2d::new(
                &random(&[wide, c_in, 1, 1]),
                Some(&random(&[wide])),
                &Conv2dSpec::default(),
            )
            .unwrap();
            let spec = Conv2dSpec {
                stride: [stride; 2],
                padding,
                groups: wide,
                ..Conv2dSpec::default()
            };
            let depthwise =
                PackedConv2d::new(&random(&[wide, 1, kernel, kernel]), None, &spec).unwrap();
            let xs = map([batch, height, width, c_in]);
            let together = pointwise.forward_expanded(&depthwise, &xs, after);
            let together = together.unwrap().expect("the map is wide");
            let between = pointwise.forward(&xs, None, after[0]).unwrap();
            let apart = depthwise.forward(&between, None, after[1]).unwrap();
            let bits = |ys: &FeatureMap| {
                ys.to_nhwc()
                    .flatten_all()
                    .unwrap()
                    .to_vec1::<f32>()
                    .unwrap()
            };
            assert_eq!(together.dims(), apart.dims());
            assert!(
                bits(&together) == bits(&apart),
                "{height}x{width} {kernel}/{stride}"
            );
            let narrow = map([1, 8, 8, c_in]);
            let spared = pointwise.forward_expanded(&depthwise, &narrow, after);
            assert!(spared.unwrap().is_none());
        }
    }
}
