//! A batch and what an attack made of it, as a task of its own.

use candle_core::Tensor;
use cnn_data::Batch;
use cnn_layers::{BatchNormPolicy, Context, Outputs};
use cnn_train::{
    Classification, Epoch, Error, Evaluation, Losses, Task, TaskBatches, class_labels,
    right_predictions,
};

use super::AdversarialMethod;
use super::mart::mart_loss;
use super::trades::trades_loss;

/// A batch, and its images under attack as the network reads them, `(N, H, W, C)`.
pub(super) struct CraftedBatch<'a> {
    pub(super) batch: &'a Batch,
    pub(super) adversarial: Tensor,
}

/// The loss of a method on batches that were attacked before.
pub(super) struct AdversarialTask<'a> {
    pub(super) task: &'a Classification,
    pub(super) method: AdversarialMethod,
    /// What a pass does to the running statistics of batch-norm.
    pub(super) batch_norm: BatchNormPolicy,
}

impl<'b> AdversarialTask<'b> {
    /// Both losses by name: what the network makes of the images as they are, and of those under
    /// attack.
    fn two_passes(
        &self,
        crafted: &CraftedBatch<'b>,
        cx: &Context<'_>,
    ) -> Result<(Outputs<Tensor>, Outputs<Tensor>), Error> {
        let clean = self.task.outputs(&crafted.batch.images, cx)?;
        let under_attack = cx.stream("adversarial");
        let adversarial = self.task.outputs(&crafted.adversarial, &under_attack)?;
        Ok((clean, adversarial))
    }
}

impl<'b> Task for AdversarialTask<'b> {
    type Batch = CraftedBatch<'b>;

    fn batches_per_epoch(&self) -> usize {
        self.task.batches_per_epoch()
    }

    fn batches<'a>(&'a self, _: &Epoch) -> Result<TaskBatches<'a, Self::Batch>, Error> {
        let expected = "those of the classification, attacked by the step";
        Err(Error::argument(
            "batches",
            "asked of the attacked task",
            expected,
        ))
    }

    fn samples(&self, crafted: &Self::Batch) -> usize {
        self.task.samples(crafted.batch)
    }

    fn loss(&self, crafted: &Self::Batch, cx: &Context<'_>) -> Result<Losses, Error> {
        let cx = &cx.with_batch_norm(self.batch_norm);
        let labels = class_labels(crafted.batch)?;
        let share = |outputs: &Outputs<Tensor>| {
            let right = right_predictions(&outputs.main, &labels)?;
            Ok::<_, Error>(right as f64 / labels.len() as f64)
        };
        match self.method {
            AdversarialMethod::Trades { beta } => {
                let (clean, adversarial) = self.two_passes(crafted, cx)?;
                let losses = self.task.losses(&clean, crafted.batch)?;
                let change = trades_loss(&clean.main, &adversarial.main)?;
                Ok(Losses {
                    total: (losses.total + (change * beta)?)?,
                    named: losses.named,
                }
                .with("robust_top1", share(&adversarial)?))
            }
            AdversarialMethod::Mart { beta } => {
                let (clean, adversarial) = self.two_passes(crafted, cx)?;
                let total = mart_loss(&clean.main, &adversarial.main, &labels, beta)?;
                Ok(Losses::new(total)
                    .with("top1", share(&clean)?)
                    .with("robust_top1", share(&adversarial)?))
            }
            _ => {
                let outputs = self.task.outputs(&crafted.adversarial, cx)?;
                let robust = share(&outputs)?;
                let losses = self.task.losses(&outputs, crafted.batch)?;
                Ok(losses.with("robust_top1", robust))
            }
        }
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        self.task.evaluate()
    }

    fn score_name(&self) -> String {
        self.task.score_name()
    }

    fn names(&self, crafted: &Self::Batch) -> Vec<String> {
        self.task.names(crafted.batch)
    }
}
