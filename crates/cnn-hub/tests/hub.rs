//! The hub's files against a server on this machine that behaves as the hub does.
#![allow(clippy::unwrap_used, clippy::panic)]

mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cnn_core::Key;
use cnn_hub::{Error, Event, Hub, HubConfig, Progress, Repo, RepoFile, Retry, Silent};
use server::{COMMIT, COMMIT_2, Fault, Reply, World};

const PAGE: &str = "owner/name";

/// Waits for milliseconds where people wait for seconds.
fn config(world: &World, cache: &Path) -> HubConfig {
    HubConfig::in_directory(cache)
        .with_endpoint(&world.hub.url())
        .unwrap()
        .with_timeouts(Duration::from_secs(5), Duration::from_millis(400))
        .with_retry(Retry {
            failures: 4,
            first_delay: Duration::from_millis(1),
            longest_delay: Duration::from_millis(1500),
        })
}

fn hub(world: &World, cache: &Path) -> Hub {
    Hub::new(config(world, cache)).unwrap()
}

fn file(path: &str) -> RepoFile {
    Repo::model(PAGE).unwrap().file(path).unwrap()
}

fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut rng = Key::new(seed).stream("content").rng();
    (0..length).map(|_| rng.below(256) as u8).collect()
}

/// All files below a directory, with slashes.
fn tree(directory: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut open = vec![directory.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).into_iter().flatten() {
            let path = entry.unwrap().path();
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                open.push(path);
            } else {
                let inside = path.strip_prefix(directory).unwrap();
                files.push(inside.to_str().unwrap().to_string());
            }
        }
    }
    files.sort();
    files
}

/// What is in the cache under names that mean something whole.
fn whole_files(cache: &Path) -> Vec<String> {
    let is_whole = |name: &String| {
        (name.contains("/blobs/") || name.contains("/snapshots/")) && !name.ends_with(".incomplete")
    };
    tree(cache).into_iter().filter(is_whole).collect()
}

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
    let offline = Hub::new(crate::config(&world, cache.path()).with_offline(true)).unwrap();
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

/// One download, cut a hundred times.
#[test]
fn a_hundred_cuts_end_in_the_right_file() {
    for is_large in [true, false] {
        let world = World::start();
        let cache = tempfile::tempdir().unwrap();
        let content = bytes(400_000, 2);
        world.put(PAGE, "model.bin", &content, is_large);
        let mut rng = Key::new(14).stream("cuts").rng();
        world.fail((0..100).map(|_| Fault::Cut(1 + rng.below(3900) as usize)));
        let path = hub(&world, cache.path())
            .file(&file("model.bin"), &mut Silent)
            .unwrap();
        assert_eq!(fs::read(path).unwrap(), content);
        assert!(world.state().faults.is_empty());
        // Nothing was sent twice.
        let server = if is_large { &world.storage } else { &world.hub };
        let starts: Vec<u64> = server
            .requests()
            .iter()
            .filter_map(|request| {
                request
                    .header("range")?
                    .strip_prefix("bytes=")?
                    .strip_suffix('-')?
                    .parse()
                    .ok()
            })
            .collect();
        assert_eq!(starts.len(), 100);
        assert!(starts.is_sorted_by(|a, b| a < b), "{starts:?}");
    }
}

/// A hundred downloads, each given up at a random place and gone on with later.
#[test]
fn a_hundred_failed_downloads_leave_nothing_whole_and_are_gone_on_with() {
    let world = World::start();
    let mut rng = Key::new(15).stream("cuts").rng();
    for round in 0..100 {
        let cache = tempfile::tempdir().unwrap();
        let length = 1 + rng.below(200_000) as usize;
        let content = bytes(length, round);
        world.put(PAGE, "model.bin", &content, round % 2 == 0);
        let cut = rng.below(length as u64) as usize;
        world.fail([Fault::Cut(cut)]);
        let retry = Retry {
            failures: 1,
            ..Retry::default()
        };
        let hasty = Hub::new(config(&world, cache.path()).with_retry(retry)).unwrap();
        let error = hasty.file(&file("model.bin"), &mut Silent).unwrap_err();
        assert!(matches!(error, Error::TooManyTries { .. }), "{error}");
        assert_eq!(whole_files(cache.path()), Vec::<String>::new());
        let mut resumed = None;
        let mut progress = |event: &Event<'_>| {
            if let Event::Started { resumed_from, .. } = event {
                resumed = Some(*resumed_from);
            }
        };
        let path = hasty.file(&file("model.bin"), &mut progress).unwrap();
        assert_eq!(fs::read(path).unwrap(), content);
        assert_eq!(resumed, Some(cut as u64));
    }
}

