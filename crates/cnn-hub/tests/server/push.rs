//! How the hub takes files: the repository, the large ones in its storage, the commit.

use std::collections::{BTreeMap, VecDeque};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{File, Reply, Request, State, World};
use cnn_core::hex;

/// What has to do with pushes.
#[derive(Default)]
pub struct Pushes {
    /// The pages that were created, with their visibility.
    pub created: BTreeMap<String, String>,
    /// The storage of large files by their SHA-256.
    pub objects: BTreeMap<String, Vec<u8>>,
    /// The parts that have arrived.
    parts: BTreeMap<(String, u64), Vec<u8>>,
    /// Files of at least so many bytes are large.
    pub large: usize,
    /// Files of more bytes go in parts of so many.
    pub chunk: Option<usize>,
    /// Whether the hub wants to be told when a file is in its storage.
    pub verifies: bool,
    pub verified: Vec<String>,
    /// Headers that the storage must get.
    pub header: Option<(String, String)>,
    /// The owner of whom the token may create repositories.
    pub owner: Option<String>,
    /// Whether the token may read alone.
    pub is_read_only: bool,
    pub ignored: Vec<String>,
    /// Taken by one request after the other whose path has the text in it.
    pub faults: VecDeque<(&'static str, Fault)>,
    /// The headers of commits.
    pub commits: Vec<Value>,
}

/// What goes wrong with a request of a push.
pub enum Fault {
    /// Another answer, and nothing is done.
    Reply(Reply),
    /// Another answer, after it is done.
    DoneAndReply(Reply),
}

impl World {
    /// What goes wrong with the next request of a push whose path has the text in it, after those
    /// that were named before.
    pub fn fail_push(&self, path: &'static str, fault: Fault) {
        self.state().pushes.faults.push_back((path, fault));
    }
}

fn error(status: u16, code: &str, message: &str) -> Reply {
    Reply::new(status)
        .with("x-error-code", code)
        .with_body(json!({ "error": message }).to_string())
}

fn ok(body: &Value) -> Reply {
    Reply::new(200)
        .with("content-type", "application/json")
        .with_body(body.to_string())
}

/// A reply of the hub to what it alone is sent when something is pushed.
pub fn to_hub(state: &mut State, request: &Request, storage: &str) -> Option<Reply> {
    if request.method != "POST" {
        return None;
    }
    Some(with_fault(state, request, |state| {
        let token = request.header("authorization");
        let expected = state.token.as_ref().map(|token| format!("Bearer {token}"));
        let is_signed = request.path.contains("signature=");
        if !is_signed && token != expected.as_deref() {
            return error(401, "", "Invalid credentials in Authorization header");
        }
        let path = request.path.split('?').next().unwrap();
        if path == "/api/validate-yaml" {
            return ok(&json!({ "errors": [], "warnings": [] }));
        }
        if path == "/api/repos/create" {
            return create(state, request);
        }
        if let Some((page, _)) = path.split_once(".git/info/lfs/objects/batch") {
            return batch(state, page.trim_start_matches('/'), request, storage);
        }
        if path == "/lfs/complete" {
            return complete(state, &request.json());
        }
        if path == "/lfs/verify" {
            let oid = request.json()["oid"].as_str().unwrap().to_string();
            let is_there = state.pushes.objects.contains_key(&oid);
            state.pushes.verified.push(oid);
            return Reply::new(if is_there { 200 } else { 404 });
        }
        for step in ["preupload", "commit"] {
            if let Some((page, revision)) = path.split_once(&format!("/{step}/")) {
                let page = page
                    .trim_start_matches("/api/")
                    .trim_start_matches("models/");
                let is_there = state.pushes.created.contains_key(page)
                    || state.files.keys().any(|(own, _)| own == page);
                if !is_there {
                    return error(404, "RepoNotFound", "Repository not found");
                }
                if !state.commits.contains_key(revision) {
                    return error(404, "RevisionNotFound", "Invalid rev id");
                }
                if state.pushes.is_read_only {
                    return error(403, "", "you must use a write token");
                }
                return match step {
                    "preupload" => preupload(state, page, &request.json()),
                    _ => commit(state, page, revision, request),
                };
            }
        }
        Reply::new(404)
    }))
}

/// A reply of the storage to a file or a part of it.
pub fn to_storage(state: &mut State, request: &Request) -> Option<Reply> {
    if request.method != "PUT" {
        return None;
    }
    Some(with_fault(state, request, |state| {
        if let Some((name, value)) = &state.pushes.header
            && request.header(name) != Some(value)
        {
            return Reply::new(403);
        }
        let mut path = request.path.trim_start_matches('/').split(['/', '?']);
        let oid = path.next().unwrap().to_string();
        match path.next().and_then(|part| part.parse().ok()) {
            Some(part) => {
                let tag = hex(&Sha256::digest(&request.body))[..32].to_string();
                state.pushes.parts.insert((oid, part), request.body.clone());
                Reply::new(200).with("etag", format!("\"{tag}\""))
            }
            None => {
                state.pushes.objects.insert(oid, request.body.clone());
                Reply::new(200)
            }
        }
    }))
}

fn with_fault(state: &mut State, request: &Request, answer: impl Fn(&mut State) -> Reply) -> Reply {
    let faults = &mut state.pushes.faults;
    match faults.pop_front_if(|(path, _)| request.path.contains(*path)) {
        Some((_, Fault::Reply(reply))) => reply,
        Some((_, Fault::DoneAndReply(reply))) => {
            answer(state);
            reply
        }
        None => answer(state),
    }
}

fn create(state: &mut State, request: &Request) -> Reply {
    let message = request.json();
    let home = format!("http://{}", request.header("host").unwrap());
    let text = |name: &str| message[name].as_str().unwrap().to_string();
    let (owner, name) = (text("organization"), text("name"));
    let page = match text("type").as_str() {
        "model" => format!("{owner}/{name}"),
        kind => format!("{kind}s/{owner}/{name}"),
    };
    if state.pushes.owner.as_ref().is_some_and(|own| *own != owner) {
        let message = format!("You don't have the rights to create a model under {owner}");
        return error(403, "", &message);
    }
    let is_there = state.files.keys().any(|(own, _)| *own == page);
    if is_there || state.pushes.created.contains_key(&page) {
        return error(409, "", "You already created this model repo");
    }
    state
        .pushes
        .created
        .insert(page.clone(), text("visibility"));
    ok(&json!({ "url": format!("{home}/{page}") }))
}

fn preupload(state: &State, page: &str, message: &Value) -> Reply {
    let files = message["files"].as_array().unwrap().iter().map(|file| {
        let path = file["path"].as_str().unwrap();
        let is_large = file["size"].as_u64().unwrap() as usize >= state.pushes.large;
        let oid = state
            .files
            .get(&(page.to_string(), path.to_string()))
            .map(File::tag);
        json!({
            "path": path,
            "uploadMode": if is_large { "lfs" } else { "regular" },
            "shouldIgnore": state.pushes.ignored.iter().any(|ignored| ignored == path),
            "oid": oid,
        })
    });
    ok(&json!({ "files": files.collect::<Vec<_>>() }))
}

fn batch(state: &State, page: &str, request: &Request, storage: &str) -> Reply {
    let message = request.json();
    assert_eq!(
        message["transfers"],
        json!(["basic", "multipart"]),
        "{page}"
    );
    let home = format!("http://{}", request.header("host").unwrap());
    let objects = message["objects"].as_array().unwrap().iter().map(|object| {
        let oid = object["oid"].as_str().unwrap();
        let size = object["size"].as_u64().unwrap() as usize;
        if state.pushes.objects.contains_key(oid) {
            return json!({ "oid": oid, "size": size });
        }
        let mut header = serde_json::Map::new();
        if let Some((name, value)) = &state.pushes.header {
            header.insert(name.clone(), json!(value));
        }
        let mut href = format!("{storage}/{oid}?signature=secret");
        if let Some(chunk) = state.pushes.chunk.filter(|chunk| *chunk < size) {
            header.insert("chunk_size".to_string(), json!(chunk.to_string()));
            for part in 1..=size.div_ceil(chunk) {
                let url = format!("{storage}/{oid}/{part}?signature=secret");
                header.insert(part.to_string(), json!(url));
            }
            href = format!("{home}/lfs/complete?signature=secret");
        }
        let mut actions = json!({ "upload": { "href": href, "header": header } });
        if state.pushes.verifies {
            actions["verify"] = json!({ "href": format!("{home}/lfs/verify") });
        }
        json!({ "oid": oid, "size": size, "actions": actions })
    });
    ok(&json!({ "transfer": "basic", "objects": objects.collect::<Vec<_>>() }))
}

fn complete(state: &mut State, message: &Value) -> Reply {
    let oid = message["oid"].as_str().unwrap().to_string();
    let mut content = Vec::new();
    for part in message["parts"].as_array().unwrap() {
        let number = part["partNumber"].as_u64().unwrap();
        let Some(bytes) = state.pushes.parts.get(&(oid.clone(), number)) else {
            return Reply::new(400);
        };
        let tag = format!("\"{}\"", &hex(&Sha256::digest(bytes))[..32]);
        if part["etag"] != tag {
            return Reply::new(400);
        }
        content.extend(bytes);
    }
    state.pushes.objects.insert(oid, content);
    ok(&json!({}))
}

fn commit(state: &mut State, page: &str, revision: &str, request: &Request) -> Reply {
    let home = format!("http://{}", request.header("host").unwrap());
    let body = &request.body;
    let lines = body.split_inclusive(|byte| *byte == b'\n');
    let mut lines = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap());
    let header = lines.next().unwrap();
    assert_eq!(header["key"], "header");
    let mut files = Vec::new();
    for line in lines {
        let value = &line["value"];
        let path = value["path"].as_str().unwrap().to_string();
        let file = match line["key"].as_str().unwrap() {
            "file" => File {
                bytes: STANDARD.decode(value["content"].as_str().unwrap()).unwrap(),
                is_large: false,
            },
            _ => {
                let oid = value["oid"].as_str().unwrap();
                let object = state.pushes.objects.get(oid);
                let size = value["size"].as_u64().unwrap() as usize;
                let whole = object
                    .filter(|object| object.len() == size && hex(&Sha256::digest(object)) == oid);
                let Some(bytes) = whole.cloned() else {
                    return error(400, "", &format!("{path} is not in the storage"));
                };
                File {
                    bytes,
                    is_large: true,
                }
            }
        };
        files.push(((page.to_string(), path), file));
    }
    let commit = hex(&Sha256::digest(body))[..40].to_string();
    state.files.extend(files);
    state.commits.insert(revision.to_string(), commit.clone());
    state.pushes.commits.push(header["value"].clone());
    ok(&json!({ "commitUrl": format!("{home}/{page}/commit/{commit}"), "commitOid": commit }))
}
