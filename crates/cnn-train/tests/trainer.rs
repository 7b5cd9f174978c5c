//! The training loop on a task of two loaders at once: interruption, resuming, guards, logs.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use cnn_core::Key;
use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Context, Conv2dConfig, ConvNormActConfig, Dropout,
    FeatureMap, GlobalAvgPool2d, Layer, Linear, LinearConfig, Mode, Padding, Sequential, Store,
};
use cnn_train::{
    CrossEntropy, Epoch, Error, Evaluation, GradientStep, Losses, Notice, Optimizer,
    OptimizerConfig, Progress, Rates, Step, Targets, Task, TaskBatches, TrainConfig, Trainer,
    Update, decay_groups,
};

struct Net {
    stem: Sequential,
    features: Sequential,
    dropout: Dropout,
    head: Linear,
}

impl Net {
    fn build(store: &Store, mode: Mode) -> Self {
        let root = store.builder(mode);
        let conv = |from, to| Conv2dConfig::new(from, to, 3).with_padding(Padding::all(1));
        let at = root.pp("stem");
        let unit = ConvNormActConfig::new(conv(1, 4), BatchNorm2dConfig::new(4), Activation::Relu);
        let stem = Sequential::new().add(unit.build(&at.pp("conv"), &at.pp("bn")).unwrap());
        let features = Sequential::new()
            .add(conv(4, 6).build(&root.pp("conv2")).unwrap())
            .add(Activate::new(Activation::Relu, &root.pp("act2")))
            .add(GlobalAvgPool2d::new().at(&root.pp("pool")));
        let dropout = Dropout::new(0.2, &root.pp("drop")).unwrap();
        let head = LinearConfig::new(6, 2).build(&root.pp("head")).unwrap();
        Self {
            stem,
            features,
            dropout,
            head,
        }
    }

    fn forward(&self, xs: &Tensor, cx: &Context<'_>) -> candle_core::Result<Tensor> {
        let xs = self.stem.forward(&FeatureMap::from_nhwc(xs)?, cx)?;
        let xs = self.features.forward(&xs, cx)?.flatten()?;
        self.head
            .forward(&self.dropout.forward_vectors(&xs, cx)?, cx)
    }
}

/// Labelled images with light or dark centres, and unlabelled ones of twice the contrast whose mean
/// logits should be as near.
struct TwoDomains {
    train: Net,
    eval: Net,
    batches: usize,
}

struct Pair {
    source: Tensor,
    labels: Vec<u32>,
    target: Tensor,
}

fn images(key: Key, contrast: f32) -> (Tensor, Vec<u32>) {
    let mut rng = key.rng();
    let labels: Vec<u32> = (0..8).map(|_| rng.below(2) as u32).collect();
    let mut values = vec![0f32; 8 * 5 * 7];
    rng.fill_normal(&mut values, 0., 0.3);
    for (image, &label) in values.chunks_mut(35).zip(&labels) {
        image[17] += contrast * (2. * label as f32 - 1.) * 2.;
    }
    (
        Tensor::from_vec(values, (8, 5, 7, 1), &Device::Cpu).unwrap(),
        labels,
    )
}

impl Task for TwoDomains {
    type Batch = Pair;

    fn batches_per_epoch(&self) -> usize {
        self.batches
    }

    fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, Pair>, Error> {
        let key = epoch.key;
        let source = (epoch.start..self.batches)
            .map(move |batch| images(key.stream("source").at(batch as u64), 1.));
        let target = (epoch.start..self.batches)
            .map(move |batch| images(key.stream("target").at(batch as u64), 2.).0);
        Ok(Box::new(source.zip(target).map(
            |((source, labels), target)| {
                Ok(Pair {
                    source,
                    labels,
                    target,
                })
            },
        )))
    }

    fn samples(&self, batch: &Pair) -> usize {
        batch.labels.len()
    }

    fn loss(&self, batch: &Pair, cx: &Context<'_>) -> Result<Losses, Error> {
        let source = self.train.forward(&batch.source, cx)?;
        let target = self.train.forward(&batch.target, cx)?;
        let task =
            CrossEntropy::default().loss(&source, &Targets::Classes(batch.labels.clone()))?;
        let gap = (source.mean(0)? - target.mean(0)?)?.sqr()?.sum_all()?;
        let gap_value = f64::from(gap.to_scalar::<f32>()?);
        Ok(Losses::new((task + (gap * 0.1)?)?).with("gap", gap_value))
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        let (xs, labels) = images(Key::new(99), 1.);
        let logits = self.eval.forward(&xs, &Context::eval())?.to_vec2::<f32>()?;
        let right = logits
            .iter()
            .zip(&labels)
            .filter(|(row, label)| (row[1] > row[0]) == (**label == 1))
            .count();
        let top1 = right as f64 / 8.;
        Ok(Evaluation {
            score: top1,
            metrics: vec![("top1".into(), top1)],
        })
    }

