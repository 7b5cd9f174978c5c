//! `cargo xtask train`: a registered network from scratch.

use std::path::Path;

use anyhow::{Context as _, Result, anyhow};
use clap::Args;
use cnn_core::RunDir;
use cnn_models::{
    DetectionNetwork, Kind, ModelConfig, ModelKind, ModelSpec, Network, NetworkOf,
    SegmentationNetwork,
};
use cnn_train::{
    AugmentationPolicy, Classification, CrossEntropy, Detection, OptimizerConfig, Schedule,
    ScheduleKind, Segmentation, Step, Task, TrainConfig, TrainingData,
};
use serde::{Deserialize, Serialize};

use crate::adversarial::AdversarialArgs;
use crate::args::{
    TaskArg, Unusable, as_text, count, not_negative, positive, refuse_without_part, set_threads,
    share,
};
use crate::conclusion::Run;
use crate::datasets::Source;
use crate::detection::{self, BoxTraining, BoxTrainingArgs};
use crate::memory::{self, Workload};
use crate::network_args::model_choice;
use crate::os_text::PathOrName;
use crate::report;
use crate::segmentation::{self, MaskArgs, PixelLossArgs};
use crate::strip::Strip;
use crate::training::{
    TrainingArgs, absolute, interrupted, optimizer_help, resumed_arguments, run_task,
    save_arguments, schedule_help, without_part,
};
use crate::watcher::Watcher;

const COMMAND: &str = "train";

/// The network for pixels where none is named.
const SEGMENTATION_MODEL: &str = "unet:width=16,depth=3";

/// The rate of AdamW, which is the update rule for networks for pixels where none is named.
const SEGMENTATION_RATE: f64 = 4e-3;

/// Images per batch of a network for pixels where nothing is said, and epochs.
const SEGMENTATION_BATCH: u32 = 32;
const SEGMENTATION_EPOCHS: u32 = 12;

/// The rate of AdamW of a network that finds objects, the images per batch and the epochs.
const DETECTION_RATE: f64 = 3e-3;
const DETECTION_BATCH: u32 = 16;
const DETECTION_EPOCHS: u32 = 12;

/// Train a registered network from scratch, reproducibly to the byte, and go on after an
/// interruption
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Train {
    /// What the network is for; default what the model is for
    #[arg(long, value_name = "TASK", value_enum)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<TaskArg>,

    /// Registered name of the model (the command `models` lists them), with what it is built with as
    /// `unet:width=16,depth=3`, which is the default for segmentation; for detection `yolox_nano`
    #[arg(
        long,
        value_name = "NAME[:SETTINGS]",
        default_value = "resnet8_cifar10"
    )]
    model: String,

    /// A folder of class folders, a CSV of images and labels, MNIST-like IDX files, CIFAR's files,
    /// WebDataset archives, an image parquet, a dataset by name as `flowers102`, which is downloaded
    /// once, or `shapes`, a dataset that is drawn as it is read; with settings as
    /// `shapes:night,difficulty=0.8,size=64`
    #[arg(long, value_name = "PATH", default_value = "shapes", value_parser = PathOrName)]
    data: String,

    /// Passes over the training images; for segmentation and detection 12
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count)]
    epochs: u32,

    /// Images per batch; for segmentation 32, for detection 16
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count)]
    batch: u32,

    /// Batches per update
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count)]
    accumulate: u32,

    #[arg(long, value_name = "NAME[:SETTINGS]", default_value = "sgd", help = optimizer_help())]
    #[serde(with = "as_text")]
    optimizer: OptimizerConfig,

    /// Learning rate; default 0.1 for sgd, 0.001 for the others; segmentation takes adamw at 0.004
    /// and detection at 0.003 unless they are told otherwise
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
    loss: PixelLossArgs,

    #[command(flatten)]
    #[serde(flatten)]
    masks: MaskArgs,

    #[command(flatten)]
    #[serde(flatten)]
    boxes: BoxTrainingArgs,

    #[command(flatten)]
    #[serde(flatten)]
    adversarial: AdversarialArgs,

    #[command(flatten)]
    #[serde(flatten)]
    training: TrainingArgs,
}

/// What is trained, on what.
struct Prepared<'a, M: ModelKind + ?Sized, T> {
    task: &'a T,
    network: &'a NetworkOf<M>,
    data: &'a TrainingData,
    strip: Option<&'a Strip>,
}

