//! Distances of all rows from each other.

use candle_core::{Result, Tensor};

/// `|x_i − x_j|²` of all pairs, `(N, N)`, by `|x|² + |y|² − 2x·y`: the differences themselves would
/// take `N²` rows.
pub(super) fn squared_distances(xs: &Tensor) -> Result<Tensor> {
    // Distances do not change by a shift, and near the origin fewer digits cancel.
    let centred = xs.broadcast_sub(&xs.detach().mean_keepdim(0)?)?;
    let squares = centred.sqr()?.sum_keepdim(1)?;
    let products = centred.matmul(&centred.t()?)?;
    // Rounding may leave less than nothing.
    (squares.broadcast_add(&squares.t()?)? - products.affine(2., 0.)?)?.relu()
}
