//! Training of convolutional networks: losses, optimisers, schedules and a loop that resumes to the
//! byte.
//!
//! - [`Trainer`] owns epochs, schedule, checkpoints, logs and resuming; a [`Task`] owns what is
//!   learnt: its batches, losses and evaluation; a [`Step`] owns forward, backward and update;
//! - [`Classification`] is the task of telling classes apart;
//! - [`CrossEntropy`], [`binary_cross_entropy_with_logits`], [`mean_squared_error`];
//! - [`PixelLoss`], for masks: [`PixelCrossEntropy`], [`FocalLoss`], [`DiceLoss`],
//!   [`JaccardLoss`], [`LovaszLoss`], [`TverskyLoss`], weighted sums of them;
//! - [`TrainingData`]: what a run is trained, validated and tested on; [`SplitRecord`]: which image
//!   was in which part of it; [`balanced_class_weights`], and [`PixelWeighting`] for masks;
//! - [`AugmentationPolicy`] and [`MixPolicy`]: what is done to training images;
//! - [`PredictImages`]: the most probable classes of images;
//! - [`Optimizer`] with [`ParamGroup`]s: SGD, Adam, AdamW, RMSprop; [`Schedule`]: the learning rate
//!   over time.
//!
//! # Its neighbours
//!
//! It uses `cnn-layers`, `cnn-data` and `cnn-metrics`; networks are one's own or come from
//! `cnn-models`, and `cnn-transfer` builds on its trainer. [All
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

mod augmentation_policy;
mod class_weights;
mod classification;
mod config;
mod detection;
mod epoch_record;
mod error;
mod forward;
mod loss;
mod nan_guard;
mod optimizer;
mod pixel_class_weights;
mod predict_images;
mod run;
mod run_log;
mod run_tensors;
mod schedule;
mod segmentation;
mod settings;
mod split_record;
mod state;
mod step;
mod task;
mod tensorboard;
mod trainer;
mod training_data;
mod training_images;
mod weight_average;

pub use augmentation_policy::{AugmentationPolicy, Cropping, MixPolicy};
pub use class_weights::balanced_class_weights;
pub use classification::{
    Classification, ImageMetric, Metric, check_datasets, class_labels, count_predictions,
    right_predictions,
};
pub use config::TrainConfig;
pub use detection::{
    BoxAugmentationPolicy, BoxCropping, DetectImages, Detection, DetectionBatch, DetectionScores,
    PhotoObjects, check_box_datasets, score_detections,
};
pub use epoch_record::EpochRecord;
pub use error::Error;
pub use forward::Forward;
pub use loss::{
    ClassificationLoss, CrossEntropy, DiceLoss, FocalLoss, JaccardLoss, LovaszLoss,
    PixelCrossEntropy, PixelLoss, PixelLossKind, PixelLossSum, PixelLossTerm, PixelTargets,
    Targets, TverskyLoss, binary_cross_entropy_with_logits, log_softmax, mean_squared_error,
};
pub use optimizer::{
    Gradients, Optimizer, OptimizerConfig, OptimizerPlan, ParamGroup, decay_groups,
};
pub use pixel_class_weights::{PixelCounts, PixelWeighting};
pub use predict_images::PredictImages;
pub use run::TrainSummary;
pub use schedule::{Plateau, PlateauState, Progress, Rates, Schedule, ScheduleKind};
pub use segmentation::{
    MeasuredSegmentation, SegmentImage, SegmentOptions, Segmentation, SegmentationScores,
    Segmented, Tiling, VisitRows, check_mask_datasets,
};
pub use split_record::{FoundPart, SplitRecord, SplitRow};
pub use state::Best;
pub use step::{FurtherUpdate, GradientStep, Step, StepReport, Update};
pub use task::{Epoch, Evaluation, Losses, Task, TaskBatches};
pub use trainer::{Notice, Trainer, resume_path};
pub use training_data::{DataPart, TrainingData};
pub use training_images::TrainingImages;
