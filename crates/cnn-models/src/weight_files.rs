//! Where the weights are that a path means: a file, or the one of a directory or of a run.

use std::path::{Path, PathBuf};

use crate::{Error, identify};

const WEIGHT_NAMES: [&str; 4] = [
    "model.safetensors",
    "pytorch_model.bin",
    "pytorch_model.pth",
    "model.pth",
];
/// What a training run goes on from: weights among much else.
const RESUME: &str = "resume.safetensors";
const WEIGHT_ENDINGS: [&str; 6] = ["safetensors", "pth", "pt", "th", "bin", "ckpt"];

/// The weight file that a path means, and the `config.json` beside it.
pub(crate) fn locate(path: &Path) -> Result<(PathBuf, Option<PathBuf>), Error> {
    let best = path.join("best");
    let has_weights = |directory: &Path| {
        WEIGHT_NAMES
            .iter()
            .any(|name| directory.join(name).is_file())
    };
    let is_run = best.join("config.json").is_file() || (has_weights(&best) && !has_weights(path));
    if is_run && !path.join("config.json").exists() {
        return locate(&best);
    }
    let metadata = std::fs::metadata(path).map_err(|source| Error::Read {
        path: path.to_path_buf(),
        source,
    })?;
    let directory = if metadata.is_dir() {
        path
    } else {
        path.parent().unwrap_or(Path::new(""))
    };
    let config = Some(directory.join("config.json")).filter(|path| path.is_file());
    if metadata.is_dir() {
        Ok((weight_file(path)?, config))
    } else {
        Ok((path.to_path_buf(), config))
    }
}

/// Why it is not known what the weights are for that a path led to.
pub(crate) fn no_architecture(path: &Path, weights: &Path) -> Error {
    let checkpoint = weights
        .parent()
        .filter(|directory| directory.ends_with("best") || directory.ends_with("last"));
    match checkpoint {
        Some(directory) => Error::RunWithoutConfig {
            path: directory.to_path_buf(),
        },
        None => Error::NoArchitecture {
            path: path.to_path_buf(),
            fitting: identify::said_of(weights),
        },
    }
}

fn weight_file(directory: &Path) -> Result<PathBuf, Error> {
    if let Some(named) = WEIGHT_NAMES
        .iter()
        .map(|name| directory.join(name))
        .find(|path| path.is_file())
    {
        return Ok(named);
    }
    let entries = std::fs::read_dir(directory).map_err(|source| Error::Read {
        path: directory.to_path_buf(),
        source,
    })?;
    let is_weights = |path: &PathBuf| {
        let is_state = path.file_name().is_some_and(|name| name == RESUME);
        let ending = path.extension().and_then(|ending| ending.to_str());
        let is_packed = path.to_str().is_some_and(|path| path.ends_with(".pth.tar"));
        let is_known = ending.is_some_and(|ending| WEIGHT_ENDINGS.contains(&ending));
        path.is_file() && !is_state && (is_known || is_packed)
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_weights)
        .collect();
    files.sort();
    let found = match files.as_slice() {
        [file] => return Ok(file.clone()),
        [] if directory.join(RESUME).is_file() => {
            "a run that has no epoch behind it yet".to_string()
        }
        [] => of_another_library(directory),
        [first, ..] if is_sharded(directory) => format!(
            "weights in several files, {} and others: join them with `save_file` of safetensors",
            first.file_name().unwrap_or_default().to_string_lossy()
        ),
        [first, second, ..] => {
            let name = |path: &Path| {
                path.file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .to_string()
            };
            format!(
                "{} weight files, as {} and {}",
                files.len(),
                name(first),
                name(second)
            )
        }
    };
    let expected = "model.safetensors, or exactly one .safetensors, .pth, .pth.tar, .pt, .th, \
        .bin or .ckpt file";
    Err(Error::WeightFiles {
        path: directory.to_path_buf(),
        found,
        expected,
    })
}

/// Whether an index says in which file each tensor is, as transformers saves large networks.
fn is_sharded(directory: &Path) -> bool {
    [
        "model.safetensors.index.json",
        "pytorch_model.bin.index.json",
    ]
    .iter()
    .any(|name| directory.join(name).is_file())
}

/// What a directory holds in place of a weight file.
fn of_another_library(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    let known = names.iter().find_map(|name| {
        let what = match name.rsplit('.').next()? {
            "pb" => "of TensorFlow",
            "index" | "meta" if name.contains("ckpt") => "of TensorFlow",
            "tflite" => "of TensorFlow Lite",
            "h5" | "hdf5" | "keras" => "of Keras",
            "msgpack" => "of Flax",
            "onnx" => "in ONNX",
            "npz" | "npy" => "of NumPy",
            "pdparams" => "of PaddlePaddle",
            "caffemodel" => "of Caffe",
            "gz" | "bz2" | "xz" | "zst" | "zip" | "tar" | "tgz" | "7z" => "which is to be unpacked",
            _ => return None,
        };
        Some(format!("no weight file, but `{name}`, {what}"))
    });
    known.unwrap_or_else(|| "no weight file".to_string())
}
