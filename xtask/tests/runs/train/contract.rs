//! What a run directory and the JSON of a run hold.

use cnn_weights::TensorFile;
use serde_json::Value;
use std::collections::BTreeSet;

use crate::support::*;

fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect()
}

#[test]
fn a_run_directory_holds_what_is_promised() {
    let bench = Bench::new();
    let arguments = bench.arguments("runs", 3);
    let report = json(&strs(&arguments));
    let promised = [
        "run_dir",
        "epochs",
        "best",
        "weights_sha256",
        "frozen",
        "seconds",
        "images_per_second",
        "skipped",
    ];
    assert!(keys(&report).is_superset(&promised.into()), "{report}");
    assert_eq!(
        keys(&report["best"]),
        ["epoch", "val_loss", "val_top1"].into()
    );
    assert_eq!(keys(&report["frozen"]), ["tensors", "unchanged"].into());
    assert_eq!(
        (&report["epochs"], &report["skipped"]),
        (&Value::from(3), &Value::Array(Vec::new()))
    );
    assert!(
        report["seconds"].as_f64().unwrap() > 0.
            && report["images_per_second"].as_f64().unwrap() > 0.
    );

    let run = run_dir(&report);
    assert_eq!(text(&run), bench.path("runs/train/resnet8_cifar10-1"));
    assert_eq!(report["weights_sha256"], sha256(&run.join(WEIGHTS[0])));
    let saved: Value =
        serde_json::from_slice(&std::fs::read(run.join("summary.json")).unwrap()).unwrap();
    assert_eq!(saved, report);
    let resolved: toml::Table = std::fs::read_to_string(run.join("args.toml"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(
        (
            resolved["epochs"].as_integer(),
            resolved["batch"].as_integer()
        ),
        (Some(3), Some(16))
    );
    assert!(run.join(RESUME).is_file());
    let files = snapshot(&run);
    let tensorboard = files
        .iter()
        .find(|(path, _)| text(path).contains("events.out.tfevents"));
    assert!(tensorboard.is_some_and(|(_, bytes)| bytes.len() > 100));
    for place in ["last", "best"] {
        let config: Value =
            serde_json::from_slice(&files[&run.join(place).join("config.json")]).unwrap();
        assert_eq!(
            (&config["architecture"], &config["num_classes"]),
            (&"resnet8_cifar10".into(), &3.into())
        );
        assert_eq!(config["label_names"], Value::from(CLASSES.to_vec()));
        assert!(
            TensorFile::open(run.join(place).join("model.safetensors"))
                .unwrap()
                .names()
                .count()
                > 10
        );
    }

    let table = lines(&run.join("metrics.csv"));
    assert_eq!(
        table[0],
        "epoch,lr,train_loss,train_top1,val_loss,val_top1,val_top5,seconds"
    );
    assert_eq!(table.len(), 4);
    let rows: Vec<Vec<f64>> = table[1..]
        .iter()
        .map(|row| row.split(',').map(|x| x.parse().unwrap()).collect())
        .collect();
    assert_eq!(
        rows.iter().map(|row| row[0]).collect::<Vec<_>>(),
        [1., 2., 3.]
    );
    let best = rows.iter().map(|row| row[5]).fold(0., f64::max);
    assert_eq!(report["best"]["val_top1"].as_f64(), Some(best));
    let row = &rows[report["best"]["epoch"].as_u64().unwrap() as usize - 1];
    assert_eq!(
        (report["best"]["val_loss"].as_f64(), best),
        (Some(row[4]), row[5])
    );
    let events = lines(&run.join("events.jsonl"));
    assert_eq!(events.len(), 3 * 3 + 3);
    assert!(
        events
            .iter()
            .all(|line| serde_json::from_str::<Value>(line).is_ok_and(|event| event.is_object()))
    );

    let again = json(&strs(&arguments));
    assert_eq!(again["run_dir"], bench.path("runs/train/resnet8_cifar10-2"));
    assert_eq!(again["weights_sha256"], report["weights_sha256"]);
    assert_eq!(snapshot(&run), files, "the first run was touched");
}

#[test]
fn the_report_shows_what_the_network_looked_at() {
    let bench = Bench::new();
    let run = run_dir(&json(&strs(&bench.arguments("runs", 3))));
    let report = std::fs::read_to_string(run.join("report.html")).unwrap();
    let section = |heading: &str| {
        let start = report
            .find(&format!("<h2>{heading}</h2>"))
            .unwrap_or_else(|| panic!("no section {heading}"));
        &report[start..start + report[start..].find("</section>").unwrap()]
    };
    // Each picture has its map beside it, and no two maps are alike.
    for heading in ["Worst mistakes", "One right example per class"] {
        let sources: Vec<&str> = section(heading).split("<img src=\"").skip(1).collect();
        assert!(
            sources.len() >= 2 && sources.len().is_multiple_of(2),
            "{heading}: {}",
            sources.len()
        );
        let distinct: BTreeSet<&str> = sources
            .iter()
            .map(|source| source.split('"').next().unwrap())
            .collect();
        assert_eq!(distinct.len(), sources.len(), "{heading}");
    }
    assert!(section("Filters").contains("Filters of the first layer"));

    let strip = section("The same images over the epochs");
    let rows = strip.matches("<th scope=\"row\"").count();
    assert!((1..=4).contains(&rows));
    assert!(
        ["epoch 1", "epoch 2", "epoch 3"]
            .iter()
            .all(|epoch| strip.contains(epoch))
    );
    assert_eq!(
        strip.matches("<img ").count(),
        rows * 4,
        "the image and three epochs"
    );
    let picture =
        |epoch: usize| std::fs::read(run.join(format!("strip/epoch-{epoch}-image-0.png"))).unwrap();
    assert_ne!(
        picture(1),
        picture(3),
        "the network has changed and its map has not"
    );
}

#[test]
fn a_run_directory_serves_as_weights() {
    let bench = Bench::new();
    let report = json(&strs(&bench.arguments("runs", 3)));
    let run = report["run_dir"].as_str().unwrap();
    let data = bench.path("data");
    for (split, reported) in [
        (
            "val",
            [&report["best"]["val_top1"], &report["best"]["val_loss"]],
        ),
        ("test", [&report["test"]["top1"], &report["test"]["loss"]]),
    ] {
        let found = json(&[
            "evaluate",
            "--weights",
            run,
            "--data",
            &data,
            "--split",
            split,
            "--batch",
            "7",
        ]);
        assert_eq!(found["top1"], *reported[0], "{split}");
        let found = found["loss"].as_f64().unwrap();
        let reported = reported[1].as_f64().unwrap();
        assert!(
            (found - reported).abs() <= 1e-5 * reported.abs().max(1.),
            "{split}: {found}, reported {reported}"
        );
    }
    let photo = bench.path("data/val/bee/bee03.png");
    let answer = json(&["predict", &photo, "--weights", run]);
    let top = answer["predictions"][0]["top"].as_array().unwrap();
    let labels: BTreeSet<&str> = top
        .iter()
        .map(|row| row["label"].as_str().unwrap())
        .collect();
    assert_eq!(labels, CLASSES.into());
}

#[test]
fn saved_arguments_run_again() {
    let bench = Bench::new();
    let table: [&[&str]; 5] = [
        &RANDOM,
        &[
            "--schedule",
            "multi-step:milestones=0.3+0.6,gamma=0.5",
            "--momentum",
            "0.8",
            "--nesterov",
        ],
        &[
            "--optimizer",
            "sgd:momentum=0.7,nesterov",
            "--schedule",
            "one-cycle:peak=0.4,momentum=none",
        ],
        &[
            "--optimizer",
            "adamw",
            "--schedule",
            "one-cycle",
            "--clip-norm",
            "1",
            "--patience",
            "5",
            "--lr",
            "1e-4",
        ],
        &["--size", "16x24", "--label-smoothing", "0.1"],
    ];
    for (number, more) in table.iter().enumerate() {
        let run = bench.train("runs", 1, more);
        let out = bench.path(&format!("again-{number}"));
        let again = json(&[
            "train",
            "--config",
            &text(&run.join("args.toml")),
            "--out",
            &out,
        ]);
        assert_eq!(
            again["weights_sha256"],
            sha256(&run.join(WEIGHTS[0])),
            "{more:?}"
        );
    }
}

/// The rate of each update.
fn rates(run: &std::path::Path) -> Vec<f64> {
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
fn settings_of_schedule_and_rule_are_used_and_written_down() {
    let bench = Bench::new();
    let usual = ["--warmup", "0", "--lr", "0.08"];
    let run = bench.train(
        "runs",
        3,
        &[&usual[..], &["--schedule", "step:every=1,gamma=0.5"]].concat(),
    );
    assert_eq!(
        rates(&run),
        [0.08, 0.08, 0.08, 0.04, 0.04, 0.04, 0.02, 0.02, 0.02]
    );
    let written: toml::Table = std::fs::read_to_string(run.join("args.toml"))
        .unwrap()
        .parse()
        .unwrap();
    let text = |key: &str| written[key].as_str().unwrap().to_string();
    assert_eq!(
        (text("schedule"), text("optimizer")),
        ("step:every=1,gamma=0.5".into(), "sgd:momentum=0.9".into())
    );

    // Two ways to say it, one meaning.
    let weights = |more: &[&str]| sha256(&bench.train("runs", 1, more).join(WEIGHTS[0]));
    let plain = weights(&[]);
    let short = weights(&["--momentum", "0.5", "--nesterov"]);
    assert_eq!(
        weights(&["--optimizer", "sgd:momentum=0.5,nesterov"]),
        short
    );
    assert_eq!(
        weights(&[
            "--optimizer",
            "sgd:momentum=0.2",
            "--momentum",
            "0.5",
            "--nesterov"
        ]),
        short
    );
    assert_eq!(
        weights(&[
            "--optimizer",
            "sgd:momentum=0.9",
            "--schedule",
            "cosine:end=0"
        ]),
        plain
    );
    assert_ne!(short, plain);
}

#[test]
fn an_epochs_line_has_the_last_rate_and_the_table_the_first() {
    let bench = Bench::new();
    let arguments = bench.arguments("runs", 2);
    let schedule = [
        "--schedule",
        "step:every=0.3,gamma=0.1",
        "--warmup",
        "0",
        "--lr",
        "0.012345",
    ];
    let answer = succeeds(&[&strs(&arguments)[..], &schedule].concat());
    let run = run_in(std::path::Path::new(&bench.path("runs"))).unwrap();
    let rates = rates(&run);
    let table = lines(&run.join("metrics.csv"));
    for (epoch, line) in answer
        .stderr
        .lines()
        .filter(|line| line.starts_with("epoch "))
        .enumerate()
    {
        let last = rates[3 * epoch + 2];
        let said: f64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
        assert!((said / last - 1.).abs() < 0.005, "{line}: {last}");
        assert_eq!(
            table[1 + epoch].split(',').nth(1).unwrap(),
            rates[3 * epoch].to_string()
        );
    }
    assert!(
        answer.stderr.contains("epoch 1  lr 1.23e-4  "),
        "{}",
        answer.stderr
    );
}

#[test]
fn patience_ends_a_run_and_is_named() {
    let bench = Bench::new();
    let arguments = bench.arguments("runs", 9);
    // Nothing is learnt at this rate, so the first epoch stays the best.
    let answer = succeeds(
        &[
            &strs(&arguments)[..],
            &["--model", "lenet5", "--lr", "1e-30", "--patience", "2"],
        ]
        .concat(),
    );
    assert!(
        answer
            .stderr
            .contains("no better epoch in the last 2 (--patience)"),
        "{}",
        answer.stderr
    );
    let run = run_in(std::path::Path::new(&bench.path("runs"))).unwrap();
    assert_eq!(lines(&run.join("metrics.csv")).len(), 1 + 3);
}
