//! `cargo xtask train`: a registered network from scratch.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum};
use cnn_core::{Key, Preprocessing, RunDir, write_atomic};
use cnn_data::{
    Augmentation, BatchMix, CachedDataset, ColorJitter, CutMix, Dataset, Mixup, RandomCrop, RandomErasing,
    RandomHorizontalFlip, RandomResizedCrop, RandomRotation, Resize, Split, duplicates_across, stratified_split,
};
use cnn_layers::Mode;
use cnn_metrics::bootstrap_interval;
use cnn_models::{LoadOptions, ModelConfig, Network};
use cnn_train::{
    Classification, CrossEntropy, Forward, GradientStep, Notice, OptimizerConfig, Schedule, ScheduleKind, TrainConfig,
    TrainSummary, Trainer,
};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::args::{
    Interrupted, Size, Unusable, count, mixing_alpha, not_negative, positive, set_threads, share, share_or_all,
};
use crate::datasets::Source;
use crate::{inference, output};

/// Train a registered network from scratch, reproducibly to the byte, and go on after an interruption
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct Train {
    /// Registered name of the model (see `cargo xtask models`)
    #[arg(long, value_name = "NAME", default_value = "resnet8_cifar10")]
    model: String,

    /// A folder of class folders, MNIST-like IDX files, an image parquet, or `shapes`, a dataset that is drawn as it is read; with settings
    /// as `shapes:night,difficulty=0.8,size=64`
    #[arg(long, value_name = "PATH", default_value = "shapes")]
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

    /// The network's input, as 224 or 192x256; default the model's own
    #[arg(long, value_name = "H[xW]")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<Size>,

    /// Update rule: sgd, adam, adamw or rmsprop
    #[arg(long, value_name = "NAME", default_value = "sgd")]
    optimizer: String,

    /// Learning rate; default 0.1 for sgd, 0.001 for the others
    #[arg(long, value_name = "RATE", value_parser = positive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lr: Option<f64>,

    /// Momentum of sgd; 0 is plain gradient descent
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, value_parser = share)]
    momentum: f64,

    /// Nesterov's momentum for sgd
    #[arg(long)]
    #[serde(default)]
    nesterov: bool,

    /// Pull of the weights towards 0; biases and norm parameters are left alone
    #[arg(long, value_name = "DECAY", default_value_t = 5e-4, value_parser = not_negative)]
    weight_decay: f64,

    /// How the learning rate changes: constant, step, multi-step, exponential, polynomial, cosine, one-cycle, cyclical or plateau
    #[arg(long, value_name = "NAME", default_value = "cosine")]
    schedule: String,

    /// Epochs over which the learning rate rises at first
    #[arg(long, value_name = "EPOCHS", default_value_t = 0.5, value_parser = not_negative)]
    warmup: f64,

    /// Share of the target that is spread over all classes
    #[arg(long, value_name = "SHARE", default_value_t = 0., value_parser = share)]
    label_smoothing: f64,

    /// What is done to the training images
    #[arg(long, value_enum, default_value = "auto")]
    augment: Augment,

    /// Turn training images by up to so many degrees
    #[arg(long, value_name = "DEGREES", default_value_t = 0., value_parser = not_negative)]
    rotate: f64,

    /// Change brightness, contrast and saturation by up to this share
    #[arg(long, value_name = "SHARE", default_value_t = 0., value_parser = not_negative)]
    color_jitter: f64,

    /// Probability of erasing a rectangle of a training image
    #[arg(long, value_name = "P", default_value_t = 0., value_parser = share_or_all)]
    erase: f64,

    /// Mix pairs of images (Zhang et al. 2017); 0.2 is common, 0 is off
    #[arg(long, value_name = "ALPHA", default_value_t = 0., value_parser = mixing_alpha)]
    mixup: f64,

    /// Paste parts of images into others (Yun et al. 2019); 1 is common, 0 is off
    #[arg(long, value_name = "ALPHA", default_value_t = 0., value_parser = mixing_alpha)]
    cutmix: f64,

    /// Share of the classifier's inputs that is dropped
    #[arg(long, value_name = "SHARE", default_value_t = 0., value_parser = share)]
    dropout: f64,

    /// Probability of dropping a residual branch, rising with depth (Huang et al. 2016), in networks that have them
    #[arg(long, value_name = "P", default_value_t = 0., value_parser = share)]
    drop_path: f64,

    /// Weigh each class by the inverse of its share of the training images
    #[arg(long)]
    #[serde(default)]
    balance: bool,

    /// Bound of the gradients' global norm
    #[arg(long, value_name = "NORM", value_parser = positive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    clip_norm: Option<f64>,

    /// Stop after this many epochs without a better validation accuracy
    #[arg(long, value_name = "EPOCHS", value_parser = count)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patience: Option<u32>,

    /// Share of the training images that is held out for validation where the data have no `val`
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    val_fraction: f64,

    /// Decides initial weights, order, augmentation, dropout and what is held out
    #[arg(long, default_value_t = 0)]
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

