//! Convolutional-network layers on candle tensors, the parameter store they are built from, and the
//! contract of a model.
//!
//! A network is a function of a configuration, a [`Store`] and a [`Mode`]; its layers carry
//! PyTorch's names, so a published weight file loads by name. Feature maps travel as
//! [`FeatureMap`], channels last.
//!
//! | feature | what it adds |
//! |---|---|
//! | `candle-nn` | `Store::from_var_builder`: parameters that candle-nn's `VarBuilder` keeps; it is not on by default |
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use cnn_layers::{Context, Conv2dConfig, FeatureMap, Layer, Mode, Padding, Store};
//!
//! let store = Store::new(0);
//! let conv = Conv2dConfig::new(3, 8, 3)
//!     .with_stride(2)
//!     .with_padding(Padding::all(1))
//!     .build(&store.builder(Mode::Eval).pp("conv1"))?;
//! let image = Tensor::zeros((1, 3, 31, 45), DType::F32, &Device::Cpu)?;
//! let ys = conv.forward(&FeatureMap::from_nchw(&image)?, &Context::eval())?;
//! assert_eq!(ys.dims(), [1, 16, 23, 8]);
//! assert_eq!(store.names(), ["conv1.weight", "conv1.bias"]);
//! # Ok::<(), candle_core::Error>(())
//! ```
//!
//! # Its neighbours
//!
//! It uses `cnn-kernels`, `cnn-weights` and `cnn-core`; `cnn-models` has networks made of its
//! layers, `cnn-train` trains them and one's own. [All
//! crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one page.
//!
//! # In your project
//!
//! A debug build of a project that depends on this crate is slow unless its dependencies are
//! optimised: build with `--release`, or add to the workspace's `Cargo.toml`
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! debug-assertions = false
//! overflow-checks = false
//! ```
//!
//! [Use it in your project](https://github.com/cnn-rs/cnn/blob/main/docs/use-in-your-project.md)
//! has the dependencies and the figures.
#![forbid(unsafe_code)]

mod activation;
mod batch_norm;
mod blocks;
mod builder;
mod channels;
mod context;
mod conv2d;
mod conv_transpose2d;
pub mod detection;
mod dropout;
mod error;
mod group_norm;
mod init;
mod join;
mod l2_norm;
mod layer;
mod layer_kind;
mod layer_norm;
mod layer_scale;
mod linear;
mod model;
mod observer;
mod pool;
mod reshape;
mod resize;
mod roi_align;
mod store;
#[cfg(feature = "candle-nn")]
mod var_builder;

pub use activation::{Activate, Softmax};
pub use batch_norm::{BatchNorm2d, BatchNorm2dConfig};
pub use blocks::{
    BlockOptions, BranchEnd, ConvAct, ConvLayerScale, ConvLayerScaleConfig, ConvNormAct,
    ConvNormActConfig, ConvTransposeNormAct, ConvTransposeNormActConfig, DenseBlock,
    DenseBlockConfig, DepthwiseSeparableConfig, ExtraLevels, FeaturePyramid, FeaturePyramidConfig,
    FusedInvertedResidualConfig, Inception, InvertedResidualConfig, LayerNormConv,
    LayerNormConvConfig, MobileBlock, NormAct, NormActConfig, PyramidSource, RepVggBlock,
    RepVggBlockConfig, Residual, ResidualSum, ShuffleUnit, ShuffleUnitConfig, SqueezeExcite,
    SqueezeExciteConfig, UniversalInvertedResidualConfig,
};
pub use builder::{Buffer, Builder, Mode};
pub use channels::{ChannelShuffle, ChannelSlice};
pub use cnn_kernels::{
    Activation, BackwardRule, Error as KernelError, FeatureMap, Interpolation, Padding, ResizeTo,
    Window, backward, find_error,
};
pub use context::{BatchNormPolicy, Context};
pub use conv_transpose2d::{ConvTranspose2d, ConvTranspose2dConfig};
pub use conv2d::{Conv2d, Conv2dConfig};
pub use dropout::{DropPath, Dropout, Dropout2d};
pub use error::Error;
pub use group_norm::{GroupNorm, GroupNormConfig};
pub use init::{Fan, Init, InitRule};
pub use join::{Add, Concat, PadLike, ScaleChannels, pad_like};
pub use l2_norm::{L2Norm2d, L2Norm2dConfig};
pub use layer::{Layer, Sequential};
pub use layer_kind::LayerKind;
pub use layer_norm::{LayerNorm2d, LayerNorm2dConfig};
pub use layer_scale::{LayerScale, LayerScaleConfig};
pub use linear::{Linear, LinearConfig};
pub use model::{
    AuxiliaryOutput, Backbone, Classifier, Decoder, DecoderModules, DetectedObject,
    DetectionLimits, DetectionTargets, Detector, EncoderDecoder, Head, ImageObjects, LayerGroup,
    LinearHead, NamedLoss, Outputs, RawOutput, ScoredBoxes, Segmenter, StageInfo, StagedBackbone,
    StagedBuilder, StagedClassifier, Step,
};
pub use observer::{Event, Observer, Value};
pub use pool::{
    AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, GlobalAvgPool2d, GlobalMaxPool2d, MaxPool2d,
};
pub use reshape::{Flatten, PadChannels};
pub use resize::{Resize2d, ResizeLike, SpaceToDepth};
pub use roi_align::MultiScaleRoiAlign;
pub use store::{EntryInfo, Store, TensorKind};
