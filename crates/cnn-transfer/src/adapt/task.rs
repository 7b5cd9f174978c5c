//! Training on a domain with labels and one without, batch beside batch.

use std::sync::Arc;

use candle_core::{DType, Tensor};
use cnn_core::Preprocessing;
use cnn_data::{Augmentation, Batch, BatchPlan, Dataset, Skipped};
use cnn_layers::{Context, FeatureMap, Mode, Store};
use cnn_metrics::ClassificationMetrics;
use cnn_models::{Bottlenecked, Network};
use cnn_train::{
    CrossEntropy, Epoch, Evaluation, GradientStep, Losses, Progress, Step, StepReport, Targets,
    Task, TaskBatches, TrainingImages, Update, class_labels, count_predictions, right_predictions,
};

use super::predictions::Predictions;
use super::validator::Judged;
use super::{DomainPair, Domains, TransferLoss, Unlabelled, VALIDATORS, Validator};
use crate::Error;

/// Images per batch of an evaluation.
const EVALUATION_BATCH: usize = 64;

/// A batch of each domain.
pub(super) struct DomainBatch {
    source: Batch,
    target: Batch,
}

/// The images of a run.
pub(super) struct DomainImages {
    pub(super) source: Arc<dyn Dataset>,
    pub(super) target: Unlabelled,
    /// Of the source, with labels.
    pub(super) source_validation: Arc<dyn Dataset>,
    /// Of the target, on which validators look.
    pub(super) target_validation: Unlabelled,
    pub(super) augmentation: Augmentation,
}

/// The cross-entropy of the source, and what a method adds to it.
pub(super) struct AdaptationTask {
    source: TrainingImages,
    target: TrainingImages,
    source_validation: Arc<dyn Dataset>,
    target_validation: Unlabelled,
    preprocessing: Preprocessing,
    train: Bottlenecked,
    eval: Bottlenecked,
    transfer: Option<Box<dyn TransferLoss>>,
    trade_off: f64,
    /// Updates of an epoch.
    updates: usize,
    validator: Validator,
    predictions: Option<Predictions>,
}

/// What is minimised, and how an epoch is chosen.
pub(super) struct Objective {
    pub(super) transfer: Option<Box<dyn TransferLoss>>,
    pub(super) trade_off: f64,
    pub(super) validator: Validator,
}

impl AdaptationTask {
    pub(super) fn new(
        network: &Network,
        images: DomainImages,
        objective: Objective,
        batch_size: usize,
        updates: usize,
    ) -> Result<Self, Error> {
        let build = |mode| {
            let root = network.store().builder(mode);
            Bottlenecked::build(&network.config().model, &root)
        };
        let record = network.preprocessing();
        let batches = |dataset: &Arc<dyn Dataset>| {
            TrainingImages::new(dataset.clone(), record.clone(), batch_size)
                .with_augmentation(images.augmentation.clone())
        };
        Ok(Self {
            source: batches(&images.source),
            target: batches(images.target.images()),
            source_validation: images.source_validation,
            target_validation: images.target_validation,
            preprocessing: record.clone(),
            train: build(Mode::Train)?,
            eval: build(Mode::Eval)?,
            transfer: objective.transfer,
            trade_off: objective.trade_off,
            validator: objective.validator,
            updates,
            predictions: None,
        })
    }

    /// Writes after each of so many epochs what the network says of these images.
    pub(super) fn predict(&mut self, images: Unlabelled, epochs: usize) -> Result<(), Error> {
        self.predictions = Some(Predictions::new(images, epochs)?);
        Ok(())
    }

    /// The class of each test image after each epoch; nothing where there are no such images.
    pub(super) fn predicted(&self) -> Result<Vec<Vec<Option<u32>>>, Error> {
        self.predictions
            .as_ref()
            .map_or(Ok(Vec::new()), Predictions::all)
    }

    /// What is trained beside the network.
    pub(super) fn trained_beside(&self) -> Option<&Store> {
        self.transfer.as_ref().and_then(|loss| loss.trained())
    }

