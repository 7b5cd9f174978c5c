//! Convolution, batch normalisation and activation: the unit that most networks repeat.

use candle_core::Result;

use crate::{
    Activate, Activation, BatchNorm2d, BatchNorm2dConfig, Builder, Context, Conv2d, Conv2dConfig, FeatureMap, Layer,
};

/// What a [`ConvNormAct`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ConvNormActConfig {
    conv: Conv2dConfig,
    norm: BatchNorm2dConfig,
    activation: Activation,
}

impl ConvNormActConfig {
    /// A convolution (its bias is dropped: the norm has one), the norm after it, and the activation after that.
    pub const fn new(conv: Conv2dConfig, norm: BatchNorm2dConfig, activation: Activation) -> Self {
        Self { conv: conv.without_bias(), norm, activation }
    }

    /// Takes the convolution's parameters from one place and the norm's from another, as `conv1` and `bn1` lie side by side in
    /// published files.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn build(&self, conv: &Builder, norm: &Builder) -> Result<ConvNormAct> {
        Ok(ConvNormAct {
            conv: self.conv.build(conv)?,
            norm: self.norm.build(norm)?,
            activation: (self.activation != Activation::Identity)
                .then(|| Activate::new(self.activation, &norm.pp("act"))),
        })
    }
}

/// `activation(norm(conv(xs)))`.
#[derive(Debug, Clone)]
pub struct ConvNormAct {
    conv: Conv2d,
    norm: BatchNorm2d,
    activation: Option<Activate>,
}

impl Layer for ConvNormAct {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let ys = self.norm.forward(&self.conv.forward(xs, cx)?, cx)?;
        match &self.activation {
            Some(activation) => activation.forward(&ys, cx),
            None => Ok(ys),
        }
    }
}
