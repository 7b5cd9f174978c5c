//! The depthwise-separable block of MobileNetV1 (Howard et al. 2017).

use candle_core::Result;

use super::residual_sum::check_residual;
use crate::{
    Activation, BatchNorm2dConfig, BlockOptions, Builder, Context, Conv2dConfig, ConvNormAct,
    ConvNormActConfig, FeatureMap, Init, Layer, ResidualSum, SqueezeExcite,
};

/// What a [`DepthwiseSeparable`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DepthwiseSeparableConfig {
    in_channels: usize,
    out_channels: usize,
    stride: usize,
    options: BlockOptions,
    activation: Activation,
    pointwise_activation: Activation,
    residual: bool,
    /// The channels that it reads, where the plan of widths changed those of the layers before it.
    input: Option<usize>,
}

impl DepthwiseSeparableConfig {
    /// MobileNetV1's block: 3×3, ReLU6 after both convolutions, no residual connection.
    pub const fn new(in_channels: usize, out_channels: usize, stride: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            stride,
            options: BlockOptions::new(),
            activation: Activation::Relu6,
            pointwise_activation: Activation::Relu6,
            residual: false,
            input: None,
        }
    }

    /// Other activations after the depthwise and after the pointwise convolution.
    pub const fn with_activations(mut self, depthwise: Activation, pointwise: Activation) -> Self {
        (self.activation, self.pointwise_activation) = (depthwise, pointwise);
        self
    }

    /// Adds the input to the output where stride and channels allow it.
    pub const fn with_residual(mut self) -> Self {
        self.residual = true;
        self
    }

    /// Other kernel, norm, squeeze-and-excitation or stochastic depth.
    pub const fn with_options(mut self, options: BlockOptions) -> Self {
        self.options = options;
        self
    }

    /// Reads that many channels, where a plan of widths ([`Builder::with_widths`]) changed those of
    /// the layers before. Whether the block is residual depends on the numbers of `new`.
    pub const fn with_input(mut self, channels: usize) -> Self {
        self.input = Some(channels);
        self
    }

    /// Takes `conv_dw`, `bn1`, `se`, `conv_pw`, `bn2` from the builder's place.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn build(&self, builder: &Builder) -> Result<DepthwiseSeparable> {
        let input = self.input.unwrap_or(self.in_channels);
        let output = builder.pp("conv_pw").width(self.out_channels);
        let residual = self.residual && self.stride == 1 && self.in_channels == self.out_channels;
        if residual {
            check_residual(input, output, builder)?;
        }
        let norm = |channels| BatchNorm2dConfig::new(channels).with_eps(self.options.eps);
        let depthwise = Conv2dConfig::new(input, input, self.options.kernel_size)
            .with_stride(self.stride)
            .with_padding(self.options.padding)
            .with_groups(input)
            .with_init(Init::KAIMING_NORMAL_OUT);
        let pointwise = Conv2dConfig::new(input, output, 1).with_init(Init::KAIMING_NORMAL_OUT);
        Ok(DepthwiseSeparable {
            out_channels: output,
            depthwise: ConvNormActConfig::new(depthwise, norm(input), self.activation)
                .build(&builder.pp("conv_dw"), &builder.pp("bn1"))?,
            squeeze_excite: self
                .options
                .squeeze_excite
                .map(|config| config.build(&builder.pp("se")))
                .transpose()?,
            pointwise: ConvNormActConfig::new(pointwise, norm(output), self.pointwise_activation)
                .build(&builder.pp("conv_pw"), &builder.pp("bn2"))?,
            sum: residual
                .then(|| ResidualSum::new(self.options.drop_path, None, builder))
                .transpose()?,
        })
    }
}

/// A depthwise convolution that filters, a 1×1 convolution that mixes channels.
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, ⌈H / stride⌉, ⌈W / stride⌉, out_channels)` with its default
/// padding.
#[derive(Debug, Clone)]
pub struct DepthwiseSeparable {
    out_channels: usize,
    depthwise: ConvNormAct,
    squeeze_excite: Option<SqueezeExcite>,
    pointwise: ConvNormAct,
    /// Present where the block is residual.
    sum: Option<ResidualSum>,
}

impl DepthwiseSeparable {
    /// Channels of its output.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }
}

impl Layer for DepthwiseSeparable {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let mut ys = self.depthwise.forward(xs, cx)?;
        if let Some(squeeze_excite) = &self.squeeze_excite {
            ys = squeeze_excite.forward(&ys, cx)?;
        }
        match &self.sum {
            Some(sum) => sum.forward(&self.pointwise, &ys, xs, cx),
            None => self.pointwise.forward(&ys, cx),
        }
    }
}
