//! Minimum class confusion (Jin et al. 2020, "MCC", <https://arxiv.org/abs/1912.03699>).

use candle_core::{D, Tensor};
use cnn_train::log_softmax;

use super::conditional::entropy_weights;
use crate::Error;
use crate::adapt::domains::{positive, rows};

/// The share of the target's predictions that classes have in common. With
/// `p = softmax(logits / T)`, the [weights](entropy_weights) `w` of samples that the network is sure
/// of, `C_jk = Σ_n w_n p_nj p_nk`, rows divided by their sums, it is `Σ_{j≠k} C_jk / K`: 0 where
/// every prediction is one class.
///
/// It needs no source and no discriminator. The weights have no gradient.
///
/// # Shapes
/// Logits `(N, K)`.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::losses::ClassConfusion;
///
/// let unsure = Tensor::new(&[[0f64, 0.], [0., 0.]], &Device::Cpu)?;
/// let sure = Tensor::new(&[[99f64, 0.], [0., 99.]], &Device::Cpu)?;
/// let of_unsure = ClassConfusion::default().loss(&unsure)?.to_scalar::<f64>()?;
/// let of_sure = ClassConfusion::default().loss(&sure)?.to_scalar::<f64>()?;
/// assert!((of_unsure - 0.5).abs() < 1e-12 && of_sure < 1e-12);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ClassConfusion {
    /// `T`, above 0; the paper's and the default is 2.5.
    pub temperature: f64,
}

impl Default for ClassConfusion {
    fn default() -> Self {
        Self { temperature: 2.5 }
    }
}

impl ClassConfusion {
    /// The loss as a scalar.
    ///
    /// # Errors
    /// If the logits are no matrix or the temperature is out of its range.
    pub fn loss(&self, logits: &Tensor) -> Result<Tensor, Error> {
        let classes = rows("logits", logits, 1)?.columns;
        positive("temperature", self.temperature)?;
        let softened = (logits / self.temperature)?;
        let log = log_softmax(&softened)?;
        // A row's shares stay what they are when the row is scaled, here by the class's highest
        // probability: without it they are 0 / 0 for a class whose every probability rounds to 0.
        let scaled = log.broadcast_sub(&log.detach().max_keepdim(0)?)?.exp()?;
        let weighted = scaled.broadcast_mul(&entropy_weights(&softened)?)?;
        let confusion = weighted.t()?.matmul(&log.exp()?)?;
        let shares = confusion.broadcast_div(&confusion.sum_keepdim(D::Minus1)?)?;
        let others = (Tensor::eye(classes, logits.dtype(), logits.device())?.neg()? + 1.)?;
        Ok(((shares * others)?.sum_all()? / classes as f64)?)
    }
}
