//! Transfer learning: a network trained on one task becomes good at another with little data.
//!
//! - [`FineTune`] trains a loaded network on one's own images, phase by phase, as a [`Strategy`]
//!   says: the head alone, everything, first one and then the other, or stage by stage from the
//!   top; it is interruptible and reproducible to the byte like any training run;
//! - [`Phase`] and [`GroupRate`]: which layer groups move in a phase, and how fast;
//! - [`FeatureCache`]: what a frozen backbone makes of a dataset, computed once;
//! - [`measure`]: how good a network is on a labelled dataset; [`BestEpoch`]: how good a run's best
//!   epoch is;
//! - [`Predict`]: the most probable classes of photos, by name;
//! - [`FreezeProof`]: that what was frozen is in the saved file what it was in the source, by hash.
//!
//! # Its neighbours
//!
//! It uses `cnn-train` and `cnn-models`; `cnn-data` has the images, and `cnn-viz` shows what was
//! learnt. [All crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one page.
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

pub mod adapt;
mod best_epoch;
mod classes;
mod error;
mod features;
mod fine_tune;
mod freeze;
mod head_task;
mod measure;
mod measure_detection;
mod measure_segmentation;
mod phase;
mod predict;
mod strategy;

pub use best_epoch::BestEpoch;
pub use classes::{
    ClassMatch, class_names, known_class_names, match_class_names, match_classes,
    match_object_classes,
};
pub use error::Error;
pub use features::{FeatureCache, Features};
pub use fine_tune::{
    DetectionFineTune, FineTune, FineTuneNotice, FineTuneOf, FineTuneSummary, PhaseSummary,
    SegmentationFineTune, TrainingVariant, Tunable,
};
pub use freeze::FreezeProof;
pub use measure::{
    BatchLogits, Judged, MOST_KEPT, Measured, MeasuredWithPart, for_each_batch, measure,
    measure_transformed, measure_with_part,
};
pub use measure_detection::{DetectionMeasured, measure_detection};
pub use measure_segmentation::{MeasuredPhoto, SegmentationMeasured, measure_segmentation};
pub use phase::{GroupRate, Phase};
pub use predict::{DatasetPredictions, Predict, PredictedClass, PredictedImage};
pub use strategy::{FineTuneConfig, Strategy};
