//! What each strategy trains, and what it leaves as it was.

use candle_core::DType;
use cnn_weights::TensorFile;
use serde_json::{Value, json};
use std::path::Path;

use crate::support::*;

const GROUPS: [&str; 5] = ["stem", "stage1", "stage2", "stage3", "head"];

/// Each phase's name and the groups that it trained, which are those that it changed.
fn phases(summary: &Value) -> Vec<(&str, &Value)> {
    let phases = summary["phases"].as_array().unwrap().iter();
    phases
        .map(|phase| {
            assert_eq!(phase["trained"], phase["changed"], "{phase}");
            (phase["name"].as_str().unwrap(), &phase["trained"])
        })
        .collect()
}

/// The source is saved in half precision, which single precision holds exactly.
fn values(file: &TensorFile, name: &str) -> Vec<f32> {
    let tensor = file.tensor(name).unwrap().to_dtype(DType::F32).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// The tensors of the run's last epoch that are what they were in the network that it began with, and the others, without the head's.
fn kept_and_changed(source: &Path, summary: &Value) -> [Vec<String>; 2] {
    let source = TensorFile::open(source.join("model.safetensors")).unwrap();
    let saved = TensorFile::open(run_dir(summary).join(WEIGHTS[0])).unwrap();
    let backbone = saved.names().filter(|name| !name.starts_with("linear.")).map(String::from);
    let (kept, changed) = backbone.partition(|name| values(&source, name) == values(&saved, name));
    [kept, changed]
}

#[test]
fn head_leaves_the_backbone_as_it_was() {
    let bench = Bench::new();
    // From features that are computed once, and from augmented images, which pass the backbone in every update.
    let mut weights = Vec::new();
    for more in [&[][..], &["--augment", "crop-flip"]] {
        let summary = bench.tune("runs", &[&["--strategy", "head"], more].concat());
        assert_eq!(phases(&summary), [("head", &json!(["head"]))], "{more:?}");
        let [kept, changed] = kept_and_changed(&builtin(), &summary);
        assert_eq!(changed, Vec::<String>::new(), "{more:?}");
        assert!(kept.len() > 100, "{more:?}: {kept:?}");
        assert_eq!(summary["frozen"], json!({"tensors": kept.len(), "unchanged": kept.len(), "changed": []}));
        weights.push(summary["weights_sha256"].clone());
    }
    assert_ne!(weights[0], weights[1], "the images were not augmented");
}

#[test]
fn a_run_directory_serves_as_weights() {
    let bench = Bench::new();
    let first = run_dir(&bench.tune("runs", &["--strategy", "full"]));
    let again = bench.tune("runs", &["--strategy", "head", "--weights", &text(&first)]);
    let [_, changed] = kept_and_changed(&first.join("best"), &again);
    assert_eq!(changed, Vec::<String>::new());
}

#[test]
fn two_phase_is_the_default_and_trains_the_head_first() {
    let bench = Bench::new();
    let summary = bench.tune("runs", &[]);
    assert_eq!(phases(&summary), [("head", &json!(["head"])), ("all layers", &json!(GROUPS))]);
    assert_eq!(summary["frozen"], json!({"tensors": 0, "unchanged": 0, "changed": []}));
    assert_eq!(summary["epochs"], 5);
    let named = bench.tune("named", &["--strategy", "two-phase"]);
    assert_eq!(named["weights_sha256"], summary["weights_sha256"]);
}

#[test]
fn full_trains_everything_in_one_phase() {
    let bench = Bench::new();
    let summary = bench.tune("runs", &["--strategy", "full"]);
    assert_eq!(phases(&summary), [("all layers", &json!(GROUPS))]);
    let [kept, _] = kept_and_changed(&builtin(), &summary);
    assert_eq!(kept, Vec::<String>::new());
}

#[test]
fn gradual_trains_one_group_more_in_each_phase() {
    let bench = Bench::new();
    let summary = bench.tune("runs", &["--strategy", "gradual", "--epochs", "4"]);
    let from_the_top: Vec<Value> = (0..GROUPS.len()).rev().map(|first| json!(GROUPS[first..])).collect();
    let names = ["head", "from stage3", "from stage2", "from stage1", "from stem"];
    assert_eq!(phases(&summary), names.into_iter().zip(&from_the_top).collect::<Vec<_>>());
}

#[test]
fn frozen_statistics_stay_while_their_layers_are_trained() {
    let bench = Bench::new();
    let summary = bench.tune("runs", &["--strategy", "full", "--batch-norm", "frozen"]);
    let [kept, changed] = kept_and_changed(&builtin(), &summary);
    let is_statistic = |name: &String| name.contains(".running_") || name.ends_with(".num_batches_tracked");
    assert!(kept.iter().all(is_statistic) && !changed.iter().any(is_statistic), "{kept:?}");
    assert_eq!(summary["frozen"], json!({"tensors": kept.len(), "unchanged": kept.len(), "changed": []}));
}
