//! Square roots whose gradient is finite everywhere.

use candle_core::{Result, Tensor};

/// `√x`, with the gradient 0 where `x` is 0, as PyTorch's norms have it; candle's is not a number
/// there, and features behind a ReLU can be nothing but zeros.
pub(super) fn square_root(xs: &Tensor) -> Result<Tensor> {
    let zeros = xs.detach().eq(0.)?.to_dtype(xs.dtype())?;
    // Of a zero it is the root of 1, less 1; and the gradient of x² is 0 where x is.
    (xs + &zeros)?.sqrt()? - zeros
}

/// The Euclidean norm of each row, `(N, D)` to `(N)`.
pub(super) fn row_norms(xs: &Tensor) -> Result<Tensor> {
    square_root(&xs.sqr()?.sum(1)?)
}
