//! `cargo xtask corrupt`: how right a network is when its images are corrupted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use clap::Args;
use cnn_core::{Key, write_atomic};
use cnn_data::{Dataset, Image, resize_and_crop};
use cnn_models::Network;
use cnn_robust::corruption::{Corrupt as CorruptTransform, Corruption, Severity};
use cnn_robust::corruption::{CorruptionErrors, KindErrors};
use cnn_transfer::Measured;
use cnn_viz::{Fact, Report, ScoreGrid, ScoreGridRow, Timing};
use serde::Serialize;
use serde_json::{Value, json};

use crate::args::{DType, accepted};
use crate::byline::byline;
use crate::labelled_images::{Asked, LabelledImages};
use crate::network_args::NetworkArgs;
use crate::training::save_arguments;
use crate::{inference, output};

const COMMAND: &str = "corrupt";
const PAGE: &str = "corrupt.html";

/// Measure a classifier on corrupted images: noise, blur, weather and digital corruptions of
/// ImageNet-C (of CIFAR-10-C for inputs of at most 64 pixels) at five severities, made of the
/// images that the network sees after resizing and cropping
#[derive(Debug, Args)]
pub(crate) struct Corrupt {
    #[command(flatten)]
    network: NetworkArgs,

    #[command(flatten)]
    images: LabelledImages,

    /// Kinds of corruptions, or all: gaussian_noise, shot_noise, impulse_noise, defocus_blur,
    /// glass_blur, motion_blur, zoom_blur, snow, frost, fog, brightness, contrast,
    /// elastic_transform, pixelate, jpeg_compression
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = ALL, value_parser = kinds)]
    corruption: Vec<Kinds>,

    /// Severities, from 1 to 5
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "1,2,3,4,5", value_parser = severity)]
    severity: Vec<Severity>,

    /// Images per forward pass
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Directory of the files; default a new one, `runs/corrupt/<model>-<n>`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

const ALL: &str = "all";

/// One item of a list of kinds.
#[derive(Clone, Copy, Debug)]
enum Kinds {
    All,
    One(Corruption),
}

fn kinds(text: &str) -> Result<Kinds, String> {
    if text.trim() == ALL {
        return Ok(Kinds::All);
    }
    let kind = text.trim().parse().map(Kinds::One);
    kind.map_err(|error| accepted(&error))
}

fn severity(text: &str) -> Result<Severity, String> {
    text.parse().map_err(|error| accepted(&error))
}

/// What the run directory says of how it was made.
#[derive(Serialize)]
struct Arguments<'a> {
    #[serde(flatten)]
    asked: Asked<'a>,
    corruption: String,
    severity: String,
    batch: u16,
}

/// What was measured.
struct Figures {
    clean: Measured,
    severities: Vec<Severity>,
    /// The accuracy for each kind and severity.
    top1: Vec<(Corruption, Vec<f64>)>,
    errors: CorruptionErrors,
    /// An image as the network sees it, and for each kind under each severity.
    pictures: Option<Pictures>,
    seconds: f64,
}

struct Pictures {
    clean: Image,
    corrupted: Vec<Vec<Image>>,
}

impl Corrupt {
    /// Runs with these arguments.
    pub(crate) fn run(&self) -> Result<()> {
        let network = self.network.load(DType::F32)?;
        let (data, dataset) = self.images.open(self.network.weights())?;
        let figures = self.measure(&network, &dataset)?;
        let summary = self.summary(&figures);
        let directory = output::directory(self.out.as_deref(), COMMAND, network.spec().name)?;
        self.write(&directory, &network, &data, &figures, &summary)?;
        inference::print_skipped(&figures.clean.skipped);
        if self.json {
            output::json(&summary)?;
            eprintln!("written to {}", directory.display());
            return Ok(());
        }
        print(&figures)?;
        println!("report: {}", directory.join(PAGE).display());
        Ok(())
    }

    /// The kinds that were asked for, in the order of ImageNet-C.
    fn kinds(&self) -> Vec<Corruption> {
        let is_asked = |kind: &Corruption| {
            let names = |item: &Kinds| match item {
                Kinds::All => true,
                Kinds::One(asked) => asked == kind,
            };
            self.corruption.iter().any(names)
        };
        Corruption::ALL.into_iter().filter(is_asked).collect()
    }

