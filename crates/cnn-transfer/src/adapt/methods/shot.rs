//! The target alone, by a head that stays (Liang et al. 2020, "SHOT", arXiv:2002.08546): features
//! learn to give sure predictions of all classes, and those labels that they suggest themselves.

use candle_core::{Device, Tensor};
use cnn_layers::{Buffer, Context, Init, Mode, Store};
use cnn_train::{
    CrossEntropy, Error as TrainError, GradientStep, Losses, Step, StepReport, Targets, Update,
};

use super::super::losses::information_maximization;
use super::super::task::{AdaptationTask, DomainBatch, Reads, WithLoss, read};
use super::super::{FeaturesAndLogits, centroid_labels};
use super::{Learning, Recipe, Setting};
use crate::Error;

/// How much the suggested labels count beside the information; the authors' for photos.
const LABELS_WEIGHT: f64 = 0.3;

struct ShotStep {
    trade_off: f64,
    store: Store,
    /// The label of each image of the target, which stays for an epoch; those that could not be
    /// read have 0 and are in no batch.
    labels: Buffer,
}

impl Recipe {
    /// Information and suggested labels, on so many images.
    pub(in super::super) fn shot(setting: &Setting<'_>, images: usize) -> Result<Self, Error> {
        let store = Store::new(0);
        let root = store.builder(Mode::Eval);
        let step = ShotStep {
            trade_off: setting.trade_off,
            labels: root.buffer("labels", &[images], Init::ZEROS)?,
            store,
        };
        Ok(Self {
            learning: Learning::Features,
            ..Self::new(step, Reads::target())
        })
    }
}

impl ShotStep {
    /// Takes the labels that the features suggest now.
    fn suggest(&self, task: &AdaptationTask) -> Result<(), Error> {
        let judged = task.judge_target()?;
        let suggested = centroid_labels(FeaturesAndLogits {
            features: &judged.features,
            logits: &judged.logits,
            images: judged.indices.len(),
        })?;
        let mut labels = vec![0f32; self.labels.get().dim(0)?];
        for (image, label) in judged.indices.iter().zip(suggested) {
            labels[*image] = label as f32;
        }
        Ok(self.labels.set(&Tensor::new(labels, &Device::Cpu)?)?)
    }

    fn losses(
        &self,
        task: &AdaptationTask,
        batch: &DomainBatch,
        cx: &Context<'_>,
    ) -> Result<Losses, Error> {
        let batch = read("target", &batch.target)?;
        let logits = task.target_outputs(&batch.images, cx)?.logits;
        let all = self.labels.get().to_vec1::<f32>()?;
        let labels = batch.indices.iter().map(|&image| all[image] as u32);
        let labels = Targets::Classes(labels.collect());
        let of_labels = CrossEntropy::default().loss(&logits, &labels)?;
        let information = information_maximization(&logits)?;
        let value = information.to_dtype(candle_core::DType::F64)?;
        let total = ((information * self.trade_off)? + (of_labels * LABELS_WEIGHT)?)?;
        Ok(Losses::new(total).with("transfer_loss", value.to_scalar::<f64>()?))
    }
}

impl Step<AdaptationTask> for ShotStep {
    fn step(
        &mut self,
        task: &AdaptationTask,
        batches: &[DomainBatch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, TrainError> {
        if task.place(update.progress).begins_epoch {
            self.suggest(task).map_err(TrainError::other)?;
        }
        let loss = |batch: &DomainBatch, cx: &Context<'_>| self.losses(task, batch, cx);
        GradientStep::default().step(&WithLoss { task, loss: &loss }, batches, update)
    }

    fn kept(&self) -> Vec<(String, Store)> {
        vec![("suggested".to_string(), self.store.clone())]
    }
}
