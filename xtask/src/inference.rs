//! A network over a dataset, batch by batch.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use cnn_data::{BatchPlan, Dataset, Skipped};
use cnn_layers::{Context, FeatureMap};
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
    let mut batches = plan.start()?;
    let mut progress = Progress::new(network.spec().name, dataset.len());
    let mut done = 0;
    for batch in &mut batches {
        let batch = batch?;
        let images = FeatureMap::from_nhwc(&batch.images)?;
        let logits = network.model().forward(&images, &Context::eval())?;
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
    let count = network.model().num_classes();
    let imagenet = cnn_data::imagenet_class_names();
    match network.label_names() {
        Some(names) => names.to_vec(),
        None if count == imagenet.len() => imagenet.iter().map(ToString::to_string).collect(),
        None => (0..count).map(|index| index.to_string()).collect(),
    }
}

/// For each class of the dataset, which logit of the network is its: by name where the network's file names the same classes, else by
/// number.
pub(crate) fn classes_to_logits(network: &Network, classes: &[String]) -> Result<Vec<usize>> {
    let count = network.model().num_classes();
    if classes.is_empty() {
        bail!("the dataset has no labels, so there is nothing to compare with");
    }
    let names = class_names(network);
    if classes.iter().all(|class| names.contains(class)) {
        let position =
            |class: &String| names.iter().position(|name| name == class).context("every class was found just now");
        return classes.iter().map(position).collect();
    }
    if classes.len() > count {
        bail!("the dataset has {} classes, the network only {count}", classes.len());
    }
    if network.label_names().is_some() && classes.len() == count {
        let unknown: Vec<&str> =
            classes.iter().filter(|class| !names.contains(class)).map(String::as_str).take(3).collect();
        eprintln!("note: the network does not know the classes {}; classes are matched by number", unknown.join(", "));
    }
    Ok((0..classes.len()).collect())
}
