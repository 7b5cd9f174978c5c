//! The training loop: epochs, schedule, checkpoints, logs, and going on after an interruption.

mod epoch;
mod files;
mod open;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use cnn_layers::Store;

use crate::state::State;
use crate::{
    EpochRecord, Error, OptimizerPlan, ParamGroup, Rates, Step, StepReport, Task, TrainConfig,
    TrainSummary,
};

/// Trains a task: owns epochs, schedule, checkpoints, logs and resuming, and knows nothing of what
/// is learnt.
///
/// In the run directory it keeps `resume.safetensors`, the truth from which all else derives;
/// `last/` and `best/` with `model.safetensors`; `metrics.csv` with a row per epoch, `events.jsonl`
/// with a line per update, and TensorBoard events. When the directory already holds a resume file,
/// the run goes on from it and ends in the same bytes as one that was never interrupted. That holds
/// for whatever [`Step::kept`] and [`Task::kept`] name, too.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_core::Preprocessing;
/// use cnn_data::{Shapes, ShapesConfig, Split};
/// use cnn_layers::{Conv2dConfig, Flatten, GlobalAvgPool2d, Layer, LinearConfig, Mode, Store};
/// use cnn_train::{Classification, Forward, GradientStep, Notice, TrainConfig, Trainer};
///
/// fn network(store: &Store, mode: Mode) -> Result<Forward, cnn_train::Error> {
///     let root = store.builder(mode);
///     let conv = Conv2dConfig::new(3, 8, 3).build(&root.pp("conv"))?;
///     let pool = GlobalAvgPool2d::new();
///     let head = LinearConfig::new(8, 10).build(&root.pp("head"))?;
///     let flatten = Flatten::new(&root.pp("flatten"));
///     Ok(Forward::new(move |images, cx| {
///         let pooled = pool.forward(&conv.forward(images, cx)?, cx)?;
///         head.forward(&flatten.forward(&pooled, cx)?, cx)
///     }))
/// }
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let store = Store::new(0);
/// let images = |samples, split| Shapes::new(ShapesConfig::default().with_samples(samples).with_split(split));
/// let task = Classification::new(
///     Arc::new(images(64, Split::Train)?),
///     Arc::new(images(32, Split::Val)?),
///     Preprocessing { input_size: [3, 32, 32], ..Preprocessing::default() },
///     |mode| network(&store, mode),
/// )?;
///
/// let mut trainer = Trainer::new(TrainConfig::new(2), &store, directory).with_listener(|notice| {
///     if let Notice::Epoch { record, .. } = notice {
///         println!("epoch {}: {:?}", record.epoch, record.val);
///     }
/// });
/// let summary = trainer.run(&task, &mut GradientStep::default())?;
/// assert_eq!((summary.epochs, summary.samples), (2, 128));
/// assert!(directory.join("best/model.safetensors").exists());
///
/// // Run again, in the same process or in another, it goes on from where the directory stands: here at the end.
/// assert_eq!(trainer.run(&task, &mut GradientStep::default())?.samples, 128);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Trainer<'a> {
    config: TrainConfig,
    store: Store,
    directory: PathBuf,
    companions: Vec<(String, String)>,
    groups: Option<Vec<ParamGroup>>,
    further: Vec<(String, OptimizerPlan)>,
    save_every: Option<Duration>,
    phase: usize,
    phase_checkpoint: Option<String>,
    interrupt: Option<Arc<AtomicBool>>,
    listener: Box<dyn FnMut(&Notice<'_>) + 'a>,
}

/// What happens during training, for whoever watches.
#[derive(Debug)]
#[non_exhaustive]
pub enum Notice<'a> {
    /// An update was made.
    Update {
        /// The epoch, counted from 1.
        epoch: usize,
        /// Batches used of the epoch.
        batch: usize,
        /// Batches of the epoch.
        batches: usize,
        /// What it was made with.
        rates: Rates,
        /// What the update reports.
        report: &'a StepReport,
    },
    /// An epoch was completed and saved.
    Epoch {
        /// What it came to.
        record: &'a EpochRecord,
        /// Whether it is the best so far.
        is_best: bool,
        /// Epochs since the best one, or since the phase began; the phase ends when they are
        /// [`TrainConfig::patience`].
        stale_epochs: usize,
    },
}

impl<'a> Trainer<'a> {
    /// A trainer of what is trainable in `store`, which keeps its files in `directory`.
    pub fn new(config: TrainConfig, store: &Store, directory: impl Into<PathBuf>) -> Self {
        Self {
            config,
            store: store.clone(),
            directory: directory.into(),
            companions: Vec::new(),
            groups: None,
            further: Vec::new(),
            save_every: None,
            phase: 0,
            phase_checkpoint: None,
            interrupt: None,
            listener: Box::new(|_| ()),
        }
    }

