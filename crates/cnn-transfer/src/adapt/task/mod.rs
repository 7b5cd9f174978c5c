//! Training on a domain with labels and one without, batch beside batch.

mod batches;
mod feature_reader;
mod judged;
mod outputs;
mod predictions;
mod with_loss;

use std::sync::Arc;

use candle_core::Tensor;
use cnn_core::Preprocessing;
use cnn_data::{Augmentation, Batch, Dataset, Skipped};
use cnn_layers::{Context, Mode, Store};
use cnn_models::Network;
use cnn_train::{
    CrossEntropy, Epoch, Evaluation, Losses, Progress, Targets, Task, TaskBatches, TrainingImages,
    class_labels, right_predictions,
};

use super::validator::{Judged, JudgedSource};
use super::{FourierStyle, Unlabelled, VALIDATORS, Validator, strong_augmentation};
use crate::Error;
use batches::DomainReaders;
use predictions::Predictions;

pub use feature_reader::FeatureReader;

pub(super) use batches::DomainBatch;
pub(super) use judged::JudgedImages;
pub(super) use outputs::{BOTTLENECK, Outputs, PairOutputs, Place, TwoParts, set_all};
pub(super) use with_loss::WithLoss;

/// The images of a run.
pub(super) struct DomainImages {
    /// `None` where a method does without.
    pub(super) source: Option<SourceImages>,
    pub(super) target: Unlabelled,
    /// Of the target, on which validators look.
    pub(super) target_validation: Unlabelled,
}

/// Images with labels.
#[derive(Clone)]
pub(super) struct SourceImages {
    pub(super) train: Arc<dyn Dataset>,
    pub(super) validation: Arc<dyn Dataset>,
}

/// What of the images an update reads.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reads {
    pub(super) source: bool,
    pub(super) target: bool,
    /// The target's images again, augmented more strongly.
    pub(super) second_view: bool,
}

impl Reads {
    /// The source alone.
    pub(super) fn source() -> Self {
        Self {
            source: true,
            ..Self::default()
        }
    }

    /// The target alone.
    pub(super) fn target() -> Self {
        Self {
            target: true,
            ..Self::default()
        }
    }

    /// Both domains.
    pub(super) fn both() -> Self {
        Self {
            source: true,
            ..Self::target()
        }
    }
}

/// How the task reads images, and how it shows them to the network.
pub(super) struct TaskConfig {
    pub(super) reads: Reads,
    pub(super) batch_size: usize,
    /// Updates of an epoch.
    pub(super) updates: usize,
    /// Whether batch-norm has statistics of each domain.
    pub(super) separate_statistics: bool,
    /// What the source's images take over from the target's.
    pub(super) source_style: Option<FourierStyle>,
    pub(super) validator: Validator,
}

/// Both domains and the network that is trained on them; what is minimised, the method's step says.
pub(super) struct AdaptationTask {
    readers: DomainReaders,
    source_validation: Option<Arc<dyn Dataset>>,
    target: Unlabelled,
    target_validation: Unlabelled,
    preprocessing: Preprocessing,
    train: TwoParts,
    eval: TwoParts,
    /// The same parameters with the source's statistics.
    of_source: Option<SourceStatistics>,
    config: TaskConfig,
    predictions: Option<Predictions>,
}

/// A network whose batch-norm has seen the source alone.
struct SourceStatistics {
    store: Store,
    train: TwoParts,
    eval: TwoParts,
}

impl AdaptationTask {
    pub(super) fn new(
        network: &Network,
        images: DomainImages,
        config: TaskConfig,
    ) -> Result<Self, Error> {
        let record = network.preprocessing();
        let reader = |dataset: &Arc<dyn Dataset>, is_read: bool| {
            is_read.then(|| TrainingImages::new(dataset.clone(), record.clone(), config.batch_size))
        };
        let reads = config.reads;
        let target = images.target.images();
        let second_view = reader(target, reads.second_view);
        let strong = strong_augmentation()?;
        let source = images.source.as_ref();
        let of_source = || -> Result<SourceStatistics, Error> {
            let store = network.store().sharing_parameters()?;
            Ok(SourceStatistics {
                train: TwoParts::build(network, &store, Mode::Train)?,
                eval: TwoParts::build(network, &store, Mode::Eval)?,
                store,
            })
        };
        Ok(Self {
            readers: DomainReaders {
                source: source.and_then(|source| reader(&source.train, reads.source)),
                target: reader(target, reads.target),
                second_view: second_view.map(|images| images.with_augmentation(strong)),
            },
            source_validation: images.source.map(|source| source.validation),
            target: images.target.clone(),
            target_validation: images.target_validation,
            preprocessing: record.clone(),
            train: TwoParts::build(network, network.store(), Mode::Train)?,
            eval: TwoParts::build(network, network.store(), Mode::Eval)?,
            of_source: config.separate_statistics.then(of_source).transpose()?,
            config,
            predictions: None,
        })
    }

