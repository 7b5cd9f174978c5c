//! The graph of a network.

use std::collections::HashMap;

use candle_core::{Result as CandleResult, Tensor};
use cnn_layers::{Backbone, Classifier, Context, Detector, FeatureMap, Segmenter};

use crate::recorder::{Recorded, Recorder};
use crate::{Error, Node, NodeInput, OwnedValue, ReceptiveField, Source, receptive_field};

/// What a network computes: its layers as they worked in one forward pass, who read whose output,
/// and which outputs the network has.
///
/// It is made by watching: every layer runs inside [`Context::layer`], and a value is known by its
/// identity. So every operation has to be in a layer, joins and changes of shape among them; one
/// that is not is an error that names who reads its output. A layer of one's own has a node too.
/// Only what has to know what it computes refuses it: its tensors, its multiply-adds, and
/// [`run`](Self::run).
///
/// A model that was built for inference has folded layers, which are in the graph as such. Watch
/// one that was built for [`Mode::Eval`](cnn_layers::Mode::Eval).
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use cnn_graph::{Graph, Source};
/// use cnn_layers::{Add, Conv2dConfig, FeatureMap, Layer, Mode, Padding, Store};
///
/// // Two convolutions of the images, whose sum and the second of which are the outputs.
/// let store = Store::new(0);
/// let root = store.builder(Mode::Eval);
/// let conv = Conv2dConfig::new(3, 4, 3).with_padding(Padding::all(1));
/// let (left, right) = (
///     conv.build(&root.pp("left"))?,
///     conv.build(&root.pp("right"))?,
/// );
/// let add = Add::new(&root.pp("add"));
///
/// let images = FeatureMap::from_nchw(&Tensor::ones((1, 3, 8, 6), DType::F32, &Device::Cpu)?)?;
/// let graph = Graph::watch(&images, |xs, cx| {
///     let (left, right) = (left.forward(xs, cx)?, right.forward(xs, cx)?);
///     Ok([("sum", add.forward(&left, &right, cx)?), ("right", right)])
/// })?;
/// assert_eq!(graph.output("sum"), Some(Source::Node(2)));
/// assert_eq!(graph.readers(1)[0].node, 2);
/// assert_eq!(graph.nodes()[2].path, "add");
///
/// // Other images, more of them, in another size.
/// let images = FeatureMap::from_nchw(&Tensor::ones((5, 3, 9, 11), DType::F32, &Device::Cpu)?)?;
/// assert_eq!(
///     graph.run(&store, &images)?["sum"].to_tensor()?.dims(),
///     [5, 4, 9, 11]
/// );
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Graph {
    image: Vec<usize>,
    nodes: Vec<Node>,
    /// Of each node.
    readers: Vec<Vec<NodeInput>>,
    outputs: Vec<(String, Source)>,
}

