//! Precision, recall and F1 per class.

use cnn_metrics::{
    ClassScores, Interval, ZeroDivision, bootstrap_interval, precision_recall, wilson_interval,
};

use super::format::{NOTHING, count, percent};
use crate::{ClassResults, Error};

const CONFIDENCE: f64 = 0.95;
/// More rows than anybody scrolls through.
pub(crate) const MOST_ROWS: usize = 1000;

/// The table of classes, the lowest recall first.
pub(crate) struct ClassTable<'a> {
    pub(crate) rows: Vec<ClassRow<'a>>,
    pub(crate) average: ClassRow<'static>,
    /// How many classes are not listed.
    pub(crate) left_out: usize,
    /// Accuracy over all samples with its interval.
    pub(crate) accuracy: String,
    pub(crate) interval: String,
    pub(crate) samples: String,
}

/// One class.
pub(crate) struct ClassRow<'a> {
    pub(crate) name: &'a str,
    pub(crate) samples: String,
    pub(crate) precision: String,
    pub(crate) recall: String,
    pub(crate) interval: String,
    pub(crate) f1: String,
    /// Recall and its interval as a picture; `None` for a class without samples.
    pub(crate) bar: Option<Bar>,
}

/// Positions in per cent of a bar's length.
pub(crate) struct Bar {
    pub(crate) low: String,
    pub(crate) length: String,
    pub(crate) point: String,
}

impl<'a> ClassTable<'a> {
    pub(crate) fn new(results: &'a ClassResults) -> Result<Self, Error> {
        // NaN marks what has no value, and averages leave it out.
        let scores = precision_recall(&results.confusion, ZeroDivision::NaN)?;
        let mut ordered = scores.per_class;
        // NaN, the recall of a class without samples, orders last.
        ordered.sort_by(|a, b| a.recall.total_cmp(&b.recall));
        let left_out = ordered.len().saturating_sub(MOST_ROWS);
        let row = |scores: &ClassScores| class_row(scores, results);
        let average = scores.macro_average;
        let correct = results.confusion.correct();
        let samples = results.confusion.samples();
        Ok(Self {
            rows: ordered
                .iter()
                .take(MOST_ROWS)
                .map(row)
                .collect::<Result<_, _>>()?,
            average: ClassRow {
                name: "mean of the classes",
                samples: count(samples),
                precision: percent(average.precision),
                recall: percent(average.recall),
                interval: NOTHING.into(),
                f1: percent(average.f1),
                bar: None,
            },
            left_out,
            accuracy: percent(correct as f64 / samples as f64),
            interval: interval_text(bootstrap_interval(correct, samples, CONFIDENCE)?),
            samples: count(samples),
        })
    }
}

fn class_row<'a>(scores: &ClassScores, results: &'a ClassResults) -> Result<ClassRow<'a>, Error> {
    let interval = match scores.samples {
        0 => None,
        samples => Some(wilson_interval(
            results.confusion.count(scores.label, scores.label),
            samples,
            CONFIDENCE,
        )?),
    };
    Ok(ClassRow {
        name: &results.names[scores.label],
        samples: count(scores.samples),
        precision: percent(scores.precision),
        recall: percent(scores.recall),
        interval: interval.map_or_else(|| NOTHING.into(), interval_text),
        f1: percent(scores.f1),
        bar: interval.map(|interval| bar(interval, scores.recall)),
    })
}

pub(crate) fn interval_text(Interval { low, high }: Interval) -> String {
    format!("{:.1} to {:.1}\u{a0}%", low * 100.0, high * 100.0)
}

/// A share and its interval as a picture.
pub(crate) fn bar(Interval { low, high }: Interval, share: f64) -> Bar {
    let position = |share: f64| format!("{:.1}%", share * 100.0);
    Bar {
        low: position(low),
        length: position(high - low),
        point: position(share),
    }
}
