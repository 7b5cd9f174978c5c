//! What a run leaves in its directory: the state, and the weights that derive from it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use candle_core::Tensor;
use cnn_core::write_atomic;
use cnn_weights::save_safetensors;

use super::{Trainer, resume_path};
use crate::Error;
use crate::run::Run;

impl Trainer<'_> {
    /// First the logs, then the state that relies on them, then the weights that derive from it.
    pub(super) fn save(&self, run: &mut Run) -> Result<(), Error> {
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

    pub(super) fn write_checkpoint(
        &self,
        name: &str,
        tensors: &[(String, Tensor)],
    ) -> Result<(), Error> {
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
    pub(super) fn remove_leftovers(&self) {
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

    pub(super) fn resume_path(&self) -> PathBuf {
        resume_path(&self.directory)
    }
}