    /// What is done to the images of both domains, and to the target's second view.
    pub(super) fn augment(&mut self, both: Augmentation, stronger: Augmentation) {
        let readers = &mut self.readers;
        let with = |images: &mut Option<TrainingImages>, augmentation: &Augmentation| {
            let augmented = |images: TrainingImages| images.with_augmentation(augmentation.clone());
            *images = images.take().map(augmented);
        };
        with(&mut readers.source, &both);
        with(&mut readers.target, &both);
        with(&mut readers.second_view, &stronger);
    }

    /// Writes after each of so many epochs what the network says of these images.
    pub(super) fn predict(&mut self, images: Unlabelled, epochs: usize) -> Result<(), Error> {
        self.predictions = Some(Predictions::new(images, epochs)?);
        Ok(())
    }

    /// The class of each test image after each epoch; nothing where there are no such images.
    pub(super) fn predicted(&self) -> Result<Vec<Vec<Option<u32>>>, Error> {
        let predictions = self.predictions.as_ref();
        predictions.map_or(Ok(Vec::new()), Predictions::all)
    }

    /// Updates before this moment of a run, and in all.
    pub(super) fn place(&self, progress: Progress) -> Place {
        let updates = self.config.updates as f64;
        let iteration = (progress.epoch * updates).round() as usize;
        Place {
            iteration,
            begins_epoch: iteration.is_multiple_of(self.config.updates),
            iterations: (progress.epochs * updates).round().max(1.) as usize,
        }
    }

    /// What the trained network makes of images of the source.
    pub(super) fn source_outputs(
        &self,
        images: &Tensor,
        cx: &Context<'_>,
    ) -> Result<Outputs, Error> {
        let of_source = self.of_source.as_ref();
        let network = of_source.map_or(&self.train, |of_source| &of_source.train);
        network.outputs(images, cx)
    }

    /// What it makes of images of the target.
    pub(super) fn target_outputs(
        &self,
        images: &Tensor,
        cx: &Context<'_>,
    ) -> Result<Outputs, Error> {
        self.train.outputs(images, cx)
    }

    /// The same where nothing but what makes scores of features learns.
    pub(super) fn pair_features(
        &self,
        source: &Tensor,
        target: &Tensor,
        cx: &Context<'_>,
    ) -> Result<PairOutputs, Error> {
        let outputs = self.pair_outputs(source, target, cx)?;
        Ok(PairOutputs {
            source: self.train.scored(&outputs.source.features.detach(), cx)?,
            target: self.train.scored(&outputs.target.features.detach(), cx)?,
        })
    }

    /// What it makes of images of both: as one batch, or each with its own statistics.
    pub(super) fn pair_outputs(
        &self,
        source: &Tensor,
        target: &Tensor,
        cx: &Context<'_>,
    ) -> Result<PairOutputs, Error> {
        if self.of_source.is_some() {
            return Ok(PairOutputs {
                source: self.source_outputs(source, &cx.stream("source"))?,
                target: self.target_outputs(target, &cx.stream("target"))?,
            });
        }
        let joined = Tensor::cat(&[source, target], 0)?;
        let outputs = self.train.outputs(&joined, cx)?;
        let [sources, targets] = [source.dim(0)?, target.dim(0)?];
        Ok(PairOutputs {
            source: outputs.rows(0, sources)?,
            target: outputs.rows(sources, targets)?,
        })
    }

    /// The source's images as they are shown, in the target's style where a method wants that.
    pub(super) fn source_images(&self, batch: &DomainBatch) -> Result<Tensor, Error> {
        let source = read("source", &batch.source)?;
        let Some(style) = self.config.source_style else {
            return Ok(source.images.clone());
        };
        let target = read("target", &batch.target)?;
        style.apply_batch(&source.images, &target.images, &self.preprocessing)
    }

