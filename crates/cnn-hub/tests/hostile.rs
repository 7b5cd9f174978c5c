//! Servers that mean harm, or make no sense.
#![allow(clippy::unwrap_used, clippy::panic)]

mod server;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use cnn_core::Key;
use cnn_hub::{Error, Hub, HubConfig, Repo, RepoFile, Retry, Silent, UrlFile};
use server::{COMMIT, Reply, Request, Server};

fn config(server: &Server, cache: &Path) -> HubConfig {
    HubConfig::in_directory(cache)
        .with_endpoint(&server.url())
        .unwrap()
        .with_timeouts(Duration::from_secs(5), Duration::from_millis(300))
        .with_retry(Retry {
            failures: 2,
            first_delay: Duration::ZERO,
            longest_delay: Duration::from_millis(50),
        })
}

fn file() -> RepoFile {
    Repo::model("owner/name")
        .unwrap()
        .file("model.bin")
        .unwrap()
}

/// What a hub with this handler makes of a download, and whether anything but locks is in the cache.
fn error_of(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Error {
    let root = tempfile::tempdir().unwrap();
    let cache = root.path().join("a/b/cache");
    let server = Server::start(handler);
    let hub = Hub::new(config(&server, &cache)).unwrap();
    let error = hub.file(&file(), &mut Silent).unwrap_err();
    // Nothing lies beside the directories that lead to the cache.
    for (directory, only) in [
        (root.path().to_owned(), "a"),
        (root.path().join("a"), "b"),
        (root.path().join("a/b"), "cache"),
    ] {
        for entry in fs::read_dir(directory).into_iter().flatten() {
            assert_eq!(entry.unwrap().file_name(), only);
        }
    }
    error
}

#[test]
fn tags_and_commits_that_would_lead_elsewhere_are_refused() {
    let hostile = [
        "../../../../x",
        "..",
        ".",
        "a/b",
        "/etc/passwd",
        "a\\b",
        "C:x",
        "a:b",
        "",
        "%2e%2e/x",
    ];
    for value in hostile {
        let error = error_of(move |_| {
            Reply::new(200)
                .with("etag", format!("\"{value}\""))
                .with("x-repo-commit", COMMIT)
        });
        // What remains of a percent sign is no name either.
        assert!(matches!(error, Error::BadAnswer { .. }), "{value}: {error}");
        let error = error_of(move |_| {
            Reply::new(200)
                .with("etag", "\"tag\"")
                .with("x-repo-commit", value)
        });
        assert!(matches!(error, Error::BadAnswer { .. }), "{value}: {error}");
        let error = error_of(move |_| {
            Reply::redirect("http://127.0.0.1:1/x")
                .with("x-linked-etag", format!("\"{value}\""))
                .with("x-repo-commit", COMMIT)
        });
        assert!(matches!(error, Error::BadAnswer { .. }), "{value}: {error}");
    }
}

#[test]
fn redirects_are_bounded_and_stay_on_the_web() {
    let error = error_of(|request| Reply::redirect(format!("{}x", request.path)));
    assert!(
        matches!(&error, Error::Redirect { reason, .. } if reason.contains("8 redirects")),
        "{error}"
    );
    for location in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "https://user:secret@127.0.0.1/x",
        "gopher:x//y",
        "http://",
    ] {
        let error = error_of(move |_| Reply::redirect(location));
        assert!(
            matches!(
                error,
                Error::Redirect { .. } | Error::TooManyTries { .. } | Error::NotFound { .. }
            ),
            "{location}: {error}"
        );
        assert!(
            !error.to_string().contains("secret") || location.contains("secret"),
            "{error}"
        );
    }
}

