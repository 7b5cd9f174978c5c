//! What a run's report looks like, from made-up numbers and real pictures of the data set `shapes`.
//!
//! `cargo run -p cnn-viz --example report_sample -- report.html` writes the page and prints
//!
//! ```text
//! report.html: 10 classes, 12 epochs, 12 mistakes
//! ```
#![forbid(unsafe_code)]

use std::sync::Arc;

use anyhow::{Context, Result};
use cnn_core::Key;
use cnn_data::{Dataset, Shapes, ShapesConfig, Skipped};
use cnn_metrics::ConfusionMatrix;
use cnn_models::{ModelConfig, Network};
use cnn_viz::{
    ClassResults, Fact, FilterReport, ImagePrediction, InspectConfig, NormStatistics, PictureGroup,
    Report, ReportEpoch, ReportFreezeProof, ReportLayerGroup, ReportPhase, Timing, filter_grid,
    inspect,
};

fn main() -> Result<()> {
    let path = std::env::args()
        .nth(1)
        .context("where to? give a path, such as report.html")?;
    let shapes = Shapes::new(ShapesConfig::default().with_size(96, 128).with_samples(400))?;
    let report = Report {
        title: "finetune: resnet20_cifar10 on shapes".into(),
        summary: vec![
            Fact::new("val accuracy", "92.8 %").with_note("95 % interval 89.8 to 94.9 %"),
            Fact::new("best epoch", "11 of 12").with_note("highest val accuracy"),
            Fact::new("model", "resnet20_cifar10").with_note("270,410 parameters"),
            Fact::new("data", "shapes").with_note("2,000 train, 400 val"),
            Fact::new("time", "1 min 43 s").with_note("2 threads, AVX-512"),
            Fact::new("speed", "421 images/s").with_note("training, without evaluation"),
        ],
        notes: vec!["The val split was drawn from the train images (seed 0): the data have none of their own.".into()],
        epochs: (1..=12).map(epoch).collect(),
        best_epoch: Some(11),
        classes: vec![class_results(&shapes)?],
        pictures: vec![PictureGroup { title: "Worst mistakes".into(), note: None, pictures: mistakes(&shapes)? }],
        filters: Some(filters(&shapes)?),
        phases: vec![phase("head", 1, 3, 1), phase("all layers", 4, 12, 5)],
        freeze_proof: Some(ReportFreezeProof {
            kept: "stem, running statistics of 18 norms in the others".into(),
            tensors: 19,
            unchanged: 19,
            source: "weights/resnet20_cifar10/model.safetensors".into(),
            source_sha256: "12fca82f0bcfcb59f0d55e8d2c1a7b2f9c6d0de1a5a8f9b6e3c4d7f80a91b2c3".into(),
        }),
        skipped: vec![Skipped {
            path: "train/star/broken star.jpg".into(),
            reason: "broken jpeg: ends before its last row".into(),
        }],
        configuration: facts(&[
            ("strategy", "two-phase"),
            ("optimizer", "sgd, momentum 0.9, weight decay 5e-4"),
            ("schedule", "cosine after 1 epoch of warm-up"),
            ("batch", "64"),
            ("augmentation", "random crop, horizontal flip"),
            ("seed", "0"),
        ]),
        timings: vec![
            Timing { name: "features of the frozen layers".into(), seconds: 4.1, images_per_second: Some(488.0) },
            Timing { name: "head".into(), seconds: 1.32, images_per_second: Some(4545.0) },
            Timing { name: "all layers".into(), seconds: 88.4, images_per_second: Some(203.6) },
            Timing { name: "evaluation".into(), seconds: 9.4, images_per_second: Some(511.0) },
        ],
        command: Some("cargo xtask finetune --weights weights/resnet20_cifar10 --data shapes --strategy two-phase --epochs 12 --batch 64 --seed 0".into()),
        versions: facts(&[("cnn", "0.1.0"), ("candle", "0.11.1"), ("rustc", "1.95.0")]),
        ..Report::default()
    };
    std::fs::write(&path, report.to_html()?).with_context(|| format!("cannot write {path}"))?;
    println!(
        "{path}: {} classes, {} epochs, {} mistakes",
        shapes.classes().len(),
        12,
        report.pictures[0].pictures.len()
    );
    Ok(())
}

