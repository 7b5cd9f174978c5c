//! Losses: differentiable scalars, averaged over the batch.

mod binary_cross_entropy;
mod cross_entropy;
mod log_sigmoid;
mod mean_squared_error;

use candle_core::Tensor;

use crate::Error;

pub use binary_cross_entropy::binary_cross_entropy_with_logits;
pub use cross_entropy::{CrossEntropy, Targets};
pub use mean_squared_error::mean_squared_error;

/// The loss's targets have the outputs' shape, which is not empty.
fn same_shape(xs: &Tensor, targets: &Tensor) -> Result<(), Error> {
    if xs.elem_count() == 0 {
        return Err(Error::argument(
            "outputs",
            format!("shape {:?}", xs.dims()),
            "at least one element",
        ));
    }
    if xs.dims() != targets.dims() {
        let expected = format!("shape {:?}, the outputs'", xs.dims());
        return Err(Error::argument(
            "targets",
            format!("shape {:?}", targets.dims()),
            expected,
        ));
    }
    Ok(())
}
