//! The charts over the epochs, with their keys and the table of their numbers.

use super::bands;
use super::color::{BLUE, VERMILION};
use super::figure::{Figure, Key};
use super::format::{NOTHING, number, percent, seconds, short_number};
use super::line_chart::{Across, Bounds, LineChart, Series, Stroke};
use crate::{Error, Report, ReportEpoch};

/// What stands under "Curves".
pub(crate) struct Curves {
    pub(crate) charts: Vec<Figure>,
    /// The phases in words, since a band may be too narrow for its name.
    pub(crate) phases: Vec<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Row>,
}

/// One epoch in the table.
pub(crate) struct Row {
    pub(crate) best: bool,
    pub(crate) cells: Vec<String>,
}

/// A chart before there are data.
struct Plan {
    title: &'static str,
    axis: &'static str,
    bounds: Bounds,
    /// Whether it shows what the best epoch is chosen by.
    best: bool,
    /// What it shows of the report beyond its epochs.
    more: More,
    curves: &'static [Curve],
}

/// What a chart shows of a report beyond its epochs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum More {
    Nothing,
    /// The note on the losses.
    LossNote,
    /// The rates of the updates, if they are given, in place of those of the epochs.
    Updates,
}

struct Curve {
    name: &'static str,
    color: plotters::style::RGBColor,
    stroke: Stroke,
    value: fn(&ReportEpoch) -> Option<f64>,
}

/// Stands in titles for what the report's scores are.
const SCORE: &str = "score";

const PLANS: &[Plan] = &[
    Plan {
        title: "Loss",
        axis: "loss",
        bounds: Bounds::FromZero,
        best: true,
        more: More::LossNote,
        curves: &[
            Curve {
                name: "train",
                color: VERMILION,
                stroke: Stroke::Dashed,
                value: |epoch| epoch.train_loss,
            },
            Curve {
                name: "validation",
                color: BLUE,
                stroke: Stroke::Solid,
                value: |epoch| epoch.val_loss,
            },
        ],
    },
    Plan {
        title: SCORE,
        axis: SCORE,
        bounds: Bounds::Percent,
        best: true,
        more: More::Nothing,
        curves: &[
            Curve {
                name: "train",
                color: VERMILION,
                stroke: Stroke::Dashed,
                value: |epoch| epoch.train_score.map(in_percent),
            },
            Curve {
                name: "validation",
                color: BLUE,
                stroke: Stroke::Solid,
                value: |epoch| epoch.val_score.map(in_percent),
            },
        ],
    },
    Plan {
        title: "Learning rate",
        axis: "learning rate",
        bounds: Bounds::FromZero,
        best: false,
        more: More::Updates,
        curves: &[Curve {
            name: "learning rate",
            color: BLUE,
            stroke: Stroke::Solid,
            value: |epoch| epoch.learning_rate,
        }],
    },
    Plan {
        title: "Time",
        axis: "seconds per epoch",
        bounds: Bounds::FromZero,
        best: false,
        more: More::Nothing,
        curves: &[Curve {
            name: "seconds",
            color: BLUE,
            stroke: Stroke::Solid,
            value: |epoch| epoch.seconds,
        }],
    },
];

type Column = (
    &'static str,
    fn(&ReportEpoch) -> Option<f64>,
    fn(f64) -> String,
);

const COLUMNS: &[Column] = &[
    (
        "rate at its start",
        |epoch| epoch.learning_rate,
        short_number,
    ),
    ("train loss", |epoch| epoch.train_loss, number),
    ("val loss", |epoch| epoch.val_loss, number),
    ("train score", |epoch| epoch.train_score, percent),
    ("val score", |epoch| epoch.val_score, percent),
    ("time", |epoch| epoch.seconds, seconds),
];

impl Curves {
    /// The curves of a report's epochs, or `None` without epochs.
    pub(crate) fn new(report: &Report) -> Result<Option<Self>, Error> {
        let ends = check(report)?;
        let Some(epochs) = ends else { return Ok(None) };
        let charts = PLANS
            .iter()
            .map(|plan| plan.chart(report, epochs))
            .collect::<Result<Vec<_>, _>>()?;
        let used: Vec<Column> = COLUMNS
            .iter()
            .copied()
            .filter(|(_, value, _)| report.epochs.iter().any(|row| value(row).is_some()))
            .collect();
        Ok(Some(Self {
            charts: charts.into_iter().flatten().collect(),
            phases: report
                .phases
                .iter()
                .map(|phase| format!("{}, {}", phase.name, bands::epochs(phase)))
                .collect(),
            columns: used
                .iter()
                .map(|(name, _, _)| named(name, report))
                .collect(),
            rows: report
                .epochs
                .iter()
                .map(|epoch| row(epoch, &used, report.best_epoch))
                .collect(),
        }))
    }
}

