//! Python's `huggingface_hub` and this crate share a cache, and push alike.
//!
//! The tests compare with a Python that has it, and do nothing unless `CNN_PYTHON` names one:
//!
//! ```sh
//! CNN_PYTHON=python3 cargo test --package cnn-hub --test python -- --nocapture
//! ```
#![allow(clippy::unwrap_used, clippy::panic)]

mod server;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::Command;

use cnn_hub::{Hub, HubConfig, Push, Repo, RepoFile, Silent, Upload};
use serde_json::Value;
use server::World;

const TOKEN: &str = "hf_right";

fn file(path: &str) -> RepoFile {
    Repo::model("owner/name").unwrap().file(path).unwrap()
}

/// What Python's program prints, on the hub with a home of its own.
struct Python<'a> {
    program: OsString,
    world: &'a World,
    home: &'a Path,
}

impl<'a> Python<'a> {
    fn new(world: &'a World, home: &'a Path) -> Option<Self> {
        let program = std::env::var_os("CNN_PYTHON");
        if program.is_none() {
            println!("CNN_PYTHON names no Python to compare with");
        }
        Some(Self {
            program: program?,
            world,
            home,
        })
    }

    fn says(&self, command: &str, path: &str) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/hub_peer.py");
        let output = Command::new(&self.program)
            .arg(script)
            .args([command, "owner/name", path])
            .env("HF_ENDPOINT", self.world.hub.url())
            .env("HF_HOME", self.home)
            .env("HF_TOKEN", TOKEN)
            .env("HF_HUB_DISABLE_XET", "1")
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
    let Some(python) = Python::new(&world, home) else {
        return;
    };
    let config = HubConfig::in_directory(home)
        .with_endpoint(&world.hub.url())
        .unwrap();
    let hub = Hub::new(config.clone()).unwrap();
    let offline = Hub::new(config.with_offline(true)).unwrap();
    let paths = |name: &str| [format!("{name}/model.safetensors"), format!("{name}.json")];
    // What Python downloads is found here without a request, also online with nothing but a look
    // whether the branch has moved on.
    for path in paths("python") {
        let theirs = python.says("download", &path);
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
        assert_eq!(python.says("find", &path), ours.to_str().unwrap());
        assert_eq!(files(&world.hub.requests()), Vec::<String>::new());
        assert!(world.storage.requests().is_empty());
        assert_eq!(python.says("download", &path), ours.to_str().unwrap());
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
    println!("{}", python.says("scan", ""));
    let left = fs::read_dir(home.join("hub/models--owner--name/blobs"))
        .unwrap()
        .count();
    assert_eq!(left, 4);
}

/// A request but for its address on this machine and the names of programs.
#[derive(Debug, PartialEq)]
struct Said {
    method: String,
    path: String,
    token: Option<String>,
    content: Vec<Value>,
}

/// What was said since the last call, first to the hub, then to its storage.
fn said(world: &World) -> Vec<Said> {
    let requests = [world.hub.requests(), world.storage.requests()].concat();
    let requests = requests.iter().filter(|request| {
        // Python has the page's metadata looked at first, and the hub looks at them in any case.
        request.method != "GET" && request.path != "/api/validate-yaml"
    });
    let said = requests.map(|request| Said {
        method: request.method.clone(),
        path: request.path.clone(),
        token: request.header("authorization").map(str::to_string),
        content: match request.method.as_str() {
            "PUT" => vec![Value::from(request.body.clone())],
            _ => serde_json::Deserializer::from_slice(&request.body)
                .into_iter()
                .map(Result::unwrap)
                .collect(),
        },
    });
    said.collect()
}

#[test]
fn a_push_says_what_python_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    fs::create_dir(folder.join("sub")).unwrap();
    fs::write(folder.join("README.md"), "---\nlicense: mit\n---\n# ü\n").unwrap();
    fs::write(folder.join("sub/empty.txt"), "").unwrap();
    fs::write(folder.join("model.safetensors"), vec![5; 300_000]).unwrap();
    for chunk in [None, Some(70_001)] {
        let [theirs, ours] = [World::start(), World::start()];
        for world in [&theirs, &ours] {
            world.state().token = Some(TOKEN.to_string());
            world.state().pushes.large = 1000;
            world.state().pushes.chunk = chunk;
            world.state().pushes.verifies = true;
        }
        let home = tempfile::tempdir().unwrap();
        let Some(python) = Python::new(&theirs, home.path()) else {
            return;
        };
        let commit = python.says("push", folder.to_str().unwrap());
        let config = HubConfig::in_directory(home.path())
            .with_endpoint(&ours.hub.url())
            .unwrap()
            .with_token(TOKEN)
            .unwrap();
        let repo = Repo::model("owner/name").unwrap();
        let push = Push::new(repo, Upload::folder(folder).unwrap(), "Add weights").unwrap();
        let pushed = Hub::new(config).unwrap().push(&push, &mut Silent).unwrap();
        let mut theirs_said = said(&theirs);
        let mut ours_said = said(&ours);
        // The same lines of a commit may be in another order.
        for line in theirs_said.iter_mut().chain(&mut ours_said) {
            if line.path.contains("/commit/") {
                line.content.sort_by_key(Value::to_string);
            }
        }
        for (theirs, ours) in theirs_said.iter().zip(&ours_said) {
            println!("{} {}", ours.method, ours.path);
            assert_eq!(theirs, ours);
        }
        assert_eq!(theirs_said.len(), ours_said.len());
        assert_eq!(theirs.state().files.len(), ours.state().files.len());
        assert_eq!((commit.len(), pushed.commit.len()), (40, 40));
    }
}
