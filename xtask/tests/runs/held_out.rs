//! The images that a run held out, measured after it: `split.csv`, `predictions.csv`,
//! `evaluate --weights RUN`.

use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::*;

/// The rows of a table by column.
fn table(path: &Path) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_path(path).unwrap();
    reader.deserialize().map(Result::unwrap).collect()
}

fn figures(report: &Value) -> Vec<Value> {
    ["samples", "loss", "top1", "top5", "top1_interval"]
        .map(|key| report[key].clone())
        .to_vec()
}

#[test]
fn a_folder_without_splits_is_measured_on_what_was_held_out() {
    let bench = Bench::new();
    bench.images("whole", &CLASSES, 20);
    let whole = bench.path("whole");
    bench.file("whole/ant/broken.png", "no picture");
    let summary = bench.tune("runs", &["--data", &whole]);
    let run = run_dir(&summary);
    let weights = text(&run);

    // Every image once, whether it could be read or not; the validation images are those that were
    // measured.
    let split = table(&run.join("split.csv"));
    let paths: BTreeSet<&String> = split.iter().map(|row| &row["path"]).collect();
    assert_eq!((split.len(), paths.len()), (61, 61));
    let of = |part: &str| -> BTreeSet<String> {
        split
            .iter()
            .filter(|row| row["part"] == part)
            .map(|row| row["path"].clone())
            .collect()
    };
    let val = of("val");
    assert_eq!((of("train").len() + val.len(), of("test").len()), (61, 0));
    assert!(split.iter().all(|row| {
        Path::new(&row["path"])
            .parent()
            .unwrap()
            .ends_with(&row["label"])
    }));

    // Of each readable one, what it was taken for.
    let predictions = table(&run.join("predictions.csv"));
    let measured: BTreeSet<String> = predictions.iter().map(|row| row["path"].clone()).collect();
    assert!(!measured.is_empty() && measured.is_subset(&val) && val.len() - measured.len() <= 1);
    let right = predictions
        .iter()
        .filter(|row| row["truth"] == row["prediction"])
        .count();
    assert_eq!(
        summary["val"]["top1"],
        json!(right as f64 / predictions.len() as f64)
    );
    for row in &predictions {
        let number = |column: &str| row[column].parse::<f64>().unwrap();
        assert_eq!(row["part"], "val");
        assert_eq!(row["probability"], row[&format!("p_{}", row["prediction"])]);
        assert_eq!(
            row["truth_probability"],
            row[&format!("p_{}", row["truth"])]
        );
        assert!(
            (CLASSES
                .map(|class| number(&format!("p_{class}")))
                .iter()
                .sum::<f64>()
                - 1.)
                .abs()
                < 1e-5
        );
    }

    // The figure of the report, found again without saying where the images are, or saying it.
    let of_run = json(&["evaluate", "--weights", &weights]);
    assert_eq!(figures(&of_run), figures(&summary["val"]));
    assert_eq!(
        (&of_run["part"], &of_run["trained_on"]),
        (&json!("val"), &Value::Null)
    );
    let again = json(&[
        "evaluate",
        "--weights",
        &weights,
        "--data",
        &whole,
        "--split",
        "val",
    ]);
    assert_eq!(figures(&again), figures(&summary["val"]));
    let best = json(&["evaluate", "--weights", &text(&run.join("best"))]);
    assert_eq!(figures(&best), figures(&summary["val"]));

    // All of them, of which most were trained on; also where they lie elsewhere under other names.
    bench.copied("whole", "moved", "renamed-");
    for data in [&whole, &bench.path("moved")] {
        let mixed = json(&["evaluate", "--weights", &weights, "--data", data]);
        assert_eq!(mixed["samples"], 60, "{data}");
        assert_eq!(mixed["trained_on"], 61 - val.len(), "{data}");
        assert_eq!(
            figures(&mixed["not_trained_on"]),
            figures(&summary["val"]),
            "{data}"
        );
        let said = succeeds(&["evaluate", "--weights", &weights, "--data", data]).stdout;
        assert!(
            said.contains(&format!("trained on {} of these images", 61 - val.len())),
            "{said}"
        );
    }
    let training = json(&[
        "evaluate",
        "--weights",
        &weights,
        "--data",
        &whole,
        "--split",
        "train",
    ]);
    assert!(
        training["samples"].as_u64().unwrap() >= 60 - val.len() as u64,
        "{training}"
    );
    assert_eq!(training["not_trained_on"], Value::Null);

    // Images of nobody's are measured as they are.
    bench.images("other", &CLASSES, 2);
    let other = json(&[
        "evaluate",
        "--weights",
        &weights,
        "--data",
        &bench.path("other"),
        "--csv",
        &bench.path("o.csv"),
    ]);
    assert_eq!(
        (&other["samples"], &other["trained_on"]),
        (&json!(6), &Value::Null)
    );
    let parts: Vec<String> = table(Path::new(&bench.path("o.csv")))
        .iter()
        .map(|row| row["part"].clone())
        .collect();
    assert_eq!(parts, vec![String::new(); 6]);
}

