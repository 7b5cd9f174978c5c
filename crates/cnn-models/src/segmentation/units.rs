//! Layers that several decoders share.

use candle_core::Result;
use cnn_layers::{
    Activation, BatchNorm2dConfig, Builder, Context, Conv2d, Conv2dConfig, ConvNormAct,
    ConvNormActConfig, Fan, FeatureMap, Init, Interpolation, Layer, Padding, ResizeLike,
};

/// Resizing whose corners move, PyTorch's default.
pub(super) const BILINEAR: Interpolation = Interpolation::Bilinear {
    align_corners: false,
};

/// How segmentation_models.pytorch draws the weights of its decoders, and of their last convolution,
/// whose bias begins at 0.
pub(super) const DECODER_INIT: Init = Init::KaimingUniform {
    fan: Fan::In,
    gain: std::f64::consts::SQRT_2,
};
pub(super) const HEAD_INIT: Init = Init::XavierUniform { gain: 1. };

/// A convolution, norm and ReLU whose places count through: `conv1.0`, `conv1.1`.
pub(super) fn conv_norm_relu(
    channels: [usize; 2],
    kernel_size: usize,
    init: Init,
    at: &Builder,
) -> Result<ConvNormAct> {
    let [from, designed] = channels;
    let to = at.pp(0).width(designed);
    let conv = Conv2dConfig::new(from, to, kernel_size)
        .with_padding(Padding::all(kernel_size / 2))
        .with_init(init);
    unit(conv, to).build(&at.pp(0), &at.pp(1))
}

/// A convolution with a norm and ReLU.
pub(super) fn unit(conv: Conv2dConfig, channels: usize) -> ConvNormActConfig {
    ConvNormActConfig::new(conv, BatchNorm2dConfig::new(channels), Activation::Relu)
}

/// The last convolution of a decoder, with a bias, and resizing to the image's size.
pub(super) struct ScoreHead {
    pub(super) conv: Conv2d,
    pub(super) resize: ResizeLike,
}

impl ScoreHead {
    pub(super) fn forward(
        &self,
        xs: &FeatureMap,
        image: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        self.resize.forward(&self.conv.forward(xs, cx)?, image, cx)
    }
}
