//! Networks published for PyTorch give the figures that PyTorch measured, through the command line.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use cnn_weights::TensorFile;
use serde_json::Value;

/// A path of the shared data; `None` where it is absent, which CI does not accept.
fn shared(path: &str) -> Option<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../shared")
        .join(path);
    if path.exists() {
        return Some(path.display().to_string());
    }
    assert!(
        std::env::var_os("CNN_REQUIRE_SHARED").is_none(),
        "{} is absent",
        path.display()
    );
    println!("shared data absent, skipped");
    None
}

fn xtask(arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_cnn"))
        .args(arguments)
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).to_string();
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    (stdout, stderr)
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&xtask(arguments).0).unwrap()
}

#[test]
fn resnet20_reaches_its_published_accuracy_on_cifar10() {
    let Some(weights) = shared("hub/resnet20_cifar10/resnet20-12fca82f.th") else {
        return;
    };
    let data = shared("data/cifar10").unwrap();
    let model = [
        "evaluate",
        "--model",
        "resnet20_cifar10",
        "--weights",
        &weights,
    ];
    let answer = json(&[&model[..], &["--data", &data, "--split", "test", "--json"]].concat());
    assert_eq!(answer["samples"], 10_000);
    let top1 = answer["top1"].as_f64().unwrap();
    assert!((top1 - 0.9173).abs() <= 0.0003, "{top1}");
    assert_eq!(answer["per_class"][9]["label"], "truck");
    assert_eq!(answer["skipped"], Value::Array(Vec::new()));
}

#[test]
fn published_imagenet_weights_name_the_photos() {
    let Some(photos) = shared("data/imagenet_photos") else {
        return;
    };
    let table = [
        ("mobilenetv2_100.tf_in1k", 36, 39),
        ("mobilenetv1_075.tf_in1k", 37, 38),
        ("tf_efficientnet_lite0.in1k", 37, 39),
        ("squeezenet1_1.caffe_in1k", 31, 36),
    ];
    for (folder, top1, top5) in table {
        let weights = shared(&format!("hub/{folder}")).unwrap();
        let answer = json(&["predict", &photos, "--weights", &weights, "--json"]);
        let predictions = answer["predictions"].as_array().unwrap();
        let ranks: Vec<Option<usize>> = predictions.iter().map(rank_of_truth).collect();
        let within = |k: usize| {
            ranks
                .iter()
                .filter(|rank| rank.is_some_and(|rank| rank < k))
                .count() as i64
        };
        assert_eq!(predictions.len(), 40);
        assert!(
            (within(1) - top1).abs() <= 1 && (within(5) - top5).abs() <= 1,
            "{folder}: {} and {}",
            within(1),
            within(5)
        );
        assert!(
            answer["predictions"][0]["top"][0]["label"]
                .as_str()
                .unwrap()
                .contains("tench"),
            "{folder}"
        );
        let alone = json(&[
            "predict",
            &photos,
            "--weights",
            &weights,
            "--json",
            "--threads",
            "1",
        ]);
        assert_eq!(
            alone, answer,
            "{folder}: the numbers depend on the number of threads"
        );
    }
}

/// Where the class index that starts the file's name stands among the predicted ones.
fn rank_of_truth(prediction: &Value) -> Option<usize> {
    let path = PathBuf::from(prediction["path"].as_str().unwrap());
    let name = path.file_name().unwrap().to_str().unwrap();
    let truth: u64 = name.split('_').next().unwrap().parse().unwrap();
    prediction["top"]
        .as_array()
        .unwrap()
        .iter()
        .position(|class| class["index"] == truth)
}