    fn losses_at(
        &self,
        batch: &DomainBatch,
        progress: Progress,
        cx: &Context<'_>,
    ) -> Result<Losses, Error> {
        let labels = class_labels(&batch.source)?;
        let images = match self.transfer {
            Some(_) => Tensor::cat(&[&batch.source.images, &batch.target.images], 0)?,
            None => batch.source.images.clone(),
        };
        let features = self.train.features(&FeatureMap::from_nhwc(&images)?, cx)?;
        let logits = self.train.scores(&features, cx)?;
        let of_source = logits.narrow(0, 0, labels.len())?;
        let right = right_predictions(&of_source, &labels)?;
        let top1 = right as f64 / labels.len() as f64;
        let targets = Targets::Classes(labels);
        let source_loss = CrossEntropy::default().loss(&of_source, &targets)?;
        let Some(transfer) = &self.transfer else {
            return Ok(Losses::new(source_loss).with("top1", top1));
        };
        let [source, target] = [batch.source.len(), batch.target.len()];
        let rows = |xs: &Tensor| -> Result<[Tensor; 2], Error> {
            Ok([xs.narrow(0, 0, source)?, xs.narrow(0, source, target)?])
        };
        let [source_features, target_features] = rows(&features)?;
        let [source_logits, target_logits] = rows(&logits)?;
        let pair = DomainPair {
            features: Domains {
                source: &source_features,
                target: &target_features,
            },
            logits: Domains {
                source: &source_logits,
                target: &target_logits,
            },
            iteration: (progress.epoch * self.updates as f64).round() as usize,
            iterations: (progress.epochs * self.updates as f64).round().max(1.) as usize,
        };
        let transferred = transfer.loss(&pair, &cx.stream("transfer"))?;
        let value = transferred.total.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let total = (source_loss + (transferred.total * self.trade_off)?)?;
        let mut losses = Losses::new(total)
            .with("top1", top1)
            .with("transfer_loss", value);
        losses.named.extend(transferred.named);
        Ok(losses)
    }

    /// Features and scores of images, row by row, with the labels of those that have one.
    fn judge(&self, images: &Arc<dyn Dataset>) -> Result<JudgedImages, Error> {
        let plan = BatchPlan::new(images.clone(), self.preprocessing.clone())
            .with_batch_size(EVALUATION_BATCH);
        let mut judged = JudgedImages::default();
        let cx = Context::eval();
        for batch in plan.start()? {
            let batch = batch?;
            let features = self
                .eval
                .features(&FeatureMap::from_nhwc(&batch.images)?, &cx)?;
            let logits = self.eval.scores(&features, &cx)?;
            let values = |xs: &Tensor| xs.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
            judged.features.extend(values(&features)?);
            judged.logits.extend(values(&logits)?);
            judged.indices.extend(&batch.indices);
            let labels = batch.labels.iter().flatten();
            judged.labels.extend(labels.map(|&label| label as u32));
        }
        Ok(judged)
    }
}

/// What the network makes of images.
#[derive(Default)]
struct JudgedImages {
    features: Vec<f32>,
    logits: Vec<f32>,
    labels: Vec<u32>,
    /// Which images these are.
    indices: Vec<usize>,
}

impl JudgedImages {
    /// The class of each image, of so many classes.
    fn predictions(&self, classes: usize) -> impl Iterator<Item = (usize, u32)> {
        let best = |row: &[f32]| {
            let mut best = 0;
            for (class, score) in row.iter().enumerate() {
                if *score > row[best] {
                    best = class;
                }
            }
            best as u32
        };
        let rows = self.logits.chunks_exact(classes).map(best);
        self.indices.iter().copied().zip(rows)
    }
}

impl Task for AdaptationTask {
    type Batch = DomainBatch;

    fn batches_per_epoch(&self) -> usize {
        self.updates
    }

