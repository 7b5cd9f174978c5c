//! The logarithm of the sigmoid, exact at both ends.

use candle_core::{CpuStorage, CustomOp1, Error, Layout, Result, Shape, Tensor};

/// `ln σ(x) = min(x, 0) − ln(1 + e^(−|x|))`, whose derivative is `σ(−x)`.
pub(super) fn log_sigmoid(xs: &Tensor) -> Result<Tensor> {
    xs.contiguous()?.apply_op1(LogSigmoid)
}

struct LogSigmoid;

impl CustomOp1 for LogSigmoid {
    fn name(&self) -> &'static str {
        "log-sigmoid"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or(Error::RequiresContiguous { op: self.name() })?;
        let ys = match storage {
            CpuStorage::F32(xs) => CpuStorage::F32(
                xs[start..end]
                    .iter()
                    .map(|&x| x.min(0.) - (-x.abs()).exp().ln_1p())
                    .collect(),
            ),
            CpuStorage::F64(xs) => CpuStorage::F64(
                xs[start..end]
                    .iter()
                    .map(|&x| x.min(0.) - (-x.abs()).exp().ln_1p())
                    .collect(),
            ),
            _ => candle_core::bail!("{}: expected f32 or f64", self.name()),
        };
        Ok((ys, layout.shape().clone()))
    }

    fn bwd(&self, xs: &Tensor, _ys: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        // 1 / (1 + e^x): an overflowing exponential ends in the right limit, 0.
        let slope = (xs.exp()? + 1.)?.recip()?;
        Ok(Some(upstream.mul(&slope)?))
    }
}
