//! LayerCAM (Jiang et al. 2021, doi:10.1109/TIP.2021.3089943): each pixel of a map by its own
//! gradient where that is positive.

use super::Maps;

pub(super) fn weighted(maps: &Maps<'_>) -> Vec<f64> {
    maps.activations
        .iter()
        .zip(maps.gradients)
        .map(|(activation, gradient)| activation * gradient.max(0.))
        .collect()
}
