//! Golden files, and how values are held against them.

use candle_core::{DType, Tensor};
use safetensors::SafeTensors;

pub(crate) fn assert_close(
    name: &str,
    dtype: DType,
    found: &Tensor,
    expected: &[f64],
    tolerance: f64,
) {
    assert_eq!(found.dtype(), dtype, "{name}");
    let found = found
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1::<f64>()
        .unwrap();
    let scale = expected
        .iter()
        .fold(f64::MIN_POSITIVE, |scale, value| scale.max(value.abs()));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Not `>`: a NaN must fail.
        let close = (found - expected).abs() <= tolerance * scale;
        assert!(
            close,
            "{name} as {dtype:?}: element {index} is {found}, PyTorch has {expected} (largest {scale})"
        );
    }
}

/// A golden file; its tensors are named `<case>.<key>`.
pub(crate) struct Goldens<'a>(pub(crate) SafeTensors<'a>);

impl Goldens<'_> {
    pub(crate) fn values(&self, name: &str) -> Option<(Vec<f64>, Vec<usize>)> {
        let view = self.0.tensor(name).ok()?;
        assert_eq!(view.dtype(), safetensors::Dtype::F64, "{name}");
        let values = view
            .data()
            .chunks_exact(8)
            .map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap()))
            .collect();
        Some((values, view.shape().to_vec()))
    }

    pub(crate) fn count(&self, case: &str) -> usize {
        let prefix = format!("{case}.");
        self.0
            .names()
            .iter()
            .filter(|name| name.starts_with(&prefix))
            .count()
    }
}
