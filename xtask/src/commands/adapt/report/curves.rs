//! The curves of a run, and what each validator would have chosen of it.

use std::collections::BTreeMap;

use anyhow::Result;
use cnn_viz::{EpochChart, EpochCurve, ReportSection, ReportTable, TableColumn};

use super::Findings;
use super::tables::percent;
use crate::commands::adapt::analysis::{Choice, choices};
use crate::commands::adapt::runs::{MethodOutcome, RunOutcome, logged};

/// Columns of the training that have a place in a chart; any other one is a method's own and gets a
/// chart of its own.
const KNOWN: [&str; 5] = [
    "train_loss",
    "train_top1",
    "train_transfer_loss",
    "train_domain_top1",
    "train_lambda",
];

/// The section of the first run of a method.
pub(super) fn section(findings: &Findings<'_>, outcome: &MethodOutcome) -> Result<ReportSection> {
    let run = &outcome.runs[0];
    let log = Log(logged(&findings.directory.join(&run.folder))?);
    Ok(ReportSection {
        title: format!("Run {}", run.folder),
        tables: validators(run, &findings.command.validator)
            .into_iter()
            .collect(),
        charts: charts(&log, run, &findings.command.validator),
        ..ReportSection::default()
    })
}

/// The rows of `metrics.csv`.
struct Log(Vec<BTreeMap<String, f64>>);

impl Log {
    fn curve(&self, name: &str, column: &str) -> EpochCurve {
        let values = (1..).zip(&self.0);
        let values = values.filter_map(|(epoch, row)| Some((epoch, *row.get(column)?)));
        EpochCurve {
            name: name.to_string(),
            values: values.collect(),
        }
    }

    /// What a method logs beside what all do.
    fn others(&self) -> impl Iterator<Item = &str> {
        let columns = self.0.first().into_iter().flat_map(BTreeMap::keys);
        let columns = columns.map(String::as_str);
        columns.filter(|name| name.starts_with("train_") && !KNOWN.contains(name))
    }
}

fn charts(log: &Log, run: &RunOutcome, validator: &str) -> Vec<EpochChart> {
    let accuracies = run.epochs.iter();
    let accuracies = accuracies.filter_map(|epoch| Some((epoch.epoch, epoch.target_top1?)));
    let chart = |title: &str, axis: &str, curves: Vec<EpochCurve>| EpochChart {
        title: title.to_string(),
        axis: axis.to_string(),
        curves,
        ..EpochChart::default()
    };
    let mut charts = vec![
        EpochChart {
            is_share: true,
            marked: Some(run.epoch),
            ..chart(
                "Accuracy",
                "right (%)",
                vec![
                    log.curve("source, training", "train_top1"),
                    log.curve("source, validation", "val_source_top1"),
                    EpochCurve {
                        name: "target".to_string(),
                        values: accuracies.collect(),
                    },
                ],
            )
        },
        EpochChart {
            marked: Some(run.epoch),
            ..chart(
                &format!("Validator {validator}"),
                validator,
                vec![log.curve(validator, &format!("val_{validator}"))],
            )
        },
        EpochChart {
            note: Some(
                "The total is what was minimised: the source's loss and, weighted, the method's."
                    .to_string(),
            ),
            ..chart(
                "Loss",
                "loss",
                vec![
                    log.curve("total, training", "train_loss"),
                    log.curve("source, validation", "val_source_loss"),
                ],
            )
        },
        chart(
            "Transfer loss",
            "loss",
            vec![log.curve("transfer loss", "train_transfer_loss")],
        ),
        EpochChart {
            is_share: true,
            note: Some(
                "Features that deceive the classifier hold it at 50 %; λ is the share of its \
                 gradient that is reversed."
                    .to_string(),
            ),
            ..chart(
                "Domain classifier",
                "per cent",
                vec![
                    log.curve("λ", "train_lambda"),
                    log.curve("right", "train_domain_top1"),
                ],
            )
        },
    ];
    let others = log.others().map(|column| {
        let name = column.trim_start_matches("train_").replace('_', " ");
        chart(&name, &name, vec![log.curve(&name, column)])
    });
    charts.extend(others);
    charts
}

/// What each validator would have chosen; `None` where none was logged.
fn validators(run: &RunOutcome, validator: &str) -> Option<ReportTable> {
    let choices = choices(&run.epochs);
    let shown = |text: Option<String>| text.unwrap_or_else(|| "–".to_string());
    let row = |choice: &Choice| {
        vec![
            choice.validator.to_string(),
            choice.epoch.to_string(),
            shown(choice.target_top1.map(percent)),
            shown(choice.cost.map(|cost| format!("{:.2}", 100. * cost))),
        ]
    };
    let used = choices
        .iter()
        .position(|choice| choice.validator == validator);
    (!choices.is_empty()).then(|| ReportTable {
        title: Some("What each validator would have chosen".to_string()),
        note: Some(
            "The marked one chose. Cost: by how many points the target's accuracy in the best epoch \
             is higher, which nobody knows without labels."
                .to_string(),
        ),
        columns: vec![
            TableColumn::text("validator"),
            TableColumn::number("epoch"),
            TableColumn::number("target right"),
            TableColumn::number("cost"),
        ],
        rows: choices.iter().map(row).collect(),
        marked: used.into_iter().collect(),
    })
}
