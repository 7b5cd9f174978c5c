//! Fine-tuning: the phases of a strategy, one after the other.

mod classification;
mod detection;
mod segmentation;

pub use classification::TrainingVariant;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cnn_data::{Augmentation, Dataset, Skipped};
use cnn_layers::{Classifier, Detector, LayerGroup, Segmenter, Store};
use cnn_models::{ModelKind, NetworkOf};
use cnn_train::{GradientStep, Notice, Step, Task, TrainConfig, TrainSummary, Trainer};
use cnn_weights::TensorFile;
use serde::Serialize;

use crate::freeze::digest;
use crate::{Error, FineTuneConfig, Phase};

/// Fine-tunes a loaded classifier on one's own images.
///
/// The network comes with a head for the data's classes
/// ([`LoadOptions::num_classes`](cnn_models::LoadOptions)), and takes their names. The run directory is that of a
/// [`Trainer`], so a run that was interrupted goes on and ends in the same bytes. While the head
/// alone is trained, images are not augmented by default, and the frozen backbone's features are
/// computed once.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_data::{Shapes, ShapesConfig, Split};
/// use cnn_models::{ModelConfig, Network};
/// use cnn_transfer::{FineTune, FineTuneConfig};
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// // `Network::load(path, &LoadOptions { num_classes: Some(10), ..LoadOptions::default() })` gives one that has learnt something.
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let images = |samples, split| Shapes::new(ShapesConfig::default().with_samples(samples).with_split(split));
/// let (train, val) = (Arc::new(images(40, Split::Train)?), Arc::new(images(20, Split::Val)?));
///
/// let config = FineTuneConfig { head_epochs: 1, epochs: 1, ..FineTuneConfig::default() };
/// let mut fine_tune = FineTune::new(network, train, val).with_config(config);
/// let summary = fine_tune.run(directory)?;
/// assert_eq!(summary.phases.iter().map(|phase| phase.name.as_str()).collect::<Vec<_>>(), ["head", "all layers"]);
/// assert_eq!(summary.phases[0].changed, ["head"]); // read back from the files: nothing else moved
/// assert!(directory.join("best/model.safetensors").exists());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub type FineTune<'a> = FineTuneOf<'a, dyn Classifier>;

/// Fine-tunes a network for pixels on one's own photos with masks. What makes scores of the
/// backbone's maps counts as the head, and its norms move while it is trained alone.
pub type SegmentationFineTune<'a> = FineTuneOf<'a, dyn Segmenter>;

/// Fine-tunes a network that finds objects on one's own photos with boxes.
pub type DetectionFineTune<'a> = FineTuneOf<'a, dyn Detector>;

/// Fine-tunes a network of some kind; [`FineTune`] is that of a classifier, and has an example.
pub struct FineTuneOf<'a, M: Tunable + ?Sized> {
    network: NetworkOf<M>,
    train: Arc<dyn Dataset>,
    val: Arc<dyn Dataset>,
    config: FineTuneConfig,
    augmentation: Augmentation,
    options: M::Options,
    save_every: Option<Duration>,
    interrupt: Arc<AtomicBool>,
    listener: Box<dyn FnMut(&FineTuneNotice<'_>) + 'a>,
    feature_seconds: f64,
}

/// What happens during fine-tuning, for whoever watches.
#[derive(Debug)]
#[non_exhaustive]
pub enum FineTuneNotice<'a> {
    /// A phase begins.
    Phase {
        /// Its place in `phases`.
        number: usize,
        /// All phases of the run.
        phases: &'a [Phase],
    },
    /// Features are being computed, or were found in a file.
    Features {
        /// Whose: `training` or `validation`.
        of: &'static str,
        /// Images done.
        done: usize,
        /// Images in all.
        images: usize,
    },
    /// What the trainer reports.
    Train(&'a Notice<'a>),
}

/// What a run amounts to.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FineTuneSummary {
    /// Whether it was interrupted, with its state saved.
    pub interrupted: bool,
    /// Epochs, best epoch, time, over all phases.
    pub train: TrainSummary,
    /// Seconds spent in computing the frozen backbone's features, or in reading them.
    pub feature_seconds: f64,
    /// What each phase did; empty if the run was interrupted.
    pub phases: Vec<PhaseSummary>,
    /// Files that could not be read.
    pub skipped: Vec<Skipped>,
}

/// What a phase did, read back from the files that it left.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PhaseSummary {
    /// Its name.
    pub name: String,
    /// How many epochs it had: as many as were planned, or fewer where patience ended it.
    pub epochs: usize,
    /// The layer groups that it trained.
    pub trained: Vec<String>,
    /// The layer groups of which a tensor is another at its end than at its start.
    pub changed: Vec<String>,
    /// Whether its epochs went over features that the frozen backbone had made of the images once,
    /// instead of over the images.
    pub on_features: bool,
}

/// A kind of network that can be fine-tuned.
pub trait Tunable: ModelKind {
    /// What can be chosen for networks of this kind alone.
    #[doc(hidden)]
    type Options: Default;

    /// The classes that the data have for it.
    #[doc(hidden)]
    fn classes(data: &dyn Dataset) -> &[String];

