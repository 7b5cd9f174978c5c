//! `adapt`: its table and files, that it goes on after an interruption, several seeds, and what is
//! refused.

use serde_json::Value;

use crate::support::*;

/// The arguments of a short run whose target is called so.
fn adapting(bench: &Bench, target: &str, out: &str) -> Vec<String> {
    let [source, target, out] = ["data", target, out].map(|name| bench.path(name));
    let arguments = [
        "adapt",
        "--source",
        &source,
        "--target",
        &target,
        "--model",
        "resnet8_cifar10",
        "--epochs",
        "2",
        "--updates",
        "2",
        "--batch",
        "8",
        "--out",
        &out,
    ];
    arguments.map(str::to_string).into()
}

/// The report of a run without what depends on the clock, on where the run is, and on how it was
/// called.
fn page(found: &Value) -> String {
    let run = run_dir(found);
    let page = std::fs::read_to_string(run.join("report.html")).unwrap();
    let page = page.replace(&text(&run), "RUN");
    // The run's arguments and what made it are told last.
    let end = page.find("<h2>Files of the run</h2>").unwrap();
    let is_dated = |line: &&str| !line.contains("byline\">");
    let lines = page[..end].lines().filter(is_dated).map(timeless_row);
    lines.collect::<Vec<_>>().join("\n")
}

/// A row of the table of methods without its seconds.
fn timeless_row(line: &str) -> String {
    let cells: Vec<&str> = line.split("<td>").collect();
    let is_of_methods = line.starts_with("<tr><th") && cells.len() == 8;
    let shown = cells
        .iter()
        .enumerate()
        .filter(|(cell, _)| !(is_of_methods && *cell == 5));
    let shown: Vec<&str> = shown.map(|(_, cell)| *cell).collect();
    shown.join("<td>")
}

/// What a page says in each of its sections, by their headings.
fn headings(page: &str) -> Vec<&str> {
    let parts = page.split("<h2>").skip(1);
    parts
        .map(|part| part.split("</h2>").next().unwrap())
        .collect()
}

/// The first sentence of a page.
fn said_first(page: &str) -> &str {
    let (_, rest) = page.split_once("<p class=\"result\">").unwrap();
    rest.split("</p>").next().unwrap()
}

/// What does not depend on the clock, nor on where the run is.
fn timeless(summary: &Value) -> Value {
    let mut summary = summary.clone();
    summary.as_object_mut().unwrap().remove("run_dir");
    let methods = summary["methods"].as_array_mut().unwrap();
    let runs = |outcome: &mut Value| {
        for run in outcome["runs"].as_array_mut().into_iter().flatten() {
            run["seconds"] = Value::Null;
        }
    };
    methods.iter_mut().for_each(runs);
    for name in ["source_only", "adapted", "oracle"] {
        runs(&mut summary[name]);
    }
    summary
}

