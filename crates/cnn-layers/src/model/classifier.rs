//! A backbone with a classification head.

use candle_core::{Result, Tensor};

use crate::{Backbone, Context, FeatureMap, Outputs};

/// A backbone with a classification head.
///
/// [`StagedBuilder`](crate::StagedBuilder) makes one from layers; by hand it looks like this:
///
/// ```
/// use candle_core::{DType, Device, Result, Tensor};
/// use cnn_layers::{
///     Backbone, Classifier, Context, Conv2d, Conv2dConfig, FeatureMap, Flatten, GlobalAvgPool2d,
///     Layer, LayerGroup, Linear, LinearConfig, Mode, StageInfo, Store,
/// };
///
/// /// A convolution, and a linear layer on the mean of its map.
/// struct Small {
///     stages: [StageInfo; 1],
///     groups: [LayerGroup; 2],
///     conv: Conv2d,
///     pool: GlobalAvgPool2d,
///     flatten: Flatten,
///     head: Linear,
/// }
///
/// impl Backbone for Small {
///     fn stages(&self) -> &[StageInfo] {
///         &self.stages
///     }
///
///     fn layer_groups(&self) -> &[LayerGroup] {
///         &self.groups
///     }
///
///     fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
///         Ok(vec![self.conv.forward(xs, cx)?])
///     }
///
///     fn forward_from(&self, _: usize, xs: &FeatureMap, _: &Context<'_>) -> Result<FeatureMap> {
///         Ok(xs.clone()) // nothing comes after the only stage
///     }
/// }
///
/// impl Classifier for Small {
///     fn num_classes(&self) -> usize {
///         10
///     }
///
///     fn num_features(&self) -> usize {
///         self.stages[0].channels
///     }
///
///     fn forward_head(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
///         let pooled = self
///             .flatten
///             .forward(&self.pool.forward(features, cx)?, cx)?;
///         self.head.forward(&pooled, cx)
///     }
/// }
///
/// let store = Store::new(0);
/// let root = store.builder(Mode::Eval);
/// let network = Small {
///     stages: [StageInfo {
///         module: "conv".to_string(),
///         channels: 16,
///         reduction: 1,
///     }],
///     groups: [
///         LayerGroup::new("stem", ["conv"]),
///         LayerGroup::new("head", ["head"]),
///     ],
///     conv: Conv2dConfig::new(3, 16, 3).build(&root.pp("conv"))?,
///     pool: GlobalAvgPool2d::new().at(&root.pp("pool")),
///     flatten: Flatten::new(&root.pp("flatten")),
///     head: LinearConfig::new(16, 10).build(&root.pp("head"))?,
/// };
/// let images = FeatureMap::from_nchw(&Tensor::zeros((2, 3, 20, 28), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(network.forward(&images, &Context::eval())?.dims(), [2, 10]);
/// assert!(store.names().iter().all(|name| {
///     network
///         .layer_groups()
///         .iter()
///         .any(|group| group.contains(name))
/// }));
/// # Ok::<(), candle_core::Error>(())
/// ```
pub trait Classifier: Backbone {
    /// Number of classes.
    fn num_classes(&self) -> usize;

    /// Channels of the last map, which the head reads.
    fn num_features(&self) -> usize;

    /// The least that the head needs of the last map, as a map that
    /// [`forward_head`](Self::forward_head) gives the same scores for: `(N, 1, 1, C)` where the
    /// head begins with global average pooling. Default: the map itself.
    ///
    /// # Errors
    /// If the map does not fit.
    fn head_input(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let _ = cx;
        Ok(features.clone())
    }

    /// Class scores from the last map.
    ///
    /// # Shapes
    /// `(N, H, W, C)` to `(N, num_classes)`.
    ///
    /// # Errors
    /// If the map does not fit.
    fn forward_head(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor>;

    /// Class scores of images.
    ///
    /// # Shapes
    /// `(N, H, W, C)` to logits `(N, num_classes)`.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        self.forward_head(&self.forward_features(xs, cx)?, cx)
    }

    /// Names of the auxiliary heads that it has for its training. Default: none.
    fn auxiliary_heads(&self) -> Vec<&str> {
        Vec::new()
    }

    /// Class scores of images, and those of the auxiliary heads that a network may have for its
    /// training. Default: [`forward`](Self::forward), and no auxiliary ones.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_outputs(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Outputs<Tensor>> {
        Ok(self.forward(xs, cx)?.into())
    }
}
