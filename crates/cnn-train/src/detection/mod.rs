//! Training networks that find objects, and finding objects in photos.

mod augmentation;
mod detect_images;
mod scores;
mod task;

pub use augmentation::{BoxAugmentationPolicy, BoxCropping};
pub use detect_images::DetectImages;
pub use scores::{DetectionScores, PhotoObjects, score_detections};
pub use task::{Detection, DetectionBatch, check_box_datasets};
