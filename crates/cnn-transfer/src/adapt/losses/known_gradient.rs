//! Losses whose gradient is computed with their value, as one node of candle's graph for each input:
//! large intermediate results would make candle start threads of its own, which go on spinning
//! beside the kernels'.

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, WithDType, bail};

/// An input of a loss, and the loss's gradient there, row by row.
pub(super) struct Slope<'a> {
    pub(super) input: &'a Tensor,
    pub(super) gradient: Vec<f64>,
}

/// The scalar `value`, of the inputs' element type, with these gradients.
pub(super) fn known_gradient(value: f64, slopes: Vec<Slope<'_>>) -> Result<Tensor> {
    let mut loss: Option<Tensor> = None;
    for Slope { input, gradient } in slopes {
        // The first has the whole value, the others add nothing but their gradients.
        let value = if loss.is_none() { value } else { 0. };
        let part = input.contiguous()?.apply_op1(Known { value, gradient })?;
        loss = Some(match loss {
            Some(loss) => (loss + part)?,
            None => part,
        });
    }
    loss.map_or_else(|| bail!("a loss of nothing"), Ok)
}

/// The values of a tensor of f32 or f64 in f64, without a gradient.
pub(super) fn wide(xs: &Tensor) -> Result<Vec<f64>> {
    let flat = xs.flatten_all()?;
    match flat.dtype() {
        DType::F32 => Ok(flat.to_vec1::<f32>()?.into_iter().map(f64::from).collect()),
        _ => flat.to_vec1::<f64>(),
    }
}

struct Known {
    value: f64,
    gradient: Vec<f64>,
}

impl CustomOp1 for Known {
    fn name(&self) -> &'static str {
        "domain-adaptation-loss"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let value = match storage {
            CpuStorage::F32(_) => CpuStorage::F32(vec![self.value as f32]),
            CpuStorage::F64(_) => CpuStorage::F64(vec![self.value]),
            _ => bail!("{}: expected f32 or f64", self.name()),
        };
        Ok((value, Shape::from(())))
    }

    fn bwd(&self, input: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let scale = wide(upstream)?.into_iter().sum::<f64>();
        let gradient = match input.dtype() {
            DType::F32 => scaled::<f32>(&self.gradient, scale, input),
            _ => scaled::<f64>(&self.gradient, scale, input),
        };
        Ok(Some(gradient?))
    }
}

fn scaled<T: WithDType>(gradient: &[f64], scale: f64, input: &Tensor) -> Result<Tensor> {
    let values: Vec<T> = gradient.iter().map(|x| T::from_f64(scale * x)).collect();
    Tensor::from_vec(values, input.dims(), input.device())
}
