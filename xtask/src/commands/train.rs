//! `cargo xtask train`: a registered network from scratch.

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::Args;
use cnn_core::RunDir;
use cnn_models::{ModelConfig, Network};
use cnn_train::{
    AugmentationPolicy, Classification, CrossEntropy, GradientStep, OptimizerConfig, Schedule,
    ScheduleKind, TrainConfig, Trainer, TrainingData,
};
use serde::{Deserialize, Serialize};

use crate::args::{Unusable, as_text, count, not_negative, positive, set_threads, share};
use crate::conclusion::Run;
use crate::datasets::Source;
use crate::memory::{self, Workload};
use crate::os_text::PathOrName;
use crate::report;
use crate::strip::Strip;
use crate::training::{
    TrainingArgs, Watcher, absolute, explained, interrupt_flag, interrupted, optimizer_help,
    resumed_arguments, save_arguments, schedule_help,
};

const COMMAND: &str = "train";

/// Train a registered network from scratch, reproducibly to the byte, and go on after an
/// interruption
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Train {
    /// Registered name of the model (the command `models` lists them)
    #[arg(long, value_name = "NAME", default_value = "resnet8_cifar10")]
    model: String,

    /// A folder of class folders, a CSV of images and labels, MNIST-like IDX files, CIFAR's files,
    /// WebDataset archives, an image parquet, a dataset by name as `flowers102`, which is downloaded
    /// once, or `shapes`, a dataset that is drawn as it is read; with settings as
    /// `shapes:night,difficulty=0.8,size=64`
    #[arg(long, value_name = "PATH", default_value = "shapes", value_parser = PathOrName)]
    data: String,

    /// Passes over the training images
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count)]
    epochs: u32,

    /// Images per batch
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count)]
    batch: u32,

    /// Batches per update
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    accumulate: u32,

    #[arg(long, value_name = "NAME[:SETTINGS]", default_value = "sgd", help = optimizer_help())]
    #[serde(with = "as_text")]
    optimizer: OptimizerConfig,

    /// Learning rate; default 0.1 for sgd, 0.001 for the others
    #[arg(long, value_name = "RATE", value_parser = positive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lr: Option<f64>,

    /// Momentum of sgd, short for `--optimizer sgd:momentum=SHARE`; 0 is plain gradient descent
    #[arg(long, value_name = "SHARE", value_parser = share)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    momentum: Option<f64>,

    /// Nesterov's momentum, short for `--optimizer sgd:nesterov`
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    nesterov: bool,

    /// Pull of the weights towards 0; biases and norm parameters are left alone
    #[arg(long, value_name = "DECAY", default_value_t = 5e-4, value_parser = not_negative)]
    weight_decay: f64,

    #[arg(long, value_name = "NAME[:SETTINGS]", default_value = "cosine", help = schedule_help())]
    #[serde(with = "as_text")]
    schedule: ScheduleKind,

    /// Epochs over which the learning rate rises at first
    #[arg(long, value_name = "EPOCHS", default_value_t = 0.5, value_parser = not_negative)]
    warmup: f64,

    /// Share of the target that is spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = 0., value_parser = share)]
    label_smoothing: f64,

    /// Share of the classifier's inputs that is dropped
    #[arg(long, value_name = "SHARE", default_value_t = 0., value_parser = share)]
    dropout: f64,

    /// Probability of dropping a residual branch, rising with depth (Huang et al. 2016), in
    /// networks that have them
    #[arg(long, value_name = "P", default_value_t = 0., value_parser = share)]
    drop_path: f64,

    /// Stop after this many epochs without a better validation accuracy
    #[arg(long, value_name = "EPOCHS", value_parser = count)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patience: Option<u32>,

    #[command(flatten)]
    #[serde(flatten)]
    training: TrainingArgs,
}

impl Train {
    /// Runs with these arguments, of which `given` are those that the command line names.
    pub(crate) fn run(&self, given: &[String]) -> Result<()> {
        set_threads(self.training.threads)?;
        let now = Self {
            data: absolute(&Source::local(&self.data)?)?,
            ..self.clone()
        };
        let Some(directory) = &self.training.resume else {
            return now.train_in(None);
        };
        let saved = resumed_arguments(directory, &now, given)?;
        let training = saved.training.in_sitting(&self.training);
        Self { training, ..saved }.train_in(Some(directory))
    }

