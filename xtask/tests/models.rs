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
        ("18", &["resnet18"]),
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
    begins("v2", &["mobilenetv2"]);
    begins("mobile", &["mobilenetv1", "mobilenetv2"]);
    begins("cifar", &["resnet"]);
    assert!(names("cifar").iter().all(|name| name.ends_with("_cifar10")));
    begins("resnet", &["resnet"]);
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
        row("resnet18").contains("IMAGENET1K_V1, a1_in1k"),
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
