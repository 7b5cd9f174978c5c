//! Telling the class of every pixel: the task, and what a trained network makes of a photo.

mod segment_image;
mod task;
mod tiles;

pub use segment_image::{SegmentImage, SegmentOptions, Segmented, VisitRows};
pub use task::{MeasuredSegmentation, Segmentation, SegmentationScores, check_mask_datasets};
pub use tiles::Tiling;
