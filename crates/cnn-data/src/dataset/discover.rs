//! Recognising how a dataset is stored.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{file_name, files_below, has_extension};
use super::idx::IdxLayout;
use super::image_folder::FolderLayout;
use super::split::list_splits;
use super::{Dataset, Split};
use crate::Error;

/// How a dataset is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum DatasetFormat {
    /// One folder of images per class.
    ImageFolder,
    /// MNIST's format: an IDX file of images and one of labels, plain or compressed by gzip.
    Idx,
    /// The Hugging Face hub's parquet files with an image column.
    Parquet,
    /// Image files without labels.
    Photos,
    /// Rendered when it is read, as [`Shapes`](crate::Shapes) is.
    Procedural,
    /// One that a program made.
    Custom,
}

impl fmt::Display for DatasetFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ImageFolder => "image-folder",
            Self::Idx => "idx",
            Self::Parquet => "parquet",
            Self::Photos => "photos",
            Self::Procedural => "procedural",
            Self::Custom => "custom",
        })
    }
}

/// What is recognised, for the message where nothing is.
pub(crate) const LOOKED_FOR: &str = "folders of images named by class, directly or in `train`, `val` and `test`; IDX \
     files named like `train-images-idx3-ubyte.gz` with their labels; parquet files with an image column";

/// The format and the splits of the dataset at `path`; no splits where it is not divided.
///
/// # Errors
///
/// As [`open_dataset`](super::open_dataset).
pub fn dataset_splits(path: &Path) -> Result<(DatasetFormat, Vec<Split>), Error> {
    let discovery = Discovery::of(path)?;
    Ok((
        discovery.format(),
        discovery.splits().into_iter().flatten().collect(),
    ))
}

/// A recognised dataset, not opened yet.
pub(crate) struct Discovery {
    path: PathBuf,
    layout: Layout,
}

enum Layout {
    Folders(FolderLayout),
    Idx(IdxLayout),
    Parquet(Vec<(Option<Split>, Vec<PathBuf>)>),
}

impl Discovery {
    pub(crate) fn of(path: &Path) -> Result<Self, Error> {
        let metadata = path
            .metadata()
            .map_err(|error| Error::io("read", path, error))?;
        let layout = if metadata.is_dir() {
            of_folder(path)?
        } else {
            of_file(path)?
        };
        Ok(Self {
            path: path.to_owned(),
            layout,
        })
    }

    pub(crate) fn format(&self) -> DatasetFormat {
        match self.layout {
            Layout::Folders(_) => DatasetFormat::ImageFolder,
            Layout::Idx(_) => DatasetFormat::Idx,
            Layout::Parquet(_) => DatasetFormat::Parquet,
        }
    }

    /// The parts in order. A dataset that is not divided has the one part `None`.
    pub(crate) fn splits(&self) -> Vec<Option<Split>> {
        match &self.layout {
            Layout::Folders(layout) => layout.roots.iter().map(|(split, _)| *split).collect(),
            Layout::Idx(layout) => layout.parts.iter().map(|part| part.split).collect(),
            Layout::Parquet(parts) => parts.iter().map(|(split, _)| *split).collect(),
        }
    }

    /// Opens the part that `split` names, or the only one there is if it names none.
    pub(crate) fn open(&self, split: Option<Split>) -> Result<Box<dyn Dataset>, Error> {
        let number = self.choose(split)?;
        Ok(match &self.layout {
            Layout::Folders(layout) => Box::new(layout.open(&layout.roots[number].1)?),
            Layout::Idx(layout) => Box::new(layout.open(number)?),
            Layout::Parquet(parts) => open_parquet(&self.path, &parts[number].1)?,
        })
    }

    fn choose(&self, asked: Option<Split>) -> Result<usize, Error> {
        let splits = self.splits();
        let existing = || list_splits(splits.iter().copied().flatten());
        match asked {
            Some(asked) => splits
                .iter()
                .position(|split| *split == Some(asked))
                .ok_or_else(|| Error::NoSuchSplit {
                    path: self.path.clone(),
                    asked,
                    existing: existing(),
                }),
            None if splits.len() == 1 => Ok(0),
            None => Err(Error::SplitNotChosen {
                path: self.path.clone(),
                existing: existing(),
            }),
        }
    }
}

fn of_folder(path: &Path) -> Result<Layout, Error> {
    if let Some(layout) = IdxLayout::recognise(path)? {
        return Ok(Layout::Idx(layout));
    }
    let parquet = files_below(path, |file| has_extension(file, &["parquet"]))?;
    if !parquet.is_empty() {
        return Ok(Layout::Parquet(parquet_parts(path, parquet)));
    }
    match FolderLayout::recognise(path)? {
        Ok(layout) => Ok(Layout::Folders(layout)),
        Err(reason) => Err(Error::UnknownDataset {
            path: path.to_owned(),
            reason,
        }),
    }
}

fn of_file(path: &Path) -> Result<Layout, Error> {
    let mut start = Vec::new();
    File::open(path)
        .and_then(|file| file.take(4).read_to_end(&mut start))
        .map_err(|error| Error::io("read", path, error))?;
    if start == b"PAR1" {
        return Ok(Layout::Parquet(vec![(
            Split::of_file_name(&file_name(path)),
            vec![path.to_owned()],
        )]));
    }
    let reason = "it is a single file and not parquet".to_owned();
    Err(Error::UnknownDataset {
        path: path.to_owned(),
        reason,
    })
}

#[cfg(feature = "parquet")]
fn open_parquet(_: &Path, files: &[PathBuf]) -> Result<Box<dyn Dataset>, Error> {
    Ok(Box::new(super::ParquetImages::open(files)?))
}

/// A format that is recognised is never called unknown: without its reader, the error says which
/// feature to enable.
#[cfg(not(feature = "parquet"))]
fn open_parquet(path: &Path, _: &[PathBuf]) -> Result<Box<dyn Dataset>, Error> {
    Err(Error::WithoutFeature {
        path: path.to_owned(),
        format: DatasetFormat::Parquet,
        feature: "parquet",
    })
}

/// Groups parquet files by the split that their name, or the name of the folder above them, stands
/// for. Files whose names stand for no split are a part of their own only if all files are such.
fn parquet_parts(root: &Path, files: Vec<PathBuf>) -> Vec<(Option<Split>, Vec<PathBuf>)> {
    let split_of = |file: &Path| {
        let inside = file.strip_prefix(root).unwrap_or(file);
        inside
            .iter()
            .rev()
            .find_map(|part| Split::of_file_name(&part.to_string_lossy()))
    };
    let parts = Split::ALL.into_iter().filter_map(|split| {
        let of_split: Vec<_> = files
            .iter()
            .filter(|file| split_of(file) == Some(split))
            .cloned()
            .collect();
        (!of_split.is_empty()).then_some((Some(split), of_split))
    });
    let parts: Vec<_> = parts.collect();
    if parts.is_empty() {
        vec![(None, files)]
    } else {
        parts
    }
}
