//! MNIST's format: an IDX file of images and one of labels.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

use super::files::{file_name, files_in};
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
        const MAX_GZIP_RATIO: usize = 1032;
        match file {
            [0x1f, 0x8b, ..] => Self::read(
                GzDecoder::new(file),
                file.len().saturating_mul(MAX_GZIP_RATIO),
            ),
            _ => Self::read(file, file.len()),
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

    fn read(mut source: impl Read, max_len: usize) -> Result<Self, String> {
        let mut magic = [0; 4];
        source
            .read_exact(&mut magic)
            .map_err(|error| format!("no whole header: {error}"))?;
        let [0, 0, 8, rank @ 1..=4] = magic else {
            return Err(format!(
                "starts with {magic:02x?}, expected an IDX header of bytes: [00, 00, 08, 01 to 04]"
            ));
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
            .try_fold(1, |product: usize, &size| product.checked_mul(size));
        let Some(declared) = declared.filter(|&declared| declared <= max_len) else {
            return Err(format!(
                "declares {dimensions:?} elements, more than a file of its size can hold"
            ));
        };
        let mut bytes = Vec::new();
        let read = source.take(declared as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|error| format!("after {} of {declared} elements: {error}", bytes.len()))?;
        match bytes.len() {
            len if len < declared => Err(format!("truncated, {len} of {declared} elements")),
            len if len > declared => {
                Err(format!("holds more than the declared {declared} elements"))
            }
            _ => Ok(Self { dimensions, bytes }),
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
        })
    }

    fn with_classes(mut self, classes: Vec<String>) -> Self {
        self.classes = classes;
        self
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
        let pixels = self.images.bytes()[index * height * width..][..height * width].to_vec();
        Ok(Content::Pixels(Image::from_pixels(
            height, width, 1, pixels,
        )?))
    }
}

/// The pairs of files in a folder.
#[derive(Clone, Debug)]
pub(super) struct IdxLayout {
    pub(super) parts: Vec<IdxPart>,
}

/// A file of images and its labels.
#[derive(Clone, Debug)]
pub(super) struct IdxPart {
    pub(super) split: Option<Split>,
    images: PathBuf,
    labels: PathBuf,
}

impl IdxLayout {
    pub(super) fn recognise(folder: &Path) -> Result<Option<Self>, Error> {
        let mut parts = Vec::new();
        for images in files_in(folder)? {
            let name = file_name(&images);
            if !(name.contains("images") && name.contains("idx3")) {
                continue;
            }
            let labels = labels_of(&images, &name).ok_or_else(|| {
                Error::broken_dataset(
                    &images,
                    "no file of labels beside it, expected the same name with labels and idx1",
                )
            })?;
            parts.push(IdxPart {
                split: Split::of_file_name(&name),
                images,
                labels,
            });
        }
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
        Ok((!parts.is_empty()).then_some(Self { parts }))
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
        let part = &self.parts[number];
        Ok(IdxImages::open(&part.images, &part.labels)?.with_classes(class_names(classes)))
    }
}

fn labels_of(images: &Path, name: &str) -> Option<PathBuf> {
    let labels = name.replace("images", "labels").replace("idx3", "idx1");
    let plain = labels.strip_suffix(".gz").unwrap_or(&labels);
    [labels.as_str(), plain, &format!("{plain}.gz")]
        .into_iter()
        .map(|name| images.with_file_name(name))
        .find(|path| path.is_file())
}

fn parse_labels(file: &[u8]) -> Result<Vec<u8>, String> {
    let array = IdxArray::parse(file)?;
    match array.dimensions() {
        [_] => Ok(array.bytes),
        other => Err(format!(
            "dimensions {other:?}, expected one: the number of labels"
        )),
    }
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
