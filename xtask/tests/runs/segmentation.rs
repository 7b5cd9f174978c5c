//! Networks for pixels, as their users meet them: photos with masks in, masks out.

use std::path::Path;
use std::time::Duration;

use cnn_core::Key;
use cnn_data::{Image, Mask, MaskPalette};

use crate::support::*;

/// Photos of a bright square on a dark ground, with masks that say where it is.
fn photos(bench: &Bench, folder: &str, count: u64) -> String {
    let root = bench.directory.path().join(folder);
    for part in ["images", "masks"] {
        std::fs::create_dir_all(root.join(part)).unwrap();
    }
    for number in 0..count {
        let mut rng = Key::new(number).rng();
        let top = rng.below(20) as usize;
        let left = rng.below(28) as usize;
        let inside = |at: usize| {
            let row = at / 40;
            let column = at % 40;
            (top..top + 12).contains(&row) && (left..left + 12).contains(&column)
        };
        let classes: Vec<u8> = (0..32 * 40).map(|at| u8::from(inside(at))).collect();
        let pixels = classes.iter().flat_map(|&class| {
            let grey = 40 + 120 * class + rng.below(40) as u8;
            [grey, grey, 60]
        });
        let image = Image::from_pixels(32, 40, 3, pixels.collect()).unwrap();
        image
            .write_png(&root.join(format!("images/{number}.png")))
            .unwrap();
        let mask = Mask::new(32, 40, classes).unwrap();
        let file = root.join(format!("masks/{number}.png"));
        mask.write_png(&file, &MaskPalette::distinct()).unwrap();
    }
    std::fs::write(root.join("classes.txt"), "ground\nsquare\n").unwrap();
    bench.path(folder)
}

/// A run whose network is small.
fn training<'a>(data: &'a str, out: &'a str) -> Vec<&'a str> {
    vec![
        "train",
        "--data",
        data,
        "--task",
        "segmentation",
        "--model",
        "unet:width=6,depth=2",
        "--epochs",
        "6",
        "--batch",
        "4",
        "--lr",
        "0.02",
        "--out",
        out,
    ]
}

