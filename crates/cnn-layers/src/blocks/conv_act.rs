//! Convolution and activation, without a norm between.

use candle_core::Result;

use super::concat_packed::concat_packed;
use crate::{Activate, Builder, Concat, Context, Conv2d, Conv2dConfig, FeatureMap, Layer};

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
        Ok(Self {
            conv: conv.build(builder)?,
            activation,
        })
    }

    /// The layer of a convolution that was built, and packed where the mode asks for it.
    pub(super) fn of(conv: Conv2d, activation: Activate) -> Self {
        Self { conv, activation }
    }

    /// The channels of the outputs of several layers one after another, as `concat` joins them;
    /// without a pass of its own where all were built for inference.
    ///
    /// # Errors
    /// If the outputs differ in height or width, and those of the layers.
    pub fn concat(
        parts: &[(&Self, &FeatureMap)],
        concat: &Concat,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let convs: Vec<_> = parts
            .iter()
            .map(|(part, xs)| (&part.conv, *xs, part.activation.activation()))
            .collect();
        if let Some(joined) = concat_packed(&convs, concat, cx) {
            return joined;
        }
        let outputs = parts
            .iter()
            .map(|(part, xs)| part.forward(xs, cx))
            .collect::<Result<Vec<_>>>()?;
        concat.forward(&outputs.iter().collect::<Vec<_>>(), cx)
    }
}

impl Layer for ConvAct {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        match self
            .conv
            .forward_packed(xs, None, self.activation.activation(), cx)
        {
            Some(ys) => ys,
            None => self.activation.forward(&self.conv.forward(xs, cx)?, cx),
        }
    }
}
