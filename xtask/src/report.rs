//! `report.html` of a run directory, from its files and what is known at its end.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use cnn_core::write_atomic;
use cnn_data::Split;
use cnn_kernels::InstructionSet;
use cnn_layers::TensorKind;
use cnn_models::Kind;
use cnn_train::PixelLossSum;
use cnn_viz::{
    DataPart, Fact, FileLink, NormStatistics, Report, ReportEpoch, ReportFreezeProof,
    ReportLayerGroup, ReportNextStep, ReportPhase, Timing,
};
use serde::Deserialize;

use crate::byline::byline;
use crate::commands::attack::Attacked;
use crate::conclusion::{MeasuredEpoch, Run, Tuning, sha256};
use crate::segmentation::default_loss;
use crate::training::arguments_path;
use crate::{next_steps, output, rates, strip};

/// The file's name.
pub(crate) const NAME: &str = "report.html";
/// What a run directory may hold beside the report, and what that is for.
const FILES: [(&str, &str); 9] = [
    (
        "best/",
        "the best epoch's weights and configuration, which `--weights` of the run's directory reads",
    ),
    ("last/", "the same of the last epoch"),
    (
        "predictions.csv",
        "each image that the best epoch was measured on, and what came of it",
    ),
    (
        "split.csv",
        "which image was trained, validated and tested on",
    ),
    ("metrics.csv", "a row for each epoch"),
    (
        "events.jsonl",
        "a line for each update: learning rate, loss, norm of the gradient",
    ),
    ("events.out.tfevents.0.cnn", "the same for TensorBoard"),
    ("summary.json", "the results for programs"),
    (
        "args.toml",
        "the arguments of the run, which `--config` reads",
    ),
];
/// What the training loss of networks that find objects is.
const BOX_LOSS_NOTE: &str = "The training loss is the sum of the network's losses, the mean over an epoch in which the weights change. Where images were mosaics, it falls as soon as they are not; where the last epochs have a further loss, it rises by that. What counts is the AP of the validation images.";
/// Mistakes named in the command that explains them.
const EXPLAINED_MISTAKES: usize = 3;

/// Writes the report of a finished run.
pub(crate) fn write(
    run: &Run<'_>,
    best: &dyn MeasuredEpoch,
    attacked: Option<&Attacked>,
) -> Result<()> {
    let (name, _) = best.network();
    let mut report = beginning(run.command, run.data_name, name, run.directory)?;
    report.best_epoch = run.summary.best.as_ref().map(|best| best.epoch);
    report.summary = facts(run, best)?;
    report.skipped = run.skipped.clone();
    report.next_steps = next_steps(run, best);
    report.data = data_parts(run);
    match &run.tuning {
        Some(tuning) => {
            report.phases = phases(tuning);
            report.freeze_proof = freeze_proof(tuning)?;
            report.timings = feature_timing(run, tuning)
                .into_iter()
                .chain(phase_timings(run, tuning)?)
                .collect();
        }
        None => report.timings.push(Timing {
            name: "training and validation".to_string(),
            seconds: run.summary.seconds,
            images_per_second: Some(training_speed(run)?.per_second),
        }),
    }
    report.timings.push(Timing {
        name: format!("measuring the best epoch on the {} images", best.part()),
        seconds: best.seconds(),
        images_per_second: Some(best.samples() as f64 / best.seconds().max(1e-9)),
    });
    best.show(run, &mut report)?;
    report.robustness = attacked.map(|attacked| attacked.results.clone());
    save(&report, run.directory)
}

/// Writes what there is of the report of a run that was interrupted.
pub(crate) fn write_interrupted(
    command: &str,
    data: &str,
    model: &str,
    directory: &Path,
) -> Result<()> {
    let mut report = beginning(command, data, model, directory)?;
    let epoch = report.epochs.last().map_or(0, |epoch| epoch.epoch);
    let resume = format!(
        "{} {command} --resume {}",
        output::program(),
        directory.display()
    );
    report.notes.push(format!(
        "This run was interrupted after epoch {epoch}; `{resume}` goes on."
    ));
    save(&report, directory)
}

