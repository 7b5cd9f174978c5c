//! A network of one's own, trained on a folder of photos.
//!
//! `cargo run -p cnn-examples --example train_photos -- FOLDER EPOCHS` with a folder that holds a
//! folder of photos per class; without arguments it takes the shared flowers, if they are there,
//! for three epochs, and prints
//!
//! ```text
//! 98325 parameters, 3887 training photos of 5 classes
//! …
//! epoch 3: 0.63 of 430 unseen photos right, 4.062 s
//! ```
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cnn_core::{Key, Preprocessing, RunDir};
use cnn_data::{Dataset as _, open_dataset, stratified_split};
use cnn_layers::{
    Activation, BatchNorm2dConfig, Conv2dConfig, ConvNormActConfig, Flatten, GlobalAvgPool2d,
    Layer, LinearConfig, MaxPool2d, Mode, Padding, Sequential, Store,
};
use cnn_train::{
    Classification, Forward, GradientStep, Notice, OptimizerConfig, TrainConfig, Trainer,
};

/// Four convolutions, each with its norm, a rectifier and a pooling, and a linear layer on the mean
/// of the last map.
fn network(store: &Store, mode: Mode, classes: usize) -> Result<Forward> {
    let root = store.builder(mode);
    let mut features = Sequential::new();
    for (stage, [from, to]) in [[3, 16], [16, 32], [32, 64], [64, 128]]
        .into_iter()
        .enumerate()
    {
        let at = root.pp(format!("stage{stage}"));
        let conv = Conv2dConfig::new(from, to, 3).with_padding(Padding::all(1));
        let unit = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(to), Activation::Relu);
        features = features
            .add(unit.build(&at.pp("conv"), &at.pp("bn"))?)
            .add(MaxPool2d::new(2, 2));
    }
    let features = features.add(GlobalAvgPool2d::new());
    let flatten = Flatten::new(&root.pp("flatten"));
    let classifier = LinearConfig::new(128, classes).build(&root.pp("classifier"))?;
    Ok(Forward::new(move |images, cx| {
        let features = features.forward(images, cx)?;
        classifier.forward(&flatten.forward(&features, cx)?, cx)
    }))
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let shared = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/flowers");
    let folder = arguments.next().map_or_else(shared, PathBuf::from);
    let epochs = arguments
        .next()
        .map_or(Ok(3), |epochs| epochs.parse())
        .context("EPOCHS is a number")?;

    let store = Store::new(0);
    let (train, val) = stratified_split(
        &open_dataset(&folder, None)?,
        0.1,
        Key::new(0).stream("split"),
    )?;
    let classes = train.classes().len();
    let seen = train.len();
    let unseen = val.len();
    let preprocessing = Preprocessing {
        input_size: [3, 64, 64],
        crop_pct: 1.,
        ..Preprocessing::default()
    };
    let task = Classification::new(Arc::new(train), Arc::new(val), preprocessing, |mode| {
        network(&store, mode, classes)
    })?;
    println!(
        "{} parameters, {seen} training photos of {classes} classes",
        store.parameter_count()
    );
    let print = |notice: &Notice<'_>| {
        if let Notice::Epoch { record, .. } = notice {
            let right = record.metric("val_top1").unwrap_or(0.);
            println!(
                "epoch {}: {right:.2} of {unseen} unseen photos right, {:.3} s",
                record.epoch, record.seconds
            );
        }
    };
    let run = RunDir::create(&std::env::temp_dir().join("runs"), "train", "photos")?;
    let config = TrainConfig {
        optimizer: OptimizerConfig::adam(),
        learning_rate: 0.003,
        ..TrainConfig::new(epochs)
    };
    Trainer::new(config, &store, run.path())
        .with_listener(print)
        .run(&task, &mut GradientStep::default())?;
    println!("weights in {}", run.join("best").display());
    Ok(())
}
