//! `attack`: the figures, their files, the same bytes again, raw batches, and what is refused.

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

/// The figures without the times.
fn timeless(mut found: Value) -> Value {
    for attack in found["attacks"].as_array_mut().unwrap() {
        attack["seconds"] = json!(0);
    }
    found
}

#[test]
fn a_run_is_attacked_twice_the_same() {
    let (bench, run) = trained();
    bench.file("data/test/ant/broken.png", "no picture");
    let data = bench.path("data");
    let images = ["--data", &data, "--split", "test"];
    let clean = json(&[&["evaluate", "--weights", &run], &images[..]].concat());
    let attack = |out: &str, more: &[&str]| {
        let out = bench.path(out);
        let of = ["attack", "--weights", &run, "--out", &out];
        json(&[&of[..], &images, more].concat())
    };
    let some = [
        "--attack",
        "fgsm,pgd,square",
        "--eps",
        "16/255",
        "--steps",
        "5",
        "--queries",
        "30",
        "--diagnose",
        "20",
        "--sweep",
        "20",
    ];
    let saved = bench.path("saved");
    let found = attack("first", &[&some[..], &["--save", &saved]].concat());
    assert_eq!(found["clean_top1"], clean["top1"]);
    assert_eq!(found["samples"], clean["samples"]);
    assert_eq!(found["skipped"], clean["skipped"]);
    assert_eq!(found["skipped"].as_array().unwrap().len(), 1);
    let attacks = found["attacks"].as_array().unwrap();
    let names: Vec<_> = attacks
        .iter()
        .map(|attack| attack["name"].clone())
        .collect();
    assert_eq!(names, ["fgsm", "pgd", "square"]);
    let number = |value: &Value| value.as_f64().unwrap();
    let worst = number(&found["worst_top1"]);
    for attack in attacks {
        assert!(worst <= number(&attack["robust_top1"]));
        assert!(number(&attack["robust_top1"]) <= number(&found["clean_top1"]));
        assert!(number(&attack["mean_linf"]) <= 16. / 255. + 1e-9);
        assert_eq!(
            (&attack["norm"], number(&attack["eps"])),
            (&json!("linf"), 16. / 255.)
        );
    }
    assert!(number(&attacks[2]["queries"]) <= 31. && attacks[2]["gradients"] == 0.);
    let sweep = found["sweep"].as_array().unwrap();
    let falls = |pair: &[Value]| number(&pair[1]["robust_top1"]) <= number(&pair[0]["robust_top1"]);
    assert!(sweep.len() == 8 && sweep.windows(2).all(falls));

    let threads = [&some[..], &["--threads", "1"]].concat();
    assert_eq!(timeless(attack("again", &threads)), timeless(found.clone()));
    let page = Path::new(&bench.path("first")).join("attack.html");
    let page = std::fs::read_to_string(page).unwrap();
    for words in [
        "Under attack",
        "Accuracy over the size",
        "data:image/png",
        "pgd",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let pictures = std::fs::read_dir(Path::new(&saved).join("pgd"))
        .unwrap()
        .count();
    // One for each image, and the tensors.
    assert_eq!(pictures as u64, found["samples"].as_u64().unwrap() + 1);
}

#[test]
fn without_a_size_nothing_changes() {
    let (bench, run) = trained();
    let data = bench.path("data");
    let out = bench.path("out");
    let found = json(&[
        "attack",
        "--weights",
        &run,
        "--data",
        &data,
        "--split",
        "val",
        "--out",
        &out,
        "--attack",
        "fgsm,pgd,apgd-ce,fab-t,square",
        "--eps",
        "0",
        "--steps",
        "3",
        "--queries",
        "10",
    ]);
    for attack in found["attacks"].as_array().unwrap() {
        assert_eq!(
            attack["robust_top1"], found["clean_top1"],
            "{}",
            attack["name"]
        );
    }
}

#[test]
fn training_under_attack_says_how_robust_each_epoch_is() {
    let bench = Bench::new();
    let under_attack = [
        "--adversarial",
        "pgd",
        "--adv-steps",
        "2",
        "--adv-samples",
        "10",
    ];
    let run = bench.train("robust", 2, &under_attack);
    let metrics = lines(&run.join("metrics.csv"));
    assert!(metrics[0].contains("train_robust_top1") && metrics[0].contains("val_robust_top1"));
    let summary = bench.tune("tuned", &under_attack);
    let metrics = lines(&run_dir(&summary).join("metrics.csv"));
    assert!(metrics[0].contains("val_robust_top1"), "{metrics:?}");
}

#[test]
fn a_run_attacks_its_best_epoch_when_asked() {
    let bench = Bench::new();
    let asked = [
        "--attack",
        "fgsm, pgd",
        "--adv-eps",
        "2/255",
        "--attack-samples",
        "8",
    ];
    let summary = bench.tune("asked", &asked);
    let robustness = &summary["robustness"];
    let names = [&robustness["attacks"][0], &robustness["attacks"][1]];
    assert_eq!(names.map(|attack| attack["name"].clone()), ["fgsm", "pgd"]);
    assert_eq!(robustness["attacks"][1]["eps"], 2. / 255.);
    assert_eq!(robustness["samples"], 8);
    let report = std::fs::read_to_string(run_dir(&summary).join("report.html")).unwrap();
    assert!(report.contains("Under attack") && report.contains("under the worst attack"));
    let plain = bench.tune("plain", &[]);
    assert!(plain.get("robustness").is_none());
    let of = [
        "train",
        "--model",
        "resnet8_cifar10",
        "--batch",
        "8",
        "--data",
    ];
    let data = bench.path("data");
    let wrong: [(&[&str], &str); 3] = [
        (&["--attack", "pgdd"], "did you mean pgd"),
        (
            &["--attack", "fgsm", "--adv-norm", "l2", "--adv-eps", "0.5"],
            "fgsm works in linf",
        ),
        (&["--attack-samples", "0"], "at least 1"),
    ];
    for (arguments, words) in wrong {
        none(refused(
            &[2],
            &[words],
            &[&of[..], &[&data], arguments].concat(),
        ));
    }
}

#[test]
fn the_smallest_change_lies_between_none_and_the_largest() {
    let (bench, run) = trained();
    let data = bench.path("data");
    let found = json(&[
        "attack",
        "--weights",
        &run,
        "--data",
        &data,
        "--split",
        "test",
        "--attack",
        "fgsm",
        "--eps",
        "0.2",
        "--diagnose",
        "0",
        "--sweep",
        "0",
        "--smallest",
        "10",
        "--out",
        &bench.path("smallest"),
    ]);
    let smallest = &found["smallest"];
    assert_eq!(
        (&smallest["samples"], &smallest["largest"]),
        (&json!(10), &json!(0.8))
    );
    let [low, high] = [0, 1].map(|place| smallest["quartiles"][place].as_f64().unwrap());
    let median = smallest["median"].as_f64().unwrap();
    assert!(0. <= low && low <= median && median <= high && high <= 0.8);
    let attack = &found["attacks"][0];
    for name in ["ece", "confidence"] {
        assert!((0. ..=1.).contains(&attack[name].as_f64().unwrap()));
    }
}

#[test]
fn bad_arguments_are_told_what_is_accepted() {
    let bench = Bench::new();
    let data = bench.path("data");
    let fresh = [
        "attack",
        "--model",
        "resnet8_cifar10",
        "--weights",
        "none",
        "--data",
        &data,
        "--split",
        "val",
    ];
    let table: [(&[&str], &[&str]); 5] = [
        (&["--attack", "pgdd"], &["did you mean pgd", "autoattack"]),
        (&["--eps", "8/0"], &["a fraction, as 8/255"]),
        (&["--norm", "l3"], &["linf, l2 or l1"]),
        (
            &["--norm", "l2", "--attack", "fgsm"],
            &["fgsm works in linf"],
        ),
        (&["--targeted", "wasp"], &["random", "least-likely"]),
    ];
    for (arguments, words) in table {
        none(refused(&[2], words, &[&fresh[..], arguments].concat()));
    }
    let raw = [&fresh[..5], &["--input", "x.safetensors"]].concat();
    none(refused(&[2], &["--output"], &raw));
    let segmenter = [
        "attack",
        "--model",
        "unet",
        "--weights",
        "none",
        "--data",
        &data,
        "--split",
        "val",
    ];
    none(refused(&[2], &["classif"], &segmenter));
    let train = ["train", "--adversarial", "fast", "--adv-norm", "l2"];
    none(refused(&[2], &["linf for fast"], &train));
}
