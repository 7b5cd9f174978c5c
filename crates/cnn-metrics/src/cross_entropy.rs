//! Cross-entropy, also known as negative log-likelihood or log loss.

use crate::Error;
use crate::batch::Batch;

/// The mean of `−ln softmax(logits)[label]` in nats: 0 for certainty in the right class,
/// `ln(classes)` for indifference, ∞ where a label's class was ruled out by −∞.
///
/// # Shapes
///
/// `logits`: `labels.len() · classes`, row-major.
///
/// # Errors
///
/// [`Error::LogitCount`], [`Error::ClassOutOfRange`], [`Error::InvalidLogit`],
/// [`Error::NoSamples`], [`Error::InvalidArgument`] if `classes` is 0.
///
/// ```
/// let loss = cnn_metrics::cross_entropy(&[0.0; 8], 4, &[3, 1])?;
/// assert!((loss - 4f64.ln()).abs() < 1e-15);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn cross_entropy(logits: &[f32], classes: usize, labels: &[u32]) -> Result<f64, Error> {
    Ok(Batch::non_empty(logits, classes, labels)?.mean(|sample| sample.loss()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::fixture::{CLASSES, LABELS, logits};

    // log_loss(labels, p, labels=range(7))
    #[test]
    fn equals_scikit_learn() {
        let loss = cross_entropy(&logits(), CLASSES, &LABELS).unwrap();
        assert!((loss - 1.9887316494871121).abs() < 1e-14, "{loss}");
    }

    #[test]
    fn a_shift_of_all_logits_changes_nothing() {
        // Multiples of 1/32 far below 2²³/32 stay exact.
        let shifted: Vec<f32> = logits().iter().map(|logit| logit + 10_000.0).collect();
        assert_eq!(
            cross_entropy(&shifted, CLASSES, &LABELS),
            cross_entropy(&logits(), CLASSES, &LABELS)
        );
    }

    #[test]
    fn no_samples_is_an_error() {
        assert_eq!(cross_entropy(&[], 3, &[]), Err(Error::NoSamples));
    }
}
