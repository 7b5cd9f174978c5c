//! The inverted residual block with linear bottleneck of MobileNetV2 (Sandler et al. 2018).

use candle_core::Result;

use crate::{Activation, BlockOptions, Builder, MobileBlock};

/// Widens with a 1×1 convolution, filters depthwise, and narrows without an activation; the input
/// is added where stride and channels allow it.
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, ⌈H / stride⌉, ⌈W / stride⌉, out_channels)` with its default
/// padding.
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
    pub fn build(&self, builder: &Builder) -> Result<MobileBlock> {
        let input = self.input.unwrap_or(self.in_channels);
        let residual = self.stride == 1 && self.in_channels == self.out_channels;
        let hidden = builder.pp("conv_pw").width(self.hidden_channels);
        let output = builder.pp("conv_pwl").width(self.out_channels);
        let options = &self.options;
        let expand = options.pointwise(input, hidden, self.activation);
        let depthwise = options.depthwise(hidden, self.stride, self.activation);
        let project = options.pointwise(hidden, output, Activation::Identity);
        Ok(MobileBlock {
            out_channels: output,
            units: vec![
                expand.build(&builder.pp("conv_pw"), &builder.pp("bn1"))?,
                depthwise.build(&builder.pp("conv_dw"), &builder.pp("bn2"))?,
            ],
            squeeze_excite: options.build_squeeze_excite(builder)?,
            project: project.build(&builder.pp("conv_pwl"), &builder.pp("bn3"))?,
            sum: residual
                .then(|| options.build_sum(input, output, builder))
                .transpose()?,
        })
    }
}
