//! What a run keeps in tensors, and their names in the resume file.

use std::path::Path;

use candle_core::Tensor;
use cnn_layers::Store;
use cnn_weights::TensorFile;

use crate::state::State;
use crate::weight_average::WeightAverage;
use crate::{Error, Optimizer, OptimizerPlan};

const MODEL: &str = "model.";
const OPTIMIZER: &str = "optimizer.";
const FURTHER: &str = "optimizers.";
const KEPT: &str = "kept.";
const AVERAGE: &str = "average.";
const BEST: &str = "best.";

/// The weights, the optimisers, and what else a run needs to go on.
pub(crate) struct RunTensors {
    pub(crate) store: Store,
    pub(crate) optimizer: Optimizer,
    pub(crate) further: Vec<FurtherOptimizer>,
    /// What the step and the task keep, by name.
    pub(crate) kept: Vec<(String, Store)>,
    pub(crate) average: Option<WeightAverage>,
    /// The weights of the best epoch.
    pub(crate) best: Vec<(String, Tensor)>,
}

/// An optimiser beside the first one.
pub(crate) struct FurtherOptimizer {
    pub(crate) name: String,
    pub(crate) optimizer: Optimizer,
    pub(crate) plan: OptimizerPlan,
}

impl RunTensors {
    /// The weights that are evaluated: the average where there is one.
    pub(crate) fn evaluated(&self) -> Vec<(String, Tensor)> {
        match &self.average {
            Some(average) => average.tensors(),
            None => self.store.tensors(),
        }
    }

    /// Takes the evaluated weights for those of the best epoch.
    pub(crate) fn keep_as_best(&mut self) -> Result<(), Error> {
        self.best = copied(self.evaluated())?;
        Ok(())
    }

    /// Everything, as the resume file names it. Where the best epoch's weights are those of now, one
    /// copy is enough.
    pub(crate) fn to_save(&self, best_is_now: bool) -> Result<Vec<(String, Tensor)>, Error> {
        let mut tensors = prefixed(MODEL, self.store.tensors());
        tensors.extend(prefixed(OPTIMIZER, self.optimizer.state()?));
        for further in &self.further {
            let prefix = format!("{FURTHER}{}.", further.name);
            tensors.extend(prefixed(&prefix, further.optimizer.state()?));
        }
        for (name, store) in &self.kept {
            tensors.extend(prefixed(&format!("{KEPT}{name}."), store.tensors()));
        }
        if let Some(average) = &self.average {
            tensors.extend(prefixed(AVERAGE, average.tensors()));
        }
        if !best_is_now {
            tensors.extend(prefixed(BEST, self.best.clone()));
        }
        Ok(tensors)
    }

    /// Takes over what a resume file holds. Of a file of an earlier phase the optimisers are not
    /// read, and what step and task keep only where the file has it.
    pub(crate) fn load(
        &mut self,
        file: &SavedTensors<'_>,
        state: &State,
        same_phase: bool,
    ) -> Result<(), Error> {
        file.load_into(&self.store, MODEL, "its weights belong to another network")?;
        if same_phase {
            self.optimizer.load_state(&file.part(OPTIMIZER)?)?;
            for further in &mut self.further {
                let prefix = format!("{FURTHER}{}.", further.name);
                further.optimizer.load_state(&file.part(&prefix)?)?;
            }
        }
        for (name, store) in &self.kept {
            let prefix = format!("{KEPT}{name}.");
            if same_phase || file.has(&prefix) {
                let reason = format!("its `{name}` belongs to another run");
                file.load_into(store, &prefix, &reason)?;
            }
        }
        // What was evaluated then, whether or not this phase keeps an average.
        let evaluated = file.part(if file.has(AVERAGE) { AVERAGE } else { MODEL })?;
        if let Some(average) = &mut self.average {
            *average = WeightAverage::new(average.decay(), evaluated.clone())?;
        }
        self.best = if state.best_is_now() {
            evaluated
        } else {
            file.part(BEST)?
        };
        Ok(())
    }
}

/// A resume file that is open.
pub(crate) struct SavedTensors<'a> {
    pub(crate) file: TensorFile,
    pub(crate) path: &'a Path,
}

impl SavedTensors<'_> {
    fn has(&self, prefix: &str) -> bool {
        self.file.names().any(|name| name.starts_with(prefix))
    }

    fn part(&self, prefix: &str) -> Result<Vec<(String, Tensor)>, Error> {
        let names = self.file.names();
        names
            .filter_map(|name| name.strip_prefix(prefix).map(|rest| (name, rest)))
            .map(|(name, rest)| Ok((rest.to_string(), self.file.tensor(name)?)))
            .collect()
    }

    fn load_into(&self, store: &Store, prefix: &str, reason: &str) -> Result<(), Error> {
        let tensors = self.part(prefix)?;
        let named = tensors
            .iter()
            .map(|(name, tensor)| (name.as_str(), tensor.clone()));
        let report = store.load(named)?;
        report.into_result().map_err(|error| Error::State {
            path: self.path.to_path_buf(),
            reason: format!("{reason}: {error}"),
        })?;
        Ok(())
    }
}

/// Tensors in storage of their own, which no optimiser moves.
pub(crate) fn copied(tensors: Vec<(String, Tensor)>) -> Result<Vec<(String, Tensor)>, Error> {
    tensors
        .into_iter()
        .map(|(name, tensor)| Ok((name, tensor.copy()?)))
        .collect()
}

fn prefixed(prefix: &str, tensors: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    tensors
        .into_iter()
        .map(|(name, tensor)| (format!("{prefix}{name}"), tensor))
        .collect()
}
