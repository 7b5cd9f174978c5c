//! PASCAL VOC's average precision.
//!
//! M. Everingham et al., "The PASCAL visual object classes (VOC) challenge", 2010; the rules are
//! those of the development kit's `VOCevaldet.m`.

use serde::Serialize;

use super::average_precision::Envelope;
use super::images::{Classes, Images};
use super::matching::{ClassBoxes, Measured, Verdict};
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
        verdicts.push(match nearest(image.overlaps(detection), min_iou) {
            None => Verdict::FalsePositive,
            Some(truth) if image.truths[truth].item.is_ignored() => Verdict::Ignored,
            Some(truth) if is_taken[truth] => Verdict::FalsePositive,
            Some(truth) => {
                is_taken[truth] = true;
                Verdict::TruePositive(image.truths[truth].index)
            }
        });
    }
}

/// The first of the highest overlaps, if it is high enough.
fn nearest(overlaps: &[f64], min_iou: f64) -> Option<usize> {
    let mut nearest: Option<usize> = None;
    for (truth, &overlap) in overlaps.iter().enumerate() {
        if nearest.is_none_or(|nearest| overlap > overlaps[nearest]) {
            nearest = Some(truth);
        }
    }
    nearest.filter(|&truth| overlaps[truth] >= min_iou)
}
