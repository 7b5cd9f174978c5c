//! The hub's files against a server on this machine that behaves as the hub does.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod server;

use std::fs;
use std::time::{Duration, Instant};

use cnn_hub::{Error, Event, Hub, Repo, Silent};
use common::{PAGE, bytes, config, file, hub, whole_files};
use server::{COMMIT, COMMIT_2, Fault, Reply, World};

fn methods(requests: &[server::Request]) -> Vec<&str> {
    requests
        .iter()
        .map(|request| request.method.as_str())
        .collect()
}

#[test]
fn a_file_is_downloaded_once_and_lies_where_python_looks() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "config.json", b"{}", false);
    world.put(PAGE, "sub/model a.safetensors", &bytes(300_000, 1), true);
    let tag = |path: &str| world.state().files[&(PAGE.to_string(), path.to_string())].tag();
    let tags = ["config.json", "sub/model a.safetensors"].map(tag);
    let hub = hub(&world, cache.path());
    let config = hub.file(&file("config.json"), &mut Silent).unwrap();
    let model = hub
        .file(&file("sub/model a.safetensors"), &mut Silent)
        .unwrap();
    assert_eq!(fs::read(config).unwrap(), b"{}");
    assert_eq!(fs::read(&model).unwrap(), bytes(300_000, 1));
    let folder = cache.path().join("hub/models--owner--name");
    assert_eq!(
        model,
        folder
            .join("snapshots")
            .join(COMMIT)
            .join("sub/model a.safetensors")
    );
    assert_eq!(
        fs::read_to_string(folder.join("refs/main")).unwrap(),
        COMMIT
    );
    for tag in tags {
        assert!(folder.join("blobs").join(&tag).is_file(), "{tag}");
    }
    assert_eq!(
        fs::read_link(&model)
            .unwrap()
            .to_str()
            .unwrap()
            .matches("../")
            .count(),
        3
    );
    drop((world.hub.requests(), world.storage.requests()));

    // A branch is asked for its commit, nothing more; a commit is not asked for at all.
    hub.file(&file("config.json"), &mut Silent).unwrap();
    assert_eq!(methods(&world.hub.requests()), ["HEAD"]);
    let pinned = Repo::model(PAGE).unwrap().at(COMMIT).unwrap();
    hub.file(&pinned.file("config.json").unwrap(), &mut Silent)
        .unwrap();
    let offline = Hub::new(common::config(&world, cache.path()).with_offline(true)).unwrap();
    assert_eq!(
        offline
            .file(&file("sub/model a.safetensors"), &mut Silent)
            .unwrap(),
        model
    );
    assert_eq!(
        offline.cached(&file("sub/model a.safetensors")),
        Some(model)
    );
    assert!(world.hub.requests().is_empty() && world.storage.requests().is_empty());
    let error = offline.file(&file("other.bin"), &mut Silent).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    for part in [
        "owner/name/other.bin",
        "HF_HUB_OFFLINE",
        cache.path().to_str().unwrap(),
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn a_branch_that_moved_on_brings_only_what_is_new() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "a", b"first", true);
    world.put(PAGE, "same", b"same", true);
    let hub = hub(&world, cache.path());
    let old = hub.file(&file("a"), &mut Silent).unwrap();
    hub.file(&file("same"), &mut Silent).unwrap();
    world.storage.requests();
    world.put(PAGE, "a", b"second", true);
    world.state().commits.insert("main".into(), COMMIT_2.into());
    let new = hub.file(&file("a"), &mut Silent).unwrap();
    hub.file(&file("same"), &mut Silent).unwrap();
    assert_eq!(world.storage.requests().len(), 1);
    assert_eq!(
        (fs::read(old).unwrap(), fs::read(new).unwrap()),
        (b"first".to_vec(), b"second".to_vec())
    );
    let tag = Repo::model(PAGE).unwrap().at("refs/pr/1").unwrap();
    world
        .state()
        .commits
        .insert("refs/pr/1".into(), COMMIT.into());
    assert_eq!(
        fs::read(hub.file(&tag.file("same").unwrap(), &mut Silent).unwrap()).unwrap(),
        b"same"
    );
    assert!(
        cache
            .path()
            .join("hub/models--owner--name/refs/refs/pr/1")
            .is_file()
    );
}

