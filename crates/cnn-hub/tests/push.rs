//! Pushes to a server on this machine that takes files as the hub does.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod server;

use std::fs;

use cnn_hub::{Error, Event, Hub, Push, Repo, Retry, Silent, Upload, Visibility};
use common::push::{Folder, config, pushed, world};
use common::{PAGE, bytes, file};
use server::push::Fault;
use server::{COMMIT, Reply, Request};

/// Methods and paths, without the addresses of objects.
fn said(requests: &[Request]) -> Vec<String> {
    let path = |request: &Request| request.path.split('?').next().unwrap().to_string();
    let said = requests.iter();
    said.map(|request| format!("{} {}", request.method, path(request)))
        .collect()
}

const STEPS: [&str; 4] = [
    "POST /api/repos/create",
    "POST /api/models/owner/name/preupload/main",
    "POST /owner/name.git/info/lfs/objects/batch",
    "POST /api/models/owner/name/commit/main",
];

#[test]
fn a_new_repository_has_all_files_and_they_can_be_downloaded() {
    let world = world();
    let folder = Folder::new();
    let mut events = Vec::new();
    let mut sent = 0;
    let mut progress = |event: &Event<'_>| match event {
        Event::Started { name, total, .. } => events.push(format!("started {name} {total:?}")),
        Event::Finished { name, bytes } => events.push(format!("finished {name} {bytes}")),
        Event::Bytes(transfer) => sent = transfer.done,
        other => panic!("{other:?}"),
    };
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(config(&world, cache.path())).unwrap();
    let pushed = hub.push(&folder.push(), &mut progress).unwrap();
    let name = "owner/name/model.safetensors";
    assert_eq!(
        events,
        [
            format!("started {name} Some(300000)"),
            format!("finished {name} 300000")
        ]
    );
    assert_eq!(sent, 300_000);
    assert!(folder.is_at(&world, PAGE));
    assert_eq!(pushed.commit, world.state().commits["main"]);
    assert_eq!(pushed.page, format!("{}/owner/name", world.hub.url()));
    assert!(pushed.is_new);
    assert_eq!(
        pushed.committed,
        [
            "README.md",
            "empty.txt",
            "model.safetensors",
            "sub/copy of it.bin"
        ]
    );
    assert_eq!(world.state().pushes.created[PAGE], "private");
    let commits = world.state().pushes.commits.clone();
    let header = serde_json::json!({"summary": "Add weights", "description": "And a page"});
    assert_eq!(commits, [header]);
    // The token is for the hub alone, and equal content is sent once.
    let requests = world.hub.requests();
    assert_eq!(said(&requests), STEPS);
    for request in requests {
        assert_eq!(request.header("authorization"), Some("Bearer hf_right"));
    }
    let requests = world.storage.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].header("authorization"), None);
    assert_eq!(requests[0].header("content-length"), Some("300000"));
    assert_eq!(requests[0].header("transfer-encoding"), None);
    // What was pushed is downloaded again.
    for upload in folder.files() {
        let path = hub.file(&file(upload.path()), &mut Silent).unwrap();
        assert_eq!(fs::read(path).unwrap(), fs::read(upload.source()).unwrap());
    }
}

#[test]
fn datasets_and_branches_have_addresses_of_their_own() {
    let world = world();
    let folder = Folder::new();
    world.state().commits.insert("next".into(), COMMIT.into());
    let repo = Repo::dataset(PAGE).unwrap().at("next").unwrap();
    let push = Push::new(repo, folder.files(), "m")
        .unwrap()
        .with_visibility(Visibility::Public);
    let pushed = pushed(&world, &push).unwrap();
    assert!(folder.is_at(&world, "datasets/owner/name"));
    assert_eq!(
        world.state().pushes.created["datasets/owner/name"],
        "public"
    );
    assert_eq!(pushed.commit, world.state().commits["next"]);
    assert_eq!(world.state().commits["main"], COMMIT);
    let requests = world.hub.requests();
    assert_eq!(
        said(&requests)[1..],
        [
            "POST /api/datasets/owner/name/preupload/next",
            "POST /datasets/owner/name.git/info/lfs/objects/batch",
            "POST /api/datasets/owner/name/commit/next",
        ]
    );
    assert_eq!(requests[2].json()["ref"]["name"], "next");
    let lost = Push::new(push.repo().clone().at("lost").unwrap(), folder.files(), "m").unwrap();
    let error = common::push::pushed(&world, &lost).unwrap_err();
    assert!(
        matches!(&error, Error::MissingRevision { revision, .. } if revision == "lost"),
        "{error}"
    );
}

