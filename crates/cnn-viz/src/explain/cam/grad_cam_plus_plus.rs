//! Grad-CAM++ (Chattopadhyay et al. 2018, arXiv:1710.11063): a channel's weight is the sum of its
//! positive gradients, each by `α = g² / (2g² + g³ ΣA)` of equation 19.

use super::Maps;

/// Keeps α finite where the gradient vanishes; the value of the published programs.
const EPSILON: f64 = 1e-6;

pub(super) fn weighted(maps: &Maps<'_>) -> Vec<f64> {
    let sums = maps.sums(|_, activation, _| activation);
    let weights = maps.sums(|channel, _, gradient| {
        let square = gradient * gradient;
        let alpha = square / (2. * square + sums[channel] * square * gradient + EPSILON);
        gradient.max(0.) * alpha
    });
    maps.weighted(&weights)
}
