//! What is said at the end: a table, `summary.json`, `report.html`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use cnn_core::write_atomic;
use serde_json::{Value, json};

use super::Adapt;
use super::analysis::{Analysis, choices};
use super::data::DomainData;
use super::report::{self, Findings};
use super::runs::{GIVEN, MethodOutcome, Outcomes};
use crate::report::NAME as PAGE;
use crate::{inference, output};

const SUMMARY: &str = "summary.json";

/// What is said of runs that have ended.
pub(super) struct Concluded {
    pub(super) summary: Value,
    /// First of methods that do worse than none.
    worse: Vec<String>,
    rows: Vec<Vec<String>>,
    directory: PathBuf,
}

impl Concluded {
    pub(super) fn print(&self) -> Result<()> {
        for worse in &self.worse {
            println!("{worse}");
        }
        output::table(&COLUMNS, &self.rows)?;
        println!("run directory: {}", self.directory.display());
        println!("report: {}", self.directory.join(PAGE).display());
        Ok(())
    }
}

/// Writes the summary and the report.
pub(super) fn conclude(
    command: &Adapt,
    data: &DomainData,
    outcomes: &Outcomes,
    directory: &Path,
) -> Result<Concluded> {
    let summary = match said_before(outcomes, directory) {
        // What was said when the runs ended knows their seconds and what they skipped.
        Some(summary) => summary,
        None => {
            let analysis = Analysis::of(data, outcomes, directory)?;
            report::write(&Findings {
                command,
                data,
                outcomes,
                analysis: &analysis,
                directory,
            })?;
            summary(command, data, outcomes, &analysis, directory)?
        }
    };
    save(&summary, directory)?;
    inference::print_skipped(&outcomes.skipped);
    Ok(Concluded {
        summary,
        worse: worse_than_source(outcomes),
        rows: rows(outcomes)?,
        directory: directory.to_path_buf(),
    })
}

/// Writes `summary.json`.
pub(super) fn save(summary: &Value, directory: &Path) -> Result<()> {
    let text = serde_json::to_string_pretty(summary)? + "\n";
    Ok(write_atomic(&directory.join(SUMMARY), |file| {
        file.write_all(text.as_bytes())
    })?)
}

/// The summary of runs that had already ended, of the same weights and with their page.
fn said_before(outcomes: &Outcomes, directory: &Path) -> Option<Value> {
    let bytes = std::fs::read(directory.join(SUMMARY)).ok()?;
    let mut summary: Value = serde_json::from_slice(&bytes).ok()?;
    let said = summary["methods"].as_array().into_iter().flatten();
    let said = said.chain([&summary["oracle"]]);
    let said = said.filter_map(|method| method["runs"].as_array());
    let said = said.flatten().map(|run| run["weights_sha256"].as_str());
    let now = outcomes.methods.iter().chain(&outcomes.oracle);
    let now = now.flat_map(|outcome| &outcome.runs);
    let is_same = said.eq(now.map(|run| Some(run.sha256.as_str())));
    summary["run_dir"] = json!(directory);
    (is_same && directory.join(PAGE).exists()).then_some(summary)
}

