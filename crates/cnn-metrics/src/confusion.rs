//! Which class was taken for which.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use crate::Error;
use crate::batch::check_indices;
use crate::error::check_classes;

/// Counts of (label, prediction) pairs; rows are labels, columns predictions, as in scikit-learn.
///
/// Only pairs that occur take memory, so that tens of thousands of classes are no burden.
///
/// ```
/// use cnn_metrics::ConfusionMatrix;
///
/// let matrix = ConfusionMatrix::from_pairs(3, &[0, 0, 1, 2], &[0, 1, 1, 1])?;
/// assert_eq!(matrix.rows(), [[1, 1, 0], [0, 1, 0], [0, 1, 0]]);
/// assert_eq!(matrix.accuracy()?, 0.5);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfusionMatrix {
    classes: usize,
    counts: BTreeMap<(usize, usize), u64>,
    samples: u64,
}

/// A label with a wrong prediction for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConfusedPair {
    /// The right class.
    pub label: usize,
    /// The class that it was taken for.
    pub prediction: usize,
    /// How often.
    pub samples: u64,
}

impl ConfusionMatrix {
    /// A matrix of zeros.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `classes` is 0.
    pub fn new(classes: usize) -> Result<Self, Error> {
        check_classes(classes)?;
        Ok(Self {
            classes,
            counts: BTreeMap::new(),
            samples: 0,
        })
    }

    /// The matrix of these samples.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `classes` is 0, and those of [`ConfusionMatrix::update`].
    pub fn from_pairs(classes: usize, labels: &[u32], predictions: &[u32]) -> Result<Self, Error> {
        let mut matrix = Self::new(classes)?;
        matrix.update(labels, predictions)?;
        Ok(matrix)
    }

    /// Counts further samples.
    ///
    /// # Errors
    ///
    /// [`Error::PredictionCount`] if there are not as many predictions as labels,
    /// [`Error::ClassOutOfRange`]; nothing is counted then.
    pub fn update(&mut self, labels: &[u32], predictions: &[u32]) -> Result<(), Error> {
        if labels.len() != predictions.len() {
            return Err(Error::PredictionCount {
                predictions: predictions.len(),
                labels: labels.len(),
            });
        }
        check_indices("label", labels, self.classes)?;
        check_indices("prediction", predictions, self.classes)?;
        for (&label, &prediction) in labels.iter().zip(predictions) {
            self.count_one(label as usize, prediction as usize);
        }
        Ok(())
    }

    /// Counts a pair whose classes are known to be in range.
    pub(crate) fn count_one(&mut self, label: usize, prediction: usize) {
        self.add(ConfusedPair {
            label,
            prediction,
            samples: 1,
        });
    }

    /// Counts a pair as often as it says; its classes are known to be in range.
    pub(crate) fn add(&mut self, pair: ConfusedPair) {
        *self
            .counts
            .entry((pair.label, pair.prediction))
            .or_insert(0) += pair.samples;
        self.samples += pair.samples;
    }

    /// Number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Number of samples counted.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// How many samples of class `label` were taken for class `prediction`; 0 for classes that
    /// there are not.
    pub fn count(&self, label: usize, prediction: usize) -> u64 {
        self.counts.get(&(label, prediction)).copied().unwrap_or(0)
    }

    /// How many samples were taken for what they are.
    pub fn correct(&self) -> u64 {
        self.pairs()
            .filter(|pair| pair.label == pair.prediction)
            .map(|pair| pair.samples)
            .sum()
    }

    /// The share of samples that were taken for what they are, in 0..1.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`].
    pub fn accuracy(&self) -> Result<f64, Error> {
        if self.samples == 0 {
            Err(Error::NoSamples)
        } else {
            Ok(self.correct() as f64 / self.samples as f64)
        }
    }

    /// The whole matrix, `classes` rows of `classes` counts: `rows()[label][prediction]`.
    pub fn rows(&self) -> Vec<Vec<u64>> {
        let mut rows = vec![vec![0; self.classes]; self.classes];
        for pair in self.pairs() {
            rows[pair.label][pair.prediction] = pair.samples;
        }
        rows
    }

