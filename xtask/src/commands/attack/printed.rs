//! What is printed: a table for people, JSON for programs.

use anyhow::Result;
use cnn_metrics::RocCurve;
use cnn_robust::{AttackResult, Threat};
use serde_json::{Value, json};

use super::session::{Found, Session};
use super::smallest::Smallest;
use crate::output;

/// The share of images without an attack that a detector may raise the alarm on.
pub(super) const FALSE_ALARMS: f64 = 0.05;

pub(super) fn summary(session: &Session<'_>, found: &Found) -> Result<Value> {
    let result = &found.result;
    let worst = result.worst_interval()?;
    let attacks = result.attacks.iter().enumerate().map(|(place, attack)| {
        let interval = attack.interval()?;
        let detected = found.detected.get(place).and_then(Option::as_ref);
        Ok(json!({
            "name": attack.name,
            "norm": attack.limit.map(|limit| limit.norm.name()),
            "eps": attack.limit.map(|limit| limit.eps),
            "robust_top1": attack.robust_top1(),
            "robust_top1_interval": [interval.low, interval.high],
            "transferred_top1": attack.transferred_top1(),
            "attacked": attack.attacked,
            "success_rate": attack.success_rate(),
            "mean_linf": attack.mean_linf,
            "mean_l2": attack.mean_l2,
            "median_size": attack.sizes.get(attack.sizes.len() / 2),
            "queries": attack.queries_per_image(),
            "gradients": attack.gradients_per_image(),
            "seconds": attack.seconds,
            "ece": attack.reliability.ece()?,
            "confidence": attack.reliability.mean_confidence()?,
            "detected_auc": detected.map(RocCurve::auc),
            "detected_at_5": detected.map(|curve| curve.true_positive_rate_at(FALSE_ALARMS)),
        }))
    });
    let attacks = attacks.collect::<Result<Vec<Value>>>()?;
    let diagnosis = found.diagnosis.as_ref();
    let alarms = diagnosis
        .into_iter()
        .flat_map(|found| &found.alarms)
        .map(|alarm| {
            json!({
                "name": alarm.kind.name(),
                "evidence": alarm.evidence,
                "meaning": alarm.meaning,
            })
        });
    let sweep = found.sweep.iter().map(|point| {
        json!({
            "eps": point.eps,
            "robust_top1": point.robust_top1,
            "robust_top1_interval": [point.interval.low, point.interval.high],
        })
    });
    Ok(json!({
        "samples": result.samples,
        "clean_top1": result.clean_top1(),
        "clean_ece": result.reliability.ece()?,
        "clean_confidence": result.reliability.mean_confidence()?,
        "attacks": attacks,
        "smallest": found.smallest.as_ref().map(smallest_json),
        "defence": session.options.defence,
        "worst_top1": result.worst_top1(),
        "worst_top1_interval": [worst.low, worst.high],
        "alarms": alarms.collect::<Vec<_>>(),
        "diagnosed": diagnosis.map_or(0, |found| found.samples),
        "sweep": sweep.collect::<Vec<_>>(),
        "notes": found.notes,
        "skipped": found.skipped,
    }))
}

fn smallest_json(smallest: &Smallest) -> Value {
    json!({
        "attack": "pgd",
        "samples": smallest.sizes.len(),
        "largest": smallest.largest,
        "median": smallest.quantile(0.5),
        "quartiles": [smallest.quantile(0.25), smallest.quantile(0.75)],
    })
}

pub(super) fn print(session: &Session<'_>, found: &Found) -> Result<()> {
    let result = &found.result;
    let mut columns = vec![
        ("attack", false),
        ("changes up to", false),
        ("right %", true),
        ("95 % interval", true),
        ("success %", true),
        ("sure %", true),
        ("ECE %", true),
        ("mean linf", true),
        ("mean l2", true),
        ("queries", true),
        ("seconds", true),
    ];
    let percent = |share: f64| format!("{:.2}", 100. * share);
    if !session.transforms.is_empty() {
        columns.push(("transferred %", true));
    }
    if !found.detected.is_empty() {
        columns.push(("detector's auc", true));
        columns.push(("found % at 5 %", true));
    }
    let row = |(place, attack): (usize, &AttackResult)| {
        let interval = attack.interval()?;
        let mut row = vec![
            attack.name.clone(),
            limit(attack.limit),
            percent(attack.robust_top1()),
            format!("{} to {}", percent(interval.low), percent(interval.high)),
            percent(attack.success_rate()),
            percent(attack.reliability.mean_confidence()?),
            percent(attack.reliability.ece()?),
            format!("{:.4}", attack.mean_linf),
            format!("{:.3}", attack.mean_l2),
            format!("{:.0}", attack.queries_per_image()),
            format!("{:.1}", attack.seconds),
        ];
        row.extend(attack.transferred_top1().map(percent));
        if let Some(curve) = found.detected.get(place) {
            let shown = |number: Option<String>| number.unwrap_or_else(|| "-".to_string());
            let auc = curve.as_ref().map(|curve| format!("{:.3}", curve.auc()));
            let found = curve
                .as_ref()
                .map(|curve| percent(curve.true_positive_rate_at(FALSE_ALARMS)));
            row.extend([shown(auc), shown(found)]);
        }
        Ok(row)
    };
    let rows = result.attacks.iter().enumerate().map(row);
    output::table(&columns, &rows.collect::<Result<Vec<_>>>()?)?;
    let worst = result.worst_interval()?;
    println!();
    println!("samples            {}", result.samples);
    println!(
        "without an attack  {} % right, {} % sure, expected calibration error {} %",
        percent(result.clean_top1()),
        percent(result.reliability.mean_confidence()?),
        percent(result.reliability.ece()?)
    );
    println!(
        "under the worst    {} % right (95 % interval {} to {})",
        percent(result.worst_top1()),
        percent(worst.low),
        percent(worst.high)
    );
    if let Some(smallest) = &found.smallest {
        println!("smallest change    {smallest}");
    }
    if let Some(diagnosis) = &found.diagnosis {
        println!();
        for alarm in &diagnosis.alarms {
            println!("Alarm, {}: {alarm}", alarm.kind.name());
        }
        if diagnosis.alarms.is_empty() {
            println!(
                "No sign of hidden gradients on {} images that are right without an attack.",
                diagnosis.samples
            );
        }
    }
    for note in &found.notes {
        println!("Note: {note}.");
    }
    if let Some(directory) = &session.options.save {
        println!("changed images: {}", directory.display());
    }
    Ok(())
}

/// What is left, in a line.
pub(super) fn line(session: &Session<'_>, found: &Found) -> Result<String> {
    let result = &found.result;
    let worst = result.worst_interval()?;
    let alarms = found
        .diagnosis
        .as_ref()
        .map_or(0, |found| found.alarms.len());
    let alarms = match alarms {
        0 => String::new(),
        alarms => format!("; {alarms} alarms: the figure deceives"),
    };
    Ok(format!(
        "under attack up to {}: {:.2} % right by the worst of {} (95 % interval {:.2} to {:.2}) of {} images{alarms}",
        session.settings.threat,
        100. * result.worst_top1(),
        session.names_of_attacks().join(", "),
        100. * worst.low,
        100. * worst.high,
        result.samples
    ))
}

/// Which changes count.
pub(super) fn limit(limit: Option<Threat>) -> String {
    limit.map_or("any".to_string(), |limit| limit.to_string())
}
