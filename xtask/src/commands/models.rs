//! `cargo xtask models`: what can be built by name.

use anyhow::Result;
use clap::Args;
use cnn_models::ModelSpec;
use serde_json::{Value, json};

use crate::output;

/// List the registered models: parameters, multiply-adds, preprocessing and where weights are published
#[derive(Debug, Args)]
pub(crate) struct Models {
    /// Only models whose name or family contains this text
    filter: Option<String>,

    /// Print one JSON list on standard output
    #[arg(long)]
    json: bool,
}

impl Models {
    pub(crate) fn run(&self) -> Result<()> {
        let filter = self.filter.as_deref().unwrap_or("");
        let wanted = |spec: &&ModelSpec| spec.name.contains(filter) || spec.family.contains(filter);
        let models: Vec<&ModelSpec> = cnn_models::models().filter(wanted).collect();
        if self.json {
            return output::json(&models.into_iter().map(entry).collect::<Vec<_>>());
        }
        let columns = [
            ("model", false),
            ("parameters", true),
            ("multiply-adds", true),
            ("input", true),
            ("classes", true),
            ("paper", false),
        ];
        let rows: Vec<Vec<String>> = models.iter().map(|spec| row(spec)).collect();
        output::table(&columns, &rows)
    }
}

fn row(spec: &ModelSpec) -> Vec<String> {
    let [channels, height, width] = spec.preprocessing().input_size;
    vec![
        spec.name.to_string(),
        output::short(spec.parameters as f64),
        output::short(spec.multiply_adds as f64),
        format!("{channels}×{height}×{width}"),
        spec.num_classes.to_string(),
        spec.paper.to_string(),
    ]
}

fn entry(spec: &ModelSpec) -> Value {
    let weights = spec.weights.iter().map(|source| {
        json!({
            "tag": source.tag,
            "location": source.location,
            "sha256_prefix": source.sha256_prefix,
            "license": source.license,
            "top1": source.top1.map(|percent| percent / 100.),
        })
    });
    json!({
        "name": spec.name,
        "family": spec.family,
        "paper": spec.paper,
        "parameters": spec.parameters,
        "multiply_adds": spec.multiply_adds,
        "num_classes": spec.num_classes,
        "preprocessing": spec.preprocessing(),
        "weights": weights.collect::<Vec<_>>(),
    })
}
