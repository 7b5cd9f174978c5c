//! Finding files in folders.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::Error;

/// The endings of image files. Those of the last row cannot be read here. They are listed so that
/// such files are reported as skipped instead of being passed over silently.
const IMAGE_EXTENSIONS: &[&str] = &[
    "jpg", "jpeg", "jpe", "jfif", "png", "bmp", "gif", "webp", //
    "tif", "tiff", "ppm", "pgm", "heic", "heif", "avif", "jxl", "jp2",
];

/// The image files below a folder, as torchvision's `ImageFolder` orders them: by folder, then by
/// name. Hidden files and folders are ignored, and links are followed.
pub(super) fn image_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    files_below(folder, is_image_name)
}

/// Whether a file's name ends like that of an image.
pub(super) fn is_image_name(path: &Path) -> bool {
    has_extension(path, IMAGE_EXTENSIONS)
}

/// The files below a folder that `wanted` accepts, in the order of [`image_files`].
pub(super) fn files_below(
    folder: &Path,
    wanted: impl Fn(&Path) -> bool,
) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let entries = WalkDir::new(folder).follow_links(true).into_iter();
    for entry in entries.filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry)) {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(folder).to_owned();
            Error::io("list", &path, error.into())
        })?;
        if entry.file_type().is_file() && wanted(entry.path()) {
            files.push(entry.into_path());
        }
    }
    files.sort_by(|a, b| torchvision_order(a).cmp(&torchvision_order(b)));
    Ok(files)
}

/// The folders directly inside a folder, sorted by name, without hidden ones.
pub(super) fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    entries_in(folder, Path::is_dir)
}

/// The files directly inside a folder, sorted by name, without hidden ones.
pub(super) fn files_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    entries_in(folder, Path::is_file)
}

/// The last part of a path, as text.
pub(super) fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

pub(super) fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|found| {
        extensions
            .iter()
            .any(|known| found.eq_ignore_ascii_case(known))
    })
}

fn entries_in(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| Error::io("list", folder, error))? {
        let path = entry
            .map_err(|error| Error::io("list", folder, error))?
            .path();
        if wanted(&path) && !is_hidden_name(path.file_name()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_hidden(entry: &DirEntry) -> bool {
    is_hidden_name(Some(entry.file_name()))
}

fn is_hidden_name(name: Option<&OsStr>) -> bool {
    name.is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Folder and name as bytes: they sort as Python's strings do.
fn torchvision_order(path: &Path) -> (&[u8], &[u8]) {
    let folder = path
        .parent()
        .map_or(&[][..], |folder| folder.as_os_str().as_encoded_bytes());
    (
        folder,
        path.file_name().map_or(&[], OsStr::as_encoded_bytes),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    // os.walk, sorted, then sorted file names: what torchvision.datasets.ImageFolder does.
    #[test]
    fn the_order_is_torchvisions() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "b.png",
            "a/z.JPG",
            "a/b/c.jpeg",
            "a-b/d.gif",
            "Z.bmp",
            "a/.hidden.png",
            ".cache/e.png",
            "f.txt",
            "g.tif",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = image_files(folder.path()).unwrap();
        let names: Vec<_> = found
            .iter()
            .map(|path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap())
            .collect();
        assert_eq!(
            names,
            [
                "Z.bmp",
                "b.png",
                "g.tif",
                "a/z.JPG",
                "a-b/d.gif",
                "a/b/c.jpeg"
            ]
        );
        assert_eq!(folders_in(folder.path()).unwrap().len(), 2);
        assert_eq!(files_in(folder.path()).unwrap().len(), 4);
    }
}
