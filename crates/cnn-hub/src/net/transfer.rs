//! A body that becomes a file: resumed, bounded, verified.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use ureq::http::Method;

use super::{Answer, Client, Request, Tries, Url, header};
use crate::checksum::{Checksum, Hasher, hash_rest};
use crate::progress::{Meter, Transferred};
use crate::{Error, Event, Progress};

/// How often a file may begin anew because it has changed, before it is an error.
const MOST_RESTARTS: u32 = 3;

/// The largest note beside a partial file.
const LARGEST_NOTE: u64 = 4096;

/// A download into a partial file.
pub(crate) struct Transfer<'a> {
    /// What is downloaded, for messages.
    pub(crate) name: &'a str,
    pub(crate) url: &'a Url,
    /// Where the bytes go. What is there already is gone on from where that is safe.
    pub(crate) partial: &'a Path,
    /// Where the file's validator is noted, for a later process that goes on.
    pub(crate) note: Option<&'a Path>,
    /// The size that was announced.
    pub(crate) size: Option<u64>,
    /// The tag that was announced, by the name that it gives to a blob; the answers of the same
    /// host must have it.
    pub(crate) tag: Option<&'a str>,
    pub(crate) checksum: Option<&'a Checksum>,
    pub(crate) max_bytes: u64,
    /// The error of an answer that is no file.
    pub(crate) refuse: &'a dyn Fn(&Answer) -> Error,
}

/// What tells whether a file is still the same one, noted beside its first part.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    /// A strong tag, or else a date.
    validator: Option<String>,
    size: Option<u64>,
}

impl Note {
    fn of(answer: &Answer) -> Self {
        let tag = answer.header("etag").and_then(header::strong_tag);
        let date = || answer.header("last-modified").map(str::to_string);
        Self {
            validator: tag.or_else(date),
            size: answer.header("content-length").and_then(header::size),
        }
    }

    fn read(path: &Path) -> Option<Self> {
        let is_small = fs::metadata(path).is_ok_and(|metadata| metadata.len() <= LARGEST_NOTE);
        serde_json::from_slice(&fs::read(path).ok().filter(|_| is_small)?).ok()
    }
}

/// Downloads until the partial file is whole, on the disk, and what it should be; its size.
///
/// A file that is not what it should be is removed; what had arrived before any other error stays.
pub(crate) fn transfer(
    client: &Client,
    transfer: &Transfer<'_>,
    progress: &mut dyn Progress,
) -> Result<u64, Error> {
    let mut partial = Partial::open(transfer)?;
    let mut state = State {
        client,
        transfer,
        tries: Tries::new(&client.config().retry, transfer.name),
        size: transfer
            .size
            .or(partial.note.size.filter(|_| partial.length > 0)),
        restarts: 0,
        is_first: true,
        meter: Meter::new(),
    };
    let was_resumed = partial.length > 0;
    state.check_limit(state.size)?;
    state.fill(&mut partial, progress)?;
    if let Err(error) = partial.verify() {
        // Bytes of an earlier process may be the wrong ones; those of this one are not suspected.
        if !was_resumed {
            return Err(partial.removed(error));
        }
        state.restart(
            &mut partial,
            "what had arrived earlier does not fit",
            progress,
        )?;
        state.fill(&mut partial, progress)?;
        if let Err(error) = partial.verify() {
            return Err(partial.removed(error));
        }
    }
    partial
        .file
        .sync_all()
        .map_err(|error| Error::io("write", transfer.partial, error))?;
    progress.event(&Event::Bytes(state.transferred(&partial)));
    Ok(partial.length)
}

/// The partial file with the hash of what is in it.
struct Partial<'a> {
    transfer: &'a Transfer<'a>,
    file: File,
    length: u64,
    hasher: Option<Hasher>,
    note: Note,
}

