//! Training a head on features that do not change.

use std::sync::Arc;

use candle_core::{Device, Tensor};
use cnn_data::Dataset;
use cnn_layers::{Classifier, Context, FeatureMap, Mode};
use cnn_metrics::ClassificationMetrics;
use cnn_models::Network;
use cnn_train::{CrossEntropy, Epoch, Error, Evaluation, Losses, Targets, Task, TaskBatches};

use crate::Features;

/// Images per batch of the evaluation.
const EVALUATION_BATCH: usize = 256;

/// Telling classes apart by the features of a frozen backbone.
pub(crate) struct HeadTask {
    train: Labelled,
    val: Labelled,
    model_train: Box<dyn Classifier>,
    model_eval: Box<dyn Classifier>,
    batch_size: usize,
    loss: CrossEntropy,
}

struct Labelled {
    maps: Tensor,
    labels: Vec<u32>,
    names: Vec<String>,
}

/// Head inputs, their labels, and which they are.
pub(crate) struct FeatureBatch {
    maps: FeatureMap,
    labels: Vec<u32>,
    places: Vec<u32>,
}

impl Labelled {
    fn new(features: Features, dataset: &Arc<dyn Dataset>) -> Result<Self, crate::Error> {
        let label = |&index: &usize| {
            let label = dataset.label(index).map(|label| label as u32);
            label.ok_or_else(|| {
                crate::Error::argument(
                    "labels",
                    format!("none of {}", dataset.id(index)),
                    "one for each image",
                )
            })
        };
        let labels = features
            .indices
            .iter()
            .map(label)
            .collect::<Result<_, _>>()?;
        let names = features
            .indices
            .iter()
            .map(|&index| dataset.id(index))
            .collect();
        Ok(Self {
            maps: features.maps,
            labels,
            names,
        })
    }

    fn select(&self, places: Vec<u32>) -> Result<FeatureBatch, Error> {
        let labels = places
            .iter()
            .map(|&place| self.labels[place as usize])
            .collect();
        let maps = self
            .maps
            .index_select(&Tensor::new(places.as_slice(), &Device::Cpu)?, 0)?;
        Ok(FeatureBatch {
            maps: FeatureMap::from_nhwc(&maps)?,
            labels,
            places,
        })
    }
}

impl HeadTask {
    /// The network's store says what is trained; the features are of its backbone.
    pub(crate) fn new(
        network: &Network,
        train: (Features, &Arc<dyn Dataset>),
        val: (Features, &Arc<dyn Dataset>),
        batch_size: usize,
        loss: CrossEntropy,
    ) -> Result<Self, crate::Error> {
        let train = Labelled::new(train.0, train.1)?;
        let val = Labelled::new(val.0, val.1)?;
        let model_train = network.build(Mode::Train)?;
        let model_eval = network.build(Mode::Eval)?;
        let batch_size = batch_size.min(train.labels.len());
        Ok(Self {
            train,
            val,
            model_train,
            model_eval,
            batch_size,
            loss,
        })
    }
}

impl Task for HeadTask {
    type Batch = FeatureBatch;

    fn batches_per_epoch(&self) -> usize {
        self.train.labels.len() / self.batch_size
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, FeatureBatch>, Error> {
        let order = epoch
            .key
            .stream("order")
            .rng()
            .permutation(self.train.labels.len());
        let batches = (epoch.start..self.batches_per_epoch()).map(move |batch| {
            let places = &order[batch * self.batch_size..(batch + 1) * self.batch_size];
            self.train
                .select(places.iter().map(|&place| place as u32).collect())
        });
        Ok(Box::new(batches))
    }

    fn samples(&self, batch: &FeatureBatch) -> usize {
        batch.labels.len()
    }

    fn loss(&self, batch: &FeatureBatch, cx: &Context<'_>) -> Result<Losses, Error> {
        let logits = self.model_train.forward_head(&batch.maps, cx)?;
        let right = cnn_train::right_predictions(&logits, &batch.labels)?;
        let loss = self
            .loss
            .loss(&logits, &Targets::Classes(batch.labels.clone()))?;
        Ok(Losses::new(loss).with("top1", right as f64 / batch.labels.len() as f64))
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        let mut metrics = ClassificationMetrics::new(self.model_eval.num_classes())?;
        let all: Vec<u32> = (0..self.val.labels.len() as u32).collect();
        for places in all.chunks(EVALUATION_BATCH) {
            let batch = self.val.select(places.to_vec())?;
            let logits = self
                .model_eval
                .forward_head(&batch.maps, &Context::eval())?;
            cnn_train::count_predictions(&mut metrics, &logits, &batch.labels)?;
        }
        Ok(Evaluation::from(&metrics.result()?))
    }

    fn score_name(&self) -> String {
        "top1".to_string()
    }

    fn names(&self, batch: &FeatureBatch) -> Vec<String> {
        batch
            .places
            .iter()
            .map(|&place| self.train.names[place as usize].clone())
            .collect()
    }
}
