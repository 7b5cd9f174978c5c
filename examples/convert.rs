//! Any weight file becomes `config.json` and `model.safetensors`, as timm saves and loads them.
//!
//! `cargo run -p cnn-examples --example convert -- WEIGHTS DIRECTORY [MODEL [f16]]`, for instance
//! with a pickled checkpoint:
//!
//! ```text
//! $ cargo run -p cnn-examples --example convert -- resnet20-12fca82f.th resnet20 resnet20_cifar10
//! resnet20_cifar10: 97 tensors loaded, 0 unexpected, saved to resnet20
//! ```
//!
//! `none` for WEIGHTS saves fresh weights, `f16` halves the file. Without arguments a fresh LeNet-5
//! goes to a temporary directory and back.
#![forbid(unsafe_code)]

use std::path::Path;

use anyhow::{Context as _, Result};
use candle_core::DType;
use cnn_models::{LoadOptions, ModelConfig, Network, find};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => {
            let directory =
                std::env::temp_dir().join(format!("cnn-convert-{}", std::process::id()));
            convert("none", &directory, Some("lenet5"), None)?;
            convert(
                &directory.display().to_string(),
                &directory,
                None,
                Some(DType::F16),
            )?;
            Ok(std::fs::remove_dir_all(directory)?)
        }
        [weights, directory] => convert(weights, Path::new(directory), None, None),
        [weights, directory, model] => convert(weights, Path::new(directory), Some(model), None),
        [weights, directory, model, half] if half == "f16" => {
            convert(weights, Path::new(directory), Some(model), Some(DType::F16))
        }
        _ => anyhow::bail!("usage: convert WEIGHTS DIRECTORY [MODEL [f16]]"),
    }
}

fn convert(
    weights: &str,
    directory: &Path,
    model: Option<&str>,
    dtype: Option<DType>,
) -> Result<()> {
    let network = if weights == "none" {
        Network::new(
            model.context("fresh weights need a model's name")?,
            &ModelConfig::default(),
            0,
        )?
    } else {
        let spec = model.map(find).transpose()?.copied();
        Network::load(
            Path::new(weights),
            &LoadOptions {
                spec,
                dtype,
                ..LoadOptions::default()
            },
        )?
    };
    network.save(directory)?;
    let name = network.spec().name;
    let report = network.report();
    let loaded = report.loaded.len();
    let unexpected = report.unexpected.len();
    println!(
        "{name}: {loaded} tensors loaded, {unexpected} unexpected, saved to {}",
        directory.display()
    );
    Ok(())
}
