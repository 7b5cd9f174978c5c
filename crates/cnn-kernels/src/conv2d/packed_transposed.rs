//! Transposed convolution for inference: weights are laid out once, and an activation happens before
//! a result is left.
#![allow(unsafe_code)]

use candle_core::{DType, Result, Tensor};

use crate::autograd::feature_map::Held;
use crate::autograd::kernel::{Cost, op_time, with_slices};
use crate::conv2d::direct::{self, Epilogue};
use crate::conv2d::packed_weights::PackedWeights;
use crate::conv2d::plan::Plan;
use crate::conv2d::transposed::{self, ConvTranspose2dSpec, Transposed, conv_transpose2d};
use crate::conv2d::{Convolution, MAX_SCRATCH};
use crate::machine::profile::{self, Pass, timed};
use crate::{Activation, BackwardRule, FeatureMap, activate};

/// A transposed convolution whose weights never change: `activation(conv_transpose2d(xs) + bias)` in
/// one pass.
///
/// Nothing is recorded for a backward pass. In f64, and for depthwise ones, it is the plain
/// operations one after the other.
pub struct PackedConvTranspose2d {
    /// `(C_in, C_out / groups, K_h, K_w)`.
    weight: Tensor,
    bias: Option<Tensor>,
    spec: ConvTranspose2dSpec,
    packed: Option<Packed>,
}

struct Packed {
    panels: PackedWeights,
    bias: Option<Vec<f32>>,
}

impl PackedConvTranspose2d {
    /// Lays out a weight, with a bias or none; shapes as in
    /// [`conv_transpose2d`](conv_transpose2d()).
    ///
    /// # Errors
    /// If the weight or the bias does not fit the groups, or what [`ConvTranspose2dSpec`] says
    /// cannot be.
    pub fn new(weight: &Tensor, bias: Option<&Tensor>, spec: &ConvTranspose2dSpec) -> Result<Self> {
        let channels = weight.dims().first().copied().unwrap_or(0);
        // Pixels enough that the output has every phase: how weights are laid out depends on no
        // other size.
        let pixels = |axis: usize| 2 + spec.padding[axis].saturating_mul(2);
        let xs = [1, pixels(0), pixels(1), channels];
        let adjoint = transposed::adjoint(xs, weight.dims(), bias.map(Tensor::dims), spec)?;
        let packed = (weight.dtype() == DType::F32 && !adjoint.is_depthwise())
            .then(|| Packed::new(&adjoint, weight, bias))
            .transpose()?;
        Ok(Self {
            weight: weight.detach(),
            bias: bias.map(Tensor::detach),
            spec: *spec,
            packed,
        })
    }

    /// `activation(conv_transpose2d(xs) + bias)`.
    ///
    /// # Errors
    /// If a shape or an element type does not fit.
    pub fn forward(&self, xs: &FeatureMap, activation: Activation) -> Result<FeatureMap> {
        let xs = xs.detach();
        let bias = self.bias.as_ref();
        let adjoint = transposed::adjoint(
            xs.dims(),
            self.weight.dims(),
            bias.map(Tensor::dims),
            &self.spec,
        )?;
        let plan = Plan::backward(&adjoint);
        let has_every_phase = [&plan.rows, &plan.columns]
            .iter()
            .zip(self.spec.stride)
            .all(|(axis, stride)| axis.phases.len() == stride);
        let fits = has_every_phase && direct::least_scratch(&plan) <= MAX_SCRATCH;
        match &self.packed {
            Some(packed) if fits && xs.dtype() == DType::F32 && xs.device().is_cpu() => {
                self.fused(&adjoint, &plan, packed, &xs, activation)
            }
            _ => {
                let ys = conv_transpose2d(&xs, &self.weight, bias, &self.spec)?;
                activate(&ys, activation, BackwardRule::Standard)
            }
        }
    }

