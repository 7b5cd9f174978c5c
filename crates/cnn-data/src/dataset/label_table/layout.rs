//! Which tables of a folder are read, and which image and class each row is.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use unicode_normalization::UnicodeNormalization;

use super::classes::Classes;
use super::columns::{Unclear, split_word};
use super::image_index::{ImageIndex, Named};
use super::text::{LOOKED_AT, MAX_BYTES};
use super::{CsvImages, LabelTable};
use crate::dataset::ImageFolder;
use crate::dataset::files::{
    file_name, files_in, folders_in, has_extension, is_image_name, quoted,
};
use crate::{Error, Split};

/// The most classes: more different labels are none, as measurements or captions.
const MAX_CLASSES: usize = 1 << 16;

/// How many bytes of a table tell whether it lists images.
const BEGINNING: u64 = 1 << 16;

/// The images and classes that one table, or one for each split, tells.
#[derive(Clone, Debug)]
pub(in crate::dataset) struct CsvLayout {
    root: PathBuf,
    /// The names of the tables.
    tables: Vec<String>,
    are_named: bool,
    classes: Vec<String>,
    parts: Vec<CsvPart>,
    /// How the tables were understood where that is not plain, and what was left out, in sentences.
    pub(in crate::dataset) notes: Vec<String>,
}

#[derive(Clone, Debug)]
struct CsvPart {
    split: Option<Split>,
    samples: Vec<(PathBuf, usize)>,
}

/// A table, and the split that its name or its folder's stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::dataset) struct TableFile {
    path: PathBuf,
    split: Option<Split>,
}

/// Whether a file's name is that of a table. A competition's example of a submission is none.
pub(in crate::dataset) fn is_table_name(path: &Path) -> bool {
    let is_submission = || file_name(path).to_lowercase().contains("submission");
    has_extension(path, &["csv", "tsv"]) && !is_submission()
}

/// The tables in a folder, or else in the folders of its splits.
pub(in crate::dataset) fn tables_beside(folder: &Path) -> Result<Vec<TableFile>, Error> {
    let tables_in = |folder: &Path, split: Option<Split>| {
        let files = files_in(folder)?.into_iter();
        let tables = files.filter(|file| is_table_name(file));
        let tables = tables.map(|path| TableFile {
            split: split.or_else(|| split_of_table(&path)),
            path,
        });
        Ok::<Vec<TableFile>, Error>(tables.collect())
    };
    let mut tables = tables_in(folder, None)?;
    if tables.is_empty() {
        for inner in folders_in(folder)? {
            if let Some(split) = Split::of_folder_name(&file_name(&inner)) {
                tables.extend(tables_in(&inner, Some(split))?);
            }
        }
    }
    Ok(tables)
}

impl CsvLayout {
    /// Reads one table that was named itself. The files that it names may lie anywhere.
    pub(in crate::dataset) fn of_table(path: &Path, column: Option<&str>) -> Result<Self, Error> {
        let table = TableFile {
            path: path.to_owned(),
            split: split_of_table(path),
        };
        let index = ImageIndex::near(&table.folder());
        let rows = match table.read(column, &index, true)? {
            Ok(rows) => rows,
            Err(NotRead::NoTable(reason)) => return Err(Error::broken_dataset(path, reason)),
            Err(NotRead::Unclear(error)) => return Err(error),
        };
        Self::of_rows(&table.folder(), vec![rows], &index)
    }

    /// Reads those of a folder's tables that list its images; says of each why not, where none does.
    pub(in crate::dataset) fn of_folder(
        folder: &Path,
        tables: &[TableFile],
        images: &[PathBuf],
        column: Option<&str>,
    ) -> Result<Result<Self, UnreadTables>, Error> {
        let index = ImageIndex::of_files(folder, images);
        let mut read = Vec::new();
        let mut unread = UnreadTables::default();
        for table in tables {
            match table.read(column, &index, false)? {
                Ok(rows) => read.push(rows),
                Err(not_read) => unread.add(table, not_read),
            }
        }
        if let Err(error) = check_tables(folder, &read) {
            unread.reasons.push(reason_of(&error));
            unread.unclear.get_or_insert(error);
            return Ok(Err(unread));
        }
        if read.is_empty() {
            return Ok(Err(unread));
        }
        let mut layout = Self::of_rows(folder, read, &index)?;
        layout.notes.append(&mut unread.reasons);
        Ok(Ok(layout))
    }

    /// Whether a column of labels is called so, rather than being the only one there is.
    pub(in crate::dataset) fn are_named(&self) -> bool {
        self.are_named
    }

    /// The names of the tables that are read.
    pub(in crate::dataset) fn names(&self) -> String {
        quoted(&self.tables).unwrap_or_default()
    }

