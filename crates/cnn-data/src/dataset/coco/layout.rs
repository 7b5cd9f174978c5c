//! Which COCO files lie in a folder, and where their images are.
//!
//! A file is one if it is JSON with `images`, `annotations` and `categories`, and at least half of
//! its images are there; a JSON file of an image's own name is none. The split is told by a word in
//! its name, with or without a year, or else by its folder. Of several files of one split the one
//! is read that is called `instances…`.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::document::Outline;
use super::{CocoAnnotations, CocoImages};
use crate::dataset::Split;
use crate::dataset::files::{
    Listing, file_name, files_within, has_extension, is_image_name, quoted,
};
use crate::dataset::photo_names::{PhotoNames, agreeing_parts};
use crate::{Error, Mask};

/// How far below the folder files of annotations are looked for.
const DEEPEST: usize = 3;

/// Files of annotations with the images that they name.
#[derive(Debug)]
pub(in crate::dataset) struct CocoLayout {
    pub(in crate::dataset) parts: Vec<CocoPart>,
    pub(in crate::dataset) notes: Vec<String>,
}

/// A file of annotations.
#[derive(Debug)]
pub(in crate::dataset) struct CocoPart {
    pub(in crate::dataset) split: Option<Split>,
    file: PathBuf,
    annotations: Arc<CocoAnnotations>,
    /// Where each image is; `None` if it is not there.
    photos: Vec<Option<PathBuf>>,
}

impl CocoLayout {
    /// Recognises annotations of the images below a folder.
    pub(in crate::dataset) fn of_folder(
        root: &Path,
        images: &[PathBuf],
    ) -> Result<Option<Self>, Error> {
        if images.is_empty() {
            return Ok(None);
        }
        let stems: HashSet<PathBuf> = images
            .iter()
            .map(|image| image.with_extension(""))
            .collect();
        let is_json = |file: &Path| has_extension(file, &["json"]);
        let Listing { files, .. } = files_within(root, DEEPEST, is_json)?;
        let own = files
            .into_iter()
            .filter(|file| !stems.contains(&file.with_extension("")));
        let mut found = Vec::new();
        let mut notes = Vec::new();
        for file in own.filter(|file| is_coco(file)) {
            let part = CocoPart::of(&file, images)?;
            let there = part.photos.iter().flatten().count();
            if there == 0 || 2 * there < part.photos.len() {
                notes.push(format!(
                    "{} names {} images, of which {there} are there: it is not read",
                    file.display(),
                    part.photos.len()
                ));
            } else {
                found.push(part);
            }
        }
        if found.is_empty() {
            return Ok(None);
        }
        let parts = one_of_each_split(root, found, &mut notes)?;
        Self::of_parts(parts, images, notes).map(Some)
    }

    /// The annotations in a file whose images lie near it.
    pub(in crate::dataset) fn of_file(file: &Path) -> Result<Self, Error> {
        let folder = file.parent().unwrap_or(Path::new(""));
        let above = folder.parent().unwrap_or(folder);
        let mut last = None;
        for (root, depth) in [(folder, DEEPEST), (above, DEEPEST + 1)] {
            let root = if root.as_os_str().is_empty() {
                Path::new(".")
            } else {
                root
            };
            let images = files_within(root, depth, is_image_name)?.files;
            let part = CocoPart::of(file, &images)?;
            let is_whole = part.photos.iter().flatten().count() * 2 >= part.photos.len();
            if is_whole && !part.photos.is_empty() {
                return Self::of_parts(vec![part], &images, Vec::new());
            }
            last = Some(part.photos.len());
        }
        let count = last.unwrap_or(0);
        let reason = format!("fewer than half of its {count} images lie beside it or near it");
        Err(Error::broken_dataset(file, reason))
    }

    fn of_parts(
        parts: Vec<CocoPart>,
        images: &[PathBuf],
        mut notes: Vec<String>,
    ) -> Result<Self, Error> {
        if let Some([one, other]) = parts
            .array_windows()
            .find(|[one, other]| one.annotations.categories() != other.annotations.categories())
        {
            let reason = format!("its categories differ from those of {}", one.file.display());
            return Err(Error::broken_dataset(&other.file, reason));
        }
        notes.extend(parts.iter().flat_map(CocoPart::notes));
        let named: HashSet<&PathBuf> = parts
            .iter()
            .flat_map(|part| &part.photos)
            .flatten()
            .collect();
        let mut unnamed = images.iter().filter(|image| !named.contains(image));
        if let Some(first) = unnamed.next() {
            notes.push(format!(
                "{} images are in no annotations and are left out, as {}",
                1 + unnamed.count(),
                first.display()
            ));
        }
        Ok(Self { parts, notes })
    }

    /// The names of the files, for a note.
    pub(in crate::dataset) fn names(&self) -> String {
        let names = self
            .parts
            .iter()
            .map(|part| part.file.display().to_string());
        quoted(&names.collect::<Vec<_>>()).unwrap_or_default()
    }

    pub(in crate::dataset) fn open(&self, number: usize) -> CocoImages {
        let part = &self.parts[number];
        CocoImages::new(&part.file, part.annotations.clone(), part.photos.clone())
    }
}

impl CocoPart {
    fn of(file: &Path, images: &[PathBuf]) -> Result<Self, Error> {
        let annotations = CocoAnnotations::read(file)?;
        let split = split_of(file);
        let photos = PhotoNames::of(images);
        let photos = (0..annotations.len())
            .map(|image| {
                find_image(
                    &photos,
                    annotations.file_name(image).unwrap_or_default(),
                    file,
                    split,
                )
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            split,
            file: file.to_owned(),
            annotations: Arc::new(annotations),
            photos,
        })
    }

