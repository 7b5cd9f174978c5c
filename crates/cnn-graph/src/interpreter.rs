//! Runs a graph from the tensors of a store, with the kernels and without the layers.

use std::collections::BTreeMap;

use candle_core::{Result as CandleResult, Tensor};
use cnn_kernels::{
    BackwardRule, Conv2dSpec, ConvTranspose2dSpec, Padding, ResizeTo, activate, activate_tensor,
    adaptive_avg_pool, adaptive_max_pool, add, avg_pool, batch_norm_running, channel_shuffle,
    channel_slice, concat, conv_transpose2d, conv2d, global_avg_pool, global_max_pool, group_norm,
    l2_norm, layer_norm, layer_scale, max_pool, resize, softmax, space_to_depth,
};
use cnn_layers::{Activation, FeatureMap, LayerKind, Store, pad_like};

use crate::{Error, Graph, Node, OwnedValue, Source};

impl Graph {
    /// Computes the network's outputs by their names, from the store's tensors and the kernels
    /// alone: what the model gives in evaluation, with running statistics and without dropout.
    ///
    /// There may be other images than were watched, and where the layers fit them, of another size;
    /// their element type is the store's. Only nodes that an output needs are computed, and a value
    /// is freed after its last reader.
    ///
    /// # Errors
    /// [`Error::UnknownKind`] for a layer of one's own, [`Error::Folded`] for one that was folded
    /// for inference, [`Error::Compute`] if the store lacks a tensor or a shape does not fit.
    pub fn run(
        &self,
        store: &Store,
        images: &FeatureMap,
    ) -> Result<BTreeMap<String, OwnedValue>, Error> {
        let images = OwnedValue::Maps(images.detach());
        self.interpret(images, |node, inputs| {
            node.compute(inputs, &|name| store.get(name))
        })
    }

    /// Computes the network's outputs by their names with a meaning of one's own: `compute` gives
    /// the value of a node from those of its inputs, as bounds, ranges or costs in place of numbers.
    /// [`Node::compute`] is the usual one.
    ///
    /// Nodes come in order of execution. Only those that an output needs are computed, and a value
    /// is freed after its last reader.
    ///
    /// # Errors
    /// Those of `compute`.
    ///
    /// ```
    /// use candle_core::{DType, Device, Tensor};
    /// use cnn_graph::Graph;
    /// use cnn_layers::{Conv2dConfig, FeatureMap, Layer, Mode, Store};
    ///
    /// // How many layers lie between an output and the images.
    /// let root = Store::new(0).builder(Mode::Eval);
    /// let config = Conv2dConfig::new(3, 3, 1);
    /// let [first, second] = [config.build(&root.pp("first"))?, config.build(&root.pp("second"))?];
    /// let images = FeatureMap::from_nchw(&Tensor::ones((1, 3, 4, 5), DType::F32, &Device::Cpu)?)?;
    /// let graph = Graph::watch(&images, |xs, cx| {
    ///     Ok([("maps", second.forward(&first.forward(xs, cx)?, cx)?)])
    /// })?;
    /// let depths = graph.interpret(0, |_, inputs| Ok::<_, cnn_graph::Error>(inputs[0] + 1))?;
    /// assert_eq!(depths["maps"], 2);
    /// # Ok::<(), anyhow::Error>(())
    /// ```
    pub fn interpret<V: Clone, E>(
        &self,
        images: V,
        mut compute: impl FnMut(&Node, &[V]) -> Result<V, E>,
    ) -> Result<BTreeMap<String, V>, E> {
        let mut uses = self.uses();
        let mut values: Vec<Option<V>> = vec![None; self.nodes().len()];
        for (number, node) in self.nodes().iter().enumerate() {
            if uses[number] == 0 {
                continue;
            }
            let inputs: Vec<V> = node
                .inputs
                .iter()
                .filter_map(|&source| read(source, &images, &values).cloned())
                .collect();
            for &source in &node.inputs {
                if let Source::Node(read) = source {
                    uses[read] -= 1;
                    if uses[read] == 0 {
                        values[read] = None;
                    }
                }
            }
            values[number] = Some(compute(node, &inputs)?);
        }
        let output = |(name, source): &(String, Source)| {
            read(*source, &images, &values).map(|value| (name.clone(), value.clone()))
        };
        Ok(self.outputs().iter().filter_map(output).collect())
    }

