//! The filters of a network as they follow each other: convolution, norm and activation as one
//! unit, and who reads it.

use candle_core::{Device, Tensor};
use cnn_graph::{Graph, Node, ReceptiveField};
use cnn_layers::{Classifier, FeatureMap, LayerKind, Mode, StageInfo, Store};
use cnn_models::Network;
use serde::Serialize;

use super::filter_unit::{FilterUnit, Units};
use crate::Error;

/// A network's filters, found by watching one forward pass: nothing is assumed of the family.
#[derive(Debug, Clone)]
pub struct FilterGraph {
    /// Every convolution with what follows it, in order of execution.
    pub units: Vec<FilterUnit>,
    /// What each stage of the backbone sees of the image.
    pub stages: Vec<StageField>,
    pub(super) network: Graph,
    /// Every convolution and linear layer, in order of execution.
    pub(super) layers: Vec<WeightedLayer>,
}

/// A stage of the backbone with its receptive field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StageField {
    /// The stage's number.
    pub stage: usize,
    /// Path of the module whose output it is.
    pub module: String,
    /// Channels of its output.
    pub channels: usize,
    /// How many input pixels one output pixel stands for, along each axis.
    pub reduction: usize,
    /// What one pixel of its output sees; `None` where it cannot be told.
    pub receptive_field: Option<ReceptiveField>,
}

/// A convolution or linear layer as a table of weights.
#[derive(Debug, Clone)]
pub(super) struct WeightedLayer {
    pub(super) path: String,
    /// Its place among the nodes.
    pub(super) node: usize,
    pub(super) linear: bool,
    pub(super) outputs: usize,
    pub(super) inputs: usize,
    pub(super) groups: usize,
    /// Weights for each pair of output and input.
    pub(super) taps: usize,
    /// Pixels of the output.
    pub(super) positions: usize,
    /// Learnable values beside the weight for each output: its bias, the scale and shift of its
    /// norm.
    pub(super) extras: usize,
}

impl WeightedLayer {
    pub(super) fn parameters(&self) -> usize {
        self.outputs * (self.inputs / self.groups * self.taps + self.extras)
    }

    pub(super) fn multiply_adds(&self) -> u64 {
        (self.outputs * (self.inputs / self.groups) * self.taps) as u64 * self.positions as u64
    }
}

impl FilterGraph {
    /// Watches the network on an image of the size that its preprocessing gives.
    ///
    /// # Errors
    /// If the network cannot be run.
    pub fn of(network: &Network) -> Result<Self, Error> {
        let model = network.build(Mode::Eval)?;
        Self::watch(model.as_ref(), network.store(), &blank_image(network)?)
    }

    /// Watches any model that was built for evaluation over a store. The images' values do not
    /// matter.
    ///
    /// Who reads a filter is not followed through a layer of one's own, whose kind nobody knows, and
    /// what is seen behind it cannot be told.
    ///
    /// # Errors
    /// If the model cannot be run on them, or an operation stands outside any layer.
    pub fn watch(
        model: &dyn Classifier,
        store: &Store,
        images: &FeatureMap,
    ) -> Result<Self, Error> {
        let network = Graph::of_classifier(model, images)?;
        let fields = network.receptive_fields();
        let mut layers = weighted_layers(&network, store);
        let mut units = Units::new(&network, &fields, &layers, store).all();
        for unit in &mut units {
            let layer = &mut layers[unit.layer];
            layer.extras += if unit.norm.is_some() { 2 } else { 0 };
            unit.parameters = layer.parameters();
        }
        let stage = |(stage, info): (usize, &StageInfo)| StageField {
            stage,
            module: info.module.clone(),
            channels: info.channels,
            reduction: info.reduction,
            receptive_field: network
                .output(&format!("stage{stage}"))
                .and_then(|source| network.receptive_field(source)),
        };
        let stages = model.stages().iter().enumerate().map(stage).collect();
        Ok(Self {
            units,
            stages,
            layers,
            network,
        })
    }
}

/// One image without values of its own.
fn blank_image(network: &Network) -> Result<FeatureMap, Error> {
    let [channels, height, width] = network.preprocessing().input_size;
    let shape = (1, height, width, channels);
    let image = Tensor::zeros(shape, network.store().dtype(), &Device::Cpu)?;
    Ok(FeatureMap::from_nhwc(&image)?)
}

