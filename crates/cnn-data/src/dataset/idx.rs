//! MNIST's format: an IDX file of images and one of labels.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::files::{file_name, files_in, folders_in};
use super::shards::choose_configuration;
use super::{Content, Dataset, DatasetFormat, Split};
use crate::{Error, Image, Limits};

/// An array of bytes as an IDX file stores it: two zeros, the element type (8 for bytes), the
/// number of dimensions, the dimensions in big-endian order, the elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdxArray {
    dimensions: Vec<usize>,
    bytes: Vec<u8>,
}

impl IdxArray {
    /// Reads an IDX file from its bytes, plain or compressed by gzip.
    ///
    /// No more memory is taken than the file can fill: gzip compresses at most 1032 to 1.
    ///
    /// # Errors
    ///
    /// What contradicts the format, in words.
    pub fn parse(file: &[u8]) -> Result<Self, String> {
        Self::parse_elements(file, Element::Byte)
    }

    fn parse_elements(file: &[u8], element: Element) -> Result<Self, String> {
        const MAX_GZIP_RATIO: usize = 1032;
        match file {
            [0x1f, 0x8b, ..] => Self::read(
                GzDecoder::new(file),
                file.len().saturating_mul(MAX_GZIP_RATIO),
                element,
            ),
            _ => Self::read(file, file.len(), element),
        }
    }

    /// The size of each dimension; the first is the number of items in the file.
    pub fn dimensions(&self) -> &[usize] {
        &self.dimensions
    }

    /// The elements, in an order in which the last dimension varies fastest.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn read(mut source: impl Read, max_len: usize, element: Element) -> Result<Self, String> {
        let mut magic = [0; 4];
        source
            .read_exact(&mut magic)
            .map_err(|error| format!("no whole header: {error}"))?;
        let kind = element as u8;
        let rank = match magic {
            [0, 0, found, rank @ 1..=4] if found == kind => rank,
            _ => {
                let name = element.name();
                return Err(format!(
                    "starts with {magic:02x?}, expected an IDX header of {name}: [00, 00, \
                     {kind:02x}, 01 to 04]"
                ));
            }
        };
        let mut dimensions = Vec::with_capacity(usize::from(rank));
        for _ in 0..rank {
            let mut size = [0; 4];
            source
                .read_exact(&mut size)
                .map_err(|error| format!("no whole header: {error}"))?;
            dimensions.push(u32::from_be_bytes(size) as usize);
        }
        let declared = dimensions
            .iter()
            .try_fold(element.size(), |product: usize, &size| {
                product.checked_mul(size)
            });
        let Some(declared) = declared.filter(|&declared| declared <= max_len) else {
            return Err(format!(
                "declares {dimensions:?} elements, more than a file of its size can hold"
            ));
        };
        let mut bytes = Vec::new();
        let read = source.take(declared as u64 + 1).read_to_end(&mut bytes);
        let size = element.size();
        let found = bytes.len() / size;
        let expected = declared / size;
        read.map_err(|error| format!("after {found} of {expected} elements: {error}"))?;
        match bytes.len() {
            len if len < declared => Err(format!("truncated, {found} of {expected} elements")),
            len if len > declared => {
                Err(format!("holds more than the declared {expected} elements"))
            }
            _ => Ok(Self { dimensions, bytes }),
        }
    }
}

/// The types of elements that are read.
#[derive(Clone, Copy)]
enum Element {
    Byte = 0x08,
    /// A big-endian integer of four bytes, as in QMNIST's labels.
    Int32 = 0x0c,
}

impl Element {
    fn name(self) -> &'static str {
        match self {
            Self::Byte => "bytes",
            Self::Int32 => "integers",
        }
    }

    fn size(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Int32 => 4,
        }
    }
}

/// Grey images with labels from 0 to 255, held in memory.
#[derive(Clone, Debug)]
pub struct IdxImages {
    name: String,
    images: IdxArray,
    labels: Vec<u8>,
    classes: Vec<String>,
    /// Whether rows are stored as columns.
    transposed: bool,
}

impl IdxImages {
    /// Reads a file of images and one of labels. The classes are "0" to the largest label.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be read, [`Error::BrokenDataset`] if one contradicts the
    /// format or their numbers differ.
    pub fn open(images: &Path, labels: &Path) -> Result<Self, Error> {
        let [image_bytes, label_bytes] = [images, labels].map(read_file);
        let labels_array =
            parse_labels(&label_bytes?).map_err(|reason| Error::broken_dataset(labels, reason))?;
        Self::from_parts(images.display().to_string(), &image_bytes?, labels_array)
            .map_err(|reason| Error::broken_dataset(images, reason))
    }

    /// The dataset of the bytes of a file of images and one of labels, plain or compressed by gzip.
    ///
    /// # Errors
    ///
    /// What contradicts the format, in words.
    pub fn parse(images: &[u8], labels: &[u8]) -> Result<Self, String> {
        Self::from_parts("images".to_owned(), images, parse_labels(labels)?)
    }

