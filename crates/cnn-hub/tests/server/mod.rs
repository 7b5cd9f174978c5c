//! A server on this machine that behaves as the hub does, and as its storage on another host.
#![allow(
    dead_code,
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::panic
)]

pub mod push;

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use cnn_core::hex;
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

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// The path with its query.
    pub path: String,
    pub body: Vec<u8>,
    headers: Vec<(String, String)>,
}

impl Request {
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(own, _)| own.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// The first byte that is asked for.
    fn from(&self) -> Option<usize> {
        self.header("range")?
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }
}

/// What is answered.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Closes the connection after this many bytes of the body.
    pub cut: Option<usize>,
    /// Sends nothing for a while after this many bytes of the body.
    pub stall: Option<usize>,
    /// Sends these bytes in place of all that.
    pub raw: Option<Vec<u8>>,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            ..Self::default()
        }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_string(), value.to_string()));
        self
    }

    pub fn with_body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    pub fn redirect(location: impl ToString) -> Self {
        Self::new(302).with("location", location)
    }

    fn has(&self, name: &str) -> bool {
        self.headers
            .iter()
            .any(|(own, _)| own.eq_ignore_ascii_case(name))
    }
}

/// How long a stalled connection is silent. The client's patience is shorter.
const SILENCE: Duration = Duration::from_secs(4);

/// A server on a port of its own, until the test ends.
#[derive(Clone)]
pub struct Server {
    pub address: SocketAddr,
    log: Arc<Mutex<Vec<Request>>>,
    cuts: Arc<Mutex<VecDeque<Option<usize>>>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let server = Self {
            address,
            log: Arc::clone(&log),
            cuts: Arc::default(),
        };
        let cuts = Arc::clone(&server.cuts);
        let handler = Arc::new(handler);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(stream) = stream else { return };
                // Head and body are written one after the other, and neither waits.
                stream.set_nodelay(true).unwrap();
                let handler = Arc::clone(&handler);
                let log = Arc::clone(&log);
                let cuts = Arc::clone(&cuts);
                thread::spawn(move || {
                    let mut cut = || cuts.lock().unwrap().pop_front().flatten();
                    let reader = stream.try_clone().unwrap();
                    let _ = serve_with_cuts(reader, stream, &*handler, &log, &mut cut);
                });
            }
        });
        server
    }

    /// The address by number.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The address by name, which is another host.
    pub fn url_by_name(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// Ends the connections of the next requests with content after so many bytes of it.
    pub fn cut_content(&self, cuts: impl IntoIterator<Item = Option<usize>>) {
        self.cuts.lock().unwrap().extend(cuts);
    }

    /// What arrived since the last call.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }
}

/// Answers requests on a connection until it is closed.
pub fn serve(
    reader: impl Read,
    writer: impl Write + Close,
    handler: &dyn Fn(&Request) -> Reply,
    log: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    serve_with_cuts(reader, writer, handler, log, &mut || None)
}

fn serve_with_cuts(
    reader: impl Read,
    mut writer: impl Write + Close,
    handler: &dyn Fn(&Request) -> Reply,
    log: &Mutex<Vec<Request>>,
    cut: &mut dyn FnMut() -> Option<usize>,
) -> io::Result<()> {
    let mut reader = BufReader::new(reader);
    while let Some(mut request) = read_request(&mut reader)? {
        let length = request.header("content-length").map(str::parse);
        if let Some(length) = length.filter(|_| request.method != "HEAD") {
            let length: u64 = length.unwrap();
            let cut = cut();
            let most = cut.map_or(length, |cut| length.min(cut as u64));
            (&mut reader).take(most).read_to_end(&mut request.body)?;
            // Content that ends too soon is as if it had never come.
            if cut.is_some() || (request.body.len() as u64) < length {
                log.lock().unwrap().push(request);
                writer.close();
                return Ok(());
            }
        }
        log.lock().unwrap().push(request.clone());
        let reply = handler(&request);
        if !write_reply(&mut writer, &request, &reply)? {
            writer.close();
            return Ok(());
        }
    }
    Ok(())
}

/// A connection that can be ended.
pub trait Close {
    fn close(&mut self);
}

impl Close for TcpStream {
    fn close(&mut self) {
        let _ = self.shutdown(Shutdown::Both);
    }
}

fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let mut word = || words.next().unwrap_or_default().to_string();
    let method = word();
    let path = word();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        headers.push((name.to_string(), value.to_string()));
    }
    Ok(Some(Request {
        method,
        path,
        body: Vec::new(),
        headers,
    }))
}

/// Whether the connection goes on.
fn write_reply(writer: &mut impl Write, request: &Request, reply: &Reply) -> io::Result<bool> {
    if let Some(raw) = &reply.raw {
        writer.write_all(raw)?;
        writer.flush()?;
        return Ok(false);
    }
    let mut head = format!("HTTP/1.1 {} Reason\r\n", reply.status);
    for (name, value) in &reply.headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !reply.has("content-length") && !reply.has("transfer-encoding") && !reply.has("connection") {
        head += &format!("content-length: {}\r\n", reply.body.len());
    }
    writer.write_all(format!("{head}\r\n").as_bytes())?;
    if request.method == "HEAD" {
        writer.flush()?;
        return Ok(true);
    }
    if let Some(sent) = reply.cut.or(reply.stall) {
        writer.write_all(&reply.body[..sent.min(reply.body.len())])?;
        writer.flush()?;
        if reply.stall.is_some() {
            thread::sleep(SILENCE);
        }
        return Ok(false);
    }
    writer.write_all(&reply.body)?;
    writer.flush()?;
    Ok(!reply.has("connection"))
}

/// Bytes with a tag, by the rules of ranges.
pub fn content(request: &Request, body: &[u8], etag: &str) -> Reply {
    let reply = |status| {
        Reply::new(status)
            .with("etag", format!("\"{etag}\""))
            .with("accept-ranges", "bytes")
    };
    let is_same = request
        .header("if-range")
        .is_none_or(|tag| tag == format!("\"{etag}\""));
    match request.from().filter(|_| is_same) {
        None => reply(200).with_body(body),
        Some(from) if from >= body.len() => {
            reply(416).with("content-range", format!("bytes */{}", body.len()))
        }
        Some(from) => {
            let range = format!("bytes {from}-{}/{}", body.len() - 1, body.len());
            reply(206)
                .with("content-range", range)
                .with_body(&body[from..])
        }
    }
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
    let mut request = request.clone();
    if matches!(fault, Some(Fault::IgnoreRange)) {
        request
            .headers
            .retain(|(name, _)| !name.eq_ignore_ascii_case("range"));
    }
    request
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
