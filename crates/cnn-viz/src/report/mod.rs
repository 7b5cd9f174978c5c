//! What a report is made from: plain data.

mod class_results;
mod epoch;
mod fact;
mod filters;
mod freeze_proof;
mod image_prediction;
mod phase;
mod run_report;
mod timing;

pub use class_results::ClassResults;
pub use epoch::Epoch;
pub use fact::Fact;
pub use filters::{FilterLayer, FilterReport};
pub use freeze_proof::FreezeProof;
pub use image_prediction::ImagePrediction;
pub use phase::{LayerGroup, NormStatistics, Phase};
pub use run_report::Report;
pub use timing::Timing;
