//! Where the photos of a YOLO dataset are that a file names: folders, and lists of paths.

use std::path::{Path, PathBuf};

use super::pairs::lines;
use crate::Error;
use crate::dataset::Split;
use crate::dataset::files::{has_extension, image_files, is_image_name};
use crate::dataset::photo_names::{PhotoNames, agreeing_parts};

/// The largest list of photos that is read, in bytes.
const MOST_BYTES: u64 = 256 << 20;

/// The folders that paths are meant from.
pub(super) struct PhotoPlaces<'a> {
    roots: Vec<PathBuf>,
    photos: PhotoNames<'a>,
}

impl<'a> PhotoPlaces<'a> {
    /// Paths are meant from `path`, if it is there, and then from `root`, which holds `images`.
    pub(super) fn of(root: &Path, path: Option<&str>, images: &'a [PathBuf]) -> Self {
        let named = path
            .map(|path| root.join(path))
            .filter(|path| path.is_dir());
        let mut roots: Vec<PathBuf> = named.into_iter().collect();
        roots.push(root.to_owned());
        Self {
            roots,
            photos: PhotoNames::of(images),
        }
    }

    /// The photos in folders and lists; what is not there is told.
    pub(super) fn photos(
        &self,
        entries: &[String],
        notes: &mut Vec<String>,
    ) -> Result<Vec<PathBuf>, Error> {
        let mut photos = Vec::new();
        for entry in entries {
            match self.find(entry) {
                Some(folder) if folder.is_dir() => photos.extend(image_files(&folder)?.files),
                Some(list) if has_extension(&list, &["txt"]) => {
                    photos.extend(self.listed(&list, notes)?);
                }
                Some(photo) if is_image_name(&photo) => photos.push(photo),
                Some(other) => notes.push(format!(
                    "{} is neither a folder nor a list of photos and is left out",
                    other.display()
                )),
                None => notes.push(format!("`{entry}` is not there")),
            }
        }
        Ok(photos)
    }

    /// A path that is there. Programs write `../train` where they mean `train` beside the file.
    fn find(&self, entry: &str) -> Option<PathBuf> {
        let entry = entry.replace('\\', "/");
        let inside = entry.trim_start_matches("../");
        let roots = self.roots.iter();
        let mut paths = roots.flat_map(|root| [root.join(&entry), root.join(inside)]);
        paths.find(|path| path.exists())
    }

    /// The photos that a list names, a line each.
    fn listed(&self, list: &Path, notes: &mut Vec<String>) -> Result<Vec<PathBuf>, Error> {
        let lines = lines(list, MOST_BYTES);
        let lines = lines.map_err(|reason| Error::broken_dataset(list, reason))?;
        let folder = list.parent().unwrap_or(Path::new(""));
        let mut photos = Vec::new();
        let mut absent = Vec::new();
        for line in &lines {
            let name = line.replace('\\', "/");
            let bare = name.strip_prefix("./").unwrap_or(&name);
            let places = [folder]
                .into_iter()
                .chain(self.roots.iter().map(PathBuf::as_path));
            let direct = places
                .map(|place| place.join(bare))
                .find(|path| path.is_file());
            match direct.or_else(|| find_photo(&self.photos, Path::new(bare))) {
                Some(photo) if is_image_name(&photo) => photos.push(photo),
                _ => absent.push(line),
            }
        }
        if let Some(first) = absent.first() {
            notes.push(format!(
                "{} photos of {} are not there and are left out, as `{first}`",
                absent.len(),
                list.display()
            ));
        }
        Ok(photos)
    }
}

/// The photos that lists called `train.txt`, `val.txt` or `test.txt` in a folder name; a file of
/// such a name whose first line is no photo is none.
pub(super) fn listed_in(
    root: &Path,
    images: &[PathBuf],
    notes: &mut Vec<String>,
) -> Vec<(Split, Vec<PathBuf>)> {
    let places = PhotoPlaces::of(root, None, images);
    let mut found = Vec::new();
    for split in Split::ALL {
        let names = split.names().iter();
        let list = names.map(|name| root.join(format!("{name}.txt")));
        let Some(list) = list.into_iter().find(|list| list.is_file()) else {
            continue;
        };
        let mut said = Vec::new();
        let photos = places.listed(&list, &mut said).unwrap_or_default();
        if !photos.is_empty() {
            notes.append(&mut said);
            found.push((split, photos));
        }
    }
    found
}

/// The photo whose path ends as most of this one does; `None` where two are as good.
fn find_photo(photos: &PhotoNames<'_>, path: &Path) -> Option<PathBuf> {
    let candidates = photos.called(path).iter();
    let agreeing = |photo: &Path| agreeing_parts(photo, path);
    let best = candidates.clone().map(|photo| agreeing(photo)).max()?;
    let mut found = candidates.filter(|photo| agreeing(photo) == best);
    match (found.next(), found.next()) {
        (Some(only), None) => Some(only.to_path_buf()),
        _ => None,
    }
}
