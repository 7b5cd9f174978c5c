//! Files of plain addresses against a server on this machine.
#![allow(clippy::unwrap_used, clippy::panic)]

mod server;

use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cnn_core::hex;
use cnn_hub::{Checksum, Error, Event, Hub, HubConfig, Retry, Silent, UrlFile};
use server::{Reply, Server, content};
use sha2::{Digest, Sha256};

fn config(cache: &Path) -> HubConfig {
    HubConfig::in_directory(cache)
        .with_timeouts(Duration::from_secs(5), Duration::from_millis(400))
        .with_retry(Retry {
            failures: 3,
            first_delay: Duration::from_millis(1),
            longest_delay: Duration::from_millis(100),
        })
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// The content of a file, its tag, and where the next answer is cut.
type State = (Vec<u8>, String, Option<usize>);

/// A server whose file changes as the test says.
fn changing(bytes: &[u8], tag: &str) -> (Server, Arc<Mutex<State>>) {
    let state = Arc::new(Mutex::new((bytes.to_vec(), tag.to_string(), None)));
    let own = Arc::clone(&state);
    let server = Server::start(move |request| {
        let mut state = own.lock().unwrap();
        Reply {
            cut: state.2.take(),
            ..content(request, &state.0, &state.1)
        }
    });
    (server, state)
}

#[test]
fn a_file_with_its_hash_in_its_name_is_verified_and_asked_for_once() {
    let cache = tempfile::tempdir().unwrap();
    let bytes = vec![7; 100_000];
    let (server, _) = changing(&bytes, "t");
    let name = format!("net-{}.pth", &sha256(&bytes)[..8]);
    let file = UrlFile::new(&format!("{}/models/{name}", server.url())).unwrap();
    let hub = Hub::new(config(cache.path())).unwrap();
    let path = hub.url(&file, &mut Silent).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    assert!(path.ends_with(&name) && path.starts_with(cache.path().join("urls")));
    let offline = Hub::new(config(cache.path()).with_offline(true)).unwrap();
    assert_eq!(offline.url(&file, &mut Silent).unwrap(), path);
    assert_eq!(hub.url(&file, &mut Silent).unwrap(), path);
    assert_eq!(server.requests().len(), 1);
    let left: Vec<_> = fs::read_dir(path.parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_str().unwrap().contains("incomplete")),
        "{left:?}"
    );
    let other = UrlFile::new(&format!("{}/models/net-00000000.pth", server.url())).unwrap();
    let error = hub.url(&other, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::WrongHash { .. }), "{error}");
    assert_eq!(hub.cached_url(&other).unwrap(), None);
    let error = offline.url(&other, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
    // The same address without a hash, or with another, is another file.
    let unverified = hub
        .url(&other.clone().without_checksum(), &mut Silent)
        .unwrap();
    let whole = other.with_checksum(Checksum::sha256(&sha256(&bytes)).unwrap());
    assert!(hub.url(&whole, &mut Silent).unwrap() != unverified);
}

#[test]
fn md5_is_verified_too() {
    let cache = tempfile::tempdir().unwrap();
    let (server, _) = changing(b"abc", "t");
    let file = UrlFile::new(&format!("{}/abc.txt", server.url())).unwrap();
    let hub = Hub::new(config(cache.path())).unwrap();
    let with = |digits| {
        hub.url(
            &file.clone().with_checksum(Checksum::md5(digits).unwrap()),
            &mut Silent,
        )
    };
    with("900150983cd24fb0d6963f7d28e17f72").unwrap();
    let error = with("900150983cd24fb0d6963f7d28e17f73").unwrap_err();
    assert!(error.to_string().contains("MD5"), "{error}");
}

