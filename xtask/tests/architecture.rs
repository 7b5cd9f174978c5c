//! The invariants of `ARCHITECTURE.md`: who may depend on whom, and where `unsafe` may stand.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Direct arrows; a crate may also use what the crates that it uses may use.
const ARROWS: &[(&str, &[&str])] = &[
    ("cnn-core", &[]),
    ("cnn-metrics", &[]),
    ("cnn-kernels", &[]),
    ("cnn-pickle", &[]),
    ("cnn-weights", &["cnn-core", "cnn-pickle"]),
    ("cnn-hub", &["cnn-core"]),
    ("cnn-data", &["cnn-core", "cnn-pickle"]),
    ("cnn-layers", &["cnn-kernels", "cnn-weights", "cnn-core"]),
    ("cnn-graph", &["cnn-layers"]),
    ("cnn-models", &["cnn-layers"]),
    ("cnn-train", &["cnn-layers", "cnn-data", "cnn-metrics"]),
    ("cnn-transfer", &["cnn-train", "cnn-models"]),
    ("cnn-robust", &["cnn-train", "cnn-models", "cnn-graph"]),
    ("cnn-compress", &["cnn-train", "cnn-models", "cnn-graph"]),
    (
        "cnn-viz",
        &["cnn-models", "cnn-data", "cnn-metrics", "cnn-graph"],
    ),
    (
        "cnn",
        &["cnn-transfer", "cnn-robust", "cnn-compress", "cnn-viz"],
    ),
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

/// The folder of `src` that a path within a crate begins with, also where the crate's root gives
/// the name of an item of it.
fn folder_of<'a>(
    name: &'a str,
    folders: &BTreeSet<String>,
    items: &'a BTreeMap<String, String>,
) -> Option<&'a str> {
    if folders.contains(name) {
        return Some(name);
    }
    items.get(name).map(String::as_str)
}

/// The first names behind each `crate::`, of a list all of them.
fn names_of_the_crate(text: &str) -> Vec<String> {
    let name = |path: &str| -> String {
        let is_name = |letter: &char| letter.is_alphanumeric() || *letter == '_';
        path.trim().chars().take_while(is_name).collect()
    };
    let mut names = Vec::new();
    for (_, behind) in text
        .match_indices("crate::")
        .map(|(at, _)| text.split_at(at + 7))
    {
        let Some(list) = behind.strip_prefix('{') else {
            names.push(name(behind));
            continue;
        };
        let mut depth = 1;
        let mut start = 0;
        for (at, letter) in list.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => (),
            }
            if depth == 0 || (depth == 1 && letter == ',') {
                names.push(name(&list[start..at]));
                start = at + 1;
            }
            if depth == 0 {
                break;
            }
        }
    }
    names
}

/// A file without its unit tests, which stand at its foot and may use anything, and without comments.
fn code(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap();
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    code.lines().filter(is_code).collect::<Vec<_>>().join("\n")
}

/// Which folder of a crate uses which.
fn uses_between_folders(source: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let folders = std::fs::read_dir(source)
        .unwrap()
        .map(|entry| entry.unwrap());
    let folders = folders.filter(|entry| entry.path().is_dir());
    let folders: BTreeSet<String> = folders
        .map(|folder| folder.file_name().into_string().unwrap())
        .collect();
    // What the root re-exports, as `pub use folder::…{A, B};`.
    let mut items = BTreeMap::new();
    for statement in code(&source.join("lib.rs")).split(';') {
        let Some((_, path)) = statement.split_once("use ") else {
            continue;
        };
        let Some((folder, rest)) = path.trim().split_once("::") else {
            continue;
        };
        let folder = folder.strip_prefix("crate").unwrap_or(folder);
        if folders.contains(folder) {
            let names = rest.split(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
            items.extend(names.map(|name| (name.to_string(), folder.to_string())));
        }
    }
    let mut uses: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for folder in &folders {
        for file in sources(&source.join(folder)) {
            let names = names_of_the_crate(&code(&file));
            let used = names
                .iter()
                .filter_map(|name| folder_of(name, &folders, &items));
            let others = used.filter(|used| used != folder).map(str::to_string);
            uses.entry(folder.clone()).or_default().extend(others);
        }
    }
    uses
}

/// The folders on a way from this one back to it.
fn circle(from: &str, uses: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    let mut ways = vec![vec![from.to_string()]];
    let mut seen = BTreeSet::new();
    while let Some(way) = ways.pop() {
        for next in uses.get(way.last()?).into_iter().flatten() {
            let further = [&way[..], std::slice::from_ref(next)].concat();
            if next == from {
                return Some(further);
            }
            if seen.insert(next.clone()) {
                ways.push(further);
            }
        }
    }
    None
}

#[test]
fn no_folders_of_a_crate_use_each_other_in_a_circle() {
    let mut circles = BTreeSet::new();
    let mut arrows = 0;
    for directory in crates() {
        let uses = uses_between_folders(&directory.join("src"));
        arrows += uses.values().map(BTreeSet::len).sum::<usize>();
        for folder in uses.keys() {
            if let Some(way) = circle(folder, &uses) {
                circles.insert(format!("{}: {}", directory.display(), way.join(" → ")));
            }
        }
    }
    assert!(
        arrows > 10,
        "only {arrows} arrows were found: does the check still see them?"
    );
    let circles: Vec<String> = circles.into_iter().collect();
    assert!(circles.is_empty(), "\n{}", circles.join("\n"));
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