    /// The `limit` most frequent mistakes, the most frequent first; equally frequent ones by label,
    /// then by prediction.
    ///
    /// ```
    /// # use cnn_metrics::ConfusionMatrix;
    /// let matrix = ConfusionMatrix::from_pairs(3, &[0, 0, 1, 2, 2], &[0, 1, 1, 1, 1])?;
    /// let worst = matrix.most_confused(1);
    /// assert_eq!(
    ///     (worst[0].label, worst[0].prediction, worst[0].samples),
    ///     (2, 1, 2)
    /// );
    /// # Ok::<(), cnn_metrics::Error>(())
    /// ```
    pub fn most_confused(&self, limit: usize) -> Vec<ConfusedPair> {
        let mut mistakes: Vec<_> = self
            .pairs()
            .filter(|pair| pair.label != pair.prediction)
            .collect();
        // The sort is stable, and pairs come by label and prediction.
        mistakes.sort_by_key(|pair| std::cmp::Reverse(pair.samples));
        mistakes.truncate(limit);
        mistakes
    }

    /// The pairs that occur, by label and then by prediction.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = ConfusedPair> {
        self.counts
            .iter()
            .map(|(&(label, prediction), &samples)| ConfusedPair {
                label,
                prediction,
                samples,
            })
    }
}

/// Written as [`ConfusionMatrix::rows`].
impl Serialize for ConfusionMatrix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows().serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::fixture::{CLASSES, LABELS, PREDICTIONS};

    // confusion_matrix(labels, pred, labels=range(7))
    #[test]
    fn equals_scikit_learn() {
        let matrix = ConfusionMatrix::from_pairs(CLASSES, &LABELS, &PREDICTIONS).unwrap();
        let expected = [
            [6, 0, 0, 0, 0, 0, 0],
            [0, 3, 0, 0, 0, 0, 1],
            [0, 0, 4, 2, 2, 0, 1],
            [0, 0, 0, 0, 0, 2, 0],
            [0, 0, 0, 0, 7, 1, 4],
            [1, 2, 2, 0, 0, 1, 1],
            [0, 0, 0, 0, 0, 0, 0],
        ];
        assert_eq!(matrix.rows(), expected);
        assert_eq!(
            (matrix.samples(), matrix.correct(), matrix.classes()),
            (40, 21, 7)
        );
        assert_eq!(matrix.accuracy().unwrap(), 0.525);
        assert_eq!(
            (matrix.count(4, 6), matrix.count(6, 4), matrix.count(7, 0)),
            (4, 0, 0)
        );
    }

    #[test]
    fn mistakes_come_by_frequency_then_label_then_prediction() {
        let matrix = ConfusionMatrix::from_pairs(CLASSES, &LABELS, &PREDICTIONS).unwrap();
        let order: Vec<_> = matrix
            .most_confused(8)
            .iter()
            .map(|pair| (pair.label, pair.prediction, pair.samples))
            .collect();
        assert_eq!(
            order,
            [
                (4, 6, 4),
                (2, 3, 2),
                (2, 4, 2),
                (3, 5, 2),
                (5, 1, 2),
                (5, 2, 2),
                (1, 6, 1),
                (2, 6, 1)
            ]
        );
        assert_eq!(matrix.most_confused(0), []);
        let all = matrix.most_confused(usize::MAX);
        assert_eq!(all.iter().map(|pair| pair.samples).sum::<u64>(), 40 - 21);
    }

    #[test]
    fn batches_add_up() {
        let whole = ConfusionMatrix::from_pairs(CLASSES, &LABELS, &PREDICTIONS).unwrap();
        let mut parts = ConfusionMatrix::new(CLASSES).unwrap();
        for (labels, predictions) in LABELS.chunks(9).zip(PREDICTIONS.chunks(9)) {
            parts.update(labels, predictions).unwrap();
        }
        assert_eq!(parts, whole);
    }

    #[test]
    fn bad_input_is_an_error_and_counts_nothing() {
        let mut matrix = ConfusionMatrix::new(3).unwrap();
        let cases: [(&[u32], &[u32], &str); 3] = [
            (
                &[0, 1],
                &[0],
                "1 predictions for 2 labels, expected as many of either",
            ),
            (
                &[0, 3],
                &[0, 0],
                "label 3 of sample 1 is out of range, expected an index below 3",
            ),
            (
                &[0, 2],
                &[1, u32::MAX],
                "prediction 4294967295 of sample 1 is out of range, expected an index below 3",
            ),
        ];
        for (labels, predictions, expected) in cases {
            assert_eq!(
                matrix.update(labels, predictions).unwrap_err().to_string(),
                expected
            );
        }
        assert_eq!(matrix, ConfusionMatrix::new(3).unwrap());
        assert_eq!(matrix.accuracy(), Err(Error::NoSamples));
        assert_eq!(
            ConfusionMatrix::new(0).unwrap_err().to_string(),
            "classes is 0, expected at least 1"
        );
    }
}
