//! The steps of a push: create, ask how, upload what is large, commit.

use std::collections::BTreeMap;
use std::env;
use std::fs::File;
use std::io::{self, BufWriter, Cursor, Read, Write};

use serde::Serialize;
use ureq::http::header::{ACCEPT, HeaderMap, HeaderValue};
use ureq::http::{HeaderName, Method};

use super::local::{GitHashed, LocalFile};
use super::message::{
    Batch, Create, Line, Mode, Object, Preupload, PreuploadFile, Storage, Wish, read_batch,
    read_commit, read_preupload, sample, write_file, write_line,
};
use super::request::{Push, Pushed};
use crate::hub::refusal;
use crate::net::{Answer, Content, Request, Tries, Url, Watch, encode_component};
use crate::{Error, Event, Hub, Progress};

/// The hub is asked about this many files at once.
const FILES_AT_ONCE: usize = 256;

/// What the hub answers to that may have this many bytes.
const LARGEST_ANSWER: u64 = 32 << 20;

/// A `.gitignore` of more bytes is none.
const LARGEST_GITIGNORE: u64 = 1 << 20;

pub(super) const JSON: &str = "application/json";
pub(super) const LFS: &str = "application/vnd.git-lfs+json";
const LINES: &str = "application/x-ndjson";

impl Hub {
    /// Adds files to a repository of the hub by one commit, and creates the repository if it is not
    /// there.
    ///
    /// The hub says which files are large. Those go to its storage first, each verified by its
    /// SHA-256 while it is read; what the storage has already is not sent again. Files that the
    /// repository has already with the same content are left out, and where nothing remains,
    /// nothing is committed.
    ///
    /// Until the commit, the repository is as it was, whatever fails or is cancelled. Where the
    /// answer to the commit is lost, the repository is looked at before it is tried again. The
    /// token goes to the hub's own host only.
    ///
    /// # Errors
    ///
    /// [`Error::NoToken`] without a token, [`Error::OfflinePush`] if the network is switched off;
    /// [`Error::Unauthorized`], [`Error::NotOwned`], [`Error::ReadOnly`], [`Error::Gated`],
    /// [`Error::MissingRepository`], [`Error::MissingRevision`], [`Error::Conflict`] or
    /// [`Error::RefusedPush`] as the hub says; [`Error::SourceChanged`] if a file changes
    /// meanwhile; [`Error::NoNetwork`], [`Error::TooManyTries`], [`Error::Busy`],
    /// [`Error::BadAnswer`] or [`Error::Redirect`] if the hub fails; [`Error::Cancelled`];
    /// [`Error::DiskFull`] or [`Error::Io`] from the disk.
    pub fn push(&self, push: &Push, progress: &mut dyn Progress) -> Result<Pushed, Error> {
        let name = push.repo().to_string();
        if self.config.offline {
            return Err(Error::OfflinePush { repo: name });
        }
        if self.config.token.is_none() {
            return Err(Error::NoToken {
                host: self.config.endpoint.host_and_port(),
            });
        }
        let files = push.files().iter().map(LocalFile::new);
        let files = files.collect::<Result<Vec<_>, Error>>()?;
        let page = self.address(&push.repo().page())?.to_string();
        let steps = Steps {
            hub: self,
            push,
            name,
        };
        let is_new = steps.create(progress)?;
        let wishes = steps.wishes(&files, progress)?;
        let mut entries = Vec::new();
        let mut ignored = Vec::new();
        for (file, wish) in files.iter().zip(wishes) {
            if wish.should_ignore {
                ignored.push(file.upload.path().to_string());
            } else if let Some(entry) = Entry::new(file, &wish, progress)? {
                entries.push(entry);
            }
        }
        let commit = if entries.is_empty() {
            let list = self.listed_files(push.repo(), progress)?;
            list.repo.revision().to_string()
        } else {
            steps.store(&entries, progress)?;
            steps.commit(&entries, progress)?
        };
        let committed = entries.iter().map(|entry| entry.path().to_string());
        Ok(Pushed {
            commit,
            page,
            is_new,
            committed: committed.collect(),
            ignored,
        })
    }
}

/// A file that the commit adds or replaces.
pub(super) struct Entry<'a> {
    pub(super) file: &'a LocalFile<'a>,
    name: EntryName,
}

/// What the content is named by.
enum EntryName {
    Regular { git_hash: String },
    Large(Object),
}

impl<'a> Entry<'a> {
    /// How the file goes, unless it is there already.
    fn new(
        file: &'a LocalFile<'a>,
        wish: &Wish,
        progress: &dyn Progress,
    ) -> Result<Option<Self>, Error> {
        // The storage takes no empty files.
        let is_large = wish.upload_mode == Mode::Lfs && file.size > 0;
        let name = if is_large {
            let oid = file.sha256(progress)?;
            let size = file.size;
            EntryName::Large(Object { oid, size })
        } else {
            let git_hash = file.git_hash(progress)?;
            EntryName::Regular { git_hash }
        };
        let entry = Self { file, name };
        let is_there = wish.oid.as_deref() == Some(entry.oid());
        Ok((!is_there).then_some(entry))
    }

