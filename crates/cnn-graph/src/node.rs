//! One layer's work in a forward pass.

use cnn_layers::{LayerKind, TensorKind};

use crate::Error;

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The images.
    Images,
    /// The output of a node, by its place in [`Graph::nodes`](crate::Graph::nodes).
    Node(usize),
}

/// An input of a node: where another node's output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeInput {
    /// The node, by its place in [`Graph::nodes`](crate::Graph::nodes).
    pub node: usize,
    /// Which of the node's inputs, counted from 0.
    pub input: usize,
}

/// One layer's work in a forward pass. A layer that works twice has two nodes of one path.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Node {
    /// Path of the layer, as `layer1.0.conv1`.
    pub path: String,
    /// What it computes.
    pub kind: LayerKind,
    /// What it read.
    pub inputs: Vec<Source>,
    /// Shapes of what it read, without the batch.
    pub input_shapes: Vec<Vec<usize>>,
    /// Shape of what it gave, without the batch: `[C, H, W]` of maps, `[features]` of vectors.
    pub shape: Vec<usize>,
    /// How many of these it gave for an image: 1, and behind a
    /// [`MultiScaleRoiAlign`](LayerKind::MultiScaleRoiAlign) one for each region of the image.
    pub regions: usize,
}

/// A tensor of the store that a node reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTensor {
    /// Its name in the store, as `layer1.0.conv1.weight`.
    pub name: String,
    /// Its shape, PyTorch's.
    pub shape: Vec<usize>,
    /// A parameter, or a buffer such as running statistics.
    pub kind: TensorKind,
}

impl Node {
    /// Channels of the maps that it gave, features of its vectors.
    pub fn channels(&self) -> usize {
        self.shape.first().copied().unwrap_or(0)
    }

    /// Rows and columns of the maps that it gave; one pixel for vectors.
    pub fn extent(&self) -> [usize; 2] {
        match *self.shape {
            [_, height, width] => [height, width],
            _ => [1, 1],
        }
    }

    /// Channels of an input's maps, features of its vectors; 0 if there is no such input.
    pub fn input_channels(&self, input: usize) -> usize {
        let shape = self.input_shapes.get(input);
        shape.and_then(|shape| shape.first()).copied().unwrap_or(0)
    }

    /// The tensors of the store that it reads in evaluation: its parameters, and the running
    /// statistics of a batch norm.
    ///
    /// # Errors
    /// [`Error::UnknownKind`] for a layer of one's own, [`Error::Folded`] for one that was folded
    /// for inference.
    pub fn tensors(&self) -> Result<Vec<StoredTensor>, Error> {
        let outputs = self.channels();
        let inputs = self.input_channels(0);
        let channels = |names: &[&str], kind| -> Vec<StoredTensor> {
            let tensor = |name: &&str| self.tensor(name, vec![outputs], kind);
            names.iter().map(tensor).collect()
        };
        let (weight, bias) = match self.kind {
            LayerKind::Conv2d {
                window,
                groups,
                bias,
            } => {
                let [rows, columns] = window.kernel_size;
                (vec![outputs, inputs / groups.max(1), rows, columns], bias)
            }
            LayerKind::ConvTranspose2d {
                window,
                groups,
                bias,
                ..
            } => {
                let [rows, columns] = window.kernel_size;
                (vec![inputs, outputs / groups.max(1), rows, columns], bias)
            }
            LayerKind::Linear { bias } => (vec![outputs, inputs], bias),
            LayerKind::BatchNorm { .. } => {
                let mut tensors = channels(&["weight", "bias"], TensorKind::Parameter);
                tensors.extend(channels(
                    &["running_mean", "running_var"],
                    TensorKind::Buffer,
                ));
                return Ok(tensors);
            }
            LayerKind::LayerNorm { .. } | LayerKind::GroupNorm { affine: true, .. } => {
                return Ok(channels(&["weight", "bias"], TensorKind::Parameter));
            }
            LayerKind::LayerScale | LayerKind::L2Norm { .. } => {
                return Ok(vec![StoredTensor {
                    name: self.path.clone(),
                    shape: vec![outputs],
                    kind: TensorKind::Parameter,
                }]);
            }
            _ => {
                self.check_known()?;
                return Ok(Vec::new());
            }
        };
        let mut tensors = vec![self.tensor("weight", weight, TensorKind::Parameter)];
        if bias {
            tensors.extend(channels(&["bias"], TensorKind::Parameter));
        }
        Ok(tensors)
    }

