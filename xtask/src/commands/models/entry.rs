//! All that is known of one model.

use cnn_core::Preprocessing;
use cnn_models::{Kind, ModelSpec, WeightSource};
use serde_json::{Value, json};

use super::layers::LayerTable;
use super::limits::Listed;
use crate::hub;

pub(super) fn print(one: &Listed) {
    let spec = one.spec;
    let record = spec.preprocessing();
    println!("{}", spec.name);
    println!("family         {}", spec.family);
    println!("paper          {}", spec.paper);
    println!("parameters     {}", spec.parameters);
    println!("multiply-adds  {}", spec.multiply_adds);
    println!("classes        {}", spec.num_classes);
    println!("input          {}, {}", input(spec), resizing(&record));
    println!("mean           {}", numbers(&record.mean));
    println!("deviation      {}", numbers(&record.std));
    match hub::names_of(spec).as_slice() {
        [] => println!("weights        none published"),
        [name, ..] if spec.weights().is_empty() => {
            println!("weights        {name}: part of this program");
        }
        _ => {}
    }
    for source in &one.weights {
        println!(
            "weights        {}: {}",
            hub::name_of(spec, source),
            source.url()
        );
        println!("               {}", facts(source, spec.kind()));
        println!("               {}", images(source, spec));
    }
}

/// Channels, height and width of the images.
pub(super) fn input(spec: &ModelSpec) -> String {
    size(&spec.preprocessing())
}

fn size(record: &Preprocessing) -> String {
    let [channels, height, width] = record.input_size;
    format!("{channels}×{height}×{width}")
}

/// How these weights want their images, and their classes.
fn images(source: &WeightSource, spec: &ModelSpec) -> String {
    let record = source.preprocessing(spec);
    let normalised = if record.mean == spec.preprocessing().mean {
        String::new()
    } else {
        format!(", mean {}", numbers(&record.mean))
    };
    let classes = if source.num_classes == spec.num_classes {
        String::new()
    } else {
        format!(", {} classes", source.num_classes)
    };
    format!(
        "{}, {}{normalised}{classes}",
        size(&record),
        resizing(&record)
    )
}

/// How a photo comes to that size.
fn resizing(record: &Preprocessing) -> String {
    let interpolation = format!("{:?}", record.interpolation).to_lowercase();
    match record.crop_pct {
        1. => format!("resized ({interpolation})"),
        part => format!(
            "{} % of the resized ({interpolation}) image's side",
            100. * part
        ),
    }
}

fn facts(source: &WeightSource, kind: Kind) -> String {
    let score = source.score.map(|percent| match kind {
        Kind::Segmentation => format!("mIoU {percent} % on COCO's validation images"),
        Kind::Detection => format!("AP {percent} % on COCO's validation images"),
        _ => format!("{percent} % top-1 on ImageNet's validation images"),
    });
    let hash = source
        .sha256_prefix
        .map(|prefix| format!("sha256 {prefix}…"));
    [Some(source.license.to_string()), score, hash]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

/// What the scores of published weights are.
fn score_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Segmentation => "miou",
        Kind::Detection => "ap",
        _ => "top1",
    }
}

fn numbers(values: &[f64]) -> String {
    let values: Vec<String> = values.iter().map(f64::to_string).collect();
    values.join(", ")
}

/// All that is known of a model, with its layers where they were looked at.
pub(super) fn json(one: &Listed, layers: Option<&LayerTable>) -> Value {
    let spec = one.spec;
    let weights = one.weights.iter().map(|source| {
        let mut entry = json!({
            "tag": source.tag,
            "location": source.location,
            "sha256_prefix": source.sha256_prefix,
            "license": source.license,
            "num_classes": source.num_classes,
            "preprocessing": source.preprocessing(spec),
        });
        entry[score_name(spec.kind())] = json!(source.score.map(|percent| percent / 100.));
        entry
    });
    let mut entry = json!({
        "name": spec.name,
        "family": spec.family,
        "paper": spec.paper,
        "parameters": spec.parameters,
        "multiply_adds": spec.multiply_adds,
        "num_classes": spec.num_classes,
        "preprocessing": spec.preprocessing(),
        "weights": weights.collect::<Vec<_>>(),
    });
    if let (Some(layers), Some(fields)) = (layers, entry.as_object_mut()) {
        fields.insert("layers".to_string(), json!(layers.rows));
        fields.insert("totals".to_string(), json!(layers.totals));
    }
    entry
}
