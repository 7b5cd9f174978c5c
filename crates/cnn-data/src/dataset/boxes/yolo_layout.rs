//! Which text files are YOLO's, which photos they belong to, and which split these are of.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::faults::{Fault, Tally, mended};
use super::images::{BoxedPhoto, Unit};
use super::layout::{BoxFiles, BoxLayout, BoxPart};
use super::names::{NameFile, is_name_file};
use super::pairs::{Pair, by_split, counted, read_bounded, split_below, spread};
use super::photo_places::{PhotoPlaces, listed_in};
use super::yolo::{MOST_BYTES, YoloLabels};
use super::yolo_data::{YoloData, unnamed};
use crate::Error;
use crate::dataset::files::{
    Listing, file_name, files_below, files_in, has_extension, is_image_name,
};
use crate::dataset::{DatasetFormat, Split};

/// How many text files are looked at.
const LOOKED_AT: usize = 20;
/// The largest YAML file that is read, in bytes.
const MOST_YAML_BYTES: u64 = 4 << 20;

type Part = (Option<Split>, Vec<Pair>);

/// `None` where no YAML file names classes and the text files are not YOLO's.
pub(super) fn recognise(
    files: &BoxFiles<'_>,
    unread: &mut Vec<String>,
) -> Result<Option<BoxLayout>, Error> {
    let mut notes = Vec::new();
    if let Some((file, data)) = yaml_in(files.place, &mut notes) {
        return of_data(&file, &data, files, notes).map(Some);
    }
    let texts = files.with_ending(&["txt"]);
    let known: HashSet<&Path> = texts.iter().copied().collect();
    let is_there = |path: &Path| known.contains(path);
    let images = files.images.iter();
    let pairs: Vec<Pair> = images
        .map(|image| Pair::of(image, "txt", &is_there))
        .collect();
    let paired: Vec<&Pair> = pairs
        .iter()
        .filter(|pair| pair.annotation.is_some())
        .collect();
    if !are_labels(&paired) {
        return Ok(None);
    }
    let name = "text files of boxes, as YOLO's,";
    if files.are_classes && paired.iter().all(|pair| pair.is_beside()) {
        unread.push(format!(
            "the folders are the classes; {name} beside the images are not read"
        ));
        return Ok(None);
    }
    let lists = listed_in(files.place, files.images, &mut notes);
    if lists.is_empty() && 2 * paired.len() < pairs.len() {
        let counts = format!("{} of {} photos", paired.len(), pairs.len());
        unread.push(format!("{name} belong to {counts} only and are not read"));
        return Ok(None);
    }
    let parts: Vec<Part> = if lists.is_empty() {
        by_folder(files.root, pairs.iter().cloned(), &mut notes)
    } else {
        let pair = |photo: &PathBuf| Pair::of(photo, "txt", &is_there);
        let parts = lists.iter();
        parts
            .map(|(split, photos)| (Some(*split), photos.iter().map(pair).collect()))
            .collect()
    };
    let taken: HashSet<&Path> = paired
        .iter()
        .filter_map(|pair| pair.annotation.as_deref())
        .collect();
    let is_alone = |text: &&Path| {
        let is_label =
            || read_bounded(text, MOST_BYTES).is_ok_and(|bytes| YoloLabels::parse(&bytes).is_ok());
        !taken.contains(text)
            && !is_name_file(text)
            && text.parent() != Some(files.place)
            && is_label()
    };
    let alone: Vec<&Path> = texts.iter().copied().filter(is_alone).collect();
    notes.extend(counted(
        &alone,
        "files of boxes have no photo of their name and are left out",
    ));
    let folders = folders_of_names(files.root, &parts);
    let folders: Vec<&Path> = folders.iter().map(PathBuf::as_path).collect();
    let names = NameFile::in_folders(&folders, &mut notes);
    let names = names.map(|NameFile { path, names }| (path, names));
    Ok(Some(read(files.root, parts, names, notes)))
}