    fn train_in(&self, directory: Option<&Path>) -> Result<()> {
        let config = self.train_config().context(Unusable)?;
        let lr = Some(config.learning_rate);
        let optimizer = config.optimizer;
        let resolved = Self {
            lr,
            optimizer,
            momentum: None,
            nesterov: false,
            ..self.clone()
        };
        let data = self.training.open_data(&self.data)?;
        let network = self.network(&data)?;
        memory::check(&network, self.batch as usize, Workload::Training)?;
        let task = self.task(&data, &network)?;
        let directory = match directory {
            Some(directory) => directory.to_path_buf(),
            None => RunDir::create(&self.training.out, COMMAND, &self.model)?
                .path()
                .to_path_buf(),
        };
        save_arguments(&resolved, &directory)?;
        data.record_in(&directory)?;
        let batches = cnn_train::Task::batches_per_epoch(&task);
        eprintln!(
            "{}: {} parameters, {} training and {} validation images, {} epochs of {batches} updates, in {}",
            self.model,
            network.store().parameter_count(),
            data.train().len(),
            data.val().len(),
            self.epochs,
            directory.display()
        );

        let strip = Strip::new(&network, data.val())?;
        strip.begin(&directory)?;
        let mut watcher = Watcher::new(&strip, self.patience);
        watcher.begin(data.train().len() * self.epochs as usize);
        let summary = Trainer::new(config, network.store(), &directory)
            .with_companion("config.json", network.config_json())
            .with_save_every(self.training.save_every())
            .with_interrupt(interrupt_flag()?)
            .with_listener(|notice| watcher.show(notice))
            .run(
                &task,
                &mut GradientStep {
                    clip_norm: self.training.clip_norm,
                    clip_value: None,
                },
            )
            .map_err(|error| explained(error.into(), &directory))?;
        watcher.finish();
        if summary.interrupted {
            report::write_interrupted(COMMAND, &self.data, &self.model, &directory)?;
            return Err(interrupted(COMMAND, summary.epochs, &directory));
        }
        let run = Run {
            directory: &directory,
            command: COMMAND,
            data_name: &self.data,
            data: &data,
            batch: self.batch as usize,
            summary: &summary,
            skipped: task.skipped(),
            tuning: None,
        };
        run.conclude(self.training.json)
    }

    fn train_config(&self) -> Result<TrainConfig> {
        let optimizer = self.optimizer();
        let lr = if matches!(optimizer, OptimizerConfig::Sgd { .. }) {
            0.1
        } else {
            1e-3
        };
        let schedule = Schedule::new(self.schedule.clone()).with_warmup(self.warmup)?;
        let mut config = TrainConfig::new(self.epochs as usize);
        (config.seed, config.optimizer, config.schedule) =
            (self.training.seed, optimizer, schedule);
        (config.learning_rate, config.weight_decay) = (self.lr.unwrap_or(lr), self.weight_decay);
        (config.accumulation, config.patience) = (
            self.accumulate as usize,
            self.patience.map(|epochs| epochs as usize),
        );
        config.ema = self.training.ema;
        config.validate()?;
        Ok(config)
    }

    /// The update rule, with what the flags for sgd alone say.
    fn optimizer(&self) -> OptimizerConfig {
        match self.optimizer {
            OptimizerConfig::Sgd { momentum, nesterov } => OptimizerConfig::Sgd {
                momentum: self.momentum.unwrap_or(momentum),
                nesterov: nesterov || self.nesterov,
            },
            other => {
                if self.momentum.is_some() || self.nesterov {
                    eprintln!("note: --momentum and --nesterov are for sgd; this is {other}");
                }
                other
            }
        }
    }

    fn network(&self, data: &TrainingData) -> Result<Network> {
        let classes = data.train().classes();
        anyhow::ensure!(
            !classes.is_empty(),
            "the dataset has no labels, so there is nothing to learn"
        );
        let mut config = ModelConfig {
            num_classes: Some(classes.len()),
            input_size: self.training.size.map(|size| size.0),
            ..ModelConfig::default()
        };
        for (name, rate) in [
            ("drop_rate", self.dropout),
            ("drop_path_rate", self.drop_path),
        ] {
            if rate != 0. {
                config = config.with_arg(name, rate);
            }
        }
        let mut network = Network::new(&self.model, &config, self.training.seed)?;
        network.set_label_names(classes.to_vec())?;
        Ok(network)
    }

    fn task(&self, data: &TrainingData, network: &Network) -> Result<Classification> {
        let preprocessing = network.preprocessing().clone();
        let augmentation = self
            .training
            .augmentation(&preprocessing, AugmentationPolicy::default())
            .context(Unusable)?;
        let train = data.train().clone();
        let val = data.val().clone();
        let mut task = Classification::new(train, val, preprocessing, |mode| network.build(mode))?
            .with_batch_size(self.batch as usize)
            .context(Unusable)?
            .with_augmentation(augmentation)
            .with_loss(CrossEntropy {
                label_smoothing: self.label_smoothing,
                class_weights: self.training.class_weights(data),
            });
        if let Some(mix) = self.training.mix().context(Unusable)? {
            task = task.with_mix(mix);
        }
        Ok(task)
    }
}
