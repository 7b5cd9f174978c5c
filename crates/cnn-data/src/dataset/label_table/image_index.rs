//! Finding the image that a row of a table names.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use crate::dataset::files::{Listing, files_in, files_within, is_image_name};
use crate::{Error, Skipped, Split};

/// How far below a table that is named itself images are looked for: it may lie in a large folder.
const DEEPEST: usize = 3;

/// How many folders whose images have no row a note names.
const SHOWN_FOLDERS: usize = 3;

/// The image files below a folder, by their names.
pub(in crate::dataset) struct ImageIndex {
    root: PathBuf,
    is_whole: bool,
    images: OnceCell<Images>,
}

struct Images {
    files: Vec<PathBuf>,
    unreadable: Vec<Skipped>,
    of_name: HashMap<String, Vec<usize>>,
    /// By the name without its ending.
    of_stem: HashMap<String, Vec<usize>>,
}

/// What a field of a table stands for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Named {
    Image(PathBuf),
    /// Chosen among files of the same name, since it lies in the folder of the row's split.
    Chosen(PathBuf),
    Several(Vec<PathBuf>),
    /// A path that leads out of the folder.
    Outside(PathBuf),
    Nothing,
}

impl ImageIndex {
    /// The image files that were found below a folder.
    pub(in crate::dataset) fn of_files(root: &Path, files: &[PathBuf]) -> Self {
        let images = Images::of(files.to_vec(), Vec::new());
        Self {
            root: root.to_owned(),
            is_whole: true,
            images: OnceCell::from(images),
        }
    }

    /// The image files near a table, which are listed only if a row needs that.
    pub(super) fn near(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            is_whole: false,
            images: OnceCell::new(),
        }
    }

    /// The image files of the whole folder, where they are known.
    pub(super) fn whole(&self) -> Option<&[PathBuf]> {
        let images = self.images.get().filter(|_| self.is_whole);
        images.map(|images| images.files.as_slice())
    }

    /// Says how many images in which folders no row names: in all of the dataset's folder, or else in
    /// those that rows come from.
    pub(super) fn without_row(&self, is_used: &HashSet<&Path>) -> Result<Vec<String>, Error> {
        let folders: BTreeSet<&Path> = is_used.iter().filter_map(|image| image.parent()).collect();
        let mut count_of: BTreeMap<PathBuf, usize> = BTreeMap::new();
        let mut count = |file: &Path| {
            if let Some(folder) = file.parent().filter(|_| !is_used.contains(file)) {
                *count_of.entry(folder.to_owned()).or_default() += 1;
            }
        };
        match self.whole() {
            Some(files) => files.iter().for_each(|file| count(file)),
            None => {
                for folder in folders {
                    let files = files_in(folder)?;
                    files
                        .iter()
                        .filter(|file| is_image_name(file))
                        .for_each(|file| count(file));
                }
            }
        }
        let mut notes: Vec<String> = count_of
            .iter()
            .take(SHOWN_FOLDERS)
            .map(|(folder, count)| {
                format!(
                    "{count} images in {} have no row and are left out",
                    folder.display()
                )
            })
            .collect();
        let more: usize = count_of.values().skip(SHOWN_FOLDERS).sum();
        if more > 0 {
            notes.push(format!("{more} images in other folders have no row, too"));
        }
        Ok(notes)
    }

    /// What lies there and could not be listed.
    pub(super) fn unreadable(&self) -> &[Skipped] {
        self.images.get().map_or(&[], |images| &images.unreadable)
    }

    /// The image that a field of a table in the folder `base` names, for a row of the split `split`:
    /// first as a path from there, then as the end of a path below the root, then the same without
    /// the file's ending.
    pub(super) fn find(
        &self,
        base: &Path,
        field: &str,
        split: Option<Split>,
    ) -> Result<Named, Error> {
        let slashes = field.replace('\\', "/");
        let texts = [field, slashes.as_str()];
        // They differ where a table was written on Windows.
        let distinct = if field == slashes {
            &texts[..1]
        } else {
            &texts
        };
        for text in distinct {
            let path = Path::new(text);
            if leads_out(path) {
                let path = base.join(path);
                return Ok(if path.is_file() {
                    Named::Outside(path)
                } else {
                    Named::Nothing
                });
            }
            let direct = base.join(path);
            if !text.is_empty() && direct.is_file() {
                return Ok(Named::Image(direct.components().collect()));
            }
        }
        let path: PathBuf = Path::new(&slashes)
            .components()
            .filter(|part| !matches!(part, Component::CurDir))
            .collect();
        let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else {
            return Ok(Named::Nothing);
        };
        let name = name.to_string_lossy();
        let images = self.images()?;
        let found = [&images.of_name, &images.of_stem]
            .into_iter()
            .map(|of| {
                let places = of.get(name.as_ref()).into_iter().flatten();
                let files = places.map(|&place| &images.files[place]);
                let lies_there = |file: &&PathBuf| {
                    let inside = file.strip_prefix(&self.root).unwrap_or(file).parent();
                    inside.is_some_and(|inside| inside.ends_with(folder))
                };
                files.filter(lies_there).collect::<Vec<_>>()
            })
            .find(|found| !found.is_empty())
            .unwrap_or_default();
        let is_of_split = |file: &&&PathBuf| {
            let inside = file.strip_prefix(&self.root).unwrap_or(file);
            let mut folders = inside.iter().map(|part| part.to_string_lossy());
            folders.any(|part| Split::of_folder_name(&part) == Some(split.unwrap_or(Split::Train)))
        };
        Ok(match found[..] {
            [] => Named::Nothing,
            [only] => Named::Image(only.clone()),
            _ => match found.iter().filter(is_of_split).collect::<Vec<_>>()[..] {
                [only] => Named::Chosen((*only).clone()),
                _ => Named::Several(found.into_iter().cloned().collect()),
            },
        })
    }

    fn images(&self) -> Result<&Images, Error> {
        if let Some(images) = self.images.get() {
            return Ok(images);
        }
        let Listing { files, unreadable } = files_within(&self.root, DEEPEST, is_image_name)?;
        Ok(self.images.get_or_init(|| Images::of(files, unreadable)))
    }
}