    fn score_name(&self) -> String {
        "top1".to_string()
    }

    fn names(&self, batch: &Pair) -> Vec<String> {
        vec![format!("a pair of {} images", batch.labels.len())]
    }
}

fn task(store: &Store) -> TwoDomains {
    TwoDomains {
        train: Net::build(store, Mode::Train),
        eval: Net::build(store, Mode::Eval),
        batches: 7,
    }
}

fn config(epochs: usize) -> TrainConfig {
    TrainConfig {
        learning_rate: 0.05,
        weight_decay: 1e-4,
        accumulation: 2,
        ..TrainConfig::new(epochs)
    }
}

fn bytes(directory: &Path, file: &str) -> Vec<u8> {
    std::fs::read(directory.join(file)).unwrap()
}

/// The table without the last column, which holds seconds.
fn metrics(directory: &Path) -> Vec<String> {
    let text = String::from_utf8(bytes(directory, "metrics.csv")).unwrap();
    text.lines()
        .map(|line| line.rsplit_once(',').unwrap().0.to_string())
        .collect()
}

#[test]
fn a_run_interrupted_after_every_update_ends_in_the_same_bytes() {
    let whole = tempfile::tempdir().unwrap();
    let parts = tempfile::tempdir().unwrap();
    let store = Store::new(1);
    let summary = Trainer::new(config(3), &store, whole.path())
        .run(&task(&store), &mut GradientStep::default())
        .unwrap();
    assert!(!summary.interrupted && summary.epochs == 3 && summary.samples == 3 * 7 * 8);

    let mut sittings = 0;
    loop {
        // A new process would start from fresh weights.
        let store = Store::new(1);
        let interrupt = Arc::new(AtomicBool::new(false));
        let flag = interrupt.clone();
        let summary = Trainer::new(config(3), &store, parts.path())
            .with_interrupt(interrupt)
            .with_listener(move |notice| {
                flag.store(matches!(notice, Notice::Update { .. }), Ordering::Relaxed)
            })
            .run(&task(&store), &mut GradientStep::default())
            .unwrap();
        sittings += 1;
        if !summary.interrupted {
            break;
        }
    }
    assert!(sittings > 9, "{sittings} sittings");
    for file in [
        "last/model.safetensors",
        "best/model.safetensors",
        "events.jsonl",
    ] {
        assert!(
            bytes(whole.path(), file) == bytes(parts.path(), file),
            "{file} differs"
        );
    }
    assert_eq!(metrics(whole.path()), metrics(parts.path()));
    assert_eq!(
        metrics(whole.path())[0],
        "epoch,lr,train_loss,train_gap,val_top1"
    );
    assert_eq!(metrics(whole.path()).len(), 4);
}

#[test]
fn it_learns() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(1);
    let summary = Trainer::new(config(20), &store, directory.path())
        .run(&task(&store), &mut GradientStep::default())
        .unwrap();
    let best = summary.best.unwrap();
    assert_eq!((best.score_name.as_str(), best.score), ("top1", 1.));
}

#[test]
fn a_finished_run_is_not_trained_further_and_another_configuration_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let run = |config| {
        let store = Store::new(1);
        Trainer::new(config, &store, directory.path())
            .run(&task(&store), &mut GradientStep::default())
    };
    run(config(1)).unwrap();
    let before = bytes(directory.path(), "last/model.safetensors");
    assert_eq!(run(config(1)).unwrap().epochs, 1);
    assert!(before == bytes(directory.path(), "last/model.safetensors"));
    let message = run(config(2)).unwrap_err().to_string();
    assert!(
        message.contains("resume.safetensors: it belongs to another configuration"),
        "{message}"
    );
}

#[test]
fn a_nan_is_traced_to_its_layer_and_nothing_saved_is_harmed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(1);
    Trainer::new(config(1), &store, directory.path())
        .run(&task(&store), &mut GradientStep::default())
        .unwrap();
    let before = bytes(directory.path(), "resume.safetensors");
    let other = tempfile::tempdir().unwrap();
    let poisoned = Tensor::full(f32::NAN, (6, 4, 3, 3), &Device::Cpu).unwrap();
    store.set("conv2.weight", &poisoned).unwrap();
    let error = Trainer::new(config(1), &store, other.path())
        .run(&task(&store), &mut GradientStep::default());
    let message = error.unwrap_err().to_string();
    assert!(
        message.starts_with(
            "step 1 of epoch 1: the first value that is not finite appeared in layer conv2 (conv2d)"
        ),
        "{message}"
    );
    assert!(
        message.ends_with("a pair of 8 images, a pair of 8 images"),
        "{message}"
    );
    assert!(before == bytes(directory.path(), "resume.safetensors"));
}