/// What the files of any run directory tell.
fn beginning(command: &str, data: &str, model: &str, directory: &Path) -> Result<Report> {
    let data = Path::new(data)
        .file_name()
        .map_or(data.into(), |name| name.to_string_lossy());
    let epochs = epochs(directory)?;
    let numbers: Vec<usize> = epochs.iter().map(|epoch| epoch.epoch).collect();
    let arguments = arguments(directory)?;
    let kind = cnn_models::find(model)?.kind();
    Ok(Report {
        learning_rates: rates::read(&directory.join("events.jsonl"))?,
        loss_note: Some(match kind {
            Kind::Segmentation => pixel_loss_note(&arguments),
            Kind::Detection => BOX_LOSS_NOTE.to_string(),
            _ => loss_note(&arguments),
        }),
        score: match kind {
            Kind::Segmentation => Some("mIoU".to_string()),
            Kind::Detection => Some("AP".to_string()),
            _ => None,
        },
        strip: strip::read(directory, &numbers),
        epochs,
        ..of_directory(command, format!("{model} on {data}"), directory)?
    })
}

/// What any run directory tells: its arguments, its files, and what made it.
pub(crate) fn of_directory(command: &str, title: String, directory: &Path) -> Result<Report> {
    let file = |&(path, about): &(&str, &str)| FileLink {
        path: path.to_string(),
        about: about.to_string(),
    };
    Ok(Report {
        title,
        byline: Some(byline()),
        files: FILES
            .iter()
            .filter(|(path, _)| directory.join(path).exists())
            .map(file)
            .collect(),
        configuration: configuration(&arguments(directory)?),
        command: Some(format!(
            "{} {command} --config {}",
            output::program(),
            arguments_path(directory).display()
        )),
        versions: vec![
            Fact::new("cnn", env!("CARGO_PKG_VERSION")),
            Fact::new("instruction set", InstructionSet::current().name()),
            Fact::new("threads", rayon::current_num_threads().to_string()),
        ],
        ..Report::default()
    })
}

/// Writes the page into a run directory.
pub(crate) fn save(report: &Report, directory: &Path) -> Result<()> {
    let html = report.to_html()?;
    Ok(write_atomic(&directory.join(NAME), |file| {
        file.write_all(html.as_bytes())
    })?)
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
    val_miou: Option<f64>,
    val_ap: Option<f64>,
    seconds: Option<f64>,
}

/// The rows of `metrics.csv`; none where no epoch was completed.
fn epochs(directory: &Path) -> Result<Vec<ReportEpoch>> {
    let path = directory.join("metrics.csv");
    if !path.exists() {
        return Ok(Vec::new());
    }
    let cannot_read = || format!("cannot read {}", path.display());
    let rows = csv::Reader::from_path(&path)
        .with_context(cannot_read)?
        .into_deserialize();
    let epoch = |row: Row| ReportEpoch {
        epoch: row.epoch,
        learning_rate: row.lr,
        train_loss: row.train_loss,
        val_loss: row.val_loss,
        train_score: row.train_top1,
        val_score: row.val_top1.or(row.val_miou).or(row.val_ap),
        seconds: row.seconds,
    };
    rows.map(|row| row.map(epoch))
        .collect::<Result<_, _>>()
        .with_context(cannot_read)
}

/// The arguments of the run as its directory keeps them.
fn arguments(directory: &Path) -> Result<toml::Table> {
    let path = arguments_path(directory);
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| path.display().to_string())
}

fn configuration(arguments: &toml::Table) -> Vec<Fact> {
    let plain = |value: &toml::Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_string)
    };
    arguments
        .iter()
        .map(|(key, value)| Fact::new(key.replace('_', "-"), plain(value)))
        .collect()
}

/// What the training loss has that the validation loss has not.
fn loss_note(arguments: &toml::Table) -> String {
    let number = |key: &str| {
        arguments
            .get(key)
            .and_then(toml::Value::as_float)
            .unwrap_or(0.)
    };
    let strategy = arguments.get("strategy").and_then(toml::Value::as_str);
    // The head alone is trained on images as they are.
    let mixed = |name: &str| match strategy {
        Some("head") => None,
        Some("full") | None => Some(format!("{name} ({})", number(name))),
        Some(_) => Some(format!("{name} ({}) after the head's phase", number(name))),
    };
    let mut with = Vec::new();
    if number("label_smoothing") > 0. {
        with.push(format!("label smoothing ({})", number("label_smoothing")));
    }
    with.extend(
        ["mixup", "cutmix"]
            .into_iter()
            .filter(|key| number(key) > 0.)
            .filter_map(mixed),
    );
    if arguments.get("balance").and_then(toml::Value::as_bool) == Some(true) {
        with.push("a weight for each class".to_string());
    }
    let measured = "The training loss is the mean over an epoch in which the weights change";
    match with.as_slice() {
        [] => format!("{measured}; the validation loss is that of the epoch's end."),
        with => format!(
            "{measured}, with {}; the validation loss is that of the epoch's end, without. So the two curves are not on one scale: compare each with itself.",
            with.join(", ")
        ),
    }
}