fn of_target(outcome: &MethodOutcome) -> Value {
    json!({
        "method": outcome.name,
        "target_top1": outcome.mean(),
        "target_top1_spread": outcome.spread(),
        "runs": outcome.runs.iter().map(|run| json!({
            "folder": run.folder,
            "seed": run.seed,
            "selected_epoch": run.epoch,
            "target_top1": run.measured.as_ref().map(|measured| measured.result.top1),
            "weights_sha256": run.sha256,
            "seconds": run.seconds,
            "validators": choices(&run.epochs),
            "epochs": run.epochs.iter().map(|epoch| json!({
                "epoch": epoch.epoch,
                "target_top1": epoch.target_top1,
                "metrics": epoch.metrics.iter().cloned().collect::<BTreeMap<_, _>>(),
            })).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn summary(
    command: &Adapt,
    data: &DomainData,
    outcomes: &Outcomes,
    analysis: &Analysis,
    directory: &Path,
) -> Result<Value> {
    let adapted = outcomes.adapted();
    let mut methods = outcomes.methods.iter().map(of_target).collect::<Vec<_>>();
    for (method, found) in methods.iter_mut().zip(&analysis.methods) {
        method["a_distance"] = json!(found.distances.a_distance);
        method["mmd"] = json!(found.distances.mmd);
    }
    Ok(json!({
        "run_dir": directory,
        "method": adapted.name,
        "source_only": methods.first(),
        "adapted": methods.get(outcomes.adapted),
        "methods": methods,
        "oracle": outcomes.oracle.as_ref().map(of_target),
        "selected_epoch": adapted.runs.first().map(|run| run.epoch),
        "validator": command.validator,
        "weights_sha256": adapted.runs.first().map(|run| &run.sha256),
        "samples": data.test.as_ref().map(|test| test.len()),
        "notes": data.notes,
        "skipped": outcomes.skipped,
    }))
}

/// What stands first in the table, in a sentence.
fn alone_name(outcomes: &Outcomes) -> &'static str {
    if outcomes.methods[0].name == GIVEN {
        "the network as it was given"
    } else {
        "the source alone"
    }
}

/// What is to be said first of methods that do worse than none.
fn worse_than_source(outcomes: &Outcomes) -> Vec<String> {
    let Some(alone) = outcomes.mean_alone() else {
        return Vec::new();
    };
    let worse = outcomes.methods.iter().skip(1).filter_map(|outcome| {
        let mean = outcome.mean().filter(|mean| *mean < alone)?;
        Some(format!(
            "{} does worse than {}: {:.2} % instead of {:.2} %",
            outcome.name,
            alone_name(outcomes),
            100. * mean,
            100. * alone
        ))
    });
    worse.collect()
}

/// What came out, in a sentence: of methods that do worse than none that they do, else of the
/// method that was asked for, or of several the first.
pub(super) fn result(command: &Adapt, data: &DomainData, outcomes: &Outcomes) -> String {
    let worse = worse_than_source(outcomes);
    if !worse.is_empty() {
        return worse.join(". ") + ".";
    }
    let name = &outcomes.adapted().name;
    let means = [outcomes.adapted().mean(), outcomes.mean_alone()];
    let ([Some(mean), Some(alone)], Some(test)) = (means, &data.test) else {
        return format!(
            "How often {name} is right on the target is not known: there are no labels to measure \
             with."
        );
    };
    let of = format!("{:.1}\u{a0}% of {}", 100. * mean, test.len());
    let mean = match command.seeds {
        1 => String::new(),
        seeds => format!(", in the mean of {seeds} seeds"),
    };
    let by = alone_name(outcomes);
    match outcomes.adapted {
        0 => format!("With {by}, {of} images of the target are right{mean}."),
        _ => format!(
            "{name} is right on {of} images of the target, {by} on {:.1}\u{a0}%{mean}.",
            100. * alone
        ),
    }
}

/// The columns of the table of methods, and whether they have numbers.
pub(super) const COLUMNS: [(&str, bool); 6] = [
    ("method", false),
    ("target right %", true),
    ("spread, or 95 % interval", true),
    ("gain", true),
    ("epoch", true),
    ("seconds", true),
];

pub(super) fn percent(share: f64) -> String {
    format!("{:.2}", 100. * share)
}

/// The spread of an accuracy over seeds, or else its interval; `None` without either.
pub(super) fn around(outcome: &MethodOutcome) -> Result<Option<String>> {
    Ok(match (outcome.spread(), outcome.interval()?) {
        (Some(spread), _) => Some(format!("± {}", percent(spread))),
        (None, Some(interval)) => Some(format!(
            "{} to {}",
            percent(interval.low),
            percent(interval.high)
        )),
        _ => None,
    })
}

/// The rows of the table of methods.
pub(super) fn rows(outcomes: &Outcomes) -> Result<Vec<Vec<String>>> {
    let alone = outcomes.mean_alone();
    let row = |outcome: &MethodOutcome| {
        let mean = outcome.mean();
        let gain = mean.zip(alone).map(|(mean, alone)| 100. * (mean - alone));
        let shown = |text: Option<String>| text.unwrap_or_else(|| "-".to_string());
        let epochs = outcome.runs.iter().map(|run| run.epoch.to_string());
        let seconds: f64 = outcome.runs.iter().map(|run| run.seconds).sum();
        Ok(vec![
            outcome.name.clone(),
            shown(mean.map(percent)),
            shown(around(outcome)?),
            shown(gain.map(|gain| format!("{gain:+.2}"))),
            epochs.collect::<Vec<_>>().join(", "),
            format!("{seconds:.1}"),
        ])
    };
    let rows = outcomes.methods.iter().chain(&outcomes.oracle).map(row);
    rows.collect()
}