impl Graph {
    /// Watches whatever `model` does with these images in evaluation; it gives the outputs with
    /// their names. One image is enough, and its values do not matter.
    ///
    /// # Errors
    /// [`Error::OutsideLayer`] and [`Error::OutputOutsideLayer`] for an operation outside any layer,
    /// [`Error::SameOutput`] for two outputs of one name, and what the model itself says.
    pub fn watch<N, V, O>(
        images: &FeatureMap,
        model: impl FnOnce(&FeatureMap, &Context<'_>) -> CandleResult<O>,
    ) -> Result<Self, Error>
    where
        N: Into<String>,
        V: Into<OwnedValue>,
        O: IntoIterator<Item = (N, V)>,
    {
        let recorder = Recorder::new(images);
        let outputs = model(images, &Context::eval().with_observer(&recorder));
        let named = outputs.map(|outputs| {
            let named = |(name, output): (N, V)| (name.into(), output.into());
            outputs.into_iter().map(named).collect()
        });
        let Recorded { nodes, outputs } = recorder.finish(named)?;
        let mut readers = vec![Vec::new(); nodes.len()];
        for (node, reader) in nodes.iter().enumerate() {
            for (input, &source) in reader.inputs.iter().enumerate() {
                if let Source::Node(read) = source {
                    readers[read].push(NodeInput { node, input });
                }
            }
        }
        Ok(Self {
            image: vec![images.channels(), images.height(), images.width()],
            nodes,
            readers,
            outputs,
        })
    }

    /// The graph of a backbone; its outputs are its stages, `stage0`, `stage1`….
    ///
    /// # Errors
    /// As [`Graph::watch`].
    pub fn of_backbone(backbone: &dyn Backbone, images: &FeatureMap) -> Result<Self, Error> {
        Self::watch(images, |images, cx| {
            Ok(named(backbone.forward_stages(images, cx)?))
        })
    }

    /// The graph of a classifier; its outputs are the stages of its backbone, `stage0`, `stage1`…,
    /// and the class scores, `logits`. Auxiliary heads are for training alone and are not in it.
    ///
    /// # Errors
    /// As [`Graph::watch`].
    pub fn of_classifier(model: &dyn Classifier, images: &FeatureMap) -> Result<Self, Error> {
        Self::watch(images, |images, cx| {
            let (stages, logits) = stages_and_logits(model, images, cx)?;
            let logits = ("logits".to_string(), OwnedValue::from(logits));
            Ok(named(stages).chain([logits]))
        })
    }

    /// The graph of a network for pixels; its outputs are the stages of its backbone, `stage0`,
    /// `stage1`…, and the class scores of every pixel, `logits`. Auxiliary heads are for training
    /// alone and are not in it.
    ///
    /// # Errors
    /// As [`Graph::watch`].
    pub fn of_segmenter(model: &dyn Segmenter, images: &FeatureMap) -> Result<Self, Error> {
        Self::watch(images, |images, cx| {
            let stages = model.forward_stages(images, cx)?;
            let logits = model.forward_from(images, stages.clone(), cx)?;
            let logits = ("logits".to_string(), OwnedValue::from(logits));
            Ok(named(stages).chain([logits]))
        })
    }

    /// The graph of a network that finds objects, up to the maps that its heads give. It has no
    /// outputs: what the heads say of each place is put together outside of its layers.
    ///
    /// # Errors
    /// As [`Graph::watch`].
    pub fn of_detector(model: &dyn Detector, images: &FeatureMap) -> Result<Self, Error> {
        Self::watch(images, |images, cx| {
            model.forward_raw(images, cx)?;
            Ok(named(Vec::new()))
        })
    }

    /// The nodes in order of execution.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Who reads a node's output, in order of execution; nobody if there is no such node.
    pub fn readers(&self, node: usize) -> &[NodeInput] {
        self.readers.get(node).map_or(&[], Vec::as_slice)
    }

    /// The outputs with their names, in the order in which the model gave them.
    pub fn outputs(&self) -> &[(String, Source)] {
        &self.outputs
    }

    /// The source of the output called `name`, if there is one.
    pub fn output(&self, name: &str) -> Option<Source> {
        let found = self.outputs.iter().find(|(output, _)| output == name);
        found.map(|&(_, source)| source)
    }

    /// The shape of a value without the batch, for images of the size that was watched: `[C, H, W]`
    /// of maps, `[features]` of vectors.
    ///
    /// # Panics
    /// If the source is of another graph.
    pub fn shape(&self, source: Source) -> &[usize] {
        match source {
            Source::Images => &self.image,
            Source::Node(node) => &self.nodes[node].shape,
        }
    }

    /// The part of the image that one pixel of each node's output can depend on; `None` where it
    /// cannot be told: behind layers whose windows differ from pixel to pixel, and behind layers of
    /// one's own.
    pub fn receptive_fields(&self) -> Vec<Option<ReceptiveField>> {
        receptive_field::of_nodes(&self.nodes)
    }

    /// The receptive field of one value.
    pub fn receptive_field(&self, source: Source) -> Option<ReceptiveField> {
        receptive_field::of_source(source, &self.receptive_fields())
    }

    /// The number of learnable values of all nodes. Those of a layer that works twice count once.
    ///
    /// # Errors
    /// As [`Node::tensors`].
    pub fn parameter_count(&self) -> Result<usize, Error> {
        let mut values = HashMap::new();
        for node in &self.nodes {
            for tensor in node.tensors()? {
                let count = tensor.learnable_values();
                values.insert(tensor.name, count);
            }
        }
        Ok(values.values().sum())
    }

    /// The multiply-adds of all convolutions and linear layers, for one image of the size that was
    /// watched.
    ///
    /// # Errors
    /// As [`Node::tensors`].
    pub fn multiply_adds(&self) -> Result<u64, Error> {
        self.nodes.iter().map(Node::multiply_adds).sum()
    }
}

/// The outputs of a classifier's stages, and its logits, in one pass: what
/// [`Graph::of_classifier`] watches. An observer of one's own sees the layers in the order of the
/// graph's nodes.
///
/// # Errors
/// Those of the model.
pub fn stages_and_logits(
    model: &dyn Classifier,
    images: &FeatureMap,
    cx: &Context<'_>,
) -> CandleResult<(Vec<FeatureMap>, Tensor)> {
    let stages = model.forward_stages(images, cx)?;
    let features = match stages.last() {
        Some(last) => model.forward_from(stages.len() - 1, last, cx)?,
        None => model.forward_features(images, cx)?,
    };
    let logits = model.forward_head(&features, cx)?;
    Ok((stages, logits))
}

/// The stages with their names.
fn named(stages: Vec<FeatureMap>) -> impl Iterator<Item = (String, OwnedValue)> {
    let name = |(stage, maps)| (format!("stage{stage}"), OwnedValue::Maps(maps));
    stages.into_iter().enumerate().map(name)
}
