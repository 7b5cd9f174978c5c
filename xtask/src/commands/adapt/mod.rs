//! `cargo xtask adapt`: a classifier for images of a kind that it has no labels of.

mod analysis;
mod data;
mod domains;
mod part;
mod report;
mod runs;
mod said;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use cnn_core::{Preprocessing, RunDir};
use cnn_data::Augmentation;
use cnn_models::{LoadOptions, ModelConfig, ModelSpec, Network, find};
use cnn_train::{AugmentationPolicy, OptimizerConfig};
use cnn_transfer::adapt::{
    AdaptationConfig, AdaptationMethod, DomainShift, METHODS, MethodInfo, Validator,
};
use cnn_transfer::class_names;
use serde::{Deserialize, Serialize};

use crate::args::{Size, Unusable, count, expected, not_negative, positive, set_threads};
use crate::datasets::Source;
use crate::hub::{self, Weights};
use crate::memory::{self, Workload};
use crate::network_args::{model_choice, note_loaded};
use crate::os_text::PathOrName;
use crate::output;
use crate::training::{Augment, absolute, resumed_arguments, save_arguments};

use data::DomainData;
use runs::Outcomes;
use said::Concluded;

const COMMAND: &str = "adapt";
/// What names all methods but the source alone, which is always beside them.
const ALL: &str = "all";

/// Train with labels of one kind of images (the source) for images of another (the target), of
/// which no label is read: source alone, adapted, and, where the target has labels, what these would
/// have given
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Adapt {
    /// Labelled images: what the network learns its classes from, as `finetune` takes them; methods
    /// that adapt what has learnt (adabn, tent, shot) do without. With --domains, the name of one
    #[arg(long, value_name = "PATH", value_parser = PathOrName, default_value = "")]
    source: String,

    /// Images of the kind that the network is for; if they have labels, these are read once, when
    /// the run ends, to measure. Without it, half of the source's images, as --shift shows them. With
    /// --domains, the name of one
    #[arg(
        long,
        value_name = "PATH",
        value_parser = PathOrName,
        required_unless_present_any = ["resume", "shift", "domains"],
        default_value = ""
    )]
    target: String,

    /// Show the target's images so: noise, blur, color, edges, palette (each as noise:0.4, too) or
    /// blend (other backgrounds, with blend:DIR parts of the photos there)
    #[arg(long, value_name = "NAME", value_parser = shift)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shift: Option<String>,

    /// A folder for each domain, as of PACS or Office-31: every one to every other, in one table
    #[arg(long, value_name = "DIR", value_parser = PathOrName, conflicts_with = "test")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    domains: Option<String>,

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

    /// Let every method know the labels of so many images of each class of the target, which stand
    /// beside the source's; drawn by --seed
    #[arg(long, value_name = "N", value_parser = count)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target_labels: Option<u32>,

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

    /// The network's input, as 224 or 192x256; default the model's own
    #[arg(long, value_name = "H[xW]")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<Size>,

    /// What is done to the training images of both domains
    #[arg(long, value_enum, default_value = "none")]
    #[serde(default = "no_augmentation")]
    augment: Augment,

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

    /// The run directory of all pairs of domains, of which this is one.
    #[arg(skip)]
    #[serde(skip)]
    all_pairs: Option<PathBuf>,
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

fn no_augmentation() -> Augment {
    Augment::None
}

