//! `cargo xtask explain` on what people have in their folders.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use cnn_data::{Image, open_image};
use cnn_weights::TensorFile;
use serde_json::Value;

const MODEL: [&str; 4] = ["--model", "resnet8_cifar10", "--weights", "none"];

struct Answer {
    status: Option<i32>,
    stdout: String,
    stderr: String,
}

fn explain(arguments: &[&str]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_cnn"))
        .arg("explain")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Answer {
        status: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn json(arguments: &[&str]) -> Value {
    let Answer {
        status,
        stdout,
        stderr,
    } = explain(&[arguments, &["--json"]].concat());
    assert_eq!(status, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

/// An image with a bright disc in the middle of its upper left quarter.
fn disc(height: usize, width: usize, channels: usize) -> Image {
    let radius = height.min(width) as f64 / 6.;
    let pixel = |at: usize| {
        let row = (at / width) as f64 - height as f64 / 4.;
        let column = (at % width) as f64 - width as f64 / 4.;
        if row.hypot(column) < radius { 230 } else { 40 }
    };
    let bytes = (0..height * width)
        .flat_map(|at| std::iter::repeat_n(pixel(at), channels))
        .collect();
    Image::from_pixels(height, width, channels, bytes).unwrap()
}

struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    fn image(&self, name: &str, image: &Image) -> String {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        image.write_png(&self.path(name)).unwrap();
        self.text(name)
    }
}

#[test]
fn a_folder_as_found_in_the_wild() {
    let bench = Bench::new();
    let sizes = [
        ("grey", (50, 70, 1)),
        ("huge", (4000, 6000, 3)),
        ("icon", (10, 10, 3)),
        ("sub/icon", (16, 12, 3)),
    ];
    for (name, (height, width, channels)) in sizes {
        bench.image(
            &format!("photos/{name}.png"),
            &disc(height, width, channels),
        );
    }
    std::fs::write(
        bench.path("photos/broken.jpg"),
        b"\xff\xd8\xff\xe0 no photo at all",
    )
    .unwrap();
    let whole = std::fs::read(bench.path("photos/grey.png")).unwrap();
    std::fs::write(bench.path("photos/half.png"), &whole[..whole.len() / 2]).unwrap();

    let photos = bench.text("photos");
    let out = bench.text("runs");
    let arguments = [
        &[
            photos.as_str(),
            "--out",
            &out,
            "--method",
            "gradcam,gradient,gradxinput",
            "--no-checks",
        ],
        &MODEL[..],
    ];
    let report = json(&arguments.concat());
    let skipped: Vec<&str> = report["skipped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|skipped| skipped["path"].as_str().unwrap())
        .collect();
    assert_eq!(
        skipped,
        [
            bench.text("photos/broken.jpg"),
            bench.text("photos/half.png")
        ]
    );
    let explained = report["explanations"].as_array().unwrap();
    assert_eq!(explained.len(), 4);
    assert_eq!(report["weights"], "none");
    let directory = Path::new(report["run_dir"].as_str().unwrap());
    let mut files = std::collections::BTreeSet::new();
    for explanation in explained {
        let photo = open_image(Path::new(explanation["path"].as_str().unwrap())).unwrap();
        for map in explanation["maps"].as_array().unwrap() {
            let file = map["overlay"].as_str().unwrap();
            assert!(files.insert(file.to_string()), "{file} is written twice");
            let overlay = open_image(&directory.join(file)).unwrap();
            assert_eq!(
                [overlay.height(), overlay.width()],
                [photo.height(), photo.width()],
                "{file}"
            );
            let differs = overlay
                .bytes()
                .chunks_exact(3)
                .any(|pixel| pixel[0] != pixel[2]);
            assert!(differs, "{file} has no colours");
        }
    }
    assert!(files.contains("icon.gradcam.png") && files.contains("icon-2.gradcam.png"));
    let page = std::fs::read_to_string(directory.join("report.html"))
        .unwrap()
        .replace("<wbr>", "");
    assert!(
        page.contains("broken.jpg")
            && page.contains("linear-gradient")
            && page.contains("huge.gradcam.png")
    );
    let summary: Value =
        serde_json::from_slice(&std::fs::read(directory.join("explain.json")).unwrap()).unwrap();
    assert_eq!(summary, report);
}

#[test]
fn raw_maps_and_checks() {
    let bench = Bench::new();
    let photos = [
        bench.image("a.png", &disc(40, 60, 3)),
        bench.image("b.png", &disc(64, 33, 3)),
    ];
    let out = bench.text("runs");
    let raw = bench.text("maps.safetensors");
    let methods = "gradcam,scorecam,ig,occlusion";
    let arguments = [
        photos[0].as_str(),
        &photos[1],
        "--out",
        &out,
        "--raw",
        &raw,
        "--method",
        methods,
        "--size",
        "32x48",
    ];
    let report = json(
        &[
            &arguments[..],
            &MODEL[..],
            &["--target", "frog", "--against", "3", "--batch", "5"],
        ]
        .concat(),
    );
    for explanation in report["explanations"].as_array().unwrap() {
        assert_eq!(explanation["target"], "frog rather than cat");
        for map in explanation["maps"].as_array().unwrap() {
            let checks = &map["checks"];
            let share = |key: &str| {
                checks[key]
                    .as_f64()
                    .unwrap_or_else(|| panic!("no {key} in {map}"))
            };
            assert!(
                (0.0..=1.0).contains(&share("insertion_auc"))
                    && (0.0..=1.0).contains(&share("deletion_auc"))
            );
            assert!((-1.0..=1.0).contains(&share("road")));
            let randomized = checks["randomization"].as_array().unwrap();
            assert_eq!(randomized.len(), 3);
            // The verdicts follow from the numbers beside them.
            let verdicts = checks["verdicts"].as_array().unwrap();
            let passed = |check: &str| {
                verdicts
                    .iter()
                    .find(|verdict| verdict["check"] == check)
                    .unwrap()["passed"]
                    .clone()
            };
            assert_eq!(verdicts.len(), 3, "{map}");
            let same = randomized
                .iter()
                .filter(|step| step["rank_correlation"].as_f64().unwrap() >= 0.5)
                .count();
            assert_eq!(passed("randomization"), same < 2, "{map}");
            assert_eq!(
                passed("insertion-deletion"),
                share("insertion_auc") >= 2. * share("deletion_auc"),
                "{map}"
            );
            assert_eq!(passed("road"), share("road") >= 0.05, "{map}");
            assert_eq!(
                map["method"] == "ig",
                map["completeness_gap"]
                    .as_f64()
                    .is_some_and(|gap| gap <= 0.01),
                "{map}"
            );
        }
    }
    let file = TensorFile::open(Path::new(&raw)).unwrap();
    assert_eq!(file.tensor("input").unwrap().dims(), [2, 3, 32, 48]);
    for method in methods.split(',') {
        let map = file.tensor(&format!("map.{method}")).unwrap();
        assert_eq!(
            (map.dims(), map.dtype()),
            (&[2, 32, 48][..], candle_core::DType::F32)
        );
    }
    assert_eq!(
        file.tensor("attribution.ig").unwrap().dims(),
        [2, 3, 32, 48]
    );
    let paths: Vec<String> = serde_json::from_str(&file.metadata()["paths"]).unwrap();
    assert_eq!(paths, photos);
}

#[test]
fn the_table_names_what_was_randomised_and_gives_a_verdict_with_its_rule() {
    let bench = Bench::new();
    let photo = bench.image("a.png", &disc(40, 60, 3));
    let out = bench.text("runs");
    let arguments = [
        &[photo.as_str(), "--out", &out, "--method", "gradcam,guided"],
        &MODEL[..],
    ]
    .concat();
    let Answer {
        status,
        stdout,
        stderr,
    } = explain(&arguments);
    assert_eq!(status, Some(0), "{stderr}");
    let columns = [
        "photo",
        "method",
        "insertion",
        "deletion",
        "ROAD",
        "random head",
        "random all layers",
        "verdict",
    ];
    let lines: Vec<&str> = stdout.lines().collect();
    assert!(
        columns.iter().all(|column| lines[0].contains(column)),
        "{stdout}"
    );
    let summary: Value =
        serde_json::from_slice(&std::fs::read(bench.path("runs/explain.json")).unwrap()).unwrap();
    let page = std::fs::read_to_string(bench.path("runs/report.html")).unwrap();
    assert!(
        page.contains("cnn 0.") && page.contains(" UTC"),
        "program, version and time"
    );
    for (row, map) in lines[1..3]
        .iter()
        .zip(summary["explanations"][0]["maps"].as_array().unwrap())
    {
        let verdicts = map["checks"]["verdicts"].as_array().unwrap();
        let failed: Vec<&Value> = verdicts
            .iter()
            .filter(|verdict| verdict["passed"] == false)
            .collect();
        assert_eq!(row.ends_with("passes"), failed.is_empty(), "{row}");
        for verdict in failed {
            let finding = verdict["finding"].as_str().unwrap();
            assert!(
                stdout.contains(finding) && page.contains(finding),
                "{finding}"
            );
        }
    }
    assert!(
        stdout.contains("A map passes if their median is below 0.5"),
        "{stdout}"
    );
}

#[test]
fn feature_maps_of_stages_and_layers_are_drawn() {
    let bench = Bench::new();
    let photo = bench.image("a.png", &disc(40, 60, 3));
    let out = bench.text("runs");
    let report = json(
        &[
            &[
                &photo,
                "--out",
                &out,
                "--no-checks",
                "--maps",
                "stage1,layer2.0.conv1",
            ],
            &MODEL[..],
        ]
        .concat(),
    );
    for name in ["stage1", "layer2.0.conv1"] {
        let grid =
            Path::new(report["run_dir"].as_str().unwrap()).join(format!("a.maps.{name}.png"));
        assert!(open_image(&grid).unwrap().width() > 100, "{name}");
    }
}

#[test]
fn unusable_arguments_are_refused_before_anything_is_written() {
    let bench = Bench::new();
    let photo = bench.image("a.png", &disc(40, 60, 3));
    let broken = bench.text("broken.jpg");
    std::fs::write(&broken, b"no photo").unwrap();
    let out = bench.text("runs");
    let cases: [(&str, &[&str], i32, &str); 8] = [
        (
            &photo,
            &["--method", "gradcamm"],
            2,
            "did you mean `gradcam`",
        ),
        (&photo, &["--target", "frok"], 2, "did you mean `frog`"),
        (&photo, &["--against", "10"], 2, "numbers from 0 to 9"),
        (&photo, &["--stage", "layer9"], 2, "did you mean `layer1`"),
        (&photo, &["--region", "0,0,2,1"], 2, "found rows 0 to 2"),
        (&photo, &["--region", "0,0"], 2, "four numbers"),
        (
            &photo,
            &["--maps", "layer1.0.convv1"],
            2,
            "did you mean `layer1.0.conv1`",
        ),
        (&bench.text("nothing.jpg"), &[], 1, "nothing.jpg"),
    ];
    for (photo, arguments, status, message) in cases {
        let answer = explain(&[&[photo, "--out", &out], &MODEL[..], arguments].concat());
        assert_eq!(
            answer.status,
            Some(status),
            "{arguments:?} {}",
            answer.stderr
        );
        assert!(
            answer.stderr.contains(message),
            "{arguments:?} {}",
            answer.stderr
        );
        assert!(!Path::new(&out).exists(), "{arguments:?}");
    }
    let answer = explain(&[&[broken.as_str(), "--out", &out], &MODEL[..]].concat());
    assert_eq!(answer.status, Some(1));
    assert!(
        answer.stderr.contains("nothing readable") && answer.stderr.contains("broken.jpg"),
        "{}",
        answer.stderr
    );
}

#[test]
fn images_of_a_drawn_dataset_are_exported_and_never_over_others() {
    let bench = Bench::new();
    let folder = bench.text("shapes");
    let out = bench.text("runs");
    let export = || {
        let arguments = ["data", "shapes:samples=40", "--export", &folder];
        Command::new(env!("CARGO_BIN_EXE_cnn"))
            .args(arguments)
            .output()
            .unwrap()
    };
    assert!(export().status.success());
    let star = bench.text("shapes/test/star");
    assert_eq!(std::fs::read_dir(&star).unwrap().count(), 10);
    let report = json(&[&[star.as_str(), "--out", &out, "--no-checks"], &MODEL[..]].concat());
    assert_eq!(report["explanations"].as_array().unwrap().len(), 10);
    let refused = export();
    assert_eq!(refused.status.code(), Some(2));
    assert!(
        String::from_utf8_lossy(&refused.stderr).contains("exists; name a folder that does not")
    );
}
