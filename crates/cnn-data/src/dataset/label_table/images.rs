//! The images that a table labels.

use std::path::Path;

use super::layout::CsvLayout;
use crate::dataset::{Content, Dataset, DatasetFormat, ImageFolder, choose_part};
use crate::{Error, Split};

/// Images with the labels of a CSV or TSV file, in the order of its rows.
///
/// Rows are an image and its class: a path from the table's folder, or a name, with its ending or
/// without, of an image in a folder beside the table. The classes are sorted by name, or by value
/// where all are numbers. A GIF is no training image, as for [`ImageFolder`].
#[derive(Clone, Debug)]
pub struct CsvImages {
    files: ImageFolder,
}

impl CsvImages {
    /// Opens the table at a path; `column` names the column of labels, and may be left out where
    /// there is only one. A table with a column of splits has the one split of these.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if the table cannot be read, [`Error::BrokenDataset`] if it is none or no row
    /// names an image, [`Error::Ambiguous`] if its columns or rows can be understood in several ways,
    /// [`Error::Configuration`] if it has no such column, [`Error::NoSuchSplit`] and
    /// [`Error::SplitNotChosen`] naming the splits that exist.
    pub fn open(
        table: &Path,
        column: Option<&str>,
        split: impl Into<Option<Split>>,
    ) -> Result<Self, Error> {
        let layout = CsvLayout::of_table(table, column)?;
        let number = choose_part(table, &layout.splits(), split.into())?;
        layout.open(number)
    }

    pub(super) fn of_files(files: ImageFolder) -> Self {
        Self { files }
    }

    /// A sample's file.
    pub fn path(&self, index: usize) -> Option<&Path> {
        self.files.path(index)
    }
}

impl Dataset for CsvImages {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Csv
    }

    fn len(&self) -> usize {
        self.files.len()
    }

    fn classes(&self) -> &[String] {
        self.files.classes()
    }

    fn id(&self, index: usize) -> String {
        self.files.id(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.files.label(index)
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        self.files.content(index)
    }
}
