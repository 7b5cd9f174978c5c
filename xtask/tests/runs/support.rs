//! Datasets, runs and comparisons that the tests share.

use cnn_core::Key;
use cnn_data::Image;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

pub(crate) const CLASSES: [&str; 3] = ["ant", "bee", "cat"];
/// Everything random that an ordinary run has.
pub(crate) const RANDOM: [&str; 6] = [
    "--augment",
    "crop-flip",
    "--dropout",
    "0.2",
    "--mixup",
    "0.4",
];
pub(crate) const WEIGHTS: [&str; 2] = ["last/model.safetensors", "best/model.safetensors"];
pub(crate) const RESUME: &str = "resume.safetensors";
/// A user that owns nothing.
const NOBODY: u32 = 65534;
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
        let status = output
            .status
            .code()
            .unwrap_or(-output.status.signal().unwrap_or(0));
        let answer = Self {
            status,
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        };
        assert!(!answer.stderr.contains("panicked at"), "{}", answer.stderr);
        answer
    }
}

fn xtask_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cnn"));
    command.args(arguments).env_remove("RUST_BACKTRACE");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

pub(crate) fn start(arguments: &[&str]) -> Child {
    xtask_command(arguments).spawn().unwrap()
}

pub(crate) fn xtask(arguments: &[&str]) -> Answer {
    start(arguments).wait_with_output().unwrap().into()
}

pub(crate) fn succeeds(arguments: &[&str]) -> Answer {
    let answer = xtask(arguments);
    assert_eq!(
        answer.status, 0,
        "{arguments:?}\n{}\n{}",
        answer.stdout, answer.stderr
    );
    answer
}

/// Runs a command with `--json`; standard output must be one object and nothing else.
pub(crate) fn json(arguments: &[&str]) -> Value {
    let answer = succeeds(&[arguments, &["--json"]].concat());
    let value: Value = serde_json::from_str(&answer.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", answer.stdout));
    assert!(value.is_object(), "{value}");
    value
}

/// A place for data and runs.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
}

impl Bench {
    /// With `data`, noisy images of three colours in `train`, `val` and `test`, hard enough to take
    /// some epochs.
    pub(crate) fn new() -> Self {
        let bench = Self {
            directory: tempfile::tempdir().unwrap(),
        };
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
                let tint = if number % 6 == 5 {
                    rng.below(3) as usize
                } else {
                    class
                };
                let pixel = |position: usize| if position % 3 == tint { 40 } else { 20 };
                let bytes = (0..3 * 32 * 32)
                    .map(|position| pixel(position) + rng.below(200) as u8)
                    .collect();
                let image = Image::from_pixels(32, 32, 3, bytes).unwrap();
                image
                    .write_png(&directory.join(format!("{name}{number:02}.png")))
                    .unwrap();
            }
        }
    }

    /// Copies a folder of class folders, each file under another name.
    pub(crate) fn copied(&self, from: &str, to: &str, prefix: &str) {
        for class in CLASSES {
            let (from, to) = (
                self.path(&format!("{from}/{class}")),
                PathBuf::from(self.path(&format!("{to}/{class}"))),
            );
            std::fs::create_dir_all(&to).unwrap();
            for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
                let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
                std::fs::copy(entry.path(), to.join(name)).unwrap();
            }
        }
    }

    /// The arguments of a short run on `data` that keeps its directories in `out`.
    pub(crate) fn arguments(&self, out: &str, epochs: usize) -> Vec<String> {
        let data = self.path("data");
        let epochs = epochs.to_string();
        let out = self.path(out);
        let words = [
            "train",
            "--data",
            &data,
            "--epochs",
            &epochs,
            "--batch",
            "16",
            "--out",
            &out,
            "--threads",
            "1",
        ];
        words.map(String::from).to_vec()
    }

    /// Runs it to its end and returns the run directory.
    pub(crate) fn train(&self, out: &str, epochs: usize, more: &[&str]) -> PathBuf {
        let arguments = self.arguments(out, epochs);
        let report = json(&[&strs(&arguments)[..], more].concat());
        run_dir(&report)
    }

    /// The arguments of a short fine-tuning of the builtin network on `data`, in three updates per
    /// epoch.
    pub(crate) fn tuning(&self, out: &str, more: &[&str]) -> Vec<String> {
        let data = self.path("data");
        let out = self.path(out);
        let usual = [
            "finetune",
            "--data",
            &data,
            "--head-epochs",
            "3",
            "--epochs",
            "2",
            "--batch",
            "16",
            "--out",
            &out,
        ];
        [&usual, &["--threads", "1"][..], more]
            .concat()
            .into_iter()
            .map(String::from)
            .collect()
    }

    /// Runs it to its end and returns its summary.
    pub(crate) fn tune(&self, out: &str, more: &[&str]) -> Value {
        json(&strs(&self.tuning(out, more)))
    }
}

