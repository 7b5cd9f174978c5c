//! COCO's evaluation of boxes: average precision and recall over thresholds, areas and classes.
//!
//! T.-Y. Lin et al., "Microsoft COCO: common objects in context", 2014, and the metrics of
//! <https://cocodataset.org/#detection-eval>.

use std::ops::RangeInclusive;

use serde::Serialize;

use super::average_precision::Envelope;
use super::images::{Classes, Images};
use super::matching::{ClassBoxes, Rules};
use crate::mean::mean;

/// How many detections of a class count in an image, at most.
pub(super) const MAX_DETECTIONS: usize = 100;

/// IoUs 0.5, 0.55, … 0.95.
const THRESHOLDS: usize = 10;
/// At most so many detections of a class in an image, for average recalls.
const RECALL_DETECTIONS: [usize; 3] = [1, 10, MAX_DETECTIONS];
/// All, small, medium and large objects, in square pixels. Both limits belong to a range, so that
/// an object of 32² pixels is small and medium.
const AREAS: [RangeInclusive<f64>; 4] = [0.0..=1e10, 0.0..=1024.0, 1024.0..=9216.0, 9216.0..=1e10];
const ALL: usize = 0;
const SMALL: usize = 1;
const MEDIUM: usize = 2;
const LARGE: usize = 3;
/// Indices of thresholds 0.5 and 0.75.
const AT_50: usize = 0;
const AT_75: usize = 5;

/// The scores of COCO's evaluation, each in 0..1, and none where there is no object to find
/// (pycocotools prints −1).
///
/// They equal those of pycocotools' `COCOeval` for boxes on the same numbers, to rounding:
///
/// - In each image and class the 100 detections with the highest scores are matched, from the
///   highest score on. A detection is the free object with which its IoU is highest, and at least
///   the threshold. Equal scores stay in the order in which they were given, also across images.
/// - Crowds, and objects whose area is out of range, need not be found: a detection that is none of
///   the others but one of these is neither right nor wrong. A crowd may be found many times, and
///   its IoU is the share of the detection that lies in it.
/// - A detection that is nothing, and whose own area is out of range, is neither right nor wrong.
/// - Average precision is the mean of the highest precision at each of 101 recalls or beyond, over
///   thresholds of 0.5, 0.55, … 0.95 and over the classes that have an object to find.
/// - Average recall is the mean of the recall over the same thresholds and classes.
///
/// [`GroundTruthBox::is_difficult`](crate::GroundTruthBox::is_difficult) is not read: pycocotools
/// overwrites its field `ignore` with `iscrowd`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CocoResult {
    /// Average precision over all thresholds (AP, also mAP or mAP@[.5:.95]).
    pub ap: Option<f64>,
    /// Average precision at an IoU of 0.5.
    pub ap50: Option<f64>,
    /// Average precision at an IoU of 0.75.
    pub ap75: Option<f64>,
    /// Average precision of objects of at most 32² square pixels.
    pub ap_small: Option<f64>,
    /// Average precision of objects of 32² to 96² square pixels.
    pub ap_medium: Option<f64>,
    /// Average precision of objects of at least 96² square pixels.
    pub ap_large: Option<f64>,
    /// Average recall with one detection in each image and class.
    pub ar1: Option<f64>,
    /// Average recall with ten detections in each image and class.
    pub ar10: Option<f64>,
    /// Average recall with 100 detections in each image and class.
    pub ar100: Option<f64>,
    /// Average recall of objects of at most 32² square pixels, with 100 detections.
    pub ar_small: Option<f64>,
    /// Average recall of objects of 32² to 96² square pixels, with 100 detections.
    pub ar_medium: Option<f64>,
    /// Average recall of objects of at least 96² square pixels, with 100 detections.
    pub ar_large: Option<f64>,
    /// Every class, by index.
    pub per_class: Vec<CocoClass>,
}

/// The scores of one class; none where it has no object to find.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CocoClass {
    /// The class index.
    pub class: usize,
    /// How many objects are to be found: those that are no crowd, of at most 10¹⁰ square pixels.
    pub objects: u64,
    /// Average precision over all thresholds.
    pub ap: Option<f64>,
    /// Average precision at an IoU of 0.5.
    pub ap50: Option<f64>,
    /// Average precision at an IoU of 0.75.
    pub ap75: Option<f64>,
    /// Average recall with 100 detections in each image.
    pub ar100: Option<f64>,
}

impl CocoResult {
    /// The twelve numbers in the order in which pycocotools prints them.
    pub fn summary(&self) -> [Option<f64>; 12] {
        [
            self.ap,
            self.ap50,
            self.ap75,
            self.ap_small,
            self.ap_medium,
            self.ap_large,
            self.ar1,
            self.ar10,
            self.ar100,
            self.ar_small,
            self.ar_medium,
            self.ar_large,
        ]
    }

