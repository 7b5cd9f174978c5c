//! `cargo xtask inspect` as its users meet it: one JSON object, the same at any number of threads,
//! files, and what it refuses.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use cnn_data::Image;
use cnn_models::{ModelConfig, Network};
use serde_json::Value;

const MODEL: &str = "resnet8_cifar10";
const FILES: [&str; 6] = [
    "args.toml",
    "channels.csv",
    "dead-filters.svg",
    "filters.png",
    "inspect.json",
    "report.html",
];

struct Answer {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn xtask(directory: &Path, arguments: &[&str]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_cnn"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).to_string();
    let answer = Answer {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    };
    assert!(
        !answer.stderr.contains("panicked"),
        "{arguments:?}: {}",
        answer.stderr
    );
    answer
}

/// A directory with a network, three of whose filters are dead, and photos without labels.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let network = Network::new(MODEL, &ModelConfig::default(), 0).unwrap();
        let bias = network.store().get("layer1.0.bn1.bias").unwrap();
        let mut values = bias.to_vec1::<f32>().unwrap();
        [2, 3, 11]
            .map(|channel| values[channel] = -1e3)
            .iter()
            .for_each(drop);
        network
            .store()
            .set(
                "layer1.0.bn1.bias",
                &candle_core::Tensor::new(values, bias.device()).unwrap(),
            )
            .unwrap();
        network.save(&directory.path().join("weights")).unwrap();
        std::fs::create_dir(directory.path().join("photos")).unwrap();
        for number in 0..6 {
            let bytes = (0..40 * 48 * 3)
                .map(|at| (at * (7 + number) % 251) as u8)
                .collect();
            let photo = Image::from_pixels(40, 48, 3, bytes).unwrap();
            photo
                .write_png(&directory.path().join(format!("photos/{number}.png")))
                .unwrap();
        }
        Self(directory)
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.0.path().join(inside)
    }

    fn inspect(&self, more: &[&str]) -> Answer {
        let arguments = ["inspect", "--weights", "weights", "--data", "photos"];
        xtask(self.0.path(), &[&arguments[..], more].concat())
    }

    fn json(&self, more: &[&str]) -> Value {
        let answer = self.inspect(&[more, &["--json"]].concat());
        assert_eq!(answer.status, Some(0), "{}", answer.stderr);
        serde_json::from_str(&answer.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", answer.stdout))
    }
}

