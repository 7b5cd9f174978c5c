//! Training through the command line: the same bytes at any number of threads and after any interruption, what a run directory holds, and what is refused.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use candle_core::Tensor;
use cnn_core::Key;
use cnn_data::Image;
use cnn_weights::{TensorFile, save_safetensors};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const CLASSES: [&str; 3] = ["ant", "bee", "cat"];
/// Everything random that an ordinary run has.
const RANDOM: [&str; 6] = ["--augment", "crop-flip", "--dropout", "0.2", "--mixup", "0.4"];
const WEIGHTS: [&str; 2] = ["last/model.safetensors", "best/model.safetensors"];
const RESUME: &str = "resume.safetensors";
/// How long a child may take, on a slow machine under load.
const PATIENCE: Duration = Duration::from_secs(120);

struct Answer {
    status: i32,
    stdout: String,
    stderr: String,
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

fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_xtask"));
    command.args(arguments).env("CANDLE_NUM_THREADS", "1").env_remove("RUST_BACKTRACE");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn xtask(arguments: &[&str]) -> Answer {
    start(arguments).wait_with_output().unwrap().into()
}

fn succeeds(arguments: &[&str]) -> Answer {
    let answer = xtask(arguments);
    assert_eq!(answer.status, 0, "{arguments:?}\n{}\n{}", answer.stdout, answer.stderr);
    answer
}

/// Runs a command with `--json`; standard output must be one object and nothing else.
fn json(arguments: &[&str]) -> Value {
    let answer = succeeds(&[arguments, &["--json"]].concat());
    let value: Value =
        serde_json::from_str(&answer.stdout).unwrap_or_else(|error| panic!("{error}: {}", answer.stdout));
    assert!(value.is_object(), "{value}");
    value
}

/// A place for data and runs.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    /// With `data`, noisy images of three colours in `train`, `val` and `test`, hard enough to take some epochs.
    fn new() -> Self {
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for (split, images) in [("train", 16), ("val", 20), ("test", 5)] {
            bench.images(&format!("data/{split}"), &CLASSES, images);
        }
        bench
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }

    fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self.path(name)
    }

    fn images(&self, folder: &str, classes: &[&str], images: u64) {
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
    fn arguments(&self, out: &str, epochs: usize) -> Vec<String> {
        let (data, epochs, out) = (self.path("data"), epochs.to_string(), self.path(out));
        let words = ["train", "--data", &data, "--epochs", &epochs, "--batch", "16", "--out", &out, "--threads", "1"];
        words.map(String::from).to_vec()
    }

    /// Runs it to its end and returns the run directory.
    fn train(&self, out: &str, epochs: usize, more: &[&str]) -> PathBuf {
        let arguments = self.arguments(out, epochs);
        let report = json(&[&strs(&arguments)[..], more].concat());
        PathBuf::from(report["run_dir"].as_str().unwrap())
    }
}

fn strs(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_string()
}

fn sha256(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What two runs that are the same have in common: weights, and logs without the clock.
fn outcome(run: &Path) -> BTreeMap<&'static str, String> {
    let mut outcome: BTreeMap<_, _> = WEIGHTS.map(|name| (name, sha256(&run.join(name)))).into();
    outcome.insert("events.jsonl", std::fs::read_to_string(run.join("events.jsonl")).unwrap());
    let table = std::fs::read_to_string(run.join("metrics.csv")).unwrap();
    let rows = table.lines().map(|line| line.rsplit_once(',').unwrap().0).collect::<Vec<_>>().join("\n");
    outcome.insert("metrics.csv", rows);
    outcome
}

#[track_caller]
fn same(found: &Path, expected: &BTreeMap<&'static str, String>, case: &str) {
    assert_eq!(outcome(found), *expected, "{case}");
    assert_eq!(temporaries(found), Vec::<PathBuf>::new(), "{case}");
}

/// Every file of a run directory and its content.
fn snapshot(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let folders = [run.to_path_buf(), run.join("last"), run.join("best")];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    files.filter(|file| file.path().is_file()).map(|file| (file.path(), std::fs::read(file.path()).unwrap())).collect()
}

/// Files that are being written in a run directory, or that a killed process left.
fn temporaries(run: &Path) -> Vec<PathBuf> {
    let folders = [run.to_path_buf(), run.join("last"), run.join("best")];
    let files = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
    files.map(|file| file.path()).filter(|path| text(path).contains("/.tmp-")).collect()
}

