//! What constants add to their readers, put into the readers' own numbers.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use cnn_layers::{LayerKind, Store};

use super::constants::{Known, Weight, has_bias, inputs};
use super::units::units_read;
use crate::{Error, Groups, Selection};

/// Folds the constants of the units that go.
pub(super) struct Folding<'a> {
    pub(super) groups: &'a Groups,
    pub(super) store: &'a Store,
    pub(super) selection: &'a Selection,
}

/// Where a constant that a layer adds can go.
pub(super) enum Place {
    /// Into this bias.
    Bias(String),
    /// Out of these means, which a norm subtracts.
    Means(String),
}

impl Folding<'_> {
    /// Where what a node adds can go: `None` where it works more than once, as one of several maps
    /// would then have another constant, or has no such place.
    pub(super) fn place(groups: &Groups, number: usize) -> Option<Place> {
        let graph = groups.graph();
        let nodes = graph.nodes();
        let works_once = |path: &str| nodes.iter().filter(|node| node.path == path).count() == 1;
        let node = &nodes[number];
        if !works_once(&node.path) {
            return None;
        }
        if has_bias(node) {
            return Some(Place::Bias(format!("{}.bias", node.path)));
        }
        let is_output = graph
            .outputs()
            .iter()
            .any(|&(_, source)| source == cnn_graph::Source::Node(number));
        let [reader] = graph.readers(number) else {
            return None;
        };
        let norm = &nodes[reader.node];
        let is_norm = matches!(norm.kind, LayerKind::BatchNorm { .. });
        let can = is_norm && !is_output && works_once(&norm.path);
        can.then(|| Place::Means(format!("{}.running_mean", norm.path)))
    }

    /// The tensors that change, for what is known of what each node gives.
    pub(super) fn tensors(&self, found: &[Known]) -> Result<Vec<(String, Tensor)>, Error> {
        let graph = self.groups.graph();
        let mut changed: BTreeMap<String, Vec<f64>> = BTreeMap::new();
        for (number, node) in graph.nodes().iter().enumerate() {
            let Some((units, true)) = units_read(self.groups, node) else {
                continue;
            };
            let goes = |unit: &Option<usize>| unit.is_some_and(|unit| !self.selection.stays(unit));
            if !units.iter().any(goes) {
                continue;
            }
            let inputs = inputs(graph, node, found);
            let xs = inputs.first().map_or(&[][..], Vec::as_slice);
            let weight = Weight::of(node, self.store)?;
            let added = |output: usize| {
                let inputs = weight.inputs_of(output);
                let going = inputs.filter(|&input| goes(&units[input % units.len()]));
                let added = going.filter_map(|input| weight.contribution(output, input, xs));
                added.sum::<f64>()
            };
            let added: Vec<f64> = (0..weight.outputs()).map(added).collect();
            let (name, sign) = match Self::place(self.groups, number) {
                Some(Place::Bias(name)) => (name, 1.),
                Some(Place::Means(name)) => (name, -1.),
                None => continue,
            };
            if added.iter().all(|&added| added == 0.) {
                continue;
            }
            let own = self.store.get(&name)?.to_dtype(DType::F64)?;
            let own: Vec<f64> = own.to_vec1()?;
            let sums = own
                .iter()
                .zip(&added)
                .map(|(own, added)| own + sign * added);
            changed.insert(name, sums.collect());
        }
        let tensors = changed.into_iter().map(|(name, values)| {
            let tensor = Tensor::new(values, &Device::Cpu)?;
            Ok((name, tensor.to_dtype(self.store.dtype())?))
        });
        tensors.collect()
    }
}
