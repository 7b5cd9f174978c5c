//! Networks without hidden symmetries, random selections, and what zeroing gives.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

pub(crate) mod formula;
pub(crate) mod small;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use cnn_compress::{Groups, Selection};
use cnn_core::Key;
use cnn_graph::{Node, OwnedValue, Source};
use cnn_layers::{FeatureMap, LayerKind, Store};
use cnn_models::{ModelKind, NetworkOf};

/// Gives every vector of the store noise: fresh ones are 0, 1 or tiny, behind which errors would
/// hide.
pub(crate) fn stir(store: &Store) {
    for entry in store.entries() {
        if entry.dtype == DType::I64 || entry.shape.len() != 1 {
            continue;
        }
        let is_around_zero = ["running_mean", "bias"]
            .iter()
            .any(|name| entry.name.ends_with(name));
        let [low, high] = if is_around_zero {
            [-0.5, 0.5]
        } else {
            [0.5, 1.5]
        };
        let mut values = vec![0.; entry.shape[0]];
        let mut rng = Key::new(5).stream(&entry.name).rng();
        rng.fill_uniform(&mut values, low, high);
        let values = Tensor::from_vec(values, entry.shape, &Device::Cpu).unwrap();
        store.set(&entry.name, &values).unwrap();
    }
}

/// Noise in f64, of a shape `(N, C, H, W)`.
pub(crate) fn images(shape: [usize; 4]) -> FeatureMap {
    let mut rng = Key::new(1).stream("images").rng();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    FeatureMap::from_nchw(&Tensor::from_vec(values, &shape[..], &Device::Cpu).unwrap()).unwrap()
}

/// Without a random third of each group's units.
pub(crate) fn without_a_third(groups: &Groups, key: u64) -> Selection {
    let mut selection = Selection::all(groups);
    for group in groups.groups() {
        let mut rng = Key::new(key).stream(&group.first.to_string()).rng();
        let mut drawn: Vec<(u32, usize)> =
            group.numbers().map(|unit| (rng.next_u32(), unit)).collect();
        drawn.sort_unstable();
        for &(_, unit) in &drawn[..group.units.len() / 3] {
            selection.remove(unit);
        }
    }
    selection
}

/// The whole network with zeros in every slice of the units that go.
pub(crate) fn zeroed<M: ModelKind + ?Sized>(
    network: &NetworkOf<M>,
    groups: &Groups,
    selection: &Selection,
) -> NetworkOf<M> {
    let mut masks: BTreeMap<(&str, usize), Vec<f64>> = BTreeMap::new();
    for group in groups.groups() {
        for (unit, number) in group.units.iter().zip(group.numbers()) {
            if selection.stays(number) {
                continue;
            }
            for slice in &unit.slices {
                let tensor = network.store().get(&slice.axis.tensor).unwrap();
                let count = tensor.dims()[slice.axis.axis];
                let key = (slice.axis.tensor.as_str(), slice.axis.axis);
                let mask = masks.entry(key).or_insert_with(|| vec![1.; count]);
                mask[slice.range.clone()].fill(0.);
            }
        }
    }
    let mut tensors = network.store().tensors();
    for (name, tensor) in &mut tensors {
        for axis in 0..tensor.dims().len() {
            let Some(mask) = masks.get(&(name.as_str(), axis)) else {
                continue;
            };
            let mut shape = vec![1; tensor.dims().len()];
            shape[axis] = mask.len();
            let mask = Tensor::from_slice(mask, shape, &Device::Cpu).unwrap();
            *tensor = tensor.broadcast_mul(&mask).unwrap();
        }
    }
    network.resized(Default::default(), &tensors).unwrap()
}

/// What every layer of the graph gives, of which those that no layer reads are returned. A norm over
/// channels measures those alone that a selection leaves.
pub(crate) fn ends(
    groups: &Groups,
    selection: &Selection,
    store: &Store,
    images: &FeatureMap,
) -> Vec<Tensor> {
    let graph = groups.graph();
    let mut values: Vec<OwnedValue> = Vec::new();
    for node in graph.nodes() {
        let inputs = node.inputs.iter().map(|source| match source {
            Source::Images => OwnedValue::Maps(images.clone()),
            Source::Node(read) => values[*read].clone(),
        });
        let inputs: Vec<OwnedValue> = inputs.collect();
        values.push(computed(groups, selection, store, node, &inputs));
    }
    let unread = (0..values.len()).filter(|&node| graph.readers(node).is_empty());
    unread
        .map(|node| values[node].to_tensor().unwrap())
        .collect()
}

fn computed(
    groups: &Groups,
    selection: &Selection,
    store: &Store,
    node: &Node,
    inputs: &[OwnedValue],
) -> OwnedValue {
    let left = match node.kind {
        LayerKind::LayerNorm { .. } | LayerKind::GroupNorm { .. } => {
            groups.positions(&format!("{}.weight", node.path), 0, selection)
        }
        _ => None,
    };
    let Some(left) = left else {
        return node.compute(inputs, &|name| store.get(name)).unwrap();
    };
    let OwnedValue::Maps(xs) = &inputs[0] else {
        panic!("{}: a norm of vectors", node.path);
    };
    let chosen: Vec<u32> = left.iter().map(|&at| at as u32).collect();
    let chosen = Tensor::new(chosen, &Device::Cpu).unwrap();
    let few = FeatureMap::from_nhwc(&xs.to_nhwc().index_select(&chosen, 3).unwrap()).unwrap();
    let tensors = |name: &str| store.get(name)?.index_select(&chosen, 0);
    let ys = node.compute(&[OwnedValue::Maps(few)], &tensors).unwrap();
    let OwnedValue::Maps(ys) = ys else {
        panic!("{}: a norm gives maps", node.path);
    };
    // Back to their places, between zeros.
    let zero = Tensor::zeros(
        (xs.batch(), xs.height(), xs.width(), 1),
        xs.dtype(),
        &Device::Cpu,
    );
    let with_zero = Tensor::cat(&[&ys.to_nhwc(), &zero.unwrap()], 3).unwrap();
    let place = |at: usize| {
        left.iter()
            .position(|&other| other == at)
            .unwrap_or(left.len())
    };
    let places: Vec<u32> = (0..xs.channels()).map(|at| place(at) as u32).collect();
    let places = Tensor::new(places, &Device::Cpu).unwrap();
    OwnedValue::Maps(FeatureMap::from_nhwc(&with_zero.index_select(&places, 3).unwrap()).unwrap())
}

/// The largest difference relative to the largest value. NaN where there is one.
pub(crate) fn apart(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.dims(), expected.dims());
    let largest = |tensor: &Tensor| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        let larger = |a: f64, b: f64| if b.is_nan() || b > a { b } else { a };
        values.into_iter().map(f64::abs).fold(0., larger)
    };
    let size = largest(expected);
    assert!(size > 0., "everything is 0, so equality says nothing");
    largest(&(found - expected).unwrap()) / size
}
