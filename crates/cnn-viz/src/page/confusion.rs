//! Which class was taken for which.

use cnn_metrics::ConfusionMatrix;

use super::color;
use super::format::{count, percent, shortened};

/// With more classes cells become too small to read.
const MOST_CLASSES: usize = 20;
/// Longer names are shortened beside the matrix; the table of classes has them whole.
const LONGEST_NAME: usize = 24;
/// Names of at most so many characters stand upright over their columns, others are turned.
const UPRIGHT: usize = 6;

/// The name of what is no object.
const BACKGROUND: &str = "background";

/// The matrix with a colour per cell.
pub(crate) struct Matrix<'a> {
    /// The classes' names, shortened.
    pub(crate) heads: Vec<String>,
    pub(crate) upright: bool,
    pub(crate) rows: Vec<MatrixRow<'a>>,
    pub(crate) gradient: String,
}

/// One true class.
pub(crate) struct MatrixRow<'a> {
    pub(crate) name: &'a str,
    pub(crate) head: String,
    pub(crate) cells: Vec<Cell<'a>>,
}

/// One predicted class of a true one.
pub(crate) struct Cell<'a> {
    pub(crate) prediction: &'a str,
    /// What is written into it.
    pub(crate) text: String,
    /// The rest of what there is to say, as the share of the row's samples.
    pub(crate) more: String,
    /// Background and text colour; `None` where there are no samples.
    pub(crate) colors: Option<(String, &'static str)>,
}

/// What stands in the cells of a matrix.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cells {
    /// Numbers of samples.
    Counts,
    /// Shares of the row, in whole per cent, where the numbers have too many digits.
    Shares,
    /// Numbers of objects and detections; behind the classes that have names comes background.
    Objects,
}

impl<'a> Matrix<'a> {
    /// The matrix, or `None` where there are too many classes to show.
    pub(crate) fn new(
        names: &'a [String],
        confusion: &ConfusionMatrix,
        shown: Cells,
    ) -> Option<Self> {
        if names.len() > MOST_CLASSES {
            return None;
        }
        let background = (shown == Cells::Objects).then_some(BACKGROUND);
        let names: Vec<&str> = names.iter().map(String::as_str).chain(background).collect();
        let rows = confusion.rows();
        let row = |(&name, counts): (&&'a str, &Vec<u64>)| MatrixRow {
            name,
            head: shortened(name, LONGEST_NAME),
            cells: cells(&names, counts, shown),
        };
        Some(Self {
            heads: names
                .iter()
                .map(|name| shortened(name, LONGEST_NAME))
                .collect(),
            upright: names.iter().all(|name| name.chars().count() <= UPRIGHT),
            rows: names.iter().zip(&rows).map(row).collect(),
            gradient: color::gradient(),
        })
    }
}

fn cells<'a>(names: &[&'a str], counts: &[u64], shown: Cells) -> Vec<Cell<'a>> {
    let total: u64 = counts.iter().sum();
    let cell = |(&prediction, &samples): (&&'a str, &u64)| {
        let share = samples as f64 / total as f64;
        let (text, more) = match shown {
            Cells::Counts | Cells::Objects => (samples.to_string(), percent(share)),
            Cells::Shares => {
                let pixels = format!("{} pixels, {}", count(samples), percent(share));
                (format!("{:.0}", 100.0 * share), pixels)
            }
        };
        Cell {
            prediction,
            text,
            more,
            colors: (samples > 0).then(|| color::cell(share)),
        }
    };
    names.iter().zip(counts).map(cell).collect()
}

/// The most frequent mistakes.
pub(crate) struct ConfusedPairs<'a> {
    pub(crate) pairs: Vec<Pair<'a>>,
    /// Whether there are more kinds of mistakes than are listed.
    pub(crate) more: bool,
}

/// One kind of mistake.
pub(crate) struct Pair<'a> {
    pub(crate) label: &'a str,
    pub(crate) prediction: &'a str,
    pub(crate) samples: String,
    /// The share of the true class's samples.
    pub(crate) share: String,
}

impl<'a> ConfusedPairs<'a> {
    /// The `most` most frequent mistakes between classes that have names.
    pub(crate) fn new(names: &'a [String], confusion: &ConfusionMatrix, most: usize) -> Self {
        let is_named = |pair: &cnn_metrics::ConfusedPair| {
            pair.label < names.len() && pair.prediction < names.len()
        };
        let found = confusion.most_confused(usize::MAX).into_iter();
        let mut found: Vec<_> = found.filter(is_named).take(most + 1).collect();
        let more = found.len() > most;
        found.truncate(most);
        let pair = |pair: &cnn_metrics::ConfusedPair| {
            let of_class: u64 = (0..confusion.classes())
                .map(|class| confusion.count(pair.label, class))
                .sum();
            Pair {
                label: &names[pair.label],
                prediction: &names[pair.prediction],
                samples: count(pair.samples),
                share: percent(pair.samples as f64 / of_class as f64),
            }
        };
        Self {
            pairs: found.iter().map(pair).collect(),
            more,
        }
    }
}
