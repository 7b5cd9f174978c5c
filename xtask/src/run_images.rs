//! The images of a run that ended, found again by its `split.csv`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use cnn_data::{Dataset, Split};
use cnn_train::SplitRecord;

use crate::args::Unusable;
use crate::datasets::{MaskOptions, Source};
use crate::os_text;
use crate::training::arguments_path;

/// A run of this program: what it was trained and measured on.
pub(crate) struct RunImages {
    directory: PathBuf,
    pub(crate) record: SplitRecord,
}

/// A part of a run's images.
pub(crate) struct RunPart {
    pub(crate) dataset: Arc<dyn Dataset>,
    pub(crate) part: Split,
    /// What `--data` said.
    pub(crate) data: String,
}

impl RunImages {
    /// The run that `--weights` names by its directory or by `best` or `last` in it; `None` where
    /// that is no run directory.
    pub(crate) fn of(weights: &str) -> Result<Option<Self>> {
        let path = os_text::path(weights);
        let path = path.as_path();
        let above = path.ancestors().skip(1).take(2);
        let directories = std::iter::once(path)
            .chain(above)
            .filter(|path| !path.as_os_str().is_empty());
        let is_run =
            |path: &&Path| path.join(SplitRecord::FILE).is_file() && arguments_path(path).is_file();
        let Some(directory) = directories.into_iter().find(is_run) else {
            return Ok(None);
        };
        let record = SplitRecord::read(&directory.join(SplitRecord::FILE))?;
        Ok(Some(Self {
            directory: directory.to_path_buf(),
            record,
        }))
    }

    /// The images for a command that was not told others than this part of the run, or than what
    /// the run is measured on.
    pub(crate) fn instead_of_data(weights: &str, part: Option<Split>) -> Result<RunPart> {
        let missing = "name the images by --data; \
                       only the directory of a run that finetune or train made knows its own";
        let run = Self::of(weights)?.context(missing).context(Unusable)?;
        let part = part.unwrap_or_else(|| run.held_out());
        let dataset = run.open(part)?;
        let data = run.data()?;
        eprintln!(
            "the {} {part} images of the run, from {data}",
            dataset.len()
        );
        Ok(RunPart {
            dataset,
            part,
            data,
        })
    }

    /// What the run is measured on where no part is asked for: its test images, or those that it
    /// was validated on.
    pub(crate) fn held_out(&self) -> Split {
        self.record.measured_on()
    }

    /// The images of a part, where they were when the run began. Those that are gone or have
    /// changed are told.
    pub(crate) fn open(&self, part: Split) -> Result<Arc<dyn Dataset>> {
        let count = self.record.count(part);
        if count == 0 {
            bail!(
                "the run in {} has no {part} images",
                self.directory.display()
            );
        }
        let data = self.data()?;
        let source = Source::parse(&data)?.with_masks(&self.mask_options()?)?;
        let splits = source.splits()?;
        // What was held out lies among the training images.
        let from = [part, Split::Train]
            .into_iter()
            .find(|split| splits.contains(split));
        let found = self.record.find(part, &source.open(from)?)?;
        if let Some(first) = found.lost.first() {
            let lost = found.lost.len();
            eprintln!(
                "note: {lost} of the run's {count} {part} images are gone or have changed, as {first}"
            );
        }
        if found.images.is_empty() {
            bail!("none of the run's {count} {part} images is in {data} as it was");
        }
        Ok(Arc::new(found.images))
    }

    /// What `--data` said.
    pub(crate) fn data(&self) -> Result<String> {
        let arguments = self.arguments()?;
        let data = arguments.get("data").and_then(toml::Value::as_str);
        let path = arguments_path(&self.directory);
        Ok(data
            .with_context(|| format!("{} does not say `data`", path.display()))?
            .to_string())
    }

    /// What was said of masks.
    fn mask_options(&self) -> Result<MaskOptions> {
        let arguments = self.arguments()?;
        let ignored = arguments.get("ignore_index");
        let ignored = ignored.and_then(toml::Value::as_integer);
        Ok(MaskOptions {
            classes: arguments
                .get("classes")
                .and_then(toml::Value::as_str)
                .map(os_text::path),
            ignored: ignored.and_then(|number| u8::try_from(number).ok()),
        })
    }

    fn arguments(&self) -> Result<toml::Table> {
        let path = arguments_path(&self.directory);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("cannot read {}", path.display()))?;
        text.parse().with_context(|| path.display().to_string())
    }
}
