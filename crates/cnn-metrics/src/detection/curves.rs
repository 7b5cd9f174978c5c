//! Precision, recall and F1 by the confidence from which on detections are kept.

use serde::Serialize;

use super::images::{Classes, Images, by_falling_score};
use super::matching::{ClassBoxes, Rules};

/// What a detector achieves if only detections of a score or higher are kept, for every score.
///
/// Which detections are right is decided by COCO's rules (see [`CocoResult`](crate::CocoResult)) at
/// one IoU, but all areas and all detections count, however many, and difficult objects need not be
/// found. Keeping fewer detections changes nothing for the rest, since they are matched from the
/// highest score on.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ScoreCurves {
    /// The IoU from which on a detection is an object.
    pub min_iou: f64,
    /// All detections and objects together, whatever their class; detections of classes without an
    /// object to find are wrong.
    pub overall: ScoreCurve,
    /// Every class, by index.
    pub per_class: Vec<ScoreCurve>,
    /// The score at which the mean of the classes' F1 is highest, which lets every class count the
    /// same; none without objects to find or without detections of their classes.
    pub best_mean_f1: Option<MeanF1>,
}

/// Precision, recall and F1 of one class, or of all, by score.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ScoreCurve {
    /// How many objects are to be found: those that are not difficult and no crowd.
    pub objects: u64,
    /// The point with the highest F1, of equal ones that with the highest score; none where there
    /// are no points.
    pub best: Option<ScorePoint>,
    /// By falling score, one for each score that a right or wrong detection has; none where there
    /// is no object to find.
    pub points: Vec<ScorePoint>,
}

/// What is achieved with the detections of this score or higher.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ScorePoint {
    /// The least score that is kept.
    pub score: f64,
    /// The share of right ones among the detections, `TP / (TP + FP)`.
    pub precision: f64,
    /// The share of objects that are found, `TP / (TP + FN)`.
    pub recall: f64,
    /// The harmonic mean of precision and recall, `2·TP / (2·TP + FP + FN)`.
    pub f1: f64,
}

/// The mean of the classes' F1 at a score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct MeanF1 {
    /// The least score that is kept, of all classes.
    pub score: f64,
    /// The mean over the classes that have an object to find; a class whose detections all have
    /// lower scores counts with 0.
    pub f1: f64,
}

impl ScoreCurves {
    pub(super) fn of(images: &Images, classes: usize, min_iou: f64) -> Self {
        let by_class = Classes::of(images);
        let rules = Rules::new(min_iou);
        let mut all = Outcomes::default();
        let mut per_class = Vec::with_capacity(classes);
        let mut to_average = Vec::new();
        for class in 0..classes {
            let outcomes = Outcomes::of(&ClassBoxes::of(&by_class, class, usize::MAX), &rules);
            per_class.push(outcomes.curve());
            all.objects += outcomes.objects;
            all.detections.extend(&outcomes.detections);
            if outcomes.objects > 0 {
                to_average.push(outcomes);
            }
        }
        all.sort();
        Self {
            min_iou,
            overall: all.curve(),
            per_class,
            best_mean_f1: best_mean_f1(&to_average),
        }
    }

    /// The same with at most `points` points a curve, evenly chosen among those that there are, the
    /// first and the last included; what is best stays.
    pub fn sampled(&self, points: usize) -> Self {
        Self {
            min_iou: self.min_iou,
            overall: self.overall.sampled(points),
            per_class: self
                .per_class
                .iter()
                .map(|curve| curve.sampled(points))
                .collect(),
            best_mean_f1: self.best_mean_f1,
        }
    }
}

impl ScoreCurve {
    /// What is achieved if detections of this score or higher are kept; none where there are none.
    pub fn at(&self, score: f64) -> Option<&ScorePoint> {
        let kept = self.points.partition_point(|point| point.score >= score);
        self.points[..kept].last()
    }

    fn sampled(&self, points: usize) -> Self {
        let count = self.points.len();
        let kept: Vec<_> = if points >= count {
            self.points.clone()
        } else {
            let place = |step: usize| step * (count - 1) / (points - 1).max(1);
            (0..points).map(|step| self.points[place(step)]).collect()
        };
        Self {
            points: kept,
            ..*self
        }
    }
}

