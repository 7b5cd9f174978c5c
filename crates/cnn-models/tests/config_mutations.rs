//! A `config.json` comes from strangers: no change of one makes its reader panic.
#![allow(clippy::unwrap_used)]

use cnn_core::Key;
use cnn_models::CheckpointConfig;

const CONFIG: &str = r#"{"architecture": "mobilenetv1_100", "num_classes": 3, "label_names": ["a", "b", "c"],
  "model_args": {"channel_multiplier": 0.75, "pad_type": "same", "bn_eps": 0.001, "in_chans": 1, "drop_rate": 0.2},
  "pretrained_cfg": {"input_size": [1, 192, 160], "interpolation": "bicubic", "crop_pct": 0.875, "mean": [0.5], "std": [0.5]}}"#;

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

#[test]
fn a_hundred_thousand_mutations_that_are_json_find_no_panic() {
    let mut rng = Key::new(0).stream("config").rng();
    let mut parsed = 0;
    let mut accepted = 0;
    while parsed < 100_000 {
        let mut text = CONFIG.as_bytes().to_vec();
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
        if let Ok(value) = serde_json::from_slice(&text) {
            parsed += 1;
            accepted += u32::from(CheckpointConfig::from_json(&value).is_ok());
        }
    }
    assert!(
        (1_000..99_000).contains(&accepted),
        "{accepted} of them were accepted"
    );
}
