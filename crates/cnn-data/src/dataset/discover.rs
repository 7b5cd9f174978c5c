//! Recognising how a dataset is stored.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};

use super::files::{
    Listing, file_name, files_below, files_in, folders_in, has_extension, is_image_name, quoted,
};
use super::folder_layout::FolderLayout;
use super::idx::IdxLayout;
use super::recurring::recurring_folders;
use super::split::list_splits;
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
    Parquet(Vec<ParquetPart>),
}

/// A split and its files.
type ParquetPart = (Option<Split>, Vec<PathBuf>);

impl FoundDataset {
    /// Recognises the dataset at a path by its content. Of a folder with several configurations, as
    /// those of the hub, `PATH:NAME` is one.
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
            of_file(&path)?
        };
        if let Some(name) = configuration.filter(|_| !layout.has_configurations()) {
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
        let number = self.choose(split.into())?;
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
        })
    }

    fn choose(&self, asked: Option<Split>) -> Result<usize, Error> {
        let splits = self.parts();
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
        match parts.filter(|(front, _)| Path::new(front).is_dir()) {
            Some((front, name)) => Self {
                path: front.into(),
                configuration: Some(name.to_owned()),
            },
            None => whole,
        }
    }
}

impl Layout {
    fn has_configurations(&self) -> bool {
        !matches!(self, Self::Folders(_))
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
        match folders_in(&place)?.as_slice() {
            [only] if files_in(&place)?.is_empty() => place = only.clone(),
            _ => break,
        }
    }
    let is_parquet = |file: &Path| has_extension(file, &["parquet"]);
    let Listing { files, unreadable } =
        files_below(path, |file| is_parquet(file) || is_image_name(file))?;
    notes.extend(
        unreadable
            .iter()
            .map(|Skipped { path, reason }| format!("{path} is left out: {reason}")),
    );
    let (parquet, images): (Vec<PathBuf>, Vec<PathBuf>) =
        files.into_iter().partition(|file| is_parquet(file));
    if !parquet.is_empty() {
        let files = of_configuration(path, parquet, configuration)?;
        return Ok(Layout::Parquet(parquet_parts(path, files, notes)?));
    }
    match FolderLayout::recognise(path, &images)? {
        Ok(layout) => {
            notes.extend(layout.notes.iter().cloned());
            let roots = layout.parts.iter().map(|part| part.root.as_path());
            notes.extend(recurring_folders(roots)?.map(|found| found.to_string()));
            Ok(Layout::Folders(layout))
        }
        Err(reason) => Err(Error::UnknownDataset {
            path: path.to_owned(),
            reason,
        }),
    }
}

/// The parquet files of the configuration that was asked for. As on the hub, files of different
/// configurations lie in different folders.
fn of_configuration(
    root: &Path,
    files: Vec<PathBuf>,
    asked: Option<&str>,
) -> Result<Vec<PathBuf>, Error> {
    let name_of = |file: &Path| {
        let folder = file
            .parent()
            .and_then(|folder| folder.strip_prefix(root).ok());
        let parts = folder.into_iter().flat_map(|folder| folder.iter());
        let names = parts
            .map(|part| part.to_string_lossy().into_owned())
            .filter(|name| Split::of_folder_name(name).is_none() && name != "data");
        names.collect::<Vec<_>>().join("/")
    };
    let mut of_name: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        of_name.entry(name_of(&file)).or_default().push(file);
    }
    choose_configuration(root, of_name, asked)
}