    fn batches<'a>(
        &'a self,
        epoch: &Epoch,
    ) -> Result<TaskBatches<'a, DomainBatch>, cnn_train::Error> {
        let of_domain = |images: &'a TrainingImages, name: &str| {
            let key = epoch.key.stream(name);
            images.repeated(&Epoch { key, ..*epoch }, self.updates)
        };
        let source = of_domain(&self.source, "source")?;
        let target = of_domain(&self.target, "target")?;
        let pair = |(source, target): (Result<Batch, _>, Result<Batch, _>)| {
            Ok(DomainBatch {
                source: source?,
                target: target?,
            })
        };
        Ok(Box::new(source.zip(target).map(pair)))
    }

    fn samples(&self, batch: &DomainBatch) -> usize {
        // A pair of which one half could not be read is no pair.
        if batch.target.is_empty() {
            return 0;
        }
        batch.source.len()
    }

    fn loss(&self, batch: &DomainBatch, cx: &Context<'_>) -> Result<Losses, cnn_train::Error> {
        let start = Progress {
            epoch: 0.,
            epochs: 1.,
        };
        self.losses_at(batch, start, cx).map_err(other)
    }

    fn evaluate(&self) -> Result<Evaluation, cnn_train::Error> {
        let source = self.judge(&self.source_validation).map_err(other)?;
        let target = self.judge(self.target_validation.images()).map_err(other)?;
        let classes = source.logits.len() / source.labels.len().max(1);
        let features = source.features.len() / source.labels.len().max(1);
        let mut metrics = ClassificationMetrics::new(classes)?;
        let logits = Tensor::from_slice(
            &source.logits,
            (source.labels.len(), classes),
            &candle_core::Device::Cpu,
        )?;
        count_predictions(&mut metrics, &logits, &source.labels)?;
        let result = metrics.result()?;
        let losses: Vec<f64> = source
            .logits
            .chunks_exact(classes)
            .zip(&source.labels)
            .map(|(row, &label)| cross_entropy(row, label))
            .collect();
        let judged = Judged {
            source_features: &source.features,
            source_losses: &losses,
            source_top1: result.top1,
            target_features: &target.features,
            target_logits: &target.logits,
            features,
            classes,
        };
        if let Some(predictions) = &self.predictions {
            let test = self.judge(predictions.images.images()).map_err(other)?;
            predictions
                .write(test.predictions(classes))
                .map_err(other)?;
        }
        let mut metrics = vec![("source_loss".to_string(), result.loss)];
        let mut score = 0.;
        for (validator, name) in VALIDATORS {
            let value = validator.score(&judged).map_err(other)?;
            metrics.push((name.to_string(), value));
            if validator == self.validator {
                score = value;
            }
        }
        Ok(Evaluation { score, metrics })
    }

    fn score_name(&self) -> String {
        self.validator.name().to_string()
    }

    fn kept(&self) -> Vec<(String, Store)> {
        let beside = self.trained_beside();
        let predictions = self.predictions.as_ref();
        let kept = [
            ("transfer", beside),
            (
                "predictions",
                predictions.map(|predictions| &predictions.store),
            ),
        ];
        let named =
            |(name, store): (&str, Option<&Store>)| Some((name.to_string(), store?.clone()));
        kept.into_iter().filter_map(named).collect()
    }

    fn skipped(&self) -> Vec<Skipped> {
        let mut skipped = self.source.skipped();
        skipped.extend(self.target.skipped());
        skipped
    }

    fn names(&self, batch: &DomainBatch) -> Vec<String> {
        let mut names = self.source.names(&batch.source);
        names.extend(self.target.names(&batch.target));
        names
    }
}

/// `ln Σ e^z − z` of the label.
fn cross_entropy(row: &[f32], label: u32) -> f64 {
    let largest = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let sum: f64 = row.iter().map(|&z| f64::from(z - largest).exp()).sum();
    sum.ln() - f64::from(row[label as usize] - largest)
}

fn other(error: Error) -> cnn_train::Error {
    cnn_train::Error::other(error)
}

/// Tells the task how far the run has come, which decides how much a method counts.
pub(super) struct AdaptationStep {
    pub(super) step: GradientStep,
}

/// The task at a place of the run.
struct AtProgress<'a> {
    task: &'a AdaptationTask,
    progress: Progress,
}

impl Task for AtProgress<'_> {
    type Batch = DomainBatch;

    fn batches_per_epoch(&self) -> usize {
        self.task.batches_per_epoch()
    }

    fn batches<'a>(
        &'a self,
        epoch: &Epoch,
    ) -> Result<TaskBatches<'a, DomainBatch>, cnn_train::Error> {
        self.task.batches(epoch)
    }

    fn samples(&self, batch: &DomainBatch) -> usize {
        self.task.samples(batch)
    }

    fn loss(&self, batch: &DomainBatch, cx: &Context<'_>) -> Result<Losses, cnn_train::Error> {
        self.task.losses_at(batch, self.progress, cx).map_err(other)
    }

    fn evaluate(&self) -> Result<Evaluation, cnn_train::Error> {
        self.task.evaluate()
    }

    fn names(&self, batch: &DomainBatch) -> Vec<String> {
        self.task.names(batch)
    }
}

impl Step<AdaptationTask> for AdaptationStep {
    fn step(
        &mut self,
        task: &AdaptationTask,
        batches: &[DomainBatch],
        update: &mut Update<'_>,
    ) -> Result<StepReport, cnn_train::Error> {
        let now = AtProgress {
            task,
            progress: update.progress,
        };
        self.step.step(&now, batches, update)
    }
}
