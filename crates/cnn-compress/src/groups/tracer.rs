//! Which channels of a network are one channel, by what each kind of layer does with them.

use cnn_graph::{Graph, Node, Source};
use cnn_layers::{LayerKind, TensorKind};
use indexmap::IndexMap;

use super::axis::{Axis, Role};
use super::channels::Channels;

/// The identities of all channels of a network.
pub(super) struct Traced {
    pub(super) channels: Channels,
    /// Of each axis of a tensor that has channels along it, the channel at each position.
    pub(super) axes: IndexMap<(String, usize), TracedAxis>,
    /// Of each layer that decides how many channels it gives, those of its output.
    pub(super) widths: IndexMap<String, Vec<usize>>,
    /// Of each node, the channels of its output.
    pub(super) outputs: Vec<Vec<usize>>,
}

pub(super) struct TracedAxis {
    pub(super) axis: Axis,
    pub(super) channels: Vec<usize>,
}

/// Follows the channels through the graph.
///
/// # Errors
/// Those of [`Node::tensors`].
pub(super) fn trace(graph: &Graph) -> Result<Traced, cnn_graph::Error> {
    let mut tracer = Tracer {
        traced: Traced {
            channels: Channels::default(),
            axes: IndexMap::new(),
            widths: IndexMap::new(),
            outputs: Vec::with_capacity(graph.nodes().len()),
        },
        images: Vec::new(),
    };
    let image = graph.shape(Source::Images)[0];
    tracer.images = tracer.traced.channels.fresh(image);
    let images = tracer.images.clone();
    tracer.traced.channels.fix(&images);
    for node in graph.nodes() {
        let output = tracer.output(node)?;
        tracer.traced.outputs.push(output);
    }
    tracer.fix_ends(graph);
    Ok(tracer.traced)
}

struct Tracer {
    traced: Traced,
    images: Vec<usize>,
}

impl Tracer {
    fn input(&self, node: &Node, input: usize) -> Vec<usize> {
        match node.inputs.get(input) {
            Some(Source::Images) => self.images.clone(),
            Some(&Source::Node(read)) => self.traced.outputs[read].clone(),
            None => Vec::new(),
        }
    }

    /// What a network gives, and what no layer reads, which is put together outside of the layers.
    fn fix_ends(&mut self, graph: &Graph) {
        let is_output = |node| {
            let mut outputs = graph.outputs().iter();
            outputs.any(|&(_, source)| source == Source::Node(node))
        };
        for node in 0..graph.nodes().len() {
            if is_output(node) || graph.readers(node).is_empty() {
                self.traced.channels.fix(&self.traced.outputs[node]);
            }
        }
    }

    /// The channels of a node's output.
    fn output(&mut self, node: &Node) -> Result<Vec<usize>, cnn_graph::Error> {
        let xs = self.input(node, 0);
        Ok(match node.kind {
            LayerKind::Conv2d { groups, bias, .. } => {
                let tensors = WeightAxes {
                    inputs: 1,
                    outputs: 0,
                };
                self.weighted(node, &xs, groups, bias, tensors)
            }
            LayerKind::ConvTranspose2d { groups, bias, .. } => {
                let tensors = WeightAxes {
                    inputs: 0,
                    outputs: 1,
                };
                self.weighted(node, &xs, groups, bias, tensors)
            }
            LayerKind::Linear { bias } => {
                let tensors = WeightAxes {
                    inputs: 1,
                    outputs: 0,
                };
                self.weighted(node, &xs, 1, bias, tensors)
            }
            LayerKind::BatchNorm { .. } | LayerKind::LayerNorm { .. } => {
                self.scaled(node, &xs)?;
                xs
            }
            LayerKind::LayerScale | LayerKind::L2Norm { .. } => {
                self.scaled(node, &xs)?;
                xs
            }
            LayerKind::GroupNorm { groups, .. } => {
                self.traced.channels.join_groups(&xs, groups);
                self.scaled(node, &xs)?;
                xs
            }
            // Every channel is measured by all others.
            LayerKind::Softmax => {
                self.traced.channels.fix(&xs);
                xs
            }
            LayerKind::Activation(_)
            | LayerKind::MaxPool { .. }
            | LayerKind::AvgPool { .. }
            | LayerKind::AdaptiveAvgPool { .. }
            | LayerKind::AdaptiveMaxPool { .. }
            | LayerKind::GlobalAvgPool
            | LayerKind::GlobalMaxPool
            | LayerKind::Resize { .. }
            | LayerKind::ResizeLike { .. }
            | LayerKind::PadLike
            | LayerKind::Dropout { .. }
            | LayerKind::Dropout2d { .. }
            | LayerKind::DropPath { .. } => xs,
            LayerKind::Add | LayerKind::ChannelScale | LayerKind::MultiScaleRoiAlign { .. } => {
                for input in 1..node.inputs.len() {
                    let ys = self.input(node, input);
                    // A gate of all channels at once is none of them.
                    if ys.len() == xs.len() {
                        self.traced.channels.join_all(&xs, &ys);
                    } else {
                        self.traced.channels.fix(&ys);
                    }
                }
                xs
            }
            LayerKind::Concat => {
                let inputs = 0..node.inputs.len();
                inputs.flat_map(|input| self.input(node, input)).collect()
            }
            LayerKind::ChannelSlice { start, channels } => {
                let end = start.saturating_add(channels).min(xs.len());
                let slice = xs[start.min(end)..end].to_vec();
                self.decides(&node.path, &slice);
                slice
            }
            LayerKind::ChannelShuffle { groups } => {
                self.traced.channels.join_groups(&xs, groups);
                let of_group = xs.len() / groups.max(1);
                let shuffled = (0..xs.len()).map(|at| xs[at % groups * of_group + at / groups]);
                shuffled.collect()
            }
            LayerKind::SpaceToDepth => xs.repeat(4),
            LayerKind::Flatten => {
                let pixels: usize = node.input_shapes[0].iter().skip(1).product();
                let of_channel = |&channel: &usize| std::iter::repeat_n(channel, pixels);
                xs.iter().flat_map(of_channel).collect()
            }
            LayerKind::PadChannels { before, after } => self.padded(&xs, before, after),
            _ => self.unknown(node)?,
        })
    }

