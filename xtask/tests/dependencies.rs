//! `docs/crates.md` against cargo: which crates each crate brings, alone and with each of its
//! features.
#![allow(clippy::unwrap_used, clippy::panic)]
// What is compiled depends on the platform; the page counts for this one.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

const PAGE: &str = "docs/crates.md";
const LIST: &str = "## What they bring\n";
/// Set to 1, it makes the test write the page anew.
const UPDATE: &str = "UPDATE_CRATES";
/// The position of the count among the cells of a table's row.
const COUNT: usize = 2;

/// Re-exports the others behind features, of which it has some by default. A feature of it is a
/// crate that has a row of its own.
const FACADE: &str = "cnn";

/// The crate behind all tensors.
const TENSORS: &str = "candle-core";

type Names = BTreeSet<String>;

#[test]
fn the_page_counts_the_crates_that_cargo_compiles() {
    let path = root().join(PAGE);
    let page = std::fs::read_to_string(&path).unwrap();
    let brought = brought();
    let expected = with_list(&with_counts(&page, brought), brought);
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        return std::fs::write(&path, expected).unwrap();
    }
    let listed = listed(&page);
    let changes: Vec<String> = brought
        .iter()
        .filter_map(|(key, names)| change(key, names, &listed, &page))
        .collect();
    assert!(
        page == expected,
        "{PAGE} is not what cargo brings:\n{}\n\
         If that is meant, `{UPDATE}=1 cargo test --package xtask --test dependencies` writes the page anew.",
        changes.join("\n")
    );
}

/// A feature that nobody has to pay for unless asked: the reason for having features at all.
#[test]
fn no_crate_but_the_facade_has_default_features_and_the_lean_ones_stay_lean() {
    let without_facade =
        |manifest: &toml::Table| manifest["package"]["name"].as_str() != Some(FACADE);
    for manifest in manifests().into_iter().filter(without_facade) {
        let default = manifest
            .get("features")
            .and_then(|features| features.get("default"));
        let default = default
            .and_then(toml::Value::as_array)
            .is_none_or(Vec::is_empty);
        assert!(
            default,
            "{} has default features",
            manifest["package"]["name"]
        );
    }
    let heavy = [
        "candle-core",
        "candle-nn",
        "parquet",
        "clap",
        "askama",
        "plotters",
        "rustls",
        "ureq",
    ];
    let allowed: [(&str, &[&str]); 15] = [
        ("cnn-core", &[]),
        ("cnn-hub", &["rustls", "ureq"]),
        ("cnn-hub/datasets", &["rustls", "ureq"]),
        ("cnn-metrics", &[]),
        ("cnn-pickle", &[]),
        ("cnn-data", &[]),
        ("cnn-data/pickle", &[]),
        ("cnn-data/parquet", &["parquet"]),
        ("cnn-weights", &["candle-core"]),
        ("cnn-kernels", &["candle-core"]),
        ("cnn-layers", &["candle-core"]),
        ("cnn-graph", &["candle-core"]),
        ("cnn-models", &["candle-core"]),
        ("cnn-train", &["candle-core"]),
        ("cnn-viz", &["candle-core"]),
    ];
    let brought = brought();
    for (key, allowed) in allowed {
        let names = &brought.iter().find(|(found, _)| found == key).unwrap().1;
        let found: Vec<&str> = heavy
            .into_iter()
            .filter(|heavy| names.contains(*heavy))
            .collect();
        assert_eq!(found, allowed, "{key}");
    }
}

/// What each crate, and each crate with one of its features, brings: by `crate` or `crate/feature`,
/// those that bring little first.
fn brought() -> &'static [(String, Names)] {
    static BROUGHT: OnceLock<Vec<(String, Names)>> = OnceLock::new();
    BROUGHT.get_or_init(ask_cargo)
}

fn ask_cargo() -> Vec<(String, Names)> {
    // Not ours, but most of what several of ours bring.
    let mut packages = vec![(TENSORS.to_string(), packages_of(TENSORS, None))];
    for manifest in manifests() {
        let name = manifest["package"]["name"].as_str().unwrap().to_string();
        packages.push((name.clone(), packages_of(&name, None)));
        let features = manifest
            .get("features")
            .and_then(toml::Value::as_table)
            .cloned()
            .unwrap_or_default();
        let counts = |feature: &str| feature != "default" && name != FACADE;
        for (feature, _) in features.iter().filter(|(feature, _)| counts(feature)) {
            packages.push((
                format!("{name}/{feature}"),
                packages_of(&name, Some(feature)),
            ));
        }
    }
    let mut versions: BTreeMap<String, Names> = BTreeMap::new();
    for (name, version) in packages.iter().flat_map(|(_, packages)| packages) {
        versions
            .entry(name.clone())
            .or_default()
            .insert(version.clone());
    }
    // A version is told where there are several.
    let named = |(name, version): &(String, String)| match versions[name].len() {
        1 => name.clone(),
        _ => format!("{name} {}", compatible(version)),
    };
    let mut brought: Vec<(String, Names)> = Vec::new();
    for (key, packages) in &packages {
        let names: Names = packages.iter().map(named).collect();
        assert_eq!(
            packages.len(),
            names.len(),
            "{key}: two compatible versions of one crate"
        );
        brought.push((key.clone(), names));
    }
    brought.sort_by_key(|(key, names)| (names.len(), key.clone()));
    brought
}

