//! How good a network is on a labelled dataset.

use std::sync::Arc;

use cnn_core::{ArgumentError, Key};
use cnn_data::{BatchPlan, Dataset, Skipped, Transform};
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_metrics::{
    ClassificationMetrics, ClassificationResult, ConfusionMatrix, Interval, Reliability,
    bootstrap_interval,
};
use cnn_models::Network;

use crate::{Error, match_classes};

/// How good a network is on a labelled dataset, and what it took each image for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Measured {
    /// Loss, accuracy, and the figures of each class.
    pub result: ClassificationResult,
    /// How often each class was taken for which.
    pub confusion: ConfusionMatrix,
    /// How sure it was, and how often right.
    pub reliability: Reliability,
    /// Every sample that could be read, in the dataset's order.
    pub judged: Vec<Judged>,
    /// The class scores of the judged samples, row by row; `None` where there are more than
    /// [`MOST_KEPT`] classes.
    pub logits: Option<Vec<f32>>,
    /// What could not be read.
    pub skipped: Vec<Skipped>,
    /// What whoever reads the figures has to know, in sentences.
    pub notes: Vec<String>,
}

/// Class scores of more classes are not kept, since they would fill the memory.
pub const MOST_KEPT: usize = 100;

/// A sample and what it was taken for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judged {
    /// Its number in the dataset.
    pub index: usize,
    /// The number of its class among the network's.
    pub label: usize,
    /// The number of the class that it was taken for; of equal scores the lower.
    pub prediction: usize,
    /// The probability of the prediction, in 0..=1.
    pub probability: f64,
    /// The probability of its class, in 0..=1.
    pub label_probability: f64,
}

/// A whole and a part of it, measured in one pass.
#[derive(Debug, Clone)]
pub struct MeasuredWithPart {
    /// All samples.
    pub whole: Measured,
    /// The samples of the part; `None` where none of it could be read. What was skipped, and the
    /// notes, are those of the whole.
    pub part: Option<Measured>,
}

/// The class scores of one batch.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchLogits {
    /// Row by row, one score of each class for each image.
    pub values: Vec<f32>,
    /// The number of each image in the dataset.
    pub indices: Vec<usize>,
}

/// Measures a network on a labelled dataset, `batch_size` images at a time.
///
/// The network is built for inference. Which of its classes is which of the dataset's,
/// [`match_classes`] says. After each batch `progress` is told how many images it had.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_data::{Dataset, Shapes, ShapesConfig, Split};
/// use cnn_models::{ModelConfig, Network};
/// use cnn_transfer::measure;
///
/// // `Network::load(path, &LoadOptions::default())` gives one that has learnt something.
/// let mut network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let shapes = ShapesConfig::default()
///     .with_split(Split::Test)
///     .with_samples(50);
/// let images: Arc<dyn Dataset> = Arc::new(Shapes::new(shapes)?);
/// network.set_label_names(images.classes().to_vec())?;
///
/// let mut done = 0;
/// let measured = measure(&network, &images, 32, &mut |images| done += images)?;
/// assert_eq!((done, measured.judged.len()), (50, 50));
/// let interval = measured.top1_interval()?;
/// assert!(interval.low <= measured.result.top1 && measured.result.top1 <= interval.high);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`match_classes`], [`Error::Unlabelled`] for an image without a label,
/// [`Error::NothingReadable`], [`Error::Metrics`] if the network gives scores that are not numbers,
/// [`Error::Data`] if the batch size is 0, and what the forward pass reports.
pub fn measure(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch_size: usize,
    progress: &mut dyn FnMut(usize),
) -> Result<Measured, Error> {
    measure_plan(
        network,
        dataset,
        plan(network, dataset, batch_size),
        progress,
    )
}

/// The same of images that were changed before: what [`BatchPlan::with_augmentation`] makes of
/// them. A sample's randomness is drawn from `key` at its number.
///
/// # Errors
/// As [`measure`], and what the transform says of an image is the reason why that is skipped.
pub fn measure_transformed(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch_size: usize,
    (transform, key): (Arc<dyn Transform>, Key),
    progress: &mut dyn FnMut(usize),
) -> Result<Measured, Error> {
    let plan = plan(network, dataset, batch_size).with_augmentation(transform, key);
    measure_plan(network, dataset, plan, progress)
}