    /// Checks that it can learn from `train` and be judged on `val`.
    #[doc(hidden)]
    fn check(train: &dyn Dataset, val: &dyn Dataset) -> Result<(), cnn_train::Error>;

    /// The layer groups by depth, of which the last is trained first, alone.
    #[doc(hidden)]
    fn tuned_groups(&self) -> Vec<LayerGroup>;

    /// Whether a phase goes over kept features instead of images.
    #[doc(hidden)]
    fn reads_features(tune: &FineTuneOf<'_, Self>, phase: &Phase) -> Result<bool, Error>;

    /// Runs one phase; `None` if it was interrupted before its first update.
    #[doc(hidden)]
    fn run_phase(
        tune: &mut FineTuneOf<'_, Self>,
        phase: &Phase,
        place: Option<usize>,
        directory: &Path,
        skipped: &mut BTreeMap<String, String>,
    ) -> Result<Option<TrainSummary>, Error>;
}

impl<'a, M: Tunable + ?Sized> FineTuneOf<'a, M> {
    /// Fine-tunes on `train`, judged on `val`. Default: [`FineTuneConfig::default`], no
    /// augmentation, features kept in memory only.
    pub fn new(network: NetworkOf<M>, train: Arc<dyn Dataset>, val: Arc<dyn Dataset>) -> Self {
        Self {
            network,
            train,
            val,
            config: FineTuneConfig::default(),
            augmentation: Augmentation::new(),
            options: M::Options::default(),
            save_every: None,
            interrupt: Arc::default(),
            listener: Box::new(|_| ()),
            feature_seconds: 0.,
        }
    }

    /// Sets strategy, epochs and rates.
    #[must_use]
    pub fn with_config(self, config: FineTuneConfig) -> Self {
        Self { config, ..self }
    }

    /// What to do to each training image, of a classifier while more than the head is trained.
    #[must_use]
    pub fn with_augmentation(self, augmentation: Augmentation) -> Self {
        Self {
            augmentation,
            ..self
        }
    }

    /// Saves the state within an epoch, too; as
    /// [`Trainer::with_save_every`](cnn_train::Trainer::with_save_every).
    #[must_use]
    pub fn with_save_every(self, save_every: Duration) -> Self {
        Self {
            save_every: Some(save_every),
            ..self
        }
    }

    /// A flag that, once true, makes the run save its state and return.
    #[must_use]
    pub fn with_interrupt(self, interrupt: Arc<AtomicBool>) -> Self {
        Self { interrupt, ..self }
    }

    /// Who watches.
    #[must_use]
    pub fn with_listener<'b>(
        self,
        listener: impl FnMut(&FineTuneNotice<'_>) + 'b,
    ) -> FineTuneOf<'b, M> {
        FineTuneOf {
            network: self.network,
            train: self.train,
            val: self.val,
            config: self.config,
            augmentation: self.augmentation,
            options: self.options,
            save_every: self.save_every,
            interrupt: self.interrupt,
            listener: Box::new(listener),
            feature_seconds: self.feature_seconds,
        }
    }

    /// The network; after a run it holds the last epoch's weights.
    pub fn network(&self) -> &NetworkOf<M> {
        &self.network
    }

    /// The phases that a run will have, once network, data and configuration are found to go
    /// together.
    ///
    /// # Errors
    /// [`Error::Classes`] if the network's head does not fit the data, and as [`Tunable::check`] and
    /// [`FineTuneConfig::phases`].
    pub fn phases(&self) -> Result<Vec<Phase>, Error> {
        let network = self.network.model().num_classes();
        let data = M::classes(self.train.as_ref()).len();
        if network != data {
            return Err(Error::Classes { network, data });
        }
        M::check(self.train.as_ref(), self.val.as_ref())?;
        self.config.phases(&self.network.model().tuned_groups())
    }

    /// Runs all phases in a directory, or goes on where its resume file stands.
    ///
    /// # Errors
    /// As [`FineTune::phases`], and what training reports.
    pub fn run(&mut self, directory: &Path) -> Result<FineTuneSummary, Error> {
        let phases = self.phases()?;
        self.network
            .set_label_names(M::classes(self.train.as_ref()).to_vec())?;
        self.feature_seconds = 0.;
        let source = digests(self.network.store())?;
        let mut skipped = BTreeMap::new();
        let mut train = TrainSummary::default();
        let mut completed = 0;
        for number in 0..phases.len() {
            (self.listener)(&FineTuneNotice::Phase {
                number,
                phases: &phases,
            });
            match self.run_phase(number, &phases, directory, &mut skipped)? {
                Some(summary) => train = summary,
                None => break,
            }
            if train.interrupted {
                break;
            }
            completed += 1;
        }
        let interrupted = completed < phases.len();
        let phases = if interrupted {
            Vec::new()
        } else {
            self.summaries(&phases, &train, source, directory)?
        };
        let skipped = skipped
            .into_iter()
            .map(|(path, reason)| Skipped { path, reason })
            .collect();
        Ok(FineTuneSummary {
            interrupted,
            train,
            feature_seconds: self.feature_seconds,
            phases,
            skipped,
        })
    }

