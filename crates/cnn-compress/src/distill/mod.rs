//! Distillation: a network learns what another one answers.

mod config;
mod losses;
mod stages;
mod step;
mod task;
mod teacher;

pub use config::Distillation;
pub use losses::{attention_loss, similarity_loss, soft_target_loss};
pub use step::DistillationStep;
