//! `cargo xtask inspect`: which filters of a network do nothing, and what its stages see.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use cnn_core::write_atomic;
use cnn_data::{Dataset, Split};
use cnn_models::Network;
use cnn_viz::{
    Fact, FilterKind, HeldOut, InspectConfig, InspectedLayer, Inspection, RarefactionPoint, Report,
    filter_grid, inspect,
};
use serde::Serialize;
use serde_json::Value;

use crate::args::DType;
use crate::byline::byline;
use crate::datasets::Source;
use crate::memory::{self, Workload};
use crate::network_args::NetworkArgs;
use crate::next_steps::{self, NextStep};
use crate::os_text::PathOrName;
use crate::output::{Progress, short};
use crate::run_images::{RunImages, RunPart};
use crate::training::save_arguments;
use crate::{inference, output, report};

const COMMAND: &str = "inspect";
/// A table of so many layers is read as a whole; of more, those with findings are shown.
const WHOLE_TABLE: usize = 24;

/// Find filters that do nothing on given images, with proof that removing them changes no class
/// score there, and how far that can be expected of other images
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    #[command(flatten)]
    network: NetworkArgs,

    /// Images: a dataset as `evaluate` takes it, or a folder of photos; labels are not needed.
    /// For the directory of a run default the images that it kept for this, as with `evaluate`
    #[arg(long, value_name = "PATH", value_parser = PathOrName)]
    data: Option<String>,

    /// Which part of the dataset, or of the run's images: train, val or test; may be left out where
    /// there is only one
    #[arg(long)]
    split: Option<Split>,

    /// Images at most, spread evenly over the dataset; 0 for all
    #[arg(long, value_name = "N", default_value_t = InspectConfig::default().images)]
    images: usize,

    /// Images per forward pass
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Directory of the files; default a new one, `runs/inspect/<model>-<n>`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// What the run directory says of how it was made.
#[derive(Serialize)]
struct Arguments<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    weights: &'a str,
    seed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<Split>,
    images: usize,
    batch: u16,
}

impl Inspect {
    pub(crate) fn run(&self) -> Result<()> {
        let network = self.network.load(DType::F32)?;
        memory::check(&network, self.batch.into(), Workload::Forward)?;
        let (data, dataset) = self.images()?;
        let config = InspectConfig {
            images: self.images,
            batch: self.batch.into(),
            time: None,
        };
        let available = dataset.len();
        let images = if self.images == 0 {
            available
        } else {
            self.images.min(available)
        };
        // Gone through once to measure, once to try what was found, and once in parts to try the
        // same on others.
        let mut progress = Progress::new(network.spec().name, 3 * images);
        let inspection = inspect(&network, &[dataset], &config, &mut |images| {
            progress.advance(images)
        })?;
        progress.finish();
        let directory = output::directory(self.out.as_deref(), COMMAND, network.spec().name)?;
        let summary = self.summary(&inspection)?;
        self.write(&directory, &network, &data, &inspection, &summary)?;
        inference::print_skipped(&inspection.skipped);
        if self.json {
            output::json(&summary)?;
            eprintln!("written to {}", directory.display());
            return Ok(());
        }
        print(&inspection)?;
        println!("report: {}", directory.join(report::NAME).display());
        next_steps::print(&self.next_steps(&inspection, available));
        Ok(())
    }

    /// Where the images are, and the images.
    fn images(&self) -> Result<(String, Arc<dyn Dataset>)> {
        if let Some(data) = &self.data {
            return Ok((data.clone(), Source::parse(data)?.open_images(self.split)?));
        }
        let RunPart { dataset, data, .. } =
            RunImages::instead_of_data(self.network.weights(), self.split)?;
        Ok((data, dataset))
    }

    /// More images, where there are some; the maps of the layer in which most was found.
    fn next_steps(&self, inspection: &Inspection, available: usize) -> Vec<NextStep> {
        let network = self.network.arguments();
        let images = (4 * inspection.images).to_string();
        let mut steps = Vec::new();
        if inspection.images + inspection.skipped.len() < available {
            let mut arguments = [&["inspect"], &network[..]].concat();
            arguments.extend(self.data.iter().flat_map(|data| ["--data", data]));
            arguments.extend(
                self.split
                    .iter()
                    .flat_map(|split| ["--split", split.name()]),
            );
            arguments.extend([
                "--images",
                if 4 * inspection.images < available {
                    &images
                } else {
                    "0"
                },
            ]);
            steps.push(NextStep::new(
                "see how many remain on more images",
                &arguments,
            ));
        }
        let most = inspection
            .layers
            .iter()
            .max_by_key(|layer| layer.counts.total());
        if let Some(layer) = most.filter(|layer| layer.counts.total() > 0) {
            let arguments = [
                &["explain", "PHOTOS"],
                &network[..],
                &["--maps", &layer.unit.conv],
            ]
            .concat();
            steps.push(NextStep::new(
                "look at the maps of the layer with most of them",
                &arguments,
            ));
        }
        steps
    }

