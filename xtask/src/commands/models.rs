//! `cargo xtask models`: what can be built by name.

use anyhow::{Result, anyhow};
use clap::Args;
use cnn_core::{Preprocessing, begins_a_word, did_you_mean};
use cnn_models::{ModelSpec, WeightSource};
use serde_json::{Value, json};

use crate::args::Unusable;
use crate::next_steps::{self, NextStep};
use crate::{hub, output};

/// List the registered models: parameters, multiply-adds and where weights are published; of one
/// model, all that is known
#[derive(Debug, Args)]
pub(crate) struct Models {
    /// A model's name, to see all of it, or what a word of a name or family begins with: `resnet`,
    /// `cifar`, `v2`, `18`
    filter: Option<String>,

    /// Print one JSON list on standard output
    #[arg(long)]
    json: bool,
}

impl Models {
    pub(crate) fn run(&self) -> Result<()> {
        let models = self.wanted()?;
        if self.json {
            return output::json(&models.into_iter().map(entry).collect::<Vec<_>>());
        }
        match models.as_slice() {
            [spec] => print_entry(spec),
            models => print_table(models)?,
        }
        next_steps::print(&next_steps(&models));
        Ok(())
    }

    /// All models, the one of exactly this name, those with a word that begins so, or else those in
    /// whose name it occurs.
    fn wanted(&self) -> Result<Vec<&'static ModelSpec>> {
        let Some(filter) = self.filter.as_deref() else {
            return Ok(cnn_models::models().collect());
        };
        let choose = |wanted: &dyn Fn(&ModelSpec) -> bool| {
            cnn_models::models().filter(|spec| wanted(spec)).collect()
        };
        // The name of weights names their model, too.
        let has_weights = |spec: &ModelSpec| hub::names_of(spec).iter().any(|name| name == filter);
        let named: Vec<_> = choose(&|spec| spec.name == filter || has_weights(spec));
        if !named.is_empty() {
            return Ok(named);
        }
        let beginning: Vec<_> =
            choose(&|spec| begins_a_word(filter, spec.name) || begins_a_word(filter, spec.family));
        if !beginning.is_empty() {
            return Ok(beginning);
        }
        let containing: Vec<_> = choose(&|spec| spec.name.contains(&filter.to_lowercase()));
        if containing.is_empty() {
            let nearest = did_you_mean(
                filter,
                cnn_models::models().flat_map(|spec| [spec.name, spec.family]),
            );
            let all = format!("`{} models` lists all", output::program());
            return Err(
                anyhow!("no model is called like `{filter}`{nearest}; {all}").context(Unusable),
            );
        }
        eprintln!("note: no word of a name begins with `{filter}`; these have it elsewhere");
        Ok(containing)
    }
}

fn next_steps(models: &[&ModelSpec]) -> Vec<NextStep> {
    let [spec] = models else {
        let published = models.iter().find(|spec| !spec.weights().is_empty());
        let spec = published.map(|spec| NextStep::new("see all of it", &["models", spec.name]));
        return spec.into_iter().collect();
    };
    let of = ["--model", spec.name];
    let use_it = match hub::names_of(spec).as_slice() {
        [] => NextStep::new("train it", &[&["train"][..], &of].concat()),
        [name, ..] => {
            let predict = ["predict", "PHOTOS", "--weights", name];
            NextStep::new("use its weights, which are downloaded once", &predict)
        }
    };
    vec![
        NextStep::new("measure its speed here", &[&["bench"][..], &of].concat()),
        use_it,
    ]
}

fn print_table(models: &[&ModelSpec]) -> Result<()> {
    let columns = [
        ("model", false),
        ("parameters", true),
        ("multiply-adds", true),
        ("input", true),
        ("classes", true),
        ("weights", false),
    ];
    let row = |spec: &&ModelSpec| {
        let tags: Vec<String> = hub::names_of(spec)
            .iter()
            .map(|name| name.rsplit('.').next().unwrap_or(name).to_string())
            .collect();
        vec![
            spec.name.to_string(),
            output::short(spec.parameters as f64),
            output::short(spec.multiply_adds as f64),
            input(spec),
            spec.num_classes.to_string(),
            if tags.is_empty() {
                "none published".to_string()
            } else {
                tags.join(", ")
            },
        ]
    };
    output::table(&columns, &models.iter().map(row).collect::<Vec<_>>())
}

fn print_entry(spec: &ModelSpec) {
    let record = spec.preprocessing();
    let numbers = |values: &[f64]| {
        values
            .iter()
            .map(f64::to_string)
            .collect::<Vec<_>>()
            .join(", ")
    };
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
    for source in spec.weights() {
        println!(
            "weights        {}: {}",
            hub::name_of(spec, source),
            source.url()
        );
        println!("               {}", facts(source));
    }
}

fn input(spec: &ModelSpec) -> String {
    let [channels, height, width] = spec.preprocessing().input_size;
    format!("{channels}×{height}×{width}")
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

fn facts(source: &WeightSource) -> String {
    let top1 = source
        .top1
        .map(|percent| format!("{percent} % top-1 on ImageNet's validation images"));
    let hash = source
        .sha256_prefix
        .map(|prefix| format!("sha256 {prefix}…"));
    [Some(source.license.to_string()), top1, hash]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(", ")
}

fn entry(spec: &ModelSpec) -> Value {
    let weights = spec.weights().iter().map(|source| {
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
