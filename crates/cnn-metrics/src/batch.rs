//! Logits and labels that have been checked, and what the metrics read from one sample.

use crate::Error;
use crate::error::check_classes;

/// Rows of logits with their labels: shapes agree, every label has its class, every row its
/// softmax.
pub(crate) struct Batch<'a> {
    logits: &'a [f32],
    classes: usize,
    labels: &'a [u32],
}

impl<'a> Batch<'a> {
    pub(crate) fn new(logits: &'a [f32], classes: usize, labels: &'a [u32]) -> Result<Self, Error> {
        check_classes(classes)?;
        if labels.len().checked_mul(classes) != Some(logits.len()) {
            return Err(Error::LogitCount {
                logits: logits.len(),
                labels: labels.len(),
                classes,
            });
        }
        check_indices("label", labels, classes)?;
        for (sample, row) in logits.chunks_exact(classes).enumerate() {
            check_row(sample, row)?;
        }
        Ok(Self {
            logits,
            classes,
            labels,
        })
    }

    /// The same with at least one sample, for metrics that are a mean.
    pub(crate) fn non_empty(
        logits: &'a [f32],
        classes: usize,
        labels: &'a [u32],
    ) -> Result<Self, Error> {
        let batch = Self::new(logits, classes, labels)?;
        if labels.is_empty() {
            Err(Error::NoSamples)
        } else {
            Ok(batch)
        }
    }

    pub(crate) fn samples(&self) -> impl Iterator<Item = Sample<'a>> {
        let rows = self.logits.chunks_exact(self.classes);
        rows.zip(self.labels).map(|(logits, &label)| Sample {
            logits,
            label: label as usize,
        })
    }

    /// The mean over the samples, in their order.
    pub(crate) fn mean(&self, metric: impl FnMut(Sample<'a>) -> f64) -> f64 {
        self.samples().map(metric).sum::<f64>() / self.labels.len() as f64
    }
}

/// Fails unless every class index is below `classes`.
pub(crate) fn check_indices(
    role: &'static str,
    indices: &[u32],
    classes: usize,
) -> Result<(), Error> {
    match indices.iter().position(|&class| class as usize >= classes) {
        Some(sample) => Err(Error::ClassOutOfRange {
            role,
            sample,
            class: indices[sample],
            classes,
        }),
        None => Ok(()),
    }
}

/// Fails unless the softmax of the row is defined.
pub(crate) fn check_row(sample: usize, row: &[f32]) -> Result<(), Error> {
    if let Some(class) = row
        .iter()
        .position(|&value| value.is_nan() || value == f32::INFINITY)
    {
        return Err(Error::InvalidLogit {
            sample,
            class,
            value: row[class],
        });
    }
    if row.iter().all(|&value| value == f32::NEG_INFINITY) {
        return Err(Error::InvalidLogit {
            sample,
            class: 0,
            value: f32::NEG_INFINITY,
        });
    }
    Ok(())
}

/// One checked row with its label.
pub(crate) struct Sample<'a> {
    pub(crate) logits: &'a [f32],
    pub(crate) label: usize,
}

impl Sample<'_> {
    /// How many classes rank before the label: 0 if the prediction is right.
    pub(crate) fn rank(&self) -> usize {
        let own = self.logits[self.label];
        let before =
            |(class, &logit): (usize, &f32)| logit > own || (logit == own && class < self.label);
        self.logits
            .iter()
            .enumerate()
            .filter(|&entry| before(entry))
            .count()
    }

    pub(crate) fn prediction(&self) -> usize {
        argmax(self.logits)
    }

    /// −ln softmax(logits)\[label\].
    pub(crate) fn loss(&self) -> f64 {
        let best = self.prediction();
        // ln Σ eˣ = x_best + ln(1 + the others): exact also where the loss is tiny.
        exp_sum_of_others(self.logits, best).ln_1p()
            + (f64::from(self.logits[best]) - f64::from(self.logits[self.label]))
    }

    /// The probability of the prediction.
    pub(crate) fn confidence(&self) -> f64 {
        1.0 / (1.0 + exp_sum_of_others(self.logits, self.prediction()))
    }
}

/// The softmax of a checked row.
pub(crate) fn softmax(row: &[f32]) -> Vec<f64> {
    let best = argmax(row);
    let total = 1.0 + exp_sum_of_others(row, best);
    row.iter()
        .map(|&logit| (f64::from(logit) - f64::from(row[best])).exp() / total)
        .collect()
}

/// The first of the largest; 0 for an empty row, which no caller has.
fn argmax(row: &[f32]) -> usize {
    let mut best = 0;
    for (class, &logit) in row.iter().enumerate() {
        if logit > row[best] {
            best = class;
        }
    }
    best
}

fn exp_sum_of_others(row: &[f32], best: usize) -> f64 {
    let shift = f64::from(row[best]);
    let others = row.iter().enumerate().filter(|&(class, _)| class != best);
    others
        .map(|(_, &logit)| (f64::from(logit) - shift).exp())
        .sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn what_does_not_fit_is_an_error_with_the_numbers() {
        let cases: [(&[f32], usize, &[u32], &str); 8] = [
            (
                &[0.0; 5],
                3,
                &[0, 1],
                "5 logits for 2 labels of 3 classes, expected 6 logits",
            ),
            (
                &[0.0; 6],
                3,
                &[0],
                "6 logits for 1 labels of 3 classes, expected 3 logits",
            ),
            (
                &[],
                usize::MAX,
                &[0; 4],
                "expected 73786976294838206460 logits",
            ),
            (&[], 0, &[], "classes is 0, expected at least 1"),
            (
                &[0.0; 6],
                3,
                &[2, 3],
                "label 3 of sample 1 is out of range, expected an index below 3",
            ),
            (
                &[0.0, 1.0, 0.0, f32::NAN],
                2,
                &[0, 0],
                "logit NaN of sample 1, class 1",
            ),
            (
                &[0.0, f32::INFINITY],
                2,
                &[0],
                "logit inf of sample 0, class 1",
            ),
            (
                &[0.0, 0.0, f32::NEG_INFINITY, f32::NEG_INFINITY],
                2,
                &[0, 0],
                "logit -inf of sample 1, class 0",
            ),
        ];
        for (logits, classes, labels, expected) in cases {
            let error = Batch::new(logits, classes, labels)
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(Batch::non_empty(&[], 3, &[]).err(), Some(Error::NoSamples));
    }

    #[test]
    fn extreme_logits_keep_their_precision() {
        let sample = |logits, label| Sample { logits, label };
        // ln(1 + e⁻⁵⁰) = e⁻⁵⁰ to the last digit.
        assert_eq!(sample(&[50.0, 0.0], 0).loss(), (-50f64).exp());
        assert_eq!(sample(&[3e38, -3e38], 1).loss(), f64::from(3e38f32) * 2.0);
        assert_eq!(sample(&[f32::NEG_INFINITY, 0.0], 0).loss(), f64::INFINITY);
        assert_eq!(sample(&[f32::NEG_INFINITY, 0.0], 1).loss(), 0.0);
        assert_eq!(softmax(&[f32::NEG_INFINITY, 1e30, 1e30]), [0.0, 0.5, 0.5]);
    }

    #[test]
    fn equal_logits_rank_by_index() {
        let logits = [1.0, 2.0, 2.0, -0.0, 0.0];
        let ranks = [0, 1, 2, 3, 4].map(|label| {
            Sample {
                logits: &logits,
                label,
            }
            .rank()
        });
        assert_eq!(ranks, [2, 0, 1, 3, 4]);
        assert_eq!(argmax(&logits), 1);
    }
}
