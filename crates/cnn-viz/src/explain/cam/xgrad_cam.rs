//! XGrad-CAM (Fu et al. 2020, arXiv:2008.02312): a channel's weight is the mean of its gradient,
//! each pixel's by its share of the channel's activation.

use super::Maps;

/// Keeps the shares of an empty channel finite; the value of the published programs.
const EPSILON: f64 = 1e-7;

pub(super) fn weighted(maps: &Maps<'_>) -> Vec<f64> {
    let sums = maps.sums(|_, activation, _| activation);
    maps.weighted(
        &maps.sums(|channel, activation, gradient| {
            gradient * activation / (sums[channel] + EPSILON)
        }),
    )
}
