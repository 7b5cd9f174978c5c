//! Of which kind each error is.

use super::{ErrorThresholds, Judged};
use crate::detection::images::{Detection, Group, Images, Truth, by_falling_score};
use crate::detection::matching::{Verdict, nearest};

/// A kind of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Classification,
    Location,
    Both,
    Duplicate,
    Background,
    Missed,
}

/// A wrong detection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mistake {
    pub(super) kind: Kind,
    /// The class of the object that the detection corrects once it is fixed.
    pub(super) corrects: Option<usize>,
}

/// All errors.
pub(super) struct Mistakes {
    /// Of each detection, none where it is not wrong.
    pub(super) detections: Vec<Option<Mistake>>,
    /// Of each object, whether it is missed.
    pub(super) is_missed: Vec<bool>,
}

impl Mistakes {
    pub(super) fn of(images: &Images, judged: &Judged, thresholds: &ErrorThresholds) -> Self {
        let mut mistakes = Self {
            detections: vec![None; images.detections.len()],
            is_missed: vec![false; images.truths.len()],
        };
        for image in images.iter() {
            mistakes.add(&image, judged, thresholds);
        }
        mistakes
    }

    pub(super) fn count(&self, kind: Kind) -> u64 {
        let count = if kind == Kind::Missed {
            self.is_missed
                .iter()
                .filter(|is_missed| **is_missed)
                .count()
        } else {
            let mistakes = self.detections.iter().flatten();
            mistakes.filter(|mistake| mistake.kind == kind).count()
        };
        count as u64
    }

    fn add(&mut self, image: &Group<'_>, judged: &Judged, thresholds: &ErrorThresholds) {
        let mut wrong: Vec<_> = image
            .detections
            .iter()
            .filter(|detection| judged.verdicts[detection.index] == Verdict::FalsePositive)
            .collect();
        wrong.sort_by(|one, other| by_falling_score(one.item.score, other.item.score));
        let truths: Vec<_> = image
            .truths
            .iter()
            .filter(|truth| !truth.item.is_ignored())
            .collect();
        let mut is_corrected = vec![false; truths.len()];
        for detection in wrong {
            let (kind, nearest) = classify(&truths, detection, thresholds);
            let corrected = nearest
                .filter(|&truth| !is_corrected[truth] && !judged.is_found[truths[truth].index]);
            if let Some(truth) = corrected {
                is_corrected[truth] = true;
            }
            self.detections[detection.index] = Some(Mistake {
                kind,
                corrects: corrected.map(|truth| truths[truth].item.class),
            });
        }
        for (truth, is_corrected) in truths.iter().zip(is_corrected) {
            self.is_missed[truth.index] = !is_corrected && !judged.is_found[truth.index];
        }
    }
}

/// The kind of a wrong detection, and the object that it would be if it were not wrong.
fn classify(
    truths: &[&Truth],
    detection: &Detection,
    thresholds: &ErrorThresholds,
) -> (Kind, Option<usize>) {
    let is_same = |truth: &Truth| truth.item.class == detection.item.class;
    // An object that is not meant overlaps by nothing.
    let nearest_of = |of_same: bool| {
        let overlaps = truths.iter().map(|truth| {
            if is_same(truth) == of_same {
                truth.item.overlap(&detection.item.rect)
            } else {
                0.0
            }
        });
        nearest(overlaps).map_or((None, 0.0), |(truth, iou)| (Some(truth), iou))
    };
    let (same, same_iou) = nearest_of(true);
    let (other, other_iou) = nearest_of(false);
    let misplaced = thresholds.background_iou..thresholds.min_iou;
    if same.is_some() && misplaced.contains(&same_iou) {
        (Kind::Location, same)
    } else if other_iou >= thresholds.min_iou {
        (Kind::Classification, other)
    } else if same_iou >= thresholds.min_iou {
        (Kind::Duplicate, None)
    } else if other_iou.max(same_iou) <= thresholds.background_iou {
        (Kind::Background, None)
    } else {
        (Kind::Both, None)
    }
}
