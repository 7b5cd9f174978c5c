//! Smaller convolutional networks: pruning over the typed graph, and distillation.
//!
//! - [`Groups`]: which channels of a network have to go together;
//! - [`Criterion`], [`TaylorScores`], [`ActivationScores`]: how much each [`Unit`] of them matters,
//!   as [`Importance`];
//! - [`Plan`]: which units go so that a [`Target`] is reached, as a [`Selection`];
//! - [`without`]: the network that is left, which trains, is saved and loads as any other;
//! - [`recalibrate`]: its batch norms' statistics, measured anew;
//! - [`IdleUnits`]: units that do nothing, and the network without them, which computes the same;
//! - [`Masks`], [`MaskedStep`]: single weights that stay zero;
//! - [`DistillationStep`]: a training step of a network that also learns what another one answers, as
//!   the smaller one of the whole one.
//!
//! A network with half of its multiply-adds, in two steps between which it would be trained:
//!
//! ```
//! use candle_core::{Device, Tensor};
//! use cnn_compress::{Criterion, Groups, Plan, Target, recalibrate, without};
//! use cnn_layers::FeatureMap;
//! use cnn_models::{LoadOptions, ModelConfig, Network};
//!
//! let mut network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
//! for plan in Plan::new(Target::MultiplyAdds(0.5)).with_multiple(4).steps(2) {
//!     let groups = Groups::of(&network)?;
//!     let importance = Criterion::L2.scores(&groups, network.store())?.importance(&groups);
//!     let selection = plan.select(&groups, &importance)?;
//!     network = without(&network, &groups, &selection)?;
//!     // The statistics of the images that it is trained on.
//!     let images = Tensor::randn(0f32, 1., (16, 3, 32, 32), &Device::Cpu)?;
//!     recalibrate(&network, [FeatureMap::from_nchw(&images)])?;
//! }
//! # let directory = tempfile::tempdir()?;
//! # let directory = directory.path();
//! network.save(directory)?;
//! let loaded = Network::load(directory, &LoadOptions::default())?;
//! assert!(loaded.config().model.widths.values().all(|width| width % 4 == 0));
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! # Its neighbours
//!
//! It makes networks of `cnn-models` smaller, registered ones and those of one's own whose layers
//! ask [`Builder::width`](cnn_layers::Builder::width) for their channels.
//! [All crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one page.
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

mod criteria;
mod distill;
mod error;
mod groups;
mod idle;
mod masks;
mod pass;
mod plan;
mod recalibrate;
mod removal;
mod selection;

pub use criteria::{
    ActivationScores, Criterion, Importance, Needs, Normalization, Reduction, Scores, TaylorScores,
};
pub use distill::{
    Distillation, DistillationStep, attention_loss, similarity_loss, soft_target_loss,
};
pub use error::Error;
pub use groups::{Axis, Group, Groups, Role, Size, Slice, Unit};
pub use idle::{IdleReason, IdleUnits, KeptUnit, KnownConstant};
pub use masks::{MaskedStep, Masks};
pub use pass::largest_change;
pub use plan::{Plan, Scope, Target};
pub use recalibrate::recalibrate;
pub use removal::without;
pub use selection::Selection;
