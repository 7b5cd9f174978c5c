//! What detectors have in common, held against torchvision: `golden/detection.safetensors`, made by
//! `tools/goldens/detection.py`; and the losses' gradients against central differences.
#![allow(clippy::unwrap_used, clippy::panic)]

mod boxes;
mod gradients;
mod losses;
mod pyramid;
mod regions;
mod threads;

use std::collections::HashMap;

use candle_core::{DType, Device, Tensor};
use cnn_layers::detection::BoxEdges;

/// The tensors of the golden file.
pub(crate) struct Goldens(HashMap<String, Tensor>);

impl Goldens {
    pub(crate) fn read() -> Self {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/golden/detection.safetensors"
        );
        Self(candle_core::safetensors::load(path, &Device::Cpu).unwrap())
    }

    pub(crate) fn tensor(&self, name: &str) -> &Tensor {
        self.0.get(name).unwrap_or_else(|| panic!("no {name}"))
    }

    pub(crate) fn f32(&self, name: &str) -> Vec<f32> {
        self.tensor(name).flatten_all().unwrap().to_vec1().unwrap()
    }

    pub(crate) fn f64(&self, name: &str) -> Vec<f64> {
        let tensor = self.tensor(name).to_dtype(DType::F64).unwrap();
        tensor.flatten_all().unwrap().to_vec1().unwrap()
    }

    pub(crate) fn i64(&self, name: &str) -> Vec<i64> {
        self.tensor(name).to_vec1().unwrap()
    }

    pub(crate) fn edges(&self, name: &str) -> Vec<BoxEdges> {
        let rows = self.tensor(name).to_vec2::<f32>().unwrap();
        rows.into_iter()
            .map(|row| row.try_into().unwrap())
            .collect()
    }
}

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// Holds values against PyTorch's, with a largest difference relative to the largest of them.
pub(crate) fn assert_close(name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{name}");
    let scale = expected
        .iter()
        .fold(f64::MIN_POSITIVE, |scale, value| scale.max(value.abs()));
    for (place, (found, expected)) in found.iter().zip(expected).enumerate() {
        // Not `>`: a NaN must fail.
        let is_close = (found - expected).abs() <= tolerance * scale;
        assert!(
            is_close,
            "{name}: element {place} is {found}, PyTorch has {expected} (largest {scale})"
        );
    }
}

pub(crate) fn wide(values: impl IntoIterator<Item = f32>) -> Vec<f64> {
    values.into_iter().map(f64::from).collect()
}
