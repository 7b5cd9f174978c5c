//! One learned factor per channel.

use candle_core::{Result, Tensor};
use cnn_kernels::layer_scale;

use crate::{Builder, Context, FeatureMap, Init, Layer, LayerKind};

/// What a [`LayerScale`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerScaleConfig {
    channels: usize,
    init: f64,
}

impl LayerScaleConfig {
    /// Factors that start as ConvNeXt's, at 1e-6.
    pub const fn new(channels: usize) -> Self {
        Self {
            channels,
            init: 1e-6,
        }
    }

    /// Another value that the factors start as.
    pub const fn with_init(mut self, value: f64) -> Self {
        self.init = value;
        self
    }

    /// Takes `gamma`, `(channels)`, from the builder's place.
    ///
    /// # Errors
    /// If the store holds it with another shape.
    pub fn build(&self, builder: &Builder) -> Result<LayerScale> {
        let init = Init::Constant(self.init);
        Ok(LayerScale {
            path: builder.pp("gamma").path().to_string(),
            factors: builder.param("gamma", &[self.channels], init)?,
        })
    }
}

/// `xs · gamma`, one factor per channel (Touvron et al. 2021, "Going deeper with Image
/// Transformers"): at the end of a residual branch, small at first, so that a deep network starts
/// close to the identity.
///
/// The parameter lies in the block itself, so the layer's path is the parameter's, as
/// `stages.0.blocks.0.gamma`.
///
/// # Shapes
/// `(N, H, W, channels)` to the same.
#[derive(Debug, Clone)]
pub struct LayerScale {
    path: String,
    factors: Tensor,
}

impl LayerScale {
    /// The factors, `(channels)`.
    pub fn factors(&self) -> &Tensor {
        &self.factors
    }

    /// The product and a map that is added, in one pass.
    pub(crate) fn forward_fused(
        &self,
        xs: &FeatureMap,
        residual: Option<&FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        cx.layer(&self.path, LayerKind::LayerScale, &[xs.into()], || {
            layer_scale(xs, &self.factors, residual)
        })
    }
}

impl Layer for LayerScale {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.forward_fused(xs, None, cx)
    }
}
