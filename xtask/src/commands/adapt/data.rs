//! The images of both domains.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use cnn_data::{CachedDataset, Dataset, Split};
use cnn_transfer::adapt::Unlabelled;

use super::Adapt;
use crate::args::Unusable;
use crate::datasets::Source;
use crate::inference;

/// Decoded images are kept up to so many bytes: they are read once in every pass.
const KEPT: usize = 1 << 30;
/// Share of the source that is held out where it has no validation and no test images.
const HELD_OUT: f64 = 0.1;

/// The images of both domains.
pub(super) struct DomainData {
    pub(super) source: Arc<dyn Dataset>,
    pub(super) source_validation: Arc<dyn Dataset>,
    pub(super) target: Unlabelled,
    /// The target's training images with the labels that they may have: for the oracle alone.
    pub(super) labelled_target: Option<Arc<dyn Dataset>>,
    /// What is measured on; `None` where nothing has labels.
    pub(super) test: Option<Arc<dyn Dataset>>,
    /// What of the target that is.
    pub(super) test_name: String,
}

impl DomainData {
    pub(super) fn open(command: &Adapt) -> Result<Self> {
        let source = Part::labelled(&command.source)?;
        let target = Part::of_images(&command.target)?;
        let (source, source_validation) = source.with_validation(command.seed)?;
        let (test, test_name) = match &command.test {
            Some(test) => {
                let test = Part::labelled(test)?;
                let name = command.test.clone().unwrap_or_default();
                (test.held_out.unwrap_or(test.train), name)
            }
            None => match &target.held_out {
                Some(held_out) => (
                    held_out.clone(),
                    "its images that it was not trained on".to_string(),
                ),
                None => (target.train.clone(), "its training images".to_string()),
            },
        };
        let test = Some(test).filter(|test| has_labels(test.as_ref()));
        if command.test.is_some() && test.is_none() {
            bail!("--test: images without labels, with which nothing can be measured");
        }
        let labelled = Some(&target.train).filter(|images| has_labels(images.as_ref()));
        let same_classes = labelled.filter(|images| images.classes() == source.classes());
        Ok(Self {
            labelled_target: same_classes.filter(|_| !command.no_oracle).cloned(),
            target: Unlabelled::new(target.train),
            source,
            source_validation,
            test,
            test_name,
        })
    }

    /// What the domains are, for people.
    pub(super) fn print(&self) {
        eprintln!(
            "source: {} training and {} validation images of {} classes; target: {} images without \
             labels{}",
            self.source.len(),
            self.source_validation.len(),
            self.source.classes().len(),
            self.target.len(),
            match &self.test {
                Some(test) => format!(", measured on {} of {}", test.len(), self.test_name),
                None => ", and nothing to measure on".to_string(),
            }
        );
    }
}

/// A dataset's training images, and others of it.
struct Part {
    train: Arc<dyn Dataset>,
    /// Its test images, or else its validation images; `None` for a dataset in one piece.
    held_out: Option<Arc<dyn Dataset>>,
}

impl Part {
    /// Of images with labels.
    fn labelled(text: &str) -> Result<Self> {
        let source = Source::parse(text)?;
        inference::print_notes(&source.notes()?);
        let splits = source.splits()?;
        Self::opened(text, &splits, |split| source.open(split))
    }

    /// Of images that need no labels: photos in a folder are such, too.
    fn of_images(text: &str) -> Result<Self> {
        let source = Source::parse(text)?;
        // What is no dataset has neither notes nor splits; whether it is photos is said when it is
        // opened.
        inference::print_notes(&source.notes().unwrap_or_default());
        let splits = source.splits().unwrap_or_default();
        Self::opened(text, &splits, |split| source.open_images(split))
    }

    fn opened(
        text: &str,
        splits: &[Split],
        open: impl Fn(Option<Split>) -> Result<Arc<dyn Dataset>>,
    ) -> Result<Self> {
        let kept = |split| -> Result<Arc<dyn Dataset>> {
            Ok(Arc::new(CachedDataset::new(open(split)?, KEPT)))
        };
        let with = |split: Split| splits.contains(&split).then(|| kept(Some(split)));
        let of_train = (!splits.is_empty()).then_some(Split::Train);
        let train = kept(of_train).with_context(|| text.to_string())?;
        let held_out = with(Split::Test).or_else(|| with(Split::Val));
        Ok(Self {
            train,
            held_out: held_out.transpose()?,
        })
    }

    /// With images to validate on: those that it has beside the training images, or else some of
    /// these.
    fn with_validation(self, seed: u64) -> Result<(Arc<dyn Dataset>, Arc<dyn Dataset>)> {
        if let Some(held_out) = self.held_out {
            return Ok((self.train, held_out));
        }
        let data = cnn_train::TrainingData::holding_out(self.train, HELD_OUT, seed);
        let data = data.context(Unusable)?;
        Ok((data.train().clone(), data.val().clone()))
    }
}

fn has_labels(images: &dyn Dataset) -> bool {
    !images.is_empty() && (0..images.len()).all(|index| images.label(index).is_some())
}