/// The only run directory below `out`, once it is there.
fn run_in(out: &Path) -> Option<PathBuf> {
    let entries = std::fs::read_dir(out.join("train")).ok()?;
    entries.flatten().map(|entry| entry.path()).next()
}

/// Waits until `condition` holds; false when the child ended or its time is up before.
fn reached(child: &mut Child, mut condition: impl FnMut() -> bool) -> bool {
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

fn lines(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().map(String::from).collect()
}

fn interrupt(child: &Child) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -INT {}", child.id())).status().unwrap();
    assert!(status.success());
}

// 1. The same bytes.

#[test]
fn the_same_seed_gives_the_same_bytes_at_any_number_of_threads() {
    let bench = Bench::new();
    let weights = |model: &str, threads: &str, seed: &str| {
        let mix = ["--cutmix", "1", "--threads", threads, "--seed", seed, "--model", model, "--accumulate", "2"];
        sha256(&bench.train("threads", 2, &[&RANDOM[..], &mix].concat()).join(WEIGHTS[0]))
    };
    for model in ["resnet8_cifar10", "lenet5"] {
        let one = weights(model, "1", "5");
        assert_eq!(weights(model, "2", "5"), one, "{model}: 1 and 2 threads");
        assert_eq!(weights(model, "3", "5"), one, "{model}: 1 and 3 threads");
        assert_ne!(weights(model, "1", "6"), one, "{model}: another seed");
    }
}

// 2. Killed and resumed.

/// When a run is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// After this share of the time that an uninterrupted run takes.
    Share(f64),
    /// After this share, as soon as a checkpoint is being written.
    Writing(f64),
}

/// A run that is killed and resumed, beside one that is not.
struct Kills {
    bench: Bench,
    expected: BTreeMap<&'static str, String>,
    takes: Duration,
    hits: usize,
    writing: usize,
}

impl Kills {
    const EPOCHS: usize = 6;

    fn new() -> Self {
        let bench = Bench::new();
        let since = Instant::now();
        let run = bench.train("reference", Self::EPOCHS, &RANDOM);
        let expected = outcome(&run);
        Self { takes: since.elapsed(), bench, expected, hits: 0, writing: 0 }
    }

    /// Starts a run, kills it at each of the moments, resuming it in between, lets it end and compares.
    fn trial(&mut self, number: usize, moments: &[Moment]) {
        let out = format!("killed-{number}");
        let mut arguments = self.bench.arguments(&out, Self::EPOCHS);
        arguments.extend(RANDOM.map(String::from));
        let out = PathBuf::from(self.bench.path(&out));
        for moment in moments {
            self.kill(start(&strs(&arguments)), &out, *moment);
            if let Some(run) = run_in(&out).filter(|run| run.join("args.toml").exists()) {
                arguments = ["train", "--resume", &text(&run), "--threads", "1"].map(String::from).to_vec();
            } else {
                let _ = std::fs::remove_dir_all(&out);
            }
        }
        succeeds(&strs(&arguments));
        same(&run_in(&out).unwrap(), &self.expected, &format!("trial {number}, {moments:?}"));
    }

    fn kill(&mut self, mut child: Child, out: &Path, moment: Moment) {
        let (Moment::Share(share) | Moment::Writing(share)) = moment;
        std::thread::sleep(self.takes.mul_f64(share));
        // What is larger than a page is a checkpoint: arguments and configurations are written in the same way.
        let is_checkpoint = |path: &PathBuf| path.metadata().is_ok_and(|metadata| metadata.len() > 4096);
        let half_written = || run_in(out).is_some_and(|run| temporaries(&run).iter().any(is_checkpoint));
        let writing = matches!(moment, Moment::Writing(_)) && reached(&mut child, half_written);
        child.kill().unwrap();
        let answer = Answer::from(child.wait_with_output().unwrap());
        assert!(matches!(answer.status, 0 | -9), "{moment:?}: {}\n{}", answer.status, answer.stderr);
        self.hits += usize::from(answer.status == -9);
        self.writing += usize::from(answer.status == -9 && writing && half_written());
    }

    /// Goes on until there were this many kills, and this many that left a half-written file.
    fn until(mut self, hits: usize, writing: usize) {
        let mut rng = Key::new(3).stream("kills").rng();
        let mut share = || rng.below(1000) as f64 / 1000.;
        for trial in 0.. {
            assert!(trial < 5 * hits, "{} kills, {} while writing", self.hits, self.writing);
            if self.hits >= hits && self.writing >= writing {
                println!("{} kills, {} while writing, {} trials", self.hits, self.writing, trial);
                return;
            }
            if self.writing < writing {
                self.trial(trial, &[Moment::Writing(0.8 * share()), Moment::Share(share())]);
            } else {
                self.trial(trial, &[Moment::Share(share()), Moment::Share(share())]);
            }
        }
    }
}

