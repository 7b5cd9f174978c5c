//! Scores under many conditions as a heat map.

use super::color;
use super::pictures::{STRIP_SIDE, Thumbnail};
use crate::{Error, ScoreGrid, ScoreGridRow};

/// A grid with a colour per cell, its means, and its pictures.
pub(crate) struct Grid<'a> {
    pub(crate) about: &'a ScoreGrid,
    pub(crate) rows: Vec<GridRow<'a>>,
    /// The mean of each column, then of all.
    pub(crate) means: Vec<ScoreCell>,
    pub(crate) gradient: String,
    pub(crate) picture: Option<Thumbnail>,
    /// The rows that have pictures.
    pub(crate) pictured: Vec<(&'a str, Vec<Thumbnail>)>,
}

pub(crate) struct GridRow<'a> {
    pub(crate) about: &'a ScoreGridRow,
    /// The group, where it begins, and how many rows it has.
    pub(crate) group: Option<(&'a str, usize)>,
    /// The scores, then their mean.
    pub(crate) cells: Vec<ScoreCell>,
}

pub(crate) struct ScoreCell {
    pub(crate) text: String,
    pub(crate) background: String,
    pub(crate) color: &'static str,
}

impl<'a> Grid<'a> {
    pub(crate) fn new(grid: &'a ScoreGrid) -> Result<Self, Error> {
        let columns = grid.columns.len();
        for row in &grid.rows {
            check("scores", row.scores.len(), columns, &row.name)?;
            if !row.pictures.is_empty() {
                check("pictures", row.pictures.len(), columns, &row.name)?;
            }
        }
        let thumbnail = |image| Thumbnail::new(image, &grid.title, STRIP_SIDE);
        let pictures = |row: &'a ScoreGridRow| {
            let pictures = row.pictures.iter().map(thumbnail);
            Ok((row.name.as_str(), pictures.collect::<Result<_, Error>>()?))
        };
        let pictured = grid.rows.iter().filter(|row| !row.pictures.is_empty());
        let column = |column: usize| grid.rows.iter().map(move |row| row.scores[column]);
        let all = grid.rows.iter().flat_map(|row| row.scores.iter().copied());
        let means = (0..columns).map(|number| mean(column(number)));
        Ok(Self {
            about: grid,
            rows: (0..grid.rows.len()).map(|place| row(grid, place)).collect(),
            means: means.chain([mean(all)]).map(cell).collect(),
            gradient: color::gradient(),
            picture: grid.picture.as_ref().map(thumbnail).transpose()?,
            pictured: pictured.map(pictures).collect::<Result<_, Error>>()?,
        })
    }
}

fn check(what: &'static str, found: usize, columns: usize, row: &str) -> Result<(), Error> {
    if found == columns {
        return Ok(());
    }
    let expected = format!("one for each of {columns} columns");
    Err(Error::argument(what, format!("{found} of {row}"), expected))
}

fn row(grid: &ScoreGrid, place: usize) -> GridRow<'_> {
    let about = &grid.rows[place];
    let is_same = |row: &&ScoreGridRow| row.group == about.group;
    let begins = place == 0 || grid.rows[place - 1].group != about.group;
    let rows = grid.rows[place..].iter().take_while(is_same).count();
    let means = mean(about.scores.iter().copied());
    GridRow {
        about,
        group: begins.then_some((about.group.as_str(), rows)),
        cells: about
            .scores
            .iter()
            .copied()
            .chain([means])
            .map(cell)
            .collect(),
    }
}

fn mean(scores: impl Iterator<Item = f64>) -> f64 {
    let scores: Vec<f64> = scores.collect();
    scores.iter().sum::<f64>() / scores.len() as f64
}

fn cell(score: f64) -> ScoreCell {
    let (background, color) = color::cell(score);
    ScoreCell {
        text: format!("{:.1}", 100. * score),
        background,
        color,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    fn grid() -> ScoreGrid {
        let row = |name: &str, group: &str, scores: [f64; 2]| ScoreGridRow {
            name: name.into(),
            group: group.into(),
            scores: scores.to_vec(),
            pictures: vec![],
        };
        ScoreGrid {
            columns: vec!["1".into(), "2".into()],
            rows: vec![
                row("a", "noise", [0.5, 0.25]),
                row("b", "noise", [1., 0.]),
                row("c", "blur", [0.75, 0.5]),
            ],
            ..ScoreGrid::default()
        }
    }

    #[test]
    fn groups_begin_once_and_means_are_of_rows_and_columns() {
        let grid = grid();
        let shown = Grid::new(&grid).unwrap();
        let groups: Vec<_> = shown.rows.iter().map(|row| row.group).collect();
        assert_eq!(groups, [Some(("noise", 2)), None, Some(("blur", 1))]);
        let texts = |cells: &[ScoreCell]| {
            let texts = cells.iter().map(|cell| cell.text.clone());
            texts.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(texts(&shown.rows[0].cells), "50.0 25.0 37.5");
        assert_eq!(texts(&shown.means), "75.0 25.0 50.0");
    }

    #[test]
    fn a_row_has_a_score_for_each_column() {
        let mut grid = grid();
        grid.rows[1].scores.pop();
        let said = Grid::new(&grid).err().unwrap().to_string();
        assert_eq!(
            said,
            "`scores`: found 1 of b, expected one for each of 2 columns"
        );
    }
}
