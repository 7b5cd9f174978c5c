//! What a layer computes, beside what the shapes of its parameters tell.

use std::fmt;

use crate::{Activation, Interpolation, ResizeTo, Window};

/// What a layer computes, with those of its attributes that the shapes of its inputs and its output
/// do not tell. An [`Observer`](crate::Observer) sees it with each layer.
///
/// The parameters of a kind lie under the layer's path with PyTorch's names, as `layer1.0.conv1.weight`.
///
/// ```
/// use cnn_layers::{Activation, LayerKind, Window};
///
/// let pool = LayerKind::MaxPool {
///     window: Window {
///         stride: [2, 2],
///         ..Window::new([3, 3])
///     },
/// };
/// assert_eq!(
///     (pool.name(), pool.window().map(|window| window.stride)),
///     ("max_pool", Some([2, 2]))
/// );
/// assert_eq!(
///     LayerKind::Activation(Activation::Relu6).to_string(),
///     "relu6"
/// );
/// // A layer of one's own has a name only.
/// assert_eq!(LayerKind::from("gate"), LayerKind::Custom("gate"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum LayerKind {
    /// A convolution, [`Conv2d`](crate::Conv2d).
    Conv2d {
        /// What slides over the input.
        window: Window,
        /// Groups of channels that do not see each other.
        groups: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// A convolution of a model that was built for inference, into which what follows it was
    /// folded: the norm, if there was one, and what is said here. It reads the shortcut as its
    /// second input where it has a residual sum.
    FusedConv2d {
        /// What slides over the input.
        window: Window,
        /// Groups of channels that do not see each other.
        groups: usize,
        /// The activation at the end.
        activation: Activation,
        /// Whether a shortcut is added before the activation.
        residual: bool,
    },
    /// A transposed convolution, [`ConvTranspose2d`](crate::ConvTranspose2d).
    ConvTranspose2d {
        /// What slides over the output; its padding is left out there.
        window: Window,
        /// Rows and columns that the output has beyond the least.
        output_padding: [usize; 2],
        /// Groups of channels that do not see each other.
        groups: usize,
        /// Whether there is a bias.
        bias: bool,
    },
    /// A transposed convolution of a model that was built for inference, into which the norm after
    /// it, if there was one, and the activation were folded.
    FusedConvTranspose2d {
        /// What slides over the output; its padding is left out there.
        window: Window,
        /// Rows and columns that the output has beyond the least.
        output_padding: [usize; 2],
        /// Groups of channels that do not see each other.
        groups: usize,
        /// The activation at the end.
        activation: Activation,
    },
    /// Convolutions of a model that was built for inference, with their activations, whose outputs
    /// are written one after another.
    FusedConcat,
    /// [`Linear`](crate::Linear), and a 1×1 convolution with a linear layer's weight
    /// ([`Conv2dConfig::with_linear_weight`](crate::Conv2dConfig::with_linear_weight)), which is the
    /// same for each pixel.
    Linear {
        /// Whether there is a bias.
        bias: bool,
    },
    /// [`BatchNorm2d`](crate::BatchNorm2d).
    BatchNorm {
        /// What is added to the variance.
        eps: f64,
    },
    /// Normalisation over the channels of each pixel, [`LayerNorm2d`](crate::LayerNorm2d).
    LayerNorm {
        /// What is added to the variance.
        eps: f64,
    },
    /// A layer norm of a model that was built for inference, whose factors and offsets of the
    /// channels the convolution behind it has taken in.
    FusedLayerNorm {
        /// What is added to the variance.
        eps: f64,
    },
    /// Normalisation over some channels of all pixels, [`GroupNorm`](crate::GroupNorm).
    GroupNorm {
        /// Groups of neighbouring channels.
        groups: usize,
        /// What is added to the variance.
        eps: f64,
        /// Whether there are a weight and a bias.
        affine: bool,
    },
    /// The input times one learned factor per channel, [`LayerScale`](crate::LayerScale). Its path
    /// is that of the parameter.
    LayerScale,
    /// Pixels of one length times one learned factor per channel, [`L2Norm2d`](crate::L2Norm2d). Its
    /// path is that of the parameter.
    L2Norm {
        /// The least length that a pixel is divided by.
        eps: f64,
    },
    /// [`Activate`](crate::Activate).
    Activation(Activation),
    /// Softmax over the channels of each pixel, or over the features of each vector.
    Softmax,
    /// [`MaxPool2d`](crate::MaxPool2d).
    MaxPool {
        /// What slides over the input.
        window: Window,
    },
    /// [`AvgPool2d`](crate::AvgPool2d).
    AvgPool {
        /// What slides over the input.
        window: Window,
        /// Whether zeros of the padding count in the average.
        count_include_pad: bool,
    },
    /// [`AdaptiveAvgPool2d`](crate::AdaptiveAvgPool2d).
    AdaptiveAvgPool {
        /// Rows and columns of the output.
        output: [usize; 2],
    },
    /// [`AdaptiveMaxPool2d`](crate::AdaptiveMaxPool2d).
    AdaptiveMaxPool {
        /// Rows and columns of the output.
        output: [usize; 2],
    },
    /// [`GlobalAvgPool2d`](crate::GlobalAvgPool2d).
    GlobalAvgPool,
    /// [`GlobalMaxPool2d`](crate::GlobalMaxPool2d).
    GlobalMaxPool,
    /// [`Resize2d`](crate::Resize2d).
    Resize {
        /// The size, or the factors.
        to: ResizeTo,
        /// Between pixels.
        interpolation: Interpolation,
    },
    /// The pixels of each 2×2 block as channels of one, [`SpaceToDepth`](crate::SpaceToDepth).
    SpaceToDepth,
    /// The first input with zeros around it, to the rows and columns of the second,
    /// [`PadLike`](crate::PadLike).
    PadLike,
    /// The first input with the rows and columns of the second, [`ResizeLike`](crate::ResizeLike).
    ResizeLike {
        /// Between pixels.
        interpolation: Interpolation,
    },
    /// Regions of the inputs, whose boxes are no input of it,
    /// [`MultiScaleRoiAlign`](crate::MultiScaleRoiAlign).
    MultiScaleRoiAlign {
        /// Rows and columns of a region.
        output: [usize; 2],
        /// Samples of a bin along each axis; `None`: as many as it has pixels.
        sampling_ratio: Option<usize>,
    },
    /// [`Dropout`](crate::Dropout); the identity outside training.
    Dropout {
        /// The probability of a zero.
        p: f64,
    },
    /// Dropout of whole channels, [`Dropout2d`](crate::Dropout2d); the identity outside training.
    Dropout2d {
        /// The probability that a channel of an image is zero.
        p: f64,
    },
    /// Stochastic depth, [`DropPath`](crate::DropPath); the identity outside training.
    DropPath {
        /// The probability that an image's branch is dropped.
        p: f64,
    },
    /// The sum of two maps of one shape, [`Add`](crate::Add).
    Add,
    /// The channels of all inputs one after another, [`Concat`](crate::Concat).
    Concat,
    /// The first input times the second, which has one value per channel,
    /// [`ScaleChannels`](crate::ScaleChannels).
    ChannelScale,
    /// Some neighbouring channels of the input, [`ChannelSlice`](crate::ChannelSlice).
    ChannelSlice {
        /// The first of them.
        start: usize,
        /// How many there are.
        channels: usize,
    },
    /// The channels of several groups in turn, [`ChannelShuffle`](crate::ChannelShuffle).
    ChannelShuffle {
        /// Groups, each of neighbouring channels.
        groups: usize,
    },
    /// Maps as vectors in the order of channels, rows, columns, [`Flatten`](crate::Flatten).
    Flatten,
    /// Channels of zeros on both sides, [`PadChannels`](crate::PadChannels).
    PadChannels {
        /// Channels before the input's.
        before: usize,
        /// Channels after them.
        after: usize,
    },
    /// A layer of one's own, by its name. Nobody but its author knows what it computes.
    Custom(&'static str),
}

impl LayerKind {
    /// The kind's name, as `conv2d` or `relu`.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Conv2d { .. } | Self::FusedConv2d { .. } => "conv2d",
            Self::ConvTranspose2d { .. } | Self::FusedConvTranspose2d { .. } => "conv_transpose2d",
            Self::Linear { .. } => "linear",
            Self::BatchNorm { .. } => "batch_norm",
            Self::LayerNorm { .. } | Self::FusedLayerNorm { .. } => "layer_norm",
            Self::GroupNorm { .. } => "group_norm",
            Self::LayerScale => "layer_scale",
            Self::L2Norm { .. } => "l2_norm",
            Self::MultiScaleRoiAlign { .. } => "multi_scale_roi_align",
            Self::Activation(activation) => activation_name(activation),
            Self::Softmax => "softmax",
            Self::MaxPool { .. } => "max_pool",
            Self::AvgPool { .. } => "avg_pool",
            Self::AdaptiveAvgPool { .. } => "adaptive_avg_pool",
            Self::AdaptiveMaxPool { .. } => "adaptive_max_pool",
            Self::GlobalAvgPool => "global_avg_pool",
            Self::GlobalMaxPool => "global_max_pool",
            Self::PadLike => "pad_like",
            Self::SpaceToDepth => "space_to_depth",
            Self::Resize { .. } | Self::ResizeLike { .. } => "resize",
            Self::Dropout { .. } => "dropout",
            Self::Dropout2d { .. } => "dropout2d",
            Self::DropPath { .. } => "drop_path",
            Self::Add => "add",
            Self::Concat | Self::FusedConcat => "concat",
            Self::ChannelScale => "channel_scale",
            Self::ChannelSlice { .. } => "channel_slice",
            Self::ChannelShuffle { .. } => "channel_shuffle",
            Self::Flatten => "flatten",
            Self::PadChannels { .. } => "pad_channels",
            Self::Custom(name) => name,
        }
    }

    /// The window that slides over the input; `None` where none does, as where one slides over the
    /// output.
    pub const fn window(&self) -> Option<&Window> {
        match self {
            Self::Conv2d { window, .. }
            | Self::FusedConv2d { window, .. }
            | Self::MaxPool { window }
            | Self::AvgPool { window, .. } => Some(window),
            _ => None,
        }
    }
}

const fn activation_name(activation: &Activation) -> &'static str {
    match activation {
        Activation::Identity => "identity",
        Activation::Relu => "relu",
        Activation::LeakyRelu(_) => "leaky_relu",
        Activation::Relu6 => "relu6",
        Activation::Sigmoid => "sigmoid",
        Activation::Silu => "silu",
        Activation::HardSwish => "hard_swish",
        Activation::HardSigmoid => "hard_sigmoid",
        Activation::Tanh => "tanh",
        Activation::Gelu | Activation::GeluTanh => "gelu",
    }
}

impl fmt::Display for LayerKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The kind of a layer of one's own.
impl From<&'static str> for LayerKind {
    fn from(name: &'static str) -> Self {
        Self::Custom(name)
    }
}