impl Images {
    fn of(files: Vec<PathBuf>, unreadable: Vec<Skipped>) -> Self {
        let mut of_name: HashMap<String, Vec<usize>> = HashMap::new();
        let mut of_stem: HashMap<String, Vec<usize>> = HashMap::new();
        for (place, file) in files.iter().enumerate() {
            let text = |part: Option<&std::ffi::OsStr>| {
                part.unwrap_or_default().to_string_lossy().into_owned()
            };
            of_name
                .entry(text(file.file_name()))
                .or_default()
                .push(place);
            of_stem
                .entry(text(file.file_stem()))
                .or_default()
                .push(place);
        }
        Self {
            files,
            unreadable,
            of_name,
            of_stem,
        }
    }
}

/// Whether a path is absolute or goes above the folder that it starts from.
fn leads_out(path: &Path) -> bool {
    let mut depth = 0_i64;
    for part in path.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => depth -= 1,
            Component::RootDir | Component::Prefix(_) => return true,
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::fs;

    use super::*;

    #[test]
    fn names_paths_and_ids() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let names = [
            "1.jpg",
            "images/2.jpg",
            "images/sub/3.JPG",
            "train/4.png",
            "test/4.png",
            "val/5.png",
            "other/5.png",
            "more/5.png",
            "images/v1.2.jpg",
        ];
        for name in names {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), "").unwrap();
        }
        let image = |name: &str| Named::Image(root.join(name));
        let index = ImageIndex::near(root);
        let find = |field: &str| index.find(root, field, None).unwrap();
        assert_eq!(find("1.jpg"), image("1.jpg"));
        assert_eq!(find("./images/2.jpg"), image("images/2.jpg"));
        assert_eq!(find(r"images\2.jpg"), image("images/2.jpg"));
        assert!(index.images.get().is_none());
        assert_eq!(find("2.jpg"), image("images/2.jpg"));
        assert_eq!(find("2"), image("images/2.jpg"));
        assert_eq!(find("sub/3"), image("images/sub/3.JPG"));
        assert_eq!(find("v1.2"), image("images/v1.2.jpg"));
        assert_eq!(find("ub/3"), Named::Nothing);
        assert_eq!(find("3.jpg"), Named::Nothing);
        assert_eq!(find(""), Named::Nothing);
        assert_eq!(find("4.png"), Named::Chosen(root.join("train/4.png")));
        let test = index.find(root, "4", Some(Split::Test)).unwrap();
        assert_eq!(test, Named::Chosen(root.join("test/4.png")));
        assert!(matches!(find("5.png"), Named::Several(files) if files.len() == 3));
        let inner = root.join("images");
        let outside = |field: &str| index.find(&inner, field, None).unwrap();
        assert_eq!(outside("../1.jpg"), Named::Outside(inner.join("../1.jpg")));
        assert_eq!(outside("sub/../2.jpg"), image("images/sub/../2.jpg"));
        assert_eq!(outside("../9.jpg"), Named::Nothing);
        let absolute = root.join("1.jpg");
        let field = absolute.to_str().unwrap();
        assert_eq!(outside(field), Named::Outside(absolute.clone()));
    }
}