/// The same where every pixel has a class.
fn pixel_loss_note(arguments: &toml::Table) -> String {
    let given = arguments.get("loss").and_then(toml::Value::as_str);
    let loss: PixelLossSum = given
        .and_then(|loss| loss.parse().ok())
        .unwrap_or_else(default_loss);
    // Without settings, which the table of the configuration has.
    let terms = loss.terms.iter().map(|term| term.loss.to_string());
    let names: Vec<String> = terms
        .map(|term| term.split(':').next().unwrap_or_default().to_string())
        .collect();
    format!(
        "The training loss is the mean of {} over an epoch in which the weights change, on parts of the images; the validation loss is the cross-entropy of whole images at the epoch's end. So the two curves are not on one scale: compare each with itself.",
        names.join(" + ")
    )
}

fn facts(run: &Run<'_>, best: &dyn MeasuredEpoch) -> Result<Vec<Fact>> {
    let mut facts = best.facts(run)?;
    let (name, parameters) = best.network();
    if let Some(best) = &run.summary.best {
        let kept = Fact::new(
            "epoch kept",
            format!("{} of {}", best.epoch, run.summary.epochs),
        );
        facts.push(kept.with_note("the best on the validation images; its weights are in best/"));
    }
    let network = Fact::new("network", name);
    facts.push(network.with_note(format!("{parameters} parameters")));
    let images = Fact::new("images", format!("{} training", run.data.train().len()));
    let train = run.data.train();
    let classes = match run.kind {
        Kind::Segmentation => train.mask_classes().len(),
        _ => train.classes().len(),
    };
    let test = run
        .data
        .test()
        .map(|test| format!("{} test, ", test.len()))
        .unwrap_or_default();
    facts.push(images.with_note(format!(
        "{} validation, {test}{classes} classes",
        run.data.val().len()
    )));
    let speed = training_speed(run)?;
    let speed = if speed.of_images {
        format!(
            "{:.0} training images/s through the network, validation included",
            speed.per_second
        )
    } else {
        format!(
            "{:.0} kept features/s through the head; no image went through the network again",
            speed.per_second
        )
    };
    facts.push(Fact::new("time", format!("{:.0} s", run.summary.seconds)).with_note(speed));
    Ok(facts)
}

/// What to do next; the worst mistakes are named where they are files.
fn next_steps(run: &Run<'_>, best: &dyn MeasuredEpoch) -> Vec<ReportNextStep> {
    let mistakes = best.mistakes(run);
    let files = mistakes.into_iter().filter(|id| Path::new(id).is_file());
    let files: Vec<String> = files.take(EXPLAINED_MISTAKES).collect();
    let step = |step: next_steps::NextStep| ReportNextStep {
        purpose: step.purpose,
        command: step.command,
    };
    next_steps::after_run_with(run.kind, run.directory, &files)
        .into_iter()
        .map(step)
        .collect()
}

fn data_parts(run: &Run<'_>) -> Vec<DataPart> {
    let record = run.data.record();
    let parts = [
        ("training", Split::Train),
        ("validation", Split::Val),
        ("test", Split::Test),
    ];
    let part = |(name, split): (&str, Split)| {
        let images = record.count(split);
        (images > 0).then(|| DataPart {
            name: name.to_string(),
            images,
            fingerprint: record.fingerprint(split),
        })
    };
    parts.into_iter().filter_map(part).collect()
}

fn phases(tuning: &Tuning<'_>) -> Vec<ReportPhase> {
    let mut done = 0;
    let phases = tuning
        .plan
        .iter()
        .zip(tuning.phases)
        .map(|(phase, summary)| {
            let first_epoch = done + 1;
            done += summary.epochs;
            let groups = phase.groups.iter().map(|rate| {
                let in_group = |name: &str| rate.group.contains(name);
                let entries = tuning.source.entries();
                let mut of_group = entries.iter().filter(|entry| in_group(&entry.name));
                let has_statistics = of_group.any(|entry| entry.kind == TensorKind::Buffer);
                let norm_statistics = if !has_statistics {
                    NormStatistics::None
                } else if rate.keeps_statistics {
                    NormStatistics::Fixed
                } else {
                    NormStatistics::Moving
                };
                let parameters = entries
                    .iter()
                    .filter(|entry| in_group(&entry.name) && entry.kind != TensorKind::Buffer);
                ReportLayerGroup {
                    name: rate.group.name.clone(),
                    parameters: parameters
                        .map(|entry| entry.shape.iter().product::<usize>() as u64)
                        .sum(),
                    learning_rate: rate.learning_rate,
                    norm_statistics,
                }
            });
            ReportPhase {
                name: phase.name.clone(),
                first_epoch,
                last_epoch: done,
                groups: groups.collect(),
            }
        });
    phases.collect()
}

