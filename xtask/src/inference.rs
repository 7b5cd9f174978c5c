//! A network over a dataset, batch by batch.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use cnn_data::{BatchPlan, Dataset, Skipped};
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_metrics::{
    Classification, ClassificationResult, ConfusionMatrix, DEFAULT_BINS, Interval, Reliability,
    bootstrap_interval,
};
use cnn_models::Network;

use crate::output::Progress;

/// The logits of one batch.
pub(crate) struct Logits {
    /// Row-major, one row of class scores per image.
    pub(crate) values: Vec<f32>,
    /// Which samples of the dataset they are.
    pub(crate) indices: Vec<usize>,
}

/// Runs the network over every readable sample in order, gives each batch's logits to `take`, and
/// returns what was skipped.
///
/// Nothing readable at all is an error.
pub(crate) fn run(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch: usize,
    mut take: impl FnMut(Logits) -> Result<()>,
) -> Result<Vec<Skipped>> {
    let plan =
        BatchPlan::new(dataset.clone(), network.preprocessing().clone()).with_batch_size(batch);
    let model = network.build(Mode::Inference)?;
    let mut batches = plan.start()?;
    let mut progress = Progress::new(network.spec().name, dataset.len());
    let mut done = 0;
    for batch in &mut batches {
        let batch = batch?;
        let images = FeatureMap::from_nhwc(&batch.images)?;
        let logits = model.forward(&images, &Context::eval())?;
        done += batch.len();
        progress.advance(batch.len());
        take(Logits {
            values: logits.flatten_all()?.to_vec1()?,
            indices: batch.indices,
        })?;
    }
    progress.finish();
    let skipped = batches.skipped().to_vec();
    if done == 0 {
        let reasons = skipped
            .iter()
            .map(|skipped| format!("{}: {}", skipped.path, skipped.reason));
        bail!(
            "nothing readable: {}",
            reasons.take(3).collect::<Vec<_>>().join("; ")
        );
    }
    Ok(skipped)
}

/// How good a network is on a labelled dataset.
pub(crate) struct Measured {
    pub(crate) result: ClassificationResult,
    pub(crate) confusion: ConfusionMatrix,
    /// How sure it was, and how often right.
    pub(crate) reliability: Reliability,
    /// Every sample that could be read, in the dataset's order.
    pub(crate) judged: Vec<Judged>,
    /// The logits of the judged samples, row by row; `None` where there are more than [`MOST_KEPT`]
    /// classes.
    pub(crate) logits: Option<Vec<f32>>,
    pub(crate) skipped: Vec<Skipped>,
}

/// Logits of more classes are not kept: they would fill the memory.
pub(crate) const MOST_KEPT: usize = 100;

/// A sample and what it was taken for.
#[derive(Clone, Copy)]
pub(crate) struct Judged {
    /// Its number in the dataset.
    pub(crate) index: usize,
    /// The logit of its class, and the largest one.
    pub(crate) label: usize,
    pub(crate) prediction: usize,
    /// Of the prediction.
    pub(crate) probability: f64,
    /// Of its class.
    pub(crate) label_probability: f64,
}

impl Measured {
    /// The 95 % bootstrap interval of the top-1 accuracy.
    pub(crate) fn top1_interval(&self) -> Result<Interval> {
        let correct = (self.result.top1 * self.result.samples as f64).round() as u64;
        Ok(bootstrap_interval(correct, self.result.samples, 0.95)?)
    }

    /// The samples that were taken for another class, in the dataset's order.
    pub(crate) fn mistakes(&self) -> impl Iterator<Item = &Judged> {
        self.judged
            .iter()
            .filter(|judged| judged.prediction != judged.label)
    }

    /// For each class the sample that was recognised most surely, if any was.
    pub(crate) fn right(&self) -> Vec<Option<Judged>> {
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
}

/// Gathers what a network gives for labelled samples.
struct Meter {
    metrics: Classification,
    reliability: Reliability,
    judged: Vec<Judged>,
    logits: Option<Vec<f32>>,
}

impl Meter {
    fn new(classes: usize) -> Result<Self> {
        let logits = (classes <= MOST_KEPT).then(Vec::new);
        let metrics = Classification::new(classes)?;
        let reliability = Reliability::new(DEFAULT_BINS)?;
        Ok(Self {
            metrics,
            reliability,
            judged: Vec::new(),
            logits,
        })
    }

    fn add(&mut self, index: usize, label: usize, logits: &[f32]) -> Result<()> {
        self.metrics.update(logits, &[label as u32])?;
        self.reliability
            .update(logits, logits.len(), &[label as u32])?;
        self.judged.push(judge(index, label, logits));
        if let Some(kept) = &mut self.logits {
            kept.extend_from_slice(logits);
        }
        Ok(())
    }

