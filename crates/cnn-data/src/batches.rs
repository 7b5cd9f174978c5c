//! Batches of preprocessed images, decoded in parallel ahead of their use.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use cnn_core::{Key, Preprocessing};
use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use crate::batch::{Collation, Input, check_record};
use crate::{Batch, BatchMix, Dataset, Error, Skipped, Transform};

/// What to read and how; [`BatchPlan::start`] makes the iterator.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_core::{Key, Preprocessing};
/// use cnn_data::{Augmentation, BatchPlan, RandomHorizontalFlip, Shapes, ShapesConfig};
///
/// let dataset = Arc::new(Shapes::new(ShapesConfig::default().with_samples(10))?);
/// let record = Preprocessing {
///     input_size: [3, 32, 32],
///     ..Preprocessing::default()
/// };
/// let augmentation = Arc::new(Augmentation::new().then(RandomHorizontalFlip::new(0.5)?));
/// let key = Key::new(0).stream("augmentation");
/// let plan = BatchPlan::new(dataset, record)
///     .with_batch_size(4)
///     .with_augmentation(augmentation, key);
///
/// let mut batches = plan.start()?;
/// let sizes = batches
///     .by_ref()
///     .map(|batch| Ok(batch?.images.dims4()?.0))
///     .collect::<Result<Vec<_>, cnn_data::Error>>()?;
/// assert_eq!(sizes, [4, 4, 2]);
/// assert!(batches.skipped().is_empty()); // no sample that could not be read
///     
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone)]
pub struct BatchPlan {
    dataset: Arc<dyn Dataset>,
    record: Preprocessing,
    batch_size: usize,
    order: Option<Vec<usize>>,
    pool: Option<Arc<ThreadPool>>,
    augmentation: Option<(Arc<dyn Transform>, Key)>,
    mix: Option<(BatchMix, Key)>,
    start: usize,
    drop_last: bool,
    keep_empty: bool,
}

impl BatchPlan {
    /// Batches of 32 images of the whole dataset in its order, prepared as `record` asks, decoded
    /// by rayon's global threads.
    pub fn new(dataset: Arc<dyn Dataset>, record: Preprocessing) -> Self {
        Self {
            dataset,
            record,
            batch_size: 32,
            order: None,
            pool: None,
            augmentation: None,
            mix: None,
            start: 0,
            drop_last: false,
            keep_empty: false,
        }
    }

    /// How many images a batch holds. The last batch may hold fewer, and so does one in which an
    /// image is broken. Default 32.
    pub fn with_batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// The numbers of the samples to read, in this order. Default all, in the dataset's order.
    pub fn with_order(self, order: Vec<usize>) -> Self {
        Self {
            order: Some(order),
            ..self
        }
    }

    /// The threads that decode. Default rayon's global ones.
    pub fn with_pool(self, pool: Arc<ThreadPool>) -> Self {
        Self {
            pool: Some(pool),
            ..self
        }
    }

    /// What to do to each sample before it becomes the network's input. A sample's randomness is
    /// drawn from `key` at its place in the order. An image that has the record's input size
    /// afterwards is only normalised; any other is resized and cropped as the record asks.
    pub fn with_augmentation(self, augmentation: Arc<dyn Transform>, key: Key) -> Self {
        Self {
            augmentation: Some((augmentation, key)),
            ..self
        }
    }

    /// Mixes the images of each batch; a batch's randomness is drawn from `key` at the batch's
    /// number.
    pub fn with_mix(self, mix: BatchMix, key: Key) -> Self {
        Self {
            mix: Some((mix, key)),
            ..self
        }
    }

    /// Begins with this batch, counted from 0. It and the batches that follow are the same as if
    /// all were read.
    pub fn with_start(self, batch: usize) -> Self {
        Self {
            start: batch,
            ..self
        }
    }

    /// Leaves out a last batch that is not full.
    pub fn dropping_last(self) -> Self {
        Self {
            drop_last: true,
            ..self
        }
    }

    /// Yields a batch even if none of its images can be read, so that batches can be counted.
    pub fn keeping_empty(self) -> Self {
        Self {
            keep_empty: true,
            ..self
        }
    }

