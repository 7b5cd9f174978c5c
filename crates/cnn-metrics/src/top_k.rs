//! The highest ranked classes, and how often the right one is among them.

use serde::Serialize;

use crate::Error;
use crate::batch::{Batch, check_row, softmax};

/// The share of samples whose label is among the `k` classes with the highest logits, in 0..1.
///
/// With fewer than `k` classes it is that of `min(k, classes)`, that is 1. Of equal logits the
/// lower class index ranks first.
///
/// # Shapes
///
/// `logits`: `labels.len() · classes`, row-major.
///
/// # Errors
///
/// [`Error::InvalidArgument`] if `k` or `classes` is 0, [`Error::LogitCount`],
/// [`Error::ClassOutOfRange`], [`Error::InvalidLogit`], [`Error::NoSamples`].
///
/// ```
/// use cnn_metrics::top_k_accuracy;
///
/// let logits = [0.1, 0.7, 0.2, 0.5, 0.2, 0.3];
/// assert_eq!(top_k_accuracy(&logits, 3, &[1, 2], 1)?, 0.5);
/// assert_eq!(top_k_accuracy(&logits, 3, &[1, 2], 2)?, 1.0);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn top_k_accuracy(
    logits: &[f32],
    classes: usize,
    labels: &[u32],
    k: usize,
) -> Result<f64, Error> {
    check_k(k)?;
    let batch = Batch::non_empty(logits, classes, labels)?;
    let hits = batch.samples().filter(|sample| sample.rank() < k).count();
    Ok(hits as f64 / labels.len() as f64)
}

/// A class with its probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Ranked {
    /// The class.
    pub index: usize,
    /// Its softmax probability, in 0..1.
    pub probability: f64,
}

/// The `min(k, classes)` classes with the highest logits of one sample, the highest first; of equal
/// ones the lower index first.
///
/// # Errors
///
/// [`Error::InvalidArgument`] if `k` is 0 or there is no logit, [`Error::InvalidLogit`] (with
/// sample 0).
///
/// ```
/// let top = cnn_metrics::top_k(&[0.0, 3f32.ln(), 0.0], 2)?;
/// assert_eq!((top[0].index, top[1].index), (1, 0));
/// assert!((top[0].probability - 0.6).abs() < 1e-7);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn top_k(logits: &[f32], k: usize) -> Result<Vec<Ranked>, Error> {
    check_k(k)?;
    crate::error::check_classes(logits.len())?;
    check_row(0, logits)?;
    let probabilities = softmax(logits);
    let mut order: Vec<usize> = (0..logits.len()).collect();
    // A stable sort leaves equal logits in the order of their indices; `partial_cmp` takes −0 and 0
    // for equal, and no NaN is left.
    order.sort_by(|&a, &b| {
        logits[b]
            .partial_cmp(&logits[a])
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    order.truncate(k);
    Ok(order
        .into_iter()
        .map(|index| Ranked {
            index,
            probability: probabilities[index],
        })
        .collect())
}

fn check_k(k: usize) -> Result<(), Error> {
    if k == 0 {
        Err(Error::argument("k", k, "at least 1"))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::fixture::{CLASSES, LABELS, logits};

    // top_k_accuracy_score(labels, logits, k=k, labels=range(7)); the last k is beyond the classes.
    #[test]
    fn equals_scikit_learn() {
        for (k, expected) in [
            (1, 0.525),
            (2, 0.675),
            (3, 0.75),
            (5, 0.825),
            (7, 1.0),
            (8, 1.0),
        ] {
            assert_eq!(
                top_k_accuracy(&logits(), CLASSES, &LABELS, k).unwrap(),
                expected,
                "k = {k}"
            );
        }
    }

    #[test]
    fn a_constant_network_is_right_for_the_first_classes_only() {
        let labels = [0, 1, 2, 3];
        for (k, expected) in [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0)] {
            assert_eq!(top_k_accuracy(&[0.5; 16], 4, &labels, k).unwrap(), expected);
        }
    }

    #[test]
    fn the_top_classes_agree_with_the_accuracy() {
        for k in 1..=CLASSES {
            let logits = logits();
            let rows = logits.chunks_exact(CLASSES).zip(LABELS);
            let hit = |(row, label): (&[f32], u32)| {
                top_k(row, k)
                    .unwrap()
                    .iter()
                    .any(|top| top.index == label as usize)
            };
            let share = rows.filter(|&row| hit(row)).count() as f64 / LABELS.len() as f64;
            assert_eq!(top_k_accuracy(&logits, CLASSES, &LABELS, k).unwrap(), share);
        }
    }

    #[test]
    fn probabilities_descend_and_sum_to_one() {
        let top = top_k(&[0.0, 2.0, -0.0, 2.0, f32::NEG_INFINITY], 9).unwrap();
        assert_eq!(
            top.iter().map(|class| class.index).collect::<Vec<_>>(),
            [1, 3, 0, 2, 4]
        );
        assert!(top.is_sorted_by(|a, b| a.probability >= b.probability));
        assert!((top.iter().map(|class| class.probability).sum::<f64>() - 1.0).abs() < 1e-15);
    }

    #[test]
    fn bad_input_is_an_error() {
        assert_eq!(
            top_k_accuracy(&[0.0], 1, &[0], 0).unwrap_err().to_string(),
            "k is 0, expected at least 1"
        );
        assert_eq!(top_k_accuracy(&[], 1, &[], 1), Err(Error::NoSamples));
        assert_eq!(
            top_k(&[1.0], 0).unwrap_err().to_string(),
            "k is 0, expected at least 1"
        );
        assert_eq!(
            top_k(&[], 1).unwrap_err().to_string(),
            "classes is 0, expected at least 1"
        );
        assert!(matches!(
            top_k(&[1.0, f32::NAN], 1),
            Err(Error::InvalidLogit {
                sample: 0,
                class: 1,
                ..
            })
        ));
    }
}