/// First and last epoch, if there are any and their numbers are in order.
fn check(report: &Report) -> Result<Option<(usize, usize)>, Error> {
    let numbers: Vec<usize> = report.epochs.iter().map(|epoch| epoch.epoch).collect();
    let mut after = 0;
    for &number in &numbers {
        if number <= after {
            return Err(Error::argument(
                "epochs",
                format!("epoch {number}"),
                format!("a number above {after} there"),
            ));
        }
        after = number;
    }
    if let Some(best) = report.best_epoch.filter(|best| !numbers.contains(best)) {
        return Err(Error::argument(
            "best_epoch",
            best,
            "the number of an epoch in `epochs`",
        ));
    }
    let rates = &report.learning_rates;
    if let Some(pair) = rates.windows(2).find(|pair| {
        pair[0]
            .epochs
            .partial_cmp(&pair[1].epochs)
            .is_none_or(|o| o.is_gt())
    }) {
        let found = format!("{} after {}", pair[1].epochs, pair[0].epochs);
        return Err(Error::argument(
            "learning_rates",
            found,
            "updates in their order",
        ));
    }
    Ok(numbers.first().map(|&first| (first, after)))
}

impl Plan {
    fn chart(&self, report: &Report, epochs: (usize, usize)) -> Result<Option<Figure>, Error> {
        let given = |curve: &&Curve| {
            report
                .epochs
                .iter()
                .any(|epoch| (curve.value)(epoch).is_some())
        };
        let mut curves: Vec<&Curve> = self.curves.iter().filter(given).collect();
        let points = |curve: &Curve| {
            let value = curve.value;
            report
                .epochs
                .iter()
                .filter_map(move |epoch| Some((epoch.epoch, value(epoch)?)))
        };
        let of_epochs =
            |curve: &&Curve| Series::of_epochs(curve.color, curve.stroke, points(curve));
        let mut series: Vec<Series> = curves.iter().map(of_epochs).collect();
        if self.more == More::Updates && !report.learning_rates.is_empty() {
            curves = self.curves.iter().collect();
            series = vec![Series::line(BLUE, Stroke::Solid, updates(report, epochs))];
        }
        let left_out = series.iter().map(|series| series.left_out).sum();
        let best_epoch = report.best_epoch.filter(|_| self.best);
        let axis = match self.axis {
            SCORE => format!("{} (%)", score(report)),
            axis => axis.to_string(),
        };
        let chart = LineChart {
            name: self.axis,
            across: Across::epochs(epochs.0, epochs.1),
            axis: &axis,
            bounds: self.bounds,
            series,
            phases: &report.phases,
            marked: best_epoch.map(|best| best as f64),
        };
        let key = |curve: &&Curve| Key::new(curve.name, curve.color, curve.stroke);
        let key = curves.iter().map(key).collect();
        let note = report
            .loss_note
            .clone()
            .filter(|_| self.more == More::LossNote);
        Ok(chart.to_svg()?.map(|svg| Figure {
            title: capitalised(&named(self.title, report)),
            svg,
            key,
            marked: best_epoch.map(|best| format!("kept: epoch {best}")),
            left_out,
            note,
        }))
    }
}

/// The rates of the updates of these epochs. An epoch takes the axis from half before its number to
/// half behind it.
fn updates(report: &Report, (first, last): (usize, usize)) -> impl Iterator<Item = (f64, f64)> {
    let left = first as f64 - 0.5;
    let right = last as f64 + 0.5;
    let points = report
        .learning_rates
        .iter()
        .map(|point| (point.epochs + 0.5, point.learning_rate));
    points.filter(move |(epoch, _)| (left..=right).contains(epoch))
}

fn row(epoch: &ReportEpoch, columns: &[Column], best_epoch: Option<usize>) -> Row {
    let cell = |(_, value, text): &Column| value(epoch).map_or_else(|| NOTHING.into(), text);
    let cells = std::iter::once(epoch.epoch.to_string())
        .chain(columns.iter().map(cell))
        .collect();
    Row {
        best: best_epoch == Some(epoch.epoch),
        cells,
    }
}

fn score(report: &Report) -> &str {
    report.score.as_deref().unwrap_or("accuracy")
}

/// A name with what the scores are in place of [`SCORE`].
fn named(name: &str, report: &Report) -> String {
    name.replace(SCORE, score(report))
}

/// With a capital where the first word is an ordinary one, which mIoU is not.
fn capitalised(text: &str) -> String {
    if text.chars().any(char::is_uppercase) {
        return text.to_string();
    }
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn in_percent(share: f64) -> f64 {
    share * 100.0
}