    /// The parts in order. A dataset that is not divided has the one part `None`.
    pub(in crate::dataset) fn splits(&self) -> Vec<Option<Split>> {
        self.parts.iter().map(|part| part.split).collect()
    }

    /// Opens a part, with the classes of all parts together.
    pub(in crate::dataset) fn open(&self, number: usize) -> Result<CsvImages, Error> {
        let samples = self.parts[number].samples.clone();
        ImageFolder::of_samples(&self.root, self.classes.clone(), samples).map(CsvImages::of_files)
    }

    fn of_rows(root: &Path, tables: Vec<Rows>, index: &ImageIndex) -> Result<Self, Error> {
        let mut notes = Vec::new();
        let mut of_split: BTreeMap<Option<Split>, Vec<Row>> = BTreeMap::new();
        let first = tables.first().map(|table| table.path.clone());
        let names = tables.iter().map(|table| file_name(&table.path)).collect();
        let are_named = tables.iter().any(|table| table.are_named);
        for mut table in tables {
            notes.append(&mut table.notes);
            for (split, rows) in table.of_split {
                of_split.entry(split).or_default().extend(rows);
            }
        }
        let labels = of_split.values().flatten().map(|row| row.label.as_str());
        let classes = Classes::of(labels);
        if classes.names.len() > MAX_CLASSES {
            let reason = format!(
                "its rows have {} different labels, expected those of at most {MAX_CLASSES} classes",
                classes.names.len()
            );
            return Err(Error::broken_dataset(&first.unwrap_or_default(), reason));
        }
        notes.extend(classes.note());
        let is_used: HashSet<&Path> = of_split
            .values()
            .flatten()
            .map(|row| row.image.as_path())
            .collect();
        notes.extend(index.without_row(&is_used)?);
        let unreadable = index.unreadable().iter();
        notes.extend(unreadable.map(|left| format!("{} is left out: {}", left.path, left.reason)));
        let parts = of_split.into_iter().map(|(split, rows)| CsvPart {
            split,
            samples: rows
                .into_iter()
                .filter_map(|row| Some((row.image, *classes.numbers.get(&row.label)?)))
                .collect(),
        });
        Ok(Self {
            root: root.to_owned(),
            tables: names,
            are_named,
            parts: parts.collect(),
            classes: classes.names,
            notes,
        })
    }
}

/// Why none of a folder's tables is read.
#[derive(Debug, Default)]
pub(in crate::dataset) struct UnreadTables {
    /// A sentence for each table.
    pub(in crate::dataset) reasons: Vec<String>,
    /// The error of the first table that lists images, if one does.
    pub(in crate::dataset) unclear: Option<Error>,
}

impl UnreadTables {
    fn add(&mut self, table: &TableFile, not_read: NotRead) {
        let reason = match not_read {
            NotRead::NoTable(reason) => reason,
            NotRead::Unclear(error) => {
                let reason = reason_of(&error);
                self.unclear.get_or_insert(error);
                reason
            }
        };
        self.reasons
            .push(format!("{} is not read: {reason}", table.name()));
    }
}

/// What is not plain, without the path, which is told with it.
fn reason_of(error: &Error) -> String {
    match error {
        Error::Ambiguous { reason, .. } => reason.clone(),
        other => other.reason(),
    }
}

/// What a table tells: the rows whose images are there and have labels.
struct Rows {
    path: PathBuf,
    of_split: BTreeMap<Option<Split>, Vec<Row>>,
    /// Whether the column of labels is called so.
    are_named: bool,
    notes: Vec<String>,
}

struct Row {
    image: PathBuf,
    label: String,
}

/// Why a table is not read.
enum NotRead {
    /// It lists no images of the folder, or no labels.
    NoTable(String),
    /// It does, in a way that can be understood differently.
    Unclear(Error),
}

impl TableFile {
    pub(in crate::dataset) fn path(&self) -> &Path {
        &self.path
    }

    fn name(&self) -> String {
        file_name(&self.path)
    }

    fn folder(&self) -> PathBuf {
        match self.path.parent() {
            Some(folder) if folder != Path::new("") => folder.to_owned(),
            _ => ".".into(),
        }
    }

