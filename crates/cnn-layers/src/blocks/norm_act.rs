//! Batch normalisation and activation before a convolution: pre-activation.

use candle_core::Result;
use cnn_kernels::MeasuredMap;

use crate::{
    Activate, Activation, BatchNorm2d, BatchNorm2dConfig, Builder, Concat, Context, FeatureMap,
    Layer,
};

/// What a [`NormAct`] is built from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NormActConfig {
    norm: BatchNorm2dConfig,
    activation: Activation,
}

impl NormActConfig {
    /// A norm and the activation after it.
    pub const fn new(norm: BatchNorm2dConfig, activation: Activation) -> Self {
        Self { norm, activation }
    }

    /// Takes the norm's parameters from the builder's place, below which the activation is `act`.
    ///
    /// # Errors
    /// Those of the norm.
    pub fn build(&self, builder: &Builder) -> Result<NormAct> {
        Ok(NormAct {
            norm: self.norm.build(builder)?,
            activation: Activate::new(self.activation, &builder.pp("act")),
        })
    }
}

/// `activation(norm(xs))`, one pass unless an observer watches: the unit that stands before a
/// convolution where activation comes first (He et al. 2016, "Identity Mappings in Deep Residual
/// Networks").
///
/// A convolution before it takes the norm in when it is built for inference
/// ([`ConvNormAct`](crate::ConvNormAct)); this one has none, since others read the same map without
/// it, and stays a pass of its own.
///
/// # Shapes
/// `(N, H, W, channels)` to the same.
#[derive(Debug, Clone)]
pub struct NormAct {
    norm: BatchNorm2d,
    activation: Activate,
}

impl NormAct {
    /// The norm of the maps' channels one after another, as `concat` joins them, and the activation.
    /// Where nobody watches, one pass reads the maps where they lie: nothing is joined before it.
    pub(super) fn forward_concat(
        &self,
        maps: &[MeasuredMap],
        concat: &Concat,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        if let Some(activation) = self.activation.fusible(cx) {
            return self.norm.forward_concat(maps, activation, cx);
        }
        let maps: Vec<&FeatureMap> = maps.iter().map(MeasuredMap::map).collect();
        self.forward(&concat.forward(&maps, cx)?, cx)
    }
}

impl Layer for NormAct {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        match self.activation.fusible(cx) {
            Some(activation) => self.norm.forward_fused(xs, None, activation, cx),
            None => self.activation.forward(&self.norm.forward(xs, cx)?, cx),
        }
    }
}
