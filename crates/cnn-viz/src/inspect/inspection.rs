//! A network inspected over the images of a dataset.

use std::sync::Arc;

use candle_core::Result as CandleResult;
use cnn_data::{BatchPlan, Dataset, Skipped};
use cnn_layers::{FeatureMap, Mode};
use cnn_models::Network;
use serde::Serialize;

use super::candidates::{Candidate, candidates};
use super::channel_sums::{ChannelStatistics, ChannelSums, Spread};
use super::filter_graph::{FilterGraph, StageField};
use super::filter_unit::FilterUnit;
use super::finding::{FilterCounts, Finding};
use super::measure::{Meter, RECTIFIERS};
use super::other_layer::{OtherLayer, dead_share};
use super::savings::{Savings, savings};
use super::verify::{Verdict, verify};
use super::weight_statistics::WeightStatistics;
use crate::Error;

/// On how many images a network is inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InspectConfig {
    /// Images at most, spread evenly over the dataset; 0 for all. Default 256.
    pub images: usize,
    /// Images per forward pass. Default 16.
    pub batch: usize,
}

impl Default for InspectConfig {
    fn default() -> Self {
        Self { images: 256, batch: 16 }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The model's name.
    pub model: String,
    /// Number of images that it was inspected on.
    pub images: usize,
    /// Convolutions with their norms and activations, in order of execution.
    pub layers: Vec<InspectedLayer>,
    /// Layers without filters.
    pub other_layers: Vec<OtherLayer>,
    /// What each stage of the backbone sees of the image.
    pub stages: Vec<StageField>,
    /// The filters that can be removed, layer by layer.
    pub findings: Vec<Finding>,
    /// Sums over all layers.
    pub totals: Totals,
    /// Images that could not be read.
    pub skipped: Vec<Skipped>,
}

/// A convolution with its norm and activation, and what was measured of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InspectedLayer {
    /// Its parts and its place in the network.
    #[serde(flatten)]
    pub unit: FilterUnit,
    /// Its output, after norm and activation.
    pub activations: Spread,
    /// The convolution's weight.
    pub weights: WeightStatistics,
    /// Share of the channels that a rectifier sets to 0 on every pixel of every image, in 0..1; `None` without a rectifier.
    pub dead_relus: Option<f64>,
    /// Filters that can be removed.
    #[serde(flatten)]
    pub counts: FilterCounts,
    /// What removing them saves, if nothing else is removed.
    pub saves: Savings,
    /// The output of each channel.
    #[serde(skip)]
    pub per_channel: Vec<ChannelStatistics>,
}

/// Sums over all layers.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Totals {
    /// Filters of all convolutions.
    pub filters: usize,
    /// Filters that can be removed.
    pub removable: usize,
    /// The same by kind.
    #[serde(flatten)]
    pub counts: FilterCounts,
    /// How many of them give class scores. On these images they do nothing, but a class would go with them, so they are not in the savings.
    pub class_filters: usize,
    /// Learnable values of the network.
    pub parameters: usize,
    /// Multiply-adds of its convolutions and linear layers for one image.
    pub multiply_adds: u64,
    /// What removing all of them together saves.
    pub saves: Savings,
    /// By how much any logit of any inspected image changed at most when all of them were removed together.
    pub max_logit_change: f64,
}

impl Inspection {
    /// By how much a logit may change when a filter is removed that is not exactly constant.
    pub const LIMIT: f64 = 1e-5;

    /// The findings in one layer, by the path of its convolution.
    pub fn findings_of<'a>(&'a self, layer: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings.iter().filter(move |finding| finding.layer == layer)
    }
}

/// Inspects a network on images, whose labels are not needed: goes through them once to measure, and at least once more to try whether what looks superfluous is, if
/// anything does. `progress` is told the number of images of each batch that was done. The result does not depend on the number of threads.
///
/// Memory is bounded by a batch, its maps, and one copy of the weights.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_data::{Dataset, Shapes, ShapesConfig};
/// use cnn_models::{ModelConfig, Network};
/// use cnn_viz::{InspectConfig, inspect};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let images: Arc<dyn Dataset> = Arc::new(Shapes::new(ShapesConfig::default().with_samples(8))?);
/// let inspection = inspect(&network, &images, &InspectConfig::default(), &mut |_| ())?;
/// assert_eq!((inspection.images, inspection.totals.filters), (8, 240));
/// assert_eq!(inspection.stages[3].receptive_field.map(|field| field.to_string()), Some("25 × 25".to_string()));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NothingReadable`] if no image can be read, [`Error::Data`] if the batch is empty, [`Error::Network`] if the network cannot be run on them.
pub fn inspect(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    config: &InspectConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Inspection, Error> {
    let graph = FilterGraph::of(network)?;
    let model = network.build(Mode::Eval)?;
    let mut images = Images { network, dataset, batch: config.batch, order: spread(dataset.len(), config.images) };
    let meter = Meter::new(&graph);
    let skipped = images.read(progress, &mut |images| meter.watch(model.as_ref(), images))?;
    let sums = meter.finish();
    let found = candidates(&graph, &sums, network.store())?;
    let sweep = |take: &mut dyn FnMut(&FeatureMap) -> CandleResult<()>| images.read(progress, take).map(|_| ());
    let verdict = verify(network, &graph, &found, sweep)?;
    let findings = findings(&graph, &found, &verdict);
    Ok(Inspection {
        model: network.spec().name.to_string(),
        images: images.order.len(),
        layers: layers(network, &graph, &sums, &findings)?,
        other_layers: OtherLayer::all(&graph, &sums, network.store())?,
        totals: totals(network, &graph, &findings, verdict.change),
        stages: graph.stages,
        findings,
        skipped,
    })
}

/// Places spread evenly over a dataset; all of them for 0.
fn spread(len: usize, images: usize) -> Vec<usize> {
    let count = if images == 0 { len } else { images.min(len) };
    (0..count).map(|place| (place as u128 * len as u128 / count as u128) as usize).collect()
}

/// The images to go through.
struct Images<'a> {
    network: &'a Network,
    dataset: &'a Arc<dyn Dataset>,
    batch: usize,
    /// Which samples; after the first reading those that can be read.
    order: Vec<usize>,
}