    fn fused(
        &self,
        adjoint: &Convolution,
        plan: &Plan,
        packed: &Packed,
        xs: &FeatureMap,
        activation: Activation,
    ) -> Result<FeatureMap> {
        let epilogue = Epilogue {
            bias: packed.bias.as_deref(),
            residual: None,
            activation,
        };
        let shape = transposed::output_shape(adjoint);
        let cost = || {
            let cost = Cost {
                read: xs.values().elem_count(),
                once: self.weight.elem_count(),
                written: shape.iter().product(),
            };
            let kernel = Transposed::new(*adjoint);
            op_time(&kernel, Pass::Forward, &profile::label(), DType::F32, &cost)
        };
        let compute = || {
            with_slices::<f32, _>(transposed::OP, &[xs.values()], |maps| {
                direct::convolve(plan, maps[0], &packed.panels, epilogue)
            })
        };
        let values = timed(cost, compute)?;
        let ys = Tensor::from_vec(values, shape, xs.device())?;
        Ok(FeatureMap::wrap(Held::ours(ys), None))
    }
}

impl Packed {
    fn new(adjoint: &Convolution, weight: &Tensor, bias: Option<&Tensor>) -> Result<Self> {
        let values = weight.flatten_all()?.to_vec1::<f32>()?;
        Ok(Self {
            panels: PackedWeights::new(&Plan::backward(adjoint), &values),
            bias: bias.map(Tensor::to_vec1::<f32>).transpose()?,
        })
    }
}

impl std::fmt::Debug for PackedConvTranspose2d {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedConvTranspose2d")
            .field("dims", &self.weight.dims())
            .field("spec", &self.spec)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    fn noise(shape: &[usize], dtype: DType) -> Tensor {
        let noise = Tensor::rand(-1f32, 1., shape, &Device::Cpu).unwrap();
        noise.to_dtype(dtype).unwrap()
    }

    /// Sizes of which some have fewer rows than the stride, and both ways to compute.
    #[test]
    fn it_is_the_plain_operations_one_after_the_other() {
        let spec = |stride, padding, output_padding, groups| ConvTranspose2dSpec {
            stride: [stride; 2],
            padding: [padding, 0],
            output_padding: [output_padding; 2],
            groups,
            ..ConvTranspose2dSpec::default()
        };
        let cases = [
            ([2, 5, 7, 24], [24, 18, 2, 2], spec(2, 0, 0, 1)),
            ([1, 6, 5, 16], [16, 40, 4, 4], spec(2, 1, 1, 1)),
            ([1, 1, 1, 8], [8, 3, 1, 1], spec(3, 0, 1, 1)),
            ([1, 1, 4, 8], [8, 3, 1, 2], spec(4, 0, 0, 1)),
            ([2, 4, 3, 12], [12, 5, 3, 3], spec(1, 1, 0, 3)),
            ([1, 4, 5, 6], [6, 1, 3, 3], spec(2, 1, 1, 6)),
        ];
        for dtype in [DType::F32, DType::F64] {
            for (xs, dims, spec) in cases {
                let xs = FeatureMap::from_nhwc(&noise(&xs, dtype)).unwrap();
                let weight = noise(&dims, dtype);
                let bias = noise(&[dims[1] * spec.groups], dtype);
                let packed = PackedConvTranspose2d::new(&weight, Some(&bias), &spec).unwrap();
                for activation in [Activation::Identity, Activation::Relu, Activation::Silu] {
                    let expected = conv_transpose2d(&xs, &weight, Some(&bias), &spec).unwrap();
                    let expected = activate(&expected, activation, BackwardRule::Standard).unwrap();
                    let found = packed.forward(&xs, activation).unwrap();
                    assert_eq!(found.dims(), expected.dims(), "{spec:?}");
                    let difference = (found.to_nhwc() - expected.to_nhwc()).unwrap();
                    let largest = difference.abs().unwrap().flatten_all().unwrap();
                    let largest = largest.to_dtype(DType::F64).unwrap().max(0).unwrap();
                    assert!(largest.to_scalar::<f64>().unwrap() < 1e-5, "{spec:?}");
                }
            }
        }
    }
}
