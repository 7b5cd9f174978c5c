//! A server on this machine that behaves as the hub does, and as its storage on another host.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic
)]

pub mod http;
pub mod push;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use cnn_core::hex;
pub use http::{Reply, Request, Server, content};
use sha2::{Digest, Sha256};

/// All files below a directory, with slashes, sorted.
pub fn tree(directory: &Path) -> Vec<String> {
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

/// What goes wrong with an answer that would have had bytes.
#[derive(Clone, Debug)]
pub enum Fault {
    None,
    Cut(usize),
    Stall(usize),
    /// Another answer in its place.
    Reply(Reply),
    /// As if no range had been asked for.
    IgnoreRange,
    /// Other bytes of the same number.
    Damage,
}

#[derive(Clone, Debug)]
pub struct File {
    pub bytes: Vec<u8>,
    /// Whether it lies in the storage of large files, on another host.
    pub is_large: bool,
}

impl File {
    /// Its tag: the SHA-256 for large files, what git calls its content for others.
    pub fn tag(&self) -> String {
        if self.is_large {
            hex(&Sha256::digest(&self.bytes))
        } else {
            let mut hasher = sha1::Sha1::new_with_prefix(format!("blob {}\0", self.bytes.len()));
            hasher.update(&self.bytes);
            hex(&hasher.finalize())
        }
    }
}

pub const COMMIT: &str = "5c5a9e6b2c1de7aa2bb1ea9a1a2b3c4d5e6f7089";
pub const COMMIT_2: &str = "6d6b0f7c3d2ef8bb3cc2fb0b2b3c4d5e6f708190";

#[derive(Default)]
pub struct State {
    /// By page (`owner/name`, `datasets/owner/name`) and path.
    pub files: BTreeMap<(String, String), File>,
    /// By revision.
    pub commits: BTreeMap<String, String>,
    /// Taken by one answer with bytes after the other.
    pub faults: VecDeque<Fault>,
    /// Taken by one answer without bytes after the other.
    pub head_faults: VecDeque<Fault>,
    /// Taken by one list of files after the other.
    pub list_faults: VecDeque<Fault>,
    pub renamed: BTreeMap<String, String>,
    /// Whether small files are answered by way of another address of the same host.
    pub has_detour: bool,
    pub gated: Vec<String>,
    pub token: Option<String>,
    pub pushes: push::Pushes,
}

/// A hub and its storage.
#[derive(Clone)]
pub struct World {
    pub hub: Server,
    pub storage: Server,
    state: Arc<Mutex<State>>,
}

impl World {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(State {
            commits: BTreeMap::from([("main".to_string(), COMMIT.to_string())]),
            ..State::default()
        }));
        let own = Arc::clone(&state);
        let storage = Server::start(move |request| {
            let mut state = own.lock().unwrap();
            push::to_storage(&mut state, request)
                .unwrap_or_else(|| from_storage(&mut state, request))
        });
        let own = Arc::clone(&state);
        let storage_url = storage.url_by_name();
        let hub = Server::start(move |request| {
            let mut state = own.lock().unwrap();
            push::to_hub(&mut state, request, &storage_url)
                .unwrap_or_else(|| from_hub(&mut state, request, &storage_url))
        });
        Self {
            hub,
            storage,
            state,
        }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn put(&self, page: &str, path: &str, bytes: &[u8], is_large: bool) {
        let file = File {
            bytes: bytes.to_vec(),
            is_large,
        };
        self.state()
            .files
            .insert((page.to_string(), path.to_string()), file);
    }

    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }
}

/// Applies a fault to an answer with bytes.
fn with_fault(reply: Reply, fault: Option<Fault>) -> Reply {
    match fault {
        Some(Fault::Cut(sent)) => Reply {
            cut: Some(sent),
            ..reply
        },
        Some(Fault::Stall(sent)) => Reply {
            stall: Some(sent),
            ..reply
        },
        Some(Fault::Reply(other)) => other,
        Some(Fault::Damage) => Reply {
            body: reply.body.iter().map(|byte| byte ^ 1).collect(),
            ..reply
        },
        Some(Fault::None | Fault::IgnoreRange) | None => reply,
    }
}

fn with_range(request: &Request, fault: &Option<Fault>) -> Request {
    match fault {
        Some(Fault::IgnoreRange) => request.without("range"),
        _ => request.clone(),
    }
}

