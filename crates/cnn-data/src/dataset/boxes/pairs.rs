//! Which file of annotations belongs to which photo, and of which split a photo is.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::dataset::Split;
use crate::dataset::files::file_name;

/// Folders of photos beside which one of annotations may lie, in lower case.
const PHOTO_FOLDERS: &[&str] = &[
    "images",
    "image",
    "imgs",
    "img",
    "jpegimages",
    "photos",
    "pictures",
];
/// The folders of annotations beside them.
const ANNOTATION_FOLDERS: &[&str] = &[
    "labels",
    "Labels",
    "label",
    "Annotations",
    "annotations",
    "annotations/xmls",
    "xmls",
];

/// A photo and its file of annotations.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) photo: PathBuf,
    pub(super) annotation: Option<PathBuf>,
}

impl Pair {
    /// Looks for the file of annotations of this ending: in the folder of annotations that lies
    /// where the photo's is one of photos, as `labels/train/1.txt` of `images/train/1.jpg`, and then
    /// beside the photo.
    pub(super) fn of(photo: &Path, ending: &str, is_there: &impl Fn(&Path) -> bool) -> Self {
        let file = photo.with_extension(ending);
        let elsewhere = in_annotation_folders(&file);
        let annotation = elsewhere.chain([file.clone()]).find(|path| is_there(path));
        Self {
            photo: photo.to_owned(),
            annotation,
        }
    }

    /// Whether the file of annotations lies in the photo's folder.
    pub(super) fn is_beside(&self) -> bool {
        let annotation = self.annotation.as_deref();
        annotation.is_some_and(|annotation| annotation.parent() == self.photo.parent())
    }
}

/// The file's path with the last folder of photos exchanged for one of annotations.
fn in_annotation_folders(file: &Path) -> impl Iterator<Item = PathBuf> {
    let is_of_photos = |folder: &&Path| {
        let name = file_name(folder).to_lowercase();
        PHOTO_FOLDERS.contains(&name.as_str())
    };
    let photos = file.ancestors().skip(1).find(is_of_photos);
    let place = photos.and_then(|photos| {
        let inside = file.strip_prefix(photos).ok()?;
        Some((photos.parent()?, inside))
    });
    let in_place = |(above, inside): (&Path, &Path)| {
        let names = ANNOTATION_FOLDERS.iter();
        let paths = names.map(|name| above.join(name).join(inside));
        paths.collect::<Vec<_>>()
    };
    place.map(in_place).unwrap_or_default().into_iter()
}

/// The split that a folder between `root` and the file is called as, with or without a year; of
/// several the innermost.
pub(super) fn split_below(root: &Path, file: &Path) -> Option<Split> {
    let inside = file.strip_prefix(root).unwrap_or(file);
    let folder = inside.parent().unwrap_or(Path::new(""));
    folder.iter().rev().find_map(split_of_folder)
}

fn split_of_folder(folder: &OsStr) -> Option<Split> {
    let name = folder.to_string_lossy();
    Split::of_folder_name(name.trim_end_matches(char::is_numeric))
}

/// Photos by their split. Where some have one, those that have none are left out with a note.
pub(super) fn by_split(
    pairs: impl IntoIterator<Item = (Option<Split>, Pair)>,
    notes: &mut Vec<String>,
) -> BTreeMap<Option<Split>, Vec<Pair>> {
    let mut parts: BTreeMap<Option<Split>, Vec<Pair>> = BTreeMap::new();
    for (split, pair) in pairs {
        parts.entry(split).or_default().push(pair);
    }
    if parts.len() > 1
        && let Some(without) = parts.remove(&None)
        && let Some(first) = without.first()
    {
        notes.push(format!(
            "{} photos belong to no split and are left out, as {}",
            without.len(),
            first.photo.display()
        ));
    }
    parts
}

/// "3 photos have no …, as a.jpg": how many of a list and the first of them.
pub(super) fn counted(paths: &[&Path], what: &str) -> Option<String> {
    let first = paths.first()?;
    Some(format!("{} {what}, as {}", paths.len(), first.display()))
}

/// Some of many, from all of their length.
pub(super) fn spread<T>(all: &[T], wanted: usize) -> impl Iterator<Item = &T> {
    all.iter().step_by(all.len().div_ceil(wanted).max(1))
}

/// A file of at most so many bytes.
pub(super) fn read_bounded(path: &Path, most: u64) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if bytes.len() as u64 > most {
        return Err(format!("more than {most} bytes, which no such file has"));
    }
    Ok(bytes)
}

/// The lines of a text file of at most so many bytes, without the empty ones.
pub(super) fn lines(path: &Path, most: u64) -> Result<Vec<String>, String> {
    let bytes = read_bounded(path, most)?;
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
    let text = std::str::from_utf8(bytes)
        .map_err(|error| format!("no UTF-8 text at byte {}", error.valid_up_to()))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    Ok(lines.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_lie_in_their_folder_or_beside_the_photo() {
        let cases = [
            ("d/images/train/1.jpg", "d/labels/train/1.txt", true),
            ("d/train/images/1.b.jpg", "d/train/labels/1.b.txt", true),
            ("d/JPEGImages/1.jpg", "d/Annotations/1.txt", true),
            ("images/images/1.jpg", "images/labels/1.txt", true),
            ("images/images/1.jpg", "labels/images/1.txt", false),
            ("d/1.jpg", "d/1.txt", true),
            ("d/images/1.jpg", "d/images/1.txt", true),
            ("d/images/1.jpg", "d/2.txt", false),
        ];
        for (photo, file, is_found) in cases {
            let pair = Pair::of(Path::new(photo), "txt", &|path: &Path| {
                path == Path::new(file)
            });
            assert_eq!(pair.annotation.is_some(), is_found, "{photo}");
        }
    }

    #[test]
    fn the_innermost_folder_tells_the_split() {
        let cases = [
            ("r/images/train2017/1.jpg", Some(Split::Train)),
            ("r/valid/images/1.jpg", Some(Split::Val)),
            ("r/train/test/1.jpg", Some(Split::Test)),
            ("r/1.jpg", None),
        ];
        for (file, expected) in cases {
            assert_eq!(
                split_below(Path::new("r"), Path::new(file)),
                expected,
                "{file}"
            );
        }
    }
}