    fn path(&self) -> &'a str {
        self.file.upload.path()
    }

    fn oid(&self) -> &str {
        match &self.name {
            EntryName::Regular { git_hash } => git_hash,
            EntryName::Large(object) => &object.oid,
        }
    }
}

/// What the steps have in common.
pub(super) struct Steps<'a> {
    pub(super) hub: &'a Hub,
    push: &'a Push,
    /// The repository, for messages.
    pub(super) name: String,
}

impl Steps<'_> {
    /// Creates the repository; whether it was not there.
    fn create(&self, progress: &mut dyn Progress) -> Result<bool, Error> {
        let repo = self.push.repo();
        let (owner, name) = repo.id().split_once('/').unwrap_or(("", repo.id()));
        let message = Create::new(owner, name, repo.kind(), self.push.visibility());
        let url = self.hub.address("api/repos/create")?;
        let refuse = |answer: &Answer| match answer.status {
            403 => Error::NotOwned {
                repo: repo.id().to_string(),
                owner: owner.to_string(),
                host: answer.url.host_and_port(),
                message: answer.message(),
            },
            // Two creations of one owner at the same time; the other meaning of 409 is below.
            409 if answer.message().contains("conflicting operation") => answer.refusal(&self.name),
            _ => self.refusal(answer),
        };
        match self.post(&url, &Headers::hub(JSON), &message, &refuse, progress) {
            Ok(_) => Ok(true),
            Err(Error::RefusedPush { status: 409, .. }) => Ok(false),
            // A token may be for this repository alone, and then must not create any.
            Err(error @ (Error::NotOwned { .. } | Error::Unauthorized { .. })) => {
                if self.is_there(progress)? {
                    Ok(false)
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the hub shows the repository to the token.
    fn is_there(&self, progress: &mut dyn Progress) -> Result<bool, Error> {
        let url = self.api("")?;
        let request = Request::new(&self.name, Method::GET, &url);
        let refuse = |answer: &Answer| self.refusal(answer);
        let answer = self.hub.answer(&request, false, &refuse, progress);
        Ok(answer.is_ok())
    }

    /// How the hub wants each file.
    fn wishes(
        &self,
        files: &[LocalFile<'_>],
        progress: &mut dyn Progress,
    ) -> Result<Vec<Wish>, Error> {
        let ignore = git_ignore(files)?;
        let url = self.api_at("preupload")?;
        let mut wishes = Vec::with_capacity(files.len());
        for files in files.chunks(FILES_AT_ONCE) {
            let paths: Vec<&str> = files.iter().map(|file| file.upload.path()).collect();
            let asked = files.iter().map(|file| PreuploadFile {
                path: file.upload.path(),
                sample: sample(&file.sample),
                size: file.size,
            });
            let message = Preupload {
                files: asked.collect(),
                git_ignore: ignore.as_deref(),
            };
            let read = |body: &[u8]| read_preupload(body, &paths);
            wishes.extend(self.ask(&url, &Headers::hub(JSON), &message, &read, progress)?);
        }
        Ok(wishes)
    }

    /// Brings the large files into the hub's storage, each content once.
    fn store(&self, entries: &[Entry<'_>], progress: &mut dyn Progress) -> Result<(), Error> {
        let mut large: BTreeMap<&Object, &LocalFile<'_>> = BTreeMap::new();
        for entry in entries {
            if let EntryName::Large(object) = &entry.name {
                large.entry(object).or_insert(entry.file);
            }
        }
        let objects: Vec<Object> = large.keys().copied().cloned().collect();
        let page = self.push.repo().page();
        let url = self
            .hub
            .address(&format!("{page}.git/info/lfs/objects/batch"))?;
        for objects in objects.chunks(FILES_AT_ONCE) {
            let message = Batch::new(objects, self.push.repo().revision());
            let read = |body: &[u8]| read_batch(body, objects);
            let storages = self.ask(&url, &Headers::hub(LFS), &message, &read, progress)?;
            for (object, storage) in objects.iter().zip(storages) {
                let file = large[object];
                let name = self.push.repo().file(file.upload.path())?.to_string();
                match storage {
                    Storage::Present => progress.event(&Event::Present {
                        name: &name,
                        bytes: object.size,
                    }),
                    Storage::Wanted(upload, verify) => {
                        self.send(file, object, &name, &upload, verify.as_ref(), progress)?;
                    }
                    Storage::Refused { code, message } => {
                        return Err(Error::RefusedPush {
                            what: name,
                            host: url.host_and_port(),
                            status: code,
                            message,
                        });
                    }
                }
            }
        }
        Ok(())
    }

    /// Makes the commit, once.
    fn commit(&self, entries: &[Entry<'_>], progress: &mut dyn Progress) -> Result<String, Error> {
        let url = self.api_at("commit")?;
        let mut lines = self.lines(entries)?;
        let temporary = env::temp_dir();
        let length = lines.metadata().map(|metadata| metadata.len());
        let length = length.map_err(|error| Error::io("read", &temporary, error))?;
        let request = Request::new(&self.name, Method::POST, &url);
        let mut tries = Tries::new(&self.hub.config.retry, &self.name);
        loop {
            let mut watch = Unwatched { name: &self.name };
            let mut content = Content::new(Some(LINES), &mut lines, 0, length, &mut watch);
            let (error, wait) = match self.hub.client.upload(&request, &mut content, progress) {
                Ok(answer) if answer.is_success() => {
                    tries.reached();
                    let host = answer.url.host_and_port();
                    match answer.read(&self.name, LARGEST_ANSWER) {
                        Ok(body) => {
                            return read_commit(&body)
                                .map_err(|reason| self.nonsense(host, reason));
                        }
                        Err(error) => (error, None),
                    }
                }
                Ok(mut answer) => {
                    tries.reached();
                    answer.read_message();
                    let wait = tries.asked_wait(&answer)?;
                    (self.refusal(&answer), wait)
                }
                Err(error) => (error, None),
            };
            let is_unknown = match &error {
                Error::Cut { .. } | Error::Stalled { .. } => true,
                Error::Status { status, .. } => *status >= 500,
                _ => false,
            };
            if is_unknown && let Some(commit) = self.commit_with(entries, progress) {
                return Ok(commit);
            }
            tries.failed(error, wait, progress)?;
        }
    }

    /// The commit of a repository that has all entries.
    fn commit_with(&self, entries: &[Entry<'_>], progress: &mut dyn Progress) -> Option<String> {
        let list = self.hub.listed_files(self.push.repo(), progress).ok()?;
        let has = |entry: &Entry<'_>| {
            list.files.iter().any(|file| {
                let oid = match &entry.name {
                    EntryName::Regular { .. } => &file.git_hash,
                    EntryName::Large(_) => &file.sha256,
                };
                file.path == entry.path() && oid.as_deref() == Some(entry.oid())
            })
        };
        let is_whole = entries.iter().all(has);
        is_whole.then(|| list.repo.revision().to_string())
    }

    /// The commit as the hub takes it, in a file that has no name.
    fn lines(&self, entries: &[Entry<'_>]) -> Result<File, Error> {
        let temporary = env::temp_dir();
        let failed = |error| Error::io("write a file in", &temporary, error);
        let file = tempfile::tempfile().map_err(failed)?;
        let mut writer = BufWriter::new(file);
        let header = Line::Header {
            summary: self.push.summary(),
            description: self.push.description(),
        };
        write_line(&mut writer, &header).map_err(failed)?;
        for entry in entries {
            match &entry.name {
                EntryName::Large(object) => {
                    let line = Line::LfsFile {
                        path: entry.path(),
                        algo: "sha256",
                        oid: &object.oid,
                        size: object.size,
                    };
                    write_line(&mut writer, &line).map_err(failed)?;
                }
                EntryName::Regular { git_hash } => {
                    let file = entry.file;
                    let content = file.open()?.take(file.size);
                    let mut content = GitHashed::new(content, file.size);
                    write_file(&mut writer, entry.path(), &mut content).map_err(failed)?;
                    if content.finish() != *git_hash {
                        return Err(file.changed());
                    }
                }
            }
        }
        writer.flush().map_err(failed)?;
        writer
            .into_inner()
            .map_err(|error| failed(error.into_error()))
    }

    /// An address of the hub's API about the repository.
    fn api(&self, rest: &str) -> Result<Url, Error> {
        let repo = self.push.repo();
        self.hub
            .address(&format!("api/{}/{}{rest}", repo.kind().plural(), repo.id()))
    }

    /// An address of the hub's API about the branch.
    fn api_at(&self, step: &str) -> Result<Url, Error> {
        let revision = encode_component(self.push.repo().revision());
        self.api(&format!("/{step}/{revision}"))
    }

    /// What the hub answers to a message, as often as it takes to arrive whole.
    fn ask<T>(
        &self,
        url: &Url,
        headers: &Headers,
        message: &impl Serialize,
        read: &dyn Fn(&[u8]) -> Result<T, String>,
        progress: &mut dyn Progress,
    ) -> Result<T, Error> {
        let refuse = |answer: &Answer| self.refusal(answer);
        let mut tries = Tries::new(&self.hub.config.retry, &self.name);
        loop {
            let answer = self.post(url, headers, message, &refuse, progress)?;
            tries.reached();
            let host = answer.url.host_and_port();
            match answer.read(&self.name, LARGEST_ANSWER) {
                Ok(body) => return read(&body).map_err(|reason| self.nonsense(host, reason)),
                Err(error) => tries.failed(error, None, progress)?,
            }
        }
    }

    /// The answer to a message.
    pub(super) fn post(
        &self,
        url: &Url,
        headers: &Headers,
        message: &impl Serialize,
        refuse: &dyn Fn(&Answer) -> Error,
        progress: &mut dyn Progress,
    ) -> Result<Answer, Error> {
        let body = serde_json::to_vec(message);
        let body = body.map_err(|error| Error::io("write", &env::temp_dir(), error.into()))?;
        let request = Request {
            headers: &headers.map,
            with_token: headers.with_token,
            // `action_address` says where content may go, and the hub verifies what arrives.
            is_verified: true,
            ..Request::new(&self.name, Method::POST, url)
        };
        let mut source = Cursor::new(&body);
        let mut watch = Unwatched { name: &self.name };
        let length = body.len() as u64;
        let mut content = Content::new(Some(headers.kind), &mut source, 0, length, &mut watch);
        self.hub.upload(&request, &mut content, refuse, progress)
    }

    /// What the hub means by a status, about a push.
    pub(super) fn refusal(&self, answer: &Answer) -> Error {
        let repo = self.push.repo();
        let id = repo.id().to_string();
        let host = answer.url.host_and_port();
        match answer.status {
            403 if answer.header("x-error-code") != Some("GatedRepo") => Error::ReadOnly {
                repo: id,
                host,
                message: answer.message(),
            },
            412 => Error::Conflict {
                repo: id,
                revision: repo.revision().to_string(),
            },
            _ => match refusal(answer, repo, None, &self.name) {
                error @ Error::Status { .. } if answer.status == 409 || !error.is_passing() => {
                    Error::RefusedPush {
                        what: self.name.clone(),
                        host,
                        status: answer.status,
                        message: answer.message(),
                    }
                }
                error => error,
            },
        }
    }

    pub(super) fn nonsense(&self, host: String, reason: String) -> Error {
        Error::BadAnswer {
            host,
            what: self.name.clone(),
            reason,
        }
    }
}

/// The headers of a message, and who is meant by it.
pub(super) struct Headers {
    pub(super) map: HeaderMap,
    pub(super) kind: &'static str,
    with_token: bool,
}

impl Headers {
    /// Those of a message to the hub.
    fn hub(kind: &'static str) -> Self {
        let accept = HeaderValue::from_static(kind);
        Self {
            map: HeaderMap::from_iter([(ACCEPT, accept)]),
            kind,
            with_token: true,
        }
    }

    /// Those that the hub wants with an action. A token among them is in place of ours.
    pub(super) fn action<'b>(
        kind: &'static str,
        headers: impl Iterator<Item = (&'b str, &'b str)>,
        with_token: bool,
    ) -> Result<Self, String> {
        /// What says where a message ends and whom it reaches is not for the hub to say.
        const OWN: [&str; 6] = [
            "connection",
            "content-length",
            "expect",
            "host",
            "transfer-encoding",
            "upgrade",
        ];
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let refused = || format!("it wants the header {name:?}");
            let name: HeaderName = name.parse().map_err(|_| refused())?;
            let value: HeaderValue = value.parse().map_err(|_| refused())?;
            if OWN.contains(&name.as_str()) {
                return Err(refused());
            }
            map.append(name, value);
        }
        let has_token = map.contains_key("authorization");
        Ok(Self {
            map,
            kind,
            with_token: with_token && !has_token,
        })
    }
}

/// Content that is in memory or in a file of ours.
pub(super) struct Unwatched<'a> {
    pub(super) name: &'a str,
}

impl Watch for Unwatched<'_> {
    fn begin(&mut self) {}

    fn bytes(&mut self, _: &[u8], progress: &mut dyn Progress) -> Result<(), Error> {
        if progress.is_cancelled() {
            let what = self.name.to_string();
            return Err(Error::Cancelled { what });
        }
        Ok(())
    }

    fn unreadable(&self, error: io::Error) -> Error {
        Error::io("read a file in", &env::temp_dir(), error)
    }
}

/// What a `.gitignore` among the files says, which the hub would read from its own otherwise.
fn git_ignore(files: &[LocalFile<'_>]) -> Result<Option<String>, Error> {
    let mut files = files.iter();
    let Some(file) = files.find(|file| file.upload.path() == ".gitignore") else {
        return Ok(None);
    };
    let mut text = Vec::new();
    let mut content = file.open()?.take(LARGEST_GITIGNORE);
    content
        .read_to_end(&mut text)
        .map_err(|error| Error::io("read", file.upload.source(), error))?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}