    pub(super) fn of(images: &Images, classes: usize) -> Self {
        let by_class = Classes::of(images);
        let scores: Vec<_> = (0..classes)
            .map(|class| ClassScores::of(&ClassBoxes::of(&by_class, class, MAX_DETECTIONS)))
            .collect();
        let over_classes = |area: usize, score: &dyn Fn(&Scores) -> f64| {
            mean(
                scores
                    .iter()
                    .map(|class| class.areas[area].map(|scores| score(&scores))),
            )
        };
        let ap = |area| over_classes(area, &Scores::ap);
        let ar = |area, detections| over_classes(area, &|scores| scores.ar(detections));
        Self {
            ap: ap(ALL),
            ap50: over_classes(ALL, &|scores| scores.precisions[AT_50]),
            ap75: over_classes(ALL, &|scores| scores.precisions[AT_75]),
            ap_small: ap(SMALL),
            ap_medium: ap(MEDIUM),
            ap_large: ap(LARGE),
            ar1: ar(ALL, 0),
            ar10: ar(ALL, 1),
            ar100: ar(ALL, 2),
            ar_small: ar(SMALL, 2),
            ar_medium: ar(MEDIUM, 2),
            ar_large: ar(LARGE, 2),
            per_class: scores.iter().enumerate().map(per_class).collect(),
        }
    }
}

/// The scores of a class in each range of areas; none where it has no object there.
struct ClassScores {
    objects: u64,
    areas: [Option<Scores>; 4],
}

/// By threshold.
#[derive(Clone, Copy, Default)]
struct Scores {
    precisions: [f64; THRESHOLDS],
    recalls: [[f64; RECALL_DETECTIONS.len()]; THRESHOLDS],
}

impl ClassScores {
    fn of(boxes: &ClassBoxes<'_>) -> Self {
        Self {
            objects: boxes.count(&rules(ALL, AT_50)),
            areas: std::array::from_fn(|area| Scores::of(boxes, area)),
        }
    }
}

impl Scores {
    fn of(boxes: &ClassBoxes<'_>, area: usize) -> Option<Self> {
        let objects = boxes.count(&rules(area, AT_50));
        if objects == 0 {
            return None;
        }
        let mut scores = Self::default();
        for threshold in 0..THRESHOLDS {
            let verdicts = boxes.judge(&rules(area, threshold));
            let envelope = Envelope::of(boxes.ranked(&verdicts), objects);
            scores.precisions[threshold] = envelope.at_101_points();
            scores.recalls[threshold] = RECALL_DETECTIONS.map(|max_detections| {
                boxes.found(&verdicts, max_detections) as f64 / objects as f64
            });
        }
        Some(scores)
    }

    fn ap(&self) -> f64 {
        self.precisions.iter().sum::<f64>() / THRESHOLDS as f64
    }

    fn ar(&self, detections: usize) -> f64 {
        let recalls = self.recalls.iter().map(|recalls| recalls[detections]);
        recalls.sum::<f64>() / THRESHOLDS as f64
    }
}

fn rules(area: usize, threshold: usize) -> Rules {
    Rules {
        min_iou: iou_threshold(threshold),
        areas: AREAS[area].clone(),
        ignores_difficult: false,
    }
}

/// As numpy's `linspace(0.5, 0.95, 10)` rounds.
fn iou_threshold(threshold: usize) -> f64 {
    let step = (0.95 - 0.5) / (THRESHOLDS - 1) as f64;
    if threshold == THRESHOLDS - 1 {
        0.95
    } else {
        threshold as f64 * step + 0.5
    }
}

fn per_class((class, scores): (usize, &ClassScores)) -> CocoClass {
    let all = scores.areas[ALL];
    CocoClass {
        class,
        objects: scores.objects,
        ap: all.map(|scores| scores.ap()),
        ap50: all.map(|scores| scores.precisions[AT_50]),
        ap75: all.map(|scores| scores.precisions[AT_75]),
        ar100: all.map(|scores| scores.ar(2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // np.linspace(.5, 0.95, int(np.round((0.95 - .5) / .05)) + 1).tolist()
    #[test]
    fn thresholds_are_those_of_numpy() {
        let expected = [
            0.5,
            0.55,
            0.6,
            0.65,
            0.7,
            0.75,
            0.8,
            0.85,
            0.899_999_999_999_999_9,
            0.95,
        ];
        assert_eq!(std::array::from_fn(iou_threshold), expected);
    }
}
