//! Recognising how a dataset is stored.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::boxes::BoxLayout;
use super::cifar::CifarLayout;
use super::coco::CocoLayout;
use super::folder_layout::FolderLayout;
use super::idx::IdxLayout;
use super::label_table::CsvLayout;
use super::masks::MaskLayout;
use super::recognise::{recognise_file, recognise_folder};
use super::shards::ShardPart;
use super::split::list_splits;
use super::webdataset::WebDatasetLayout;
use super::{Dataset, ImageFolder, MaskClasses, Split};
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
    /// CIFAR-10's and CIFAR-100's binary files and, with the feature `pickle`, Python files.
    Cifar,
    /// CSV or TSV files of images and their labels.
    Csv,
    /// WebDataset: tar archives of images with their labels beside them.
    #[serde(rename = "webdataset")]
    WebDataset,
    /// Photos with masks in files of their own, also Pascal VOC's.
    Masks,
    /// COCO's JSON files of boxes and masks, with the images that they name.
    Coco,
    /// Pascal VOC's XML files of boxes, with their photos.
    Voc,
    /// YOLO's text files of boxes, with their photos.
    Yolo,
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
            Self::Cifar => "cifar",
            Self::Csv => "csv",
            Self::WebDataset => "webdataset",
            Self::Masks => "masks",
            Self::Coco => "coco",
            Self::Voc => "voc",
            Self::Yolo => "yolo",
            Self::Photos => "photos",
            Self::Procedural => "procedural",
            Self::Custom => "custom",
        })
    }
}

/// What is recognised, for the message where nothing is.
pub(crate) const LOOKED_FOR: &str = "folders of images named by class, directly or in `train`, `val` and `test`; IDX \
     files named like `train-images-idx3-ubyte.gz` with their labels; parquet files with an image \
     column; CIFAR's binary and Python files; CSV and TSV files of images and labels; WebDataset \
     tar archives; folders of photos and of masks, as `images` and `masks`; Pascal VOC's folders; COCO's \
     JSON files with their images; Pascal VOC's XML files and YOLO's text files of boxes with their images, \
     and YOLO's `data.yaml`";

/// A recognised dataset, not opened yet: its format, its splits, and how its folders were
/// understood.
///
/// ```
/// use cnn_data::{Dataset, FoundDataset, Image, Split};
///
/// # let folder = tempfile::tempdir()?;
/// # let photos = folder.path();
/// for file in ["train/cats/1.png", "train/dogs/1.png", "test/1.png"] {
///     std::fs::create_dir_all(photos.join(file).parent().unwrap())?;
///     Image::from_pixels(4, 4, 1, vec![9; 16])?.write_png(&photos.join(file))?;
/// }
/// let found = FoundDataset::at(photos)?;
/// assert_eq!(found.splits(), [Split::Train]);
/// assert!(found.notes()[0].contains("test lie in no class folders"));
/// assert_eq!(found.open(None)?.classes(), ["cats", "dogs"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct FoundDataset {
    path: PathBuf,
    layout: Layout,
    notes: Vec<String>,
}

/// What was recognised.
pub(super) enum Layout {
    Folders(FolderLayout),
    Idx(IdxLayout),
    Parquet(Vec<ShardPart>),
    Cifar(CifarLayout),
    Csv(CsvLayout),
    WebDataset(WebDatasetLayout),
    Masks(MaskLayout),
    Coco(CocoLayout),
    Boxes(BoxLayout),
}

impl FoundDataset {
    /// Recognises the dataset at a path by its content. Of a folder with several configurations, as
    /// those of the hub, `PATH:NAME` is one, and of a table with several columns of labels. Of a
    /// folder with masks and boxes, `PATH:boxes` are the boxes.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the path does not exist, [`Error::UnknownDataset`] if nothing is recognised,
    /// [`Error::Ambiguous`] if it could be understood in several ways or images would be left out,
    /// [`Error::Configuration`] if it has several configurations and none of them is named.
    pub fn at(path: &Path) -> Result<Self, Error> {
        let ConfiguredPath {
            path,
            configuration,
        } = ConfiguredPath::of(path);
        let metadata = path
            .metadata()
            .map_err(|error| Error::io("read", &path, error))?;
        let mut notes = Vec::new();
        let layout = if metadata.is_dir() {
            recognise_folder(&path, configuration.as_deref(), &mut notes)?
        } else {
            recognise_file(&path, configuration.as_deref(), &mut notes)?
        };
        let may_choose = layout.has_configurations(metadata.is_dir());
        if let Some(name) = configuration.filter(|_| !may_choose) {
            return Err(Error::Configuration {
                path,
                asked: Some(name),
                existing: "none at all: leave the name out".to_owned(),
            });
        }
        Ok(Self {
            path,
            layout,
            notes,
        })
    }

