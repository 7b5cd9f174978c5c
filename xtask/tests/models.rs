//! `cargo xtask models`: which models a word stands for, and what is said of them.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::process::Command;

use serde_json::Value;

struct Answer {
    status: i32,
    stdout: String,
    stderr: String,
}

fn models(arguments: &[&str]) -> Answer {
    let output = Command::new(env!("CARGO_BIN_EXE_cnn"))
        .arg("models")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).to_string();
    Answer {
        status: output.status.code().unwrap(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

fn names(filter: &str) -> Vec<String> {
    let answer = models(&[filter, "--json"]);
    assert_eq!(answer.status, 0, "{filter}: {}", answer.stderr);
    let list: Value = serde_json::from_str(&answer.stdout).unwrap();
    list.as_array()
        .unwrap()
        .iter()
        .map(|model| model["name"].as_str().unwrap().to_string())
        .collect()
}

#[test]
fn a_filter_is_the_beginning_of_a_word() {
    let table: [(&str, &[&str]); 7] = [
        ("lenet", &["lenet5", "lenet5_tanh"]),
        ("18", &["resnet18", "resnet18d"]),
        ("tanh", &["lenet5_tanh"]),
        ("ResNet-20", &["resnet20_cifar10"]),
        ("squeezenet1.1", &["squeezenet1_1"]),
        ("resnet18.a1_in1k", &["resnet18"]),
        // Of a whole name that begins others, the model alone.
        ("lenet5", &["lenet5"]),
    ];
    for (filter, expected) in table {
        assert_eq!(names(filter), expected, "{filter}");
    }
    let begins = |filter: &str, words: &[&str]| {
        let found = names(filter);
        assert!(found.len() > 2, "{filter}: {found:?}");
        assert!(
            found
                .iter()
                .all(|name| words.iter().any(|word| name.starts_with(word))),
            "{filter}: {found:?}"
        );
    };
    begins(
        "v2",
        &[
            "mobilenetv2",
            "efficientnetv2",
            "tf_efficientnetv2",
            "shufflenet_v2",
            "test_efficientnet",
        ],
    );
    begins(
        "mobile",
        &[
            "mobilenetv",
            "tf_mobilenetv3",
            "deeplabv3_mobilenet",
            "lraspp_mobilenet",
            "ssdlite320_mobilenet",
            "fasterrcnn_mobilenet",
        ],
    );
    begins("cifar", &["resnet"]);
    assert!(names("cifar").iter().all(|name| name.ends_with("_cifar10")));
    begins(
        "resnet",
        &[
            "resnet",
            "resnext",
            "seresne",
            "wide_resnet",
            "test_resnet",
            "fcn_resnet",
            "deeplabv3_resnet",
            "fasterrcnn_resnet",
            "retinanet_resnet",
            "fcos_resnet",
        ],
    );
}

#[test]
fn a_filter_that_begins_no_word_falls_back_and_says_so() {
    let answer = models(&["enetv"]);
    assert_eq!(answer.status, 0);
    assert!(
        answer
            .stderr
            .contains("no word of a name begins with `enetv`"),
        "{}",
        answer.stderr
    );
    assert!(
        answer.stdout.contains("mobilenetv1_100") && !answer.stdout.contains("resnet"),
        "{}",
        answer.stdout
    );
    for (filter, hint) in [
        ("resnett", "did you mean `resnet`?"),
        ("zzz", "no model is called like `zzz`; "),
    ] {
        let answer = models(&[filter]);
        assert_eq!((answer.status, &*answer.stdout), (2, ""), "{filter}");
        assert!(
            answer.stderr.contains(hint) && answer.stderr.contains("models` lists all"),
            "{}",
            answer.stderr
        );
    }
}

#[test]
fn the_table_says_which_weights_are_published_and_the_entry_where() {
    let table = models(&[]);
    let row = |name: &str| {
        table
            .stdout
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .unwrap()
    };
    assert!(
        row("resnet18").contains("69.8  IMAGENET1K_V1, a1_in1k + "),
        "{}",
        row("resnet18")
    );
    assert!(
        row("lenet5").ends_with("none published"),
        "{}",
        row("lenet5")
    );
    let widest = table
        .stdout
        .lines()
        .map(|line| line.chars().count())
        .max()
        .unwrap();
    assert!(widest <= 120, "{widest} columns:\n{}", table.stdout);
    assert!(table.stderr.starts_with("next: "), "{}", table.stderr);

    let entry = models(&["resnet18"]).stdout;
    for told in [
        "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        "https://huggingface.co/timm/resnet18.a1_in1k",
        "sha256 f37072fd",
        "69.758 %",
        "bsd-3-clause",
        "apache-2.0",
        "3×224×224",
        "0.485, 0.456, 0.406",
        "87.5 %",
        "arXiv:1512.03385",
    ] {
        assert!(entry.contains(told), "`{told}` is not in\n{entry}");
    }
}

fn list(arguments: &[&str]) -> Vec<Value> {
    let answer = models(&[arguments, &["--json"]].concat());
    assert_eq!(answer.status, 0, "{arguments:?}: {}", answer.stderr);
    let list: Value = serde_json::from_str(&answer.stdout).unwrap();
    list.as_array().unwrap().clone()
}

#[test]
fn limits_choose_models_and_weights() {
    let count = |entry: &Value, field: &str| entry[field].as_f64().unwrap();
    let small = list(&["--max-params", "3M", "--max-macs", "0.4G"]);
    assert!(small.len() > 5, "{}", small.len());
    for entry in &small {
        assert!(count(entry, "parameters") <= 3e6 && count(entry, "multiply_adds") <= 4e8);
    }

    let good = list(&["resnet", "--min-top1", "75", "--sort", "top1"]);
    let best = |entry: &Value| -> f64 {
        let weights = entry["weights"].as_array().unwrap();
        let known = weights
            .iter()
            .filter_map(|weights| weights["top1"].as_f64());
        known.fold(f64::NEG_INFINITY, f64::max)
    };
    let accuracies: Vec<f64> = good.iter().map(best).collect();
    assert!(
        accuracies.len() > 1 && accuracies.is_sorted_by(|a, b| a >= b),
        "{accuracies:?}"
    );
    for entry in &good {
        for weights in entry["weights"].as_array().unwrap() {
            assert!(weights["top1"].as_f64().unwrap() >= 0.75, "{weights}");
        }
    }

    let open = list(&["resnet18", "--license", "Apache-2.0"]);
    let weights = open[0]["weights"].as_array().unwrap();
    assert!(!weights.is_empty());
    assert!(
        weights
            .iter()
            .all(|weights| weights["license"] == "apache-2.0")
    );

    let sorted = list(&["--sort", "params"]);
    let parameters: Vec<f64> = sorted
        .iter()
        .map(|entry| count(entry, "parameters"))
        .collect();
    assert!(parameters.is_sorted());

    for (arguments, told) in [
        (
            &["--license", "gpl"][..],
            "no weights are under the licence `gpl`; there are apache-2.0",
        ),
        (
            &["lenet", "--max-params", "10"],
            "none of the 2 models is within all limits",
        ),
        (
            &["--max-params", "many"],
            "expected a number, or one with k, M or G behind it",
        ),
        (
            &["--sort", "colour"],
            "possible values: name, params, macs, top1",
        ),
        (&["--size", "64"], "--size tells the layers of one model"),
    ] {
        let answer = models(arguments);
        assert_eq!((answer.status, &*answer.stdout), (2, ""), "{arguments:?}");
        assert!(
            answer.stderr.contains(told),
            "{arguments:?}: {}",
            answer.stderr
        );
    }
}

#[test]
fn one_model_is_told_layer_by_layer() {
    let entry = &list(&["resnet18"])[0];
    let layers = entry["layers"].as_array().unwrap();
    let first = &layers[0];
    assert_eq!(
        (&first["layer"], &first["kind"], first["output"].clone()),
        (
            &Value::from("conv1"),
            &Value::from("conv2d"),
            serde_json::json!([64, 112, 112])
        )
    );
    assert_eq!(first["multiply_adds"], 112 * 112 * 64 * 147);
    assert_eq!(first["activation_bytes"], 4 * 64 * 112 * 112);
    assert_eq!(first["receptive_field"]["size"], serde_json::json!([7, 7]));
    let sum = |field: &str| -> u64 {
        layers
            .iter()
            .map(|layer| layer[field].as_u64().unwrap())
            .sum()
    };
    for field in ["parameters", "multiply_adds"] {
        assert_eq!(
            (sum(field), entry["totals"][field].as_u64()),
            (entry[field].as_u64().unwrap(), entry[field].as_u64()),
            "{field}"
        );
    }
    let weights = entry["weights"].as_array().unwrap();
    let of = |tag: &str| {
        weights
            .iter()
            .find(|weights| weights["tag"] == tag)
            .unwrap()
    };
    assert_eq!(
        of("a3_in1k")["preprocessing"]["input_size"],
        serde_json::json!([3, 160, 160])
    );
    assert_eq!(of("tv_in1k")["preprocessing"]["interpolation"], "bilinear");

    let text = models(&["resnet18", "--size", "64x96"]).stdout;
    let line = |name: &str| {
        let found = text
            .lines()
            .find(|line| line.split_whitespace().next() == Some(name));
        found.unwrap_or_else(|| panic!("{name} is not in\n{text}"))
    };
    assert!(line("conv1").contains("64×32×48"), "{}", line("conv1"));
    assert!(
        line("fc").contains("513.0k") && line("fc").ends_with("whole image"),
        "{}",
        line("fc")
    );
    assert!(text.contains("for one image of 3×64×96:"), "{text}");
}
