//! `cargo xtask finetune`: a published or one's own network becomes good at one's own classes.

mod networks;

use std::path::Path;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use cnn_core::RunDir;
use cnn_models::{Kind, ModelKind, NetworkOf};
use cnn_train::{AugmentationPolicy, OptimizerConfig, ScheduleKind, TrainingData};
use cnn_transfer::{
    DetectionFineTune, FeatureCache, FineTune, FineTuneConfig, FineTuneNotice, FineTuneOf,
    FineTuneSummary, FreezeProof, Phase, SegmentationFineTune, Strategy, Tunable,
};
use serde::{Deserialize, Serialize};

use crate::adversarial::AdversarialArgs;
use crate::args::{
    TaskArg, Unusable, as_text, count, not_negative, positive, refuse_without_part, set_threads,
    share,
};
use crate::conclusion::{Run, Tuning};
use crate::datasets::Source;
use crate::detection::{self, BoxTraining, BoxTrainingArgs};
use crate::memory::{self, Workload};
use crate::network_args::note_loaded;
use crate::os_text::PathOrName;
use crate::report;
use crate::segmentation::{self, MaskArgs, PixelLossArgs};
use crate::strip::Strip;
use crate::training::{
    Augment, TrainingArgs, absolute, explained, interrupt_flag, interrupted, optimizer_help,
    resumed_arguments, save_arguments, schedule_help, without_part,
};
use crate::watcher::Watcher;

const COMMAND: &str = "finetune";

/// Fine-tune a pretrained network on your own images, reproducibly to the byte, and go on after an
/// interruption
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Finetune {
    /// A directory with config.json and weights, a run directory (its best epoch), a .safetensors,
    /// .pth, .pt, .th or .bin file; a published name as `resnet18.a1_in1k`, `hf:owner/name`, or an
    /// address, which are downloaded once; `builtin`, a ResNet-20 that this project trained on
    /// CIFAR-10; or `none` for fresh weights, to compare with
    #[arg(long, value_name = "PATH", default_value = "builtin", value_parser = PathOrName)]
    weights: String,

    /// What the network is for; default what its weights, or the model, are for
    #[arg(long, value_name = "TASK", value_enum)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<TaskArg>,

    /// Registered name of the model (the command `models` lists them); needed for a bare weight
    /// file and for `--weights none`. For segmentation and detection, the network that a classifier's
    /// weights become the backbone of: `smp_unet`, the default, or `smp_deeplabv3plus`; `ssdlite`, the
    /// default, `fasterrcnn_fpn`, `retinanet_fpn` or `fcos_fpn`, with what they are built with as
    /// `fasterrcnn_fpn:fpn_channels=96`
    #[arg(long, value_name = "NAME")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,

    /// Take the moving average of the weights that a checkpoint keeps beside them (`state_dict_ema`,
    /// `model_ema`, `ema`)
    #[arg(long)]
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    use_ema: bool,

    /// A folder of class folders, a CSV of images and labels, MNIST-like IDX files, CIFAR's files,
    /// WebDataset archives, an image parquet, a dataset by name as `flowers102`, which is downloaded
    /// once, or `shapes`, a dataset that is drawn as it is read
    #[arg(long, value_name = "PATH", default_value = "shapes:samples=1000", value_parser = PathOrName)]
    data: String,

    /// `head`: the new head alone on a frozen backbone; `full`: all layers at once, which detection
    /// takes unless it is told otherwise; `two-phase`: the head first, then all layers; `gradual`:
    /// stage by stage from the top
    #[arg(long, value_name = "NAME", default_value = "two-phase")]
    strategy: Strategy,

    /// Epochs of the head alone
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count)]
    head_epochs: u32,

    /// Epochs after those; default 5, for inputs of up to 64 pixels 8, for segmentation 30, for
    /// detection 25
    #[arg(long, value_name = "N", value_parser = count)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    epochs: Option<u32>,

    /// Images per batch; for segmentation and detection 8
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = count)]
    batch: u32,

    #[arg(long, value_name = "NAME[:SETTINGS]", default_value = "adamw", help = optimizer_help())]
    #[serde(with = "as_text")]
    optimizer: OptimizerConfig,

    /// Learning rate of the head alone
    #[arg(long, value_name = "RATE", default_value_t = 2e-3, value_parser = positive)]
    head_lr: f64,

    /// Learning rate of the head together with other layers; default 0.0005, for inputs of up to 64
    /// pixels 0.005, for segmentation and detection 0.001, for a detector over a classifier 0.002
    #[arg(long, value_name = "RATE", value_parser = positive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lr: Option<f64>,

    /// Learning rate of the layers next to the head, as a share of the head's; default 0.1, for
    /// segmentation 0.3, for detection, for inputs of up to 64 pixels and for `--weights none` 1
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    body_scale: Option<f64>,

    /// Learning rate of each layer group, as a share of that of the group above it; default 0.8,
    /// for inputs of up to 64 pixels and for `--weights none` 1
    #[arg(long, value_name = "FACTOR", value_parser = positive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    layer_decay: Option<f64>,

    /// Pull of the weights towards 0; biases and norm parameters are left alone
    #[arg(long, value_name = "DECAY", default_value_t = 0.01, value_parser = not_negative)]
    weight_decay: f64,

    #[arg(long, value_name = "NAME[:SETTINGS]", default_value = "cosine", help = schedule_help() + ". Each phase runs through it")]
    #[serde(default = "cosine", with = "as_text")]
    schedule: ScheduleKind,

    /// Epochs over which the learning rate rises at the start of each phase; default a tenth of the
    /// phase's epochs, at most 1
    #[arg(long, value_name = "EPOCHS", value_parser = not_negative)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    warmup: Option<f64>,

    /// End a phase after this many of its epochs in a row without a better validation accuracy than
    /// the run's best; the next phase follows
    #[arg(long, value_name = "EPOCHS", value_parser = count)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patience: Option<u32>,

    /// Share of the target that is spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    label_smoothing: f64,

    /// Statistics of batch normalisation below the head while its layers are trained; default
    /// frozen, for inputs of up to 64 pixels and for `--weights none` moving
    #[arg(long, value_enum)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    batch_norm: Option<Statistics>,

    #[command(flatten)]
    #[serde(flatten)]
    loss: PixelLossArgs,

    #[command(flatten)]
    #[serde(flatten)]
    masks: MaskArgs,

    /// Compute the frozen backbone's features anew and keep none
    #[arg(long)]
    #[serde(default)]
    no_cache: bool,

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

