//! Layers of vectors as layers of maps of one pixel, which travel from layer to layer outside candle's
//! graph.

use candle_core::{Result, Tensor};
use cnn_layers::{
    Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormAct, ConvNormActConfig,
    FeatureMap,
};

/// `(N, columns)` as maps of one pixel.
pub(super) fn pixels(xs: &Tensor) -> Result<FeatureMap> {
    let (samples, columns) = xs.dims2()?;
    FeatureMap::from_nhwc(&xs.reshape((samples, 1, 1, columns))?)
}

/// A linear layer with the parameters of one.
pub(super) const fn linear(in_features: usize, out_features: usize) -> Conv2dConfig {
    Conv2dConfig::new(in_features, out_features, 1).with_linear_weight()
}

/// A linear layer at the place `at`, batch normalisation and ReLU at the next ones. The linear layer
/// keeps its bias, whose effect the norm takes away, since published files have it.
pub(super) fn linear_norm_relu(
    in_features: usize,
    out_features: usize,
    builder: &Builder,
    at: usize,
) -> Result<ConvNormAct> {
    let norm = BatchNorm2dConfig::new(out_features);
    ConvNormActConfig::new(linear(in_features, out_features), norm, Activation::Relu)
        .with_conv_bias()
        .build(&builder.pp(at), &builder.pp(at + 1))
}