#[test]
fn a_run_with_a_test_split_is_measured_on_it() {
    let bench = Bench::new();
    let run = bench.train("runs", 1, &[]);
    let summary: Value =
        serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap();
    let weights = text(&run);
    let test = json(&["evaluate", "--weights", &weights]);
    assert_eq!(
        (figures(&test), &test["part"]),
        (figures(&summary["test"]), &json!("test"))
    );
    let val = json(&["evaluate", "--weights", &weights, "--split", "val"]);
    assert_eq!(val["top1"], summary["best"]["val_top1"]);
    let predictions = table(&run.join("predictions.csv"));
    assert_eq!(predictions.len(), 15);
    assert!(predictions.iter().all(|row| row["part"] == "test"));
}

/// The commands that a run suggests are carried out as printed, but for what stands for the user's
/// own files.
#[test]
fn what_a_run_suggests_works() {
    let bench = Bench::new();
    bench.images("whole", &CLASSES, 20);
    let whole = bench.path("whole");
    let photo = bench.path("whole/ant/ant00.png");
    let out = bench.path("next");
    for arguments in [
        bench.arguments("runs", 1),
        bench.tuning("runs", &["--data", &whole]),
    ] {
        let answer = succeeds(&strs(&arguments));
        let (_, next) = answer
            .stderr
            .split_once("next: ")
            .unwrap_or_else(|| panic!("{}", answer.stderr));
        let commands: Vec<&str> = next
            .lines()
            .map(|line| {
                line.trim()
                    .split_once("  (")
                    .expect("a command and what it is for")
                    .0
            })
            .collect();
        assert_eq!(commands.len(), 5, "{next}");
        for command in commands {
            let words = command
                .split(' ')
                .skip_while(|word| ["cargo", "xtask", "cnn"].contains(word));
            let mut words: Vec<&str> = words.collect();
            words
                .iter_mut()
                .filter(|word| **word == "PHOTOS")
                .for_each(|word| *word = &photo);
            words
                .iter_mut()
                .filter(|word| **word == "FOLDER")
                .for_each(|word| *word = &whole);
            match words[0] {
                "finetune" => words.extend(["--head-epochs", "1", "--epochs", "1", "--out", &out]),
                "explain" | "inspect" => words.extend(["--out", &out]),
                _ => (),
            }
            succeeds(&words);
        }
    }
}

#[test]
fn images_that_are_gone_are_told() {
    let bench = Bench::new();
    bench.images("whole", &CLASSES, 20);
    let run = run_dir(&bench.tune("runs", &["--data", &bench.path("whole")]));
    let weights = text(&run);
    let split = table(&run.join("split.csv"));
    let val: Vec<&String> = split
        .iter()
        .filter(|row| row["part"] == "val")
        .map(|row| &row["path"])
        .collect();
    std::fs::remove_file(val[0]).unwrap();
    let answer = succeeds(&["evaluate", "--weights", &weights]);
    let expected = format!(
        "1 of the run's {} val images are gone or have changed, as {}",
        val.len(),
        val[0]
    );
    assert!(answer.stderr.contains(&expected), "{}", answer.stderr);
    let mut faults = Vec::new();
    let no_test = ["evaluate", "--weights", &weights, "--split", "test"];
    faults.extend(refused(&[1], &["has no test images"], &no_test));
    val.iter()
        .skip(1)
        .for_each(|path| std::fs::remove_file(path).unwrap());
    faults.extend(refused(
        &[1],
        &["none of the run's", "as it was"],
        &["evaluate", "--weights", &weights],
    ));
    let builtin = text(&builtin());
    faults.extend(refused(
        &[2],
        &["--data", "run"],
        &["evaluate", "--weights", &builtin],
    ));
    std::fs::write(run.join("split.csv"), "path\n").unwrap();
    faults.extend(refused(
        &[1],
        &["split.csv", "expected `path,label,part,sha256`"],
        &["evaluate", "--weights", &weights],
    ));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_run_does_not_go_on_with_other_images() {
    let bench = Bench::new();
    let run = unfinished(&bench, "runs");
    bench.images("more", &["ant"], 1);
    let added = bench.path("data/train/ant/added.png");
    std::fs::copy(bench.path("more/ant/ant00.png"), &added).unwrap();
    let before = snapshot(&run);
    let resume = ["train", "--resume", &text(&run), "--json"];
    let faults = refused(
        &[1],
        &[
            "not those that the run began with",
            "1 new, as ",
            "added.png",
        ],
        &resume,
    );
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(snapshot(&run), before);
    std::fs::remove_file(added).unwrap();
    succeeds(&resume);
}
