//! What the tests that loop over the registry share.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used)]

use cnn_models::{ModelConfig, ModelSpec, models};
use cnn_weights::TensorFile;

/// The configuration in which a model is tested where its size does not matter: its reduced form, and
/// that of its golden file, in which networks that are large because of a few layers are narrower.
pub(crate) fn tested_config(spec: &ModelSpec) -> ModelConfig {
    let name = spec.name;
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let golden = TensorFile::open(format!("{directory}/{name}.safetensors")).unwrap();
    let mut config = spec.reduced_config();
    if let Some(args) = golden.metadata().get("model_args") {
        add_args(&mut config, args);
    }
    config
}

/// The model of each family that has the fewest parameters: what does not depend on the variant is
/// tested with these.
pub(crate) fn smallest_of_each_family() -> Vec<&'static ModelSpec> {
    let mut smallest: Vec<&ModelSpec> = Vec::new();
    for spec in models() {
        match smallest
            .iter_mut()
            .find(|other| other.family == spec.family)
        {
            Some(other) if spec.parameters < other.parameters => *other = spec,
            Some(_) => {}
            None => smallest.push(spec),
        }
    }
    smallest
}

/// Height and width of images that every layer of a model fits, small and not square.
pub(crate) fn tested_size(spec: &ModelSpec) -> [usize; 2] {
    let [_, height, _] = spec.preprocessing().input_size;
    match height {
        28 => [28, 44],
        299 => [96, 128],
        _ => [64, 96],
    }
}

/// Adds `model_args`, as a `config.json` has them.
pub(crate) fn add_args(config: &mut ModelConfig, args: &str) {
    let args: serde_json::Map<String, serde_json::Value> = serde_json::from_str(args).unwrap();
    for (name, value) in args {
        if name == "widths" {
            config.widths = serde_json::from_value(value).unwrap();
        } else {
            config.args.insert(name, value);
        }
    }
}
