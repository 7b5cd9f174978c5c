//! The reversed gradient: one pass trains an adversary and what it is to be deceived by (Ganin &
//! Lempitsky 2015, <https://arxiv.org/abs/1409.7495>).

use candle_core::{CpuStorage, CustomOp1, Layout, Result as CandleResult, Shape, Tensor};

use super::domains::positive;
use crate::Error;

/// The same values forward, `−λ` times the gradient backward.
///
/// Between features and a [`DomainDiscriminator`](super::DomainDiscriminator) it lets the
/// discriminator learn to tell the domains apart while the network before it learns the contrary.
///
/// # Shapes
/// Any to the same, f32 or f64.
///
/// # Errors
/// If `lambda` is not finite or the element type is another.
///
/// ```
/// use candle_core::{Device, Var};
/// use cnn_layers::backward;
/// use cnn_transfer::adapt::reverse_gradient;
///
/// let features = Var::new(&[[1f32, -2.]], &Device::Cpu)?;
/// let loss = reverse_gradient(&features, 0.5)?.sqr()?.sum_all()?;
/// assert_eq!(loss.to_scalar::<f32>()?, 5.);
/// let gradient = backward(&loss)?.remove(&features).expect("the loss reads them");
/// assert_eq!(gradient.to_vec2::<f32>()?, [[-1., 2.]]);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub fn reverse_gradient(xs: &Tensor, lambda: f64) -> Result<Tensor, Error> {
    if !lambda.is_finite() {
        return Err(Error::argument("lambda", lambda, "a finite number"));
    }
    Ok(xs.contiguous()?.apply_op1(Reversal { lambda })?)
}

struct Reversal {
    lambda: f64,
}

impl CustomOp1 for Reversal {
    fn name(&self) -> &'static str {
        "gradient-reversal"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> CandleResult<(CpuStorage, Shape)> {
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or(candle_core::Error::RequiresContiguous { op: self.name() })?;
        let ys = match storage {
            CpuStorage::F32(xs) => CpuStorage::F32(xs[start..end].to_vec()),
            CpuStorage::F64(xs) => CpuStorage::F64(xs[start..end].to_vec()),
            _ => candle_core::bail!("{}: expected f32 or f64", self.name()),
        };
        Ok((ys, layout.shape().clone()))
    }

    fn bwd(&self, _xs: &Tensor, _ys: &Tensor, upstream: &Tensor) -> CandleResult<Option<Tensor>> {
        Ok(Some(upstream.affine(-self.lambda, 0.)?))
    }
}

/// How `λ` grows from the first step on, so that a discriminator which knows nothing yet disturbs
/// nothing: `λ(i) = low + (high − low) · (2 / (1 + e^(−α·i/iterations)) − 1)`.
///
/// The default is that of the Transfer-Learning-Library: α 1, from 0 towards 1, 1,000 iterations.
/// It is at 0.46 after these and goes on growing. The paper has α 10 and the steps of the whole run
/// as iterations.
///
/// ```
/// use cnn_transfer::adapt::WarmStart;
///
/// let warm_start = WarmStart::default();
/// assert_eq!(warm_start.lambda(0)?, 0.);
/// assert!((warm_start.lambda(1000)? - 0.46212).abs() < 1e-5);
/// let paper = WarmStart { alpha: 10., iterations: 500, ..warm_start };
/// assert!((paper.lambda(500)? - 0.99991).abs() < 1e-5);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmStart {
    /// α, how steep the growth is; above 0, default 1.
    pub alpha: f64,
    /// λ of the first step; default 0.
    pub low: f64,
    /// λ in the end; not below `low`, default 1.
    pub high: f64,
    /// The steps that count as the whole way; at least 1, default 1,000.
    pub iterations: usize,
}

impl Default for WarmStart {
    fn default() -> Self {
        Self {
            alpha: 1.,
            low: 0.,
            high: 1.,
            iterations: 1000,
        }
    }
}

impl WarmStart {
    /// λ of a step, counted from 0.
    ///
    /// # Errors
    /// If a field is out of its range.
    pub fn lambda(&self, iteration: usize) -> Result<f64, Error> {
        positive("alpha", self.alpha)?;
        if self.iterations == 0 {
            return Err(Error::argument("iterations", 0, "at least 1"));
        }
        if !(self.low.is_finite() && self.high.is_finite() && self.low <= self.high) {
            let found = format!("from {} to {}", self.low, self.high);
            return Err(Error::argument("lambda", found, "finite and not falling"));
        }
        let progress = iteration as f64 / self.iterations as f64;
        // 2 / (1 + e^(−x)) − 1, without a difference of two numbers near 1.
        let grown = (self.alpha * progress / 2.).tanh();
        Ok(self.low + (self.high - self.low) * grown)
    }
}
