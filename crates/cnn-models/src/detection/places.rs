//! What detectors say of many places: the sizes of images that they can, and their outputs as numbers.

use candle_core::{DType, Result, Tensor};
use cnn_layers::detection::BoxEdges;
use cnn_layers::{FeatureMap, ScoredBoxes};

/// Whether all maps of a network halve evenly.
///
/// # Errors
/// If height or width is no multiple of `step`, or zero.
pub(super) fn check_size(model: &str, step: usize, xs: &FeatureMap) -> Result<()> {
    let [height, width] = [xs.height(), xs.width()];
    if height.is_multiple_of(step) && width.is_multiple_of(step) && height * width > 0 {
        return Ok(());
    }
    candle_core::bail!("{model} takes images of multiples of {step} pixels, found {height}×{width}")
}

/// All values of a tensor in row-major order, outside any graph.
pub(super) fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    let flat = tensor.detach().flatten_all()?;
    flat.to_dtype(DType::F32)?.to_vec1()
}

/// `1 / (1 + e^−x)`.
pub(super) fn sigmoid(logit: f32) -> f32 {
    1. / (1. + (-logit).exp())
}

/// Four numbers of many, those of the row with this number.
pub(super) fn four(values: &[f32], row: usize) -> [f32; 4] {
    [0, 1, 2, 3].map(|column| values[4 * row + column])
}

/// What a head says of each place of a map: `(N, H, W, A · values)` to `(N, H · W · A, values)`,
/// with the anchors of a place one after another.
pub(super) fn rows_of(map: &FeatureMap, values: usize) -> Result<Tensor> {
    let rows = map.height() * map.width() * map.channels() / values.max(1);
    map.to_nhwc().reshape((map.batch(), rows, values))
}

/// What is thought of the boxes of each image of a batch: `boxes` and `scores` of all images one
/// after another, `logits` `(N, rows, classes)`, and for each row of an image the deepest stage that
/// it depends on.
pub(super) fn scored_boxes(
    boxes: Vec<BoxEdges>,
    logits: &Tensor,
    scores: Vec<f32>,
    stages: &[usize],
) -> Result<Vec<ScoredBoxes>> {
    let (images, rows, classes) = logits.dims3()?;
    let of_image = boxes.len() / images.max(1);
    let image = |image: usize| {
        Ok(ScoredBoxes {
            boxes: boxes[image * of_image..][..of_image].to_vec(),
            logits: logits.get(image)?,
            scores: scores[image * rows * classes..][..rows * classes].to_vec(),
            stages: stages.to_vec(),
        })
    };
    (0..images).map(image).collect()
}

/// Probabilities of logits.
pub(super) fn softmax(logits: &[f32]) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let powers: Vec<f32> = logits.iter().map(|logit| (logit - largest).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}
