//! The shape that all families here share: stages one after another, a tail, and a head.

use candle_core::{Result, Tensor};
use cnn_layers::{
    Backbone, Builder, Classifier, Context, Dropout, Error, FeatureMap, GlobalAvgPool2d, Layer,
    Linear, LinearConfig, ParameterGroup, Sequential, StageInfo,
};

/// A classifier made of stages, a tail between the last stage and the head, and a head.
pub(crate) struct Staged {
    infos: Vec<StageInfo>,
    stages: Vec<Sequential>,
    tail: Sequential,
    head: Box<dyn Head>,
    groups: Vec<ParameterGroup>,
    num_features: usize,
    num_classes: usize,
}

/// Class scores from the last map.
pub(crate) trait Head: Send + Sync {
    /// As [`Classifier::head_input`].
    fn input(&self, features: &FeatureMap, _cx: &Context<'_>) -> Result<FeatureMap> {
        Ok(features.clone())
    }

    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor>;
}

/// Collects the stages of a [`Staged`].
#[derive(Default)]
pub(crate) struct StagedBuilder {
    infos: Vec<StageInfo>,
    stages: Vec<Sequential>,
    tail: Sequential,
    groups: Vec<ParameterGroup>,
}

impl StagedBuilder {
    /// Adds a stage whose output is that of `module`, with one pixel for `reduction` input pixels.
    pub(crate) fn stage(
        &mut self,
        module: impl Into<String>,
        channels: usize,
        reduction: usize,
        layers: Sequential,
    ) {
        self.infos.push(StageInfo {
            module: module.into(),
            channels,
            reduction,
        });
        self.stages.push(layers);
    }

    /// Sets the layers between the last stage and the head.
    pub(crate) fn tail(&mut self, layers: Sequential) {
        self.tail = layers;
    }

    /// Adds a parameter group, from the input on; the head's group comes last.
    pub(crate) fn group(&mut self, name: &str, modules: &[&str]) {
        self.groups
            .push(ParameterGroup::new(name, modules.iter().copied()));
    }

    pub(crate) fn finish(
        self,
        num_features: usize,
        num_classes: usize,
        head: impl Head + 'static,
    ) -> Box<dyn Classifier> {
        let Self {
            infos,
            stages,
            tail,
            groups,
        } = self;
        Box::new(Staged {
            infos,
            stages,
            tail,
            head: Box::new(head),
            groups,
            num_features,
            num_classes,
        })
    }
}

impl Backbone for Staged {
    fn stages(&self) -> &[StageInfo] {
        &self.infos
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        let mut outputs: Vec<FeatureMap> = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            let ys = stage.forward(outputs.last().unwrap_or(xs), cx)?;
            outputs.push(ys);
        }
        Ok(outputs)
    }

    fn forward_to(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let Some(stages) = self.stages.get(..=stage) else {
            return Err(Error::Stage {
                stage,
                last: self.stages.len() - 1,
            }
            .into());
        };
        stages
            .iter()
            .try_fold(xs.clone(), |xs, stage| stage.forward(&xs, cx))
    }

    fn forward_from(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let Some(rest) = self.stages.get(stage.saturating_add(1)..) else {
            return Err(Error::Stage {
                stage,
                last: self.stages.len() - 1,
            }
            .into());
        };
        let last = rest
            .iter()
            .try_fold(xs.clone(), |xs, stage| stage.forward(&xs, cx))?;
        self.tail.forward(&last, cx)
    }

    fn forward_features(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let last = self
            .stages
            .iter()
            .try_fold(xs.clone(), |xs, stage| stage.forward(&xs, cx))?;
        self.tail.forward(&last, cx)
    }
}

impl Classifier for Staged {
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

    fn parameter_groups(&self) -> Vec<ParameterGroup> {
        self.groups.clone()
    }
}

/// Global average pooling, dropout and one linear layer.
pub(crate) struct LinearHead {
    pool: GlobalAvgPool2d,
    dropout: Dropout,
    linear: Linear,
}

impl LinearHead {
    /// The linear layer at `root.<name>`.
    pub(crate) fn build(
        root: &Builder,
        name: &str,
        features: usize,
        classes: usize,
        drop_rate: f64,
    ) -> Result<Self> {
        Ok(Self {
            pool: GlobalAvgPool2d::new(&root.pp("global_pool")),
            dropout: Dropout::new(drop_rate, &root.pp("head_drop"))?,
            linear: LinearConfig::new(features, classes).build(&root.pp(name))?,
        })
    }
}

impl Head for LinearHead {
    fn input(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.pool.forward(features, cx)
    }

    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        let pooled = self.pool.forward(features, cx)?.flatten()?;
        self.linear
            .forward(&self.dropout.forward_vectors(&pooled, cx)?, cx)
    }
}