    /// Starts reading.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the batch size is zero, [`Error::NoSuchSample`] if the order
    /// names a sample that does not exist, and what the preprocessing record is to blame for, as
    /// [`preprocess`](crate::preprocess()).
    pub fn start(self) -> Result<Batches, Error> {
        if self.batch_size == 0 {
            return Err(Error::argument("batch_size", 0, "at least 1"));
        }
        let len = self.dataset.len();
        let mut order = self.order.clone().unwrap_or_else(|| (0..len).collect());
        if self.drop_last {
            order.truncate(order.len() / self.batch_size * self.batch_size);
        }
        if let Some(&index) = order.iter().find(|&&index| index >= len) {
            return Err(Error::NoSuchSample { index, len });
        }
        check_record(&self.record)?;
        Ok(Batches::spawn(self, order))
    }
}

/// An iterator over [`Batch`]es. Their order and their bytes are the same at any number of threads.
///
/// While one batch is used, the next is decoded, and at most one more waits. So memory is bounded
/// by three batches and the images that are being decoded. Samples that cannot be read are left
/// out, and [`Batches::skipped`] names them.
///
/// ```no_run
/// use cnn_core::Preprocessing;
/// use cnn_data::{BatchPlan, Split, open_dataset};
///
/// let dataset = open_dataset("photos".as_ref(), Split::Val)?;
/// let mut batches = BatchPlan::new(dataset, Preprocessing::default())
///     .with_batch_size(16)
///     .start()?;
/// for batch in &mut batches {
///     let batch = batch?;
///     println!("{:?} of classes {:?}", batch.images.dims(), batch.labels);
/// }
/// println!("{} files could not be read", batches.skipped().len());
/// # Ok::<(), cnn_data::Error>(())
/// ```
pub struct Batches {
    receiver: Option<Receiver<Result<Batch, Error>>>,
    worker: Option<JoinHandle<()>>,
    keep_empty: bool,
    skipped: Vec<Skipped>,
}

impl Batches {
    fn spawn(plan: BatchPlan, order: Vec<usize>) -> Self {
        let keep_empty = plan.keep_empty;
        let (sender, receiver) = sync_channel(1);
        let worker = thread::spawn(move || {
            for (number, indices) in order.chunks(plan.batch_size).enumerate().skip(plan.start) {
                let prepare = || plan.prepare(number, indices);
                let prepared = plan
                    .pool
                    .as_ref()
                    .map_or_else(prepare, |pool| pool.install(prepare));
                if sender.send(prepared).is_err() {
                    return;
                }
            }
        });
        Self {
            receiver: Some(receiver),
            worker: Some(worker),
            keep_empty,
            skipped: Vec::new(),
        }
    }

    /// The samples that could not be read so far, in order.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// Waits until the worker has ended. A panic in a dataset's own code goes on in the caller,
    /// where it can be seen.
    fn finish(&mut self) {
        self.receiver = None;
        if let Some(Err(panic)) = self.worker.take().map(JoinHandle::join) {
            resume_unwind(panic);
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Ok(prepared) = self.receiver.as_ref()?.recv() else {
                self.finish();
                return None;
            };
            let batch = match prepared {
                Ok(batch) => batch,
                Err(error) => return Some(Err(error)),
            };
            self.skipped.extend_from_slice(&batch.skipped);
            if self.keep_empty || !batch.is_empty() {
                return Some(Ok(batch));
            }
        }
    }
}

impl BatchPlan {
    fn prepare(&self, number: usize, indices: &[usize]) -> Result<Batch, Error> {
        let first = number * self.batch_size;
        let read = |(place, &index): (usize, &usize)| self.input(index, (first + place) as u64);
        let inputs: Vec<Result<Input, Error>> = indices.par_iter().enumerate().map(read).collect();
        let mut collation = Collation::new(&self.record, indices.len());
        for (&index, input) in indices.iter().zip(inputs) {
            match input {
                Ok(input) => collation.push(index, input),
                Err(error) => collation.skip(Skipped::new(self.dataset.id(index), &error)),
            }
        }
        if let Some((mix, key)) = &self.mix {
            let mut rng = key.at(number as u64).rng();
            collation.mix(|values, dims| mix.apply(values, dims, &mut rng))?;
        }
        collation.finish(!self.dataset.mask_classes().is_empty())
    }

    fn input(&self, index: usize, place: u64) -> Result<Input, Error> {
        let sample = self.dataset.read(index)?;
        let Some((augmentation, key)) = &self.augmentation else {
            return Input::preprocessed(sample, &self.record);
        };
        let sample = augmentation.apply(sample, &mut key.at(place).rng())?;
        let size = [sample.image.height(), sample.image.width()];
        if size == [self.record.height(), self.record.width()] {
            return Input::normalized(sample, &self.record);
        }
        Input::preprocessed(sample, &self.record)
    }
}
