//! Networks, images, and removal of filters that has nothing in common with the library's.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::common::shared;
use candle_core::Tensor;
use cnn_data::{BatchPlan, Dataset};
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_models::{LoadOptions, Network, find};
use cnn_viz::{FilterUnit, Finding, InspectConfig, Inspection, Removal, inspect};

/// A published network, for images of another size where one is given.
pub(crate) fn published(
    path: &str,
    model: &str,
    input_size: Option<[usize; 2]>,
) -> Option<Network> {
    let options = LoadOptions {
        spec: Some(*find(model).unwrap()),
        input_size,
        ..LoadOptions::default()
    };
    Some(Network::load(&shared(path)?, &options).unwrap())
}

pub(crate) fn inspected(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    images: usize,
) -> Inspection {
    inspect_with(
        network,
        std::slice::from_ref(dataset),
        InspectConfig {
            images,
            ..InspectConfig::default()
        },
    )
}

pub(crate) fn inspect_with(
    network: &Network,
    datasets: &[Arc<dyn Dataset>],
    config: InspectConfig,
) -> Inspection {
    inspect(network, datasets, &config, &mut |_| ()).unwrap()
}

/// A network with the same weights in memory of its own.
pub(crate) fn copy(network: &Network) -> Network {
    let copy = Network::of(*network.spec(), &network.config().model, 1).unwrap();
    for (name, tensor) in network.store().tensors() {
        copy.store().set(&name, &tensor).unwrap();
    }
    copy
}

/// The logits of the first images, or of all.
pub(crate) fn logits(network: &Network, dataset: &Arc<dyn Dataset>, indices: &[usize]) -> Vec<f32> {
    let plan = BatchPlan::new(dataset.clone(), network.preprocessing().clone())
        .with_order(indices.to_vec());
    let model = network.build(Mode::Eval).unwrap();
    let mut logits = Vec::new();
    for batch in plan.with_batch_size(10).start().unwrap() {
        let images = FeatureMap::from_nhwc(&batch.unwrap().images).unwrap();
        let batch = model.forward(&images, &Context::eval()).unwrap();
        logits.extend(batch.flatten_all().unwrap().to_vec1::<f32>().unwrap());
    }
    logits
}

pub(crate) fn largest_change(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0., f32::max)
}

/// Changes a tensor of the store, given with the length of a row: what belongs to one output
/// channel.
fn change(network: &Network, name: &str, change: impl Fn(&mut [f32], usize)) {
    let tensor = network.store().get(name).unwrap();
    let mut values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    let length = values.len() / tensor.dims()[0];
    change(&mut values, length);
    network
        .store()
        .set(
            name,
            &Tensor::from_vec(values, tensor.dims(), tensor.device()).unwrap(),
        )
        .unwrap();
}

/// Changes one row of a tensor of the store.
pub(crate) fn change_row(network: &Network, name: &str, row: usize, f: impl Fn(&mut [f32])) {
    change(network, name, |values, length| {
        f(&mut values[row * length..][..length])
    });
}

pub(crate) fn row(network: &Network, name: &str, row: usize) -> Vec<f32> {
    network
        .store()
        .get(name)
        .unwrap()
        .get(row)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

/// Does to a network what findings say that can be done.
pub(crate) fn remove(network: &Network, findings: &[&Finding]) {
    let names = network.store().names();
    let layers: BTreeSet<(&String, Option<&String>)> = findings
        .iter()
        .map(|finding| (&finding.layer, finding.norm.as_ref()))
        .collect();
    for (conv, norm) in layers {
        let of_layer: Vec<&&Finding> = findings
            .iter()
            .filter(|finding| finding.layer == *conv)
            .collect();
        let holder = [norm, Some(conv)]
            .into_iter()
            .flatten()
            .map(|path| format!("{path}.bias"));
        let holder = holder.into_iter().find(|name| names.contains(name));
        let parameters = ["weight", "bias", "running_mean", "running_var"];
        let of_parts = [Some(conv), norm]
            .into_iter()
            .flatten()
            .flat_map(|path| parameters.map(|p| format!("{path}.{p}")));
        for name in of_parts.filter(|name| names.contains(name)) {
            change(network, &name, |values, length| {
                for finding in &of_layer {
                    let at = finding.channel * length;
                    let value = match finding.removal {
                        Removal::Merge { into } => {
                            values.copy_within(into * length..(into + 1) * length, at);
                            continue;
                        }
                        Removal::Fold { value } => value as f32,
                        Removal::Drop => 0.,
                    };
                    assert!(
                        holder.is_some() || value == 0.,
                        "{conv} has nothing that could hold a constant"
                    );
                    if name.ends_with("weight") {
                        values[at..at + length].fill(0.);
                    } else if Some(&name) == holder.as_ref() {
                        values[at] = value;
                    }
                }
            });
        }
    }
}

/// How a unit's activation is called.
pub(crate) fn activation(unit: &FilterUnit) -> Option<&'static str> {
    unit.activation
        .as_ref()
        .map(|activation| activation.kind.name())
}
