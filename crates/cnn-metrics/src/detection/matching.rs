//! Which detections of a class are right: the matching of COCO's evaluation.
//!
//! T.-Y. Lin et al., "Microsoft COCO: common objects in context", 2014; the rules are those of its
//! program, pycocotools' `COCOeval.evaluateImg`.

use std::ops::RangeInclusive;

use super::boxes::GroundTruthBox;
use super::images::{Classes, Detection, Group, Truth, by_falling_score};

/// Two boxes with this IoU are one, whatever rounding made of it.
const SURE_IOU: f64 = 1.0 - 1e-10;

/// What counts in a matching.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    /// The IoU from which on a detection is the object.
    pub(super) min_iou: f64,
    /// The areas of objects that are to be found, in square pixels.
    pub(super) areas: RangeInclusive<f64>,
    /// Whether difficult objects need not be found.
    pub(super) ignores_difficult: bool,
}

impl Rules {
    /// All areas; crowds and difficult objects need not be found.
    pub(super) fn new(min_iou: f64) -> Self {
        Self {
            min_iou,
            areas: 0.0..=f64::INFINITY,
            ignores_difficult: true,
        }
    }

    /// Whether an object need not be found.
    pub(super) fn ignores(&self, truth: &GroundTruthBox) -> bool {
        self.may_repeat(truth) || !self.areas.contains(&truth.area)
    }

    /// Whether an object may be found more than once.
    fn may_repeat(&self, truth: &GroundTruthBox) -> bool {
        truth.is_crowd || (self.ignores_difficult && truth.is_difficult)
    }
}

/// What a detection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The object of this index, which no other detection is.
    TruePositive(usize),
    /// No object, or one that another detection is.
    FalsePositive,
    /// An object that need not be found, or nothing of the areas that count: neither right nor
    /// wrong.
    Ignored,
}

impl Verdict {
    /// Whether it is right; none where it is neither right nor wrong.
    pub(super) fn is_right(self) -> Option<bool> {
        match self {
            Self::TruePositive(_) => Some(true),
            Self::FalsePositive => Some(false),
            Self::Ignored => None,
        }
    }
}

/// The boxes of a class, with the overlaps between those of one image.
pub(super) struct ClassBoxes<'a> {
    images: Vec<Measured<'a>>,
    /// All detections by falling score, as indices into those of all images one behind the other.
    ranking: Vec<usize>,
}

impl<'a> ClassBoxes<'a> {
    /// Only the `max_detections` with the highest scores count in an image.
    pub(super) fn of(classes: &'a Classes, class: usize, max_detections: usize) -> Self {
        let images: Vec<_> = classes
            .get(class)
            .map(|group| Measured::of(group, max_detections))
            .collect();
        let scores: Vec<f64> = images
            .iter()
            .flat_map(|image| image.detections)
            .map(|detection| detection.item.score)
            .collect();
        let mut ranking: Vec<usize> = (0..scores.len()).collect();
        // Stable: equal scores stay in the order of their images.
        ranking.sort_by(|&one, &other| by_falling_score(scores[one], scores[other]));
        Self { images, ranking }
    }

    pub(super) fn truths(&self) -> impl Iterator<Item = &Truth> {
        self.images.iter().flat_map(|image| image.truths)
    }

    pub(super) fn detections(&self) -> impl Iterator<Item = &Detection> {
        self.images.iter().flat_map(|image| image.detections)
    }

    /// The number of objects that are to be found.
    pub(super) fn count(&self, rules: &Rules) -> u64 {
        let counts = self.truths().filter(|truth| !rules.ignores(&truth.item));
        counts.count() as u64
    }

    /// What each detection is, image by image.
    pub(super) fn judge(&self, rules: &Rules) -> Vec<Verdict> {
        self.judge_by(|image, verdicts| image.judge(rules, verdicts))
    }

