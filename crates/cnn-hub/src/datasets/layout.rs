//! From what was downloaded to the folder that a dataset becomes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::bitmap::bitmap;
use super::matlab::{self, Array, Values};
use crate::files::create_directory;
use crate::{Error, Progress};

/// What is done with the files of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// They stay as they are.
    Files,
    /// Archives are unpacked, and a single folder around everything is taken off.
    Archive,
    /// The files of one of EMNIST's parts.
    Emnist(String),
    Svhn,
    Stl10,
    Flowers102,
    OxfordPets,
    Food101,
    Caltech101,
    Voc,
}

/// What the arrangement of a dataset works on.
pub(super) struct Arrangement<'a> {
    /// Where everything was unpacked.
    pub(super) from: &'a Path,
    /// Where the dataset is put together.
    pub(super) to: &'a Path,
    pub(super) progress: &'a mut dyn Progress,
}

/// SVHN's arrays and STL-10's files have less.
const LARGEST_ARRAY: u64 = 1 << 30;

/// The names of the 102 flowers in the order of their numbers, as torchvision has them.
const FLOWERS: &str = include_str!("../../data/flowers102.txt");

impl Layout {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text.split_once(' ').unwrap_or((text, "")) {
            ("files", "") => Self::Files,
            ("archive", "") => Self::Archive,
            ("emnist", part) if !part.is_empty() => Self::Emnist(part.to_string()),
            ("svhn", "") => Self::Svhn,
            ("stl10", "") => Self::Stl10,
            ("flowers102", "") => Self::Flowers102,
            ("oxford_pets", "") => Self::OxfordPets,
            ("food101", "") => Self::Food101,
            ("caltech101", "") => Self::Caltech101,
            ("voc", "") => Self::Voc,
            _ => return None,
        })
    }

    pub(super) fn becomes(&self) -> &'static str {
        match self {
            Self::Files | Self::Emnist(_) => "the files as they are published",
            Self::Archive => "what its archive has",
            Self::Svhn | Self::Stl10 | Self::OxfordPets | Self::Food101 => {
                "folders of images by class in train and test"
            }
            Self::Flowers102 => "folders of images by class in train, val and test",
            Self::Caltech101 => "folders of images by class",
            Self::Voc => "Annotations, ImageSets, JPEGImages and the masks, as Pascal VOC has them",
        }
    }

    /// Whether the files are archives that are unpacked.
    pub(super) fn unpacks(&self, name: &str) -> bool {
        let is_archive = [".zip", ".tar", ".tgz", ".tar.gz"]
            .iter()
            .any(|ending| name.ends_with(ending));
        is_archive && *self != Self::Files
    }

    /// Whether each archive is unpacked into a folder of its own.
    pub(super) fn keeps_parts_apart(&self) -> bool {
        *self == Self::Voc
    }

    /// Puts the dataset together. The reason where it is not as expected.
    pub(super) fn arrange(&self, arrangement: &mut Arrangement<'_>) -> Result<(), Problem> {
        let from = arrangement.from;
        match self {
            Self::Files => move_all(from, arrangement.to),
            Self::Archive => move_all(&without_wrapper(from)?, arrangement.to),
            Self::Emnist(part) => emnist(part, arrangement),
            Self::Svhn => svhn(arrangement),
            Self::Stl10 => stl10(arrangement),
            Self::Flowers102 => flowers102(arrangement),
            Self::OxfordPets => oxford_pets(arrangement),
            Self::Food101 => food101(arrangement),
            Self::Caltech101 => caltech101(arrangement),
            Self::Voc => voc(arrangement),
        }
    }
}

/// Why a dataset could not be put together.
pub(super) enum Problem {
    /// It is not as it was.
    Content(String),
    Error(Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

fn unexpected(reason: impl Into<String>) -> Problem {
    Problem::Content(reason.into())
}

/// The entries of a directory by name, hidden ones and what macOS adds left out.
fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = fs::read_dir(directory).map_err(|error| Error::io("list", directory, error))?;
    let mut entries = Vec::new();
    for entry in listed {
        let entry = entry.map_err(|error| Error::io("list", directory, error))?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !name.starts_with('.') && name != "__MACOSX" {
            entries.push(entry.path());
        }
    }
    entries.sort();
    Ok(entries)
}

/// The folder within, as long as there is nothing else.
fn without_wrapper(directory: &Path) -> Result<PathBuf, Error> {
    match entries(directory)?.as_slice() {
        [only] if only.is_dir() => Ok(only.clone()),
        _ => Ok(directory.to_owned()),
    }
}

fn move_all(from: &Path, to: &Path) -> Result<(), Problem> {
    for path in entries(from)? {
        let name = path.file_name().unwrap_or_default();
        move_to(&path, &to.join(name))?;
    }
    Ok(())
}

fn move_to(from: &Path, to: &Path) -> Result<(), Error> {
    if let Some(parent) = to.parent() {
        create_directory(parent)?;
    }
    fs::rename(from, to).map_err(|error| Error::io("write", to, error))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    if let Some(parent) = path.parent() {
        create_directory(parent)?;
    }
    fs::write(path, bytes).map_err(|error| Error::io("write", path, error))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::io("read", path, error))
}

