//! The cache is shared with Python's `huggingface_hub`, both ways.
//!
//! Needs a Python that has it, so it is not run with the others:
//!
//! ```sh
//! CNN_PYTHON=python3 cargo test --package cnn-hub --test python -- --ignored
//! ```
#![allow(clippy::unwrap_used, clippy::panic)]

mod server;

use std::fs;
use std::path::Path;
use std::process::Command;

use cnn_hub::{Hub, HubConfig, Repo, RepoFile, Silent};
use server::World;

fn file(path: &str) -> RepoFile {
    Repo::model("owner/name").unwrap().file(path).unwrap()
}

/// The path that Python's program prints for a file.
fn python(world: &World, home: &Path, command: &str, path: &str) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/hub_cache.py");
    let python =
        std::env::var_os("CNN_PYTHON").expect("CNN_PYTHON names a Python with huggingface_hub");
    let output = Command::new(python)
        .arg(script)
        .args([command, "owner/name", path])
        .env("HF_ENDPOINT", world.hub.url())
        .env("HF_HOME", home)
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_HUB_OFFLINE")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_string()
}

/// The requests that are about files of repositories.
fn files(requests: &[server::Request]) -> Vec<String> {
    let requests = requests
        .iter()
        .filter(|request| request.path.contains("owner/name"));
    requests
        .map(|request| format!("{} {}", request.method, request.path))
        .collect()
}

#[test]
#[ignore = "needs Python with huggingface_hub"]
fn either_finds_what_the_other_downloaded() {
    let world = World::start();
    let large = vec![5; 3_000_000];
    for name in ["python", "ours"] {
        world.put(
            "owner/name",
            &format!("{name}/model.safetensors"),
            &[&large[..], name.as_bytes()].concat(),
            true,
        );
        world.put(
            "owner/name",
            &format!("{name}.json"),
            name.as_bytes(),
            false,
        );
    }
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let config = HubConfig::in_directory(home)
        .with_endpoint(&world.hub.url())
        .unwrap();
    let hub = Hub::new(config.clone()).unwrap();
    let offline = Hub::new(config.with_offline(true)).unwrap();
    let paths = |name: &str| [format!("{name}/model.safetensors"), format!("{name}.json")];
    // What Python downloads is found here without a request, also online with nothing but a look
    // whether the branch has moved on.
    for path in paths("python") {
        let theirs = python(&world, home, "download", &path);
        assert_eq!(
            offline.file(&file(&path), &mut Silent).unwrap().to_str(),
            Some(theirs.as_str())
        );
        drop((world.hub.requests(), world.storage.requests()));
        hub.file(&file(&path), &mut Silent).unwrap();
        let requests = world.hub.requests();
        assert!(
            requests.len() == 1 && requests[0].method == "HEAD",
            "{requests:?}"
        );
        assert!(world.storage.requests().is_empty());
        println!("Python downloaded {path}; found here: {theirs}");
    }
    // And the reverse.
    for path in paths("ours") {
        let ours = hub.file(&file(&path), &mut Silent).unwrap();
        drop((world.hub.requests(), world.storage.requests()));
        assert_eq!(python(&world, home, "find", &path), ours.to_str().unwrap());
        assert_eq!(files(&world.hub.requests()), Vec::<String>::new());
        assert!(world.storage.requests().is_empty());
        assert_eq!(
            python(&world, home, "download", &path),
            ours.to_str().unwrap()
        );
        let requests = files(&world.hub.requests());
        assert!(
            requests.len() == 1 && requests[0].starts_with("HEAD"),
            "{requests:?}"
        );
        assert!(world.storage.requests().is_empty());
        println!(
            "downloaded here {path}; found by Python: {}",
            ours.display()
        );
    }
    // Python's own look at the cache finds nothing wrong, and a part of ours in its way does no harm.
    println!("{}", python(&world, home, "scan", ""));
    let left = fs::read_dir(home.join("hub/models--owner--name/blobs"))
        .unwrap()
        .count();
    assert_eq!(left, 4);
}
