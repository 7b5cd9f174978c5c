//! `cargo xtask forward`: raw batches in, logits, stages and gradients out.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use candle_core::{DType, Device, Tensor};
use cnn_models::{ModelConfig, Network};
use cnn_weights::{TensorFile, save_safetensors};

fn forward(directory: &Path, flags: &[&str]) -> TensorFile {
    let input = directory.join("x.safetensors");
    let output = directory.join("y.safetensors");
    let numbers: Vec<f32> = (0..2 * 3 * 20 * 28)
        .map(|i| ((i * 7919) % 1000) as f32 / 500. - 1.)
        .collect();
    let xs = Tensor::from_vec(numbers, (2, 3, 20, 28), &Device::Cpu).unwrap();
    let upstream = Tensor::ones((2, 10), DType::F32, &Device::Cpu).unwrap();
    save_safetensors(
        &input,
        &[("input".into(), xs), ("upstream".into(), upstream)],
        &BTreeMap::new(),
    )
    .unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnn"));
    command
        .args(["forward", "--weights"])
        .arg(directory.join("net"))
        .args(flags)
        .arg("--input")
        .arg(input)
        .arg("--output")
        .arg(&output);
    let answer = command.output().unwrap();
    assert!(
        answer.status.success(),
        "{}",
        String::from_utf8_lossy(&answer.stderr)
    );
    assert!(answer.stdout.is_empty());
    TensorFile::open(output).unwrap()
}

fn values(file: &TensorFile, name: &str) -> Vec<f64> {
    file.tensor(name)
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

#[test]
fn a_wrapper_and_a_choice_of_weights_are_told_once() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let mut tensors = Vec::new();
    for (seed, prefix) in [(0, "model._orig_mod."), (1, "model_ema.")] {
        let network = Network::new("resnet8_cifar10", &ModelConfig::default(), seed).unwrap();
        network.save(&at.join(seed.to_string())).unwrap();
        let named = network.store().tensors().into_iter();
        tensors.extend(named.map(|(name, tensor)| (format!("{prefix}{name}"), tensor)));
    }
    let wrapped = at.join("wrapped.safetensors");
    save_safetensors(&wrapped, &tensors, &BTreeMap::new()).unwrap();
    let input = at.join("x.safetensors");
    let zeros = Tensor::ones((1, 3, 32, 32), DType::F32, &Device::Cpu).unwrap();
    save_safetensors(&input, &[("input".into(), zeros)], &BTreeMap::new()).unwrap();
    let run = |weights: &Path, flags: &[&str]| {
        let output = at.join("y.safetensors");
        let answer = Command::new(env!("CARGO_BIN_EXE_cnn"))
            .args(["forward", "--weights"])
            .arg(weights)
            .args(flags)
            .arg("--input")
            .arg(&input)
            .arg("--output")
            .arg(&output)
            .output()
            .unwrap();
        let said = String::from_utf8(answer.stderr).unwrap();
        let logits = answer
            .status
            .success()
            .then(|| values(&TensorFile::open(&output).unwrap(), "logits"));
        (answer.status.code(), said, logits)
    };
    let named = ["--model", "resnet8_cifar10"];
    let file = wrapped.display();
    let (_, said, logits) = run(&wrapped, &named);
    assert_eq!(logits, run(&at.join("0"), &[]).2);
    let note = format!("note: the names in {file} are read without `_orig_mod.` and `model.`\n");
    assert_eq!(said.matches(&note).count(), 1, "{said}");
    let note = format!(
        "note: the weights are `model.` of {file}; it also holds `model_ema.` (--use-ema takes \
         a moving average)\n"
    );
    assert_eq!(said.matches(&note).count(), 1, "{said}");

    let (_, said, logits) = run(&wrapped, &["--model", "resnet8_cifar10", "--use-ema"]);
    assert_eq!(logits, run(&at.join("1"), &[]).2);
    assert!(
        said.contains("`model_ema.` of") && said.contains(", a moving average; it also holds"),
        "{said}"
    );
    let (code, said, _) = run(&at.join("0"), &["--use-ema"]);
    assert_eq!(code, Some(2));
    assert!(
        said.contains("holds no moving average of the weights"),
        "{said}"
    );
}

#[test]
fn logits_stages_and_gradients_have_pytorchs_names_and_shapes() {
    let directory = tempfile::tempdir().unwrap();
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    network.save(&directory.path().join("net")).unwrap();
    let plain = forward(directory.path(), &[]);
    assert_eq!(plain.names().collect::<Vec<_>>(), ["logits"]);
    let full = forward(directory.path(), &["--stages", "--grad", "--dtype", "f64"]);
    let shape = |name: &str| full.info(name).unwrap().shape.clone();
    assert_eq!(shape("stage0"), [2, 16, 20, 28]);
    assert_eq!(shape("stage3"), [2, 64, 5, 7]);
    assert_eq!(shape("grad.input"), [2, 3, 20, 28]);
    assert_eq!(shape("grad.layer3.0.conv2.weight"), [64, 64, 3, 3]);
    assert_eq!(values(&full, "grad.linear.bias"), [2.; 10]);
    let parameters = network
        .store()
        .entries()
        .iter()
        .filter(|entry| entry.kind == cnn_layers::TensorKind::Parameter)
        .count();
    assert_eq!(
        full.names()
            .filter(|name| name.starts_with("grad."))
            .count(),
        parameters + 1
    );
    let difference = values(&plain, "logits")
        .iter()
        .zip(values(&full, "logits"))
        .map(|(a, b)| (a - b).abs())
        .fold(0., f64::max);
    assert!(difference < 1e-4, "f32 and f64 differ by {difference}");
    let train = forward(directory.path(), &["--train"]);
    assert_ne!(values(&train, "logits"), values(&plain, "logits"));
}
