//! Scores under many conditions.

use cnn_data::Image;

/// Shares in rows and columns, as the accuracy under each kind of corruption at each severity: a
/// heat map.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreGrid {
    /// The heading.
    pub title: String,
    /// A sentence below it.
    pub note: Option<String>,
    /// What the columns are, in one word.
    pub columns_are: String,
    /// The columns' names.
    pub columns: Vec<String>,
    /// The rows in order; those of one group follow each other.
    pub rows: Vec<ScoreGridRow>,
    /// What the pictures of the rows were made from.
    pub picture: Option<Image>,
}

/// One row of a grid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreGridRow {
    /// Its name.
    pub name: String,
    /// What it has in common with others.
    pub group: String,
    /// A share in 0..=1 for each column.
    pub scores: Vec<f64>,
    /// A picture for each column, or none at all.
    pub pictures: Vec<Image>,
}
