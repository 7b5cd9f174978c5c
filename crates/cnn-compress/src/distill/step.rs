//! A training step of a network that learns of another.

use candle_core::{Device, Tensor};
use cnn_data::Batch;
use cnn_layers::{FeatureMap, StageInfo};
use cnn_models::Network;
use cnn_train::{Classification, Error as TrainError, GradientStep, Step, StepReport, Update};

use super::config::Distillation;
use super::stages::{StageLayers, StagePair, stage_pairs};
use super::task::DistillationTask;
use super::teacher::Teacher;
use crate::Error;

/// A step of [`Classification`] of a network that also learns what a teacher answers, in place of
/// [`GradientStep`].
///
/// The teacher is any network of the same classes; it sees the student's images, augmented and
/// mixed as they are, brought to its own normalisation and size. It computes in evaluation and does
/// not change. Auxiliary heads of the student learn from the labels.
///
/// The reports say `soft_loss`, and `attention_loss` and `features_loss` where those count.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_compress::{Distillation, DistillationStep};
/// use cnn_data::{Shapes, ShapesConfig, Split};
/// use cnn_models::{ModelConfig, Network};
/// use cnn_train::{Classification, TrainConfig, Trainer};
///
/// let network = |seed| Network::new("resnet8_cifar10", &ModelConfig::default(), seed);
/// let [teacher, student] = [network(0)?, network(1)?];
/// let shapes = |split| {
///     Shapes::new(ShapesConfig::default().with_split(split).with_samples(12)).map(Arc::new)
/// };
/// let [train, val] = [shapes(Split::Train)?, shapes(Split::Val)?];
/// let record = student.preprocessing().clone();
/// let task = Classification::new(train, val, record, |mode| student.build(mode))?
///     .with_batch_size(6)?;
/// let mut step = DistillationStep::new(Distillation::default(), &teacher, &student)?;
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// Trainer::new(TrainConfig::new(1), student.store(), directory).run(&task, &mut step)?;
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct DistillationStep {
    config: Distillation,
    step: GradientStep,
    teacher: Teacher,
    /// Of the student.
    stages: StageLayers,
    pairs: Vec<StagePair>,
}

impl DistillationStep {
    /// Teaches a student, which the task trains.
    ///
    /// # Errors
    /// As [`Distillation::check`]; [`Error::Argument`] if the networks' images have other channels,
    /// their classes differ, or maps are to be compared and no stages work at one resolution; and
    /// if the teacher cannot be built.
    pub fn new(config: Distillation, teacher: &Network, student: &Network) -> Result<Self, Error> {
        config.check()?;
        check_classes(teacher, student)?;
        let teacher = Teacher::new(teacher, student.preprocessing())?;
        let stages = student.model().stages();
        let pairs = stage_pairs(stages, teacher.stages());
        if pairs.is_empty() && config.compares_maps() {
            let of = |stages: &[StageInfo]| {
                let reductions = stages.iter().map(|stage| stage.reduction.to_string());
                reductions.collect::<Vec<_>>().join(", ")
            };
            return Err(Error::Argument {
                what: "the teacher's reductions",
                found: of(teacher.stages()),
                expected: format!("one of the student's, {}", of(stages)),
            });
        }
        let [channels, rows, columns] = student.preprocessing().input_size;
        let dtype = student.store().dtype();
        let image = Tensor::zeros((1, rows, columns, channels), dtype, &Device::Cpu)?;
        let image = FeatureMap::from_nhwc(&image)?;
        Ok(Self {
            config,
            step: GradientStep::default(),
            teacher,
            stages: StageLayers::of(student.model(), &image)?,
            pairs,
        })
    }

    /// Clips the gradients as this step does.
    #[must_use]
    pub fn with_step(self, step: GradientStep) -> Self {
        Self { step, ..self }
    }
}

/// Both have as many classes, of the same names where both have names.
fn check_classes(teacher: &Network, student: &Network) -> Result<(), Error> {
    let refused = |what, found: String, expected: String| {
        Err(Error::Argument {
            what,
            found,
            expected,
        })
    };
    let [of_teacher, of_student] = [teacher, student].map(|network| network.model().num_classes());
    if of_teacher != of_student {
        let expected = format!("{of_student}, as the student's");
        return refused("the teacher's classes", of_teacher.to_string(), expected);
    }
    let names = teacher.label_names().zip(student.label_names());
    let mut named = names
        .into_iter()
        .flat_map(|(own, other)| own.iter().zip(other));
    match named.find(|(own, other)| own != other) {
        Some((own, other)) => {
            let expected = format!("`{other}`, as the student's");
            refused("a class of the teacher", format!("`{own}`"), expected)
        }
        None => Ok(()),
    }
}

impl Step<Classification> for DistillationStep {
    fn step(
        &mut self,
        task: &Classification,
        batches: &[Batch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, TrainError> {
        let task = DistillationTask {
            task,
            config: self.config,
            teacher: &self.teacher,
            stages: &self.stages,
            pairs: &self.pairs,
        };
        self.step.step(&task, batches, update)
    }
}
