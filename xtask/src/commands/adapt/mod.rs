//! `cargo xtask adapt`: a classifier for images of a kind that it has no labels of.

mod analysis;
mod data;
mod report;
mod runs;
mod said;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use clap::Args;
use cnn_core::RunDir;
use cnn_models::{LoadOptions, ModelConfig, Network, find};
use cnn_train::OptimizerConfig;
use cnn_transfer::adapt::{AdaptationConfig, AdaptationMethod, METHODS, MethodInfo, Validator};
use serde::{Deserialize, Serialize};

use crate::args::{Unusable, count, expected, not_negative, positive, set_threads};
use crate::datasets::Source;
use crate::hub;
use crate::memory::{self, Workload};
use crate::network_args::{model_choice, note_loaded};
use crate::os_text::PathOrName;
use crate::training::{absolute, resumed_arguments, save_arguments};

use data::DomainData;
use runs::Outcomes;

const COMMAND: &str = "adapt";
/// What names all methods but the source alone, which is always beside them.
const ALL: &str = "all";

/// Train with labels of one kind of images (the source) for images of another (the target), of
/// which no label is read: source alone, adapted, and, where the target has labels, what these would
/// have given
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Adapt {
    /// Labelled images: what the network learns its classes from, as `finetune` takes them
    #[arg(
        long,
        value_name = "PATH",
        value_parser = PathOrName,
        required_unless_present = "resume",
        default_value = ""
    )]
    source: String,

    /// Images of the kind that the network is for; if they have labels, these are read once, when
    /// the run ends, to measure
    #[arg(
        long,
        value_name = "PATH",
        value_parser = PathOrName,
        required_unless_present = "resume",
        default_value = ""
    )]
    target: String,

    /// Labelled images of the target to measure on; default the target's own test or validation
    /// images, or else its training images
    #[arg(long, value_name = "PATH", value_parser = PathOrName)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    test: Option<String>,

    /// What the network begins with, as `finetune` takes it; `none` for fresh weights of --model
    #[arg(long, value_name = "PATH", default_value = "none", value_parser = PathOrName)]
    weights: String,

    /// Registered name of the model, for a bare weight file and for `--weights none`, with what it is
    /// built with as `lenet5:channel_multiplier=2`; a bottleneck is added unless it is `bottleneck`
    #[arg(long, value_name = "NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,

    #[arg(long, value_name = "LIST", default_value = "dann", value_parser = methods, help = methods_help())]
    method: String,

    /// Runs of each method with seeds that follow --seed, for a mean and a spread
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    seeds: u32,

    /// Epochs
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count)]
    epochs: u32,

    /// Updates of an epoch; default as many batches as the larger domain has, at most 500
    #[arg(long, value_name = "N", value_parser = count)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    updates: Option<u32>,

    /// Images of each domain in a batch
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = count)]
    batch: u32,

    /// Learning rate of what is behind the backbone
    #[arg(long, value_name = "RATE", default_value_t = 0.01, value_parser = positive)]
    lr: f64,

    /// The backbone's learning rate, relative to --lr; default 0.1, and 1 for fresh weights
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_scale: Option<f64>,

    /// Pull of the weights towards 0
    #[arg(long, value_name = "DECAY", default_value_t = 0.001, value_parser = not_negative)]
    weight_decay: f64,

    /// How much a method's loss counts beside that of the source; default the method's own
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    trade_off: Option<f64>,

    /// What chooses the epoch, without labels of the target: im (information maximisation), entropy,
    /// snd (soft neighbourhood density), bnm (nuclear norm), dev (deep embedded validation) or
    /// source_top1 (the source's validation images)
    #[arg(long, value_name = "NAME", default_value = "im", value_parser = validator)]
    validator: String,

    /// Leave out the run that learns from the target's labels
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    no_oracle: bool,

    /// Decides initial weights, order and dropout
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: u64,

    /// Where run directories are made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    out: PathBuf,

    /// Go on with a run that was interrupted; its own arguments apply
    #[arg(long, value_name = "RUN_DIR")]
    #[serde(skip)]
    resume: Option<PathBuf>,

    /// Number of threads; default all cores. Results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    #[serde(skip)]
    threads: Option<u16>,

    /// Print one JSON object on standard output
    #[arg(long)]
    #[serde(skip)]
    json: bool,
}

fn methods_help() -> String {
    let line = |info: &MethodInfo| format!("{} ({})", info.name, info.about);
    let lines: Vec<String> = METHODS.iter().map(line).collect();
    format!(
        "Methods, one run after the other: {}; or `{ALL}`",
        lines.join("; ")
    )
}