/// The configuration of that name, or the only one there is.
pub(super) fn choose_configuration<T>(
    path: &Path,
    mut of_name: BTreeMap<String, T>,
    asked: Option<&str>,
) -> Result<T, Error> {
    let names: Vec<String> = of_name.keys().cloned().collect();
    let refused = |asked: Option<&str>| Error::Configuration {
        path: path.to_owned(),
        asked: asked.map(str::to_owned),
        existing: quoted(&names).unwrap_or_default(),
    };
    match asked {
        Some(asked) => of_name.remove(asked).ok_or_else(|| refused(Some(asked))),
        None if of_name.len() == 1 => of_name
            .pop_first()
            .map(|(_, only)| only)
            .ok_or_else(|| refused(None)),
        None => Err(refused(None)),
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

/// Groups parquet files by the split that their name, or the name of the folder above them, stands
/// for. Files whose names stand for no split are a part of their own only if all files are such.
fn parquet_parts(
    root: &Path,
    files: Vec<PathBuf>,
    notes: &mut Vec<String>,
) -> Result<Vec<ParquetPart>, Error> {
    let split_of = |file: &Path| {
        let inside = file.strip_prefix(root).unwrap_or(file);
        inside
            .iter()
            .rev()
            .find_map(|part| Split::of_file_name(&part.to_string_lossy()))
    };
    let mut of_split: BTreeMap<Option<Split>, Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        of_split.entry(split_of(&file)).or_default().push(file);
    }
    for files in of_split.values() {
        notes.extend(check_shards(files)?);
    }
    if of_split.len() > 1
        && let Some(others) = of_split.remove(&None)
    {
        let names: Vec<String> = others.iter().map(|file| file_name(file)).collect();
        return Err(Error::Ambiguous {
            path: root.to_owned(),
            reason: format!(
                "{} belong to no split and would be left out; rename or move them",
                quoted(&names).unwrap_or_default()
            ),
        });
    }
    Ok(of_split.into_iter().collect())
}

/// Refuses shards of two different divisions of the same data, as `-00000-of-00001` beside
/// `-00000-of-00002`, and files of the same content; says which shards are missing.
fn check_shards(files: &[PathBuf]) -> Result<Option<String>, Error> {
    let refused = |first: &Path, second: &Path| Error::Ambiguous {
        path: second.to_owned(),
        reason: format!(
            "it and {} would be added up, and are the same data twice or of two divisions; \
             move one of them away",
            first.display()
        ),
    };
    let mut shards: BTreeMap<usize, &PathBuf> = BTreeMap::new();
    let mut of = None;
    for file in files {
        let number = shard_number(&file_name(file));
        match (number, of) {
            (Some((_, total)), Some(before)) if total != before => {
                return Err(refused(&files[0], file));
            }
            (None, Some(_)) => return Err(refused(&files[0], file)),
            (Some(_), None) if file != &files[0] => return Err(refused(&files[0], file)),
            (Some((index, total)), _) => {
                of = Some(total);
                if let Some(first) = shards.insert(index, file) {
                    return Err(refused(first, file));
                }
            }
            (None, None) => {}
        }
    }
    let mut of_content: BTreeMap<(u64, [u8; 32]), &PathBuf> = BTreeMap::new();
    for (file, size) in of_equal_sizes(files)? {
        let hash = file_hash(file)?;
        if let Some(first) = of_content.insert((size, hash), file) {
            return Err(refused(first, file));
        }
    }
    let missing = of.map_or(0, |total: usize| total.saturating_sub(shards.len()));
    Ok((missing > 0).then(|| {
        format!(
            "{missing} of the {} files that {} is one of are not there",
            of.unwrap_or_default(),
            files[0].display()
        )
    }))
}

/// Number and count of `train-00003-of-00014.parquet`.
fn shard_number(name: &str) -> Option<(usize, usize)> {
    let (front, back) = name.split_once("-of-")?;
    let digits = |text: &str| {
        text.chars()
            .take_while(char::is_ascii_digit)
            .collect::<String>()
    };
    let last: String = front
        .rsplit(|c: char| !c.is_ascii_digit())
        .next()?
        .to_owned();
    Some((last.parse().ok()?, digits(back).parse().ok()?))
}

/// The files of which another has the same size.
fn of_equal_sizes(files: &[PathBuf]) -> Result<Vec<(&PathBuf, u64)>, Error> {
    let size = |file: &PathBuf| {
        let metadata = file.metadata();
        metadata
            .map(|metadata| metadata.len())
            .map_err(|error| Error::io("read", file, error))
    };
    let sizes = files.iter().map(size).collect::<Result<Vec<_>, _>>()?;
    let is_twin = |size: &u64| sizes.iter().filter(|other| *other == size).count() > 1;
    let pairs = files.iter().zip(sizes.iter().copied());
    Ok(pairs.filter(|(_, size)| is_twin(size)).collect())
}

fn file_hash(path: &Path) -> Result<[u8; 32], Error> {
    let mut hasher = Sha256::new();
    let mut hash = || {
        let mut file = File::open(path)?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                read => hasher.update(&buffer[..read]),
            }
        }
    };
    hash().map_err(|error| Error::io("read", path, error))?;
    Ok(hasher.finalize().into())
}
