//! Datasets that are known by name: where they are, what they are, and the folder that they become.

mod bitmap;
mod install;
mod layout;
mod matlab;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use cnn_core::{ArgumentError, did_you_mean};
use serde::Deserialize;

use crate::{Checksum, Error};
use layout::Layout;

/// A dataset that is known by name.
///
/// Addresses and MD5 sums are those of torchvision, sizes those of TensorFlow Datasets for the same
/// addresses or what downloads of them report, and the splits have the numbers that their owners
/// state. What no source says is `None`.
///
/// ```
/// use cnn_hub::DatasetEntry;
///
/// # fn main() -> Result<(), cnn_hub::Error> {
/// let mnist = DatasetEntry::find("mnist")?;
/// assert_eq!((mnist.classes, mnist.files.len(), mnist.bytes()), (10, 4, Some(11_594_722)));
/// let error = DatasetEntry::find("cifar-10").unwrap_err();
/// assert!(error.to_string().contains("did you mean `cifar10`?"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatasetEntry {
    /// The name: lower case, digits and underscores.
    pub name: String,
    /// What it is, in a few words.
    pub title: String,
    /// What it is for: `classification` or `detection`.
    pub task: String,
    /// The number of classes.
    pub classes: u32,
    /// Its splits; none where it is not divided.
    pub splits: Vec<DatasetSplit>,
    /// Its licence, where its owner or its page on the hub names one.
    pub licence: Option<String>,
    /// Its own page.
    pub page: String,
    /// Its repository on the hub, `owner/name`.
    pub hub: Option<String>,
    /// What is downloaded.
    pub files: Vec<DatasetFile>,
    layout: Layout,
}

/// A part of a dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatasetSplit {
    /// `train`, `val` or `test`.
    pub name: String,
    /// How many images it has, where that is known.
    pub images: Option<u64>,
}

/// A file that a dataset is downloaded from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DatasetFile {
    /// Its address; `hf:datasets/owner/name/folder/` means the parquet files of a repository's
    /// folder.
    pub url: String,
    /// Its size in bytes, where that is known.
    pub bytes: Option<u64>,
    /// Its published MD5, where there is one.
    pub md5: Option<Checksum>,
}

#[derive(Deserialize)]
struct EntryRow {
    name: String,
    title: String,
    task: String,
    classes: u32,
    splits: String,
    licence: Option<String>,
    page: String,
    hub: Option<String>,
    layout: String,
}

#[derive(Deserialize)]
struct FileRow {
    dataset: String,
    url: String,
    bytes: Option<u64>,
    md5: Option<String>,
}

static CATALOGUE: LazyLock<Vec<DatasetEntry>> = LazyLock::new(|| {
    let files = include_str!("../../data/dataset_files.csv");
    let mut files_of: BTreeMap<String, Vec<DatasetFile>> = BTreeMap::new();
    for row in csv::Reader::from_reader(files.as_bytes()).deserialize() {
        let row: FileRow = row.expect("a test reads this table");
        let md5 = row
            .md5
            .map(|digits| Checksum::md5(&digits).expect("a test reads this table"));
        files_of.entry(row.dataset).or_default().push(DatasetFile {
            url: row.url,
            bytes: row.bytes,
            md5,
        });
    }
    let entries = include_str!("../../data/datasets.csv");
    let rows = csv::Reader::from_reader(entries.as_bytes()).into_deserialize();
    let entry = |row: Result<EntryRow, csv::Error>| {
        let row = row.expect("a test reads this table");
        DatasetEntry {
            files: files_of.remove(&row.name).unwrap_or_default(),
            splits: splits(&row.splits),
            layout: Layout::parse(&row.layout).expect("a test reads this table"),
            name: row.name,
            title: row.title,
            task: row.task,
            classes: row.classes,
            licence: row.licence,
            page: row.page,
            hub: row.hub,
        }
    };
    rows.map(entry).collect()
});

