//! A table of texts.

use serde::Serialize;

/// Rows of texts below named columns; the first cell of a row says what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReportTable {
    /// The heading; `None` where that of the section is enough.
    pub title: Option<String>,
    /// A sentence below the table.
    pub note: Option<String>,
    /// The columns.
    pub columns: Vec<TableColumn>,
    /// The rows, each with a text for every column.
    pub rows: Vec<Vec<String>>,
    /// The numbers of the rows that are marked, from 0.
    pub marked: Vec<usize>,
}

/// A column of a [`ReportTable`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Whether it has words, which begin at the left and may break; numbers end at the right.
    pub is_text: bool,
}

impl TableColumn {
    /// A column of words.
    pub fn text(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_text: true,
        }
    }

    /// A column of numbers.
    pub fn number(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_text: false,
        }
    }
}