    /// The inspection as JSON, with the weights that it is of.
    fn summary(&self, inspection: &Inspection) -> Result<Value> {
        let mut summary = serde_json::to_value(inspection)?;
        summary["weights"] = self.network.weights().into();
        Ok(summary)
    }

    fn write(
        &self,
        directory: &Path,
        network: &Network,
        data: &str,
        inspection: &Inspection,
        summary: &Value,
    ) -> Result<()> {
        let NetworkArgs { model, seed, .. } = &self.network;
        let weights = self.network.weights();
        let arguments = Arguments {
            model: model.as_deref(),
            weights,
            seed: *seed,
            data: self.data.as_deref(),
            split: self.split,
            images: self.images,
            batch: self.batch,
        };
        save_arguments(&arguments, directory)?;
        let json = serde_json::to_string_pretty(summary)? + "\n";
        write_atomic(&directory.join("inspect.json"), |file| {
            file.write_all(json.as_bytes())
        })?;
        write_atomic(&directory.join("channels.csv"), |file| {
            write_channels(file, inspection)
        })?;
        let first_filters = filter_grid(network)?;
        first_filters.write_png(&directory.join("filters.png"))?;
        let filters = inspection.report(data, Some(first_filters));
        let svg = filters.to_svg()?;
        write_atomic(&directory.join("dead-filters.svg"), |file| {
            file.write_all(svg.as_bytes())
        })?;
        let report = Report {
            title: format!("{} inspected", inspection.model),
            summary: facts(inspection),
            byline: Some(byline()),
            filters: Some(filters),
            skipped: inspection.skipped.clone(),
            ..Report::default()
        };
        let html = report.to_html()?;
        write_atomic(&directory.join(report::NAME), |file| {
            file.write_all(html.as_bytes())
        })?;
        Ok(())
    }
}

/// The headline of the page.
fn facts(inspection: &Inspection) -> Vec<Fact> {
    let totals = &inspection.totals;
    vec![
        Fact::new("model", inspection.model.clone())
            .with_note(format!("{} parameters", short(totals.parameters as f64))),
        Fact::new("filters", totals.filters.to_string())
            .with_note(format!("in {} layers", inspection.layers.len())),
        Fact::new("do nothing", totals.removable.to_string())
            .with_note(format!("on any of {} images", inspection.images)),
        Fact::new("images", inspection.images.to_string()),
    ]
}

/// What each channel of each convolution gave, behind norm and activation.
fn write_channels(file: &mut dyn std::io::Write, inspection: &Inspection) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    csv.write_record([
        "layer",
        "channel",
        "min",
        "max",
        "mean",
        "std",
        "zeros",
        "finding",
        "active_images",
    ])?;
    for layer in &inspection.layers {
        let name = &layer.unit.conv;
        let found: HashMap<usize, FilterKind> = inspection
            .findings_of(name)
            .map(|finding| (finding.channel, finding.kind))
            .collect();
        for (channel, (values, active)) in layer
            .per_channel
            .iter()
            .zip(&layer.active_images)
            .enumerate()
        {
            let numbers = [
                values.min,
                values.max,
                values.mean,
                values.variance.sqrt(),
                values.zeros,
            ];
            let kind = found.get(&channel).map_or("", |kind| kind.name());
            let fields = [name.clone(), channel.to_string()].into_iter();
            let last = [kind.to_string(), active.to_string()];
            csv.write_record(
                fields
                    .chain(numbers.map(|number| number.to_string()))
                    .chain(last),
            )?;
        }
    }
    csv.flush()
}

fn print(inspection: &Inspection) -> Result<()> {
    print_layers(&inspection.layers)?;
    println!();
    print_stages(inspection)?;
    println!();
    print_totals(inspection);
    println!();
    print_other_images(inspection)
}

