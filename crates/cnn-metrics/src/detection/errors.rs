//! What kinds of errors a detector makes, and what each costs.
//!
//! D. Bolya, S. Foley, J. Hays and J. Hoffman, "TIDE: a general toolbox for identifying object
//! detection errors", 2020.

use serde::Serialize;

use super::coco::MAX_DETECTIONS;
use super::images::{Classes, Images};
use super::matching::{ClassBoxes, Rules, Verdict};

mod fixes;
mod kinds;

use fixes::Ledger;
use kinds::{Kind, Mistakes};

/// Where an error is one of place; the defaults are those of the paper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorThresholds {
    /// The IoU from which on a detection is an object, above 0 and at most 1. Default: 0.5.
    pub min_iou: f64,
    /// The IoU up to which a detection is background, from 0 to below `min_iou`. Default: 0.1.
    pub background_iou: f64,
}

impl Default for ErrorThresholds {
    fn default() -> Self {
        Self {
            min_iou: 0.5,
            background_iou: 0.1,
        }
    }
}

/// The errors of a detector by kind, after TIDE.
///
/// Which detections are right is decided by COCO's rules (see [`CocoResult`](crate::CocoResult)) at
/// one IoU `f`, over all areas; difficult objects need not be found. Every wrong detection, and
/// every object that no detection is, is an error of one kind at most. With `b` the IoU up to which
/// a detection is background, a wrong detection is the first of these that holds:
///
/// | kind | which detections | what fixing it does |
/// |---|---|---|
/// | `location` | highest IoU with an object of its class in `[b, f)` | makes it right if it corrects the object, else removes it |
/// | `classification` | highest IoU with an object of another class at least `f` | gives it that class if it corrects the object, else removes it |
/// | `duplicate` | IoU of at least `f` with an object of its class, which another detection is | removes it |
/// | `background` | highest IoU with any object at most `b` | removes it |
/// | `both` | the rest: some object of another class, not well placed | removes it |
///
/// Of the location and classification errors at an object that no detection is, the one with the
/// highest score corrects it. `missed` are the objects that no detection is and none of these
/// errors corrects; fixing them takes them out of the number of objects.
///
/// What a kind costs is how much the mean of the classes' average precision at `f` would rise if
/// errors of that kind alone were fixed. The costs do not add up to what is missing to 1, since
/// errors hide others.
///
/// That is what the paper's program, tidecv, does, but for this: average precision is COCO's, so
/// that the mean goes over classes with an object to find (there, also over those with a detection,
/// which then have an average precision of 0); of a class 100 detections count in an image, not of
/// all classes together; a detection in a crowd is no error (there it is counted as one).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DetectionErrors {
    /// The IoU from which on a detection is an object.
    pub min_iou: f64,
    /// The IoU up to which a detection is background.
    pub background_iou: f64,
    /// Average precision at `min_iou` with all the errors; none where there is no object to find.
    pub ap: Option<f64>,
    /// Well placed, but of the wrong class.
    pub classification: ErrorShare,
    /// Of the right class, but not well placed.
    pub location: ErrorShare,
    /// Neither of the right class nor well placed.
    pub both: ErrorShare,
    /// An object that another detection already is.
    pub duplicate: ErrorShare,
    /// Background that is taken for an object.
    pub background: ErrorShare,
    /// Objects that nothing found.
    pub missed: ErrorShare,
}

/// The errors of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ErrorShare {
    /// How many there are: detections, or objects of those that are missed.
    pub count: u64,
    /// How much higher the average precision would be without them, in 0..1; none where there is
    /// no object to find, or would be none left.
    pub ap_gain: Option<f64>,
}

impl DetectionErrors {
    pub(super) fn of(images: &Images, classes: usize, thresholds: &ErrorThresholds) -> Self {
        let judged = Judged::of(images, classes, thresholds.min_iou);
        let mistakes = Mistakes::of(images, &judged, thresholds);
        let ledger = Ledger::of(images, classes, &judged, &mistakes);
        let ap = ledger.ap(None);
        let share = |kind| ErrorShare {
            count: mistakes.count(kind),
            // No fix lowers it, but rounding might.
            ap_gain: ap
                .zip(ledger.ap(Some(kind)))
                .map(|(ap, fixed)| (fixed - ap).max(0.0)),
        };
        Self {
            min_iou: thresholds.min_iou,
            background_iou: thresholds.background_iou,
            ap,
            classification: share(Kind::Classification),
            location: share(Kind::Location),
            both: share(Kind::Both),
            duplicate: share(Kind::Duplicate),
            background: share(Kind::Background),
            missed: share(Kind::Missed),
        }
    }
}