/// The dataset that a YAML file names.
pub(super) fn of_yaml(file: &Path) -> Result<BoxLayout, Error> {
    let data = read_yaml(file).map_err(|reason| Error::broken_dataset(file, reason))?;
    let folder = file
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty());
    let root = folder.unwrap_or(Path::new("."));
    let Listing { files, .. } = files_below(root, is_image_name)?;
    let found = BoxFiles {
        root,
        place: root,
        images: &files,
        annotations: &[],
        are_classes: false,
    };
    of_data(file, &data, &found, Vec::new())
}

fn of_data(
    file: &Path,
    data: &YoloData,
    files: &BoxFiles<'_>,
    mut notes: Vec<String>,
) -> Result<BoxLayout, Error> {
    let is_there = |path: &Path| path.is_file();
    let pair = |photo: &PathBuf| Pair::of(photo, "txt", &is_there);
    let places = PhotoPlaces::of(files.place, data.path(), files.images);
    let mut parts: Vec<Part> = Vec::new();
    for (split, entries) in data.splits() {
        let photos = places.photos(entries, &mut notes)?;
        if photos.is_empty() {
            notes.push(format!(
                "{} names no photos of `{split}` that are there",
                file.display()
            ));
            continue;
        }
        parts.push((Some(split), photos.iter().map(pair).collect()));
    }
    if parts.is_empty() {
        let pairs = files.images.iter().map(pair);
        parts = by_folder(files.root, pairs, &mut notes);
    }
    if parts.iter().all(|(_, photos)| photos.is_empty()) {
        let reason = "none of its photos are there; `train`, `val` and `test` are folders or lists of \
                      photos, from `path` or from the file's own folder";
        return Err(Error::broken_dataset(file, reason));
    }
    let names = (file.to_owned(), data.names().to_vec());
    Ok(read(files.root, parts, Some(names), notes))
}

/// The YAML file in a folder that names classes; of several one called `data` or `dataset`, or else the first.
fn yaml_in(folder: &Path, notes: &mut Vec<String>) -> Option<(PathBuf, YoloData)> {
    let files = files_in(folder).unwrap_or_default().into_iter();
    let mut yamls: Vec<PathBuf> = files
        .filter(|file| has_extension(file, &["yaml", "yml"]))
        .collect();
    let is_usual = |file: &PathBuf| {
        let name = file_name(file).to_lowercase();
        name.starts_with("data.") || name.starts_with("dataset.")
    };
    yamls.sort_by_key(|file| !is_usual(file));
    let mut found: Option<(PathBuf, YoloData)> = None;
    for file in yamls {
        match (read_yaml(&file), &found) {
            (Ok(data), None) => found = Some((file, data)),
            (Ok(_), Some((first, _))) => notes.push(format!(
                "{} is read, and not {}",
                first.display(),
                file.display()
            )),
            (Err(reason), None) if is_usual(&file) => {
                notes.push(format!("{} is not read: {reason}", file.display()));
            }
            (Err(_), _) => {}
        }
    }
    found
}

fn read_yaml(file: &Path) -> Result<YoloData, String> {
    read_bounded(file, MOST_YAML_BYTES).and_then(|bytes| YoloData::parse(&bytes))
}

/// Whether at least half of the first files are YOLO's, and one of them says something.
fn are_labels(paired: &[&Pair]) -> bool {
    let files = spread(paired, LOOKED_AT).filter_map(|pair| pair.annotation.as_deref());
    let parsed = files
        .map(|file| read_bounded(file, MOST_BYTES).and_then(|bytes| YoloLabels::parse(&bytes)));
    let parsed: Vec<Result<YoloLabels, String>> = parsed.collect();
    let labels = parsed.iter().flatten();
    let says_something = labels.clone().any(|labels| !labels.placed().is_empty());
    says_something && 2 * labels.count() >= parsed.len()
}

fn by_folder(root: &Path, pairs: impl Iterator<Item = Pair>, notes: &mut Vec<String>) -> Vec<Part> {
    let placed = pairs.map(|pair| (split_below(root, &pair.photo), pair));
    by_split(placed, notes).into_iter().collect()
}

