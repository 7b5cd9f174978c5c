//! Deep embedded validation (You et al. 2019, <https://proceedings.mlr.press/v97/you19a.html>).

use crate::Error;

/// An estimate of the target's mean loss from source images that the network was not trained on:
/// lower is better.
///
/// With the losses `l`, the ratios `w` of the target's density to the source's at these images
/// ([`DomainClassifier::density_ratios`](crate::DomainClassifier::density_ratios)) and
/// `η = −Cov(w l, w) / Var(w)`, it is `mean(w l) + η · mean(w) − η`: importance weighting whose
/// spread is lowered by what is known of the weights, that their mean is 1. Where all ratios are
/// equal nothing can be lowered, and `η` is 0.
///
/// # Errors
///
/// [`Error::InvalidArgument`] unless there are as many ratios as losses, at least 2, all finite and no
/// ratio negative.
///
/// ```
/// // The network errs where the target is dense.
/// let risk = cnn_metrics::deep_embedded_validation(&[0.0, 0.0, 1.0, 1.0], &[0.5, 0.5, 1.5, 1.5])?;
/// assert!((risk - 0.75).abs() < 1e-12);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn deep_embedded_validation(losses: &[f64], ratios: &[f64]) -> Result<f64, Error> {
    if losses.len() != ratios.len() || losses.len() < 2 {
        let found = format!("{} ratios for {} losses", ratios.len(), losses.len());
        return Err(Error::argument(
            "ratios",
            found,
            "as many of either, at least 2",
        ));
    }
    if let Some(loss) = losses.iter().find(|loss| !loss.is_finite()) {
        return Err(Error::argument("losses", loss, "finite numbers"));
    }
    let is_ratio = |ratio: &&f64| ratio.is_finite() && **ratio >= 0.0;
    if let Some(ratio) = ratios.iter().find(|ratio| !is_ratio(ratio)) {
        return Err(Error::argument("ratios", ratio, "finite numbers from 0 on"));
    }
    let weighted: Vec<f64> = losses.iter().zip(ratios).map(|(l, w)| l * w).collect();
    let means = [mean(&weighted), mean(ratios)];
    let products = weighted.iter().zip(ratios);
    let covariance: f64 = products.map(|(a, w)| (a - means[0]) * (w - means[1])).sum();
    let variance: f64 = ratios.iter().map(|w| (w - means[1]).powi(2)).sum();
    let eta = if variance > 0.0 {
        -covariance / variance
    } else {
        0.0
    };
    Ok(means[0] + eta * means[1] - eta)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}
