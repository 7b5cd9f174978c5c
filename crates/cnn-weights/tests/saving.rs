//! What `save_safetensors` writes: the reference implementation's bytes, always the same, whole or
//! not at all.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use cnn_weights::{Error, Format, TensorFile, save_safetensors};

const DTYPES: [DType; 9] = [
    DType::U8,
    DType::I16,
    DType::F16,
    DType::BF16,
    DType::I32,
    DType::U32,
    DType::F32,
    DType::F64,
    DType::I64,
];

/// One tensor of each type, in an order that is not the file's, among them a scalar, an empty one
/// and a view.
fn tensors() -> Vec<(String, Tensor)> {
    let numbers = Tensor::arange(0u32, 6, &Device::Cpu)
        .unwrap()
        .reshape((2, 3))
        .unwrap();
    let mut tensors: Vec<_> = DTYPES
        .iter()
        .map(|&dtype| (format!("{dtype:?}"), numbers.to_dtype(dtype).unwrap()))
        .collect();
    tensors.push((
        "a.view".into(),
        numbers.to_dtype(DType::F32).unwrap().t().unwrap(),
    ));
    tensors.push(("z.scalar".into(), Tensor::new(7i64, &Device::Cpu).unwrap()));
    tensors.push((
        "empty".into(),
        Tensor::zeros((0, 3), DType::F32, &Device::Cpu).unwrap(),
    ));
    tensors
}

fn metadata() -> BTreeMap<String, String> {
    (0..8)
        .map(|i| (format!("key{i}"), "ü\"\n".repeat(i)))
        .collect()
}

fn save(path: &Path, tensors: &[(String, Tensor)], metadata: &BTreeMap<String, String>) -> Vec<u8> {
    save_safetensors(path, tensors, metadata).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn bytes_equal_those_of_the_reference_implementation() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = save(
        &dir.path().join("x.safetensors"),
        &tensors(),
        &BTreeMap::new(),
    );
    let format = HashMap::from([("format".to_string(), "pt".to_string())]);
    assert_eq!(
        bytes,
        safetensors::serialize(tensors(), Some(format)).unwrap()
    );
    assert_eq!(u64::from_le_bytes(bytes[..8].try_into().unwrap()) % 8, 0);
}

#[test]
fn the_order_of_the_arguments_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    let first = save(&dir.path().join("a"), &tensors(), &metadata());
    let mut reversed = tensors();
    reversed.reverse();
    assert_eq!(first, save(&dir.path().join("b"), &reversed, &metadata()));
    let (_, read) = safetensors::SafeTensors::read_metadata(&first).unwrap();
    assert_eq!(read.metadata().as_ref().unwrap().len(), 9);
}

#[test]
fn what_is_saved_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    save(&path, &tensors(), &metadata());
    let file = TensorFile::open(&path).unwrap();
    assert_eq!(file.format(), Format::Safetensors);
    assert_eq!(file.metadata()["format"], "pt");
    assert_eq!(file.metadata()["key3"], "ü\"\n".repeat(3));
    assert_eq!(file.len(), tensors().len());
    for (name, tensor) in tensors() {
        let read = file.tensor(&name).unwrap();
        assert_eq!(
            (read.dims(), read.dtype()),
            (tensor.dims(), tensor.dtype()),
            "{name}"
        );
        let values = |tensor: &Tensor| {
            tensor
                .flatten_all()
                .unwrap()
                .to_dtype(DType::F64)
                .unwrap()
                .to_vec1::<f64>()
                .unwrap()
        };
        assert_eq!(values(&read), values(&tensor), "{name}");
    }
}

#[test]
fn names_that_cannot_be_saved_are_errors_and_change_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.safetensors");
    let before = save(&path, &tensors(), &BTreeMap::new());
    let one = Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let named = |name: &str| (name.to_string(), one.clone());
    let cases = [
        (vec![named("a"), named("a")], "two tensors are named `a`"),
        (
            vec![named("__metadata__")],
            "tensor `__metadata__`: the format reserves this name",
        ),
    ];
    for (tensors, message) in cases {
        let error = save_safetensors(&path, &tensors, &BTreeMap::new()).unwrap_err();
        assert_eq!(error.to_string(), message);
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    let nowhere = dir.path().join("missing/x.safetensors");
    assert!(matches!(
        save_safetensors(&nowhere, &[named("a")], &BTreeMap::new()),
        Err(Error::Write(_))
    ));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn the_mode_is_that_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let [ours, plain] = ["ours", "plain"].map(|name| dir.path().join(name));
    save(&ours, &tensors(), &BTreeMap::new());
    std::fs::write(&plain, "").unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&plain));
}