/// What each detection is, and which objects are found, by their places among all of their kind.
struct Judged {
    verdicts: Vec<Verdict>,
    is_found: Vec<bool>,
}

impl Judged {
    fn of(images: &Images, classes: usize, min_iou: f64) -> Self {
        let by_class = Classes::of(images);
        let rules = Rules::new(min_iou);
        let mut judged = Self {
            // Beyond the limit of an image, a detection does not count.
            verdicts: vec![Verdict::Ignored; images.detections.len()],
            is_found: vec![false; images.truths.len()],
        };
        for class in 0..classes {
            let boxes = ClassBoxes::of(&by_class, class, MAX_DETECTIONS);
            for (detection, verdict) in boxes.detections().zip(boxes.judge(&rules)) {
                judged.verdicts[detection.index] = verdict;
                if let Verdict::TruePositive(truth) = verdict {
                    judged.is_found[truth] = true;
                }
            }
        }
        judged
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::{DetectedBox, DetectionMetrics, GroundTruthBox, Rect};

    fn strip(from: f64, to: f64) -> Rect {
        Rect::from_edges([from, 0.0, to, 10.0])
    }

    fn errors(truths: &[GroundTruthBox], detections: &[DetectedBox]) -> DetectionErrors {
        let mut metrics = DetectionMetrics::new(3).unwrap();
        metrics.update(truths, detections).unwrap();
        metrics.errors(&ErrorThresholds::default()).unwrap()
    }

    fn counts(errors: &DetectionErrors) -> [u64; 6] {
        [
            errors.classification.count,
            errors.location.count,
            errors.both.count,
            errors.duplicate.count,
            errors.background.count,
            errors.missed.count,
        ]
    }

    /// One object of class 0, and a detection beside it.
    fn of_one(rect: Rect, class: usize) -> DetectionErrors {
        let truths = [GroundTruthBox::new(strip(0.0, 10.0), 0)];
        errors(&truths, &[DetectedBox::new(rect, class, 0.5)])
    }

    #[test]
    fn each_kind_is_told_by_class_and_place() {
        // IoUs of 0.4, 0.05 and 1.
        assert_eq!(counts(&of_one(strip(6.0, 10.0), 0)), [0, 1, 0, 0, 0, 0]);
        assert_eq!(counts(&of_one(strip(6.0, 10.0), 1)), [0, 0, 1, 0, 0, 1]);
        assert_eq!(counts(&of_one(strip(9.5, 10.0), 0)), [0, 0, 0, 0, 1, 1]);
        assert_eq!(counts(&of_one(strip(9.5, 10.0), 1)), [0, 0, 0, 0, 1, 1]);
        assert_eq!(counts(&of_one(strip(0.0, 10.0), 1)), [1, 0, 0, 0, 0, 0]);
        assert_eq!(counts(&of_one(strip(0.0, 10.0), 0)), [0; 6]);
        // IoUs on the thresholds.
        assert_eq!(counts(&of_one(strip(5.0, 10.0), 1)), [1, 0, 0, 0, 0, 0]);
        assert_eq!(counts(&of_one(strip(9.0, 10.0), 0)), [0, 1, 0, 0, 0, 0]);
        assert_eq!(counts(&of_one(strip(9.0, 10.0), 1)), [0, 0, 0, 0, 1, 1]);
        assert_eq!(
            counts(&errors(&[], &[DetectedBox::new(strip(0.0, 1.0), 0, 0.5)]))[4],
            1
        );
    }

    // Class 0: right at 0.9, again at 0.8 (duplicate), right at 0.6; the average precision is 1 up
    // to a recall of 1/2 and 2/3 from there on. Class 1: its object is misplaced at 0.5.
    #[test]
    fn gains_are_as_computed_by_hand() {
        let truths = [
            GroundTruthBox::new(strip(0.0, 10.0), 0),
            GroundTruthBox::new(strip(20.0, 30.0), 0),
            GroundTruthBox::new(strip(40.0, 50.0), 1),
        ];
        let detections = [
            DetectedBox::new(strip(0.0, 10.0), 0, 0.9),
            DetectedBox::new(strip(1.0, 10.0), 0, 0.8),
            DetectedBox::new(strip(20.0, 30.0), 0, 0.6),
            DetectedBox::new(strip(46.0, 50.0), 1, 0.5),
        ];
        let errors = errors(&truths, &detections);
        let of_class_0 = (51.0 + 50.0 * 2.0 / 3.0) / 101.0;
        let close = |value: Option<f64>, expected: f64| {
            let value = value.unwrap();
            assert!((value - expected).abs() < 1e-15, "{value} {expected}");
        };
        close(errors.ap, of_class_0 / 2.0);
        assert_eq!(counts(&errors), [0, 1, 0, 1, 0, 0]);
        close(errors.duplicate.ap_gain, (1.0 - of_class_0) / 2.0);
        close(errors.location.ap_gain, 0.5);
        assert_eq!(errors.missed.ap_gain, Some(0.0));
        assert_eq!(errors.background.ap_gain, Some(0.0));
    }

    #[test]
    fn the_surest_error_at_an_object_corrects_it() {
        let truths = [GroundTruthBox::new(strip(0.0, 10.0), 0)];
        let surer = DetectedBox::new(strip(0.0, 10.0), 1, 0.9);
        let other = DetectedBox::new(strip(6.0, 10.0), 0, 0.5);
        for detections in [[surer, other], [other, surer]] {
            let errors = errors(&truths, &detections);
            assert_eq!(counts(&errors), [1, 1, 0, 0, 0, 0]);
            // Fixed, the first is right, and comes before the other.
            assert_eq!(errors.classification.ap_gain, Some(1.0));
            assert_eq!(errors.location.ap_gain, Some(0.0));
        }
    }

    #[test]
    fn fixing_what_is_missed_takes_objects_out() {
        let truths = [
            GroundTruthBox::new(strip(0.0, 10.0), 0),
            GroundTruthBox::new(strip(20.0, 30.0), 0),
            GroundTruthBox::new(strip(40.0, 50.0), 1),
        ];
        let found = [DetectedBox::new(strip(0.0, 10.0), 0, 0.9)];
        let result = errors(&truths, &found);
        assert_eq!(counts(&result), [0, 0, 0, 0, 0, 2]);
        let ap = 51.0 / 101.0 / 2.0;
        assert!((result.ap.unwrap() - ap).abs() < 1e-15);
        // Class 1 has no object left.
        assert!((result.missed.ap_gain.unwrap() - (1.0 - ap)).abs() < 1e-15);
        let nothing_found = errors(&truths, &[]);
        assert_eq!(nothing_found.ap, Some(0.0));
        assert_eq!(nothing_found.missed.ap_gain, None);
        assert_eq!(nothing_found.location.ap_gain, Some(0.0));
        assert_eq!(errors(&[], &found).ap, None);
    }

    #[test]
    fn what_is_found_of_a_crowd_is_no_error_and_crowds_are_not_missed() {
        let truths = [
            GroundTruthBox::new(strip(0.0, 100.0), 0).with_crowd(true),
            GroundTruthBox::new(strip(200.0, 210.0), 0),
        ];
        let detections = [
            DetectedBox::new(strip(10.0, 20.0), 0, 0.9),
            DetectedBox::new(strip(30.0, 40.0), 0, 0.9),
            DetectedBox::new(strip(10.0, 20.0), 1, 0.9),
        ];
        let result = errors(&truths, &detections);
        assert_eq!(counts(&result), [0, 0, 0, 0, 1, 1]);
    }

    #[test]
    fn without_a_share_of_background_nothing_near_is_background() {
        let mut metrics = DetectionMetrics::new(1).unwrap();
        let truths = [GroundTruthBox::new(strip(0.0, 10.0), 0)];
        let detections = [
            DetectedBox::new(strip(9.5, 10.0), 0, 0.5),
            DetectedBox::new(strip(20.0, 30.0), 0, 0.5),
        ];
        metrics.update(&truths, &detections).unwrap();
        let thresholds = ErrorThresholds {
            background_iou: 0.0,
            ..ErrorThresholds::default()
        };
        let errors = metrics.errors(&thresholds).unwrap();
        assert_eq!(counts(&errors), [0, 1, 0, 0, 1, 0]);
    }
}
