//! The nuclear norm of the predictions (Cui et al. 2020, "BNM", <https://arxiv.org/abs/2003.12237>).

use super::probabilities::probabilities;
use crate::{Error, singular_values};

/// `Σ_i σ_i(P) / N`, with the singular values of the matrix of all predicted probabilities: higher is
/// better. It is large where predictions are sure and of many classes, at most
/// `√(min(N, classes) / N)`.
///
/// It compares networks on the same images; of other numbers of images it has another range.
///
/// # Shapes
///
/// `logits`: samples · `classes`, row-major.
///
/// # Errors
///
/// [`Error::LogitCount`], [`Error::InvalidLogit`], [`Error::NoSamples`],
/// [`Error::InvalidArgument`] if `classes` is 0.
///
/// ```
/// use cnn_metrics::batch_nuclear_norm;
///
/// let both_classes = batch_nuclear_norm(&[0.0, 99.0, 99.0, 0.0], 2)?;
/// let one_class = batch_nuclear_norm(&[99.0, 0.0, 99.0, 0.0], 2)?;
/// assert!((both_classes - 1.0).abs() < 1e-12);
/// assert!((one_class - 0.5f64.sqrt()).abs() < 1e-12);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn batch_nuclear_norm(logits: &[f32], classes: usize) -> Result<f64, Error> {
    let probabilities = probabilities(logits, classes)?;
    let samples = (probabilities.len() / classes) as f64;
    Ok(singular_values(&probabilities, classes)?
        .iter()
        .sum::<f64>()
        / samples)
}