fn cosine() -> ScheduleKind {
    FineTuneConfig::default().schedule
}

/// Statistics of batch normalisation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Statistics {
    /// Those that the network came with: safe for small data
    Frozen,
    /// Those of the batches: for many images that look different
    Moving,
}

impl Finetune {
    /// Runs with these arguments, of which `given` are those that the command line names.
    pub(crate) fn run(&self, given: &[String]) -> Result<()> {
        set_threads(self.training.threads)?;
        let is_open = |name: &str| !given.iter().any(|given| given == name);
        let mut now = Self {
            data: absolute(&Source::local(&self.data)?)?,
            masks: self.masks.absolute()?,
            weights: absolute(&self.weights)?,
            ..self.clone()
        };
        if now.task == Some(TaskArg::Detection) && now.model.is_none() && is_open("weights") {
            now.weights = detection::WEIGHTS.to_string();
        }
        // A run that goes on has its own, unless it is told others.
        if self.training.resume.is_none() || given.iter().any(|name| name == "weights") {
            now.weights = now.weights(&now.weights)?.name;
        }
        if now.training.resume.is_none() {
            let kind = now.kind()?;
            refuse_without_part(given, without_part(kind), kind)?;
            match kind {
                Kind::Segmentation => now.take_segmentation_defaults(given),
                Kind::Detection => now.take_detection_defaults(given)?,
                _ => {}
            }
        }
        let Some(directory) = &self.training.resume else {
            now.note_unused_flags(given);
            now.note_small_network(given);
            return now.tune_in(None);
        };
        let saved = resumed_arguments(directory, &now, given)?;
        let training = saved.training.in_sitting(&self.training);
        Self { training, ..saved }.tune_in(Some(directory))
    }