    fn severities(&self) -> Vec<Severity> {
        let mut severities = self.severity.clone();
        severities.sort();
        severities.dedup();
        severities
    }

    fn key(&self) -> Key {
        Key::new(self.network.seed).stream(COMMAND)
    }

    fn measure(&self, network: &Network, dataset: &Arc<dyn Dataset>) -> Result<Figures> {
        let begun = Instant::now();
        let batch = self.batch.into();
        let clean = inference::measure(network, dataset, batch)?;
        let severities = self.severities();
        let mut top1 = Vec::new();
        for kind in self.kinds() {
            let mut of_kind = Vec::new();
            for &severity in &severities {
                let record = network.preprocessing().clone();
                let corrupt = Arc::new(CorruptTransform::new(kind, severity, record));
                let what = format!("{kind} {severity}");
                let transform = (corrupt as Arc<_>, self.key());
                let measured =
                    inference::measure_transformed(network, dataset, batch, &what, transform)?;
                of_kind.push(measured.result.top1);
            }
            top1.push((kind, of_kind));
        }
        let errors_of = |(kind, top1): &(Corruption, Vec<f64>)| KindErrors {
            kind: *kind,
            errors: top1.iter().map(|top1| 1. - top1).collect(),
        };
        let kinds = top1.iter().map(errors_of).collect();
        Ok(Figures {
            pictures: self.pictures(network, dataset, &clean)?,
            errors: CorruptionErrors::new(1. - clean.result.top1, kinds)?,
            clean,
            severities,
            top1,
            seconds: begun.elapsed().as_secs_f64(),
        })
    }

    /// The first image, under all that was asked for.
    fn pictures(
        &self,
        network: &Network,
        dataset: &Arc<dyn Dataset>,
        measured: &Measured,
    ) -> Result<Option<Pictures>> {
        let Some(first) = measured.judged.first() else {
            return Ok(None);
        };
        let photo = dataset.read(first.index)?.image;
        let clean = resize_and_crop(&photo, network.preprocessing())?;
        let key = self.key().stream("picture");
        let of_kind = |kind: Corruption| {
            let severities = self.severities().into_iter();
            let pictures = severities.map(|severity| Ok(kind.apply(&clean, severity, key)?));
            pictures.collect::<Result<Vec<_>>>()
        };
        let corrupted = self.kinds().into_iter().map(of_kind);
        Ok(Some(Pictures {
            corrupted: corrupted.collect::<Result<_>>()?,
            clean,
        }))
    }

    fn summary(&self, figures: &Figures) -> Value {
        let errors = &figures.errors;
        let of_kind = |(kind, top1): &(Corruption, Vec<f64>)| {
            let levels = figures.severities.iter().zip(top1);
            let rows = levels.map(|(severity, top1)| {
                json!({
                    "name": kind.name(),
                    "group": kind.group().name(),
                    "severity": severity.level(),
                    "top1": top1,
                })
            });
            rows.collect::<Vec<_>>()
        };
        let rows: Vec<Value> = figures.top1.iter().flat_map(of_kind).collect();
        json!({
            "samples": figures.clean.result.samples,
            "clean_top1": figures.clean.result.top1,
            "corruptions": rows,
            "mean_top1": figures.mean_top1(),
            "mce": errors.mean(),
            "relative_mce": errors.relative(),
            "seed": self.network.seed,
            "skipped": figures.clean.skipped,
            "weights": self.network.weights(),
            "notes": figures.clean.notes,
        })
    }

    fn write(
        &self,
        directory: &Path,
        network: &Network,
        data: &str,
        figures: &Figures,
        summary: &Value,
    ) -> Result<()> {
        let names = |names: Vec<String>| names.join(",");
        save_arguments(
            &Arguments {
                asked: self.images.asked(&self.network),
                corruption: names(self.kinds().iter().map(Corruption::to_string).collect()),
                severity: names(figures.severities.iter().map(Severity::to_string).collect()),
                batch: self.batch,
            },
            directory,
        )?;
        let json = serde_json::to_string_pretty(summary)? + "\n";
        write_atomic(&directory.join("summary.json"), |file| {
            file.write_all(json.as_bytes())
        })?;
        let html = page(network, data, figures)?.to_html()?;
        write_atomic(&directory.join(PAGE), |file| {
            file.write_all(html.as_bytes())
        })?;
        Ok(())
    }
}