#[test]
fn a_killed_run_resumes_and_ends_in_the_same_bytes() {
    Kills::new().until(9, 3);
}

#[test]
#[ignore = "the long form of a_killed_run_resumes_and_ends_in_the_same_bytes"]
fn a_run_killed_twenty_times_resumes_and_ends_in_the_same_bytes() {
    Kills::new().until(25, 5);
}

#[test]
fn a_run_killed_before_its_first_state_starts_anew() {
    let bench = Bench::new();
    let expected = outcome(&bench.train("reference", 2, &[]));
    for attempt in 0..40 {
        let out = format!("early-{attempt}");
        let mut child = start(&strs(&bench.arguments(&out, 2)));
        let out = PathBuf::from(bench.path(&out));
        reached(&mut child, || run_in(&out).is_some_and(|run| run.join("args.toml").exists()));
        child.kill().unwrap();
        child.wait().unwrap();
        let run = run_in(&out).unwrap();
        if !run.join(RESUME).exists() {
            succeeds(&["train", "--resume", &text(&run)]);
            return same(&run, &expected, "killed before the first state");
        }
    }
    panic!("no run was killed early enough");
}

// 3. Ctrl-C.

/// Starts runs until one could be interrupted while `condition` held for the lines of its events.
fn interrupt_while(bench: &Bench, condition: impl Fn(&[String]) -> bool) -> (PathBuf, Answer) {
    for attempt in 0..10 {
        let out = format!("interrupted-{attempt}");
        let mut arguments = bench.arguments(&out, 5);
        arguments.extend(RANDOM.map(String::from));
        let mut child = start(&strs(&arguments));
        let out = PathBuf::from(bench.path(&out));
        let events = || run_in(&out).map(|run| lines(&run.join("events.jsonl"))).unwrap_or_default();
        let in_time = reached(&mut child, || condition(&events()));
        interrupt(&child);
        let still = condition(&events());
        let answer = Answer::from(child.wait_with_output().unwrap());
        if in_time && still {
            return (run_in(&out).unwrap(), answer);
        }
    }
    panic!("the moment was missed every time");
}

/// Interrupts a run, resumes it as it says, and compares.
fn interrupted(condition: impl Fn(&[String]) -> bool) {
    let bench = Bench::new();
    let expected = outcome(&bench.train("reference", 5, &RANDOM));
    let (run, answer) = interrupt_while(&bench, condition);
    assert_eq!(answer.status, 130, "{}", answer.stderr);
    assert_eq!(answer.stdout, "", "interrupted");
    let (_, command) = answer.stderr.split_once("cargo xtask train ").expect("the command that resumes");
    let words: Vec<&str> = command.split('`').next().unwrap().split_whitespace().collect();
    assert_eq!(words[..2], ["--resume", run.to_str().unwrap()], "{}", answer.stderr);
    assert!(lines(&run.join("events.jsonl")).len() < expected["events.jsonl"].lines().count(), "it went on to the end");
    succeeds(&[&["train"], &words[..2]].concat());
    same(&run, &expected, "interrupted");
}

#[test]
fn ctrl_c_saves_and_says_how_to_go_on() {
    // After the second of the three updates of the second epoch, with a line that closes the first.
    interrupted(|events| matches!(events.len(), 6..=14));
}

#[test]
fn ctrl_c_during_evaluation() {
    interrupted(|events| events.iter().filter(|line| line.contains("\"update\"")).count() == 3 && events.len() == 3);
}

// 4. What others rely on.

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap().keys().map(String::as_str).collect()
}

