//! Values that are not finite, divergence, full disks.

use candle_core::Tensor;
use cnn_weights::{TensorFile, save_safetensors};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::*;

fn tensors(file: &TensorFile) -> Vec<(String, Tensor)> {
    file.names()
        .map(|name| (name.to_string(), file.tensor(name).unwrap()))
        .collect()
}

fn is_finite(path: &Path) -> bool {
    let values = |(_, t): (String, Tensor)| {
        t.flatten_all()
            .unwrap()
            .to_dtype(candle_core::DType::F32)
            .unwrap()
    };
    let file = TensorFile::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    tensors(&file)
        .into_iter()
        .map(values)
        .all(|t| t.to_vec1::<f32>().unwrap().iter().all(|x| x.is_finite()))
}

#[test]
fn a_nan_is_traced_to_its_layer_and_files() {
    let bench = Bench::new();
    // One whose best weights are not the current ones.
    let mut runs = (0..20).map(|number| unfinished(&bench, &format!("runs-{number}")));
    let state = |run: &PathBuf| TensorFile::open(run.join(RESUME)).unwrap();
    let run = runs
        .find(|run| state(run).names().any(|name| name.starts_with("best.")))
        .unwrap();
    let file = state(&run);
    let mut all = tensors(&file);
    let weight = all
        .iter_mut()
        .find(|(name, _)| name.starts_with("model.layer3.") && name.ends_with("conv1.weight"));
    let (name, values) = weight.expect("a convolution of the third stage");
    *values = (&*values * f64::NAN).unwrap();
    let layer = name
        .trim_start_matches("model.")
        .trim_end_matches(".weight")
        .to_string();
    save_safetensors(&run.join(RESUME), &all, file.metadata()).unwrap();
    let before = snapshot(&run);
    let answer = xtask(&["train", "--resume", &text(&run)]);
    assert_eq!(answer.status, 1, "{}", answer.stderr);
    assert!(answer.stderr.contains(&layer), "{layer}: {}", answer.stderr);
    let named = |class: &&str| answer.stderr.contains(&format!("train/{class}/{class}"));
    assert!(
        CLASSES.iter().any(named),
        "no file of the batch: {}",
        answer.stderr
    );
    for name in [RESUME, WEIGHTS[1], WEIGHTS[0]] {
        assert!(
            before[&run.join(name)] == std::fs::read(run.join(name)).unwrap(),
            "{name} was changed"
        );
    }
}

#[test]
fn divergence_is_noticed_and_the_last_good_checkpoint_stays() {
    let bench = Bench::new();
    // Noticed in an update or only when the epoch is over; in the first epoch or after some that
    // went well.
    let table: [(bool, &[&str]); 6] = [
        (false, &["--lr", "1e6", "--batch", "4", "--warmup", "1"]),
        (false, &["--lr", "1e6", "--model", "lenet5"]),
        (
            true,
            &[
                "--lr",
                "1e6",
                "--schedule",
                "one-cycle",
                "--optimizer",
                "adam",
            ],
        ),
        (true, &["--lr", "30", "--warmup", "20", "--model", "lenet5"]),
        (false, &["--lr", "1e6"]),
        (false, &["--lr", "1e6", "--batch", "48", "--warmup", "0"]),
    ];
    let mut faults = Vec::new();
    for (number, (some_epochs, more)) in table.iter().enumerate() {
        let out = format!("runs-{number}");
        let answer = xtask(&[&strs(&bench.arguments(&out, 30))[..], more].concat());
        assert_eq!(answer.status, 1, "{more:?}: {}", answer.stderr);
        let says = ["diverged", "not finite"]
            .iter()
            .any(|word| answer.stderr.contains(word));
        if !says || !answer.stderr.contains(" of epoch ") {
            faults.push(format!("{more:?}: {}", answer.stderr));
        }
        let run = run_in(Path::new(&bench.path(&out))).unwrap();
        for name in [RESUME, WEIGHTS[0], WEIGHTS[1]].map(|name| run.join(name)) {
            assert!(
                !name.exists() || is_finite(&name),
                "{more:?}: {} is not finite",
                name.display()
            );
        }
        assert_eq!(run.join("best").exists(), *some_epochs, "{more:?}");
        if *some_epochs {
            succeeds(&[
                "evaluate",
                "--weights",
                &text(&run),
                "--data",
                &bench.path("data"),
                "--split",
                "val",
            ]);
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
        mount
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&self.0)
            .stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success())
    }

    fn grow(&self) {
        let grown = Command::new("mount")
            .args(["-o", "remount,size=64m"])
            .arg(&self.0)
            .status();
        assert!(grown.unwrap().success());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount")
            .arg(&self.0)
            .stderr(Stdio::null())
            .status();
    }
}

/// A run that ended on a full disk: it says so, and what is there is whole.
fn stopped_by_full_disk(bench: &Bench, disk: &SmallDisk, answer: &Answer) -> PathBuf {
    assert_eq!(answer.status, 1, "{}", answer.stderr);
    let run = run_in(&disk.0).unwrap();
    let message = answer.stderr.lines().last().unwrap();
    assert!(
        message.contains("No space left") && message.contains(&text(&run)),
        "{message}"
    );
    assert_eq!(temporaries(&run), Vec::<PathBuf>::new());
    for name in [RESUME, WEIGHTS[0], WEIGHTS[1]].map(|name| run.join(name)) {
        assert!(!name.exists() || is_finite(&name));
    }
    if run.join("best").exists() {
        succeeds(&[
            "evaluate",
            "--weights",
            &text(&run),
            "--data",
            &bench.path("data"),
            "--split",
            "val",
        ]);
    }
    run
}

#[test]
fn a_full_disk_harms_nothing_that_existed() {
    let bench = Bench::new();
    let reference = bench.train("reference", 8, &[]);
    let expected = outcome(&reference);
    let size = |name: &str| reference.join(name).metadata().unwrap().len() as usize / 1024;
    let state = size(RESUME);
    let weights = size(WEIGHTS[0]);
    // Room for not even a state, for the first state, for an epoch's files without the next one's;
    // and a disk that fills up meanwhile.
    let rooms = [
        weights / 2,
        state + weights,
        state + 2 * weights + state / 2,
        16 << 10,
    ];
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
