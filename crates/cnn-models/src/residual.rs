//! The residual connection (He et al. 2015).

use candle_core::Result;
use cnn_layers::{Activate, Context, DropPath, FeatureMap, Layer, Sequential, add};

/// `activation(branch(xs) + shortcut(xs))`.
pub(crate) struct Residual {
    pub(crate) path: String,
    pub(crate) branch: Sequential,
    pub(crate) drop_path: DropPath,
    /// What brings the input to the output's shape; nothing where it has it.
    pub(crate) shortcut: Option<Box<dyn Layer>>,
    pub(crate) activation: Activate,
}

impl Layer for Residual {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let branch = self.drop_path.forward(&self.branch.forward(xs, cx)?, cx)?;
        let shortcut = match &self.shortcut {
            Some(layer) => layer.forward(xs, cx)?,
            None => xs.clone(),
        };
        let sum = cx.layer(&self.path, "add", &[(&branch).into(), (&shortcut).into()], || add(&branch, &shortcut))?;
        self.activation.forward(&sum, cx)
    }
}
