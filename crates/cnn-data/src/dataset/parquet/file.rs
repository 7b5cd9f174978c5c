//! One parquet file of images and labels.

use std::path::{Path, PathBuf};

use parquet::basic::Type;
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, Length, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use serde_json::Value;

use super::source::ParquetSource;
use crate::image::contain::contain_panic;

const IMAGE_COLUMNS: &[&str] = &["img.bytes", "image.bytes", "img", "image"];
const LABEL_COLUMNS: &[&str] = &["label", "labels", "fine_label"];

/// An open file with its labels; images are read by row group.
pub(super) struct ParquetFile {
    path: PathBuf,
    reader: SerializedFileReader<ParquetSource>,
    image_column: usize,
    class_names: Option<Vec<String>>,
    labels: Vec<Option<i64>>,
    /// The classes' names, where rows have them in place of numbers.
    texts: Option<Vec<Option<String>>>,
    /// The number of rows of each row group.
    group_sizes: Vec<usize>,
}

impl ParquetFile {
    pub(super) fn open(path: PathBuf, source: ParquetSource) -> Result<Self, String> {
        contained(|| Self::open_uncontained(path, source))
    }

    fn open_uncontained(path: PathBuf, source: ParquetSource) -> Result<Self, String> {
        let file_len = source.len();
        let reader = SerializedFileReader::new(source).map_err(broken)?;
        let metadata = reader.metadata();
        let image_column = find_column(
            metadata,
            IMAGE_COLUMNS,
            &[Type::BYTE_ARRAY],
            "image",
            "the bytes of image files",
        )?;
        let label_column = find_column(
            metadata,
            LABEL_COLUMNS,
            &[Type::INT32, Type::INT64, Type::BYTE_ARRAY],
            "label",
            "numbers or names of classes",
        )?;
        let column = metadata.file_metadata().schema_descr().column(label_column);
        let are_texts = column.physical_type() == Type::BYTE_ARRAY;
        let group_sizes = group_sizes(metadata, file_len)?;
        let class_names = hub_class_names(metadata, label_column);
        let mut labels = Vec::new();
        let mut texts = Vec::new();
        for (group, &rows) in group_sizes.iter().enumerate() {
            if are_texts {
                texts.extend(read_texts(&reader, group, label_column, rows)?);
            } else {
                labels.extend(read_labels(&reader, group, label_column, rows)?);
            }
        }
        labels.resize(group_sizes.iter().sum(), None);
        Ok(Self {
            path,
            reader,
            image_column,
            class_names,
            labels,
            texts: are_texts.then_some(texts),
            group_sizes,
        })
    }

    /// The names that its rows have in place of numbers; `None` where they have numbers.
    pub(super) fn names_in_rows(&self) -> Option<impl Iterator<Item = &String>> {
        self.texts.as_ref().map(|texts| texts.iter().flatten())
    }