#[test]
fn the_token_stays_with_the_hub() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.state().token = Some("hf_right".to_string());
    world.put(PAGE, "model.bin", b"large", true);
    let with_token =
        |token| Hub::new(config(&world, cache.path()).with_token(token).unwrap()).unwrap();
    with_token("hf_right")
        .file(&file("model.bin"), &mut Silent)
        .unwrap();
    let requests = world.hub.requests();
    assert!(!requests.is_empty());
    for request in requests {
        assert_eq!(request.header("authorization"), Some("Bearer hf_right"));
    }
    let requests = world.storage.requests();
    assert_eq!(requests.len(), 1);
    assert!(
        requests
            .iter()
            .all(|request| request.header("authorization").is_none())
    );
    let error = with_token("hf_wrong")
        .file(&file("other.bin"), &mut Silent)
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Unauthorized {
                with_token: true,
                ..
            }
        ),
        "{error}"
    );
    assert!(!error.to_string().contains("hf_wrong"));
}

#[test]
fn sizes_are_bounded_and_must_be_those_announced() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    let hub = hub(&world, cache.path());
    let fetch = |name: &str, fault: Option<Fault>, limit: u64| {
        world.put(PAGE, name, &bytes(1000, 10), true);
        world.fail(fault);
        fs::remove_dir_all(cache.path().join("hub")).ok();
        let error = hub
            .file(&file(name).with_max_bytes(limit), &mut Silent)
            .unwrap_err();
        assert_eq!(whole_files(cache.path()), Vec::<String>::new());
        error
    };
    let error = fetch("a", None, 999);
    assert!(
        matches!(
            error,
            Error::TooLarge {
                limit: 999,
                found: Some(1000),
                ..
            }
        ),
        "{error}"
    );
    // What a header claims is not believed, whatever it is.
    let claims = |size: u64| {
        Fault::Reply(
            Reply::new(200)
                .with("content-length", size)
                .with_body("short"),
        )
    };
    let error = fetch("b", Some(claims(1 << 60)), 2000);
    assert!(
        matches!(error, Error::SizeMismatch { expected: 1000, .. }),
        "{error}"
    );
    let endless = || {
        let chunk = [b"10000\r\n".to_vec(), vec![0; 0x10000], b"\r\n".to_vec()].concat();
        Fault::Reply(
            Reply::new(200)
                .with("transfer-encoding", "chunked")
                .with_body(chunk.repeat(4)),
        )
    };
    let error = fetch("c", Some(endless()), 2000);
    assert!(
        matches!(error, Error::SizeMismatch { expected: 1000, .. }),
        "{error}"
    );
}

#[test]
fn each_refusal_of_the_hub_is_told_by_its_kind() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "a", b"a", false);
    world.put("owner/gated", "a", b"a", false);
    world.state().gated.push("owner/gated".to_string());
    let hub = hub(&world, cache.path());
    let error = |repo: &str, path: &str| {
        let repo: Repo = repo.parse().unwrap();
        hub.file(&repo.file(path).unwrap(), &mut Silent)
            .unwrap_err()
    };
    let missing = error("owner/nothing", "a");
    assert!(
        matches!(&missing, Error::MissingRepository { repo, with_token: false, .. }
            if repo == "owner/nothing"),
        "{missing}"
    );
    assert!(missing.to_string().contains("HF_TOKEN"), "{missing}");
    let revision = error("owner/name@v9", "a");
    assert!(
        matches!(&revision, Error::MissingRevision { revision, .. } if revision == "v9"),
        "{revision}"
    );
    let entry = error("owner/name", "b/c");
    assert!(
        matches!(&entry, Error::MissingFile { path, .. } if path == "b/c"),
        "{entry}"
    );
    let gated = error("owner/gated", "a");
    assert!(
        matches!(
            gated,
            Error::Gated {
                with_token: false,
                ..
            }
        ),
        "{gated}"
    );
    assert!(
        gated
            .to_string()
            .contains(&format!("{}/owner/gated", world.hub.url())),
        "{gated}"
    );
    let fault = |reply| {
        world.state().head_faults.push_back(Fault::Reply(reply));
        error("owner/name", "a")
    };
    let forbidden = fault(Reply::new(403).with("x-error-message", "not for you"));
    assert!(matches!(forbidden, Error::Forbidden { .. }), "{forbidden}");
    assert!(forbidden.to_string().contains("not for you"), "{forbidden}");
    let unauthorized = fault(Reply::new(401));
    assert!(
        matches!(unauthorized, Error::Unauthorized { .. }),
        "{unauthorized}"
    );
    let status = fault(Reply::new(418));
    assert!(
        matches!(status, Error::Status { status: 418, .. }),
        "{status}"
    );
    let nothing = fault(Reply::new(404));
    assert!(
        matches!(nothing, Error::NotFound { status: 404, .. }),
        "{nothing}"
    );
    assert_eq!(whole_files(cache.path()), Vec::<String>::new());
}