    fn is_interrupted(&self) -> bool {
        self.interrupt.load(Ordering::Relaxed)
    }

    /// Runs one phase; `None` if it was interrupted before its first update.
    fn run_phase(
        &mut self,
        number: usize,
        phases: &[Phase],
        directory: &Path,
        skipped: &mut BTreeMap<String, String>,
    ) -> Result<Option<TrainSummary>, Error> {
        let phase = &phases[number];
        phase.apply(self.network.store());
        let place = (phases.len() > 1).then_some(number);
        if let Some(summary) = self.trainer(phase, place, directory)?.finished()? {
            return Ok(Some(summary));
        }
        M::run_phase(self, phase, place, directory, skipped)
    }

    /// Runs one phase of a task that reads images; `None` if it was interrupted before.
    fn run_on_images<T: Task>(
        &mut self,
        phase: &Phase,
        place: Option<usize>,
        directory: &Path,
        skipped: &mut BTreeMap<String, String>,
        task: impl FnOnce(&Self) -> Result<T, Error>,
        step: &mut dyn Step<T>,
    ) -> Result<Option<TrainSummary>, Error> {
        if self.is_interrupted() {
            return Ok(None);
        }
        let task = task(self)?;
        let summary = self.train(phase, place, directory, &task, step);
        let files = task.skipped().into_iter();
        skipped.extend(files.map(|file| (file.path, file.reason)));
        Ok(Some(summary?))
    }

    /// Images per batch: as many as are asked for, or all.
    fn batch_size(&self) -> usize {
        self.config.batch_size.min(self.train.len())
    }

    fn train<T: Task>(
        &mut self,
        phase: &Phase,
        place: Option<usize>,
        directory: &Path,
        task: &T,
        step: &mut dyn Step<T>,
    ) -> Result<TrainSummary, Error> {
        let trainer = self.trainer(phase, place, directory)?;
        let listener = &mut self.listener;
        let mut trainer = trainer.with_listener(|notice| listener(&FineTuneNotice::Train(notice)));
        Ok(trainer.run(task, step)?)
    }

    /// The usual step.
    fn gradient_step(&self) -> GradientStep {
        GradientStep {
            clip_norm: self.config.clip_norm,
            clip_value: None,
        }
    }

    fn trainer<'b>(
        &self,
        phase: &Phase,
        place: Option<usize>,
        directory: &Path,
    ) -> Result<Trainer<'b>, Error> {
        let FineTuneConfig {
            optimizer,
            weight_decay,
            seed,
            ..
        } = self.config;
        let config = TrainConfig {
            seed,
            optimizer,
            learning_rate: phase.learning_rate(),
            weight_decay,
            schedule: self.config.schedule_of(phase.epochs)?,
            patience: self.config.patience,
            ema: self.config.ema,
            ..TrainConfig::new(phase.epochs)
        };
        let store = self.network.store();
        let mut trainer = Trainer::new(config, store, directory)
            .with_companion("config.json", self.network.config_json())
            .with_groups(phase.param_groups(store, weight_decay))
            .with_interrupt(self.interrupt.clone());
        if let Some(save_every) = self.save_every {
            trainer = trainer.with_save_every(save_every);
        }
        Ok(match place {
            Some(number) => trainer.with_phase(number, &phase.name),
            None => trainer,
        })
    }

    /// What each phase changed: the weights that it left against those that it began with.
    fn summaries(
        &self,
        phases: &[Phase],
        train: &TrainSummary,
        source: Digests,
        directory: &Path,
    ) -> Result<Vec<PhaseSummary>, Error> {
        let mut before = source;
        let mut summaries = Vec::new();
        for (number, phase) in phases.iter().enumerate() {
            let left = if number + 1 == phases.len() {
                directory.join("last")
            } else {
                directory.join(Trainer::phase_directory(number, &phase.name))
            };
            let after = digests_of_file(&left.join("model.safetensors"))?;
            let differs = |name: &String| before.get(name) != after.get(name);
            let changed = phase.groups.iter().map(|rate| &rate.group);
            let changed = changed.filter(|group| {
                after
                    .keys()
                    .any(|name| group.contains(name) && differs(name))
            });
            summaries.push(PhaseSummary {
                name: phase.name.clone(),
                epochs: train.phase_epochs[number],
                trained: phase.trained().into_iter().map(str::to_string).collect(),
                changed: changed.map(|group| group.name.clone()).collect(),
                on_features: M::reads_features(self, phase)?,
            });
            before = after;
        }
        Ok(summaries)
    }
}

type Digests = BTreeMap<String, [u8; 32]>;

fn digests(store: &Store) -> Result<Digests, Error> {
    store
        .tensors()
        .into_iter()
        .map(|(name, tensor)| Ok((name, digest(&tensor)?)))
        .collect()
}

fn digests_of_file(path: &Path) -> Result<Digests, Error> {
    let file = TensorFile::open(path)?;
    file.names()
        .map(|name| Ok((name.to_string(), digest(&file.tensor(name)?)?)))
        .collect()
}