    fn notes(&self) -> Vec<String> {
        let file = self.file.display();
        let count = self.annotations.categories().len();
        let mut notes = Vec::new();
        if self.annotations.has_masks() {
            notes.push(format!(
                "the masks are drawn from the objects of {file}: `background`, and {count} \
                 categories in the order of their ids"
            ));
            let alone = self.annotations.boxes_alone();
            if alone > 0 {
                notes.push(format!(
                    "{alone} objects of {file} have a box and no segmentation: in masks their \
                     boxes are ignored"
                ));
            }
        } else if count >= usize::from(Mask::IGNORE) {
            notes.push(format!(
                "{file} has {count} categories, too many for masks: it has boxes"
            ));
        } else {
            notes.push(format!("{file} has boxes and no segmentations"));
        }
        notes.extend(self.annotations.box_notes(&self.file.display().to_string()));
        let absent = self.photos.iter().filter(|photo| photo.is_none()).count();
        if absent > 0 {
            notes.push(format!("{absent} images of {file} are not there"));
        }
        notes
    }
}

/// Whether a file is JSON with the three lists of COCO.
pub(in crate::dataset) fn is_coco(file: &Path) -> bool {
    let outline = File::open(file).ok().and_then(|opened| {
        let mut reader = BufReader::new(opened);
        let mut first = [0];
        // Most other JSON files are lists, or are told apart here without reading them.
        reader.read_exact(&mut first).ok()?;
        if !matches!(first, [b'{' | b' ' | b'\n' | b'\r' | b'\t']) {
            return None;
        }
        serde_json::from_reader::<_, Outline>(first.chain(reader)).ok()
    });
    outline.is_some_and(|outline| outline.is_coco())
}

fn one_of_each_split(
    root: &Path,
    found: Vec<CocoPart>,
    notes: &mut Vec<String>,
) -> Result<Vec<CocoPart>, Error> {
    let mut of_split: BTreeMap<Option<Split>, Vec<CocoPart>> = BTreeMap::new();
    for part in found {
        of_split.entry(part.split).or_default().push(part);
    }
    if of_split.len() > 1 {
        for part in of_split.remove(&None).into_iter().flatten() {
            notes.push(format!(
                "{} belongs to no split and is not read",
                part.file.display()
            ));
        }
    }
    let mut parts = Vec::new();
    for mut of_one in of_split.into_values() {
        let is_instances = |part: &CocoPart| file_name(&part.file).starts_with("instances");
        let chosen = of_one.iter().position(is_instances);
        let files = of_one.iter().map(|part| part.file.display().to_string());
        match (chosen, of_one.len()) {
            (_, 1) => parts.append(&mut of_one),
            (Some(chosen), _) => {
                let part = of_one.swap_remove(chosen);
                let others = of_one.iter().map(|part| part.file.display().to_string());
                let others = quoted(&others.collect::<Vec<_>>()).unwrap_or_default();
                notes.push(format!("{} is read, and not {others}", part.file.display()));
                parts.push(part);
            }
            (None, _) => {
                let files = quoted(&files.collect::<Vec<_>>()).unwrap_or_default();
                return Err(Error::Ambiguous {
                    path: root.to_owned(),
                    reason: format!("{files} are of the same split; name one of them alone"),
                });
            }
        }
    }
    Ok(parts)
}

/// The split that a word of a file's name stands for, as in `instances_val2017.json`, or else its
/// folder.
fn split_of(file: &Path) -> Option<Split> {
    let name = file_name(file);
    let words = name.split(|character: char| !character.is_alphanumeric());
    let without_year = |word: &str| Split::of_name(word.trim_end_matches(char::is_numeric));
    words.into_iter().find_map(without_year).or_else(|| {
        let folder = file.parent().map(file_name)?;
        Split::of_folder_name(&folder)
    })
}

/// Whether a folder is called as a split, with or without a year.
pub(in crate::dataset) fn is_split_with_year(folder: &str) -> bool {
    Split::of_folder_name(folder.trim_end_matches(char::is_numeric)).is_some()
}

/// The image that a file of annotations calls so. Of several the one counts whose folders agree
/// with more of the name, then the one that lies beside the file, then the one in a folder of
/// the split.
fn find_image(
    images: &PhotoNames<'_>,
    name: &str,
    file: &Path,
    split: Option<Split>,
) -> Result<Option<PathBuf>, Error> {
    let name = name.replace('\\', "/");
    let named = Path::new(&name);
    let candidates = images.called(named);
    let rank = |image: &Path| {
        let agreeing = agreeing_parts(image, named);
        let folders = image.parent().into_iter().flat_map(Path::iter);
        let is_of_split = |folder: &OsStr| {
            let folder = folder.to_string_lossy();
            let bare = folder.trim_end_matches(char::is_numeric);
            split.is_some() && Split::of_folder_name(bare) == split
        };
        let is_beside = image.parent() == file.parent();
        (agreeing, is_beside, folders.into_iter().any(is_of_split))
    };
    let best = candidates.iter().map(|image| rank(image)).max();
    let mut first = candidates.iter().filter(|image| Some(rank(image)) == best);
    match (first.next(), first.next()) {
        (Some(one), Some(other)) => Err(Error::Ambiguous {
            path: file.to_owned(),
            reason: format!("`{name}` could be {} or {}", one.display(), other.display()),
        }),
        (one, _) => Ok(one.map(|image| image.to_path_buf())),
    }
}
