//! Soft non-maximum suppression: overlapping boxes keep a lower score in place of none (Bodla et al.
//! 2017, <https://arxiv.org/abs/1704.04503>).

use super::suppression::by_score;
use super::{BoxEdges, check_count, check_positive, check_share, iou};
use crate::Error;

/// How a score falls by the overlap with a box that has a higher one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Decay {
    /// `s (1 − IoU)` where the IoU is at least the threshold, else `s` (equation 2).
    Linear {
        /// From 0 to 1; the paper's is 0.3.
        iou_threshold: f64,
    },
    /// `s exp(−IoU² / σ)` (equation 3).
    Gaussian {
        /// Above 0; the paper's is 0.5.
        sigma: f64,
    },
}

/// A box that stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rescored {
    /// Its number.
    pub index: usize,
    /// Its score, lowered by the boxes before it.
    pub score: f32,
}

/// Soft non-maximum suppression: again and again the box with the highest score is taken, and the
/// scores of those left fall by how much they overlap with it.
///
/// ```
/// use cnn_layers::detection::{Decay, SoftNms};
///
/// let boxes = [[0., 0., 4., 1.], [0., 0., 2., 1.], [9., 9., 10., 10.]];
/// let soft = SoftNms::new(Decay::Linear { iou_threshold: 0.3 });
/// let kept = soft.run(&boxes, &[0.75, 0.5, 0.375], None)?;
/// let kept: Vec<(usize, f32)> = kept.iter().map(|kept| (kept.index, kept.score)).collect();
/// // The second box overlaps with the first by a half.
/// assert_eq!(kept, [(0, 0.75), (2, 0.375), (1, 0.25)]);
/// # Ok::<(), cnn_layers::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SoftNms {
    /// How scores fall.
    pub decay: Decay,
    /// Boxes whose score is below it are dropped, also in between; default 0.001, as in the paper's
    /// program.
    pub least_score: f32,
}

impl SoftNms {
    /// With the least score of the paper's program.
    pub const fn new(decay: Decay) -> Self {
        Self {
            decay,
            least_score: 1e-3,
        }
    }

    /// Another least score.
    #[must_use]
    pub const fn with_least_score(self, least_score: f32) -> Self {
        Self {
            least_score,
            ..self
        }
    }

    /// The boxes that stay, in the order in which they were taken: by their new scores, the highest
    /// first, and equal ones in their order. Where there are classes, scores fall only by boxes of
    /// the same class.
    ///
    /// # Errors
    /// If there are not as many scores or classes as boxes, a score is NaN, or a setting is out of
    /// its range.
    pub fn run(
        &self,
        boxes: &[BoxEdges],
        scores: &[f32],
        classes: Option<&[u32]>,
    ) -> Result<Vec<Rescored>, Error> {
        self.check()?;
        if let Some(classes) = classes {
            check_count("classes", classes.len(), boxes.len())?;
        }
        let mut left: Vec<Rescored> = by_score(scores, boxes.len())?
            .into_iter()
            .map(|index| Rescored {
                index,
                score: scores[index],
            })
            .filter(|candidate| candidate.score >= self.least_score)
            .collect();
        let mut taken = Vec::new();
        while let Some(best) = highest(&left) {
            let best = left.remove(best);
            taken.push(best);
            left.retain_mut(|other| {
                let apart =
                    classes.is_some_and(|classes| classes[other.index] != classes[best.index]);
                if !apart {
                    other.score *= self.factor(iou(&boxes[best.index], &boxes[other.index]));
                }
                other.score >= self.least_score
            });
        }
        Ok(taken)
    }

    fn check(&self) -> Result<(), Error> {
        if self.least_score.is_nan() {
            return Err(Error::argument("least_score", self.least_score, "a number"));
        }
        match self.decay {
            Decay::Linear { iou_threshold } => check_share("iou_threshold", iou_threshold),
            Decay::Gaussian { sigma } => check_positive("sigma", sigma),
        }
    }

    /// What a score is multiplied by.
    fn factor(&self, overlap: f32) -> f32 {
        match self.decay {
            Decay::Linear { iou_threshold } if f64::from(overlap) < iou_threshold => 1.,
            Decay::Linear { .. } => 1. - overlap,
            // Most pairs have nothing in common.
            Decay::Gaussian { .. } if overlap == 0. => 1.,
            Decay::Gaussian { sigma } => (-f64::from(overlap).powi(2) / sigma).exp() as f32,
        }
    }
}

/// The place of the highest score, of equal ones that of the lowest number.
fn highest(candidates: &[Rescored]) -> Option<usize> {
    let mut places = 0..candidates.len();
    let first = places.next()?;
    Some(places.fold(first, |best, place| {
        let kept = candidates[best];
        let other = candidates[place];
        let wins =
            other.score > kept.score || (other.score == kept.score && other.index < kept.index);
        if wins { place } else { best }
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BOXES: [BoxEdges; 4] = [
        [0., 0., 4., 4.],
        [0., 0., 4., 4.],
        [0., 0., 4., 2.],
        [20., 0., 24., 4.],
    ];

    #[test]
    fn classes_keep_to_themselves_and_doubles_go() {
        let scores = [0.5, 0.5, 0.25, 0.125];
        let soft = SoftNms::new(Decay::Linear { iou_threshold: 0.3 });
        let kept = |classes: Option<&[u32]>| -> Vec<(usize, f32)> {
            let kept = soft.run(&BOXES, &scores, classes).unwrap();
            kept.iter().map(|kept| (kept.index, kept.score)).collect()
        };
        // The second box is the first again and loses its whole score.
        assert_eq!(kept(None), [(0, 0.5), (2, 0.125), (3, 0.125)]);
        assert_eq!(
            kept(Some(&[1, 0, 1, 1])),
            [(0, 0.5), (1, 0.5), (2, 0.125), (3, 0.125)]
        );
    }

    #[test]
    fn no_boxes_and_arguments_out_of_range() {
        let soft = SoftNms::new(Decay::Gaussian { sigma: 0.5 });
        assert!(soft.run(&[], &[], Some(&[])).unwrap().is_empty());
        let error = soft
            .run(&BOXES, &[0.1, 0.2, f32::NAN, 0.], None)
            .unwrap_err();
        assert!(error.to_string().contains("NaN at place 2"), "{error}");
        for (soft, expected) in [
            (SoftNms::new(Decay::Gaussian { sigma: 0. }), "`sigma`"),
            (SoftNms::new(Decay::Linear { iou_threshold: 2. }), "0 to 1"),
            (soft.with_least_score(f32::NAN), "`least_score`"),
        ] {
            let error = soft.run(&BOXES, &[0.1; 4], None).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
        assert!(soft.run(&BOXES, &[0.1; 4], Some(&[1])).is_err());
    }
}
