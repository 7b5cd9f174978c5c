//! The inverted residual block whose expansion filters too: Fused-MBConv of EfficientNet-EdgeTPU
//! (Gupta & Akin 2020) and EfficientNetV2 (Tan & Le 2021).

use candle_core::Result;

use crate::{Activation, BlockOptions, Builder, Conv2dConfig, MobileBlock};

/// Widens with a full convolution, which filters at once, and narrows without an activation; the
/// input is added where stride and channels allow it.
///
/// It has more multiply-adds than an [`InvertedResidual`](crate::InvertedResidualConfig) but one
/// pass less over its widest maps, which costs less where maps are large and have few channels.
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, ⌈H / stride⌉, ⌈W / stride⌉, out_channels)` with its default
/// padding.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FusedInvertedResidualConfig {
    in_channels: usize,
    hidden_channels: usize,
    out_channels: usize,
    stride: usize,
    options: BlockOptions,
    activation: Activation,
    /// The channels that it reads, where the plan of widths changed those of the layers before it.
    input: Option<usize>,
}

impl FusedInvertedResidualConfig {
    /// EfficientNetV2's block: a 3×3 convolution to `hidden_channels` (the paper: 4 ·
    /// `in_channels`), SiLU.
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
            activation: Activation::Silu,
            input: None,
        }
    }

    /// Another activation after the first convolution.
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

    /// Takes `conv_exp`, `bn1`, `se`, `conv_pwl`, `bn2` from the builder's place.
    ///
    /// # Errors
    /// Those of the layers.
    pub fn build(&self, builder: &Builder) -> Result<MobileBlock> {
        let input = self.input.unwrap_or(self.in_channels);
        let residual = self.stride == 1 && self.in_channels == self.out_channels;
        let hidden = builder.pp("conv_exp").width(self.hidden_channels);
        let output = builder.pp("conv_pwl").width(self.out_channels);
        let options = &self.options;
        let conv = Conv2dConfig::new(input, hidden, options.kernel_size)
            .with_stride(self.stride)
            .with_padding(options.padding)
            .with_dilation(options.dilation);
        let expand = options.unit(conv, hidden, self.activation);
        let project = options.pointwise(hidden, output, Activation::Identity);
        Ok(MobileBlock {
            out_channels: output,
            units: vec![expand.build(&builder.pp("conv_exp"), &builder.pp("bn1"))?],
            squeeze_excite: options.build_squeeze_excite(builder)?,
            project: project.build(&builder.pp("conv_pwl"), &builder.pp("bn2"))?,
            sum: residual
                .then(|| options.build_sum(input, output, builder))
                .transpose()?,
        })
    }
}
