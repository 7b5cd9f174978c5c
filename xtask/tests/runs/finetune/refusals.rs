//! Arguments, weights and data that cannot be used.

use candle_core::Tensor;
use cnn_models::{ModelConfig, Network};
use cnn_weights::{TensorFile, save_safetensors};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

use crate::support::*;

/// Each case's arguments and what has to be said; none may leave a run directory.
fn all_refused(bench: &Bench, statuses: &[i32], table: &[(&[&str], &[&str])]) {
    let mut faults = Vec::new();
    for (arguments, words) in table {
        faults.extend(refused(
            statuses,
            words,
            &strs(&bench.tuning("runs", arguments)),
        ));
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(
        run_in(Path::new(&bench.path("runs"))),
        None,
        "a refused run left its directory"
    );
}

#[test]
fn bad_arguments_are_refused_with_what_is_accepted() {
    let bench = Bench::new();
    let table: [(&[&str], &[&str]); 15] = [
        (
            &["--strategy", "middle"],
            &["middle", "head", "full", "two-phase", "gradual"],
        ),
        (&["--strategy", "two-fase"], &["did you mean `two-phase`"]),
        (&["--weights", "none"], &["--weights none", "--model"]),
        (&["--epochs", "0"], &["'0' for '--epochs", "at least 1"]),
        (
            &["--head-epochs", "0"],
            &["'0' for '--head-epochs", "at least 1"],
        ),
        (&["--batch", "0"], &["'0' for '--batch", "at least 1"]),
        (&["--lr=-1"], &["'-1' for '--lr", "above 0"]),
        (&["--head-lr", "nan"], &["'nan' for '--head-lr", "above 0"]),
        (
            &["--body-scale", "0"],
            &["'0' for '--body-scale", "above 0"],
        ),
        (
            &["--layer-decay", "inf"],
            &["'inf' for '--layer-decay", "finite"],
        ),
        (
            &["--batch-norm", "still"],
            &["'still' for '--batch-norm", "frozen", "moving"],
        ),
        (
            &["--optimizer", "adamww"],
            &["`adamww`", "did you mean `adamw`"],
        ),
        (
            &["--model", "resnet8_cifar10"],
            &["resnet20_cifar10", "`resnet8_cifar10`"],
        ),
        (
            &["--weights", "none", "--model", "resnet8"],
            &["unknown model `resnet8`", "did you mean"],
        ),
        (
            &["--val-fraction", "1"],
            &["'1' for '--val-fraction", "below 1"],
        ),
    ];
    all_refused(&bench, &[2], &table);
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let bench = Bench::new();
    let config = std::fs::read(builtin().join("config.json")).unwrap();
    let weights = std::fs::read(builtin().join("model.safetensors")).unwrap();
    let with_config = |name: &str| bench.file(&format!("{name}/config.json"), &config);
    let path = |name: &str| bench.path(&format!("{name}/model.safetensors"));

    let other = ModelConfig {
        num_classes: Some(10),
        ..ModelConfig::default()
    };
    Network::new("resnet8_cifar10", &other, 0)
        .unwrap()
        .save(Path::new(&bench.path("shallower")))
        .unwrap();
    with_config("shallower");

    let file = TensorFile::open(builtin().join("model.safetensors")).unwrap();
    let narrower = |name: &str| {
        let tensor = file.tensor(name).unwrap();
        let tensor = if name == "layer3.0.conv1.weight" {
            tensor.narrow(1, 0, 16).unwrap()
        } else {
            tensor
        };
        (name.to_string(), tensor)
    };
    let tensors: Vec<(String, Tensor)> = file.names().map(narrower).collect();
    with_config("narrower");
    save_safetensors(Path::new(&path("narrower")), &tensors, &BTreeMap::new()).unwrap();

    with_config("cut");
    bench.file("cut/model.safetensors", &weights[..weights.len() / 2]);
    with_config("hollow");
    bench.file("bare.safetensors", &weights);
    bench.file("words.safetensors", "no weights");

    let cases: [(&str, &[&str]); 7] = [
        (
            "shallower",
            &[
                "shallower/model.safetensors",
                "resnet20_cifar10",
                "layer1.1.conv1.weight",
            ],
        ),
        (
            "narrower",
            &[
                "narrower/model.safetensors",
                "layer3.0.conv1.weight",
                "[64, 16, 3, 3]",
                "[64, 32, 3, 3]",
            ],
        ),
        ("cut", &["cut/model.safetensors", "the file is cut"]),
        ("hollow", &["hollow", "no weight file", "model.safetensors"]),
        ("absent", &["absent", "No such file"]),
        ("bare.safetensors", &["bare.safetensors", "name the model"]),
        ("words.safetensors", &["words.safetensors"]),
    ];
    for (name, words) in cases {
        all_refused(
            &bench,
            &[1, 2],
            &[(&["--weights", &bench.path(name)], words)],
        );
    }
}

#[test]
fn tensors_that_the_network_does_not_use_are_told() {
    let bench = Bench::new();
    let weights = bench.path("deeper.safetensors");
    std::fs::copy(builtin().join("model.safetensors"), &weights).unwrap();
    let more = [
        "--weights",
        &weights,
        "--model",
        "resnet8_cifar10",
        "--strategy",
        "head",
    ];
    let answer = succeeds(&strs(&bench.tuning("runs", &more)));
    let note = format!("resnet8_cifar10 does not use all tensors of {weights}");
    assert!(answer.stderr.contains(&note), "{}", answer.stderr);
}

#[test]
fn data_that_cannot_be_learned_from_are_refused_by_name() {
    let bench = Bench::new();
    bench.images("one", &["ant"], 20);
    bench.images("others/train", &CLASSES, 10);
    bench.images("others/val", &["dog", "eel"], 3);
    bench.images("single", &CLASSES, 1);
    for class in CLASSES {
        bench.file(&format!("broken/{class}/0.png"), "no picture");
        bench.file(&format!("broken/{class}/1.png"), "no picture");
    }
    std::fs::create_dir(bench.path("empty")).unwrap();
    let cases: [(&str, &[&str]); 6] = [
        ("one", &["1 (ant)", "at least 2"]),
        (
            "others",
            &[
                "validation images",
                "none is of a class that has training images",
                "`ant`",
            ],
        ),
        ("single", &["no class has two images", "validation"]),
        ("broken", &["training images", "broken/ant/"]),
        ("empty", &["empty", "looked for"]),
        ("absent", &["absent"]),
    ];
    for (name, words) in cases {
        for strategy in ["head", "full"] {
            all_refused(
                &bench,
                &[1, 2],
                &[(
                    &["--data", &bench.path(name), "--strategy", strategy],
                    words,
                )],
            );
        }
    }
}

#[test]
fn folders_without_training_images_are_no_classes_and_are_told() {
    let bench = Bench::new();
    bench.images("hollow/train", &CLASSES, 10);
    bench.images("hollow/val", &[&CLASSES[..], &["eel"]].concat(), 3);
    std::fs::create_dir(bench.path("hollow/train/dog")).unwrap();
    let run = run_dir(&bench.tune("runs", &["--data", &bench.path("hollow")]));
    let read = |name: &str| -> Value {
        serde_json::from_slice(&std::fs::read(run.join(name)).unwrap()).unwrap()
    };
    let config = read("best/config.json");
    assert_eq!(config["label_names"], serde_json::json!(CLASSES));
    let notes = read("summary.json")["notes"].to_string();
    for said in [
        "no images lie in `dog`",
        "there are no training images of `eel`",
        "3 of the 12 val images are of classes without training images",
    ] {
        assert!(notes.contains(said), "{said}: {notes}");
    }
}

#[test]
fn without_a_val_split_a_part_of_each_class_is_held_out() {
    let bench = Bench::new();
    bench.images("no-val/train", &CLASSES, 10);
    let answer = succeeds(&strs(&bench.tuning(
        "runs",
        &["--data", &bench.path("no-val"), "--val-fraction", "0.3"],
    )));
    assert!(
        answer
            .stderr
            .contains("21 training and 9 validation images"),
        "{}",
        answer.stderr
    );
    bench.images("pairs", &CLASSES, 2);
    let answer = succeeds(&strs(
        &bench.tuning("runs", &["--data", &bench.path("pairs")]),
    ));
    assert!(
        answer.stderr.contains("3 training and 3 validation images"),
        "{}",
        answer.stderr
    );
}

#[test]
fn an_unusable_place_for_runs_is_named() {
    let bench = Bench::new();
    let file = bench.file("a-file", "");
    let mut faults = refused(&[1, 2], &[&file], &strs(&bench.tuning("a-file", &[])));
    faults.extend(refused_in_closed_folder(&bench, |out| {
        bench.tuning(out, &[])
    }));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
