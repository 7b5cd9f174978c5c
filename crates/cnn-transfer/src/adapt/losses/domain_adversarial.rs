//! The loss of a domain's discriminator, and of the network that is to deceive it (Ganin et al. 2016,
//! "DANN", <https://arxiv.org/abs/1505.07818>).

use candle_core::{DType, Tensor};
use cnn_train::binary_cross_entropy_with_logits;

use crate::Error;
use crate::adapt::Domains;

/// `−½ (Σ_n w_n ln σ(s_n) / N + Σ_m w_m ln(1 − σ(t_m)) / M)`: the binary cross-entropy of the
/// domain's logit, 1 for the source and 0 for the target, each domain counting half.
///
/// Behind [`reverse_gradient`](crate::adapt::reverse_gradient) one and the same loss trains both
/// sides. The weights are not normalised and have no gradient; `None` is 1 each.
///
/// # Shapes
/// Logits `(N, 1)` and `(M, 1)`, weights the same.
///
/// # Errors
/// If the shapes do not fit.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::{Domains, losses::{domain_accuracy, domain_adversarial}};
///
/// let source = Tensor::new(&[[0f32], [3.]], &Device::Cpu)?;
/// let target = Tensor::new(&[[0f32]], &Device::Cpu)?;
/// let logits = Domains { source: &source, target: &target };
/// let loss = domain_adversarial(logits, None)?.to_scalar::<f32>()?;
/// assert!((loss - (0.75 * 2f32.ln() + 0.25 * 0.048587)).abs() < 1e-6);
/// assert_eq!(domain_accuracy(logits)?, 0.5); // 0 counts as the source
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub fn domain_adversarial(
    logits: Domains<'_>,
    weights: Option<Domains<'_>>,
) -> Result<Tensor, Error> {
    check(logits)?;
    if let Some(weights) = weights {
        same_rows("weights of the source", weights.source, logits.source)?;
        same_rows("weights of the target", weights.target, logits.target)?;
    }
    let source = right(logits.source, weights.map(|weights| weights.source))?;
    let target = right(&logits.target.neg()?, weights.map(|weights| weights.target))?;
    Ok(((source + target)? * 0.5)?)
}

/// How often the sign of the logit says the domain, the mean of both domains: 0.5 where nothing can
/// be told, 1 where the domains are apart. 0 counts as the source.
///
/// # Shapes
/// Logits `(N, 1)` and `(M, 1)`.
///
/// # Errors
/// If the shapes do not fit.
pub fn domain_accuracy(logits: Domains<'_>) -> Result<f64, Error> {
    check(logits)?;
    let source = logits.source.ge(0.)?.to_dtype(DType::F64)?.mean_all()?;
    let target = logits.target.lt(0.)?.to_dtype(DType::F64)?.mean_all()?;
    Ok((source.to_scalar::<f64>()? + target.to_scalar::<f64>()?) / 2.)
}

/// `−mean w·ln σ(x)`.
fn right(logits: &Tensor, weights: Option<&Tensor>) -> Result<Tensor, Error> {
    let weights = weights.map(Tensor::detach);
    let loss = binary_cross_entropy_with_logits(logits, &logits.ones_like()?, weights.as_ref())?;
    Ok(loss)
}

fn check(logits: Domains<'_>) -> Result<(), Error> {
    let sizes = logits.sizes(1)?;
    if sizes.columns == 1 {
        return Ok(());
    }
    let found = format!("{} columns", sizes.columns);
    Err(Error::argument("logits", found, "1 per sample"))
}

fn same_rows(name: &'static str, weights: &Tensor, logits: &Tensor) -> Result<(), Error> {
    if weights.dims() == logits.dims() {
        return Ok(());
    }
    Err(Error::argument(
        name,
        format!("shape {:?}", weights.dims()),
        format!("shape {:?}, the logits'", logits.dims()),
    ))
}
