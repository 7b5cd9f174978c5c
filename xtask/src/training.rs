//! What the commands that train have in common: data, augmentation, interruption, progress, the
//! report.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use clap::{Args, ValueEnum};
use cnn_core::{Preprocessing, write_atomic};
use cnn_data::{Augmentation, BatchMix, Dataset, Split};
use cnn_models::{Kind, ModelKind, NetworkOf};
use cnn_train::{
    AugmentationPolicy, Cropping, GradientStep, MixPolicy, OptimizerConfig, ScheduleKind, Step,
    Task, TrainConfig, TrainSummary, Trainer, TrainingData, balanced_class_weights,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::args::{
    Interrupted, Size, Unusable, mixing_alpha, not_negative, positive, share, share_or_all,
};
use crate::datasets::{Place, Source};
use crate::watcher::Watcher;
use crate::{inference, os_text, output};

/// Arguments of every command that trains.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub(crate) struct TrainingArgs {
    /// The network's input, as 224 or 192x256; default the model's own
    #[arg(long, value_name = "H[xW]")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) size: Option<Size>,

    /// What is done to the training images
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) augment: Augment,

    /// Turn training images by up to so many degrees
    #[arg(long, value_name = "DEGREES", default_value_t = 0., value_parser = not_negative)]
    pub(crate) rotate: f64,

    /// Deform training images smoothly, by a standard deviation of so many pixels (Ronneberger et
    /// al. 2015, who take 10 for 512 pixels)
    #[arg(long, value_name = "PIXELS", default_value_t = 0., value_parser = not_negative)]
    #[serde(default)]
    pub(crate) elastic: f64,

    /// Change brightness, contrast and saturation by up to this share
    #[arg(long, value_name = "SHARE", default_value_t = 0., value_parser = not_negative)]
    pub(crate) color_jitter: f64,

    /// Probability of erasing a rectangle of a training image
    #[arg(long, value_name = "P", default_value_t = 0., value_parser = share_or_all)]
    pub(crate) erase: f64,

    /// Add normal noise of this standard deviation to training images, as a share of the range from
    /// black to white: what `certify` asks a classifier to have learnt from
    #[arg(long, value_name = "SIGMA", default_value_t = 0., value_parser = share_or_all)]
    #[serde(default)]
    pub(crate) noise: f64,

    /// Mix pairs of images (Zhang et al. 2017); 0.2 is common, 0 is off
    #[arg(long, value_name = "ALPHA", default_value_t = 0., value_parser = mixing_alpha)]
    pub(crate) mixup: f64,

    /// Paste parts of images into others (Yun et al. 2019); 1 is common, 0 is off
    #[arg(long, value_name = "ALPHA", default_value_t = 0., value_parser = mixing_alpha)]
    pub(crate) cutmix: f64,

    /// Weigh each class by the inverse of its share of the training images
    #[arg(long)]
    #[serde(default)]
    pub(crate) balance: bool,

    /// Bound of the gradients' global norm
    #[arg(long, value_name = "NORM", value_parser = positive)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clip_norm: Option<f64>,

    /// Keep a moving average of the weights with this decay, as 0.999: it is what is evaluated and
    /// kept as best
    #[arg(long, value_name = "DECAY", value_parser = share)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ema: Option<f64>,

    /// Share of the training images that is held out for validation where the data have no `val`
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    pub(crate) val_fraction: f64,

    /// Decides initial weights, order, augmentation, dropout and what is held out
    // The arguments are kept as TOML, whose integers have a sign.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub(crate) seed: u64,

    /// Where run directories are made
    #[arg(long, value_name = "DIR", default_value = "runs")]
    pub(crate) out: PathBuf,

    /// Go on with a run that was interrupted; its own arguments apply, and --data says where its
    /// images are now
    #[arg(long, value_name = "RUN_DIR")]
    #[serde(skip)]
    pub(crate) resume: Option<PathBuf>,

    /// Save the state within an epoch, too, after this many minutes: more is never lost to a kill.
    /// Results do not depend on it
    #[arg(long, value_name = "MINUTES", default_value_t = 10., value_parser = not_negative)]
    #[serde(skip)]
    save_every: f64,

    /// Number of threads; default all cores. Results do not depend on it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    #[serde(skip)]
    pub(crate) threads: Option<u16>,

    /// Print one JSON object on standard output
    #[arg(long)]
    #[serde(skip)]
    pub(crate) json: bool,
}