fn facts(pairs: &[(&str, &str)]) -> Vec<Fact> {
    pairs
        .iter()
        .map(|&(name, value)| Fact::new(name, value))
        .collect()
}

/// A fresh network, inspected.
fn filters(shapes: &Shapes) -> Result<FilterReport> {
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
    let images: Arc<dyn Dataset> = Arc::new(shapes.clone());
    let config = InspectConfig {
        images: 32,
        ..InspectConfig::default()
    };
    let inspection = inspect(&network, &[images], &config, &mut |_| ())?;
    Ok(inspection.report("val images, fresh weights", Some(filter_grid(&network)?)))
}

/// Loss and accuracy as they go when a head is trained first and everything after it.
fn epoch(epoch: usize) -> ReportEpoch {
    let mut noise = Key::new(0).stream("epoch").at(epoch as u64).rng();
    let progress = 1.0 - (-(epoch as f64) / if epoch <= 3 { 2.5 } else { 3.5 }).exp();
    let loss = 2.3 - 2.1 * progress;
    ReportEpoch {
        epoch,
        learning_rate: Some(if epoch <= 3 {
            0.01
        } else {
            0.003 * (12.5 - epoch as f64) / 9.0
        }),
        train_loss: Some(loss + 0.03 * noise.normal()),
        val_loss: Some(loss + 0.05 + 0.05 * noise.normal()),
        train_score: Some((0.25 + 0.71 * progress + 0.01 * noise.normal()).min(1.0)),
        val_score: Some((0.22 + 0.73 * progress + 0.01 * noise.normal()).min(1.0)),
        seconds: Some(if epoch <= 3 { 1.5 } else { 9.8 } + 0.2 * noise.uniform()),
    }
}

/// One in fifteen samples is taken for one of the next two classes.
fn class_results(shapes: &Shapes) -> Result<ClassResults> {
    let mut chance = Key::new(0).stream("predictions").rng();
    let labels: Vec<u32> = (0..shapes.len() as u32).map(|index| index % 10).collect();
    let mut predict = |&label: &u32| {
        if chance.bernoulli(1.0 / 15.0) {
            (label + 1 + chance.below(2) as u32) % 10
        } else {
            label
        }
    };
    let predictions: Vec<u32> = labels.iter().map(&mut predict).collect();
    Ok(ClassResults {
        evaluated_on: "val split, weights of epoch 11".into(),
        names: shapes.classes().to_vec(),
        confusion: ConfusionMatrix::from_pairs(10, &labels, &predictions)?,
    })
}

fn mistakes(shapes: &Shapes) -> Result<Vec<ImagePrediction>> {
    let classes = shapes.classes();
    let mistake = |index: usize| {
        let sample = shapes.read(index * 7)?;
        let label = sample.label.context("every shape has a class")?;
        Ok(ImagePrediction {
            image: sample.image,
            path: shapes.id(index * 7),
            label: classes[label].clone(),
            prediction: classes[(label + 3) % 10].clone(),
            probability: 0.999 - 0.031 * index as f64,
            explanation: None,
        })
    };
    (0..12).map(mistake).collect()
}

/// The `trained` groups nearest the head train, those nearer the image more slowly.
fn phase(name: &str, first_epoch: usize, last_epoch: usize, trained: usize) -> ReportPhase {
    let parameters = [464, 13_920, 51_648, 205_696, 650];
    let groups = ["stem", "layer1", "layer2", "layer3", "head"];
    let group = |(index, (&name, &parameters)): (usize, (&&str, &u64))| {
        let trains = index + trained >= groups.len();
        ReportLayerGroup {
            name: name.into(),
            parameters,
            learning_rate: trains.then(|| 0.01 * 0.5f64.powi((groups.len() - 1 - index) as i32)),
            norm_statistics: if name == "head" {
                NormStatistics::None
            } else {
                NormStatistics::Fixed
            },
        }
    };
    let groups = groups
        .iter()
        .zip(&parameters)
        .enumerate()
        .map(group)
        .collect();
    ReportPhase {
        name: name.into(),
        first_epoch,
        last_epoch,
        groups,
    }
}
