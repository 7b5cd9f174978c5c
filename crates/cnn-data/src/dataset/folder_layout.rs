//! Which folders are classes, and which are splits.
//!
//! The rules, from the first that applies:
//! 1. A folder that holds nothing but one folder of folders is a wrapper, and is entered.
//! 2. Folders that are named like splits and hold class folders are the splits.
//! 3. All folders that hold images are classes, as for torchvision.
//!
//! Folders that no split reaches are named: in an error beside one split alone, in a note beside
//! several.
//! The classes are those that have training images, sorted by name; a folder of the same name, up to
//! case and Unicode's normal form, is the same class in every split.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use super::Split;
use super::files::{file_name, files_in, folders_in, quoted};
use crate::Error;

/// How many wrappers are entered, one inside the other.
const DEEPEST: usize = 4;

/// Names of folders of images that are no class beside splits.
const UNLABELLED: &[&str] = &["unlabeled", "unlabelled", "unsup", "unsupervised"];

/// The images of each class.
#[derive(Clone, Debug)]
pub(super) struct FolderLayout {
    /// Those with training images, and then those that only other splits have.
    pub(super) classes: Vec<String>,
    pub(super) parts: Vec<FolderPart>,
    /// What was left out, and how it was understood, in sentences.
    pub(super) notes: Vec<String>,
}

/// The images of a split, or of a dataset that is not divided.
#[derive(Clone, Debug)]
pub(super) struct FolderPart {
    pub(super) split: Option<Split>,
    pub(super) root: PathBuf,
    /// Each with the number of its class, in the order of the classes.
    pub(super) samples: Vec<(PathBuf, usize)>,
}

impl FolderLayout {
    /// Recognises class folders in a folder with these image files below it; otherwise says what was
    /// found instead.
    pub(super) fn recognise(
        root: &Path,
        images: &[PathBuf],
    ) -> Result<Result<Self, String>, Error> {
        let mut notes = Vec::new();
        let images = images.iter().map(PathBuf::as_path).collect();
        let place = enter_wrappers(Folder::new(root.to_owned(), images), &mut notes)?;
        let roots = match split_roots(place, &mut notes)? {
            Roots::Some(roots) => enter_wrapped_splits(roots, &mut notes)?,
            Roots::None(reason) => return Ok(Err(reason)),
        };
        let mut parts = Vec::new();
        for Root { split, folder } in roots {
            let classes = folder.folders()?;
            parts.push(Part {
                split,
                root: folder.path,
                classes,
            });
        }
        let classes = number_classes(&parts, &mut notes);
        let parts = parts.into_iter().map(|part| part.numbered(&classes));
        Ok(Ok(Self {
            parts: parts.collect(),
            classes: classes.names,
            notes,
        }))
    }
}

/// A folder and the image files below it.
#[derive(Clone, Debug)]
struct Folder<'a> {
    path: PathBuf,
    images: Vec<&'a Path>,
    /// Images directly in it.
    direct: usize,
    /// The names of the folders directly in it that hold images or have some below.
    holders: BTreeSet<&'a OsStr>,
}

impl<'a> Folder<'a> {
    fn new(path: PathBuf, images: Vec<&'a Path>) -> Self {
        let mut direct = 0;
        let mut holders = BTreeSet::new();
        for image in &images {
            let inside = image.strip_prefix(&path).unwrap_or(image);
            let mut names = inside.iter();
            match (names.next(), names.next()) {
                (Some(holder), Some(_)) => {
                    holders.insert(holder);
                }
                _ => direct += 1,
            }
        }
        Self {
            path,
            images,
            direct,
            holders,
        }
    }