/// What is done to the training images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Augment {
    /// `none` for one channel, `crop-flip` up to 64 pixels, else `resized-crop`
    Auto,
    /// Nothing
    None,
    /// Shift by up to an eighth, mirror
    CropFlip,
    /// Cut out a part, 8 to 100 % in training from scratch, 35 to 100 % in fine-tuning, resize,
    /// mirror
    ResizedCrop,
    /// Of detection, and its `auto` beyond 128 pixels: four images in one, other colors, mirror;
    /// `crop-flip` and `resized-crop` are then the parts and the canvases of SSD
    Mosaic,
}

/// Decoded images stay in memory up to this many bytes.
const CACHE_BYTES: usize = 2 << 30;
const ARGUMENTS: &str = "args.toml";

impl TrainingArgs {
    /// These arguments of a run, in a sitting with those.
    pub(crate) fn in_sitting(self, sitting: &Self) -> Self {
        Self {
            save_every: sitting.save_every,
            threads: sitting.threads,
            json: sitting.json,
            ..self
        }
    }

    pub(crate) fn save_every(&self) -> Duration {
        Duration::try_from_secs_f64(60. * self.save_every).unwrap_or(Duration::MAX)
    }

    /// Opens the data that `--data` names; where they have no `val`, a part is held out.
    pub(crate) fn open_data(&self, data: &str) -> Result<TrainingData> {
        let source = Source::parse(data)?;
        let opened = self.open(&source, |place| {
            TrainingData::open(&place.path, self.val_fraction, self.seed)
                .map_err(|error| refused(error, data))
        });
        let images = match &opened {
            Ok(opened) => Ok(opened.train().clone()),
            Err(_) => {
                let of_train = source.open_images(Some(Split::Train));
                of_train.or_else(|_| source.open_images(None))
            }
        };
        match images.ok().and_then(|images| other_task(images.as_ref())) {
            Some(hint) => Err(anyhow!("{data}: {hint}").context(Unusable)),
            None => opened,
        }
    }

    /// The same of photos with masks or boxes.
    pub(crate) fn open_annotated(&self, source: &Source, data: &str) -> Result<TrainingData> {
        self.open(source, |place| {
            let found = place.found()?;
            TrainingData::open_annotated(found, self.val_fraction, self.seed)
                .map_err(|error| refused(error, data))
        })
    }

    /// Opens what lies at a place as told, and what is drawn in its splits; says what whoever trains
    /// on it has to know.
    fn open(
        &self,
        source: &Source,
        open: impl Fn(&Place) -> Result<TrainingData>,
    ) -> Result<TrainingData> {
        let opened = match source {
            Source::Path(place) => open(place)?,
            Source::Shapes(_) => {
                let split = |split| source.open(Some(split));
                let train = split(Split::Train)?;
                TrainingData::new(train, split(Split::Val)?).with_test(split(Split::Test)?)
            }
        };
        inference::print_notes(opened.notes());
        for (part, name) in [(Split::Val, "validation"), (Split::Test, "test")] {
            let twins = opened.record().seen_in_training(part);
            if let Some((one, twin)) = twins.first() {
                eprintln!(
                    "note: {} {name} images are also training images, as {twin} is {one}",
                    twins.len()
                );
            }
        }
        Ok(opened.with_cache(CACHE_BYTES))
    }

    /// With `--balance` a weight per class.
    pub(crate) fn class_weights(&self, data: &TrainingData) -> Option<Vec<f64>> {
        self.balance
            .then(|| balanced_class_weights(data.train().as_ref()))
    }

    /// How the images of a batch are mixed.
    pub(crate) fn mix(&self) -> Result<Option<BatchMix>> {
        let policy = MixPolicy {
            mixup: self.mixup,
            cutmix: self.cutmix,
        };
        Ok(policy.mix()?)
    }

    /// What is done to training images for a network with this record; `base` says what no flag
    /// does.
    pub(crate) fn augmentation(
        &self,
        record: &Preprocessing,
        base: AugmentationPolicy,
    ) -> Result<Augmentation> {
        let policy = AugmentationPolicy {
            cropping: self.augment.cropping()?,
            rotation: self.rotate,
            elastic: self.elastic,
            color_jitter: self.color_jitter,
            erasing: self.erase,
            noise: self.noise,
            ..base
        };
        Ok(policy.augmentation(record)?)
    }
}

/// What is said of mosaics where images have no boxes.
pub(crate) const MOSAIC_NEEDS_BOXES: &str =
    "--augment mosaic is for detection; other tasks take auto, none, crop-flip or resized-crop";