/// What is done to the training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Augment {
    /// `none` for one channel, `crop-flip` up to 64 pixels, else `resized-crop`
    Auto,
    /// Nothing
    None,
    /// Shift by up to an eighth, mirror
    CropFlip,
    /// Cut out 8 to 100 %, resize, mirror
    ResizedCrop,
}

/// Training images, validation images, and images for the end, where the data have them.
struct Data {
    train: Arc<dyn Dataset>,
    val: Arc<dyn Dataset>,
    test: Option<Arc<dyn Dataset>>,
}

/// Decoded images stay in memory up to this many bytes.
const CACHE_BYTES: usize = 2 << 30;
const ARGUMENTS: &str = "args.toml";

impl Train {
    pub(crate) fn run(&self) -> Result<()> {
        set_threads(self.threads)?;
        let Some(directory) = &self.resume else {
            // A run may go on from another working directory.
            let data = Path::new(&self.data).exists().then(|| std::path::absolute(&self.data)).transpose()?;
            let data = data.and_then(|path| path.into_os_string().into_string().ok());
            return Self { data: data.unwrap_or(self.data.clone()), ..self.clone() }.train_in(None);
        };
        let path = directory.join(ARGUMENTS);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}; --resume needs a run directory", path.display()))
            .context(Unusable)?;
        let saved: Self = toml::from_str(&text).with_context(|| path.display().to_string())?;
        Self { threads: self.threads, json: self.json, ..saved }.train_in(Some(directory))
    }

    fn train_in(&self, directory: Option<&Path>) -> Result<()> {
        let config = self.train_config().context(Unusable)?;
        let data = self.open_data()?;
        let network = self.network(&data)?;
        let task = self.task(&data, &network)?;
        let directory = match directory {
            Some(directory) => directory.to_path_buf(),
            None => RunDir::create(&self.out, "train", &self.model)?.path().to_path_buf(),
        };
        let arguments = toml::to_string(self).context("cannot write the arguments as TOML")?;
        write_atomic(&directory.join(ARGUMENTS), |file| file.write_all(arguments.as_bytes()))?;
        let batches = cnn_train::Task::batches_per_epoch(&task);
        eprintln!(
            "{}: {} parameters, {} training and {} validation images, {} epochs of {batches} updates, in {}",
            self.model,
            network.store().parameter_count(),
            data.train.len(),
            data.val.len(),
            self.epochs,
            directory.display()
        );

        let interrupt = Arc::new(AtomicBool::new(false));
        let flag = interrupt.clone();
        let on_interrupt = move || {
            if flag.swap(true, Ordering::Relaxed) {
                // Asked twice: the state of the last epoch is on the disk.
                std::process::exit(130);
            }
            eprintln!("interrupted: saving after this update (press again to stop at once)");
        };
        ctrlc::set_handler(on_interrupt).context("cannot watch for Ctrl-C")?;
        let mut progress = output::Progress::new("train", data.train.len() * self.epochs as usize);
        let config_json = network.config_json();
        let summary = Trainer::new(config, network.store(), &directory)
            .with_companion("config.json", config_json)
            .with_interrupt(interrupt)
            .with_listener(|notice| match notice {
                Notice::Update { report, .. } => progress.advance(report.samples),
                Notice::Epoch { row, is_best, .. } => {
                    let cells = row.iter().map(|(name, value)| format!("{name} {}", rounded(value)));
                    let mark = if *is_best { "  best so far" } else { "" };
                    progress.println(&format!("{}{mark}", cells.collect::<Vec<_>>().join("  ")));
                }
                _ => {}
            })
            .run(&task, &mut GradientStep { clip_norm: self.clip_norm, clip_value: None })
            .map_err(|error| explained(error, &directory))?;
        progress.finish();
        if summary.interrupted {
            let resume = format!("cargo xtask train --resume {}", directory.display());
            return Err(anyhow::anyhow!("interrupted after epoch {}; `{resume}` goes on", summary.epochs))
                .context(Interrupted);
        }
        self.report(&summary, &directory, &task, data.test)
    }

    fn train_config(&self) -> Result<TrainConfig> {
        let optimizer = match OptimizerConfig::named(&self.optimizer)? {
            OptimizerConfig::Sgd { .. } => OptimizerConfig::Sgd { momentum: self.momentum, nesterov: self.nesterov },
            other => other,
        };
        let lr = if matches!(optimizer, OptimizerConfig::Sgd { .. }) { 0.1 } else { 1e-3 };
        let schedule = Schedule::new(ScheduleKind::named(&self.schedule)?).with_warmup(self.warmup)?;
        let mut config = TrainConfig::new(self.epochs as usize);
        (config.seed, config.optimizer, config.schedule) = (self.seed, optimizer, schedule);
        (config.learning_rate, config.weight_decay) = (self.lr.unwrap_or(lr), self.weight_decay);
        (config.accumulation, config.patience) =
            (self.accumulate as usize, self.patience.map(|epochs| epochs as usize));
        config.validate()?;
        Ok(config)
    }

    fn open_data(&self) -> Result<Data> {
        let cached =
            |dataset: Arc<dyn Dataset>| -> Arc<dyn Dataset> { Arc::new(CachedDataset::new(dataset, CACHE_BYTES)) };
        let source = Source::parse(&self.data)?;
        let splits = source.splits()?;
        let open = |split: Option<Split>| source.open(split);
        let has = |split| splits.contains(&split);
        let whole = open(has(Split::Train).then_some(Split::Train))?;
        let test = has(Split::Test).then(|| open(Some(Split::Test))).transpose()?;
        let (train, val): (Arc<dyn Dataset>, Arc<dyn Dataset>) = if has(Split::Val) {
            (whole, open(Some(Split::Val))?)
        } else {
            let key = Key::new(self.seed).stream("held-out");
            let (train, val) = stratified_split(&whole, self.val_fraction, key).context(Unusable)?;
            (Arc::new(train), Arc::new(val))
        };
        for (part, other) in [("validation", Some(&val)), ("test", test.as_ref())] {
            let twins = other.map(|other| duplicates_across(train.as_ref(), other.as_ref())).unwrap_or_default();
            if let Some((one, twin)) = twins.first() {
                eprintln!("note: {} {part} images are also training images, as {twin} is {one}", twins.len());
            }
        }
        Ok(Data { train: cached(train), val: cached(val), test })
    }

    fn network(&self, data: &Data) -> Result<Network> {
        let classes = data.train.classes();
        anyhow::ensure!(!classes.is_empty(), "the dataset has no labels, so there is nothing to learn");
        let share = |share: f64| (share != 0.).then_some(share);
        let (drop_rate, drop_path_rate) = (share(self.dropout), share(self.drop_path));
        let config = ModelConfig {
            num_classes: Some(classes.len()),
            input_size: self.size.map(|size| size.0),
            drop_rate,
            drop_path_rate,
            ..ModelConfig::default()
        };
        let mut network = Network::new(&self.model, &config, self.seed)?;
        network.set_label_names(classes.to_vec())?;
        Ok(network)
    }

    fn task(&self, data: &Data, network: &Network) -> Result<Classification> {
        let forward = |mode| -> Result<Forward> {
            let model = network.build(mode)?;
            Ok(Box::new(move |images, cx| model.forward(images, cx)))
        };
        let preprocessing = network.preprocessing().clone();
        let augmentation = self.augmentation(&preprocessing).context(Unusable)?;
        let (train, val) = (data.train.clone(), data.val.clone());
        let mut task = Classification::new(train, val, preprocessing, forward(Mode::Train)?, forward(Mode::Eval)?)?
            .with_batch_size(self.batch as usize)
            .context(Unusable)?
            .with_augmentation(augmentation)
            .with_loss(self.loss(data));
        if let Some(mix) = self.mix().context(Unusable)? {
            task = task.with_mix(mix);
        }
        Ok(task)
    }

    fn loss(&self, data: &Data) -> CrossEntropy {
        let loss = CrossEntropy::default().with_label_smoothing(self.label_smoothing);
        if !self.balance {
            return loss;
        }
        let (images, classes) = (data.train.len(), data.train.classes().len());
        let mut counts = vec![0usize; classes];
        for label in (0..images).filter_map(|index| data.train.label(index)) {
            counts[label] += 1;
        }
        let weight = |&count: &usize| images as f64 / (classes * count.max(1)) as f64;
        loss.with_class_weights(counts.iter().map(weight).collect())
    }

    fn mix(&self) -> Result<Option<BatchMix>> {
        let mixup = (self.mixup != 0.).then(|| Mixup::new(self.mixup)).transpose()?;
        let cutmix = (self.cutmix != 0.).then(|| CutMix::new(self.cutmix)).transpose()?;
        Ok(match (mixup, cutmix) {
            (Some(mixup), Some(cutmix)) => Some(BatchMix::either(mixup, cutmix)),
            (mixup, cutmix) => mixup.map(BatchMix::mixup).or(cutmix.map(BatchMix::cutmix)),
        })
    }

    fn augmentation(&self, record: &Preprocessing) -> Result<Augmentation> {
        let [channels, height, width] = record.input_size;
        let side = height.min(width);
        let kind = match self.augment {
            Augment::Auto if channels == 1 => Augment::None,
            Augment::Auto if side <= 64 => Augment::CropFlip,
            Augment::Auto => Augment::ResizedCrop,
            other => other,
        };
        let mut augmentation = Augmentation::new();
        if self.rotate != 0. {
            augmentation = augmentation.then(RandomRotation::new(self.rotate)?);
        }
        augmentation = match kind {
            Augment::CropFlip => {
                let crop = RandomCrop::new(height, width)?.with_padding(side / 8)?;
                augmentation.then(Resize::new(height, width)?).then(crop).then(RandomHorizontalFlip::new(0.5)?)
            }
            Augment::ResizedCrop => {
                let crop = RandomResizedCrop::new(height, width)?;
                augmentation.then(crop).then(RandomHorizontalFlip::new(0.5)?)
            }
            Augment::None | Augment::Auto => augmentation,
        };
        if self.color_jitter != 0. {
            let share = self.color_jitter;
            augmentation = augmentation.then(ColorJitter::new(share, share, share, 0.)?);
        }
        if self.erase != 0. {
            augmentation = augmentation.then(RandomErasing::new(self.erase)?);
        }
        Ok(augmentation)
    }

    fn report(
        &self,
        summary: &TrainSummary,
        directory: &Path,
        task: &Classification,
        test: Option<Arc<dyn Dataset>>,
    ) -> Result<()> {
        let best = summary.best.as_ref().context("no epoch was completed")?;
        let weights = directory.join("last/model.safetensors");
        let bytes = std::fs::read(&weights).with_context(|| format!("cannot read {}", weights.display()))?;
        let sha256: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        let skipped = task.skipped();
        let mut report = json!({
            "run_dir": directory,
            "epochs": summary.epochs,
            "best": {"epoch": best.epoch, "val_top1": best.metrics.get("top1"), "val_loss": best.metrics.get("loss")},
            "weights_sha256": sha256,
            "frozen": {"tensors": 0, "unchanged": 0},
            "seconds": summary.seconds,
            "images_per_second": summary.samples as f64 / summary.seconds.max(1e-9),
            "skipped": skipped,
        });
        if let Some(test) = test {
            let network = Network::load(&directory.join("best"), &LoadOptions::default())?;
            let (result, _) = inference::measure(&network, &test, self.batch as usize)?;
            let correct = (result.top1 * result.samples as f64).round() as u64;
            let interval = bootstrap_interval(correct, result.samples, 0.95)?;
            report["test"] = json!({
                "samples": result.samples, "loss": result.loss, "top1": result.top1, "top5": result.top5,
                "top1_interval": [interval.low, interval.high],
            });
        }
        let text = serde_json::to_string_pretty(&report)?;
        write_atomic(&directory.join("summary.json"), |file| writeln!(file, "{text}"))?;
        inference::print_skipped(&skipped);
        if self.json {
            return output::json(&report);
        }
        println!("best epoch {}: top-1 {:.2} % of the validation images", best.epoch, 100. * best.metrics["top1"]);
        if let Some(test) = report.get("test") {
            let share = |value: &serde_json::Value| 100. * value.as_f64().unwrap_or(0.);
            let interval = &test["top1_interval"];
            println!(
                "test: top-1 {:.2} % (95 % interval {:.2} to {:.2}) of {} images",
                share(&test["top1"]),
                share(&interval[0]),
                share(&interval[1]),
                test["samples"]
            );
        }
        println!("sha256 of last/model.safetensors: {sha256}");
        println!("in {}", directory.display());
        Ok(())
    }
}

/// Adds what to do about it to an error that stopped the training.
fn explained(error: cnn_train::Error, directory: &Path) -> anyhow::Error {
    use cnn_train::Error::{Diverged, NotFinite};
    let diverged = matches!(error, Diverged { .. } | NotFinite { .. });
    let error = anyhow::Error::from(error);
    if !diverged {
        return error;
    }
    let kept = match directory.join("best").exists() {
        true => format!("the best epoch so far is kept in {}", directory.join("best").display()),
        false => format!("no epoch was completed; {} holds the start", directory.display()),
    };
    error.context(format!("training stopped, {kept}; a lower --lr, --clip-norm or a longer --warmup may help"))
}

/// Four decimals are enough to read.
fn rounded(value: &str) -> String {
    value.parse::<f64>().map_or(value.to_string(), |number| {
        if number.fract() == 0. { format!("{number}") } else { format!("{number:.4}") }
    })
}