impl Figures {
    /// The mean over all kinds and severities.
    fn mean_top1(&self) -> f64 {
        let means: Vec<f64> = self.top1.iter().map(|(_, top1)| mean(top1)).collect();
        mean(&means)
    }
}

fn mean(shares: &[f64]) -> f64 {
    shares.iter().sum::<f64>() / shares.len() as f64
}

fn page(network: &Network, data: &str, figures: &Figures) -> Result<Report> {
    let interval = figures.clean.top1_interval()?;
    let errors = &figures.errors;
    let samples = figures.clean.result.samples;
    let passes = 1 + errors.kinds().len() * figures.severities.len();
    let percent = |share: f64| format!("{:.1}\u{a0}%", 100. * share);
    Ok(Report {
        title: format!("{} on corrupted images", network.spec().name),
        byline: Some(byline()),
        summary: vec![
            Fact::new("without corruption", percent(figures.clean.result.top1)).with_note(format!(
                "right; 95 % interval {} to {}",
                percent(interval.low),
                percent(interval.high)
            )),
            Fact::new("under corruptions", percent(figures.mean_top1()))
                .with_note("right, in the mean over kinds and severities"),
            Fact::new("mean corruption error", percent(errors.mean()))
                .with_note("not normalised by another network"),
            Fact::new("images", samples.to_string()).with_note(data),
        ],
        notes: figures.clean.notes.clone(),
        score_grids: vec![grid(figures)],
        skipped: figures.clean.skipped.clone(),
        timings: vec![Timing {
            name: format!("{passes} passes"),
            seconds: figures.seconds,
            images_per_second: Some(passes as f64 * samples as f64 / figures.seconds),
        }],
        ..Report::default()
    })
}

fn grid(figures: &Figures) -> ScoreGrid {
    let pictures = figures.pictures.as_ref();
    let row = |(place, (kind, top1)): (usize, &(Corruption, Vec<f64>))| ScoreGridRow {
        name: kind.name().replace('_', " "),
        group: kind.group().to_string(),
        scores: top1.clone(),
        pictures: pictures.map_or_else(Vec::new, |all| all.corrupted[place].clone()),
    };
    ScoreGrid {
        title: "Accuracy under corruptions".to_string(),
        note: Some(
            "Per cent of the images that are recognised. Corruptions are those of ImageNet-C, or of \
             CIFAR-10-C for inputs of at most 64 pixels, with random numbers of this program's own and \
             frost that is drawn; they are made of what the network sees, after resizing and cropping."
                .to_string(),
        ),
        columns_are: "severity".to_string(),
        columns: figures.severities.iter().map(Severity::to_string).collect(),
        rows: figures.top1.iter().enumerate().map(row).collect(),
        picture: pictures.map(|all| all.clean.clone()),
    }
}

fn print(figures: &Figures) -> Result<()> {
    let levels: Vec<String> = figures.severities.iter().map(Severity::to_string).collect();
    let mut columns = vec![("corruption", false), ("group", false)];
    columns.extend(levels.iter().map(|level| (level.as_str(), true)));
    columns.push(("mean", true));
    let percent = |share: f64| format!("{:.1}", 100. * share);
    let row = |(kind, top1): &(Corruption, Vec<f64>)| {
        let mut row = vec![kind.to_string(), kind.group().to_string()];
        row.extend(top1.iter().copied().map(percent));
        row.push(percent(mean(top1)));
        row
    };
    let errors = &figures.errors;
    let rows: Vec<_> = figures.top1.iter().map(row).collect();
    println!("top-1 in per cent for each severity:");
    output::table(&columns, &rows)?;
    println!();
    println!("samples                {}", figures.clean.result.samples);
    println!(
        "without corruption     {:.2} %",
        100. * figures.clean.result.top1
    );
    println!("mean under corruption  {:.2} %", 100. * figures.mean_top1());
    println!(
        "mean corruption error  {:.2} % ({:.2} more than without)",
        100. * errors.mean(),
        100. * errors.relative()
    );
    for note in &figures.clean.notes {
        println!("Note: {note}.");
    }
    println!(
        "{} passes in {:.1} s",
        1 + rows.len() * levels.len(),
        figures.seconds
    );
    Ok(())
}
