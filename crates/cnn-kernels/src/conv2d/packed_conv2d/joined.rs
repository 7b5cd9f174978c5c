//! A convolution of several maps as if they were one: what a decoder does with an encoder's maps.

use candle_core::{DType, Result, Tensor};

use super::{PackedConv2d, Weights, check_maps};
use crate::autograd::combine::check_alike;
use crate::autograd::feature_map::Held;
use crate::autograd::kernel::{Kernel, with_slices};
use crate::conv2d::direct::{Epilogue, least_scratch};
use crate::conv2d::joined::SourcePart;
use crate::conv2d::plan::Plan;
use crate::conv2d::{Convolution, MAX_SCRATCH, dilated};
use crate::machine::profile::timed;
use crate::machine::shared::{Target, filled};
use crate::{Activation, Error, FeatureMap, Interpolation, ResizeTo, concat, resize};

/// One of the maps that [`PackedConv2d::forward_joined`] reads as one.
#[derive(Debug, Clone, Copy)]
pub struct JoinedMap<'a> {
    /// The map.
    pub map: &'a FeatureMap,
    /// Whether it is enlarged to twice its rows and columns, each pixel to four.
    pub doubled: bool,
}

impl JoinedMap<'_> {
    /// Rows and columns that are read.
    fn size(&self) -> [usize; 2] {
        let times = if self.doubled { 2 } else { 1 };
        [self.map.height(), self.map.width()].map(|size| size.saturating_mul(times))
    }

    fn enlarged(&self) -> Result<FeatureMap> {
        if self.doubled {
            resize(
                self.map,
                ResizeTo::Size(self.size()),
                Interpolation::Nearest,
            )
        } else {
            Ok(self.map.clone())
        }
    }
}

