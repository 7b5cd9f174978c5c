//! How a run begins: anew, or where its resume file stands.

use std::collections::BTreeSet;

use cnn_layers::{Store, Value};

use super::Trainer;
use crate::optimizer::described_groups;
use crate::run::Run;
use crate::run_log::RunLog;
use crate::run_tensors::{FurtherOptimizer, RunTensors};
use crate::state::State;
use crate::weight_average::WeightAverage;
use crate::{Error, Optimizer, ParamGroup, decay_groups};

impl Trainer<'_> {
    /// Reads the resume file, or writes the first one, and brings weights and logs to its position.
    pub(super) fn open(&self, batches: usize, kept: Vec<(String, Store)>) -> Result<Run, Error> {
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
        check_names("kept", kept.iter().map(|(name, _)| name))?;
        check_names("optimizer", further.iter().map(|further| &further.name))?;
        let average = self.config.ema;
        Ok(RunTensors {
            store: self.store.clone(),
            optimizer: Optimizer::new(self.config.optimizer, self.groups())?,
            further,
            kept,
            average: average
                .map(|decay| WeightAverage::new(decay, self.store.tensors()))
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
}

/// Refuses a name that occurs twice, and one with a dot, which separates names in the resume file.
fn check_names<'a>(
    what: &'static str,
    names: impl Iterator<Item = &'a String>,
) -> Result<(), Error> {
    let mut seen = BTreeSet::new();
    for name in names {
        if name.contains('.') {
            let found = format!("`{name}`");
            return Err(Error::argument(what, found, "names without a dot"));
        }
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