#[test]
fn a_server_that_cannot_resume_sends_all_again() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    let content = bytes(200_000, 3);
    world.put(PAGE, "model.bin", &content, true);
    world.fail([Fault::Cut(150_000), Fault::IgnoreRange]);
    let mut restarts = 0;
    let mut progress =
        |event: &Event<'_>| restarts += u32::from(matches!(event, Event::Restarted { .. }));
    let path = hub(&world, cache.path())
        .file(&file("model.bin"), &mut progress)
        .unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    assert_eq!(restarts, 1);
}

#[test]
fn a_stalled_connection_is_left_and_gone_on_with() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    let content = bytes(100_000, 4);
    world.put(PAGE, "model.bin", &content, true);
    world.fail([Fault::Stall(40_000)]);
    let begin = Instant::now();
    let path = hub(&world, cache.path())
        .file(&file("model.bin"), &mut Silent)
        .unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    assert!(
        begin.elapsed() < Duration::from_millis(3500),
        "{:?}",
        begin.elapsed()
    );
    let ranges: Vec<String> = world
        .storage
        .requests()
        .iter()
        .filter_map(|request| request.header("range").map(str::to_string))
        .collect();
    assert_eq!(ranges, ["bytes=40000-"]);
    // One that never sends anything is given up.
    world.put(PAGE, "other.bin", &bytes(100_000, 5), true);
    world.fail(vec![Fault::Stall(0); 4]);
    let error = hub(&world, cache.path())
        .file(&file("other.bin"), &mut Silent)
        .unwrap_err();
    let Error::TooManyTries { tries, source, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*tries, 4);
    assert!(matches!(**source, Error::Stalled { .. }), "{error}");
}

#[test]
fn a_wrong_hash_is_told_and_the_file_is_gone() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    let content = bytes(100_000, 5);
    world.put(PAGE, "model.bin", &content, true);
    let hub = hub(&world, cache.path());
    world.fail([Fault::Damage]);
    let error = hub.file(&file("model.bin"), &mut Silent).unwrap_err();
    let Error::WrongHash {
        expected, found, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert!(expected != found && error.to_string().contains("has been removed"));
    assert!(
        tree(cache.path())
            .iter()
            .all(|name| !name.contains("blobs/"))
    );
    // An earlier part that is damaged does not spoil the next download.
    let tag = world.state().files[&(PAGE.to_string(), "model.bin".to_string())].tag();
    let partial = cache
        .path()
        .join(format!("hub/models--owner--name/blobs/{tag}.incomplete"));
    fs::write(&partial, bytes(50_000, 6)).unwrap();
    assert_eq!(
        fs::read(hub.file(&file("model.bin"), &mut Silent).unwrap()).unwrap(),
        content
    );
    // Nor does one that is too long, or no file at all.
    for is_link in [false, true] {
        world.put(
            PAGE,
            "model.bin",
            &bytes(1000, 7 + u64::from(is_link)),
            true,
        );
        world.state().commits.insert(
            "main".into(),
            if is_link {
                COMMIT.into()
            } else {
                COMMIT_2.into()
            },
        );
        let tag = world.state().files[&(PAGE.to_string(), "model.bin".to_string())].tag();
        let partial = partial.with_file_name(format!("{tag}.incomplete"));
        let outside = cache.path().join("outside");
        fs::write(&outside, "precious").unwrap();
        #[cfg(unix)]
        if is_link {
            std::os::unix::fs::symlink(&outside, &partial).unwrap();
        } else {
            fs::write(&partial, bytes(2000, 9)).unwrap();
        }
        fs::remove_dir_all(cache.path().join("hub/models--owner--name/snapshots")).unwrap();
        hub.file(&file("model.bin"), &mut Silent).unwrap();
        assert_eq!(fs::read(&outside).unwrap(), b"precious");
    }
}