impl Augment {
    /// Of images without boxes.
    pub(crate) fn cropping(self) -> Result<Cropping> {
        Ok(match self {
            Self::Auto => Cropping::Auto,
            Self::None => Cropping::None,
            Self::CropFlip => Cropping::CropFlip,
            Self::ResizedCrop => Cropping::ResizedCrop,
            Self::Mosaic => return Err(anyhow::anyhow!(MOSAIC_NEEDS_BOXES)),
        })
    }
}

/// Says of data that cannot be trained on which they are, and of a share that cannot be held out
/// that it is the argument's fault.
fn refused(error: cnn_train::Error, data: &str) -> anyhow::Error {
    match error {
        cnn_train::Error::Data(error @ cnn_data::Error::Argument(_)) => {
            anyhow::Error::from(error).context(Unusable)
        }
        cnn_train::Error::Data(error) => error.into(),
        error @ cnn_train::Error::NothingToHoldOut => {
            anyhow::Error::from(error).context(data.to_string())
        }
        error => error.into(),
    }
}

/// Which task images without a class are for, where they have what one needs.
fn other_task(images: &dyn Dataset) -> Option<String> {
    if (0..images.len()).any(|index| images.label(index).is_some()) {
        return None;
    }
    let [have, task] = if images.has_boxes() {
        ["boxes", "detection"]
    } else if !images.mask_classes().is_empty() {
        ["masks", "segmentation"]
    } else {
        return None;
    };
    Some(format!(
        "images without a class, which have {have}: --task {task} trains on them"
    ))
}

/// What `--schedule` takes, each name with its defaults.
pub(crate) fn schedule_help() -> String {
    let kinds = ScheduleKind::NAMES
        .iter()
        .flat_map(|name| ScheduleKind::named(name));
    choices_help("How the learning rate changes", kinds)
}

/// What `--optimizer` takes, each name with its defaults.
pub(crate) fn optimizer_help() -> String {
    let rules = OptimizerConfig::NAMES
        .iter()
        .flat_map(|name| OptimizerConfig::named(name));
    choices_help("Update rule", rules) + "; `sgd:nesterov` and `rmsprop:centered` turn those on"
}

fn choices_help(what: &str, choices: impl Iterator<Item = impl std::fmt::Display>) -> String {
    let choices: Vec<String> = choices.map(|choice| format!("`{choice}`")).collect();
    format!(
        "{what}: {}; settings that are left out are as here",
        choices.join(", ")
    )
}

/// Where [`save_arguments`] writes them.
pub(crate) fn arguments_path(directory: &Path) -> PathBuf {
    directory.join(ARGUMENTS)
}

/// Writes the arguments of a run into its directory.
pub(crate) fn save_arguments(arguments: &impl Serialize, directory: &Path) -> Result<()> {
    let text = toml::to_string(arguments).context("cannot write the arguments as TOML")?;
    Ok(write_atomic(&arguments_path(directory), |file| {
        file.write_all(text.as_bytes())
    })?)
}

/// The arguments of a run to go on with. Those that were given now have to be its own, but for
/// `--data`, where its data may have been moved to.
pub(crate) fn resumed_arguments<T>(directory: &Path, now: &T, given: &[String]) -> Result<T>
where
    T: Serialize + DeserializeOwned,
{
    let path = arguments_path(directory);
    let text = std::fs::read_to_string(&path)
        .with_context(|| {
            format!(
                "cannot read {}; --resume needs a run directory",
                path.display()
            )
        })
        .context(Unusable)?;
    let mut saved: toml::Table =
        toml::from_str(&text).with_context(|| path.display().to_string())?;
    let now = toml::Table::try_from(now).context("cannot write the arguments as TOML")?;
    for name in given
        .iter()
        .filter(|name| !OF_A_SITTING.contains(&name.as_str()))
    {
        let value = now.get(name);
        if name == "data" {
            saved.extend(value.map(|value| (name.clone(), value.clone())));
        } else if value != saved.get(name) {
            let flag = format!("--{}", name.replace('_', "-"));
            let begun = saved
                .get(name)
                .map_or("without it".to_string(), |value| format!("with {value}"));
            return Err(anyhow::anyhow!(
                "{flag}: the run in {} was begun {begun}, and goes on with its own arguments; \
                 leave {flag} out, or begin another run",
                directory.display()
            )
            .context(Unusable));
        }
    }
    let saved = toml::Value::Table(saved);
    saved.try_into().with_context(|| path.display().to_string())
}

/// Arguments that a sitting of a run may have for itself.
const OF_A_SITTING: [&str; 6] = [
    "resume",
    "threads",
    "json",
    "save_every",
    "config",
    "offline",
];

