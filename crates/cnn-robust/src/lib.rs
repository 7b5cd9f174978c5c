//! Attacks on image classifiers, defences, certificates and corruptions: an honest measure of
//! robustness.
//!
//! - [`PixelClassifier`]: a network as attacks see it, a function of images with values in 0..1 with
//!   its normalisation inside; [`AttackedModel`] is the contract, for defences of one's own;
//! - [`attack`]: the attacks, one file each;
//! - [`certify`]: radii within which no attack changes an answer;
//! - [`corruption`]: what weather, cameras and compression do to photos;
//! - [`RobustnessMeter`]: what attacks leave of a classifier's accuracy; [`sweep`]: as a function of
//!   the size; [`diagnose`]: whether such figures can be believed;
//! - [`defence`]: training on images under attack, as a `Step` of `cnn-train`;
//! - [`Threat`]: which changes an attack may make; [`Draws`]: where its random numbers come from.
//!
//! # Its neighbours
//!
//! It attacks what `cnn-layers` calls a `Classifier`, from `cnn-models` or of one's own.
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

pub mod attack;
pub mod certify;
pub mod corruption;
pub mod defence;
mod draws;
mod error;
mod evaluation;
mod images;
mod model;
mod threat;

pub use draws::{Draw, Draws, RecordedDraws};
pub use error::Error;
pub use evaluation::{
    ATTACKS, Alarm, AlarmKind, AttackResult, AttackSettings, AttackedBatch, AttackedImages,
    Diagnosis, JudgedAttack, NamedAttack, PixelBatches, RobustnessMeter, RobustnessResult,
    SweepPoint, diagnose, find_attack, sweep,
};
pub use images::Images;
pub use model::{
    AttackedModel, Counted, ImageGradient, LogitLoss, Logits, Normalization, PixelClassifier,
    Queries,
};
pub use threat::{Norm, Threat, parse_eps};
