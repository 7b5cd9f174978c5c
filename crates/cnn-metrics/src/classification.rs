//! Everything that the evaluation of a classifier prints, gathered batch by batch.

use serde::Serialize;

use crate::batch::Batch;
use crate::{Average, ClassScores, ConfusionMatrix, Error, ZeroDivision, precision_recall};

const TOP: usize = 5;

/// Gathers logits and labels batch by batch; [`ClassificationMetrics::result`] may be asked at any time.
///
/// See the [crate's example](crate).
#[derive(Clone, Debug)]
pub struct ClassificationMetrics {
    confusion: ConfusionMatrix,
    zero_division: ZeroDivision,
    loss: f64,
    top5: u64,
}

/// The metrics of all samples so far; shares are in 0..1.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassificationResult {
    /// How many samples there were.
    pub samples: u64,
    /// Mean cross-entropy in nats, see [`cross_entropy`](crate::cross_entropy).
    pub loss: f64,
    /// The share of samples whose label has the highest logit.
    pub top1: f64,
    /// The share of samples whose label is among the five highest logits; 1 with five classes or
    /// fewer.
    pub top5: f64,
    /// Precision, recall and F1 of each class, by index.
    pub per_class: Vec<ClassScores>,
    /// Every class that occurs counts the same, see [`PrecisionRecall`](crate::PrecisionRecall).
    pub macro_average: Average,
    /// Every sample counts the same.
    pub micro_average: Average,
    /// Every class counts by its number of samples.
    pub weighted_average: Average,
}

impl ClassificationMetrics {
    /// Nothing gathered yet; ratios without a denominator are 0.
    ///
    /// # Errors
    ///
    /// [`Error::InvalidArgument`] if `classes` is 0.
    pub fn new(classes: usize) -> Result<Self, Error> {
        let confusion = ConfusionMatrix::new(classes)?;
        Ok(Self {
            confusion,
            zero_division: ZeroDivision::default(),
            loss: 0.0,
            top5: 0,
        })
    }

    /// Sets what a ratio is where its denominator is 0.
    #[must_use]
    pub fn with_zero_division(mut self, zero_division: ZeroDivision) -> Self {
        self.zero_division = zero_division;
        self
    }

    /// Adds a batch: `labels.len()` rows of logits, one number per class. An empty batch is
    /// allowed.
    ///
    /// # Errors
    ///
    /// [`Error::LogitCount`], [`Error::ClassOutOfRange`], [`Error::InvalidLogit`]; nothing of the
    /// batch is counted then.
    pub fn update(&mut self, logits: &[f32], labels: &[u32]) -> Result<(), Error> {
        for sample in Batch::new(logits, self.confusion.classes(), labels)?.samples() {
            self.confusion.count_one(sample.label, sample.prediction());
            self.loss += sample.loss();
            self.top5 += u64::from(sample.rank() < TOP);
        }
        Ok(())
    }

    /// Which class was taken for which.
    pub fn confusion(&self) -> &ConfusionMatrix {
        &self.confusion
    }

