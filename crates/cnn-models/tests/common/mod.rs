//! What the tests that loop over the registry share.
#![allow(dead_code, reason = "each test file takes what it needs")]
#![allow(clippy::unwrap_used, clippy::panic)]

pub(crate) mod formula;
pub(crate) mod forward;

use cnn_models::{Kind, ModelConfig, ModelSpec, families};

/// The classifier of each family that has the fewest parameters: what does not depend on the variant
/// is tested with these.
pub(crate) fn smallest_of_each_family() -> Vec<&'static ModelSpec> {
    let families = families().into_iter();
    let smallest =
        |members: Vec<&'static ModelSpec>| members.into_iter().min_by_key(|spec| spec.parameters);
    families
        .filter_map(|(_, members)| smallest(members))
        // A model over another one has no backbone of its own.
        .filter(|spec| spec.kind() == Kind::Classification && spec.body.is_none())
        .collect()
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