/// Names and versions of all that is compiled for a package, itself left out.
fn packages_of(package: &str, feature: Option<&str>) -> BTreeSet<(String, String)> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "tree",
        // With what the lock file says nothing is looked up; an optional dependency that no build
        // has needed yet is downloaded.
        "--locked",
        "--package",
        package,
        "--edges",
        "normal,build",
        "--prefix",
        "none",
    ]);
    if let Some(feature) = feature {
        cargo.args(["--features", feature]);
    }
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(
        output.status.success(),
        "cargo tree {package}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let lines = String::from_utf8(output.stdout).unwrap();
    let packages = lines.lines().filter_map(|line| line.split_once(" v"));
    let version = |rest: &str| rest.split(' ').next().unwrap().to_string();
    let packages = packages.map(|(name, rest)| (name.to_string(), version(rest)));
    packages.filter(|(name, _)| name != package).collect()
}

/// The part of a version that must be equal for cargo to use one in place of the other.
fn compatible(version: &str) -> String {
    let mut parts = version.split(['.', '+', '-']);
    match (parts.next(), parts.next()) {
        (Some("0"), Some(minor)) => format!("0.{minor}"),
        (Some(major), _) => major.to_string(),
        _ => version.to_string(),
    }
}

/// The page with these counts in its tables, each of which must be there.
fn with_counts(page: &str, brought: &[(String, Names)]) -> String {
    let mut page = page.to_string();
    for (key, names) in brought {
        let row = row(&page, key)
            .unwrap_or_else(|| panic!("{PAGE} has no row for `{key}`"))
            .to_string();
        let mut cells: Vec<String> = row.split('|').map(str::to_string).collect();
        cells[COUNT + 1] = format!(" {} ", names.len());
        page = page.replace(&row, &cells.join("|"));
    }
    page
}

/// The row of a table that has a cell for this crate or feature.
fn row<'a>(page: &'a str, key: &str) -> Option<&'a str> {
    page.lines().find(|line| {
        line.starts_with("| ")
            && line
                .split('|')
                .any(|cell| cell.trim() == format!("`{key}`"))
    })
}

/// The page with its list of names: after each crate those of the lines above that are in what it
/// brings, and what comes beside them.
fn with_list(page: &str, brought: &[(String, Names)]) -> String {
    let (before, list) = page.split_once(LIST).unwrap();
    let introduction = list.split("\n- ").next().unwrap();
    let mut lines = String::new();
    for (number, (key, names)) in brought.iter().enumerate() {
        let within = within(&brought[..number], key, names);
        let mut own = names.clone();
        own.retain(|name| {
            within
                .iter()
                .all(|(inner, inside)| package(inner) != name && !inside.contains(name))
        });
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let within: String = within
            .iter()
            .map(|(inner, _)| format!(" + `{inner}`"))
            .collect();
        lines += &format!(
            "\n- `{key}`{within}: {}",
            if own.is_empty() {
                "nothing else".into()
            } else {
                own.join(", ")
            }
        );
    }
    format!("{before}{LIST}{introduction}{lines}\n")
}

/// Those of the lines above that a line builds on, without what they build on themselves.
fn within<'a>(above: &'a [(String, Names)], key: &str, names: &Names) -> Vec<&'a (String, Names)> {
    let builds_on = |outer: &str, names: &Names, (inner, inside): &(String, Names)| {
        (names.contains(package(inner)) || package(inner) == package(outer))
            && inner != outer
            && inside.is_subset(names)
    };
    let all: Vec<_> = above
        .iter()
        .filter(|row| builds_on(key, names, row))
        .collect();
    let covered = |row| {
        all.iter()
            .any(|(outer, names)| builds_on(outer, names, row))
    };
    all.iter().filter(|row| !covered(row)).copied().collect()
}

/// The crate of a `crate` or `crate/feature`.
fn package(key: &str) -> &str {
    key.split('/').next().unwrap()
}

/// What the page's list says that each brings.
fn listed(page: &str) -> BTreeMap<String, Names> {
    let mut listed: BTreeMap<String, Names> = BTreeMap::new();
    for line in page
        .split_once(LIST)
        .unwrap()
        .1
        .lines()
        .filter_map(|line| line.strip_prefix("- `"))
    {
        let Some((keys, own)) = line.split_once("`: ") else {
            continue;
        };
        let mut keys = keys.split("` + `");
        let key = keys.next().unwrap();
        let mut names: Names = own
            .split(", ")
            .filter(|name| *name != "nothing else")
            .map(str::to_string)
            .collect();
        for inner in keys {
            names.extend(listed.get(inner).cloned().unwrap_or_default());
            if package(inner) != package(key) {
                names.insert(package(inner).to_string());
            }
        }
        listed.insert(key.to_string(), names);
    }
    listed
}

/// What is new about a row, in words.
fn change(
    key: &str,
    names: &Names,
    listed: &BTreeMap<String, Names>,
    page: &str,
) -> Option<String> {
    let said = row(page, key)?
        .split('|')
        .nth(COUNT + 1)?
        .trim()
        .to_string();
    let before = listed.get(key).cloned().unwrap_or_default();
    let list = |names: Vec<&String>| {
        names
            .iter()
            .map(|name| name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let came = list(names.difference(&before).collect());
    let gone = list(before.difference(names).collect());
    let same = said == names.len().to_string() && came.is_empty() && gone.is_empty();
    let parts = [("came: ", came), ("gone: ", gone)];
    let parts: String = parts
        .iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(what, names)| format!("; {what}{names}"))
        .collect();
    (!same).then(|| format!("{key}: {} crates, the page says {said}{parts}", names.len()))
}

fn manifests() -> Vec<toml::Table> {
    let crates = std::fs::read_dir(root().join("crates"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut directories: Vec<PathBuf> = crates.chain([root().join("xtask")]).collect();
    directories.sort();
    directories
        .iter()
        .map(|path| {
            std::fs::read_to_string(path.join("Cargo.toml"))
                .unwrap()
                .parse()
                .unwrap()
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
