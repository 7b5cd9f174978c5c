//! Arguments and data that cannot be used.

use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;

use crate::support::*;

#[test]
fn bad_arguments_are_refused_with_what_is_accepted() {
    let bench = Bench::new();
    let data = bench.path("data");
    let out = bench.path("runs");
    let table: [(&[&str], &[&str]); 31] = [
        (&["--epochs", "0"], &["'0' for '--epochs", "at least 1"]),
        (&["--batch", "0"], &["'0' for '--batch", "at least 1"]),
        // The set has 48 images.
        (&["--batch", "49"], &["--batch: found 49", "48"]),
        (
            &["--accumulate", "0"],
            &["'0' for '--accumulate", "at least 1"],
        ),
        (&["--lr", "nan"], &["'nan' for '--lr", "above 0"]),
        (&["--lr", "-1"], &["'-1' for '--lr", "above 0"]),
        (&["--lr", "0"], &["'0' for '--lr", "above 0"]),
        (&["--lr", "inf"], &["'inf' for '--lr", "finite"]),
        (
            &["--weight-decay", "-1"],
            &["'-1' for '--weight-decay", "0 or above"],
        ),
        (
            &["--mixup", "-1"],
            &["'-1' for '--mixup", "0, which is off"],
        ),
        (
            &["--cutmix", "nan"],
            &["'nan' for '--cutmix", "0.001 to 1000"],
        ),
        (
            &["--dropout", "2"],
            &["'2' for '--dropout", "from 0 to below 1"],
        ),
        (
            &["--dropout", "-0.5"],
            &["'-0.5' for '--dropout", "from 0 to below 1"],
        ),
        (
            &["--dropout", "nan"],
            &["'nan' for '--dropout", "from 0 to below 1"],
        ),
        (
            &["--label-smoothing", "1.5"],
            &["'1.5' for '--label-smoothing", "from 0 to below 1"],
        ),
        (&["--warmup", "-1"], &["'-1' for '--warmup", "0 or above"]),
        (
            &["--clip-norm", "-1"],
            &["'-1' for '--clip-norm", "above 0"],
        ),
        (&["--patience", "0"], &["'0' for '--patience", "at least 1"]),
        (&["--threads", "0"], &["--threads", "1..=1024"]),
        (&["--seed", "-1"], &["--seed"]),
        (&["--size", "0"], &["--size", "expected"]),
        (&["--augment", "crop"], &["--augment", "crop-flip"]),
        (
            &["--model", "resnet8"],
            &["unknown model `resnet8`", "did you mean"],
        ),
        (
            &["--optimizer", "adamww"],
            &["`adamww`", "rmsprop", "did you mean `adamw`"],
        ),
        (
            &["--schedule", "cosin"],
            &["`cosin`", "plateau", "did you mean `cosine`"],
        ),
        (
            &["--schedule", "step:evry=2"],
            &["`evry=2` of `step`", "every, gamma", "did you mean `every`"],
        ),
        (
            &["--schedule", "step:every=0"],
            &["--schedule", "`every`: found 0", "above 0"],
        ),
        (
            &["--optimizer", "sgd:beta1=0.9"],
            &["`beta1=0.9` of `sgd`", "momentum, nesterov"],
        ),
        (
            &["--rotate", "400"],
            &["--rotate: found 400", "from 0 to 180"],
        ),
        (
            &["--color-jitter", "101"],
            &["--color-jitter: found 101", "from 0 to 100"],
        ),
        (&["--epochs", "many"], &["--epochs", "many"]),
    ];
    let mut faults = Vec::new();
    for (arguments, words) in table {
        let usual: &[&str] = &[
            "train", "--data", &data, "--epochs", "1", "--batch", "16", "--out", &out, "--json",
        ];
        let name = arguments[0];
        let value = arguments[1];
        // In one word, because a value may look like a flag.
        faults.extend(refused(
            &[2],
            words,
            &[usual, &[&format!("{name}={value}")]].concat(),
        ));
    }
    // What another network would take.
    faults.extend(refused(
        &[2],
        &["--drop-path: lenet has no residual branches to drop"],
        &[
            "train",
            "--data",
            &data,
            "--model",
            "lenet5",
            "--drop-path",
            "0.1",
            "--out",
            &out,
            "--json",
        ],
    ));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(
        run_in(Path::new(&out)),
        None,
        "a refused run left its directory"
    );
}