    fn from_parts(name: String, images: &[u8], labels: Vec<u8>) -> Result<Self, String> {
        let images = IdxArray::parse(images)?;
        let &[count, height, width] = images.dimensions() else {
            return Err(format!(
                "dimensions {:?}, expected images, rows and columns",
                images.dimensions()
            ));
        };
        if height == 0 || width == 0 {
            return Err(format!(
                "images of {height}x{width} pixels, expected no side to be zero"
            ));
        }
        Limits::default()
            .check(width as u64, height as u64)
            .map_err(|error| error.to_string())?;
        if count != labels.len() {
            return Err(format!("{count} images, but {} labels", labels.len()));
        }
        let classes = class_names(class_count(&labels));
        Ok(Self {
            name,
            images,
            labels,
            classes,
            transposed: false,
        })
    }
}

impl Dataset for IdxImages {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Idx
    }

    fn len(&self) -> usize {
        self.labels.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn id(&self, index: usize) -> String {
        format!("{}#{index}", self.name)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.labels.get(index).map(|&label| label.into())
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        let &[len, height, width] = self.images.dimensions() else {
            return Err(Error::NoSuchSample { index, len: 0 });
        };
        if index >= len {
            return Err(Error::NoSuchSample { index, len });
        }
        let stored = &self.images.bytes()[index * height * width..][..height * width];
        let image = if self.transposed {
            let pixel = |place: usize| stored[place % height * width + place / height];
            let pixels = (0..height * width).map(pixel).collect();
            Image::from_pixels(width, height, 1, pixels)?
        } else {
            Image::from_pixels(height, width, 1, stored.to_vec())?
        };
        Ok(Content::Pixels(image))
    }
}

/// The pairs of files in a folder.
#[derive(Clone, Debug)]
pub(super) struct IdxLayout {
    pub(super) parts: Vec<IdxPart>,
    /// How the files were understood, in sentences.
    pub(super) notes: Vec<String>,
    /// The names of the classes, where a file beside the images tells them.
    names: BTreeMap<usize, String>,
    /// Whether the images are stored on their side, as EMNIST's are.
    transposed: bool,
}

/// A file of images and its labels.
#[derive(Clone, Debug)]
pub(super) struct IdxPart {
    pub(super) split: Option<Split>,
    images: PathBuf,
    labels: PathBuf,
}

impl IdxLayout {
    /// Recognises pairs of files by their names. Where names begin differently before the split, as
    /// EMNIST's do, each beginning is a configuration, and one is to be chosen.
    pub(super) fn recognise(folder: &Path, asked: Option<&str>) -> Result<Option<Self>, Error> {
        let files = named_files(folder)?;
        let mut of_name: BTreeMap<String, Vec<IdxPart>> = BTreeMap::new();
        for (name, images) in &files {
            if !(name.contains("images") && name.contains("idx3")) {
                continue;
            }
            let labels = ["idx1-ubyte", "idx2-int"]
                .map(|kind| name.replace("images", "labels").replace("idx3-ubyte", kind))
                .into_iter()
                .find_map(|name| files.get(&name))
                .ok_or_else(|| {
                    Error::broken_dataset(
                        images,
                        "no file of labels beside it, expected the same name with labels and idx1",
                    )
                })?;
            of_name.entry(front(name)).or_default().push(IdxPart {
                split: Split::of_file_name(name),
                images: images.clone(),
                labels: labels.clone(),
            });
        }
        if of_name.is_empty() {
            return Ok(None);
        }
        // `letters` is enough for `emnist-letters`.
        let full_name = |asked: &str| {
            let is_asked = |name: &&String| name.rsplit('-').next() == Some(asked);
            of_name.keys().find(is_asked).cloned()
        };
        let name = asked.map(|asked| full_name(asked).unwrap_or_else(|| asked.to_owned()));
        let name =
            name.or_else(|| Some(of_name.keys().next()?.clone()).filter(|_| of_name.len() == 1));
        let mut parts = choose_configuration(folder, of_name, name.as_deref())?;
        parts.sort_by_key(|part| part.split);
        if let Some([first, second]) = parts
            .array_windows()
            .find(|[first, second]| first.split == second.split)
        {
            let reason = format!(
                "{} is of the same split, expected one file each",
                second.images.display()
            );
            return Err(Error::broken_dataset(&first.images, reason));
        }
        let name = name.unwrap_or_default();
        let transposed = name.starts_with("emnist");
        let turned = "EMNIST stores its images on their side; they are turned".to_owned();
        let mapping = folder.join(format!("{name}-mapping.txt"));
        Ok(Some(Self {
            parts,
            notes: transposed.then_some(turned).into_iter().collect(),
            names: if mapping.is_file() {
                mapped_names(&mapping)?
            } else {
                BTreeMap::new()
            },
            transposed,
        }))
    }

