//! A backbone that is a chain of stages.

use candle_core::Result;

use crate::{Backbone, Context, Error, FeatureMap, Layer, LayerGroup, Sequential, StageInfo};

/// Stages one after another, and what may follow the last of them;
/// [`StagedBuilder`](crate::StagedBuilder) makes it.
pub struct StagedBackbone {
    pub(super) stages: Vec<Stage>,
    /// The stages that are given, by their places in `stages`.
    pub(super) selected: Vec<usize>,
    /// What the selected ones are.
    pub(super) infos: Vec<StageInfo>,
    /// What follows the last stage before the head.
    pub(super) tail: Sequential,
    pub(super) groups: Vec<LayerGroup>,
}

/// Layers up to a map that the backbone gives.
pub(super) struct Stage {
    pub(super) layers: Sequential,
    /// How many layer groups there are up to its end.
    pub(super) groups_so_far: usize,
}

impl StagedBackbone {
    /// The backbone that gives these stages alone, counted from 0, as timm's `out_indices` picks
    /// them. What follows the last of them is dropped, with its layer groups.
    ///
    /// # Errors
    /// If there is no such stage, or they do not ascend.
    pub fn select(mut self, stages: &[usize]) -> Result<Self> {
        let ascends = stages.is_sorted_by(|a, b| a < b);
        let Some(&deepest) = stages.last().filter(|_| ascends) else {
            let last = self.infos.len().saturating_sub(1);
            return Err(Error::Stages { last }.into());
        };
        let end = self.place(deepest)? + 1;
        self.infos = stages
            .iter()
            .map(|&stage| self.infos[stage].clone())
            .collect();
        self.selected = stages.iter().map(|&stage| self.selected[stage]).collect();
        self.stages.truncate(end);
        self.groups.truncate(self.stages[end - 1].groups_so_far);
        self.tail = Sequential::new();
        Ok(self)
    }

    /// Runs the stages `from..to`.
    fn run(&self, from: usize, to: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.stages[from..to]
            .iter()
            .try_fold(xs.clone(), |xs, stage| stage.layers.forward(&xs, cx))
    }

    /// The outputs of the stages at these places, from the input of the stage at `first`.
    fn run_to_selected(
        &self,
        first: usize,
        places: &[usize],
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<Vec<FeatureMap>> {
        let mut outputs: Vec<FeatureMap> = Vec::with_capacity(places.len());
        let mut done = first;
        for &place in places {
            let ys = self.run(done, place + 1, outputs.last().unwrap_or(xs), cx)?;
            outputs.push(ys);
            done = place + 1;
        }
        Ok(outputs)
    }

    /// The place of a given stage in the chain.
    fn place(&self, stage: usize) -> Result<usize> {
        let last = self.selected.len().saturating_sub(1);
        let place = self.selected.get(stage).copied();
        Ok(place.ok_or(Error::Stage { stage, last })?)
    }
}

impl Backbone for StagedBackbone {
    fn stages(&self) -> &[StageInfo] {
        &self.infos
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        self.run_to_selected(0, &self.selected, xs, cx)
    }

    fn forward_stages_from(
        &self,
        stage: usize,
        xs: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<Vec<FeatureMap>> {
        let first = self.place(stage)? + 1;
        self.run_to_selected(first, &self.selected[stage + 1..], xs, cx)
    }

    fn forward_to(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.run(0, self.place(stage)? + 1, xs, cx)
    }

    fn forward_from(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let last = self.run(self.place(stage)? + 1, self.stages.len(), xs, cx)?;
        self.tail.forward(&last, cx)
    }

    fn forward_features(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let last = self.run(0, self.stages.len(), xs, cx)?;
        self.tail.forward(&last, cx)
    }
}
