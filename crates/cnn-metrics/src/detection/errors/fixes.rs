//! What the average precision would be without errors of a kind.

use super::Judged;
use super::kinds::{Kind, Mistakes};
use crate::detection::average_precision::Envelope;
use crate::detection::images::{Images, by_falling_score};
use crate::mean::mean;

/// All that average precision depends on.
pub(super) struct Ledger {
    /// By falling score.
    entries: Vec<Entry>,
    /// By class, how many objects are to be found.
    objects: Vec<u64>,
    /// By class, how many of these are missed.
    missed: Vec<u64>,
}

/// A detection that is right or wrong.
#[derive(Clone, Copy)]
struct Entry {
    class: usize,
    score: f64,
    /// None where it is right.
    mistake: Option<Kind>,
    /// The class of the object that it corrects once it is fixed.
    corrects: Option<usize>,
}

impl Ledger {
    pub(super) fn of(
        images: &Images,
        classes: usize,
        judged: &Judged,
        mistakes: &Mistakes,
    ) -> Self {
        let mut ledger = Self {
            entries: Vec::new(),
            objects: vec![0; classes],
            missed: vec![0; classes],
        };
        for truth in images
            .truths
            .iter()
            .filter(|truth| !truth.item.is_ignored())
        {
            ledger.objects[truth.item.class] += 1;
            ledger.missed[truth.item.class] += u64::from(mistakes.is_missed[truth.index]);
        }
        for detection in &images.detections {
            let mistake = mistakes.detections[detection.index];
            if judged.verdicts[detection.index].is_right().is_some() {
                ledger.entries.push(Entry {
                    class: detection.item.class,
                    score: detection.item.score,
                    mistake: mistake.map(|mistake| mistake.kind),
                    corrects: mistake.and_then(|mistake| mistake.corrects),
                });
            }
        }
        // Stable: equal scores stay in the order of their images.
        let order = |one: &Entry, other: &Entry| by_falling_score(one.score, other.score);
        ledger.entries.sort_by(order);
        ledger
    }

    /// The mean average precision once errors of a kind are fixed.
    pub(super) fn ap(&self, fixed: Option<Kind>) -> Option<f64> {
        let mut ranked = vec![Vec::new(); self.objects.len()];
        for entry in &self.entries {
            if let Some((class, is_right)) = entry.outcome(fixed) {
                ranked[class].push(is_right);
            }
        }
        mean(ranked.into_iter().enumerate().map(|(class, ranked)| {
            let objects = self.objects_left(class, fixed);
            (objects > 0).then(|| Envelope::of(ranked.into_iter(), objects).at_101_points())
        }))
    }

    fn objects_left(&self, class: usize, fixed: Option<Kind>) -> u64 {
        if fixed == Some(Kind::Missed) {
            self.objects[class] - self.missed[class]
        } else {
            self.objects[class]
        }
    }
}

impl Entry {
    /// The class, and whether the detection is right; none where it is removed.
    fn outcome(&self, fixed: Option<Kind>) -> Option<(usize, bool)> {
        let is_fixed = self.mistake.is_some() && self.mistake == fixed;
        if is_fixed {
            Some((self.corrects?, true))
        } else {
            Some((self.class, self.mistake.is_none()))
        }
    }
}
