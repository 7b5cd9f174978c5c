//! Finding files in folders.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::{DirEntry, WalkDir};

use crate::{Error, Skipped};

/// The endings of image files. Those of the last row cannot be read here. They are listed so that
/// such files are reported as skipped instead of being passed over silently.
const IMAGE_EXTENSIONS: &[&str] = &[
    "jpg", "jpeg", "jpe", "jfif", "png", "bmp", "gif", "webp", //
    "tif", "tiff", "ppm", "pgm", "heic", "heif", "avif", "jxl", "jp2",
];

/// Folders that systems and programs leave among one's own: neither classes nor images.
const LITTER: &[&str] = &[
    "__MACOSX",
    "@eaDir",
    "#recycle",
    "$RECYCLE.BIN",
    "System Volume Information",
    "lost+found",
    "__pycache__",
];

/// Files below a folder, and what lies there and cannot be entered or read.
#[derive(Debug, Default)]
pub(super) struct Listing {
    pub(super) files: Vec<PathBuf>,
    /// Links that lead nowhere, and folders that may not be listed.
    pub(super) unreadable: Vec<Skipped>,
}

impl Listing {
    fn add_unreadable(&mut self, path: PathBuf, error: &Error, wanted: &impl Fn(&Path) -> bool) {
        let is_dead_link = path.is_symlink() && !path.exists();
        if is_ignored_name(path.file_name()) {
            return;
        }
        if is_dead_link && wanted(&path) {
            self.files.push(path);
            return;
        }
        self.unreadable.push(Skipped {
            path: path.display().to_string(),
            reason: if is_dead_link {
                "a link that leads nowhere".to_owned()
            } else {
                error.reason()
            },
        });
    }
}

/// The image files below a folder, as torchvision's `ImageFolder` orders them: by folder, then by
/// name. Hidden files and folders are ignored, as are those of [`LITTER`], and links are followed.
pub(super) fn image_files(folder: &Path) -> Result<Listing, Error> {
    files_below(folder, is_image_name)
}

/// Whether a file's name ends like that of an image.
pub(crate) fn is_image_name(path: &Path) -> bool {
    has_extension(path, IMAGE_EXTENSIONS)
}

/// The files below a folder that `wanted` accepts, in the order of [`image_files`].
///
/// A link to a folder above it is passed over, since what it leads to is listed already. A dead link
/// with a wanted name is a file, so that it is reported when it is read.
pub(super) fn files_below(folder: &Path, wanted: impl Fn(&Path) -> bool) -> Result<Listing, Error> {
    files_within(folder, usize::MAX, wanted)
}

/// Those of [`files_below`] that lie at most so many folders deep, where 1 is the folder itself.
pub(super) fn files_within(
    folder: &Path,
    depth: usize,
    wanted: impl Fn(&Path) -> bool,
) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    let place = folder.canonicalize();
    // Of links, the walk itself knows those to a folder that it came through.
    let leads_above = |entry: &DirEntry| {
        entry.path_is_symlink()
            && entry.file_type().is_dir()
            && place.as_ref().is_ok_and(|place| {
                entry
                    .path()
                    .canonicalize()
                    .is_ok_and(|to| place.starts_with(to))
            })
    };
    let entries = WalkDir::new(folder)
        .follow_links(true)
        .max_depth(depth)
        .into_iter();
    let is_wanted =
        |entry: &DirEntry| entry.depth() == 0 || !is_ignored(entry) && !leads_above(entry);
    for entry in entries.filter_entry(is_wanted) {
        match entry {
            Ok(entry) if entry.file_type().is_file() && wanted(entry.path()) => {
                listing.files.push(entry.into_path());
            }
            Ok(_) => {}
            Err(error) if error.loop_ancestor().is_some() => {}
            Err(error) => {
                let path = error.path().unwrap_or(folder).to_owned();
                let is_root = error.depth() == 0;
                let error = Error::io("list", &path, error.into());
                if is_root {
                    return Err(error);
                }
                listing.add_unreadable(path, &error, &wanted);
            }
        }
    }
    listing
        .files
        .sort_by(|a, b| torchvision_order(a).cmp(&torchvision_order(b)));
    Ok(listing)
}

/// The folders directly inside a folder, sorted by name, without those that are ignored.
pub(super) fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    entries_in(folder, Path::is_dir)
}

/// The files directly inside a folder, sorted by name, without those that are ignored.
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

/// "`a`, `b` and `c`", of many the first; `None` where there are none.
pub(super) fn quoted(names: &[String]) -> Option<String> {
    const SHOWN: usize = 5;
    let quoted = |name: &String| format!("`{name}`");
    let shown: Vec<String> = names.iter().take(SHOWN).map(quoted).collect();
    let (last, others) = shown.split_last()?;
    Some(match (others, names.len() - shown.len()) {
        ([], 0) => last.clone(),
        (others, 0) => format!("{} and {last}", others.join(", ")),
        (_, more) => format!("{} and {more} more", shown.join(", ")),
    })
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
        if wanted(&path) && !is_ignored_name(path.file_name()) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

fn is_ignored(entry: &DirEntry) -> bool {
    is_ignored_name(Some(entry.file_name()))
}

/// Whether a name is that of something hidden or left behind.
pub(super) fn is_ignored_name(name: Option<&OsStr>) -> bool {
    name.is_some_and(|name| {
        name.as_encoded_bytes().starts_with(b".") || LITTER.iter().any(|litter| name == *litter)
    })
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
            "__MACOSX/h.png",
            "a/@eaDir/i.jpg/i.jpg",
            "f.txt",
            "g.tif",
        ] {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = image_files(folder.path()).unwrap().files;
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
