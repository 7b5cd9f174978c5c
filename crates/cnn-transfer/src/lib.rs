//! Transfer learning: a network trained on one task becomes good at another with little data.
//!
//! - [`FineTune`] trains a loaded network on one's own images, phase by phase, as a [`Strategy`] says: the head alone, everything, first one and then the other, or stage by stage from
//!   the top; it is interruptible and reproducible to the byte like any training run;
//! - [`Phase`] and [`GroupRate`]: which layer groups move in a phase, and how fast;
//! - [`FeatureCache`]: what a frozen backbone makes of a dataset, computed once;
//! - [`FreezeProof`]: that what was frozen is in the saved file what it was in the source, by hash.
#![forbid(unsafe_code)]

mod error;
mod features;
mod fine_tune;
mod freeze;
mod head_task;
mod phase;
mod strategy;

pub use error::Error;
pub use features::{FeatureCache, Features};
pub use fine_tune::{FineTune, FineTuneNotice, FineTuneSummary, PhaseSummary};
pub use freeze::FreezeProof;
pub use phase::{GroupRate, Phase};
pub use strategy::{FineTuneConfig, Strategy};
