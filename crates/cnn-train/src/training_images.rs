//! The images that a task is trained on: their batches, and what of them could not be read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cnn_core::{Key, Preprocessing};
use cnn_data::{Augmentation, Batch, BatchMix, BatchPlan, Dataset, Skipped};

use crate::{Epoch, Error, TaskBatches};

/// Training images, shuffled and augmented anew in each epoch: what a task of one's own reads.
pub struct TrainingImages {
    pub(crate) dataset: Arc<dyn Dataset>,
    pub(crate) preprocessing: Preprocessing,
    pub(crate) batch_size: usize,
    pub(crate) augmentation: Augmentation,
    pub(crate) mix: Option<BatchMix>,
    /// By name, of validation images too.
    skipped: Mutex<BTreeMap<String, String>>,
}

impl TrainingImages {
    /// In batches of so many, without augmentation.
    pub fn new(dataset: Arc<dyn Dataset>, preprocessing: Preprocessing, batch_size: usize) -> Self {
        Self {
            dataset,
            preprocessing,
            batch_size,
            augmentation: Augmentation::new(),
            mix: None,
            skipped: Mutex::default(),
        }
    }

    /// Sets the images per batch.
    pub(crate) fn set_batch_size(&mut self, batch_size: usize) -> Result<(), Error> {
        let images = self.dataset.len();
        if batch_size == 0 || batch_size > images {
            let expected = format!("1 to {images}, the number of training images");
            return Err(Error::argument("batch size", batch_size, expected));
        }
        self.batch_size = batch_size;
        Ok(())
    }

    /// What to do to each image.
    #[must_use]
    pub fn with_augmentation(self, augmentation: Augmentation) -> Self {
        Self {
            augmentation,
            ..self
        }
    }

    /// Whole batches of one pass over the images.
    pub fn batches_per_epoch(&self) -> usize {
        self.dataset.len() / self.batch_size
    }

    /// The batches of one pass, as [`Task::batches`](crate::Task::batches) gives them.
    ///
    /// # Errors
    /// If the data cannot be read.
    pub fn batches(&self, epoch: &Epoch) -> Result<TaskBatches<'_, Batch>, Error> {
        self.batches_with(epoch, &self.augmentation)
    }

    /// So many batches in all, pass after pass over the images, each in an order of its own.
    ///
    /// # Errors
    /// [`Error::Argument`] if there are fewer images than a batch has, and if the data cannot be
    /// read.
    pub fn repeated(&self, epoch: &Epoch, count: usize) -> Result<TaskBatches<'_, Batch>, Error> {
        let of_pass = self.batches_per_epoch();
        if of_pass == 0 {
            let expected = format!("1 to {}, the number of images", self.dataset.len());
            return Err(Error::argument("batch size", self.batch_size, expected));
        }
        let Epoch { number, start, key } = *epoch;
        let pass = move |pass: usize| {
            let epoch = Epoch {
                number,
                start: start.saturating_sub(pass * of_pass),
                key: key.stream("pass").at(pass as u64),
            };
            self.batches(&epoch)
                .unwrap_or_else(|error| Box::new(std::iter::once(Err(error))))
        };
        let passes = (start / of_pass..count.div_ceil(of_pass)).flat_map(pass);
        Ok(Box::new(passes.take(count.saturating_sub(start))))
    }

    /// The same with another augmentation.
    pub(crate) fn batches_with(
        &self,
        epoch: &Epoch,
        augmentation: &Augmentation,
    ) -> Result<TaskBatches<'_, Batch>, Error> {
        let stream = |name: &str| -> Key { epoch.key.stream(name) };
        let order = stream("order").rng().permutation(self.dataset.len());
        let mut plan = BatchPlan::new(self.dataset.clone(), self.preprocessing.clone())
            .with_batch_size(self.batch_size)
            .with_order(order)
            .with_augmentation(Arc::new(augmentation.clone()), stream("augmentation"))
            .with_start(epoch.start)
            .dropping_last()
            .keeping_empty();
        if let Some(mix) = &self.mix {
            plan = plan.with_mix(mix.clone(), stream("mix"));
        }
        let note = |batch: &Result<Batch, _>| {
            batch
                .as_ref()
                .map_or((), |batch| self.note_skipped(&batch.skipped))
        };
        Ok(Box::new(
            plan.start()?.inspect(note).map(|batch| Ok(batch?)),
        ))
    }

    /// The names of a batch's images.
    pub fn names(&self, batch: &Batch) -> Vec<String> {
        let indices = batch.indices.iter();
        indices.map(|&index| self.dataset.id(index)).collect()
    }

    /// The files that could not be read so far, by name.
    pub fn skipped(&self) -> Vec<Skipped> {
        let skipped = self.skipped.lock().unwrap_or_else(PoisonError::into_inner);
        skipped
            .iter()
            .map(|(path, reason)| Skipped {
                path: path.clone(),
                reason: reason.clone(),
            })
            .collect()
    }

    pub(crate) fn note_skipped(&self, skipped: &[Skipped]) {
        let named = skipped
            .iter()
            .map(|skipped| (skipped.path.clone(), skipped.reason.clone()));
        self.skipped
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(named);
    }
}
