//! `certify`: the table, its files, the same again for any batch, and what is refused.

use std::path::Path;

use serde_json::Value;

use crate::support::*;

/// What does not depend on the clock.
fn timeless(mut summary: Value) -> Value {
    summary.as_object_mut().unwrap().remove("seconds").unwrap();
    summary
}

#[test]
fn a_run_that_learnt_from_noise_is_certified_twice_the_same() {
    let bench = Bench::new();
    let summary = bench.tune("runs", &["--noise", "0.1"]);
    let run = text(&run_dir(&summary));
    bench.file("data/test/ant/broken.png", "no picture");
    let data = bench.path("data");
    let certify = |out: &str, more: &[&str]| {
        let out = bench.path(out);
        let of = ["--data", &data, "--split", "test", "--out", &out];
        let how = ["--sigma", "0.1", "--n0", "10", "--n", "100", "--clip"];
        json(&[&["certify", "--weights", &run], &of[..], &how, more].concat())
    };
    let found = timeless(certify("first", &[]));
    let number = |of: &Value, key: &str| of[key].as_f64().unwrap();
    assert_eq!(found["samples"], 15);
    assert_eq!(found["skipped"].as_array().unwrap().len(), 1);
    let shares = ["smoothed_top1", "abstained", "certified_wrong"].map(|key| number(&found, key));
    assert!(
        (shares.iter().sum::<f64>() - 1.).abs() < 1e-12,
        "{shares:?}"
    );
    // Steps of a quarter of sigma as far as 100 images reach: sigma Φ⁻¹(0.001^0.01) = 0.15005.
    let radii = found["radii"].as_array().unwrap();
    assert_eq!(radii.len(), 7);
    assert!((number(&radii[6], "radius") - 0.15).abs() < 1e-12);
    assert!((number(&found, "largest_radius") - 0.150_047_502_412).abs() < 1e-9);
    let curve: Vec<f64> = radii
        .iter()
        .map(|row| number(row, "certified_top1"))
        .collect();
    assert!(curve.is_sorted_by(|a, b| a >= b), "{curve:?}");
    // A guess is right once in three times.
    assert!(curve[0] == shares[0] && curve[0] > 0.5, "{curve:?}");
    assert!(number(&found, "mean_radius") > 0.);

    let again = certify("again", &["--threads", "1", "--batch", "7"]);
    assert_eq!(timeless(again), found);
    assert_ne!(timeless(certify("other", &["--seed", "3"])), found);
    let few = certify("few", &["--n0", "1", "--n", "5"]);
    assert_eq!(
        (&few["abstained"], &few["mean_radius"]),
        (&1.0.into(), &0.0.into())
    );
    assert_eq!(few["radii"].as_array().unwrap().len(), 1);
    let note = few["notes"].to_string();
    assert!(note.contains("too few for any certificate"), "{note}");
    let directory = bench.path("first");
    let read = |name: &str| std::fs::read_to_string(Path::new(&directory).join(name)).unwrap();
    let written: Value = serde_json::from_str(&read("summary.json")).unwrap();
    assert_eq!(timeless(written), found);
    assert!(read("args.toml").contains("sigma = 0.1"));
    let page = read("certify.html");
    for words in [
        "Certified accuracy over the radius",
        "mean radius",
        "broken",
    ] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn a_run_with_bounds_is_certified_by_them() {
    let bench = Bench::new();
    let with_bounds = ["--model", "lenet5", "--adversarial", "interval:0.5"];
    let sized = [
        "--adv-eps",
        "0.0001",
        "--lr",
        "0.003",
        "--optimizer",
        "adam",
    ];
    let run = bench.train("certain", 3, &[&with_bounds[..], &sized].concat());
    let metrics = lines(&run.join("metrics.csv"));
    let is_logged = |name| metrics[0].contains(name);
    assert!(is_logged("train_certified_top1") && is_logged("val_certified_top1"));
    let [run, data] = [text(&run), bench.path("data")];
    let certify = |out: &str, more: &[&str]| {
        let out = bench.path(out);
        let of = [
            "certify",
            "--weights",
            &run,
            "--data",
            &data,
            "--split",
            "val",
        ];
        let how = [
            "--method",
            "interval",
            "--eps",
            "1e-4,0.5,1/10000",
            "--out",
            &out,
        ];
        json(&[&of[..], &how, more].concat())
    };
    let found = timeless(certify("first", &[]));
    assert_eq!([&found["method"], &found["norm"]], ["interval", "linf"]);
    let radii = found["radii"].as_array().unwrap();
    let sizes: Vec<f64> = radii
        .iter()
        .map(|row| row["radius"].as_f64().unwrap())
        .collect();
    assert_eq!(sizes, [0., 1e-4, 0.5]);
    let certified = |number: usize| radii[number]["certified_top1"].as_f64().unwrap();
    assert_eq!(&radii[0]["certified_top1"], &found["clean_top1"]);
    assert!(certified(0) >= certified(1) && certified(1) > certified(2));
    assert_eq!(certified(2), 0.);
    let again = certify("again", &["--threads", "1", "--batch", "2"]);
    assert_eq!(timeless(again), found);
    let directory = bench.path("first");
    let read = |name: &str| std::fs::read_to_string(Path::new(&directory).join(name)).unwrap();
    assert!(read("args.toml").contains("eps = \"0.0001,0.5,0.0001\""));
    let page = read("certify.html");
    for words in ["Certified accuracy over the radius", "certain within 0.5"] {
        assert!(page.contains(words), "{words}");
    }
}

#[test]
fn bad_arguments_are_told_what_is_accepted() {
    let bench = Bench::new();
    let data = bench.path("data");
    let fresh = [
        "certify",
        "--model",
        "resnet8_cifar10",
        "--weights",
        "none",
        "--data",
        &data,
    ];
    let table: [(&[&str], &[&str]); 10] = [
        (&["--method", "smooth"], &["smoothing", "interval"]),
        (
            &["--method", "interval", "--eps", "0.1,x"],
            &["--eps", "as 8/255"],
        ),
        (&["--eps", "0.1"], &["--eps has no part in smoothing"]),
        (
            &["--method", "interval", "--n0", "5"],
            &["--n0 has no part in interval"],
        ),
        (&["--sigma", "0"], &["--sigma", "above 0"]),
        (&["--sigma", "inf"], &["--sigma", "a finite number"]),
        (&["--n0", "0"], &["--n0", "1.."]),
        (&["--n", "0"], &["--n", "1.."]),
        (&["--alpha", "1"], &["--alpha", "above 0 and below 1"]),
        (&["--alpha", "0"], &["--alpha", "above 0 and below 1"]),
    ];
    let mut faults = Vec::new();
    for (arguments, words) in table {
        faults.extend(refused(&[2], words, &[&fresh[..], arguments].concat()));
    }
    let segmenter = [
        "certify",
        "--model",
        "unet",
        "--weights",
        "none",
        "--data",
        &data,
    ];
    faults.extend(refused(&[2], &["classif"], &segmenter));
    let train = ["train", "--data", &data, "--model", "resnet8_cifar10"];
    let with_bounds = ["--adversarial", "interval", "--batch", "16"];
    let words = ["batch_norm at bn1", "without batch-norm"];
    faults.extend(refused(&[2], &words, &[&train[..], &with_bounds].concat()));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