impl Images<'_> {
    /// Gives every batch to `take`, and returns what could not be read.
    fn read(
        &mut self,
        progress: &mut dyn FnMut(usize),
        take: &mut dyn FnMut(&FeatureMap) -> CandleResult<()>,
    ) -> Result<Vec<Skipped>, Error> {
        let plan = BatchPlan::new(self.dataset.clone(), self.network.preprocessing().clone());
        let mut batches = plan.with_batch_size(self.batch).with_order(self.order.clone()).start()?;
        let mut readable = Vec::with_capacity(self.order.len());
        for batch in &mut batches {
            let batch = batch?;
            take(&FeatureMap::from_nhwc(&batch.images.to_dtype(self.network.store().dtype())?)?)?;
            progress(batch.len());
            readable.extend(batch.indices);
        }
        let skipped = batches.skipped().to_vec();
        if readable.is_empty() {
            return Err(nothing_readable(&skipped));
        }
        self.order = readable;
        Ok(skipped)
    }
}

fn nothing_readable(skipped: &[Skipped]) -> Error {
    let reasons = skipped.iter().take(3).map(|skipped| format!("{}: {}", skipped.path, skipped.reason));
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    Error::NothingReadable { reasons: if skipped.is_empty() { "there are no images".to_string() } else { reasons } }
}

fn findings(graph: &FilterGraph, candidates: &[Candidate], verdict: &Verdict) -> Vec<Finding> {
    let accepted = candidates.iter().zip(&verdict.accepted).filter(|(_, accepted)| **accepted);
    let finding = |(candidate, _): (&Candidate, &bool)| {
        let (number, channel) = (candidate.replacement.unit, candidate.replacement.channel);
        let unit = &graph.units[number];
        let saved = savings(graph, [(number, channel, &candidate.removal)]);
        Finding {
            layer: unit.conv.clone(),
            norm: unit.norm.clone(),
            channel,
            kind: candidate.kind,
            removal: candidate.removal,
            parameters: saved.parameters,
            multiply_adds: saved.multiply_adds,
            exact: candidate.exact,
            max_logit_change: verdict.change,
            unit: number,
        }
    };
    accepted.map(finding).collect()
}

fn layers(
    network: &Network,
    graph: &FilterGraph,
    sums: &[Option<ChannelSums>],
    findings: &[Finding],
) -> Result<Vec<InspectedLayer>, Error> {
    let mut layers = Vec::with_capacity(graph.units.len());
    for (number, unit) in graph.units.iter().enumerate() {
        let Some(sums) = &sums[unit.steps[1]] else { continue };
        let found: Vec<&Finding> = findings.iter().filter(|finding| finding.unit == number).collect();
        let rectified = unit.activation.as_ref().is_some_and(|activation| RECTIFIERS.contains(&activation.kind));
        layers.push(InspectedLayer {
            unit: unit.clone(),
            activations: sums.spread(),
            weights: WeightStatistics::of(&network.store().get(&format!("{}.weight", unit.conv))?)?,
            dead_relus: rectified.then(|| dead_share(sums)),
            counts: FilterCounts::of(found.iter().map(|finding| finding.kind)),
            saves: savings(graph, found.iter().map(|finding| (number, finding.channel, &finding.removal))),
            per_channel: sums.statistics(),
        });
    }
    Ok(layers)
}

fn totals(network: &Network, graph: &FilterGraph, findings: &[Finding], max_logit_change: f64) -> Totals {
    let gives_logits = |finding: &&Finding| graph.units[finding.unit].gives_logits;
    let others = findings.iter().filter(|finding| !gives_logits(finding));
    Totals {
        filters: graph.units.iter().map(|unit| unit.channels).sum(),
        removable: findings.len(),
        counts: FilterCounts::of(findings.iter().map(|finding| finding.kind)),
        class_filters: findings.iter().filter(gives_logits).count(),
        parameters: network.store().parameter_count(),
        multiply_adds: graph.layers.iter().map(|layer| layer.multiply_adds()).sum(),
        saves: savings(graph, others.map(|finding| (finding.unit, finding.channel, &finding.removal))),
        max_logit_change,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_spread_evenly() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(3, 256), [0, 1, 2]);
        assert_eq!(spread(3, 0), [0, 1, 2]);
        assert!(spread(0, 5).is_empty());
    }
}
