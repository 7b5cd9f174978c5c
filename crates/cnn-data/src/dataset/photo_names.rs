//! Photos by the names of their files.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// Photos by the names of their files, which several may share.
pub(super) struct PhotoNames<'a> {
    of_name: HashMap<&'a OsStr, Vec<&'a Path>>,
}

impl<'a> PhotoNames<'a> {
    pub(super) fn of(photos: &'a [PathBuf]) -> Self {
        let mut of_name: HashMap<&OsStr, Vec<&Path>> = HashMap::new();
        for photo in photos {
            if let Some(name) = photo.file_name() {
                of_name.entry(name).or_default().push(photo);
            }
        }
        Self { of_name }
    }

    /// The photos whose file is called as that of a path; none where there are none.
    pub(super) fn called(&self, path: &Path) -> &[&'a Path] {
        let named = path.file_name().and_then(|name| self.of_name.get(name));
        named.map_or(&[], Vec::as_slice)
    }
}

/// How many parts of two paths agree, from the file on, as lists are moved with their photos.
pub(super) fn agreeing_parts(one: &Path, other: &Path) -> usize {
    let parts = one.iter().rev().zip(other.iter().rev());
    parts.take_while(|(one, other)| one == other).count()
}
