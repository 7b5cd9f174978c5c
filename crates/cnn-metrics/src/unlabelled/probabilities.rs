//! The probabilities of logits that have been checked.

use crate::Error;
use crate::batch::{check_row, softmax};
use crate::error::check_classes;

/// The softmax of every row, row by row, of at least one sample.
pub(super) fn probabilities(logits: &[f32], classes: usize) -> Result<Vec<f64>, Error> {
    check_classes(classes)?;
    if logits.is_empty() {
        return Err(Error::NoSamples);
    }
    if !logits.len().is_multiple_of(classes) {
        return Err(Error::LogitCount {
            logits: logits.len(),
            labels: logits.len().div_ceil(classes),
            classes,
        });
    }
    let rows = logits.chunks_exact(classes);
    for (sample, row) in rows.clone().enumerate() {
        check_row(sample, row)?;
    }
    Ok(rows.flat_map(softmax).collect())
}

/// `−Σ p ln p` in nats; what is impossible counts nothing.
pub(super) fn entropy(probabilities: &[f64]) -> f64 {
    let possible = probabilities.iter().filter(|&&p| p > 0.0);
    -possible.map(|p| p * p.ln()).sum::<f64>()
}
