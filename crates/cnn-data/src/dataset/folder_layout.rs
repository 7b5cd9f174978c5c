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

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use super::files::{Listing, dead_links_in, file_name, files_in, folders_in, image_files};
use super::files::{is_image_name, quoted};
use super::{ImageFolder, Split};
use crate::{Error, Skipped};

/// How many wrappers are entered, one inside the other.
const DEEPEST: usize = 4;

/// Names of folders of images that are no class beside splits.
const UNLABELLED: &[&str] = &["unlabeled", "unlabelled", "unsup", "unsupervised"];

/// Where the images of each class lie.
#[derive(Clone, Debug)]
pub(super) struct FolderLayout {
    /// Those with training images, and then those that only other splits have.
    pub(super) classes: Vec<String>,
    pub(super) parts: Vec<FolderPart>,
    /// What was left out, and how it was understood, in sentences.
    pub(super) notes: Vec<String>,
}

/// The class folders of a split, or of a dataset that is not divided.
#[derive(Clone, Debug)]
pub(super) struct FolderPart {
    pub(super) split: Option<Split>,
    root: PathBuf,
    /// Each with the number of its class.
    folders: Vec<(PathBuf, usize)>,
}

impl FolderPart {
    pub(super) fn root(&self) -> &Path {
        &self.root
    }
}

impl FolderLayout {
    /// Recognises class folders; otherwise says what was found instead.
    pub(super) fn recognise(root: &Path) -> Result<Result<Self, String>, Error> {
        let mut notes = Vec::new();
        let mut unreadable = Vec::new();
        let place = enter_wrappers(root, &mut notes)?;
        let roots = match split_roots(&place, &mut notes, &mut unreadable)? {
            Roots::Splits(roots) => roots,
            Roots::Whole => vec![(None, place.clone())],
            Roots::Unknown(reason) => return Ok(Err(reason)),
        };
        let roots = enter_wrapped_splits(roots, &mut notes)?;
        let mut parts = Vec::new();
        for (split, root) in roots {
            let children = Child::all(&root, &mut unreadable)?;
            parts.push((split, root, children));
        }
        let layout = Self::number(parts, &mut notes);
        notes.extend(
            unreadable
                .iter()
                .map(|Skipped { path, reason }| format!("{path} is left out: {reason}")),
        );
        Ok(Ok(Self { notes, ..layout }))
    }

    /// Gives the classes their numbers.
    fn number(parts: Vec<(Option<Split>, PathBuf, Vec<Child>)>, notes: &mut Vec<String>) -> Self {
        let mut classes = ClassNames::default();
        let is_trained = |split: Option<Split>| split.is_none_or(|split| split == Split::Train);
        let leads = parts.iter().any(|(split, ..)| is_trained(*split));
        let (leading, others): (Vec<_>, Vec<_>) = parts
            .iter()
            .partition(|(split, ..)| is_trained(*split) || !leads);
        classes.add(leading.iter().flat_map(|(.., children)| children));
        let trained = classes.names.len();
        classes.add(others.iter().flat_map(|(.., children)| children));
        if let Some(untrained) = quoted(&classes.names[trained..]) {
            let among = if leads { "training images" } else { "images" };
            notes.push(format!("there are no {among} of {untrained}"));
        }
        let empty: Vec<String> = parts
            .iter()
            .flat_map(|(.., children)| children)
            .filter(|child| child.below == 0)
            .map(|child| child.name())
            .filter(|name| !classes.names.contains(name))
            .collect::<std::collections::BTreeSet<_>>()
            .into_iter()
            .collect();
        if let Some(empty) = quoted(&empty) {
            notes.push(format!("no images lie in {empty}: no class of that name"));
        }
        let parts = parts.into_iter().map(|(split, root, children)| FolderPart {
            split,
            root,
            folders: children
                .into_iter()
                .filter(|child| child.below > 0)
                .filter_map(|child| Some((child.path.clone(), classes.number(&child)?)))
                .collect(),
        });
        Self {
            parts: parts.collect(),
            classes: classes.names,
            notes: Vec::new(),
        }
    }

    pub(super) fn open(&self, number: usize) -> Result<ImageFolder, Error> {
        let part = &self.parts[number];
        ImageFolder::of_folders(&part.root, self.classes.clone(), &part.folders)
    }
}

/// A folder inside the dataset's, and what it holds.
#[derive(Clone, Debug)]
struct Child {
    path: PathBuf,
    /// Images directly in it.
    direct: usize,
    /// Images in it and below.
    below: usize,
    /// The folders directly in it that hold images or have some below.
    holders: Vec<PathBuf>,
}

