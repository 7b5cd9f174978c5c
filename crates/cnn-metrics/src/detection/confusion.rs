//! Which class of object was taken for which, or for background.

use serde::Serialize;

use super::images::{Detection, Group, Images, Truth};
use super::matching::nearest;
use crate::{ConfusionMatrix, Error};

/// Which detections are objects, for a confusion matrix; the defaults are those of ultralytics.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConfusionThresholds {
    /// The IoU from which on a detection may be an object, above 0 and at most 1. Default: 0.45.
    pub min_iou: f64,
    /// The score from which on detections are kept. Default: 0.25.
    pub min_score: f64,
}

impl Default for ConfusionThresholds {
    fn default() -> Self {
        Self {
            min_iou: 0.45,
            min_score: 0.25,
        }
    }
}

/// Which class was taken for which, with background as a class of its own.
///
/// In each image, whatever the classes: of the pairs of a detection and an object that overlap
/// enough, each detection keeps the one with the highest IoU, and each object then the one with the
/// highest IoU among those that are left. Pairs that remain are counted at the object's class and
/// the detection's. An object without one is taken for background, and a detection without one is
/// background that was taken for its class; also a detection that lost its object to another one
/// but overlaps a second, free object.
///
/// That is the rule of the confusion matrix of YOLOv5 and ultralytics, whose matrix has rows and
/// columns exchanged. These want overlap and score above the thresholds, not at them, and leave
/// open which of equal IoUs is taken: here that with the higher score, then the earlier one.
///
/// Crowds and difficult objects are in no pair. A detection that is in none and overlaps one of
/// these of its own class enough is not counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetectionConfusion {
    /// The IoU from which on a detection may be an object.
    pub min_iou: f64,
    /// The score from which on detections are kept.
    pub min_score: f64,
    /// The row and column of background: the number of classes.
    pub background: usize,
    /// Rows are the objects' classes, columns those of the detections; in the row of background are
    /// detections that are no object, in its column objects that were not detected.
    pub matrix: ConfusionMatrix,
}

impl DetectionConfusion {
    pub(super) fn of(
        images: &Images,
        classes: usize,
        thresholds: &ConfusionThresholds,
    ) -> Result<Self, Error> {
        let mut matrix = ConfusionMatrix::new(classes + 1)?;
        for image in images.iter() {
            count(&image, classes, thresholds, &mut matrix);
        }
        Ok(Self {
            min_iou: thresholds.min_iou,
            min_score: thresholds.min_score,
            background: classes,
            matrix,
        })
    }
}

fn count(
    image: &Group<'_>,
    background: usize,
    thresholds: &ConfusionThresholds,
    matrix: &mut ConfusionMatrix,
) {
    let is_kept = |detection: &&Detection| detection.item.score >= thresholds.min_score;
    let detections: Vec<_> = image.detections.iter().filter(is_kept).collect();
    let is_ignored = |truth: &&Truth| truth.item.is_ignored();
    let (ignored, truths): (Vec<_>, Vec<_>) = image.truths.iter().partition(is_ignored);
    let of_truths = pairs(&truths, &detections, thresholds.min_iou);
    let mut is_paired = vec![false; detections.len()];
    for (truth, paired) in truths.iter().zip(of_truths) {
        let prediction = match paired {
            Some(detection) => {
                is_paired[detection] = true;
                detections[detection].item.class
            }
            None => background,
        };
        matrix.count_one(truth.item.class, prediction);
    }
    for (detection, is_paired) in detections.iter().zip(is_paired) {
        let may_be = |truth: &&Truth| {
            truth.item.class == detection.item.class
                && truth.item.overlap(&detection.item.rect) >= thresholds.min_iou
        };
        if !is_paired && !ignored.iter().any(may_be) {
            matrix.count_one(background, detection.item.class);
        }
    }
}