impl PackedConv2d {
    /// `activation(conv2d(concat(maps)) + bias)` with the same values, but the maps are read where
    /// they lie: neither their concatenation nor what is [doubled](JoinedMap::doubled) is written.
    ///
    /// # Errors
    /// If there is no map, they differ in batch, height or width, or a shape or an element type does
    /// not fit.
    pub fn forward_joined(
        &self,
        maps: &[JoinedMap<'_>],
        activation: Activation,
    ) -> Result<FeatureMap> {
        let Some(placed) = self.placed(maps)? else {
            let maps = maps.iter().map(JoinedMap::enlarged);
            let maps = maps.collect::<Result<Vec<_>>>()?;
            let joined = concat(&maps.iter().collect::<Vec<_>>())?;
            return self.forward(&joined, None, activation);
        };
        let Placed { conv, plan } = placed;
        let tensors: Vec<&Tensor> = maps.iter().map(|part| part.map.values()).collect();
        check_maps(&tensors)?;
        let compute = || {
            with_slices::<f32, _>("conv2d", &tensors, |slices| {
                let parts: Vec<SourcePart<'_>> = slices
                    .iter()
                    .zip(maps)
                    .map(|(&values, &JoinedMap { map, doubled })| {
                        SourcePart::of_several(&plan, values, map.channels(), doubled)
                    })
                    .collect();
                let epilogue = |bias| Epilogue {
                    bias,
                    residual: None,
                    activation,
                };
                // SAFETY: every output is written.
                unsafe {
                    filled(conv.output_shape().iter().product(), |start| {
                        let target = Target {
                            start,
                            pixel: plan.c_target,
                        };
                        self.direct(&plan, &parts, epilogue, target);
                    })
                }
            })
        };
        let values = timed(|| self.cost(&conv, &tensors), compute)?;
        let ys = Tensor::from_vec(values, conv.output_shape(), tensors[0].device())?;
        Ok(FeatureMap::wrap(Held::ours(ys), None))
    }

    /// How the convolution reads the maps; `None` where it cannot where they lie.
    fn placed(&self, maps: &[JoinedMap<'_>]) -> Result<Option<Placed>> {
        let all: Vec<&FeatureMap> = maps.iter().map(|joined| joined.map).collect();
        let Some(first) = maps.first() else {
            return Ok(check_alike("conv2d", &all).map(|_| None)?);
        };
        let [height, width] = first.size();
        let batch = first.map.batch();
        let alike =
            |other: &&JoinedMap<'_>| other.size() == [height, width] && other.map.batch() == batch;
        if let Some(other) = maps.iter().find(|other| !alike(other)) {
            let [rows, columns] = other.size();
            return Err(Error::Shape {
                op: "conv2d",
                what: "a map",
                found: vec![other.map.batch(), rows, columns, other.map.channels()],
                expected: format!("{:?} and any channels (N, H, W, C)", [batch, height, width]),
            }
            .into());
        }
        let channels = all.iter().map(|map| map.channels()).sum();
        let conv = Convolution::new(
            [batch, height, width, channels],
            &self.dims,
            None,
            &self.spec,
        )?;
        let plan = Plan::forward(&conv);
        let can = matches!(self.weights, Weights::Direct { .. })
            && all.iter().all(|map| map.dtype() == DType::F32)
            && conv.groups == 1
            && !dilated::suits(&plan)
            && least_scratch(&plan) <= MAX_SCRATCH;
        Ok(can.then_some(Placed { conv, plan }))
    }
}

struct Placed {
    conv: Convolution,
    plan: Plan,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Conv2dSpec, Padding};
    use candle_core::Device;

    fn noise(shape: &[usize], dtype: DType) -> Tensor {
        let noise = Tensor::rand(-1f32, 1., shape, &Device::Cpu).unwrap();
        noise.to_dtype(dtype).unwrap()
    }

    fn values(map: &FeatureMap) -> Vec<f64> {
        let values = map.to_nhwc().to_dtype(DType::F64).unwrap();
        values.flatten_all().unwrap().to_vec1().unwrap()
    }

    /// With Winograd's algorithm and without, of one map, two and three, with channels that fill no
    /// register; and where it falls back.
    #[test]
    fn it_has_the_bits_of_the_convolution_of_the_concatenation() {
        let spec = |kernel: usize, stride, dilation, groups| Conv2dSpec {
            stride: [stride; 2],
            padding: Padding::all(dilation * (kernel / 2)),
            dilation: [dilation; 2],
            groups,
        };
        let cases = [
            (vec![(64, true), (64, false)], 64, 3, spec(3, 1, 1, 1)),
            (
                vec![(35, false), (21, true), (10, false)],
                48,
                3,
                spec(3, 1, 1, 1),
            ),
            (vec![(5, true), (3, false)], 7, 3, spec(3, 1, 1, 1)),
            (vec![(33, true)], 16, 3, spec(3, 1, 1, 1)),
            (vec![(16, true), (8, false)], 40, 1, spec(1, 1, 1, 1)),
            (vec![(12, false), (20, true)], 18, 5, spec(5, 2, 1, 1)),
            (vec![(12, false), (20, true)], 18, 3, spec(3, 1, 2, 1)),
            (vec![(12, false), (20, true)], 16, 3, spec(3, 1, 1, 4)),
        ];
        for dtype in [DType::F32, DType::F64] {
            for (parts, c_out, kernel, spec) in &cases {
                let map = |&(channels, doubled): &(usize, bool)| {
                    let [rows, columns] = if doubled { [13, 11] } else { [26, 22] };
                    FeatureMap::from_nhwc(&noise(&[2, rows, columns, channels], dtype)).unwrap()
                };
                let maps: Vec<FeatureMap> = parts.iter().map(map).collect();
                let joined: Vec<JoinedMap<'_>> = maps
                    .iter()
                    .zip(parts)
                    .map(|(map, &(_, doubled))| JoinedMap { map, doubled })
                    .collect();
                let channels: usize = parts.iter().map(|(channels, _)| channels).sum();
                let weight = [*c_out, channels / spec.groups, *kernel, *kernel];
                let weight = noise(&weight, dtype);
                let bias = noise(&[*c_out], dtype);
                let conv = PackedConv2d::new(&weight, Some(&bias), spec).unwrap();
                let enlarged: Vec<FeatureMap> =
                    joined.iter().map(|part| part.enlarged().unwrap()).collect();
                let all = concat(&enlarged.iter().collect::<Vec<_>>()).unwrap();
                let expected = conv.forward(&all, None, Activation::Silu).unwrap();
                let found = conv.forward_joined(&joined, Activation::Silu).unwrap();
                assert!(values(&found) == values(&expected), "{parts:?} {spec:?}");
            }
        }
    }

    #[test]
    fn maps_that_do_not_fit_are_named() {
        let map = |shape: [usize; 4]| FeatureMap::from_nhwc(&noise(&shape, DType::F32)).unwrap();
        let weight = noise(&[4, 5, 3, 3], DType::F32);
        let conv = PackedConv2d::new(&weight, None, &Conv2dSpec::default()).unwrap();
        let large = map([1, 6, 8, 2]);
        let small = map([1, 3, 5, 3]);
        let part = |map, doubled| JoinedMap { map, doubled };
        for (maps, expected) in [
            (vec![], "number of maps is 0, expected at least 1"),
            (
                vec![part(&large, false), part(&small, true)],
                "a map has shape [1, 6, 10, 3], expected [1, 6, 8]",
            ),
            (
                vec![part(&large, false)],
                "the weight has shape [4, 5, 3, 3]",
            ),
        ] {
            let error = conv
                .forward_joined(&maps, Activation::Identity)
                .unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
