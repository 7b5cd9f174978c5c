//! Which image was in which part of a run: `split.csv`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use cnn_core::{hex, write_atomic};
use cnn_data::{Dataset, Split, Subset};
use rayon::prelude::*;
use sha2::{Digest as _, Sha256};

use crate::Error;

/// The images of a run, each with its part, as the table `split.csv` of a run directory.
///
/// The columns are `path`, `label`, `part` (train, val or test) and `sha256`, the hash of the
/// stored bytes, which is empty for a file that could not be read. Paths are [`Dataset::id`]s. A
/// run's own images are found by path; images of any other dataset by their content, so that copies
/// and renamed files are recognised.
///
/// ```
/// use cnn_data::{Dataset, Shapes, ShapesConfig, Split};
/// use cnn_train::SplitRecord;
///
/// let shapes = |split| Shapes::new(ShapesConfig::default().with_split(split).with_samples(4));
/// let (train, val) = (shapes(Split::Train)?, shapes(Split::Val)?);
/// let record = SplitRecord::of(&[(Split::Train, &train), (Split::Val, &val)]);
/// assert_eq!(
///     (record.count(Split::Train), record.count(Split::Test)),
///     (4, 0)
/// );
/// assert_eq!(record.parts_of(&val), [Some(Split::Val); 4]);
/// assert_eq!(record.fingerprint(Split::Train).len(), 64);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitRecord {
    rows: Vec<SplitRow>,
}

/// One image of a [`SplitRecord`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitRow {
    /// The image's lasting name.
    pub path: String,
    /// Its class; empty where it has none.
    pub label: String,
    /// What it is used for.
    pub part: Split,
    /// SHA-256 of its stored bytes in hexadecimal; `None` for one that could not be read.
    pub sha256: Option<String>,
}

/// A part of a run, found again in a dataset.
pub struct FoundPart {
    /// Its images, in the record's order.
    pub images: Subset,
    /// The paths of those that are no longer there, or whose bytes are others.
    pub lost: Vec<String>,
}

const COLUMNS: [&str; 4] = ["path", "label", "part", "sha256"];

impl SplitRecord {
    /// The name of the file in a run directory.
    pub const FILE: &str = "split.csv";

    /// The record of these datasets, each with what it is used for. Reads every image's bytes once,
    /// on all threads.
    pub fn of(parts: &[(Split, &dyn Dataset)]) -> Self {
        let rows = |&(part, dataset): &(Split, &dyn Dataset)| {
            let row = |index| SplitRow {
                path: dataset.id(index),
                label: label(dataset, index).to_string(),
                part,
                sha256: content_hash(dataset, index),
            };
            (0..dataset.len())
                .into_par_iter()
                .map(row)
                .collect::<Vec<_>>()
        };
        Self {
            rows: parts.iter().flat_map(rows).collect(),
        }
    }

