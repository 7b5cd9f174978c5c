//! The target taught by predictions that are sure: one's own, as pseudo-labels (Lee 2013), those of
//! a weaker view (Sohn et al. 2020, "FixMatch", <https://arxiv.org/abs/2001.07685>), or those of a
//! teacher (French et al. 2018, "Self-ensembling for visual domain adaptation",
//! <https://arxiv.org/abs/1706.05208>).

use candle_core::{D, Tensor};
use cnn_train::log_softmax;

use crate::Error;
use crate::adapt::domains::rows;

/// `−Σ_n [max p_n ≥ threshold] ln q_n[argmax p_n] / N` with `p = softmax(guide)` and
/// `q = softmax(logits)`: the cross-entropy of what the guide is sure of. The guide has no gradient,
/// so the logits may be their own; of equal scores the first class counts.
///
/// # Shapes
/// Both `(N, K)`.
///
/// # Errors
/// If the shapes differ, or the threshold is not in 0 to 1.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::losses::confident_cross_entropy;
///
/// let guide = Tensor::new(&[[9f64, 0.], [0.1, 0.]], &Device::Cpu)?; // sure, and unsure
/// let logits = Tensor::new(&[[0f64, 0.], [5., 0.]], &Device::Cpu)?;
/// let loss = confident_cross_entropy(&logits, &guide, 0.9)?.to_scalar::<f64>()?;
/// assert!((loss - 2f64.ln() / 2.).abs() < 1e-12);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub fn confident_cross_entropy(
    logits: &Tensor,
    guide: &Tensor,
    threshold: f64,
) -> Result<Tensor, Error> {
    let guide = Guide::new(logits, guide, threshold)?;
    let (samples, classes) = logits.dims2()?;
    let mut wanted = vec![0f64; samples * classes];
    let sure = guide.probabilities.chunks_exact(classes).enumerate();
    for (sample, row) in sure.filter(|(_, row)| largest(row).1 >= threshold) {
        wanted[sample * classes + largest(row).0] = 1.;
    }
    let wanted = Tensor::from_vec(wanted, (samples, classes), logits.device())?;
    let wanted = wanted.to_dtype(logits.dtype())?;
    let loss = (log_softmax(logits)? * wanted)?.sum_all()?;
    Ok((loss * (-1. / samples as f64))?)
}

/// `Σ_n [max p_n ≥ threshold] Σ_k (q_nk − p_nk)² / (N·K)` with `p = softmax(teacher)` and
/// `q = softmax(logits)`: how far the predictions lie from a teacher's that is sure. The teacher has
/// no gradient.
///
/// # Shapes
/// Both `(N, K)`.
///
/// # Errors
/// As [`confident_cross_entropy`].
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_transfer::adapt::losses::confident_squares;
///
/// let teacher = Tensor::new(&[[99f64, 0.], [0., 0.]], &Device::Cpu)?;
/// let logits = Tensor::new(&[[0f64, 0.], [5., 0.]], &Device::Cpu)?;
/// let loss = confident_squares(&logits, &teacher, 0.9)?.to_scalar::<f64>()?;
/// assert!((loss - 2. * 0.25 / 4.).abs() < 1e-12);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub fn confident_squares(
    logits: &Tensor,
    teacher: &Tensor,
    threshold: f64,
) -> Result<Tensor, Error> {
    let guide = Guide::new(logits, teacher, threshold)?;
    let (samples, classes) = logits.dims2()?;
    let rows = guide.probabilities.chunks_exact(classes);
    let counts: Vec<f64> = rows
        .map(|row| f64::from(u8::from(largest(row).1 >= threshold)))
        .collect();
    let tensor = |values: Vec<f64>, columns| -> candle_core::Result<Tensor> {
        Tensor::from_vec(values, (samples, columns), logits.device())?.to_dtype(logits.dtype())
    };
    let counts = tensor(counts, 1)?;
    let wanted = tensor(guide.probabilities, classes)?;
    let squares = (log_softmax(logits)?.exp()? - wanted)?.sqr()?;
    let of_sample = squares.mean_keepdim(D::Minus1)?;
    Ok((of_sample * counts)?.mean_all()?)
}

/// What a guide thinks of the same samples.
struct Guide {
    /// Row by row.
    probabilities: Vec<f64>,
}

impl Guide {
    fn new(logits: &Tensor, guide: &Tensor, threshold: f64) -> Result<Self, Error> {
        rows("logits", logits, 1)?;
        if guide.dims() != logits.dims() {
            return Err(Error::argument(
                "guide",
                format!("shape {:?}", guide.dims()),
                format!("shape {:?}, the logits'", logits.dims()),
            ));
        }
        if !(0. ..=1.).contains(&threshold) {
            return Err(Error::argument("threshold", threshold, "0 to 1"));
        }
        let probabilities = log_softmax(&guide.detach())?.exp()?;
        let probabilities = probabilities.to_dtype(candle_core::DType::F64)?;
        Ok(Self {
            probabilities: probabilities.flatten_all()?.to_vec1()?,
        })
    }
}

/// The first of the largest values, and that value.
fn largest(row: &[f64]) -> (usize, f64) {
    let mut best = (0, f64::NEG_INFINITY);
    for (class, &value) in row.iter().enumerate() {
        if value > best.1 {
            best = (class, value);
        }
    }
    best
}
