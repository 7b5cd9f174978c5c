//! The outer product of each sample's features with constant factors, as one node of candle's graph.

use candle_core::{
    CpuStorage, CustomOp1, DType, Error, Layout, Result, Shape, Tensor, WithDType, bail,
};

use super::known_gradient::wide;

/// `factors_n ⊗ features_n`, `(N, F)` with `K` factors of each sample to `(N, K · F)`, factor by
/// factor.
pub(super) fn outer_product(features: &Tensor, factors: Vec<f64>) -> Result<Tensor> {
    let (samples, columns) = features.dims2()?;
    let outer = Outer {
        classes: factors.len() / samples,
        columns,
        factors,
    };
    features.contiguous()?.apply_op1(outer)
}

struct Outer {
    classes: usize,
    columns: usize,
    /// Of each sample one for each class.
    factors: Vec<f64>,
}

impl Outer {
    fn products<T: WithDType>(&self, storage: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or(Error::RequiresContiguous { op: self.name() })?;
        let features = &T::cpu_storage_as_slice(storage)?[start..end];
        let rows = features.chunks_exact(self.columns);
        let mut products = Vec::with_capacity(features.len() * self.classes);
        for (row, factors) in rows.zip(self.factors.chunks_exact(self.classes)) {
            for &factor in factors {
                let factor = T::from_f64(factor);
                products.extend(row.iter().map(|x| *x * factor));
            }
        }
        Ok(T::to_cpu_storage_owned(products))
    }

    /// The gradient of the features: of each sample `Σ_k factor_k · upstream_k`.
    fn contracted(&self, upstream: &[f64]) -> Vec<f64> {
        let samples = upstream.chunks_exact(self.classes * self.columns);
        let mut gradient = vec![0.; samples.len() * self.columns];
        let rows = gradient.chunks_exact_mut(self.columns).zip(samples);
        for ((row, upstream), factors) in rows.zip(self.factors.chunks_exact(self.classes)) {
            for (upstream, factor) in upstream.chunks_exact(self.columns).zip(factors) {
                let sums = row.iter_mut().zip(upstream);
                sums.for_each(|(sum, x)| *sum += factor * x);
            }
        }
        gradient
    }
}

impl CustomOp1 for Outer {
    fn name(&self) -> &'static str {
        "outer-product"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let products = match storage {
            CpuStorage::F32(_) => self.products::<f32>(storage, layout),
            CpuStorage::F64(_) => self.products::<f64>(storage, layout),
            _ => bail!("{}: expected f32 or f64", self.name()),
        };
        let samples = self.factors.len() / self.classes;
        Ok((
            products?,
            Shape::from((samples, self.classes * self.columns)),
        ))
    }

    fn bwd(&self, features: &Tensor, _: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let gradient = self.contracted(&wide(upstream)?);
        let shape = features.dims();
        let gradient = match features.dtype() {
            DType::F32 => {
                let narrow: Vec<f32> = gradient.into_iter().map(|x| x as f32).collect();
                Tensor::from_vec(narrow, shape, features.device())?
            }
            _ => Tensor::from_vec(gradient, shape, features.device())?,
        };
        Ok(Some(gradient))
    }
}