impl Train {
    /// Runs with these arguments, of which `given` are those that the command line names.
    pub(crate) fn run(&self, given: &[String]) -> Result<()> {
        set_threads(self.training.threads)?;
        let mut now = Self {
            data: absolute(&Source::local(&self.data)?)?,
            masks: self.masks.absolute()?,
            ..self.clone()
        };
        now.take_defaults(given)?;
        let Some(directory) = &self.training.resume else {
            let kind = now.kind()?;
            refuse_without_part(given, without_part(kind), kind)?;
            return now.train_in(None);
        };
        let saved = resumed_arguments(directory, &now, given)?;
        let training = saved.training.in_sitting(&self.training);
        Self { training, ..saved }.train_in(Some(directory))
    }

    /// Of what the command line does not say, what suits the kind of network.
    fn take_defaults(&mut self, given: &[String]) -> Result<()> {
        let is_open = |name: &str| !given.iter().any(|given| given == name);
        if is_open("model") {
            let model = match self.task {
                Some(TaskArg::Segmentation) => SEGMENTATION_MODEL,
                Some(TaskArg::Detection) => detection::MODEL,
                _ => self.model.as_str(),
            };
            self.model = model.to_string();
        }
        let (rate, batch, epochs) = match self.kind()? {
            Kind::Segmentation => (SEGMENTATION_RATE, SEGMENTATION_BATCH, SEGMENTATION_EPOCHS),
            Kind::Detection => (DETECTION_RATE, DETECTION_BATCH, DETECTION_EPOCHS),
            _ => return Ok(()),
        };
        if is_open("optimizer") && is_open("momentum") && is_open("nesterov") {
            self.optimizer = OptimizerConfig::adamw();
            self.lr = self.lr.or(Some(rate));
        }
        if is_open("batch") {
            self.batch = batch;
        }
        if is_open("epochs") {
            self.epochs = epochs;
        }
        if self.kind()? == Kind::Detection {
            self.training.ema = self.training.ema.or(Some(detection::AVERAGE));
        }
        Ok(())
    }

    /// What the network is for.
    fn kind(&self) -> Result<Kind> {
        let kind = model_choice(&self.model)?.0.kind();
        match self.task.map(Kind::from) {
            Some(task) if task != kind => Err(anyhow!(
                "--task {task}: {} is a model for {kind}; leave --task out, or take a model for {task}",
                self.model
            )
            .context(Unusable)),
            _ => Ok(kind),
        }
    }

    fn train_in(&self, directory: Option<&Path>) -> Result<()> {
        let config = self.train_config().context(Unusable)?;
        let resolved = Self {
            lr: Some(config.learning_rate),
            optimizer: config.optimizer,
            momentum: None,
            nesterov: false,
            ..self.clone()
        };
        match self.kind()? {
            Kind::Segmentation => resolved.train_segmentation(config, directory),
            Kind::Detection => resolved.train_detection(config, directory),
            _ => resolved.train_classification(config, directory),
        }
    }

    fn train_classification(&self, config: TrainConfig, directory: Option<&Path>) -> Result<()> {
        let data = self.training.open_data(&self.data)?;
        let network = self.network(&data)?;
        memory::check(&network, self.batch as usize, Workload::Training)?;
        let mut task = self.task(&data, &network)?;
        let step = self.training.step();
        let mut step: Box<dyn Step<Classification>> = match self.adversarial.training()? {
            Some(under_attack) => {
                task = under_attack.task(task, &network)?;
                under_attack.step(&network, step, self.batch as usize)?
            }
            None => Box::new(step),
        };
        let strip = Strip::new(&network, data.val())?;
        let prepared = Prepared {
            task: &task,
            network: &network,
            data: &data,
            strip: Some(&strip),
        };
        self.run_task(&prepared, step.as_mut(), config, directory)
    }

    fn train_segmentation(&self, config: TrainConfig, directory: Option<&Path>) -> Result<()> {
        let data = segmentation::open_data(&self.data, &self.masks, &self.training)?;
        let train = data.train().as_ref();
        let classes = train.mask_classes().to_vec();
        let size = |_: &ModelSpec| Some(segmentation::default_size(train));
        let (spec, config_of_model) = self.configured(classes.len(), size)?;
        let mut network = SegmentationNetwork::of(*spec, &config_of_model, self.training.seed)?;
        network.set_label_names(classes)?;
        memory::check(&network, self.batch as usize, Workload::Training)?;
        let record = network.preprocessing().clone();
        let build = |mode| network.build(mode);
        let task = Segmentation::new(data.train().clone(), data.val().clone(), record, build)?
            .with_batch_size(self.batch as usize)
            .context(Unusable)?
            .with_augmentation(segmentation::augmentation(&self.training, train, &network)?)
            .with_loss(self.loss.loss(train)?);
        let prepared = Prepared {
            task: &task,
            network: &network,
            data: &data,
            strip: None,
        };
        self.run_task(&prepared, &mut self.training.step(), config, directory)
    }

