//! Recognising how a dataset is stored.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::cifar::CifarLayout;
use super::files::{
    Listing, file_name, files_below, files_in, folders_in, has_extension, is_image_name, quoted,
};
use super::folder_layout::FolderLayout;
use super::idx::IdxLayout;
use super::label_table::{CsvLayout, ImageIndex, UnreadTables, is_table_name, tables_beside};
use super::recurring::recurring_folders;
use super::shards::{ShardPart, check_shards, of_configuration, parts_of};
use super::split::{is_content_name, list_splits};
use super::webdataset::{WebDatasetLayout, is_tar_name, packed_reason};
use super::{Dataset, ImageFolder, Split};
use crate::{Error, Skipped};

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
            Self::Photos => "photos",
            Self::Procedural => "procedural",
            Self::Custom => "custom",
        })
    }
}

/// What is recognised, for the message where nothing is.
pub(crate) const LOOKED_FOR: &str = "folders of images named by class, directly or in `train`, `val` and `test`; IDX \
     files named like `train-images-idx3-ubyte.gz` with their labels; parquet files with an image \
     column; CIFAR's binary and Python files; CSV and TSV files of images and labels; WebDataset tar archives";

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

enum Layout {
    Folders(FolderLayout),
    Idx(IdxLayout),
    Parquet(Vec<ShardPart>),
    Cifar(CifarLayout),
    Csv(CsvLayout),
    WebDataset(WebDatasetLayout),
}