/// Detections that are right or wrong.
#[derive(Default)]
struct Outcomes {
    objects: u64,
    detections: Vec<Outcome>,
}

#[derive(Clone, Copy)]
struct Outcome {
    score: f64,
    is_right: bool,
}

impl Outcomes {
    fn of(boxes: &ClassBoxes<'_>, rules: &Rules) -> Self {
        let verdicts = boxes.judge(rules);
        let decided = boxes
            .detections()
            .zip(&verdicts)
            .filter_map(|(detection, verdict)| {
                Some(Outcome {
                    score: detection.item.score,
                    is_right: verdict.is_right()?,
                })
            });
        let mut outcomes = Self {
            objects: boxes.count(rules),
            detections: decided.collect(),
        };
        outcomes.sort();
        outcomes
    }

    fn sort(&mut self) {
        let order = |one: &Outcome, other: &Outcome| by_falling_score(one.score, other.score);
        self.detections.sort_by(order);
    }

    fn curve(&self) -> ScoreCurve {
        let mut points = Vec::new();
        let mut kept = Kept::of(self.objects);
        if self.objects > 0 {
            for equal in self
                .detections
                .chunk_by(|one, other| one.score == other.score)
            {
                for outcome in equal {
                    kept.add(outcome.is_right);
                }
                points.push(kept.point(equal[0].score));
            }
        }
        ScoreCurve {
            objects: self.objects,
            best: best(&points),
            points,
        }
    }
}

/// The first of those with the highest F1.
fn best(points: &[ScorePoint]) -> Option<ScorePoint> {
    let higher = |best: ScorePoint, &point: &ScorePoint| {
        if point.f1 > best.f1 { point } else { best }
    };
    let first = points.first()?;
    Some(points.iter().fold(*first, higher))
}

/// Counts of the detections that are kept.
#[derive(Clone, Copy)]
struct Kept {
    objects: u64,
    right: u64,
    wrong: u64,
}

impl Kept {
    fn of(objects: u64) -> Self {
        Self {
            objects,
            right: 0,
            wrong: 0,
        }
    }

    fn add(&mut self, is_right: bool) {
        if is_right {
            self.right += 1;
        } else {
            self.wrong += 1;
        }
    }

    fn f1(&self) -> f64 {
        2.0 * self.right as f64 / (self.right + self.wrong + self.objects) as f64
    }

    fn point(&self, score: f64) -> ScorePoint {
        ScorePoint {
            score,
            precision: self.right as f64 / (self.right + self.wrong) as f64,
            recall: self.right as f64 / self.objects as f64,
            f1: self.f1(),
        }
    }
}