    /// The cross-entropy of the source's labels.
    pub(super) fn source_loss(
        &self,
        batch: &DomainBatch,
        logits: &Tensor,
    ) -> Result<Losses, Error> {
        let labels = class_labels(read("source", &batch.source)?)?;
        let right = right_predictions(logits, &labels)?;
        let top1 = right as f64 / labels.len() as f64;
        let loss = CrossEntropy::default().loss(logits, &Targets::Classes(labels))?;
        Ok(Losses::new(loss).with("top1", top1))
    }

    /// What the network, as it is evaluated, makes of all images of the target.
    pub(super) fn judge_target(&self) -> Result<JudgedImages, Error> {
        self.judge(&self.eval, self.target.images())
    }

    fn judge(&self, network: &TwoParts, images: &Arc<dyn Dataset>) -> Result<JudgedImages, Error> {
        JudgedImages::of(network, images, &self.preprocessing)
    }

    fn evaluation(&self) -> Result<Evaluation, Error> {
        let of_source = self.of_source.as_ref();
        let source_network = of_source.map_or(&self.eval, |of_source| &of_source.eval);
        let source = self.source_validation.as_ref();
        let source = source.map(|images| self.judge(source_network, images));
        let source = source.transpose()?;
        let target = self.judge(&self.eval, self.target_validation.images())?;
        if let Some(predictions) = &self.predictions {
            let test = self.judge(&self.eval, predictions.images.images())?;
            predictions.write(test.predictions())?;
        }
        let mut metrics = Vec::new();
        let of_source = match &source {
            None => None,
            Some(source) => {
                let result = source.measured()?;
                metrics.push(("source_loss".to_string(), result.loss));
                Some(JudgedSource {
                    features: &source.features,
                    losses: source.cross_entropies(),
                    top1: result.top1,
                })
            }
        };
        let judged = Judged {
            source: of_source,
            target_features: &target.features,
            target_logits: &target.logits,
            features: target.columns(&target.features),
            classes: target.columns(&target.logits),
        };
        let mut score = 0.;
        let validators = VALIDATORS.iter();
        for (validator, name) in
            validators.filter(|(one, _)| one.is_possible(judged.source.is_some()))
        {
            let value = validator.score(&judged)?;
            metrics.push((name.to_string(), value));
            if *validator == self.config.validator {
                score = value;
            }
        }
        Ok(Evaluation { score, metrics })
    }
}

/// A part of a batch that a method reads.
pub(super) fn read<'a>(what: &'static str, batch: &'a Option<Batch>) -> Result<&'a Batch, Error> {
    let missing = || Error::argument("batch", "images that were not read", what);
    batch.as_ref().ok_or_else(missing)
}

impl Task for AdaptationTask {
    type Batch = DomainBatch;

    fn batches_per_epoch(&self) -> usize {
        self.config.updates
    }

    fn batches<'a>(
        &'a self,
        epoch: &Epoch,
    ) -> Result<TaskBatches<'a, DomainBatch>, cnn_train::Error> {
        self.readers.batches(epoch, self.config.updates)
    }

    fn samples(&self, batch: &DomainBatch) -> usize {
        batch.samples()
    }

    /// The mean of all scores, whatever a method minimises: what finds the layer of a value that is
    /// not finite goes through the whole network by it.
    fn loss(&self, batch: &DomainBatch, cx: &Context<'_>) -> Result<Losses, cnn_train::Error> {
        let images: Vec<&Tensor> = batch.parts().map(|part| &part.images).collect();
        let outputs = self.train.outputs(&Tensor::cat(&images, 0)?, cx);
        Ok(Losses::new(
            outputs
                .map_err(cnn_train::Error::other)?
                .logits
                .mean_all()?,
        ))
    }

    fn evaluate(&self) -> Result<Evaluation, cnn_train::Error> {
        self.evaluation().map_err(cnn_train::Error::other)
    }

    fn score_name(&self) -> String {
        self.config.validator.name().to_string()
    }

    fn kept(&self) -> Vec<(String, Store)> {
        let predictions = self.predictions.as_ref();
        let of_source = self.of_source.as_ref();
        let kept = [
            (
                "predictions",
                predictions.map(|predictions| &predictions.store),
            ),
            (
                "source_statistics",
                of_source.map(|of_source| &of_source.store),
            ),
        ];
        let named =
            |(name, store): (&str, Option<&Store>)| Some((name.to_string(), store?.clone()));
        kept.into_iter().filter_map(named).collect()
    }

    fn skipped(&self) -> Vec<Skipped> {
        self.readers.skipped()
    }

    fn names(&self, batch: &DomainBatch) -> Vec<String> {
        self.readers.names(batch)
    }
}
