//! Files of this machine that are pushed: their sizes, their beginnings and their hashes.

use std::fs::File;
use std::io::{self, Read};

use cnn_core::hex;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use super::request::Upload;
use crate::{Error, Progress};

/// How much of a file's beginning the hub looks at.
const SAMPLE: u64 = 512;

/// A file as it was when it was first looked at.
pub(super) struct LocalFile<'a> {
    pub(super) upload: &'a Upload,
    pub(super) size: u64,
    pub(super) sample: Vec<u8>,
}

impl<'a> LocalFile<'a> {
    pub(super) fn new(upload: &'a Upload) -> Result<Self, Error> {
        let source = upload.source();
        let file = File::open(source).map_err(|error| Error::io("read", source, error))?;
        let metadata = file.metadata();
        let metadata = metadata.map_err(|error| Error::io("read", source, error))?;
        let mut sample = Vec::new();
        file.take(SAMPLE)
            .read_to_end(&mut sample)
            .map_err(|error| Error::io("read", source, error))?;
        Ok(Self {
            upload,
            size: metadata.len(),
            sample,
        })
    }

    pub(super) fn open(&self) -> Result<File, Error> {
        let source = self.upload.source();
        File::open(source).map_err(|error| Error::io("read", source, error))
    }

    /// The SHA-256 of the content, by which the storage for large files names it.
    pub(super) fn sha256(&self, progress: &dyn Progress) -> Result<String, Error> {
        self.hash(Sha256::new(), progress)
    }

    /// The name that git gives to the content.
    pub(super) fn git_hash(&self, progress: &dyn Progress) -> Result<String, Error> {
        self.hash(git_hasher(self.size), progress)
    }

    fn hash(&self, mut hasher: impl Digest, progress: &dyn Progress) -> Result<String, Error> {
        let mut file = self.open()?;
        let mut buffer = vec![0; 1 << 16];
        let mut bytes = 0;
        loop {
            if progress.is_cancelled() {
                let what = self.upload.path().to_string();
                return Err(Error::Cancelled { what });
            }
            match file.read(&mut buffer) {
                Ok(0) if bytes == self.size => return Ok(hex(&hasher.finalize())),
                Ok(0) => return Err(self.changed()),
                Ok(read) => {
                    hasher.update(&buffer[..read]);
                    bytes += read as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (),
                Err(error) => return Err(Error::io("read", self.upload.source(), error)),
            }
        }
    }

    pub(super) fn changed(&self) -> Error {
        Error::SourceChanged {
            path: self.upload.source().to_owned(),
        }
    }
}

/// Hashes a content of this size as git names it.
pub(super) fn git_hasher(size: u64) -> Sha1 {
    Sha1::new_with_prefix(format!("blob {size}\0"))
}

/// Reads on, and hashes what goes by as git names it.
pub(super) struct GitHashed<R> {
    inner: R,
    hasher: Sha1,
}

impl<R: Read> GitHashed<R> {
    pub(super) fn new(inner: R, size: u64) -> Self {
        Self {
            inner,
            hasher: git_hasher(size),
        }
    }

    pub(super) fn finish(self) -> String {
        hex(&self.hasher.finalize())
    }
}

impl<R: Read> Read for GitHashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Silent;

    #[test]
    fn hashes_are_those_of_git_and_of_the_standard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, "abc").unwrap();
        let upload = Upload::new("a", &path).unwrap();
        let file = LocalFile::new(&upload).unwrap();
        // `printf abc | git hash-object --stdin`, and FIPS 180-2, appendix B.1.
        assert_eq!(
            file.git_hash(&Silent).unwrap(),
            "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f"
        );
        assert_eq!(
            file.sha256(&Silent).unwrap(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        std::fs::write(&path, "abcd").unwrap();
        let error = file.sha256(&Silent).unwrap_err();
        assert!(matches!(error, Error::SourceChanged { .. }), "{error}");
    }
}
