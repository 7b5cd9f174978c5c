//! Layers that have no filters: linear ones, and rectifiers that stand alone, as behind a sum.

use candle_core::Result;
use cnn_layers::Store;
use serde::Serialize;

use super::channel_sums::{ChannelSums, Spread};
use super::filter_graph::FilterGraph;
use super::measure::RECTIFIERS;
use super::weight_statistics::WeightStatistics;

/// A linear layer or a rectifier that belongs to no unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherLayer {
    /// Its path.
    pub layer: String,
    /// `linear`, `relu` or `relu6`.
    pub kind: &'static str,
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
        let of_units: Vec<usize> = graph.units.iter().flat_map(|unit| unit.steps).collect();
        let steps = graph.trace.steps.iter().zip(sums).enumerate();
        let alone = steps.filter(|(number, _)| !of_units.contains(number));
        let layer = |(step, sums): (&super::trace::Step, &ChannelSums)| {
            let rectifier = RECTIFIERS.contains(&step.kind);
            let weight = if rectifier {
                None
            } else {
                store.get(&format!("{}.weight", step.path)).ok()
            };
            Ok(Self {
                layer: step.path.clone(),
                kind: step.kind,
                channels: step.channels(),
                activations: sums.spread(),
                weights: weight
                    .map(|weight| WeightStatistics::of(&weight))
                    .transpose()?,
                dead_relus: rectifier.then(|| dead_share(sums)),
            })
        };
        alone
            .filter_map(|(_, (step, sums))| Some((step, sums.as_ref()?)))
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