/// An existing path made absolute, since a run may go on from another working directory; a name, as
/// `shapes` or `builtin`, as it is, also where a file is called so, and so is anything else.
pub(crate) fn absolute(text: &str) -> Result<String> {
    let is_name = ["builtin", "none"].contains(&text) || Source::is_drawn(text);
    // `PATH:NAME` is a configuration of a dataset.
    let front = text.rsplit_once(':').map_or(text, |(front, _)| front);
    let exists = [text, front]
        .iter()
        .any(|path| os_text::path(path).exists());
    let path = (!is_name && exists)
        .then(|| std::path::absolute(os_text::path(text)))
        .transpose()?;
    Ok(path.map_or_else(|| text.to_string(), |path| os_text::text(path.as_os_str())))
}

/// The flags of commands that train which have no part in training a network of this kind.
pub(crate) fn without_part(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Segmentation => &[
            "label_smoothing",
            "adversarial",
            "adv_eps",
            "adv_norm",
            "adv_steps",
            "adv_awp",
            "adv_samples",
            "attack",
            "attack_samples",
            "mixup",
            "cutmix",
            "erase",
            "noise",
            "balance",
            "no_cache",
            "late_epochs",
            "multi_scale",
            "box_mixup",
        ],
        Kind::Detection => &[
            "label_smoothing",
            "adversarial",
            "adv_eps",
            "adv_norm",
            "adv_steps",
            "adv_awp",
            "adv_samples",
            "attack",
            "attack_samples",
            "mixup",
            "cutmix",
            "erase",
            "noise",
            "elastic",
            "balance",
            "no_cache",
            "loss",
            "class_weights",
            "classes",
            "ignore_index",
        ],
        _ => &[
            "loss",
            "class_weights",
            "classes",
            "ignore_index",
            "late_epochs",
            "multi_scale",
            "box_mixup",
        ],
    }
}

impl TrainingArgs {
    /// The usual step.
    pub(crate) fn step(&self) -> GradientStep {
        GradientStep {
            clip_norm: self.clip_norm,
            clip_value: None,
        }
    }
}

/// Trains in a directory, watched, until the end or an interruption.
pub(crate) fn run_task<M: ModelKind + ?Sized, T: Task>(
    task: &T,
    network: &NetworkOf<M>,
    config: TrainConfig,
    step: &mut dyn Step<T>,
    training: &TrainingArgs,
    directory: &Path,
    watcher: &mut Watcher<'_>,
) -> Result<TrainSummary> {
    let summary = Trainer::new(config, network.store(), directory)
        .with_companion("config.json", network.config_json())
        .with_save_every(training.save_every())
        .with_interrupt(interrupt_flag()?)
        .with_listener(|notice| watcher.show(notice))
        .run(task, step)
        .map_err(|error| explained(error.into(), directory))?;
    watcher.finish();
    Ok(summary)
}

/// A flag that Ctrl-C sets, the program's one; pressed again, it ends the program.
pub(crate) fn interrupt_flag() -> Result<Arc<AtomicBool>> {
    static INTERRUPT: OnceLock<Arc<AtomicBool>> = OnceLock::new();
    if let Some(interrupt) = INTERRUPT.get() {
        return Ok(interrupt.clone());
    }
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
    Ok(INTERRUPT.get_or_init(|| interrupt).clone())
}

/// The error of a run that was interrupted: it says how to go on.
pub(crate) fn interrupted(command: &str, epochs: usize, directory: &Path) -> anyhow::Error {
    let resume = format!(
        "{} {command} --resume {}",
        output::program(),
        directory.display()
    );
    anyhow::anyhow!("interrupted after epoch {epochs}; `{resume}` goes on").context(Interrupted)
}

/// Adds what to do about it to an error that stopped the training.
pub(crate) fn explained(error: anyhow::Error, directory: &Path) -> anyhow::Error {
    use cnn_train::Error::{Diverged, NotFinite};
    let is = |cause: &cnn_train::Error| matches!(cause, Diverged { .. } | NotFinite { .. });
    let diverged = error
        .chain()
        .any(|cause| cause.downcast_ref::<cnn_train::Error>().is_some_and(is));
    if !diverged {
        return error;
    }
    let kept = if directory.join("best").exists() {
        format!(
            "the best epoch so far is kept in {}",
            directory.join("best").display()
        )
    } else {
        format!(
            "no epoch was completed; {} holds the start",
            directory.display()
        )
    };
    error.context(format!(
        "training stopped, {kept}; a lower --lr, --clip-norm or a longer --warmup may help"
    ))
}