impl FoundDataset {
    /// Recognises the dataset at a path by its content. Of a folder with several configurations, as
    /// those of the hub, `PATH:NAME` is one, and of a table with several columns of labels.
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
            of_folder(&path, configuration.as_deref(), &mut notes)?
        } else {
            of_file(&path, configuration.as_deref(), &mut notes)?
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

    /// How it is stored.
    pub fn format(&self) -> DatasetFormat {
        match self.layout {
            Layout::Folders(_) => DatasetFormat::ImageFolder,
            Layout::Idx(_) => DatasetFormat::Idx,
            Layout::Parquet(_) => DatasetFormat::Parquet,
            Layout::Cifar(_) => DatasetFormat::Cifar,
            Layout::Csv(_) => DatasetFormat::Csv,
            Layout::WebDataset(_) => DatasetFormat::WebDataset,
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

    /// The parts in order. A dataset that is not divided has the one part `None`.
    pub(crate) fn parts(&self) -> Vec<Option<Split>> {
        match &self.layout {
            Layout::Folders(layout) => layout.parts.iter().map(|part| part.split).collect(),
            Layout::Idx(layout) => layout.parts.iter().map(|part| part.split).collect(),
            Layout::Parquet(parts) => parts.iter().map(|(split, _)| *split).collect(),
            Layout::Cifar(layout) => layout.splits(),
            Layout::Csv(layout) => layout.splits(),
            Layout::WebDataset(layout) => layout.splits(),
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
            Self::Folders(_) => false,
            Self::Idx(_) | Self::Parquet(_) | Self::WebDataset(_) => is_folder,
            Self::Cifar(_) | Self::Csv(_) => true,
        }
    }
}

/// How many folders that hold only one folder each are entered in search of files of a known kind.
const DEEPEST: usize = 4;

fn of_folder(
    path: &Path,
    configuration: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Layout, Error> {
    let mut place = path.to_owned();
    for _ in 0..DEEPEST {
        if let Some(layout) = IdxLayout::recognise(&place, configuration)? {
            notes.extend(layout.notes.iter().cloned());
            if place != path {
                notes.push(format!("what {} holds is read", place.display()));
            }
            return Ok(Layout::Idx(layout));
        }
        if let Some(mut layout) = CifarLayout::recognise(&place, configuration)? {
            notes.append(&mut layout.notes);
            if place != path {
                notes.push(format!("what {} holds is read", place.display()));
            }
            return Ok(Layout::Cifar(layout));
        }
        match folders_in(&place)?.as_slice() {
            [only] if files_in(&place)?.is_empty() => place = only.clone(),
            _ => break,
        }
    }
    let is_parquet = |file: &Path| has_extension(file, &["parquet"]);
    let Listing { files, unreadable } = files_below(path, |file| {
        is_parquet(file) || is_tar_name(file) || is_image_name(file)
    })?;
    notes.extend(
        unreadable
            .iter()
            .map(|Skipped { path, reason }| format!("{path} is left out: {reason}")),
    );
    let (parquet, files): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|file| is_parquet(file));
    let (archives, images): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|file| is_tar_name(file));
    if !parquet.is_empty() {
        let files = of_configuration(path, parquet, configuration)?;
        let parts = parts_of(path, files)?;
        for (_, files) in &parts {
            notes.extend(check_shards(files)?);
        }
        return Ok(Layout::Parquet(parts));
    }
    let classes = FolderLayout::recognise(path, &images)?;
    let tables = tables_beside(&place)?;
    let names = classes
        .as_ref()
        .map_or(&[][..], |layout| layout.classes.as_slice());
    let mut unread = Vec::new();
    if names.len() > 1 && configuration.is_none() {
        let index = ImageIndex::of_files(&place, &images);
        for table in &tables {
            if table.lists_images(&index)? {
                notes.push(beside_classes(&table.path().display()));
            }
        }
    } else if !tables.is_empty() {
        let gives_way = names.is_empty() || is_content_name(&names[0]) || configuration.is_some();
        match CsvLayout::of_folder(&place, &tables, &images, configuration)? {
            Ok(layout) if gives_way || layout.are_named() => {
                if place != path {
                    notes.push(format!("what {} holds is read", place.display()));
                }
                if let Some(names) = quoted(names) {
                    notes.push(format!(
                        "the classes are those of {}, and the folder {names} is none",
                        layout.names()
                    ));
                }
                notes.extend(layout.notes.iter().cloned());
                return Ok(Layout::Csv(layout));
            }
            Ok(layout) => unread.push(beside_classes(&layout.names())),
            Err(UnreadTables {
                unclear: Some(error),
                ..
            }) if gives_way && (!names.is_empty() || configuration.is_some()) => return Err(error),
            Err(UnreadTables { reasons, .. }) => unread = reasons,
        }
    }
    if names.is_empty() && !archives.is_empty() {
        let files = of_configuration(path, archives, configuration)?;
        let layout = WebDatasetLayout::of_shards(parts_of(path, files)?)?;
        if let Some(image) = images.first() {
            notes.push(format!(
                "{} images beside the archives are left out, as {}",
                images.len(),
                image.display()
            ));
        }
        notes.extend(unread);
        notes.extend(layout.notes.iter().cloned());
        return Ok(Layout::WebDataset(layout));
    }
    if names.is_empty()
        && let Some(mut layout) = CifarLayout::recognise_inside(&place, configuration)?
    {
        notes.append(&mut layout.notes);
        return Ok(Layout::Cifar(layout));
    }
    let archives: Vec<String> = archives.iter().map(|archive| file_name(archive)).collect();
    notes.extend(quoted(&archives).map(|archives| beside_classes(&archives)));
    match classes {
        Ok(layout) => {
            notes.extend(layout.notes.iter().cloned());
            notes.extend(unread);
            let roots = layout.parts.iter().map(|part| part.root.as_path());
            notes.extend(recurring_folders(roots)?.map(|found| found.to_string()));
            Ok(Layout::Folders(layout))
        }
        Err(reason) => {
            let files = files_in(&place)?.into_iter();
            unread.extend(files.filter_map(|file| packed_reason(&file, &[])));
            Err(Error::UnknownDataset {
                path: path.to_owned(),
                reason: [&[reason][..], &unread].concat().join("; "),
            })
        }
    }
}

/// Says that a table or an archive is not read where class folders are.
fn beside_classes(name: &dyn fmt::Display) -> String {
    format!("the folders are the classes; {name} is read where it is named itself")
}

fn of_file(
    path: &Path,
    configuration: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Layout, Error> {
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
    if is_table_name(path) {
        let layout = CsvLayout::of_table(path, configuration)?;
        notes.extend(layout.notes.iter().cloned());
        return Ok(Layout::Csv(layout));
    }
    let reason = packed_reason(path, &start);
    if reason.is_none() && is_tar_name(path) {
        let parts = vec![(Split::of_file_name(&file_name(path)), vec![path.to_owned()])];
        let layout = WebDatasetLayout::of_shards(parts)?;
        notes.extend(layout.notes.iter().cloned());
        return Ok(Layout::WebDataset(layout));
    }
    let unknown =
        || "it is a single file and neither parquet nor named like a CSV, TSV or tar file";
    let reason = reason.unwrap_or_else(|| unknown().to_owned());
    Err(Error::UnknownDataset {
        path: path.to_owned(),
        reason,
    })
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