#[test]
fn broken_files_in_a_folder_are_skipped_named_and_counted() {
    let Some(photos) = shared("data/imagenet_photos") else {
        return;
    };
    let weights = shared("hub/squeezenet1_1.caffe_in1k").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let photo = std::fs::read_dir(photos)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .min()
        .unwrap();
    std::fs::copy(&photo, directory.path().join("good.jpg")).unwrap();
    std::fs::write(
        directory.path().join("cut.jpg"),
        &std::fs::read(&photo).unwrap()[..5000],
    )
    .unwrap();
    std::fs::write(directory.path().join("text.jpg"), "not a photo").unwrap();
    let folder = directory.path().display().to_string();
    let csv = directory.path().join("out.csv");
    let arguments = [
        "predict",
        &folder,
        "--weights",
        &weights,
        "--top",
        "2",
        "--csv",
        csv.to_str().unwrap(),
    ];
    let answer = json(&[&arguments[..], &["--json"]].concat());
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 1);
    let skipped: Vec<&str> = answer["skipped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["path"].as_str().unwrap())
        .collect();
    assert!(
        skipped.len() == 2 && skipped[0].ends_with("cut.jpg") && skipped[1].ends_with("text.jpg"),
        "{skipped:?}"
    );
    let (stdout, stderr) = xtask(&arguments);
    assert!(
        stdout.contains("good.jpg: tench") && stderr.contains("skipped 2 in all"),
        "{stdout}{stderr}"
    );
    let lines = std::fs::read_to_string(csv).unwrap();
    assert_eq!(lines.lines().count(), 3, "{lines}");
    assert!(
        lines.starts_with("path,rank,index,label,probability\n") && lines.contains(",1,0,\"tench"),
        "{lines}"
    );
}

#[test]
fn a_dataset_of_other_classes_is_refused_by_name() {
    let Some(photos) = shared("data/hymenoptera") else {
        return;
    };
    let weights = shared("hub/squeezenet1_1.caffe_in1k").unwrap();
    let arguments = [
        "evaluate",
        "--weights",
        &weights,
        "--data",
        &photos,
        "--split",
        "val",
    ];
    let output = Command::new(env!("CARGO_BIN_EXE_cnn"))
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).to_string();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr.contains("squeezenet1_1 does not know the classes ants, bees; it has 1000"),
        "{stderr}"
    );
}

#[test]
fn data_describes_a_folder() {
    let Some(path) = shared("data/hymenoptera") else {
        return;
    };
    let survey = json(&["data", &path, "--json"]);
    assert_eq!(
        (survey["samples"].as_u64(), survey["format"].as_str()),
        (Some(398), Some("image-folder"))
    );
    assert_eq!(survey["splits"][0]["classes"][0]["samples"], 124);
    assert!(xtask(&["data", &path]).0.contains("bees     121   83"));
}

/// The figures of pycocotools, and the same again from the file of predictions; photos get boxes in
/// their own pixels, and the data command writes what reads back alike.
#[test]
fn yolox_nano_reaches_its_published_ap_on_coco() {
    let Some(weights) = shared("hub/yolox_nano.coco") else {
        return;
    };
    let data = shared("data/coco128").unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let at = |name: &str| scratch.path().join(name).display().to_string();
    let predictions = at("predictions.json");
    let on_data = ["evaluate", "--data", &data, "--predictions", &predictions];
    let answer = json(&[&on_data[..], &["--weights", &weights, "--json"]].concat());
    let figure = |answer: &Value, name: &str| answer[name].as_f64().unwrap();
    assert_eq!(answer["samples"], 32);
    assert!((figure(&answer, "ap") - 0.435).abs() <= 0.003, "{answer}");
    assert!((figure(&answer, "ap50") - 0.649).abs() <= 0.003, "{answer}");
    let labels = answer["per_class"].as_array().unwrap();
    assert!(labels.iter().any(|class| class["label"] == "teddy bear"));
    let again = json(&[&on_data[..], &["--json"]].concat());
    for name in ["ap", "ap50", "ap_small", "ar100"] {
        let difference = (figure(&again, name) - figure(&answer, name)).abs();
        assert!(difference < 1e-9, "{name}: {again}");
    }

    let photo = format!("{data}/images/000000000529.jpg");
    let out = at("boxes");
    let arguments = [
        "predict",
        &photo,
        "--weights",
        &weights,
        "--crops",
        "--json",
    ];
    let answer = json(&[&arguments[..], &["--out", &out]].concat());
    let seen = &answer["predictions"][0];
    assert_eq!(
        (&seen["width"], &seen["height"]),
        (&427.into(), &640.into())
    );
    let best = &seen["objects"][0];
    assert_eq!(
        (&best["label"], &best["index"]),
        (&"motorcycle".into(), &3.into())
    );
    let edges: Vec<f64> = serde_json::from_value(best["box"].clone()).unwrap();
    assert!(
        edges[0] < 40. && edges[2] > 350. && edges[3] > 560.,
        "{edges:?}"
    );
    for picture in [&seen["picture"], &best["crop"]] {
        assert!(std::path::Path::new(picture.as_str().unwrap()).exists());
    }

    let voc = at("voc");
    xtask(&["data", &data, "--export", "voc", "--out", &voc]);
    let counts = json(&["data", &voc, "--json"]);
    let boxes = &counts["boxes"];
    // Of the 220 objects four are crowds, which VOC calls difficult.
    assert_eq!(
        (&boxes["boxes"], &boxes["difficult"]),
        (&216.into(), &4.into())
    );
}