#[test]
fn a_renamed_repository_is_followed_and_told() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put("new/name", "a", b"a", true);
    world
        .state()
        .renamed
        .insert(PAGE.to_string(), "new/name".to_string());
    let mut renamed = None;
    let mut progress = |event: &Event<'_>| {
        if let Event::Renamed { from, to } = event {
            renamed = Some((from.to_string(), to.to_string()));
        }
    };
    let path = hub(&world, cache.path())
        .file(&file("a"), &mut progress)
        .unwrap();
    assert_eq!(renamed, Some((PAGE.to_string(), "new/name".to_string())));
    assert!(path.starts_with(cache.path().join("hub/models--owner--name")));
}

#[test]
fn what_is_there_is_used_where_the_hub_cannot_be_asked() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "a", b"a", true);
    let path = hub(&world, cache.path())
        .file(&file("a"), &mut Silent)
        .unwrap();
    let unused = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let closed = config(&world, cache.path())
        .with_endpoint(&format!("http://{unused}"))
        .unwrap();
    let unknown = config(&world, cache.path())
        .with_endpoint("http://nowhere.invalid")
        .unwrap();
    for config in [closed, unknown] {
        let hub = Hub::new(config).unwrap();
        let mut causes = Vec::new();
        let mut progress = |event: &Event<'_>| {
            if let Event::FromCache { cause, .. } = event {
                causes.push(cause.to_string());
            }
        };
        let begin = Instant::now();
        assert_eq!(hub.file(&file("a"), &mut progress).unwrap(), path);
        assert!(
            causes.len() == 1 && causes[0].contains("cannot reach"),
            "{causes:?}"
        );
        let error = hub.file(&file("b"), &mut Silent).unwrap_err();
        assert!(matches!(error, Error::NoNetwork { .. }), "{error}");
        assert!(begin.elapsed() < Duration::from_secs(15));
    }
    // A failing hub and one that hides the repository leave what is there, too; a file that is gone
    // is gone.
    let hub = hub(&world, cache.path());
    world
        .state()
        .head_faults
        .push_back(Fault::Reply(Reply::new(500)));
    assert_eq!(hub.file(&file("a"), &mut Silent).unwrap(), path);
    world.state().gated.push(PAGE.to_string());
    assert_eq!(hub.file(&file("a"), &mut Silent).unwrap(), path);
    world.state().gated.clear();
    world.state().files.clear();
    world.put(PAGE, "other", b"b", true);
    let error = hub.file(&file("a"), &mut Silent).unwrap_err();
    assert!(matches!(error, Error::MissingFile { .. }), "{error}");
}