    /// The folders directly in it, sorted by name.
    fn folders(&self) -> Result<Vec<Self>, Error> {
        let mut of_name: BTreeMap<&OsStr, Vec<&'a Path>> = BTreeMap::new();
        for image in &self.images {
            let inside = image.strip_prefix(&self.path).unwrap_or(image);
            if let Some(name) = inside.iter().next() {
                of_name.entry(name).or_default().push(image);
            }
        }
        let folders = folders_in(&self.path)?.into_iter().map(|path| {
            let images = path.file_name().and_then(|name| of_name.remove(name));
            Self::new(path, images.unwrap_or_default())
        });
        Ok(folders.collect())
    }

    /// The name of the class that it may be.
    fn name(&self) -> String {
        file_name(&self.path).nfc().collect()
    }

    fn split(&self) -> Option<Split> {
        Split::of_folder_name(&file_name(&self.path))
    }

    fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    fn holds_class_folders(&self) -> bool {
        !self.holders.is_empty()
    }
}

/// The class folders of a split.
struct Part<'a> {
    split: Option<Split>,
    root: PathBuf,
    classes: Vec<Folder<'a>>,
}

impl Part<'_> {
    fn is_trained_on(&self) -> bool {
        self.split.is_none_or(|split| split == Split::Train)
    }

    fn numbered(self, classes: &ClassNames) -> FolderPart {
        let mut samples = Vec::new();
        for folder in &self.classes {
            if let Some(class) = classes.number(folder) {
                let images = folder.images.iter();
                samples.extend(images.map(|image| (image.to_path_buf(), class)));
            }
        }
        // Two folders may be one class.
        samples.sort_by_key(|(_, class)| *class);
        FolderPart {
            split: self.split,
            root: self.root,
            samples,
        }
    }
}

/// Gives the classes their numbers: first those with training images.
fn number_classes(parts: &[Part<'_>], notes: &mut Vec<String>) -> ClassNames {
    let mut classes = ClassNames::default();
    let is_trained = parts.iter().any(Part::is_trained_on);
    let leading = parts
        .iter()
        .filter(|part| part.is_trained_on() || !is_trained);
    classes.add(leading.flat_map(|part| &part.classes));
    let trained = classes.names.len();
    classes.add(parts.iter().flat_map(|part| &part.classes));
    if let Some(untrained) = quoted(&classes.names[trained..]) {
        notes.push(format!("there are no training images of {untrained}"));
    }
    let empty: BTreeSet<String> = parts
        .iter()
        .flat_map(|part| &part.classes)
        .filter(|folder| folder.is_empty())
        .map(Folder::name)
        .filter(|name| !classes.names.contains(name))
        .collect();
    if let Some(empty) = quoted(&Vec::from_iter(empty)) {
        notes.push(format!("no images lie in {empty}: no class of that name"));
    }
    classes
}

/// The names of classes, and which folder is which class.
#[derive(Default)]
struct ClassNames {
    names: Vec<String>,
    /// The number of the class that folders of this name are.
    numbers: BTreeMap<Vec<u8>, usize>,
}

impl ClassNames {
    /// Adds the classes that are not there yet, sorted by name.
    fn add<'f, 'a: 'f>(&mut self, folders: impl Iterator<Item = &'f Folder<'a>>) {
        let mut new: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for folder in folders.filter(|folder| !folder.is_empty()) {
            let key = key(&folder.path);
            if let Some(number) = self.number(folder) {
                self.numbers.insert(key, number);
            } else {
                new.insert(key, folder.name());
            }
        }
        for (key, mut name) in new {
            // Bytes that are no text look alike when they are shown.
            while self.names.contains(&name) {
                name.push('\'');
            }
            self.numbers.insert(key, self.names.len());
            self.names.push(name);
        }
    }

    /// The class of a folder: the one of exactly its name, or the only one that differs in case.
    fn number(&self, folder: &Folder<'_>) -> Option<usize> {
        self.numbers.get(&key(&folder.path)).copied().or_else(|| {
            let name = folder.name().to_lowercase();
            let mut alike =
                (0..self.names.len()).filter(|&number| self.names[number].to_lowercase() == name);
            alike.next().filter(|_| alike.next().is_none())
        })
    }
}