#[test]
fn the_source_alone_and_the_targets_labels_stand_beside_a_method() {
    let bench = Bench::new();
    let of = |out: &str, more: &[&str]| {
        let arguments = adapting(&bench, "data", out);
        json(&[&strs(&arguments)[..], more].concat())
    };
    let found = of("first", &["--method", "dann"]);
    let names: Vec<&Value> = found["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|outcome| &outcome["method"])
        .collect();
    assert_eq!(names, ["source-only", "dann"]);
    assert_eq!(
        (&found["method"], &found["validator"]),
        (&"dann".into(), &"im".into())
    );
    assert_eq!(found["oracle"]["method"], "oracle");
    assert_eq!(found["samples"], 15);
    for outcome in [&found["source_only"], &found["adapted"], &found["oracle"]] {
        let top1 = outcome["target_top1"].as_f64().unwrap();
        assert!((0. ..=1.).contains(&top1), "{outcome}");
        assert_eq!(outcome["runs"].as_array().unwrap().len(), 1);
    }
    // The adapted network is one that the other commands read.
    let run = run_dir(&found);
    let data = bench.path("data");
    let best = text(&run.join("dann"));
    let measured = json(&[
        "evaluate",
        "--weights",
        &best,
        "--data",
        &data,
        "--split",
        "test",
    ]);
    assert_eq!(measured["top1"], found["adapted"]["target_top1"]);
    let again = of("again", &["--method", "dann", "--threads", "1"]);
    assert_eq!(timeless(&again), timeless(&found));
    let shown = page(&found);
    assert_eq!(page(&again), shown);
    let sections = [
        "Methods",
        "Features: principal components",
        "Features: t-SNE",
        "Accuracy by class",
        "Run source-only",
        "Run dann",
        "Classes",
        "Classes",
        "Where the networks look",
    ];
    assert_eq!(headings(&shown), sections);
    let top1 = found["adapted"]["target_top1"].as_f64().unwrap();
    let alone = found["source_only"]["target_top1"].as_f64().unwrap();
    let [adapted, source] = [top1, alone].map(|share| 100. * share);
    let expected = if top1 < alone {
        format!("dann does worse than the source alone: {adapted:.2} % instead of {source:.2} %.")
    } else {
        format!(
            "dann is right on {adapted:.1}\u{a0}% of 15 images of the target, \
             the source alone on {source:.1}\u{a0}%."
        )
    };
    assert_eq!(said_first(&shown), expected);
    for outcome in [&found["source_only"], &found["adapted"]] {
        let apart = outcome["a_distance"].as_f64().unwrap();
        assert!(
            (-2. ..=2.).contains(&apart) && outcome["mmd"].is_f64(),
            "{outcome}"
        );
        let choices = outcome["runs"][0]["validators"].as_array().unwrap();
        assert_eq!((choices.len(), &choices[0]["validator"]), (6, &"im".into()));
        assert_eq!(choices[0]["epoch"], outcome["runs"][0]["selected_epoch"]);
        let costs = choices
            .iter()
            .map(|choice| choice["cost"].as_f64().unwrap());
        assert!(costs.clone().all(|cost| cost >= 0.), "{choices:?}");
    }
    // Going on with what has ended changes nothing, not even the seconds and the time of day.
    let files = ["report.html", "summary.json"].map(|name| run.join(name));
    let before = files.each_ref().map(|file| std::fs::read(file).unwrap());
    let ended = json(&["adapt", "--resume", &text(&run)]);
    assert_eq!(ended, found);
    assert_eq!(
        files.each_ref().map(|file| std::fs::read(file).unwrap()),
        before
    );
    // A page that is gone is made again.
    std::fs::remove_file(&files[0]).unwrap();
    assert_eq!(
        timeless(&json(&["adapt", "--resume", &text(&run)])),
        timeless(&found)
    );
    assert_eq!(page(&found), shown);

    let several = of(
        "seeds",
        &["--method", "mcc,adabn", "--seeds", "2", "--no-oracle"],
    );
    assert_eq!(several["methods"].as_array().unwrap().len(), 3);
    assert!(several["oracle"].is_null());
    let spread = several["adapted"]["target_top1_spread"].as_f64().unwrap();
    assert!(spread >= 0. && several["adapted"]["runs"][1]["seed"] == 1);
}

#[test]
fn a_target_without_labels_is_adapted_to_and_not_measured() {
    let bench = Bench::new();
    for number in 0..12 {
        let from = bench.path(&format!(
            "data/train/{}/{0}{number:02}.png",
            CLASSES[number % 3]
        ));
        bench.file(
            &format!("photos/{number}.png"),
            std::fs::read(from).unwrap(),
        );
    }
    let arguments = adapting(&bench, "photos", "unlabelled");
    let found = json(&[&strs(&arguments)[..], &["--method", "coral"]].concat());
    assert!(found["adapted"]["target_top1"].is_null() && found["oracle"].is_null());
    assert!(
        found["adapted"]["runs"][0]["selected_epoch"]
            .as_u64()
            .is_some()
    );
    assert!(found["adapted"]["a_distance"].is_f64() && found["adapted"]["mmd"].is_f64());
    let choice = &found["adapted"]["runs"][0]["validators"][0];
    assert!(
        choice["epoch"].is_u64() && choice["cost"].is_null(),
        "{choice}"
    );
    let shown = page(&found);
    assert!(said_first(&shown).starts_with("How often coral is right on the target is not known"));
    // What needs labels is left out, and the points of the target are grey.
    let sections = [
        "Methods",
        "Features: principal components",
        "Features: t-SNE",
        "Run source-only",
        "Run coral",
        "Where the networks look",
    ];
    assert_eq!(headings(&shown), sections);
    assert!(shown.contains("class not known"));
}

#[test]
fn labels_of_the_target_change_what_is_measured_and_nothing_else() {
    let bench = Bench::new();
    // Ten kinds of stripes, on the target the other way around.
    let digits = |folder: &str, images: usize, light: u8| {
        let pixel = |at: usize| {
            let mut rng = cnn_core::Key::new(3).stream(folder).at(at as u64).rng();
            let stripe = (at % 28) / (2 + (at / (28 * 28)) % 10) % 2;
            let value = if stripe > 0 { light } else { 255 - light };
            value / 2 + rng.below(100) as u8
        };
        let pixels: Vec<u8> = (0..images * 28 * 28).map(pixel).collect();
        idx(&[images as u32, 28, 28], &pixels)
    };
    let labels = |labels: &[u8]| idx(&[labels.len() as u32], labels);
    let right: Vec<u8> = (0..40).map(|image| image % 10).collect();
    let domain = |folder: &str, light: u8, train: &[u8], test: &[u8]| {
        let kind = if light > 128 { "source" } else { "target" };
        let file = |name: &str, bytes: Vec<u8>| bench.file(&format!("{folder}/{name}"), bytes);
        file("train-images-idx3-ubyte", digits(kind, train.len(), light));
        file("train-labels-idx1-ubyte", labels(train));
        file(
            "t10k-images-idx3-ubyte",
            digits(&format!("{kind} test"), test.len(), light),
        );
        file("t10k-labels-idx1-ubyte", labels(test));
        bench.path(folder)
    };
    let source = domain("source", 220, &right, &right);
    let adapted = |target: &str, out: &str| {
        let out = bench.path(out);
        json(&[
            "adapt",
            "--source",
            &source,
            "--target",
            target,
            "--model",
            "lenet5",
            "--method",
            "dann",
            "--epochs",
            "2",
            "--updates",
            "4",
            "--batch",
            "8",
            "--no-oracle",
            "--out",
            &out,
        ])
    };
    let first = adapted(&domain("target", 40, &right, &right[..10]), "first");
    // Each test image has a class of its own, so the matrix has what the source alone takes it for.
    // The second target has those for labels: any method is worse there.
    let matrix = page(&first);
    let (_, matrix) = matrix.split_once("<h2>Classes</h2>").unwrap();
    let (matrix, _) = matrix.split_once("<h2>").unwrap();
    let cells = matrix.split("title=\"").skip(1);
    let said: Vec<u8> = cells
        .map(|cell| cell.split([' ', ':']).nth(3).unwrap().parse().unwrap())
        .collect();
    assert_eq!(said.len(), 10);
    let turned: Vec<u8> = right.iter().map(|label| 9 - label).collect();
    let second = adapted(&domain("permuted", 40, &turned, &said), "second");
    assert_ne!(
        first["adapted"]["target_top1"],
        second["adapted"]["target_top1"]
    );
    assert_eq!(second["source_only"]["target_top1"], 1.);

    let unmeasured = |found: &Value| {
        let mut found = timeless(found);
        let forget = |outcome: &mut Value| {
            outcome["target_top1"] = Value::Null;
            let run = &mut outcome["runs"][0];
            run["target_top1"] = Value::Null;
            for name in ["epochs", "validators"] {
                for part in run[name].as_array_mut().unwrap() {
                    part["target_top1"] = Value::Null;
                    part["cost"] = Value::Null;
                }
            }
        };
        found["methods"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .for_each(forget);
        for name in ["source_only", "adapted"] {
            forget(&mut found[name]);
        }
        found
    };
    assert_eq!(unmeasured(&first), unmeasured(&second));
    let pages = [&first, &second].map(page);
    let pictures = |page: &str| {
        let parts = page.split("src=\"").skip(1);
        let pictures = parts.map(|part| part.split('"').next().unwrap().to_string());
        pictures.collect::<Vec<_>>()
    };
    assert_eq!(pictures(&pages[0]), pictures(&pages[1]));
    assert!(!pictures(&pages[0]).is_empty());
    // Points lie where they lay, in other colours.
    let places = |page: &str| {
        let dots = page.split('M').filter(|part| part.contains("l12 12"));
        let mut dots: Vec<String> = dots
            .map(|part| part.split('"').next().unwrap().to_string())
            .collect();
        dots.sort();
        dots
    };
    assert_eq!(places(&pages[0]), places(&pages[1]));
    assert_eq!(places(&pages[0]).len(), 4 * 10);
    let worse = "dann does worse than the source alone: ";
    assert!(
        said_first(&pages[1]).starts_with(worse),
        "{}",
        said_first(&pages[1])
    );
}

#[test]
fn bad_arguments_of_adaptation_are_told_what_is_accepted() {
    let bench = Bench::new();
    let fresh = adapting(&bench, "data", "refused");
    let table: [(&[&str], &[&str]); 4] = [
        (&["--method", "dan2"], &["did you mean", "cdan+e"]),
        (&["--validator", "top1"], &["im, entropy, snd"]),
        (&["--seeds", "0"], &["at least 1"]),
        (&["--weights", "nowhere"], &["nowhere"]),
    ];
    let mut faults = Vec::new();
    for (arguments, words) in table {
        let all = [&strs(&fresh)[..], arguments].concat();
        faults.extend(refused(&[1, 2], words, &all));
    }
    let large = fresh.iter().map(|argument| match argument.as_str() {
        "8" => "1000",
        other => other,
    });
    let large: Vec<&str> = large.collect();
    faults.extend(refused(&[2], &["--batch 1000", "training images"], &large));
    let left = bench.directory.path().join("refused");
    assert!(!left.exists(), "{}", left.display());
    faults.extend(refused(&[2], &["--source"], &["adapt", "--target", "x"]));
    // Other classes are told before anything is trained.
    bench.images("wasps/train", &["hornet", "wasp"], 8);
    let others = adapting(&bench, "wasps", "others");
    faults.extend(refused(&[1], &["hornet"], &strs(&others)));
    let trained = bench.directory.path().join("others");
    assert!(!trained.exists(), "{}", trained.display());
    none(faults);
}