/// MNIST's format: a magic number that says the dimensions, the sizes, the bytes.
pub(crate) fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let head: Vec<u8> = [0, 0, 8, sizes.len() as u8]
        .into_iter()
        .chain(sizes.iter().flat_map(|n| n.to_be_bytes()))
        .collect();
    [&head, bytes].concat()
}

/// The network that fine-tuning starts from when it is given none.
pub(crate) fn builtin() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("weights/resnet20_cifar10")
}

/// The run directory that a summary names.
pub(crate) fn run_dir(summary: &Value) -> PathBuf {
    PathBuf::from(summary["run_dir"].as_str().unwrap())
}

pub(crate) fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

pub(crate) fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

pub(crate) fn sha256(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What two runs that are the same have in common: weights, and logs without the clock.
pub(crate) fn outcome(run: &Path) -> BTreeMap<&'static str, String> {
    let mut outcome: BTreeMap<_, _> = WEIGHTS.map(|name| (name, sha256(&run.join(name)))).into();
    outcome.insert(
        "events.jsonl",
        std::fs::read_to_string(run.join("events.jsonl")).unwrap(),
    );
    let table = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
    let rows = table
        .lines()
        .map(|line| line.rsplit_once(',').unwrap().0)
        .collect::<Vec<_>>()
        .join("\n");
    outcome.insert("metrics.csv", rows);
    outcome
}

#[track_caller]
pub(crate) fn same(found: &Path, expected: &BTreeMap<&'static str, String>, case: &str) {
    assert_eq!(outcome(found), *expected, "{case}");
    assert_eq!(temporaries(found), Vec::<PathBuf>::new(), "{case}");
}

/// The files of a run directory.
fn files(run: &Path) -> Vec<PathBuf> {
    let entries = |folder: PathBuf| {
        std::fs::read_dir(folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let phases = entries(run.join("phases"));
    let folders = [run.to_path_buf(), run.join("last"), run.join("best")]
        .into_iter()
        .chain(phases);
    folders
        .flat_map(entries)
        .filter(|path| path.is_file())
        .collect()
}

/// Every file of a run directory and its content.
pub(crate) fn snapshot(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    files(run)
        .into_iter()
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect()
}

/// Files that are being written in a run directory, or that a killed process left.
pub(crate) fn temporaries(run: &Path) -> Vec<PathBuf> {
    files(run)
        .into_iter()
        .filter(|path| text(path).contains("/.tmp-"))
        .collect()
}

/// Fails where there are faults.
pub(crate) fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// What is wrong with how a command was refused: it should end in one of `statuses`, with all of
/// `words` in its message and nothing on standard output.
#[must_use]
pub(crate) fn refused(statuses: &[i32], words: &[&str], arguments: &[&str]) -> Vec<String> {
    faults_of_refusal(statuses, words, arguments, &xtask(arguments))
}

fn faults_of_refusal(
    statuses: &[i32],
    words: &[&str],
    arguments: &[&str],
    answer: &Answer,
) -> Vec<String> {
    let mut faults = Vec::new();
    if !statuses.contains(&answer.status) {
        faults.push(format!(
            "status {}, expected one of {statuses:?}",
            answer.status
        ));
    }
    if !answer.stdout.is_empty() {
        faults.push("printed to standard output".to_string());
    }
    faults.extend(
        words
            .iter()
            .filter(|word| !answer.stderr.contains(**word))
            .map(|word| format!("`{word}` is not said")),
    );
    faults
        .iter()
        .map(|fault| format!("{arguments:?}: {fault}: {}", answer.stderr.trim()))
        .collect()
}

/// What is wrong with how a command was refused whose run directory would be made in a folder in
/// which nobody may write.
pub(crate) fn refused_in_closed_folder(
    bench: &Bench,
    command: impl Fn(&str) -> Vec<String>,
) -> Vec<String> {
    let mode =
        |path: &Path, mode| std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    let closed = PathBuf::from(bench.path("closed"));
    std::fs::create_dir(&closed).unwrap();
    mode(&closed, 0o555);
    let arguments = command("closed");
    let mut child = xtask_command(&strs(&arguments));
    if std::fs::write(closed.join("probe"), "").is_ok() {
        // No permission binds this user, so another one runs it.
        std::fs::remove_file(closed.join("probe")).unwrap();
        mode(bench.directory.path(), 0o755);
        child.uid(NOBODY).gid(NOBODY);
    }
    match child.output() {
        Ok(output) => faults_of_refusal(
            &[1, 2],
            &[&text(&closed), "ermission"],
            &strs(&arguments),
            &output.into(),
        ),
        Err(error) => {
            println!("cannot run as an ordinary user, read-only folders skipped: {error}");
            Vec::new()
        }
    }
}

/// The only run directory below `out`, once it is there.
pub(crate) fn run_in(out: &Path) -> Option<PathBuf> {
    let folders = ["train", "finetune"].map(|command| std::fs::read_dir(out.join(command)));
    folders
        .into_iter()
        .flatten()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .next()
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
    let status = Command::new("sh")
        .arg("-c")
        .arg(format!("kill -INT {}", child.id()))
        .status()
        .unwrap();
    assert!(status.success());
}

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