impl Child {
    fn all(folder: &Path, unreadable: &mut Vec<Skipped>) -> Result<Vec<Self>, Error> {
        for link in dead_links_in(folder)? {
            if !is_image_name(&link) {
                unreadable.push(Skipped {
                    path: link.display().to_string(),
                    reason: "a link that leads nowhere".to_string(),
                });
            }
        }
        folders_in(folder)?
            .into_iter()
            .map(|path| Self::new(path, unreadable))
            .collect()
    }

    fn new(path: PathBuf, unreadable: &mut Vec<Skipped>) -> Result<Self, Error> {
        let Listing {
            files,
            unreadable: faults,
        } = image_files(&path)?;
        unreadable.extend(faults);
        let mut holders: Vec<PathBuf> = files
            .iter()
            .filter_map(|file| {
                let mut parts = file.strip_prefix(&path).ok()?.iter();
                let first = parts.next()?;
                parts.next().map(|_| path.join(first))
            })
            .collect();
        holders.sort();
        holders.dedup();
        let direct = files
            .iter()
            .filter(|file| file.parent() == Some(&path))
            .count();
        Ok(Self {
            direct,
            below: files.len(),
            holders,
            path,
        })
    }

    /// The name of the class that it may be.
    fn name(&self) -> String {
        file_name(&self.path).nfc().collect()
    }

    fn split(&self) -> Option<Split> {
        Split::of_folder_name(&file_name(&self.path))
    }

