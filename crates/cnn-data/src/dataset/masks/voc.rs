//! Pascal VOC's folders: `JPEGImages`, `SegmentationClass`, and lists of their names in
//! `ImageSets/Segmentation`. Photos that are in no list have no masks, and are left out with a note.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::layout::MaskPart;
use super::pairs::MaskedPhoto;
use crate::dataset::Split;
use crate::dataset::files::{file_name, files_in, has_extension};
use crate::{Error, MaskFault};

const PHOTOS: &str = "JPEGImages";
const MASKS: &str = "SegmentationClass";
/// Both splits in one list, which is read where they have none of their own.
const BOTH: &str = "trainval";
/// The largest list that is read, in bytes.
const MOST_BYTES: u64 = 64 << 20;

/// Lists, and the photos in them.
pub(super) struct VocLists {
    /// The folder that holds photos, masks and lists.
    pub(super) place: PathBuf,
    pub(super) parts: Vec<MaskPart>,
    pub(super) notes: Vec<String>,
}

/// `None` if the folders are not there.
pub(super) fn recognise(root: &Path, images: &[PathBuf]) -> Result<Option<VocLists>, Error> {
    let is_voc =
        |place: &&Path| place.join(MASKS).is_dir() && place.join("ImageSets/Segmentation").is_dir();
    let photos = images
        .iter()
        .filter_map(|image| image.parent())
        .filter(|folder| folder.file_name() == Some(OsStr::new(PHOTOS)));
    let places = photos.filter_map(Path::parent).filter(is_voc);
    let places: BTreeSet<&Path> = places.collect();
    let mut places = places.into_iter();
    let Some(place) = places.next() else {
        return Ok(None);
    };
    if let Some(other) = places.next() {
        return Err(Error::Ambiguous {
            path: root.to_owned(),
            reason: format!(
                "both {} and {} hold `{PHOTOS}`, `{MASKS}` and lists; name one of them alone",
                place.display(),
                other.display()
            ),
        });
    }
    let mut notes = Vec::new();
    if place != root {
        notes.push(format!("what {} holds is read", place.display()));
    }
    let lists = lists(place, &mut notes)?;
    if lists.is_empty() {
        return Ok(None);
    }
    let photos = of_stem(images, &place.join(PHOTOS));
    let masks = of_stem(images, &place.join(MASKS));
    let mut parts = Vec::new();
    for (split, list) in lists {
        let names = names_in(&list)?;
        let photos = names.iter().map(|name| MaskedPhoto {
            photo: photos.get(OsStr::new(name)).map_or_else(
                || place.join(PHOTOS).join(format!("{name}.jpg")),
                |photo| photo.to_path_buf(),
            ),
            mask: masks.get(OsStr::new(name)).map_or_else(
                || {
                    Err(MaskFault::Missing {
                        looked_for: format!("{MASKS}/{name}.png"),
                    })
                },
                |mask| Ok(mask.to_path_buf()),
            ),
        });
        parts.push(MaskPart {
            split,
            photos: photos.collect(),
        });
    }
    notes.extend(left_out(images, place, &parts));
    Ok(Some(VocLists {
        place: place.to_owned(),
        parts,
        notes,
    }))
}

type List = (Option<Split>, PathBuf);

/// The list of each split; without splits, the only list.
fn lists(place: &Path, notes: &mut Vec<String>) -> Result<Vec<List>, Error> {
    let files = files_in(&place.join("ImageSets/Segmentation"))?;
    let files = files
        .into_iter()
        .filter(|file| has_extension(file, &["txt"]));
    let name = |file: &Path| file_name(Path::new(file.file_stem().unwrap_or_default()));
    let (mut splits, others): (Vec<List>, Vec<List>) = files
        .map(|file| (Split::of_name(&name(&file)), file))
        .partition(|(split, _)| split.is_some());
    splits.sort();
    if splits.is_empty() {
        let is_both = |list: &&List| name(&list.1) == BOTH;
        let chosen = others.iter().find(is_both).or(match others.as_slice() {
            [only] => Some(only),
            _ => None,
        });
        return Ok(chosen.cloned().into_iter().collect());
    }
    for (_, file) in others {
        if name(&file) != BOTH || splits.len() < 2 {
            notes.push(format!("the list {} is not read", file.display()));
        }
    }
    Ok(splits)
}

/// The names in a list: the first word of each line.
fn names_in(list: &Path) -> Result<Vec<String>, Error> {
    let io = |error| Error::io("read", list, error);
    let len = std::fs::metadata(list).map_err(io)?.len();
    if len > MOST_BYTES {
        let reason = format!("{len} bytes, a list of images has at most {MOST_BYTES}");
        return Err(Error::broken_dataset(list, reason));
    }
    let text = String::from_utf8(std::fs::read(list).map_err(io)?)
        .map_err(|error| Error::broken_dataset(list, error))?;
    let names = text
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    Ok(names.map(str::to_owned).collect())
}

fn of_stem<'a>(images: &'a [PathBuf], folder: &Path) -> HashMap<&'a OsStr, &'a Path> {
    let images = images.iter().map(PathBuf::as_path);
    images
        .filter(|image| image.parent() == Some(folder))
        .filter_map(|image| Some((image.file_stem()?, image)))
        .collect()
}

/// Photos, masks and other images that no list names.
fn left_out(images: &[PathBuf], place: &Path, parts: &[MaskPart]) -> Option<String> {
    let photos = parts.iter().flat_map(|part| &part.photos);
    let listed: BTreeSet<&Path> = photos
        .flat_map(|photo| [Some(photo.photo.as_path()), photo.mask.as_deref().ok()])
        .flatten()
        .collect();
    let mut others = images
        .iter()
        .filter(|image| !listed.contains(image.as_path()));
    let first = others.next()?;
    Some(format!(
        "{} images are in no list of {} and are left out, as {}",
        others.count() + 1,
        place.join("ImageSets/Segmentation").display(),
        first.display()
    ))
}
