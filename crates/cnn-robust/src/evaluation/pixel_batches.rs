//! A dataset as images under attack.

use std::sync::Arc;

use candle_core::Tensor;
use cnn_core::{Key, Preprocessing};
use cnn_data::{BatchPlan, Dataset, Skipped};

use crate::attack::AttackBatch;
use crate::model::unnormalized;
use crate::{Error, Images, Normalization};

/// The labelled images of a dataset, of a network's size and with values in 0..1, batch by batch.
pub struct PixelBatches {
    dataset: Arc<dyn Dataset>,
    record: Preprocessing,
    /// `None` where the batches come without a normalisation.
    normalization: Option<Normalization>,
    batch_size: usize,
    key: Key,
}

impl PixelBatches {
    /// The images of a dataset as a network with this preprocessing sees them. Default: batches of
    /// 64, random numbers of seed 0.
    ///
    /// # Errors
    /// If the record is invalid.
    pub fn new(dataset: Arc<dyn Dataset>, record: &Preprocessing) -> Result<Self, Error> {
        let normalization = Normalization::new(record)?;
        let plain = unnormalized(record);
        Ok(Self {
            dataset,
            normalization: plain.is_none().then_some(normalization),
            record: plain.unwrap_or_else(|| record.clone()),
            batch_size: 64,
            key: Key::new(0),
        })
    }

    /// Images per batch.
    #[must_use]
    pub fn with_batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// The key of all random numbers.
    #[must_use]
    pub fn with_key(self, key: Key) -> Self {
        Self { key, ..self }
    }

    /// Gives each batch to `take`. `label` says which of the network's classes the image of a
    /// number shows; an image of none of them is left out.
    ///
    /// # Errors
    /// [`Error::Data`] if the batch size is 0, and what `label` and `take` report.
    pub fn for_each(
        &self,
        mut label: impl FnMut(usize) -> Result<Option<u32>, Error>,
        mut take: impl FnMut(&AttackBatch<'static>) -> Result<(), Error>,
    ) -> Result<Vec<Skipped>, Error> {
        let plan = BatchPlan::new(self.dataset.clone(), self.record.clone())
            .with_batch_size(self.batch_size);
        let mut batches = plan.start()?;
        for batch in &mut batches {
            let batch = batch?;
            let labels = batch.indices.iter().map(|&index| label(index));
            let labels = labels.collect::<Result<Vec<_>, _>>()?;
            let known: Vec<usize> = (0..labels.len())
                .filter(|&place| labels[place].is_some())
                .collect();
            if known.is_empty() {
                continue;
            }
            let samples = known.iter().map(|&place| batch.indices[place] as u64);
            let samples = samples.collect();
            let labels = labels.into_iter().flatten().collect();
            let images = self.images(&batch.images)?.select(&known);
            let batch = AttackBatch::new(images, labels)?.with_samples(samples)?;
            take(&batch.with_key(self.key))?;
        }
        Ok(batches.skipped().to_vec())
    }

    fn images(&self, inputs: &Tensor) -> Result<Images, Error> {
        match &self.normalization {
            Some(normalization) => normalization.images(inputs),
            None => Images::from_nhwc(inputs),
        }
    }
}
