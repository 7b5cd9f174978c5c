//! `report.html` of a run directory, from its files and what is known at its end.

use std::path::Path;

use anyhow::{Context as _, Result};
use cnn_core::write_atomic;
use cnn_kernels::InstructionSet;
use cnn_layers::Kind;
use cnn_viz::{
    ClassResults, Epoch, Fact, FilterGraph, FilterReport, FreezeProof, InspectConfig, LayerGroup, NormStatistics,
    Phase, Report, Timing, filter_grid, inspect,
};
use serde::Deserialize;

use crate::conclusion::{Run, Tuning, Verdict, sha256};
use crate::training::arguments_path;
use crate::{inference, output, pictures, strip};

/// The file's name.
pub(crate) const NAME: &str = "report.html";
/// Multiply-adds of all the images on which dead filters are looked for.
const INSPECTION_WORK: u64 = 8_000_000_000;

/// Writes the report of a finished run.
pub(crate) fn write(run: &Run<'_>, verdict: &Verdict) -> Result<()> {
    let mut report = beginning(run.command, run.data_name, verdict.network.spec().name, run.directory)?;
    report.best_epoch = run.summary.best.as_ref().map(|best| best.epoch);
    report.summary = facts(run, verdict)?;
    report.classes = Some(ClassResults {
        evaluated_on: format!("{} images, weights of the best epoch", verdict.split),
        names: inference::class_names(&verdict.network),
        confusion: verdict.measured.confusion.clone(),
    });
    report.pictures = pictures::groups(run, verdict)?;
    let start = std::time::Instant::now();
    report.filters = Some(filters(run, verdict)?);
    let inspecting = Timing {
        name: "looking for dead filters".to_string(),
        seconds: start.elapsed().as_secs_f64(),
        ..Timing::default()
    };
    report.skipped = run.skipped.clone();
    let measured = verdict.measured.result.samples as f64;
    let of_verdict = Timing {
        name: format!("measuring the best epoch on the {} images", verdict.split),
        seconds: verdict.seconds,
        images_per_second: Some(measured / verdict.seconds.max(1e-9)),
    };
    match &run.tuning {
        Some(tuning) => {
            report.phases = phases(tuning);
            report.freeze_proof = freeze_proof(tuning)?;
            report.timings = phase_timings(run, tuning, &report);
        }
        None => report.timings.push(Timing {
            name: "training and validation".to_string(),
            seconds: run.summary.seconds,
            images_per_second: Some(run.images_per_second()),
        }),
    }
    report.timings.extend([of_verdict, inspecting]);
    save(&report, run.directory)
}

/// Writes what there is of the report of a run that was interrupted.
pub(crate) fn write_interrupted(command: &str, data: &str, model: &str, directory: &Path) -> Result<()> {
    let mut report = beginning(command, data, model, directory)?;
    let epoch = report.epochs.last().map_or(0, |epoch| epoch.epoch);
    let resume = format!("{} {command} --resume {}", output::program(), directory.display());
    report.notes.push(format!("This run was interrupted after epoch {epoch}; `{resume}` goes on."));
    save(&report, directory)
}

/// What the files of any run directory tell.
fn beginning(command: &str, data: &str, model: &str, directory: &Path) -> Result<Report> {
    let data = Path::new(data).file_name().map_or(data.into(), |name| name.to_string_lossy());
    let epochs = epochs(&directory.join("metrics.csv"))?;
    let numbers: Vec<usize> = epochs.iter().map(|epoch| epoch.epoch).collect();
    Ok(Report {
        title: format!("{model} on {data}"),
        strip: strip::read(directory, &numbers),
        epochs,
        configuration: configuration(directory)?,
        command: Some(format!("{} {command} --config {}", output::program(), arguments_path(directory).display())),
        versions: vec![
            Fact::new("cnn", env!("CARGO_PKG_VERSION")),
            Fact::new("instruction set", InstructionSet::current().name()),
            Fact::new("threads", rayon::current_num_threads().to_string()),
        ],
        ..Report::default()
    })
}

fn save(report: &Report, directory: &Path) -> Result<()> {
    let html = report.to_html()?;
    Ok(write_atomic(&directory.join(NAME), |file| file.write_all(html.as_bytes()))?)
}

/// A row of `metrics.csv`.
#[derive(Deserialize)]
struct Row {
    epoch: usize,
    lr: Option<f64>,
    train_loss: Option<f64>,
    train_top1: Option<f64>,
    val_loss: Option<f64>,
    val_top1: Option<f64>,
    seconds: Option<f64>,
}

/// The rows of `metrics.csv`; none where no epoch was completed.
fn epochs(path: &Path) -> Result<Vec<Epoch>> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let cannot_read = || format!("cannot read {}", path.display());
    let rows = csv::Reader::from_path(path).with_context(cannot_read)?.into_deserialize();
    let epoch = |row: Row| Epoch {
        epoch: row.epoch,
        learning_rate: row.lr,
        train_loss: row.train_loss,
        val_loss: row.val_loss,
        train_accuracy: row.train_top1,
        val_accuracy: row.val_top1,
        seconds: row.seconds,
    };
    rows.map(|row| row.map(epoch)).collect::<Result<_, _>>().with_context(cannot_read)
}

