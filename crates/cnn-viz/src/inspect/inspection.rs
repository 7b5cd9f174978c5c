//! A network inspected over the images of a dataset.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use cnn_data::{Dataset, Skipped};
use cnn_layers::Mode;
use cnn_models::Network;
use serde::Serialize;

use super::activity::Activity;
use super::candidates::{Candidate, candidates};
use super::channel_sums::{ChannelStatistics, ChannelSums, Spread};
use super::filter_graph::{FilterGraph, StageField};
use super::filter_unit::FilterUnit;
use super::finding::{FilterCounts, Finding};
use super::held_out::{Claim, HeldOut};
use super::images::{Images, Take};
use super::measure::{Meter, is_rectifier};
use super::other_layer::{OtherLayer, dead_share};
use super::rarefaction::Rarefaction;
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
    /// About how long it may take, judged by the second batch: where there is not time for
    /// `images`, fewer are taken, 32 at least. Default `None`: as long as it takes.
    pub time: Option<Duration>,
}

impl Default for InspectConfig {
    fn default() -> Self {
        Self {
            images: 256,
            batch: 16,
            time: None,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Inspection {
    /// The model's name.
    pub model: String,
    /// Number of images that it was inspected on, of which everything below is said.
    pub images: usize,
    /// How often the claim does not hold on images that it was not made from; `None` for fewer than
    /// [`HeldOut::LEAST_IMAGES`].
    pub held_out: Option<HeldOut>,
    /// How the number of filters that do nothing falls with the number of images.
    pub rarefaction: Rarefaction,
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
    /// Share of the channels that a rectifier sets to 0 on every pixel of every image, in 0..1;
    /// `None` without a rectifier.
    pub dead_relus: Option<f64>,
    /// Filters that can be removed.
    #[serde(flatten)]
    pub counts: FilterCounts,
    /// What removing them saves, if nothing else is removed.
    pub saves: Savings,
    /// The output of each channel.
    #[serde(skip)]
    pub per_channel: Vec<ChannelStatistics>,
    /// On how many images each channel gave something else than the one number that it gives at
    /// rest, most often 0.
    #[serde(skip)]
    pub active_images: Vec<u32>,
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
    /// How many of them give class scores. On these images they do nothing, but a class would go
    /// with them, so they are not in the savings.
    pub class_filters: usize,
    /// Learnable values of the network.
    pub parameters: usize,
    /// Multiply-adds of its convolutions and linear layers for one image.
    pub multiply_adds: u64,
    /// What removing all of them together saves.
    pub saves: Savings,
    /// By how much any logit of any inspected image changed at most when all of them were removed
    /// together.
    pub max_logit_change: f64,
}

impl Inspection {
    /// By how much a logit may change when a filter is removed that is not exactly constant.
    pub const LIMIT: f64 = 1e-5;

    /// The findings in one layer, by the path of its convolution.
    pub fn findings_of<'a>(&'a self, layer: &'a str) -> impl Iterator<Item = &'a Finding> {
        self.findings
            .iter()
            .filter(move |finding| finding.layer == layer)
    }
}

/// Inspects a network on images, whose labels are not needed: goes through them once to measure,
/// and at least once more to try whether what looks superfluous is, if anything does. Of several
/// datasets the images of one are taken before those of the next. `progress` is told the number of
/// images of each batch that was done.
///
/// The findings hold on all images. How far they hold on others is estimated twice: the same claim
/// is made from four fifths of the images and tried on the rest ([`HeldOut`]), and the images on
/// which each filter does something are counted ([`Rarefaction`]). The result does not depend on
/// the number of threads, nor on speed unless [`InspectConfig::time`] is given.
///
/// Memory is bounded by a batch, its maps, numbers for each channel, and one copy of the weights.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_data::{Dataset, Shapes, ShapesConfig};
/// use cnn_models::{ModelConfig, Network};
/// use cnn_viz::{InspectConfig, inspect};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let images: Arc<dyn Dataset> = Arc::new(Shapes::new(ShapesConfig::default().with_samples(10))?);
/// let inspection = inspect(&network, &[images], &InspectConfig::default(), &mut |_| ())?;
/// assert_eq!((inspection.images, inspection.totals.filters), (10, 240));
/// assert_eq!(
///     inspection
///         .held_out
///         .map(|held_out| (held_out.made_from, held_out.images)),
///     Some((8, 2))
/// );
/// assert_eq!(
///     inspection.stages[3]
///         .receptive_field
///         .map(|field| field.to_string()),
///     Some("25 × 25".to_string())
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`Error::NothingReadable`] if no image can be read, [`Error::Data`] if the batch is empty,
/// [`Error::Network`] if the network cannot be run on them.
pub fn inspect(
    network: &Network,
    datasets: &[Arc<dyn Dataset>],
    config: &InspectConfig,
    progress: &mut dyn FnMut(usize),
) -> Result<Inspection, Error> {
    let graph = FilterGraph::of(network)?;
    let model = network.build(Mode::Eval)?;
    let meter = Meter::new(&graph);
    let watch: &mut Take<'_> = &mut |images| meter.watch(model.as_ref(), images);
    let (mut images, skipped) = Images::first_reading(network, datasets, config, progress, watch)?;
    let measured = meter.finish();
    let sums = measured.all();
    let found = candidates(&graph, &sums, network.store())?;
    let (found, verdict, held_out) = if images.len() < HeldOut::LEAST_IMAGES {
        let verdict = verify(network, &graph, &found, |take: &mut Take<'_>| {
            images.read(progress, take)
        })?;
        (found, verdict, None)
    } else {
        let claim = Claim::new(network, &graph, &measured.kept, &images, progress)?;
        let (found, verdict) = claim.confirm(network, &graph, found, &mut images, progress)?;
        let held_out = claim.held_out(network, &graph, &found, &verdict, &images, progress)?;
        (found, verdict, Some(held_out))
    };
    let findings = findings(&graph, &found, &verdict);
    Ok(Inspection {
        model: network.spec().name.to_string(),
        images: images.len(),
        held_out,
        rarefaction: rarefaction(&graph, &measured.activity, &findings, images.len()),
        layers: layers(network, &graph, &sums, &measured.activity, &findings)?,
        other_layers: OtherLayer::all(&graph, &sums, network.store())?,
        totals: totals(network, &graph, &findings, verdict.change),
        stages: graph.stages,
        findings,
        skipped,
    })
}

/// Of the filters that can be looked at one by one, those that were constant on all images being
/// findings.
fn rarefaction(
    graph: &FilterGraph,
    activity: &[Option<Activity>],
    findings: &[Finding],
    images: usize,
) -> Rarefaction {
    let exact: HashSet<_> = findings
        .iter()
        .filter(|finding| finding.exact)
        .map(|finding| (finding.unit, finding.channel))
        .collect();
    let units = graph
        .units
        .iter()
        .enumerate()
        .filter(|(_, unit)| !unit.shared);
    let active_images = units.flat_map(|(number, unit)| {
        let of_unit = activity[unit.nodes[1]]
            .as_ref()
            .map(Activity::active_images)
            .unwrap_or_default();
        let channels = of_unit.into_iter().enumerate();
        let counted =
            channels.filter(|(channel, active)| *active > 0 || exact.contains(&(number, *channel)));
        counted
            .map(|(_, active)| active as usize)
            .collect::<Vec<_>>()
    });
    Rarefaction::of(active_images, images)
}

fn findings(graph: &FilterGraph, candidates: &[Candidate], verdict: &Verdict) -> Vec<Finding> {
    let accepted = candidates
        .iter()
        .zip(&verdict.accepted)
        .filter(|(_, accepted)| **accepted);
    let finding = |(candidate, _): (&Candidate, &bool)| {
        let number = candidate.replacement.unit;
        let channel = candidate.replacement.channel;
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
    activity: &[Option<Activity>],
    findings: &[Finding],
) -> Result<Vec<InspectedLayer>, Error> {
    let mut layers = Vec::with_capacity(graph.units.len());
    for (number, unit) in graph.units.iter().enumerate() {
        let (Some(sums), Some(activity)) = (&sums[unit.nodes[1]], &activity[unit.nodes[1]]) else {
            continue;
        };
        let found: Vec<&Finding> = findings
            .iter()
            .filter(|finding| finding.unit == number)
            .collect();
        let rectified = unit
            .activation
            .as_ref()
            .is_some_and(|activation| is_rectifier(activation.kind));
        layers.push(InspectedLayer {
            unit: unit.clone(),
            activations: sums.spread(),
            weights: WeightStatistics::of(&network.store().get(&format!("{}.weight", unit.conv))?)?,
            dead_relus: rectified.then(|| dead_share(sums)),
            counts: FilterCounts::of(found.iter().map(|finding| finding.kind)),
            saves: savings(
                graph,
                found
                    .iter()
                    .map(|finding| (number, finding.channel, &finding.removal)),
            ),
            per_channel: sums.statistics(),
            active_images: activity.active_images(),
        });
    }
    Ok(layers)
}

fn totals(
    network: &Network,
    graph: &FilterGraph,
    findings: &[Finding],
    max_logit_change: f64,
) -> Totals {
    let gives_logits = |finding: &&Finding| graph.units[finding.unit].gives_logits;
    let others = findings.iter().filter(|finding| !gives_logits(finding));
    Totals {
        filters: graph.units.iter().map(|unit| unit.channels).sum(),
        removable: findings.len(),
        counts: FilterCounts::of(findings.iter().map(|finding| finding.kind)),
        class_filters: findings.iter().filter(gives_logits).count(),
        parameters: network.store().parameter_count(),
        multiply_adds: graph.layers.iter().map(|layer| layer.multiply_adds()).sum(),
        saves: savings(
            graph,
            others.map(|finding| (finding.unit, finding.channel, &finding.removal)),
        ),
        max_logit_change,
    }
}
