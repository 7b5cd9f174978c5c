//! Convolutional model families and their registry.
//!
//! Weights published for PyTorch load by name: [`Network::load`] takes a directory as timm saves it
//! or a bare weight file, and [`Network::save`] writes the same format back.
//!
//! ```
//! use cnn_layers::{Context, FeatureMap};
//! use cnn_models::{ModelConfig, Network};
//! use candle_core::{DType, Device, Tensor};
//!
//! let network = Network::new("resnet20_cifar10", &ModelConfig::default(), 0)?;
//! let images = FeatureMap::from_nchw(&Tensor::zeros((2, 3, 32, 32), DType::F32, &Device::Cpu)?)?;
//! let logits = network.model().forward(&images, &Context::eval())?;
//! assert_eq!(logits.dims(), [2, 10]);
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! # Its neighbours
//!
//! It uses `cnn-layers`; `cnn-train` trains its networks from scratch, `cnn-transfer` fine-tunes
//! them, and `cnn-viz` explains them. [All
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

mod args;
mod bottlenecked;
mod checkpoint;
mod config;
mod detection;
mod error;
mod families;
mod identify;
mod inception_module;
mod model_kind;
mod model_spec;
mod network;
pub mod preset;
mod registry;
mod segmentation;
mod transformers;
mod weight_files;
mod weight_source;
mod wrapper;

pub use args::ArgReader;
pub use bottlenecked::Bottlenecked;
pub use checkpoint::CheckpointConfig;
pub use config::ModelConfig;
pub use error::Error;
pub use model_kind::{Kind, Model, ModelKind};
pub use model_spec::{Body, Build, BuildFn, ClassOutputs, ModelSpec, Naming};
pub use network::{
    DetectionNetwork, LoadOptions, Network, NetworkOf, SegmentationNetwork, kind_of,
};
pub use registry::{families, find, models, models_of};
pub use weight_source::WeightSource;
pub use wrapper::LoadedFrom;