/// The arguments of the run as its directory keeps them.
fn configuration(directory: &Path) -> Result<Vec<Fact>> {
    let path = arguments_path(directory);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let table: toml::Table = text.parse().with_context(|| path.display().to_string())?;
    let plain = |value: &toml::Value| value.as_str().map_or_else(|| value.to_string(), str::to_string);
    Ok(table.iter().map(|(key, value)| Fact::new(key.replace('_', "-"), plain(value))).collect())
}

fn facts(run: &Run<'_>, verdict: &Verdict) -> Result<Vec<Fact>> {
    let (result, interval) = (&verdict.measured.result, verdict.measured.top1_interval()?);
    let percent = |share: f64| format!("{:.2} %", 100. * share);
    let mut facts = Vec::new();
    let [low, high] = [interval.low, interval.high].map(|share| format!("{:.2}", 100. * share));
    let note = format!("95 % interval {low} to {high}, {} images", result.samples);
    facts.push(Fact::new(format!("{} accuracy", verdict.split), percent(result.top1)).with_note(note));
    if let Some(best) = &run.summary.best {
        let val = best.metrics.get("top1").copied().unwrap_or(f64::NAN);
        let note = format!("epoch {} of {}, whose weights are in best/", best.epoch, run.summary.epochs);
        facts.push(Fact::new("best val accuracy", percent(val)).with_note(note));
    }
    let parameters = verdict.network.store().parameter_count();
    let network = Fact::new("network", verdict.network.spec().name);
    facts.push(network.with_note(format!("{parameters} parameters")));
    let images = Fact::new("images", format!("{} training", run.data.train.len()));
    let classes = run.data.train.classes().len();
    facts.push(images.with_note(format!("{} validation, {classes} classes", run.data.val.len())));
    let speed = format!("{:.0} training images/s", run.images_per_second());
    facts.push(Fact::new("time", format!("{:.0} s", run.summary.seconds)).with_note(speed));
    Ok(facts)
}

/// Dead filters of the best epoch, on as many of the images that it was measured on as take a second or two.
fn filters(run: &Run<'_>, verdict: &Verdict) -> Result<FilterReport> {
    let (network, dataset) = (&verdict.network, run.data.test.as_ref().unwrap_or(&run.data.val));
    let multiply_adds: u64 = FilterGraph::of(network)?.units.iter().map(|unit| unit.multiply_adds).sum();
    let images = (INSPECTION_WORK / multiply_adds.max(1)).clamp(16, 256) as usize;
    let inspection = inspect(network, dataset, &InspectConfig { images, batch: 16 }, &mut |_| ())?;
    let inspected_on = format!("{} {} images, weights of the best epoch", inspection.images, verdict.split);
    Ok(inspection.report(inspected_on, Some(filter_grid(network)?)))
}

fn phases(tuning: &Tuning<'_>) -> Vec<Phase> {
    let mut done = 0;
    let phases = tuning.plan.iter().map(|phase| {
        let first_epoch = done + 1;
        done += phase.epochs;
        let groups = phase.groups.iter().map(|rate| {
            let in_group = |name: &str| rate.group.contains(name);
            let entries = tuning.source.store().entries();
            let mut of_group = entries.iter().filter(|entry| in_group(&entry.name));
            let norm_statistics = match of_group.any(|entry| entry.kind == Kind::Buffer) {
                false => NormStatistics::None,
                true if rate.learning_rate.is_none() || tuning.statistics_frozen => NormStatistics::Fixed,
                true => NormStatistics::Moving,
            };
            let parameters = entries.iter().filter(|entry| in_group(&entry.name) && entry.kind != Kind::Buffer);
            LayerGroup {
                name: rate.group.name.clone(),
                parameters: parameters.map(|entry| entry.shape.iter().product::<usize>() as u64).sum(),
                learning_rate: rate.learning_rate,
                norm_statistics,
            }
        });
        Phase { name: phase.name.clone(), first_epoch, last_epoch: done, groups: groups.collect() }
    });
    phases.collect()
}

/// `None` where nothing was frozen, or the network began with fresh weights.
fn freeze_proof(tuning: &Tuning<'_>) -> Result<Option<FreezeProof>> {
    let Some(source) = tuning.source.weights_file().filter(|_| tuning.proof.tensors > 0) else { return Ok(None) };
    Ok(Some(FreezeProof {
        tensors: tuning.proof.tensors,
        unchanged: tuning.proof.unchanged,
        source: source.display().to_string(),
        source_sha256: sha256(source)?,
    }))
}

fn phase_timings(run: &Run<'_>, tuning: &Tuning<'_>, report: &Report) -> Vec<Timing> {
    let mut timings = Vec::new();
    if tuning.feature_seconds > 0. {
        let images = (run.data.train.len() + run.data.val.len()) as f64;
        timings.push(Timing {
            name: "features of the frozen backbone, computed or read".to_string(),
            seconds: tuning.feature_seconds,
            images_per_second: Some(images / tuning.feature_seconds),
        });
    }
    timings.extend(report.phases.iter().map(|phase| {
        let of_phase = |epoch: &&Epoch| (phase.first_epoch..=phase.last_epoch).contains(&epoch.epoch);
        let seconds: Vec<f64> = report.epochs.iter().filter(of_phase).filter_map(|epoch| epoch.seconds).collect();
        let (epochs, seconds) = (seconds.len(), seconds.iter().sum::<f64>());
        Timing {
            name: format!("phase {}, training and validation", phase.name),
            seconds,
            images_per_second: Some((epochs * run.data.train.len()) as f64 / seconds.max(1e-9)),
        }
    }));
    timings
}
