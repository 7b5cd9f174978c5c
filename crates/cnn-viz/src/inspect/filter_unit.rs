//! A convolution with what follows it, and who reads it.

use std::collections::HashMap;

use cnn_graph::{Graph, NodeInput, ReceptiveField, Source};
use cnn_layers::{LayerKind, Store};
use serde::{Serialize, Serializer};

use super::filter_graph::WeightedLayer;

/// A convolution, the batch norm that alone reads it, and the activation that alone reads that; its
/// output channels are the filters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FilterUnit {
    /// Path of the convolution, whose parameters are `<path>.weight` and perhaps `<path>.bias`.
    #[serde(rename = "layer")]
    pub conv: String,
    /// Path of the batch norm.
    pub norm: Option<String>,
    /// The activation.
    pub activation: Option<UnitActivation>,
    /// Rows and columns of the kernel.
    pub kernel_size: [usize; 2],
    /// Groups of channels that do not see each other.
    pub groups: usize,
    /// Channels that the convolution reads.
    pub in_channels: usize,
    /// Channels that it gives.
    pub channels: usize,
    /// Rows and columns of the output, for an image of the network's own size.
    pub output: [usize; 2],
    /// Learnable values of convolution and norm.
    pub parameters: usize,
    /// Multiply-adds of the convolution for one image.
    pub multiply_adds: u64,
    /// Who reads the output, directly or through layers that keep its channels apart; nobody behind
    /// a sum.
    pub readers: Vec<Reader>,
    /// Whether the output's channels are class scores, perhaps averaged over the pixels: such a
    /// filter can do nothing on some images, but a class would go with it.
    pub gives_logits: bool,
    /// What one pixel of the output sees of the image; `None` where it cannot be told.
    pub receptive_field: Option<ReceptiveField>,
    /// Whether the forward pass runs this convolution more than once.
    #[serde(skip)]
    pub(super) shared: bool,
    #[serde(skip)]
    pub(super) bias: bool,
    /// Its place in [`FilterGraph::layers`].
    #[serde(skip)]
    pub(super) layer: usize,
    /// The node before the activation, and the last one.
    #[serde(skip)]
    pub(super) nodes: [usize; 2],
}

/// The activation of a unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnitActivation {
    /// Its path.
    #[serde(rename = "layer")]
    pub path: String,
    /// Its kind; serialises as its name, as `relu6`.
    #[serde(serialize_with = "by_name")]
    pub kind: LayerKind,
}

/// A layer with weights that reads a unit's channels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reader {
    /// Its path.
    pub layer: String,
    /// Which of its inputs is the unit's first channel.
    pub first: usize,
    /// How many of its inputs come from each channel: more than one behind a flattened map.
    pub per_channel: usize,
    /// Whether the channels are weighted on the way by what the whole map shows, so that a constant
    /// one is not constant there.
    pub scaled: bool,
    #[serde(skip)]
    pub(super) index: usize,
}

/// Serialises a kind as its name.
pub(super) fn by_name<S: Serializer>(kind: &LayerKind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

/// What units are told from.
pub(super) struct Units<'a> {
    network: &'a Graph,
    /// Of each node.
    fields: &'a [Option<ReceptiveField>],
    layers: &'a [WeightedLayer],
    /// Of a node, its place among the layers.
    at: HashMap<usize, usize>,
    store: &'a Store,
}

impl<'a> Units<'a> {
    pub(super) fn new(
        network: &'a Graph,
        fields: &'a [Option<ReceptiveField>],
        layers: &'a [WeightedLayer],
        store: &'a Store,
    ) -> Self {
        let at = layers
            .iter()
            .enumerate()
            .map(|(index, layer)| (layer.node, index))
            .collect();
        Self {
            network,
            fields,
            layers,
            at,
            store,
        }
    }

    /// The units of all convolutions.
    pub(super) fn all(&self) -> Vec<FilterUnit> {
        let convolutions = self
            .layers
            .iter()
            .enumerate()
            .filter(|(_, layer)| !layer.linear);
        convolutions
            .map(|(index, layer)| self.unit(index, layer))
            .collect()
    }

