//! A convolution with what follows it, and who reads it.

use std::collections::HashMap;

use cnn_layers::Store;
use serde::Serialize;

use super::filter_graph::WeightedLayer;
use super::receptive_field::ReceptiveField;
use super::trace::{Source, Trace};

const ACTIVATIONS: [&str; 10] = [
    "identity",
    "relu",
    "leaky_relu",
    "relu6",
    "sigmoid",
    "silu",
    "hard_swish",
    "hard_sigmoid",
    "tanh",
    "gelu",
];
/// What beside them works on each channel by itself and keeps a constant channel constant.
const CHANNEL_WISE: [&str; 10] = [
    "batch_norm",
    "max_pool",
    "avg_pool",
    "adaptive_avg_pool",
    "adaptive_max_pool",
    "global_avg_pool",
    "global_max_pool",
    "upsample_nearest",
    "dropout",
    "drop_path",
];

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
    /// The step before the activation, and the last one.
    #[serde(skip)]
    pub(super) steps: [usize; 2],
}

/// The activation of a unit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnitActivation {
    /// Its path.
    #[serde(rename = "layer")]
    pub path: String,
    /// Its kind, as `relu6`.
    pub kind: &'static str,
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

/// What units are told from.
pub(super) struct Units<'a> {
    trace: &'a Trace,
    /// Of each step.
    fields: &'a [Option<ReceptiveField>],
    layers: &'a [WeightedLayer],
    /// Of a step, its place among the layers.
    at: HashMap<usize, usize>,
    store: &'a Store,
}

impl<'a> Units<'a> {
    pub(super) fn new(
        trace: &'a Trace,
        fields: &'a [Option<ReceptiveField>],
        layers: &'a [WeightedLayer],
        store: &'a Store,
    ) -> Self {
        let at = layers
            .iter()
            .enumerate()
            .map(|(index, layer)| (layer.step, index))
            .collect();
        Self {
            trace,
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
        let steps = &self.trace.steps;
        let norm = self
            .trace
            .only_reader(layer.step)
            .filter(|&next| self.is_norm(next));
        let before = norm.unwrap_or(layer.step);
        let activation = self
            .trace
            .only_reader(before)
            .filter(|&next| ACTIVATIONS.contains(&steps[next].kind));
        let last = activation.unwrap_or(before);
        let mut unit = FilterUnit {
            conv: layer.path.clone(),
            norm: norm.map(|step| steps[step].path.clone()),
            activation: activation.map(|step| UnitActivation {
                path: steps[step].path.clone(),
                kind: steps[step].kind,
            }),
            kernel_size: steps[layer.step]
                .window
                .map_or([1, 1], |window| window.kernel_size),
            groups: layer.groups,
            in_channels: layer.inputs,
            channels: layer.outputs,
            output: steps[last].extent(),
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
            steps: [before, last],
        };
        self.follow(last, &mut unit);
        unit
    }

    /// A batch norm with scale and shift in the store.
    fn is_norm(&self, step: usize) -> bool {
        let has = |name: &str| {
            self.store
                .get(&format!("{}.{name}", self.trace.steps[step].path))
                .is_ok()
        };
        self.trace.steps[step].kind == "batch_norm" && has("weight") && has("bias")
    }

    /// Finds who reads a unit's channels, starting at the output of `step`.
    fn follow(&self, step: usize, unit: &mut FilterUnit) {
        let start = Reader {
            layer: String::new(),
            first: 0,
            per_channel: 1,
            scaled: false,
            index: 0,
        };
        let mut open = vec![(step, start)];
        while let Some((step, at)) = open.pop() {
            unit.gives_logits |= match self.trace.logits {
                Source::Step(last) | Source::Flattened(last) => last == step,
                _ => false,
            };
            for &(reader, number) in self.trace.readers(step) {
                let at = self.flattened(step, reader, number, &at);
                let found = &self.trace.steps[reader];
                if let Some(&index) = self.at.get(&reader) {
                    unit.readers.push(Reader {
                        layer: found.path.clone(),
                        index,
                        ..at
                    });
                } else if found.kind == "concat" {
                    let before: usize = found.inputs[..number]
                        .iter()
                        .map(|input| input.channels)
                        .sum();
                    open.push((
                        reader,
                        Reader {
                            first: at.first + before,
                            ..at
                        },
                    ));
                } else if found.kind == "channel_scale" && number == 0 {
                    open.push((reader, Reader { scaled: true, ..at }));
                } else if [&ACTIVATIONS, &CHANNEL_WISE]
                    .iter()
                    .any(|kinds| kinds.contains(&found.kind))
                {
                    open.push((reader, at));
                }
            }
        }
        unit.readers
            .sort_by_key(|reader| (reader.index, reader.first));
    }

    /// The place of the unit's channels in what `reader` gets of the output of `step`.
    fn flattened(&self, step: usize, reader: usize, number: usize, at: &Reader) -> Reader {
        let pixels = match self.trace.steps[reader].inputs[number].source {
            Source::Flattened(_) => self.trace.steps[step].extent().iter().product(),
            _ => 1,
        };
        Reader {
            first: at.first * pixels,
            per_channel: at.per_channel * pixels,
            ..at.clone()
        }
    }
}
