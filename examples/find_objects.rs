//! A network that finds objects becomes good at other ones, and finds them in a photo.
//!
//! `cargo run -p cnn-examples --example find_objects -- WEIGHTS DATA` with a directory of weights
//! and a folder of photos with boxes that has the splits `train` and `val`; without arguments a
//! network of fresh weights looks at `shapes`, which is too short to learn much. It prints the
//! epochs, what it finds in the first photo, and where the weights are.
#![forbid(unsafe_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use cnn_data::{Dataset, Shapes, ShapesConfig, Split, open_dataset};
use cnn_layers::{DetectionLimits, Mode};
use cnn_models::{DetectionNetwork, LoadOptions, ModelConfig, find};
use cnn_train::{BoxAugmentationPolicy, DetectImages as _, Notice};
use cnn_transfer::{DetectionFineTune, FineTuneConfig, FineTuneNotice, Strategy};

fn open(folder: Option<&Path>, split: Split) -> anyhow::Result<Arc<dyn Dataset>> {
    let shapes = ShapesConfig::default().with_samples(64).with_split(split);
    Ok(folder.map_or_else(
        || Ok(Arc::new(Shapes::new(shapes)?) as _),
        |folder| open_dataset(folder, Some(split)),
    )?)
}

/// The network with outputs for these classes.
fn network(weights: Option<&Path>, classes: &[String]) -> anyhow::Result<DetectionNetwork> {
    let mut network = match weights {
        Some(weights) => {
            let options = LoadOptions {
                num_classes: Some(classes.len()),
                new_head: true,
                ..LoadOptions::default()
            };
            DetectionNetwork::load(weights, &options)?
        }
        None => {
            let config = ModelConfig {
                num_classes: Some(classes.len()),
                input_size: Some([96, 96]),
                ..ModelConfig::default()
            };
            DetectionNetwork::of(*find("yolox_nano")?, &config, 0)?
        }
    };
    network.set_label_names(classes.to_vec())?;
    Ok(network)
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let weights = arguments.next();
    let folder = arguments.next();
    let train = open(folder.as_deref(), Split::Train)?;
    let val = open(folder.as_deref(), Split::Val)?;
    let network = network(weights.as_deref(), train.classes())?;
    let epochs = if weights.is_some() { 25 } else { 2 };

    let policy = BoxAugmentationPolicy::default();
    let record = network.preprocessing().clone();
    let config = FineTuneConfig {
        strategy: Strategy::Full,
        epochs,
        batch_size: 8,
        learning_rate: 1e-3,
        ema: Some(0.998),
        ..FineTuneConfig::default().for_fresh_weights()
    };
    let mut tuning = DetectionFineTune::new(network, train.clone(), val.clone())
        .with_config(config)
        .with_augmentation(policy.augmentation(&record, &train)?)
        .with_late_augmentation(epochs / 3, policy.late().augmentation(&record, &train)?)
        .with_listener(|notice| {
            if let FineTuneNotice::Train(Notice::Epoch { record, .. }) = notice {
                println!("{record}");
            }
        });
    let runs = std::env::temp_dir().join("runs");
    let run = cnn_core::RunDir::create(&runs, "finetune", "objects")?;
    tuning.run(run.path())?;

    let network = DetectionNetwork::load(&run.join("best"), &LoadOptions::default())?;
    let detector = network.build(Mode::Inference)?;
    let limits = DetectionLimits {
        score: 0.25,
        ..detector.limits()
    };
    let photo = val.read(0)?.image;
    for object in &detector.detect_images(&[photo], &record, &limits)?[0] {
        let name = &train.classes()[object.class];
        println!("{name} {:.2} at {:?}", object.score, object.edges);
    }
    println!("weights in {}", run.join("best").display());
    Ok(())
}