fn print_layers(layers: &[InspectedLayer]) -> Result<()> {
    let columns = [
        ("layer", false),
        ("channels", true),
        ("never active", true),
        ("constant", true),
        ("duplicates", true),
        ("near-zero scale", true),
        ("zeros %", true),
        ("parameters saved", true),
        ("multiply-adds saved", true),
    ];
    let number = |number: usize| {
        if number == 0 {
            "·".to_string()
        } else {
            number.to_string()
        }
    };
    let amount = |number: f64| {
        if number == 0. {
            "·".to_string()
        } else {
            short(number)
        }
    };
    let row = |layer: &InspectedLayer| {
        let counts = &layer.counts;
        let saves = &layer.saves;
        vec![
            layer.unit.conv.clone(),
            layer.unit.channels.to_string(),
            number(counts.never_active),
            number(counts.constant),
            number(counts.duplicate),
            number(counts.near_zero_scale),
            format!("{:.1}", 100. * layer.activations.zeros),
            amount(saves.parameters as f64),
            amount(saves.multiply_adds as f64),
        ]
    };
    let whole = layers.len() <= WHOLE_TABLE;
    let shown: Vec<_> = layers
        .iter()
        .filter(|layer| whole || layer.counts.total() > 0)
        .map(row)
        .collect();
    let left_out = layers.len() - shown.len();
    if !shown.is_empty() {
        output::table(&columns, &shown)?;
    }
    if left_out > 0 {
        println!(
            "in {left_out} {}layers no filter was found",
            if shown.is_empty() { "" } else { "other " }
        );
    }
    Ok(())
}

fn print_stages(inspection: &Inspection) -> Result<()> {
    let columns = [
        ("stage", false),
        ("channels", true),
        ("pixels apart", true),
        ("receptive field", true),
    ];
    let rows = inspection.stages.iter().map(|stage| {
        let field = stage
            .receptive_field
            .map_or("unknown".to_string(), |field| field.to_string());
        vec![
            stage.module.clone(),
            stage.channels.to_string(),
            stage.reduction.to_string(),
            field,
        ]
    });
    output::table(&columns, &rows.collect::<Vec<_>>())
}

fn print_totals(inspection: &Inspection) {
    let totals = &inspection.totals;
    let share = |part: f64, whole: f64| format!("{:.1} %", 100. * part / whole.max(1.));
    println!(
        "{} of {} filters do nothing on these {} images: {} never active, {} constant, {} duplicates, {} with a near-zero scale",
        totals.removable,
        totals.filters,
        inspection.images,
        totals.counts.never_active,
        totals.counts.constant,
        totals.counts.duplicate,
        totals.counts.near_zero_scale
    );
    if totals.removable == 0 {
        return;
    }
    match totals.max_logit_change {
        0. => println!("removed together they change no logit"),
        change => println!("removed together they change no logit by more than {change:.1e}"),
    }
    println!(
        "without them: {} parameters ({}) and {} multiply-adds ({}) fewer",
        short(totals.saves.parameters as f64),
        share(totals.saves.parameters as f64, totals.parameters as f64),
        short(totals.saves.multiply_adds as f64),
        share(
            totals.saves.multiply_adds as f64,
            totals.multiply_adds as f64
        )
    );
    if totals.class_filters > 0 {
        println!(
            "of them {} give the scores of classes that these images do not show; they are not counted as saved",
            totals.class_filters
        );
    }
}

/// How far the claim can be expected of images from which it was not made.
fn print_other_images(inspection: &Inspection) -> Result<()> {
    match &inspection.held_out {
        Some(held_out) => print_held_out(held_out),
        None => println!(
            "fewer than {} images: none are held out to try this on",
            HeldOut::LEAST_IMAGES
        ),
    }
    let rarefaction = &inspection.rarefaction;
    let row = |(point, about): (&RarefactionPoint, &str)| {
        vec![
            point.images.to_string(),
            format!("{:.0}", point.filters),
            about.to_string(),
        ]
    };
    let counted = rarefaction.counted.iter().zip(std::iter::repeat("counted"));
    let estimated = rarefaction
        .estimated
        .iter()
        .zip(std::iter::repeat("estimated"));
    let rows = counted.chain(estimated).map(row).collect::<Vec<_>>();
    println!();
    output::table(
        &[("images", true), ("constant filters", true), ("", false)],
        &rows,
    )
}

fn print_held_out(held_out: &HeldOut) {
    let HeldOut {
        made_from,
        images,
        claimed,
        contradicted,
        max_logit_change,
    } = *held_out;
    println!(
        "from {made_from} of these images alone: {claimed} filters, of which {contradicted} ({:.1} %) do something on the {images} others",
        100. * held_out.contradicted_share()
    );
    match max_logit_change {
        _ if claimed == 0 => {}
        0. => println!("removed together these {claimed} change no logit of the others"),
        change => println!(
            "removed together these {claimed} change a logit of the others by up to {change:.1e}"
        ),
    }
}
