//! `corrupt`: the table, its files, the same bytes again, and what is refused.

use serde_json::{Value, json};
use std::path::Path;

use crate::support::*;

/// A network that has learnt something, and images of three colours.
fn trained() -> (Bench, String) {
    let bench = Bench::new();
    let summary = bench.tune("runs", &[]);
    let run = text(&run_dir(&summary));
    (bench, run)
}

#[test]
fn a_run_is_measured_under_corruptions_twice_the_same() {
    let (bench, run) = trained();
    bench.file("data/test/ant/broken.png", "no picture");
    let data = bench.path("data");
    let clean = json(&[
        "evaluate",
        "--weights",
        &run,
        "--data",
        &data,
        "--split",
        "test",
    ]);
    let measure = |out: &str, more: &[&str]| {
        let out = bench.path(out);
        let of = ["--data", &data, "--split", "test", "--out", &out];
        json(&[&["corrupt", "--weights", &run], &of[..], more].concat())
    };
    let some = [
        "--corruption",
        "gaussian_noise,contrast,brightness",
        "--severity",
        "5,1",
    ];
    let found = measure("first", &some);
    assert_eq!(found["clean_top1"], clean["top1"]);
    assert_eq!(found["samples"], clean["samples"]);
    assert_eq!(found["skipped"], clean["skipped"]);
    assert_eq!(found["skipped"].as_array().unwrap().len(), 1);

    // In the order of ImageNet-C, whatever that of the arguments.
    let rows = found["corruptions"].as_array().unwrap();
    let names: Vec<_> = rows
        .iter()
        .map(|row| json!([row["name"], row["group"], row["severity"]]))
        .collect();
    let expected = [
        json!(["gaussian_noise", "noise", 1]),
        json!(["gaussian_noise", "noise", 5]),
        json!(["brightness", "weather", 1]),
        json!(["brightness", "weather", 5]),
        json!(["contrast", "digital", 1]),
        json!(["contrast", "digital", 5]),
    ];
    assert_eq!(names, expected);
    let top1: Vec<f64> = rows
        .iter()
        .map(|row| row["top1"].as_f64().unwrap())
        .collect();
    let mean = top1.iter().sum::<f64>() / 6.;
    let number = |key: &str| found[key].as_f64().unwrap();
    assert!((number("mean_top1") - mean).abs() < 1e-12);
    assert!((number("mce") - (1. - mean)).abs() < 1e-12);
    assert!((number("relative_mce") - (number("clean_top1") - mean)).abs() < 1e-12);
    // Without its contrast an image of these has next to nothing left.
    assert!(top1[5] < number("clean_top1"), "{top1:?}");

    let threads = [&some[..], &["--threads", "1", "--batch", "3"]].concat();
    assert_eq!(measure("again", &threads), found);
    let file = |out: &str| std::fs::read(Path::new(&bench.path(out)).join("summary.json")).unwrap();
    assert_eq!(file("first"), file("again"));
    assert_eq!(
        serde_json::from_slice::<Value>(&file("first")).unwrap(),
        found
    );
    let page = Path::new(&bench.path("first")).join("corrupt.html");
    let page = std::fs::read_to_string(page).unwrap();
    for words in [
        "gaussian noise",
        "Accuracy under corruptions",
        "data:image/png",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn the_seed_decides_what_is_random() {
    let (bench, run) = trained();
    let data = bench.path("data");
    let of = |seed: &str| {
        let out = bench.path(seed);
        let images = [
            "--data",
            &data,
            "--split",
            "val",
            "--samples",
            "30",
            "--out",
            &out,
        ];
        let kinds = [
            "--corruption",
            "impulse_noise,gaussian_noise",
            "--seed",
            seed,
        ];
        json(&[&["corrupt", "--weights", &run], &images[..], &kinds].concat())
    };
    let found = of("1");
    assert_eq!(found["samples"], 30);
    assert_eq!(found["corruptions"].as_array().unwrap().len(), 10);
    assert_ne!(found["corruptions"], of("2")["corruptions"]);
}

#[test]
fn bad_arguments_are_told_what_is_accepted() {
    let bench = Bench::new();
    let data = bench.path("data");
    let fresh = [
        "corrupt",
        "--model",
        "resnet8_cifar10",
        "--weights",
        "none",
        "--data",
        &data,
    ];
    let table: [(&[&str], &[&str]); 4] = [
        (
            &["--corruption", "gausian_noise"],
            &[
                "gaussian_noise",
                "jpeg_compression",
                "did you mean `gaussian_noise`?",
            ],
        ),
        (&["--severity", "6"], &["a whole number from 1 to 5"]),
        (&["--severity", "0,1"], &["a whole number from 1 to 5"]),
        (&["--split", "validation"], &["train, val or test"]),
    ];
    for (arguments, words) in table {
        none(refused(&[2], words, &[&fresh[..], arguments].concat()));
    }
    let segmenter = [
        "corrupt",
        "--model",
        "unet",
        "--weights",
        "none",
        "--data",
        &data,
    ];
    none(refused(&[2], &["classif"], &segmenter));
}