#[test]
fn an_existing_repository_gets_what_is_new_and_nothing_else() {
    let world = world();
    let folder = Folder::new();
    world.put(PAGE, "other.txt", b"stays", false);
    world.put(PAGE, "README.md", b"old", false);
    let first = pushed(&world, &folder.push()).unwrap();
    assert!(!first.is_new);
    assert!(folder.is_at(&world, PAGE));
    let other = (PAGE.to_string(), "other.txt".to_string());
    assert_eq!(world.state().files[&other].bytes, b"stays");
    drop((world.hub.requests(), world.storage.requests()));
    // The same again: neither file nor commit.
    let second = pushed(&world, &folder.push()).unwrap();
    assert_eq!(second.commit, first.commit);
    assert_eq!(second.committed, Vec::<String>::new());
    assert_eq!(
        said(&world.hub.requests()),
        [
            STEPS[0],
            STEPS[1],
            "GET /api/models/owner/name/revision/main"
        ]
    );
    // One file changed, and content that the storage has under another name.
    fs::write(folder.root.path().join("README.md"), "# New\n").unwrap();
    fs::write(folder.root.path().join("third.bin"), &folder.large).unwrap();
    let mut present = Vec::new();
    let mut progress = |event: &Event<'_>| {
        if let Event::Present { name, .. } = event {
            present.push(name.to_string());
        }
    };
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(config(&world, cache.path())).unwrap();
    let third = hub.push(&folder.push(), &mut progress).unwrap();
    assert_eq!(third.committed, ["README.md", "third.bin"]);
    assert_eq!(present, ["owner/name/third.bin"]);
    assert!(folder.is_at(&world, PAGE) && world.storage.requests().is_empty());
}

#[test]
fn what_the_repository_ignores_is_left_out_and_told() {
    let world = world();
    let folder = Folder::new();
    fs::write(folder.root.path().join(".gitignore"), "*.txt\n").unwrap();
    world.state().pushes.ignored.push("empty.txt".to_string());
    let pushed = pushed(&world, &folder.push()).unwrap();
    assert_eq!(pushed.ignored, ["empty.txt"]);
    let ignored = (PAGE.to_string(), "empty.txt".to_string());
    assert!(!world.state().files.contains_key(&ignored));
    assert_eq!(world.hub.requests()[1].json()["gitIgnore"], "*.txt\n");
}

#[test]
fn files_go_in_parts_where_the_hub_says_so_and_it_is_told_the_end() {
    for chunk in [299_999, 300_000, 100_000, 70_001] {
        let world = world();
        let folder = Folder::new();
        world.state().pushes.chunk = Some(chunk);
        world.state().pushes.verifies = true;
        world.state().pushes.header = Some(("x-wanted".to_string(), "by the hub".to_string()));
        // Parts have signed addresses, and need no header.
        let has_parts = chunk < 300_000;
        if has_parts {
            world.state().pushes.header = None;
        }
        pushed(&world, &folder.push()).unwrap();
        assert!(folder.is_at(&world, PAGE), "{chunk}");
        assert_eq!(world.state().pushes.verified.len(), 1);
        let requests = world.storage.requests();
        assert_eq!(requests.len(), 300_000_usize.div_ceil(chunk));
        let sent: usize = requests.iter().map(|request| request.body.len()).sum();
        assert_eq!(sent, 300_000);
        for request in requests {
            assert_eq!(request.header("authorization"), None);
        }
        let said = said(&world.hub.requests());
        assert_eq!(said.contains(&"POST /lfs/complete".to_string()), has_parts);
        assert!(said.contains(&"POST /lfs/verify".to_string()));
    }
}

#[test]
fn uploads_that_are_cut_or_refused_for_a_while_are_sent_again() {
    let world = world();
    let folder = Folder::new();
    world.state().pushes.chunk = Some(100_000);
    world
        .storage
        .cut_content([None, Some(50_000), Some(0), None, Some(99_999)]);
    let fault = |path, status| (path, Fault::Reply(Reply::new(status)));
    world.state().pushes.faults.extend([
        fault("create", 500),
        fault("preupload", 429),
        fault("preupload", 503),
        fault("batch", 502),
        fault("/3?", 500),
        fault("complete", 500),
        fault("commit", 503),
    ]);
    let mut failures = 0;
    let mut last = 0;
    let mut progress = |event: &Event<'_>| match event {
        Event::Retrying { .. } => failures += 1,
        Event::Bytes(transfer) => last = transfer.done,
        _ => (),
    };
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(config(&world, cache.path())).unwrap();
    hub.push(&folder.push(), &mut progress).unwrap();
    assert!(folder.is_at(&world, PAGE));
    assert!(world.state().pushes.faults.is_empty());
    assert_eq!((failures, last), (10, 300_000));
    assert_eq!(world.state().pushes.commits.len(), 1);
}

