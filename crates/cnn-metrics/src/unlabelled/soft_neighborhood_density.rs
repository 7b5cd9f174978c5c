//! Soft neighbourhood density (Saito et al. 2021, <https://arxiv.org/abs/2108.10860>).

use super::probabilities::{entropy, probabilities};
use crate::Error;
use crate::decomposition::dot;

/// The paper's temperature.
pub const SND_TEMPERATURE: f64 = 0.05;

/// The mean entropy of each sample's neighbourhood in nats: higher is better, for samples that lie in
/// dense clusters have many neighbours.
///
/// With the predictions `p_n` scaled to length 1, `s_nm = p_n · p_m / temperature` and the softmax
/// `q_n` of `s_n` over all samples but `n` itself, it is `−Σ_n Σ_m q_nm ln q_nm / N`. The paper's
/// temperature is [`SND_TEMPERATURE`].
///
/// It takes `N² · classes` steps.
///
/// # Shapes
///
/// `logits`: samples · `classes`, row-major, of at least 2 samples.
///
/// # Errors
///
/// [`Error::LogitCount`], [`Error::InvalidLogit`], [`Error::NoSamples`],
/// [`Error::InvalidArgument`] if `classes` is 0, there is 1 sample, or the temperature is no finite
/// number above 0.
///
/// ```
/// use cnn_metrics::{SND_TEMPERATURE, soft_neighborhood_density};
///
/// // Each of four equal samples has three equal neighbours.
/// let density = soft_neighborhood_density(&[1.0, 0.0].repeat(4), 2, SND_TEMPERATURE)?;
/// assert!((density - 3f64.ln()).abs() < 1e-12);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn soft_neighborhood_density(
    logits: &[f32],
    classes: usize,
    temperature: f64,
) -> Result<f64, Error> {
    if !(temperature.is_finite() && temperature > 0.0) {
        return Err(Error::argument(
            "temperature",
            temperature,
            "a finite number above 0",
        ));
    }
    let mut directions = probabilities(logits, classes)?;
    let samples = directions.len() / classes;
    if samples < 2 {
        return Err(Error::argument("samples", samples, "at least 2"));
    }
    for row in directions.chunks_exact_mut(classes) {
        let length = row.iter().map(|p| p * p).sum::<f64>().sqrt();
        row.iter_mut().for_each(|p| *p /= length);
    }
    let density = |sample: usize| neighbourhood(&directions, classes, sample, temperature);
    Ok((0..samples).map(density).sum::<f64>() / samples as f64)
}

/// The entropy of one sample's neighbours.
fn neighbourhood(directions: &[f64], classes: usize, sample: usize, temperature: f64) -> f64 {
    let own = &directions[sample * classes..(sample + 1) * classes];
    let others = directions.chunks_exact(classes).enumerate();
    let others = others.filter(|&(other, _)| other != sample);
    // A cosine is at most 1, so that the softmax's shift need not be looked for.
    let mut shares: Vec<f64> = others
        .map(|(_, row)| ((dot(row, own) - 1.0) / temperature).exp())
        .collect();
    let total: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= total);
    entropy(&shares)
}
