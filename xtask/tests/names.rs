//! Weights and datasets by name, against a server on this machine that behaves as the hub does.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../../crates/cnn-hub/tests/server/mod.rs"]
mod server;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cnn_data::Image;
use cnn_models::{ModelConfig, Network};
use server::{COMMIT, World};

const MODEL: &str = "resnet8_cifar10";
/// Weights that the catalogue does not know, where timm publishes its own.
const NAME: &str = "resnet8_cifar10.mine";
const PAGE: &str = "timm/resnet8_cifar10.mine";

/// A person's directory, with a hub to ask.
struct Place {
    world: World,
    directory: tempfile::TempDir,
}

impl Place {
    /// The hub has weights of a model, and the directory a photo.
    fn new() -> Self {
        let world = World::start();
        let directory = tempfile::tempdir().unwrap();
        let network = Network::new(MODEL, &ModelConfig::default(), 0).unwrap();
        let saved = directory.path().join("saved");
        network.save(&saved).unwrap();
        for (name, is_large) in [("config.json", false), ("model.safetensors", true)] {
            let bytes = std::fs::read(saved.join(name)).unwrap();
            world.put(PAGE, name, &bytes, is_large);
        }
        let photo = Image::from_pixels(32, 32, 3, vec![99; 3 * 32 * 32]).unwrap();
        photo
            .write_png(&directory.path().join("photo.png"))
            .unwrap();
        Self { world, directory }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_cnn"))
            .args(arguments)
            .current_dir(self.path())
            .env("HF_ENDPOINT", self.world.hub.url())
            .env("HF_HOME", self.path().join("huggingface"))
            .env("CNN_CACHE", self.path().join("cache"))
            .env_remove("HF_TOKEN")
            .env_remove("HF_HUB_OFFLINE")
            .env_remove("CNN_DATA")
            .output()
            .unwrap()
    }

    /// What a command that must succeed prints on standard output and standard error.
    fn succeeds(&self, arguments: &[&str]) -> (String, String) {
        let output = self.run(arguments);
        let (stdout, stderr) = texts(&output);
        assert!(output.status.success(), "{arguments:?}\n{stdout}\n{stderr}");
        (stdout, stderr)
    }

    /// Runs a command that must fail with `status` and all of `words` in its message.
    fn refused(&self, status: i32, words: &[&str], arguments: &[&str]) {
        let output = self.run(arguments);
        let (stdout, stderr) = texts(&output);
        assert_eq!(
            (output.status.code(), stdout.as_str()),
            (Some(status), ""),
            "{arguments:?}: {stderr}"
        );
        for word in words {
            assert!(
                stderr.contains(word),
                "{arguments:?}: `{word}` is not in\n{stderr}"
            );
        }
    }

    /// How often the hub was asked since this was asked last.
    fn requests(&self) -> usize {
        self.world.hub.requests().len()
    }
}

/// What `predict --json` found, without the name of the weights.
fn found(json: &str) -> serde_json::Value {
    let answer: serde_json::Value = serde_json::from_str(json).unwrap();
    answer["predictions"].clone()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_string();
    (text(&output.stdout), text(&output.stderr))
}

#[test]
fn published_weights_are_downloaded_once_and_found_offline() {
    let place = Place::new();
    let predict = ["predict", "photo.png", "--weights", NAME, "--json"];
    let (first, said) = place.succeeds(&predict);
    assert!(
        said.contains("downloading timm/resnet8_cifar10.mine"),
        "{said}"
    );
    let from_file = ["predict", "photo.png", "--weights", "saved", "--json"];
    assert_eq!(found(&first), found(&place.succeeds(&from_file).0));

    // The second time the hub is asked for its list alone.
    place.requests();
    let (second, said) = place.succeeds(&predict);
    assert_eq!(second, first);
    assert!(!said.contains("downloading"), "{said}");
    assert_eq!(place.requests(), 1);

    let offline = [&predict[..], &["--offline"]].concat();
    assert_eq!(place.succeeds(&offline).0, first);
    let pinned = format!("hf:{PAGE}@{COMMIT}");
    for same in [&format!("hf:{PAGE}"), &pinned] {
        let named = ["predict", "photo.png", "--weights", same, "--json"];
        assert_eq!(place.succeeds(&named).0, first);
    }
    assert_eq!(
        place.world.storage.requests().len(),
        1,
        "one download in all"
    );
}

#[test]
fn a_path_wins_over_a_name() {
    let place = Place::new();
    std::fs::rename(place.path().join("saved"), place.path().join(NAME)).unwrap();
    place.succeeds(&["predict", "photo.png", "--weights", NAME]);
    assert_eq!(place.requests(), 0);
}

/// A run stands on the commit that its name meant when it began.
#[test]
fn a_run_keeps_the_commit_of_its_weights() {
    let place = Place::new();
    let small = ["--head-epochs", "1", "--strategy", "head", "--out", "runs"];
    let data = ["--data", "shapes:samples=20"];
    let arguments = [&["finetune", "--weights", NAME][..], &data, &small].concat();
    place.succeeds(&arguments);
    let run = place.path().join("runs/finetune/resnet8_cifar10-1");
    let saved = std::fs::read_to_string(run.join("args.toml")).unwrap();
    assert!(
        saved.contains(&format!("weights = \"hf:{PAGE}@{COMMIT}\"")),
        "{saved}"
    );
    // The run goes on by that commit, which nobody is asked for.
    place.requests();
    let run = run.display().to_string();
    place.succeeds(&["finetune", "--resume", &run]);
    assert_eq!(place.requests(), 0);
}

