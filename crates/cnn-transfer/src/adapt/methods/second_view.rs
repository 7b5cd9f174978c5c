//! Predictions that a stronger augmentation does not change: those of a weaker view, where they are
//! sure (Sohn et al. 2020, "FixMatch", arXiv:2001.07685), or those of a moving average of the
//! network (French et al. 2018, arXiv:1706.05208, after Tarvainen & Valpola 2017, "mean teacher").

use candle_core::Tensor;
use cnn_layers::{Context, Store};
use cnn_train::{Error as TrainError, GradientStep, Losses, Step, StepReport, Update};

use super::super::losses::{confident_cross_entropy, confident_squares};
use super::super::task::{AdaptationTask, DomainBatch, Reads, TwoParts, WithLoss, read, set_all};
use super::source::sum;
use super::{Recipe, Setting};
use crate::Error;

/// A prediction this sure teaches in FixMatch; the paper's.
const SURE: f64 = 0.95;
/// A teacher's prediction this sure teaches; the paper's.
const TEACHER_SURE: f64 = 0.968;
/// The decay of the teacher; the paper's.
const DECAY: f64 = 0.99;

const READS: Reads = Reads {
    source: true,
    target: true,
    second_view: true,
};

impl Recipe {
    /// Labels of the weaker view for the stronger one.
    pub(in super::super) fn fixmatch(setting: &Setting<'_>) -> Self {
        let step = FixMatchStep {
            trade_off: setting.trade_off,
        };
        Self {
            separate_statistics: true,
            ..Self::new(step, READS)
        }
    }

    /// Predictions of a moving average of the network, which is what is kept in the end.
    pub(in super::super) fn mean_teacher(setting: &Setting<'_>) -> Result<Self, Error> {
        let (store, teacher) = TwoParts::copy_of(setting.network)?;
        let step = MeanTeacherStep {
            trade_off: setting.trade_off,
            teacher,
            store,
        };
        Ok(Self {
            separate_statistics: true,
            average: Some(DECAY),
            ..Self::new(step, READS)
        })
    }
}

struct FixMatchStep {
    trade_off: f64,
}

impl FixMatchStep {
    fn losses(
        &self,
        task: &AdaptationTask,
        batch: &DomainBatch,
        cx: &Context<'_>,
    ) -> Result<Losses, Error> {
        let weak = &read("target", &batch.target)?.images;
        let strong = &read("second view", &batch.second_view)?.images;
        let views = Tensor::cat(&[weak, strong], 0)?;
        let outputs = task.pair_outputs(&task.source_images(batch)?, &views, cx)?;
        let first = outputs.target.rows(0, weak.dim(0)?)?;
        let second = outputs.target.rows(weak.dim(0)?, strong.dim(0)?)?;
        let loss = confident_cross_entropy(&second.logits, &first.logits, SURE)?;
        let source = task.source_loss(batch, &outputs.source.logits)?;
        sum(source, Losses::new(loss), self.trade_off)
    }
}

impl Step<AdaptationTask> for FixMatchStep {
    fn step(
        &mut self,
        task: &AdaptationTask,
        batches: &[DomainBatch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, TrainError> {
        let loss = |batch: &DomainBatch, cx: &Context<'_>| self.losses(task, batch, cx);
        GradientStep::default().step(&WithLoss { task, loss: &loss }, batches, update)
    }
}

struct MeanTeacherStep {
    trade_off: f64,
    /// The teacher's tensors.
    store: Store,
    teacher: TwoParts,
}

impl MeanTeacherStep {
    fn losses(
        &self,
        task: &AdaptationTask,
        batch: &DomainBatch,
        cx: &Context<'_>,
    ) -> Result<Losses, Error> {
        let first = &read("target", &batch.target)?.images;
        let second = &read("second view", &batch.second_view)?.images;
        let taught = self.teacher.outputs(first, &Context::eval())?;
        let outputs = task.pair_outputs(&task.source_images(batch)?, second, cx)?;
        let logits = &outputs.target.logits;
        let loss = confident_squares(logits, &taught.logits, TEACHER_SURE)?;
        let source = task.source_loss(batch, &outputs.source.logits)?;
        sum(source, Losses::new(loss), self.trade_off)
    }
}

impl Step<AdaptationTask> for MeanTeacherStep {
    fn step(
        &mut self,
        task: &AdaptationTask,
        batches: &[DomainBatch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, TrainError> {
        // The teacher is what the average of the weights is now.
        let average = update.average.take().unwrap_or_default();
        set_all(&self.store, &average).map_err(TrainError::other)?;
        let loss = |batch: &DomainBatch, cx: &Context<'_>| self.losses(task, batch, cx);
        GradientStep::default().step(&WithLoss { task, loss: &loss }, batches, update)
    }
}
