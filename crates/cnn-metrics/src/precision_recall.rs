//! Precision, recall and F1 per class and averaged (C. J. van Rijsbergen, "Information Retrieval",
//! 1979, chapter 7).

use serde::Serialize;

use crate::{ConfusionMatrix, Error};

/// What a ratio is where its denominator is 0: the precision of a class that was never predicted,
/// the recall of a class without samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZeroDivision {
    /// 0, scikit-learn's default.
    #[default]
    Zero,
    /// 1.
    One,
    /// NaN, which averages leave out.
    NaN,
}

/// How well one class is found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassScores {
    /// The class index.
    pub label: usize,
    /// How many samples have this label, also called support.
    pub samples: u64,
    /// The share of right ones among the samples predicted as this class, `TP / (TP + FP)`.
    pub precision: f64,
    /// The share of found ones among the samples of this class, `TP / (TP + FN)`.
    pub recall: f64,
    /// The harmonic mean of precision and recall, `2·TP / (2·TP + FP + FN)`.
    pub f1: f64,
}

/// An average over classes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Average {
    /// Average precision over classes; not the area under a precision-recall curve.
    pub precision: f64,
    /// Average recall.
    pub recall: f64,
    /// Average of the classes' F1.
    pub f1: f64,
}

/// Precision, recall and F1 of all classes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PrecisionRecall {
    /// One entry per class, by index.
    pub per_class: Vec<ClassScores>,
    /// Every class counts the same. Classes that neither a label nor a prediction names are left
    /// out, as scikit-learn does.
    pub macro_average: Average,
    /// Every sample counts the same: all three are the accuracy, as each sample has one label and
    /// one prediction.
    pub micro_average: Average,
    /// Every class counts by its number of samples; the recall is the accuracy.
    pub weighted_average: Average,
}

/// Precision, recall and F1 of each class, with their macro, micro and weighted averages, equal to
/// scikit-learn's `precision_recall_fscore_support`.
///
/// # Errors
///
/// [`Error::NoSamples`].
///
/// ```
/// use cnn_metrics::{ConfusionMatrix, ZeroDivision, precision_recall};
///
/// let matrix = ConfusionMatrix::from_pairs(3, &[0, 0, 1, 2], &[0, 1, 1, 1])?;
/// let scores = precision_recall(&matrix, ZeroDivision::Zero)?;
/// assert_eq!(scores.per_class[1].precision, 1.0 / 3.0);
/// assert_eq!(scores.per_class[1].recall, 1.0);
/// assert_eq!(scores.per_class[1].f1, 0.5);
/// assert_eq!(scores.micro_average.f1, matrix.accuracy()?);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn precision_recall(
    matrix: &ConfusionMatrix,
    zero_division: ZeroDivision,
) -> Result<PrecisionRecall, Error> {
    let accuracy = matrix.accuracy()?;
    let counts = class_counts(matrix);
    let per_class: Vec<_> = counts
        .iter()
        .enumerate()
        .map(|(label, counts)| counts.scores(label, zero_division))
        .collect();
    let occurring =
        |(_, counts): &(&ClassScores, &ClassCounts)| counts.labelled + counts.predicted > 0;
    let occurring: Vec<_> = per_class
        .iter()
        .zip(&counts)
        .filter(occurring)
        .map(|(scores, _)| *scores)
        .collect();
    Ok(PrecisionRecall {
        macro_average: average(&occurring, |_| 1),
        micro_average: Average {
            precision: accuracy,
            recall: accuracy,
            f1: accuracy,
        },
        weighted_average: average(&occurring, |scores| scores.samples),
        per_class,
    })
}

#[derive(Clone, Copy, Default)]
struct ClassCounts {
    correct: u64,
    labelled: u64,
    predicted: u64,
}

impl ClassCounts {
    fn scores(self, label: usize, zero_division: ZeroDivision) -> ClassScores {
        ClassScores {
            label,
            samples: self.labelled,
            precision: ratio(self.correct, self.predicted, zero_division),
            recall: ratio(self.correct, self.labelled, zero_division),
            f1: ratio(
                2 * self.correct,
                self.labelled + self.predicted,
                zero_division,
            ),
        }
    }
}

