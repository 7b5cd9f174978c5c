//! What detectors say of many places: the sizes of images that they can, and their outputs as numbers.

use std::ops::Range;

use candle_core::{DType, Result, Tensor};
use cnn_layers::detection::{BoxEdges, clip_box};
use cnn_layers::{DetectedObject, DetectionLimits, FeatureMap, ScoredBoxes};

use super::suppress;

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

/// A class that a place of an image may have.
pub(super) struct Candidate {
    /// Counted through the levels.
    pub(super) place: usize,
    pub(super) class: usize,
    pub(super) score: f32,
}

/// Candidates of a level that are looked at, those with the highest scores.
const CANDIDATES: usize = 1000;

/// The detections of an image of `[rows, columns]` at the places of some levels, each of which has an
/// anchor. `candidates` gives those of a level's places, and `decode` the box of a place with its
/// anchor.
pub(super) fn detections_of_levels(
    levels: &[Vec<BoxEdges>],
    image: [usize; 2],
    limits: &DetectionLimits,
    candidates: impl Fn(Range<usize>) -> Vec<Candidate>,
    decode: impl Fn(usize, &BoxEdges) -> BoxEdges,
) -> Result<Vec<DetectedObject>> {
    let mut found = Vec::new();
    let mut first = 0;
    for anchors in levels {
        let mut likely = candidates(first..first + anchors.len());
        likely.sort_by(|a, b| b.score.total_cmp(&a.score));
        likely.truncate(CANDIDATES);
        found.extend(likely.into_iter().map(|candidate| {
            let edges = decode(candidate.place, &anchors[candidate.place - first]);
            DetectedObject {
                edges: clip_box(&edges, image),
                class: candidate.class,
                score: candidate.score,
            }
        }));
        first += anchors.len();
    }
    suppress(&found, limits)
}
