//! Sure predictions by batch-norm alone (Wang et al. 2021, "Tent", arXiv:2006.10726): the entropy of
//! the target's predictions is made small by scales and shifts, in one pass, without the source.

use cnn_layers::Context;
use cnn_train::{
    Error as TrainError, GradientStep, Losses, OptimizerConfig, Step, StepReport, Update,
};

use super::super::losses::entropy;
use super::super::task::{AdaptationTask, DomainBatch, Reads, WithLoss, read};
use super::{Learning, Length, OwnOptimizer, Recipe, Setting};
use crate::Error;

/// The paper's rate of Adam for small images.
const LEARNING_RATE: f64 = 1e-3;

struct TentStep;

impl Recipe {
    /// Scales and shifts of batch-norm for sure predictions.
    pub(in super::super) fn tent(setting: &Setting<'_>) -> Result<Self, Error> {
        let names = setting.network.store().names();
        if !names.iter().any(|name| name.ends_with(".running_mean")) {
            return Err(Error::argument(
                "network",
                format!("{}, which has no batch-norm", setting.network.spec().name),
                "one with batch-norm, whose scales and shifts tent trains",
            ));
        }
        Ok(Self {
            learning: Learning::NormScales,
            optimizer: Some(OwnOptimizer {
                rule: OptimizerConfig::adam(),
                learning_rate: LEARNING_RATE,
            }),
            length: Some(Length::OnePass),
            ..Self::new(TentStep, Reads::target())
        })
    }
}

fn losses(task: &AdaptationTask, batch: &DomainBatch, cx: &Context<'_>) -> Result<Losses, Error> {
    let images = &read("target", &batch.target)?.images;
    Ok(Losses::new(entropy(
        &task.target_outputs(images, cx)?.logits,
    )?))
}

impl Step<AdaptationTask> for TentStep {
    fn step(
        &mut self,
        task: &AdaptationTask,
        batches: &[DomainBatch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, TrainError> {
        let loss = |batch: &DomainBatch, cx: &Context<'_>| losses(task, batch, cx);
        GradientStep::default().step(&WithLoss { task, loss: &loss }, batches, update)
    }
}