/// What tells class folders apart: the name in Unicode's normal form C, or the bytes of one that is
/// no text.
fn key(folder: &Path) -> Vec<u8> {
    let name = folder.file_name().unwrap_or_default();
    match name.to_str() {
        Some(text) => text.nfc().collect::<String>().into_bytes(),
        None => name.as_encoded_bytes().to_vec(),
    }
}

/// The folder inside those that hold nothing but one folder of folders, as unpacked archives do.
fn enter_wrappers<'a>(root: Folder<'a>, notes: &mut Vec<String>) -> Result<Folder<'a>, Error> {
    let mut place = root;
    for _ in 0..DEEPEST {
        let Some(inside) = inside_of_wrapper(&place)? else {
            break;
        };
        notes.push(format!(
            "{} is the only folder in {}: what it holds is read",
            file_name(&inside.path),
            place.path.display()
        ));
        place = inside;
    }
    Ok(place)
}

/// The folder of a split, or the dataset's own.
struct Root<'a> {
    split: Option<Split>,
    folder: Folder<'a>,
}

/// The same for splits, if all of them are wrappers: `test` alone may have images of one class only.
fn enter_wrapped_splits<'a>(
    roots: Vec<Root<'a>>,
    notes: &mut Vec<String>,
) -> Result<Vec<Root<'a>>, Error> {
    let mut inside = Vec::new();
    for Root { split, folder } in &roots {
        match inside_of_wrapper(folder)? {
            Some(folder) if split.is_some() => inside.push(Root {
                split: *split,
                folder,
            }),
            _ => return Ok(roots),
        }
    }
    for root in &inside {
        notes.push(format!("what {} holds is read", root.folder.path.display()));
    }
    Ok(inside)
}

fn inside_of_wrapper<'a>(folder: &Folder<'a>) -> Result<Option<Folder<'a>>, Error> {
    if folder.direct > 0 || folder.holders.len() != 1 {
        return Ok(None);
    }
    let holding = folder
        .folders()?
        .into_iter()
        .find(|inner| !inner.is_empty());
    let Some(only) = holding.filter(|only| only.direct == 0) else {
        return Ok(None);
    };
    // In a split, a folder that is called like one is no class, as in `training_set/training_set`;
    // elsewhere it is the split.
    let holds_more = if only.split().is_some() {
        folder.split().is_some()
    } else {
        only.holders.len() > 1 || only.folders()?.iter().all(|inner| inner.direct == 0)
    };
    Ok(holds_more.then_some(only))
}

/// How a folder is divided.
enum Roots<'a> {
    Some(Vec<Root<'a>>),
    /// It holds no class folders; why not.
    None(String),
}

fn split_roots<'a>(root: Folder<'a>, notes: &mut Vec<String>) -> Result<Roots<'a>, Error> {
    let folders = root.folders()?;
    let splits = splits_among(&folders);
    let is_split = |folder: &Folder<'_>| splits.iter().any(|(_, split)| split.path == folder.path);
    let others: Vec<&Folder<'_>> = folders
        .iter()
        .filter(|folder| !folder.is_empty() && !is_split(folder))
        .collect();
    if splits.is_empty() {
        return without_splits(root, &others);
    }
    if let Some([(split, first), (_, second)]) = splits.array_windows().find(|[a, b]| a.0 == b.0) {
        return Ok(Roots::None(format!(
            "both {} and {} could be its {split} split",
            first.path.display(),
            second.path.display()
        )));
    }
    let is_unlabelled = |folder: &Folder<'_>| {
        let name = file_name(&folder.path);
        let may_be = folder.split().is_some() || UNLABELLED.contains(&name.as_str());
        may_be && !folder.holds_class_folders()
    };
    let labelled: Vec<&Folder<'_>> = others
        .iter()
        .copied()
        .filter(|folder| !is_unlabelled(folder))
        .collect();
    if let ([(_, split)], false) = (&splits[..], labelled.is_empty()) {
        let split = (*split).clone();
        return beside_one_split(root, &split, &labelled, notes);
    }
    for folder in others {
        let why = if is_unlabelled(folder) {
            "lie in no class folders, so they have no labels and are left out"
        } else {
            "belong to no split and are left out"
        };
        notes.push(format!(
            "the {} images in {} {why}",
            folder.images.len(),
            folder.path.display()
        ));
    }
    for folder in folders.iter().filter(|folder| folder.is_empty()) {
        if let Some(split) = folder.split() {
            notes.push(format!(
                "no images lie in {}: it is no `{split}` split",
                folder.path.display()
            ));
        }
    }
    let roots = splits.iter().map(|(split, folder)| Root {
        split: Some(*split),
        folder: (*folder).clone(),
    });
    Ok(Roots::Some(roots.collect()))
}

