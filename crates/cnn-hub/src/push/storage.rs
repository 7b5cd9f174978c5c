//! Large files on their way to the hub's storage: whole or in parts, hashed as they go.

use std::io;

use cnn_core::hex;
use sha2::{Digest, Sha256};
use ureq::http::Method;

use super::local::LocalFile;
use super::message::{Action, Complete, Object, Part};
use super::steps::{Headers, JSON, LFS, Steps};
use crate::config::ENDPOINT;
use crate::net::{Answer, Content, Request, Url, Watch};
use crate::progress::{Meter, Transferred};
use crate::{Error, Event, Progress};

impl Steps<'_> {
    /// Brings a file into the storage. It is there only if it hashes to what was announced.
    pub(super) fn send(
        &self,
        file: &LocalFile<'_>,
        object: &Object,
        name: &str,
        upload: &Action,
        verify: Option<&Action>,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        progress.event(&Event::Started {
            name,
            total: Some(object.size),
            resumed_from: 0,
        });
        let url = self.action_address(&upload.href)?;
        let host = url.host_and_port();
        let nonsense = |reason| self.nonsense(host.clone(), reason);
        let mut sending = Sending::new(file, object, name);
        match upload.parts(object.size).map_err(nonsense)? {
            None => {
                let headers = Headers::action(LFS, upload.headers(), false).map_err(nonsense)?;
                self.put(&url, &headers, object.size, &mut sending, progress)?;
            }
            Some(parts) => {
                let headers = Headers::action(LFS, upload.headers(), false).map_err(nonsense)?;
                let none = Headers::action(LFS, [].into_iter(), false).map_err(nonsense)?;
                let mut done = Vec::with_capacity(parts.urls.len());
                for (index, part) in parts.urls.iter().enumerate() {
                    let part = self.action_address(part)?;
                    let length = parts.size.min(object.size - sending.before);
                    let answer = self.put(&part, &none, length, &mut sending, progress)?;
                    let etag = answer.header("etag").filter(|etag| !etag.is_empty());
                    let etag = etag.ok_or_else(|| {
                        answer.nonsense(name, "it has no tag for a part that it took")
                    })?;
                    done.push(Part {
                        part_number: index as u64 + 1,
                        etag: etag.to_string(),
                    });
                }
                let message = Complete {
                    oid: &object.oid,
                    parts: done,
                };
                let refuse = |answer: &Answer| storage_refusal(answer, name);
                self.post(&url, &headers, &message, &refuse, progress)?;
            }
        }
        if let Some(verify) = verify {
            let url = self.action_address(&verify.href)?;
            let headers = Headers::action(JSON, verify.headers(), true).map_err(nonsense)?;
            let refuse = |answer: &Answer| storage_refusal(answer, name);
            self.post(&url, &headers, object, &refuse, progress)?;
        }
        progress.event(&Event::Finished {
            name,
            bytes: object.size,
        });
        Ok(())
    }

    /// Sends the next bytes of a file.
    fn put(
        &self,
        url: &Url,
        headers: &Headers,
        length: u64,
        sending: &mut Sending<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Answer, Error> {
        let request = Request {
            headers: &headers.map,
            with_token: false,
            // `action_address` says where content may go, and the hub verifies what arrives.
            is_verified: true,
            ..Request::new(sending.name, Method::PUT, url)
        };
        let mut source = sending.file.open()?;
        let from = sending.before;
        let name = sending.name;
        let mut content = Content::new(None, &mut source, from, length, sending);
        let refuse = |answer: &Answer| storage_refusal(answer, name);
        let answer = self.hub.upload(&request, &mut content, &refuse, progress)?;
        sending.arrived(progress);
        Ok(answer)
    }

    /// The address of an action. What the hub takes for its own address is the one by which it was
    /// asked, and from an encrypted hub nothing goes unencrypted.
    fn action_address(&self, href: &str) -> Result<Url, Error> {
        let endpoint = &self.hub.config.endpoint;
        let url = match href.strip_prefix(ENDPOINT) {
            Some(rest) if rest.starts_with('/') => self.hub.address(&rest[1..])?,
            _ => Url::parse(href)
                .map_err(|reason| self.nonsense(endpoint.host_and_port(), reason.to_string()))?,
        };
        if endpoint.is_https() && !url.is_https() {
            let reason = format!("it wants files to be sent to {url}, which is not encrypted");
            return Err(self.nonsense(endpoint.host_and_port(), reason));
        }
        Ok(url)
    }
}

/// What the storage means by a status.
fn storage_refusal(answer: &Answer, name: &str) -> Error {
    let error = Error::Status {
        host: answer.url.host_and_port(),
        what: name.to_string(),
        status: answer.status,
        message: answer.message(),
    };
    if error.is_passing() {
        return error;
    }
    Error::RefusedPush {
        what: name.to_string(),
        host: answer.url.host_and_port(),
        status: answer.status,
        message: answer.message(),
    }
}

/// A file on its way, part by part.
struct Sending<'a> {
    file: &'a LocalFile<'a>,
    object: &'a Object,
    name: &'a str,
    meter: Meter,
    /// The bytes of the parts that have arrived, and their hash.
    before: u64,
    hash_before: Sha256,
    /// The same with those of this part.
    sent: u64,
    hash: Sha256,
}

impl<'a> Sending<'a> {
    fn new(file: &'a LocalFile<'a>, object: &'a Object, name: &'a str) -> Self {
        Self {
            file,
            object,
            name,
            meter: Meter::new(),
            before: 0,
            hash_before: Sha256::new(),
            sent: 0,
            hash: Sha256::new(),
        }
    }

    /// The part has arrived.
    fn arrived(&mut self, progress: &mut dyn Progress) {
        self.before = self.sent;
        self.hash_before = self.hash.clone();
        let rate = self.meter.rate();
        progress.event(&Event::Bytes(self.transferred(rate)));
    }

    fn transferred(&self, rate: f64) -> Transferred<'_> {
        Transferred {
            name: self.name,
            done: self.sent,
            total: Some(self.object.size),
            rate,
        }
    }
}

impl Watch for Sending<'_> {
    fn begin(&mut self) {
        self.sent = self.before;
        self.hash = self.hash_before.clone();
    }

    fn bytes(&mut self, bytes: &[u8], progress: &mut dyn Progress) -> Result<(), Error> {
        if progress.is_cancelled() {
            let what = self.name.to_string();
            return Err(Error::Cancelled { what });
        }
        self.hash.update(bytes);
        self.sent += bytes.len() as u64;
        // The last bytes of another content are never sent, so that it is never whole.
        let is_whole = self.sent == self.object.size;
        if is_whole && hex(&self.hash.clone().finalize()) != self.object.oid {
            return Err(self.file.changed());
        }
        if let Some(rate) = self.meter.count(bytes.len() as u64) {
            progress.event(&Event::Bytes(self.transferred(rate)));
        }
        Ok(())
    }

    fn unreadable(&self, error: io::Error) -> Error {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => self.file.changed(),
            _ => Error::io("read", self.file.upload.source(), error),
        }
    }
}
