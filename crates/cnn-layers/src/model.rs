//! What every model can do: give its stages, go on from one of them, and classify.

use candle_core::{Result, Tensor};

use crate::{Context, Error, FeatureMap};

/// One stage of a backbone: layers that work at one resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageInfo {
    /// Path of the module whose output it is, as `layer1`.
    pub module: String,
    /// Channels of its output.
    pub channels: usize,
    /// How many input pixels one output pixel stands for, along each axis.
    pub reduction: usize,
}

/// A network that turns an image into maps, stage by stage. Object-safe.
///
/// Where timm has the architecture, stage `i` is output `i` of its `features_only=True`; else the family's page says which map it is.
pub trait Backbone: Send + Sync {
    /// The stages, from the input on.
    fn stages(&self) -> &[StageInfo];

    /// The outputs of all stages.
    ///
    /// # Shapes
    /// `xs` `(N, H, W, C)` to maps of `stages()[i].channels` channels, `H / reduction` rows (rounded as the layers do).
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>>;

    /// The output of one stage, which [`forward_from`](Self::forward_from) goes on from; later stages are not computed where the model can stop there.
    ///
    /// # Errors
    /// If the stage does not exist or the input does not fit.
    fn forward_to(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let mut stages = self.forward_stages(xs, cx)?;
        if stage >= stages.len() {
            return Err(Error::Stage { stage, last: stages.len().saturating_sub(1) }.into());
        }
        Ok(stages.swap_remove(stage))
    }

    /// Goes on from the output of `stage` and returns the last map, which the head reads: where a class activation map cuts the graph.
    ///
    /// # Errors
    /// If the stage does not exist or the map does not fit.
    fn forward_from(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap>;

    /// The last map, which the head reads.
    ///
    /// # Errors
    /// If the input does not fit.
    fn forward_features(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let last = self.stages().len().saturating_sub(1);
        self.forward_from(last, &self.forward_to(last, xs, cx)?, cx)
    }
}

/// A backbone with a classification head.
pub trait Classifier: Backbone {
    /// Number of classes.
    fn num_classes(&self) -> usize;

    /// Channels of the last map, which the head reads.
    fn num_features(&self) -> usize;

    /// The least that the head needs of the last map, as a map that [`forward_head`](Self::forward_head) gives the same scores for: `(N, 1, 1, C)` where the head begins with global average
    /// pooling. Default: the map itself.
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

    /// The parameters in groups by depth, from the input to the head, which is the last group. Each parameter is in exactly one.
    fn parameter_groups(&self) -> Vec<ParameterGroup>;

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
}

/// Parameters at one depth of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterGroup {
    /// `stem`, `stage1`…, `head`.
    pub name: String,
    /// The modules that belong to it, as `layer1` or `features.0`.
    pub modules: Vec<String>,
}

impl ParameterGroup {
    /// A group of modules.
    pub fn new(name: impl Into<String>, modules: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { name: name.into(), modules: modules.into_iter().map(Into::into).collect() }
    }

    /// Whether the parameter called `name` lies in one of the group's modules.
    pub fn contains(&self, name: &str) -> bool {
        self.modules.iter().any(|module| {
            name.strip_prefix(module.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    }
}