    /// The path that it was found at, without the name of a configuration.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is stored.
    pub fn format(&self) -> DatasetFormat {
        match &self.layout {
            Layout::Folders(_) => DatasetFormat::ImageFolder,
            Layout::Idx(_) => DatasetFormat::Idx,
            Layout::Parquet(_) => DatasetFormat::Parquet,
            Layout::Cifar(_) => DatasetFormat::Cifar,
            Layout::Csv(_) => DatasetFormat::Csv,
            Layout::WebDataset(_) => DatasetFormat::WebDataset,
            Layout::Masks(_) => DatasetFormat::Masks,
            Layout::Coco(_) => DatasetFormat::Coco,
            Layout::Boxes(layout) => layout.format(),
        }
    }

    /// Its splits in order; none if it is not divided.
    pub fn splits(&self) -> Vec<Split> {
        self.parts().into_iter().flatten().collect()
    }

    /// How its folders were understood where that is not plain, and what was left out, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The same dataset with these classes of masks in place of those that its folder names. They
    /// stand for the numbers that its masks store, from 0, or for colors, if they have some.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for a dataset whose masks are not files of their own.
    pub fn with_mask_classes(self, classes: MaskClasses) -> Result<Self, Error> {
        self.with_masks("mask classes", |masks| masks.with_classes(classes))
    }

    /// The same dataset, in whose masks a stored number stands for no class: such pixels become
    /// [`Mask::IGNORE`](crate::Mask::IGNORE), and the classes behind them move up. If colors are
    /// stored, it is the number of the color in the list, from 0.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] for a dataset whose masks are not files of their own.
    pub fn with_ignored(self, number: u8) -> Result<Self, Error> {
        self.with_masks("ignored", |masks| masks.with_ignored(number))
    }

    fn with_masks(
        self,
        name: &'static str,
        change: impl FnOnce(MaskLayout) -> MaskLayout,
    ) -> Result<Self, Error> {
        let format = self.format();
        let Layout::Masks(layout) = self.layout else {
            let expected = "a dataset of photos and masks";
            return Err(Error::argument(name, format!("one of {format}"), expected));
        };
        let before = layout.notes();
        let layout = change(layout);
        let mut notes = self.notes;
        notes.retain(|note| !before.contains(note));
        notes.extend(layout.notes());
        Ok(Self {
            layout: Layout::Masks(layout),
            notes,
            ..self
        })
    }

    /// The parts in order. A dataset that is not divided has the one part `None`.
    pub(crate) fn parts(&self) -> Vec<Option<Split>> {
        match &self.layout {
            Layout::Folders(layout) => layout.parts.iter().map(|part| part.split).collect(),
            Layout::Idx(layout) => layout.parts.iter().map(|part| part.split).collect(),
            Layout::Parquet(parts) => parts.iter().map(|(split, _)| *split).collect(),
            Layout::Cifar(layout) => layout.splits(),
            Layout::Csv(layout) => layout.splits(),
            Layout::WebDataset(layout) => layout.splits(),
            Layout::Masks(layout) => layout.parts.iter().map(|part| part.split).collect(),
            Layout::Coco(layout) => layout.parts.iter().map(|part| part.split).collect(),
            Layout::Boxes(layout) => layout.parts.iter().map(|part| part.split).collect(),
        }
    }