fn from_storage(state: &mut State, request: &Request) -> Reply {
    let tag = request
        .path
        .trim_start_matches('/')
        .split('?')
        .next()
        .unwrap();
    let Some(file) = state.files.values().find(|file| file.tag() == tag) else {
        return Reply::new(403);
    };
    let bytes = file.bytes.clone();
    let fault = state.faults.pop_front();
    let request = with_range(request, &fault);
    with_fault(content(&request, &bytes, "a-tag-of-the-storage"), fault)
}

fn from_hub(state: &mut State, request: &Request, storage: &str) -> Reply {
    let error = |status, code: &str| {
        Reply::new(status)
            .with("x-error-code", code)
            .with("x-error-message", code)
    };
    let path = request
        .path
        .split('?')
        .next()
        .unwrap()
        .trim_start_matches('/');
    let is_api = path.starts_with("api/");
    let (page, rest) = match path.strip_prefix("api/") {
        Some(api) => {
            let api = api.strip_prefix("models/").unwrap_or(api);
            api.split_once("/revision/").unwrap_or((api, "main"))
        }
        None => match path.split_once("/resolve/") {
            Some(split) => split,
            None => return Reply::new(404),
        },
    };
    // The other address has the file under another tag.
    let (rest, is_detour) = match rest.strip_prefix("detour/") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let (revision, file) = rest
        .split_once('/')
        .filter(|_| !is_api)
        .unwrap_or((rest, ""));
    let revision = revision.replace("%2F", "/");
    let file = file.replace("%20", " ");
    if let Some(new) = state.renamed.get(page) {
        return Reply::new(307).with("location", request.path.replacen(page, new, 1));
    }
    let token = request
        .header("authorization")
        .map(|value| value.trim_start_matches("Bearer "));
    if let (Some(token), Some(expected)) = (token, state.token.as_deref())
        && token != expected
    {
        return Reply::new(401).with(
            "x-error-message",
            "Invalid credentials in Authorization header",
        );
    }
    let is_there = state.files.keys().any(|(own, _)| own == page);
    if !is_there && !state.pushes.created.contains_key(page) {
        return error(401, "RepoNotFound");
    }
    if state.gated.iter().any(|gated| gated == page) {
        return error(if token.is_some() { 403 } else { 401 }, "GatedRepo");
    }
    let is_commit = state.commits.values().any(|commit| *commit == revision);
    let Some(commit) = state
        .commits
        .get(&revision)
        .cloned()
        .or(is_commit.then(|| revision.clone()))
    else {
        return error(404, "RevisionNotFound");
    };
    if is_api {
        let files = state.files.iter().filter(|((own, _), _)| own == page);
        let siblings = files.map(|((_, path), file)| {
            let lfs = if file.is_large {
                format!(r#", "lfs": {{"sha256": "{}"}}"#, file.tag())
            } else {
                format!(r#", "blobId": "{}""#, file.tag())
            };
            format!(
                r#"{{"rfilename": "{path}", "size": {}{lfs}}}"#,
                file.bytes.len()
            )
        });
        let siblings = siblings.collect::<Vec<_>>().join(", ");
        let body = format!(r#"{{"id": "{page}", "sha": "{commit}", "siblings": [{siblings}]}}"#);
        let fault = state.list_faults.pop_front();
        let reply = Reply::new(200)
            .with("content-type", "application/json")
            .with_body(body);
        return with_fault(reply, fault);
    }
    let Some(found) = state.files.get(&(page.to_string(), file)).cloned() else {
        return error(404, "EntryNotFound").with("x-repo-commit", commit);
    };
    if request.method == "HEAD"
        && let Some(fault) = state.head_faults.pop_front()
        && !matches!(fault, Fault::None)
    {
        return with_fault(Reply::new(500), Some(fault));
    }
    if found.is_large {
        let tag = found.tag();
        return Reply::redirect(format!("{storage}/{tag}?signature=secret"))
            .with("x-repo-commit", commit)
            .with("x-linked-etag", format!("\"{tag}\""))
            .with("x-linked-size", found.bytes.len());
    }
    if state.has_detour && !is_detour {
        let to = request.path.replacen("/resolve/", "/resolve/detour/", 1);
        return Reply::new(307)
            .with("location", to)
            .with("x-repo-commit", commit)
            .with("x-linked-etag", format!("\"{}\"", found.tag()))
            .with("x-linked-size", found.bytes.len());
    }
    let tag = if is_detour {
        format!("{}-detour", found.tag())
    } else {
        found.tag()
    };
    let fault = match request.method.as_str() {
        "HEAD" => None,
        _ => state.faults.pop_front(),
    };
    let ranged = with_range(request, &fault);
    with_fault(content(&ranged, &found.bytes, &tag), fault).with("x-repo-commit", commit)
}
