//! A network of one's own, trained on `shapes`, a dataset that is drawn as it is read.
//!
//! `cargo run -p cnn-examples --example train_shapes` prints a line per epoch and where the weights
//! are.
#![forbid(unsafe_code)]

use std::sync::Arc;

use anyhow::Result;
use cnn_core::{Preprocessing, RunDir};
use cnn_data::{Shapes, ShapesConfig, Split};
use cnn_layers::{
    Activation, BatchNorm2dConfig, Conv2dConfig, ConvNormActConfig, Flatten, GlobalAvgPool2d,
    Layer, LinearConfig, MaxPool2d, Mode, Padding, Sequential, Store,
};
use cnn_train::{
    Classification, Forward, GradientStep, Notice, OptimizerConfig, TrainConfig, Trainer,
};

fn network(store: &Store, mode: Mode) -> Result<Forward> {
    let root = store.builder(mode);
    let mut features = Sequential::new();
    for (stage, [from, to]) in [[3, 16], [16, 32], [32, 64]].into_iter().enumerate() {
        let at = root.pp(format!("stage{stage}"));
        let conv = Conv2dConfig::new(from, to, 3).with_padding(Padding::all(1));
        let unit = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(to), Activation::Relu);
        features = features
            .add(unit.build(&at.pp("conv"), &at.pp("bn"))?)
            .add(MaxPool2d::new(2, 2));
    }
    let features = features.add(GlobalAvgPool2d::new());
    let flatten = Flatten::new(&root.pp("flatten"));
    let classifier = LinearConfig::new(64, 10).build(&root.pp("classifier"))?;
    Ok(Forward::new(move |images, cx| {
        let features = features.forward(images, cx)?;
        classifier.forward(&flatten.forward(&features, cx)?, cx)
    }))
}

fn main() -> Result<()> {
    let store = Store::new(0);
    let preprocessing = Preprocessing {
        input_size: [3, 32, 32],
        crop_pct: 1.0,
        ..Preprocessing::default()
    };
    let train = Arc::new(Shapes::new(ShapesConfig::default().with_samples(2000))?);
    let val = Arc::new(Shapes::new(
        ShapesConfig::default()
            .with_samples(200)
            .with_split(Split::Val),
    )?);
    let task = Classification::new(train, val, preprocessing, |mode| network(&store, mode))?;

    let run = RunDir::create(&std::env::temp_dir().join("runs"), "train", "shapes")?;
    let print = |notice: &Notice<'_>| {
        if let Notice::Epoch { record, .. } = notice {
            println!("{record}");
        }
    };
    let config = TrainConfig {
        optimizer: OptimizerConfig::adam(),
        learning_rate: 0.003,
        ..TrainConfig::new(6)
    };
    let mut trainer = Trainer::new(config, &store, run.path()).with_listener(print);
    let summary = trainer.run(&task, &mut GradientStep::default())?;
    let best = summary.best.expect("six epochs were completed");
    println!(
        "{:.1} % of unseen shapes right, weights in {}",
        100. * best.score,
        run.join("best").display()
    );
    Ok(())
}