#[test]
fn masks_are_learnt_measured_and_predicted() {
    let bench = Bench::new();
    let data = photos(&bench, "squares", 24);
    let out = bench.path("runs");
    let summary = json(&training(&data, &out));
    assert!(
        summary["best"]["val_miou"].as_f64().unwrap() > 0.8,
        "{summary}"
    );
    assert!(summary["val"]["pixel_accuracy"].as_f64().unwrap() > 0.9);
    let run = run_dir(&summary);
    let weights = run.display().to_string();

    let measured = json(&["evaluate", "--weights", &weights, "--data", &data]);
    assert_eq!(measured["samples"], 24);
    let classes = measured["per_class"].as_array().unwrap();
    let labels: Vec<&str> = classes
        .iter()
        .map(|class| class["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, ["ground", "square"]);
    for key in ["loss", "miou", "pixel_accuracy", "skipped"] {
        assert!(!measured[key].is_null(), "{key}: {measured}");
    }
    for key in ["iou", "dice", "pixels"] {
        assert!(classes[1][key].as_f64().unwrap() > 0., "{key}: {measured}");
    }

    // The run knows its own images, and its report shows them.
    let csv = bench.path("photos.csv");
    let own = json(&[
        "evaluate",
        "--weights",
        &weights,
        "--objects",
        "SQUARE",
        "--csv",
        &csv,
    ]);
    assert_eq!(own["samples"], summary["val"]["samples"]);
    assert_eq!(own["miou"], summary["val"]["miou"]);
    for score in ["rand", "information"] {
        let best = &own["objects"][format!("best_{score}")];
        let decided = own["objects"][score]["f_score"].as_f64().unwrap();
        assert!((0.2..=1.).contains(&decided), "{own}");
        let threshold = best["threshold"].as_f64().unwrap();
        assert!((0.1..=0.99).contains(&threshold), "{own}");
        // A class of two is decided for from a half on, or from less where there are more.
        assert!(
            best["score"]["f_score"].as_f64().unwrap() > decided - 0.1,
            "{own}"
        );
    }
    let rows = std::fs::read_to_string(&csv).unwrap();
    let rows: Vec<&str> = rows.lines().collect();
    assert_eq!(rows[0], "path,part,miou,pixel_accuracy");
    assert_eq!(rows.len() as u64 - 1, own["samples"].as_u64().unwrap());
    assert!(
        rows[1].contains("/images/") && rows[1].contains(",val,"),
        "{}",
        rows[1]
    );
    let of_all = json(&["evaluate", "--weights", &weights, "--data", &data]);
    assert_eq!(
        of_all["trained_on"].as_u64().unwrap() + rows.len() as u64 - 1,
        24
    );
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    for part in [
        "Worst images",
        "val mIoU",
        "Most confused pairs",
        "cross-entropy + dice",
    ] {
        assert!(page.contains(part), "{part}");
    }
    let unknown = ["evaluate", "--weights", &weights, "--objects", "circle"];
    let faults = refused(&[2], &["--objects", "circle", "ground, square"], &unknown);
    assert!(faults.is_empty(), "{faults:#?}");

    let photo = format!("{data}/images/3.png");
    let masks = bench.path("predicted");
    let predicted = json(&["predict", &photo, "--weights", &weights, "--out", &masks]);
    let prediction = &predicted["predictions"][0];
    assert_eq!(prediction["classes"][0]["label"], "ground");
    for file in ["mask", "overlay"] {
        let path = prediction[file].as_str().unwrap();
        assert!(Path::new(path).starts_with(&masks), "{path}");
        let size = cnn_data::decode(&std::fs::read(path).unwrap()).unwrap();
        assert_eq!((size.height(), size.width()), (32, 40));
    }
    // What a class is called has to be what it was called in training.
    std::fs::write(Path::new(&data).join("classes.txt"), "ground\ncircle\n").unwrap();
    let answer = xtask(&["evaluate", "--weights", &weights, "--data", &data]);
    assert_eq!(answer.status, 1);
    assert!(answer.stderr.contains("circle"), "{}", answer.stderr);
}

#[test]
fn the_bytes_are_the_same_at_any_number_of_threads_and_after_kills() {
    let bench = Bench::new();
    let data = photos(&bench, "squares", 24);
    let of = |out: &str, more: &[&str]| {
        let out = bench.path(out);
        let run = run_dir(&json(&[&training(&data, &out)[..], more].concat()));
        sha256(&run.join(WEIGHTS[0]))
    };
    let expected = of("one", &["--threads", "1"]);
    assert_eq!(of("two", &["--threads", "2"]), expected);

    let out = bench.path("killed");
    let mut arguments = training(&data, &out);
    arguments.extend(["--save-every", "0.0002"]);
    let mut child = start(&arguments);
    let directory = bench.directory.path().join("killed");
    let begun = reached(&mut child, || {
        run_in(&directory).is_some_and(|run| run.join(RESUME).exists())
    });
    assert!(begun, "no state was saved");
    child.kill().unwrap();
    child.wait().unwrap();
    let run = run_in(&directory).unwrap().display().to_string();
    for pause in [60, 90, 120] {
        let mut child = start(&["train", "--resume", &run, "--save-every", "0.0002"]);
        std::thread::sleep(Duration::from_millis(pause));
        // It may have ended by then.
        drop(child.kill());
        child.wait().unwrap();
    }
    succeeds(&["train", "--resume", &run]);
    assert_eq!(sha256(&Path::new(&run).join(WEIGHTS[0])), expected);
}

#[test]
fn a_broken_mask_is_skipped_and_named_and_what_has_none_is_refused() {
    let bench = Bench::new();
    let data = photos(&bench, "squares", 24);
    std::fs::write(Path::new(&data).join("masks/5.png"), b"no picture").unwrap();
    let summary = json(&training(&data, &bench.path("runs")));
    let skipped = summary["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), 1, "{summary}");
    assert!(skipped[0]["path"].as_str().unwrap().contains("5.png"));

    let unmasked = bench.path("data");
    let answer = xtask(&training(&unmasked, &bench.path("runs")));
    assert!(answer.status != 0);
    assert!(answer.stderr.contains("masks"), "{}", answer.stderr);
    let faults = refused(
        &[2],
        &["--task segmentation", "resnet8_cifar10", "classification"],
        &[
            "train",
            "--task",
            "segmentation",
            "--model",
            "resnet8_cifar10",
            "--data",
            &data,
        ],
    );
    assert!(faults.is_empty(), "{faults:#?}");
}

/// What a network of the other kind would do with a flag is not done silently.
#[test]
fn flags_without_a_part_are_refused() {
    let bench = Bench::new();
    let data = photos(&bench, "squares", 24);
    let out = bench.path("runs");
    let builtin = builtin().display().to_string();
    let run = run_dir(&json(&training(&data, &out))).display().to_string();
    let photo = format!("{data}/images/3.png");
    let tuning = ["finetune", "--data", &data, "--out", &out];
    let evaluating = ["evaluate", "--data", &data, "--weights"];
    let predicting = ["predict", &photo, "--weights"];
    let mixing = ["--mixup", "0.2"];
    let pixels = ["--task", "segmentation", "--no-cache"];
    let cases: [(&str, Vec<&str>); 11] = [
        ("--mixup", [&training(&data, &out)[..], &mixing].concat()),
        ("--loss", vec!["train", "--data", &data, "--loss", "dice"]),
        ("--no-cache", [&tuning[..], &pixels].concat()),
        (
            "--class-weights",
            [&tuning[..], &["--class-weights", "median"]].concat(),
        ),
        (
            "--objects",
            [&evaluating[..], &[&builtin, "--objects", "ground"]].concat(),
        ),
        ("--loss", [&tuning[..], &["--loss", "dice"]].concat()),
        (
            "--batch",
            [&evaluating[..], &[&run, "--batch", "4"]].concat(),
        ),
        (
            "--tile",
            [&evaluating[..], &[&builtin, "--tile", "64"]].concat(),
        ),
        ("--top", [&predicting[..], &[&run, "--top", "2"]].concat()),
        (
            "--mirror",
            [&predicting[..], &[&builtin, "--mirror"]].concat(),
        ),
        (
            "--out",
            [&predicting[..], &[&builtin, "--out", &out]].concat(),
        ),
    ];
    let mut faults = Vec::new();
    for (flag, arguments) in &cases {
        let words = [*flag, "has no part in", "leave it out"];
        faults.extend(refused(&[2], &words, arguments));
    }
    let tiled = [&evaluating[..], &[&run, "--tile", "100"]].concat();
    faults.extend(refused(
        &[2],
        &["--tile: found 100", "a multiple of 32"],
        &tiled,
    ));
    let unmasked = bench.path("data");
    let unmasked = [
        "evaluate",
        "--data",
        &unmasked,
        "--split",
        "val",
        "--weights",
        &run,
    ];
    faults.extend(refused(&[1], &["the images have no masks"], &unmasked));
    let inspecting = ["inspect", "--weights", &run, "--data", &data];
    faults.extend(refused(
        &[2],
        &["for segmentation", "for classification"],
        &inspecting,
    ));
    let weighted = |loss: &'static str, weights: &'static str| {
        let more = ["--loss", loss, "--class-weights", weights];
        [&training(&data, &out)[..], &more].concat()
    };
    let words = ["--class-weights", "cross-entropy or focal"];
    faults.extend(refused(&[2], &words, &weighted("lovasz", "median")));
    let words = ["--class-weights", "2, one per class"];
    faults.extend(refused(&[2], &words, &weighted("focal", "1+2+3")));
    assert!(faults.is_empty(), "{faults:#?}");

    // What has a part is done.
    let turned = [
        "--rotate",
        "10",
        "--color-jitter",
        "0.2",
        "--augment",
        "crop-flip",
        "--elastic",
        "2",
        "--class-weights",
        "median",
    ];
    let summary = json(&[&training(&data, &out)[..], &turned].concat());
    assert!(
        summary["best"]["val_miou"].as_f64().unwrap() > 0.5,
        "{summary}"
    );
}

#[test]
fn a_classifiers_weights_become_the_backbone() {
    let bench = Bench::new();
    let data = photos(&bench, "squares", 24);
    let out = bench.path("runs");
    let builtin = builtin().display().to_string();
    let summary = json(&[
        "finetune",
        "--weights",
        &builtin,
        "--data",
        &data,
        "--task",
        "segmentation",
        "--head-epochs",
        "2",
        "--epochs",
        "2",
        "--batch",
        "4",
        "--out",
        &out,
    ]);
    assert!(
        summary["best"]["val_miou"].as_f64().unwrap() > 0.5,
        "{summary}"
    );
    let run = run_dir(&summary).display().to_string();
    let measured = json(&["evaluate", "--weights", &run, "--data", &data, "--mirror"]);
    assert!(measured["miou"].as_f64().unwrap() > 0.5, "{measured}");
}

#[test]
fn a_class_and_a_region_are_explained() {
    let bench = Bench::new();
    let data = photos(&bench, "squares", 24);
    let run = run_dir(&json(&training(&data, &bench.path("runs"))));
    let run = run.display().to_string();
    let photo = format!("{data}/images/3.png");
    let out = bench.path("explained");
    let explaining = ["explain", &photo, "--weights", &run, "--out", &out];
    let explained = json(&[&explaining[..], &["--method", "gradcam,gradient"]].concat());
    let one = &explained["explanations"][0];
    assert_eq!(one["predicted"]["label"], "ground");
    assert!(one["predicted"]["share"].as_f64().unwrap() > 0.5, "{one}");
    assert_eq!(one["target"], "ground");
    for map in one["maps"].as_array().unwrap() {
        let overlay = Path::new(&out).join(map["overlay"].as_str().unwrap());
        let picture = cnn_data::decode(&std::fs::read(overlay).unwrap()).unwrap();
        assert_eq!((picture.height(), picture.width()), (32, 40));
        assert!(map["checks"]["insertion_auc"].is_number(), "{map}");
    }
    let region = [
        "--target",
        "square",
        "--against",
        "ground",
        "--region",
        "0,0,0.5,0.5",
    ];
    let more = ["--stage", "0", "--no-checks", "--maps", "stage1"];
    let explained = json(&[&explaining[..], &region, &more].concat());
    let target = &explained["explanations"][0]["target"];
    assert_eq!(target, "square rather than ground, within the region");
    assert!(Path::new(&out).join("3.maps.stage1.png").is_file());
}

#[test]
fn networks_for_pixels_are_timed() {
    let timing = [
        "bench",
        "--model",
        "unet:width=4,depth=2",
        "--size",
        "32",
        "--seconds",
        "0.1",
    ];
    for mode in ["infer", "eval", "train"] {
        let speed = json(&[&timing[..], &["--mode", mode, "--json"]].concat());
        assert!(speed["images_per_second"].as_f64().unwrap() > 0., "{speed}");
    }
    let ops = json(&[&timing[..], &["--ops", "--json"]].concat());
    let ops = ops["ops"].as_array().unwrap();
    assert!(
        ops.iter()
            .any(|op| op["op"].as_str().unwrap().starts_with("conv_transpose2d"))
    );
    let faults = refused(
        &[2],
        &["--mode gradcam"],
        &[&timing[..], &["--mode", "gradcam"]].concat(),
    );
    assert!(faults.is_empty(), "{faults:#?}");
}
