//! Layer normalisation over channels.

use candle_core::{Result, Tensor};
use cnn_kernels::{layer_norm, layer_norm_plain};

use crate::{Builder, Context, FeatureMap, Init, Layer, LayerKind};

/// What a [`LayerNorm2d`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerNorm2dConfig {
    channels: usize,
    eps: f64,
}

impl LayerNorm2dConfig {
    /// ConvNeXt's default eps, 1e-6.
    pub const fn new(channels: usize) -> Self {
        Self {
            channels,
            eps: 1e-6,
        }
    }

    /// Another number added to the variance.
    pub const fn with_eps(mut self, eps: f64) -> Self {
        self.eps = eps;
        self
    }

    /// Takes `weight` and `bias`, `(channels)`, from the builder's place.
    ///
    /// # Errors
    /// If the store holds one of them with another shape.
    pub fn build(&self, builder: &Builder) -> Result<LayerNorm2d> {
        let weight = builder.param("weight", &[self.channels], Init::ONES)?;
        let bias = builder.param("bias", &[self.channels], Init::ZEROS)?;
        Ok(LayerNorm2d {
            path: builder.path().to_string(),
            eps: self.eps,
            weight,
            bias,
            is_plain: false,
        })
    }
}

/// `(x − mean) / √(var + eps) · weight + bias` with mean and biased variance over the channels of
/// each pixel (Ba et al. 2016).
///
/// # Shapes
/// `(N, H, W, channels)` to the same.
#[derive(Debug, Clone)]
pub struct LayerNorm2d {
    path: String,
    eps: f64,
    weight: Tensor,
    bias: Tensor,
    /// Whether the layer behind it has taken in weight and bias.
    is_plain: bool,
}

impl LayerNorm2d {
    /// Weight and bias, which the caller takes into the layer behind this one: they are no longer
    /// applied here.
    pub(crate) fn without_affine(mut self) -> (Self, [Tensor; 2]) {
        self.is_plain = true;
        let affine = [self.weight.clone(), self.bias.clone()];
        (self, affine)
    }
}

impl Layer for LayerNorm2d {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let eps = self.eps;
        if self.is_plain {
            let kind = LayerKind::FusedLayerNorm { eps };
            return cx.layer(&self.path, kind, &[xs.into()], || layer_norm_plain(xs, eps));
        }
        let kind = LayerKind::LayerNorm { eps };
        cx.layer(&self.path, kind, &[xs.into()], || {
            layer_norm(xs, &self.weight, &self.bias, eps)
        })
    }
}
