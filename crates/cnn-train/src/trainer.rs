//! The training loop: epochs, schedule, checkpoints, logs, and going on after an interruption.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use candle_core::Tensor;
use cnn_core::{Key, write_atomic};
use cnn_layers::{BatchNormPolicy, Store, Value};
use cnn_weights::save_safetensors;

use crate::optimizer::described_groups;
use crate::run::Run;
use crate::run_log::RunLog;
use crate::run_tensors::{FurtherOptimizer, RunTensors};
use crate::state::State;
use crate::weight_average::WeightAverage;
use crate::{
    Best, Epoch, EpochRecord, Error, Evaluation, FurtherUpdate, Optimizer, OptimizerPlan,
    ParamGroup, Progress, Rates, ScheduleKind, Step, StepReport, Task, TrainConfig, TrainSummary,
    Update, decay_groups, nan_guard,
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
/// use cnn_layers::{Conv2dConfig, GlobalAvgPool2d, Layer, LinearConfig, Mode, Store};
/// use cnn_train::{Classification, Forward, GradientStep, Notice, TrainConfig, Trainer};
///
/// fn network(store: &Store, mode: Mode) -> Result<Forward, cnn_train::Error> {
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
    /// trainable in the store by [`decay_groups`].
    #[must_use]
    pub fn with_groups(self, groups: Vec<ParamGroup>) -> Self {
        Self {
            groups: Some(groups),
            ..self
        }
    }

    /// Adds an optimiser of that name, which a [`Step`] finds in its [`Update`]: for networks that
    /// are trained in alternation.
    #[must_use]
    pub fn with_optimizer(mut self, name: impl Into<String>, plan: OptimizerPlan) -> Self {
        self.further.push((name.into(), plan));
        self
    }

    /// Saves the state after an update, too, when this much time has passed since it was last saved:
    /// more than that is never lost to a kill. Default: the state is saved after each epoch.
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
        let kept = [task.kept(), step.kept()].concat();
        let mut run = self.open(batches, kept)?;
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
            let evaluation = self.evaluate(task, &mut run)?;
            let record = self.finish_epoch(&mut run, &evaluation)?;
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

    /// Reads the resume file, or writes the first one, and brings weights and logs to its position.
    fn open(&self, batches: usize, kept: Vec<(String, Store)>) -> Result<Run, Error> {
        let mut tensors = self.tensors(kept)?;
        let fingerprint = self.fingerprint(batches, &tensors);
        let path = self.resume_path();
        let exists = path.exists();
        let state = if exists {
            let state = State::load(&path, &mut tensors, self.phase)?;
            self.continued(state, fingerprint)?
        } else if self.phase > 0 {
            let reason = format!("phase {} needs the phases before it", self.phase + 1);
            return Err(Error::State { path, reason });
        } else {
            State {
                fingerprint,
                ..State::default()
            }
        };
        let directory = &self.directory;
        std::fs::create_dir_all(directory)
            .map_err(|error| Error::io("create directory", directory, error))?;
        self.remove_leftovers();
        let log = RunLog::open(&self.directory, &state.logs)?;
        let mut run = Run::new(state, tensors, log);
        if !exists {
            self.save(&mut run)?;
        } else if run.state.epoch > 0 && are_finite(&self.store)? {
            // Damaged weights stay out of `last/` and `best/`; the first update says where they
            // are.
            self.write_checkpoint("last", &self.store.tensors())?;
            self.write_checkpoint("best", &run.tensors.best)?;
        }
        Ok(run)
    }

    /// What the run keeps in tensors, as it is before the first update.
    fn tensors(&self, kept: Vec<(String, Store)>) -> Result<RunTensors, Error> {
        let further = self.further.iter().map(|(name, plan)| {
            plan.schedule.validate()?;
            Ok(FurtherOptimizer {
                name: name.clone(),
                optimizer: Optimizer::new(plan.config, plan.groups.clone())?,
                plan: plan.clone(),
            })
        });
        let further: Vec<FurtherOptimizer> = further.collect::<Result<_, Error>>()?;
        unique("kept", kept.iter().map(|(name, _)| name))?;
        unique("optimizer", further.iter().map(|further| &further.name))?;
        let average = self.config.ema;
        Ok(RunTensors {
            store: self.store.clone(),
            optimizer: Optimizer::new(self.config.optimizer, self.groups())?,
            further,
            kept,
            average: average
                .map(|decay| WeightAverage::new(decay, &self.store))
                .transpose()?,
            best: Vec::new(),
        })
    }

    fn groups(&self) -> Vec<ParamGroup> {
        let groups = self.groups.clone();
        groups.unwrap_or_else(|| decay_groups(self.store.trainable(), self.config.weight_decay))
    }

    /// What must be equal for a run to go on, in words.
    fn fingerprint(&self, batches: usize, tensors: &RunTensors) -> String {
        let config =
            serde_json::to_string(&self.config).expect("a configuration always serialises");
        let mut words = vec![
            format!("{batches} batches"),
            config,
            described_groups(&self.groups()),
        ];
        for (name, plan) in &self.further {
            words.push(format!("optimizer {name}: {}", plan.described()));
        }
        for (name, store) in &tensors.kept {
            words.push(format!("kept {name}: {} tensors", store.names().len()));
        }
        words.join(", ")
    }

    /// The state from which this phase goes on.
    fn continued(&self, state: State, fingerprint: String) -> Result<State, Error> {
        let path = self.resume_path();
        if state.phase() == self.phase && state.fingerprint != fingerprint {
            let reason = format!("it belongs to another configuration: {}", state.fingerprint);
            return Err(Error::State { path, reason });
        }
        if state.phase() + 1 == self.phase && state.finished {
            return Ok(state.next_phase(fingerprint));
        }
        if state.phase() < self.phase {
            let found = state.phase() + 1;
            let wanted = self.phase + 1;
            let reason = format!("phase {found} comes before phase {wanted}");
            return Err(Error::State { path, reason });
        }
        Ok(state)
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
        let number = run.state.epoch;
        let start = run.state.batch;
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
            let position = number as f64 + run.state.batch as f64 / batches as f64;
            let rates = self.rates(run, position);
            let group: Vec<T::Batch> = group
                .into_iter()
                .filter(|batch| task.samples(batch) > 0)
                .collect();
            if !group.is_empty() {
                let key = key.stream("step").at(run.state.step);
                let report = {
                    let mut update = self.update(run, position, key);
                    step.step(task, &group, &mut update)
                };
                let report = report.map_err(|error| {
                    let located = locate(error, task, &group, key, self.batch_norm());
                    run.place(located, names(task, &group))
                })?;
                drop(group);
                if let Some(average) = &run.tensors.average {
                    average.update(&self.store, run.state.step)?;
                }
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
            let is_due = |wait| run.saved.elapsed() >= wait;
            if run.state.batch < batches && self.save_every.is_some_and(is_due) {
                self.save(run)?;
            }
        }
        Ok(true)
    }

    /// What a step gets at this position, in epochs.
    fn update<'b>(&self, run: &'b mut Run, position: f64, key: Key) -> Update<'b> {
        let rates = self.rates(run, position);
        let progress = self.progress(&run.state, position);
        let plateaus = &run.state.further_plateaus;
        let further = run.tensors.further.iter_mut().map(|further| {
            let plateau = plateaus.get(&further.name).copied().unwrap_or_default();
            let OptimizerPlan {
                schedule,
                learning_rate,
                ..
            } = &further.plan;
            FurtherUpdate {
                name: &further.name,
                optimizer: &mut further.optimizer,
                rates: schedule.rates(*learning_rate, progress, plateau.factor),
            }
        });
        Update {
            further: further.collect(),
            optimizer: &mut run.tensors.optimizer,
            rates,
            key,
            batch_norm: self.batch_norm(),
        }
    }

    fn batch_norm(&self) -> BatchNormPolicy {
        if self.config.frozen_statistics {
            BatchNormPolicy::Running
        } else {
            BatchNormPolicy::Update
        }
    }

    fn rates(&self, run: &Run, position: f64) -> Rates {
        let progress = self.progress(&run.state, position);
        let TrainConfig {
            schedule,
            learning_rate,
            ..
        } = &self.config;
        schedule.rates(*learning_rate, progress, run.state.plateau.factor)
    }

    fn progress(&self, state: &State, position: f64) -> Progress {
        Progress {
            epoch: position - state.phase_start() as f64,
            epochs: self.config.epochs as f64,
        }
    }

    /// How good the weights are, or their average where there is one.
    fn evaluate<T: Task>(&self, task: &T, run: &mut Run) -> Result<Evaluation, Error> {
        let evaluation = match &run.tensors.average {
            Some(average) => average.in_place_of(&self.store, || task.evaluate()),
            None => task.evaluate(),
        };
        let samples = || vec!["the evaluation's samples".to_string()];
        let evaluation = evaluation.map_err(|error| run.place(error, samples()))?;
        if !evaluation.score.is_finite() {
            let score = evaluation.score;
            return Err(Error::argument(
                "evaluation score",
                score,
                "a finite number",
            ));
        }
        Ok(evaluation)
    }

    /// Counts the epoch, judges it, logs it and saves.
    fn finish_epoch(&self, run: &mut Run, evaluation: &Evaluation) -> Result<EpochRecord, Error> {
        let learning_rate = self.rates(run, run.state.epoch as f64).lr;
        let record = run.end_epoch(learning_rate, evaluation);
        self.judge(run, evaluation)?;
        run.log.epoch(&record)?;
        if let (true, Some(name)) = (run.state.finished, &self.phase_checkpoint) {
            // Before the state that has this phase behind it, since nothing would write it later.
            self.write_checkpoint(name, &self.store.tensors())?;
        }
        self.save(run)?;
        Ok(record)
    }

    /// Whether the epoch is the best, whether rates fall, and whether it was the last.
    fn judge(&self, run: &mut Run, evaluation: &Evaluation) -> Result<(), Error> {
        let state = &mut run.state;
        if state.is_better(evaluation) {
            let metrics = evaluation.metrics.iter().cloned();
            state.best = Some(Best {
                epoch: state.epoch,
                score: evaluation.score,
                metrics: metrics.collect(),
            });
            state.stale_epochs = 0;
            run.tensors.keep_as_best()?;
        } else {
            state.stale_epochs += 1;
        }
        if let ScheduleKind::Plateau(config) = &self.config.schedule.kind {
            state.plateau.update(config, evaluation.score);
        }
        for (name, plan) in &self.further {
            if let ScheduleKind::Plateau(config) = &plan.schedule.kind {
                let plateau = state.further_plateaus.entry(name.clone()).or_default();
                plateau.update(config, evaluation.score);
            }
        }
        let patience = self.config.patience;
        let is_stale = patience.is_some_and(|patience| state.stale_epochs >= patience);
        state.finished = state.epoch - state.phase_start() >= self.config.epochs || is_stale;
        Ok(())
    }

    /// First the logs, then the state that relies on them, then the weights that derive from it.
    fn save(&self, run: &mut Run) -> Result<(), Error> {
        run.tick();
        run.log.sync()?;
        run.state.logs = run.log.lengths();
        run.state.save(&self.resume_path(), &run.tensors)?;
        run.saved = Instant::now();
        if run.state.epoch > 0 {
            self.write_checkpoint("last", &self.store.tensors())?;
        }
        if run.state.best_is_now() {
            self.write_checkpoint("best", &run.tensors.best)?;
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

/// Refuses a name that occurs twice.
fn unique<'a>(what: &'static str, names: impl Iterator<Item = &'a String>) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for name in names {
        if !seen.insert(name) {
            return Err(Error::argument(
                what,
                format!("`{name}` twice"),
                "unique names",
            ));
        }
    }
    Ok(())
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
fn locate<T: Task>(
    error: Error,
    task: &T,
    batches: &[T::Batch],
    key: Key,
    policy: BatchNormPolicy,
) -> Error {
    match error {
        Error::NotFinite { place, .. } => {
            let place = nan_guard::first_layer(task, batches, key, policy).unwrap_or(place);
            Error::not_finite(place)
        }
        other => other,
    }
}

fn names<T: Task>(task: &T, batches: &[T::Batch]) -> Vec<String> {
    batches.iter().flat_map(|batch| task.names(batch)).collect()
}
