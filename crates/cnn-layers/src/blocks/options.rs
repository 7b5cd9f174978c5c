//! What MobileNets' blocks share.

use crate::{Padding, SqueezeExciteConfig};

/// Kernel, norm, squeeze-and-excitation and stochastic depth of a depthwise block.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BlockOptions {
    pub(super) kernel_size: usize,
    pub(super) padding: Padding,
    pub(super) eps: f64,
    pub(super) squeeze_excite: Option<SqueezeExciteConfig>,
    pub(super) drop_path: f64,
}

impl BlockOptions {
    /// The papers' blocks: 3×3 depthwise kernels padded by 1, PyTorch's eps 1e-5, neither
    /// squeeze-and-excitation nor drop-path.
    pub const fn new() -> Self {
        Self {
            kernel_size: 3,
            padding: Padding::all(1),
            eps: 1e-5,
            squeeze_excite: None,
            drop_path: 0.,
        }
    }

    /// Another depthwise kernel and its padding.
    pub const fn with_kernel(mut self, kernel_size: usize, padding: Padding) -> Self {
        (self.kernel_size, self.padding) = (kernel_size, padding);
        self
    }

    /// Another eps of the norms.
    pub const fn with_eps(mut self, eps: f64) -> Self {
        self.eps = eps;
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
}

impl Default for BlockOptions {
    fn default() -> Self {
        Self::new()
    }
}
