//! Channels that are the same number for every pixel of every image, by what the weights say.

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use cnn_graph::{Graph, Node, OwnedValue, Source};
use cnn_layers::{LayerKind, Padding, Store, Window};

use crate::Error;

/// A channel that is known to be constant by other means, as [`inspect`] finds them on images: the
/// output of a layer, where the weights alone do not say so.
///
/// [`inspect`]: https://github.com/cnn-rs/cnn/blob/main/docs/guide/inspect.md
#[derive(Debug, Clone, PartialEq)]
pub struct KnownConstant {
    /// Path of the layer, as that of the activation behind a convolution.
    pub layer: String,
    /// Channel of its output.
    pub channel: usize,
    /// What it is for every pixel of every image.
    pub value: f64,
}

/// Of each channel of a value, what it is everywhere; `None` where that differs or is unknown.
pub(super) type Known = Vec<Option<f64>>;

/// What is known of the channels that each node gives.
pub(super) fn constants(
    graph: &Graph,
    store: &Store,
    known: &[KnownConstant],
) -> Result<Vec<Known>, Error> {
    let mut given: HashMap<&str, Vec<&KnownConstant>> = HashMap::new();
    for constant in known {
        given.entry(&constant.layer).or_default().push(constant);
    }
    let mut found: Vec<Known> = Vec::with_capacity(graph.nodes().len());
    for node in graph.nodes() {
        let inputs: Vec<Known> = inputs(graph, node, &found);
        let mut output = output(node, &inputs, store)?;
        for constant in given.get(node.path.as_str()).into_iter().flatten() {
            if let Some(channel) = output.get_mut(constant.channel) {
                *channel = Some(constant.value);
            }
        }
        found.push(output);
    }
    Ok(found)
}

/// What is known of a node's inputs.
pub(super) fn inputs(graph: &Graph, node: &Node, found: &[Known]) -> Vec<Known> {
    let of_source = |source: &Source| match *source {
        Source::Images => vec![None; graph.shape(Source::Images)[0]],
        Source::Node(read) => found[read].clone(),
    };
    node.inputs.iter().map(of_source).collect()
}