    /// How often each node's output is read by those that an output needs, and as an output; 0 for
    /// nodes that none needs.
    fn uses(&self) -> Vec<usize> {
        let mut uses = vec![0; self.nodes().len()];
        for &(_, source) in self.outputs() {
            if let Source::Node(node) = source {
                uses[node] += 1;
            }
        }
        // A node's readers come after it.
        for (number, node) in self.nodes().iter().enumerate().rev() {
            if uses[number] == 0 {
                continue;
            }
            for &source in &node.inputs {
                if let Source::Node(read) = source {
                    uses[read] += 1;
                }
            }
        }
        uses
    }
}

fn read<'a, V>(source: Source, images: &'a V, values: &'a [Option<V>]) -> Option<&'a V> {
    match source {
        Source::Images => Some(images),
        Source::Node(node) => values[node].as_ref(),
    }
}

impl Node {
    /// What the layer gives for these inputs in evaluation, with the tensors that `tensors` gives by
    /// their names in the store: those of a store, or others in their place. Differentiable.
    ///
    /// # Errors
    /// As [`Graph::run`], and [`Error::Input`] for an input that is missing or of another form.
    pub fn compute(
        &self,
        inputs: &[OwnedValue],
        tensors: &dyn Fn(&str) -> CandleResult<Tensor>,
    ) -> Result<OwnedValue, Error> {
        self.check_known()?;
        computed(&Operands {
            node: self,
            inputs,
            tensors,
        })
    }
}

fn computed(operands: &Operands<'_>) -> Result<OwnedValue, Error> {
    let Operands { node, inputs, .. } = *operands;
    match node.kind {
        LayerKind::Linear { bias } => match inputs.first() {
            Some(OwnedValue::Maps(xs)) => operands
                .checked(linear_of_pixels(operands, xs, bias))
                .map(OwnedValue::Maps),
            _ => {
                let xs = operands.vectors(0)?;
                operands
                    .checked(linear(operands, xs, bias))
                    .map(OwnedValue::Vectors)
            }
        },
        LayerKind::Flatten => {
            let xs = operands.maps(0)?;
            operands.checked(xs.flatten()).map(OwnedValue::Vectors)
        }
        LayerKind::Add
        | LayerKind::ChannelScale
        | LayerKind::PadLike
        | LayerKind::ResizeLike { .. } => {
            let xs = operands.maps(0)?;
            let ys = operands.maps(1)?;
            let joined = match node.kind {
                LayerKind::Add => add(xs, ys),
                LayerKind::PadLike => pad_like(xs, ys),
                LayerKind::ResizeLike { interpolation } => {
                    resize(xs, ResizeTo::Size([ys.height(), ys.width()]), interpolation)
                }
                _ => scaled(xs, ys),
            };
            operands.checked(joined).map(OwnedValue::Maps)
        }
        LayerKind::Concat => {
            let maps = (0..inputs.len()).map(|input| operands.maps(input));
            let maps = maps.collect::<Result<Vec<_>, _>>()?;
            operands.checked(concat(&maps)).map(OwnedValue::Maps)
        }
        _ => match (Function::of(node.kind), inputs.first()) {
            (Some(function), Some(OwnedValue::Vectors(xs))) => operands
                .checked(function.of_vectors(xs))
                .map(OwnedValue::Vectors),
            (Some(function), _) => {
                let xs = operands.maps(0)?;
                operands.checked(function.of_maps(xs)).map(OwnedValue::Maps)
            }
            (None, _) => {
                let xs = operands.maps(0)?;
                operands
                    .checked(of_maps(operands, xs))
                    .map(OwnedValue::Maps)
            }
        },
    }
}

