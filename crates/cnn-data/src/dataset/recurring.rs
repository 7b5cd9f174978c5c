//! Folders that count as classes and are probably something else: domains of one set of classes, or
//! classes that each have splits.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::Split;
use super::files::{file_name, files_in, folders_in, is_image_name};
use crate::Error;

/// How many folders that hold only one folder each are entered in search of one that holds several.
const DEEPEST: usize = 4;
/// How many names a message shows.
const SHOWN: usize = 3;

/// Class folders that hold, instead of images, folders whose names recur from class to class.
///
/// This is no error: as in torchvision, images in folders below a class folder are images of that
/// class. But in `amazon/mug` and `dslr/mug` it is probably the mug that is to be recognised, and
/// not the shop. [`fmt::Display`] says so and names what to do.
pub(super) struct RecurringFolders {
    /// The folder that holds the class folders.
    root: PathBuf,
    /// The names of the class folders.
    classes: Vec<String>,
    /// The names that recur in more than half of them, and are more than half of all names there.
    inside: Vec<String>,
    /// The folder in the first class folder that holds the first of these.
    first: PathBuf,
}

/// Looks for such class folders in these roots: none of them holds an image itself, and most of them
/// hold two or more folders of the same names.
pub(super) fn recurring_folders<'a>(
    roots: impl IntoIterator<Item = &'a Path>,
) -> Result<Option<RecurringFolders>, Error> {
    for root in roots {
        if let Some(found) = in_root(root)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn in_root(root: &Path) -> Result<Option<RecurringFolders>, Error> {
    let (mut classes, mut counts, mut first) = (Vec::new(), BTreeMap::<String, usize>::new(), None);
    for class in folders_in(root)? {
        let Some(place) = several_folders(&class)? else {
            return Ok(None);
        };
        for folder in folders_in(&place)? {
            *counts.entry(file_name(&folder)).or_default() += 1;
        }
        classes.push(file_name(&class));
        first.get_or_insert(place);
    }
    let names = counts.len();
    let inside: Vec<String> = counts
        .into_iter()
        .filter(|(_, count)| 2 * count > classes.len())
        .map(|(name, _)| name)
        .collect();
    let do_recur = classes.len() >= 2 && inside.len() >= 2 && 2 * inside.len() > names;
    Ok(first.filter(|_| do_recur).map(|first| RecurringFolders {
        root: root.to_owned(),
        classes,
        inside,
        first,
    }))
}

/// The first folder that holds several folders: `folder` itself, or one that is reached through
/// folders with only one folder in each. `None` if a folder on the way holds images.
fn several_folders(folder: &Path) -> Result<Option<PathBuf>, Error> {
    let mut place = folder.to_owned();
    for _ in 0..DEEPEST {
        if files_in(&place)?.iter().any(|file| is_image_name(file)) {
            return Ok(None);
        }
        match folders_in(&place)?.as_slice() {
            [] => return Ok(None),
            [only] => place = only.clone(),
            _ => return Ok(Some(place)),
        }
    }
    Ok(None)
}

impl fmt::Display for RecurringFolders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            root,
            classes,
            inside,
            first,
        } = self;
        write!(
            f,
            "{} in {} count as classes, but hold no images themselves, only folders of the same names ({})",
            list(classes),
            root.display(),
            list(inside)
        )?;
        if inside.iter().all(|name| Split::of_name(name).is_some()) {
            return write!(
                f,
                "; so these are not taken for splits, which lie above the class folders, as train/{}",
                classes[0]
            );
        }
        write!(
            f,
            "; if those are the classes, take one of the former alone, as {}",
            first.display()
        )
    }
}

/// "a, b, c and 5 more".
fn list(names: &[String]) -> String {
    match names.len() {
        0..=SHOWN => names.join(", "),
        all => format!("{} and {} more", names[..SHOWN].join(", "), all - SHOWN),
    }
}
