//! One epoch: its updates, its evaluation, and the decisions after it: best, plateaus, the end.

use std::sync::atomic::Ordering;

use super::{Notice, Trainer};
use crate::run::Run;
use crate::state::State;
use crate::weight_average::WeightAverage;
use crate::{
    Best, Epoch, EpochRecord, Error, Evaluation, FurtherUpdate, OptimizerPlan, Progress, Rates,
    ScheduleKind, Step, Task, TrainConfig, Update, nan_guard,
};
use cnn_core::Key;

impl Trainer<'_> {
    /// Trains to the end of the epoch. Returns false if it was interrupted: the state then stands
    /// after the last update and is not saved here.
    pub(super) fn train_epoch<T: Task>(
        &mut self,
        task: &T,
        step: &mut (impl Step<T> + ?Sized),
        run: &mut Run,
        batches: usize,
    ) -> Result<bool, Error> {
        let run_key = Key::new(self.config.seed);
        let number = run.state.epoch;
        let start = run.state.batch;
        let epoch = Epoch {
            number,
            start,
            key: run_key.stream("data").at(number as u64),
        };
        let mut source = task.batches(&epoch)?;
        while run.state.batch < batches {
            if self.is_interrupted() {
                return Ok(false);
            }
            // The last group of an epoch may be smaller.
            let group_size = self.config.accumulation.min(batches - run.state.batch);
            let group = source
                .by_ref()
                .take(group_size)
                .collect::<Result<Vec<_>, _>>()?;
            if group.len() < group_size {
                let found = format!("{} of {batches}", run.state.batch + group.len());
                return Err(Error::argument(
                    "batches of an epoch",
                    found,
                    "as many as the task announced",
                ));
            }
            let position = number as f64 + run.state.batch as f64 / batches as f64;
            let done = run.state.batch + group_size;
            // A batch of which no sample could be read counts, and is left out.
            let group: Vec<T::Batch> = group
                .into_iter()
                .filter(|batch| task.samples(batch) > 0)
                .collect();
            if !group.is_empty() {
                let rates = self.rates(run, position);
                let step_key = run_key.stream("step").at(run.state.step);
                let result = step.step(task, &group, &mut self.update(run, position, step_key));
                let report = result.map_err(|error| {
                    let located = locate(error, task, &group, step_key);
                    run.note_not_finite(located, sample_names(task, &group))
                })?;
                // The batches' memory is free before what follows takes its own.
                drop(group);
                // Models that were built for inference before are stale now.
                self.store.mark_changed();
                if let Some(average) = &run.tensors.average {
                    average.update(&self.store, run.state.step)?;
                }
                run.count(&report, &rates)?;
                (self.listener)(&Notice::Update {
                    epoch: number + 1,
                    batch: done,
                    batches,
                    rates,
                    report: &report,
                });
            }
            run.state.batch = done;
            if self
                .save_every
                .is_some_and(|wait| run.saved.elapsed() >= wait)
            {
                self.save(run)?;
            }
        }
        Ok(true)
    }

    fn is_interrupted(&self) -> bool {
        let flag = self.interrupt.as_ref();
        flag.is_some_and(|flag| flag.load(Ordering::Relaxed))
    }

    /// The optimisers, rates and key of the step at `position`, in epochs since the run began.
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
            average: run.tensors.average.as_ref().map(WeightAverage::tensors),
            optimizer: &mut run.tensors.optimizer,
            rates,
            progress,
            key,
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

    /// The same position within the current phase.
    fn progress(&self, state: &State, position: f64) -> Progress {
        Progress {
            epoch: position - state.phase_start() as f64,
            epochs: self.config.epochs as f64,
        }
    }

    /// Evaluates the moving average of the weights if there is one, else the weights.
    pub(super) fn evaluate<T: Task>(&self, task: &T, run: &mut Run) -> Result<Evaluation, Error> {
        let evaluation = match &run.tensors.average {
            Some(average) => average.in_place_of(&self.store, || task.evaluate()),
            None => task.evaluate(),
        };
        let evaluation = evaluation.map_err(|error| {
            let samples = vec!["the evaluation's samples".to_string()];
            run.note_not_finite(error, samples)
        })?;
        if !evaluation.score.is_finite() {
            return Err(Error::argument(
                "evaluation score",
                evaluation.score,
                "a finite number",
            ));
        }
        Ok(evaluation)
    }

    /// Counts the epoch, judges it, logs it, writes the phase's checkpoint if it was its last, and
    /// saves.
    pub(super) fn finish_epoch(
        &self,
        run: &mut Run,
        evaluation: &Evaluation,
        score_name: String,
    ) -> Result<EpochRecord, Error> {
        // The rate that the epoch began with.
        let learning_rate = self.rates(run, run.state.epoch as f64).lr;
        // From here on `state.epoch` counts this epoch, too.
        let record = run.end_epoch(learning_rate, evaluation);
        self.judge(run, evaluation, score_name)?;
        run.log.epoch(&record)?;
        if run.state.finished
            && let Some(name) = &self.phase_checkpoint
        {
            // It is written before the state is saved: a run that died between the two would go on
            // behind this phase and never write it.
            self.write_checkpoint(name, &self.store.tensors())?;
        }
        self.save(run)?;
        Ok(record)
    }

    /// Updates the best epoch, the plateaus of the rates, and whether the phase is finished.
    fn judge(
        &self,
        run: &mut Run,
        evaluation: &Evaluation,
        score_name: String,
    ) -> Result<(), Error> {
        let state = &mut run.state;
        if state.is_better(evaluation) {
            let metrics = evaluation.metrics.iter().cloned();
            state.best = Some(Best {
                epoch: state.epoch,
                score_name,
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
        let is_stale = patience.is_some_and(|limit| state.stale_epochs >= limit);
        let is_over = state.epoch - state.phase_start() >= self.config.epochs;
        state.finished = is_over || is_stale;
        Ok(())
    }
}

/// Of a value that is not finite, the first layer in which it appears, found by running the forward
/// pass again; other errors pass unchanged.
fn locate<T: Task>(error: Error, task: &T, batches: &[T::Batch], key: Key) -> Error {
    match error {
        Error::NotFinite { place, .. } => {
            let place = nan_guard::first_layer(task, batches, key).unwrap_or(place);
            Error::not_finite(place)
        }
        other => other,
    }
}

fn sample_names<T: Task>(task: &T, batches: &[T::Batch]) -> Vec<String> {
    batches.iter().flat_map(|batch| task.names(batch)).collect()
}
