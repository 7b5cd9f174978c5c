//! The training loop: epochs, schedule, checkpoints, logs, and going on after an interruption.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Tensor;
use cnn_core::{Key, write_atomic};
use cnn_layers::{Store, Value};
use cnn_weights::save_safetensors;
use serde_json::json;

use crate::run::Run;
use crate::run_log::RunLog;
use crate::state::{State, copied};
use crate::{
    Best, Epoch, Error, Evaluation, Optimizer, ParamGroup, Progress, Rates, ScheduleKind, Step,
    StepReport, Task, TrainConfig, TrainSummary, Update, decay_groups, nan_guard,
};

/// Trains a task: owns epochs, schedule, checkpoints, logs and resuming, and knows nothing of what
/// is learnt.
///
/// In the run directory it keeps `resume.safetensors`, the truth from which all else derives;
/// `last/` and `best/` with `model.safetensors`; `metrics.csv` with a row per epoch, `events.jsonl`
/// with a line per update, and TensorBoard events. When the directory already holds a resume file,
/// the run goes on from it and ends in the same bytes as one that was never interrupted.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_core::Preprocessing;
/// use cnn_data::{Shapes, ShapesConfig, Split};
/// use cnn_layers::{Conv2dConfig, GlobalAvgPool2d, Layer, LinearConfig, Mode, Store};
/// use cnn_train::{Classification, Forward, GradientStep, Notice, TrainConfig, Trainer};
///
/// fn network(store: &Store, mode: Mode) -> candle_core::Result<Forward> {
///     let root = store.builder(mode);
///     let conv = Conv2dConfig::new(3, 8, 3).build(&root.pp("conv"))?;
///     let pool = GlobalAvgPool2d::new(&root.pp("pool"));
///     let head = LinearConfig::new(8, 10).build(&root.pp("head"))?;
///     Ok(Box::new(move |images, cx| head.forward(&pool.forward(&conv.forward(images, cx)?, cx)?.flatten()?, cx)))
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
///     network(&store, Mode::Train)?,
///     network(&store, Mode::Eval)?,
/// )?;
///
/// let mut trainer = Trainer::new(TrainConfig::new(2), &store, directory).with_listener(|notice| {
///     if let Notice::Epoch { epoch, row, .. } = notice {
///         println!("epoch {epoch}: {row:?}");
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
        /// The epoch, counted from 1.
        epoch: usize,
        /// The row of `metrics.csv`.
        row: &'a [(String, String)],
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
    /// trainable in the store by [`decay_groups`].
    #[must_use]
    pub fn with_groups(self, groups: Vec<ParamGroup>) -> Self {
        Self {
            groups: Some(groups),
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
        step: &mut impl Step<T>,
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
        let mut run = self.open(batches)?;
        while !run.state.has_behind(self.phase) {
            if !self.epoch(task, step, &mut run, batches)? {
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
            let evaluation = task
                .evaluate()
                .map_err(|error| run.place(error, vec!["the evaluation's samples".to_string()]))?;
            let row = self.finish_epoch(&mut run, &evaluation)?;
            let stale_epochs = run.state.stale_epochs;
            let is_best = stale_epochs == 0;
            (self.listener)(&Notice::Epoch {
                epoch: run.state.epoch,
                row: &row,
                is_best,
                stale_epochs,
            });
        }
        Ok(run.state.summary(false))
    }

    /// Reads the resume file, or writes the first one, and brings weights and logs to its position.
    fn open(&self, batches: usize) -> Result<Run, Error> {
        let groups = self.groups.clone();
        let groups = groups
            .unwrap_or_else(|| decay_groups(self.store.trainable(), self.config.weight_decay));
        let described = groups.iter().map(|group| {
            format!(
                "{} ×{} decay {} of {}",
                group.name,
                group.lr_scale,
                group.weight_decay,
                group.parameters.len()
            )
        });
        let described = described.collect::<Vec<_>>().join(", ");
        let mut optimizer = Optimizer::new(self.config.optimizer, groups)?;
        let config =
            serde_json::to_string(&self.config).expect("a configuration always serialises");
        let fingerprint = format!("{batches} batches, {config}, {described}");
        let path = self.resume_path();
        let exists = path.exists();
        let (state, best) = if exists {
            let (state, best) = State::load(&path, &self.store, &mut optimizer, self.phase)?;
            if state.phase() == self.phase && state.fingerprint != fingerprint {
                let reason = format!("it belongs to another configuration: {}", state.fingerprint);
                return Err(Error::State { path, reason });
            }
            match state.phase() + 1 == self.phase && state.finished {
                true => (state.next_phase(fingerprint), best),
                false if state.phase() < self.phase => {
                    let reason = format!(
                        "phase {} comes before phase {}",
                        state.phase() + 1,
                        self.phase + 1
                    );
                    return Err(Error::State { path, reason });
                }
                false => (state, best),
            }
        } else if self.phase > 0 {
            let reason = format!("phase {} needs the phases before it", self.phase + 1);
            return Err(Error::State { path, reason });
        } else {
            (
                State {
                    fingerprint,
                    ..State::default()
                },
                Vec::new(),
            )
        };
        let directory = &self.directory;
        std::fs::create_dir_all(directory)
            .map_err(|error| Error::io("create directory", directory, error))?;
        self.remove_leftovers();
        let log = RunLog::open(&self.directory, &state.logs)?;
        let mut run = Run::new(state, best, optimizer, log);
        if !exists {
            self.save(&mut run)?;
        } else if run.state.epoch > 0 && are_finite(&self.store)? {
            // Damaged weights stay out of `last/` and `best/`; the first update says where they
            // are.
            self.write_checkpoint("last", &self.store.tensors())?;
            self.write_checkpoint("best", &run.best)?;
        }
        Ok(run)
    }

    /// Trains to the end of the epoch; false if it was interrupted before.
    fn epoch<T: Task>(
        &mut self,
        task: &T,
        step: &mut impl Step<T>,
        run: &mut Run,
        batches: usize,
    ) -> Result<bool, Error> {
        let key = Key::new(self.config.seed);
        let (number, start) = (run.state.epoch, run.state.batch);
        let epoch = Epoch {
            number,
            start,
            key: key.stream("data").at(number as u64),
        };
        let mut source = task.batches(&epoch)?;
        while run.state.batch < batches {
            if self
                .interrupt
                .as_ref()
                .is_some_and(|flag| flag.load(Ordering::Relaxed))
            {
                return Ok(false);
            }
            let wanted = self.config.accumulation.min(batches - run.state.batch);
            let group = source
                .by_ref()
                .take(wanted)
                .collect::<Result<Vec<_>, _>>()?;
            if group.len() < wanted {
                let found = format!("{} of {batches}", run.state.batch + group.len());
                return Err(Error::argument(
                    "batches of an epoch",
                    found,
                    "as many as the task announced",
                ));
            }
            let rates = self.rates(run, number as f64 + run.state.batch as f64 / batches as f64);
            let group: Vec<T::Batch> = group
                .into_iter()
                .filter(|batch| task.samples(batch) > 0)
                .collect();
            if !group.is_empty() {
                let key = key.stream("step").at(run.state.step);
                let mut update = Update {
                    optimizer: &mut run.optimizer,
                    rates,
                    key,
                };
                let report = step.step(task, &group, &mut update);
                let report = report.map_err(|error| {
                    run.place(locate(error, task, &group, key), names(task, &group))
                })?;
                drop(group);
                run.count(&report, &rates)?;
                let batch = run.state.batch + wanted;
                (self.listener)(&Notice::Update {
                    epoch: number + 1,
                    batch,
                    batches,
                    rates,
                    report: &report,
                });
            }
            run.state.batch += wanted;
        }
        Ok(true)
    }

    fn rates(&self, run: &Run, epoch: f64) -> Rates {
        let progress = Progress {
            epoch: epoch - run.state.phase_start() as f64,
            epochs: self.config.epochs as f64,
        };
        self.config.schedule.rates(
            self.config.learning_rate,
            progress,
            run.state.plateau.factor,
        )
    }

    /// Logs the epoch, decides whether it is the best and whether to stop, and saves.
    fn finish_epoch(
        &self,
        run: &mut Run,
        evaluation: &Evaluation,
    ) -> Result<Vec<(String, String)>, Error> {
        if !evaluation.score.is_finite() {
            return Err(Error::argument(
                "evaluation score",
                evaluation.score,
                "a finite number",
            ));
        }
        let lr = self.rates(run, run.state.epoch as f64).lr;
        run.tick();
        let state = &mut run.state;
        state.epoch += 1;
        state.batch = 0;
        let samples = state.epoch_samples.max(1) as f64;
        let train = state
            .sums
            .iter()
            .map(|(name, sum)| (format!("train_{name}"), sum / samples));
        let val = evaluation
            .metrics
            .iter()
            .map(|(name, value)| (format!("val_{name}"), *value));
        let values: Vec<(String, f64)> = train.chain(val).collect();
        if state
            .best
            .as_ref()
            .is_none_or(|best| evaluation.score > best.score)
        {
            let metrics = evaluation
                .metrics
                .iter()
                .cloned()
                .collect::<BTreeMap<_, _>>();
            state.best = Some(Best {
                epoch: state.epoch,
                score: evaluation.score,
                metrics,
            });
            state.stale_epochs = 0;
            run.best = copied(&self.store)?;
        } else {
            state.stale_epochs += 1;
        }
        if let ScheduleKind::Plateau(config) = &self.config.schedule.kind {
            state.plateau.update(config, evaluation.score);
        }
        let stale = self
            .config
            .patience
            .is_some_and(|patience| state.stale_epochs >= patience);
        state.finished = state.epoch - state.phase_start() >= self.config.epochs || stale;

        let first = [
            ("epoch".to_string(), state.epoch.to_string()),
            ("lr".to_string(), lr.to_string()),
        ];
        let middle = values
            .iter()
            .map(|(name, value)| (name.clone(), value.to_string()));
        let last = [("seconds".to_string(), format!("{:.3}", state.epoch_seconds))];
        let row: Vec<(String, String)> = first.into_iter().chain(middle).chain(last).collect();
        run.log.row(&row)?;
        let numbers: serde_json::Map<_, _> = values
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        run.log.event(&json!({"event": "epoch", "epoch": state.epoch, "step": state.step, "metrics": numbers}))?;
        run.log.scalars(state.step, &values)?;
        state.sums.clear();
        (state.epoch_samples, state.epoch_seconds) = (0, 0.);
        if let (true, Some(name)) = (state.finished, &self.phase_checkpoint) {
            // Before the state that has this phase behind it, since nothing would write it later.
            self.write_checkpoint(name, &self.store.tensors())?;
        }
        self.save(run)?;
        Ok(row)
    }

    /// First the logs, then the state that relies on them, then the weights that derive from it.
    fn save(&self, run: &mut Run) -> Result<(), Error> {
        run.tick();
        run.log.sync()?;
        run.state.logs = run.log.lengths();
        run.state
            .save(&self.resume_path(), &self.store, &run.optimizer, &run.best)?;
        if run.state.epoch > 0 {
            self.write_checkpoint("last", &self.store.tensors())?;
        }
        if run.state.best_is_now() {
            self.write_checkpoint("best", &run.best)?;
        }
        Ok(())
    }

    fn write_checkpoint(&self, name: &str, tensors: &[(String, Tensor)]) -> Result<(), Error> {
        let directory = self.directory.join(name);
        std::fs::create_dir_all(&directory)
            .map_err(|error| Error::io("create directory", &directory, error))?;
        for (name, content) in &self.companions {
            write_atomic(&directory.join(name), |file| {
                file.write_all(content.as_bytes())
            })?;
        }
        save_safetensors(
            &directory.join("model.safetensors"),
            tensors,
            &BTreeMap::new(),
        )?;
        Ok(())
    }

    /// Files that a killed process was still writing; what cannot be removed does no harm.
    fn remove_leftovers(&self) {
        for folder in [
            "",
            "last",
            "best",
            self.phase_checkpoint.as_deref().unwrap_or_default(),
        ] {
            let entries = std::fs::read_dir(self.directory.join(folder))
                .into_iter()
                .flatten()
                .flatten();
            for entry in
                entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp-"))
            {
                let _ = std::fs::remove_file(entry.path());
            }
        }
    }

    fn resume_path(&self) -> PathBuf {
        resume_path(&self.directory)
    }
}

/// The resume file of a run directory.
pub fn resume_path(directory: &Path) -> PathBuf {
    directory.join("resume.safetensors")
}

fn are_finite(store: &Store) -> Result<bool, Error> {
    for (_, tensor) in store.tensors() {
        if tensor.dtype().is_float() && !Value::from(&tensor).is_finite()? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Names the layer where a value appeared that is not finite.
fn locate<T: Task>(error: Error, task: &T, batches: &[T::Batch], key: Key) -> Error {
    match error {
        Error::NotFinite { place, .. } => {
            let place = nan_guard::first_layer(task, batches, key).unwrap_or(place);
            Error::not_finite(place)
        }
        other => other,
    }
}

fn names<T: Task>(task: &T, batches: &[T::Batch]) -> Vec<String> {
    batches.iter().flat_map(|batch| task.names(batch)).collect()
}