    /// Opens the part that `split` names, or the only one there is if it names none.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchSplit`] and [`Error::SplitNotChosen`] naming the splits that exist,
    /// [`Error::WithoutFeature`] if the format's reader was left out of this build,
    /// [`Error::BrokenDataset`] if a file contradicts its format.
    pub fn open(&self, split: impl Into<Option<Split>>) -> Result<Arc<dyn Dataset>, Error> {
        let number = choose_part(&self.path, &self.parts(), split.into())?;
        Ok(match &self.layout {
            Layout::Folders(layout) => {
                let part = &layout.parts[number];
                let classes = layout.classes.clone();
                Arc::new(ImageFolder::of_samples(
                    &part.root,
                    classes,
                    part.samples.clone(),
                )?)
            }
            Layout::Idx(layout) => Arc::new(layout.open(number)?),
            Layout::Parquet(parts) => {
                let others = parts
                    .iter()
                    .enumerate()
                    .filter(|(place, _)| *place != number);
                let others: Vec<PathBuf> =
                    others.flat_map(|(_, (_, files))| files.clone()).collect();
                open_parquet(&self.path, &parts[number].1, &others)?
            }
            Layout::Cifar(layout) => Arc::new(layout.open(number)?),
            Layout::Csv(layout) => Arc::new(layout.open(number)?),
            Layout::WebDataset(layout) => Arc::new(layout.open(number)?),
            Layout::Masks(layout) => Arc::new(layout.open(number)?),
            Layout::Coco(layout) => Arc::new(layout.open(number)),
            Layout::Boxes(layout) => Arc::new(layout.open(number)),
        })
    }
}

/// The number of the part that is asked for, or of the only one there is.
pub(super) fn choose_part(
    path: &Path,
    splits: &[Option<Split>],
    asked: Option<Split>,
) -> Result<usize, Error> {
    let existing = || list_splits(splits.iter().copied().flatten());
    match asked {
        Some(asked) => splits
            .iter()
            .position(|split| *split == Some(asked))
            .ok_or_else(|| Error::NoSuchSplit {
                path: path.to_owned(),
                asked,
                existing: existing(),
            }),
        None if splits.len() == 1 => Ok(0),
        None => Err(Error::SplitNotChosen {
            path: path.to_owned(),
            existing: existing(),
        }),
    }
}

/// A path, and the configuration that `PATH:NAME` chooses.
pub(crate) struct ConfiguredPath {
    pub(crate) path: PathBuf,
    pub(crate) configuration: Option<String>,
}

impl ConfiguredPath {
    /// A path that exists is taken as it is.
    pub(crate) fn of(path: &Path) -> Self {
        let whole = Self {
            path: path.to_owned(),
            configuration: None,
        };
        if path.exists() {
            return whole;
        }
        let parts = path.to_str().and_then(|text| text.rsplit_once(':'));
        match parts.filter(|(front, _)| Path::new(front).exists()) {
            Some((front, name)) => Self {
                path: front.into(),
                configuration: Some(name.to_owned()),
            },
            None => whole,
        }
    }
}

impl Layout {
    /// Whether `PATH:NAME` may choose something of it, where `PATH` is a folder or a file.
    fn has_configurations(&self, is_folder: bool) -> bool {
        match self {
            Self::Folders(_) | Self::Masks(_) | Self::Coco(_) => false,
            Self::Idx(_) | Self::Parquet(_) | Self::WebDataset(_) => is_folder,
            Self::Boxes(_) => is_folder,
            Self::Cifar(_) | Self::Csv(_) => true,
        }
    }
}

#[cfg(feature = "parquet")]
fn open_parquet(
    _: &Path,
    files: &[PathBuf],
    others: &[PathBuf],
) -> Result<Arc<dyn Dataset>, Error> {
    Ok(Arc::new(super::ParquetImages::open_among(files, others)?))
}

/// A format that is recognised is never called unknown: without its reader, the error says which
/// feature to enable.
#[cfg(not(feature = "parquet"))]
fn open_parquet(path: &Path, _: &[PathBuf], _: &[PathBuf]) -> Result<Arc<dyn Dataset>, Error> {
    Err(Error::WithoutFeature {
        path: path.to_owned(),
        format: DatasetFormat::Parquet,
        feature: "parquet",
    })
}
