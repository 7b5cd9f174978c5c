//! The rows of a mobile network's table.

use cnn_layers::Activation;

/// Blocks of one kind, one after another. The constructors name the block and its output channels;
/// what they leave at its default (one block, a 3×3 kernel, stride 1) has a method.
#[derive(Clone, Copy)]
pub(crate) struct Row {
    pub(super) block: Block,
    /// Channels of the output, before the network's width is applied.
    pub(super) channels: usize,
    pub(super) repeats: usize,
    /// Of the convolution that filters; 0 for none.
    pub(super) kernel_size: usize,
    /// Of the first block.
    pub(super) stride: usize,
    /// Hidden channels for one input channel.
    pub(super) expansion: f64,
    /// The share of the channels that squeeze-and-excitation keeps; 0 for none of it.
    pub(super) squeeze: f64,
    /// Another activation than the network's.
    pub(super) activation: Option<Activation>,
    /// Whether the input is added where stride and channels allow it.
    pub(super) residual: bool,
}

/// The kinds of blocks, with timm's abbreviations.
#[derive(Clone, Copy)]
pub(super) enum Block {
    /// `cn`: a convolution with norm and activation.
    Conv,
    /// `ds`: a depthwise and a 1×1 convolution.
    Separable,
    /// `ir`: MobileNetV2's inverted residual, also called MBConv.
    Inverted,
    /// `er`: the inverted residual whose expansion filters, also called Fused-MBConv.
    Fused,
    /// `uir`: MobileNetV4's universal inverted bottleneck.
    Universal {
        /// Of the depthwise convolution before the expansion; 0 for none.
        start: usize,
    },
}

/// Convolutions with norm and activation.
pub(crate) const fn conv(channels: usize) -> Row {
    Row::new(Block::Conv, channels).not_residual()
}

/// Depthwise-separable blocks.
pub(crate) const fn separable(channels: usize) -> Row {
    Row::new(Block::Separable, channels)
}

/// Inverted residuals.
pub(crate) const fn inverted(channels: usize, expansion: f64) -> Row {
    Row::new(Block::Inverted, channels).expanded(expansion)
}

/// Inverted residuals whose expansion filters.
pub(crate) const fn fused(channels: usize, expansion: f64) -> Row {
    Row::new(Block::Fused, channels).expanded(expansion)
}

/// Universal inverted bottlenecks without depthwise convolutions, which [`Row::start`] and
/// [`Row::kernel`] add.
pub(crate) const fn universal(channels: usize, expansion: f64) -> Row {
    Row::new(Block::Universal { start: 0 }, channels)
        .expanded(expansion)
        .kernel(0)
}

impl Row {
    const fn new(block: Block, channels: usize) -> Self {
        Self {
            block,
            channels,
            repeats: 1,
            kernel_size: 3,
            stride: 1,
            expansion: 1.,
            squeeze: 0.,
            activation: None,
            residual: true,
        }
    }

    const fn expanded(mut self, expansion: f64) -> Self {
        self.expansion = expansion;
        self
    }

    /// That many blocks.
    pub(crate) const fn times(mut self, repeats: usize) -> Self {
        self.repeats = repeats;
        self
    }

    /// Another kernel.
    pub(crate) const fn kernel(mut self, size: usize) -> Self {
        self.kernel_size = size;
        self
    }

    /// A depthwise kernel before the expansion of a universal inverted bottleneck.
    pub(crate) const fn start(mut self, size: usize) -> Self {
        self.block = Block::Universal { start: size };
        self
    }

    /// The first block moves by that many pixels.
    pub(crate) const fn stride(mut self, stride: usize) -> Self {
        self.stride = stride;
        self
    }

    /// Squeeze-and-excitation that keeps a quarter of the channels.
    pub(crate) const fn squeeze(mut self) -> Self {
        self.squeeze = 0.25;
        self
    }

    /// ReLU instead of the network's activation.
    pub(crate) const fn relu(mut self) -> Self {
        self.activation = Some(Activation::Relu);
        self
    }

    /// The input is added, though it is not with other blocks of that kind.
    pub(crate) const fn residual(mut self) -> Self {
        self.residual = true;
        self
    }

    /// The input is not added.
    pub(crate) const fn not_residual(mut self) -> Self {
        self.residual = false;
        self
    }
}