    /// The same by another rule, which appends the verdicts of one image.
    pub(super) fn judge_by(
        &self,
        judge: impl Fn(&Measured<'_>, &mut Vec<Verdict>),
    ) -> Vec<Verdict> {
        let mut verdicts = Vec::with_capacity(self.ranking.len());
        for image in &self.images {
            judge(image, &mut verdicts);
        }
        verdicts
    }

    /// Whether the detections that count are right, by falling score.
    pub(super) fn ranked<'b>(&'b self, verdicts: &'b [Verdict]) -> impl Iterator<Item = bool> + 'b {
        self.ranking
            .iter()
            .filter_map(|&detection| verdicts[detection].is_right())
    }

    /// How many objects are found by the `max_detections` highest scores of each image.
    pub(super) fn found(&self, verdicts: &[Verdict], max_detections: usize) -> u64 {
        let mut rest = verdicts;
        let mut found = 0;
        for image in &self.images {
            let (here, after) = rest.split_at(image.detections.len());
            let first = &here[..here.len().min(max_detections)];
            let right = first
                .iter()
                .filter(|verdict| verdict.is_right() == Some(true));
            found += right.count() as u64;
            rest = after;
        }
        found
    }
}

/// The boxes of a class in one image.
pub(super) struct Measured<'a> {
    pub(super) truths: &'a [Truth],
    /// By falling score.
    pub(super) detections: &'a [Detection],
    /// Of each detection with each object.
    overlaps: Vec<f64>,
}

impl<'a> Measured<'a> {
    fn of(group: Group<'a>, max_detections: usize) -> Self {
        let kept = group.detections.len().min(max_detections);
        let detections = &group.detections[..kept];
        let overlaps = detections.iter().flat_map(|detection| {
            let overlap = |truth: &Truth| truth.item.overlap(&detection.item.rect);
            group.truths.iter().map(overlap)
        });
        Self {
            truths: group.truths,
            detections,
            overlaps: overlaps.collect(),
        }
    }

    /// The overlaps of a detection with all objects.
    pub(super) fn overlaps(&self, detection: usize) -> &[f64] {
        let start = detection * self.truths.len();
        &self.overlaps[start..start + self.truths.len()]
    }

    /// Each detection in turn, from the highest score on, is the free object with which it overlaps
    /// most; one that need not be found only if no other will do.
    fn judge(&self, rules: &Rules, verdicts: &mut Vec<Verdict>) {
        let mut candidates: Vec<Candidate> = self
            .truths
            .iter()
            .enumerate()
            .map(|(truth, placed)| Candidate {
                truth,
                is_ignored: rules.ignores(&placed.item),
                may_repeat: rules.may_repeat(&placed.item),
                is_taken: false,
            })
            .collect();
        candidates.sort_by_key(|candidate| candidate.is_ignored);
        for (index, detection) in self.detections.iter().enumerate() {
            let found = best(&mut candidates, self.overlaps(index), rules.min_iou);
            verdicts.push(match found {
                Some(candidate) if candidate.is_ignored => Verdict::Ignored,
                Some(candidate) => Verdict::TruePositive(self.truths[candidate.truth].index),
                None if rules.areas.contains(&detection.item.rect.area()) => Verdict::FalsePositive,
                None => Verdict::Ignored,
            });
        }
    }
}

/// An object that a detection may be.
#[derive(Clone, Copy)]
struct Candidate {
    truth: usize,
    is_ignored: bool,
    may_repeat: bool,
    is_taken: bool,
}

/// The candidate that a detection with these overlaps takes; of equal overlaps the last.
fn best(candidates: &mut [Candidate], overlaps: &[f64], min_iou: f64) -> Option<Candidate> {
    let mut least = min_iou.min(SURE_IOU);
    let mut best: Option<usize> = None;
    for (index, candidate) in candidates.iter().enumerate() {
        if candidate.is_taken && !candidate.may_repeat {
            continue;
        }
        // Those that are ignored come last.
        if candidate.is_ignored && best.is_some_and(|best| !candidates[best].is_ignored) {
            break;
        }
        if overlaps[candidate.truth] < least {
            continue;
        }
        least = overlaps[candidate.truth];
        best = Some(index);
    }
    let taken = &mut candidates[best?];
    taken.is_taken = true;
    Some(*taken)
}

/// The place of the highest overlap above 0, the first of equal ones, and that overlap.
pub(super) fn nearest(overlaps: impl Iterator<Item = f64>) -> Option<(usize, f64)> {
    let mut nearest: Option<(usize, f64)> = None;
    for (place, overlap) in overlaps.enumerate() {
        let highest = nearest.map_or(0.0, |(_, highest)| highest);
        if overlap > highest {
            nearest = Some((place, overlap));
        }
    }
    nearest
}