/// The folders that are named like splits and hold class folders, sorted by split and path.
fn splits_among<'f, 'a>(folders: &'f [Folder<'a>]) -> Vec<(Split, &'f Folder<'a>)> {
    let candidates = || folders.iter().filter(|folder| folder.holds_class_folders());
    let mut splits: Vec<_> = candidates()
        .filter_map(|folder| Some((folder.split()?, folder)))
        .collect();
    let has = |wanted| splits.iter().any(|(split, _)| *split == wanted);
    if has(Split::Train) && !has(Split::Val) {
        let perhaps = candidates().filter(|folder| Split::is_perhaps_val(&file_name(&folder.path)));
        splits.extend(perhaps.map(|folder| (Split::Val, folder)));
    }
    splits.sort_by(|(a, one), (b, other)| (a, &one.path).cmp(&(b, &other.path)));
    splits
}

/// No folder is a split: each is a class, unless all are named like splits.
fn without_splits<'a>(root: Folder<'a>, holding: &[&Folder<'_>]) -> Result<Roots<'a>, Error> {
    if holding.iter().any(|folder| folder.split().is_none()) {
        return Ok(Roots::Some(vec![Root {
            split: None,
            folder: root,
        }]));
    }
    let place = root.path.display();
    Ok(Roots::None(match (holding.first(), root.direct) {
        (Some(split), _) => format!(
            "the {} images in {} lie in no class folders",
            split.images.len(),
            split.path.display()
        ),
        (None, 0) if folders_in(&root.path)?.is_empty() && files_in(&root.path)?.is_empty() => {
            format!("{place} is empty")
        }
        (None, 0) => format!("no images below {place}"),
        (None, direct) => format!("the {direct} images in {place} lie in no class folders"),
    }))
}

/// One folder that is named like a split and holds class folders, and others that hold images, too:
/// which of them are meant can only be told where the others are plainly classes.
fn beside_one_split<'a>(
    root: Folder<'a>,
    split: &Folder<'_>,
    others: &[&Folder<'_>],
    notes: &mut Vec<String>,
) -> Result<Roots<'a>, Error> {
    let names: Vec<String> = others
        .iter()
        .map(|folder| file_name(&folder.path))
        .collect();
    let are_classes = others.len() > 1 && others.iter().all(|folder| folder.direct > 0);
    let are_inside = split
        .holders
        .iter()
        .any(|holder| names.contains(&holder.to_string_lossy().into_owned()));
    let split_name = file_name(&split.path);
    let others_named = quoted(&names).unwrap_or_default();
    if are_classes && !are_inside {
        notes.push(format!(
            "`{split_name}` counts as a class beside {others_named}; if it is a split, name {} alone",
            split.path.display()
        ));
        return Ok(Roots::Some(vec![Root {
            split: None,
            folder: root,
        }]));
    }
    let images: usize = others.iter().map(|folder| folder.images.len()).sum();
    Err(Error::Ambiguous {
        path: root.path,
        reason: format!(
            "`{split_name}` looks like a split, and {others_named} with {images} images would be \
             left out; rename or move what is no split, or name one folder alone, as {}",
            split.path.display()
        ),
    })
}
