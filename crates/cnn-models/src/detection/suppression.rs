//! Which of the detections of an image stay.

use candle_core::Result;
use cnn_layers::detection::batched_nms;
use cnn_layers::{DetectedObject, DetectionLimits};

/// The detections that stay among those of their class, by score, and of these as many as the limits
/// allow.
///
/// # Errors
/// If a score is NaN or a limit is out of its range.
pub(super) fn suppress(
    found: &[DetectedObject],
    limits: &DetectionLimits,
) -> Result<Vec<DetectedObject>> {
    let boxes: Vec<_> = found.iter().map(|detection| detection.edges).collect();
    let scores: Vec<f32> = found.iter().map(|detection| detection.score).collect();
    let classes: Vec<u32> = found
        .iter()
        .map(|detection| detection.class as u32)
        .collect();
    let kept = batched_nms(&boxes, &scores, &classes, limits.iou)?;
    let kept = kept.into_iter().take(limits.count);
    Ok(kept.map(|place| found[place]).collect())
}
