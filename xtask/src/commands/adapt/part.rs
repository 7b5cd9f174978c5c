//! The images of one domain.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use cnn_core::Key;
use cnn_data::{CachedDataset, Dataset, Split, stratified_split};
use cnn_transfer::adapt::{DomainShift, MatchedClasses, Shifted};

use crate::args::Unusable;
use crate::datasets::Source;
use crate::inference;

/// Decoded images are kept up to so many bytes: they are read once in every pass.
const KEPT: usize = 1 << 30;
/// Share of a dataset that is held out where it has no validation and no test images.
const HELD_OUT: f64 = 0.1;

/// A dataset's training images, and others of it.
pub(super) struct Part {
    pub(super) train: Arc<dyn Dataset>,
    /// Its test images, or else its validation images; `None` for a dataset in one piece.
    pub(super) held_out: Option<Arc<dyn Dataset>>,
}

/// What is learnt from, and what the epochs are judged on.
#[derive(Clone)]
pub(super) struct LabelledImages {
    pub(super) train: Arc<dyn Dataset>,
    pub(super) validation: Arc<dyn Dataset>,
}

/// A part for each domain, of the same dataset.
pub(super) struct Halves {
    pub(super) source: Part,
    pub(super) target: Part,
}

impl Part {
    /// Of images with labels.
    pub(super) fn labelled(text: &str) -> Result<Self> {
        let source = Source::parse(text)?;
        inference::print_notes(&source.notes()?);
        let splits = source.splits()?;
        Self::opened(text, &splits, |split| source.open(split))
    }

    /// Of images that need no labels: photos in a folder are such, too.
    pub(super) fn of_images(text: &str) -> Result<Self> {
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
        let with = |split: Split| splits.contains(&split).then(|| open(Some(split)));
        let of_train = (!splits.is_empty()).then_some(Split::Train);
        let train = open(of_train).with_context(|| text.to_string())?;
        let held_out = with(Split::Test).or_else(|| with(Split::Val));
        Ok(Self {
            train,
            held_out: held_out.transpose()?,
        })
    }

    /// Two domains of which no image is in both: half of each class for either.
    pub(super) fn halved(self, seed: u64) -> Result<Halves> {
        let key = Key::new(seed).stream("halves");
        let halved = |images: &Arc<dyn Dataset>| stratified_split(images, 0.5, key);
        let (source, target) = halved(&self.train).context(Unusable)?;
        let held_out = self.held_out.as_ref().map(halved);
        let (source_held_out, target_held_out) = held_out.transpose().context(Unusable)?.unzip();
        let part = |train, held_out: Option<_>| Self {
            train: Arc::new(train),
            held_out: held_out.map(|images| Arc::new(images) as Arc<dyn Dataset>),
        };
        Ok(Halves {
            source: part(source, source_held_out),
            target: part(target, target_held_out),
        })
    }

    /// All images so shown.
    pub(super) fn shifted(self, shift: &DomainShift, seed: u64) -> Self {
        let shifted = |images: Arc<dyn Dataset>, stream: &str| -> Arc<dyn Dataset> {
            let key = Key::new(seed).stream(stream);
            Arc::new(Shifted::new(images, shift.clone(), key))
        };
        Self {
            train: shifted(self.train, "shift"),
            held_out: self
                .held_out
                .map(|images| shifted(images, "shift held out")),
        }
    }

    /// The same, kept in memory once read.
    pub(super) fn cached(self) -> Self {
        let cached = |images| -> Arc<dyn Dataset> { Arc::new(CachedDataset::new(images, KEPT)) };
        Self {
            train: cached(self.train),
            held_out: self.held_out.map(cached),
        }
    }

    /// With images to validate on: those that it has beside the training images, or else some of
    /// these.
    pub(super) fn with_validation(self, seed: u64) -> Result<LabelledImages> {
        match self.held_out {
            Some(validation) => Ok(LabelledImages {
                train: self.train,
                validation,
            }),
            None => LabelledImages::holding_out(self.train, seed),
        }
    }
}

impl LabelledImages {
    /// Some images of a dataset for validation, the others to learn from.
    pub(super) fn holding_out(images: Arc<dyn Dataset>, seed: u64) -> Result<Self> {
        let data = cnn_train::TrainingData::holding_out(images, HELD_OUT, seed);
        let data = data.context(Unusable)?;
        Ok(Self {
            train: data.train().clone(),
            validation: data.val().clone(),
        })
    }

    /// The same under those of its classes that it has images of to learn from.
    pub(super) fn of_present_classes(self) -> Result<Self> {
        let mut present = vec![false; self.train.classes().len()];
        for label in (0..self.train.len()).filter_map(|index| self.train.label(index)) {
            present[label] = true;
        }
        if present.iter().all(|&is_present| is_present) {
            return Ok(self);
        }
        let names = self.train.classes().iter().zip(present);
        let names = names.filter(|(_, is_present)| *is_present);
        let names: Vec<String> = names.map(|(name, _)| name.clone()).collect();
        let matched = |images: Arc<dyn Dataset>| -> Result<Arc<dyn Dataset>> {
            Ok(Arc::new(MatchedClasses::new(images, &names)?))
        };
        Ok(Self {
            train: matched(self.train)?,
            validation: matched(self.validation)?,
        })
    }
}

/// Whether every image has a label.
pub(super) fn has_labels(images: &dyn Dataset) -> bool {
    !images.is_empty() && (0..images.len()).all(|index| images.label(index).is_some())
}
