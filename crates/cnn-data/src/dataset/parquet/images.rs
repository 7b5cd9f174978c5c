//! The Hugging Face hub's image datasets: parquet files with a column of encoded images and one of
//! labels.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::data_type::ByteArray;

use super::file::ParquetFile;
use super::source::ParquetSource;
use crate::{Content, Dataset, DatasetFormat, Error};

/// How many bytes of encoded images are kept in memory. A smaller dataset is read from the disk
/// only once.
const CACHE_BYTES: usize = 1 << 30;

/// The most classes of a dataset that does not name them: a larger label is taken for damage.
const MAX_UNNAMED_CLASSES: usize = 1 << 16;

/// Images of one or more parquet files, in the order of the files and their rows.
///
/// The image column is called `img` or `image`, and holds the hub's struct of `bytes` and `path`,
/// or bare bytes. The label column is called `label`, and holds integers, of which −1 stands for no
/// label, or the names of the classes. The names of numbered classes come from the hub's metadata in
/// the file; without them, the names are numbers. Row groups are read when they are needed.
pub struct ParquetImages {
    files: Vec<ParquetFile>,
    classes: Vec<String>,
    len: usize,
    cache: Mutex<Cache>,
}

impl ParquetImages {
    /// Opens files of one schema and reads their labels.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if a file cannot be read, [`Error::BrokenDataset`] if it is no parquet file,
    /// lacks a column (the message lists those that it has), holds a label without a class, or
    /// names other classes than the first.
    pub fn open(paths: &[PathBuf]) -> Result<Self, Error> {
        Self::open_among(paths, &[])
    }

    /// The same, where `others` are the files of the other splits: names that only these have in
    /// their rows are classes, too, so that a number means the same class in each split.
    pub(in crate::dataset) fn open_among(
        paths: &[PathBuf],
        others: &[PathBuf],
    ) -> Result<Self, Error> {
        let open = |paths: &[PathBuf]| {
            let files = paths.iter().map(|path| open_file(path));
            files.collect::<Result<Vec<_>, Error>>()
        };
        let files = open(paths)?;
        let have_names = files.iter().any(|file| file.names_in_rows().is_some());
        let others = if have_names {
            open(others)?
        } else {
            Vec::new()
        };
        Self::from_files(files, &others)
            .map_err(|(path, reason)| Error::broken_dataset(&path, reason))
    }

    /// The dataset of the bytes of one file.
    ///
    /// # Errors
    ///
    /// What contradicts the format, in words.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, String> {
        let file = ParquetFile::open("parquet".into(), ParquetSource::Memory(bytes.into()))?;
        Self::from_files(vec![file], &[]).map_err(|(_, reason)| reason)
    }

    fn from_files(
        mut files: Vec<ParquetFile>,
        others: &[ParquetFile],
    ) -> Result<Self, (PathBuf, String)> {
        let in_rows: BTreeSet<String> = files
            .iter()
            .chain(others)
            .filter_map(ParquetFile::names_in_rows)
            .flatten()
            .cloned()
            .collect();
        if in_rows.len() > MAX_UNNAMED_CLASSES {
            let reason = format!(
                "its label column has {} different texts, expected the names of at most \
                 {MAX_UNNAMED_CLASSES} classes",
                in_rows.len()
            );
            return Err((files[0].path().to_owned(), reason));
        }
        let named = if in_rows.is_empty() {
            files
                .first()
                .and_then(|file| file.class_names().map(<[String]>::to_vec))
        } else {
            let names: Vec<String> = in_rows.into_iter().collect();
            for file in &mut files {
                if file.names_in_rows().is_none() {
                    let reason = "its labels are numbers, and those of other files are names";
                    return Err((file.path().to_owned(), reason.to_owned()));
                }
                file.number_names(&names);
            }
            Some(names)
        };
        let classes = named.unwrap_or_else(|| {
            let count = files
                .iter()
                .filter_map(ParquetFile::largest_label)
                .max()
                .map_or(0, |largest| largest + 1);
            let count = count.min(MAX_UNNAMED_CLASSES);
            (0..count).map(|class| class.to_string()).collect()
        });
        for file in &files {
            file.check_classes(&classes)
                .map_err(|reason| (file.path().to_owned(), reason))?;
        }
        let len = files.iter().map(ParquetFile::len).sum();
        Ok(Self {
            files,
            classes,
            len,
            cache: Mutex::default(),
        })
    }

    /// The file that holds a sample, its number, and the sample's row in it.
    fn locate(&self, index: usize) -> Option<(usize, &ParquetFile, usize)> {
        let mut row = index;
        for (number, file) in self.files.iter().enumerate() {
            if row < file.len() {
                return Some((number, file, row));
            }
            row -= file.len();
        }
        None
    }

    fn row_group(
        &self,
        file_number: usize,
        file: &ParquetFile,
        group: usize,
    ) -> Result<RowGroup, String> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = cache.get((file_number, group)) {
            return Ok(found);
        }
        let loaded: RowGroup = file.read_images(group)?.into();
        cache.put((file_number, group), loaded.clone());
        Ok(loaded)
    }
}

impl Dataset for ParquetImages {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Parquet
    }

    fn len(&self) -> usize {
        self.len
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn id(&self, index: usize) -> String {
        match self.locate(index) {
            Some((_, file, row)) => format!("{}#{row}", file.path().display()),
            None => format!("#{index}"),
        }
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.locate(index)
            .and_then(|(_, file, row)| file.label(row))
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        let (number, file, row) = self.locate(index).ok_or(Error::NoSuchSample {
            index,
            len: self.len,
        })?;
        let broken = |reason: String| Error::broken_dataset(file.path(), reason);
        let (group, row_in_group) = file
            .group_of(row)
            .ok_or_else(|| broken(format!("row {row} is in no row group")))?;
        let images = self.row_group(number, file, group).map_err(broken)?;
        match images.get(row_in_group) {
            Some(Some(bytes)) => Ok(Content::Encoded(bytes.data().to_vec())),
            _ => Err(broken(format!("row {row} has no image bytes"))),
        }
    }
}

fn open_file(path: &Path) -> Result<ParquetFile, Error> {
    let source = File::open(path)
        .and_then(ParquetSource::of_file)
        .map_err(|error| Error::io("read", path, error))?;
    ParquetFile::open(path.to_owned(), source).map_err(|reason| Error::broken_dataset(path, reason))
}

/// The encoded images of a row group; `None` for a null.
type RowGroup = Arc<[Option<ByteArray>]>;

/// The row groups read last, oldest first.
#[derive(Default)]
struct Cache {
    groups: VecDeque<((usize, usize), RowGroup)>,
    bytes: usize,
}

impl Cache {
    fn get(&self, key: (usize, usize)) -> Option<RowGroup> {
        self.groups
            .iter()
            .find(|(found, _)| *found == key)
            .map(|(_, group)| group.clone())
    }

    fn put(&mut self, key: (usize, usize), group: RowGroup) {
        self.bytes += size(&group);
        self.groups.push_back((key, group));
        while self.bytes > CACHE_BYTES && self.groups.len() > 1 {
            if let Some((_, oldest)) = self.groups.pop_front() {
                self.bytes -= size(&oldest);
            }
        }
    }
}

fn size(group: &RowGroup) -> usize {
    group.iter().flatten().map(ByteArray::len).sum()
}
