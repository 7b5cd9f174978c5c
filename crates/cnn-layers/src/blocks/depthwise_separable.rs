//! The depthwise-separable block of MobileNetV1 (Howard et al. 2017).

use candle_core::Result;

use crate::{Activation, BlockOptions, Builder, MobileBlock};

/// A depthwise convolution that filters, a 1×1 convolution that mixes channels.
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, ⌈H / stride⌉, ⌈W / stride⌉, out_channels)` with its default
/// padding.
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
    pub fn build(&self, builder: &Builder) -> Result<MobileBlock> {
        let input = self.input.unwrap_or(self.in_channels);
        let output = builder.pp("conv_pw").width(self.out_channels);
        let residual = self.residual && self.stride == 1 && self.in_channels == self.out_channels;
        let options = &self.options;
        let depthwise = options.depthwise(input, self.stride, self.activation);
        let pointwise = options.pointwise(input, output, self.pointwise_activation);
        Ok(MobileBlock {
            out_channels: output,
            units: vec![depthwise.build(&builder.pp("conv_dw"), &builder.pp("bn1"))?],
            squeeze_excite: options.build_squeeze_excite(builder)?,
            project: pointwise.build(&builder.pp("conv_pw"), &builder.pp("bn2"))?,
            sum: residual
                .then(|| options.build_sum(input, output, builder))
                .transpose()?,
        })
    }
}
