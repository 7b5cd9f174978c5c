//! The invariants of `ARCHITECTURE.md`: who may depend on whom, and where `unsafe` may stand.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Direct arrows; a crate may also use what the crates that it uses may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("cnn-core", &[]),
    ("cnn-metrics", &[]),
    ("cnn-kernels", &[]),
    ("cnn-weights", &["cnn-core"]),
    ("cnn-data", &["cnn-core"]),
    ("cnn-layers", &["cnn-kernels", "cnn-weights", "cnn-core"]),
    ("cnn-models", &["cnn-layers"]),
    ("cnn-train", &["cnn-layers", "cnn-data", "cnn-metrics"]),
    ("cnn-transfer", &["cnn-train", "cnn-models"]),
    ("cnn-viz", &["cnn-models", "cnn-data", "cnn-metrics"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn crates() -> Vec<PathBuf> {
    let mut crates: Vec<PathBuf> = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    crates.sort();
    crates
}

fn manifest(directory: &Path) -> toml::Table {
    std::fs::read_to_string(directory.join("Cargo.toml"))
        .unwrap()
        .parse()
        .unwrap()
}

fn allowed(name: &str, arrows: &BTreeMap<&str, &[&str]>) -> BTreeSet<String> {
    let direct = arrows
        .get(name)
        .unwrap_or_else(|| panic!("{name} has no row in the dependency table"));
    let closure = direct
        .iter()
        .flat_map(|next| allowed(next, arrows).into_iter().chain([next.to_string()]));
    closure.collect()
}

#[test]
fn crates_depend_only_along_the_arrows() {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.iter().copied().collect();
    assert!(crates().len() >= 7);
    for directory in crates() {
        let manifest = manifest(&directory);
        let name = manifest["package"]["name"].as_str().unwrap().to_string();
        let allowed = allowed(&name, &arrows);
        let dependencies = manifest
            .get("dependencies")
            .and_then(toml::Value::as_table)
            .cloned()
            .unwrap_or_default();
        for (dependency, value) in &dependencies {
            let inherited = value.get("workspace").and_then(toml::Value::as_bool) == Some(true);
            assert!(
                inherited,
                "{name}: {dependency} is not inherited from the workspace"
            );
            if dependency.starts_with("cnn-") {
                assert!(
                    allowed.contains(dependency),
                    "{name} may not depend on {dependency}; it may use {allowed:?}"
                );
            }
        }
    }
}

#[test]
fn unsafe_code_stands_only_in_the_kernels_and_is_justified() {
    for directory in crates()
        .into_iter()
        .chain([root().join("xtask"), root().join("examples")])
    {
        let name = directory.file_name().unwrap().to_string_lossy().to_string();
        if name == "cnn-kernels" {
            continue;
        }
        let entry = ["src/lib.rs", "src/main.rs", "lib.rs"]
            .iter()
            .map(|file| directory.join(file))
            .find(|path| path.exists());
        let text = std::fs::read_to_string(entry.unwrap()).unwrap();
        assert!(
            text.contains("#![forbid(unsafe_code)]"),
            "{name} does not forbid unsafe code"
        );
    }
    let mut blocks = 0;
    for file in sources(&root().join("crates/cnn-kernels/src")) {
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.contains("unsafe {") || line.contains("unsafe impl"))
        {
            blocks += 1;
            let justified = lines[index.saturating_sub(6)..index]
                .iter()
                .any(|line| line.contains("// SAFETY:"));
            assert!(
                justified,
                "{}:{}: no SAFETY comment before `{}`",
                file.display(),
                index + 1,
                line.trim()
            );
        }
    }
    assert!(
        blocks > 0,
        "the check found no unsafe block at all: does it still look in the right place?"
    );
}

#[test]
fn every_source_file_says_what_it_is() {
    for directory in crates()
        .into_iter()
        .chain([root().join("xtask"), root().join("examples")])
    {
        for file in sources(&directory) {
            let text = std::fs::read_to_string(&file).unwrap();
            assert!(
                text.starts_with("//!"),
                "{} does not open with //!",
                file.display()
            );
        }
    }
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}