    fn finish(self, skipped: Vec<Skipped>) -> Result<Measured> {
        let result = self.metrics.result()?;
        let confusion = self.metrics.confusion().clone();
        let Self {
            reliability,
            judged,
            logits,
            ..
        } = self;
        Ok(Measured {
            result,
            confusion,
            reliability,
            judged,
            logits,
            skipped,
        })
    }
}

/// Measures the network on a labelled dataset.
pub(crate) fn measure(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch: usize,
) -> Result<Measured> {
    let mut meter = Meter::new(network.model().num_classes())?;
    let skipped = judge_all(network, dataset, batch, |index, label, logits| {
        meter.add(index, label, logits)
    })?;
    meter.finish(skipped)
}

/// The same for the whole and for a part of the samples, in one pass; the part is `None` where none
/// of it could be read.
pub(crate) fn measure_with_part(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch: usize,
    is_part: &[bool],
) -> Result<(Measured, Option<Measured>)> {
    let classes = network.model().num_classes();
    let mut whole = Meter::new(classes)?;
    let mut part = Meter::new(classes)?;
    let skipped = judge_all(network, dataset, batch, |index, label, logits| {
        whole.add(index, label, logits)?;
        if is_part[index] {
            part.add(index, label, logits)
        } else {
            Ok(())
        }
    })?;
    let part = if part.judged.is_empty() {
        None
    } else {
        Some(part.finish(Vec::new())?)
    };
    Ok((whole.finish(skipped)?, part))
}

/// Gives each readable sample to `take`, in order: its number, the logit of its class, all logits.
/// Returns what was skipped.
fn judge_all(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch: usize,
    mut take: impl FnMut(usize, usize, &[f32]) -> Result<()>,
) -> Result<Vec<Skipped>> {
    let to_logit = classes_to_logits(network, dataset.classes())?;
    let classes = network.model().num_classes();
    run(network, dataset, batch, |logits| {
        for (&index, row) in logits
            .indices
            .iter()
            .zip(logits.values.chunks_exact(classes))
        {
            let class = dataset
                .label(index)
                .with_context(|| format!("{} has no label", dataset.id(index)))?;
            take(index, to_logit[class], row)?;
        }
        Ok(())
    })
}

/// The prediction is the first of the largest logits.
fn judge(index: usize, label: usize, logits: &[f32]) -> Judged {
    let first_largest = |best: usize, (index, logit): (usize, &f32)| {
        if *logit > logits[best] { index } else { best }
    };
    let prediction = logits.iter().enumerate().fold(0, first_largest);
    let probabilities = probabilities(logits);
    Judged {
        index,
        label,
        prediction,
        probability: probabilities[prediction],
        label_probability: probabilities[label],
    }
}

/// Softmax of a row of logits.
pub(crate) fn probabilities(logits: &[f32]) -> Vec<f64> {
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

/// Lists what was skipped on standard error.
pub(crate) fn print_skipped(skipped: &[Skipped]) {
    for Skipped { path, reason } in skipped {
        eprintln!("skipped {path}: {reason}");
    }
    if !skipped.is_empty() {
        eprintln!("skipped {} in all", skipped.len());
    }
}

/// The names of the network's classes, in order of its logits; their numbers where they have no
/// names.
pub(crate) fn class_names(network: &Network) -> Vec<String> {
    let numbers = || {
        (0..network.model().num_classes())
            .map(|index| index.to_string())
            .collect()
    };
    known_names(network).unwrap_or_else(numbers)
}

fn known_names(network: &Network) -> Option<Vec<String>> {
    let imagenet = cnn_data::imagenet_class_names();
    let is_imagenet = network.model().num_classes() == imagenet.len();
    let named = network.label_names().map(<[String]>::to_vec);
    named.or_else(|| is_imagenet.then(|| imagenet.iter().map(ToString::to_string).collect()))
}

/// For each class of the dataset, which logit of the network is its: by name where the network
/// knows the names, else by number.
pub(crate) fn classes_to_logits(network: &Network, classes: &[String]) -> Result<Vec<usize>> {
    let count = network.model().num_classes();
    let name = network.spec().name;
    let by_number = (0..classes.len()).collect();
    if classes.is_empty() {
        bail!("the dataset has no labels, so there is nothing to compare with");
    }
    let Some(names) = known_names(network) else {
        if classes.len() > count {
            bail!(
                "the dataset has {} classes, {name} has {count}",
                classes.len()
            );
        }
        return Ok(by_number);
    };
    let positions: Vec<Option<usize>> = classes
        .iter()
        .map(|class| names.iter().position(|name| name == class))
        .collect();
    let unknown: Vec<&str> = classes
        .iter()
        .zip(&positions)
        .filter(|(_, at)| at.is_none())
        .map(|(class, _)| class.as_str())
        .collect();
    if unknown.is_empty() {
        return Ok(positions.into_iter().flatten().collect());
    }
    let some = unknown
        .iter()
        .take(3)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    if classes.len() != count {
        bail!(
            "{name} does not know the classes {some}; it has {count}, as {}, {}, …",
            names[0],
            names[1 % count]
        );
    }
    eprintln!(
        "note: {name} does not know the classes {some}; as there are {count} on both sides, they are matched by number"
    );
    Ok(by_number)
}
