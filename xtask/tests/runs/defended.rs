//! `attack` of a network behind an input transform, and with a detector.

use std::path::Path;

use crate::support::*;

#[test]
fn a_defence_is_reported_under_both_attackers() {
    let bench = Bench::new();
    let summary = bench.tune("runs", &[]);
    let run = text(&run_dir(&summary));
    let data = bench.path("data");
    let attack = |out: &str, more: &[&str]| {
        let out = bench.path(out);
        let of = ["--data", &data, "--split", "val", "--out", &out];
        let how = [
            "--attack",
            "fgsm,pgd",
            "--eps",
            "8/255",
            "--diagnose",
            "0",
            "--sweep",
            "0",
        ];
        json(&[&["attack", "--weights", &run], &of[..], &how, more].concat())
    };
    let bare = attack("bare", &[]);
    assert!(bare["attacks"][0]["transferred_top1"].is_null());
    assert!(bare["attacks"][0]["detected_auc"].is_null());

    let found = attack(
        "defended",
        &["--defence", "bits:2,median:3", "--detect", "squeeze"],
    );
    assert_eq!(found["defence"], serde_json::json!(["bits:2", "median:3"]));
    assert_eq!(found["samples"], bare["samples"]);
    let number = |key: &str| found[key].as_f64().unwrap();
    for attack in found["attacks"].as_array().unwrap() {
        let of = |key: &str| attack[key].as_f64().unwrap();
        for key in ["robust_top1", "transferred_top1"] {
            assert!(of(key) >= number("worst_top1") && of(key) <= number("clean_top1"));
        }
        if of("success_rate") > 0. {
            assert!((0. ..=1.).contains(&of("detected_auc")));
            assert!((0. ..=1.).contains(&of("detected_at_5")));
        }
    }
    let notes = found["notes"].to_string();
    for words in [
        "after bits:2, median:3",
        "add autoattack or square",
        "do not know of the detector",
    ] {
        assert!(notes.contains(words), "{notes}");
    }
    let page = Path::new(&bench.path("defended")).join("attack.html");
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("Attackers who do not know of the defence leave"));

    for (arguments, word) in [
        (["--defence", "bits:9"], "bits:BITS (1 to 8)"),
        (["--defence", "blur"], "gaussian:SIGMA"),
        (["--detect", "magic"], "squeeze"),
    ] {
        let fixed = ["attack", "--weights", &run, "--data", &data];
        none(refused(&[2], &[word], &[&fixed[..], &arguments].concat()));
    }
}
