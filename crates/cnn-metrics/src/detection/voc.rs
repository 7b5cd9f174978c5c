//! PASCAL VOC's average precision.
//!
//! M. Everingham et al., "The PASCAL visual object classes (VOC) challenge", 2010; the rules are
//! those of the development kit's `VOCevaldet.m`.

use serde::Serialize;

use super::average_precision::Envelope;
use super::images::{Classes, Images};
use super::matching::{ClassBoxes, Measured, Verdict, nearest};
use crate::mean::mean;

/// How the area under the curve of precision over recall is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum VocInterpolation {
    /// The mean of the highest precision at each of the recalls 0, 0.1, … 1 or beyond: VOC 2007.
    ElevenPoints,
    /// The area under the highest precision at each recall or beyond: from VOC 2010 on.
    #[default]
    AllPoints,
}

/// VOC's average precision.
///
/// - Detections of a class are taken from the highest score on, equal scores as they were given.
///   Each is assigned to the object of its image and class with which its IoU is highest, the first
///   of equal ones, whether or not that one is taken.
/// - It is right if that IoU is at least the threshold and the object is free; a second detection
///   of an object is wrong, even where another object would do.
/// - A detection that is assigned to a difficult object is neither right nor wrong, and that object
///   need not be found. VOC has no crowds; here they are difficult, with COCO's overlap: the share
///   of the detection that lies in the crowd.
/// - All detections count, however many.
///
/// The development kit counts the last column and row of a box in, and takes a width for one more
/// than the difference of maximum and minimum. Here coordinates are edges and nothing is added:
/// what reads a file of VOC takes one from the minima.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct VocResult {
    /// The IoU from which on a detection is an object; VOC takes 0.5.
    pub min_iou: f64,
    /// How the area was taken.
    pub interpolation: VocInterpolation,
    /// Mean of the classes' `ap`, over the classes that have an object to find; none without any.
    pub mean_ap: Option<f64>,
    /// Every class, by index.
    pub per_class: Vec<VocClass>,
}

/// VOC's average precision of a class.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct VocClass {
    /// The class index.
    pub class: usize,
    /// How many objects are to be found: those that are not difficult and no crowd.
    pub objects: u64,
    /// Average precision in 0..1; none where there is no object to find.
    pub ap: Option<f64>,
}

impl VocResult {
    pub(super) fn of(
        images: &Images,
        classes: usize,
        interpolation: VocInterpolation,
        min_iou: f64,
    ) -> Self {
        let by_class = Classes::of(images);
        let per_class: Vec<_> = (0..classes)
            .map(|class| {
                let boxes = ClassBoxes::of(&by_class, class, usize::MAX);
                per_class(&boxes, class, interpolation, min_iou)
            })
            .collect();
        Self {
            min_iou,
            interpolation,
            mean_ap: mean(per_class.iter().map(|class| class.ap)),
            per_class,
        }
    }
}

fn per_class(
    boxes: &ClassBoxes<'_>,
    class: usize,
    interpolation: VocInterpolation,
    min_iou: f64,
) -> VocClass {
    let to_find = boxes.truths().filter(|truth| !truth.item.is_ignored());
    let objects = to_find.count() as u64;
    let ap = || {
        let verdicts = boxes.judge_by(|image, verdicts| judge(image, min_iou, verdicts));
        let envelope = Envelope::of(boxes.ranked(&verdicts), objects);
        match interpolation {
            VocInterpolation::ElevenPoints => envelope.at_11_points(),
            VocInterpolation::AllPoints => envelope.area(),
        }
    };
    VocClass {
        class,
        objects,
        ap: (objects > 0).then(ap),
    }
}

