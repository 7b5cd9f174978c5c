//! Convolution and layer scale: the end of a residual branch of ConvNeXt.

use candle_core::{DType, Result};

use super::residual_sum::BranchEnd;
use crate::{
    Activate, Activation, Builder, Context, Conv2d, Conv2dConfig, FeatureMap, Layer, LayerScale,
    LayerScaleConfig, Mode,
};

/// What a [`ConvLayerScale`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvLayerScaleConfig {
    conv: Conv2dConfig,
    scale: LayerScaleConfig,
}

impl ConvLayerScaleConfig {
    /// A convolution and the factors of its output channels.
    pub const fn new(conv: Conv2dConfig, scale: LayerScaleConfig) -> Self {
        Self { conv, scale }
    }

    /// Takes the convolution's parameters from one place and the factors from another.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn build(&self, conv: &Builder, scale: &Builder) -> Result<ConvLayerScale> {
        let mode = conv.mode();
        let snapshot = conv.snapshot();
        let mut conv = self.conv.build_unpacked(conv)?;
        let scale = self.scale.build(scale)?;
        if mode == Mode::Inference {
            let dtype = conv.weight().dtype();
            let factors = scale.factors().to_dtype(DType::F64)?;
            let mut shape = vec![1; conv.weight().rank()];
            shape[0] = factors.elem_count();
            let weight = conv.weight().to_dtype(DType::F64)?;
            let weight = weight.broadcast_mul(&factors.reshape(shape)?)?;
            let bias = conv
                .bias()
                .map(|bias| (bias.to_dtype(DType::F64)? * &factors)?.to_dtype(dtype))
                .transpose()?;
            conv.pack(&weight.to_dtype(dtype)?, bias.as_ref(), snapshot)?;
        }
        Ok(ConvLayerScale { conv, scale })
    }
}

/// `gamma · conv(xs)`, one factor per channel.
///
/// Built for inference, the convolution takes in the factors. The sum behind it
/// ([`ResidualSum`](crate::ResidualSum)) is computed in the pass of the factors, or of that
/// convolution.
#[derive(Debug, Clone)]
pub struct ConvLayerScale {
    conv: Conv2d,
    scale: LayerScale,
}

impl Layer for ConvLayerScale {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        match self.conv.forward_packed(xs, None, Activation::Identity, cx) {
            Some(ys) => ys,
            None => self.scale.forward(&self.conv.forward(xs, cx)?, cx),
        }
    }
}

impl BranchEnd for ConvLayerScale {
    fn forward_sum(
        &self,
        xs: &FeatureMap,
        shortcut: &FeatureMap,
        activation: Option<&Activate>,
        cx: &Context<'_>,
    ) -> Option<Result<FeatureMap>> {
        let kind = activation.map_or(Activation::Identity, Activate::activation);
        if let Some(sum) = self.conv.forward_packed(xs, Some(shortcut), kind, cx) {
            return Some(sum);
        }
        let scaled = |ys: FeatureMap| self.scale.forward_fused(&ys, Some(shortcut), cx);
        let fusible = activation.is_none() && !cx.is_observed();
        fusible.then(|| self.conv.forward(xs, cx).and_then(scaled))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::{Event, Observer, ResidualSum, Store};
    use std::cell::RefCell;

    #[derive(Default)]
    struct Kinds(RefCell<Vec<&'static str>>);

    impl Observer for Kinds {
        fn exit(&self, event: &Event<'_>) -> Result<()> {
            self.0.borrow_mut().push(event.kind.name());
            Ok(())
        }
    }

    fn values(maps: &FeatureMap) -> Vec<f64> {
        let values = maps.to_nhwc().flatten_all().unwrap();
        values.to_vec1().unwrap()
    }

    #[test]
    fn sums_are_the_same_in_every_build_and_under_an_observer() {
        let map = |channels: usize| {
            let xs = Tensor::rand(-1f64, 2., (2, 4, 5, channels), &Device::Cpu).unwrap();
            FeatureMap::from_nhwc(&xs).unwrap()
        };
        let [xs, shortcut] = [map(8), map(6)];
        let conv = Conv2dConfig::new(8, 6, 1);
        for (conv, relu) in [
            (conv, false),
            (conv.with_linear_weight(), false),
            (conv.without_bias(), true),
        ] {
            let store = Store::with_dtype(4, DType::F64, &Device::Cpu);
            let forward = |mode, cx: &Context<'_>| {
                let root = store.builder(mode);
                let scale = LayerScaleConfig::new(6).with_init(0.3);
                let end = ConvLayerScaleConfig::new(conv, scale)
                    .build(&root.pp("block.conv"), &root.pp("block"))
                    .unwrap();
                let act = relu.then(|| Activate::new(Activation::Relu, &root.pp("block.act")));
                let sum = ResidualSum::new(0., act, &root.pp("block")).unwrap();
                sum.forward(&end, &xs, &shortcut, cx).unwrap()
            };
            forward(Mode::Eval, &Context::eval());
            let factors = Tensor::rand(-1f64, 2., 6, &Device::Cpu).unwrap();
            store.set("block.gamma", &factors).unwrap();
            let kinds = Kinds::default();
            let watched = Context::eval().with_observer(&kinds);
            let expected = values(&forward(Mode::Eval, &watched));
            assert_eq!(kinds.0.borrow()[1..3], ["layer_scale", "drop_path"]);
            for mode in [Mode::Eval, Mode::Inference] {
                let found = values(&forward(mode, &Context::eval()));
                for (found, expected) in found.iter().zip(&expected) {
                    assert!((found - expected).abs() < 1e-13, "{found} {expected}");
                }
            }
            let kinds = Kinds::default();
            forward(Mode::Inference, &Context::eval().with_observer(&kinds));
            assert_eq!(*kinds.0.borrow(), ["conv2d"]);
        }
    }
}
