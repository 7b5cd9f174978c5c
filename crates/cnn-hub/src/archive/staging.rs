//! A directory in the making, which gets its name when it is whole.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use cnn_core::ArgumentError;

use super::{Unpacked, name};
use crate::cache::Lock;
use crate::files::create_directory;
use crate::progress::INTERVAL;
use crate::{Error, Event, Progress};

/// Collects files beside the target under a name that begins with a point. What an earlier process
/// left there is removed, what this one leaves on an error, too.
pub(crate) struct Staging {
    target: PathBuf,
    directory: PathBuf,
    is_placed: bool,
    _lock: Lock,
}

impl Staging {
    /// Waits until no other process makes the same directory.
    pub(crate) fn begin(target: &Path, progress: &mut dyn Progress) -> Result<Self, Error> {
        let exists = |target: &Path| -> Error {
            let found = format!("{}, which exists", target.display());
            ArgumentError::new("target", found, "a directory that does not exist yet").into()
        };
        let name = target.file_name().ok_or_else(|| exists(target))?;
        let parent = match target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        create_directory(parent)?;
        let beside = |ending: &str| {
            let mut beside = OsString::from(".");
            beside.push(name);
            beside.push(ending);
            parent.join(beside)
        };
        let shown = target.display().to_string();
        let lock = Lock::acquire(&beside(".lock"), &shown, progress)?.removing_file();
        if fs::symlink_metadata(target).is_ok() {
            return Err(exists(target));
        }
        let directory = beside(".incomplete");
        if fs::symlink_metadata(&directory).is_ok() {
            let removed = fs::remove_dir_all(&directory);
            removed.map_err(|error| Error::io("remove", &directory, error))?;
        }
        let created = fs::create_dir(&directory);
        created.map_err(|error| Error::io("create directory", &directory, error))?;
        Ok(Self {
            target: target.to_owned(),
            directory,
            is_placed: false,
            _lock: lock,
        })
    }

    /// Where the files are collected.
    #[cfg(feature = "datasets")]
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Lets `fill` work in a directory below, by its path with slashes.
    #[cfg(feature = "datasets")]
    pub(crate) fn within<T>(
        &mut self,
        below: &str,
        fill: impl FnOnce(&mut Self) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let outer = self.directory.clone();
        self.directory = outer.join(below);
        let filled = create_directory(&self.directory).and_then(|()| fill(self));
        self.directory = outer;
        filled
    }

    /// Somewhere for the entries of an archive, with its limits.
    pub(super) fn sink<'a>(
        &'a mut self,
        archive: &'a Path,
        entries: u64,
        bytes: u64,
        progress: &'a mut dyn Progress,
    ) -> Sink<'a> {
        Sink {
            root: &self.directory,
            archive,
            shown: archive.display().to_string(),
            most_entries: entries,
            most_bytes: bytes,
            entries: 0,
            unpacked: Unpacked::default(),
            links: Vec::new(),
            buffer: vec![0; 1 << 16],
            told: Instant::now(),
            progress,
        }
    }

    /// Gives the directory its name.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        let placed = fs::rename(&self.directory, &self.target);
        placed.map_err(|error| Error::io("write", &self.target, error))?;
        self.is_placed = true;
        Ok(())
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.is_placed {
            let _ = fs::remove_dir_all(&self.directory);
        }
    }
}

/// A link that waits for the file that it leads to.
struct Link {
    name: Vec<u8>,
    place: PathBuf,
    target: PathBuf,
}

/// Takes the entries of one archive.
pub(super) struct Sink<'a> {
    root: &'a Path,
    archive: &'a Path,
    shown: String,
    most_entries: u64,
    most_bytes: u64,
    entries: u64,
    unpacked: Unpacked,
    links: Vec<Link>,
    buffer: Vec<u8>,
    told: Instant,
    progress: &'a mut dyn Progress,
}