#[test]
fn weights_are_downloaded_before_they_are_needed() {
    let place = Place::new();
    let (stdout, _) = place.succeeds(&["download", "weights", NAME, "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let entry = &answer["weights"][0];
    assert_eq!(entry["name"], format!("hf:{PAGE}@{COMMIT}"));
    let path = PathBuf::from(entry["path"].as_str().unwrap());
    assert_eq!(
        std::fs::read(path.join("model.safetensors")).unwrap(),
        std::fs::read(place.path().join("saved/model.safetensors")).unwrap()
    );
    place.succeeds(&["predict", "photo.png", "--weights", NAME, "--offline"]);
}

/// `usps` is a dataset whose files are the hub's own.
#[test]
fn a_dataset_is_downloaded_once_by_its_name() {
    let place = Place::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/cnn-data/tests/golden");
    let bytes = std::fs::read(golden.join("tiny.parquet")).unwrap();
    for name in [
        "data/train-00000-of-00001.parquet",
        "data/test-00000-of-00001.parquet",
    ] {
        place
            .world
            .put("datasets/flwrlabs/usps", name, &bytes, true);
    }
    place.refused(1, &["usps", "offline"], &["data", "usps", "--offline"]);
    assert!(!place.path().join("data").exists());
    let (stdout, said) = place.succeeds(&["data", "usps"]);
    assert!(stdout.starts_with("usps: parquet"), "{stdout}");
    assert!(said.contains("no licence is stated"), "{said}");
    place.requests();
    assert_eq!(place.succeeds(&["data", "usps"]).0, stdout);
    assert_eq!(place.succeeds(&["data", "USPS", "--offline"]).0, stdout);
    assert_eq!(place.requests(), 0);
    let (list, _) = place.succeeds(&["data", "list", "--json"]);
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let on_disk = list
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["on_disk"] == true);
    let names: Vec<_> = on_disk
        .map(|entry| entry["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["usps"]);
}

#[test]
fn what_cannot_be_had_is_said_in_a_sentence() {
    let place = Place::new();
    let predict = |weights| ["predict", "photo.png", "--weights", weights];
    let gated = "timm/resnet8_cifar10.gated";
    place.world.put(gated, "config.json", b"{}", false);
    place.world.state().gated.push(gated.to_string());
    place.world.put(
        "owner/vit",
        "config.json",
        br#"{"architecture": "vit_base_patch16_224"}"#,
        false,
    );
    place.world.put("owner/bare", "weights.h5", b"?", false);
    let cases: [(i32, &str, &[&str]); 11] = [
        (2, "resnet8_cifar11", &["did you mean `resnet8_cifar10`?"]),
        (
            2,
            "resnet8_cifar10.nobody",
            &["timm/resnet8_cifar10.nobody"],
        ),
        (
            2,
            "resnet18.a2_in1k",
            &["resnet18.a1_in1k", "resnet18.tv_in1k"],
        ),
        (
            2,
            "resnet8_cifar10",
            &["no weights are published", "train --model resnet8_cifar10"],
        ),
        (2, "hf:owner", &["no repository `owner`"]),
        (2, "hf:owner/name@x", &["owner/name"]),
        (2, "https://127.0.0.1:9/x.pth", &["--model"]),
        (2, "hf:owner/vit", &["vit_base_patch16_224"]),
        (1, "hf:owner/bare", &["model.safetensors", "weights.h5"]),
        (1, "resnet8_cifar10.gated", &["HF_TOKEN"]),
        (1, "here/nothing", &["here/nothing"]),
    ];
    for (status, weights, words) in cases {
        place.refused(status, words, &predict(weights));
    }
    let offline = [&predict(NAME)[..], &["--offline"]].concat();
    place.refused(1, &[NAME, "offline", "download"], &offline);
    place.refused(
        2,
        &["did you mean `cifar10`?"],
        &["train", "--data", "cifar_10"],
    );
    place.refused(
        2,
        &["did you mean `mnist`?"],
        &["download", "dataset", "mnits"],
    );
    place.refused(
        2,
        &["saved/x is a path"],
        &["download", "weights", "saved/x"],
    );
}

#[test]
fn an_address_is_a_name_too() {
    let place = Place::new();
    let weights = std::fs::read(place.path().join("saved/model.safetensors")).unwrap();
    let server = server::Server::start(move |request| server::content(request, &weights, "x"));
    let address = format!("{}/somewhere/weights.safetensors", server.url());
    let named = ["--weights", &address, "--model", MODEL, "--json"];
    let predict = [&["predict", "photo.png"][..], &named].concat();
    let (first, _) = place.succeeds(&predict);
    let from_file = ["predict", "photo.png", "--weights", "saved", "--json"];
    assert_eq!(found(&first), found(&place.succeeds(&from_file).0));
    drop(server);
    assert_eq!(place.succeeds(&predict).0, first);
}
