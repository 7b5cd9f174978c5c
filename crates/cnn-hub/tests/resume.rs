//! Downloads that are cut, stalled, damaged, cancelled or killed, and two at once.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod server;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use cnn_core::Key;
use cnn_hub::{Error, Event, Hub, HubConfig, Progress, Retry, Silent};
use common::{PAGE, bytes, config, file, hub, whole_files};
use server::{COMMIT, COMMIT_2, Fault, Reply, World, tree};

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
