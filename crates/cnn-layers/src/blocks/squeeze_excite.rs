//! Squeeze-and-excitation: channels weighted by what the whole map shows (Hu et al. 2017).

use candle_core::Result;

use crate::{
    Activate, Activation, Builder, Context, Conv2d, Conv2dConfig, FeatureMap, GlobalAvgPool2d,
    Layer, ScaleChannels,
};

/// What a [`SqueezeExcite`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SqueezeExciteConfig {
    channels: usize,
    reduced: usize,
    activation: Activation,
    gate: Activation,
}

impl SqueezeExciteConfig {
    /// `reduced` hidden channels (the paper: `channels / 16`) with a ReLU, and a sigmoid gate.
    pub const fn new(channels: usize, reduced: usize) -> Self {
        Self {
            channels,
            reduced,
            activation: Activation::Relu,
            gate: Activation::Sigmoid,
        }
    }

    /// Another activation between the two layers.
    pub const fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
        self
    }

    /// Another gate, as MobileNetV3's hard sigmoid.
    pub const fn with_gate(mut self, gate: Activation) -> Self {
        self.gate = gate;
        self
    }

    /// Takes `conv_reduce` and `conv_expand`, 1×1 convolutions with bias, from the builder's place.
    ///
    /// # Errors
    /// If a number is zero.
    pub fn build(&self, builder: &Builder) -> Result<SqueezeExcite> {
        Ok(SqueezeExcite {
            scale: ScaleChannels::new(builder),
            pool: GlobalAvgPool2d::new().at(&builder.pp("pool")),
            reduce: Conv2dConfig::new(self.channels, self.reduced, 1)
                .build(&builder.pp("conv_reduce"))?,
            activation: Activate::new(self.activation, &builder.pp("act1")),
            expand: Conv2dConfig::new(self.reduced, self.channels, 1)
                .build(&builder.pp("conv_expand"))?,
            gate: Activate::new(self.gate, &builder.pp("gate")),
        })
    }
}

/// `xs · gate(expand(activation(reduce(mean(xs)))))`, one factor per channel.
///
/// # Shapes
/// `(N, H, W, channels)` to the same.
#[derive(Debug, Clone)]
pub struct SqueezeExcite {
    scale: ScaleChannels,
    pool: GlobalAvgPool2d,
    reduce: Conv2d,
    activation: Activate,
    expand: Conv2d,
    gate: Activate,
}

impl Layer for SqueezeExcite {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let chain: [&dyn Layer; 5] = [
            &self.pool,
            &self.reduce,
            &self.activation,
            &self.expand,
            &self.gate,
        ];
        let factors = chain
            .iter()
            .try_fold(xs.clone(), |xs, layer| layer.forward(&xs, cx))?;
        self.scale.forward(xs, &factors, cx)
    }
}
