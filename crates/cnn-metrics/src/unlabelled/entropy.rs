//! Entropy (Morerio et al. 2018, <https://arxiv.org/abs/1711.10288>) and information maximisation
//! (Musgrave et al. 2022, <https://arxiv.org/abs/2208.07360>) as measures of a network without labels.

use super::probabilities::{entropy, probabilities};
use crate::Error;

/// The mean entropy of the predictions in nats, `−Σ_n Σ_k p_nk ln p_nk / N`, 0 to `ln classes`: lower
/// is better. A network that is sure of one class for every image has 0, so that
/// [`information_maximization`] is safer.
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
/// let entropy = cnn_metrics::mean_entropy(&[0.0, 0.0, 99.0, 0.0], 2)?;
/// assert!((entropy - 2f64.ln() / 2.0).abs() < 1e-12);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn mean_entropy(logits: &[f32], classes: usize) -> Result<f64, Error> {
    Ok(mean_of_entropies(&probabilities(logits, classes)?, classes))
}

/// The entropy of the mean prediction less the [`mean_entropy`], 0 to `ln classes`: higher is better.
/// It is the mutual information of image and predicted class.
///
/// # Shapes
///
/// `logits`: samples · `classes`, row-major.
///
/// # Errors
///
/// As [`mean_entropy`].
///
/// ```
/// use cnn_metrics::information_maximization;
///
/// let both_classes = information_maximization(&[0.0, 99.0, 99.0, 0.0], 2)?;
/// let one_class = information_maximization(&[99.0, 0.0, 99.0, 0.0], 2)?;
/// assert!((both_classes - 2f64.ln()).abs() < 1e-12 && one_class.abs() < 1e-12);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn information_maximization(logits: &[f32], classes: usize) -> Result<f64, Error> {
    let probabilities = probabilities(logits, classes)?;
    let mut mean = vec![0.0; classes];
    for row in probabilities.chunks_exact(classes) {
        mean.iter_mut().zip(row).for_each(|(sum, p)| *sum += p);
    }
    let samples = (probabilities.len() / classes) as f64;
    mean.iter_mut().for_each(|sum| *sum /= samples);
    Ok(entropy(&mean) - mean_of_entropies(&probabilities, classes))
}

fn mean_of_entropies(probabilities: &[f64], classes: usize) -> f64 {
    let rows = probabilities.chunks_exact(classes);
    let samples = rows.len() as f64;
    rows.map(entropy).sum::<f64>() / samples
}
