//! The tables of the methods, of the domains, and of the classes.

use anyhow::Result;
use cnn_metrics::{ClassScores, ZeroDivision, precision_recall};
use cnn_viz::{ReportSection, ReportTable, TableColumn};

use super::Findings;
use crate::commands::adapt::said;

pub(super) fn percent(share: f64) -> String {
    format!("{:.1}\u{a0}%", 100. * share)
}

/// What is not known.
const NOTHING: &str = "–";

fn shown(text: Option<String>) -> String {
    text.unwrap_or_else(|| NOTHING.to_string())
}

/// The methods beside each other, and what they learnt from.
pub(super) fn methods(findings: &Findings<'_>) -> Result<ReportSection> {
    let outcomes = findings.outcomes;
    let of_runs = said::rows(outcomes)?;
    let mut distances = findings
        .analysis
        .methods
        .iter()
        .map(|method| method.distances);
    let row = |mut row: Vec<String>| {
        let distances = distances.next().unwrap_or_default();
        row.push(shown(distances.a_distance.map(|x| format!("{x:.2}"))));
        row.push(shown(distances.mmd.map(|x| format!("{x:.4}"))));
        row
    };
    let columns = said::COLUMNS.iter().map(|&(name, is_number)| TableColumn {
        name: name.to_string(),
        is_text: !is_number,
    });
    let more = ["A-distance", "MMD"].map(TableColumn::number);
    let sample = &findings.analysis.sample;
    Ok(ReportSection {
        title: "Methods".to_string(),
        notes: vec![format!(
            "Gain is what a method adds to the source alone, in points; the oracle learns from the \
             target's own labels. The epoch was chosen by {} without these.",
            findings.command.validator
        )],
        tables: vec![
            ReportTable {
                note: Some(format!(
                    "A-distance and MMD say how far the domains lie apart in the features behind the \
                     bottleneck, of the same {} images of the source and {} of the target for every \
                     network{}. A-distance: 0 where a linear classifier cannot tell the domains \
                     apart, 2 where it always can. MMD: the squared maximum mean discrepancy with \
                     five kernels, 0 for equal distributions.",
                    sample.source.as_ref().map_or(0, |source| source.len()),
                    sample.target.len(),
                    match findings.command.seeds {
                        1 => "",
                        _ => ", of the first seed",
                    }
                )),
                columns: columns.chain(more).collect(),
                rows: of_runs.into_iter().map(row).collect(),
                ..ReportTable::default()
            },
            domains(findings),
        ],
        ..ReportSection::default()
    })
}

fn domains(findings: &Findings<'_>) -> ReportTable {
    let data = findings.data;
    let command = findings.command;
    let row = |[part, images, labels, from]: [&str; 4]| {
        [part, images, labels, from].map(str::to_string).to_vec()
    };
    let mut rows = Vec::new();
    if let Some(source) = &data.source {
        let [train, validation] =
            [&source.train, &source.validation].map(|images| images.len().to_string());
        rows.push(row(["source, training", &train, "read", &command.source]));
        let validation = ["source, validation", &validation, "read", &command.source];
        rows.push(row(validation));
    }
    // What has no path of its own is half of the source.
    let of_target = match command.target.as_str() {
        "" => &command.source,
        target => target,
    };
    let shown = |path: &str| match &command.shift {
        Some(shift) => format!("{path}, as {shift} shows it"),
        None => path.to_string(),
    };
    let images = data.target.len().to_string();
    rows.push(row([
        "target, training",
        &images,
        "not read",
        &shown(of_target),
    ]));
    if let Some(few) = &data.few {
        let images = few.places().len().to_string();
        rows.push(row([
            "target, few labels",
            &images,
            "read",
            &shown(of_target),
        ]));
    }
    if let Some(test) = &data.test {
        let images = test.len().to_string();
        let from = shown(command.test.as_deref().unwrap_or(of_target));
        let measured = ["target, measured on", &images, "read at the end", &from];
        rows.push(row(measured));
    }
    ReportTable {
        title: Some("Domains".to_string()),
        columns: vec![
            TableColumn::text("part"),
            TableColumn::number("images"),
            TableColumn::text("labels"),
            TableColumn::text("from"),
        ],
        rows,
        ..ReportTable::default()
    }
}

/// How many of each class of the target every method finds; `None` without labels.
pub(super) fn classes(findings: &Findings<'_>) -> Result<Option<ReportSection>> {
    let outcomes = findings.outcomes;
    let mut columns = vec![TableColumn::text("class"), TableColumn::number("images")];
    let mut rows: Vec<Vec<String>> = Vec::new();
    for outcome in outcomes.methods.iter().chain(&outcomes.oracle) {
        let run = &outcome.runs[0];
        let Some(measured) = &run.measured else {
            continue;
        };
        let scores = precision_recall(&measured.confusion, ZeroDivision::NaN)?;
        if rows.is_empty() {
            let begin =
                |of: &ClassScores| vec![run.classes[of.label].clone(), of.samples.to_string()];
            rows = scores.per_class.iter().map(begin).collect();
        }
        columns.push(TableColumn::number(outcome.name.clone()));
        for row in &mut rows {
            // What learnt from the target's labels alone may know fewer classes.
            let mut scores = scores.per_class.iter();
            let recall = scores.find(|of| run.classes[of.label] == row[0]);
            let recall = recall.map(|of| of.recall).filter(|recall| !recall.is_nan());
            row.push(shown(recall.map(percent)));
        }
    }
    Ok((!rows.is_empty()).then(|| ReportSection {
        title: "Accuracy by class".to_string(),
        notes: vec![
            "The share of the target's images of each class that is recognised. A class that a \
             method loses was pulled onto another one."
                .to_string(),
        ],
        tables: vec![ReportTable {
            columns,
            rows,
            ..ReportTable::default()
        }],
        ..ReportSection::default()
    }))
}