    /// Says which of the given flags have no part in the strategy.
    fn note_unused_flags(&self, given: &[String]) {
        let unused: &[&str] = match self.strategy {
            Strategy::Head => &["epochs", "lr", "body_scale", "layer_decay", "batch_norm"],
            Strategy::Full => &["head_epochs", "head_lr", "no_cache"],
            _ => &[],
        };
        for name in unused
            .iter()
            .filter(|name| given.iter().any(|given| given == *name))
        {
            eprintln!(
                "note: --{} has no part in --strategy {}",
                name.replace('_', "-"),
                self.strategy
            );
        }
    }

    /// Says of photos that the network which is taken where none is named sees little of them.
    fn note_small_network(&self, given: &[String]) {
        let is_other = self.task == Some(TaskArg::Detection) || Source::is_drawn(&self.data);
        if !is_other && !given.iter().any(|name| name == "weights") {
            eprintln!(
                "note: without --weights this is the built-in ResNet-20, which sees 32×32 pixels; \
                 for photos take one of ImageNet's, as --weights mobilenetv2_100.ra_in1k"
            );
        }
    }

    /// Of what the command line does not say, what suits networks for pixels.
    fn take_segmentation_defaults(&mut self, given: &[String]) {
        let is_open = |name: &str| !given.iter().any(|given| given == name);
        self.task = Some(TaskArg::Segmentation);
        if is_open("batch") {
            self.batch = 8;
        }
        if is_open("epochs") {
            self.epochs = Some(30);
        }
        if is_open("lr") {
            self.lr = Some(1e-3);
        }
    }

    /// Of what the command line does not say, what suits networks that find objects.
    fn take_detection_defaults(&mut self, given: &[String]) -> Result<()> {
        let is_open = |name: &str| !given.iter().any(|given| given == name);
        self.task = Some(TaskArg::Detection);
        if is_open("strategy") {
            self.strategy = Strategy::Full;
        }
        if is_open("batch") {
            self.batch = 8;
        }
        if is_open("epochs") {
            self.epochs = Some(25);
        }
        if is_open("lr") {
            // What a detector has beyond a classifier has learnt nothing yet.
            self.lr = Some(if self.is_over_classifier()? {
                2e-3
            } else {
                1e-3
            });
        }
        if is_open("body_scale") {
            self.body_scale = Some(1.);
        }
        if is_open("layer_decay") {
            self.layer_decay = Some(1.);
        }
        if is_open("batch_norm") {
            self.batch_norm = Some(Statistics::Moving);
        }
        self.training.ema = self.training.ema.or(Some(detection::AVERAGE));
        Ok(())
    }

    fn tune_in(&self, directory: Option<&Path>) -> Result<()> {
        match self.kind()? {
            Kind::Segmentation => self.tune_segmentation(directory),
            Kind::Detection => self.tune_detection(directory),
            _ => self.tune_classification(directory),
        }
    }

    fn tune_classification(&self, directory: Option<&Path>) -> Result<()> {
        let data = self.training.open_data(&self.data)?;
        let classes = data.train().classes();
        let build = || {
            let mut network = self.network(classes.len())?;
            network.set_label_names(classes.to_vec())?;
            Ok(network)
        };
        let network = build()?;
        note_loaded(&network);
        let config = self.config(&network).context(Unusable)?;
        let workload = if self.strategy == Strategy::Head {
            Workload::Forward
        } else {
            Workload::Training
        };
        memory::check(&network, self.batch as usize, workload)?;
        let augmentation = self
            .training
            .augmentation(network.preprocessing(), AugmentationPolicy::fine_tuning())
            .context(Unusable)?;
        let strip = Strip::new(&network, data.val())?;
        let mut tuning = FineTune::new(network, data.train().clone(), data.val().clone())
            .with_augmentation(augmentation.clone());
        if let Some(mix) = self.training.mix().context(Unusable)? {
            tuning = tuning.with_mix(mix);
        }
        if let Some(weights) = self.training.class_weights(&data) {
            tuning = tuning.with_class_weights(weights);
        }
        if self.strategy == Strategy::Head && self.training.augment != Augment::Auto {
            tuning = tuning.with_head_augmentation(augmentation);
        }
        if let Some(under_attack) = self.adversarial.training()? {
            tuning = tuning.with_variant(under_attack);
        }
        if !self.no_cache {
            tuning = tuning.with_cache(FeatureCache::in_directory(self.caches().join("features")));
        }
        self.tune(tuning, config, &data, Some(&strip), build, directory)
    }

