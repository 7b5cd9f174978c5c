//! Published weight files give the same values as PyTorch and safetensors read.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::DType;
use cnn_weights::{Format, LoadReport, TensorFile, save_safetensors};

/// The file under `shared/hub`, `None` where the shared data is absent.
fn shared(file: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/hub")).join(file);
    if path.exists() {
        return Some(path);
    }
    assert!(
        std::env::var_os("CNN_REQUIRE_SHARED").is_none_or(|value| value != "1"),
        "{} is absent",
        path.display()
    );
    println!("shared data absent, skipped");
    None
}

/// Sum of the values, and sum of value times position from 1, which no other order of the values
/// gives.
fn sums(file: &TensorFile, name: &str) -> (f64, f64) {
    let tensor = file
        .tensor(name)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap();
    let values = tensor.to_vec1::<f64>().unwrap();
    let weighted = values
        .iter()
        .zip(1..)
        .map(|(value, position)| value * f64::from(position))
        .sum();
    (values.iter().sum(), weighted)
}

fn assert_close((sum, weighted): (f64, f64), expected: (f64, f64), what: &str) {
    for (found, expected) in [(sum, expected.0), (weighted, expected.1)] {
        assert!(
            (found - expected).abs() <= 1e-9 * expected.abs().max(1.0),
            "{what}: {found} instead of {expected}"
        );
    }
}

/// Tensors, elements and the sums over all of them.
fn totals(file: &TensorFile) -> (usize, usize, f64, f64) {
    let elements = file
        .names()
        .map(|name| file.info(name).unwrap().shape.iter().product::<usize>())
        .sum();
    let mut sum = (0.0, 0.0);
    for name in file.names() {
        let (plain, weighted) = sums(file, name);
        sum = (sum.0 + plain, sum.1 + weighted);
    }
    (file.len(), elements, sum.0, sum.1)
}

// Expected sums, PyTorch 2.15 and safetensors 0.8:
//
//     def sums(t):
//         v = t.double().flatten()
//         return v.sum().item(), (v * torch.arange(1, v.numel() + 1, dtype=torch.float64)).sum().item()
//     sd = torch.load("resnet20-12fca82f.th", map_location="cpu")["state_dict"]
//     sd = {k.removeprefix("module."): v for k, v in sd.items()}     # and load_file("model.safetensors")
//     print(len(sd), sum(v.numel() for v in sd.values()), *(sum(s) for s in zip(*map(sums, sd.values()))))

#[test]
fn the_legacy_checkpoint_of_2018_equals_what_torch_loads() {
    let Some(path) = shared("resnet20_cifar10/resnet20-12fca82f.th") else {
        return;
    };
    let file = TensorFile::open(path).unwrap();
    assert_eq!(file.format(), Format::PthLegacy);
    let names: Vec<_> = file.names().collect();
    assert_eq!(
        names[..4],
        ["conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean"]
    );
    assert_eq!(names[95..], ["linear.weight", "linear.bias"]);
    assert_eq!(file.metadata()["best_prec1"], "91.78000183105469");
    assert_eq!(
        file.info("layer2.0.conv1.weight").unwrap().shape,
        [32, 16, 3, 3]
    );

    let expected = [
        ("conv1.weight", (1.3100982000032673, 454.3676576470025)),
        (
            "layer2.0.conv1.weight",
            (-24.616129788733815, -37642.24481451642),
        ),
        ("linear.weight", (-0.04562738863751292, -505.7651462946087)),
        ("bn1.running_var", (76.47960840986343, 741.9676457850146)),
    ];
    for (name, expected) in expected {
        assert_close(sums(&file, name), expected, name);
    }
    let (tensors, elements, sum, weighted) = totals(&file);
    assert_eq!((tensors, elements), (97, 271_098));
    assert_close(
        (sum, weighted),
        (139.78264955982075, -16_340_742.52295601),
        "all",
    );
}

#[test]
fn safetensors_files_of_the_hub_equal_what_python_loads() {
    let cases = [
        (
            "mobilenetv1_075.tf_in1k",
            (164, 2_602_003),
            (60775.58625960256, 9_209_257.215453584),
        ),
        (
            "mobilenetv2_100.tf_in1k",
            (314, 3_539_036),
            (75595.47591784314, -132_632_734.99751024),
        ),
        (
            "squeezenet1_1.caffe_in1k",
            (52, 1_235_496),
            (1223.4588430354747, 806_861_513.7860329),
        ),
        (
            "yolox_nano.coco",
            (642, 927_655),
            (6780.299491836336, -124_412_712.44089125),
        ),
    ];
    for (name, counts, expected) in cases {
        let Some(path) = shared(&format!("{name}/model.safetensors")) else {
            return;
        };
        let file = TensorFile::open(path).unwrap();
        let (tensors, elements, sum, weighted) = totals(&file);
        assert_eq!((tensors, elements), counts, "{name}");
        assert_close((sum, weighted), expected, name);
    }
}

#[test]
fn a_checkpoint_saved_as_safetensors_keeps_every_value() {
    let Some(path) = shared("resnet20_cifar10/resnet20-12fca82f.th") else {
        return;
    };
    let source = TensorFile::open(path).unwrap();
    let tensors: Vec<_> = source
        .names()
        .map(|name| (name.to_string(), source.tensor(name).unwrap()))
        .collect();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    save_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
    let saved = TensorFile::open(&path).unwrap();
    assert_eq!(saved.len(), 97);
    for (name, tensor) in &tensors {
        let read = saved.tensor(name).unwrap();
        let values =
            |tensor: &candle_core::Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(
            (read.dims(), values(&read)),
            (tensor.dims(), values(tensor)),
            "{name}"
        );
    }
}

#[test]
fn a_report_compares_a_model_with_a_file() {
    let Some(path) = shared("resnet20_cifar10/resnet20-12fca82f.th") else {
        return;
    };
    let file = TensorFile::open(path).unwrap();
    let mut model: Vec<(String, Vec<usize>)> = file
        .names()
        .map(|name| (name.to_string(), file.info(name).unwrap().shape.clone()))
        .collect();
    let expected = |model: &[(String, Vec<usize>)]| {
        LoadReport::compare(
            model
                .iter()
                .map(|(name, shape)| (name.as_str(), shape.as_slice())),
            &file,
        )
    };
    assert!(expected(&model).is_exact());

    model[95].1 = vec![2, 64];
    model[96].0 = "linear.shift".into();
    let report = expected(&model);
    assert_eq!(report.loaded.len(), 95);
    assert_eq!(report.missing, ["linear.shift"]);
    assert_eq!(report.unexpected, ["linear.bias"]);
    let error = report.into_result().unwrap_err().to_string();
    assert!(
        error.contains("linear.weight: expected [2, 64], found [10, 64]"),
        "{error}"
    );
}