impl<'a> Partial<'a> {
    fn open(transfer: &'a Transfer<'a>) -> Result<Self, Error> {
        let path = transfer.partial;
        // Whatever else bears the name, a link above all, is not written through.
        if fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.is_file()) {
            fs::remove_file(path).map_err(|error| Error::io("remove", path, error))?;
        }
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options
            .open(path)
            .map_err(|error| Error::io("write", path, error))?;
        let note = transfer.note.and_then(Note::read).unwrap_or_default();
        let mut partial = Self {
            transfer,
            file,
            length: 0,
            hasher: transfer.checksum.map(Checksum::hasher),
            note,
        };
        let can_resume = transfer.checksum.is_some()
            || transfer.tag.is_some()
            || partial.note.validator.is_some();
        let length = partial.file.metadata().map(|metadata| metadata.len());
        let length = length.map_err(|error| Error::io("read", path, error))?;
        let size = transfer.size.or(partial.note.size);
        if !can_resume || length > size.unwrap_or(transfer.max_bytes) {
            partial.clear()?;
            return Ok(partial);
        }
        match &mut partial.hasher {
            Some(hasher) => {
                let hashed = hash_rest(&partial.file, hasher);
                partial.length = hashed.map_err(|error| Error::io("read", path, error))?;
            }
            None => partial.length = length,
        }
        partial.seek(SeekFrom::Start(partial.length))?;
        Ok(partial)
    }

    /// Forgets all that has arrived.
    fn clear(&mut self) -> Result<(), Error> {
        self.file
            .set_len(0)
            .map_err(|error| Error::io("write", self.transfer.partial, error))?;
        self.seek(SeekFrom::Start(0))?;
        self.length = 0;
        self.hasher = self.transfer.checksum.map(Checksum::hasher);
        self.note = Note::default();
        Ok(())
    }

    fn seek(&mut self, to: SeekFrom) -> Result<(), Error> {
        let sought = self.file.seek(to);
        sought
            .map(|_| ())
            .map_err(|error| Error::io("read", self.transfer.partial, error))
    }

    /// Takes down what tells whether the file is still the same, before its first byte.
    fn take_note(&mut self, answer: &Answer) -> Result<(), Error> {
        self.note = Note::of(answer);
        let Some(path) = self.transfer.note else {
            return Ok(());
        };
        let written = cnn_core::write_atomic(path, |file| {
            file.write_all(&serde_json::to_vec(&self.note).map_err(io::Error::other)?)
        });
        written.map_err(|error| crate::files::io_of(error, path))
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), Error> {
        append(&mut self.file, bytes, self.transfer.partial)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(bytes);
        }
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Whether the whole file is the one that was meant.
    fn verify(&self) -> Result<(), Error> {
        let (Some(checksum), Some(hasher)) = (self.transfer.checksum, &self.hasher) else {
            return Ok(());
        };
        let found = hasher.clone().finish();
        if checksum.fits(&found) {
            return Ok(());
        }
        Err(Error::WrongHash {
            what: self.transfer.name.to_string(),
            kind: checksum.kind(),
            expected: checksum.digits().to_string(),
            found,
        })
    }

    /// The error, after the file is gone.
    fn removed(&self, error: Error) -> Error {
        let _ = fs::remove_file(self.transfer.partial);
        if let Some(note) = self.transfer.note {
            let _ = fs::remove_file(note);
        }
        error
    }
}

fn append(file: &mut File, bytes: &[u8], path: &Path) -> Result<(), Error> {
    file.write_all(bytes)
        .map_err(|error| Error::io("write", path, error))
}

/// What a request brought.
enum Outcome {
    /// The file is whole.
    Whole,
    /// Another request must follow, after the error where there was one.
    Again(Error, Option<Duration>),
    /// The file must begin anew.
    Changed(&'static str),
}

struct State<'a> {
    client: &'a Client,
    transfer: &'a Transfer<'a>,
    tries: Tries<'a>,
    size: Option<u64>,
    restarts: u32,
    is_first: bool,
    meter: Meter,
}