fn output(node: &Node, inputs: &[Known], store: &Store) -> Result<Known, Error> {
    let xs: &[Option<f64>] = inputs.first().map_or(&[], Vec::as_slice);
    let tensor = |name: &str| -> Result<Vec<f64>, Error> {
        let name = match name {
            "" => node.path.clone(),
            _ => format!("{}.{name}", node.path),
        };
        let values = store.get(&name)?.to_dtype(DType::F64)?.flatten_all()?;
        Ok(values.to_vec1()?)
    };
    // Zeros stay zeros, whatever lies beyond a border.
    let zeros = || xs.iter().map(|x| x.filter(|&x| x == 0.)).collect();
    Ok(match node.kind {
        LayerKind::Conv2d { .. } | LayerKind::ConvTranspose2d { .. } | LayerKind::Linear { .. } => {
            Weight::of(node, store)?.known_outputs(xs)
        }
        LayerKind::BatchNorm { eps } => {
            let [weight, bias] = [tensor("weight")?, tensor("bias")?];
            let [mean, var] = [tensor("running_mean")?, tensor("running_var")?];
            let normed = |channel: usize| {
                let scale = weight[channel] / (var[channel] + eps).sqrt();
                match xs[channel] {
                    _ if weight[channel] == 0. => Some(bias[channel]),
                    Some(x) => Some((x - mean[channel]) * scale + bias[channel]),
                    None => None,
                }
            };
            (0..xs.len()).map(normed).collect()
        }
        LayerKind::LayerNorm { .. } | LayerKind::GroupNorm { affine: true, .. } => {
            let [weight, bias] = [tensor("weight")?, tensor("bias")?];
            let channels = weight.iter().zip(bias);
            channels
                .map(|(&weight, bias)| (weight == 0.).then_some(bias))
                .collect()
        }
        LayerKind::LayerScale => {
            let channels = xs.iter().zip(tensor("")?);
            let scaled = |(x, scale): (&Option<f64>, f64)| match x {
                _ if scale == 0. => Some(0.),
                x => x.map(|x| x * scale),
            };
            channels.map(scaled).collect()
        }
        LayerKind::Activation(_) => activated(node, xs)?,
        LayerKind::Dropout { .. }
        | LayerKind::Dropout2d { .. }
        | LayerKind::DropPath { .. }
        | LayerKind::MaxPool { .. }
        | LayerKind::AdaptiveAvgPool { .. }
        | LayerKind::AdaptiveMaxPool { .. }
        | LayerKind::GlobalAvgPool
        | LayerKind::GlobalMaxPool
        | LayerKind::Resize { .. }
        | LayerKind::ResizeLike { .. } => xs.to_vec(),
        LayerKind::AvgPool {
            window,
            count_include_pad,
        } => {
            if count_include_pad && is_padded(&window) {
                zeros()
            } else {
                xs.to_vec()
            }
        }
        LayerKind::L2Norm { .. } | LayerKind::PadLike => zeros(),
        LayerKind::MultiScaleRoiAlign { .. } => {
            let is_zero = |channel: usize| inputs.iter().all(|maps| maps[channel] == Some(0.));
            (0..xs.len())
                .map(|channel| is_zero(channel).then_some(0.))
                .collect()
        }
        LayerKind::Add => pairs(inputs, |x, y| Some(x? + y?)),
        LayerKind::ChannelScale => pairs(inputs, |x, y| match (x, y) {
            (Some(0.), _) | (_, Some(0.)) => Some(0.),
            (x, y) => Some(x? * y?),
        }),
        LayerKind::Concat => inputs.concat(),
        LayerKind::ChannelSlice { start, channels } => xs[start..start + channels].to_vec(),
        LayerKind::ChannelShuffle { groups } => {
            let of_group = xs.len() / groups.max(1);
            let shuffled = (0..xs.len()).map(|at| xs[at % groups * of_group + at / groups]);
            shuffled.collect()
        }
        LayerKind::SpaceToDepth => xs.repeat(4),
        LayerKind::Flatten => {
            let pixels: usize = node.input_shapes[0].iter().skip(1).product();
            xs.iter()
                .flat_map(|&x| std::iter::repeat_n(x, pixels))
                .collect()
        }
        LayerKind::PadChannels { before, after } => {
            [&vec![Some(0.); before][..], xs, &vec![Some(0.); after]].concat()
        }
        _ => vec![None; node.channels()],
    })
}

fn pairs(inputs: &[Known], joined: impl Fn(Option<f64>, Option<f64>) -> Option<f64>) -> Known {
    let [xs, ys] = inputs else {
        return Vec::new();
    };
    // One value for all channels, or one for each.
    let of = |ys: &Known, channel: usize| ys.get(channel).or(ys.first()).copied().flatten();
    (0..xs.len())
        .map(|channel| joined(xs[channel], of(ys, channel)))
        .collect()
}

/// What the activation makes of what is known.
fn activated(node: &Node, xs: &[Option<f64>]) -> Result<Known, Error> {
    let values: Vec<f64> = xs.iter().map(|x| x.unwrap_or(0.)).collect();
    let vector = Tensor::from_vec(values, (1, xs.len()), &Device::Cpu)?;
    let given = node.compute(&[OwnedValue::Vectors(vector)], &|_| {
        candle_core::bail!("an activation has no tensors")
    })?;
    let given: Vec<f64> = given.to_tensor()?.flatten_all()?.to_vec1()?;
    let channels = xs.iter().zip(given);
    Ok(channels.map(|(x, y)| x.map(|_| y)).collect())
}

