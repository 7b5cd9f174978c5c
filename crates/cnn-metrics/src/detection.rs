//! Metrics of object detection, over boxes.

mod average_precision;
mod boxes;
mod coco;
mod confusion;
mod curves;
mod errors;
mod images;
mod matching;
mod metrics;
mod voc;

pub use boxes::{DetectedBox, GroundTruthBox, Rect};
pub use coco::{CocoClass, CocoResult};
pub use confusion::{ConfusionThresholds, DetectionConfusion};
pub use curves::{MeanF1, ScoreCurve, ScoreCurves, ScorePoint};
pub use errors::{DetectionErrors, ErrorShare, ErrorThresholds};
pub use metrics::{DetectionMetrics, DetectionResult};
pub use voc::{VocClass, VocInterpolation, VocResult};
