//! Precision, recall and F1 over the score from which on detections are kept.

use cnn_metrics::{ScoreCurve, ScorePoint};

use super::color::{BLUE, INK, VERMILION};
use super::figure::{Figure, Key};
use super::format::{percent, short_number};
use super::line_chart::{Across, Bounds, LineChart, Series, Stroke};
use crate::Error;

/// The chart and the table of its numbers.
pub(crate) struct ScoreCurves {
    pub(crate) figure: Figure,
    pub(crate) rows: Vec<ScoreRow>,
}

/// One score.
pub(crate) struct ScoreRow {
    /// Whether F1 is highest there.
    pub(crate) best: bool,
    /// Score, precision, recall, F1.
    pub(crate) cells: [String; 4],
}

/// A curve's name and look.
struct Plan {
    name: &'static str,
    color: plotters::style::RGBColor,
    stroke: Stroke,
    value: fn(&ScorePoint) -> f64,
}

/// The last one is ringed where it is highest.
const PLANS: [Plan; 3] = [
    Plan {
        name: "precision",
        color: VERMILION,
        stroke: Stroke::Dashed,
        value: |point| point.precision,
    },
    Plan {
        name: "recall",
        color: BLUE,
        stroke: Stroke::Dotted,
        value: |point| point.recall,
    },
    Plan {
        name: "F1",
        color: INK,
        stroke: Stroke::Solid,
        value: |point| point.f1,
    },
];

impl ScoreCurves {
    /// The curves, or `None` where there is nothing to draw.
    pub(crate) fn new(curve: &ScoreCurve) -> Result<Option<Self>, Error> {
        // A curve of some points may lack the best.
        let mut points: Vec<ScorePoint> = curve.points.iter().copied().chain(curve.best).collect();
        sort(&mut points);
        let series = |plan: &Plan| {
            let place = |point: &ScorePoint| (point.score, 100. * (plan.value)(point));
            Series::line(plan.color, plan.stroke, points.iter().map(place))
        };
        let series: Vec<Series> = PLANS.iter().map(series).collect();
        let left_out = series.iter().map(|series| series.left_out).sum();
        let chart = LineChart {
            name: "scores",
            across: Across::scores(points.iter().map(|point| point.score)),
            axis: "per cent",
            bounds: Bounds::Percent,
            series,
            phases: &[],
            marked: curve.best.map(|best| best.score),
        };
        let key = |plan: &Plan| Key::new(plan.name, plan.color, plan.stroke);
        let marked = |best: ScorePoint| {
            let score = short_number(best.score);
            format!("highest F1: {} at a score of {score}", percent(best.f1))
        };
        Ok(chart.to_svg()?.map(|svg| Self {
            figure: Figure {
                title: "By score".into(),
                svg,
                key: PLANS.iter().map(key).collect(),
                marked: curve.best.map(marked),
                left_out,
                note: None,
            },
            rows: rows(curve),
        }))
    }
}

/// By rising score, each once.
fn sort(points: &mut Vec<ScorePoint>) {
    points.sort_by(|one, other| one.score.total_cmp(&other.score));
    points.dedup_by_key(|point| point.score);
}

/// What is kept from each tenth on, and the best.
fn rows(curve: &ScoreCurve) -> Vec<ScoreRow> {
    let tenths = (0..10).filter_map(|tenth| curve.at(f64::from(tenth) / 10.));
    let mut points: Vec<ScorePoint> = tenths.copied().chain(curve.best).collect();
    sort(&mut points);
    let row = |point: &ScorePoint| ScoreRow {
        best: curve.best.is_some_and(|best| best.score == point.score),
        cells: [
            short_number(point.score),
            percent(point.precision),
            percent(point.recall),
            percent(point.f1),
        ],
    };
    points.iter().map(row).collect()
}
