//! Pushes that are refused, cancelled, or that a server means harm with: no commit is made.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod server;

use std::fs;
use std::time::Duration;

use cnn_hub::{Error, Event, Hub, Progress, Push, Repo, Silent, Upload};
use common::PAGE;
use common::push::{Folder, TOKEN, config, pushed, world};
use server::push::Fault;
use server::{Reply, Server, World};
use sha2::Digest;

#[test]
fn each_refusal_is_told_by_its_kind_and_leaves_no_commit() {
    let folder = Folder::new();
    let push = folder.push();
    let refused = |prepare: &dyn Fn(&World)| {
        let world = world();
        prepare(&world);
        let error = pushed(&world, &push).unwrap_err();
        assert!(world.state().pushes.commits.is_empty());
        assert!(!error.to_string().contains(TOKEN), "{error}");
        error
    };
    let fault = |path: &'static str, reply: Reply| {
        refused(&|world: &World| {
            world.fail_push(path, Fault::Reply(reply.clone()));
        })
    };
    let error = refused(&|world| world.state().token = Some("hf_other".to_string()));
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
    let error = refused(&|world| world.state().pushes.owner = Some("somebody".to_string()));
    assert!(
        matches!(&error, Error::NotOwned { owner, message, .. }
            if owner == "owner" && message.contains("rights")),
        "{error}"
    );
    let error = refused(&|world| world.state().pushes.is_read_only = true);
    assert!(
        matches!(&error, Error::ReadOnly { message, .. } if message.contains("write token")),
        "{error}"
    );
    let error = fault("commit", Reply::new(412));
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    let message = r#"{"error": "Invalid metadata in README.md"}"#;
    let error = fault("commit", Reply::new(400).with_body(message));
    assert!(
        matches!(&error, Error::RefusedPush { status: 400, message, .. }
            if message.contains("README.md")),
        "{error}"
    );
    let error = fault("signature", Reply::new(403));
    assert!(
        matches!(&error, Error::RefusedPush { status: 403, what, .. }
            if what == "owner/name/model.safetensors"),
        "{error}"
    );
    let error = fault("batch", Reply::new(429).with("retry-after", "3600"));
    assert!(matches!(error, Error::Busy { .. }), "{error}");
    let error = fault("preupload", Reply::redirect("http://localhost:1/"));
    assert!(matches!(error, Error::Redirect { .. }), "{error}");
    for (path, body) in [
        ("preupload", "{}"),
        ("preupload", r#"{"files": []}"#),
        ("batch", r#"{"objects": []}"#),
        ("batch", r#"{"transfer": "xet", "objects": []}"#),
        ("commit", r#"{"commitOid": "../.."}"#),
        ("commit", "\u{1b}[2J"),
    ] {
        let error = fault(path, Reply::new(200).with_body(body));
        assert!(matches!(error, Error::BadAnswer { .. }), "{path} {error}");
    }
}

#[test]
fn without_token_or_network_nobody_is_asked() {
    let world = world();
    let folder = Folder::new();
    let cache = tempfile::tempdir().unwrap();
    let without = common::hub(&world, cache.path());
    let error = without.push(&folder.push(), &mut Silent).unwrap_err();
    assert!(matches!(error, Error::NoToken { .. }), "{error}");
    for part in ["HF_TOKEN", "~/.cache/huggingface/token"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    let offline = config(&world, cache.path()).with_offline(true);
    let error = Hub::new(offline)
        .unwrap()
        .push(&folder.push(), &mut Silent)
        .unwrap_err();
    assert!(matches!(error, Error::OfflinePush { .. }), "{error}");
    assert!(error.to_string().contains("HF_HUB_OFFLINE"), "{error}");
    let missing = Upload::new("a", &folder.root.path().join("nothing")).unwrap();
    let push = Push::new(Repo::model(PAGE).unwrap(), vec![missing], "m").unwrap();
    let error = pushed(&world, &push).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert!(world.hub.requests().is_empty());
}

#[test]
fn a_cancelled_push_leaves_no_commit() {
    struct Impatient {
        is_cancelled: bool,
        at: fn(&Event<'_>) -> bool,
    }
    impl Progress for Impatient {
        fn event(&mut self, event: &Event<'_>) {
            self.is_cancelled |= (self.at)(event);
        }

        fn is_cancelled(&self) -> bool {
            self.is_cancelled
        }
    }
    let events: [fn(&Event<'_>) -> bool; 3] = [
        |event| matches!(event, Event::Started { .. }),
        |event| matches!(event, Event::Finished { .. }),
        |event| matches!(event, Event::Retrying { .. }),
    ];
    for at in events {
        let world = world();
        let folder = Folder::new();
        world.fail_push("commit", Fault::Reply(Reply::new(503)));
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub::new(config(&world, cache.path())).unwrap();
        let mut progress = Impatient {
            is_cancelled: false,
            at,
        };
        let error = hub.push(&folder.push(), &mut progress).unwrap_err();
        assert!(matches!(error, Error::Cancelled { .. }), "{error}");
        assert!(world.state().pushes.commits.is_empty());
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_never_committed() {
    // Between its hash and its upload, between its upload and the commit.
    let cases: [(&str, &str, &[u8]); 3] = [
        ("model.safetensors", "batch", &[7; 300_000]),
        ("model.safetensors", "batch", b"short"),
        ("README.md", "batch", b"# Another one\n12\n"),
    ];
    for (name, at, content) in cases {
        let world = world();
        let folder = Folder::new();
        let path = folder.root.path().join(name);
        let changes = |event: &Event<'_>| {
            if matches!(event, Event::Retrying { .. }) {
                fs::write(&path, content).unwrap();
            }
        };
        world.fail_push(at, Fault::Reply(Reply::new(503)));
        let cache = tempfile::tempdir().unwrap();
        let hub = Hub::new(config(&world, cache.path())).unwrap();
        let mut progress = changes;
        let error = hub.push(&folder.push(), &mut progress).unwrap_err();
        assert!(
            matches!(&error, Error::SourceChanged { path: changed } if *changed == path),
            "{error}"
        );
        assert!(world.state().pushes.commits.is_empty());
        let is_whole = |object: &Vec<u8>| *object == folder.large;
        assert!(world.state().pushes.objects.values().all(is_whole));
    }
}

#[test]
fn a_storage_that_always_fails_is_given_up() {
    let world = world();
    let folder = Folder::new();
    for _ in 0..4 {
        world.fail_push("signature", Fault::Reply(Reply::new(500)));
    }
    let error = pushed(&world, &folder.push()).unwrap_err();
    assert!(
        matches!(error, Error::TooManyTries { tries: 4, .. }),
        "{error}"
    );
    assert!(world.state().pushes.commits.is_empty());
}

#[test]
fn a_storage_that_does_not_answer_or_cannot_be_reached_is_given_up() {
    let folder = Folder::new();
    let oid = cnn_core::hex(&sha2::Sha256::digest(&folder.large));
    let silent = Server::start(|_| {
        std::thread::sleep(Duration::from_secs(4));
        Reply::new(200)
    });
    let error = |href: &str| {
        let world = world();
        let batch = format!(
            r#"{{"objects": [{{"oid": "{oid}", "size": 300000, "actions": {{"upload": {{"href": "{href}"}}}}}}]}}"#
        );
        world.fail_push("batch", Fault::Reply(Reply::new(200).with_body(batch)));
        let cache = tempfile::tempdir().unwrap();
        let impatient = config(&world, cache.path())
            .with_timeouts(Duration::from_secs(5), Duration::from_millis(100));
        let hub = Hub::new(impatient).unwrap();
        let error = hub.push(&folder.push(), &mut Silent).unwrap_err();
        assert!(world.state().pushes.commits.is_empty());
        error
    };
    let stalled = error(&silent.url());
    assert!(
        matches!(&stalled, Error::TooManyTries { tries: 4, source, .. }
            if matches!(**source, Error::Stalled { .. })),
        "{stalled}"
    );
    let unreachable = error("http://localhost:1/a");
    assert!(
        matches!(unreachable, Error::NoNetwork { .. }),
        "{unreachable}"
    );
}

/// What a hub that answers this to where a large file goes makes of a push.
fn error_of_actions(actions: &str) -> Error {
    let world = world();
    let folder = Folder::new();
    let oid = cnn_core::hex(&sha2::Sha256::digest(&folder.large));
    let actions = actions.replace("STORAGE", &world.storage.url_by_name());
    let batch =
        format!(r#"{{"objects": [{{"oid": "{oid}", "size": 300000, "actions": {{{actions}}}}}]}}"#);
    world.fail_push("batch", Fault::Reply(Reply::new(200).with_body(batch)));
    let error = pushed(&world, &folder.push()).unwrap_err();
    assert!(world.state().pushes.commits.is_empty());
    assert!(
        world
            .storage
            .requests()
            .iter()
            .all(|request| request.header("authorization") != Some("Bearer hf_right"))
    );
    error
}

#[test]
fn actions_that_make_no_sense_or_mean_harm_are_refused() {
    for actions in [
        r#""upload": {"href": "file:///etc/passwd"}"#,
        r#""upload": {"href": "/relative"}"#,
        r#""upload": {"href": "https://me:secret@example.org/"}"#,
        r#""upload": {"href": "STORAGE/a", "header": {"Host": "example.org"}}"#,
        r#""upload": {"href": "STORAGE/a", "header": {"Content-Length": "5"}}"#,
        r#""upload": {"href": "STORAGE/a", "header": {"x": "a\r\nhost: b"}}"#,
        r#""upload": {"href": "STORAGE/a", "header": {"a b": "c"}}"#,
        r#""upload": {"href": "STORAGE/a", "header": {"chunk_size": "100000", "1": "STORAGE/a/1"}}"#,
        r#""upload": {"href": "STORAGE/a", "header": {"chunk_size": 0}}"#,
        r#""upload": {}"#,
    ] {
        let error = error_of_actions(actions);
        assert!(
            matches!(error, Error::BadAnswer { .. }),
            "{actions}: {error}"
        );
    }
    // A part that is taken without a tag cannot be named at the end.
    let parts =
        r#""upload": {"href": "STORAGE/a", "header": {"chunk_size": "300000", "1": "STORAGE/a"}}"#;
    let error = error_of_actions(parts);
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    let redirect = r#""upload": {"href": "STORAGE/a"}, "verify": {"href": "STORAGE/nothing"}"#;
    let error = error_of_actions(redirect);
    assert!(
        matches!(error, Error::RefusedPush { status: 403, .. }),
        "{error}"
    );
}

#[test]
fn what_the_hub_takes_for_its_own_address_is_the_one_that_was_asked() {
    let world = world();
    let folder = Folder::new();
    let oid = cnn_core::hex(&sha2::Sha256::digest(&folder.large));
    let storage = world.storage.url_by_name();
    let batch = format!(
        r#"{{"objects": [{{"oid": "{oid}", "size": 300000, "actions": {{"upload": {{"href": "{storage}/{oid}",
        "header": {{"authorization": "Basic for-the-storage"}}}},
        "verify": {{"href": "https://huggingface.co/lfs/verify"}}}}}}]}}"#
    );
    world.fail_push("batch", Fault::Reply(Reply::new(200).with_body(batch)));
    pushed(&world, &folder.push()).unwrap();
    assert_eq!(world.state().pushes.verified, [oid]);
    // A token of the storage's own goes there, and ours does not.
    assert_eq!(
        world.storage.requests()[0].header("authorization"),
        Some("Basic for-the-storage")
    );
}
