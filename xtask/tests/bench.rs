//! `cargo xtask bench`: what other programs read from it.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use serde_json::Value;

fn bench(arguments: &[&str]) -> (Option<i32>, String, String) {
    let short = ["bench", "--seconds", "0.01"];
    let output = Command::new(env!("CARGO_BIN_EXE_cnn"))
        .args(short)
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

fn json(arguments: &[&str]) -> Value {
    let (status, stdout, stderr) = bench(&[arguments, &["--json"]].concat());
    assert_eq!(status, Some(0), "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}

#[test]
fn speed_is_reported_under_the_agreed_keys() {
    for mode in ["infer", "train"] {
        let report = json(&[
            "--model",
            "resnet8_cifar10",
            "--mode",
            mode,
            "--batch",
            "4",
            "--size",
            "20x24",
        ]);
        let number = |key: &str| {
            report[key]
                .as_f64()
                .unwrap_or_else(|| panic!("{mode}: no {key} in {report}"))
        };
        assert!(
            number("ms_p50") > 0. && number("ms_p95") >= number("ms_p50"),
            "{report}"
        );
        let rate = number("images_per_second") * number("ms_p50") / 1e3;
        assert!((rate - 4.).abs() < 1e-6, "{report}");
        assert!(
            number("gflops") > 0. && number("peak_fraction") > 0.,
            "{report}"
        );
        assert!(
            report["peak_rss_mb"].is_null() || number("peak_rss_mb") > 1.,
            "{report}"
        );
        assert_eq!(report.as_object().unwrap().len(), 6);
    }
}

/// The multiply-adds of the operations are those of the registry; a training step has the input's
/// and the weights' gradients besides, except the image's.
#[test]
fn operations_add_up_to_the_models_work() {
    let model = ["--model", "resnet8_cifar10", "--ops"];
    let work = |report: &Value, part: &str| {
        let ops = report["ops"].as_array().unwrap();
        let of_part = ops.iter().filter(|op| op["part"] == part);
        let sum: f64 = of_part
            .map(|op| op["gflops"].as_f64().unwrap() * op["ms"].as_f64().unwrap() * 1e6)
            .sum();
        sum / 2.
    };
    let [infer, train] = [
        json(&model),
        json(&[&model[..], &["--mode", "train"]].concat()),
    ];
    let expected = cnn_models::find("resnet8_cifar10").unwrap().multiply_adds as f64;
    for report in [&infer, &train] {
        assert!(
            (work(report, "forward") / expected - 1.).abs() < 1e-6,
            "{report}"
        );
        assert!(
            report["ms_total"].as_f64().unwrap() > 0.
                && report["peak_gflops"].as_f64().unwrap() > 0.
        );
    }
    assert!((work(&train, "parameter gradient") / expected - 1.).abs() < 1e-6);
    let first = 16. * 27. * 32. * 32.;
    assert!((work(&train, "input gradient") / (expected - first) - 1.).abs() < 1e-6);
    let names = |report: &Value| -> Vec<String> {
        report["ops"]
            .as_array()
            .unwrap()
            .iter()
            .map(|op| op["op"].as_str().unwrap().to_string())
            .collect()
    };
    let folded = names(&infer);
    assert!(
        !folded.contains(&"batch_norm".to_string()) && !folded.contains(&"add".to_string()),
        "{folded:?}"
    );
    assert!(names(&train).contains(&"batch_norm".to_string()));
    let (_, table, _) = bench(&model);
    assert!(
        table.contains("layer1.0.conv2") && table.contains("% of the limit"),
        "{table}"
    );
}

#[test]
fn the_ceilings_are_numbers_above_nothing() {
    let report = json(&["--peak"]);
    assert!(report["gflops"].as_f64().unwrap() > 0.);
    let copies = report["copies"].as_array().unwrap();
    assert!(
        copies.len() > 3
            && copies
                .iter()
                .all(|copy| copy["gb_per_second"].as_f64().unwrap() > 0.),
        "{report}"
    );
}

#[test]
fn arguments_that_make_no_sense_are_refused() {
    let table: [(&[&str], &str); 5] = [
        (&[], "--model"),
        (&["--model", "resnet-18"], "did you mean `resnet18`?"),
        (
            &["--model", "resnet18", "--mode", "sing"],
            "possible values: infer, eval, gradcam, train",
        ),
        (
            &["--model", "resnet18", "--batch", "4096", "--size", "8192"],
            "expected at most",
        ),
        (&["--model", "resnet18", "--seconds", "0"], "above 0"),
    ];
    for (arguments, words) in table {
        let (status, stdout, stderr) = bench(arguments);
        assert_eq!(
            (status, stdout.as_str()),
            (Some(2), ""),
            "{arguments:?}: {stderr}"
        );
        assert!(stderr.contains(words), "{arguments:?}: {stderr}");
    }
}