#[test]
fn dead_filters_of_unlabelled_photos_are_reported() {
    let bench = Bench::new();
    let found = bench.json(&["--out", "out"]);
    assert_eq!(
        (&found["model"], &found["images"]),
        (&Value::from(MODEL), &Value::from(6))
    );
    let dead = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["layer"] == "layer1.0.conv1");
    let channels: Vec<&Value> = dead.clone().map(|finding| &finding["channel"]).collect();
    assert_eq!(channels, [2, 3, 11]);
    for finding in dead {
        assert_eq!(finding["norm"], "layer1.0.bn1");
        assert_eq!(
            (finding["kind"].as_str(), finding["action"].as_str()),
            (Some("never_active"), Some("drop"))
        );
        // 16·3·3 weights, scale and shift, and what the 16 filters of the next layer read: 3·3
        // weights each.
        assert_eq!(finding["parameters"], 16 * 9 + 2 + 16 * 9);
        assert_eq!(finding["multiply_adds"], (16 * 9 + 16 * 9) * 32 * 32);
        assert_eq!(finding["max_logit_change"], 0.);
    }
    let keys: Vec<&str> = found
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    let expected = [
        "model",
        "images",
        "held_out",
        "rarefaction",
        "layers",
        "other_layers",
        "stages",
        "findings",
        "totals",
        "skipped",
        "weights",
    ];
    assert_eq!(keys, expected);
    assert_eq!(found["weights"], "weights");
    assert_eq!(found["held_out"], Value::Null);
    let last = &found["stages"][3];
    assert_eq!(
        (&last["module"], &last["channels"], &last["reduction"]),
        (&"layer3".into(), &64.into(), &4.into())
    );
    // 3, then 2·2 in layer 1, 2 + 4 in layer 2, 4 + 8 in layer 3.
    assert_eq!(
        last["receptive_field"],
        serde_json::json!({"size": [25, 25], "jump": [4, 4]})
    );
    assert_eq!(found["totals"]["multiply_adds"], 12_239_488);
    assert!(found["skipped"].as_array().unwrap().is_empty());

    let written: Value =
        serde_json::from_slice(&std::fs::read(bench.path("out/inspect.json")).unwrap()).unwrap();
    assert_eq!(written, found);
    let mut files: Vec<String> = std::fs::read_dir(bench.path("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, FILES);
    let read = |file: &str| std::fs::read_to_string(bench.path("out").join(file)).unwrap();
    assert!(
        read("report.html").starts_with("<!doctype html>")
            && read("dead-filters.svg").starts_with("<svg")
    );
    let byline = format!("cnn {}, 20", env!("CARGO_PKG_VERSION"));
    assert!(read("report.html").contains(&byline));
    assert!(read("channels.csv").contains("layer1.0.conv1,2,0,0,0,0,1,never active,0\n"));
    // A row of 16 filters of 48 pixels each in two, with gaps of 4.
    let sheet = cnn_data::open_image(&bench.path("out/filters.png")).unwrap();
    assert_eq!((sheet.height(), sheet.width()), (2 * 52 + 4, 8 * 52 + 4));
}

#[test]
fn the_object_is_the_same_at_any_number_of_threads() {
    let bench = Bench::new();
    let object = |threads: &str| {
        bench
            .inspect(&["--json", "--threads", threads, "--batch", "4"])
            .stdout
    };
    let one = object("1");
    assert!(!one.is_empty());
    assert_eq!(one, object("2"));
    assert_eq!(one, object("5"));
}

#[test]
fn people_get_a_table_and_a_new_directory_each_time() {
    let bench = Bench::new();
    for number in [1, 2] {
        let answer = bench.inspect(&[]);
        assert_eq!(answer.status, Some(0), "{}", answer.stderr);
        let row = answer
            .stdout
            .lines()
            .find(|line| line.starts_with("layer1.0.conv1"))
            .unwrap();
        assert_eq!(
            row.split_whitespace().take(6).collect::<Vec<_>>(),
            ["layer1.0.conv1", "16", "3", "·", "·", "·"]
        );
        assert!(
            answer.stdout.contains("25 × 25") && answer.stdout.contains("on these 6 images"),
            "{}",
            answer.stdout
        );
        let directory = format!("runs/inspect/{MODEL}-{number}");
        assert!(
            answer
                .stdout
                .contains(&format!("report: {directory}/report.html\n")),
            "{}",
            answer.stdout
        );
        let page = std::fs::read_to_string(bench.path(&directory).join("report.html")).unwrap();
        assert!(
            page.contains("On 6 images (photos) 3 of 240 filters do nothing."),
            "{page}"
        );
        assert!(
            FILES
                .iter()
                .all(|file| bench.path(&directory).join(file).exists())
        );
    }
}

#[test]
fn the_claim_is_tried_on_other_images_and_follows_their_number() {
    let bench = Bench::new();
    let shapes = [
        "inspect",
        "--weights",
        "weights",
        "--data",
        "shapes",
        "--split",
        "test",
        "--out",
        "out",
    ];
    let inspect = |more: &[&str]| {
        let answer = xtask(bench.0.path(), &[&shapes[..], more].concat());
        assert_eq!(answer.status, Some(0), "{}", answer.stderr);
        answer
    };
    let found: Value =
        serde_json::from_str(&inspect(&["--images", "40", "--json"]).stdout).unwrap();
    let number = |key: &str| found["held_out"][key].as_f64().unwrap();
    assert_eq!((number("made_from"), number("images")), (32., 8.));
    assert!(
        number("claimed") >= 3. && number("contradicted") <= number("claimed"),
        "{}",
        found["held_out"]
    );
    // What is not contradicted is found on all of them.
    assert!(
        number("claimed") - number("contradicted")
            <= found["totals"]["removable"].as_f64().unwrap()
    );
    let points = |key: &str, field: &str| -> Vec<f64> {
        found["rarefaction"][key]
            .as_array()
            .unwrap()
            .iter()
            .map(|point| point[field].as_f64().unwrap())
            .collect()
    };
    assert_eq!(
        (points("counted", "images"), points("estimated", "images")),
        (vec![16., 32., 40.], vec![80., 160., 400.])
    );
    let exact = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["exact"] == true)
        .count();
    let filters = [points("counted", "filters"), points("estimated", "filters")].concat();
    assert_eq!(filters[2], exact as f64);
    assert!(
        filters.is_sorted_by(|more, images| more >= images),
        "{filters:?}"
    );

    let answer = inspect(&["--images", "40"]);
    let [totals, tried] = [
        "filters do nothing on these 40 images:",
        "do something on the 8 others",
    ];
    assert!(
        answer.stdout.contains(totals) && answer.stdout.contains(tried),
        "{}",
        answer.stdout
    );
    assert!(
        answer.stdout.contains("estimated") && answer.stdout.contains("report: out/report.html"),
        "{}",
        answer.stdout
    );
    // More images are the next step as long as there are some.
    let more = "inspect --weights weights --data shapes --split test --images 160  (";
    assert!(answer.stderr.contains(more), "{}", answer.stderr);
    assert!(
        answer
            .stderr
            .contains("explain PHOTOS --weights weights --maps layer1.0.conv1  ("),
        "{}",
        answer.stderr
    );
    assert!(
        !bench
            .inspect(&["--images", "0"])
            .stderr
            .contains("--images")
    );
}