#[test]
fn a_part_is_gone_on_with_only_if_the_file_is_still_the_same() {
    let cache = tempfile::tempdir().unwrap();
    let old = vec![1; 50_000];
    let new = vec![2; 60_000];
    let (server, state) = changing(&old, "old");
    let file = UrlFile::new(&format!("{}/data.zip", server.url())).unwrap();
    let once = Retry {
        failures: 1,
        ..Retry::default()
    };
    let hub = Hub::new(config(cache.path()).with_retry(once)).unwrap();
    state.lock().unwrap().2 = Some(30_000);
    hub.url(&file, &mut Silent).unwrap_err();
    // The same file: only the rest is sent.
    state.lock().unwrap().2 = Some(10_000);
    hub.url(&file, &mut Silent).unwrap_err();
    let requests = server.requests();
    assert_eq!(requests[1].header("range"), Some("bytes=30000-"));
    assert_eq!(requests[1].header("if-range"), Some("\"old\""));
    // Another file: all of it is sent.
    *state.lock().unwrap() = (new.clone(), "new".to_string(), None);
    let mut restarts = 0;
    let mut progress =
        |event: &Event<'_>| restarts += u32::from(matches!(event, Event::Restarted { .. }));
    let path = hub.url(&file, &mut progress).unwrap();
    assert_eq!(fs::read(path).unwrap(), new);
    assert_eq!(restarts, 1);
    assert_eq!(server.requests()[0].header("range"), Some("bytes=40000-"));
}

#[test]
fn a_file_that_never_stays_the_same_is_an_error() {
    let cache = tempfile::tempdir().unwrap();
    let count = Mutex::new(0);
    let server = Server::start(move |request| {
        let mut count = count.lock().unwrap();
        *count += 1;
        Reply {
            cut: Some(100),
            ..content(request, &[0; 1000], &format!("tag-{count}"))
        }
    });
    let file = UrlFile::new(&format!("{}/data.zip", server.url())).unwrap();
    let error = Hub::new(config(cache.path()))
        .unwrap()
        .url(&file, &mut Silent)
        .unwrap_err();
    assert!(matches!(error, Error::FileChanged { .. }), "{error}");
}

#[test]
fn an_answer_whose_end_cannot_be_told_is_taken_only_with_a_hash() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(|_| {
        Reply::new(200)
            .with("connection", "close")
            .with_body("content")
    });
    let file = UrlFile::new(&format!("{}/a", server.url())).unwrap();
    let hub = Hub::new(config(cache.path())).unwrap();
    let error = hub.url(&file, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    let file = file.with_checksum(Checksum::sha256(&sha256(b"content")).unwrap());
    hub.url(&file, &mut Silent).unwrap();
}

#[test]
fn checkpoints_of_torch_are_used_where_they_fit() {
    let cache = tempfile::tempdir().unwrap();
    let torch = tempfile::tempdir().unwrap();
    let name = format!("net-{}.pth", &sha256(b"weights")[..8]);
    fs::write(torch.path().join(&name), "weights").unwrap();
    fs::write(torch.path().join("bad-f37072fd.pth"), "weights").unwrap();
    let config = config(cache.path())
        .with_torch_checkpoints(torch.path())
        .with_offline(true);
    let hub = Hub::new(config).unwrap();
    let file =
        |name: &str| UrlFile::new(&format!("https://download.pytorch.org/models/{name}")).unwrap();
    assert_eq!(
        hub.url(&file(&name), &mut Silent).unwrap(),
        torch.path().join(&name)
    );
    let error = hub.url(&file("bad-f37072fd.pth"), &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Offline { .. }), "{error}");
}

#[test]
fn plain_http_is_for_this_machine_or_for_what_is_verified() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(config(cache.path())).unwrap();
    for name in ["a.bin", "net-f37072fd.pth"] {
        let file = UrlFile::new(&format!("http://nowhere.invalid/{name}")).unwrap();
        let error = hub.url(&file, &mut Silent).unwrap_err();
        assert!(matches!(error, Error::Insecure { .. }), "{error}");
    }
    let file = UrlFile::new("http://nowhere.invalid/a.bin").unwrap();
    let verified = file.with_checksum(Checksum::md5(&"0".repeat(32)).unwrap());
    let error = hub.url(&verified, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::NoNetwork { .. }), "{error}");
    // A redirect leads there as little as a caller does.
    let server = Server::start(|_| Reply::redirect("http://nowhere.invalid/a.bin"));
    let file = UrlFile::new(&format!("{}/a.bin", server.url())).unwrap();
    let error = hub.url(&file, &mut Silent).unwrap_err();
    assert!(matches!(error, Error::Insecure { .. }), "{error}");
}