#[test]
fn a_run_directory_holds_what_is_promised() {
    let bench = Bench::new();
    let arguments = bench.arguments("runs", 3);
    let report = json(&strs(&arguments));
    let promised = ["run_dir", "epochs", "best", "weights_sha256", "frozen", "seconds", "images_per_second", "skipped"];
    assert!(keys(&report).is_superset(&promised.into()), "{report}");
    assert_eq!(keys(&report["best"]), ["epoch", "val_loss", "val_top1"].into());
    assert_eq!(keys(&report["frozen"]), ["tensors", "unchanged"].into());
    assert_eq!((&report["epochs"], &report["skipped"]), (&Value::from(3), &Value::Array(Vec::new())));
    assert!(report["seconds"].as_f64().unwrap() > 0. && report["images_per_second"].as_f64().unwrap() > 0.);

    let run = PathBuf::from(report["run_dir"].as_str().unwrap());
    assert_eq!(text(&run), bench.path("runs/train/resnet8_cifar10-1"));
    assert_eq!(report["weights_sha256"], sha256(&run.join(WEIGHTS[0])));
    let saved: Value = serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(saved, report);
    let resolved: toml::Table = std::fs::read_to_string(run.join("args.toml")).unwrap().parse().unwrap();
    assert_eq!((resolved["epochs"].as_integer(), resolved["batch"].as_integer()), (Some(3), Some(16)));
    assert!(run.join(RESUME).is_file());
    let files = snapshot(&run);
    let tensorboard = files.iter().find(|(path, _)| text(path).contains("events.out.tfevents"));
    assert!(tensorboard.is_some_and(|(_, bytes)| bytes.len() > 100));
    for place in ["last", "best"] {
        let config: Value = serde_json::from_slice(&files[&run.join(place).join("config.json")]).unwrap();
        assert_eq!((&config["architecture"], &config["num_classes"]), (&"resnet8_cifar10".into(), &3.into()));
        assert_eq!(config["label_names"], Value::from(CLASSES.to_vec()));
        assert!(TensorFile::open(run.join(place).join("model.safetensors")).unwrap().names().count() > 10);
    }

    let table = lines(&run.join("metrics.csv"));
    assert_eq!(table[0], "epoch,lr,train_loss,train_top1,val_loss,val_top1,val_top5,seconds");
    assert_eq!(table.len(), 4);
    let rows: Vec<Vec<f64>> =
        table[1..].iter().map(|row| row.split(',').map(|x| x.parse().unwrap()).collect()).collect();
    assert_eq!(rows.iter().map(|row| row[0]).collect::<Vec<_>>(), [1., 2., 3.]);
    let best = rows.iter().map(|row| row[5]).fold(0., f64::max);
    assert_eq!(report["best"]["val_top1"].as_f64(), Some(best));
    let row = &rows[report["best"]["epoch"].as_u64().unwrap() as usize - 1];
    assert_eq!((report["best"]["val_loss"].as_f64(), best), (Some(row[4]), row[5]));
    let events = lines(&run.join("events.jsonl"));
    assert_eq!(events.len(), 3 * 3 + 3);
    assert!(events.iter().all(|line| serde_json::from_str::<Value>(line).is_ok_and(|event| event.is_object())));

    let again = json(&strs(&arguments));
    assert_eq!(again["run_dir"], bench.path("runs/train/resnet8_cifar10-2"));
    assert_eq!(again["weights_sha256"], report["weights_sha256"]);
    assert_eq!(snapshot(&run), files, "the first run was touched");
}

#[test]
fn a_run_directory_serves_as_weights() {
    let bench = Bench::new();
    let report = json(&strs(&bench.arguments("runs", 3)));
    let (run, data) = (report["run_dir"].as_str().unwrap(), bench.path("data"));
    for (split, reported) in [
        ("val", [&report["best"]["val_top1"], &report["best"]["val_loss"]]),
        ("test", [&report["test"]["top1"], &report["test"]["loss"]]),
    ] {
        let found = json(&["evaluate", "--weights", run, "--data", &data, "--split", split, "--batch", "7"]);
        assert_eq!(found["top1"], *reported[0], "{split}");
        let (found, reported) = (found["loss"].as_f64().unwrap(), reported[1].as_f64().unwrap());
        assert!((found - reported).abs() <= 1e-5 * reported.abs().max(1.), "{split}: {found}, reported {reported}");
    }
    let photo = bench.path("data/val/bee/bee03.png");
    let answer = json(&["predict", &photo, "--weights", run]);
    let top = answer["predictions"][0]["top"].as_array().unwrap();
    let labels: BTreeSet<&str> = top.iter().map(|row| row["label"].as_str().unwrap()).collect();
    assert_eq!(labels, CLASSES.into());
}

