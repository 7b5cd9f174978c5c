//! What removing filters saves, in the layers that lose them and in those that read them.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::filter_graph::{FilterGraph, WeightedLayer};
use super::finding::Removal;

/// Learnable values and work that a network would not need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Savings {
    /// Learnable values.
    pub parameters: usize,
    /// Multiply-adds of convolutions and linear layers for one image.
    pub multiply_adds: u64,
}

/// What a layer loses.
#[derive(Default)]
struct Removed {
    outputs: BTreeSet<usize>,
    inputs: BTreeSet<usize>,
}

/// What removing filters together saves; each is a unit's number, a channel, and how it is removed.
/// A weight between a removed filter and a removed reader counts once.
///
/// A dropped filter's readers lose what read it. So do those of a folded or merged one (the
/// constant goes into their biases, the weights onto another channel's), but not behind a
/// squeeze-and-excitation, where the constant varies with the image.
pub(super) fn savings<'a>(
    graph: &FilterGraph,
    removals: impl IntoIterator<Item = (usize, usize, &'a Removal)>,
) -> Savings {
    let mut removed: BTreeMap<usize, Removed> = BTreeMap::new();
    for (unit, channel, removal) in removals {
        let unit = &graph.units[unit];
        removed
            .entry(unit.layer)
            .or_default()
            .outputs
            .insert(channel);
        for reader in unit
            .readers
            .iter()
            .filter(|reader| !reader.scaled || *removal == Removal::Drop)
        {
            let first = reader.first + channel * reader.per_channel;
            removed
                .entry(reader.index)
                .or_default()
                .inputs
                .extend(first..first + reader.per_channel);
        }
    }
    let of_layer = |total: Savings, (&layer, removed): (&usize, &Removed)| {
        let saved = of_layer(&graph.layers[layer], removed);
        Savings {
            parameters: total.parameters + saved.parameters,
            multiply_adds: total.multiply_adds + saved.multiply_adds,
        }
    };
    removed.iter().fold(Savings::default(), of_layer)
}

fn of_layer(layer: &WeightedLayer, removed: &Removed) -> Savings {
    let [outputs, inputs] = [layer.outputs, layer.inputs].map(|channels| channels / layer.groups);
    let lost = |set: &BTreeSet<usize>, size: usize, group: usize| {
        set.range(group * size..(group + 1) * size).count()
    };
    let pairs = (0..layer.groups).map(|group| {
        let kept = outputs - lost(&removed.outputs, outputs, group);
        outputs * inputs - kept * (inputs - lost(&removed.inputs, inputs, group))
    });
    let weights = pairs.sum::<usize>() * layer.taps;
    Savings {
        parameters: weights + removed.outputs.len() * layer.extras,
        multiply_adds: weights as u64 * layer.positions as u64,
    }
}