    /// Reads a `split.csv`.
    ///
    /// # Errors
    /// [`Error::State`] if the file cannot be read or is no such table.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let fail = |reason: String| Error::State {
            path: path.to_path_buf(),
            reason,
        };
        let mut reader = csv::Reader::from_path(path).map_err(|error| fail(error.to_string()))?;
        let header = reader.headers().map_err(|error| fail(error.to_string()))?;
        if !header.iter().eq(COLUMNS) {
            let found = header.iter().collect::<Vec<_>>().join(",");
            return Err(fail(format!(
                "found the columns `{found}`, expected `{}`",
                COLUMNS.join(",")
            )));
        }
        let mut rows = Vec::new();
        for (number, record) in reader.records().enumerate() {
            let record = record.map_err(|error| fail(error.to_string()))?;
            let part = record[2]
                .parse()
                .map_err(|error| fail(format!("line {}: {error}", number + 2)))?;
            let [path, label, sha256] = [0, 1, 3].map(|column| record[column].to_string());
            rows.push(SplitRow {
                path,
                label,
                part,
                sha256: Some(sha256).filter(|hash| !hash.is_empty()),
            });
        }
        Ok(Self { rows })
    }

    /// Writes the table; the file is there whole or as it was.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        let write = |file: &mut dyn std::io::Write| {
            let mut table = csv::Writer::from_writer(file);
            table.write_record(COLUMNS)?;
            for row in &self.rows {
                let sha256 = row.sha256.as_deref().unwrap_or_default();
                table.write_record([
                    row.path.as_str(),
                    row.label.as_str(),
                    row.part.name(),
                    sha256,
                ])?;
            }
            table.flush()
        };
        Ok(write_atomic(path, write)?)
    }

    /// The images, part by part.
    pub fn rows(&self) -> &[SplitRow] {
        &self.rows
    }

    /// How many images a part has.
    pub fn count(&self, part: Split) -> usize {
        self.rows.iter().filter(|row| row.part == part).count()
    }

    /// The part that the run is measured on at its end: the test images where there are such, or
    /// else the validation images.
    pub fn measured_on(&self) -> Split {
        if self.count(Split::Test) > 0 {
            Split::Test
        } else {
            Split::Val
        }
    }

    /// One SHA-256 for the images of a part, in hexadecimal: of the sorted lines of content hash
    /// and label. It does not depend on where the images lie or in which order.
    pub fn fingerprint(&self, part: Split) -> String {
        let line =
            |row: &SplitRow| format!("{}\t{}\n", row.sha256.as_deref().unwrap_or("-"), row.label);
        let mut lines: Vec<String> = self
            .rows
            .iter()
            .filter(|row| row.part == part)
            .map(line)
            .collect();
        lines.sort_unstable();
        hex(&Sha256::digest(lines.concat()))
    }

    /// Images of `part` with the content of a training image, as pairs of the latter's path and the
    /// former's.
    pub fn seen_in_training(&self, part: Split) -> Vec<(&str, &str)> {
        let of = |part| self.rows.iter().filter(move |row| row.part == part);
        let hash = |row: &'_ SplitRow| row.sha256.clone();
        let mut training = HashMap::new();
        for row in of(Split::Train) {
            if let Some(hash) = hash(row) {
                training.entry(hash).or_insert(row.path.as_str());
            }
        }
        of(part)
            .filter_map(|row| Some((*training.get(&hash(row)?)?, row.path.as_str())))
            .collect()
    }

    /// The images of a part, by path, in the dataset that the run was made with.
    ///
    /// # Errors
    /// Only if the dataset changes its length while this goes on.
    pub fn find(&self, part: Split, dataset: &Arc<dyn Dataset>) -> Result<FoundPart, Error> {
        let index_of: HashMap<String, usize> = (0..dataset.len())
            .map(|index| (dataset.id(index), index))
            .collect();
        let of_part: Vec<&SplitRow> = self.rows.iter().filter(|row| row.part == part).collect();
        let place = |row: &&SplitRow| {
            let index = *index_of.get(&row.path)?;
            (content_hash(dataset.as_ref(), index) == row.sha256).then_some(index)
        };
        let places: Vec<Option<usize>> = of_part.par_iter().map(place).collect();
        let lost = of_part
            .iter()
            .zip(&places)
            .filter(|(_, place)| place.is_none());
        let lost = lost.map(|(row, _)| row.path.clone()).collect();
        Ok(FoundPart {
            images: Subset::new(dataset.clone(), places.into_iter().flatten().collect())?,
            lost,
        })
    }

    /// In which part of the run each image of a dataset was, by content; `None` for one that had no
    /// part in it. What was in several parts counts for the first of train, val and test.
    pub fn parts_of(&self, dataset: &dyn Dataset) -> Vec<Option<Split>> {
        let mut part_of: HashMap<&str, Split> = HashMap::new();
        for row in &self.rows {
            if let Some(hash) = row.sha256.as_deref() {
                part_of
                    .entry(hash)
                    .and_modify(|part| *part = row.part.min(*part))
                    .or_insert(row.part);
            }
        }
        let part = |index| part_of.get(content_hash(dataset, index)?.as_str()).copied();
        (0..dataset.len()).into_par_iter().map(part).collect()
    }

    /// In what the images of another record differ, in a sentence; `None` where they are the same,
    /// part by part in the same order: content, label and part of each. They may lie elsewhere.
    pub fn difference(&self, now: &Self) -> Option<String> {
        let content = |row: &'_ SplitRow| (row.label.clone(), row.part, row.sha256.clone());
        if self
            .rows
            .iter()
            .map(content)
            .eq(now.rows.iter().map(content))
        {
            return None;
        }
        let key = |row: &'_ SplitRow| (row.path.clone(), row.label.clone(), row.part);
        let hashes = |record: &Self| {
            let rows = record.rows.iter();
            rows.map(|row| (key(row), row.sha256.clone()))
                .collect::<HashMap<_, _>>()
        };
        let before = hashes(self);
        let after = hashes(now);
        let missing = |these: &HashMap<(String, String, Split), _>, those: &HashMap<_, _>| {
            let mut paths: Vec<String> = these
                .keys()
                .filter(|key| !those.contains_key(*key))
                .map(|(path, ..)| path.clone())
                .collect();
            paths.sort_unstable();
            paths
        };
        let gone = missing(&before, &after);
        let new = missing(&after, &before);
        let mut other: Vec<String> = before
            .iter()
            .filter(|(key, hash)| after.get(*key).is_some_and(|now| now != *hash))
            .map(|((path, ..), _)| path.clone())
            .collect();
        other.sort_unstable();
        let part = |what: &str, paths: &[String]| {
            paths
                .first()
                .map(|path| format!("{} {what}, as {path}", paths.len()))
        };
        let parts: Vec<String> = [
            part("gone", &gone),
            part("new", &new),
            part("with another content", &other),
        ]
        .into_iter()
        .flatten()
        .collect();
        if parts.is_empty() {
            return Some("they come in another order".to_string());
        }
        Some(parts.join("; "))
    }
}

