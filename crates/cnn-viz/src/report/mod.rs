//! What a report is made from: plain data.

mod class_results;
mod epoch;
mod fact;
mod filters;
mod freeze_proof;
mod gallery;
mod image_prediction;
mod phase;
mod picture_group;
mod run_report;
mod timing;

pub use class_results::ClassResults;
pub use epoch::Epoch;
pub use fact::Fact;
pub use filters::{FilterLayer, FilterReport};
pub use freeze_proof::FreezeProof;
pub use gallery::{ExplainedOverlay, ExplainedPhoto, Gallery};
pub use image_prediction::ImagePrediction;
pub use phase::{LayerGroup, NormStatistics, Phase};
pub use picture_group::{EpochStrip, PictureGroup, StripRow};
pub use run_report::Report;
pub use timing::Timing;
