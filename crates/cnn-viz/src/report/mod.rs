//! What a report is made from: plain data.

mod class_results;
mod data_part;
mod detection_results;
mod epoch;
mod fact;
mod file_link;
mod filters;
mod freeze_proof;
mod gallery;
mod image_prediction;
mod mask_group;
mod next_step;
mod phase;
mod picture_group;
mod rate_point;
mod region_results;
mod run_report;
mod timing;

pub use class_results::ClassResults;
pub use data_part::DataPart;
pub use detection_results::DetectionResults;
pub use epoch::ReportEpoch;
pub use fact::Fact;
pub use file_link::FileLink;
pub use filters::{FilterLayer, FilterReport};
pub use freeze_proof::ReportFreezeProof;
pub use gallery::{ExplainedOverlay, ExplainedPhoto, Gallery};
pub use image_prediction::ImagePrediction;
pub use mask_group::{MaskGroup, SegmentedPhoto};
pub use next_step::ReportNextStep;
pub use phase::{NormStatistics, ReportLayerGroup, ReportPhase};
pub use picture_group::{EpochStrip, PictureGroup, StripRow};
pub use rate_point::RatePoint;
pub use region_results::RegionResults;
pub use run_report::Report;
pub use timing::Timing;