fn label(dataset: &dyn Dataset, index: usize) -> &str {
    dataset
        .label(index)
        .and_then(|label| dataset.classes().get(label))
        .map_or("", String::as_str)
}

fn content_hash(dataset: &dyn Dataset, index: usize) -> Option<String> {
    let content = dataset.content(index).ok()?;
    Some(hex(&content.sha256()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cnn_data::IdxImages;

    use super::*;

    /// One-pixel images of these brightnesses, in two classes by turns.
    fn images(pixels: &[u8]) -> Arc<dyn Dataset> {
        let size = (pixels.len() as u32).to_be_bytes();
        let head = |dimensions: &[[u8; 4]]| {
            [vec![0, 0, 8, dimensions.len() as u8], dimensions.concat()].concat()
        };
        let one = 1u32.to_be_bytes();
        let labels: Vec<u8> = (0..pixels.len()).map(|index| (index % 2) as u8).collect();
        let pictures = [&head(&[size, one, one])[..], pixels].concat();
        let labels = [&head(&[size])[..], &labels].concat();
        Arc::new(IdxImages::parse(&pictures, &labels).unwrap())
    }

    fn record(train: &[u8], val: &[u8]) -> SplitRecord {
        SplitRecord::of(&[
            (Split::Train, images(train).as_ref()),
            (Split::Val, images(val).as_ref()),
        ])
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(SplitRecord::FILE);
        let mut record = record(&[1, 2, 3], &[4]);
        record.rows[1].path = "a,\"b\"\nc".to_string();
        record.rows[2].sha256 = None;
        record.write(&path).unwrap();
        assert_eq!(SplitRecord::read(&path).unwrap(), record);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("path,label,part,sha256\n"), "{text}");
    }

    #[test]
    fn other_tables_are_refused_by_what_is_wrong() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(SplitRecord::FILE);
        let cases = [
            (
                "path,part\na,train\n",
                "found the columns `path,part`, expected `path,label,part,sha256`",
            ),
            (
                "path,label,part,sha256\na,b,dev,\n",
                "line 2: `split`: found `dev`, expected train, val or test",
            ),
            ("path,label,part,sha256\na,b\n", "2 fields"),
            ("", "found the columns ``"),
        ];
        for (text, expected) in cases {
            std::fs::write(&path, text).unwrap();
            let message = SplitRecord::read(&path).unwrap_err().to_string();
            assert!(
                message.contains("split.csv") && message.contains(expected),
                "{message}"
            );
        }
    }

    #[test]
    fn images_are_known_by_content_and_training_comes_first() {
        let record = record(&[1, 2], &[2, 3]);
        let parts = record.parts_of(images(&[3, 1, 2, 9]).as_ref());
        assert_eq!(
            parts,
            [
                Some(Split::Val),
                Some(Split::Train),
                Some(Split::Train),
                None
            ]
        );
        assert_eq!(
            record.seen_in_training(Split::Val),
            [(record.rows[1].path.as_str(), record.rows[2].path.as_str())]
        );
        assert!(record.seen_in_training(Split::Test).is_empty());
    }

    #[test]
    fn a_part_is_found_by_path_and_what_changed_is_lost() {
        let whole = images(&[1, 2, 3, 4]);
        let held = Subset::new(whole.clone(), vec![1, 3]).unwrap();
        let record = SplitRecord::of(&[(Split::Val, &held)]);
        let found = record.find(Split::Val, &whole).unwrap();
        assert_eq!((found.images.len(), found.lost.len()), (2, 0));
        assert_eq!(
            [0, 1].map(|index| found.images.id(index)),
            [1, 3].map(|index| whole.id(index))
        );
        let found = record.find(Split::Val, &images(&[1, 2, 3, 7])).unwrap();
        assert_eq!((found.images.len(), found.lost), (1, vec![whole.id(3)]));
        let found = record.find(Split::Val, &images(&[1, 2, 3])).unwrap();
        assert_eq!((found.images.len(), found.lost), (1, vec![whole.id(3)]));
    }

    #[test]
    fn the_fingerprint_is_of_contents_and_labels() {
        let fingerprint = |record: &SplitRecord| record.fingerprint(Split::Train);
        let of = record(&[1, 2], &[3]);
        assert_eq!(fingerprint(&of), fingerprint(&record(&[1, 2], &[9])));
        for other in [
            record(&[1, 5], &[3]),
            record(&[2, 1], &[3]),
            record(&[1], &[2, 3]),
        ] {
            assert_ne!(fingerprint(&of), fingerprint(&other));
        }
        assert_eq!(
            record(&[7], &[1, 2]).fingerprint(Split::Val),
            fingerprint(&of)
        );
        let mut moved = of.clone();
        moved.rows.swap(0, 1);
        moved.rows[0].path = "elsewhere".to_string();
        assert_eq!(fingerprint(&of), fingerprint(&moved));
    }

    #[test]
    fn a_difference_names_the_first_image() {
        let one = record(&[1, 2], &[3]);
        let more = record(&[1, 2, 4], &[3]);
        assert_eq!(one.difference(&one), None);
        let other = one.difference(&record(&[7, 2], &[3])).unwrap();
        assert!(other.starts_with("1 with another content, as "), "{other}");
        let mut moved = one.clone();
        for row in &mut moved.rows {
            row.path = format!("elsewhere/{}", row.path);
        }
        assert_eq!(one.difference(&moved), None);
        moved.rows.swap(0, 1);
        assert!(one.difference(&moved).is_some());
        let new = one.difference(&more).unwrap();
        assert!(
            new.starts_with("1 new, as ") && new.ends_with(&more.rows[2].path),
            "{new}"
        );
        assert!(more.difference(&one).unwrap().starts_with("1 gone, as "));
        let mut relabelled = one.clone();
        relabelled.rows[0].part = Split::Val;
        assert!(one.difference(&relabelled).unwrap().contains("1 gone, as "));
    }
}