fn measure_plan(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    plan: BatchPlan,
    progress: &mut dyn FnMut(usize),
) -> Result<Measured, Error> {
    let mut meter = Meter::new(network.model().num_classes())?;
    let seen = judge_all(network, dataset, plan, progress, |sample| meter.add(sample))?;
    meter.finish(seen)
}

/// The images of a dataset as the network wants them.
fn plan(network: &Network, dataset: &Arc<dyn Dataset>, batch_size: usize) -> BatchPlan {
    BatchPlan::new(dataset.clone(), network.preprocessing().clone()).with_batch_size(batch_size)
}

/// The same for the whole and for a part of the samples, in one pass; `is_part` says of a sample's
/// number whether it is in the part.
///
/// # Errors
/// As [`measure`].
pub fn measure_with_part(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch_size: usize,
    is_part: impl Fn(usize) -> bool,
    progress: &mut dyn FnMut(usize),
) -> Result<MeasuredWithPart, Error> {
    let classes = network.model().num_classes();
    let mut whole = Meter::new(classes)?;
    let mut part = Meter::new(classes)?;
    let plan = plan(network, dataset, batch_size);
    let seen = judge_all(network, dataset, plan, progress, |sample| {
        whole.add(sample)?;
        if is_part(sample.index) {
            part.add(sample)
        } else {
            Ok(())
        }
    })?;
    let part = (!part.judged.is_empty())
        .then(|| part.finish(Seen::default()))
        .transpose()?;
    Ok(MeasuredWithPart {
        whole: whole.finish(seen)?,
        part,
    })
}

/// Runs a network over every readable image of a dataset, in order, gives each batch's class scores
/// to `take`, and returns what was skipped. No labels are needed.
///
/// # Errors
/// [`Error::NothingReadable`], [`Error::Data`] if the batch size is 0, and what the forward pass
/// and `take` report.
pub fn for_each_batch(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch_size: usize,
    progress: &mut dyn FnMut(usize),
    take: impl FnMut(BatchLogits) -> Result<(), Error>,
) -> Result<Vec<Skipped>, Error> {
    for_each_planned(network, plan(network, dataset, batch_size), progress, take)
}

fn for_each_planned(
    network: &Network,
    plan: BatchPlan,
    progress: &mut dyn FnMut(usize),
    mut take: impl FnMut(BatchLogits) -> Result<(), Error>,
) -> Result<Vec<Skipped>, Error> {
    let model = network.build(Mode::Inference)?;
    let mut batches = plan.start()?;
    let mut done = 0;
    for batch in &mut batches {
        let batch = batch?;
        let images = batch.images.to_dtype(network.store().dtype())?;
        let logits = model.forward(&FeatureMap::from_nhwc(&images)?, &Context::eval())?;
        done += batch.len();
        progress(batch.len());
        take(BatchLogits {
            values: logits
                .to_dtype(candle_core::DType::F32)?
                .flatten_all()?
                .to_vec1()?,
            indices: batch.indices,
        })?;
    }
    let skipped = batches.skipped().to_vec();
    if done == 0 {
        return Err(Error::NothingReadable { skipped });
    }
    Ok(skipped)
}

impl Measured {
    /// The 95 % bootstrap interval of the top-1 accuracy.
    ///
    /// # Errors
    /// None for what [`measure`] gives.
    pub fn top1_interval(&self) -> Result<Interval, Error> {
        let correct = (self.result.top1 * self.result.samples as f64).round() as u64;
        Ok(bootstrap_interval(correct, self.result.samples, 0.95)?)
    }

    /// The samples that were taken for another class, in the dataset's order.
    pub fn mistakes(&self) -> impl Iterator<Item = &Judged> {
        self.judged
            .iter()
            .filter(|judged| judged.prediction != judged.label)
    }

    /// For each class of the network the sample that was recognised most surely, if any was.
    pub fn surest_right(&self) -> Vec<Option<Judged>> {
        let mut right = vec![None::<Judged>; self.confusion.classes()];
        for judged in self
            .judged
            .iter()
            .filter(|judged| judged.prediction == judged.label)
        {
            let best = &mut right[judged.label];
            if best.is_none_or(|best| judged.probability > best.probability) {
                *best = Some(*judged);
            }
        }
        right
    }

