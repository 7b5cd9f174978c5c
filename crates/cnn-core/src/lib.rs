//! What the `cnn` crates share and what needs no tensors.
//!
//! - [`random`]: keyed random streams whose values never change, [`Key`] and [`Rng`];
//! - [`write_atomic`]: files that are there whole or not at all;
//! - [`RunDir`]: numbered directories for the output of a run, never overwritten;
//! - [`Preprocessing`]: how a network wants its images, as in timm's `pretrained_cfg`;
//! - [`ArgumentError`]: what is wrong with an argument, in the error types of all crates;
//! - [`suggest`] and [`did_you_mean`]: the nearest of the accepted names; [`begins_a_word`]: what a
//!   beginning may stand for.
//!
//! ```
//! use cnn_core::{Key, Preprocessing, did_you_mean};
//!
//! // The order of epoch 3 depends on the seed, the stream's name and the epoch alone.
//! let order = Key::new(0).stream("shuffle").at(3).rng().permutation(5);
//! assert_eq!(
//!     order,
//!     Key::new(0).stream("shuffle").at(3).rng().permutation(5)
//! );
//!
//! // 224×224 after a resize of the short side to ⌊224 / 0.875⌋.
//! assert_eq!(Preprocessing::default().resize_size(), [256, 256]);
//!
//! assert_eq!(
//!     did_you_mean("resnet81", ["resnet18", "lenet5"]),
//!     ", did you mean `resnet18`?"
//! );
//! ```
//!
//! # Its neighbours
//!
//! It uses no other crate of the toolkit; `cnn-weights`, `cnn-data`, `cnn-layers` and all that
//! stand on them use it. [All crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are
//! on one page.
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

mod classes;
mod error;
mod files;
mod hex;
mod preprocessing;
pub mod random;
mod run_dir;
mod suggest;

pub use classes::{COCO_CATEGORIES, COCO_CLASSES, PASCAL_VOC_CLASSES};
pub use error::{ArgumentError, Error};
pub use files::write_atomic;
pub use hex::hex;
pub use preprocessing::{
    ColorOrder, CropMode, DEFAULT_CROP_PCT, IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD,
    IMAGENET_MEAN, IMAGENET_STD, Interpolation, LetterboxFill, MAX_IMAGE_SIDE, MeanColor,
    Preprocessing,
};
pub use random::{Key, Rng};
pub use run_dir::RunDir;
pub use suggest::{begins_a_word, did_you_mean, suggest};