#[test]
fn a_file_that_changes_between_two_requests_is_asked_for_again_and_then_told() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "config.json", b"right", false);
    let hub = hub(&world, cache.path());
    let other = || {
        Fault::Reply(
            Reply::new(200)
                .with("etag", "\"another\"")
                .with_body("other"),
        )
    };
    world.fail([other()]);
    assert_eq!(
        fs::read(hub.file(&file("config.json"), &mut Silent).unwrap()).unwrap(),
        b"right"
    );
    world.put(PAGE, "b.json", b"right", false);
    world.fail([other(), other()]);
    fs::remove_dir_all(cache.path().join("hub")).unwrap();
    let error = hub.file(&file("b.json"), &mut Silent).unwrap_err();
    assert!(matches!(error, Error::FileChanged { .. }), "{error}");
    assert_eq!(whole_files(cache.path()), Vec::<String>::new());
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
fn busy_and_failing_servers_are_asked_again_within_bounds() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "a", &bytes(1000, 11), true);
    let hub = hub(&world, cache.path());
    let busy = |seconds: &str| Reply::new(429).with("retry-after", seconds);
    world
        .state()
        .head_faults
        .extend([Fault::Reply(Reply::new(503)), Fault::Reply(busy("1"))]);
    world.fail([
        Fault::Reply(Reply::new(500)),
        Fault::Reply(Reply::new(502)),
        Fault::Reply(busy("0")),
    ]);
    let mut delays = Vec::new();
    let mut progress = |event: &Event<'_>| {
        if let Event::Retrying {
            delay, failures, ..
        } = event
        {
            delays.push((*failures, delay.as_millis()));
        }
    };
    let begin = Instant::now();
    hub.file(&file("a"), &mut progress).unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(delays, [(1, 1), (2, 1000), (1, 1), (2, 2), (3, 4)]);
    // One that asks for more patience than there is, and one that never recovers.
    world.put(PAGE, "b", b"b", true);
    world
        .state()
        .head_faults
        .push_back(Fault::Reply(busy("3600")));
    let error = hub.file(&file("b"), &mut Silent).unwrap_err();
    assert!(
        matches!(error, Error::Busy { status: 429, seconds, .. } if seconds.as_secs() == 3600),
        "{error}"
    );
    world
        .state()
        .head_faults
        .extend(vec![Fault::Reply(Reply::new(500)); 4]);
    let error = hub.file(&file("b"), &mut Silent).unwrap_err();
    assert!(
        matches!(error, Error::TooManyTries { tries: 4, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("500"), "{error}");
}

#[test]
fn a_range_that_cannot_be_had_begins_anew() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    let content = bytes(1000, 12);
    world.put(PAGE, "a", &content, true);
    world.fail([
        Fault::Cut(500),
        Fault::Reply(Reply::new(416).with("content-range", "bytes */10")),
        Fault::Cut(300),
        Fault::Reply(
            Reply::new(206)
                .with("content-range", "bytes 0-999/1000")
                .with_body(content.clone()),
        ),
    ]);
    let path = hub(&world, cache.path())
        .file(&file("a"), &mut Silent)
        .unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
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
    hub.file(&file("config.json"), &mut Silent).unwrap();
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

#[test]
fn progress_tells_bytes_totals_and_the_end() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    world.put(PAGE, "a", &bytes(500_000, 13), true);
    world.fail([Fault::Stall(200_000)]);
    let mut events = Vec::new();
    let mut done = Vec::new();
    let mut progress = |event: &Event<'_>| match event {
        Event::Started { total, .. } => events.push(format!("started {total:?}")),
        Event::Bytes(transfer) => {
            assert_eq!(transfer.total, Some(500_000));
            assert!(transfer.rate > 0.0);
            done.push(transfer.done);
        }
        Event::Retrying { failures, .. } => events.push(format!("retrying {failures}")),
        Event::Finished { bytes, .. } => events.push(format!("finished {bytes}")),
        other => events.push(format!("{other:?}")),
    };
    hub(&world, cache.path())
        .file(&file("a"), &mut progress)
        .unwrap();
    assert_eq!(
        events,
        ["started Some(500000)", "retrying 1", "finished 500000"]
    );
    assert!(
        done.is_sorted() && done.last() == Some(&500_000),
        "{done:?}"
    );
}

