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
/// errors of that kind alone were fixed, and 0 where it would fall. The costs do not add up to what
/// is missing to 1, since errors hide others.
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