#[test]
fn images_are_limited_and_broken_ones_are_skipped_and_named() {
    let bench = Bench::new();
    assert_eq!(bench.json(&["--images", "2"])["images"], 2);
    std::fs::write(bench.path("photos/3.png"), "not a photo").unwrap();
    let found = bench.json(&["--images", "0"]);
    assert_eq!(found["images"], 5);
    let skipped = found["skipped"].as_array().unwrap();
    assert!(
        skipped.len() == 1 && skipped[0]["path"].as_str().unwrap().ends_with("3.png"),
        "{skipped:?}"
    );
    assert!(bench.inspect(&[]).stderr.contains("3.png"));
}

#[test]
fn what_cannot_be_inspected_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path("broken")).unwrap();
    std::fs::write(bench.path("broken/a.jpg"), "not a photo").unwrap();
    std::fs::create_dir(bench.path("empty")).unwrap();
    let refused = |status: i32, words: &[&str], arguments: &[&str]| {
        let answer = xtask(
            bench.0.path(),
            &[&["inspect"], arguments, &["--json"]].concat(),
        );
        assert_eq!(
            (answer.status, answer.stdout.as_str()),
            (Some(status), ""),
            "{arguments:?}: {}",
            answer.stderr
        );
        for word in words {
            assert!(
                answer.stderr.contains(word),
                "{arguments:?}: `{word}` is not in {}",
                answer.stderr
            );
        }
    };
    let weights = ["--weights", "weights"];
    let with = |data: &[&'static str]| [&weights[..], data].concat();
    refused(
        2,
        &["dev", "train, val or test"],
        &with(&["--data", "photos", "--split", "dev"]),
    );
    refused(
        1,
        &["photos", "val"],
        &with(&["--data", "photos", "--split", "val"]),
    );
    refused(
        1,
        &["nothing readable", "a.jpg"],
        &with(&["--data", "broken"]),
    );
    refused(1, &["empty"], &with(&["--data", "empty"]));
    refused(1, &["absent"], &with(&["--data", "absent"]));
    refused(
        1,
        &["nothing readable"],
        &with(&["--data", "weights/config.json"]),
    );
    refused(1, &["absent"], &["--weights", "absent", "--data", "photos"]);
    refused(2, &["name the network"], &["--data", "photos"]);
    refused(2, &["--data"], &weights);
    refused(
        2,
        &["--batch"],
        &with(&["--data", "photos", "--batch", "0"]),
    );
    refused(
        2,
        &["--images"],
        &with(&["--data", "photos", "--images", "many"]),
    );
    assert!(!bench.path("runs").exists());
}

#[test]
fn a_labelled_dataset_is_opened_by_its_split() {
    let bench = Bench::new();
    let arguments = [
        "inspect",
        "--weights",
        "weights",
        "--data",
        "shapes",
        "--split",
        "test",
        "--images",
        "5",
        "--json",
    ];
    let answer = xtask(bench.0.path(), &arguments);
    assert_eq!(answer.status, Some(0), "{}", answer.stderr);
    assert_eq!(
        serde_json::from_str::<Value>(&answer.stdout).unwrap()["images"],
        5
    );
    let answer = xtask(bench.0.path(), &arguments[..5]);
    assert_eq!(answer.status, Some(2));
    assert!(answer.stderr.contains("choose one of"), "{}", answer.stderr);
}
