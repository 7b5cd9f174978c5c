//! How a layer's bounds follow from those of what it reads.

use cnn_layers::{Activation, LayerKind};

/// Where `x · sigmoid(x)` is lowest.
const LOWEST_SILU: f64 = -1.278_464_542_761_074;
/// Where `x · Φ(x)` is lowest.
const LOWEST_GELU: f64 = -0.751_791_524_693_564_5;
/// Where the tanh approximation of the same is lowest.
const LOWEST_GELU_TANH: f64 = -0.752_461_422_071_016_3;

/// How a layer's bounds follow from those of what it reads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Rule {
    /// No output falls where an input grows: ends give ends.
    Monotone,
    /// Sums of inputs times factors, and an offset: the centre as the layer has it, the radius with
    /// the factors' magnitudes.
    Affine,
    /// A function of each element that falls up to a place and grows behind it: the largest value
    /// is that of an end, the lowest that of the place between the ends which is nearest to it.
    Valley(f64),
    /// The first input times the second.
    Product,
}

impl Rule {
    /// What holds for a kind of layer; `None` where no bounds are known.
    pub(super) fn of(kind: LayerKind) -> Option<Self> {
        match kind {
            LayerKind::Conv2d { .. }
            | LayerKind::ConvTranspose2d { .. }
            | LayerKind::Linear { .. }
            | LayerKind::BatchNorm { .. }
            | LayerKind::LayerScale => Some(Self::Affine),
            LayerKind::Activation(activation) => Some(Self::of_activation(activation)),
            LayerKind::ChannelScale => Some(Self::Product),
            // What is interpolated has weights that are not negative, and dropout is the identity
            // outside of training.
            LayerKind::MaxPool { .. }
            | LayerKind::AvgPool { .. }
            | LayerKind::AdaptiveAvgPool { .. }
            | LayerKind::AdaptiveMaxPool { .. }
            | LayerKind::GlobalAvgPool
            | LayerKind::GlobalMaxPool
            | LayerKind::Resize { .. }
            | LayerKind::ResizeLike { .. }
            | LayerKind::SpaceToDepth
            | LayerKind::PadLike
            | LayerKind::Dropout { .. }
            | LayerKind::Dropout2d { .. }
            | LayerKind::DropPath { .. }
            | LayerKind::Add
            | LayerKind::Concat
            | LayerKind::ChannelSlice { .. }
            | LayerKind::ChannelShuffle { .. }
            | LayerKind::Flatten
            | LayerKind::PadChannels { .. } => Some(Self::Monotone),
            _ => None,
        }
    }

    fn of_activation(activation: Activation) -> Self {
        match activation {
            Activation::Identity
            | Activation::Relu
            | Activation::Relu6
            | Activation::Sigmoid
            | Activation::HardSigmoid
            | Activation::Tanh => Self::Monotone,
            Activation::LeakyRelu(slope) if slope < 0. => Self::Valley(0.),
            Activation::LeakyRelu(_) => Self::Monotone,
            Activation::Silu => Self::Valley(LOWEST_SILU),
            Activation::HardSwish => Self::Valley(-1.5),
            Activation::Gelu => Self::Valley(LOWEST_GELU),
            Activation::GeluTanh => Self::Valley(LOWEST_GELU_TANH),
        }
    }
}