#[test]
fn a_download_can_be_cancelled_and_gone_on_with() {
    struct Impatient(bool);
    impl Progress for Impatient {
        fn event(&mut self, event: &Event<'_>) {
            self.0 |= matches!(event, Event::Started { .. });
        }

        fn is_cancelled(&self) -> bool {
            self.0
        }
    }
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    let content = bytes(500_000, 14);
    world.put(PAGE, "a", &content, true);
    let hub = hub(&world, cache.path());
    let error = hub.file(&file("a"), &mut Impatient(false)).unwrap_err();
    assert!(matches!(error, Error::Cancelled { .. }), "{error}");
    assert_eq!(whole_files(cache.path()), Vec::<String>::new());
    assert_eq!(
        fs::read(hub.file(&file("a"), &mut Silent).unwrap()).unwrap(),
        content
    );
}

const ENDPOINT: &str = "CNN_HUB_TEST_ENDPOINT";
const CACHE: &str = "CNN_HUB_TEST_CACHE";

/// Not a test of its own: what the processes of the tests below do.
#[test]
fn child() {
    let (Ok(endpoint), Some(cache)) = (std::env::var(ENDPOINT), std::env::var_os(CACHE)) else {
        return;
    };
    let config = HubConfig::in_directory(&PathBuf::from(cache))
        .with_endpoint(&endpoint)
        .unwrap();
    let mut progress = |event: &Event<'_>| {
        if let Event::Waiting { process, .. } = event {
            println!("waits for {process:?}");
        }
    };
    Hub::new(config)
        .unwrap()
        .file(&file("model.bin"), &mut progress)
        .unwrap();
}

fn start_child(world: &World, cache: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(ENDPOINT, world.hub.url())
        .env(CACHE, cache)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn two_processes_download_once_and_one_waits_for_the_other() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    let content = bytes(300_000, 15);
    world.put(PAGE, "model.bin", &content, true);
    world.fail([Fault::Stall(100_000)]);
    let children = [
        start_child(&world, cache.path()),
        start_child(&world, cache.path()),
    ];
    let numbers = [children[0].id(), children[1].id()];
    let mut said = String::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        said += &String::from_utf8(output.stdout).unwrap();
    }
    let requests = world.storage.requests();
    let starts: Vec<_> = requests
        .iter()
        .map(|request| request.header("range"))
        .collect();
    assert_eq!(starts, [None, Some("bytes=100000-")]);
    assert!(
        numbers
            .iter()
            .any(|number| said.contains(&format!("waits for Some({number})"))),
        "{said}"
    );
    let blobs: Vec<String> = tree(cache.path())
        .into_iter()
        .filter(|name| name.contains("blobs/"))
        .collect();
    assert_eq!(blobs.len(), 1, "{blobs:?}");
    assert_eq!(fs::read(cache.path().join(&blobs[0])).unwrap(), content);
}

#[test]
fn a_killed_process_leaves_nothing_whole_and_the_next_goes_on() {
    let world = World::start();
    let cache = tempfile::tempdir().unwrap();
    let content = bytes(300_000, 16);
    world.put(PAGE, "model.bin", &content, true);
    world.fail([Fault::Stall(100_000)]);
    let mut child = start_child(&world, cache.path());
    let partial = || {
        tree(cache.path())
            .into_iter()
            .find(|name| name.ends_with(".incomplete"))
    };
    let begin = Instant::now();
    let length =
        |name: String| fs::metadata(cache.path().join(name)).map_or(0, |metadata| metadata.len());
    while partial().map_or(0, length) < 100_000 {
        assert!(begin.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(whole_files(cache.path()), Vec::<String>::new());
    let path = hub(&world, cache.path())
        .file(&file("model.bin"), &mut Silent)
        .unwrap();
    assert_eq!(fs::read(path).unwrap(), content);
    let requests = world.storage.requests();
    assert_eq!(
        requests.last().unwrap().header("range"),
        Some("bytes=100000-")
    );
    assert_eq!(partial(), None);
}
