//! Networks that find objects, as their users meet them: photos with boxes in, boxes out.

use std::path::Path;
use std::time::Duration;

use cnn_core::Key;
use cnn_data::Image;

use crate::support::*;

/// Photos of a bright square on a dark ground with YOLO's labels; the last has none.
fn photos(bench: &Bench, folder: &str, count: u64) -> String {
    let root = bench.directory.path().join(folder);
    for part in ["images", "labels"] {
        std::fs::create_dir_all(root.join(part)).unwrap();
    }
    for number in 0..count {
        let mut rng = Key::new(number).rng();
        let is_empty = number + 1 == count;
        let top = rng.below(20) as usize;
        let left = rng.below(28) as usize;
        let inside = |at: usize| {
            let rows = top..top + 12;
            let columns = left..left + 12;
            !is_empty && rows.contains(&(at / 40)) && columns.contains(&(at % 40))
        };
        let pixels = (0..32 * 40).flat_map(|at| {
            let grey = 40 + 120 * u8::from(inside(at)) + rng.below(40) as u8;
            [grey, grey, 60]
        });
        let image = Image::from_pixels(32, 40, 3, pixels.collect()).unwrap();
        let file = format!("images/{number}.png");
        image.write_png(&root.join(file)).unwrap();
        let label = if is_empty {
            String::new()
        } else {
            let x = (left + 6) as f64 / 40.;
            let y = (top + 6) as f64 / 32.;
            format!("0 {x} {y} {} {}\n", 12. / 40., 12. / 32.)
        };
        std::fs::write(root.join(format!("labels/{number}.txt")), label).unwrap();
    }
    let names = "train: images\nval: images\nnames: [square, circle]\n";
    std::fs::write(root.join("data.yaml"), names).unwrap();
    bench.path(folder)
}

fn training<'a>(data: &'a str, out: &'a str) -> Vec<&'a str> {
    vec![
        "train",
        "--task",
        "detection",
        "--data",
        data,
        "--size",
        "64",
        "--epochs",
        "3",
        "--batch",
        "4",
        "--augment",
        "mosaic",
        "--out",
        out,
    ]
}

#[test]
fn objects_are_learnt_measured_and_found() {
    let bench = Bench::new();
    let data = photos(&bench, "squares", 24);
    let out = bench.path("runs");
    let answer = succeeds(&[&training(&data, &out)[..], &["--json"]].concat());
    // Its `data.yaml` validates on what it trains on.
    let twins = "24 validation images are also training images";
    assert!(answer.stderr.contains(twins), "{}", answer.stderr);
    let summary: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    let run = run_dir(&summary);
    let weights = run.display().to_string();
    assert!(summary["best"]["val_ap"].as_f64().is_some(), "{summary}");
    for key in ["samples", "ap", "ap50", "per_class", "errors"] {
        assert!(!summary["val"][key].is_null(), "{key}: {summary}");
    }
    let rows = lines(&run.join("predictions.csv"));
    assert_eq!(rows[0], "path,part,objects,found,missed,false");
    assert!(rows[1].contains(",val,"), "{}", rows[1]);
    let head = &lines(&run.join("metrics.csv"))[0];
    for column in ["train_iou_loss", "train_l1_loss", "val_ap", "val_ap50"] {
        assert!(head.contains(column), "{head}");
    }
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    for part in [
        "Average precision",
        "Kinds of errors",
        "validation AP50",
        "The training loss is the sum",
    ] {
        assert!(page.contains(part), "{part}");
    }

    let measured = json(&[
        "evaluate",
        "--weights",
        &weights,
        "--data",
        &data,
        "--split",
        "val",
    ]);
    assert_eq!(measured["samples"], 24);
    let photo = format!("{data}/images/3.png");
    let found = json(&["predict", &photo, "--weights", &weights, "--score", "0.01"]);
    assert_eq!(found["predictions"][0]["width"], 40);

    // What it has learnt is a start for other classes.
    let tuned = [
        "finetune",
        "--weights",
        &weights,
        "--data",
        &data,
        "--epochs",
        "1",
        "--batch",
        "4",
        "--out",
        &out,
    ];
    let tuned = json(&tuned);
    assert_eq!(tuned["phases"][0]["name"], "all layers");

    let cases: [(&[&str], &[&str]); 3] = [
        (&["--mixup", "0.2"], &["--mixup", "no part in detection"]),
        (&["--model", "resnet18"], &["--task detection", "resnet18"]),
        (&["--multi-scale", "2"], &["--multi-scale"]),
    ];
    for (more, words) in cases {
        let faults = refused(&[2], words, &[&training(&data, &out)[..], more].concat());
        assert!(faults.is_empty(), "{faults:#?}");
    }
    let masks = [
        "train",
        "--augment",
        "mosaic",
        "--data",
        "shapes",
        "--out",
        &out,
    ];
    let faults = refused(&[2], &["--augment mosaic is for detection"], &masks);
    assert!(faults.is_empty(), "{faults:#?}");
    let untold = ["finetune", "--data", &data, "--out", &out];
    let faults = refused(&[2], &["have boxes: --task detection"], &untold);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_bytes_are_the_same_at_any_number_of_threads_and_after_kills() {
    let bench = Bench::new();
    let data = photos(&bench, "squares", 24);
    let with = [
        "--multi-scale",
        "0.5",
        "--box-mixup",
        "0.5",
        "--late-epochs",
        "1",
    ];
    let of = |out: &str, more: &[&str]| {
        let out = bench.path(out);
        let run = run_dir(&json(&[&training(&data, &out)[..], &with, more].concat()));
        sha256(&run.join(WEIGHTS[0]))
    };
    let expected = of("one", &["--threads", "1"]);
    assert_eq!(of("two", &["--threads", "2"]), expected);

    let out = bench.path("killed");
    let mut arguments = training(&data, &out);
    arguments.extend(with);
    arguments.extend(["--save-every", "0.0002"]);
    let mut child = start(&arguments);
    let directory = bench.directory.path().join("killed");
    let begun = reached(&mut child, || {
        run_in(&directory).is_some_and(|run| run.join("resume.safetensors").exists())
    });
    std::thread::sleep(Duration::from_millis(300));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(begun);
    let run = run_in(&directory).unwrap();
    json(&["train", "--resume", &run.display().to_string()]);
    assert_eq!(sha256(&run.join(WEIGHTS[0])), expected);
    assert!(Path::new(&run.join("report.html")).exists());
}

// Faster R-CNN draws regions, and SSD chooses the hardest places.
#[test]
fn what_is_drawn_and_chosen_is_the_same_at_any_number_of_threads() {
    let bench = Bench::new();
    let data = photos(&bench, "squares", 12);
    for model in [
        "fasterrcnn_fpn:backbone=test_resnet,fpn_channels=16,box_features=32",
        "ssdlite:backbone=test_resnet",
    ] {
        let of = |threads: &str| {
            let out = bench.path(&format!("{threads}-{}", &model[..7]));
            let more = ["--model", model, "--epochs", "2", "--threads", threads];
            let arguments = training(&data, &out);
            let epochs = arguments
                .iter()
                .position(|word| *word == "--epochs")
                .unwrap();
            let arguments = [&arguments[..epochs], &arguments[epochs + 2..], &more].concat();
            sha256(&run_dir(&json(&arguments)).join(WEIGHTS[0]))
        };
        assert_eq!(of("1"), of("2"), "{model}");
    }
}
