//! The training loop: epochs, schedule, checkpoints, logs, and going on after an interruption.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::Tensor;
use cnn_core::{Key, write_atomic};
use cnn_layers::Store;
use cnn_weights::save_safetensors;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::run_log::RunLog;
use crate::state::{State, copied};
use crate::{
    Best, Epoch, Error, Evaluation, Optimizer, OptimizerConfig, Progress, Rates, Schedule, ScheduleKind, Step,
    StepReport, Task, Update, decay_groups, nan_guard,
};

/// How long, with what, and how fast to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainConfig {
    /// Passes over the data.
    pub epochs: usize,
    /// Decides the order of the data, augmentation and dropout.
    pub seed: u64,
    /// The update rule.
    pub optimizer: OptimizerConfig,
    /// The learning rate that the schedule scales.
    pub learning_rate: f64,
    /// Pulls weights towards 0; biases and norm parameters are left alone.
    pub weight_decay: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// How many batches make one update.
    pub accumulation: usize,
    /// Stop after this many epochs without a better score.
    pub patience: Option<usize>,
}

impl TrainConfig {
    /// These many epochs of SGD with momentum 0.9, a constant rate of 0.1 and no weight decay.
    pub fn new(epochs: usize) -> Self {
        Self {
            epochs,
            seed: 0,
            optimizer: OptimizerConfig::sgd(),
            learning_rate: 0.1,
            weight_decay: 0.,
            schedule: Schedule::new(ScheduleKind::Constant),
            accumulation: 1,
            patience: None,
        }
    }

    /// Checks the ranges; [`Trainer::run`] does so first.
    ///
    /// # Errors
    /// [`Error::Argument`] for the first value out of its range.
    pub fn validate(&self) -> Result<(), Error> {
        let positive = |name, value: usize| match value {
            0 => Err(Error::argument(name, 0, "at least 1")),
            _ => Ok(()),
        };
        positive("epochs", self.epochs)?;
        positive("accumulation", self.accumulation)?;
        positive("patience", self.patience.unwrap_or(1))?;
        if !(self.learning_rate > 0. && self.learning_rate.is_finite()) {
            return Err(Error::argument("learning_rate", self.learning_rate, "a finite number above 0"));
        }
        if !(self.weight_decay >= 0. && self.weight_decay.is_finite()) {
            return Err(Error::argument("weight_decay", self.weight_decay, "a finite number, at least 0"));
        }
        self.optimizer.validate()?;
        self.schedule.validate()
    }
}

/// Trains a task: owns epochs, schedule, checkpoints, logs and resuming, and knows nothing of what is learnt.
///
/// In the run directory it keeps `resume.safetensors`, the truth from which all else derives; `last/` and `best/` with `model.safetensors`; `metrics.csv` with a row per epoch,
/// `events.jsonl` with a line per update, and TensorBoard events. When the directory already holds a resume file, the run goes on from it and ends in the same bytes as one that was never
/// interrupted.
pub struct Trainer<'a> {
    config: TrainConfig,
    store: Store,
    directory: PathBuf,
    companions: Vec<(String, String)>,
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
    },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TrainSummary {
    /// Epochs completed.
    pub epochs: usize,
    /// Whether it was interrupted, with its state saved.
    pub interrupted: bool,
    /// The best epoch.
    pub best: Option<Best>,
    /// Seconds spent training and evaluating, over all sittings.
    pub seconds: f64,
    /// Samples trained on.
    pub samples: u64,
}

/// Five updates in a row with a loss a thousand times the first one's are no accident.
const DIVERGED_FACTOR: f64 = 1e3;
const DIVERGED_UPDATES: u32 = 5;

