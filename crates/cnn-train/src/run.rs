//! A run in progress: its state, what an update adds to it, how it ends.

use std::time::Instant;

use serde_json::json;

use crate::run_log::RunLog;
use crate::run_tensors::RunTensors;
use crate::state::State;
use crate::{Best, EpochRecord, Error, Evaluation, Rates, StepReport};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct TrainSummary {
    /// Epochs completed.
    pub epochs: usize,
    /// Those of each phase that was begun; of a run in one piece there is one.
    pub phase_epochs: Vec<usize>,
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

/// A run in progress.
pub(crate) struct Run {
    pub(crate) state: State,
    pub(crate) tensors: RunTensors,
    pub(crate) log: RunLog,
    /// When its state was last saved in this sitting.
    pub(crate) saved: Instant,
    clock: Instant,
}

impl Run {
    pub(crate) fn new(state: State, tensors: RunTensors, log: RunLog) -> Self {
        let now = Instant::now();
        Self {
            state,
            tensors,
            log,
            saved: now,
            clock: now,
        }
    }

    /// Adds an update to the sums and the logs.
    pub(crate) fn count(&mut self, report: &StepReport, rates: &Rates) -> Result<(), Error> {
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
        state.diverging = if loss > DIVERGED_FACTOR * first.abs().max(1e-3) {
            state.diverging + 1
        } else {
            0
        };
        if state.diverging >= DIVERGED_UPDATES {
            return Err(Error::Diverged {
                epoch: state.epoch + 1,
                step: state.batch + 1,
                loss,
                first,
            });
        }
        let values: serde_json::Map<_, _> = report
            .values
            .iter()
            .map(|(name, value)| (name.clone(), json!(value)))
            .collect();
        let event = json!({
            "event": "update", "step": state.step, "epoch": state.epoch + 1, "lr": rates.lr,
            "gradient_norm": report.gradient_norm, "train": values,
        });
        self.log.event(&event)?;
        let mut scalars = vec![
            ("lr".to_string(), rates.lr),
            ("gradient_norm".to_string(), report.gradient_norm),
        ];
        scalars.extend(
            report
                .values
                .iter()
                .map(|(name, value)| (format!("update_{name}"), *value)),
        );
        self.log.scalars(self.state.step, &scalars)
    }

    /// Completes the epoch and begins to count the next.
    pub(crate) fn end_epoch(&mut self, learning_rate: f64, evaluation: &Evaluation) -> EpochRecord {
        self.tick();
        let state = &mut self.state;
        state.epoch += 1;
        state.batch = 0;
        let samples = state.epoch_samples.max(1) as f64;
        let sums = std::mem::take(&mut state.sums).into_iter();
        let record = EpochRecord {
            epoch: state.epoch,
            step: state.step,
            learning_rate,
            train: sums.map(|(name, sum)| (name, sum / samples)).collect(),
            val: evaluation.metrics.clone(),
            seconds: state.epoch_seconds,
        };
        (state.epoch_samples, state.epoch_seconds) = (0, 0.);
        record
    }

    /// Says of a value that is not finite where in the run it appeared, in the error and with all
    /// names in the events.
    pub(crate) fn note_not_finite(&mut self, error: Error, batch: Vec<String>) -> Error {
        let Error::NotFinite { place, .. } = error else {
            return error;
        };
        let epoch = self.state.epoch + 1;
        let step = self.state.batch + 1;
        let event = json!({"event": "not finite", "epoch": epoch, "batch": step, "place": place, "samples": batch});
        // The error at hand matters more than one of the log.
        let _ = self.log.event(&event);
        Error::NotFinite {
            epoch,
            step,
            place,
            batch,
        }
    }

    pub(crate) fn tick(&mut self) {
        let seconds = self.clock.elapsed().as_secs_f64();
        self.clock = Instant::now();
        self.state.seconds += seconds;
        self.state.epoch_seconds += seconds;
    }
}
