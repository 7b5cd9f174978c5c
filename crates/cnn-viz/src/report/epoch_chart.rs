//! Any values over the epochs.

use serde::Serialize;

/// Values of one unit over the epochs of a run, as curves in one chart.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EpochChart {
    /// The heading.
    pub title: String,
    /// The vertical axis with its unit.
    pub axis: String,
    /// Whether the values are shares in 0..=1, which are drawn as per cent.
    pub is_share: bool,
    /// The curves, at most [`EpochChart::MOST_CURVES`]. One without values is left out, and so is a
    /// chart of such ones.
    pub curves: Vec<EpochCurve>,
    /// The epoch whose weights were kept, marked on the last curve.
    pub marked: Option<usize>,
    /// A sentence below the chart.
    pub note: Option<String>,
}

/// One curve of an [`EpochChart`].
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct EpochCurve {
    /// What it shows.
    pub name: String,
    /// The epochs, the first is 1, with their values, in the order of their numbers; where an epoch
    /// is missing the curve has a gap.
    pub values: Vec<(usize, f64)>,
}

impl EpochChart {
    /// Curves that can be told apart.
    pub const MOST_CURVES: usize = 3;
}
