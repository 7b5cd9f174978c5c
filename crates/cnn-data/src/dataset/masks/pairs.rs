//! Which mask belongs to which photo.
//!
//! A photo and its mask lie in folders that differ only in the words for photos, masks and splits,
//! and have the same name up to its ending. Photos that have no such mask are compared without the
//! words that mark a photo or a mask, as in `a.jpg` and `a_mask.png`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::super::Split;
use super::super::files::file_name;
use super::folder_name::{
    FolderName, Role, without_mask_mark, without_photo_mark, without_plain_mask_mark,
};
use crate::MaskFault;

/// A photo and where its mask is, or why it has none.
#[derive(Clone, Debug)]
pub(in crate::dataset) struct MaskedPhoto {
    pub(super) photo: PathBuf,
    pub(super) mask: Result<PathBuf, MaskFault>,
}

impl MaskedPhoto {
    /// Whether no mask was found, rather than several.
    pub(super) fn is_without_mask(&self) -> bool {
        matches!(self.mask, Err(MaskFault::Missing { .. }))
    }
}

/// An image file, by what the folders on the way to it say.
#[derive(Clone, Debug)]
pub(super) struct PlacedFile<'a> {
    pub(super) path: &'a Path,
    pub(super) role: Option<Role>,
    pub(super) split: Option<Split>,
    /// Whether folders whose names say nothing lie on the way.
    pub(super) is_nested: bool,
    /// The names of these folders, and the file's without its ending.
    place: Vec<u8>,
    stem: Vec<u8>,
}

impl<'a> PlacedFile<'a> {
    /// `None` where two folders name different splits.
    pub(super) fn of(root: &Path, path: &'a Path) -> Option<Self> {
        let inside = path.strip_prefix(root).unwrap_or(path);
        let mut role = None;
        let mut split = None;
        let mut place = Vec::new();
        let folders = inside.parent().into_iter().flat_map(Path::iter);
        for folder in folders {
            match FolderName::of(&folder.to_string_lossy()) {
                Some(name) => {
                    // The innermost folder decides what is in it.
                    role = name.role.or(role);
                    if split.is_some() && name.split.is_some() && split != name.split {
                        return None;
                    }
                    split = name.split.or(split);
                }
                None => {
                    place.extend(folder.as_encoded_bytes());
                    place.push(b'/');
                }
            }
        }
        let stem = path.file_stem().unwrap_or_default();
        Some(Self {
            path,
            role,
            split,
            is_nested: !place.is_empty(),
            place,
            stem: stem.as_encoded_bytes().to_vec(),
        })
    }

    /// The names of the folders on the way that say nothing.
    pub(super) fn folders(&self) -> &[u8] {
        &self.place
    }

    fn key(&self, stem: &[u8]) -> Vec<u8> {
        [&self.place, stem].concat()
    }

    fn goes_with(&self, other: &Self) -> bool {
        self.split.is_none() || other.split.is_none() || self.split == other.split
    }

    /// The name of the file that this one is a mask of, if it lies beside it.
    pub(super) fn marked_key(&self) -> Option<Vec<u8>> {
        let folder = self.path.parent()?.as_os_str().as_encoded_bytes();
        let bare = without_plain_mask_mark(&self.stem)?;
        Some([folder, b"/", &bare].concat())
    }

    /// What [`Self::marked_key`] of this file's mask is.
    pub(super) fn plain_key(&self) -> Option<Vec<u8>> {
        let folder = self.path.parent()?.as_os_str().as_encoded_bytes();
        let bare = without_photo_mark(&self.stem).unwrap_or(self.stem.to_ascii_lowercase());
        Some([folder, b"/", &bare].concat())
    }
}

/// Photos with their masks, and masks that belong to none.
#[derive(Default)]
pub(super) struct Pairs<'a> {
    /// Each with the split that the photo or its mask lies in.
    pub(super) photos: Vec<(Option<Split>, MaskedPhoto)>,
    pub(super) without_photo: Vec<&'a Path>,
}

impl<'a> Pairs<'a> {
    pub(super) fn of(photos: &[PlacedFile<'a>], masks: &[PlacedFile<'a>]) -> Self {
        let mut exact: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        let mut bare: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for (number, mask) in masks.iter().enumerate() {
            exact.entry(mask.key(&mask.stem)).or_default().push(number);
            let stem = without_mask_mark(&mask.stem);
            let stem = stem.unwrap_or_else(|| mask.stem.to_ascii_lowercase());
            bare.entry(mask.key(&stem)).or_default().push(number);
        }
        let fitting = |photo: &PlacedFile<'_>, numbers: Option<&Vec<usize>>| -> Vec<usize> {
            let numbers = numbers.into_iter().flatten().copied();
            numbers
                .filter(|&number| masks[number].goes_with(photo))
                .collect()
        };
        let mut is_taken = vec![false; masks.len()];
        let mut found: Vec<Vec<usize>> = Vec::new();
        for photo in photos {
            let fit = fitting(photo, exact.get(&photo.key(&photo.stem)));
            fit.iter().for_each(|&number| is_taken[number] = true);
            found.push(fit);
        }
        // A mask that has a photo of exactly its name is not that of another one.
        let is_exact = is_taken.clone();
        for (photo, found) in photos.iter().zip(&mut found) {
            let plain = photo.stem.to_ascii_lowercase();
            let stems = without_photo_mark(&photo.stem).into_iter().chain([plain]);
            for stem in stems {
                for number in fitting(photo, bare.get(&photo.key(&stem))) {
                    if !is_exact[number] && !found.contains(&number) {
                        is_taken[number] = true;
                        found.push(number);
                    }
                }
            }
        }
        let without_photo = masks.iter().zip(&is_taken);
        Self {
            photos: photos
                .iter()
                .zip(found)
                .map(|(photo, found)| masked(photo, masks, &found))
                .collect(),
            without_photo: without_photo
                .filter(|(_, is_taken)| !**is_taken)
                .map(|(mask, _)| mask.path)
                .collect(),
        }
    }

    /// Photos that have exactly one mask.
    pub(super) fn whole(&self) -> impl Iterator<Item = (&Path, &Path)> {
        let photos = self.photos.iter();
        photos.filter_map(|(_, photo)| {
            let mask = photo.mask.as_deref().ok()?;
            Some((photo.photo.as_path(), mask))
        })
    }
}

fn masked(
    photo: &PlacedFile<'_>,
    masks: &[PlacedFile<'_>],
    found: &[usize],
) -> (Option<Split>, MaskedPhoto) {
    let path = photo.path.to_owned();
    let of_mask = found.first().and_then(|&number| masks[number].split);
    let split = photo.split.or(of_mask);
    let mask = match *found {
        [] => Err(MaskFault::Missing {
            looked_for: format!("a PNG called `{}` among the masks", stem_shown(photo.path)),
        }),
        [only] => Ok(masks[only].path.to_owned()),
        [first, second, ..] => Err(MaskFault::Second {
            masks: [first, second].map(|number| masks[number].path.to_owned()),
        }),
    };
    let photo = MaskedPhoto { photo: path, mask };
    (split, photo)
}

fn stem_shown(photo: &Path) -> String {
    file_name(Path::new(photo.file_stem().unwrap_or_default()))
}