/// Methods as the command line names them, each once.
fn methods(text: &str) -> Result<String, String> {
    let names = text.split(',').map(str::trim);
    for name in names.clone().filter(|name| *name != ALL) {
        name.parse::<AdaptationMethod>()
            .map_err(|error| said_of(&error))?;
    }
    Ok(names.collect::<Vec<_>>().join(","))
}

/// What an argument would have to be.
fn said_of(error: &cnn_transfer::Error) -> String {
    match error {
        cnn_transfer::Error::Argument(argument) => expected(argument),
        other => other.to_string(),
    }
}

fn validator(text: &str) -> Result<String, String> {
    let validator = text.parse::<Validator>();
    validator
        .map(|validator| validator.to_string())
        .map_err(|error| said_of(&error))
}

impl Adapt {
    /// Runs with these arguments, of which `given` are those that the command line names.
    pub(crate) fn run(&self, given: &[String]) -> Result<()> {
        set_threads(self.threads)?;
        let Some(directory) = &self.resume else {
            let mut now = Self {
                source: absolute(&Source::local(&self.source)?)?,
                target: absolute(&Source::local(&self.target)?)?,
                weights: absolute(&self.weights)?,
                ..self.clone()
            };
            let test = now.test.as_deref();
            now.test = test
                .map(|test| absolute(&Source::local(test)?))
                .transpose()?;
            return now.run_in(None);
        };
        let saved = resumed_arguments(directory, self, given)?;
        let Self { json, threads, .. } = *self;
        Self {
            json,
            threads,
            ..saved
        }
        .run_in(Some(directory))
    }

    fn run_in(&self, directory: Option<&Path>) -> Result<()> {
        let data = DomainData::open(self)?;
        let mut network = self.network(&data, self.seed)?;
        network.set_label_names(data.source.classes().to_vec())?;
        if let Some(test) = &data.test {
            // What could not be measured in the end is said before the runs.
            cnn_transfer::match_classes(&network, test.as_ref())?;
        }
        note_loaded(&network);
        memory::check(&network, 2 * self.batch as usize, Workload::Training)?;
        let name = network.spec().name;
        let directory = match directory {
            Some(directory) => directory.to_path_buf(),
            None => RunDir::create(&self.out, COMMAND, name)?
                .path()
                .to_path_buf(),
        };
        save_arguments(self, &directory)?;
        data.print();
        let outcomes = Outcomes::of(self, &data, &directory)?;
        said::conclude(self, &data, &outcomes, &directory)
    }

    /// The methods that were asked for, the source alone first.
    fn methods(&self) -> Result<Vec<AdaptationMethod>> {
        let mut methods = vec![AdaptationMethod::SourceOnly];
        for name in self.method.split(',') {
            let some = match name {
                ALL => METHODS.iter().map(|info| info.method).collect(),
                name => vec![name.parse().context(Unusable)?],
            };
            for method in some {
                if !methods.contains(&method) {
                    methods.push(method);
                }
            }
        }
        Ok(methods)
    }

    /// How a method's run goes.
    fn adaptation(&self, method: AdaptationMethod, seed: u64) -> Result<AdaptationConfig> {
        let learnt = self.weights != "none";
        Ok(AdaptationConfig {
            method,
            trade_off: self.trade_off,
            epochs: self.epochs as usize,
            updates: self.updates.map(|updates| updates as usize),
            batch_size: self.batch as usize,
            learning_rate: self.lr,
            backbone_scale: self.body_scale.unwrap_or(if learnt { 0.1 } else { 1. }),
            optimizer: OptimizerConfig::sgd(),
            weight_decay: self.weight_decay,
            validator: self.validator.parse().context(Unusable)?,
            seed,
            ..AdaptationConfig::default()
        })
    }

    /// The network as a run begins with it, with a head of the source's classes.
    fn network(&self, data: &DomainData, seed: u64) -> Result<Network> {
        let classes = data.source.classes().len();
        if self.weights == "none" {
            let model = self
                .model
                .as_deref()
                .context("`--weights none` needs --model")
                .context(Unusable)?;
            let (spec, config) = model_choice(model)?;
            let config = ModelConfig {
                num_classes: Some(classes),
                ..config
            };
            return Ok(Network::new(spec.name, &config, seed)?);
        }
        let model = self.model.as_deref();
        let weights = hub::weights(&self.weights, model, &self.out.join("cache"))?;
        let options = LoadOptions {
            spec: model.map(find).transpose()?.copied().or(weights.spec),
            num_classes: Some(classes),
            new_head: true,
            seed,
            ..LoadOptions::default()
        };
        Ok(Network::load(&weights.path, &options)?)
    }
}