impl<'a> Trainer<'a> {
    /// A trainer of what is trainable in `store`, which keeps its files in `directory`.
    pub fn new(config: TrainConfig, store: &Store, directory: impl Into<PathBuf>) -> Self {
        Self {
            config,
            store: store.clone(),
            directory: directory.into(),
            companions: Vec::new(),
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

    /// A flag that, once true, makes the run save its state after the current update and return.
    #[must_use]
    pub fn with_interrupt(self, interrupt: Arc<AtomicBool>) -> Self {
        Self { interrupt: Some(interrupt), ..self }
    }

    /// Who watches.
    #[must_use]
    pub fn with_listener(self, listener: impl FnMut(&Notice<'_>) + 'a) -> Self {
        Self { listener: Box::new(listener), ..self }
    }

    /// Trains to the end, or goes on where the directory's resume file stands.
    ///
    /// # Errors
    /// [`Error::Argument`] for a configuration out of range, [`Error::State`] for a resume file of another run, [`Error::NotFinite`] and [`Error::Diverged`], what the task and the step report,
    /// and what the disk refuses. The last state that was saved stays as it is.
    pub fn run<T: Task>(&mut self, task: &T, step: &mut impl Step<T>) -> Result<TrainSummary, Error> {
        self.config.validate()?;
        let batches = task.batches_per_epoch();
        if batches == 0 {
            return Err(Error::argument("batches per epoch", 0, "at least 1: fewer samples than one batch holds"));
        }
        let mut run = self.open(batches)?;
        while !run.state.finished {
            if !self.epoch(task, step, &mut run, batches)? {
                self.save(&mut run)?;
                return Ok(run.summary(true));
            }
            if run.state.epoch_samples == 0 {
                return Err(Error::argument("readable samples of an epoch", 0, "at least 1"));
            }
            let evaluation =
                task.evaluate().map_err(|error| run.place(error, vec!["the evaluation's samples".to_string()]))?;
            let row = self.finish_epoch(&mut run, &evaluation)?;
            let is_best = run.state.stale_epochs == 0;
            (self.listener)(&Notice::Epoch { epoch: run.state.epoch, row: &row, is_best });
        }
        Ok(run.summary(false))
    }

    /// Reads the resume file, or writes the first one, and brings weights and logs to its position.
    fn open(&self, batches: usize) -> Result<Run, Error> {
        let mut optimizer =
            Optimizer::new(self.config.optimizer, decay_groups(self.store.trainable(), self.config.weight_decay))?;
        let config = serde_json::to_string(&self.config).expect("a configuration always serialises");
        let fingerprint = format!("{batches} batches, {config}");
        let path = self.resume_path();
        let exists = path.exists();
        let (state, best) = if exists {
            let (state, best) = State::load(&path, &self.store, &mut optimizer)?;
            if state.fingerprint != fingerprint {
                let reason = format!("it belongs to another configuration: {}", state.fingerprint);
                return Err(Error::State { path, reason });
            }
            (state, best)
        } else {
            (State { fingerprint, ..State::default() }, Vec::new())
        };
        self.remove_leftovers();
        let log = RunLog::open(&self.directory, &state.logs)?;
        let mut run = Run { state, best, optimizer, log, clock: Instant::now() };
        if !exists {
            self.save(&mut run)?;
        } else if run.state.epoch > 0 {
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
        let epoch = Epoch { number, start, key: key.stream("data").at(number as u64) };
        let mut source = task.batches(&epoch)?;
        while run.state.batch < batches {
            if self.interrupt.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                return Ok(false);
            }
            let wanted = self.config.accumulation.min(batches - run.state.batch);
            let group = source.by_ref().take(wanted).collect::<Result<Vec<_>, _>>()?;
            if group.len() < wanted {
                let found = format!("{} of {batches}", run.state.batch + group.len());
                return Err(Error::argument("batches of an epoch", found, "as many as the task announced"));
            }
            let rates = self.rates(run, number as f64 + run.state.batch as f64 / batches as f64);
            let group: Vec<T::Batch> = group.into_iter().filter(|batch| task.samples(batch) > 0).collect();
            if !group.is_empty() {
                let key = key.stream("step").at(run.state.step);
                let mut update = Update { optimizer: &mut run.optimizer, rates, key };
                let report = step.step(task, &group, &mut update);
                let report =
                    report.map_err(|error| run.place(locate(error, task, &group, key), names(task, &group)))?;
                drop(group);
                run.count(&report, &rates)?;
                let batch = run.state.batch + wanted;
                (self.listener)(&Notice::Update { epoch: number + 1, batch, batches, report: &report });
            }
            run.state.batch += wanted;
        }
        Ok(true)
    }

    fn rates(&self, run: &Run, epoch: f64) -> Rates {
        let progress = Progress { epoch, epochs: self.config.epochs as f64 };
        self.config.schedule.rates(self.config.learning_rate, progress, run.state.plateau.factor)
    }

    /// Logs the epoch, decides whether it is the best and whether to stop, and saves.
    fn finish_epoch(&self, run: &mut Run, evaluation: &Evaluation) -> Result<Vec<(String, String)>, Error> {
        if !evaluation.score.is_finite() {
            return Err(Error::argument("evaluation score", evaluation.score, "a finite number"));
        }
        let lr = self.rates(run, run.state.epoch as f64).lr;
        run.tick();
        let state = &mut run.state;
        state.epoch += 1;
        state.batch = 0;
        let samples = state.epoch_samples.max(1) as f64;
        let train = state.sums.iter().map(|(name, sum)| (format!("train_{name}"), sum / samples));
        let val = evaluation.metrics.iter().map(|(name, value)| (format!("val_{name}"), *value));
        let values: Vec<(String, f64)> = train.chain(val).collect();
        if state.best.as_ref().is_none_or(|best| evaluation.score > best.score) {
            let metrics = evaluation.metrics.iter().cloned().collect::<BTreeMap<_, _>>();
            state.best = Some(Best { epoch: state.epoch, score: evaluation.score, metrics });
            state.stale_epochs = 0;
            run.best = copied(&self.store)?;
        } else {
            state.stale_epochs += 1;
        }
        if let ScheduleKind::Plateau(config) = &self.config.schedule.kind {
            state.plateau.update(config, evaluation.score);
        }
        let stale = self.config.patience.is_some_and(|patience| state.stale_epochs >= patience);
        state.finished = state.epoch >= self.config.epochs || stale;

        let first = [("epoch".to_string(), state.epoch.to_string()), ("lr".to_string(), lr.to_string())];
        let middle = values.iter().map(|(name, value)| (name.clone(), value.to_string()));
        let last = [("seconds".to_string(), format!("{:.3}", state.epoch_seconds))];
        let row: Vec<(String, String)> = first.into_iter().chain(middle).chain(last).collect();
        run.log.row(&row)?;
        let numbers: serde_json::Map<_, _> = values.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        run.log.event(&json!({"event": "epoch", "epoch": state.epoch, "step": state.step, "metrics": numbers}))?;
        run.log.scalars(state.step, &values)?;
        state.sums.clear();
        (state.epoch_samples, state.epoch_seconds) = (0, 0.);
        self.save(run)?;
        Ok(row)
    }

    /// First the logs, then the state that relies on them, then the weights that derive from it.
    fn save(&self, run: &mut Run) -> Result<(), Error> {
        run.tick();
        run.log.sync()?;
        run.state.logs = run.log.lengths();
        run.state.save(&self.resume_path(), &self.store, &run.optimizer, &run.best)?;
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
        std::fs::create_dir_all(&directory).map_err(|error| Error::io("create directory", &directory, error))?;
        for (name, content) in &self.companions {
            write_atomic(&directory.join(name), |file| file.write_all(content.as_bytes()))?;
        }
        save_safetensors(&directory.join("model.safetensors"), tensors, &BTreeMap::new())?;
        Ok(())
    }

    /// Files that a killed process was still writing; what cannot be removed does no harm.
    fn remove_leftovers(&self) {
        for directory in [self.directory.clone(), self.directory.join("last"), self.directory.join("best")] {
            let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(".tmp-")) {
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

/// A run in progress.
struct Run {
    state: State,
    best: Vec<(String, Tensor)>,
    optimizer: Optimizer,
    log: RunLog,
    clock: Instant,
}

impl Run {
    /// Adds an update to the sums and the logs.
    fn count(&mut self, report: &StepReport, rates: &Rates) -> Result<(), Error> {
        let state = &mut self.state;
        state.step += 1;
        for (position, (name, value)) in report.values.iter().enumerate() {
            let weighted = value * report.samples as f64;
            match state.sums.get_mut(position) {
                Some((_, sum)) => *sum += weighted,
                None => state.sums.push((name.clone(), weighted)),
            }
        }
        state.epoch_samples += report.samples as u64;
        state.samples += report.samples as u64;
        let loss = report.values.first().map_or(0., |(_, loss)| *loss);
        let first = *state.first_loss.get_or_insert(loss);
        state.diverging = if loss > DIVERGED_FACTOR * first.abs().max(1e-3) { state.diverging + 1 } else { 0 };
        if state.diverging >= DIVERGED_UPDATES {
            return Err(Error::Diverged { epoch: state.epoch + 1, step: state.batch + 1, loss, first });
        }
        let values: serde_json::Map<_, _> =
            report.values.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
        let event = json!({
            "event": "update", "step": state.step, "epoch": state.epoch + 1, "lr": rates.lr,
            "gradient_norm": report.gradient_norm, "train": values,
        });
        self.log.event(&event)?;
        let mut scalars = vec![("lr".to_string(), rates.lr), ("gradient_norm".to_string(), report.gradient_norm)];
        scalars.extend(report.values.iter().map(|(name, value)| (format!("update_{name}"), *value)));
        self.log.scalars(self.state.step, &scalars)
    }

    /// Says of a value that is not finite where in the run it appeared, in the error and with all names in the events.
    fn place(&mut self, error: Error, batch: Vec<String>) -> Error {
        let Error::NotFinite { place, .. } = error else { return error };
        let (epoch, step) = (self.state.epoch + 1, self.state.batch + 1);
        let event = json!({"event": "not finite", "epoch": epoch, "batch": step, "place": place, "samples": batch});
        // The error at hand matters more than one of the log.
        let _ = self.log.event(&event);
        Error::NotFinite { epoch, step, place, batch }
    }

    fn tick(&mut self) {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        self.state.seconds += seconds;
        self.state.epoch_seconds += seconds;
    }

    fn summary(self, interrupted: bool) -> TrainSummary {
        let State { epoch: epochs, best, seconds, samples, .. } = self.state;
        TrainSummary { epochs, interrupted, best, seconds, samples }
    }
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