/// The folder, and those of the first labels and above them.
fn folders_of_names(root: &Path, parts: &[Part]) -> Vec<PathBuf> {
    let mut folders = vec![root.to_owned()];
    for (_, pairs) in parts {
        let first = pairs.iter().find_map(|pair| pair.annotation.as_deref());
        let above = first.into_iter().flat_map(Path::ancestors).skip(1);
        folders.extend(
            above
                .take_while(|folder| *folder != root)
                .map(Path::to_owned),
        );
    }
    folders
}

/// Reads the files of all parts, in parallel.
fn read(
    root: &Path,
    parts: Vec<Part>,
    names: Option<(PathBuf, Vec<String>)>,
    mut notes: Vec<String>,
) -> BoxLayout {
    let without: Vec<&Path> = parts
        .iter()
        .flat_map(|(_, pairs)| pairs)
        .filter(|pair| pair.annotation.is_none())
        .map(|pair| pair.photo.as_path())
        .collect();
    notes.extend(counted(
        &without,
        "photos have no file of boxes, and nothing is in them",
    ));
    let parts: Vec<ReadPart> = parts
        .into_iter()
        .map(|(split, pairs)| (split, pairs.into_par_iter().map(labels_of).collect()))
        .collect();
    let classes = match names {
        Some((path, names)) => {
            notes.push(format!(
                "{} names the {} classes",
                path.display(),
                names.len()
            ));
            names
        }
        None => {
            let all = parts.iter().flat_map(|(_, photos)| photos);
            let labels = all.filter_map(|(_, labels)| labels.as_ref().ok());
            let objects = labels.flat_map(YoloLabels::placed);
            let largest = objects.map(|placed| placed.object.class).max().unwrap_or(0);
            let count = largest.min(MOST_UNNAMED) + 1;
            notes.push(format!(
                "no file names the classes: they are called `class 0` to `class {}`",
                count - 1
            ));
            unnamed(count)
        }
    };
    let mut tally = Tally::default();
    let mut read = Vec::new();
    for (split, photos) in parts {
        let photos = photos
            .into_iter()
            .map(|(pair, labels)| boxed(pair, labels, classes.len(), &mut tally));
        read.push(BoxPart {
            split,
            photos: photos.collect(),
        });
    }
    notes.extend(tally.notes());
    BoxLayout {
        format: DatasetFormat::Yolo,
        root: root.to_owned(),
        classes,
        parts: read,
        notes,
    }
}

/// Classes without names are numbered up to this.
const MOST_UNNAMED: usize = 9_999;

type Labels = Result<YoloLabels, String>;
type ReadPart = (Option<Split>, Vec<(Pair, Labels)>);

fn labels_of(pair: Pair) -> (Pair, Labels) {
    let labels = match &pair.annotation {
        None => YoloLabels::parse(b""),
        Some(file) => read_bounded(file, MOST_BYTES).and_then(|bytes| YoloLabels::parse(&bytes)),
    };
    (pair, labels)
}

fn boxed(pair: Pair, labels: Labels, classes: usize, tally: &mut Tally) -> BoxedPhoto {
    let Pair { photo, annotation } = pair;
    let name = annotation
        .as_deref()
        .unwrap_or(&photo)
        .display()
        .to_string();
    let objects = labels.map(YoloLabels::into_placed).and_then(|placed| {
        let unknown = placed.iter().find(|placed| placed.object.class >= classes);
        match unknown {
            Some(unknown) => Err(format!(
                "{}: the class {}, and there are {classes}",
                unknown.place, unknown.object.class
            )),
            None => Ok(placed),
        }
    });
    if let Err(reason) = &objects {
        tally.add(Fault::UnusableFile, || format!("{name}: {reason}"));
    }
    BoxedPhoto {
        unit: Unit::Share,
        objects: objects.map(|placed| mended(placed, [1.0; 2], &name, tally)),
        photo,
        annotation,
    }
}