fn read_text(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|error| Error::io("read", path, error))
}

/// A name from a dataset's own lists, which must be one of a file or folder.
fn checked(name: &str) -> Result<&str, Problem> {
    let accepted = crate::repo::check_component(name);
    accepted.map_err(|reason| unexpected(format!("it names {name:?} ({reason})")))?;
    Ok(name)
}

/// `gzip/emnist-balanced-train-images-idx3-ubyte.gz` and its three likes.
fn emnist(part: &str, arrangement: &Arrangement<'_>) -> Result<(), Problem> {
    let beginning = format!("emnist-{part}-");
    let folder = without_wrapper(arrangement.from)?;
    let mut count = 0;
    for path in entries(&folder)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if name.starts_with(&beginning) && name.ends_with("ubyte.gz") {
            move_to(&path, &arrangement.to.join(&name))?;
            count += 1;
        }
    }
    if count != 4 {
        return Err(unexpected(format!(
            "its archive has {count} files {beginning}…ubyte.gz, 4 were expected"
        )));
    }
    Ok(())
}

/// `train_32x32.mat`: `X` of 32×32×3×n bytes, `y` of n labels with 10 for zero.
fn svhn(arrangement: &mut Arrangement<'_>) -> Result<(), Problem> {
    for split in ["train", "test"] {
        let path = arrangement.from.join(format!("{split}_32x32.mat"));
        let arrays = matlab::read(&read(&path)?, LARGEST_ARRAY).map_err(unexpected)?;
        let images = array(&arrays, "X")?;
        let labels = array(&arrays, "y")?.whole_numbers().unwrap_or_default();
        let (Values::Bytes(bytes), [height, width, 3, count]) =
            (&images.values, images.dimensions.as_slice())
        else {
            return Err(unexpected("its images are no arrays of colours"));
        };
        let height = *height;
        let width = *width;
        if labels.len() != *count || labels.iter().any(|label| !(1..=10).contains(label)) {
            return Err(unexpected("its labels do not fit its images"));
        }
        for (index, label) in labels.iter().enumerate() {
            let plane = height * width;
            let image = &bytes[index * 3 * plane..(index + 1) * 3 * plane];
            // Rows run fastest.
            let picture = bitmap(height, width, |row, column| {
                [0, 1, 2].map(|colour| image[colour * plane + column * height + row])
            });
            let class = label % 10;
            write(
                &arrangement
                    .to
                    .join(format!("{split}/{class}/{index:05}.bmp")),
                &picture,
            )?;
            stop_if_cancelled(arrangement)?;
        }
    }
    Ok(())
}

fn array<'a>(arrays: &'a [Array], name: &str) -> Result<&'a Array, Problem> {
    let found = arrays.iter().find(|array| array.name == name);
    found.ok_or_else(|| unexpected(format!("its MATLAB file has no array `{name}`")))
}

/// `stl10_binary/train_X.bin`: images of 3×96×96 bytes whose columns come one after the other,
/// labels from 1 in `train_y.bin`, names in `class_names.txt`.
fn stl10(arrangement: &mut Arrangement<'_>) -> Result<(), Problem> {
    const SIDE: usize = 96;
    const BYTES: usize = 3 * SIDE * SIDE;
    let folder = without_wrapper(arrangement.from)?;
    let names = read_text(&folder.join("class_names.txt"))?;
    let names: Vec<&str> = names
        .lines()
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    for split in ["train", "test"] {
        let labels = read(&folder.join(format!("{split}_y.bin")))?;
        let images = read(&folder.join(format!("{split}_X.bin")))?;
        if images.len() != labels.len() * BYTES {
            return Err(unexpected(format!(
                "its {} labels do not fit {} bytes of images",
                labels.len(),
                images.len()
            )));
        }
        for (index, (image, label)) in images.chunks_exact(BYTES).zip(&labels).enumerate() {
            let name = usize::from(*label)
                .checked_sub(1)
                .and_then(|class| names.get(class));
            let name =
                name.ok_or_else(|| unexpected(format!("it has a label {label} without a name")))?;
            let picture = bitmap(SIDE, SIDE, |row, column| {
                [0, 1, 2].map(|colour| image[colour * SIDE * SIDE + column * SIDE + row])
            });
            let place = arrangement
                .to
                .join(split)
                .join(checked(name)?)
                .join(format!("{index:04}.bmp"));
            write(&place, &picture)?;
            stop_if_cancelled(arrangement)?;
        }
    }
    Ok(())
}

