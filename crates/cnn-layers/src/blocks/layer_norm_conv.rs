//! Layer normalisation, convolution and activation.

use candle_core::{DType, Result};

use crate::{
    Activate, Activation, Builder, Context, Conv2d, Conv2dConfig, FeatureMap, Layer, LayerNorm2d,
    LayerNorm2dConfig, Mode,
};

/// What a [`LayerNormConv`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNormConvConfig {
    norm: LayerNorm2dConfig,
    conv: Conv2dConfig,
    activation: Activation,
}

impl LayerNormConvConfig {
    /// A norm and the convolution that alone reads it.
    pub const fn new(norm: LayerNorm2dConfig, conv: Conv2dConfig) -> Self {
        Self {
            norm,
            conv,
            activation: Activation::Identity,
        }
    }

    /// The same with an activation after the convolution.
    pub const fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Takes the norm's parameters from one place and the convolution's from another; the
    /// activation is called by a third.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn build(&self, norm: &Builder, conv: &Builder, act: &Builder) -> Result<LayerNormConv> {
        let mode = conv.mode();
        let snapshot = conv.snapshot();
        let mut norm = self.norm.build(norm)?;
        let mut conv_layer = self.conv.build_unpacked(conv)?;
        if mode == Mode::Inference {
            let mut weight = conv_layer.weight().clone();
            let mut bias = conv_layer.bias().cloned();
            if self.conv.passes_constants() {
                let (plain, affine) = norm.without_affine();
                norm = plain;
                let dtype = weight.dtype();
                let double = weight.to_dtype(DType::F64)?;
                // The channels of the input are the second dimension.
                let [scale, shift] = affine.map(|vector| {
                    let mut shape = vec![1; double.rank()];
                    shape[1] = vector.elem_count();
                    vector.to_dtype(DType::F64)?.reshape(shape)
                });
                let offsets = double.broadcast_mul(&shift?)?.flatten_from(1)?.sum(1)?;
                let offsets = match &bias {
                    Some(bias) => (bias.to_dtype(DType::F64)? + offsets)?,
                    None => offsets,
                };
                weight = double.broadcast_mul(&scale?)?.to_dtype(dtype)?;
                bias = Some(offsets.to_dtype(dtype)?);
            }
            conv_layer.pack(&weight, bias.as_ref(), snapshot)?;
        }
        let activation =
            (self.activation != Activation::Identity).then(|| Activate::new(self.activation, act));
        Ok(LayerNormConv {
            norm,
            conv: conv_layer,
            activation,
        })
    }
}

/// `activation(conv(norm(xs)))`, with layer normalisation over the channels of each pixel.
///
/// Built for inference, the convolution takes in the norm's factors and offsets where it does not
/// pad, and the activation.
#[derive(Debug, Clone)]
pub struct LayerNormConv {
    norm: LayerNorm2d,
    conv: Conv2d,
    activation: Option<Activate>,
}

impl Layer for LayerNormConv {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let normal = self.norm.forward(xs, cx)?;
        let activation = self
            .activation
            .as_ref()
            .map_or(Activation::Identity, Activate::activation);
        if let Some(ys) = self.conv.forward_packed(&normal, None, activation, cx) {
            return ys;
        }
        let ys = self.conv.forward(&normal, cx)?;
        match &self.activation {
            Some(activation) => activation.forward(&ys, cx),
            None => Ok(ys),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use candle_core::{Device, Tensor};

    use super::*;
    use crate::{LayerKind, Observer, Padding, Store};
    use std::cell::RefCell;

    #[derive(Default)]
    struct Kinds(RefCell<Vec<LayerKind>>);

    impl Observer for Kinds {
        fn exit(&self, event: &crate::Event<'_>) -> Result<()> {
            self.0.borrow_mut().push(event.kind);
            Ok(())
        }
    }

    fn values(maps: &FeatureMap) -> Vec<f64> {
        let values = maps.to_nhwc().flatten_all().unwrap();
        values.to_vec1().unwrap()
    }

    #[test]
    fn the_inference_build_gives_the_same_and_folds_where_nothing_is_padded() {
        let xs = Tensor::rand(-1f64, 2., (2, 6, 5, 7), &Device::Cpu).unwrap();
        let xs = FeatureMap::from_nhwc(&xs).unwrap();
        let conv = |kernel_size| Conv2dConfig::new(7, 9, kernel_size);
        for (conv, folds) in [
            (conv(1), true),
            (conv(1).with_linear_weight(), true),
            (conv(2).with_stride(2).without_bias(), true),
            (conv(3).with_padding(Padding::all(1)), false),
        ] {
            let store = Store::with_dtype(4, DType::F64, &Device::Cpu);
            let build = |mode| {
                let root = store.builder(mode);
                let [norm, at, act] = ["norm", "conv", "act"].map(|name| root.pp(name));
                LayerNormConvConfig::new(LayerNorm2dConfig::new(7), conv)
                    .with_activation(Activation::Gelu)
                    .build(&norm, &at, &act)
                    .unwrap()
            };
            build(Mode::Eval);
            for name in ["norm.weight", "norm.bias"] {
                let values = Tensor::rand(-1f64, 2., 7, &Device::Cpu).unwrap();
                store.set(name, &values).unwrap();
            }
            let expected = build(Mode::Eval).forward(&xs, &Context::eval()).unwrap();
            let kinds = Kinds::default();
            let watched = Context::eval().with_observer(&kinds);
            let found = build(Mode::Inference).forward(&xs, &watched).unwrap();
            for (found, expected) in values(&found).iter().zip(values(&expected)) {
                assert!((found - expected).abs() < 1e-13, "{found} {expected}");
            }
            let kinds = kinds.0.into_inner();
            assert_eq!(kinds.len(), 2, "{kinds:?}");
            assert_eq!(
                matches!(kinds[0], LayerKind::FusedLayerNorm { .. }),
                folds,
                "{kinds:?}"
            );
        }
    }
}