/// Every convolution and linear layer whose weight is in the store.
fn weighted_layers(network: &Graph, store: &Store) -> Vec<WeightedLayer> {
    let layer = |(number, node): (usize, &Node)| {
        let (linear, groups, taps, bias) = match node.kind {
            LayerKind::Conv2d {
                window,
                groups,
                bias,
            } => (false, groups, window.kernel_size.iter().product(), bias),
            LayerKind::Linear { bias } => (true, 1, 1, bias),
            _ => return None,
        };
        store.get(&format!("{}.weight", node.path)).ok()?;
        Some(WeightedLayer {
            path: node.path.clone(),
            node: number,
            linear,
            outputs: node.channels(),
            inputs: node.input_channels(0),
            groups,
            taps,
            positions: node.extent().iter().product(),
            extras: usize::from(bias),
        })
    };
    network
        .nodes()
        .iter()
        .enumerate()
        .filter_map(layer)
        .filter(|layer| layer.groups > 0)
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::Reader;
    use cnn_models::{Kind, ModelConfig, models_of};
    use std::collections::HashSet;

    fn graph(model: &str) -> FilterGraph {
        FilterGraph::of(&Network::new(model, &ModelConfig::default(), 0).unwrap()).unwrap()
    }

    /// The readers of the unit of a convolution: path, first input, inputs of each channel.
    fn readers<'a>(graph: &'a FilterGraph, conv: &str) -> Vec<(&'a str, usize, usize)> {
        let unit = graph.units.iter().find(|unit| unit.conv == conv).unwrap();
        let reader = |reader: &'a Reader| (reader.layer.as_str(), reader.first, reader.per_channel);
        unit.readers.iter().map(reader).collect()
    }

    #[test]
    fn all_weights_and_all_work_of_every_model_belong_to_a_layer() {
        for spec in models_of(Kind::Classification).filter(|spec| spec.parameters < 12_000_000) {
            let graph = graph(spec.name);
            let parameters: usize = graph.layers.iter().map(WeightedLayer::parameters).sum();
            let multiply_adds: u64 = graph.layers.iter().map(WeightedLayer::multiply_adds).sum();
            // Norms and factors that belong to no unit are no weights of a layer.
            let of_units = graph.units.iter().filter_map(|unit| unit.norm.as_ref());
            let of_layers = graph.layers.iter().map(|layer| &layer.path);
            let counted: HashSet<&String> = of_units.chain(of_layers).collect();
            let nodes = graph.network.nodes().iter();
            let alone: usize = nodes
                .filter(|node| !counted.contains(&node.path))
                .map(|node| node.parameter_count().unwrap())
                .sum();
            assert_eq!(
                (parameters + alone, multiply_adds),
                (spec.parameters, spec.multiply_adds),
                "{}",
                spec.name
            );
        }
    }

    #[test]
    fn a_unit_is_what_reads_exactly_what_the_last_gave() {
        let graph = graph("resnet20_cifar10");
        let unit = |conv: &str| graph.units.iter().find(|unit| unit.conv == conv).unwrap();
        let first = unit("layer2.0.conv1");
        let activation = first.activation.as_ref().unwrap();
        assert_eq!(
            (first.norm.as_deref(), activation.kind.name()),
            (Some("layer2.0.bn1"), "relu")
        );
        assert_eq!(
            (
                first.in_channels,
                first.channels,
                first.groups,
                first.output
            ),
            (16, 32, 1, [16, 16])
        );
        assert_eq!(
            (first.parameters, first.multiply_adds),
            (32 * (16 * 9 + 2), 32 * 16 * 9 * 256)
        );
        // The activation at a block's end reads a sum.
        assert_eq!(
            (
                unit("layer2.0.conv2").norm.as_deref(),
                &unit("layer2.0.conv2").activation
            ),
            (Some("layer2.0.bn2"), &None)
        );
    }

    #[test]
    fn readers_are_found_through_what_keeps_channels_apart() {
        let graph = graph("resnet20_cifar10");
        // The shortcut goes into a sum, behind which nobody counts.
        assert_eq!(readers(&graph, "conv1"), [("layer1.0.conv1", 0, 1)]);
        assert_eq!(
            readers(&graph, "layer1.0.conv1"),
            [("layer1.0.conv2", 0, 1)]
        );
        assert_eq!(readers(&graph, "layer1.0.conv2"), []);
    }

    #[test]
    fn readers_of_a_concatenation_have_an_offset() {
        let graph = graph("squeezenet1_1");
        assert_eq!(
            readers(&graph, "features.3.expand1x1"),
            [("features.4.squeeze", 0, 1)]
        );
        assert_eq!(
            readers(&graph, "features.4.expand3x3"),
            [("features.6.squeeze", 64, 1)]
        );
        let classifier = graph.units.last().unwrap();
        assert!(
            classifier.gives_logits && classifier.readers.is_empty(),
            "{classifier:?}"
        );
        assert!(graph.units[..25].iter().all(|unit| !unit.gives_logits));
    }

    #[test]
    fn readers_of_a_flattened_map_have_an_input_for_each_pixel() {
        let lenet = graph("lenet5");
        assert_eq!(readers(&lenet, "conv1"), [("conv2", 0, 1)]);
        assert_eq!(readers(&lenet, "conv2"), [("fc1", 0, 25)]);
        assert_eq!(
            readers(&graph("mobilenetv2_035"), "conv_head"),
            [("classifier", 0, 1)]
        );
    }
}
