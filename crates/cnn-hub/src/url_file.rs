//! Files of plain addresses, kept in a directory of our own.

use std::fmt;
use std::fs;
use std::path::PathBuf;

use cnn_core::{ArgumentError, hex};
use sha2::{Digest, Sha256};

use crate::cache::Lock;
use crate::checksum::Checksum;
use crate::files::{create_directory, place};
use crate::net::{Answer, Transfer, Url, transfer};
use crate::repo::check_component;
use crate::{Error, Event, Hub, Progress};

/// Names of files longer than this get another one, since theirs would not bear an ending.
const LONGEST_NAME: usize = 200;

/// A file at an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlFile {
    url: Url,
    name: String,
    checksum: Option<Checksum>,
    max_bytes: Option<u64>,
}

impl UrlFile {
    /// The file at `url`, verified by the hash in its name where it has one
    /// ([`Checksum::in_name`]).
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is no `https` or `http` address, or has a user name in it.
    pub fn new(url: &str) -> Result<Self, Error> {
        let parsed = Url::parse(url).map_err(|reason| {
            let found = format!("{url:?} ({reason})");
            ArgumentError::new(
                "url",
                found,
                "an address such as https://example.org/weights.pth",
            )
        })?;
        let name = parsed.file_name();
        let is_name = check_component(&name).is_ok() && name.len() <= LONGEST_NAME;
        let name = if is_name {
            name
        } else {
            "download".to_string()
        };
        Ok(Self {
            checksum: Checksum::in_name(&name),
            url: parsed,
            name,
            max_bytes: None,
        })
    }

    /// The hash that the content must have, in place of the one in the name.
    pub fn with_checksum(mut self, checksum: Checksum) -> Self {
        self.checksum = Some(checksum);
        self
    }

    /// Takes the content as it is, whatever the name seems to say.
    pub fn without_checksum(mut self) -> Self {
        self.checksum = None;
        self
    }

    /// Refuses the file if it has more bytes than this; by default what
    /// [`HubConfig::with_max_bytes`](crate::HubConfig::with_max_bytes) says.
    pub fn with_max_bytes(mut self, bytes: u64) -> Self {
        self.max_bytes = Some(bytes);
        self
    }

    /// The name that the file has on the disk.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its content is verified by.
    pub fn checksum(&self) -> Option<&Checksum> {
        self.checksum.as_ref()
    }
}

impl fmt::Display for UrlFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.url.fmt(formatter)
    }
}

impl Hub {
    /// The file of an address on the disk, downloaded unless it is there. It is never asked for
    /// again.
    ///
    /// An interrupted download goes on where it stopped, as long as the file is still the same one,
    /// and until it is whole there is nothing under its name. A checkpoint of the same name in
    /// PyTorch's own cache is used where the hash fits.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Unauthorized`] or [`Error::Forbidden`] as the server says;
    /// [`Error::Insecure`] for plain `http` without a whole hash, unless it is this machine;
    /// [`Error::Offline`] or [`Error::NoNetwork`] without a network; [`Error::WrongHash`],
    /// [`Error::SizeMismatch`], [`Error::TooLarge`] or [`Error::FileChanged`] if it is not what was
    /// announced; [`Error::TooManyTries`], [`Error::Busy`] or [`Error::Status`] if the server fails;
    /// [`Error::Mirror`] around any of these where a mirror was asked
    /// ([`HubConfig::with_mirror`](crate::HubConfig::with_mirror)); [`Error::DiskFull`] or [`Error::Io`] from the disk.
    pub fn url(&self, file: &UrlFile, progress: &mut dyn Progress) -> Result<PathBuf, Error> {
        if let Some(path) = self.cached_url(file)? {
            return Ok(path);
        }
        let name = file.to_string();
        if self.config.offline {
            return Err(Error::Offline {
                what: name,
                cache: self.config.url_cache.clone(),
            });
        }
        let path = self.url_place(file);
        let beside = |ending: &str| path.with_file_name(format!("{}{ending}", file.name));
        create_directory(path.parent().unwrap_or(&path))?;
        let lock = Lock::acquire(&beside(".lock"), &name, progress)?.removing_file();
        if !path.is_file() {
            let partial = beside(".incomplete");
            let note = beside(".incomplete.json");
            let mirror = self.config.mirrored(&file.url).transpose()?;
            let transferred = transfer(
                &self.client,
                &Transfer {
                    name: &name,
                    url: mirror.as_ref().unwrap_or(&file.url),
                    partial: &partial,
                    note: Some(&note),
                    size: None,
                    tag: None,
                    checksum: file.checksum.as_ref(),
                    max_bytes: file.max_bytes.unwrap_or(self.config.max_bytes),
                    refuse: &|answer: &Answer| answer.refusal(&name),
                },
                progress,
            );
            let bytes = match mirror {
                Some(mirror) => {
                    transferred.map_err(|error| error.at_mirror(&name, &mirror.to_string()))?
                }
                None => transferred?,
            };
            place(&partial, &path)?;
            // A note without a file beside it means nothing.
            let _ = fs::remove_file(note);
            progress.event(&Event::Finished { name: &name, bytes });
        }
        drop(lock);
        Ok(path)
    }

    /// The file of an address where it is on the disk, without asking anybody.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a checkpoint of PyTorch's that has its name cannot be read.
    pub fn cached_url(&self, file: &UrlFile) -> Result<Option<PathBuf>, Error> {
        let path = self.url_place(file);
        if path.is_file() {
            return Ok(Some(path));
        }
        let (Some(checksum), Some(directory)) = (&file.checksum, &self.config.torch_checkpoints)
        else {
            return Ok(None);
        };
        let checkpoint = directory.join(&file.name);
        let fits = checkpoint.is_file() && checksum.fits_file(&checkpoint)?;
        Ok(fits.then_some(checkpoint))
    }

    /// Where the file of an address is kept: two addresses or hashes never share a place.
    fn url_place(&self, file: &UrlFile) -> PathBuf {
        let mut key = Sha256::new();
        key.update(file.url.as_uri().to_string());
        if let Some(checksum) = &file.checksum {
            key.update(format!("\n{} {}", checksum.kind(), checksum.digits()));
        }
        let folder = &hex(&key.finalize())[..16];
        self.config.url_cache.join(folder).join(&file.name)
    }
}
