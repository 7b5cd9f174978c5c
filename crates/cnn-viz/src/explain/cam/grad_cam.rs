//! Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391): a channel's weight is the mean of its
//! gradient, equation 1.

use super::Maps;

pub(super) fn weighted(maps: &Maps<'_>) -> Vec<f64> {
    let pixels = maps.pixel_count() as f64;
    maps.weighted(&maps.sums(|_, _, gradient| gradient / pixels))
}
