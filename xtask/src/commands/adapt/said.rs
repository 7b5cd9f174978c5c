//! What is said at the end: a table, `summary.json`, `report.html`.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use cnn_core::write_atomic;
use serde_json::{Value, json};

use super::Adapt;
use super::data::DomainData;
use super::runs::{MethodOutcome, Outcomes};
use crate::{inference, output};

pub(super) fn conclude(
    command: &Adapt,
    data: &DomainData,
    outcomes: &Outcomes,
    directory: &Path,
) -> Result<()> {
    let summary = summary(command, data, outcomes, directory)?;
    let text = serde_json::to_string_pretty(&summary)? + "\n";
    write_atomic(&directory.join("summary.json"), |file| {
        file.write_all(text.as_bytes())
    })?;
    inference::print_skipped(&outcomes.skipped);
    if command.json {
        return output::json(&summary);
    }
    for worse in worse_than_source(outcomes) {
        println!("{worse}");
    }
    print(outcomes)?;
    println!("run directory: {}", directory.display());
    Ok(())
}

/// The method that was asked for, or of several the first.
fn adapted(outcomes: &Outcomes) -> &MethodOutcome {
    &outcomes.methods[outcomes.methods.len().min(2) - 1]
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
    directory: &Path,
) -> Result<Value> {
    let adapted = adapted(outcomes);
    Ok(json!({
        "run_dir": directory,
        "method": adapted.name,
        "source_only": of_target(&outcomes.methods[0]),
        "adapted": of_target(adapted),
        "methods": outcomes.methods.iter().map(of_target).collect::<Vec<_>>(),
        "oracle": outcomes.oracle.as_ref().map(of_target),
        "selected_epoch": adapted.runs.first().map(|run| run.epoch),
        "validator": command.validator,
        "weights_sha256": adapted.runs.first().map(|run| &run.sha256),
        "samples": data.test.as_ref().map(|test| test.len()),
        "skipped": outcomes.skipped,
    }))
}

/// What is to be said first of methods that do worse than none.
fn worse_than_source(outcomes: &Outcomes) -> Vec<String> {
    let Some(alone) = outcomes.methods[0].mean() else {
        return Vec::new();
    };
    let worse = outcomes.methods.iter().skip(1).filter_map(|outcome| {
        let mean = outcome.mean().filter(|mean| *mean < alone)?;
        Some(format!(
            "{} does worse than the source alone: {:.2} % instead of {:.2} %",
            outcome.name,
            100. * mean,
            100. * alone
        ))
    });
    worse.collect()
}

fn print(outcomes: &Outcomes) -> Result<()> {
    let columns = [
        ("method", false),
        ("target right %", true),
        ("spread, or 95 % interval", true),
        ("gain", true),
        ("epoch", true),
        ("seconds", true),
    ];
    let alone = outcomes.methods[0].mean();
    let percent = |share: f64| format!("{:.2}", 100. * share);
    let row = |outcome: &MethodOutcome| {
        let around = match (outcome.spread(), outcome.interval()?) {
            (Some(spread), _) => format!("± {}", percent(spread)),
            (None, Some(interval)) => {
                format!("{} to {}", percent(interval.low), percent(interval.high))
            }
            _ => "-".to_string(),
        };
        let mean = outcome.mean();
        let gain = mean.zip(alone).map(|(mean, alone)| 100. * (mean - alone));
        let shown = |text: Option<String>| text.unwrap_or_else(|| "-".to_string());
        let epochs = outcome.runs.iter().map(|run| run.epoch.to_string());
        let seconds: f64 = outcome.runs.iter().map(|run| run.seconds).sum();
        Ok(vec![
            outcome.name.clone(),
            shown(mean.map(percent)),
            around,
            shown(gain.map(|gain| format!("{gain:+.2}"))),
            epochs.collect::<Vec<_>>().join(", "),
            format!("{seconds:.1}"),
        ])
    };
    let rows = outcomes.methods.iter().chain(&outcomes.oracle).map(row);
    output::table(&columns, &rows.collect::<Result<Vec<_>>>()?)
}
