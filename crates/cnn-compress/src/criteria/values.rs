//! The values of a tensor in f64, with their places.

use candle_core::{DType, Result, Tensor};

/// The values of a tensor, the last axis innermost.
pub(super) struct Values {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f64>,
}

impl Values {
    pub(super) fn of(tensor: &Tensor) -> Result<Self> {
        Ok(Self {
            shape: tensor.dims().to_vec(),
            values: tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?,
        })
    }

    /// For each position along an axis the sum of a function of its values.
    pub(super) fn sums_along(&self, axis: usize, of_value: impl Fn(f64) -> f64) -> Vec<f64> {
        let count = self.shape.get(axis).copied().unwrap_or(1);
        let inner: usize = self.shape.iter().skip(axis + 1).product();
        let mut sums = vec![0.; count];
        for (number, run) in self.values.chunks(inner.max(1)).enumerate() {
            sums[number % count.max(1)] += run.iter().map(|&value| of_value(value)).sum::<f64>();
        }
        sums
    }
}
