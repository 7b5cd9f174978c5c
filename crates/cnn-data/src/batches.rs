//! Batches of preprocessed images, decoded in parallel ahead of their use.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use candle_core::{Device, Tensor};
use cnn_core::{Key, Preprocessing};
use rayon::ThreadPool;
use rayon::iter::{IndexedParallelIterator, IntoParallelRefIterator, ParallelIterator};

use crate::{
    BatchMix, Dataset, Error, FloatImage, Mixing, Skipped, Transform, normalize, preprocess,
};

/// Some samples of a dataset as one tensor.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The preprocessed images, `(N, H, W, C)` in f32 on the CPU.
    pub images: Tensor,
    /// The class of each image.
    pub labels: Vec<Option<usize>>,
    /// The number of each image in the dataset.
    pub indices: Vec<usize>,
    /// How the images were mixed with each other, where the plan asked for it.
    pub mixing: Option<Mixing>,
    /// The samples of this batch that could not be read and are not in it.
    pub skipped: Vec<Skipped>,
}

impl Batch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no images; only with [`BatchPlan::keeping_empty`].
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// What to read and how; [`BatchPlan::start`] makes the iterator.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_core::{Key, Preprocessing};
/// use cnn_data::{Augmentation, BatchPlan, RandomHorizontalFlip, Shapes, ShapesConfig};
///
/// let dataset = Arc::new(Shapes::new(ShapesConfig::default().with_samples(10))?);
/// let record = Preprocessing { input_size: [3, 32, 32], ..Preprocessing::default() };
/// let augmentation = Arc::new(Augmentation::new().then(RandomHorizontalFlip::new(0.5)?));
/// let key = Key::new(0).stream("augmentation");
/// let plan = BatchPlan::new(dataset, record).with_batch_size(4).with_augmentation(augmentation, key);
///
/// let mut batches = plan.start()?;
/// let sizes = batches.by_ref().map(|batch| Ok(batch?.images.dims4()?.0)).collect::<Result<Vec<_>, cnn_data::Error>>()?;
/// assert_eq!(sizes, [4, 4, 2]);
/// assert!(batches.skipped().is_empty()); // no sample that could not be read
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
        let order = None;
        let pool = None;
        let augmentation = None;
        let mix = None;
        Self {
            dataset,
            record,
            batch_size: 32,
            order,
            pool,
            augmentation,
            mix,
            start: 0,
            drop_last: false,
            keep_empty: false,
        }
    }

    /// How many images a batch holds; the last one, and those with broken images, hold fewer.
    /// Default 32.
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
    /// afterwards is only normalised, any other is resized and cropped as the record asks.
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

    /// Begins with this batch, counted from 0; those that follow are the same as without it.
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

    /// Yields a batch also where none of its images can be read, so that batches can be counted.
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
    /// [`preprocess`].
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
        // Whatever is wrong with the record would otherwise be told of every sample.
        preprocess(&crate::Image::from_pixels(1, 1, 1, vec![0])?, &self.record)?;
        Ok(Batches::spawn(self, order))
    }
}

/// An iterator over [`Batch`]es, in the same order and with the same bytes at any number of
/// threads.
///
/// While one batch is used the next is decoded, and at most one more waits: memory is bounded by
/// three batches and the images in work. Samples that cannot be read are left out, and named by
/// [`Batches::skipped`].
///
/// ```no_run
/// use cnn_core::Preprocessing;
/// use cnn_data::{BatchPlan, Split, open_dataset};
///
/// let dataset = open_dataset("photos".as_ref(), Split::Val)?;
/// let mut batches = BatchPlan::new(dataset, Preprocessing::default()).with_batch_size(16).start()?;
/// for batch in &mut batches {
///     let batch = batch?;
///     println!("{:?} of classes {:?}", batch.images.dims(), batch.labels);
/// }
/// println!("{} files could not be read", batches.skipped().len());
/// # Ok::<(), cnn_data::Error>(())
/// ```
pub struct Batches {
    receiver: Option<Receiver<Prepared>>,
    worker: Option<JoinHandle<()>>,
    dataset: Arc<dyn Dataset>,
    shape: [usize; 3],
    keep_empty: bool,
    skipped: Vec<Skipped>,
}

/// The samples of a batch that could be read, and those that could not.
struct Prepared {
    indices: Vec<usize>,
    values: Vec<f32>,
    skipped: Vec<Skipped>,
    mixing: Option<Mixing>,
}

impl Batches {
    fn spawn(plan: BatchPlan, order: Vec<usize>) -> Self {
        let dataset = plan.dataset.clone();
        let record = plan.record.clone();
        let shape = [record.height(), record.width(), record.channels()];
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
            dataset,
            shape,
            keep_empty,
            skipped: Vec::new(),
        }
    }

    /// The samples that could not be read so far, in order.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    fn batch(&self, prepared: Prepared) -> Result<Batch, Error> {
        let Prepared {
            indices,
            values,
            mixing,
            skipped,
        } = prepared;
        let [height, width, channels] = self.shape;
        let images = Tensor::from_vec(
            values,
            (indices.len(), height, width, channels),
            &Device::Cpu,
        )?;
        let labels = indices
            .iter()
            .map(|&index| self.dataset.label(index))
            .collect();
        Ok(Batch {
            images,
            labels,
            indices,
            mixing,
            skipped,
        })
    }

    /// Waits for the worker's end; a panic in a dataset's own code goes on in the caller, where it
    /// can be seen.
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
            self.skipped.extend_from_slice(&prepared.skipped);
            if self.keep_empty || !prepared.indices.is_empty() {
                return Some(self.batch(prepared));
            }
        }
    }
}

impl BatchPlan {
    fn prepare(&self, number: usize, indices: &[usize]) -> Prepared {
        let first = number * self.batch_size;
        let read = |(place, &index): (usize, &usize)| self.input(index, (first + place) as u64);
        let results: Vec<Result<FloatImage, Error>> =
            indices.par_iter().enumerate().map(read).collect();
        let len = self.record.input_size.iter().product::<usize>() * indices.len();
        let mut prepared = Prepared {
            indices: Vec::new(),
            values: Vec::with_capacity(len),
            skipped: Vec::new(),
            mixing: None,
        };
        for (&index, result) in indices.iter().zip(results) {
            match result {
                Ok(image) => {
                    prepared.indices.push(index);
                    prepared.values.extend_from_slice(image.values());
                }
                Err(error) => prepared
                    .skipped
                    .push(Skipped::new(self.dataset.id(index), &error)),
            }
        }
        if let Some((mix, key)) = self.mix.as_ref().filter(|_| !prepared.indices.is_empty()) {
            let [channels, height, width] = self.record.input_size;
            let dims = [prepared.indices.len(), height, width, channels];
            let mixing = mix.apply(&mut prepared.values, dims, &mut key.at(number as u64).rng());
            prepared.mixing = Some(mixing.expect("the values fill these dimensions"));
        }
        prepared
    }

    fn input(&self, index: usize, place: u64) -> Result<FloatImage, Error> {
        let sample = self.dataset.read(index)?;
        let Some((augmentation, key)) = &self.augmentation else {
            return preprocess(&sample.image, &self.record);
        };
        let image = augmentation.apply(sample, &mut key.at(place).rng())?.image;
        if [image.height(), image.width()] == [self.record.height(), self.record.width()] {
            return normalize(image, &self.record);
        }
        preprocess(&image, &self.record)
    }
}
