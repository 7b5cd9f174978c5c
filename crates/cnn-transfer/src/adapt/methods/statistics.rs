//! The batch-norm statistics of the target (Li et al. 2016, "AdaBN", arXiv:1603.04779).

use cnn_layers::Store;
use cnn_train::{Error as TrainError, Step, StepReport, Update};

use super::super::task::{AdaptationTask, DomainBatch, Reads, read};
use super::{Length, Recipe, Setting};
use crate::Error;

/// Batches over which the statistics are taken: what was before them counts for less than 0.1 %
/// then.
const BATCHES: usize = 70;

/// Shows the target to the network, whose running statistics follow; nothing is trained.
struct StatisticsStep {
    store: Store,
}

impl Recipe {
    /// The statistics of the target.
    pub(in super::super) fn statistics(setting: &Setting<'_>) -> Result<Self, Error> {
        let step = StatisticsStep {
            store: setting.network.store().clone(),
        };
        Ok(Self {
            length: Some(Length::Updates(BATCHES)),
            ..Self::new(step, Reads::target())
        })
    }
}

/// Puts the running statistics where a fresh network has them.
fn forget(store: &Store) -> Result<(), Error> {
    for (name, tensor) in store.tensors() {
        if name.ends_with(".running_mean") {
            store.set(&name, &tensor.zeros_like()?)?;
        } else if name.ends_with(".running_var") {
            store.set(&name, &tensor.ones_like()?)?;
        }
    }
    Ok(())
}

impl Step<AdaptationTask> for StatisticsStep {
    fn step(
        &mut self,
        task: &AdaptationTask,
        batches: &[DomainBatch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, TrainError> {
        // From the start of a fresh network, so that the same target gives the same statistics.
        if task.place(update.progress).iteration == 0 {
            forget(&self.store).map_err(TrainError::other)?;
        }
        let mut samples = 0;
        for (number, batch) in batches.iter().enumerate() {
            let images = &read("target", &batch.target)
                .map_err(TrainError::other)?
                .images;
            task.target_outputs(images, &update.context(number))
                .map_err(TrainError::other)?;
            samples += batch.samples();
        }
        Ok(StepReport {
            samples,
            ..StepReport::default()
        })
    }
}
