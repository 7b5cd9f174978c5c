//! The images that a task is trained on: their batches, and what of them could not be read.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use cnn_core::{Key, Preprocessing};
use cnn_data::{Augmentation, Batch, BatchMix, BatchPlan, Dataset, Skipped};

use crate::{Epoch, Error, TaskBatches};

/// Training images, shuffled and augmented anew in each epoch.
pub(crate) struct TrainingImages {
    pub(crate) dataset: Arc<dyn Dataset>,
    pub(crate) preprocessing: Preprocessing,
    pub(crate) batch_size: usize,
    pub(crate) augmentation: Augmentation,
    pub(crate) mix: Option<BatchMix>,
    /// By name, of validation images too.
    skipped: Mutex<BTreeMap<String, String>>,
}

impl TrainingImages {
    pub(crate) fn new(
        dataset: Arc<dyn Dataset>,
        preprocessing: Preprocessing,
        batch_size: usize,
    ) -> Self {
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

    pub(crate) fn batches_per_epoch(&self) -> usize {
        self.dataset.len() / self.batch_size
    }

    pub(crate) fn batches(&self, epoch: &Epoch) -> Result<TaskBatches<'_, Batch>, Error> {
        self.batches_with(epoch, &self.augmentation)
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
    pub(crate) fn names(&self, batch: &Batch) -> Vec<String> {
        let indices = batch.indices.iter();
        indices.map(|&index| self.dataset.id(index)).collect()
    }

    /// The files that could not be read so far, by name.
    pub(crate) fn skipped(&self) -> Vec<Skipped> {
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
