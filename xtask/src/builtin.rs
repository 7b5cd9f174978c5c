//! `--weights builtin`: a small pretrained network that is part of the program, so that a copied
//! binary needs no other file.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use cnn_core::write_atomic;

/// A ResNet-20 that this project trained on CIFAR-10.
pub(crate) const NAME: &str = "resnet20_cifar10";
const FILES: [(&str, &[u8]); 2] = [
    (
        "config.json",
        include_bytes!("../weights/resnet20_cifar10/config.json"),
    ),
    (
        "model.safetensors",
        include_bytes!("../weights/resnet20_cifar10/model.safetensors"),
    ),
];

/// Writes the network's files below a directory of caches, where they are not there as they should
/// be, and returns their directory.
pub(crate) fn unpack(caches: &Path) -> Result<PathBuf> {
    let directory = caches.join("builtin").join(NAME);
    std::fs::create_dir_all(&directory)
        .with_context(|| format!("cannot create {}", directory.display()))?;
    for (name, content) in FILES {
        let path = directory.join(name);
        if !std::fs::read(&path).is_ok_and(|found| found == content) {
            write_atomic(&path, |file| file.write_all(content))?;
        }
    }
    Ok(directory)
}
