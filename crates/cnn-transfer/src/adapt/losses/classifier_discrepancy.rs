//! What two classifiers say differently (Saito et al. 2018, "MCD", <https://arxiv.org/abs/1712.02560>).

use candle_core::Tensor;
use cnn_train::log_softmax;

use crate::Error;
use crate::adapt::domains::rows;

/// `Σ_n Σ_k |softmax(a_n)_k − softmax(b_n)_k| / NK`: two heads are trained to make it large on the
/// target, the features to make it small.
///
/// # Shapes
/// Logits `(N, K)` of both heads.
///
/// # Errors
/// If the shapes do not fit.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::losses::classifier_discrepancy;
///
/// let first = Tensor::new(&[[0f64, 0.]], &Device::Cpu)?;
/// let second = Tensor::new(&[[3f64.ln(), 0.]], &Device::Cpu)?; // probabilities 0.75 and 0.25
/// let loss = classifier_discrepancy(&first, &second)?.to_scalar::<f64>()?;
/// assert!((loss - 0.25).abs() < 1e-12);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub fn classifier_discrepancy(first: &Tensor, second: &Tensor) -> Result<Tensor, Error> {
    rows("first", first, 1)?;
    if first.dims() != second.dims() {
        return Err(Error::argument(
            "second",
            format!("shape {:?}", second.dims()),
            format!("shape {:?}, the first logits'", first.dims()),
        ));
    }
    let difference = (log_softmax(first)?.exp()? - log_softmax(second)?.exp()?)?;
    Ok(difference.abs()?.mean_all()?)
}