impl Sink<'_> {
    /// The error of an archive that is not unpacked.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::Archive {
            path: self.archive.to_owned(),
            reason: reason.into(),
        }
    }

    /// The error of an archive that cannot be read.
    pub(super) fn damaged(&self, error: &dyn std::fmt::Display) -> Error {
        self.refuse(format!(
            "it is damaged or incomplete ({error}); download it again"
        ))
    }

    /// The error of one entry.
    pub(super) fn refuse_entry(&self, name: &[u8], reason: &str) -> Error {
        self.refuse(format!(
            "its entry {:?} {reason}",
            String::from_utf8_lossy(name)
        ))
    }

    pub(super) fn archive(&self) -> &Path {
        self.archive
    }

    pub(super) fn most_entries(&self) -> u64 {
        self.most_entries
    }

    pub(super) fn most_bytes(&self) -> u64 {
        self.most_bytes
    }

    /// An ordinary file.
    pub(super) fn file(&mut self, name: &[u8], mut content: impl Read) -> Result<(), Error> {
        let path = self.enter(name)?;
        let parent = path.parent().unwrap_or(&path);
        self.make_directory(name, parent)?;
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(self.refuse_entry(name, "is there twice"));
            }
            Err(error) => return Err(Error::io("write", &path, error)),
        };
        loop {
            let read = match content.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.damaged(&error)),
            };
            self.count_bytes(read as u64)?;
            let written = file.write_all(&self.buffer[..read]);
            written.map_err(|error| Error::io("write", &path, error))?;
        }
        self.unpacked.files += 1;
        Ok(())
    }

    /// A directory.
    pub(super) fn directory(&mut self, name: &[u8]) -> Result<(), Error> {
        let path = self.enter(name)?;
        self.make_directory(name, &path)
    }

    /// A link to what `target` names from the directory of the link, or from the archive's root.
    pub(super) fn link(
        &mut self,
        name: &[u8],
        target: &[u8],
        from_root: bool,
    ) -> Result<(), Error> {
        let place = self.enter(name)?;
        let parts = self.components(name)?;
        let from = if from_root {
            &[]
        } else {
            &parts[..parts.len().saturating_sub(1)]
        };
        let target = name::resolve(from, target).ok_or_else(|| Error::UnsafeName {
            origin: self.shown.clone(),
            name: String::from_utf8_lossy(name).into_owned(),
            reason: "it is a link that leads out of the archive",
        })?;
        self.links.push(Link {
            name: name.to_vec(),
            place,
            target: self.root.join(target),
        });
        Ok(())
    }

    /// Makes the links, now that all files are there.
    pub(super) fn finish(mut self) -> Result<Unpacked, Error> {
        for link in std::mem::take(&mut self.links) {
            let metadata = fs::symlink_metadata(&link.target);
            let Some(metadata) = metadata.ok().filter(fs::Metadata::is_file) else {
                return Err(self.refuse_entry(
                    &link.name,
                    "is a link to something that is no file of the archive",
                ));
            };
            self.count_bytes(metadata.len())?;
            if let Some(parent) = link.place.parent() {
                self.make_directory(&link.name, parent)?;
            }
            if fs::symlink_metadata(&link.place).is_ok() {
                return Err(self.refuse_entry(&link.name, "is there twice"));
            }
            let linked = fs::hard_link(&link.target, &link.place);
            let copied = linked.or_else(|_| fs::copy(&link.target, &link.place).map(|_| ()));
            copied.map_err(|error| Error::io("write", &link.place, error))?;
            self.unpacked.files += 1;
        }
        if self.unpacked.files == 0 {
            return Err(self.refuse("it holds no files"));
        }
        self.tell();
        Ok(self.unpacked)
    }

    /// Counts an entry; its place.
    fn enter(&mut self, name: &[u8]) -> Result<PathBuf, Error> {
        self.entries += 1;
        if self.entries > self.most_entries {
            let reason = format!(
                "it has more than {} entries; raise the limit if that is meant",
                self.most_entries
            );
            return Err(self.refuse(reason));
        }
        if self.progress.is_cancelled() {
            return Err(Error::Cancelled {
                what: self.shown.clone(),
            });
        }
        let parts = self.components(name)?;
        Ok(self.root.join(name::path(&parts)))
    }

    fn components<'b>(&self, name: &'b [u8]) -> Result<Vec<&'b [u8]>, Error> {
        name::components(name).map_err(|reason| Error::UnsafeName {
            origin: self.shown.clone(),
            name: String::from_utf8_lossy(name).into_owned(),
            reason,
        })
    }

    fn make_directory(&self, name: &[u8], path: &Path) -> Result<(), Error> {
        match fs::create_dir_all(path) {
            Ok(()) => Ok(()),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists
                ) =>
            {
                Err(self.refuse_entry(name, "needs a directory where the archive has a file"))
            }
            Err(error) => Err(Error::io("create directory", path, error)),
        }
    }

    fn count_bytes(&mut self, bytes: u64) -> Result<(), Error> {
        self.unpacked.bytes = self.unpacked.bytes.saturating_add(bytes);
        if self.unpacked.bytes > self.most_bytes {
            let reason = format!(
                "it holds more than {} bytes, which is more than its size or the limit allows; \
                 raise the limit if that is meant",
                self.most_bytes
            );
            return Err(self.refuse(reason));
        }
        if self.told.elapsed() >= INTERVAL {
            self.tell();
        }
        Ok(())
    }

    fn tell(&mut self) {
        self.told = Instant::now();
        self.progress.event(&Event::Unpacked {
            name: &self.shown,
            files: self.unpacked.files,
            bytes: self.unpacked.bytes,
        });
    }
}