    /// Reads the rows and looks for their images.
    fn read(
        &self,
        column: Option<&str>,
        index: &ImageIndex,
        may_lead_out: bool,
    ) -> Result<Result<Rows, NotRead>, Error> {
        let Some(bytes) = self.bytes()? else {
            let reason = format!("it has more than {MAX_BYTES} bytes; divide it");
            return Ok(Err(NotRead::NoTable(reason)));
        };
        let table = match self.table(&bytes, column, index) {
            Ok(table) => table,
            Err(Unclear::NoTable(reason)) => return Ok(Err(NotRead::NoTable(reason))),
            Err(unclear) => return Ok(Err(NotRead::Unclear(self.unclear(unclear, column)))),
        };
        let rows = match self.images(&table, index, may_lead_out) {
            Err(error @ Error::Ambiguous { .. }) => return Ok(Err(NotRead::Unclear(error))),
            rows => rows?,
        };
        if !rows.of_split.is_empty() {
            return Ok(Ok(rows));
        }
        let first = table.rows().first().map_or("", |row| row.image.as_str());
        Ok(Err(NotRead::NoTable(if table.has_labels() {
            format!(
                "none of its {} rows names an image that is there and has a label; the first names \
                 `{first}`",
                table.rows().len()
            )
        } else {
            "it has no column of labels".to_owned()
        })))
    }

    /// Whether it seems to list images of the folder, by its first rows.
    pub(in crate::dataset) fn lists_images(&self, images: &ImageIndex) -> Result<bool, Error> {
        let mut bytes = Vec::new();
        File::open(&self.path)
            .and_then(|file| file.take(BEGINNING).read_to_end(&mut bytes))
            .map_err(|error| Error::io("read", &self.path, error))?;
        if bytes.len() as u64 == BEGINNING {
            let end = bytes.iter().rposition(|&byte| byte == b'\n');
            bytes.truncate(end.unwrap_or_default());
        }
        let table = match self.table(&bytes, None, images) {
            Ok(table) => table,
            Err(unclear) => return Ok(matches!(unclear, Unclear::Labels(_))),
        };
        for row in table.rows().iter().take(LOOKED_AT) {
            if images.find(&self.folder(), &row.image, self.split)? != Named::Nothing {
                return Ok(table.has_labels());
            }
        }
        Ok(false)
    }

    fn table(
        &self,
        bytes: &[u8],
        column: Option<&str>,
        index: &ImageIndex,
    ) -> Result<LabelTable, Unclear> {
        let folder = self.folder();
        let is_named = |field: &str| is_image_name(field.as_ref());
        let is_there = |field: &str| {
            let found = index.find(&folder, field, self.split);
            is_named(field) || found.is_ok_and(|found| found != Named::Nothing)
        };
        if index.whole().is_some() {
            return LabelTable::read(bytes, column, &is_there);
        }
        // Files are listed only where names do not tell.
        match LabelTable::read(bytes, column, &is_named) {
            Err(Unclear::NoTable(_)) => LabelTable::read(bytes, column, &is_there),
            table => table,
        }
    }

    /// The table's bytes, if there are not too many.
    fn bytes(&self) -> Result<Option<Vec<u8>>, Error> {
        let mut bytes = Vec::new();
        File::open(&self.path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| Error::io("read", &self.path, error))?;
        Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= MAX_BYTES))
    }

    fn unclear(&self, unclear: Unclear, column: Option<&str>) -> Error {
        let path = self.path.clone();
        match unclear {
            Unclear::NoColumn(names) => Error::Configuration {
                path,
                asked: column.map(str::to_owned),
                existing: quoted(&names).unwrap_or_else(|| "none at all".to_owned()),
            },
            Unclear::NoTable(reason) | Unclear::Labels(reason) => Error::Ambiguous { path, reason },
        }
    }

    /// Looks for the image of each row.
    fn images(
        &self,
        table: &LabelTable,
        index: &ImageIndex,
        may_lead_out: bool,
    ) -> Result<Rows, Error> {
        let folder = self.folder();
        let refused = |reason: String| Error::Ambiguous {
            path: self.path.clone(),
            reason,
        };
        let mut found: BTreeMap<Option<Split>, Vec<Row>> = BTreeMap::new();
        let mut left_out = LeftOut::default();
        let mut labels: HashMap<PathBuf, (String, usize)> = HashMap::new();
        let mut unlabelled: BTreeMap<Option<Split>, usize> = BTreeMap::new();
        let mut seen: HashSet<(Option<Split>, PathBuf)> = HashSet::new();
        for row in table.rows() {
            let split = row.split.or(self.split);
            let line = row.line;
            let image = match index.find(&folder, &row.image, split)? {
                Named::Image(image) => image,
                Named::Chosen(image) => {
                    left_out.chosen.get_or_insert_with(|| image.clone());
                    image
                }
                Named::Outside(image) if may_lead_out => {
                    left_out.outside += 1;
                    image
                }
                Named::Outside(image) => {
                    return Err(refused(format!(
                        "line {line} names {}, which lies outside of the folder; such files are read \
                         where the table itself is named",
                        image.display()
                    )));
                }
                Named::Several(images) => {
                    let names: Vec<String> = images
                        .iter()
                        .map(|image| image.display().to_string())
                        .collect();
                    return Err(refused(format!(
                        "`{}` on line {line} may be {}; say its folder in the table",
                        row.image,
                        quoted(&names).unwrap_or_default()
                    )));
                }
                Named::Nothing => {
                    left_out.missing += 1;
                    left_out
                        .first_missing
                        .get_or_insert_with(|| row.image.clone());
                    continue;
                }
            };
            let Some(label) = &row.label else {
                *unlabelled.entry(split).or_default() += 1;
                continue;
            };
            let label: String = label.nfc().collect();
            let (before, first) = labels
                .entry(image.clone())
                .or_insert_with(|| (label.clone(), line));
            if *before != label {
                return Err(refused(format!(
                    "{} is `{before}` on line {first} and `{label}` on line {line}: an image has one \
                     class here",
                    image.display()
                )));
            }
            if seen.insert((split, image.clone())) {
                found.entry(split).or_default().push(Row { image, label });
            } else {
                left_out.repeated += 1;
            }
        }
        let mut notes = table.notes().to_vec();
        notes.extend(left_out.notes(table.rows().len()));
        for (split, count) in unlabelled {
            let of = split.map_or_else(String::new, |split| format!(" of `{split}`"));
            notes.push(if found.contains_key(&split) {
                format!("{count} rows{of} have no label and are left out")
            } else {
                format!("none of the {count} rows{of} has a label: they are left out")
            });
        }
        let name = self.name();
        Ok(Rows {
            path: self.path.clone(),
            of_split: found,
            are_named: table.are_named(),
            notes: notes
                .into_iter()
                .map(|note| format!("{name}: {note}"))
                .collect(),
        })
    }
}