    fn train_detection(&self, config: TrainConfig, directory: Option<&Path>) -> Result<()> {
        let data = detection::open_data(&self.data, &self.training)?;
        let train = data.train();
        let classes = train.classes().to_vec();
        let size = |spec: &ModelSpec| Some(detection::input_size(train.as_ref(), spec));
        let (spec, config_of_model) = self.configured(classes.len(), size)?;
        let mut network = DetectionNetwork::of(*spec, &config_of_model, self.training.seed)?;
        network.set_label_names(classes)?;
        memory::check(&network, self.batch as usize, Workload::Training)?;
        let record = network.preprocessing().clone();
        let epochs = self.epochs as usize;
        let BoxTraining {
            augmentation,
            late_augmentation,
            late_epochs,
            sizes,
        } = self
            .boxes
            .resolve(&self.training, &network, train, epochs)?;
        let build = |mode| network.build(mode);
        let task = Detection::new(train.clone(), data.val().clone(), record, build)?
            .with_batch_size(self.batch as usize)
            .context(Unusable)?
            .with_augmentation(augmentation)
            .with_late_augmentation(epochs.saturating_sub(late_epochs), late_augmentation)
            .with_sizes(sizes)
            .context(Unusable)?;
        let prepared = Prepared {
            task: &task,
            network: &network,
            data: &data,
            strip: None,
        };
        self.run_task(&prepared, &mut self.training.step(), config, directory)
    }

    /// Trains in a directory, which is made where none is given, and says what came of it.
    fn run_task<M: ModelKind + ?Sized, T: Task>(
        &self,
        prepared: &Prepared<'_, M, T>,
        step: &mut dyn Step<T>,
        config: TrainConfig,
        directory: Option<&Path>,
    ) -> Result<()> {
        let Prepared {
            task,
            network,
            data,
            strip,
        } = *prepared;
        let name = network.spec().name;
        let attack = self.adversarial.attack_of_best(self.training.seed)?;
        let directory = match directory {
            Some(directory) => directory.to_path_buf(),
            None => RunDir::create(&self.training.out, COMMAND, name)?
                .path()
                .to_path_buf(),
        };
        save_arguments(self, &directory)?;
        data.record_in(&directory)?;
        eprintln!(
            "{name}: {} parameters, {} training and {} validation images of {} classes, {} epochs \
             of {} updates, in {}",
            network.store().parameter_count(),
            data.train().len(),
            data.val().len(),
            network.model().num_classes(),
            self.epochs,
            task.batches_per_epoch(),
            directory.display()
        );
        if let Some(strip) = strip {
            strip.begin(&directory)?;
        }
        let mut watcher = Watcher::new(strip, self.patience);
        watcher.begin(data.train().len() * self.epochs as usize);
        let training = &self.training;
        let summary = run_task(
            task,
            network,
            config,
            step,
            training,
            &directory,
            &mut watcher,
        )?;
        if summary.interrupted {
            report::write_interrupted(COMMAND, &self.data, name, &directory)?;
            return Err(interrupted(COMMAND, summary.epochs, &directory));
        }
        let run = Run {
            kind: network.spec().kind(),
            directory: &directory,
            command: COMMAND,
            data_name: &self.data,
            data,
            batch: self.batch as usize,
            summary: &summary,
            skipped: task.skipped(),
            attack,
            tuning: None,
        };
        run.conclude(self.training.json)
    }

    /// The model, what it is built with for so many classes, and what is dropped in training; with
    /// an input of this size where the arguments have none.
    fn configured(
        &self,
        classes: usize,
        size: impl FnOnce(&ModelSpec) -> Option<[usize; 2]>,
    ) -> Result<(&'static ModelSpec, ModelConfig)> {
        let (spec, config) = model_choice(&self.model)?;
        let input_size = self.training.size.map(|size| size.0).or_else(|| size(spec));
        let mut config = ModelConfig {
            num_classes: Some(classes),
            input_size,
            ..config
        };
        for (name, rate) in [
            ("drop_rate", self.dropout),
            ("drop_path_rate", self.drop_path),
        ] {
            if rate != 0. {
                config = config.with_arg(name, rate);
            }
        }
        Ok((spec, config))
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
        let (spec, config) = self.configured(classes.len(), |_| None)?;
        let mut network = Network::of(*spec, &config, self.training.seed)?;
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
