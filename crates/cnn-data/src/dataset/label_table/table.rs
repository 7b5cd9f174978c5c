//! A table of images and their labels.

use super::columns::{Columns, LabelColumn, Unclear};
use super::text::Text;
use crate::Split;
use crate::dataset::files::{is_image_name, quoted};

/// The rows of a CSV or TSV file, each an image and its label, before the images are looked for.
///
/// Fields are separated by comma, semicolon or tab, and may be quoted. The text is UTF-8, with or
/// without a mark, or else taken for Latin-1. A first line of names is optional.
///
/// ```
/// use cnn_data::LabelTable;
///
/// let table = LabelTable::parse(b"id,breed\n000bec18,beagle\n001513df,pug\n", None)?;
/// assert_eq!(table.rows()[1].image, "001513df");
/// assert_eq!(table.rows()[1].label.as_deref(), Some("pug"));
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelTable {
    rows: Vec<LabelRow>,
    notes: Vec<String>,
    has_labels: bool,
    are_named: bool,
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRow {
    /// The line on which it begins, from 1.
    pub line: usize,
    /// The image as the table names it: a path, a name, or a name without its ending.
    pub image: String,
    /// Its class, if the row says one.
    pub label: Option<String>,
    /// The split that it belongs to, if the table has a column for it.
    pub split: Option<Split>,
}

impl LabelTable {
    /// Reads a table from its bytes. `column` names the column of labels, and may be left out where
    /// there is only one.
    ///
    /// # Errors
    ///
    /// Which columns are missing or not plain, and lines that contradict the first, in words.
    pub fn parse(bytes: &[u8], column: Option<&str>) -> Result<Self, String> {
        let is_image = |field: &str| is_image_name(field.as_ref());
        Self::read(bytes, column, &is_image).map_err(|unclear| match unclear {
            Unclear::NoTable(reason) | Unclear::Labels(reason) => reason,
            Unclear::NoColumn(names) => format!(
                "no column `{}`, expected one of {}",
                column.unwrap_or_default(),
                quoted(&names).unwrap_or_default()
            ),
        })
    }

    /// The same, where `is_image` says which fields name images.
    pub(super) fn read(
        bytes: &[u8],
        column: Option<&str>,
        is_image: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Unclear> {
        let text = Text::of(bytes).map_err(Unclear::NoTable)?;
        let columns = Columns::find(&text, column, is_image)?;
        let mut notes = columns.notes.clone();
        if text.is_latin1 {
            notes.push("it is no UTF-8 and is read as Latin-1".to_owned());
        }
        let mut rows = Vec::new();
        let mut is_header = columns.has_header;
        let mut of_no_split = 0;
        let mut first_of_no_split = None;
        text.visit(|line, record| {
            if std::mem::take(&mut is_header) {
                return Ok(());
            }
            let split = match columns.split.map(|column| column.split(record)) {
                Some(Ok(split)) => Some(split),
                None => None,
                Some(Err(other)) => {
                    of_no_split += 1;
                    first_of_no_split.get_or_insert_with(|| other.to_owned());
                    return Ok(());
                }
            };
            rows.push(LabelRow {
                line,
                image: record[columns.image].to_owned(),
                label: columns.label(record).map(str::to_owned),
                split,
            });
            Ok::<(), Unclear>(())
        })?;
        if let Some(other) = first_of_no_split {
            notes.push(format!(
                "{of_no_split} of its rows are of no split that is known here, as `{other}`, and are \
                 left out"
            ));
        }
        Ok(Self {
            rows,
            notes,
            has_labels: columns.label != LabelColumn::None,
            are_named: columns.has_named_label(),
        })
    }

    /// The rows in the table's order.
    pub fn rows(&self) -> &[LabelRow] {
        &self.rows
    }

    /// How the columns were understood where that is not plain, and what was left out, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Whether its column of labels is called so, or is one for each class.
    pub(super) fn are_named(&self) -> bool {
        self.are_named
    }

    /// Whether there is a column of labels.
    pub(super) fn has_labels(&self) -> bool {
        self.has_labels
    }
}