    /// The probability of each class for the judged sample of that place in
    /// [`judged`](Self::judged); `None` where class scores were not kept, or there is no such
    /// place.
    pub fn probabilities(&self, place: usize) -> Option<Vec<f64>> {
        let classes = self.confusion.classes();
        let rows = self.logits.as_ref()?;
        rows.chunks_exact(classes).nth(place).map(probabilities)
    }
}

/// What a pass met beside the samples.
#[derive(Default)]
struct Seen {
    skipped: Vec<Skipped>,
    notes: Vec<String>,
}

/// What a network gives for a labelled sample.
#[derive(Clone, Copy)]
struct Scored<'a> {
    index: usize,
    /// The number of its class among the network's.
    label: usize,
    logits: &'a [f32],
}

/// Gathers what a network gives for labelled samples.
struct Meter {
    metrics: ClassificationMetrics,
    reliability: Reliability,
    judged: Vec<Judged>,
    logits: Option<Vec<f32>>,
}

impl Meter {
    fn new(classes: usize) -> Result<Self, Error> {
        Ok(Self {
            metrics: ClassificationMetrics::new(classes)?,
            reliability: Reliability::default(),
            judged: Vec::new(),
            logits: (classes <= MOST_KEPT).then(Vec::new),
        })
    }

    fn add(&mut self, sample: Scored<'_>) -> Result<(), Error> {
        let label = [sample.label as u32];
        let logits = sample.logits;
        self.metrics.update(logits, &label)?;
        self.reliability.update(logits, logits.len(), &label)?;
        self.judged.push(judge(sample));
        if let Some(kept) = &mut self.logits {
            kept.extend_from_slice(logits);
        }
        Ok(())
    }

    fn finish(self, seen: Seen) -> Result<Measured, Error> {
        Ok(Measured {
            result: self.metrics.result()?,
            confusion: self.metrics.confusion().clone(),
            reliability: self.reliability,
            judged: self.judged,
            logits: self.logits,
            skipped: seen.skipped,
            notes: seen.notes,
        })
    }
}

/// Gives each readable sample to `take`, in order.
fn judge_all(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    plan: BatchPlan,
    progress: &mut dyn FnMut(usize),
    mut take: impl FnMut(Scored<'_>) -> Result<(), Error>,
) -> Result<Seen, Error> {
    let matched = match_classes(network, dataset.as_ref())?;
    let classes = network.model().num_classes();
    // `None` for an image of a class that the network does not know.
    let label_of = |index: usize| {
        let unlabelled = || Error::Unlabelled {
            path: dataset.id(index),
        };
        let class = dataset.label(index).ok_or_else(unlabelled)?;
        let expected = format!("a number below {}", matched.numbers.len());
        let found = format!("{class} for {}", dataset.id(index));
        let label = matched.numbers.get(class).copied();
        label.ok_or_else(|| Error::Argument(ArgumentError::new("label", found, expected)))
    };
    let skipped = for_each_planned(network, plan, progress, |batch| {
        let rows = batch.values.chunks_exact(classes);
        for (&index, logits) in batch.indices.iter().zip(rows) {
            if let Some(label) = label_of(index)? {
                take(Scored {
                    index,
                    label,
                    logits,
                })?;
            }
        }
        Ok(())
    })?;
    Ok(Seen {
        skipped,
        notes: matched.note.into_iter().collect(),
    })
}

/// The prediction is the first of the largest scores.
fn judge(sample: Scored<'_>) -> Judged {
    let logits = sample.logits;
    let first_largest = |best: usize, (index, logit): (usize, &f32)| {
        if *logit > logits[best] { index } else { best }
    };
    let prediction = logits.iter().enumerate().fold(0, first_largest);
    let probabilities = probabilities(logits);
    Judged {
        index: sample.index,
        label: sample.label,
        prediction,
        probability: probabilities[prediction],
        label_probability: probabilities[sample.label],
    }
}

/// Softmax of a row of scores.
fn probabilities(logits: &[f32]) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exponentials: Vec<f64> = logits
        .iter()
        .map(|logit| f64::from(logit - largest).exp())
        .collect();
    let sum: f64 = exponentials.iter().sum();
    exponentials
        .into_iter()
        .map(|exponential| exponential / sum)
        .collect()
}