#[test]
fn saved_arguments_run_again() {
    let bench = Bench::new();
    let table: [&[&str]; 3] = [
        &RANDOM,
        &["--optimizer", "adamw", "--schedule", "one-cycle", "--clip-norm", "1", "--patience", "5", "--lr", "1e-4"],
        &["--size", "16x24", "--label-smoothing", "0.1"],
    ];
    for (number, more) in table.iter().enumerate() {
        let run = bench.train("runs", 1, more);
        let out = bench.path(&format!("again-{number}"));
        let again = json(&["train", "--config", &text(&run.join("args.toml")), "--out", &out]);
        assert_eq!(again["weights_sha256"], sha256(&run.join(WEIGHTS[0])), "{more:?}");
    }
}

// 5. What goes wrong on the way.

/// A run of twenty epochs that was interrupted in the third, after the first of its three updates.
fn unfinished(bench: &Bench, out: &str) -> PathBuf {
    let mut child = start(&strs(&bench.arguments(out, 20)));
    let out = PathBuf::from(bench.path(out));
    let events = || run_in(&out).map_or(0, |run| lines(&run.join("events.jsonl")).len());
    assert!(reached(&mut child, || events() > 2 * 4));
    interrupt(&child);
    assert_eq!(Answer::from(child.wait_with_output().unwrap()).status, 130);
    run_in(&out).unwrap()
}

fn tensors(file: &TensorFile) -> Vec<(String, Tensor)> {
    file.names().map(|name| (name.to_string(), file.tensor(name).unwrap())).collect()
}

fn is_finite(path: &Path) -> bool {
    let values = |(_, t): (String, Tensor)| t.flatten_all().unwrap().to_dtype(candle_core::DType::F32).unwrap();
    let file = TensorFile::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    tensors(&file).into_iter().map(values).all(|t| t.to_vec1::<f32>().unwrap().iter().all(|x| x.is_finite()))
}

#[test]
fn a_nan_is_traced_to_its_layer_and_files() {
    let bench = Bench::new();
    // One whose best weights are not the current ones.
    let mut runs = (0..20).map(|number| unfinished(&bench, &format!("runs-{number}")));
    let state = |run: &PathBuf| TensorFile::open(run.join(RESUME)).unwrap();
    let run = runs.find(|run| state(run).names().any(|name| name.starts_with("best."))).unwrap();
    let file = state(&run);
    let mut all = tensors(&file);
    let weight = all.iter_mut().find(|(name, _)| name.starts_with("model.layer3.") && name.ends_with("conv1.weight"));
    let (name, values) = weight.expect("a convolution of the third stage");
    *values = (&*values * f64::NAN).unwrap();
    let layer = name.trim_start_matches("model.").trim_end_matches(".weight").to_string();
    save_safetensors(&run.join(RESUME), &all, file.metadata()).unwrap();
    let before = snapshot(&run);
    let answer = xtask(&["train", "--resume", &text(&run)]);
    assert_eq!(answer.status, 1, "{}", answer.stderr);
    assert!(answer.stderr.contains(&layer), "{layer}: {}", answer.stderr);
    let named = |class: &&str| answer.stderr.contains(&format!("train/{class}/{class}"));
    assert!(CLASSES.iter().any(named), "no file of the batch: {}", answer.stderr);
    for name in [RESUME, WEIGHTS[1], WEIGHTS[0]] {
        assert!(before[&run.join(name)] == std::fs::read(run.join(name)).unwrap(), "{name} was changed");
    }
}

#[test]
fn divergence_is_noticed_and_the_last_good_checkpoint_stays() {
    let bench = Bench::new();
    // Noticed in an update or only when the epoch is over; in the first epoch or after some that went well.
    let table: [(bool, &[&str]); 6] = [
        (false, &["--lr", "1e6", "--batch", "4", "--warmup", "1"]),
        (false, &["--lr", "1e6", "--model", "lenet5"]),
        (true, &["--lr", "1e6", "--schedule", "one-cycle", "--optimizer", "adam"]),
        (true, &["--lr", "30", "--warmup", "20", "--model", "lenet5"]),
        (false, &["--lr", "1e6"]),
        (false, &["--lr", "1e6", "--batch", "48", "--warmup", "0"]),
    ];
    let mut faults = Vec::new();
    for (number, (some_epochs, more)) in table.iter().enumerate() {
        let out = format!("runs-{number}");
        let answer = xtask(&[&strs(&bench.arguments(&out, 30))[..], more].concat());
        assert_eq!(answer.status, 1, "{more:?}: {}", answer.stderr);
        let says = ["diverged", "not finite"].iter().any(|word| answer.stderr.contains(word));
        if !says || !answer.stderr.contains(" of epoch ") {
            faults.push(format!("{more:?}: {}", answer.stderr));
        }
        let run = run_in(Path::new(&bench.path(&out))).unwrap();
        for name in [RESUME, WEIGHTS[0], WEIGHTS[1]].map(|name| run.join(name)) {
            assert!(!name.exists() || is_finite(&name), "{more:?}: {} is not finite", name.display());
        }
        assert_eq!(run.join("best").exists(), *some_epochs, "{more:?}");
        if *some_epochs {
            succeeds(&["evaluate", "--weights", &text(&run), "--data", &bench.path("data"), "--split", "val"]);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// A file system of a given size, gone with the value.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None` where mounting is not permitted.
    fn new(path: PathBuf, kilobytes: usize) -> Option<Self> {
        std::fs::create_dir_all(&path).unwrap();
        let disk = Self(path);
        disk.mount(&format!("size={kilobytes}k")).then_some(disk)
    }

    fn mount(&self, options: &str) -> bool {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&self.0).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }

    fn grow(&self) {
        let grown = Command::new("mount").args(["-o", "remount,size=64m"]).arg(&self.0).status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).stderr(Stdio::null()).status();
    }
}

