//! The loss of images and of bounds around them, as a task of its own.

use candle_core::Tensor;
use cnn_data::Batch;
use cnn_layers::{Context, Outputs};
use cnn_train::{
    Classification, Epoch, Error, Evaluation, Losses, Task, TaskBatches, class_labels,
};

use super::ramp::Point;
use crate::Normalization;
use crate::certify::interval::{BoundedGraph, Ends, Weights, ball, stays};
use crate::defence::adversarial_step::other;

/// `κ ℓ(z(x), y) + (1 − κ) ℓ(ẑ, y)`, with the worst of the scores, `ẑ_k = max (z_k − z_y)`.
pub(super) struct IntervalTask<'a> {
    pub(super) task: &'a Classification,
    pub(super) graph: &'a BoundedGraph,
    pub(super) weights: &'a Weights,
    pub(super) normalization: &'a Normalization,
    /// The size of this update.
    pub(super) eps: f64,
    pub(super) point: Point,
}

impl IntervalTask<'_> {
    /// The worst scores of a batch, `(N, K)`, relative to those of the labels.
    fn worst(&self, batch: &Batch, labels: &[u32]) -> Result<Tensor, crate::Error> {
        let images = self.normalization.images(&batch.images)?;
        let dtype = batch.images.dtype();
        let [lower, upper] = ball(&images, self.eps, self.normalization, dtype)?;
        let ends = Ends::of_inputs(&lower, &upper)?;
        self.graph.leads(ends, labels, self.weights)
    }
}

impl Task for IntervalTask<'_> {
    type Batch = Batch;

    fn batches_per_epoch(&self) -> usize {
        self.task.batches_per_epoch()
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Batch>, Error> {
        self.task.batches(epoch)
    }

    fn samples(&self, batch: &Batch) -> usize {
        self.task.samples(batch)
    }

    fn loss(&self, batch: &Batch, cx: &Context<'_>) -> Result<Losses, Error> {
        if batch.mixing.is_some() {
            let expected = "images of one class each, for training with bounds";
            return Err(Error::argument("images", "mixed ones", expected));
        }
        let labels = class_labels(batch)?;
        let outputs = self.task.outputs(&batch.images, cx)?;
        let clean = self.task.losses(&outputs, batch)?;
        let worst = self.worst(batch, &labels).map_err(other)?;
        let leads = crate::Logits::from_tensor(&worst.detach()).map_err(other)?;
        let rows = leads.rows().zip(&labels);
        let certified = rows.filter(|(leads, label)| stays(leads, **label)).count();
        let worst = self.task.losses(&Outputs::from(worst), batch)?;
        let Point { kappa, .. } = self.point;
        Ok(Losses {
            total: ((clean.total * kappa)? + (worst.total * (1. - kappa))?)?,
            named: clean.named,
        }
        .with("certified_top1", certified as f64 / labels.len() as f64))
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        self.task.evaluate()
    }

    fn score_name(&self) -> String {
        self.task.score_name()
    }

    fn names(&self, batch: &Batch) -> Vec<String> {
        self.task.names(batch)
    }
}