/// A hundred pushes, each cut at a random place and given up, then pushed again.
#[test]
fn a_hundred_cut_pushes_leave_no_commit_and_the_next_one_is_whole() {
    let world = world();
    let mut rng = cnn_core::Key::new(16).stream("cuts").rng();
    let cache = tempfile::tempdir().unwrap();
    let retry = Retry {
        failures: 1,
        ..Retry::default()
    };
    let hasty = Hub::new(config(&world, cache.path()).with_retry(retry)).unwrap();
    for round in 0..100 {
        let folder = tempfile::tempdir().unwrap();
        let content = bytes(1000 + rng.below(100_000) as usize, round);
        fs::write(folder.path().join("model.bin"), &content).unwrap();
        let repo = Repo::model(&format!("owner/name{round}")).unwrap();
        let push = Push::new(repo, Upload::folder(folder.path()).unwrap(), "m").unwrap();
        let commit = world.state().commits["main"].clone();
        world.state().pushes.chunk = (round % 2 == 0).then_some(20_000);
        let cut = rng.below(content.len().min(20_000) as u64) as usize;
        world.storage.cut_content([Some(cut)]);
        let error = hasty.push(&push, &mut Silent).unwrap_err();
        assert!(matches!(error, Error::TooManyTries { .. }), "{error}");
        assert_eq!(world.state().commits["main"], commit);
        hasty.push(&push, &mut Silent).unwrap();
        let file = (format!("owner/name{round}"), "model.bin".to_string());
        assert_eq!(world.state().files[&file].bytes, content);
    }
    assert_eq!(world.state().pushes.commits.len(), 100);
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_made_twice() {
    let cut = Reply {
        cut: Some(5),
        ..Reply::new(200).with_body(r#"{"commitOid": "lost"}"#)
    };
    let stalled = Reply {
        stall: Some(0),
        ..Reply::new(200).with_body("{}")
    };
    for reply in [Reply::new(504), cut, stalled] {
        let world = world();
        let folder = Folder::new();
        world.fail_push("commit", Fault::DoneAndReply(reply));
        let pushed = pushed(&world, &folder.push());
        let pushed = pushed.unwrap();
        assert_eq!(pushed.commit, world.state().commits["main"]);
        assert_eq!(world.state().pushes.commits.len(), 1);
    }
}

#[test]
fn a_token_for_one_repository_alone_is_enough() {
    let world = world();
    let folder = Folder::new();
    world.put(PAGE, "a", b"a", false);
    world.state().pushes.owner = Some("somebody".to_string());
    assert!(!pushed(&world, &folder.push()).unwrap().is_new);
    assert!(folder.is_at(&world, PAGE));
}

#[test]
fn two_creations_at_once_wait_for_each_other() {
    let world = world();
    let folder = Folder::new();
    let message = "Cannot create repo: another conflicting operation is in progress";
    let reply = Reply::new(409).with_body(format!(r#"{{"error": "{message}"}}"#));
    world.fail_push("create", Fault::Reply(reply));
    assert!(pushed(&world, &folder.push()).unwrap().is_new);
}

#[test]
fn the_next_push_sends_only_what_is_missing() {
    let world = world();
    let folder = Folder::new();
    let second = bytes(200_000, 22);
    fs::write(folder.root.path().join("second.bin"), &second).unwrap();
    // Whichever goes second fails.
    world.storage.cut_content([None, Some(1000)]);
    let cache = tempfile::tempdir().unwrap();
    let retry = Retry {
        failures: 1,
        ..Retry::default()
    };
    let hasty = Hub::new(config(&world, cache.path()).with_retry(retry)).unwrap();
    hasty.push(&folder.push(), &mut Silent).unwrap_err();
    let whole: usize = world.state().pushes.objects.values().map(Vec::len).sum();
    world.storage.requests();
    hasty.push(&folder.push(), &mut Silent).unwrap();
    assert!(folder.is_at(&world, PAGE));
    let sent: Vec<usize> = world
        .storage
        .requests()
        .iter()
        .map(|request| request.body.len())
        .collect();
    assert_eq!(sent, [500_000 - whole]);
}