    /// A file to put beside each `model.safetensors`, such as `config.json`.
    #[must_use]
    pub fn with_companion(mut self, name: impl Into<String>, content: impl Into<String>) -> Self {
        self.companions.push((name.into(), content.into()));
        self
    }

    /// Trains these parameters with their own rates and weight decays, rather than all that is
    /// trainable in the store by [`decay_groups`](crate::decay_groups).
    #[must_use]
    pub fn with_groups(self, groups: Vec<ParamGroup>) -> Self {
        Self {
            groups: Some(groups),
            ..self
        }
    }

    /// Adds an optimiser of that name, which a [`Step`] finds in its [`Update`](crate::Update): for networks that
    /// are trained in alternation.
    #[must_use]
    pub fn with_optimizer(mut self, name: impl Into<String>, plan: OptimizerPlan) -> Self {
        self.further.push((name.into(), plan));
        self
    }

    /// Saves the state after an update, too, when this much time has passed since it was last saved:
    /// a kill loses no more training than that, and the evaluation that it met. Default: the state
    /// is saved after each epoch.
    #[must_use]
    pub fn with_save_every(self, save_every: Duration) -> Self {
        Self {
            save_every: Some(save_every),
            ..self
        }
    }

    /// Makes this the phase of that number, counted from 0, of a run of several, such as a new head
    /// first and then all layers: one trainer after the other, in the same directory, each with its
    /// configuration, its task and its groups. Epochs are counted on, the best epoch is that of all
    /// phases, and the schedule and the optimiser begin anew. Each phase leaves its last weights in
    /// [`phase_directory`](Self::phase_directory).
    ///
    /// A phase that the directory's resume file has behind it is passed over, so a program that
    /// runs its phases in order goes on where it was interrupted.
    #[must_use]
    pub fn with_phase(self, number: usize, name: &str) -> Self {
        Self {
            phase: number,
            phase_checkpoint: Some(Self::phase_directory(number, name)),
            ..self
        }
    }

    /// Where in the run directory a phase leaves its last weights, as `phases/1-head`.
    pub fn phase_directory(number: usize, name: &str) -> String {
        format!(
            "phases/{}-{}",
            number + 1,
            name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
        )
    }

    /// A flag that, once true, makes the run save its state after the current update and return.
    #[must_use]
    pub fn with_interrupt(self, interrupt: Arc<AtomicBool>) -> Self {
        Self {
            interrupt: Some(interrupt),
            ..self
        }
    }

    /// Who watches.
    #[must_use]
    pub fn with_listener(self, listener: impl FnMut(&Notice<'_>) + 'a) -> Self {
        Self {
            listener: Box::new(listener),
            ..self
        }
    }

    /// What the directory's run amounts to if it has this trainer's phase behind it, so that its
    /// task need not be made.
    ///
    /// # Errors
    /// If there is a resume file that cannot be read.
    pub fn finished(&self) -> Result<Option<TrainSummary>, Error> {
        let path = self.resume_path();
        if !path.exists() {
            return Ok(None);
        }
        let state = State::read(&path)?;
        Ok(state.has_behind(self.phase).then(|| state.summary(false)))
    }

    /// Trains to the end, or goes on where the directory's resume file stands.
    ///
    /// # Errors
    /// [`Error::Argument`] for a configuration out of range, [`Error::State`] for a resume file of
    /// another run, [`Error::NotFinite`] and [`Error::Diverged`], what the task and the step
    /// report, and what the disk refuses. The last state that was saved stays as it is.
    pub fn run<T: Task>(
        &mut self,
        task: &T,
        step: &mut (impl Step<T> + ?Sized),
    ) -> Result<TrainSummary, Error> {
        self.config.validate()?;
        let batches = task.batches_per_epoch();
        if batches == 0 {
            return Err(Error::argument(
                "batches per epoch",
                0,
                "at least 1: fewer samples than one batch holds",
            ));
        }
        let kept = [task.kept(), step.kept()].concat();
        let mut run = self.open(batches, kept)?;
        while !run.state.has_behind(self.phase) {
            if !self.train_epoch(task, step, &mut run, batches)? {
                self.save(&mut run)?;
                return Ok(run.state.summary(true));
            }
            if run.state.epoch_samples == 0 {
                return Err(Error::argument(
                    "readable samples of an epoch",
                    0,
                    "at least 1",
                ));
            }
            let evaluation = self.evaluate(task, &mut run)?;
            let record = self.finish_epoch(&mut run, &evaluation, task.score_name())?;
            let stale_epochs = run.state.stale_epochs;
            let is_best = stale_epochs == 0;
            (self.listener)(&Notice::Epoch {
                record: &record,
                is_best,
                stale_epochs,
            });
        }
        Ok(run.state.summary(false))
    }
}

/// The resume file of a run directory.
pub fn resume_path(directory: &Path) -> PathBuf {
    directory.join("resume.safetensors")
}
