//! What a run leaves, and what others make of it.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::support::*;

#[test]
fn a_run_directory_and_its_summary_hold_what_is_promised() {
    let bench = Bench::new();
    let summary = bench.tune("runs", &[]);
    let run = run_dir(&summary);
    assert_eq!(text(&run), bench.path("runs/finetune/resnet20_cifar10-1"));
    for name in [
        "args.toml",
        "metrics.csv",
        "report.html",
        "last/config.json",
        "best/config.json",
        RESUME,
    ] {
        assert!(run.join(name).is_file(), "{name}");
    }
    let saved: Value =
        serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(saved, summary);
    assert_eq!(summary["weights_sha256"], sha256(&run.join(WEIGHTS[0])));
    assert_eq!(summary["skipped"], json!([]));
    assert_eq!(summary["epochs"], 5);
    assert_eq!(lines(&run.join("metrics.csv")).len(), 1 + 5);

    let best = &summary["best"];
    let top1 = |row: &String| row.split(',').nth(5).unwrap().parse::<f64>().unwrap();
    let row = &lines(&run.join("metrics.csv"))[best["epoch"].as_u64().unwrap() as usize];
    assert_eq!(best["val_top1"].as_f64(), Some(top1(row)));
    assert_eq!(summary.get("val"), None, "there is a test split");
    let [low, top1, high] = [
        &summary["test"]["top1_interval"][0],
        &summary["test"]["top1"],
        &summary["test"]["top1_interval"][1],
    ]
    .map(|share| share.as_f64().unwrap());
    assert!(
        0.0 <= low && low <= top1 && top1 <= high && high <= 1.0,
        "{low} {top1} {high}"
    );

    // The defaults that the network decides are written out.
    let arguments: toml::Table = std::fs::read_to_string(run.join("args.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let written =
        ["strategy", "batch-norm", "lr"].map(|key| arguments[&key.replace('-', "_")].clone());
    assert_eq!(
        written,
        [
            "two-phase".into(),
            "moving".into(),
            toml::Value::Float(0.005)
        ]
    );
}

#[test]
fn the_same_command_gives_the_same_bytes_at_any_number_of_threads() {
    let bench = Bench::new();
    let weights = |out: &str, more: &[&str]| {
        let summary = bench.tune(out, more);
        (
            summary["weights_sha256"].clone(),
            sha256(&run_dir(&summary).join(WEIGHTS[1])),
        )
    };
    let one = weights("one", &[]);
    assert_eq!(weights("two", &["--threads", "2"]), one);
    assert_ne!(weights("seed", &["--seed", "1"]), one);
}

/// How many of the photos in a folder of class folders the run's network gives their folder's name.
fn right_predictions(run: &Path, folder: &str) -> usize {
    let answer = json(&["predict", folder, "--weights", &text(run), "--top", "1"]);
    let predictions = answer["predictions"].as_array().unwrap().iter();
    let is_right = |row: &&Value| {
        let photo = Path::new(row["path"].as_str().unwrap());
        photo.parent().unwrap().file_name().unwrap().to_str() == row["top"][0]["label"].as_str()
    };
    predictions.filter(is_right).count()
}

#[test]
fn evaluate_and_predict_agree_with_the_summary() {
    let bench = Bench::new();
    let with_test = bench.tune("runs", &[]);
    std::fs::remove_dir_all(bench.path("data/test")).unwrap();
    let without = bench.tune("runs", &[]);
    assert_eq!(
        without["weights_sha256"], with_test["weights_sha256"],
        "the test split had a part in training"
    );
    assert_eq!(without["val"]["top1"], without["best"]["val_top1"]);
    bench.images("data/test", &CLASSES, 5);
    for (summary, split) in [(&with_test, "test"), (&without, "val")] {
        let run = run_dir(summary);
        let folder = bench.path(&format!("data/{split}"));
        let reported = &summary[split];
        let found = json(&[
            "evaluate",
            "--weights",
            &text(&run),
            "--data",
            &bench.path("data"),
            "--split",
            split,
        ]);
        for key in ["samples", "top1", "top1_interval"] {
            assert_eq!(found[key], reported[key], "{split}: {key}");
        }
        let samples = reported["samples"].as_f64().unwrap();
        let top1 = reported["top1"].as_f64().unwrap();
        assert_eq!(
            right_predictions(&run, &folder) as f64,
            (samples * top1).round(),
            "{split}"
        );
    }
}

/// The report of a run, without the places where a long name may be broken.
fn shown(run: &Path) -> String {
    std::fs::read_to_string(run.join("report.html"))
        .unwrap()
        .replace("<wbr>", "")
}

/// A text in a file that is named like a photo, and a GIF, which photo sites send in place of one
/// that is gone.
fn spoil(bench: &Bench) -> [String; 2] {
    let gif =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cnn-data/tests/golden/animation.gif");
    let gif = bench.file("data/train/ant/gone.gif", std::fs::read(gif).unwrap());
    [gif, bench.file("data/train/bee/torn.jpg", "no picture")]
}

#[test]
fn a_broken_image_among_good_ones_is_skipped_and_named() {
    let bench = Bench::new();
    let spoilt = spoil(&bench);
    for strategy in ["head", "full"] {
        let arguments = bench.tuning("runs", &["--strategy", strategy, "--json"]);
        let answer = succeeds(&strs(&arguments));
        let summary: Value = serde_json::from_str(&answer.stdout).unwrap();
        let skipped = summary["skipped"].as_array().unwrap();
        let paths: BTreeSet<&str> = skipped
            .iter()
            .map(|file| file["path"].as_str().unwrap())
            .collect();
        assert_eq!(
            paths,
            spoilt.iter().map(String::as_str).collect(),
            "{strategy}"
        );
        assert!(
            skipped
                .iter()
                .all(|file| !file["reason"].as_str().unwrap().is_empty()),
            "{strategy}"
        );
        assert!(
            spoilt.iter().all(|path| answer.stderr.contains(path)),
            "{strategy}: {}",
            answer.stderr
        );
        let report = shown(&run_dir(&summary));
        assert!(
            spoilt.iter().all(|path| report.contains(path)),
            "{strategy}"
        );

        // Going on with a run that has ended reads no training image again.
        let before = snapshot(&run_dir(&summary));
        assert_eq!(
            json(&["finetune", "--resume", &text(&run_dir(&summary))]),
            summary,
            "{strategy}"
        );
        assert!(
            snapshot(&run_dir(&summary)) == before,
            "{strategy}: files were changed"
        );
    }
}

#[test]
fn the_report_tells_the_run_and_needs_nothing_from_outside() {
    let bench = Bench::new();
    let spoilt = spoil(&bench);
    let summary = bench.tune("runs", &["--strategy", "head"]);
    let report = shown(&run_dir(&summary));
    let accuracy = format!("{:.2} %", 100. * summary["test"]["top1"].as_f64().unwrap());
    let tensors = &summary["frozen"]["tensors"];
    let proof = format!("({tensors} tensors). All of them have the same bytes in the saved file");
    for told in CLASSES
        .iter()
        .chain([&&*accuracy, &&*proof])
        .chain(&spoilt.each_ref().map(|path| &**path))
    {
        assert!(report.contains(told), "`{told}` is not in the report");
    }
    for foreign in [
        "<script", "<link", "<iframe", "@import", "url(http", "url(//",
    ] {
        assert!(!report.contains(foreign), "{foreign}");
    }
    let values = |attribute: &str| -> Vec<String> {
        let value = |(position, _)| {
            report[position + attribute.len()..]
                .split('"')
                .nth(1)
                .unwrap()
                .to_string()
        };
        report.match_indices(attribute).map(value).collect()
    };
    assert!(
        values("src=")
            .iter()
            .all(|value| value.starts_with("data:"))
    );
    // Links lead to what lies beside the page.
    let links = values("href=");
    for link in &links {
        let path = link.strip_prefix("./").unwrap_or_else(|| panic!("{link}"));
        assert!(run_dir(&summary).join(path).exists(), "{link}");
    }
    for expected in [
        "./best/",
        "./metrics.csv",
        "./events.jsonl",
        "./summary.json",
        "./args.toml",
    ] {
        assert!(links.iter().any(|link| link == expected), "{expected}");
    }
}

/// The value of a page's card with this label, and its small print.
fn card(report: &str, label: &str) -> (String, String) {
    let cards = report.split("<span class=\"label\">").skip(1);
    let card = cards
        .filter_map(|card| card.strip_prefix(&format!("{label}</span>")))
        .next();
    let card = card
        .unwrap_or_else(|| panic!("no card {label}"))
        .split("</li>")
        .next()
        .unwrap();
    let card = card.replace("<wbr>", "");
    let between = |tag: &str| {
        let rest = card
            .split(&format!("<{tag}"))
            .nth(1)
            .unwrap_or_else(|| panic!("no {tag} in {card}"));
        rest.split_once('>')
            .unwrap()
            .1
            .split("</")
            .next()
            .unwrap()
            .to_string()
    };
    (between("strong"), between("small"))
}

#[test]
fn the_headlines_mean_what_they_say() {
    let bench = Bench::new();
    let page =
        |summary: &Value| std::fs::read_to_string(run_dir(summary).join("report.html")).unwrap();
    let with_test = bench.tune("runs", &["--mixup", "0.2", "--balance"]);
    let report = page(&with_test);
    assert!(
        card(&report, "test accuracy")
            .1
            .contains("15 images that had no part in the training")
    );
    assert!(
        card(&report, "validation accuracy")
            .1
            .contains("chose the epoch, so it flatters")
    );
    // The rate is that of the two epochs that went through the network, not of the three on kept
    // features.
    let phases = with_test["phases"].as_array().unwrap();
    assert_eq!(
        (&phases[0]["on_features"], &phases[1]["on_features"]),
        (&true.into(), &false.into())
    );
    let rows = lines(&run_dir(&with_test).join("metrics.csv"));
    let seconds: f64 = rows[4..]
        .iter()
        .map(|row| row.rsplit(',').next().unwrap().parse::<f64>().unwrap())
        .sum();
    let rate = with_test["images_per_second"].as_f64().unwrap();
    assert!((rate - 2. * 48. / seconds).abs() < 1e-6 * rate, "{rate}");
    let note = card(&report, "time").1;
    assert!(
        note.contains("training images/s through the network"),
        "{note}"
    );
    assert!(
        (note.split(' ').next().unwrap().parse::<f64>().unwrap() - rate).abs() <= 0.5,
        "{note}, {rate}"
    );
    let applied = "with label smoothing (0.1), mixup (0.2) after the head&#39;s phase, a weight for each class";
    assert!(
        report.contains(applied),
        "what the training loss has and the validation loss has not"
    );
    assert!(
        report.contains(&format!("cnn {}, 20", env!("CARGO_PKG_VERSION")))
            && report.contains(" UTC</p>")
    );
    for section in ["Calibration", "What next", "Files of the run", "Data"] {
        assert!(report.contains(&format!("<h2>{section}</h2>")), "{section}");
    }

    // Without a test split there is one figure, and it says that it is optimistic.
    std::fs::remove_dir_all(bench.path("data/test")).unwrap();
    let without = bench.tune("runs", &["--strategy", "head", "--label-smoothing", "0"]);
    let report = page(&without);
    let (value, note) = card(&report, "validation accuracy");
    assert_eq!(
        value,
        format!("{:.2} %", 100. * without["val"]["top1"].as_f64().unwrap())
    );
    assert!(
        note.contains("these images also chose the epoch, so expect somewhat less on new ones"),
        "{note}"
    );
    assert_eq!(report.matches("accuracy</span>").count(), 1);
    // No image went through the network in training: what is counted is named.
    assert_eq!(without["phases"][0]["on_features"], true);
    assert!(
        card(&report, "time")
            .1
            .contains("kept features/s through the head")
    );
    assert!(!report.contains("with label smoothing"));
    // The same images have the same fingerprint in both runs.
    let fingerprints = |report: &str| -> Vec<String> {
        let section = report
            .split("<h2>Data</h2>")
            .nth(1)
            .unwrap()
            .split("</section>")
            .next()
            .unwrap()
            .to_string();
        section
            .split("<code>")
            .skip(1)
            .map(|rest| rest.split('<').next().unwrap().to_string())
            .collect()
    };
    let first = fingerprints(&page(&with_test));
    let second = fingerprints(&report);
    assert_eq!((first.len(), second.len()), (3, 2));
    assert_eq!(first[..2], second[..]);
    assert!(first[0].len() == 64 && first[0] != first[1]);
}

#[test]
fn the_command_line_in_the_report_gives_the_same_weights() {
    let bench = Bench::new();
    let summary = bench.tune(
        "runs",
        &[
            "--color-jitter",
            "0.2",
            "--mixup",
            "0.2",
            "--seed",
            "3",
            "--size",
            "24x20",
        ],
    );
    let report = shown(&run_dir(&summary));
    let (_, again) = report.split_once("To run it again").unwrap();
    let (_, command) = again.split_once("cargo xtask ").unwrap();
    let words: Vec<&str> = command
        .split('<')
        .next()
        .unwrap()
        .split_whitespace()
        .collect();
    assert_eq!(words[..2], ["finetune", "--config"]);
    assert_eq!(PathBuf::from(words[2]), run_dir(&summary).join("args.toml"));
    let again = json(&words);
    assert_ne!(again["run_dir"], summary["run_dir"]);
    assert_eq!(again["weights_sha256"], summary["weights_sha256"]);
}
