//! Layers that have no filters: linear ones, and rectifiers that stand alone, as behind a sum.

use candle_core::Result;
use cnn_graph::Node;
use cnn_layers::{LayerKind, Store};
use serde::Serialize;

use super::channel_sums::{ChannelSums, Spread};
use super::filter_graph::FilterGraph;
use super::filter_unit::by_name;
use super::measure::is_rectifier;
use super::weight_statistics::WeightStatistics;

/// A linear layer or a rectifier that belongs to no unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherLayer {
    /// Its path.
    pub layer: String,
    /// Its kind; serialises as its name, `linear`, `relu` or `relu6`.
    #[serde(serialize_with = "by_name")]
    pub kind: LayerKind,
    /// Channels or features of its output.
    pub channels: usize,
    /// Its output.
    pub activations: Spread,
    /// Its weight, if it has one.
    pub weights: Option<WeightStatistics>,
    /// Share of a rectifier's channels that are 0 on every image, in 0..1.
    pub dead_relus: Option<f64>,
}

impl OtherLayer {
    /// All of them, in order of execution.
    pub(super) fn all(
        graph: &FilterGraph,
        sums: &[Option<ChannelSums>],
        store: &Store,
    ) -> Result<Vec<Self>> {
        let of_units: Vec<usize> = graph.units.iter().flat_map(|unit| unit.nodes).collect();
        let nodes = graph.network.nodes().iter().zip(sums).enumerate();
        let alone = nodes.filter(|(number, _)| !of_units.contains(number));
        let layer = |(node, sums): (&Node, &ChannelSums)| {
            let rectifier = is_rectifier(node.kind);
            let weight = if rectifier {
                None
            } else {
                store.get(&format!("{}.weight", node.path)).ok()
            };
            Ok(Self {
                layer: node.path.clone(),
                kind: node.kind,
                channels: node.channels(),
                activations: sums.spread(),
                weights: weight
                    .map(|weight| WeightStatistics::of(&weight))
                    .transpose()?,
                dead_relus: rectifier.then(|| dead_share(sums)),
            })
        };
        alone
            .filter_map(|(_, (node, sums))| Some((node, sums.as_ref()?)))
            .map(layer)
            .collect()
    }
}

/// The share of a rectifier's channels that are 0 everywhere.
pub(super) fn dead_share(sums: &ChannelSums) -> f64 {
    let dead = sums
        .min
        .iter()
        .zip(&sums.max)
        .filter(|&(&min, &max)| min == 0. && max == 0.)
        .count();
    dead as f64 / sums.min.len() as f64
}