/// A function that maps and vectors both have.
enum Function {
    /// What dropout is outside training.
    Identity,
    Activation(Activation),
    Softmax,
}

impl Function {
    /// The function of a kind that takes both.
    fn of(kind: LayerKind) -> Option<Self> {
        match kind {
            LayerKind::Dropout { .. }
            | LayerKind::Dropout2d { .. }
            | LayerKind::DropPath { .. } => Some(Self::Identity),
            LayerKind::Activation(activation) => Some(Self::Activation(activation)),
            LayerKind::Softmax => Some(Self::Softmax),
            _ => None,
        }
    }

    fn of_vectors(&self, xs: &Tensor) -> CandleResult<Tensor> {
        match *self {
            Self::Identity => Ok(xs.clone()),
            Self::Activation(activation) => activate_tensor(xs, activation, BackwardRule::Standard),
            Self::Softmax => softmax(xs),
        }
    }

    fn of_maps(&self, xs: &FeatureMap) -> CandleResult<FeatureMap> {
        match *self {
            Self::Identity => Ok(xs.clone()),
            Self::Activation(activation) => activate(xs, activation, BackwardRule::Standard),
            Self::Softmax => FeatureMap::from_nhwc(&softmax(&xs.to_nhwc())?),
        }
    }
}

fn linear(operands: &Operands<'_>, xs: &Tensor, bias: bool) -> CandleResult<Tensor> {
    // A 1×1 convolution over single pixels.
    let (images, features) = xs.dims2()?;
    let pixels = FeatureMap::from_nhwc(&xs.reshape((images, 1, 1, features))?)?;
    linear_of_pixels(operands, &pixels, bias)?.flatten()
}

fn linear_of_pixels(
    operands: &Operands<'_>,
    xs: &FeatureMap,
    bias: bool,
) -> CandleResult<FeatureMap> {
    let weight = operands.tensor("weight")?;
    let bias = bias.then(|| operands.tensor("bias")).transpose()?;
    conv2d(xs, &weight, bias.as_ref(), &Conv2dSpec::default())
}

/// What a node that reads one map gives.
fn of_maps(operands: &Operands<'_>, xs: &FeatureMap) -> CandleResult<FeatureMap> {
    match operands.node.kind {
        LayerKind::Conv2d {
            window,
            groups,
            bias,
        } => {
            let weight = operands.tensor("weight")?;
            let bias = bias.then(|| operands.tensor("bias")).transpose()?;
            let spec = Conv2dSpec {
                stride: window.stride,
                padding: window.padding,
                dilation: window.dilation,
                groups,
            };
            conv2d(xs, &weight, bias.as_ref(), &spec)
        }
        LayerKind::ConvTranspose2d {
            window,
            output_padding,
            groups,
            bias,
        } => {
            let weight = operands.tensor("weight")?;
            let bias = bias.then(|| operands.tensor("bias")).transpose()?;
            let spec = ConvTranspose2dSpec {
                stride: window.stride,
                padding: left_out(window.padding),
                output_padding,
                dilation: window.dilation,
                groups,
            };
            conv_transpose2d(xs, &weight, bias.as_ref(), &spec)
        }
        LayerKind::BatchNorm { eps } => batch_norm_running(
            xs,
            &operands.tensor("weight")?,
            &operands.tensor("bias")?,
            &operands.tensor("running_mean")?,
            &operands.tensor("running_var")?,
            eps,
            None,
            Activation::Identity,
        ),
        LayerKind::LayerNorm { eps } => layer_norm(
            xs,
            &operands.tensor("weight")?,
            &operands.tensor("bias")?,
            eps,
        ),
        LayerKind::GroupNorm {
            groups,
            eps,
            affine,
        } => {
            if !affine {
                return group_norm(xs, groups, None, eps);
            }
            let [weight, bias] = [operands.tensor("weight")?, operands.tensor("bias")?];
            group_norm(xs, groups, Some([&weight, &bias]), eps)
        }
        // Its path is its tensor's.
        LayerKind::LayerScale => layer_scale(xs, &(operands.tensors)(&operands.node.path)?, None),
        LayerKind::L2Norm { eps } => l2_norm(xs, &(operands.tensors)(&operands.node.path)?, eps),
        LayerKind::MaxPool { window } => max_pool(xs, &window),
        LayerKind::AvgPool {
            window,
            count_include_pad,
        } => avg_pool(xs, &window, count_include_pad),
        LayerKind::AdaptiveAvgPool { output } => adaptive_avg_pool(xs, output),
        LayerKind::AdaptiveMaxPool { output } => adaptive_max_pool(xs, output),
        LayerKind::GlobalAvgPool => global_avg_pool(xs),
        LayerKind::GlobalMaxPool => global_max_pool(xs),
        LayerKind::Resize { to, interpolation } => resize(xs, to, interpolation),
        LayerKind::SpaceToDepth => space_to_depth(xs),
        LayerKind::ChannelSlice { start, channels } => {
            channel_slice(xs, start..start.saturating_add(channels))
        }
        LayerKind::ChannelShuffle { groups } => channel_shuffle(xs, groups),
        LayerKind::PadChannels { before, after } => {
            let zeros = |channels| {
                let shape = (xs.batch(), xs.height(), xs.width(), channels);
                FeatureMap::from_nhwc(&Tensor::zeros(shape, xs.dtype(), xs.device())?)
            };
            concat(&[&zeros(before)?, xs, &zeros(after)?])
        }
        // A kind that `Node::check_known` accepts has its place above.
        _ => candle_core::bail!("the interpreter has no operation for it"),
    }
}

