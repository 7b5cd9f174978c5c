//! Training networks that find objects, and finding objects in photos.

mod detect_images;
mod scores;
mod task;

pub use detect_images::DetectImages;
pub use scores::{DetectionScores, PhotoObjects, score_detections};
pub use task::{Detection, DetectionBatch, check_box_datasets};
