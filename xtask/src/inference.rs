//! A network over a dataset, batch by batch.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use cnn_data::{BatchPlan, Dataset, Skipped};
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_metrics::{
    Classification, ClassificationResult, ConfusionMatrix, DEFAULT_BINS, Interval, Reliability, bootstrap_interval,
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

/// Runs the network over every readable sample in order, gives each batch's logits to `take`, and returns what was skipped.
///
/// Nothing readable at all is an error.
pub(crate) fn run(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    batch: usize,
    mut take: impl FnMut(Logits) -> Result<()>,
) -> Result<Vec<Skipped>> {
    let plan = BatchPlan::new(dataset.clone(), network.preprocessing().clone()).with_batch_size(batch);
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
        take(Logits { values: logits.flatten_all()?.to_vec1()?, indices: batch.indices })?;
    }
    progress.finish();
    let skipped = batches.skipped().to_vec();
    if done == 0 {
        let reasons = skipped.iter().map(|skipped| format!("{}: {}", skipped.path, skipped.reason));
        bail!("nothing readable: {}", reasons.take(3).collect::<Vec<_>>().join("; "));
    }
    Ok(skipped)
}

/// How good a network is on a labelled dataset.
pub(crate) struct Measured {
    pub(crate) result: ClassificationResult,
    pub(crate) confusion: ConfusionMatrix,
    /// How sure it was, and how often right.
    pub(crate) reliability: Reliability,
    /// The samples that were taken for another class, in the dataset's order.
    pub(crate) mistakes: Vec<Judged>,
    /// For each class the sample that was recognised most surely, if any was.
    pub(crate) right: Vec<Option<Judged>>,
    pub(crate) skipped: Vec<Skipped>,
}

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
}

/// Measures the network on a labelled dataset.
pub(crate) fn measure(network: &Network, dataset: &Arc<dyn Dataset>, batch: usize) -> Result<Measured> {
    let to_logit = classes_to_logits(network, dataset.classes())?;
    let classes = network.model().num_classes();
    let (mut metrics, mut reliability) = (Classification::new(classes)?, Reliability::new(DEFAULT_BINS)?);
    let (mut mistakes, mut right) = (Vec::new(), vec![None::<Judged>; classes]);
    let skipped = run(network, dataset, batch, |logits| {
        let label = |&index: &usize| {
            let class = dataset.label(index).with_context(|| format!("{} has no label", dataset.id(index)))?;
            Ok(to_logit[class] as u32)
        };
        let labels = logits.indices.iter().map(label).collect::<Result<Vec<_>>>()?;
        metrics.update(&logits.values, &labels)?;
        reliability.update(&logits.values, classes, &labels)?;
        for ((&index, &label), row) in logits.indices.iter().zip(&labels).zip(logits.values.chunks_exact(classes)) {
            let judged = judge(index, label as usize, row);
            if judged.prediction != judged.label {
                mistakes.push(judged);
            } else if right[judged.label].is_none_or(|best| judged.probability > best.probability) {
                right[judged.label] = Some(judged);
            }
        }
        Ok(())
    })?;
    let (result, confusion) = (metrics.result()?, metrics.confusion().clone());
    Ok(Measured { result, confusion, reliability, mistakes, right, skipped })
}

/// The prediction is the first of the largest logits.
fn judge(index: usize, label: usize, logits: &[f32]) -> Judged {
    let first_largest = |best: usize, (index, logit): (usize, &f32)| if *logit > logits[best] { index } else { best };
    let prediction = logits.iter().enumerate().fold(0, first_largest);
    let exponential = |&logit: &f32| f64::from(logit - logits[prediction]).exp();
    let sum: f64 = logits.iter().map(exponential).sum();
    Judged { index, label, prediction, probability: 1. / sum, label_probability: exponential(&logits[label]) / sum }
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

/// The names of the network's classes, in order of its logits; their numbers where they have no names.
pub(crate) fn class_names(network: &Network) -> Vec<String> {
    let numbers = || (0..network.model().num_classes()).map(|index| index.to_string()).collect();
    known_names(network).unwrap_or_else(numbers)
}

fn known_names(network: &Network) -> Option<Vec<String>> {
    let imagenet = cnn_data::imagenet_class_names();
    let is_imagenet = network.model().num_classes() == imagenet.len();
    let named = network.label_names().map(<[String]>::to_vec);
    named.or_else(|| is_imagenet.then(|| imagenet.iter().map(ToString::to_string).collect()))
}

/// For each class of the dataset, which logit of the network is its: by name where the network knows the names, else by number.
pub(crate) fn classes_to_logits(network: &Network, classes: &[String]) -> Result<Vec<usize>> {
    let count = network.model().num_classes();
    let (name, by_number) = (network.spec().name, (0..classes.len()).collect());
    if classes.is_empty() {
        bail!("the dataset has no labels, so there is nothing to compare with");
    }
    let Some(names) = known_names(network) else {
        if classes.len() > count {
            bail!("the dataset has {} classes, {name} has {count}", classes.len());
        }
        return Ok(by_number);
    };
    let positions: Vec<Option<usize>> =
        classes.iter().map(|class| names.iter().position(|name| name == class)).collect();
    let unknown: Vec<&str> =
        classes.iter().zip(&positions).filter(|(_, at)| at.is_none()).map(|(class, _)| class.as_str()).collect();
    if unknown.is_empty() {
        return Ok(positions.into_iter().flatten().collect());
    }
    let some = unknown.iter().take(3).copied().collect::<Vec<_>>().join(", ");
    if classes.len() != count {
        bail!("{name} does not know the classes {some}; it has {count}, as {}, {}, …", names[0], names[1 % count]);
    }
    eprintln!(
        "note: {name} does not know the classes {some}; as there are {count} on both sides, they are matched by number"
    );
    Ok(by_number)
}
