//! The inverted residual block with linear bottleneck of MobileNetV2 (Sandler et al. 2018).

use candle_core::Result;

use super::residual_sum::check_residual;
use crate::{
    Activation, BatchNorm2dConfig, BlockOptions, Builder, Context, Conv2dConfig, ConvNormAct,
    ConvNormActConfig, FeatureMap, Init, Layer, ResidualSum, SqueezeExcite,
};

/// What an [`InvertedResidual`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct InvertedResidualConfig {
    in_channels: usize,
    hidden_channels: usize,
    out_channels: usize,
    stride: usize,
    options: BlockOptions,
    activation: Activation,
    /// The channels that it reads, where the plan of widths changed those of the layers before it.
    input: Option<usize>,
}

impl InvertedResidualConfig {
    /// MobileNetV2's block: a 3×3 depthwise convolution over `hidden_channels` (the paper: 6 ·
    /// `in_channels`), ReLU6.
    pub const fn new(
        in_channels: usize,
        hidden_channels: usize,
        out_channels: usize,
        stride: usize,
    ) -> Self {
        Self {
            in_channels,
            hidden_channels,
            out_channels,
            stride,
            options: BlockOptions::new(),
            activation: Activation::Relu6,
            input: None,
        }
    }

    /// Another activation after the first two convolutions.
    pub const fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = activation;
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

    /// Takes `conv_pw`, `bn1`, `conv_dw`, `bn2`, `se`, `conv_pwl`, `bn3` from the builder's place.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn build(&self, builder: &Builder) -> Result<InvertedResidual> {
        let input = self.input.unwrap_or(self.in_channels);
        let residual = self.stride == 1 && self.in_channels == self.out_channels;
        let hidden = builder.pp("conv_pw").width(self.hidden_channels);
        let output = builder.pp("conv_pwl").width(self.out_channels);
        if residual {
            check_residual(input, output, builder)?;
        }
        let norm = |channels| BatchNorm2dConfig::new(channels).with_eps(self.options.eps);
        let pointwise =
            |from, to| Conv2dConfig::new(from, to, 1).with_init(Init::KAIMING_NORMAL_OUT);
        let depthwise = Conv2dConfig::new(hidden, hidden, self.options.kernel_size)
            .with_stride(self.stride)
            .with_padding(self.options.padding)
            .with_groups(hidden)
            .with_init(Init::KAIMING_NORMAL_OUT);
        Ok(InvertedResidual {
            out_channels: output,
            expand: ConvNormActConfig::new(pointwise(input, hidden), norm(hidden), self.activation)
                .build(&builder.pp("conv_pw"), &builder.pp("bn1"))?,
            depthwise: ConvNormActConfig::new(depthwise, norm(hidden), self.activation)
                .build(&builder.pp("conv_dw"), &builder.pp("bn2"))?,
            squeeze_excite: self
                .options
                .squeeze_excite
                .map(|config| config.build(&builder.pp("se")))
                .transpose()?,
            project: ConvNormActConfig::new(
                pointwise(hidden, output),
                norm(output),
                Activation::Identity,
            )
            .build(&builder.pp("conv_pwl"), &builder.pp("bn3"))?,
            sum: residual
                .then(|| ResidualSum::new(self.options.drop_path, None, builder))
                .transpose()?,
        })
    }
}

/// Widens with a 1×1 convolution, filters depthwise, and narrows without an activation; the input
/// is added where stride and channels allow it.
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, ⌈H / stride⌉, ⌈W / stride⌉, out_channels)` with its default
/// padding.
#[derive(Debug, Clone)]
pub struct InvertedResidual {
    out_channels: usize,
    expand: ConvNormAct,
    depthwise: ConvNormAct,
    squeeze_excite: Option<SqueezeExcite>,
    project: ConvNormAct,
    /// Present where the block is residual.
    sum: Option<ResidualSum>,
}

impl InvertedResidual {
    /// Channels of its output.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }
}

impl Layer for InvertedResidual {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let mut ys = self.depthwise.forward(&self.expand.forward(xs, cx)?, cx)?;
        if let Some(squeeze_excite) = &self.squeeze_excite {
            ys = squeeze_excite.forward(&ys, cx)?;
        }
        match &self.sum {
            Some(sum) => sum.forward(&self.project, &ys, xs, cx),
            None => self.project.forward(&ys, cx),
        }
    }
}
