//! One epoch: its updates, its evaluation, and what follows from that.

use std::sync::atomic::Ordering;

use cnn_core::Key;
use cnn_layers::BatchNormPolicy;

use super::{Notice, Trainer};
use crate::run::Run;
use crate::state::State;
use crate::{
    Best, Epoch, EpochRecord, Error, Evaluation, FurtherUpdate, OptimizerPlan, Progress, Rates,
    ScheduleKind, Step, Task, TrainConfig, Update, nan_guard,
};

impl Trainer<'_> {
    /// Trains to the end of the epoch; false if it was interrupted before.
    pub(super) fn epoch<T: Task>(
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
                self.store.mark_changed();
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
            if self.save_every.is_some_and(is_due) {
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
    pub(super) fn evaluate<T: Task>(&self, task: &T, run: &mut Run) -> Result<Evaluation, Error> {
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
    pub(super) fn finish_epoch(
        &self,
        run: &mut Run,
        evaluation: &Evaluation,
        score_name: String,
    ) -> Result<EpochRecord, Error> {
        let learning_rate = self.rates(run, run.state.epoch as f64).lr;
        let record = run.end_epoch(learning_rate, evaluation);
        self.judge(run, evaluation, score_name)?;
        run.log.epoch(&record)?;
        if let (true, Some(name)) = (run.state.finished, &self.phase_checkpoint) {
            // Before the state that has this phase behind it, since nothing would write it later.
            self.write_checkpoint(name, &self.store.tensors())?;
        }
        self.save(run)?;
        Ok(record)
    }

    /// Whether the epoch is the best, whether rates fall, and whether it was the last.
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
        let is_stale = patience.is_some_and(|patience| state.stale_epochs >= patience);
        state.finished = state.epoch - state.phase_start() >= self.config.epochs || is_stale;
        Ok(())
    }
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
