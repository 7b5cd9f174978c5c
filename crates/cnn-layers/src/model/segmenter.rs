//! A network that tells the class of every pixel.

use candle_core::Result;

use crate::{Context, FeatureMap, LayerGroup, Outputs};

/// A network that gives class scores for every pixel. Object-safe.
///
/// It stands on a [`Backbone`](crate::Backbone) under a path of its own: the parameter groups of
/// the backbone keep their full paths, so that they come first in the groups here.
pub trait Segmenter: Send + Sync {
    /// Number of classes.
    fn num_classes(&self) -> usize;

    /// The parameters in groups by depth, from the input to the head, which is the last. Each
    /// parameter is in exactly one.
    fn layer_groups(&self) -> &[LayerGroup];

    /// Class scores of every pixel.
    ///
    /// # Shapes
    /// `(N, H, W, C)` to logits `(N, H, W, num_classes)`.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap>;

    /// Class scores of every pixel, and those of the auxiliary heads that a network may have for
    /// its training. Default: [`forward`](Self::forward), and no auxiliary ones.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_outputs(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Outputs<FeatureMap>> {
        Ok(self.forward(xs, cx)?.into())
    }
}
