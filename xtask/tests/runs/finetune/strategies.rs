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

/// The tensors of the run's last epoch that are what they were in the network that it began with,
/// and the others, without the head's.
fn kept_and_changed(source: &Path, summary: &Value) -> [Vec<String>; 2] {
    let source = TensorFile::open(source.join("model.safetensors")).unwrap();
    let saved = TensorFile::open(run_dir(summary).join(WEIGHTS[0])).unwrap();
    let backbone = saved
        .names()
        .filter(|name| !name.starts_with("linear."))
        .map(String::from);
    let (kept, changed) = backbone.partition(|name| values(&source, name) == values(&saved, name));
    [kept, changed]
}

#[test]
fn head_leaves_the_backbone_as_it_was() {
    let bench = Bench::new();
    // From features that are computed once, and from augmented images, which pass the backbone in
    // every update.
    let mut weights = Vec::new();
    for more in [&[][..], &["--augment", "crop-flip"]] {
        let summary = bench.tune("runs", &[&["--strategy", "head"], more].concat());
        assert_eq!(phases(&summary), [("head", &json!(["head"]))], "{more:?}");
        let [kept, changed] = kept_and_changed(&builtin(), &summary);
        assert_eq!(changed, Vec::<String>::new(), "{more:?}");
        assert!(kept.len() > 100, "{more:?}: {kept:?}");
        assert_eq!(
            summary["frozen"],
            json!({"tensors": kept.len(), "unchanged": kept.len(), "changed": []})
        );
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
    assert_eq!(
        phases(&summary),
        [("head", &json!(["head"])), ("all layers", &json!(GROUPS))]
    );
    assert_eq!(
        summary["frozen"],
        json!({"tensors": 0, "unchanged": 0, "changed": []})
    );
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
    let from_the_top: Vec<Value> = (0..GROUPS.len())
        .rev()
        .map(|first| json!(GROUPS[first..]))
        .collect();
    let names = [
        "head",
        "from stage3",
        "from stage2",
        "from stage1",
        "from stem",
    ];
    assert_eq!(
        phases(&summary),
        names.into_iter().zip(&from_the_top).collect::<Vec<_>>()
    );
}

#[test]
fn frozen_statistics_stay_while_their_layers_are_trained() {
    let bench = Bench::new();
    let summary = bench.tune("runs", &["--strategy", "full", "--batch-norm", "frozen"]);
    let [kept, changed] = kept_and_changed(&builtin(), &summary);
    let is_statistic =
        |name: &String| name.contains(".running_") || name.ends_with(".num_batches_tracked");
    assert!(
        kept.iter().all(is_statistic) && !changed.iter().any(is_statistic),
        "{kept:?}"
    );
    assert_eq!(
        summary["frozen"],
        json!({"tensors": kept.len(), "unchanged": kept.len(), "changed": []})
    );
}

/// The sentence that says what was trained and what was kept.
fn trained(bench: &Bench, more: &[&str]) -> String {
    let answer = succeeds(&strs(&bench.tuning("runs", more)));
    let line = answer
        .stdout
        .lines()
        .find(|line| line.starts_with("trained: "));
    line.unwrap_or_else(|| panic!("{}", answer.stdout))
        .to_string()
}

#[test]
fn what_was_trained_and_what_was_kept_is_said() {
    let bench = Bench::new();
    let file = TensorFile::open(builtin().join("model.safetensors")).unwrap();
    let statistics = file
        .names()
        .filter(|name| name.contains(".running_") || name.contains("num_batches"));
    let all = file.names().count();
    let statistics = statistics.count();
    let parameters = all - statistics;
    let norms = file
        .names()
        .filter(|name| name.ends_with(".running_mean"))
        .count();

    let head =
        format!("trained: 2 of {parameters} parameter tensors; kept: stem, stage1, stage2, stage3");
    let head = format!("{head} ({} tensors), unchanged in the saved file", all - 2);
    assert_eq!(trained(&bench, &["--strategy", "head"]), head);
    let full = format!("trained: all {parameters} parameter tensors");
    assert_eq!(trained(&bench, &["--strategy", "full"]), full);
    let kept = format!("{full}; kept: running statistics of {norms} norms ({statistics} tensors)");
    let frozen = trained(&bench, &["--strategy", "full", "--batch-norm", "frozen"]);
    assert_eq!(frozen, format!("{kept}, unchanged in the saved file"));
}

/// The rates of a run's updates.
fn rates(run: &Path) -> Vec<f64> {
    let events = lines(&run.join("events.jsonl"));
    let events = events
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events
        .filter(|event| event["event"] == "update")
        .map(|event| event["lr"].as_f64().unwrap())
        .collect()
}

#[test]
fn schedule_and_warm_up_begin_anew_in_each_phase() {
    let bench = Bench::new();
    let more = [
        "--schedule",
        "step:every=1,gamma=0.5",
        "--warmup",
        "0",
        "--head-lr",
        "0.008",
        "--lr",
        "0.004",
    ];
    let run = run_dir(&bench.tune("runs", &more));
    // Three epochs of three updates, then two.
    let head = [0.008, 0.004, 0.002].map(|rate| [rate; 3]).concat();
    assert_eq!(
        rates(&run),
        [head, [0.004, 0.002].map(|rate| [rate; 3]).concat()].concat()
    );
    let written: toml::Table = std::fs::read_to_string(run.join("args.toml"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(written["schedule"], "step:every=1,gamma=0.5".into());
    // The default is a cosine, and a warm-up of a tenth of the phase.
    let usual = bench.tune("runs", &[])["weights_sha256"].clone();
    let named = ["--schedule", "cosine", "--optimizer", "adamw:beta1=0.9"];
    assert_eq!(bench.tune("runs", &named)["weights_sha256"], usual);
    assert_ne!(
        bench.tune("runs", &["--warmup", "1"])["weights_sha256"],
        usual
    );
    assert_ne!(
        bench.tune("runs", &["--optimizer", "sgd:momentum=0.5"])["weights_sha256"],
        usual
    );
}

#[test]
fn patience_ends_a_phase_and_the_next_follows() {
    let bench = Bench::new();
    let still = [
        "--head-lr",
        "1e-30",
        "--lr",
        "1e-30",
        "--head-epochs",
        "9",
        "--epochs",
        "8",
        "--patience",
        "2",
    ];
    // Batch statistics would move without any rate.
    let arguments = bench.tuning("runs", &[&still[..], &["--batch-norm", "frozen"]].concat());
    let answer = succeeds(&strs(&arguments));
    assert_eq!(
        answer
            .stderr
            .matches("no better epoch in the last 2 (--patience)")
            .count(),
        2,
        "{}",
        answer.stderr
    );
    let run = run_in(Path::new(&bench.path("runs"))).unwrap();
    assert_eq!(lines(&run.join("metrics.csv")).len(), 1 + 3 + 2);
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    for phase in ["head, epochs 1 to 3", "all layers, epochs 4 to 5"] {
        assert!(report.contains(phase), "`{phase}` is not in the report");
    }
    let summary: serde_json::Value =
        serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(
        [
            &summary["phases"][0]["epochs"],
            &summary["phases"][1]["epochs"]
        ],
        [3, 2]
    );
    assert!(
        answer
            .stderr
            .contains("features of 48 training images\nfeatures of 60 validation images\n"),
        "{}",
        answer.stderr
    );
}