/// `None` where nothing was frozen, or the network began with fresh weights.
fn freeze_proof(tuning: &Tuning<'_>) -> Result<Option<ReportFreezeProof>> {
    let Some(source) = tuning.weights_file.filter(|_| tuning.proof.tensors > 0) else {
        return Ok(None);
    };
    Ok(Some(ReportFreezeProof {
        kept: tuning.kept(),
        tensors: tuning.proof.tensors,
        unchanged: tuning.proof.unchanged,
        source: source.display().to_string(),
        source_sha256: sha256(source)?,
    }))
}

/// The features that the head's phase went over, if they were made in this sitting.
fn feature_timing(run: &Run<'_>, tuning: &Tuning<'_>) -> Option<Timing> {
    let images = (run.data.train().len() + run.data.val().len()) as f64;
    (tuning.feature_seconds > 0.).then(|| Timing {
        name: "features of the frozen backbone, computed or read".to_string(),
        seconds: tuning.feature_seconds,
        images_per_second: Some(images / tuning.feature_seconds),
    })
}

fn phase_timings(run: &Run<'_>, tuning: &Tuning<'_>) -> Result<Vec<Timing>> {
    let timing = |phase: PhaseSpeed| Timing {
        name: if phase.on_features {
            format!(
                "phase {}, training and validation on kept features",
                phase.name
            )
        } else {
            format!("phase {}, training and validation", phase.name)
        },
        seconds: phase.seconds,
        images_per_second: Some(phase.samples as f64 / phase.seconds.max(1e-9)),
    };
    Ok(phase_speeds(run, tuning)?.into_iter().map(timing).collect())
}

/// How fast a run trained.
pub(crate) struct Speed {
    /// Whether images went through the network; else features that were kept of them went through
    /// the head.
    pub(crate) of_images: bool,
    /// How many of them in a second, with the time of validation.
    pub(crate) per_second: f64,
}

/// The speed of the epochs that trained on images; where there are none, of all.
pub(crate) fn training_speed(run: &Run<'_>) -> Result<Speed> {
    let Some(tuning) = &run.tuning else {
        let per_second = run.summary.samples as f64 / run.summary.seconds.max(1e-9);
        return Ok(Speed {
            of_images: true,
            per_second,
        });
    };
    let phases = phase_speeds(run, tuning)?;
    let of_images = phases
        .iter()
        .any(|phase| !phase.on_features && phase.samples > 0);
    let counted = || {
        phases
            .iter()
            .filter(|phase| !of_images || !phase.on_features)
    };
    let samples = counted().map(|phase| phase.samples).sum::<usize>();
    let seconds = counted().map(|phase| phase.seconds).sum::<f64>();
    Ok(Speed {
        of_images,
        per_second: samples as f64 / seconds.max(1e-9),
    })
}

struct PhaseSpeed<'a> {
    name: &'a str,
    on_features: bool,
    seconds: f64,
    /// Images or features that were trained on, each as often as it was.
    samples: usize,
}

fn phase_speeds<'a>(run: &Run<'_>, tuning: &'a Tuning<'_>) -> Result<Vec<PhaseSpeed<'a>>> {
    let epochs = epochs(run.directory)?;
    let skipped: BTreeSet<&str> = run
        .skipped
        .iter()
        .map(|skipped| skipped.path.as_str())
        .collect();
    let broken = || {
        (0..run.data.train().len())
            .filter(|&index| skipped.contains(run.data.train().id(index).as_str()))
            .count()
    };
    let images = run.data.train().len() - if skipped.is_empty() { 0 } else { broken() };
    let mut done = 0;
    let speed = |(phase, summary): (&'a cnn_transfer::Phase, &cnn_transfer::PhaseSummary)| {
        let of_phase =
            |epoch: &&ReportEpoch| (done + 1..=done + summary.epochs).contains(&epoch.epoch);
        let seconds: Vec<f64> = epochs
            .iter()
            .filter(of_phase)
            .filter_map(|epoch| epoch.seconds)
            .collect();
        done += summary.epochs;
        PhaseSpeed {
            name: &phase.name,
            on_features: summary.on_features,
            seconds: seconds.iter().sum(),
            samples: seconds.len() * images,
        }
    };
    Ok(tuning.plan.iter().zip(tuning.phases).map(speed).collect())
}