    fn tune_segmentation(&self, directory: Option<&Path>) -> Result<()> {
        let data = segmentation::open_data(&self.data, &self.masks, &self.training)?;
        let classes = data.train().mask_classes().to_vec();
        let build = || self.segmentation_network(&classes, data.train().as_ref());
        let network = build()?;
        note_loaded(&network);
        let config = FineTuneConfig {
            body_scale: self.body_scale.unwrap_or(0.3),
            ..self.config(&network)?
        };
        memory::check(&network, self.batch as usize, Workload::Training)?;
        let augmentation =
            segmentation::augmentation(&self.training, data.train().as_ref(), &network)?;
        let tuning = SegmentationFineTune::new(network, data.train().clone(), data.val().clone())
            .with_augmentation(augmentation)
            .with_loss(self.loss.loss(data.train().as_ref())?);
        self.tune(tuning, config, &data, None, build, directory)
    }

    fn tune_detection(&self, directory: Option<&Path>) -> Result<()> {
        let data = detection::open_data(&self.data, &self.training)?;
        let build = || self.detection_network(data.train().as_ref());
        let network = build()?;
        note_loaded(&network);
        let config = self.config(&network)?;
        memory::check(&network, self.batch as usize, Workload::Training)?;
        let BoxTraining {
            augmentation,
            late_augmentation,
            late_epochs,
            sizes,
        } = self
            .boxes
            .resolve(&self.training, &network, data.train(), config.epochs)?;
        let tuning = DetectionFineTune::new(network, data.train().clone(), data.val().clone())
            .with_augmentation(augmentation)
            .with_late_augmentation(late_epochs, late_augmentation)
            .with_sizes(sizes);
        self.tune(tuning, config, &data, None, build, directory)
    }

    /// Runs all phases in a directory, which is made where none is given, and says what came of it.
    /// `build` gives the network as the run begins with it.
    fn tune<M: Tunable + ?Sized>(
        &self,
        tuning: FineTuneOf<'_, M>,
        config: FineTuneConfig,
        data: &TrainingData,
        strip: Option<&Strip>,
        build: impl Fn() -> Result<NetworkOf<M>>,
        directory: Option<&Path>,
    ) -> Result<()> {
        let name = tuning.network().spec().name;
        let classes = tuning.network().model().num_classes();
        let images = data.train().len();
        let mut watcher = Watcher::new(strip, self.patience);
        let mut tuning = tuning
            .with_config(config.clone())
            .with_save_every(self.training.save_every())
            .with_interrupt(interrupt_flag()?)
            .with_listener(|notice| listen(notice, images, &mut watcher));
        let phases = tuning.phases().context(Unusable)?;
        // What cannot be attacked at the end is said before the run.
        self.adversarial.attack_of_best(self.training.seed)?;
        let directory = match directory {
            Some(directory) => directory.to_path_buf(),
            None => RunDir::create(&self.training.out, COMMAND, name)?
                .path()
                .to_path_buf(),
        };
        save_arguments(&self.resolved(&config), &directory)?;
        data.record_in(&directory)?;
        if let Some(strip) = strip {
            strip.begin(&directory)?;
        }
        eprintln!(
            "{name}: {images} training and {} validation images of {classes} classes, in {}",
            data.val().len(),
            directory.display()
        );
        let summary = tuning
            .run(&directory)
            .map_err(|error| explained(error.into(), &directory))?;
        if summary.interrupted {
            report::write_interrupted(COMMAND, &self.data, name, &directory)?;
            return Err(interrupted(COMMAND, summary.train.epochs, &directory));
        }
        drop(tuning);
        watcher.finish();
        self.conclude(&build()?, &summary, &phases, data, &directory)
    }

