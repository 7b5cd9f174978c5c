//! The images of tar archives.

use std::fmt;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::layout::WebDatasetLayout;
use super::shard::Shard;
use crate::dataset::{Content, Dataset, DatasetFormat};
use crate::{Error, FileFormat};

/// Images of tar archives in the form of WebDataset: members of one name up to the first dot are a
/// sample, as `0001.jpg` and `0001.cls`.
///
/// The class is a number or a name in a member that ends in `cls`, `json` or `txt`. The archives'
/// headers are read once; an image is read where it lies when it is needed, and nothing is unpacked.
/// Numbered classes have the names of a file `classnames.txt` beside the archives, or numbers.
#[derive(Clone)]
pub struct WebDataset {
    sources: Arc<[TarSource]>,
    samples: Arc<[TarSample]>,
    classes: Vec<String>,
}

/// Where an archive's bytes are.
pub(super) enum TarSource {
    File(PathBuf),
    Memory(Vec<u8>),
}

/// An image in one of the archives.
#[derive(Clone, Debug)]
pub(super) struct TarSample {
    pub(super) source: usize,
    pub(super) name: String,
    pub(super) offset: u64,
    pub(super) size: u64,
    pub(super) label: Option<usize>,
}

impl WebDataset {
    /// Opens archives of one split, in this order.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be read, [`Error::BrokenDataset`] if one is no archive, is cut,
    /// or holds no images with labels.
    pub fn open(paths: &[PathBuf]) -> Result<Self, Error> {
        WebDatasetLayout::of_shards(vec![(None, paths.to_vec())])?.open(0)
    }

    /// The dataset of the bytes of one archive.
    ///
    /// # Errors
    ///
    /// What contradicts the format, in words.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let shard = Shard::read(Cursor::new(&bytes))?;
        let layout =
            WebDatasetLayout::of_parts(vec![(None, vec![(TarSource::Memory(bytes), shard)])], None);
        layout
            .and_then(|layout| layout.open(0))
            .map_err(|error| error.reason())
    }

    pub(super) fn of_samples(
        sources: Arc<[TarSource]>,
        samples: Arc<[TarSample]>,
        classes: Vec<String>,
    ) -> Self {
        Self {
            sources,
            samples,
            classes,
        }
    }
}

impl Dataset for WebDataset {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::WebDataset
    }

    fn len(&self) -> usize {
        self.samples.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn id(&self, index: usize) -> String {
        match self.samples.get(index) {
            Some(sample) => format!("{}#{}", self.sources[sample.source], sample.name),
            None => format!("#{index}"),
        }
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.samples.get(index)?.label
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        let sample = self.samples.get(index).ok_or(Error::NoSuchSample {
            index,
            len: self.len(),
        })?;
        let bytes = self.sources[sample.source].read(sample)?;
        match FileFormat::recognise(&bytes) {
            Ok(FileFormat::Gif) => Err(Error::NotAPhoto.at(self.id(index))),
            _ => Ok(Content::Encoded(bytes)),
        }
    }
}

impl TarSource {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Memory(_) => Path::new("archive"),
        }
    }

    /// The bytes of an image; fewer if the archive has become shorter since it was looked at.
    fn read(&self, sample: &TarSample) -> Result<Vec<u8>, Error> {
        match self {
            Self::Memory(archive) => {
                let start = usize::try_from(sample.offset).unwrap_or(usize::MAX);
                let rest = archive.get(start..).unwrap_or_default();
                let len = usize::try_from(sample.size).unwrap_or(usize::MAX);
                Ok(rest[..len.min(rest.len())].to_vec())
            }
            Self::File(path) => {
                let read = || {
                    let mut file = File::open(path)?;
                    file.seek(SeekFrom::Start(sample.offset))?;
                    let mut bytes = Vec::new();
                    file.take(sample.size).read_to_end(&mut bytes)?;
                    Ok(bytes)
                };
                read().map_err(|error| Error::io("read", path, error))
            }
        }
    }
}

impl fmt::Display for TarSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.path().display().fmt(f)
    }
}