fn judge(image: &Measured<'_>, min_iou: f64, verdicts: &mut Vec<Verdict>) {
    let mut is_taken = vec![false; image.truths.len()];
    for detection in 0..image.detections.len() {
        let overlaps = image.overlaps(detection).iter().copied();
        let assigned = nearest(overlaps).filter(|&(_, overlap)| overlap >= min_iou);
        verdicts.push(match assigned {
            None => Verdict::FalsePositive,
            Some((truth, _)) if image.truths[truth].item.is_ignored() => Verdict::Ignored,
            Some((truth, _)) if is_taken[truth] => Verdict::FalsePositive,
            Some((truth, _)) => {
                is_taken[truth] = true;
                Verdict::TruePositive(image.truths[truth].index)
            }
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::VocInterpolation::{AllPoints, ElevenPoints};
    use crate::{DetectedBox, DetectionMetrics, GroundTruthBox, Rect};

    fn strip(from: f64, to: f64) -> Rect {
        Rect::from_edges([from, 0.0, to, 10.0])
    }

    fn found(rect: Rect, score: f64) -> DetectedBox {
        DetectedBox::new(rect, 0, score)
    }

    fn aps(truths: &[GroundTruthBox], detections: &[DetectedBox]) -> [Option<f64>; 2] {
        let mut metrics = DetectionMetrics::new(1).unwrap();
        metrics.update(truths, detections).unwrap();
        [ElevenPoints, AllPoints].map(|points| metrics.voc(points, 0.5).unwrap().mean_ap)
    }

    #[test]
    fn a_detection_goes_to_its_nearest_object_even_if_that_is_taken() {
        // The second detection has an IoU of 9/12 with the first object, and one of 8/13 with the
        // second one, which is free.
        let truths = [strip(0.0, 10.0), strip(3.0, 13.0)].map(|rect| GroundTruthBox::new(rect, 0));
        let detections = [
            found(strip(0.0, 10.0), 0.9),
            found(Rect::from_edges([1.0, 0.0, 11.0, 10.0]), 0.8),
        ];
        let mut metrics = DetectionMetrics::new(1).unwrap();
        metrics.update(&truths, &detections).unwrap();
        assert_eq!(metrics.voc(AllPoints, 0.5).unwrap().mean_ap, Some(0.5));
        assert_eq!(metrics.coco().unwrap().ap50, Some(1.0));
    }

    #[test]
    fn what_is_found_of_difficult_objects_and_crowds_does_not_count() {
        let truths = [
            GroundTruthBox::new(strip(0.0, 10.0), 0),
            GroundTruthBox::new(strip(20.0, 30.0), 0).with_difficult(true),
            GroundTruthBox::new(strip(40.0, 100.0), 0).with_crowd(true),
        ];
        let detections = [
            found(strip(20.0, 30.0), 0.9),
            found(strip(21.0, 30.0), 0.9), // again
            found(strip(50.0, 60.0), 0.8),
            found(strip(70.0, 80.0), 0.8), // the crowd again
            found(strip(0.0, 10.0), 0.7),
        ];
        assert_eq!(aps(&truths, &detections), [Some(1.0), Some(1.0)]);
        assert_eq!(aps(&truths[1..], &detections), [None, None]);
    }

    // Right, wrong, right, and one object of three is not found: precisions 1, 1/2, 2/3 at recalls
    // 1/3, 1/3, 2/3.
    #[test]
    fn both_ways_to_take_the_area_are_as_computed_by_hand() {
        let truths = [strip(0.0, 10.0), strip(20.0, 30.0), strip(40.0, 50.0)]
            .map(|rect| GroundTruthBox::new(rect, 0));
        let detections = [
            found(strip(40.0, 50.0), 0.3),
            found(strip(0.0, 10.0), 0.9),
            found(strip(10.0, 20.0), 0.5),
        ];
        let [eleven, all] = aps(&truths, &detections).map(Option::unwrap);
        // Recalls 0 to 0.3 are reached with a precision of 1, 0.4 to 0.6 with 2/3.
        assert!((eleven - (4.0 + 3.0 * 2.0 / 3.0) / 11.0).abs() < 1e-15);
        assert!((all - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-15);
    }

    #[test]
    fn edges_are_taken_as_they_are() {
        // With a pixel added to each side, the IoU of these would be 11/22, enough.
        let truths = [GroundTruthBox::new(Rect::new(0.0, 0.0, 21.0, 1.0), 0)];
        let detections = [found(Rect::new(0.0, 0.0, 10.0, 1.0), 0.9)];
        assert_eq!(aps(&truths, &detections), [Some(0.0), Some(0.0)]);
    }
}
