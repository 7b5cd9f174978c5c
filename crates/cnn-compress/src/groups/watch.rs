//! The graph of a network of any kind, with its auxiliary heads.

use candle_core::{Device, Tensor};
use cnn_graph::{Graph, Source};
use cnn_layers::FeatureMap;
use cnn_models::{Model, ModelKind, NetworkOf};

use crate::Error;
use crate::pass::{MAIN, evaluated, outputs};

/// The graph of a network for images of a size. Its outputs are those of the network and of its
/// auxiliary heads, which also have to fit what is left of it; a detector has none.
pub(super) fn watch<M: ModelKind + ?Sized>(
    network: &NetworkOf<M>,
    size: [usize; 2],
) -> Result<Graph, Error> {
    let [rows, columns] = size;
    let shape = (1, network.preprocessing().channels(), rows, columns);
    let images = Tensor::zeros(shape, network.store().dtype(), &Device::Cpu)?;
    let images = FeatureMap::from_nchw(&images)?;
    let graph = match evaluated(network)? {
        // What its heads say is put together outside of the layers.
        Model::Detector(model) => Graph::of_detector(model.as_ref(), &images),
        model => Graph::watch(&images, |xs, cx| outputs(&model, xs, cx)),
    };
    Ok(graph?)
}

/// Which nodes the network's main output needs: all of a detector.
pub(super) fn used(graph: &Graph) -> Vec<bool> {
    let Some(main) = graph.output(MAIN) else {
        return vec![true; graph.nodes().len()];
    };
    let mut used = vec![false; graph.nodes().len()];
    let mut open = vec![main];
    while let Some(source) = open.pop() {
        let Source::Node(node) = source else {
            continue;
        };
        if !used[node] {
            used[node] = true;
            open.extend(&graph.nodes()[node].inputs);
        }
    }
    used
}