    fn config<M: ModelKind + ?Sized>(&self, network: &NetworkOf<M>) -> Result<FineTuneConfig> {
        let [_, height, width] = network.preprocessing().input_size;
        let base = if height.max(width) <= 64 {
            FineTuneConfig::small_images()
        } else {
            FineTuneConfig::default()
        };
        let base = if self.weights == "none" {
            base.for_fresh_weights()
        } else {
            base
        };
        Ok(FineTuneConfig {
            strategy: self.strategy,
            head_epochs: self.head_epochs as usize,
            epochs: self.epochs.map_or(base.epochs, |epochs| epochs as usize),
            head_learning_rate: self.head_lr,
            learning_rate: self.lr.unwrap_or(base.learning_rate),
            body_scale: self.body_scale.unwrap_or(base.body_scale),
            layer_decay: self.layer_decay.unwrap_or(base.layer_decay),
            weight_decay: self.weight_decay,
            optimizer: self.optimizer,
            schedule: self.schedule.clone(),
            warmup: self.warmup,
            patience: self.patience.map(|epochs| epochs as usize),
            frozen_statistics: self
                .batch_norm
                .map_or(base.frozen_statistics, |kind| kind == Statistics::Frozen),
            batch_size: self.batch as usize,
            label_smoothing: self.label_smoothing,
            clip_norm: self.training.clip_norm,
            ema: self.training.ema,
            seed: self.training.seed,
        })
    }

    /// With the defaults that depend on the network written out, so that the run directory says
    /// what was done.
    fn resolved(&self, config: &FineTuneConfig) -> Self {
        Self {
            epochs: u32::try_from(config.epochs).ok(),
            lr: Some(config.learning_rate),
            body_scale: Some(config.body_scale),
            layer_decay: Some(config.layer_decay),
            batch_norm: Some(if config.frozen_statistics {
                Statistics::Frozen
            } else {
                Statistics::Moving
            }),
            ..self.clone()
        }
    }

    /// `source` is the network as the run began with it.
    fn conclude<M: ModelKind + ?Sized>(
        &self,
        source: &NetworkOf<M>,
        summary: &FineTuneSummary,
        plan: &[Phase],
        data: &TrainingData,
        directory: &Path,
    ) -> Result<()> {
        let last = directory.join("last/model.safetensors");
        let proof = FreezeProof::of_phases(source.store(), &last, plan)?;
        let run = Run {
            kind: source.spec().kind(),
            directory,
            command: COMMAND,
            data_name: &self.data,
            data,
            batch: self.batch as usize,
            summary: &summary.train,
            skipped: summary.skipped.clone(),
            attack: self.adversarial.attack_of_best(self.training.seed)?,
            tuning: Some(Tuning {
                source: source.store(),
                weights_file: source.weights_file(),
                plan,
                phases: &summary.phases,
                proof,
                feature_seconds: summary.feature_seconds,
            }),
        };
        run.conclude(self.training.json)
    }
}

fn listen(notice: &FineTuneNotice<'_>, images: usize, watcher: &mut Watcher<'_>) {
    match notice {
        FineTuneNotice::Phase { number, phases } => {
            let phase = &phases[*number];
            watcher.begin(images * phase.epochs);
            let place = number + 1;
            let of = phases.len();
            eprintln!(
                "phase {place} of {of}, {}: {} epochs, training {}",
                phase.name,
                phase.epochs,
                phase.trained().join(", ")
            );
        }
        FineTuneNotice::Features { of, done, images } => watcher.features(of, *done, *images),
        FineTuneNotice::Train(notice) => watcher.show(notice),
        _ => {}
    }
}
