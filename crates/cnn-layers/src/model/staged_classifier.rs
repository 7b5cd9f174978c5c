//! A classifier that is a chain of stages with a head at its end.

use candle_core::{Result, Tensor};

use super::head::Head;
use super::staged_backbone::StagedBackbone;
use crate::{
    AuxiliaryOutput, Backbone, Classifier, Context, FeatureMap, LayerGroup, Outputs, StageInfo,
};

/// A [`StagedBackbone`] with a head, and with the auxiliary heads that it may have;
/// [`StagedBuilder`](crate::StagedBuilder) makes it.
pub struct StagedClassifier {
    pub(super) backbone: StagedBackbone,
    pub(super) head: Box<dyn Head>,
    pub(super) auxiliary: Vec<Auxiliary>,
    /// Those of the backbone, and the head's.
    pub(super) groups: Vec<LayerGroup>,
    pub(super) num_features: usize,
    pub(super) num_classes: usize,
}

/// A head in the middle of the chain.
pub(super) struct Auxiliary {
    pub(super) name: String,
    /// How much its loss counts.
    pub(super) weight: f64,
    /// The stage within which it reads; after the last one, the tail.
    pub(super) stage: usize,
    /// How many of the stage's layers come before it.
    pub(super) layers_before: usize,
    pub(super) head: Box<dyn Head>,
}

impl StagedClassifier {
    /// The backbone alone, without its heads.
    pub fn into_backbone(self) -> StagedBackbone {
        self.backbone
    }
}

impl Backbone for StagedClassifier {
    fn stages(&self) -> &[StageInfo] {
        self.backbone.stages()
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        self.backbone.forward_stages(xs, cx)
    }

    fn forward_to(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.backbone.forward_to(stage, xs, cx)
    }

    fn forward_from(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.backbone.forward_from(stage, xs, cx)
    }

    fn forward_stages_from(
        &self,
        stage: usize,
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<Vec<FeatureMap>> {
        self.backbone.forward_stages_from(stage, xs, cx)
    }

    fn forward_features(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.backbone.forward_features(xs, cx)
    }
}

impl Classifier for StagedClassifier {
    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn num_features(&self) -> usize {
        self.num_features
    }

    fn head_input(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.head.input(features, cx)
    }

    fn forward_head(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        self.head.forward(features, cx)
    }

    fn auxiliary_heads(&self) -> Vec<&str> {
        let names = self.auxiliary.iter().map(|head| head.name.as_str());
        names.collect()
    }

    fn forward_outputs(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Outputs<Tensor>> {
        let mut auxiliary = Vec::with_capacity(self.auxiliary.len());
        let mut xs = xs.clone();
        let stages = self.backbone.stages.iter().map(|stage| &stage.layers);
        for (stage, layers) in stages.chain([&self.backbone.tail]).enumerate() {
            let mut layers = layers.iter();
            for done in 0.. {
                let here = |head: &&Auxiliary| (head.stage, head.layers_before) == (stage, done);
                for head in self.auxiliary.iter().filter(here) {
                    auxiliary.push(AuxiliaryOutput {
                        head: head.name.clone(),
                        weight: head.weight,
                        output: head.head.forward(&xs, cx)?,
                    });
                }
                let Some(layer) = layers.next() else { break };
                xs = layer.forward(&xs, cx)?;
            }
        }
        let main = self.head.forward(&xs, cx)?;
        Ok(Outputs::new(main, auxiliary))
    }
}