/// A run that ended on a full disk: it says so, and what is there is whole.
fn stopped_by_full_disk(bench: &Bench, disk: &SmallDisk, answer: &Answer) -> PathBuf {
    assert_eq!(answer.status, 1, "{}", answer.stderr);
    let run = run_in(&disk.0).unwrap();
    let message = answer.stderr.lines().last().unwrap();
    assert!(message.contains("No space left") && message.contains(&text(&run)), "{message}");
    assert_eq!(temporaries(&run), Vec::<PathBuf>::new());
    for name in [RESUME, WEIGHTS[0], WEIGHTS[1]].map(|name| run.join(name)) {
        assert!(!name.exists() || is_finite(&name));
    }
    if run.join("best").exists() {
        succeeds(&["evaluate", "--weights", &text(&run), "--data", &bench.path("data"), "--split", "val"]);
    }
    run
}

#[test]
fn a_full_disk_harms_nothing_that_existed() {
    let bench = Bench::new();
    let reference = bench.train("reference", 8, &[]);
    let expected = outcome(&reference);
    let size = |name: &str| reference.join(name).metadata().unwrap().len() as usize / 1024;
    let (state, weights) = (size(RESUME), size(WEIGHTS[0]));
    // Room for not even a state, for the first state, for an epoch's files without the next one's; and a disk that fills up meanwhile.
    let rooms = [weights / 2, state + weights, state + 2 * weights + state / 2, 16 << 10];
    for (number, room) in rooms.into_iter().enumerate() {
        let out = format!("disk-{number}");
        let Some(disk) = SmallDisk::new(PathBuf::from(bench.path(&out)), room) else {
            println!("mounting a small file system is not permitted, skipped");
            return;
        };
        let mut child = start(&strs(&bench.arguments(&out, 8)));
        let filler = disk.0.join("filler");
        if number == 3 {
            let rows = || run_in(&disk.0).map_or(0, |run| lines(&run.join("metrics.csv")).len());
            assert!(reached(&mut child, || rows() >= 3));
            assert!(std::fs::write(&filler, vec![1; room << 10]).is_err());
        }
        let run = stopped_by_full_disk(&bench, &disk, &child.wait_with_output().unwrap().into());
        assert_eq!(run.join("best").exists(), number >= 2, "{room} KiB");
        let _ = std::fs::remove_file(&filler);
        disk.grow();
        succeeds(&["train", "--resume", &text(&run)]);
        same(&run, &expected, &format!("{room} KiB"));
    }
}

// 6. Bad arguments and data.

/// What is wrong with how a command was refused: it should end in one of `statuses`, with all of `words` in its message and nothing on standard output.
fn refused(statuses: &[i32], words: &[&str], arguments: &[&str]) -> Vec<String> {
    let answer = xtask(arguments);
    let mut faults = Vec::new();
    if !statuses.contains(&answer.status) {
        faults.push(format!("status {}, expected one of {statuses:?}", answer.status));
    }
    if !answer.stdout.is_empty() {
        faults.push("printed to standard output".to_string());
    }
    faults.extend(
        words.iter().filter(|word| !answer.stderr.contains(**word)).map(|word| format!("`{word}` is not said")),
    );
    faults.iter().map(|fault| format!("{arguments:?}: {fault}: {}", answer.stderr.trim())).collect()
}