/// `train 60000;test` as splits.
fn splits(text: &str) -> Vec<DatasetSplit> {
    let splits = text.split(';').filter(|split| !split.is_empty());
    let split = |split: &str| {
        let (name, images) = split.split_once(' ').unwrap_or((split, ""));
        DatasetSplit {
            name: name.to_string(),
            images: images.parse().ok(),
        }
    };
    splits.map(split).collect()
}

impl DatasetEntry {
    /// All that are known, in the order of the documentation.
    pub fn all() -> &'static [DatasetEntry] {
        &CATALOGUE
    }

    /// The dataset of this name; upper case and hyphens do not matter.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] with the nearest name where there is none.
    pub fn find(name: &str) -> Result<&'static DatasetEntry, Error> {
        let wanted = name.to_ascii_lowercase().replace('-', "_");
        let names = || Self::all().iter().map(|entry| entry.name.as_str());
        Self::all()
            .iter()
            .find(|entry| entry.name == wanted)
            .ok_or_else(|| {
                let hint = did_you_mean(name, names());
                let expected = format!("one of {}{hint}", names().collect::<Vec<_>>().join(", "));
                ArgumentError::new("dataset", format!("{name:?}"), expected).into()
            })
    }

    /// How many bytes are downloaded, where the size of each file is known.
    pub fn bytes(&self) -> Option<u64> {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The folder that it becomes, in words.
    pub fn becomes(&self) -> &'static str {
        self.layout.becomes()
    }

    /// Its folder below `directory`, if it is there.
    pub fn installed(&self, directory: &Path) -> Option<PathBuf> {
        let folder = directory.join(&self.name);
        folder.is_dir().then_some(folder)
    }
}

impl fmt::Display for DatasetEntry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.name, self.title)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use super::*;
    use crate::{Repo, UrlFile};

    #[test]
    fn every_entry_can_be_asked_for_and_says_what_it_is() {
        let files = include_str!("../../data/dataset_files.csv").lines().count() - 1;
        assert_eq!(
            DatasetEntry::all()
                .iter()
                .map(|entry| entry.files.len())
                .sum::<usize>(),
            files
        );
        let mut names = BTreeSet::new();
        for entry in DatasetEntry::all() {
            assert!(names.insert(&entry.name), "{entry}");
            let is_name = |letter: char| {
                letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
            };
            assert!(
                entry.name.chars().all(is_name) && !entry.title.is_empty(),
                "{entry}"
            );
            assert!(
                entry.classes >= 2 && entry.page.starts_with("http"),
                "{entry}"
            );
            assert!(
                ["classification", "detection"].contains(&entry.task.as_str()),
                "{entry}"
            );
            assert!(!entry.files.is_empty(), "{entry}");
            for split in &entry.splits {
                let is_name = ["train", "val", "test"].contains(&split.name.as_str());
                assert!(
                    is_name && split.images.is_some_and(|images| images > 0),
                    "{entry}"
                );
            }
            if let Some(hub) = &entry.hub {
                Repo::dataset(hub).unwrap();
            }
            for file in &entry.files {
                if file.url.starts_with("hf:") {
                    continue;
                }
                UrlFile::new(&file.url).unwrap();
                // Nobody could verify plain http otherwise.
                assert!(
                    file.url.starts_with("https://") || file.md5.is_some(),
                    "{}",
                    file.url
                );
            }
            assert_eq!(DatasetEntry::find(&entry.name).unwrap(), entry);
        }
        for name in [
            "mnist",
            "fashion_mnist",
            "kmnist",
            "emnist",
            "qmnist",
            "usps",
            "svhn",
            "cifar10",
            "cifar100",
            "stl10",
            "flowers102",
            "oxford_pets",
            "food101",
            "imagenette",
            "hymenoptera",
            "caltech101",
            "voc2007",
            "voc2012",
            "coco128",
        ] {
            DatasetEntry::find(name).unwrap();
        }
        assert_eq!(
            DatasetEntry::find("Fashion-MNIST").unwrap().name,
            "fashion_mnist"
        );
    }
}