#[test]
fn lists_pins_and_alternatives() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "pytorch_model.bin", b"weights", true);
    world.put(PAGE, "config.json", b"{}", false);
    let hub = hub(&world, cache.path());
    let repo = Repo::model(PAGE).unwrap();
    let list = hub.files(&repo, &mut Silent).unwrap();
    let paths: Vec<&str> = list.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["config.json", "pytorch_model.bin"]);
    assert_eq!(
        (
            list.files[1].size,
            list.files[1].sha256.as_deref().map(str::len)
        ),
        (Some(7), Some(64))
    );
    let pinned = hub.pin(&repo, &mut Silent).unwrap();
    assert_eq!(pinned.revision(), COMMIT);
    let names = ["model.safetensors", "pytorch_model.bin"];
    let weights = hub.first_of(&pinned, &names, &mut Silent).unwrap();
    assert!(weights.ends_with("pytorch_model.bin"));
    let error = hub.first_of(&pinned, &["a", "b"], &mut Silent).unwrap_err();
    assert!(
        matches!(error, Error::MissingFile { ref path, .. } if path == "a"),
        "{error}"
    );
    // What was fetched at the commit is found by the branch whose commit it was.
    let config_json = pinned.file("config.json").unwrap();
    hub.file(&config_json, &mut Silent).unwrap();
    let offline = Hub::new(config(&world, cache.path()).with_offline(true)).unwrap();
    assert_eq!(offline.pin(&repo, &mut Silent).unwrap(), pinned);
    assert_eq!(offline.files(&repo, &mut Silent).unwrap().files.len(), 2);
    assert!(
        offline
            .first_of(&repo, &names, &mut Silent)
            .unwrap()
            .ends_with("pytorch_model.bin")
    );
    let unknown = Repo::dataset("owner/other").unwrap();
    assert!(matches!(
        offline.files(&unknown, &mut Silent),
        Err(Error::Offline { .. })
    ));
    assert!(matches!(
        hub.files(&unknown, &mut Silent),
        Err(Error::MissingRepository { .. })
    ));
}

#[test]
fn a_list_that_is_cut_is_asked_for_again() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "a", b"a", false);
    world
        .state()
        .list_faults
        .extend([Fault::Cut(10), Fault::Stall(20)]);
    let repo = Repo::model(PAGE).unwrap();
    let list = hub(&world, cache.path()).files(&repo, &mut Silent).unwrap();
    assert_eq!(list.files.len(), 1);
}

#[test]
fn a_detour_on_the_same_host_is_followed_whatever_its_tag() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "config.json", &bytes(5000, 17), false);
    world.state().has_detour = true;
    world.fail([Fault::Cut(1000), Fault::Cut(10)]);
    let mut renames = 0;
    let mut progress =
        |event: &Event<'_>| renames += u32::from(matches!(event, Event::Renamed { .. }));
    let hub = hub(&world, cache.path());
    let path = hub.file(&file("config.json"), &mut progress).unwrap();
    assert_eq!(fs::read(path).unwrap(), bytes(5000, 17));
    assert_eq!(renames, 0);
}

#[test]
fn a_commit_is_that_commit_or_an_error() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "a", b"a", false);
    let other = Reply::new(200)
        .with("etag", "\"tag\"")
        .with("x-repo-commit", COMMIT_2);
    world.state().head_faults.push_back(Fault::Reply(other));
    let pinned = Repo::model(PAGE).unwrap().at(COMMIT).unwrap();
    let error = hub(&world, cache.path())
        .file(&pinned.file("a").unwrap(), &mut Silent)
        .unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
}

#[test]
fn datasets_have_a_folder_of_their_own() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put("datasets/owner/name", "data/train.parquet", b"rows", true);
    let repo = Repo::dataset(PAGE).unwrap();
    let path = hub(&world, cache.path())
        .file(&repo.file("data/train.parquet").unwrap(), &mut Silent)
        .unwrap();
    assert!(path.starts_with(cache.path().join("hub/datasets--owner--name/snapshots")));
}

#[test]
fn a_cache_without_links_has_whole_files() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "a", b"content", true);
    let hub = Hub::new(config(&world, cache.path()).with_links(false)).unwrap();
    let path = hub.file(&file("a"), &mut Silent).unwrap();
    assert!(!fs::symlink_metadata(&path).unwrap().is_symlink());
    assert_eq!(fs::read(path).unwrap(), b"content");
}
