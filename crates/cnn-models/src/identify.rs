//! Which registered model a weight file is for, by the names and shapes of its tensors.

use std::collections::HashMap;
use std::path::Path;

use cnn_layers::{Mode, Store};
use cnn_weights::TensorFile;

use crate::{ModelConfig, ModelSpec, models};

/// A model that has fewer of the tensors is not worth a mention.
const LEAST: f64 = 0.5;
/// More models than these are not named.
const MOST: usize = 4;

/// What an error says of a weight file, behind its message: which registered models its tensors
/// are those of, or the nearest; nothing where none is near or the file cannot be read.
pub(crate) fn said_of(path: &Path) -> String {
    let Ok(file) = TensorFile::open(path) else {
        return String::new();
    };
    let mut found: Vec<(f64, &ModelSpec)> = models()
        .filter_map(|spec| Some((share(&file, spec)?, spec)))
        .filter(|(share, _)| *share >= LEAST)
        .collect();
    // The order of the registry stays among equals.
    found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let Some(&(best, nearest)) = found.first() else {
        return String::new();
    };
    if best < 1. {
        let percent = (100. * best).floor();
        return format!(
            "; the nearest model is `{}`, which has {percent} % of its tensors",
            nearest.name
        );
    }
    let whole = found.iter().take_while(|(share, _)| *share == 1.);
    let names: Vec<String> = whole
        .take(MOST)
        .map(|(_, spec)| format!("`{}`", spec.name))
        .collect();
    format!("; its tensors are those of {}", names.join(" or "))
}

/// Which part of the tensors of file and model, their heads aside, both have in the same shape;
/// `None` where the file has not even the model's first convolution.
fn share(file: &TensorFile, spec: &ModelSpec) -> Option<f64> {
    let mut shapes: HashMap<String, &[usize]> = HashMap::with_capacity(file.len());
    for name in file.names().filter(|name| !is_counter(name)) {
        let own = spec
            .own_name(name)
            .map_or_else(|| name.to_string(), |(own, _)| own);
        shapes.insert(own, &file.info(name)?.shape);
    }
    let first_convs = spec.first_convs(&ModelConfig::default());
    shapes.get(&format!("{}.weight", first_convs.first()?))?;
    let store = Store::blank();
    let model = spec
        .build_any(&ModelConfig::default(), &store.builder(Mode::Eval))
        .ok()?;
    let head = model.layer_groups().last()?;
    let is_body = |name: &str| !is_counter(name) && !head.contains(name);
    let of_model = store
        .entries()
        .into_iter()
        .filter(|entry| is_body(&entry.name));
    let of_model: Vec<_> = of_model.collect();
    let of_file = shapes.keys().filter(|name| is_body(name)).count();
    let has = |entry: &&cnn_layers::EntryInfo| {
        let shape = shapes.get(&entry.name);
        shape.is_some_and(|shape| {
            shape.iter().product::<usize>() == entry.shape.iter().product::<usize>()
                && shape.first() == entry.shape.first()
        })
    };
    let both = of_model.iter().filter(has).count();
    Some(both as f64 / of_model.len().max(of_file).max(1) as f64)
}

/// Older files lack them.
fn is_counter(name: &str) -> bool {
    name.ends_with("num_batches_tracked")
}
