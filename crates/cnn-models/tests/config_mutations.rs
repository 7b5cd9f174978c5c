//! A `config.json` comes from strangers: no change of one makes its reader panic.
#![allow(clippy::unwrap_used)]

use cnn_core::{Key, Rng};
use cnn_models::CheckpointConfig;
use serde_json::Value;

/// timm's of today, as one object, and with names by number.
const CONFIGS: [&str; 3] = [
    r#"{"architecture": "mobilenetv1_100", "num_classes": 3, "label_names": ["a", "b", "c"],
  "model_args": {"channel_multiplier": 0.75, "pad_type": "same", "bn_eps": 0.001, "in_chans": 1,
      "drop_rate": 0.2},
  "pretrained_cfg": {"input_size": [1, 192, 160], "interpolation": "bicubic", "crop_pct": 0.875,
      "mean": [0.5], "std": [0.5]}}"#,
    r#"{"architecture": "resnet18", "labels": ["a", "b", "c"], "num_classes": 3,
        "input_size": [3, 64, 64], "crop_pct": 0.9,
  "interpolation": "bilinear", "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.4, 0.3],
      "label_descriptions": {"a": "A"}}"#,
    r#"{"architecture": "resnet18", "model_args": null, "pretrained_cfg": {"num_classes": 3,
        "input_size": [3, 64, 64],
  "label_names": {"0": "a", "2": "c", "1": "b"}, "mean": null}}"#,
];

const RESNET: &str = r#"{"architectures": ["ResNetForImageClassification"],
    "model_type": "resnet", "layer_type": "basic", "depths": [2, 2, 2, 2],
  "hidden_sizes": [64, 128, 256, 512], "num_channels": 3, "embedding_size": 64,
      "id2label": {"0": "a", "1": "b", "2": "c"}}"#;

const PROCESSOR: &str = r#"{"image_processor_type": "ConvNextImageProcessor",
    "do_normalize": true, "do_center_crop": true,
  "size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 192}, "crop_pct": 0.875,
      "resample": 3,
  "image_mean": [0.5, 0.5, 0.5], "image_std": [0.2, 0.2, 0.2]}"#;

/// What a mutation puts in: values at the edges, and other types.
const PIECES: [&str; 12] = [
    "-1",
    "0",
    "1e308",
    "-1e-308",
    "18446744073709551616",
    "null",
    "[]",
    "{}",
    "\"\"",
    "true",
    "9007199254740993",
    "[1,2,3]",
];

const MUTATIONS: u32 = 100_000;

#[test]
fn a_hundred_thousand_mutations_that_are_json_find_no_panic() {
    survives("config", |rng| {
        let config = CONFIGS[rng.below(CONFIGS.len() as u64) as usize];
        let value = mutated(config, rng)?;
        Some(CheckpointConfig::from_json(&value).is_ok())
    });
}

#[test]
fn nor_do_those_of_transformers() {
    let config: Value = serde_json::from_str(RESNET).unwrap();
    let processor: Value = serde_json::from_str(PROCESSOR).unwrap();
    survives("transformers", |rng| {
        let read = if rng.below(2) == 0 {
            CheckpointConfig::from_json_with(&mutated(RESNET, rng)?, Some(&processor))
        } else {
            CheckpointConfig::from_json_with(&config, Some(&mutated(PROCESSOR, rng)?))
        };
        Some(read.is_ok())
    });
}

/// Reads until a hundred thousand mutations were JSON: neither all nor none may be accepted.
fn survives(stream: &str, read: impl Fn(&mut Rng) -> Option<bool>) {
    let mut rng = Key::new(0).stream(stream).rng();
    let mut parsed = 0;
    let mut accepted = 0;
    while parsed < MUTATIONS {
        if let Some(is_accepted) = read(&mut rng) {
            parsed += 1;
            accepted += u32::from(is_accepted);
        }
    }
    assert!(
        (MUTATIONS / 100..MUTATIONS / 100 * 99).contains(&accepted),
        "{accepted} of them were accepted"
    );
}

/// A changed text, if it is still JSON.
fn mutated(text: &str, rng: &mut Rng) -> Option<Value> {
    let mut text = text.as_bytes().to_vec();
    for _ in 0..=rng.below(2) {
        let at = rng.below(text.len() as u64) as usize;
        match rng.below(4) {
            0 => text[at] ^= 1 << rng.below(8),
            1 => text.truncate(at.max(1)),
            // A value, from after a colon or comma to the next delimiter, becomes another.
            _ => {
                let start = text[..at]
                    .iter()
                    .rposition(|byte| b":,[".contains(byte))
                    .map_or(at, |place| place + 1);
                let end = text[at..]
                    .iter()
                    .position(|byte| b",]}".contains(byte))
                    .map_or(text.len(), |place| at + place);
                let piece = PIECES[rng.below(PIECES.len() as u64) as usize];
                text.splice(start..end, piece.bytes());
            }
        }
    }
    serde_json::from_slice(&text).ok()
}
