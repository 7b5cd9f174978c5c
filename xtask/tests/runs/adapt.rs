//! `adapt`: its table and files, that it goes on after an interruption, several seeds, and what is
//! refused.

use serde_json::Value;

use crate::support::*;

/// The arguments of a short run whose target is called so.
fn adapting(bench: &Bench, target: &str, out: &str) -> Vec<String> {
    let [source, target, out] = ["data", target, out].map(|name| bench.path(name));
    let arguments = [
        "adapt",
        "--source",
        &source,
        "--target",
        &target,
        "--model",
        "resnet8_cifar10",
        "--epochs",
        "2",
        "--updates",
        "2",
        "--batch",
        "8",
        "--out",
        &out,
    ];
    arguments.map(str::to_string).into()
}

/// What does not depend on the clock, nor on where the run is.
fn timeless(summary: &Value) -> Value {
    let mut summary = summary.clone();
    summary.as_object_mut().unwrap().remove("run_dir");
    let methods = summary["methods"].as_array_mut().unwrap();
    let runs = |outcome: &mut Value| {
        for run in outcome["runs"].as_array_mut().into_iter().flatten() {
            run["seconds"] = Value::Null;
        }
    };
    methods.iter_mut().for_each(runs);
    for name in ["source_only", "adapted", "oracle"] {
        runs(&mut summary[name]);
    }
    summary
}

#[test]
fn the_source_alone_and_the_targets_labels_stand_beside_a_method() {
    let bench = Bench::new();
    let of = |out: &str, more: &[&str]| {
        let arguments = adapting(&bench, "data", out);
        json(&[&strs(&arguments)[..], more].concat())
    };
    let found = of("first", &["--method", "dann"]);
    let names: Vec<&Value> = found["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|outcome| &outcome["method"])
        .collect();
    assert_eq!(names, ["source-only", "dann"]);
    assert_eq!(
        (&found["method"], &found["validator"]),
        (&"dann".into(), &"im".into())
    );
    assert_eq!(found["oracle"]["method"], "oracle");
    assert_eq!(found["samples"], 15);
    for outcome in [&found["source_only"], &found["adapted"], &found["oracle"]] {
        let top1 = outcome["target_top1"].as_f64().unwrap();
        assert!((0. ..=1.).contains(&top1), "{outcome}");
        assert_eq!(outcome["runs"].as_array().unwrap().len(), 1);
    }
    // The adapted network is one that the other commands read.
    let run = run_dir(&found);
    let data = bench.path("data");
    let best = text(&run.join("dann"));
    let measured = json(&[
        "evaluate",
        "--weights",
        &best,
        "--data",
        &data,
        "--split",
        "test",
    ]);
    assert_eq!(measured["top1"], found["adapted"]["target_top1"]);
    assert_eq!(
        timeless(&of("again", &["--method", "dann", "--threads", "1"])),
        timeless(&found)
    );
    // Going on with what has ended changes nothing.
    let ended = json(&["adapt", "--resume", &text(&run)]);
    assert_eq!(timeless(&ended), timeless(&found));

    let several = of(
        "seeds",
        &["--method", "mcc,adabn", "--seeds", "2", "--no-oracle"],
    );
    assert_eq!(several["methods"].as_array().unwrap().len(), 3);
    assert!(several["oracle"].is_null());
    let spread = several["adapted"]["target_top1_spread"].as_f64().unwrap();
    assert!(spread >= 0. && several["adapted"]["runs"][1]["seed"] == 1);
}

#[test]
fn a_target_without_labels_is_adapted_to_and_not_measured() {
    let bench = Bench::new();
    for number in 0..12 {
        let from = bench.path(&format!(
            "data/train/{}/{0}{number:02}.png",
            CLASSES[number % 3]
        ));
        bench.file(
            &format!("photos/{number}.png"),
            std::fs::read(from).unwrap(),
        );
    }
    let arguments = adapting(&bench, "photos", "unlabelled");
    let found = json(&[&strs(&arguments)[..], &["--method", "coral"]].concat());
    assert!(found["adapted"]["target_top1"].is_null() && found["oracle"].is_null());
    assert!(
        found["adapted"]["runs"][0]["selected_epoch"]
            .as_u64()
            .is_some()
    );
}

#[test]
fn bad_arguments_of_adaptation_are_told_what_is_accepted() {
    let bench = Bench::new();
    let fresh = adapting(&bench, "data", "refused");
    let table: [(&[&str], &[&str]); 4] = [
        (&["--method", "dan2"], &["did you mean", "cdan+e"]),
        (&["--validator", "top1"], &["im, entropy, snd"]),
        (&["--seeds", "0"], &["at least 1"]),
        (&["--weights", "nowhere"], &["nowhere"]),
    ];
    let mut faults = Vec::new();
    for (arguments, words) in table {
        let all = [&strs(&fresh)[..], arguments].concat();
        faults.extend(refused(&[1, 2], words, &all));
    }
    faults.extend(refused(&[2], &["--source"], &["adapt", "--target", "x"]));
    // Other classes are told before anything is trained.
    bench.images("wasps/train", &["hornet", "wasp"], 8);
    let others = adapting(&bench, "wasps", "others");
    faults.extend(refused(&[1], &["hornet"], &strs(&others)));
    let trained = bench.directory.path().join("others");
    assert!(!trained.exists(), "{}", trained.display());
    none(faults);
}