#[test]
fn bad_arguments_are_refused_with_what_is_accepted() {
    let bench = Bench::new();
    let (data, out) = (bench.path("data"), bench.path("runs"));
    let table: [(&[&str], &[&str]); 26] = [
        (&["--epochs", "0"], &["'0' for '--epochs", "at least 1"]),
        (&["--batch", "0"], &["'0' for '--batch", "at least 1"]),
        // The set has 48 images.
        (&["--batch", "49"], &["batch", "49", "48"]),
        (&["--accumulate", "0"], &["'0' for '--accumulate", "at least 1"]),
        (&["--lr", "nan"], &["'nan' for '--lr", "above 0"]),
        (&["--lr", "-1"], &["'-1' for '--lr", "above 0"]),
        (&["--lr", "0"], &["'0' for '--lr", "above 0"]),
        (&["--lr", "inf"], &["'inf' for '--lr", "finite"]),
        (&["--weight-decay", "-1"], &["'-1' for '--weight-decay", "0 or above"]),
        (&["--mixup", "-1"], &["'-1' for '--mixup", "0, which is off"]),
        (&["--cutmix", "nan"], &["'nan' for '--cutmix", "0.001 to 1000"]),
        (&["--dropout", "2"], &["'2' for '--dropout", "from 0 to below 1"]),
        (&["--dropout", "-0.5"], &["'-0.5' for '--dropout", "from 0 to below 1"]),
        (&["--dropout", "nan"], &["'nan' for '--dropout", "from 0 to below 1"]),
        (&["--label-smoothing", "1.5"], &["'1.5' for '--label-smoothing", "from 0 to below 1"]),
        (&["--warmup", "-1"], &["'-1' for '--warmup", "0 or above"]),
        (&["--clip-norm", "-1"], &["'-1' for '--clip-norm", "above 0"]),
        (&["--patience", "0"], &["'0' for '--patience", "at least 1"]),
        (&["--threads", "0"], &["--threads", "1..=1024"]),
        (&["--seed", "-1"], &["--seed"]),
        (&["--size", "0"], &["--size", "expected"]),
        (&["--augment", "crop"], &["--augment", "crop-flip"]),
        (&["--model", "resnet8"], &["unknown model `resnet8`", "did you mean"]),
        (&["--optimizer", "adamww"], &["`adamww`", "rmsprop", "did you mean `adamw`"]),
        (&["--schedule", "cosin"], &["`cosin`", "plateau", "did you mean `cosine`"]),
        (&["--epochs", "many"], &["--epochs", "many"]),
    ];
    let mut faults = Vec::new();
    for (arguments, words) in table {
        let usual: &[&str] = &["train", "--data", &data, "--epochs", "1", "--batch", "16", "--out", &out, "--json"];
        let (name, value) = (arguments[0], arguments[1]);
        // In one word, because a value may look like a flag.
        faults.extend(refused(&[2], words, &[usual, &[&format!("{name}={value}")]].concat()));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(run_in(Path::new(&out)), None, "a refused run left its directory");
}

/// MNIST's format: a magic number that says the dimensions, the sizes, the bytes.
fn idx(sizes: &[u32], bytes: &[u8]) -> Vec<u8> {
    let head: Vec<u8> =
        [0, 0, 8, sizes.len() as u8].into_iter().chain(sizes.iter().flat_map(|n| n.to_be_bytes())).collect();
    [&head, bytes].concat()
}

#[test]
fn bad_data_are_refused_by_name() {
    let bench = Bench::new();
    bench.images("one", &["ant"], 20);
    bench.images("hollow", &CLASSES, 10);
    std::fs::create_dir(bench.path("hollow/dog")).unwrap();
    bench.images("broken-val/train", &CLASSES, 10);
    for class in CLASSES {
        for number in 0..20 {
            bench.file(&format!("broken/{class}/{number:02}.png"), "no picture");
        }
        bench.file(&format!("broken-val/val/{class}/00.png"), "no picture");
    }
    bench.images("other-classes/train", &CLASSES, 10);
    bench.images("other-classes/val", &["ant", "bee", "dog"], 3);
    let digits: Vec<u8> = (0..28 * 28 * 40).map(|position| (position % 251) as u8).collect();
    let mut labels: Vec<u8> = (0..40).map(|number| number % 4).collect();
    let pictures = idx(&[40, 28, 28], &digits);
    for folder in ["fewer", "beyond"] {
        bench.file(&format!("{folder}/train-images-idx3-ubyte"), &pictures);
    }
    bench.file("fewer/train-labels-idx1-ubyte", idx(&[39], &labels[..39]));
    labels[17] = 200;
    bench.file("beyond/train-labels-idx1-ubyte", idx(&[40], &labels));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cnn-data/tests/golden");
    bench.file("unlabelled.parquet", std::fs::read(golden.join("no-label.parquet")).unwrap());
    bench.file("list.csv", "ant.png,ant\n");
    std::fs::create_dir(bench.path("empty")).unwrap();

    let table: [(&str, &[&str]); 12] = [
        ("one", &["class", "ant", "2"]),
        ("hollow", &["dog"]),
        ("broken", &["broken", "00.png"]),
        ("broken-val", &["validation images", "broken-val/val", "00.png"]),
        ("other-classes", &["dog"]),
        ("fewer", &["fewer/train-", "40 images", "39 labels"]),
        ("beyond", &["label", "200", "#17"]),
        ("unlabelled.parquet", &["unlabelled.parquet", "label"]),
        ("list.csv", &["list.csv"]),
        ("empty", &["empty", "looked for"]),
        ("absent", &["absent"]),
        ("Shapes", &["Shapes"]),
    ];
    let mut faults = Vec::new();
    for (name, words) in table {
        let (data, out) = (bench.path(name), bench.path("runs"));
        faults.extend(refused(
            &[1, 2],
            words,
            &["train", "--data", &data, "--epochs", "1", "--batch", "4", "--out", &out],
        ));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_broken_image_among_good_ones_is_skipped_and_named() {
    let bench = Bench::new();
    let bad = [bench.file("data/train/bee/torn.png", "no picture"), bench.file("data/val/cat/torn.png", "\x7fELF")];
    let arguments = bench.arguments("runs", 2);
    let answer = succeeds(&[&strs(&arguments)[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&answer.stdout).unwrap();
    let skipped: BTreeSet<&str> =
        report["skipped"].as_array().unwrap().iter().map(|row| row["path"].as_str().unwrap()).collect();
    assert_eq!(skipped, bad.iter().map(String::as_str).collect());
    assert!(report["skipped"].as_array().unwrap().iter().all(|row| !row["reason"].as_str().unwrap().is_empty()));
    assert!(bad.iter().all(|path| answer.stderr.contains(path)), "{}", answer.stderr);
}

#[test]
fn what_cannot_be_resumed_is_refused_and_left_alone() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("empty")).unwrap();
    let run = unfinished(&bench, "runs");
    let whole = std::fs::read(run.join(RESUME)).unwrap();
    let resume = |run: &str| ["train", "--resume", run].map(String::from);
    let mut faults = Vec::new();
    for (name, words) in [("empty", vec!["empty", "run directory"]), ("absent", vec!["absent"]), ("data", vec!["data"])]
    {
        faults.extend(refused(&[1, 2], &words, &strs(&resume(&bench.path(name)))));
    }
    assert_eq!(std::fs::read_dir(bench.path("empty")).unwrap().count(), 0);
    for bytes in [&whole[..whole.len() / 2], &whole[..100], &[], b"{}"] {
        std::fs::write(run.join(RESUME), bytes).unwrap();
        let before = snapshot(&run);
        faults.extend(refused(&[1], &[RESUME], &strs(&resume(&text(&run)))));
        if snapshot(&run) != before {
            faults.push(format!("a resume file of {} bytes: the run was changed", bytes.len()));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    std::fs::write(run.join(RESUME), &whole).unwrap();
    succeeds(&strs(&resume(&text(&run))));
}

#[test]
fn resuming_a_finished_run_prints_its_summary_and_changes_nothing() {
    let bench = Bench::new();
    let report = json(&strs(&bench.arguments("runs", 2)));
    let run = PathBuf::from(report["run_dir"].as_str().unwrap());
    let before = snapshot(&run);
    assert_eq!(json(&["train", "--resume", &text(&run)]), report);
    assert!(snapshot(&run) == before, "files were changed");
}

#[test]
fn an_unusable_place_for_runs_is_named() {
    let bench = Bench::new();
    let file = bench.file("a-file", "");
    let arguments = bench.arguments("a-file", 1);
    let mut faults = refused(&[1, 2], &[&file], &strs(&arguments));
    let closed = PathBuf::from(bench.path("closed"));
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    if std::fs::write(closed.join("probe"), "").is_err() {
        faults.extend(refused(&[1, 2], &[&text(&closed), "ermission"], &strs(&bench.arguments("closed", 1))));
    } else {
        println!("this user may write anywhere, read-only directories skipped");
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
