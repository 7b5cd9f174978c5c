//! What MobileNets' blocks share.

use crate::{
    Activation, BatchNorm2dConfig, Conv2dConfig, ConvNormActConfig, Init, Padding,
    SqueezeExciteConfig,
};

/// Kernel, norm, squeeze-and-excitation and stochastic depth of a depthwise block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockOptions {
    pub(super) kernel_size: usize,
    pub(super) padding: Padding,
    pub(super) dilation: usize,
    eps: f64,
    momentum: f64,
    init: Init,
    pub(super) squeeze_excite: Option<SqueezeExciteConfig>,
    pub(super) drop_path: f64,
}

impl BlockOptions {
    /// The papers' blocks: 3×3 depthwise kernels padded by 1, PyTorch's eps 1e-5 and momentum 0.1,
    /// neither squeeze-and-excitation nor drop-path.
    pub const fn new() -> Self {
        Self {
            kernel_size: 3,
            padding: Padding::all(1),
            dilation: 1,
            eps: 1e-5,
            momentum: 0.1,
            init: Init::KAIMING_NORMAL_OUT,
            squeeze_excite: None,
            drop_path: 0.,
        }
    }

    /// Another depthwise kernel and its padding.
    pub const fn with_kernel(mut self, kernel_size: usize, padding: Padding) -> Self {
        (self.kernel_size, self.padding) = (kernel_size, padding);
        self
    }

    /// The pixels that the kernel reads lie that far apart; its padding is said with it.
    pub const fn with_dilation(mut self, dilation: usize) -> Self {
        self.dilation = dilation;
        self
    }

    /// Another eps of the norms.
    pub const fn with_eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Another share of the batch in the running averages of the norms.
    pub const fn with_momentum(mut self, momentum: f64) -> Self {
        self.momentum = momentum;
        self
    }

    /// Another initialisation of the convolutions than [`Init::KAIMING_NORMAL_OUT`];
    /// squeeze-and-excitation has its own.
    pub const fn with_init(mut self, init: Init) -> Self {
        self.init = init;
        self
    }

    /// Weighs the channels after the depthwise convolution.
    pub const fn with_squeeze_excite(mut self, config: SqueezeExciteConfig) -> Self {
        self.squeeze_excite = Some(config);
        self
    }

    /// Drops the branch of a residual block with this probability in training.
    pub const fn with_drop_path(mut self, p: f64) -> Self {
        self.drop_path = p;
        self
    }

    /// A 1×1 convolution with its norm.
    pub(super) const fn pointwise(
        &self,
        from: usize,
        to: usize,
        activation: Activation,
    ) -> ConvNormActConfig {
        self.unit(Conv2dConfig::new(from, to, 1), to, activation)
    }

    /// The depthwise convolution over `channels` with its norm.
    pub(super) const fn depthwise(
        &self,
        channels: usize,
        stride: usize,
        activation: Activation,
    ) -> ConvNormActConfig {
        let conv = Conv2dConfig::new(channels, channels, self.kernel_size)
            .with_stride(stride)
            .with_padding(self.padding)
            .with_dilation(self.dilation)
            .with_groups(channels);
        self.unit(conv, channels, activation)
    }

    /// A convolution with its norm.
    pub(super) const fn unit(
        &self,
        conv: Conv2dConfig,
        channels: usize,
        activation: Activation,
    ) -> ConvNormActConfig {
        let norm = BatchNorm2dConfig::new(channels)
            .with_eps(self.eps)
            .with_momentum(self.momentum);
        ConvNormActConfig::new(conv.with_init(self.init), norm, activation)
    }
}

impl Default for BlockOptions {
    fn default() -> Self {
        Self::new()
    }
}
