//! The frozen backbone's features, kept for later runs.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::support::*;

/// The kept features of a bench's runs, and when each file was written.
fn kept(bench: &Bench) -> BTreeMap<PathBuf, SystemTime> {
    let entries = std::fs::read_dir(bench.path("runs/cache/features"))
        .into_iter()
        .flatten()
        .flatten();
    entries
        .map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap()))
        .collect()
}

/// A run of the head alone, whose bytes depend on nothing but features, and its weights.
fn weights(bench: &Bench, more: &[&str]) -> Value {
    bench.tune("runs", &[&["--strategy", "head"], more].concat())["weights_sha256"].clone()
}

#[test]
fn features_are_computed_once() {
    let bench = Bench::new();
    let first = weights(&bench, &["--no-cache"]);
    assert_eq!(kept(&bench), BTreeMap::new(), "--no-cache");
    assert_eq!(weights(&bench, &[]), first);
    let files = kept(&bench);
    assert_eq!(
        files.len(),
        2,
        "one file for the training images, one for the validation images"
    );
    assert_eq!(weights(&bench, &[]), first);
    assert_eq!(weights(&bench, &["--threads", "2"]), first);
    assert_eq!(kept(&bench), files, "written again");
}

#[test]
fn other_images_sizes_and_weights_have_features_of_their_own() {
    let bench = Bench::new();
    let first = weights(&bench, &[]);
    let photo = "data/train/bee/bee03.png";
    let before = std::fs::read(bench.path(photo)).unwrap();
    std::fs::copy(bench.path("data/train/cat/cat03.png"), bench.path(photo)).unwrap();
    let mut all = kept(&bench);
    let mut new_files = |more: &[&str]| {
        let found = weights(&bench, more);
        let now = kept(&bench);
        assert!(
            all.iter().all(|file| now.get(file.0) == Some(file.1)),
            "{more:?}: an older file was touched"
        );
        let new = now.len() - all.len();
        all = now;
        (new, found)
    };
    let (new, found) = new_files(&[]);
    assert_eq!(new, 1, "a training image changed");
    assert_ne!(found, first);
    bench.file(photo, &before);
    assert_eq!(new_files(&[]), (0, first));
    assert_eq!(new_files(&["--size", "24"]).0, 2, "another size");
    let fresh = |seed: &'static str| {
        [
            "--weights",
            "none",
            "--model",
            "resnet20_cifar10",
            "--seed",
            seed,
        ]
    };
    assert_eq!(new_files(&fresh("1")).0, 2, "other weights");
    assert_eq!(
        new_files(&fresh("2")).0,
        2,
        "other weights of the same architecture"
    );
    assert_eq!(
        new_files(&["--seed", "2"]).0,
        0,
        "the seed decides the head alone"
    );
}

#[test]
fn a_damaged_file_is_not_used_and_does_no_harm() {
    let bench = Bench::new();
    let expected = weights(&bench, &[]);
    let whole = |path: &Path| std::fs::read(path).unwrap();
    let files: Vec<(PathBuf, Vec<u8>)> = kept(&bench)
        .into_keys()
        .map(|path| (path.clone(), whole(&path)))
        .collect();
    let damaged = |bytes: &[u8]| {
        let length = bytes.len();
        let mut flipped = bytes.to_vec();
        flipped[length / 2] ^= 1;
        [
            bytes[..length / 2].to_vec(),
            bytes[..length - 1].to_vec(),
            Vec::new(),
            vec![0; length],
            flipped,
        ]
    };
    for damage in 0..5 {
        for (path, bytes) in &files {
            std::fs::write(path, &damaged(bytes)[damage]).unwrap();
        }
        assert_eq!(weights(&bench, &[]), expected, "damage {damage}");
        assert!(
            files.iter().all(|(path, bytes)| whole(path) == *bytes),
            "damage {damage} is still there"
        );
    }
}
