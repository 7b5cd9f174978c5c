//! Datasets, runs and comparisons that the tests share.

use cnn_core::Key;
use cnn_data::Image;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) const CLASSES: [&str; 3] = ["ant", "bee", "cat"];
/// Everything random that an ordinary run has.
pub(crate) const RANDOM: [&str; 6] = ["--augment", "crop-flip", "--dropout", "0.2", "--mixup", "0.4"];
pub(crate) const WEIGHTS: [&str; 2] = ["last/model.safetensors", "best/model.safetensors"];
pub(crate) const RESUME: &str = "resume.safetensors";
/// How long a child may take, on a slow machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).to_string();
        let status = output.status.code().unwrap_or(-output.status.signal().unwrap_or(0));
        let answer = Self { status, stdout: text(output.stdout), stderr: text(output.stderr) };
        assert!(!answer.stderr.contains("panicked at"), "{}", answer.stderr);
        answer
    }
}

pub(crate) fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments).env("CANDLE_NUM_THREADS", "1").env_remove("RUST_BACKTRACE");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn xtask(arguments: &[&str]) -> Answer {
    start(arguments).wait_with_output().unwrap().into()
}

pub(crate) fn succeeds(arguments: &[&str]) -> Answer {
    let answer = xtask(arguments);
    assert_eq!(answer.status, 0, "{arguments:?}\n{}\n{}", answer.stdout, answer.stderr);
    answer
}

/// Runs a command with `--json`; standard output must be one object and nothing else.
pub(crate) fn json(arguments: &[&str]) -> Value {
    let answer = succeeds(&[arguments, &["--json"]].concat());
    let value: Value =
        serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {}", answer.stdout));
    assert!(value.is_object(), "{value}");
    value
}

/// A place for data and runs.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
}

impl Bench {
    /// With `data`, noisy images of three colours in `train`, `val` and `test`, hard enough to take some epochs.
    pub(crate) fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for (split, images) in [("train", 16), ("val", 20), ("test", 5)] {
            bench.images(&format!("data/{split}"), &CLASSES, images);
        }
        bench
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    pub(crate) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self.path(name)
    }

    pub(crate) fn images(&self, folder: &str, classes: &[&str], images: u64) {
        for (class, name) in classes.iter().enumerate() {
            let directory = self.directory.path().join(folder).join(name);
            std::fs::create_dir_all(&directory).unwrap();
            for number in 0..images {
                let mut rng = Key::new(class as u64).stream(folder).at(number).rng();
                let tint = if number % 6 == 5 { rng.below(3) as usize } else { class };
                let pixel = |position: usize| if position % 3 == tint { 40 } else { 20 };
                let bytes = (0..3 * 32 * 32).map(|position| pixel(position) + rng.below(200) as u8).collect();
                let image = Image::from_pixels(32, 32, 3, bytes).unwrap();
                image.write_png(&directory.join(format!("{name}{number:02}.png"))).unwrap();
            }
        }
    }

    /// The arguments of a short run on `data` that keeps its directories in `out`.
    pub(crate) fn arguments(&self, out: &str, epochs: usize) -> Vec<String> {
        let (data, epochs, out) = (self.path("data"), epochs.to_string(), self.path(out));
        let words = ["train", "--data", &data, "--epochs", &epochs, "--batch", "16", "--out", &out, "--threads", "1"];
        words.map(String::from).to_vec()
    }

    /// Runs it to its end and returns the run directory.
    pub(crate) fn train(&self, out: &str, epochs: usize, more: &[&str]) -> PathBuf {
        let arguments = self.arguments(out, epochs);
        let report = json(&[&strs(&arguments)[..], more].concat());
        PathBuf::from(report["run_dir"].as_str().unwrap())
    }
}

pub(crate) fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

pub(crate) fn sha256(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What two runs that are the same have in common: weights, and logs without the clock.
pub(crate) fn outcome(run: &Path) -> BTreeMap<&'static str, String> {
    let mut outcome: BTreeMap<_, _> = WEIGHTS.map(|name| (name, sha256(&run.join(name)))).into();
    outcome.insert("events.jsonl", std::fs::read_to_string(run.join("events.jsonl")).unwrap());
    let table = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
    let rows = table.lines().map(|line| line.rsplit_once(',').unwrap().0).collect::<Vec<_>>().join("\n");
    outcome.insert("metrics.csv", rows);
    outcome
}

#[track_caller]
pub(crate) fn same(found: &Path, expected: &BTreeMap<&'static str, String>, case: &str) {
    assert_eq!(outcome(found), *expected, "{case}");
    assert_eq!(temporaries(found), Vec::<PathBuf>::new(), "{case}");
}

/// Every file of a run directory and its content.
pub(crate) fn snapshot(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folders = [run.to_path_buf(), run.join("last"), run.join("best")];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    files.filter(|file| file.path().is_file()).map(|file| (file.path(), std::fs::read(file.path()).unwrap())).collect()
}

/// Files that are being written in a run directory, or that a killed process left.
pub(crate) fn temporaries(run: &Path) -> Vec<PathBuf> {
    let folders = [run.to_path_buf(), run.join("last"), run.join("best")];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    files.map(|file| file.path()).filter(|path| text(path).contains("/.tmp-")).collect()
}

/// The only run directory below `out`, once it is there.
pub(crate) fn run_in(out: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(out.join("train")).ok()?;
    entries.flatten().map(|entry| entry.path()).next()
}

/// Waits until `condition` holds; false when the child ended or its time is up before.
pub(crate) fn reached(child: &mut Child, mut condition: impl FnMut() -> bool) -> bool {
    let since = Instant::now();
    while since.elapsed() < PATIENCE {
        if condition() {
            return true;
        }
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        std::thread::yield_now();
    }
    false
}

pub(crate) fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(String::from).collect()
}

pub(crate) fn interrupt(child: &Child) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status().unwrap();
    assert!(status.success());
}

// 1. The same bytes.

/// A run of twenty epochs that was interrupted in the third, after the first of its three updates.
pub(crate) fn unfinished(bench: &Bench, out: &str) -> PathBuf {
    let mut child = start(&strs(&bench.arguments(out, 20)));
    let out = PathBuf::from(bench.path(out));
    let events = || run_in(&out).map_or(0, |run| lines(&run.join("events.jsonl")).len());
    assert!(reached(&mut child, || events() > 2 * 4));
    interrupt(&child);
    assert_eq!(Answer::from(child.wait_with_output().unwrap()).status, 130);
    run_in(&out).unwrap()
}
