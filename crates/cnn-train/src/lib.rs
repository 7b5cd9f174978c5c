//! Training of convolutional networks: losses, optimisers, schedules and a loop that resumes to the byte.
//!
//! - [`Trainer`] owns epochs, schedule, checkpoints, logs and resuming; a [`Task`] owns what is learnt: its batches, losses and evaluation; a
//!   [`Step`] owns forward, backward and update;
//! - [`Classification`] is the task of telling classes apart;
//! - [`CrossEntropy`], [`binary_cross_entropy_with_logits`], [`mean_squared_error`];
//! - [`Optimizer`] with [`ParamGroup`]s: SGD, Adam, AdamW, RMSprop; [`Schedule`]: the learning rate over time.

#![forbid(unsafe_code)]

mod classification;
mod config;
mod error;
mod loss;
mod nan_guard;
mod optimizer;
mod run;
mod run_log;
mod schedule;
mod settings;
mod state;
mod step;
mod task;
mod tensorboard;
mod trainer;

pub use classification::{Classification, Forward, check_datasets, count_predictions, right_predictions};
pub use config::TrainConfig;
pub use error::Error;
pub use loss::{CrossEntropy, Targets, binary_cross_entropy_with_logits, mean_squared_error};
pub use optimizer::{Gradients, Optimizer, OptimizerConfig, ParamGroup, decay_groups};
pub use run::TrainSummary;
pub use schedule::{Plateau, PlateauState, Progress, Rates, Schedule, ScheduleKind};
pub use state::Best;
pub use step::{GradientStep, Step, StepReport, Update};
pub use task::{Batches, Epoch, Evaluation, Losses, Task};
pub use trainer::{Notice, Trainer, resume_path};