#[test]
fn names_that_would_lead_elsewhere_are_not_used() {
    let cache = tempfile::tempdir().unwrap();
    let (server, _) = changing(b"abc", "t");
    let hub = Hub::new(config(cache.path())).unwrap();
    for path in [
        "",
        "a/",
        "a/..%2F..%2Fx",
        "a/%2Fetc%2Fpasswd",
        "a/..",
        "a%5Cb",
        "nul",
        &"a".repeat(300),
    ] {
        let file = UrlFile::new(&format!("{}/{path}", server.url())).unwrap();
        assert_eq!(file.name(), "download", "{path}");
        let path = hub.url(&file, &mut Silent).unwrap();
        assert!(path.starts_with(cache.path().join("urls")));
    }
    assert!(UrlFile::new("https://me:secret@example.org/a").is_err());
}

#[test]
fn refusals_are_told() {
    let cache = tempfile::tempdir().unwrap();
    let hub = Hub::new(config(cache.path())).unwrap();
    let error = |status| {
        let server = Server::start(move |_| Reply::new(status));
        hub.url(
            &UrlFile::new(&format!("{}/a?key=secret", server.url())).unwrap(),
            &mut Silent,
        )
        .unwrap_err()
    };
    assert!(matches!(error(404), Error::NotFound { status: 404, .. }));
    assert!(matches!(error(410), Error::NotFound { status: 410, .. }));
    assert!(matches!(error(403), Error::Forbidden { .. }));
    assert!(matches!(
        error(401),
        Error::Unauthorized {
            with_token: false,
            ..
        }
    ));
    assert!(matches!(error(500), Error::TooManyTries { tries: 3, .. }));
    assert!(!error(404).to_string().contains("secret"));
}

#[test]
fn a_mirror_is_asked_in_place_of_the_address() {
    let cache = tempfile::tempdir().unwrap();
    let bytes = vec![7; 50_000];
    let (server, state) = changing(&bytes, "t");
    let name = format!("net-{}.pth", &sha256(&bytes)[..8]);
    let file = UrlFile::new(&format!("https://weights.invalid/models/{name}?a=b")).unwrap();
    let mirror = format!("{}/files/", server.url());
    let with_mirror = |config: HubConfig| Hub::new(config.with_mirror(&mirror).unwrap()).unwrap();
    let hub = with_mirror(config(cache.path()));
    // What was cut is gone on with.
    state.lock().unwrap().2 = Some(20_000);
    let path = hub.url(&file, &mut Silent).unwrap();
    assert_eq!(fs::read(&path).unwrap(), bytes);
    let requests = server.requests();
    assert_eq!(
        requests[0].path,
        format!("/files/weights.invalid/models/{name}?a=b")
    );
    assert_eq!(requests[1].header("range"), Some("bytes=20000-"));
    // It lies where the address itself would have it.
    let offline = Hub::new(config(cache.path()).with_offline(true)).unwrap();
    assert_eq!(offline.url(&file, &mut Silent).unwrap(), path);
    // Checksums are verified, and errors name both.
    let wrong = UrlFile::new("https://weights.invalid/net-00000000.pth").unwrap();
    let error = hub.url(&wrong, &mut Silent).unwrap_err();
    let text = error.to_string();
    assert!(
        matches!(&error, Error::Mirror { source, .. } if matches!(**source, Error::WrongHash { .. })),
        "{error}"
    );
    let asked = format!("{mirror}weights.invalid/net-00000000.pth");
    for part in [
        "https://weights.invalid/net-00000000.pth",
        &asked,
        "CNN_MIRROR",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let silent = Server::start(|_| Reply::new(404));
    let config = config(cache.path()).with_mirror(&silent.url()).unwrap();
    let error = Hub::new(config)
        .unwrap()
        .url(&wrong, &mut Silent)
        .unwrap_err();
    assert!(
        matches!(&error, Error::Mirror { source, .. } if matches!(**source, Error::NotFound { .. })),
        "{error}"
    );
}

#[test]
fn the_hub_is_not_asked_of_the_mirror() {
    let cache = tempfile::tempdir().unwrap();
    let world = server::World::start();
    world.put("owner/name", "a", b"a", false);
    let mirror = Server::start(|_| Reply::new(404));
    let config = config(cache.path())
        .with_endpoint(&world.hub.url())
        .unwrap()
        .with_mirror(&mirror.url())
        .unwrap();
    let file = cnn_hub::Repo::model("owner/name")
        .unwrap()
        .file("a")
        .unwrap();
    Hub::new(config).unwrap().file(&file, &mut Silent).unwrap();
    assert!(mirror.requests().is_empty());
}
