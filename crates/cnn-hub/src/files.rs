//! Files and directories of this crate: placed whole, read within bounds.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::Error;

/// A small text: a commit, a token.
const LARGEST_TEXT: u64 = 64 << 10;

/// Gives a whole file its final name, durably.
pub(crate) fn place(partial: &Path, path: &Path) -> Result<(), Error> {
    fs::rename(partial, path).map_err(|error| Error::io("write", path, error))?;
    #[cfg(unix)]
    if let Some(directory) = path
        .parent()
        .and_then(|directory| File::open(directory).ok())
    {
        // The file is in place whether or not the system allows this.
        let _ = directory.sync_all();
    }
    Ok(())
}

pub(crate) fn create_directory(path: &Path) -> Result<(), Error> {
    fs::create_dir_all(path).map_err(|error| Error::io("create directory", path, error))
}

/// A small text file; a larger one is none of ours.
pub(crate) fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(LARGEST_TEXT)
        .read_to_string(&mut text)?;
    Ok(text)
}

/// An error of `cnn-core` about a file as one of this crate.
pub(crate) fn io_of(error: cnn_core::Error, path: &Path) -> Error {
    match error {
        cnn_core::Error::Io {
            action,
            path,
            source,
        } => Error::io(action, &path, source),
        other => Error::io("write", path, io::Error::other(other)),
    }
}
