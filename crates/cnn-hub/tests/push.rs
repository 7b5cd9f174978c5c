//! Pushes to a server on this machine that takes files as the hub does.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod server;

use std::fs;
use std::path::Path;
use std::time::Duration;

use cnn_hub::{
    Error, Event, Hub, HubConfig, Progress, Push, Pushed, Repo, Silent, Upload, Visibility,
};
use common::{PAGE, bytes, file};
use server::push::Fault;
use server::{COMMIT, Reply, Request, World};
use sha2::Digest;

const TOKEN: &str = "hf_right";

/// Large files from 1000 bytes on, for a token that may write.
fn world() -> World {
    let world = World::start();
    world.state().token = Some(TOKEN.to_string());
    world.state().pushes.large = 1000;
    world
}

fn config(world: &World, cache: &Path) -> HubConfig {
    common::config(world, cache).with_token(TOKEN).unwrap()
}

/// A folder with a small file, an empty one, a large one and another of the same content.
struct Folder {
    root: tempfile::TempDir,
    large: Vec<u8>,
}

impl Folder {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let large = bytes(300_000, 21);
        fs::create_dir(root.path().join("sub")).unwrap();
        fs::write(root.path().join("README.md"), "# A network\n\"ü\"\n").unwrap();
        fs::write(root.path().join("empty.txt"), "").unwrap();
        fs::write(root.path().join("model.safetensors"), &large).unwrap();
        fs::write(root.path().join("sub/copy of it.bin"), &large).unwrap();
        Self { root, large }
    }

    fn files(&self) -> Vec<Upload> {
        Upload::folder(self.root.path()).unwrap()
    }

    fn push(&self) -> Push {
        let repo = Repo::model(PAGE).unwrap();
        Push::new(repo, self.files(), "Add weights\n\nAnd a page").unwrap()
    }

    fn is_at(&self, world: &World, page: &str) -> bool {
        let state = world.state();
        self.files().iter().all(|upload| {
            let there = state
                .files
                .get(&(page.to_string(), upload.path().to_string()));
            there.is_some_and(|file| file.bytes == fs::read(upload.source()).unwrap())
        })
    }
}

fn pushed(world: &World, push: &Push) -> Result<Pushed, Error> {
    let cache = tempfile::tempdir().unwrap();
    Hub::new(config(world, cache.path()))
        .unwrap()
        .push(push, &mut Silent)
}

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
    let error = self::pushed(&world, &lost).unwrap_err();
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
    let retry = cnn_hub::Retry {
        failures: 1,
        ..cnn_hub::Retry::default()
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
fn the_next_push_sends_only_what_is_missing() {
    let world = world();
    let folder = Folder::new();
    let second = bytes(200_000, 22);
    fs::write(folder.root.path().join("second.bin"), &second).unwrap();
    // Whichever goes second fails.
    world.storage.cut_content([None, Some(1000)]);
    let cache = tempfile::tempdir().unwrap();
    let retry = cnn_hub::Retry {
        failures: 1,
        ..cnn_hub::Retry::default()
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

#[test]
fn a_storage_that_does_not_answer_or_cannot_be_reached_is_given_up() {
    let folder = Folder::new();
    let oid = cnn_core::hex(&sha2::Sha256::digest(&folder.large));
    let silent = server::Server::start(|_| {
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
