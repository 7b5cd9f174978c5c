//! Which XML files are Pascal VOC's, which photos they belong to, and which split these are of.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::faults::{Fault, Tally, mended};
use super::images::{BoxedPhoto, Unit};
use super::layout::{BoxFiles, BoxLayout, BoxPart};
use super::names::NameFile;
use super::pairs::{Pair, by_split, counted, lines, read_bounded, split_below, spread};
use super::voc::{MOST_BYTES, VocAnnotation, is_voc};
use crate::Error;
use crate::dataset::files::quoted;
use crate::dataset::{DatasetFormat, Split};

const LISTS: &str = "ImageSets/Main";
/// Two splits in one list, which is read where they have none of their own.
const BOTH: &str = "trainval";
/// The largest list that is read, in bytes.
const MOST_LIST_BYTES: u64 = 64 << 20;
/// How many XML files are looked at, and how many bytes of each.
const LOOKED_AT: usize = 20;
const START: u64 = 4096;

/// `None` where the XML files are not VOC's or belong to no photos.
pub(super) fn recognise(
    files: &BoxFiles<'_>,
    unread: &mut Vec<String>,
) -> Result<Option<BoxLayout>, Error> {
    let xmls = files.with_ending(&["xml"]);
    let looked_at: Vec<bool> = spread(&xmls, LOOKED_AT)
        .filter_map(|path| start_of(path).map(|start| is_voc(&start)))
        .collect();
    let are_voc = looked_at.iter().filter(|&&is_one| is_one).count();
    if are_voc == 0 || 2 * are_voc < looked_at.len() {
        return Ok(None);
    }
    let known: HashSet<&Path> = xmls.iter().copied().collect();
    let is_there = |path: &Path| known.contains(path);
    let images = files.images.iter();
    let pairs: Vec<Pair> = images
        .map(|image| Pair::of(image, "xml", &is_there))
        .collect();
    let paired: Vec<&Pair> = pairs
        .iter()
        .filter(|pair| pair.annotation.is_some())
        .collect();
    let name = "XML files of objects, as Pascal VOC's,";
    if files.are_classes && paired.iter().all(|pair| pair.is_beside()) && !paired.is_empty() {
        unread.push(format!(
            "the folders are the classes; {name} beside the images are not read"
        ));
        return Ok(None);
    }
    let mut notes = Vec::new();
    let parts = match lists(files, &pairs, &mut notes)? {
        Some(parts) => parts,
        None if paired.is_empty() => {
            unread.push(format!(
                "there are {} {name} and no photos of their names",
                xmls.len()
            ));
            return Ok(None);
        }
        None if 2 * paired.len() < pairs.len() => {
            let counts = format!("{} of {} photos", paired.len(), pairs.len());
            unread.push(format!("{name} belong to {counts} only and are not read"));
            return Ok(None);
        }
        None => by_folder(files, &pairs, &mut notes),
    };
    let taken: HashSet<&Path> = pairs
        .iter()
        .filter_map(|pair| pair.annotation.as_deref())
        .collect();
    let alone: Vec<&Path> = xmls
        .iter()
        .copied()
        .filter(|xml| !taken.contains(xml))
        .collect();
    notes.extend(counted(
        &alone,
        "XML files have no photo of their name and are left out",
    ));
    let layout = read(files, parts, notes);
    Ok(Some(layout))
}

type Part = (Option<Split>, Vec<Pair>);