    /// The number of its learnable values.
    ///
    /// # Errors
    /// As [`Node::tensors`].
    pub fn parameter_count(&self) -> Result<usize, Error> {
        let tensors = self.tensors()?;
        Ok(tensors.iter().map(StoredTensor::learnable_values).sum())
    }

    /// Its multiply-adds for one image if it is a convolution, transposed or not, or a linear layer,
    /// and 0 else, as published counts state them.
    ///
    /// # Errors
    /// As [`Node::tensors`].
    pub fn multiply_adds(&self) -> Result<u64, Error> {
        let positions: usize = match self.kind {
            LayerKind::Conv2d { .. } | LayerKind::Linear { .. } => self.extent().iter().product(),
            // Every pixel of the input meets every weight.
            LayerKind::ConvTranspose2d { .. } => {
                let input = self.input_shapes.first();
                input.map_or(0, |shape| shape.iter().skip(1).product())
            }
            _ => return self.check_known().map(|()| 0),
        };
        let weights = &self.tensors()?[0].shape;
        let of_region = weights.iter().product::<usize>() as u64 * positions as u64;
        Ok(of_region * self.regions as u64)
    }

    /// The name in the store of the tensor that it calls `name`.
    pub(crate) fn name_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_string()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    /// Whether it is known what the node computes.
    pub(crate) fn check_known(&self) -> Result<(), Error> {
        let path = self.path.clone();
        let kind = self.kind.name();
        match self.kind {
            LayerKind::FusedConv2d { .. }
            | LayerKind::FusedConvTranspose2d { .. }
            | LayerKind::FusedConcat
            | LayerKind::FusedLayerNorm { .. } => Err(Error::Folded { path, kind }),
            LayerKind::Conv2d { .. }
            | LayerKind::ConvTranspose2d { .. }
            | LayerKind::Linear { .. }
            | LayerKind::BatchNorm { .. }
            | LayerKind::LayerNorm { .. }
            | LayerKind::GroupNorm { .. }
            | LayerKind::LayerScale
            | LayerKind::L2Norm { .. }
            | LayerKind::Activation(_)
            | LayerKind::Softmax
            | LayerKind::MaxPool { .. }
            | LayerKind::AvgPool { .. }
            | LayerKind::AdaptiveAvgPool { .. }
            | LayerKind::AdaptiveMaxPool { .. }
            | LayerKind::GlobalAvgPool
            | LayerKind::GlobalMaxPool
            | LayerKind::Resize { .. }
            | LayerKind::ResizeLike { .. }
            | LayerKind::PadLike
            | LayerKind::SpaceToDepth
            | LayerKind::MultiScaleRoiAlign { .. }
            | LayerKind::Dropout { .. }
            | LayerKind::Dropout2d { .. }
            | LayerKind::DropPath { .. }
            | LayerKind::Add
            | LayerKind::Concat
            | LayerKind::ChannelScale
            | LayerKind::ChannelSlice { .. }
            | LayerKind::ChannelShuffle { .. }
            | LayerKind::Flatten
            | LayerKind::PadChannels { .. } => Ok(()),
            _ => Err(Error::UnknownKind { path, kind }),
        }
    }

    fn tensor(&self, name: &str, shape: Vec<usize>, kind: TensorKind) -> StoredTensor {
        StoredTensor {
            name: self.name_of(name),
            shape,
            kind,
        }
    }
}

impl StoredTensor {
    /// How many values of it training can change: those of a buffer are not among them.
    pub fn learnable_values(&self) -> usize {
        match self.kind {
            TensorKind::Parameter => self.shape.iter().product(),
            TensorKind::Buffer => 0,
        }
    }
}