/// Whether a layer with a weight has a bias.
pub(super) fn has_bias(node: &Node) -> bool {
    match node.kind {
        LayerKind::Conv2d { bias, .. }
        | LayerKind::ConvTranspose2d { bias, .. }
        | LayerKind::Linear { bias } => bias,
        _ => false,
    }
}

/// Whether a window sees zeros beyond the border.
fn is_padded(window: &Window) -> bool {
    match window.padding {
        Padding::Valid => false,
        Padding::Same => window.kernel_size != [1, 1],
        Padding::Explicit {
            top,
            bottom,
            left,
            right,
        } => top + bottom + left + right > 0,
    }
}

/// The weight of a convolution or a linear layer.
pub(super) struct Weight {
    /// Of each output, of each input of its group, the taps of the kernel.
    values: Vec<f64>,
    outputs: usize,
    /// Inputs that an output sees.
    of_group: usize,
    taps: usize,
    bias: Option<Vec<f64>>,
    groups: usize,
    /// Whether an output at the border sees less of its inputs than others.
    has_border: bool,
}

impl Weight {
    pub(super) fn of(node: &Node, store: &Store) -> Result<Self, Error> {
        let read = |name: &str| -> Result<Tensor, Error> {
            let tensor = store.get(&format!("{}.{name}", node.path))?;
            Ok(tensor.to_dtype(DType::F64)?)
        };
        let groups = match node.kind {
            LayerKind::Conv2d { groups, .. } | LayerKind::ConvTranspose2d { groups, .. } => groups,
            _ => 1,
        };
        let has_border = match node.kind {
            LayerKind::Conv2d { window, .. } => is_padded(&window),
            LayerKind::ConvTranspose2d { .. } => true,
            _ => false,
        };
        let mut weight = read("weight")?;
        if let LayerKind::ConvTranspose2d { .. } = node.kind {
            // Inputs come first, and of each the outputs of its group.
            let (inputs, of_group) = (weight.dims()[0], weight.dims()[1]);
            let by_group = weight.reshape((groups, inputs / groups, of_group, ()))?;
            let turned = by_group.transpose(1, 2)?.contiguous()?;
            weight = turned.reshape((groups * of_group, inputs / groups, ()))?;
        }
        let bias = has_bias(node).then(|| read("bias")).transpose()?;
        Ok(Self {
            outputs: weight.dims()[0],
            of_group: weight.dims()[1],
            taps: weight.dims().iter().skip(2).product(),
            values: weight.flatten_all()?.to_vec1()?,
            bias: bias.map(|bias| bias.to_vec1()).transpose()?,
            groups,
            has_border,
        })
    }

    /// How many outputs it gives.
    pub(super) fn outputs(&self) -> usize {
        self.outputs
    }

    /// What is known of the outputs for what is known of the inputs.
    fn known_outputs(&self, xs: &[Option<f64>]) -> Known {
        let of_output = |output: usize| {
            let bias = self.bias.as_ref().map_or(0., |bias| bias[output]);
            let mut added = self.inputs_of(output);
            added.try_fold(bias, |sum, input| {
                Some(sum + self.contribution(output, input, xs)?)
            })
        };
        (0..self.outputs).map(of_output).collect()
    }

    /// The inputs that an output sees.
    pub(super) fn inputs_of(&self, output: usize) -> std::ops::Range<usize> {
        let group = output * self.groups / self.outputs.max(1);
        group * self.of_group..(group + 1) * self.of_group
    }

    /// What an input adds to an output everywhere; `None` where that differs or is unknown.
    pub(super) fn contribution(
        &self,
        output: usize,
        input: usize,
        xs: &[Option<f64>],
    ) -> Option<f64> {
        let first = (output * self.of_group + input % self.of_group) * self.taps;
        let kernel = &self.values[first..first + self.taps];
        if kernel.iter().all(|&weight| weight == 0.) {
            return Some(0.);
        }
        match xs[input]? {
            0. => Some(0.),
            _ if self.has_border => None,
            x => Some(x * kernel.iter().sum::<f64>()),
        }
    }
}