fn class_counts(matrix: &ConfusionMatrix) -> Vec<ClassCounts> {
    let mut counts = vec![ClassCounts::default(); matrix.classes()];
    for pair in matrix.pairs() {
        counts[pair.label].labelled += pair.samples;
        counts[pair.prediction].predicted += pair.samples;
        if pair.label == pair.prediction {
            counts[pair.label].correct += pair.samples;
        }
    }
    counts
}

fn ratio(numerator: u64, denominator: u64, zero_division: ZeroDivision) -> f64 {
    match (denominator, zero_division) {
        (0, ZeroDivision::Zero) => 0.0,
        (0, ZeroDivision::One) => 1.0,
        (0, ZeroDivision::NaN) => f64::NAN,
        _ => numerator as f64 / denominator as f64,
    }
}

fn average(classes: &[ClassScores], weight: impl Fn(&ClassScores) -> u64) -> Average {
    let mean = |score: fn(&ClassScores) -> f64| {
        let defined = || classes.iter().filter(|scores| !score(scores).is_nan());
        let total: u64 = defined().map(&weight).sum();
        if total == 0 {
            // All the weight lies on classes whose score is undefined: scikit-learn then weighs the
            // others equally.
            return defined().map(score).sum::<f64>() / defined().count() as f64;
        }
        defined()
            .map(|scores| score(scores) * weight(scores) as f64)
            .sum::<f64>()
            / total as f64
    };
    Average {
        precision: mean(|scores| scores.precision),
        recall: mean(|scores| scores.recall),
        f1: mean(|scores| scores.f1),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::fixture::{CLASSES, LABELS, PREDICTIONS};

    const NAN: f64 = f64::NAN;

    fn assert_equal(found: [f64; 3], expected: [f64; 3], what: &str) {
        for (found, expected) in found.into_iter().zip(expected) {
            let equal = (found - expected).abs() < 1e-15 || (found.is_nan() && expected.is_nan());
            assert!(equal, "{what}: {found} instead of {expected}");
        }
    }

    fn assert_average(found: Average, expected: [f64; 3], what: &str) {
        assert_equal([found.precision, found.recall, found.f1], expected, what);
    }

    fn assert_classes(found: &[ClassScores], expected: &[[f64; 4]]) {
        assert_eq!(found.len(), expected.len());
        for (label, (scores, &[precision, recall, f1, samples])) in
            found.iter().zip(expected).enumerate()
        {
            assert_equal(
                [scores.precision, scores.recall, scores.f1],
                [precision, recall, f1],
                &format!("class {label}"),
            );
            assert_eq!((scores.label, scores.samples as f64), (label, samples));
        }
    }

    // precision_recall_fscore_support(labels, pred, labels=range(7), zero_division=0.0), then with
    // average=... in place of labels
    #[test]
    fn equals_scikit_learn() {
        let matrix = ConfusionMatrix::from_pairs(CLASSES, &LABELS, &PREDICTIONS).unwrap();
        let scores = precision_recall(&matrix, ZeroDivision::default()).unwrap();
        assert_classes(
            &scores.per_class,
            &[
                [0.8571428571428571, 1.0, 0.9230769230769231, 6.0],
                [0.6, 0.75, 0.6666666666666666, 4.0],
                [
                    0.6666666666666666,
                    0.4444444444444444,
                    0.5333333333333333,
                    9.0,
                ],
                [0.0, 0.0, 0.0, 2.0],
                [
                    0.7777777777777778,
                    0.5833333333333334,
                    0.6666666666666666,
                    12.0,
                ],
                [0.25, 0.14285714285714285, 0.18181818181818182, 7.0],
                [0.0, 0.0, 0.0, 0.0],
            ],
        );
        assert_average(
            scores.macro_average,
            [0.4502267573696145, 0.417233560090703, 0.4245088245088245],
            "macro",
        );
        assert_average(scores.micro_average, [0.525, 0.525, 0.525], "micro");
        assert_average(
            scores.weighted_average,
            [0.6156547619047619, 0.525, 0.556946386946387],
            "weighted",
        );
    }

    // labels = [0, 0, 0, 1, 1, 1, 2, 2, 4, 4, 4, 0, 1]; pred = [0, 1, 0, 1, 1, 0, 4, 0, 4, 4, 5, 0, 1]
    // precision_recall_fscore_support(labels, pred, average=average, zero_division=policy), and per class with
    // labels=range(6).
    // Class 2 is never predicted, class 3 does not occur, class 5 has no samples.
    #[test]
    fn zero_division_follows_the_policy_as_in_scikit_learn() {
        let labels = [0, 0, 0, 1, 1, 1, 2, 2, 4, 4, 4, 0, 1];
        let predictions = [0, 1, 0, 1, 1, 0, 4, 0, 4, 4, 5, 0, 1];
        let matrix = ConfusionMatrix::from_pairs(6, &labels, &predictions).unwrap();
        let two_thirds = 0.6666666666666666;
        let cases = [
            (
                ZeroDivision::Zero,
                [
                    [0.0, 0.0, 0.0, 2.0],
                    [0.0, 0.0, 0.0, 0.0],
                    [0.0, 0.0, 0.0, 0.0],
                ],
                [0.4033333333333333, 0.4333333333333333, 0.41666666666666663],
                [0.5692307692307692, 0.6153846153846154, 0.5897435897435896],
            ),
            (
                ZeroDivision::One,
                [
                    [1.0, 0.0, 0.0, 2.0],
                    [1.0, 1.0, 1.0, 0.0],
                    [0.0, 1.0, 0.0, 0.0],
                ],
                [0.6033333333333333, 0.6333333333333333, 0.41666666666666663],
                [0.7230769230769231, 0.6153846153846154, 0.5897435897435896],
            ),
            (
                ZeroDivision::NaN,
                [
                    [NAN, 0.0, 0.0, 2.0],
                    [NAN, NAN, NAN, 0.0],
                    [0.0, NAN, 0.0, 0.0],
                ],
                [0.5041666666666667, 0.5416666666666666, 0.41666666666666663],
                [0.6727272727272727, 0.6153846153846154, 0.5897435897435896],
            ),
        ];
        for (policy, [two, three, five], macro_average, weighted_average) in cases {
            let scores = precision_recall(&matrix, policy).unwrap();
            let zero = [0.6, 0.75, two_thirds, 4.0];
            let one = [0.75, 0.75, 0.75, 4.0];
            let four = [two_thirds, two_thirds, two_thirds, 3.0];
            assert_classes(&scores.per_class, &[zero, one, two, three, four, five]);
            assert_average(
                scores.macro_average,
                macro_average,
                &format!("{policy:?} macro"),
            );
            assert_average(
                scores.micro_average,
                [0.6153846153846154; 3],
                &format!("{policy:?} micro"),
            );
            assert_average(
                scores.weighted_average,
                weighted_average,
                &format!("{policy:?} weighted"),
            );
        }
    }

    // precision_recall_fscore_support([2, 2], [0, 0], average=average, zero_division=np.nan)
    #[test]
    fn averages_are_defined_where_no_sample_is_of_a_predicted_class() {
        let matrix = ConfusionMatrix::from_pairs(3, &[2, 2], &[0, 0]).unwrap();
        let scores = precision_recall(&matrix, ZeroDivision::NaN).unwrap();
        assert_average(scores.macro_average, [0.0, 0.0, 0.0], "macro");
        assert_average(scores.weighted_average, [0.0, 0.0, 0.0], "weighted");
    }

    #[test]
    fn no_samples_is_an_error() {
        let matrix = ConfusionMatrix::new(3).unwrap();
        assert_eq!(
            precision_recall(&matrix, ZeroDivision::Zero),
            Err(Error::NoSamples)
        );
    }
}
