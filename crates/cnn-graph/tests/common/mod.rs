//! Random numbers and differences.
#![allow(dead_code, clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use cnn_core::Key;
use cnn_graph::OwnedValue;
use cnn_layers::{FeatureMap, Store};

/// Gives every norm's tensors noise: fresh ones are 0 and 1, behind which errors would hide, and
/// ResNets begin with branches of zeros.
pub(crate) fn stir(store: &Store) {
    for entry in store.entries() {
        let [one_like, around_zero] = [["running_var", "weight"], ["running_mean", "bias"]]
            .map(|names| names.iter().any(|name| entry.name.ends_with(name)));
        if entry.dtype == DType::I64 || entry.shape.len() != 1 {
            continue;
        }
        let mut values = vec![0.; entry.shape[0]];
        let mut rng = Key::new(5).stream(&entry.name).rng();
        match (one_like, around_zero) {
            (true, _) => rng.fill_uniform(&mut values, 0.5, 1.5),
            (_, true) => rng.fill_uniform(&mut values, -0.5, 0.5),
            _ => continue,
        }
        let values = Tensor::from_vec(values, entry.shape, &Device::Cpu).unwrap();
        store.set(&entry.name, &values).unwrap();
    }
}

/// Noise in f64, of a shape `(N, C, H, W)`.
pub(crate) fn images(shape: [usize; 4]) -> FeatureMap {
    let mut rng = Key::new(1).stream("images").rng();
    let values: Vec<f64> = (0..shape.iter().product()).map(|_| rng.normal()).collect();
    FeatureMap::from_nchw(&Tensor::from_vec(values, &shape[..], &Device::Cpu).unwrap()).unwrap()
}

/// The largest difference relative to the largest value. NaN where there is one.
pub(crate) fn apart(found: &OwnedValue, expected: &OwnedValue) -> f64 {
    let found = found.to_tensor().unwrap().to_dtype(DType::F64).unwrap();
    let expected = expected.to_tensor().unwrap().to_dtype(DType::F64).unwrap();
    assert_eq!(found.dims(), expected.dims());
    let largest = |tensor: &Tensor| {
        let values = tensor.flatten_all().unwrap().to_vec1::<f64>().unwrap();
        values
            .into_iter()
            .map(f64::abs)
            .fold(0., |a, b| if b.is_nan() || b > a { b } else { a })
    };
    let size = largest(&expected);
    assert!(size > 0., "everything is 0, so equality says nothing");
    largest(&(found - expected).unwrap()) / size
}
