//! Convolution and activation, without a norm between.

use candle_core::Result;

use crate::{Activate, Builder, Context, Conv2d, Conv2dConfig, FeatureMap, Layer};

/// `activation(conv(xs))`, one pass when built for inference.
#[derive(Debug, Clone)]
pub struct ConvAct {
    conv: Conv2d,
    activation: Activate,
}

impl ConvAct {
    /// Takes the convolution's parameters from the builder's place.
    ///
    /// # Errors
    /// Those of the convolution.
    pub fn build(conv: &Conv2dConfig, activation: Activate, builder: &Builder) -> Result<Self> {
        Ok(Self { conv: conv.build(builder)?, activation })
    }
}

impl Layer for ConvAct {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        match self.conv.forward_packed(xs, None, self.activation.activation(), cx) {
            Some(ys) => ys,
            None => self.activation.forward(&self.conv.forward(xs, cx)?, cx),
        }
    }
}