fn shift(text: &str) -> Result<String, String> {
    let shift = text.parse::<DomainShift>();
    shift
        .map(|_| text.to_string())
        .map_err(|error| said_of(&error))
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
            return self.clone().with_absolute_paths()?.run_in(None);
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

    /// So that a run goes on from anywhere.
    fn with_absolute_paths(mut self) -> Result<Self> {
        let local = |path: &str| absolute(&Source::local(path)?);
        self.weights = absolute(&self.weights)?;
        self.domains = self.domains.as_deref().map(absolute).transpose()?;
        if self.domains.is_some() {
            // Source and target are names of folders there.
            return Ok(self);
        }
        for path in [&mut self.source, &mut self.target]
            .into_iter()
            .chain(&mut self.test)
        {
            if !path.is_empty() {
                *path = local(path)?;
            }
        }
        Ok(self)
    }

    fn run_in(&self, directory: Option<&Path>) -> Result<()> {
        if let Some(folder) = &self.domains {
            return domains::run(self, folder, directory);
        }
        let concluded = self.run_pair(directory)?;
        if self.json {
            return output::json(&concluded.summary);
        }
        concluded.print()
    }

    /// One source, or none, and one target.
    fn run_pair(&self, directory: Option<&Path>) -> Result<Concluded> {
        let given = self.source.is_empty().then(|| self.given()).transpose()?;
        let data = DomainData::open(self, given.as_ref().map(class_names))?;
        let validation = data.source.as_ref().map(|source| source.validation.len());
        let validator: Validator = self.validator.parse().context(Unusable)?;
        validator.check(validation).context(Unusable)?;
        let mut fresh;
        let network = match &given {
            Some(network) => network,
            None => {
                fresh = self.network(&data.classes, self.seed)?;
                fresh.set_label_names(data.classes.clone())?;
                &fresh
            }
        };
        if let Some(test) = &data.test {
            // What could not be measured in the end is said before the runs.
            cnn_transfer::match_classes(network, test.as_ref())?;
        }
        data.check_batch(self.batch as usize).context(Unusable)?;
        self.note_unused_trade_off()?;
        note_loaded(network);
        memory::check(network, 2 * self.batch as usize, Workload::Training)?;
        let directory = match directory {
            Some(directory) => directory.to_path_buf(),
            None => self.new_directory(model_name(network))?,
        };
        save_arguments(self, &directory)?;
        data.print();
        let outcomes = Outcomes::of(self, &data, given.as_ref(), &directory)?;
        said::conclude(self, &data, &outcomes, &directory)
    }

    fn new_directory(&self, name: &str) -> Result<PathBuf> {
        Ok(RunDir::create(&self.out, COMMAND, name)?
            .path()
            .to_path_buf())
    }

    /// The network of a run without a source, with the classes that it knows.
    fn given(&self) -> Result<Network> {
        let needy = self
            .methods()?
            .into_iter()
            .filter(|method| !method.is_source_free() && *method != AdaptationMethod::SourceOnly);
        let needy: Vec<&str> = needy.map(|method| method.info().name).collect();
        let free = METHODS.iter().filter(|info| info.method.is_source_free());
        let free: Vec<&str> = free.map(|info| info.name).collect();
        if !needy.is_empty() {
            let message = format!(
                "--source: {} needs images with labels; without any there are {}",
                needy.join(", "),
                free.join(", ")
            );
            return Err(anyhow!(message).context(Unusable));
        }
        if self.target_labels.is_some() {
            let message =
                "--target-labels needs --source: without one, `finetune` learns from labels";
            return Err(anyhow!(message).context(Unusable));
        }
        if self.weights == "none" || self.target.is_empty() {
            let message = "without --source there have to be --weights of a network that has learnt, \
                           and --target";
            return Err(anyhow!(message).context(Unusable));
        }
        let weights = self.loaded_weights()?;
        let options = LoadOptions {
            spec: self.spec(&weights)?,
            input_size: self.input_size(),
            ..LoadOptions::default()
        };
        Ok(Network::load(&weights.path, &options)?)
    }

    /// Says which methods weigh no loss.
    fn note_unused_trade_off(&self) -> Result<()> {
        let methods = self.methods()?.into_iter();
        let methods = methods.filter(|method| *method != AdaptationMethod::SourceOnly);
        let weighs_nothing = methods.filter(|method| method.info().trade_off == 0.);
        let names: Vec<&str> = weighs_nothing.map(|method| method.info().name).collect();
        if self.trade_off.is_some() && !names.is_empty() {
            let names = names.join(", ");
            eprintln!("note: --trade-off has no part in {names}, which weighs no loss");
        }
        Ok(())
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

    /// What is done to images for a network with this record; `None` for nothing.
    fn augmentation(&self, record: &Preprocessing) -> Result<Option<Augmentation>> {
        if self.augment == Augment::None {
            return Ok(None);
        }
        let policy = AugmentationPolicy {
            cropping: self.augment.cropping()?,
            ..AugmentationPolicy::fine_tuning()
        };
        Ok(Some(policy.augmentation(record)?))
    }

    /// The network as a run begins with it, with a head of these classes.
    fn network(&self, classes: &[String], seed: u64) -> Result<Network> {
        let classes = classes.len();
        if self.weights == "none" {
            let model = self
                .model
                .as_deref()
                .context("`--weights none` needs --model")
                .context(Unusable)?;
            let (spec, config) = model_choice(model)?;
            let config = ModelConfig {
                num_classes: Some(classes),
                input_size: self.input_size().or(config.input_size),
                ..config
            };
            return Ok(Network::new(spec.name, &config, seed)?);
        }
        let weights = self.loaded_weights()?;
        let options = LoadOptions {
            spec: self.spec(&weights)?,
            num_classes: Some(classes),
            new_head: true,
            input_size: self.input_size(),
            seed,
            ..LoadOptions::default()
        };
        Ok(Network::load(&weights.path, &options)?)
    }

    /// Another height and width than the network's own.
    fn input_size(&self) -> Option<[usize; 2]> {
        self.size.map(|size| size.0)
    }

    fn loaded_weights(&self) -> Result<Weights> {
        let model = self.model.as_deref();
        hub::weights(&self.weights, model, &self.out.join("cache"))
    }

    /// The model that the command line names, or else the weights' own where that is known.
    fn spec(&self, weights: &Weights) -> Result<Option<ModelSpec>> {
        let named = self.model.as_deref().map(find).transpose()?;
        Ok(named.copied().or(weights.spec))
    }
}

/// The name of the model that a bottleneck stands on, or else the network's own.
fn model_name(network: &Network) -> &str {
    let backbone = network.config().model.args.get("backbone");
    let backbone = backbone.and_then(|name| name.as_str());
    backbone.unwrap_or(network.spec().name)
}
