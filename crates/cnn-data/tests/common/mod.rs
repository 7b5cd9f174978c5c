//! What the integration tests share.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    reason = "each test binary uses its part"
)]

pub(crate) mod made;
pub(crate) mod mutate;

use std::path::{Path, PathBuf};

use cnn_data::{Dataset, DatasetFormat, FoundDataset, Image, Split, open_dataset};
use tempfile::TempDir;

pub(crate) fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

pub(crate) fn golden_bytes(name: &str) -> Vec<u8> {
    std::fs::read(golden(name)).unwrap()
}

/// The format and the splits of the dataset at a path.
pub(crate) fn dataset_splits(path: &Path) -> (DatasetFormat, Vec<Split>) {
    let found = FoundDataset::at(path).unwrap();
    (found.format(), found.splits())
}

/// The folder of real data and its part, or `None` (said aloud) where it is absent.
pub(crate) fn shared(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared")
        .join(part);
    if path.exists() {
        return Some(path.canonicalize().unwrap());
    }
    assert!(
        std::env::var_os("CNN_REQUIRE_SHARED").is_none(),
        "{} is absent",
        path.display()
    );
    println!("shared data absent, skipped");
    None
}

/// Paths below a folder and what they hold.
pub(crate) type Files<'a> = &'a [(&'a str, &'a [u8])];

pub(crate) fn folder_with(files: Files<'_>) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    folder
}

/// What opening a dataset says where it fails.
pub(crate) fn open_error(path: &Path, split: Option<Split>) -> String {
    open_dataset(path, split).err().unwrap().to_string()
}

/// The names, relative to `root`, and labels of all samples.
pub(crate) fn samples(dataset: &dyn Dataset, root: &Path) -> Vec<(String, Option<usize>)> {
    let id = |index| {
        dataset
            .id(index)
            .replace(&format!("{}/", root.display()), "")
    };
    (0..dataset.len())
        .map(|index| (id(index), dataset.label(index)))
        .collect()
}

/// Reads a binary PPM or PGM file as Pillow writes it.
pub(crate) fn read_ppm(name: &str) -> Image {
    let bytes = golden_bytes(name);
    let header_len = bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .nth(2)
        .unwrap()
        .0
        + 1;
    let header = std::str::from_utf8(&bytes[..header_len]).unwrap();
    let [kind, width, height, _] = header.split_ascii_whitespace().collect::<Vec<_>>()[..] else {
        panic!("{header}")
    };
    let channels = if kind == "P6" { 3 } else { 1 };
    Image::from_pixels(
        height.parse().unwrap(),
        width.parse().unwrap(),
        channels,
        bytes[header_len..].to_vec(),
    )
    .unwrap()
}

/// Largest and mean difference of two images of the same shape, in steps of 1 of 255.
pub(crate) fn difference(found: &Image, expected: &Image) -> (u8, f64) {
    let shape = |image: &Image| (image.height(), image.width(), image.channels());
    assert_eq!(shape(found), shape(expected));
    let differences = || {
        found
            .bytes()
            .iter()
            .zip(expected.bytes())
            .map(|(&a, &b)| a.abs_diff(b))
    };
    let sum: f64 = differences().map(f64::from).sum();
    (
        differences().max().unwrap(),
        sum / found.bytes().len() as f64,
    )
}
