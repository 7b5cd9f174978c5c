//! `docs/guide/reference.md` against the program: what runs write, and the environment variables
//! that the code reads. The list of commands is compared by a test of `xtask/src/reference.rs`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

#[test]
fn what_a_run_writes_is_on_the_page() {
    let page = Page::read();
    let out = tempfile::tempdir().unwrap();
    let place = out.path().to_str().unwrap();
    let data = out.path().join("photos");
    let data = data.to_str().unwrap();
    cnn(&["data", "shapes:samples=100", "--export", data]);
    cnn(&[
        "train", "--data", data, "--epochs", "2", "--batch", "32", "--out", place,
    ]);
    cnn(&[
        "finetune",
        "--data",
        data,
        "--head-epochs",
        "1",
        "--epochs",
        "1",
        "--out",
        place,
    ]);
    let trained = out.path().join("train/resnet8_cifar10-1");
    let tuned = out.path().join("finetune/resnet20_cifar10-1");
    for run in [&trained, &tuned] {
        let files = files_below(run);
        page.names_all("file", &files);
        page.names_all("column", &csv_header(&run.join("metrics.csv")));
        page.names_all("key", &keys(&json(&run.join("summary.json"))));
        let events = std::fs::read_to_string(run.join("events.jsonl")).unwrap();
        let fields = events
            .lines()
            .flat_map(|line| match serde_json::from_str(line).unwrap() {
                Value::Object(fields) => fields.keys().cloned().collect::<Vec<_>>(),
                other => panic!("{other} is no object"),
            });
        page.names_all("field", &fields.collect());
        for named in page.files_between("## A run directory", "### Columns") {
            assert!(
                files.contains(&named),
                "the page names `{named}`, which {} lacks",
                run.display()
            );
        }
    }
    let arguments = trained.join("args.toml");
    cnn(&[
        "train",
        "--config",
        arguments.to_str().unwrap(),
        "--epochs",
        "1",
        "--out",
        place,
    ]);
    assert!(
        out.path()
            .join("train/resnet8_cifar10-2/summary.json")
            .is_file(),
        "args.toml does not repeat a run"
    );
}

/// As the guide exports the dataset into a folder of its name.
#[test]
fn a_name_is_the_dataset_also_where_a_folder_is_called_so() {
    const DATA: &str = "shapes:samples=64";
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join(DATA)).unwrap();
    let arguments = [
        "train", "--data", DATA, "--model", "lenet5", "--epochs", "1", "--batch", "32",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_cnn"))
        .args(arguments)
        .current_dir(place.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("64 training and 1000 validation images"),
        "{stderr}"
    );
}

#[test]
fn what_explain_and_inspect_write_is_on_the_page() {
    let page = Page::read();
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_string();
    cnn(&["data", "shapes:samples=40", "--export", &path("shapes")]);
    let photo = std::fs::read_dir(path("shapes/train/star"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let photo = photo.to_str().unwrap();
    let fresh = ["--model", "resnet8_cifar10", "--weights", "none"];
    cnn(&[
        &[
            "explain",
            photo,
            "--maps",
            "layer1",
            "--no-checks",
            "--out",
            &path("explained"),
        ],
        &fresh[..],
    ]
    .concat());
    cnn(&[
        &[
            "inspect",
            "--data",
            &path("shapes/val"),
            "--out",
            &path("inspected"),
        ],
        &fresh[..],
    ]
    .concat());
    for directory in ["explained", "inspected"] {
        page.names_all("file", &files_below(&out.path().join(directory)));
    }
    page.names_all(
        "column",
        &csv_header(&out.path().join("inspected/channels.csv")),
    );
}

#[test]
fn the_variables_that_the_code_reads_are_on_the_page() {
    let page = Page::read();
    let mut found = BTreeSet::new();
    for directory in ["crates", "xtask/src", ".cargo"] {
        for file in files_below(&root().join(directory)) {
            let Ok(text) = std::fs::read_to_string(root().join(directory).join(file)) else {
                continue;
            };
            let quoted = text
                .split('"')
                .filter(|word| word.starts_with("CNN_") && word.len() > 4);
            found.extend(
                quoted
                    .filter(|word| word.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
                    .map(String::from),
            );
        }
    }
    let written_by_tests_alone = |name: &&String| !name.ends_with("_TARGET");
    let found: BTreeSet<String> = found
        .iter()
        .filter(written_by_tests_alone)
        .cloned()
        .collect();
    assert!(
        found.contains("CNN_ISA"),
        "the check finds no variable: does it still look in the right place?"
    );
    page.names_all("variable", &found);
}

/// The page and what it sets in code: names, some with `<places>` that stand for any text.
struct Page {
    text: String,
}

impl Page {
    fn read() -> Self {
        Self {
            text: std::fs::read_to_string(root().join("docs/guide/reference.md")).unwrap(),
        }
    }

    fn names(text: &str) -> impl Iterator<Item = &str> {
        text.lines()
            .filter(|line| !line.starts_with("```"))
            .flat_map(|line| line.split('`').skip(1).step_by(2))
    }

    fn names_all(&self, kind: &str, found: &BTreeSet<String>) {
        assert!(
            !found.is_empty(),
            "no {kind} was found: does the check still look in the right place?"
        );
        for name in found {
            let is_named = Self::names(&self.text).any(|pattern| matches(pattern, name));
            assert!(
                is_named,
                "docs/guide/reference.md does not say what the {kind} `{name}` is"
            );
        }
    }

    /// The files that a section names as they are, without places.
    fn files_between(&self, start: &str, end: &str) -> Vec<String> {
        let section = self
            .text
            .split_once(start)
            .unwrap()
            .1
            .split_once(end)
            .unwrap()
            .0;
        let rows: String = section
            .lines()
            .filter(|line| line.starts_with('|'))
            .map(|line| format!("{line}\n"))
            .collect();
        let is_file = |name: &&str| name.contains('.') && !name.contains(['<', ' ']);
        let files: Vec<String> = Self::names(&rows)
            .filter(is_file)
            .map(String::from)
            .collect();
        assert!(files.len() > 5, "only {files:?} are named");
        files
    }
}

/// Whether `name` is `pattern` with some text in place of each `<…>`.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('<') else {
        return pattern == name;
    };
    let (Some((_, after)), Some(name)) = (rest.split_once('>'), name.strip_prefix(before)) else {
        return false;
    };
    (1..=name.len())
        .filter(|&end| name.is_char_boundary(end))
        .any(|end| matches(after, &name[end..]))
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cnn(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_cnn"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The paths of all files below a directory, relative to it.
fn files_below(directory: &Path) -> BTreeSet<String> {
    let mut files = BTreeSet::new();
    let mut folders = vec![directory.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files.insert(
                    path.strip_prefix(directory)
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_string(),
                );
            }
        }
    }
    files
}

fn csv_header(path: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .next()
        .unwrap()
        .split(',')
        .map(String::from)
        .collect()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The keys of a value and of what it holds.
fn keys(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(fields) => fields
            .iter()
            .flat_map(|(key, value)| std::iter::once(key.clone()).chain(keys(value)))
            .collect(),
        Value::Array(items) => items.iter().flat_map(keys).collect(),
        _ => BTreeSet::new(),
    }
}
