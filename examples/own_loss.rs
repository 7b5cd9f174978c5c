//! A loss and a metric of one's own: the focal loss, and how many answers are surer than a half.
//!
//! `cargo run -p cnn-examples --example own_loss` prints a line per epoch; the last column before
//! the seconds is the metric.
#![forbid(unsafe_code)]

use std::sync::Arc;

use anyhow::Result;
use candle_core::Tensor;
use cnn_core::RunDir;
use cnn_data::{Shapes, ShapesConfig, Split};
use cnn_models::{ModelConfig, Network};
use cnn_train::{
    Classification, Error, GradientStep, Metric, Notice, Targets, TrainConfig, Trainer, log_softmax,
};

/// Cross-entropy that counts what is right already for less (Lin et al. 2017).
fn focal(logits: &Tensor, targets: &Targets) -> Result<Tensor, Error> {
    let (samples, classes) = logits.dims2()?;
    let log = log_softmax(logits)?;
    let wrong = (1. - log.exp()?)?.sqr()?;
    let losses = (targets.distributions(classes)? * wrong * log)?;
    Ok((losses.sum_all()? / -(samples as f64))?)
}

#[derive(Default)]
struct Sure {
    sure: usize,
    all: usize,
}

impl Metric for Sure {
    fn update(&mut self, logits: &Tensor, labels: &[u32]) -> Result<(), Error> {
        let highest = log_softmax(logits)?.exp()?.max(1)?.to_vec1::<f32>()?;
        self.sure += highest
            .iter()
            .filter(|probability| **probability > 0.5)
            .count();
        self.all += labels.len();
        Ok(())
    }

    fn value(&self) -> f64 {
        self.sure as f64 / self.all as f64
    }
}

fn main() -> Result<()> {
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
    let shapes = |samples, split| {
        Shapes::new(
            ShapesConfig::default()
                .with_samples(samples)
                .with_split(split),
        )
        .map(Arc::new)
    };
    let train = shapes(500, Split::Train)?;
    let val = shapes(200, Split::Val)?;
    let task = Classification::new(train, val, network.preprocessing().clone(), |mode| {
        network.build(mode)
    })?
    .with_loss(focal)
    .with_metric("sure", Sure::default);
    let run = RunDir::create(&std::env::temp_dir().join("runs"), "train", "focal")?;
    Trainer::new(TrainConfig::new(3), network.store(), run.path())
        .with_listener(|notice| {
            if let Notice::Epoch { record, .. } = notice {
                println!("{record}");
            }
        })
        .run(&task, &mut GradientStep::default())?;
    Ok(())
}
