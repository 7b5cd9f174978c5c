//! Transposed convolution, batch normalisation and activation: how decoders make maps larger.

use candle_core::{DType, Result};

use crate::{
    Activate, Activation, BatchNorm2d, BatchNorm2dConfig, Builder, Context, ConvTranspose2d,
    ConvTranspose2dConfig, FeatureMap, Layer, Mode,
};

/// What a [`ConvTransposeNormAct`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvTransposeNormActConfig {
    conv: ConvTranspose2dConfig,
    norm: BatchNorm2dConfig,
    activation: Activation,
}

impl ConvTransposeNormActConfig {
    /// A transposed convolution (without a bias if it is told so: the norm has one), the norm after
    /// it, and the activation after that, [`Activation::Identity`] for none.
    pub const fn new(
        conv: ConvTranspose2dConfig,
        norm: BatchNorm2dConfig,
        activation: Activation,
    ) -> Self {
        Self {
            conv,
            norm,
            activation,
        }
    }

    /// Takes the convolution's parameters from one place and the norm's from another.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn build(&self, conv: &Builder, norm: &Builder) -> Result<ConvTransposeNormAct> {
        let folds = conv.mode() == Mode::Inference && self.conv.is_one_group();
        let snapshot = conv.snapshot();
        let mut conv = if folds {
            self.conv.build_unpacked(conv)?
        } else {
            self.conv.build(conv)?
        };
        let norm_layer = self.norm.build(norm)?;
        if folds {
            let (scale, shift) = norm_layer.scale_and_shift()?;
            let scale = scale.flatten_all()?;
            let bias = match conv.bias() {
                Some(bias) => (shift + (bias.to_dtype(DType::F64)? * &scale)?)?,
                None => shift,
            };
            let dtype = conv.weight().dtype();
            // Outputs are the weight's second dimension.
            let weight = conv.weight().to_dtype(DType::F64)?;
            let weight = weight.broadcast_mul(&scale.reshape((1, (), 1, 1))?)?;
            conv.pack(
                &weight.to_dtype(dtype)?,
                Some(&bias.to_dtype(dtype)?),
                snapshot,
            )?;
        }
        let activation = (self.activation != Activation::Identity)
            .then(|| Activate::new(self.activation, &norm.pp("act")));
        Ok(ConvTransposeNormAct {
            conv,
            norm: (!folds).then_some(norm_layer),
            activation,
        })
    }
}

/// `activation(norm(conv_transpose(xs)))`.
///
/// Norm and activation are one pass unless an observer watches, with the same values. Built for
/// inference with one group, all is one convolution with the norm's running statistics, whatever the
/// context says; an observer sees it as such.
#[derive(Debug, Clone)]
pub struct ConvTransposeNormAct {
    conv: ConvTranspose2d,
    /// `None` where the convolution has taken it in.
    norm: Option<BatchNorm2d>,
    activation: Option<Activate>,
}

impl Layer for ConvTransposeNormAct {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let kind = self
            .activation
            .as_ref()
            .map_or(Activation::Identity, Activate::activation);
        let Some(norm) = &self.norm else {
            return match self.conv.forward_packed(xs, kind, cx) {
                Some(ys) => ys,
                None => self.conv.forward(xs, cx),
            };
        };
        let ys = self.conv.forward(xs, cx)?;
        let Some(layer) = &self.activation else {
            return norm.forward(&ys, cx);
        };
        match layer.fusible(cx) {
            Some(activation) => norm.forward_fused(&ys, None, activation, cx),
            None => layer.forward(&norm.forward(&ys, cx)?, cx),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Store;
    use candle_core::{Device, Tensor};

    #[test]
    fn built_for_inference_it_gives_what_it_gives_in_evaluation() {
        for (groups, activation) in [
            (1, Activation::Relu),
            (1, Activation::Silu),
            (1, Activation::Identity),
            (2, Activation::Relu),
        ] {
            let store = Store::new(0);
            let conv = ConvTranspose2dConfig::new(6, 8, 4)
                .with_stride(2)
                .with_padding(1)
                .with_groups(groups);
            let config =
                ConvTransposeNormActConfig::new(conv, BatchNorm2dConfig::new(8), activation);
            let build = |mode| {
                let root = store.builder(mode);
                config.build(&root.pp("0"), &root.pp("1")).unwrap()
            };
            build(Mode::Eval);
            for name in ["1.weight", "1.bias", "1.running_mean", "1.running_var"] {
                let values = Tensor::rand(0.5f32, 1.5, 8, &Device::Cpu).unwrap();
                store.set(name, &values).unwrap();
            }
            let xs = Tensor::rand(-1f32, 1., (2, 5, 7, 6), &Device::Cpu).unwrap();
            let xs = FeatureMap::from_nhwc(&xs).unwrap();
            let ys = |mode| {
                let ys = build(mode).forward(&xs, &Context::eval()).unwrap();
                assert_eq!(ys.dims(), [2, 10, 14, 8]);
                ys.to_nhwc().flatten_all().unwrap()
            };
            let difference = (ys(Mode::Inference) - ys(Mode::Eval)).unwrap();
            let largest = difference.abs().unwrap().max(0).unwrap();
            assert!(largest.to_scalar::<f32>().unwrap() < 1e-5, "{config:?}");
        }
    }
}