/// Goes through the detections of all classes from the highest score on, keeping the sum of the
/// classes' F1.
fn best_mean_f1(classes: &[Outcomes]) -> Option<MeanF1> {
    let mut detections: Vec<(usize, Outcome)> = classes
        .iter()
        .enumerate()
        .flat_map(|(class, outcomes)| outcomes.detections.iter().map(move |&one| (class, one)))
        .collect();
    detections.sort_by(|(_, one), (_, other)| by_falling_score(one.score, other.score));
    let mut kept: Vec<_> = classes
        .iter()
        .map(|class| Kept::of(class.objects))
        .collect();
    let mut sum = 0.0;
    let mut best: Option<MeanF1> = None;
    for equal in detections.chunk_by(|(_, one), (_, other)| one.score == other.score) {
        for &(class, outcome) in equal {
            sum -= kept[class].f1();
            kept[class].add(outcome.is_right);
            sum += kept[class].f1();
        }
        let f1 = sum / classes.len() as f64;
        if best.is_none_or(|best| f1 > best.f1) {
            best = Some(MeanF1 {
                score: equal[0].1.score,
                f1,
            });
        }
    }
    best
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::{DetectedBox, DetectionMetrics, GroundTruthBox, Rect};

    fn strip(place: usize) -> Rect {
        Rect::new(20.0 * place as f64, 0.0, 10.0, 10.0)
    }

    /// Objects of class 0 at places 0 and 1 and of class 1 at 2; a difficult one of class 1 at 3.
    fn curves(detections: &[(usize, usize, f64)]) -> ScoreCurves {
        let truths = [(0, 0), (1, 0), (2, 1), (3, 1)]
            .map(|(place, class)| GroundTruthBox::new(strip(place), class))
            .map(|truth| truth.with_difficult(truth.rect == strip(3)));
        let detections: Vec<_> = detections
            .iter()
            .map(|&(place, class, score)| DetectedBox::new(strip(place), class, score))
            .collect();
        let mut metrics = DetectionMetrics::new(3).unwrap();
        metrics.update(&truths, &detections).unwrap();
        metrics.curves(0.5).unwrap()
    }

    fn point(score: f64, right: f64, kept: f64, objects: f64) -> ScorePoint {
        ScorePoint {
            score,
            precision: right / kept,
            recall: right / objects,
            f1: 2.0 * right / (kept + objects),
        }
    }

    #[test]
    fn points_are_as_counted_by_hand() {
        let curves = curves(&[
            (0, 0, 0.9),
            (1, 0, 0.5),
            (5, 0, 0.5), // nothing
            (3, 1, 0.8), // difficult
            (2, 1, 0.6),
            (2, 1, 0.3), // again
            (0, 2, 0.7), // of a class that there is not
        ]);
        let of_class_0 = [point(0.9, 1.0, 1.0, 2.0), point(0.5, 2.0, 3.0, 2.0)];
        let of_class_1 = [point(0.6, 1.0, 1.0, 1.0), point(0.3, 1.0, 2.0, 1.0)];
        let [first, second, third] = &curves.per_class[..] else {
            panic!("three classes");
        };
        assert_eq!((first.objects, &first.points[..]), (2, &of_class_0[..]));
        assert_eq!((second.objects, &second.points[..]), (1, &of_class_1[..]));
        assert_eq!(third, &ScoreCurve::default());
        assert_eq!(first.best, Some(of_class_0[1]));
        assert_eq!(second.best, Some(of_class_1[0]));
        assert_eq!(
            curves.overall.points,
            [
                point(0.9, 1.0, 1.0, 3.0),
                point(0.7, 1.0, 2.0, 3.0),
                point(0.6, 2.0, 3.0, 3.0),
                point(0.5, 3.0, 5.0, 3.0),
                point(0.3, 3.0, 6.0, 3.0),
            ]
        );
        // F1 of class 0 is 2/3 at 0.6 and 4/5 at 0.5, and that of class 1 is 1 at both.
        let best = curves.best_mean_f1.unwrap();
        assert_eq!(best.score, 0.5);
        assert!((best.f1 - 0.9).abs() < 1e-15);
    }

    #[test]
    fn a_score_between_two_points_keeps_those_above_it() {
        let curve = &curves(&[(0, 0, 0.9), (1, 0, 0.5)]).per_class[0];
        assert_eq!(curve.at(0.95), None);
        assert_eq!(curve.at(0.9), Some(&curve.points[0]));
        assert_eq!(curve.at(0.6), Some(&curve.points[0]));
        assert_eq!(curve.at(0.5), Some(&curve.points[1]));
        assert_eq!(curve.at(-3.0), Some(&curve.points[1]));
    }

    #[test]
    fn fewer_points_are_chosen_evenly() {
        let scores: Vec<_> = (0..11).map(|step| (9, 0, f64::from(step))).collect();
        let curves = curves(&scores);
        let of_count = |count| -> Vec<f64> {
            let sampled = curves.sampled(count);
            assert_eq!(sampled.overall.best, curves.overall.best);
            sampled
                .overall
                .points
                .iter()
                .map(|point| point.score)
                .collect()
        };
        assert!(of_count(0).is_empty());
        assert_eq!(of_count(1), [10.0]);
        assert_eq!(of_count(2), [10.0, 0.0]);
        assert_eq!(of_count(4), [10.0, 7.0, 4.0, 0.0]);
        assert_eq!(curves.sampled(11), curves);
        assert_eq!(curves.sampled(usize::MAX), curves);
    }

    #[test]
    fn without_detections_there_is_nothing_best() {
        let curves = curves(&[]);
        assert_eq!(curves.overall.best, None);
        assert_eq!(curves.best_mean_f1, None);
        assert_eq!(curves.per_class[0].objects, 2);
    }
}
