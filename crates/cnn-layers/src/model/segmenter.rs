//! A network that tells the class of every pixel.

use candle_core::Result;

use crate::{Context, FeatureMap, LayerGroup, Outputs, StageInfo};

/// A network that gives class scores for every pixel. Object-safe.
///
/// It stands on a [`Backbone`](crate::Backbone) under a path of its own: the parameter groups of
/// the backbone keep their full paths, so that they come first in the groups here.
/// [`EncoderDecoder`](crate::EncoderDecoder) makes one from a backbone and a
/// [`Decoder`](crate::Decoder).
pub trait Segmenter: Send + Sync {
    /// Number of classes.
    fn num_classes(&self) -> usize;

    /// The stages of the backbone whose maps the network reads, from the input on.
    fn stages(&self) -> &[StageInfo];

    /// The parameters in groups by depth, from the input to the head, which is the last. Each
    /// parameter is in exactly one.
    fn layer_groups(&self) -> &[LayerGroup];

    /// The outputs of all [`stages`](Self::stages).
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>>;

    /// Goes on from the outputs of the first stages, of which the last one given is where it goes
    /// on, to the class scores of the image that they are of: where a class activation map cuts the
    /// graph.
    ///
    /// # Errors
    /// If there is no map, or one does not fit.
    fn forward_from(
        &self,
        image: &FeatureMap,
        maps: Vec<FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<FeatureMap>;

    /// Class scores of every pixel.
    ///
    /// # Shapes
    /// `(N, H, W, C)` to logits `(N, H, W, num_classes)`.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap>;

    /// Names of the auxiliary heads that it has for its training. Default: none.
    fn auxiliary_heads(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Class scores of every pixel, and those of the auxiliary heads that a network may have for
    /// its training. Default: [`forward`](Self::forward), and no auxiliary ones.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_outputs(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Outputs<FeatureMap>> {
        Ok(self.forward(xs, cx)?.into())
    }
}