#[test]
fn bad_data_are_refused_by_name() {
    let bench = Bench::new();
    bench.images("one", &["ant"], 20);
    bench.images("broken-val/train", &CLASSES, 10);
    for class in CLASSES {
        for number in 0..20 {
            bench.file(&format!("broken/{class}/{number:02}.png"), "no picture");
        }
        bench.file(&format!("broken-val/val/{class}/00.png"), "no picture");
    }
    bench.images("other-classes/train", &CLASSES, 10);
    bench.images("other-classes/val", &["dog", "eel"], 3);
    let digits: Vec<u8> = (0..28 * 28 * 40)
        .map(|position| (position % 251) as u8)
        .collect();
    let mut labels: Vec<u8> = (0..40).map(|number| number % 4).collect();
    let pictures = idx(&[40, 28, 28], &digits);
    for folder in ["fewer", "beyond"] {
        bench.file(&format!("{folder}/train-images-idx3-ubyte"), &pictures);
    }
    bench.file("fewer/train-labels-idx1-ubyte", idx(&[39], &labels[..39]));
    labels[17] = 200;
    bench.file("beyond/train-labels-idx1-ubyte", idx(&[40], &labels));
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cnn-data/tests/golden");
    bench.file(
        "unlabelled.parquet",
        std::fs::read(golden.join("no-label.parquet")).unwrap(),
    );
    bench.file("list.csv", "ant.png,ant\n");
    std::fs::create_dir(bench.path("empty")).unwrap();

    let table: [(&str, &[&str]); 10] = [
        ("one", &["class", "ant", "2"]),
        ("broken", &["broken", "00.png"]),
        (
            "broken-val",
            &["validation images", "broken-val/val", "00.png"],
        ),
        ("other-classes", &["validation images", "training images"]),
        ("fewer", &["fewer/train-", "40 images", "39 labels"]),
        ("unlabelled.parquet", &["unlabelled.parquet", "label"]),
        ("list.csv", &["list.csv"]),
        ("empty", &["empty", "looked for"]),
        ("absent", &["absent"]),
        ("Shapes", &["Shapes"]),
    ];
    let mut faults = Vec::new();
    for (name, words) in table {
        let data = bench.path(name);
        let out = bench.path("runs");
        faults.extend(refused(
            &[1, 2],
            words,
            &[
                "train", "--data", &data, "--epochs", "1", "--batch", "4", "--out", &out,
            ],
        ));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // A label of 200 among four classes is a class of its own, and what lies between is told.
    let data = bench.path("beyond");
    let out = bench.path("runs");
    let said = "there are no training images of `4`, `5`, `6` and 193 more classes";
    let train = [
        "train", "--data", &data, "--epochs", "1", "--batch", "4", "--out", &out,
    ];
    assert!(succeeds(&train).stderr.contains(said));
}

#[test]
fn a_broken_image_among_good_ones_is_skipped_and_named() {
    let bench = Bench::new();
    let bad = [
        bench.file("data/train/bee/torn.png", "no picture"),
        bench.file("data/val/cat/torn.png", "\x7fELF"),
    ];
    let arguments = bench.arguments("runs", 2);
    let answer = succeeds(&[&strs(&arguments)[..], &["--json"]].concat());
    let report: Value = serde_json::from_str(&answer.stdout).unwrap();
    let skipped: BTreeSet<&str> = report["skipped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["path"].as_str().unwrap())
        .collect();
    assert_eq!(skipped, bad.iter().map(String::as_str).collect());
    assert!(
        report["skipped"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| !row["reason"].as_str().unwrap().is_empty())
    );
    assert!(
        bad.iter().all(|path| answer.stderr.contains(path)),
        "{}",
        answer.stderr
    );
}

#[test]
fn what_cannot_be_resumed_is_refused_and_left_alone() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("empty")).unwrap();
    let run = unfinished(&bench, "runs");
    let whole = std::fs::read(run.join(RESUME)).unwrap();
    let resume = |run: &str| ["train", "--resume", run].map(String::from);
    let mut faults = Vec::new();
    for (name, words) in [
        ("empty", vec!["empty", "run directory"]),
        ("absent", vec!["absent"]),
        ("data", vec!["data"]),
    ] {
        faults.extend(refused(&[1, 2], &words, &strs(&resume(&bench.path(name)))));
    }
    assert_eq!(std::fs::read_dir(bench.path("empty")).unwrap().count(), 0);
    for bytes in [&whole[..whole.len() / 2], &whole[..100], &[], b"{}"] {
        std::fs::write(run.join(RESUME), bytes).unwrap();
        let before = snapshot(&run);
        faults.extend(refused(&[1], &[RESUME], &strs(&resume(&text(&run)))));
        if snapshot(&run) != before {
            faults.push(format!(
                "a resume file of {} bytes: the run was changed",
                bytes.len()
            ));
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
    let run = run_dir(&report);
    let before = snapshot(&run);
    assert_eq!(json(&["train", "--resume", &text(&run)]), report);
    assert!(snapshot(&run) == before, "files were changed");
}

#[test]
fn a_run_goes_on_with_its_own_arguments_and_images_wherever_these_lie() {
    let bench = Bench::new();
    let run = bench.train("runs", 2, &[]);
    let name = text(&run);
    let before = snapshot(&run);
    let mut faults = Vec::new();
    for (flag, value) in [
        ("--epochs", "4"),
        ("--batch", "3"),
        ("--lr", "0.01"),
        ("--model", "lenet5"),
    ] {
        faults.extend(refused(
            &[2],
            &[flag, "its own arguments"],
            &["train", "--resume", &name, flag, value],
        ));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    // What it began with, and what belongs to a sitting, may be said.
    let again = succeeds(&[
        "train",
        "--resume",
        &name,
        "--epochs",
        "2",
        "--threads",
        "1",
    ]);
    assert!(
        again.stderr.contains("the run had ended"),
        "{}",
        again.stderr
    );
    assert!(snapshot(&run) == before, "files were changed");

    std::fs::rename(bench.path("data"), bench.path("moved")).unwrap();
    let moved = bench.path("moved");
    let gone = refused(&[1, 2], &["data"], &["train", "--resume", &name]);
    assert!(gone.is_empty(), "{gone:?}");
    succeeds(&["train", "--resume", &name, "--data", &moved]);
    let split = std::fs::read_to_string(run.join("split.csv")).unwrap();
    assert!(split.contains(&moved));
    // Another picture of the same name is another image.
    let first = std::fs::read_dir(format!("{moved}/train/ant")).unwrap();
    let first = first.map(|entry| entry.unwrap().path()).min().unwrap();
    let other = std::fs::read_dir(format!("{moved}/train/bee")).unwrap();
    let other = other.map(|entry| entry.unwrap().path()).min().unwrap();
    std::fs::copy(other, first).unwrap();
    let changed = refused(
        &[1],
        &["1 with another content"],
        &["train", "--resume", &name],
    );
    assert!(changed.is_empty(), "{changed:?}");
}

#[cfg(unix)]
#[test]
fn a_pipe_that_is_closed_ends_nothing_in_a_panic() {
    for arguments in [
        "models",
        "data shapes:samples=50 --json",
        "evaluate --data shapes --help",
    ] {
        let program = env!("CARGO_BIN_EXE_cnn");
        let line = format!("exec 2>&1; \"{program}\" {arguments} | :");
        let mut shell = std::process::Command::new("bash");
        shell.args(["-c", &format!("set -o pipefail; {line}")]);
        let answer = shell.output().unwrap();
        let said = String::from_utf8_lossy(&answer.stdout).into_owned();
        assert!(answer.status.success(), "{arguments}: {said}");
        assert!(!said.contains("panicked"), "{arguments}: {said}");
    }
}

#[test]
fn an_unusable_place_for_runs_is_named() {
    let bench = Bench::new();
    let file = bench.file("a-file", "");
    let arguments = bench.arguments("a-file", 1);
    let mut faults = refused(&[1, 2], &[&file], &strs(&arguments));
    faults.extend(refused_in_closed_folder(&bench, |out| {
        bench.arguments(out, 1)
    }));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn domains_that_are_taken_for_classes_are_noticed() {
    let bench = Bench::new();
    for domain in ["amazon", "dslr"] {
        bench.images(&format!("office/{domain}"), &CLASSES, 4);
    }
    let office = bench.path("office");
    let out = bench.path("runs");
    let train = [
        "train", "--data", &office, "--epochs", "1", "--batch", "4", "--out", &out,
    ];
    for command in [&["data", &office][..], &train] {
        let answer = succeeds(command);
        for words in [
            "amazon, dslr in",
            "count as classes",
            "(ant, bee, cat)",
            "office/amazon",
        ] {
            assert!(
                answer.stderr.contains(words),
                "{command:?}: `{words}` is not in {}",
                answer.stderr
            );
        }
    }
    let answer = succeeds(&["data", &bench.path("office/amazon")]);
    assert!(
        !answer.stderr.contains("count as classes"),
        "{}",
        answer.stderr
    );
}
