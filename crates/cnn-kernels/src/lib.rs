//! The operations a convolutional network spends its time in, forward and backward.
//!
//! Feature maps travel as [`FeatureMap`], a newtype over a contiguous channels-last `(N, H, W, C)`
//! tensor; weights keep PyTorch's shapes. Every operation is differentiable through candle's
//! autograd, checks its shapes before it computes, and sums in an order that does not depend on the
//! number of threads. Gradients are of first order: those that `backward` returns are constants. A
//! batch may be empty, except where statistics are taken over it. Two element types are supported:
//! `f32`, and `f64` as the reference for gradient checks.
//!
//! An operation runs on as many threads as rayon's pool has, of which the caller is one, with the
//! fastest [`InstructionSet`] that the processor has. Large buffers that are no longer needed are
//! kept for the operations that follow. [`profile`](profile()) says what each operation costs.
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use cnn_kernels::{Conv2dSpec, FeatureMap, Padding, conv2d};
//!
//! let image = Tensor::ones((1, 3, 5, 7), candle_core::DType::F32, &Device::Cpu)?;
//! let weight = Tensor::ones((8, 3, 3, 3), candle_core::DType::F32, &Device::Cpu)?;
//! let spec = Conv2dSpec {
//!     padding: Padding::Same,
//!     stride: [2, 2],
//!     ..Conv2dSpec::default()
//! };
//! let ys = conv2d(&FeatureMap::from_nchw(&image)?, &weight, None, &spec)?;
//! assert_eq!(ys.dims(), [1, 3, 4, 8]);
//! # Ok::<(), candle_core::Error>(())
//! ```
//!
//! # Its neighbours
//!
//! It stands on candle alone; `cnn-layers` gives its operations parameters, names and a place in a
//! network. [All crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one page.
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

mod activation;
mod autograd;
mod build_profile;
mod conv2d;
mod error;
mod geometry;
pub mod int8;
mod machine;
mod norm;
mod pool;
mod resize;
mod roi;

pub use activation::{Activation, BackwardRule, activate, activate_tensor, softmax};
pub use autograd::channels::{ChannelRange, channel_shuffle, channel_slice, interleave};
pub use autograd::combine::{add, concat};
pub use autograd::feature_map::FeatureMap;
pub use autograd::tape::backward;
pub use autograd::zero_pad::{Margin, zero_pad};
pub use build_profile::{BuildProfile, build_profile, warn_if_slow};
pub use conv2d::{
    Conv2dSpec, ConvTranspose2dSpec, JoinedMap, PackedConv2d, PackedConvTranspose2d,
    conv_transpose2d, conv2d, conv2d_gradients,
};
pub use error::{Error, carry_error, find_error};
pub use geometry::{Geometry, Padding, Window};
pub use machine::ceilings::{copy_bandwidth, peak_flops};
pub use machine::isa::InstructionSet;
pub use machine::profile::{OpTime, Pass, labelled, profile};
pub use norm::batch_norm::{BatchStatistics, batch_norm_running, batch_norm_train};
pub use norm::concat_norm::{MeasuredMap, concat_norm_running, concat_norm_train};
pub use norm::group_norm::group_norm;
pub use norm::l2_norm::l2_norm;
pub use norm::layer_norm::{layer_norm, layer_norm_plain};
pub use norm::layer_scale::layer_scale;
pub use norm::scale_channels::scale_channels;
pub use pool::{
    adaptive_avg_pool, adaptive_max_pool, avg_pool, global_avg_pool, global_max_pool, max_pool,
};
pub use resize::space_to_depth::space_to_depth;
pub use resize::{Interpolation, ResizeTo, resize};
pub use roi::{Roi, RoiAlignSpec, RoiMap, roi_align, roi_max_pool};