/// The detection that each object is paired with.
fn pairs(truths: &[&Truth], detections: &[&Detection], min_iou: f64) -> Vec<Option<usize>> {
    let mut of_truths: Vec<Option<(usize, f64)>> = vec![None; truths.len()];
    for (index, detection) in detections.iter().enumerate() {
        let overlap = |truth: &&Truth| truth.item.overlap(&detection.item.rect);
        let Some((truth, iou)) = nearest(truths.iter().map(overlap)) else {
            continue;
        };
        let is_better = |&(other, other_iou): &(usize, f64)| {
            let is_surer = detection.item.score > detections[other].item.score;
            iou > other_iou || (iou == other_iou && is_surer)
        };
        if iou >= min_iou && of_truths[truth].as_ref().is_none_or(is_better) {
            of_truths[truth] = Some((index, iou));
        }
    }
    let detection = |paired: Option<(usize, f64)>| paired.map(|(detection, _)| detection);
    of_truths.into_iter().map(detection).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::{DetectedBox, DetectionMetrics, GroundTruthBox, Rect};

    fn strip(from: f64, to: f64) -> Rect {
        Rect::from_edges([from, 0.0, to, 10.0])
    }

    fn rows(truths: &[GroundTruthBox], detections: &[DetectedBox]) -> Vec<Vec<u64>> {
        let mut metrics = DetectionMetrics::new(2).unwrap();
        metrics.update(truths, detections).unwrap();
        let confusion = metrics.confusion(&ConfusionThresholds::default()).unwrap();
        assert_eq!(confusion.background, 2);
        confusion.matrix.rows()
    }

    #[test]
    fn each_pair_and_what_is_left_is_counted() {
        let truths = [
            GroundTruthBox::new(strip(0.0, 10.0), 0),
            GroundTruthBox::new(strip(20.0, 30.0), 0),
            GroundTruthBox::new(strip(40.0, 50.0), 1),
        ];
        let detections = [
            DetectedBox::new(strip(0.0, 9.0), 0, 0.9),
            DetectedBox::new(strip(0.0, 10.0), 1, 0.3), // overlaps more
            DetectedBox::new(strip(21.0, 30.0), 0, 0.25), // as sure as it must be
            DetectedBox::new(strip(40.0, 50.0), 1, 0.24), // not sure enough
            DetectedBox::new(strip(40.0, 44.0), 1, 0.9), // overlaps too little
        ];
        assert_eq!(
            rows(&truths, &detections),
            [[1, 1, 0], [0, 0, 1], [1, 1, 0]]
        );
    }

    #[test]
    fn a_detection_that_lost_its_object_takes_no_other() {
        let truths = [strip(0.0, 10.0), strip(3.0, 13.0)].map(|rect| GroundTruthBox::new(rect, 0));
        let detections = [
            DetectedBox::new(strip(0.0, 10.0), 0, 0.9),
            DetectedBox::new(strip(1.0, 11.0), 1, 0.8),
        ];
        assert_eq!(
            rows(&truths, &detections),
            [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
        );
    }

    #[test]
    fn of_equal_overlaps_the_surer_counts_then_the_earlier() {
        let truth = [GroundTruthBox::new(strip(0.0, 10.0), 0)];
        let of_scores = |first, second| {
            let scores = [(0, first), (1, second)];
            rows(
                &truth,
                &scores.map(|(class, score)| DetectedBox::new(strip(0.0, 10.0), class, score)),
            )
        };
        assert_eq!(of_scores(0.5, 0.6), [[0, 1, 0], [0, 0, 0], [1, 0, 0]]);
        assert_eq!(of_scores(0.6, 0.5), [[1, 0, 0], [0, 0, 0], [0, 1, 0]]);
        assert_eq!(of_scores(0.5, 0.5), [[1, 0, 0], [0, 0, 0], [0, 1, 0]]);
    }

    #[test]
    fn what_lies_in_a_crowd_of_its_class_does_not_count() {
        let truths = [GroundTruthBox::new(strip(0.0, 100.0), 0).with_crowd(true)];
        let detections = [
            DetectedBox::new(strip(0.0, 10.0), 0, 0.9),
            DetectedBox::new(strip(0.0, 10.0), 1, 0.9),
            DetectedBox::new(strip(95.0, 110.0), 0, 0.9), // a third of it
        ];
        assert_eq!(
            rows(&truths, &detections),
            [[0, 0, 0], [0, 0, 0], [1, 1, 0]]
        );
        let difficult = [truths[0].with_crowd(false).with_difficult(true)];
        assert_eq!(
            rows(&difficult, &detections),
            [[0, 0, 0], [0, 0, 0], [2, 1, 0]]
        );
    }
}
