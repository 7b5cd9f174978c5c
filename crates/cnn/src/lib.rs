//! Convolutional networks from one crate: layers, published models, data, training, fine-tuning,
//! and, by name, everything else of the toolkit.
//!
//! Each module is a crate of its own, which can be used alone; this one re-exports them behind
//! features and has a [`prelude`].
//!
//! | feature | module | what it is |
//! |---|---|---|
//! | `layers` (default) | `layers` | layers, the parameter store, the contract of models; with it `candle`, the tensors below |
//! | `models` (default) | `models` | published networks by name, and networks of your own beside them |
//! | `data` (default) | `data` | datasets, decoding, augmentation, batches |
//! | `train` (default) | `train` | losses, optimisers, schedules, the training loop |
//! | `transfer` (default) | `transfer` | new heads, freezing, layer-wise rates, feature caches |
//! | `compress` | `compress` | pruning: which channels go together, what is left as a network |
//! | `robust` | `robust` | attacks, defences, certificates, corruptions |
//! | `viz` | `viz` | explanations, feature maps, filters that do nothing |
//! | `report` | `viz` | HTML pages of runs and explained photos |
//! | `parquet` | `data` | image datasets in parquet files |
//! | `pickle` | `data` | CIFAR's Python files, which are pickles |
//! | `graph` | `graph` | the typed graph of any network, and its interpreter |
//! | `metrics` | `metrics` | accuracy, calibration, confidence intervals, without tensors |
//! | `weights` | `weights` | safetensors and PyTorch's files |
//! | `kernels` | `kernels` | single operations, forward and backward |
//! | `core` | `core` | random streams, files that are written whole, run directories |
//!
//! ```
//! use cnn::prelude::*;
//! use std::sync::Arc;
//!
//! # fn main() -> anyhow::Result<()> {
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! // `Network::load("weights".as_ref(), &LoadOptions::default())` gives one that has learnt something.
//! let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
//! let images = |samples, split| Shapes::new(ShapesConfig::default().with_samples(samples).with_split(split));
//! let config = FineTuneConfig { head_epochs: 1, epochs: 1, ..FineTuneConfig::default() };
//! let mut fine_tune = FineTune::new(network, Arc::new(images(40, Split::Train)?), Arc::new(images(20, Split::Val)?))
//!     .with_config(config);
//! fine_tune.run(directory)?;
//! assert!(directory.join("best/model.safetensors").exists());
//! # Ok(())
//! # }
//! ```
//!
//! # Its neighbours
//!
//! It re-exports `cnn-layers`, `cnn-models`, `cnn-data`, `cnn-train`, `cnn-transfer` and the others
//! of the table. [All crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one
//! page.
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

#[cfg(feature = "layers")]
pub use candle_core as candle;
#[cfg(feature = "compress")]
pub use cnn_compress as compress;
#[cfg(feature = "core")]
pub use cnn_core as core;
#[cfg(feature = "data")]
pub use cnn_data as data;
#[cfg(feature = "graph")]
pub use cnn_graph as graph;
#[cfg(feature = "kernels")]
pub use cnn_kernels as kernels;
#[cfg(feature = "layers")]
pub use cnn_layers as layers;
#[cfg(feature = "metrics")]
pub use cnn_metrics as metrics;
#[cfg(feature = "models")]
pub use cnn_models as models;
#[cfg(feature = "robust")]
pub use cnn_robust as robust;
#[cfg(feature = "train")]
pub use cnn_train as train;
#[cfg(feature = "transfer")]
pub use cnn_transfer as transfer;
#[cfg(feature = "viz")]
pub use cnn_viz as viz;
#[cfg(feature = "weights")]
pub use cnn_weights as weights;

pub mod prelude;