/// What became of rows that are not plain.
#[derive(Default)]
struct LeftOut {
    missing: usize,
    first_missing: Option<String>,
    repeated: usize,
    outside: usize,
    chosen: Option<PathBuf>,
}

impl LeftOut {
    fn notes(&self, rows: usize) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(first) = &self.first_missing {
            notes.push(format!(
                "{} of its {rows} rows name images that are not there, as `{first}`, and are left out",
                self.missing
            ));
        }
        if self.repeated > 0 {
            notes.push(format!(
                "{} rows say again what others say, and count once",
                self.repeated
            ));
        }
        if self.outside > 0 {
            notes.push(format!(
                "{} of its images lie outside of its folder",
                self.outside
            ));
        }
        if let Some(chosen) = &self.chosen {
            notes.push(format!(
                "of images of one name in several folders those of the split are read, as {}",
                chosen.display()
            ));
        }
        notes
    }
}

/// Refuses tables of which only one can be meant.
fn check_tables(folder: &Path, tables: &[Rows]) -> Result<(), Error> {
    let mut table_of: BTreeMap<Option<Split>, &Path> = BTreeMap::new();
    for table in tables {
        for &split in table.of_split.keys() {
            let other = table_of.insert(split, &table.path);
            let undivided = table_of.get(&None).filter(|_| table_of.len() > 1);
            if let Some(other) = other.or(undivided.copied()) {
                let names = [other, tables[0].path.as_path(), &table.path].map(file_name);
                let names: Vec<String> = BTreeSet::from(names).into_iter().collect();
                return Err(Error::Ambiguous {
                    path: folder.to_owned(),
                    reason: format!(
                        "{} both list its images; name the one that is meant, as {}",
                        quoted(&names).unwrap_or_default(),
                        table.path.display()
                    ),
                });
            }
        }
    }
    Ok(())
}

/// The split that a table's name stands for: `train.csv`, `trainLabels.csv`, `labels_test.csv`.
fn split_of_table(path: &Path) -> Option<Split> {
    let stem = path.file_stem()?.to_string_lossy().into_owned();
    let mut words = String::new();
    for character in stem.chars() {
        if character.is_uppercase() {
            words.push(' ');
        }
        words.push(character);
    }
    let words = words.to_lowercase();
    let mut words = words.split(|character: char| !character.is_alphanumeric());
    words.find_map(|word| {
        let bare = word.strip_suffix("labels").or(word.strip_suffix("label"));
        split_word(bare.unwrap_or(word))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_tables_tell_their_split() {
        let cases = [
            ("train.csv", Some(Split::Train)),
            ("trainLabels.csv", Some(Split::Train)),
            ("trainlabels.csv", Some(Split::Train)),
            ("labels_test.tsv", Some(Split::Test)),
            ("df-valid.csv", Some(Split::Val)),
            ("dev.csv", Some(Split::Val)),
            ("labels.csv", None),
            ("metadata.csv", None),
            ("contest.csv", None),
        ];
        for (name, split) in cases {
            assert_eq!(split_of_table(Path::new(name)), split, "{name}");
        }
    }
}
