//! Brier score (G. W. Brier, "Verification of forecasts expressed in terms of probability", 1950,
//! equation 2).

use crate::Error;
use crate::batch::{Batch, softmax};

/// The mean over samples of `Σ_c (p_c − y_c)²`, with `p` the softmax and `y` 1 for the label and 0
/// elsewhere: 0 at best, 2 at worst.
///
/// With two classes it is twice the score that considers only one of them.
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
/// // (1/2)² for each of two classes.
/// assert_eq!(cnn_metrics::brier_score(&[0.0, 0.0], 2, &[1])?, 0.5);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn brier_score(logits: &[f32], classes: usize, labels: &[u32]) -> Result<f64, Error> {
    let batch = Batch::non_empty(logits, classes, labels)?;
    Ok(batch.mean(|sample| {
        let squared = |(class, p): (usize, f64)| {
            if class == sample.label {
                (p - 1.0).powi(2)
            } else {
                p.powi(2)
            }
        };
        softmax(sample.logits)
            .into_iter()
            .enumerate()
            .map(squared)
            .sum()
    }))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::fixture::{CLASSES, LABELS, logits};

    // brier_score_loss(labels, p, labels=range(7))
    #[test]
    fn equals_scikit_learn() {
        let score = brier_score(&logits(), CLASSES, &LABELS).unwrap();
        assert!((score - 0.711156747936049).abs() < 1e-14, "{score}");
    }

    #[test]
    fn its_bounds_are_reached() {
        let certain = [0.0, f32::NEG_INFINITY, f32::NEG_INFINITY];
        assert_eq!(brier_score(&certain, 3, &[0]).unwrap(), 0.0);
        assert_eq!(brier_score(&certain, 3, &[2]).unwrap(), 2.0);
    }

    #[test]
    fn no_samples_is_an_error() {
        assert_eq!(brier_score(&[], 3, &[]), Err(Error::NoSamples));
    }
}