#[test]
fn endless_headers_lists_and_bodies_end() {
    let error = error_of(|_| Reply {
        raw: Some(
            [
                b"HTTP/1.1 200 OK\r\n".to_vec(),
                b"x: ".to_vec(),
                vec![b'a'; 200_000],
            ]
            .concat(),
        ),
        ..Reply::default()
    });
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    let many: Vec<u8> = (0..5000)
        .flat_map(|number| format!("x-{number}: y\r\n").into_bytes())
        .collect();
    let error = error_of(move |_| Reply {
        raw: Some(
            [
                b"HTTP/1.1 200 OK\r\n".to_vec(),
                many.clone(),
                b"\r\n".to_vec(),
            ]
            .concat(),
        ),
        ..Reply::default()
    });
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(|_| Reply::new(200).with_body(vec![b' '; (32 << 20) + 1]));
    let hub = Hub::new(config(&server, cache.path())).unwrap();
    let error = hub
        .files(&Repo::model("owner/name").unwrap(), &mut Silent)
        .unwrap_err();
    assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    // Nested as deep as a parser of JSON could be made to fall.
    let server = Server::start(|_| Reply::new(200).with_body("[".repeat(1 << 20)));
    let hub = Hub::new(config(&server, cache.path())).unwrap();
    let error = hub
        .files(&Repo::model("owner/name").unwrap(), &mut Silent)
        .unwrap_err();
    assert!(matches!(error, Error::BadAnswer { .. }), "{error}");
    // More than the caller wants, without saying so before.
    let server = Server::start(|_| {
        let chunk = [b"10000\r\n".to_vec(), vec![0; 0x10000], b"\r\n".to_vec()].concat();
        Reply::new(200)
            .with("transfer-encoding", "chunked")
            .with_body(chunk.repeat(16))
    });
    let file = UrlFile::new(&format!("{}/a", server.url()))
        .unwrap()
        .with_max_bytes(100_000);
    let error = hub.url(&file, &mut Silent).unwrap_err();
    assert!(
        matches!(error, Error::TooLarge { limit: 100_000, .. }),
        "{error}"
    );
    assert_eq!(hub.cached_url(&file).unwrap(), None);
}

#[test]
fn an_encoding_that_nobody_asked_for_is_refused() {
    let cache = tempfile::tempdir().unwrap();
    let server = Server::start(|_| {
        Reply::new(200)
            .with("content-encoding", "gzip")
            .with_body("x")
    });
    let hub = Hub::new(config(&server, cache.path())).unwrap();
    let fetch = |name: &str| {
        hub.url(
            &UrlFile::new(&format!("{}/{name}", server.url())).unwrap(),
            &mut Silent,
        )
    };
    assert!(matches!(fetch("a.zip"), Err(Error::BadAnswer { .. })));
    // Some servers say so of files that are compressed themselves.
    fetch("train-images-idx3-ubyte.gz").unwrap();
    assert!(
        server
            .requests()
            .iter()
            .all(|request| request.header("accept-encoding") == Some("identity"))
    );
}

/// Answers of a hub with bytes changed, lost and added, through the whole program.
#[test]
fn two_thousand_mutated_answers_do_no_harm() {
    let rng = Mutex::new(Key::new(14).stream("answers").rng());
    let body = "a".repeat(100);
    let head = format!(
        "HTTP/1.1 200 OK\r\netag: \"tag\"\r\nx-repo-commit: {COMMIT}\r\ncontent-length: 100\r\n\r\n"
    );
    let chunked = format!(
        "HTTP/1.1 206 Partial\r\netag: \"tag\"\r\nx-repo-commit: {COMMIT}\r\ncontent-range: \
         bytes 0-99/100\r\ntransfer-encoding: chunked\r\n\r\n64\r\n{body}\r\n0\r\n\r\n"
    );
    let moved = format!(
        "HTTP/1.1 302 Found\r\nlocation: /b\r\nx-linked-etag: \"tag\"\r\nx-linked-size: \
         100\r\nx-repo-commit: {COMMIT}\r\ncontent-length: 0\r\n\r\n"
    );
    let plain = format!("{head}{body}");
    let server = Server::start(move |request| {
        let mut rng = rng.lock().unwrap();
        let seeds: [&str; 4] = match request.method.as_str() {
            "HEAD" => [&head, &moved, &head, &moved],
            _ => [&plain, &plain, &chunked, &moved],
        };
        let mut bytes = seeds[rng.below(4) as usize].as_bytes().to_vec();
        for _ in 0..rng.below(3) {
            let at = rng.below(bytes.len() as u64) as usize;
            match rng.below(4) {
                0 => bytes[at] = rng.below(256) as u8,
                1 => bytes.insert(at, rng.below(256) as u8),
                2 => drop(bytes.remove(at)),
                _ => bytes.truncate(at),
            }
        }
        Reply {
            raw: Some(bytes),
            ..Reply::default()
        }
    });
    let root = tempfile::tempdir().unwrap();
    let retry = Retry {
        failures: 1,
        first_delay: Duration::ZERO,
        longest_delay: Duration::ZERO,
    };
    let mut whole = 0;
    for round in 0..2000 {
        let cache = root.path().join(format!("{}", round % 7));
        let hub = config(&server, &cache)
            .with_retry(retry)
            .with_max_bytes(10_000);
        if let Ok(path) = Hub::new(hub).unwrap().file(&file(), &mut Silent) {
            whole += 1;
            assert!(path.starts_with(&cache) && path.is_file());
            fs::remove_dir_all(&cache).unwrap();
        }
    }
    assert!(whole > 100, "{whole}");
    for entry in fs::read_dir(root.path()).unwrap() {
        assert_eq!(entry.unwrap().file_name().len(), 1);
    }
}
