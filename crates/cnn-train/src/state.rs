//! The resume file: everything that a run needs to go on, in one safetensors file that is the
//! truth; weights and logs derive from it.

use std::collections::BTreeMap;
use std::path::Path;

use cnn_weights::{TensorFile, save_safetensors};
use serde::{Deserialize, Serialize};

use crate::run_tensors::{RunTensors, SavedTensors};
use crate::{Error, Evaluation, PlateauState, TrainSummary};

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub(crate) struct State {
    /// What must be equal for a run to go on: the configuration in words.
    pub(crate) fingerprint: String,
    /// How many epochs were completed when each phase after the first began; empty in the first, or
    /// only, one.
    #[serde(default)]
    pub(crate) phase_starts: Vec<usize>,
    /// Epochs completed.
    pub(crate) epoch: usize,
    /// Batches used of the epoch after those.
    pub(crate) batch: usize,
    /// Updates made.
    pub(crate) step: u64,
    /// Whether nothing is left to do.
    pub(crate) finished: bool,
    /// Time spent in the current epoch and in all.
    pub(crate) epoch_seconds: f64,
    pub(crate) seconds: f64,
    /// Samples trained on, in the current epoch and in all.
    pub(crate) epoch_samples: u64,
    pub(crate) samples: u64,
    pub(crate) first_loss: Option<f64>,
    pub(crate) diverging: u32,
    pub(crate) stale_epochs: usize,
    pub(crate) best: Option<Best>,
    pub(crate) plateau: PlateauState,
    /// Those of the further optimisers, by name.
    #[serde(default)]
    pub(crate) further_plateaus: BTreeMap<String, PlateauState>,
    /// Sums over the current epoch's samples.
    pub(crate) sums: Vec<(String, f64)>,
    pub(crate) logs: BTreeMap<String, u64>,
}

/// The best epoch so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The epoch, counted from 1.
    pub epoch: usize,
    /// What decided: [`Task::score_name`](crate::Task::score_name).
    #[serde(default = "unnamed")]
    pub score_name: String,
    /// Its score.
    pub score: f64,
    /// Its metrics.
    pub metrics: BTreeMap<String, f64>,
}

const KEY: &str = "state";

/// The name in states that were saved before they had one.
fn unnamed() -> String {
    "score".to_string()
}

impl State {
    /// Writes the state with all tensors.
    pub(crate) fn save(&self, path: &Path, tensors: &RunTensors) -> Result<(), Error> {
        let tensors = tensors.to_save(self.best_is_now())?;
        let state = toml::to_string(self).expect("numbers and names always serialise");
        save_safetensors(path, &tensors, &BTreeMap::from([(KEY.to_string(), state)]))?;
        Ok(())
    }

    /// Reads where a run stands, without its tensors.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        Self::of(&TensorFile::open(path)?, path)
    }

    fn of(file: &TensorFile, path: &Path) -> Result<Self, Error> {
        let broken = |reason: String| Error::State {
            path: path.to_path_buf(),
            reason,
        };
        let text = file
            .metadata()
            .get(KEY)
            .ok_or_else(|| broken("it holds no training state".to_string()))?;
        toml::from_str(text).map_err(|error| broken(error.to_string()))
    }

    /// Which phase of several this is, counted from 0.
    pub(crate) fn phase(&self) -> usize {
        self.phase_starts.len()
    }

    /// How many epochs the phases before this one had.
    pub(crate) fn phase_start(&self) -> usize {
        self.phase_starts.last().copied().unwrap_or(0)
    }

    /// Whether an evaluation is better than all before.
    pub(crate) fn is_better(&self, evaluation: &Evaluation) -> bool {
        let best = self.best.as_ref();
        best.is_none_or(|best| evaluation.score > best.score)
    }

    /// Whether the run has this phase behind it.
    pub(crate) fn has_behind(&self, phase: usize) -> bool {
        self.phase() > phase || (self.phase() == phase && self.finished)
    }

    /// Reads a state, and its tensors into those of a run that is in this phase.
    pub(crate) fn load(path: &Path, tensors: &mut RunTensors, phase: usize) -> Result<Self, Error> {
        let file = TensorFile::open(path)?;
        let state = Self::of(&file, path)?;
        let same_phase = state.phase() == phase;
        tensors.load(&SavedTensors { file, path }, &state, same_phase)?;
        Ok(state)
    }

    /// The state at the start of the next phase: what the run has learnt stays, what belongs to one
    /// phase begins anew.
    pub(crate) fn next_phase(self, fingerprint: String) -> Self {
        let Self {
            epoch,
            step,
            seconds,
            samples,
            best,
            logs,
            mut phase_starts,
            ..
        } = self;
        phase_starts.push(epoch);
        Self {
            fingerprint,
            phase_starts,
            epoch,
            step,
            seconds,
            samples,
            best,
            logs,
            ..Self::default()
        }
    }

    /// What the run amounts to.
    pub(crate) fn summary(self, interrupted: bool) -> TrainSummary {
        let Self {
            epoch: epochs,
            best,
            seconds,
            samples,
            phase_starts,
            ..
        } = self;
        let starts = std::iter::once(0).chain(phase_starts.iter().copied());
        let ends = phase_starts.iter().copied().chain([epochs]);
        let phase_epochs = starts.zip(ends).map(|(start, end)| end - start).collect();
        TrainSummary {
            epochs,
            phase_epochs,
            interrupted,
            best,
            seconds,
            samples,
        }
    }

    /// Whether the weights are the best epoch's, so that one copy is enough.
    pub(crate) fn best_is_now(&self) -> bool {
        self.batch == 0
            && self
                .best
                .as_ref()
                .is_some_and(|best| best.epoch == self.epoch)
    }
}
