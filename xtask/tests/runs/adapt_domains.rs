//! `adapt` where domains are made, lack classes, share images, have a few labels, have no source, or
//! are many.

use serde_json::Value;

use crate::support::*;

/// The arguments of a short run, but for its data.
fn short(bench: &Bench, out: &str) -> Vec<String> {
    let out = bench.path(out);
    let arguments = [
        "adapt",
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

fn adapted(bench: &Bench, out: &str, more: &[&str]) -> Value {
    let arguments = short(bench, out);
    json(&[&strs(&arguments)[..], more].concat())
}

fn methods(found: &Value) -> Vec<&str> {
    let outcomes = found["methods"].as_array().unwrap().iter();
    let names = outcomes.map(|outcome| outcome["method"].as_str().unwrap());
    names.collect()
}

fn notes(found: &Value) -> Vec<&str> {
    let notes = found["notes"].as_array().unwrap().iter();
    notes.map(|note| note.as_str().unwrap()).collect()
}

fn sha256(outcome: &Value) -> &str {
    outcome["runs"][0]["weights_sha256"].as_str().unwrap()
}

#[test]
fn half_of_a_dataset_becomes_another_domain() {
    let bench = Bench::new();
    let data = bench.path("data");
    let of = |out: &str, more: &[&str]| {
        let arguments = [
            "--source",
            &data,
            "--shift",
            "noise:0.3",
            "--method",
            "coral",
        ];
        adapted(&bench, out, &[&arguments, more].concat())
    };
    let found = of("first", &[]);
    // Of five test images of each class, two or three are the target's.
    assert!(
        [6, 9].contains(&found["samples"].as_u64().unwrap()),
        "{}",
        found["samples"]
    );
    assert_eq!(notes(&found), [""; 0]);
    assert_eq!(methods(&found), ["source-only", "coral"]);
    assert!(found["oracle"]["target_top1"].is_f64());
    let again = of("again", &["--threads", "1"]);
    assert_eq!(sha256(&again["adapted"]), sha256(&found["adapted"]));
    let cropped = of("cropped", &["--augment", "resized-crop", "--no-oracle"]);
    assert_ne!(sha256(&cropped["adapted"]), sha256(&found["adapted"]));
    let page = std::fs::read_to_string(run_dir(&found).join("report.html")).unwrap();
    assert!(page.contains("as noise:0.3 shows it"));
}

#[test]
fn a_network_is_adapted_without_a_source() {
    let bench = Bench::new();
    let data = bench.path("data");
    let learnt = adapted(
        &bench,
        "learnt",
        &[
            "--source",
            &data,
            "--target",
            &data,
            "--method",
            "source-only",
            "--no-oracle",
        ],
    );
    assert_eq!(methods(&learnt), ["source-only"]);
    let weights = text(&run_dir(&learnt).join("source-only"));
    let out = bench.path("free");
    let free = |more: &[&str]| {
        let arguments = [
            "adapt",
            "--target",
            &data,
            "--weights",
            &weights,
            "--batch",
            "8",
            "--epochs",
            "1",
            "--out",
            &out,
        ];
        json(&[&arguments[..], more].concat())
    };
    let found = free(&["--method", "adabn,tent,shot"]);
    assert_eq!(methods(&found), ["given", "adabn", "tent", "shot"]);
    assert_eq!(found["method"], "adabn");
    assert!(found["oracle"].is_null());
    let given = &found["source_only"];
    assert_eq!(given["target_top1"], learnt["source_only"]["target_top1"]);
    assert!(given["a_distance"].is_null());
    let shas: Vec<&str> = found["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(sha256)
        .collect();
    assert!(
        (1..4).all(|place| !shas[..place].contains(&shas[place])),
        "{shas:?}"
    );
    let ended = json(&["adapt", "--resume", &text(&run_dir(&found))]);
    assert_eq!(ended, found);
    // A network that no run of adaptation made has no bottleneck.
    let plain = json(&[
        "train",
        "--data",
        &data,
        "--model",
        "resnet8_cifar10",
        "--epochs",
        "1",
        "--batch",
        "8",
        "--out",
        &out,
    ]);
    let plain = text(&run_dir(&plain));
    let found = json(&[
        "adapt",
        "--target",
        &data,
        "--weights",
        &plain,
        "--method",
        "adabn",
        "--batch",
        "8",
        "--out",
        &out,
    ]);
    assert_eq!(methods(&found), ["given", "adabn"]);

    let refused_out = bench.path("refused");
    let begin = [
        "adapt",
        "--target",
        &data,
        "--out",
        &refused_out,
        "--weights",
        &weights,
    ];
    let table: [(&[&str], &[&str]); 4] = [
        (
            &["--method", "tent,dann"],
            &["--source", "dann", "adabn, tent, shot"],
        ),
        (
            &["--method", "tent", "--validator", "dev"],
            &["dev", "im, entropy, snd, bnm"],
        ),
        (
            &["--method", "tent", "--target-labels", "1"],
            &["--source", "finetune"],
        ),
        (
            &["--method", "tent", "--weights", "none"],
            &["--source", "--weights"],
        ),
    ];
    let mut faults = Vec::new();
    for (more, words) in table {
        let mut arguments = begin.to_vec();
        if more.contains(&"--weights") {
            arguments.truncate(5);
        }
        faults.extend(refused(&[1, 2], words, &[&arguments[..], more].concat()));
    }
    // Nothing was begun.
    assert!(!bench.directory.path().join("refused").exists());
    none(faults);
}

#[test]
fn a_few_labels_of_the_target_stand_beside_the_source() {
    let bench = Bench::new();
    let data = bench.path("data");
    // In one piece: what has labels is not measured on.
    bench.images("others", &CLASSES, 4);
    let others = bench.path("others");
    let of = |out: &str, labels: &str| {
        adapted(
            &bench,
            out,
            &[
                "--source",
                &data,
                "--target",
                &others,
                "--target-labels",
                labels,
                "--method",
                "mcc,adabn",
            ],
        )
    };
    let found = of("one", "1");
    let expected = ["source-only", "few-labels", "source+labels", "mcc", "adabn"];
    assert_eq!(methods(&found), expected);
    assert_eq!(
        (&found["method"], &found["samples"]),
        (&"mcc".into(), &9.into())
    );
    let more = of("two", "2");
    assert_eq!(more["samples"], 6);
    // The source alone does not know them.
    assert_eq!(sha256(&more["source_only"]), sha256(&found["source_only"]));
    assert_ne!(sha256(&more["methods"][1]), sha256(&found["methods"][1]));

    let arguments = short(&bench, "refused");
    let with = |more: &[&str], words: &[&str]| {
        refused(&[1, 2], words, &[&strs(&arguments)[..], more].concat())
    };
    let labelled = ["--source", &data, "--target", &others, "--target-labels"];
    let mut faults = Vec::new();
    faults.extend(with(
        &[&labelled[..], &["5"]].concat(),
        &["target labels", "at most 4"],
    ));
    faults.extend(with(
        &[&labelled[..], &["4"]].concat(),
        &["none would be left"],
    ));
    none(faults);
}

#[test]
fn classes_and_images_that_the_domains_do_not_have_apart_are_told() {
    let bench = Bench::new();
    let data = bench.path("data");
    bench.images("wild", &["bee", "cat", "wasp"], 6);
    let copied = std::fs::read(bench.path("data/train/bee/bee00.png")).unwrap();
    bench.file("wild/bee/again.png", copied);
    let wild = bench.path("wild");
    let found = adapted(
        &bench,
        "wild-run",
        &["--source", &data, "--target", &wild, "--method", "dann"],
    );
    // Wasps are not measured.
    assert_eq!(found["samples"], 19);
    let said = notes(&found).join("\n");
    for words in [
        "lacks classes of the source (ant)",
        "classes that the source lacks (wasp): their 6 images",
        "1 of the source's and the target's training images are the same",
        "bee00.png",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let measured = found["adapted"]["target_top1"].as_f64().unwrap();
    assert!((0. ..=1.).contains(&measured));
    assert!(found["oracle"]["target_top1"].is_f64());
}

#[test]
fn every_domain_of_a_folder_is_adapted_to_every_other_one() {
    let bench = Bench::new();
    for domain in ["clip", "photo", "sketch"] {
        bench.images(&format!("domains/{domain}"), &CLASSES, 4);
    }
    let folder = bench.path("domains");
    let found = adapted(
        &bench,
        "pairs",
        &[
            "--domains",
            &folder,
            "--target",
            "sketch",
            "--method",
            "mcc",
        ],
    );
    let pairs = found["pairs"].as_array().unwrap();
    assert_eq!(pairs.len(), 2);
    let run = run_dir(&found);
    for (pair, name) in pairs.iter().zip(["clip-to-sketch", "photo-to-sketch"]) {
        assert_eq!(run_dir(pair), run.join(name));
        assert!(run.join(name).join("report.html").exists());
    }
    let means = found["means"].as_array().unwrap();
    let names: Vec<&Value> = means.iter().map(|mean| &mean["method"]).collect();
    assert_eq!(names, ["source-only", "mcc", "oracle"]);
    let of_pairs = pairs
        .iter()
        .map(|pair| pair["adapted"]["target_top1"].as_f64().unwrap());
    let mean = of_pairs.sum::<f64>() / 2.;
    assert!((means[1]["target_top1"].as_f64().unwrap() - mean).abs() < 1e-12);
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    assert!(page.contains("href=\"./photo-to-sketch/report.html\""));
    assert_eq!(json(&["adapt", "--resume", &text(&run)]), found);

    let arguments = short(&bench, "refused");
    let data = bench.path("data");
    let table: [(&[&str], &[&str]); 4] = [
        (
            &["--domains", &folder, "--source", "painting"],
            &["painting", "clip, photo, sketch"],
        ),
        (
            &["--domains", &folder, "--source", "clip", "--target", "clip"],
            &["same domain"],
        ),
        (&["--domains", "nowhere"], &["nowhere"]),
        (
            &["--domains", &data, "--test", &data],
            &["--domains", "--test"],
        ),
    ];
    let mut faults = Vec::new();
    for (more, words) in table {
        faults.extend(refused(
            &[1, 2],
            words,
            &[&strs(&arguments)[..], more].concat(),
        ));
    }
    none(faults);
}
