//! Entropy minimisation (Grandvalet & Bengio 2004) and information maximisation (Liang et al. 2020,
//! "SHOT", <https://arxiv.org/abs/2002.08546>).

use candle_core::{D, Result as CandleResult, Tensor};
use cnn_train::log_softmax;

use crate::Error;
use crate::adapt::domains::rows;

/// `−Σ_n Σ_k p_nk ln p_nk / N` in nats, `p = softmax(logits)`: how unsure the network is, 0 to
/// `ln K`.
///
/// # Shapes
/// Logits `(N, K)`.
///
/// # Errors
/// If the logits are no matrix.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::losses::entropy;
///
/// let logits = Tensor::new(&[[0f64, 0.], [99., 0.]], &Device::Cpu)?;
/// let loss = entropy(&logits)?.to_scalar::<f64>()?;
/// assert!((loss - 2f64.ln() / 2.).abs() < 1e-12);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub fn entropy(logits: &Tensor) -> Result<Tensor, Error> {
    rows("logits", logits, 1)?;
    Ok(entropies(&log_softmax(logits)?)?.mean_all()?)
}

/// [`entropy`] less the entropy of the mean prediction: small where each prediction is sure and all
/// classes occur, so that the answer "always the same class" is no way out. It is minus the mutual
/// information of image and class, `−ln K` to 0.
///
/// # Shapes
/// Logits `(N, K)`.
///
/// # Errors
/// If the logits are no matrix.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::losses::information_maximization;
///
/// let one_class = Tensor::new(&[[99f64, 0.], [99., 0.]], &Device::Cpu)?;
/// let both = Tensor::new(&[[99f64, 0.], [0., 99.]], &Device::Cpu)?;
/// let of_one = information_maximization(&one_class)?.to_scalar::<f64>()?;
/// let of_both = information_maximization(&both)?.to_scalar::<f64>()?;
/// assert!(of_one.abs() < 1e-12 && (of_both + 2f64.ln()).abs() < 1e-12);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub fn information_maximization(logits: &Tensor) -> Result<Tensor, Error> {
    let samples = rows("logits", logits, 1)?.rows as f64;
    let log = log_softmax(logits)?;
    // ln Σ_n p_nk stays finite where every p_nk rounds to 0.
    let log_mean = (log.log_sum_exp(0)? - samples.ln())?;
    let of_mean = entropies(&log_mean.unsqueeze(0)?)?.mean_all()?;
    Ok((entropies(&log)?.mean_all()? - of_mean)?)
}

/// `−Σ_k p_k ln p_k` of each row of log-probabilities, `(N, K)` to `(N)`.
pub(super) fn entropies(log: &Tensor) -> CandleResult<Tensor> {
    (log.exp()? * log)?.sum(D::Minus1)?.neg()
}