    /// The metrics of all samples so far.
    ///
    /// # Errors
    ///
    /// [`Error::NoSamples`].
    pub fn result(&self) -> Result<ClassificationResult, Error> {
        let scores = precision_recall(&self.confusion, self.zero_division)?;
        let samples = self.confusion.samples();
        Ok(ClassificationResult {
            samples,
            loss: self.loss / samples as f64,
            top1: self.confusion.accuracy()?,
            top5: self.top5 as f64 / samples as f64,
            per_class: scores.per_class,
            macro_average: scores.macro_average,
            micro_average: scores.micro_average,
            weighted_average: scores.weighted_average,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use serde_json::json;

    use super::*;
    use crate::fixture::{CLASSES, LABELS, PREDICTIONS, logits};
    use crate::{cross_entropy, top_k_accuracy};

    fn gathered(batch: usize) -> ClassificationMetrics {
        let mut metrics = ClassificationMetrics::new(CLASSES).unwrap();
        for (logits, labels) in logits().chunks(batch * CLASSES).zip(LABELS.chunks(batch)) {
            metrics.update(logits, labels).unwrap();
        }
        metrics
    }

    #[test]
    fn equals_the_single_metrics() {
        let result = gathered(40).result().unwrap();
        let confusion = ConfusionMatrix::from_pairs(CLASSES, &LABELS, &PREDICTIONS).unwrap();
        let scores = precision_recall(&confusion, ZeroDivision::Zero).unwrap();
        assert_eq!(gathered(40).confusion(), &confusion);
        assert_eq!(result.samples, 40);
        assert_eq!(
            result.loss,
            cross_entropy(&logits(), CLASSES, &LABELS).unwrap()
        );
        assert_eq!(
            result.top1,
            top_k_accuracy(&logits(), CLASSES, &LABELS, 1).unwrap()
        );
        assert_eq!(
            result.top5,
            top_k_accuracy(&logits(), CLASSES, &LABELS, 5).unwrap()
        );
        assert_eq!(result.per_class, scores.per_class);
        assert_eq!(result.macro_average, scores.macro_average);
        assert_eq!(result.micro_average, scores.micro_average);
        assert_eq!(result.weighted_average, scores.weighted_average);
    }

    #[test]
    fn the_batch_size_changes_no_bit() {
        let whole = gathered(40).result().unwrap();
        for batch in [1, 3, 7, 39] {
            assert_eq!(gathered(batch).result().unwrap(), whole, "batch {batch}");
        }
    }

    #[test]
    fn with_few_classes_all_are_among_the_top_five() {
        for classes in 1..=5 {
            let mut metrics = ClassificationMetrics::new(classes).unwrap();
            metrics
                .update(&vec![0.0; classes], &[classes as u32 - 1])
                .unwrap();
            let result = metrics.result().unwrap();
            assert_eq!(result.top5, 1.0);
            assert_eq!(result.top1, if classes == 1 { 1.0 } else { 0.0 });
        }
    }

    #[test]
    fn a_bad_batch_is_an_error_and_counts_nothing() {
        let mut metrics = gathered(40);
        let before = metrics.result();
        let mut broken = logits();
        broken[39 * CLASSES + 2] = f32::NAN;
        assert!(matches!(
            metrics.update(&broken, &LABELS),
            Err(Error::InvalidLogit {
                sample: 39,
                class: 2,
                ..
            })
        ));
        assert!(matches!(
            metrics.update(&logits()[1..], &LABELS),
            Err(Error::LogitCount { logits: 279, .. })
        ));
        assert!(matches!(
            metrics.update(&[0.0; CLASSES], &[7]),
            Err(Error::ClassOutOfRange { class: 7, .. })
        ));
        metrics.update(&[], &[]).unwrap();
        assert_eq!(metrics.result(), before);
    }

    #[test]
    fn nothing_gathered_is_an_error() {
        assert_eq!(
            ClassificationMetrics::new(3).unwrap().result(),
            Err(Error::NoSamples)
        );
        assert_eq!(
            ClassificationMetrics::new(0).err().unwrap().to_string(),
            "classes is 0, expected at least 1"
        );
    }

    #[test]
    fn the_zero_division_policy_reaches_the_result() {
        let mut metrics = ClassificationMetrics::new(2)
            .unwrap()
            .with_zero_division(ZeroDivision::One);
        metrics.update(&[1.0, 0.0], &[0]).unwrap();
        assert_eq!(metrics.result().unwrap().per_class[1].recall, 1.0);
    }

    #[test]
    fn the_result_is_written_as_json() {
        let mut metrics = ClassificationMetrics::new(2).unwrap();
        metrics
            .update(&[0.0, 0.0, 0.0, f32::NEG_INFINITY], &[0, 0])
            .unwrap();
        let perfect = json!({"precision": 1.0, "recall": 1.0, "f1": 1.0});
        let expected = json!({
            "samples": 2,
            "loss": 2f64.ln() / 2.0,
            "top1": 1.0,
            "top5": 1.0,
            "per_class": [
                {"label": 0, "samples": 2, "precision": 1.0, "recall": 1.0, "f1": 1.0},
                {"label": 1, "samples": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0},
            ],
            "macro_average": perfect,
            "micro_average": perfect,
            "weighted_average": perfect,
        });
        assert_eq!(
            serde_json::to_value(metrics.result().unwrap()).unwrap(),
            expected
        );
    }
}