#[test]
fn an_object_is_explained_where_it_was_found() {
    let Some(weights) = shared("hub/yolox_nano.coco") else {
        return;
    };
    let photo = shared("data/coco128/images/000000000036.jpg").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let place = |name: &str| directory.path().join(name).display().to_string();
    let explained = |more: &[&str]| {
        let out = place("out");
        let arguments = [
            "explain",
            &photo,
            "--weights",
            &weights,
            "--no-checks",
            "--json",
            "--out",
            &out,
        ];
        let found = json(&[&arguments[..], more].concat());
        std::fs::remove_dir_all(out).unwrap();
        found["explanations"][0].clone()
    };
    let edges = |explained: &Value| -> Vec<f64> {
        let edges = explained["box"].as_array().unwrap().iter();
        edges.map(|edge| edge.as_f64().unwrap()).collect()
    };
    let surest = explained(&[]);
    assert_eq!(surest["predicted"]["label"], "umbrella");
    assert!(surest["predicted"]["score"].as_f64().unwrap() > 0.9);
    assert_eq!(surest["target"], "umbrella");
    assert_eq!(surest["maps"][0]["method"], "hirescam");
    // The umbrella fills the photo of 481×640; the woman below it is narrower.
    let [umbrella, person] = [surest, explained(&["--target", "person"])].map(|one| edges(&one));
    let width = |edges: &[f64]| edges[2] - edges[0];
    assert!(
        width(&umbrella) > 400. && width(&person) < 350.,
        "{person:?}"
    );
    let lower = explained(&["--target", "person", "--region", "0.5,0,1,1"]);
    assert_eq!(edges(&lower), person);

    // A map lies about its object.
    let raw = place("raw.safetensors");
    explained(&["--target", "person", "--raw", &raw]);
    let tensors = TensorFile::open(Path::new(&raw)).unwrap();
    let map = tensors.tensor("map.hirescam").unwrap().get(0).unwrap();
    let map = map.to_vec2::<f32>().unwrap();
    // The photo was fitted into 416×416.
    let scale = 416. / 640.;
    let inside = |row: usize, column: usize| {
        let [x, y] = [column, row].map(|at| (at as f64 + 0.5) / scale);
        person[0] <= x && x <= person[2] && person[1] <= y && y <= person[3]
    };
    let mut sums = [0f64; 2];
    for (row, values) in map.iter().enumerate() {
        for (column, value) in values.iter().enumerate() {
            sums[usize::from(inside(row, column))] += f64::from(*value);
        }
    }
    assert!(sums[1] > 2. * sums[0], "{sums:?}");
}

#[test]
fn a_detector_over_a_classifier_starts_at_twice_the_rate() {
    let Some(weights) = shared("hub/mobilenetv2_100.tf_in1k") else {
        return;
    };
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().display().to_string();
    let rate = |weights: &str| {
        let answer = json(&[
            "finetune",
            "--task",
            "detection",
            "--weights",
            weights,
            "--data",
            "shapes:samples=8",
            "--size",
            "32",
            "--epochs",
            "1",
            "--out",
            &out,
            "--json",
        ]);
        let run = PathBuf::from(answer["run_dir"].as_str().unwrap());
        let said = std::fs::read_to_string(run.join("args.toml")).unwrap();
        let line = said.lines().find(|line| line.starts_with("lr = "));
        let name = run.file_name().unwrap().to_string_lossy().to_string();
        (name, line.unwrap().to_string())
    };
    let over = ("ssdlite-1".to_string(), "lr = 0.002".to_string());
    assert_eq!(rate(&weights), over);
    let detector = shared("hub/yolox_nano.coco").unwrap();
    let own = ("yolox_nano-1".to_string(), "lr = 0.001".to_string());
    assert_eq!(rate(&detector), own);
}