    /// Opens a part, with the classes of all parts together.
    pub(super) fn open(&self, number: usize) -> Result<IdxImages, Error> {
        let mut classes = 0;
        for part in &self.parts {
            let labels = read_file(&part.labels)?;
            let labels = parse_labels(&labels)
                .map_err(|reason| Error::broken_dataset(&part.labels, reason))?;
            classes = classes.max(class_count(&labels));
        }
        let mut classes = class_names(classes);
        for (&class, name) in &self.names {
            if let Some(place) = classes.get_mut(class) {
                place.clone_from(name);
            }
        }
        let part = &self.parts[number];
        Ok(IdxImages {
            classes,
            transposed: self.transposed,
            ..IdxImages::open(&part.images, &part.labels)?
        })
    }
}

/// The files of a folder, and those in folders that are called like such files, as Kaggle unpacks
/// them, by their names in one form: `train-images.idx3-ubyte.gz` is `train-images-idx3-ubyte`.
/// Of a file that is there packed and unpacked, the unpacked one is taken.
fn named_files(folder: &Path) -> Result<BTreeMap<String, PathBuf>, Error> {
    let mut paths = files_in(folder)?;
    for inner in folders_in(folder)? {
        if file_name(&inner).contains("idx") {
            paths.extend(files_in(&inner)?);
        }
    }
    let mut files = BTreeMap::new();
    for packed in [false, true] {
        for path in &paths {
            let name = file_name(path);
            let plain = name.strip_suffix(".gz");
            if plain.is_some() == packed {
                let name = plain.unwrap_or(&name).replace('.', "-");
                files.entry(name).or_insert_with(|| path.clone());
            }
        }
    }
    Ok(files)
}

/// What stands before the split in a file's name: `emnist-letters`.
fn front(name: &str) -> String {
    let words: Vec<&str> = name
        .split('-')
        .take_while(|word| Split::of_name(word).is_none() && *word != "images")
        .collect();
    words.join("-")
}

/// The names in EMNIST's file: a line for each class, its number and the codes of its characters.
fn mapped_names(path: &Path) -> Result<BTreeMap<usize, String>, Error> {
    let text = fs::read_to_string(path).map_err(|error| Error::io("read", path, error))?;
    let mut names = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let mut words = line.split_whitespace();
        let class = words.next().and_then(|word| word.parse().ok());
        let character = words
            .next()
            .and_then(|word| char::from_u32(word.parse().ok()?))
            .filter(|character| !character.is_control());
        let (Some(class), Some(character)) = (class, character) else {
            let reason = format!(
                "line {}: expected a class and a character's code",
                number + 1
            );
            return Err(Error::broken_dataset(path, reason));
        };
        names.insert(class, character.to_string());
    }
    Ok(names)
}

/// Bytes, or QMNIST's rows of numbers, of which the first is the class.
fn parse_labels(file: &[u8]) -> Result<Vec<u8>, String> {
    let bytes = match IdxArray::parse(file) {
        Err(_) if is_int32(file) => return parse_int32_labels(file),
        array => array?,
    };
    match bytes.dimensions() {
        [_] => Ok(bytes.bytes),
        other => Err(format!(
            "dimensions {other:?}, expected one: the number of labels"
        )),
    }
}

/// Whether an IDX file of integers begins so, plain or compressed.
fn is_int32(file: &[u8]) -> bool {
    let mut magic = [0; 4];
    let read = match file {
        [0x1f, 0x8b, ..] => GzDecoder::new(file).read_exact(&mut magic).is_ok(),
        mut plain => plain.read_exact(&mut magic).is_ok(),
    };
    read && magic[..3] == [0, 0, Element::Int32 as u8]
}

fn parse_int32_labels(file: &[u8]) -> Result<Vec<u8>, String> {
    let array = IdxArray::parse_elements(file, Element::Int32)?;
    let columns = match array.dimensions() {
        [_] => 1,
        [_, columns] if *columns > 0 => *columns,
        other => {
            return Err(format!(
                "dimensions {other:?}, expected the number of labels, and perhaps of columns"
            ));
        }
    };
    let first = |(number, row): (usize, &[u8])| match row {
        [0, 0, 0, class, ..] => Ok(*class),
        _ => Err(format!("label {number} is not in 0 to 255")),
    };
    array
        .bytes
        .chunks_exact(4 * columns)
        .enumerate()
        .map(first)
        .collect()
}

/// Number of classes: one more than the largest label.
fn class_count(labels: &[u8]) -> usize {
    labels
        .iter()
        .max()
        .map_or(0, |&label| usize::from(label) + 1)
}

fn class_names(count: usize) -> Vec<String> {
    (0..count).map(|class| class.to_string()).collect()
}

fn read_file(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| Error::io("read", path, error))
}
