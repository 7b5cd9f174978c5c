//! The task with the loss of a method, which knows more than the task does.

use cnn_layers::Context;
use cnn_train::{Epoch, Error, Evaluation, Losses, Task, TaskBatches};

use super::{AdaptationTask, DomainBatch};

/// A loss of a batch.
pub(in super::super) type BatchLoss<'a> =
    &'a dyn Fn(&DomainBatch, &Context<'_>) -> Result<Losses, crate::Error>;

/// The task, where a gradient step is to minimise this.
pub(in super::super) struct WithLoss<'a> {
    pub(in super::super) task: &'a AdaptationTask,
    pub(in super::super) loss: BatchLoss<'a>,
}

impl Task for WithLoss<'_> {
    type Batch = DomainBatch;

    fn batches_per_epoch(&self) -> usize {
        self.task.batches_per_epoch()
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, DomainBatch>, Error> {
        self.task.batches(epoch)
    }

    fn samples(&self, batch: &DomainBatch) -> usize {
        self.task.samples(batch)
    }

    fn loss(&self, batch: &DomainBatch, cx: &Context<'_>) -> Result<Losses, Error> {
        (self.loss)(batch, cx).map_err(Error::other)
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        self.task.evaluate()
    }

    fn names(&self, batch: &DomainBatch) -> Vec<String> {
        self.task.names(batch)
    }
}
