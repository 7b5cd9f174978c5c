//! Batches of preprocessed images, decoded in parallel ahead of their use.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};

use candle_core::{Device, Tensor};
use cnn_core::Preprocessing;
use rayon::ThreadPool;
use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::{Dataset, Error, FloatImage, Skipped, preprocess};

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
}

impl Batch {
    /// Number of images.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no images; [`Batches`] never yields such a batch.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// What to read and how; [`BatchPlan::start`] makes the iterator.
#[derive(Clone)]
pub struct BatchPlan {
    dataset: Arc<dyn Dataset>,
    record: Preprocessing,
    batch_size: usize,
    order: Option<Vec<usize>>,
    pool: Option<Arc<ThreadPool>>,
}

impl BatchPlan {
    /// Batches of 32 images of the whole dataset in its order, prepared as `record` asks, decoded by rayon's global
    /// threads.
    pub fn new(dataset: Arc<dyn Dataset>, record: Preprocessing) -> Self {
        Self { dataset, record, batch_size: 32, order: None, pool: None }
    }

    /// How many images a batch holds; the last one, and those with broken images, hold fewer. Default 32.
    pub fn with_batch_size(self, batch_size: usize) -> Self {
        Self { batch_size, ..self }
    }

    /// The numbers of the samples to read, in this order. Default all, in the dataset's order.
    pub fn with_order(self, order: Vec<usize>) -> Self {
        Self { order: Some(order), ..self }
    }

    /// The threads that decode. Default rayon's global ones.
    pub fn with_pool(self, pool: Arc<ThreadPool>) -> Self {
        Self { pool: Some(pool), ..self }
    }

    /// Starts reading.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if the batch size is zero, [`Error::NoSuchSample`] if the order names a sample that
    /// does not exist, and what the preprocessing record is to blame for, as [`preprocess`].
    pub fn start(self) -> Result<Batches, Error> {
        if self.batch_size == 0 {
            return Err(Error::argument("batch_size", 0, "at least 1"));
        }
        let len = self.dataset.len();
        let order = self.order.clone().unwrap_or_else(|| (0..len).collect());
        if let Some(&index) = order.iter().find(|&&index| index >= len) {
            return Err(Error::NoSuchSample { index, len });
        }
        // Whatever is wrong with the record would otherwise be told of every sample.
        preprocess(&crate::Image::from_pixels(1, 1, 1, vec![0])?, &self.record)?;
        Ok(Batches::spawn(self, order))
    }
}

/// An iterator over [`Batch`]es, in the same order and with the same bytes at any number of threads.
///
/// While one batch is used the next is decoded, and at most one more waits: memory is bounded by three batches and the
/// images in work. Samples that cannot be read are left out, and named by [`Batches::skipped`].
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
    skipped: Vec<Skipped>,
}

/// The samples of a batch that could be read, and those that could not.
struct Prepared {
    indices: Vec<usize>,
    values: Vec<f32>,
    skipped: Vec<Skipped>,
}

impl Batches {
    fn spawn(plan: BatchPlan, order: Vec<usize>) -> Self {
        let (dataset, record) = (plan.dataset.clone(), plan.record.clone());
        let shape = [record.height(), record.width(), record.channels()];
        let (sender, receiver) = sync_channel(1);
        let worker = thread::spawn(move || {
            for indices in order.chunks(plan.batch_size) {
                let prepare = || prepare(plan.dataset.as_ref(), indices, &plan.record);
                let prepared = plan.pool.as_ref().map_or_else(prepare, |pool| pool.install(prepare));
                if sender.send(prepared).is_err() {
                    return;
                }
            }
        });
        Self { receiver: Some(receiver), worker: Some(worker), dataset, shape, skipped: Vec::new() }
    }

    /// The samples that could not be read so far, in order.
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    fn batch(&self, prepared: Prepared) -> Result<Batch, Error> {
        let Prepared { indices, values, .. } = prepared;
        let [height, width, channels] = self.shape;
        let images = Tensor::from_vec(values, (indices.len(), height, width, channels), &Device::Cpu)?;
        let labels = indices.iter().map(|&index| self.dataset.label(index)).collect();
        Ok(Batch { images, labels, indices })
    }

    /// Waits for the worker's end; a panic in a dataset's own code goes on in the caller, where it can be seen.
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
        while let Some(received) = self.receiver.as_ref().map(Receiver::recv) {
            let Ok(mut prepared) = received else {
                self.finish();
                return None;
            };
            self.skipped.append(&mut prepared.skipped);
            if !prepared.indices.is_empty() {
                return Some(self.batch(prepared));
            }
        }
        None
    }
}

fn prepare(dataset: &dyn Dataset, indices: &[usize], record: &Preprocessing) -> Prepared {
    let read = |&index: &usize| preprocess(&dataset.read(index)?.image, record);
    let results: Vec<Result<FloatImage, Error>> = indices.par_iter().map(read).collect();
    let len = record.input_size.iter().product::<usize>() * indices.len();
    let mut prepared = Prepared { indices: Vec::new(), values: Vec::with_capacity(len), skipped: Vec::new() };
    for (&index, result) in indices.iter().zip(results) {
        match result {
            Ok(image) => {
                prepared.indices.push(index);
                prepared.values.extend_from_slice(image.values());
            }
            Err(error) => prepared.skipped.push(Skipped::new(dataset.id(index), &error)),
        }
    }
    prepared
}