    fn unit(&self, index: usize, layer: &WeightedLayer) -> FilterUnit {
        let nodes = self.network.nodes();
        let norm = self
            .only_reader(layer.node)
            .filter(|&next| self.is_norm(next));
        let before = norm.unwrap_or(layer.node);
        let activation = self
            .only_reader(before)
            .filter(|&next| matches!(nodes[next].kind, LayerKind::Activation(_)));
        let last = activation.unwrap_or(before);
        let mut unit = FilterUnit {
            conv: layer.path.clone(),
            norm: norm.map(|node| nodes[node].path.clone()),
            activation: activation.map(|node| UnitActivation {
                path: nodes[node].path.clone(),
                kind: nodes[node].kind,
            }),
            kernel_size: nodes[layer.node]
                .kind
                .window()
                .map_or([1, 1], |window| window.kernel_size),
            groups: layer.groups,
            in_channels: layer.inputs,
            channels: layer.outputs,
            output: nodes[last].extent(),
            parameters: layer.parameters(),
            multiply_adds: layer.multiply_adds(),
            readers: Vec::new(),
            gives_logits: false,
            receptive_field: self.fields[last],
            shared: self
                .layers
                .iter()
                .filter(|other| other.path == layer.path)
                .count()
                > 1,
            bias: layer.extras > 0,
            layer: index,
            nodes: [before, last],
        };
        self.follow(last, &mut unit);
        unit
    }

    /// The node that alone reads a node's output, as its first input.
    fn only_reader(&self, node: usize) -> Option<usize> {
        match self.network.readers(node) {
            [reader] if reader.input == 0 => Some(reader.node),
            _ => None,
        }
    }

    /// A batch norm with scale and shift in the store.
    fn is_norm(&self, node: usize) -> bool {
        let node = &self.network.nodes()[node];
        let has = |name: &str| self.store.get(&format!("{}.{name}", node.path)).is_ok();
        matches!(node.kind, LayerKind::BatchNorm { .. }) && has("weight") && has("bias")
    }

    /// Finds who reads a unit's channels, starting at the output of a node.
    fn follow(&self, node: usize, unit: &mut FilterUnit) {
        let start = Reader {
            layer: String::new(),
            first: 0,
            per_channel: 1,
            scaled: false,
            index: 0,
        };
        let logits = self.network.output("logits");
        let mut open = vec![(node, start)];
        while let Some((node, at)) = open.pop() {
            unit.gives_logits |= logits == Some(Source::Node(node));
            for reader in self.network.readers(node) {
                let found = &self.network.nodes()[reader.node];
                if let Some(&index) = self.at.get(&reader.node) {
                    unit.readers.push(Reader {
                        layer: found.path.clone(),
                        index,
                        ..at
                    });
                } else if let Some(at) = self.behind(reader, at.clone()) {
                    open.push((reader.node, at));
                }
            }
        }
        unit.readers
            .sort_by_key(|reader| (reader.index, reader.first));
    }

    /// The place of the unit's channels in what a reader gives; `None` where they do not stay apart,
    /// or a constant one would not stay constant.
    fn behind(&self, reader: &NodeInput, at: Reader) -> Option<Reader> {
        let node = &self.network.nodes()[reader.node];
        Some(match node.kind {
            LayerKind::Activation(_)
            | LayerKind::BatchNorm { .. }
            | LayerKind::MaxPool { .. }
            | LayerKind::AvgPool { .. }
            | LayerKind::AdaptiveAvgPool { .. }
            | LayerKind::AdaptiveMaxPool { .. }
            | LayerKind::GlobalAvgPool
            | LayerKind::GlobalMaxPool
            | LayerKind::Resize { .. }
            | LayerKind::Dropout { .. }
            | LayerKind::Dropout2d { .. }
            | LayerKind::DropPath { .. } => at,
            LayerKind::Concat => Reader {
                first: at.first
                    + (0..reader.input)
                        .map(|input| node.input_channels(input))
                        .sum::<usize>(),
                ..at
            },
            LayerKind::PadChannels { before, .. } => Reader {
                first: at.first + before,
                ..at
            },
            // What it reads second gives a size alone.
            LayerKind::ResizeLike { .. } | LayerKind::PadLike if reader.input == 0 => at,
            LayerKind::ChannelScale if reader.input == 0 => Reader { scaled: true, ..at },
            LayerKind::Flatten => {
                let pixels: usize = node.input_shapes[reader.input].iter().skip(1).product();
                Reader {
                    first: at.first * pixels,
                    per_channel: at.per_channel * pixels,
                    ..at
                }
            }
            _ => return None,
        })
    }
}