    fn holds_class_folders(&self) -> bool {
        !self.holders.is_empty()
    }
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
    fn add<'a>(&mut self, children: impl Iterator<Item = &'a Child>) {
        let mut new: BTreeMap<Vec<u8>, String> = BTreeMap::new();
        for child in children.filter(|child| child.below > 0) {
            let key = key(child);
            if let Some(number) = self.number(child) {
                self.numbers.insert(key, number);
            } else {
                new.insert(key, child.name());
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
    fn number(&self, child: &Child) -> Option<usize> {
        self.numbers.get(&key(child)).copied().or_else(|| {
            let name = child.name().to_lowercase();
            let mut alike =
                (0..self.names.len()).filter(|&number| self.names[number].to_lowercase() == name);
            alike.next().filter(|_| alike.next().is_none())
        })
    }
}

/// What tells class folders apart: the name in Unicode's normal form C, or the bytes of one that is
/// no text.
fn key(child: &Child) -> Vec<u8> {
    let name = child.path.file_name().unwrap_or_default();
    match name.to_str() {
        Some(text) => text.nfc().collect::<String>().into_bytes(),
        None => name.as_encoded_bytes().to_vec(),
    }
}

/// The folder inside those that hold nothing but one folder of folders, as unpacked archives do.
fn enter_wrappers(root: &Path, notes: &mut Vec<String>) -> Result<PathBuf, Error> {
    let mut place = root.to_owned();
    for _ in 0..DEEPEST {
        let Some(inside) = inside_of_wrapper(&place)? else {
            break;
        };
        notes.push(format!(
            "{} is the only folder in {}: what it holds is read",
            file_name(&inside),
            place.display()
        ));
        place = inside;
    }
    Ok(place)
}

type Root = (Option<Split>, PathBuf);

/// The same for splits, if all of them are wrappers: `test` alone may have images of one class only.
fn enter_wrapped_splits(roots: Vec<Root>, notes: &mut Vec<String>) -> Result<Vec<Root>, Error> {
    let mut inside = Vec::new();
    for (split, root) in &roots {
        match inside_of_wrapper(root)? {
            Some(inner) if split.is_some() => inside.push((*split, inner)),
            _ => return Ok(roots),
        }
    }
    for (_, inner) in &inside {
        notes.push(format!("what {} holds is read", inner.display()));
    }
    Ok(inside)
}

fn inside_of_wrapper(folder: &Path) -> Result<Option<PathBuf>, Error> {
    if files_in(folder)?.iter().any(|file| is_image_name(file)) {
        return Ok(None);
    }
    let children = Child::all(folder, &mut Vec::new())?;
    let mut holding = children.into_iter().filter(|child| child.below > 0);
    let (Some(only), None) = (holding.next(), holding.next()) else {
        return Ok(None);
    };
    if only.direct > 0 {
        return Ok(None);
    }
    // In a split, a folder that is called like one is no class, as in `training_set/training_set`;
    // elsewhere it is the split.
    let is_inside_split = Split::of_folder_name(&file_name(folder)).is_some();
    let holds_more = match (&only.holders[..], only.split()) {
        ([], _) => false,
        (_, Some(_)) => is_inside_split,
        ([inner], None) => Child::new(inner.clone(), &mut Vec::new())?.direct == 0,
        _ => true,
    };
    Ok(holds_more.then_some(only.path))
}

/// How a folder is divided.
enum Roots {
    Splits(Vec<Root>),
    Whole,
    /// It holds no class folders.
    Unknown(String),
}

fn split_roots(
    root: &Path,
    notes: &mut Vec<String>,
    unreadable: &mut Vec<Skipped>,
) -> Result<Roots, Error> {
    let children = Child::all(root, unreadable)?;
    let mut splits: Vec<(Split, &Child)> = children
        .iter()
        .filter(|child| child.holds_class_folders())
        .filter_map(|child| Some((child.split()?, child)))
        .collect();
    let has = |split, splits: &[(Split, &Child)]| splits.iter().any(|(of, _)| *of == split);
    if has(Split::Train, &splits) && !has(Split::Val, &splits) {
        splits.extend(
            children
                .iter()
                .filter(|child| child.holds_class_folders())
                .filter(|child| Split::is_perhaps_val(&file_name(&child.path)))
                .map(|child| (Split::Val, child)),
        );
    }
    splits.sort_by(|a, b| (a.0, &a.1.path).cmp(&(b.0, &b.1.path)));
    let is_split = |child: &Child| splits.iter().any(|(_, split)| split.path == child.path);
    let others: Vec<&Child> = children
        .iter()
        .filter(|child| child.below > 0 && !is_split(child))
        .collect();
    if splits.is_empty() {
        return without_splits(root, &others);
    }
    if let Some([(split, first), (_, second)]) = splits.array_windows().find(|[a, b]| a.0 == b.0) {
        return Ok(Roots::Unknown(format!(
            "both {} and {} could be its {split} split",
            first.path.display(),
            second.path.display()
        )));
    }
    let (unlabelled, others): (Vec<&Child>, Vec<&Child>) = others.into_iter().partition(|child| {
        !child.holds_class_folders()
            && (child.split().is_some() || UNLABELLED.contains(&file_name(&child.path).as_str()))
    });
    if splits.len() == 1 && !others.is_empty() {
        return beside_one_split(root, splits[0].1, &others, notes);
    }
    for child in others {
        notes.push(format!(
            "the {} images in {} belong to no split and are left out",
            child.below,
            child.path.display()
        ));
    }
    for child in unlabelled {
        notes.push(format!(
            "the {} images in {} lie in no class folders, so they have no labels and are left out",
            child.below,
            child.path.display()
        ));
    }
    for child in &children {
        if let Some(split) = child.split().filter(|_| child.below == 0) {
            notes.push(format!(
                "no images lie in {}: it is no `{split}` split",
                child.path.display()
            ));
        }
    }
    let roots = splits
        .iter()
        .map(|(split, child)| (Some(*split), child.path.clone()));
    Ok(Roots::Splits(roots.collect()))
}

/// No folder is a split: each is a class, unless all are named like splits.
fn without_splits(root: &Path, holding: &[&Child]) -> Result<Roots, Error> {
    if !holding.is_empty() && !holding.iter().all(|child| child.split().is_some()) {
        return Ok(Roots::Whole);
    }
    if let Some(split) = holding.first() {
        return Ok(Roots::Unknown(format!(
            "the {} images in {} lie in no class folders",
            split.below,
            split.path.display()
        )));
    }
    let direct = files_in(root)?
        .iter()
        .filter(|file| is_image_name(file))
        .count();
    Ok(Roots::Unknown(match direct {
        0 if folders_in(root)?.is_empty() && files_in(root)?.is_empty() => {
            format!("{} is empty", root.display())
        }
        0 => format!("no images below {}", root.display()),
        _ => format!(
            "the {direct} images in {} lie in no class folders",
            root.display()
        ),
    }))
}

/// One folder that is named like a split and holds class folders, and others that hold images, too:
/// which of them are meant can only be told where the others are plainly classes.
fn beside_one_split(
    root: &Path,
    split: &Child,
    others: &[&Child],
    notes: &mut Vec<String>,
) -> Result<Roots, Error> {
    let names: Vec<String> = others.iter().map(|child| file_name(&child.path)).collect();
    let are_classes = others.len() > 1 && others.iter().all(|child| child.direct > 0);
    let are_inside = split
        .holders
        .iter()
        .any(|holder| names.contains(&file_name(holder)));
    let split_name = file_name(&split.path);
    let others_named = quoted(&names).unwrap_or_default();
    if are_classes && !are_inside {
        notes.push(format!(
            "`{split_name}` counts as a class beside {others_named}; if it is a split, name {} alone",
            split.path.display()
        ));
        return Ok(Roots::Whole);
    }
    let images: usize = others.iter().map(|child| child.below).sum();
    Err(Error::Ambiguous {
        path: root.to_owned(),
        reason: format!(
            "`{split_name}` looks like a split, and {others_named} with {images} images would be \
             left out; rename or move what is no split, or name one folder alone, as {}",
            split.path.display()
        ),
    })
}
