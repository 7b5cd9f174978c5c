//! The residual connection (He et al. 2015).

use candle_core::Result;
use cnn_layers::{Context, ConvNormAct, FeatureMap, Layer, ResidualSum, Sequential};

/// `activation(last(branch(xs)) + shortcut(xs))`.
pub(crate) struct Residual {
    pub(crate) branch: Sequential,
    /// The end of the branch, which has no activation.
    pub(crate) last: ConvNormAct,
    /// What brings the input to the output's shape; nothing where it has it.
    pub(crate) shortcut: Option<Box<dyn Layer>>,
    pub(crate) sum: ResidualSum,
}

impl Layer for Residual {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let branch = self.branch.forward(xs, cx)?;
        let shortcut = match &self.shortcut {
            Some(layer) => layer.forward(xs, cx)?,
            None => xs.clone(),
        };
        self.sum.forward(&self.last, &branch, &shortcut, cx)
    }
}