/// Rows and columns that a transposed convolution leaves out on each side.
fn left_out(padding: Padding) -> [usize; 2] {
    match padding {
        Padding::Explicit { top, left, .. } => [top, left],
        Padding::Valid | Padding::Same => [0, 0],
    }
}

/// Maps times one factor per channel.
fn scaled(xs: &FeatureMap, factors: &FeatureMap) -> CandleResult<FeatureMap> {
    FeatureMap::from_nhwc(&xs.to_nhwc().broadcast_mul(&factors.to_nhwc())?)
}

/// What a node computes with.
struct Operands<'a> {
    node: &'a Node,
    inputs: &'a [OwnedValue],
    tensors: &'a dyn Fn(&str) -> CandleResult<Tensor>,
}

impl<'a> Operands<'a> {
    fn maps(&self, input: usize) -> Result<&'a FeatureMap, Error> {
        match self.inputs.get(input) {
            Some(OwnedValue::Maps(maps)) => Ok(maps),
            Some(OwnedValue::Vectors(_)) => Err(self.unlike(input, "vectors", "maps")),
            None => Err(self.unlike(input, "absent", "maps")),
        }
    }

    fn vectors(&self, input: usize) -> Result<&'a Tensor, Error> {
        match self.inputs.get(input) {
            Some(OwnedValue::Vectors(vectors)) => Ok(vectors),
            Some(OwnedValue::Maps(_)) => Err(self.unlike(input, "maps", "vectors")),
            None => Err(self.unlike(input, "absent", "vectors")),
        }
    }

    fn unlike(&self, input: usize, found: &'static str, expected: &'static str) -> Error {
        Error::Input {
            path: self.node.path.clone(),
            kind: self.node.kind.name(),
            input,
            found,
            expected,
        }
    }

    /// The node's tensor of that name.
    fn tensor(&self, name: &str) -> CandleResult<Tensor> {
        (self.tensors)(&self.node.name_of(name))
    }

    /// The result, its error with the node's path.
    fn checked<T>(&self, result: CandleResult<T>) -> Result<T, Error> {
        result.map_err(|source| Error::Compute {
            path: self.node.path.clone(),
            kind: self.node.kind.name(),
            source: Box::new(source),
        })
    }
}