/// `jpg/image_00001.jpg` with labels from 1 in `imagelabels.mat` and splits in `setid.mat`.
fn flowers102(arrangement: &mut Arrangement<'_>) -> Result<(), Problem> {
    let arrays = |name: &str| -> Result<Vec<Array>, Problem> {
        matlab::read(&read(&arrangement.from.join(name))?, 1 << 20).map_err(unexpected)
    };
    let labels = array(&arrays("imagelabels.mat")?, "labels")?
        .whole_numbers()
        .unwrap_or_default();
    let sets = arrays("setid.mat")?;
    let names: Vec<&str> = FLOWERS.lines().collect();
    for (split, variable) in [("train", "trnid"), ("val", "valid"), ("test", "tstid")] {
        let numbers = array(&sets, variable)?.whole_numbers().unwrap_or_default();
        for number in numbers {
            let index = usize::try_from(number)
                .ok()
                .and_then(|number| number.checked_sub(1));
            let label = index.and_then(|index| labels.get(index));
            let name =
                label.and_then(|label| names.get(usize::try_from(label.checked_sub(1)?).ok()?));
            let name =
                name.ok_or_else(|| unexpected(format!("its image {number} has no class")))?;
            // One name has a question mark, which not every system allows.
            let folder = name.trim_end_matches('?');
            let file = format!("image_{number:05}.jpg");
            let from = arrangement.from.join("jpg").join(&file);
            move_to(&from, &arrangement.to.join(split).join(folder).join(&file))?;
        }
    }
    Ok(())
}

/// `images/Abyssinian_100.jpg`, and lines `Abyssinian_100 1 1 1` in `annotations/trainval.txt`.
fn oxford_pets(arrangement: &mut Arrangement<'_>) -> Result<(), Problem> {
    for (split, list) in [("train", "trainval.txt"), ("test", "test.txt")] {
        let lines = read_text(&arrangement.from.join("annotations").join(list))?;
        for line in lines.lines().filter(|line| !line.starts_with('#')) {
            let Some(stem) = line.split_whitespace().next() else {
                continue;
            };
            let (breed, _) = stem
                .rsplit_once('_')
                .ok_or_else(|| unexpected(format!("it names {stem:?}")))?;
            let file = format!("{}.jpg", checked(stem)?);
            let from = arrangement.from.join("images").join(&file);
            move_to(
                &from,
                &arrangement.to.join(split).join(checked(breed)?).join(&file),
            )?;
        }
    }
    Ok(())
}

/// `food-101/images/CLASS/NUMBER.jpg` and `food-101/meta/train.json` with lists by class.
fn food101(arrangement: &mut Arrangement<'_>) -> Result<(), Problem> {
    let folder = without_wrapper(arrangement.from)?;
    for split in ["train", "test"] {
        let text = read_text(&folder.join(format!("meta/{split}.json")))?;
        let lists: BTreeMap<String, Vec<String>> = serde_json::from_str(&text)
            .map_err(|error| unexpected(format!("its list is damaged: {error}")))?;
        for path in lists.values().flatten() {
            let (class, stem) = path
                .split_once('/')
                .ok_or_else(|| unexpected(format!("it names {path:?}")))?;
            let file = format!("{}.jpg", checked(stem)?);
            let from = folder.join("images").join(checked(class)?).join(&file);
            move_to(&from, &arrangement.to.join(split).join(class).join(&file))?;
        }
    }
    Ok(())
}

/// `101_ObjectCategories` from an archive in the archive, without the background, which torchvision
/// leaves out, too.
fn caltech101(arrangement: &mut Arrangement<'_>) -> Result<(), Problem> {
    let packed = without_wrapper(arrangement.from)?.join("101_ObjectCategories.tar.gz");
    let unpacked = arrangement.from.join("unpacked");
    crate::unpack(
        &packed,
        &unpacked,
        &crate::ArchiveLimits::default(),
        arrangement.progress,
    )?;
    let folder = without_wrapper(&unpacked)?;
    for path in entries(&folder)? {
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "BACKGROUND_Google" {
            move_to(&path, &arrangement.to.join(name))?;
        }
    }
    Ok(())
}

/// `VOCdevkit/VOC2007`, of which each archive has a part.
fn voc(arrangement: &mut Arrangement<'_>) -> Result<(), Problem> {
    for part in entries(arrangement.from)? {
        let folder = without_wrapper(&without_wrapper(&part)?)?;
        merge(&folder, arrangement.to)?;
    }
    Ok(())
}

/// Moves a tree into another that may have some of it already: the same files, or none.
fn merge(from: &Path, to: &Path) -> Result<(), Problem> {
    for path in entries(from)? {
        let place = to.join(path.file_name().unwrap_or_default());
        if fs::symlink_metadata(&place).is_err() {
            move_to(&path, &place)?;
        } else if path.is_dir() && place.is_dir() {
            merge(&path, &place)?;
        } else if read(&path)? != read(&place)? {
            return Err(unexpected(format!(
                "two of its archives have a different {:?}",
                place.file_name().unwrap_or_default()
            )));
        }
    }
    Ok(())
}

fn stop_if_cancelled(arrangement: &Arrangement<'_>) -> Result<(), Problem> {
    if arrangement.progress.is_cancelled() {
        let what = arrangement.to.display().to_string();
        return Err(Error::Cancelled { what }.into());
    }
    Ok(())
}