/// The photos of each list.
fn lists(
    files: &BoxFiles<'_>,
    pairs: &[Pair],
    notes: &mut Vec<String>,
) -> Result<Option<Vec<Part>>, Error> {
    let places = pairs
        .iter()
        .filter_map(|pair| pair.photo.parent()?.parent());
    let places: BTreeSet<&Path> = places.collect();
    let mut places = places
        .into_iter()
        .filter(|place| place.join(LISTS).is_dir());
    let Some(place) = places.next() else {
        return Ok(None);
    };
    if let Some(other) = places.next() {
        let [one, other] = [place, other].map(|place| place.display());
        return Err(Error::Ambiguous {
            path: files.root.to_owned(),
            reason: format!("both {one} and {other} hold `{LISTS}`; name one of them alone"),
        });
    }
    let lists = list_files(&place.join(LISTS));
    if lists.is_empty() {
        notes.push(format!(
            "{} has no lists of splits",
            place.join(LISTS).display()
        ));
        return Ok(None);
    }
    if place != files.root {
        notes.push(format!("what {} holds is read", place.display()));
    }
    let in_place = |pair: &&Pair| pair.photo.starts_with(place);
    let of_stem = pairs.iter().filter(in_place);
    let of_stem: HashMap<&OsStr, &Pair> = of_stem
        .filter_map(|pair| Some((pair.photo.file_stem()?, pair)))
        .collect();
    let absent = |name: &str| Pair {
        photo: place.join("JPEGImages").join(format!("{name}.jpg")),
        annotation: None,
    };
    let mut parts = Vec::new();
    let mut listed = HashSet::new();
    for (split, list) in lists {
        let lines = lines(&list, MOST_LIST_BYTES);
        let lines = lines.map_err(|reason| Error::broken_dataset(&list, reason))?;
        // A name may have spaces, and a number may stand behind it.
        let pair = |line: &String| {
            let name = line.split_whitespace().next().unwrap_or_default();
            let mut found = [line, name].into_iter().map(OsStr::new);
            let found = found.find_map(|name| of_stem.get(name).copied());
            found.cloned().unwrap_or_else(|| absent(name))
        };
        let photos: Vec<Pair> = lines.iter().map(pair).collect();
        listed.extend(photos.iter().map(|pair| pair.photo.clone()));
        parts.push((split, photos));
    }
    let others: Vec<&Path> = pairs
        .iter()
        .map(|pair| pair.photo.as_path())
        .filter(|photo| !listed.contains(*photo))
        .collect();
    notes.extend(counted(&others, "images are in no list and are left out"));
    Ok(Some(parts))
}

/// The list of each split. Both of training and validation are training where neither has one, and
/// everything where there are no others.
fn list_files(folder: &Path) -> Vec<(Option<Split>, PathBuf)> {
    let of_name = |name: &str| {
        let path = folder.join(format!("{name}.txt"));
        path.is_file().then_some(path)
    };
    let mut lists: Vec<_> = Split::ALL
        .into_iter()
        .filter_map(|split| Some((Some(split), of_name(split.name())?)))
        .collect();
    let is_test = |(split, _): &(Option<Split>, PathBuf)| *split == Some(Split::Test);
    if lists.iter().all(is_test)
        && let Some(both) = of_name(BOTH)
    {
        let split = (!lists.is_empty()).then_some(Split::Train);
        lists.insert(0, (split, both));
    }
    lists
}

/// The photos that have a file, by the folders that are called as splits.
fn by_folder(files: &BoxFiles<'_>, pairs: &[Pair], notes: &mut Vec<String>) -> Vec<Part> {
    let (paired, alone): (Vec<&Pair>, Vec<&Pair>) =
        pairs.iter().partition(|pair| pair.annotation.is_some());
    let alone: Vec<&Path> = alone.iter().map(|pair| pair.photo.as_path()).collect();
    notes.extend(counted(
        &alone,
        "photos have no XML file of their name and are left out",
    ));
    let paired = paired
        .into_iter()
        .map(|pair| (split_below(files.root, &pair.photo), pair.clone()));
    by_split(paired, notes).into_iter().collect()
}