impl State<'_> {
    /// Requests until the file has all its bytes.
    fn fill(
        &mut self,
        partial: &mut Partial<'_>,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        loop {
            if self.size == Some(partial.length) && partial.length > 0 {
                return Ok(());
            }
            match self.request(partial, progress)? {
                Outcome::Whole => return Ok(()),
                Outcome::Changed(reason) => self.restart(partial, reason, progress)?,
                Outcome::Again(error, wait) => {
                    // Nothing that is on the disk must be asked for again after a crash.
                    let synced = partial.file.sync_data();
                    synced.map_err(|error| Error::io("write", self.transfer.partial, error))?;
                    self.tries.failed(error, wait, progress)?;
                }
            }
        }
    }

    fn restart(
        &mut self,
        partial: &mut Partial<'_>,
        reason: &'static str,
        progress: &mut dyn Progress,
    ) -> Result<(), Error> {
        self.restarts += 1;
        if self.restarts > MOST_RESTARTS {
            return Err(Error::FileChanged {
                what: self.transfer.name.to_string(),
            });
        }
        progress.event(&Event::Restarted {
            name: self.transfer.name,
            reason,
        });
        self.size = self.transfer.size;
        partial.clear()
    }

    /// One request for what is missing.
    fn request(
        &mut self,
        partial: &mut Partial<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Outcome, Error> {
        let transfer = self.transfer;
        let is_verified = transfer.checksum.is_some_and(Checksum::is_whole);
        let announced = transfer.tag.map(|tag| format!("\"{tag}\""));
        let validator = partial.note.validator.as_deref().or(announced.as_deref());
        let request = Request {
            from: partial.length,
            // What the hash verifies is resumed wherever it comes from.
            if_range: validator.filter(|_| !is_verified),
            is_verified,
            ..Request::new(transfer.name, Method::GET, transfer.url)
        };
        let answer = match self.client.send(&request) {
            Ok(answer) => answer,
            Err(error) => return Ok(Outcome::Again(error, None)),
        };
        self.tries.reached();
        match answer.status {
            200 => self.whole(answer, partial, progress),
            206 => self.part(answer, partial, progress),
            416 if partial.length > 0 => Ok(Outcome::Changed(
                "the server has fewer bytes than had arrived",
            )),
            _ => {
                let wait = self.tries.asked_wait(&answer)?;
                Ok(Outcome::Again((transfer.refuse)(&answer), wait))
            }
        }
    }

    /// The server sends the file from its beginning.
    fn whole(
        &mut self,
        answer: Answer,
        partial: &mut Partial<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Outcome, Error> {
        if partial.length > 0 {
            let reason = "the server sends the file from its beginning";
            self.restart(partial, reason, progress)?;
        }
        if !self.has_announced_tag(&answer) {
            return Err(Error::FileChanged {
                what: self.transfer.name.to_string(),
            });
        }
        let length = answer.header("content-length").and_then(header::size);
        let is_chunked = answer.header("transfer-encoding").is_some();
        if length.is_none()
            && !is_chunked
            && self.size.is_none()
            && self.transfer.checksum.is_none()
        {
            let reason =
                "it tells neither the file's size nor its hash, so that a cut could not be noticed";
            return Err(answer.nonsense(self.transfer.name, reason));
        }
        self.expect(length)?;
        partial.take_note(&answer)?;
        self.copy(answer, partial, progress)
    }

    /// The server sends the file from where it was left.
    fn part(
        &mut self,
        answer: Answer,
        partial: &mut Partial<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Outcome, Error> {
        let range = answer
            .header("content-range")
            .and_then(header::content_range);
        let Some(range) = range.filter(|range| range.first == Some(partial.length)) else {
            if partial.length == 0 {
                return Err(answer.nonsense(
                    self.transfer.name,
                    "a part of the file, though all was asked for",
                ));
            }
            return Ok(Outcome::Changed(
                "the server sends another part than the one asked for",
            ));
        };
        if !self.has_announced_tag(&answer) {
            return Ok(Outcome::Changed("the file has changed on the server"));
        }
        let tag = answer.header("etag").and_then(header::strong_tag);
        let is_other =
            |old: &String| old.starts_with('"') && tag.as_ref().is_some_and(|tag| tag != old);
        let is_verified = self.transfer.checksum.is_some_and(Checksum::is_whole);
        if !is_verified && partial.note.validator.as_ref().is_some_and(is_other) {
            return Ok(Outcome::Changed("the file has changed on the server"));
        }
        match (range.total, self.size) {
            (Some(total), Some(size)) if total != size && self.transfer.size.is_none() => {
                return Ok(Outcome::Changed("the file has changed on the server"));
            }
            (total, _) => self.expect(total)?,
        }
        self.copy(answer, partial, progress)
    }

    /// Takes the size that an answer tells, which must be the announced one and within the limit.
    fn expect(&mut self, size: Option<u64>) -> Result<(), Error> {
        if let (Some(expected), Some(found)) = (self.size, size)
            && expected != found
        {
            return Err(Error::SizeMismatch {
                what: self.transfer.name.to_string(),
                expected,
                found,
            });
        }
        self.size = self.size.or(size);
        self.check_limit(self.size)
    }

    fn check_limit(&self, size: Option<u64>) -> Result<(), Error> {
        match size {
            Some(found) if found > self.transfer.max_bytes => Err(Error::TooLarge {
                what: self.transfer.name.to_string(),
                limit: self.transfer.max_bytes,
                found: Some(found),
            }),
            _ => Ok(()),
        }
    }

    /// Whether the file still is the one that was announced, as far as the answer tells: by what the
    /// hub says on the way to its storage, or by the tag of an answer that came directly.
    fn has_announced_tag(&self, answer: &Answer) -> bool {
        let direct = answer.header("etag").filter(|_| !answer.was_redirected());
        let tag = answer
            .first_header("x-linked-etag")
            .or(direct)
            .and_then(header::blob_name);
        match (self.transfer.tag, tag) {
            (Some(announced), Some(tag)) => tag == announced,
            _ => true,
        }
    }

    /// Writes the body to the partial file.
    fn copy(
        &mut self,
        answer: Answer,
        partial: &mut Partial<'_>,
        progress: &mut dyn Progress,
    ) -> Result<Outcome, Error> {
        let name = self.transfer.name;
        if self.is_first {
            self.is_first = false;
            progress.event(&Event::Started {
                name,
                total: self.size,
                resumed_from: partial.length,
            });
        }
        if let Some(encoding) = answer.header("content-encoding")
            && !encoding.eq_ignore_ascii_case("identity")
            && !(encoding.ends_with("gzip") && is_gzip(self.transfer.url))
        {
            let reason = format!("it is encoded as {encoding:?}, which was not asked for");
            return Err(answer.nonsense(name, reason));
        }
        let host = answer.url.host_and_port();
        let mut reader = answer.into_reader(name);
        let mut buffer = vec![0; 1 << 16];
        loop {
            if progress.is_cancelled() {
                return Err(Error::Cancelled {
                    what: name.to_string(),
                });
            }
            let read = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => return Ok(Outcome::Again(error, None)),
            };
            let length = partial.length + read as u64;
            if let Some(expected) = self.size.filter(|size| length > *size) {
                return Err(partial.removed(Error::SizeMismatch {
                    what: name.to_string(),
                    expected,
                    found: length,
                }));
            }
            if length > self.transfer.max_bytes {
                return Err(partial.removed(Error::TooLarge {
                    what: name.to_string(),
                    limit: self.transfer.max_bytes,
                    found: None,
                }));
            }
            partial.append(&buffer[..read])?;
            self.tries.advanced();
            if let Some(rate) = self.meter.count(read as u64) {
                progress.event(&Event::Bytes(Transferred {
                    rate,
                    ..self.transferred(partial)
                }));
            }
        }
        match self.size {
            Some(size) if partial.length < size => Ok(Outcome::Again(
                Error::Cut {
                    host,
                    what: name.to_string(),
                    reason: format!("{} of {size} bytes had arrived", partial.length),
                },
                None,
            )),
            _ => Ok(Outcome::Whole),
        }
    }

    fn transferred(&self, partial: &Partial<'_>) -> Transferred<'_> {
        Transferred {
            name: self.transfer.name,
            done: partial.length,
            total: self.size,
            rate: self.meter.rate(),
        }
    }
}

/// Some servers tell of a compressed file that its content is encoded.
fn is_gzip(url: &Url) -> bool {
    let name = url.file_name();
    name.ends_with(".gz") || name.ends_with(".tgz")
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_full_disk_says_so() {
        let path = Path::new("/dev/full");
        let mut file = OpenOptions::new().write(true).open(path).unwrap();
        let error = append(&mut file, &[0; 100], path).unwrap_err();
        assert!(matches!(error, Error::DiskFull { .. }), "{error}");
        assert!(error.to_string().contains("make room"), "{error}");
    }
}
