//! The cross-entropy of the source, and what a method adds to it.

use cnn_layers::Context;
use cnn_train::{Error as TrainError, GradientStep, Losses, Progress, Step, StepReport, Update};

use super::super::task::{AdaptationTask, DomainBatch, Reads, WithLoss, read};
use super::super::{FourierStyle, TransferLoss};
use super::Recipe;
use crate::Error;

/// A gradient step of both.
struct SourceStep {
    transfer: Option<Box<dyn TransferLoss>>,
    trade_off: f64,
}

impl Recipe {
    /// The source alone.
    pub(in super::super) fn source_only() -> Self {
        let step = SourceStep {
            transfer: None,
            trade_off: 0.,
        };
        Self::new(step, Reads::source())
    }

    /// The source in the style of the target.
    pub(in super::super) fn fourier_style(style: FourierStyle) -> Self {
        let step = SourceStep {
            transfer: None,
            trade_off: 0.,
        };
        Self {
            source_style: Some(style),
            ..Self::new(step, Reads::both())
        }
    }

    /// The source and so many times this.
    pub(in super::super) fn beside_source(transfer: Box<dyn TransferLoss>, trade_off: f64) -> Self {
        let beside = transfer.trained().cloned();
        let step = SourceStep {
            transfer: Some(transfer),
            trade_off,
        };
        Self {
            beside,
            ..Self::new(step, Reads::both())
        }
    }
}

impl SourceStep {
    fn losses(
        &self,
        task: &AdaptationTask,
        batch: &DomainBatch,
        progress: Progress,
        cx: &Context<'_>,
    ) -> Result<Losses, Error> {
        let source = task.source_images(batch)?;
        let Some(transfer) = &self.transfer else {
            return task.source_loss(batch, &task.source_outputs(&source, cx)?.logits);
        };
        let target = read("target", &batch.target)?;
        let outputs = task.pair_outputs(&source, &target.images, cx)?;
        let pair = outputs.at(task.place(progress));
        let transferred = transfer.loss(&pair, &cx.stream("transfer"))?;
        let source_loss = task.source_loss(batch, &outputs.source.logits)?;
        sum(source_loss, transferred, self.trade_off)
    }
}

/// The loss of the source and so many times another, whose value is logged.
pub(super) fn sum(source: Losses, transfer: Losses, trade_off: f64) -> Result<Losses, Error> {
    let value = transfer.total.to_dtype(candle_core::DType::F64)?;
    let total = (source.total + (transfer.total * trade_off)?)?;
    let mut losses = Losses {
        total,
        named: source.named,
    };
    losses = losses.with("transfer_loss", value.to_scalar::<f64>()?);
    losses.named.extend(transfer.named);
    Ok(losses)
}

impl Step<AdaptationTask> for SourceStep {
    fn step(
        &mut self,
        task: &AdaptationTask,
        batches: &[DomainBatch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, TrainError> {
        let progress = update.progress;
        let loss = |batch: &DomainBatch, cx: &Context<'_>| self.losses(task, batch, progress, cx);
        GradientStep::default().step(&WithLoss { task, loss: &loss }, batches, update)
    }

    fn kept(&self) -> Vec<(String, cnn_layers::Store)> {
        let store = self.transfer.as_ref().and_then(|loss| loss.trained());
        let kept = store.map(|store| ("transfer".to_string(), store.clone()));
        kept.into_iter().collect()
    }
}
