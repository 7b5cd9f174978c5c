//! Squeeze-and-excitation: channels weighted by what the whole map shows (Hu et al. 2017).

use candle_core::Result;

use crate::{
    Activate, Activation, Builder, Context, Conv2dConfig, ConvAct, Error, FeatureMap,
    GlobalAvgPool2d, Init, Layer, ScaleChannels,
};

/// What a [`SqueezeExcite`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SqueezeExciteConfig {
    channels: usize,
    reduced: usize,
    activation: Activation,
    gate: Activation,
    reduce_name: &'static str,
    expand_name: &'static str,
    init: Init,
    bias_init: Option<Init>,
}

impl SqueezeExciteConfig {
    /// `reduced` hidden channels (the paper: `channels / 16`) with a ReLU, and a sigmoid gate.
    pub const fn new(channels: usize, reduced: usize) -> Self {
        Self {
            channels,
            reduced,
            activation: Activation::Relu,
            gate: Activation::Sigmoid,
            reduce_name: "conv_reduce",
            expand_name: "conv_expand",
            init: Init::PYTORCH_DEFAULT,
            bias_init: None,
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

    /// Other names of the two layers than `conv_reduce` and `conv_expand`: `fc1` and `fc2` in
    /// ResNets and RegNets.
    pub const fn with_names(mut self, reduce: &'static str, expand: &'static str) -> Self {
        (self.reduce_name, self.expand_name) = (reduce, expand);
        self
    }

    /// Another initialisation of both weights.
    pub const fn with_init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Another initialisation of both biases than PyTorch's, uniform in `±1/√fan_in`.
    pub const fn with_bias_init(mut self, init: Init) -> Self {
        self.bias_init = Some(init);
        self
    }

    /// Takes the two layers, 1×1 convolutions with bias, from the builder's place. A plan of widths
    /// ([`Builder::with_widths`]) may give the first other channels.
    ///
    /// # Errors
    /// If a number is zero, or a plan of widths has another number of factors than of channels.
    pub fn build(&self, builder: &Builder) -> Result<SqueezeExcite> {
        let at_reduce = builder.pp(self.reduce_name);
        let reduced = at_reduce.width(self.reduced);
        let at_expand = builder.pp(self.expand_name);
        let factors = at_expand.width(self.channels);
        if factors != self.channels {
            return Err(Error::Config {
                layer: at_expand.path().to_string(),
                what: "the number of factors",
                found: factors.to_string(),
                expected: format!("as many as there are channels, {}", self.channels),
            }
            .into());
        }
        let layer = |from: usize, to: usize| {
            let conv = Conv2dConfig::new(from, to, 1).with_init(self.init);
            match self.bias_init {
                Some(init) => conv.with_bias_init(init),
                None => conv,
            }
        };
        Ok(SqueezeExcite {
            scale: ScaleChannels::new(builder),
            pool: GlobalAvgPool2d::new().at(&builder.pp("pool")),
            reduce: ConvAct::build(
                &layer(self.channels, reduced),
                Activate::new(self.activation, &builder.pp("act1")),
                &at_reduce,
            )?,
            expand: ConvAct::build(
                &layer(reduced, self.channels),
                Activate::new(self.gate, &builder.pp("gate")),
                &at_expand,
            )?,
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
    reduce: ConvAct,
    expand: ConvAct,
}

impl Layer for SqueezeExcite {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let chain: [&dyn Layer; 3] = [&self.pool, &self.reduce, &self.expand];
        let factors = chain
            .iter()
            .try_fold(xs.clone(), |xs, layer| layer.forward(&xs, cx))?;
        self.scale.forward(xs, &factors, cx)
    }
}
