//! Digits of MNIST, and a small network that learns them within seconds.
#![allow(dead_code)]

use std::sync::Arc;

use cnn_data::{BatchPlan, Dataset, Split, Subset, open_dataset};
use cnn_layers::Mode;
use cnn_models::{ModelConfig, Network};
use cnn_robust::attack::AttackBatch;
use cnn_robust::defence::{AdversarialConfig, AdversarialStep};
use cnn_robust::{Images, PixelClassifier};
use cnn_train::{Classification, GradientStep, OptimizerConfig, Step, TrainConfig, Trainer};

use crate::common::shared;

const BATCH: usize = 50;

/// So many digits, spread over a split.
pub(crate) fn digits(split: Split, count: usize) -> Option<Arc<dyn Dataset>> {
    let dataset = open_dataset(&shared("data/mnist")?, split).unwrap();
    Some(Arc::new(Subset::spread(dataset, count).unwrap()))
}

/// LeNet-5 that has learnt nothing.
pub(crate) fn network() -> Network {
    Network::new("lenet5", &ModelConfig::default(), 0).unwrap()
}

/// Some epochs over `train`, as it is or under attack.
pub(crate) fn learn(
    network: &Network,
    train: &Arc<dyn Dataset>,
    epochs: usize,
    adversarial: Option<AdversarialConfig>,
) {
    let record = network.preprocessing().clone();
    let build = |mode| network.build(mode);
    let val = Arc::new(Subset::spread(train.clone(), 10).unwrap());
    let task = Classification::new(train.clone(), val, record.clone(), build).unwrap();
    let task = task.with_batch_size(BATCH).unwrap();
    let mut step: Box<dyn Step<Classification>> = match adversarial {
        Some(config) => {
            let attacked = network.build(Mode::Eval).unwrap();
            Box::new(AdversarialStep::new(config, attacked, &record, BATCH).unwrap())
        }
        None => Box::new(GradientStep::default()),
    };
    let directory = tempfile::tempdir().unwrap();
    let config = TrainConfig {
        optimizer: OptimizerConfig::adam(),
        learning_rate: 0.002,
        ..TrainConfig::new(epochs)
    };
    let mut trainer = Trainer::new(config, network.store(), directory.path());
    trainer.run(&task, step.as_mut()).unwrap();
}

pub(crate) fn model(network: &Network) -> PixelClassifier<'_> {
    PixelClassifier::new(network.model(), network.preprocessing()).unwrap()
}

/// All digits of a dataset as one batch under attack.
pub(crate) fn batch(digits: &Arc<dyn Dataset>, network: &Network) -> AttackBatch<'static> {
    let record = cnn_core::Preprocessing {
        mean: vec![0.],
        std: vec![1.],
        ..network.preprocessing().clone()
    };
    let plan = BatchPlan::new(digits.clone(), record).with_batch_size(digits.len());
    let batch = plan.start().unwrap().next().unwrap().unwrap();
    let labels = batch.labels.iter().map(|label| label.unwrap() as u32);
    let images = Images::from_nhwc(&batch.images).unwrap();
    AttackBatch::new(images, labels.collect()).unwrap()
}