    /// Numbers the rows' names by their places in `classes`.
    pub(super) fn number_names(&mut self, classes: &[String]) {
        let number = |name: &String| classes.iter().position(|class| class == name);
        for (label, text) in self.labels.iter_mut().zip(self.texts.iter().flatten()) {
            let class = text.as_ref().and_then(number);
            *label = class.and_then(|class| i64::try_from(class).ok());
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn len(&self) -> usize {
        self.labels.len()
    }

    /// The classes' names that the hub's metadata give.
    pub(super) fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    pub(super) fn label(&self, row: usize) -> Option<usize> {
        self.labels
            .get(row)
            .copied()
            .flatten()
            .and_then(|label| usize::try_from(label).ok())
    }

    pub(super) fn largest_label(&self) -> Option<usize> {
        (0..self.len()).filter_map(|row| self.label(row)).max()
    }

    /// Checks that the file names no other classes and that each label has a class or is −1.
    pub(super) fn check_classes(&self, classes: &[String]) -> Result<(), String> {
        if let Some(named) = self.class_names().filter(|named| *named != classes) {
            return Err(format!(
                "its {} classes are not the {} of the first file",
                named.len(),
                classes.len()
            ));
        }
        let wrong = |label: &i64| !(-1..classes.len() as i64).contains(label);
        match self
            .labels
            .iter()
            .position(|label| label.as_ref().is_some_and(wrong))
        {
            None => Ok(()),
            Some(row) => Err(format!(
                "label {} of row {row}, expected -1 or a number below {}",
                self.labels[row].unwrap_or_default(),
                classes.len()
            )),
        }
    }

    /// The row group of a row, and the row's number in it.
    pub(super) fn group_of(&self, row: usize) -> Option<(usize, usize)> {
        let mut row = row;
        for (group, &size) in self.group_sizes.iter().enumerate() {
            if row < size {
                return Some((group, row));
            }
            row -= size;
        }
        None
    }

    fn image_level(&self) -> i16 {
        defined_level(&self.reader, self.image_column)
    }

    /// The encoded images of a row group; `None` for a null.
    pub(super) fn read_images(&self, group: usize) -> Result<Vec<Option<ByteArray>>, String> {
        contained(|| {
            let rows = self.group_sizes.get(group).copied().unwrap_or_default();
            match column(&self.reader, group, self.image_column)? {
                ColumnReader::ByteArrayColumnReader(mut column) => {
                    read_column(&mut column, rows, self.image_level())
                }
                _ => Err("the image column holds no bytes".to_owned()),
            }
        })
    }
}

fn contained<T>(parse: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    contain_panic(parse).unwrap_or_else(Err)
}

fn broken(error: ParquetError) -> String {
    format!("broken parquet: {error}")
}

/// The first of the columns `names` that is a flat column of one of `types`.
fn find_column(
    metadata: &ParquetMetaData,
    names: &[&str],
    types: &[Type],
    purpose: &str,
    content: &str,
) -> Result<usize, String> {
    let columns = metadata.file_metadata().schema_descr().columns();
    let fits = |column: &ColumnDescriptor, name: &str| {
        column.path().string() == name
            && column.max_rep_level() == 0
            && types.contains(&column.physical_type())
    };
    names
        .iter()
        .find_map(|name| columns.iter().position(|column| fits(column, name)))
        .ok_or_else(|| {
            let found: Vec<_> = columns
                .iter()
                .map(|column| format!("{} ({})", column.path().string(), column.physical_type()))
                .collect();
            format!(
                "no {purpose} column, expected one of {} with {content}, found {}",
                names.join(", "),
                found.join(", ")
            )
        })
}

/// The number of rows of each row group; together they may be no more than the file has bytes.
fn group_sizes(metadata: &ParquetMetaData, file_len: u64) -> Result<Vec<usize>, String> {
    let sizes: Vec<_> = metadata
        .row_groups()
        .iter()
        .map(|group| usize::try_from(group.num_rows()).ok())
        .collect();
    let sizes: Option<Vec<usize>> = sizes.into_iter().collect();
    let total = sizes.as_ref().and_then(|sizes| {
        sizes
            .iter()
            .try_fold(0, |sum: usize, &size| sum.checked_add(size))
    });
    match (sizes, total) {
        (Some(sizes), Some(total)) if total as u64 <= file_len => Ok(sizes),
        _ => Err(format!(
            "its row groups declare more rows than its {file_len} bytes can hold"
        )),
    }
}

fn column(
    reader: &SerializedFileReader<ParquetSource>,
    group: usize,
    column: usize,
) -> Result<ColumnReader, String> {
    reader
        .get_row_group(group)
        .and_then(|group| group.get_column_reader(column))
        .map_err(broken)
}

fn read_labels(
    reader: &SerializedFileReader<ParquetSource>,
    group: usize,
    label_column: usize,
    rows: usize,
) -> Result<Vec<Option<i64>>, String> {
    let level = defined_level(reader, label_column);
    match column(reader, group, label_column)? {
        ColumnReader::Int64ColumnReader(mut column) => read_column(&mut column, rows, level),
        ColumnReader::Int32ColumnReader(mut column) => Ok(read_column(&mut column, rows, level)?
            .into_iter()
            .map(|label| label.map(i64::from))
            .collect()),
        _ => Err("the label column holds no integers".to_owned()),
    }
}

/// Names in place of labels. Most have few different ones, which are looked up class by class, so
/// their number is bounded.
fn read_texts(
    reader: &SerializedFileReader<ParquetSource>,
    group: usize,
    label_column: usize,
    rows: usize,
) -> Result<Vec<Option<String>>, String> {
    let level = defined_level(reader, label_column);
    let ColumnReader::ByteArrayColumnReader(mut column) = column(reader, group, label_column)?
    else {
        return Err("the label column holds no texts".to_owned());
    };
    let text = |label: Option<ByteArray>| {
        label.map_or(Ok(None), |label| match std::str::from_utf8(label.data()) {
            Ok(text) => Ok(Some(text.to_owned())),
            Err(_) => Err("the label column holds bytes that are no text".to_owned()),
        })
    };
    read_column(&mut column, rows, level)?
        .into_iter()
        .map(text)
        .collect()
}

/// The definition level of a value that is not null; 0 for a column that has no nulls.
fn defined_level(reader: &SerializedFileReader<ParquetSource>, column: usize) -> i16 {
    reader
        .metadata()
        .file_metadata()
        .schema_descr()
        .column(column)
        .max_def_level()
}

/// Exactly `rows` values of a flat column, `None` where it is null.
fn read_column<T: DataType>(
    column: &mut ColumnReaderImpl<T>,
    rows: usize,
    defined_level: i16,
) -> Result<Vec<Option<T::T>>, String> {
    let mut values = Vec::new();
    let mut levels = Vec::new();
    let mut read = 0;
    while read < rows {
        let (records, _, _) = column
            .read_records(rows - read, Some(&mut levels), None, &mut values)
            .map_err(broken)?;
        if records == 0 {
            return Err(format!(
                "broken parquet: {read} values in a row group of {rows} rows"
            ));
        }
        read += records;
    }
    let mut values = values.into_iter();
    if defined_level == 0 {
        return Ok(values.map(Some).collect());
    }
    Ok(levels
        .into_iter()
        .map(|level| {
            if level == defined_level {
                values.next()
            } else {
                None
            }
        })
        .collect())
}

/// `info.features.<label>.names` of the JSON that the hub writes into a file: a list, or an object
/// with the classes' numbers as keys.
fn hub_class_names(metadata: &ParquetMetaData, label_column: usize) -> Option<Vec<String>> {
    let file_metadata = metadata.file_metadata();
    let entries = file_metadata.key_value_metadata()?;
    let text = entries
        .iter()
        .find(|entry| entry.key == "huggingface")?
        .value
        .as_deref()?;
    let hub: Value = serde_json::from_str(text).ok()?;
    let label = file_metadata.schema_descr().column(label_column);
    let names = hub
        .get("info")?
        .get("features")?
        .get(label.name())?
        .get("names")?;
    let name = |value: &Value| value.as_str().map(str::to_owned);
    match names {
        Value::Array(names) => names.iter().map(name).collect(),
        Value::Object(names) => (0..names.len())
            .map(|class| name(names.get(&class.to_string())?))
            .collect(),
        _ => None,
    }
}