#[test]
fn a_huge_learning_rate_stops_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(1);
    let config = TrainConfig {
        learning_rate: 1e6,
        ..config(50)
    };
    let error = Trainer::new(config, &store, directory.path())
        .run(&task(&store), &mut GradientStep::default());
    let error = error.unwrap_err();
    assert!(
        matches!(error, Error::Diverged { .. } | Error::NotFinite { .. }),
        "{error}"
    );
    assert!(directory.path().join("resume.safetensors").exists());
}

/// A linear classifier of four numbers, without anything that looks at the whole batch.
struct Line {
    layer: Linear,
}

type Rows = (Tensor, Vec<u32>);

impl Task for Line {
    type Batch = Rows;

    fn batches_per_epoch(&self) -> usize {
        1
    }

    fn batches<'a>(&'a self, _: &Epoch) -> Result<TaskBatches<'a, Rows>, Error> {
        Ok(Box::new(std::iter::once(Ok(rows(0, 8)))))
    }

    fn samples(&self, (_, labels): &Rows) -> usize {
        labels.len()
    }

    fn loss(&self, (xs, labels): &Rows, cx: &Context<'_>) -> Result<Losses, Error> {
        let logits = self.layer.forward(xs, cx)?;
        Ok(Losses::new(
            CrossEntropy::default().loss(&logits, &Targets::Classes(labels.clone()))?,
        ))
    }

    fn evaluate(&self) -> Result<Evaluation, Error> {
        Ok(Evaluation {
            score: 0.,
            metrics: Vec::new(),
        })
    }
}

fn rows(from: usize, to: usize) -> Rows {
    let mut values = vec![0f32; 8 * 4];
    Key::new(5).rng().fill_normal(&mut values, 0., 1.);
    let labels = [0, 1, 2, 2, 1, 0, 1, 2];
    let xs = Tensor::from_slice(&values[4 * from..4 * to], (to - from, 4), &Device::Cpu).unwrap();
    (xs, labels[from..to].to_vec())
}

/// The weight after one update, how far it moved, and the norm of the gradients.
fn updated(batches: &[Rows], step: &mut GradientStep) -> (Vec<f32>, f64, f64) {
    let store = Store::new(3);
    let task = Line {
        layer: LinearConfig::new(4, 3)
            .build(&store.builder(Mode::Train))
            .unwrap(),
    };
    let before = weight(&store);
    let groups = decay_groups(store.trainable(), 0.);
    let mut optimizer = Optimizer::new(
        OptimizerConfig::Sgd {
            momentum: 0.,
            nesterov: false,
        },
        groups,
    )
    .unwrap();
    let rates = Rates {
        lr: 1.,
        momentum: None,
    };
    let mut update = Update {
        optimizer: &mut optimizer,
        rates,
        progress: Progress {
            epoch: 0.,
            epochs: 1.,
        },
        key: Key::new(0),
        further: Vec::new(),
        average: None,
    };
    let report = step.step(&task, batches, &mut update).unwrap();
    assert_eq!(
        report.samples,
        batches
            .iter()
            .map(|(_, labels)| labels.len())
            .sum::<usize>()
    );
    let after = weight(&store);
    let moved = before
        .iter()
        .zip(&after)
        .map(|(a, b)| f64::from(a - b).powi(2))
        .sum::<f64>()
        .sqrt();
    (after, moved, report.gradient_norm)
}

fn weight(store: &Store) -> Vec<f32> {
    ["weight", "bias"]
        .iter()
        .flat_map(|name| {
            store
                .get(name)
                .unwrap()
                .flatten_all()
                .unwrap()
                .to_vec1()
                .unwrap()
        })
        .collect()
}

#[test]
fn accumulated_batches_of_unequal_size_are_one_large_batch() {
    let (whole, ..) = updated(&[rows(0, 8)], &mut GradientStep::default());
    let (parts, ..) = updated(
        &[rows(0, 3), rows(3, 4), rows(4, 8)],
        &mut GradientStep::default(),
    );
    for (a, b) in whole.iter().zip(&parts) {
        assert!((a - b).abs() < 1e-6, "{a} {b}");
    }
}

#[test]
fn clipping_bounds_the_update() {
    let (_, moved, norm) = updated(&[rows(0, 8)], &mut GradientStep::default());
    assert!((moved - norm).abs() < 1e-6 && norm > 0.1, "{moved} {norm}");
    let mut clipped = GradientStep {
        clip_norm: Some(0.1),
        clip_value: None,
    };
    let (_, moved, reported) = updated(&[rows(0, 8)], &mut clipped);
    assert!((moved - 0.1).abs() < 1e-5, "{moved}");
    assert_eq!(reported, norm);
    let (after, ..) = updated(
        &[rows(0, 8)],
        &mut GradientStep {
            clip_norm: None,
            clip_value: Some(0.01),
        },
    );
    let (start, ..) = updated(&[], &mut GradientStep::default());
    assert!(
        after
            .iter()
            .zip(&start)
            .all(|(a, b)| (a - b).abs() < 0.0101)
    );
}
