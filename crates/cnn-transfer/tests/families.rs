//! A small network of each family learns to tell drawn shapes apart, beginning with fresh weights.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use cnn_data::{Dataset, Shapes, ShapesConfig, Split};
use cnn_models::{Kind, ModelConfig, ModelSpec, Network, families};
use cnn_train::Notice;
use cnn_transfer::{FineTune, FineTuneConfig, FineTuneNotice, Strategy};

#[test]
fn every_family_learns_shapes() {
    let data: Arc<dyn Dataset> = {
        let config = ShapesConfig::default().with_samples(160).with_size(48, 48);
        Arc::new(Shapes::new(config.with_split(Split::Train)).unwrap())
    };
    for (family, members) in families() {
        let spec = *members.iter().min_by_key(|spec| spec.parameters).unwrap();
        if spec.kind() != Kind::Classification {
            continue;
        }
        let losses = training_losses(spec, &data);
        let fall = losses[0] - losses[losses.len() - 1];
        assert!(fall > 0.015, "{family}, {}: {losses:.3?}", spec.name);
    }
}

/// Networks without normalisation diverge at rates that others need to learn in so few steps.
const WITHOUT_NORMS: [&str; 3] = ["alexnet", "squeezenet", "vgg"];

/// The mean loss of each epoch, on images as small as the network can see.
fn training_losses(spec: &'static ModelSpec, data: &Arc<dyn Dataset>) -> Vec<f64> {
    let usual = (spec.preset)().input_size[1];
    let size = match usual {
        0..=32 => usual,
        33..=256 => 64,
        _ => 96,
    };
    let config = ModelConfig {
        num_classes: Some(10),
        input_size: Some([size; 2]),
        ..spec.reduced_config()
    };
    let (learning_rate, epochs) = if WITHOUT_NORMS.contains(&spec.family) {
        (2e-4, 14)
    } else {
        (1e-3, 5)
    };
    let network = Network::new(spec.name, &config, 0).unwrap();
    let tuning = FineTuneConfig {
        strategy: Strategy::Full,
        epochs,
        learning_rate,
        batch_size: 16,
        ..FineTuneConfig::default()
    };
    let mut losses = Vec::new();
    let directory = tempfile::tempdir().unwrap();
    FineTune::new(network, data.clone(), data.clone())
        .with_config(tuning.for_fresh_weights())
        .with_listener(|notice| {
            if let FineTuneNotice::Train(Notice::Epoch { record, .. }) = notice {
                losses.push(record.train[0].1);
            }
        })
        .run(&directory.path().join("run"))
        .unwrap();
    losses
}
