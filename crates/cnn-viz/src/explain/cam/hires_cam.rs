//! HiResCAM (Draelos & Carin 2020, arXiv:2011.08891): each pixel of a map by its own gradient.

use super::Maps;

pub(super) fn weighted(maps: &Maps<'_>) -> Vec<f64> {
    maps.activations
        .iter()
        .zip(maps.gradients)
        .map(|(activation, gradient)| activation * gradient)
        .collect()
}
