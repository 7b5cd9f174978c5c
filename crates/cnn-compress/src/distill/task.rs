//! The loss of a batch beside a teacher, as a task of its own.

use candle_core::{DType, Tensor};
use cnn_data::Batch;
use cnn_layers::{Context, FeatureMap};
use cnn_train::{Classification, Epoch, Error, Evaluation, Losses, Task, TaskBatches};

use super::config::Distillation;
use super::losses::{attention_loss, similarity_loss, soft_target_loss};
use super::stages::{StageLayers, StageMaps, StagePair};
use super::teacher::{Answers, Teacher};

/// A task of classification whose student also learns of a teacher.
pub(super) struct DistillationTask<'a> {
    pub(super) task: &'a Classification,
    pub(super) config: Distillation,
    pub(super) teacher: &'a Teacher,
    /// Of the student.
    pub(super) stages: &'a StageLayers,
    pub(super) pairs: &'a [StagePair],
}

impl DistillationTask<'_> {
    /// The sum of a loss over all pairs of stages.
    fn over_pairs(
        &self,
        loss: Compared,
        student: &[Option<FeatureMap>],
        teacher: &[FeatureMap],
    ) -> Result<Tensor, Error> {
        let mut sum: Option<Tensor> = None;
        for pair in self.pairs {
            let Some(map) = &student[pair.student] else {
                let expected = "the maps that the student gave in evaluation";
                return Err(Error::argument("maps of a stage", "none", expected));
            };
            let teacher = teacher[pair.teacher].clone();
            let own = loss(map, &as_type(teacher, map.dtype())?)?;
            sum = Some(match sum {
                Some(sum) => (sum + own)?,
                None => own,
            });
        }
        let none = || Error::argument("pairs of stages", 0, "at least 1");
        sum.ok_or_else(none)
    }
}

fn as_type(maps: FeatureMap, dtype: DType) -> candle_core::Result<FeatureMap> {
    if maps.dtype() == dtype {
        return Ok(maps);
    }
    FeatureMap::from_nhwc(&maps.to_nhwc().to_dtype(dtype)?)
}

fn value(loss: &Tensor) -> Result<f64, Error> {
    Ok(loss.to_dtype(DType::F64)?.to_scalar::<f64>()?)
}

impl Task for DistillationTask<'_> {
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
        let Answers { logits, maps } = self.teacher.answers(&batch.images)?;
        let given = StageMaps::new(self.stages);
        let cx = if self.config.compares_maps() {
            cx.with_observer(&given)
        } else {
            *cx
        };
        let outputs = self.task.outputs(&batch.images, &cx)?;
        let own = self.task.losses(&outputs, batch)?;
        let logits = logits.to_dtype(outputs.main.dtype())?;
        let soft = soft_target_loss(&outputs.main, &logits, self.config.temperature)?;
        let share = self.config.logits;
        let mut losses = Losses {
            total: ((own.total * (1. - share))? + (&soft * share)?)?,
            named: own.named,
        }
        .with("soft_loss", value(&soft)?);
        let given = given.into_maps();
        let terms = [
            (
                "attention_loss",
                self.config.attention,
                attention_loss as Compared,
            ),
            ("features_loss", self.config.features, similarity_loss),
        ];
        for (name, weight, loss) in terms {
            if weight > 0. {
                let loss = self.over_pairs(loss, &given, &maps)?;
                losses.total = (losses.total + (&loss * weight)?)?;
                losses = losses.with(name, value(&loss)?);
            }
        }
        Ok(losses)
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

/// A loss between two maps.
type Compared = fn(&FeatureMap, &FeatureMap) -> Result<Tensor, Error>;
