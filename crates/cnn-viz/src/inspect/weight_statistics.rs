//! How the weights of a layer are spread.

use candle_core::{DType, Result, Tensor};
use serde::Serialize;

/// Numbers over all weights of one layer; NaN without weights.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct WeightStatistics {
    /// Mean.
    pub mean: f64,
    /// Standard deviation, the divisor being the number of weights.
    pub std: f64,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Square root of the sum of squares.
    pub norm: f64,
    /// Share of weights that are exactly 0, in 0..1.
    pub zeros: f64,
}

impl WeightStatistics {
    pub(super) fn of(weight: &Tensor) -> Result<Self> {
        let values = weight
            .to_dtype(DType::F64)?
            .flatten_all()?
            .to_vec1::<f64>()?;
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = |around: f64| {
            values
                .iter()
                .map(|value| (value - around).powi(2))
                .sum::<f64>()
        };
        Ok(Self {
            mean,
            std: (squares(mean) / count).sqrt(),
            min: values.iter().copied().fold(f64::NAN, f64::min),
            max: values.iter().copied().fold(f64::NAN, f64::max),
            norm: squares(0.).sqrt(),
            zeros: values.iter().filter(|&&value| value == 0.).count() as f64 / count,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::Device;

    #[test]
    fn numbers_of_a_small_weight() {
        let weight = Tensor::new(&[[1f32, -3.], [0., 4.]], &Device::Cpu).unwrap();
        let WeightStatistics {
            mean,
            std,
            min,
            max,
            norm,
            zeros,
        } = WeightStatistics::of(&weight).unwrap();
        assert_eq!((mean, min, max, zeros), (0.5, -3., 4., 0.25));
        assert!(
            (std - 2.5f64.powi(2).sqrt()).abs() < 1e-12 && (norm - 26f64.sqrt()).abs() < 1e-12,
            "{std} {norm}"
        );
    }
}