    /// A layer whose weight meets every channel of the input, or of a group of it.
    fn weighted(
        &mut self,
        node: &Node,
        xs: &[usize],
        groups: usize,
        bias: bool,
        axes: WeightAxes,
    ) -> Vec<usize> {
        let count = node.channels();
        let weight = named(&node.path, "weight");
        let axis = |tensor: &str, axis, role| Axis {
            layer: node.path.clone(),
            tensor: tensor.to_string(),
            axis,
            role,
        };
        let is_depthwise = groups > 1 && groups == xs.len();
        let ys: Vec<usize> = if is_depthwise {
            let of_channel = count / groups;
            (0..count).map(|at| xs[at / of_channel]).collect()
        } else {
            self.traced.channels.fresh(count)
        };
        let role = if is_depthwise {
            Role::Filters
        } else {
            Role::Gives
        };
        if is_depthwise && axes.outputs == 1 {
            // The weight of a transposed convolution lies by its inputs.
            self.bind(axis(&weight, axes.inputs, role), xs);
        } else if is_depthwise || groups == 1 {
            self.bind(axis(&weight, axes.outputs, role), &ys);
        } else {
            self.traced.channels.join_groups(&ys, groups);
            let along = along(&ys, axes.outputs, groups);
            self.bind(axis(&weight, axes.outputs, Role::Gives), along);
        }
        if bias {
            self.bind(axis(&named(&node.path, "bias"), 0, Role::Offsets), &ys);
        }
        if is_depthwise {
            return ys;
        }
        self.traced.channels.join_groups(xs, groups);
        let along = along(xs, axes.inputs, groups);
        self.bind(axis(&weight, axes.inputs, Role::Reads), along);
        self.decides(&node.path, &ys);
        ys
    }

    /// A layer that has numbers of its own for each channel and lets them be.
    fn scaled(&mut self, node: &Node, xs: &[usize]) -> Result<(), cnn_graph::Error> {
        for tensor in node.tensors()? {
            let is_offset = tensor.name.ends_with(".bias");
            let role = match (tensor.kind, is_offset) {
                (TensorKind::Buffer, _) => Role::Statistics,
                (TensorKind::Parameter, true) => Role::Offsets,
                (TensorKind::Parameter, false) => Role::Scales,
            };
            let axis = Axis {
                layer: node.path.clone(),
                tensor: tensor.name,
                axis: 0,
                role,
            };
            self.bind(axis, xs);
        }
        Ok(())
    }

    /// Channels of zeros on both sides. A network halves what it needs of them, so they go in pairs;
    /// where they are not halved, they stay.
    fn padded(&mut self, xs: &[usize], before: usize, after: usize) -> Vec<usize> {
        let channels = &mut self.traced.channels;
        let [first, last] = [before, after].map(|count| channels.fresh(count));
        channels.join_all(&first, &last);
        let [pairs, rest] = [before.min(after), before.abs_diff(after)];
        let unpaired = if rest > 1 { 0 } else { pairs };
        channels.fix(&first[unpaired.min(before)..]);
        channels.fix(&last[unpaired.min(after)..]);
        [&first, xs, &last].concat()
    }

    /// What a layer of one's own reads and gives stays as it is. One that was folded for inference
    /// is an error.
    fn unknown(&mut self, node: &Node) -> Result<Vec<usize>, cnn_graph::Error> {
        if let Err(error @ cnn_graph::Error::Folded { .. }) = node.tensors() {
            return Err(error);
        }
        for input in 0..node.inputs.len() {
            let xs = self.input(node, input);
            self.traced.channels.fix(&xs);
        }
        let ys = self.traced.channels.fresh(node.channels());
        self.traced.channels.fix(&ys);
        Ok(ys)
    }

    /// Writes down the channels along an axis; those of a tensor that another pass has met are the
    /// same ones.
    fn bind(&mut self, axis: Axis, channels: &[usize]) {
        let key = (axis.tensor.clone(), axis.axis);
        if let Some(known) = self.traced.axes.get(&key) {
            self.traced.channels.join_all(&known.channels, channels);
            return;
        }
        let channels = channels.to_vec();
        self.traced.axes.insert(key, TracedAxis { axis, channels });
    }

    /// Writes down that a layer decides how many channels it gives.
    fn decides(&mut self, path: &str, channels: &[usize]) {
        if let Some(known) = self.traced.widths.get(path) {
            self.traced.channels.join_all(known, channels);
            return;
        }
        self.traced
            .widths
            .insert(path.to_string(), channels.to_vec());
    }
}

/// Which axes of a weight its inputs and its outputs lie along.
struct WeightAxes {
    inputs: usize,
    outputs: usize,
}

/// The channels along an axis of a weight: all along the first, those of a group along the second.
fn along(channels: &[usize], axis: usize, groups: usize) -> &[usize] {
    match axis {
        0 => channels,
        _ => &channels[..channels.len() / groups],
    }
}

fn named(path: &str, tensor: &str) -> String {
    if path.is_empty() {
        tensor.to_string()
    } else {
        format!("{path}.{tensor}")
    }
}