/// Reads the files of all parts, in parallel, and numbers the classes.
fn read(files: &BoxFiles<'_>, parts: Vec<Part>, mut notes: Vec<String>) -> BoxLayout {
    let parts: Vec<(Option<Split>, Vec<Read>)> = parts
        .into_iter()
        .map(|(split, pairs)| (split, pairs.into_par_iter().map(Read::of).collect()))
        .collect();
    let all = parts.iter().flat_map(|(_, photos)| photos);
    let found = all.filter_map(|photo| photo.annotation.as_ref().ok());
    let names: BTreeSet<&str> = found.flat_map(VocAnnotation::names).collect();
    let classes = classes(&[files.place, files.root], &names, &mut notes);
    let numbers: HashMap<&str, usize> = classes
        .iter()
        .enumerate()
        .map(|(number, name)| (name.as_str(), number))
        .collect();
    let mut tally = Tally::default();
    let mut without_size = Vec::new();
    let mut read = Vec::new();
    for (split, photos) in parts {
        let photos = photos.into_iter().map(|photo| {
            if photo
                .annotation
                .as_ref()
                .is_ok_and(|found| found.size().is_none())
            {
                without_size.extend(photo.pair.annotation.clone());
            }
            photo.numbered(&numbers, &mut tally)
        });
        read.push(BoxPart {
            split,
            photos: photos.collect(),
        });
    }
    notes.extend(tally.notes());
    let without_size: Vec<&Path> = without_size.iter().map(PathBuf::as_path).collect();
    notes.extend(counted(
        &without_size,
        "XML files do not say how large their photos are, and the photos' own sizes count",
    ));
    BoxLayout {
        format: DatasetFormat::Voc,
        root: files.root.to_owned(),
        classes,
        parts: read,
        notes,
    }
}

/// The names of a list beside the photos, if it has all that occur, or else those that occur.
fn classes(folders: &[&Path], names: &BTreeSet<&str>, notes: &mut Vec<String>) -> Vec<String> {
    let sorted = || names.iter().map(|name| name.to_string()).collect();
    let Some(file) = NameFile::in_folders(folders, notes) else {
        return sorted();
    };
    let listed: HashSet<&str> = file.names.iter().map(String::as_str).collect();
    let others = names.iter().filter(|name| !listed.contains(*name));
    let others: Vec<String> = others.map(|name| name.to_string()).collect();
    let path = file.path.display();
    if listed.len() != file.names.len() {
        notes.push(format!("{path} names a class twice and is not read"));
        return sorted();
    }
    if let Some(others) = quoted(&others) {
        notes.push(format!("{path} does not name {others}, so it is not read"));
        return sorted();
    }
    notes.push(format!("{path} names the {} classes", file.names.len()));
    file.names
}

/// A photo and what its file says.
struct Read {
    pair: Pair,
    annotation: Result<VocAnnotation, String>,
}

impl Read {
    fn of(pair: Pair) -> Self {
        let annotation = match &pair.annotation {
            None => Err("a photo without an XML file of its name".to_owned()),
            Some(file) => {
                read_bounded(file, MOST_BYTES).and_then(|bytes| VocAnnotation::parse(&bytes))
            }
        };
        Self { pair, annotation }
    }

    fn numbered(self, numbers: &HashMap<&str, usize>, tally: &mut Tally) -> BoxedPhoto {
        let Pair { photo, annotation } = self.pair;
        let name = annotation
            .as_deref()
            .unwrap_or(&photo)
            .display()
            .to_string();
        if let Err(reason) = &self.annotation {
            tally.add(Fault::UnusableFile, || format!("{name}: {reason}"));
        }
        let size = self.annotation.as_ref().ok().and_then(VocAnnotation::size);
        let sides = size.map_or([f64::INFINITY; 2], |[height, width]| {
            [width as f64, height as f64]
        });
        let objects = self.annotation.map(|found| {
            let placed = found
                .into_placed()
                .into_iter()
                .filter_map(|(class, mut placed)| {
                    placed.object.class = *numbers.get(class.as_str())?;
                    Some(placed)
                });
            mended(placed.collect(), sides, &name, tally)
        });
        BoxedPhoto {
            photo,
            annotation,
            unit: Unit::Pixel(size),
            objects,
        }
    }
}

fn start_of(path: &Path) -> Option<Vec<u8>> {
    use std::io::Read;
    let mut start = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    file.take(START).read_to_end(&mut start).ok()?;
    Some(start)
}
