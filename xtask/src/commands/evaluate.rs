//! `cargo xtask evaluate`: how good a network is on a labelled dataset.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use cnn_data::{Dataset, Split, Subset};
use cnn_layers::{Detector, Segmenter};
use cnn_models::Kind;
use cnn_transfer::{Measured, MeasuredWithPart};
use serde_json::{Value, json};

use crate::args::{DType, refuse_without_part};
use crate::detection::{self, BoxEvaluation, DETECT_FLAGS, DetectArgs};
use crate::network_args::NetworkArgs;
use crate::os_text::PathOrName;
use crate::run_images::{RunImages, RunPart};
use crate::segmentation::{self, Evaluation, MASK_FLAGS, MaskArgs, SEGMENT_FLAGS, SegmentArgs};
use crate::{inference, next_steps, output, predictions};

/// Measure a network on a labelled dataset: loss, top-1, top-5, and each class's precision, recall
/// and F1; on photos with masks mean IoU, and each class's IoU and Dice; on photos with boxes AP by
/// COCO's rules, of each class, too
#[derive(Debug, Args)]
pub(crate) struct Evaluate {
    #[command(flatten)]
    network: NetworkArgs,

    /// A folder of class folders (with or without train, val, test above them), a CSV of images and
    /// labels, MNIST-like IDX files, CIFAR's files, WebDataset archives, an image parquet, a dataset
    /// by name as `flowers102`, or `shapes`; for the directory of a run default the images that it
    /// kept for this, its test images or else those that it was validated on
    #[arg(long, value_name = "PATH", value_parser = PathOrName)]
    data: Option<String>,

    /// Which part of the dataset, or of the run's images: train, val or test; may be left out where
    /// there is only one
    #[arg(long)]
    split: Option<Split>,

    /// Images per forward pass
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Also write a CSV file with the columns path, part, truth, prediction, their probabilities,
    /// and those of all classes where there are at most a hundred; for segmentation path, part, miou
    /// and pixel_accuracy
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    #[command(flatten)]
    masks: MaskArgs,

    #[command(flatten)]
    segment: SegmentArgs,

    /// Of networks for pixels: take connected regions of this class for objects, and say how well
    /// they are kept apart: V-Rand and V-Info of the ISBI 2012 challenge
    #[arg(long, value_name = "CLASS")]
    objects: Option<String>,

    #[command(flatten)]
    detect: DetectArgs,

    /// Of networks that find objects: a file of boxes in COCO's format, which is written; without
    /// --weights one of anybody's, which is measured
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// The images to measure, and what the run that the weights come from did with them.
struct Images {
    dataset: Arc<dyn Dataset>,
    /// The part of each image in the run, where the weights come from a run.
    parts: Option<Vec<Option<Split>>>,
    /// The part that all of them are, where they are one.
    part: Option<Split>,
}

impl Images {
    /// For each image whether the run was not trained on it; `None` where that makes no difference:
    /// it was trained on none of them, or they were asked for as training images.
    fn unseen(&self) -> Option<Vec<bool>> {
        let parts = self
            .parts
            .as_ref()
            .filter(|_| self.part != Some(Split::Train))?;
        let unseen: Vec<bool> = parts
            .iter()
            .map(|part| *part != Some(Split::Train))
            .collect();
        unseen.contains(&false).then_some(unseen)
    }

    fn part_name(&self, index: usize) -> &'static str {
        let of_run = self.parts.as_ref().and_then(|parts| parts[index]);
        of_run.or(self.part).map_or("", Split::name)
    }
}

/// What was measured.
struct Figures {
    of_all: Measured,
    /// Where some of the images were trained on.
    mixed: Option<Mixed>,
}

/// Images of which the run was trained on some.
struct Mixed {
    trained_on: usize,
    /// Of the others; `None` where there are none.
    of_unseen: Option<Measured>,
}

impl Evaluate {
    /// Runs with these arguments, of which `given` are those that the command line names.
    pub(crate) fn run(&self, given: &[String]) -> Result<()> {
        if let (Some(path), false) = (&self.predictions, self.network.has_weights()) {
            let kind = Kind::Detection;
            refuse_without_part(given, &["batch", "csv", "objects", "score", "iou"], kind)?;
            refuse_without_part(given, &MASK_FLAGS, kind)?;
            refuse_without_part(given, &SEGMENT_FLAGS, kind)?;
            let images = self.images()?;
            return detection::evaluate_file(path, images.dataset.as_ref(), self.json);
        }
        let kind = self.network.kind()?;
        if kind == Kind::Detection {
            refuse_without_part(given, &MASK_FLAGS, kind)?;
            refuse_without_part(given, &SEGMENT_FLAGS, kind)?;
            refuse_without_part(given, &["objects", "csv"], kind)?;
            return self.run_detection();
        }
        refuse_without_part(given, &DETECT_FLAGS, kind)?;
        refuse_without_part(given, &["predictions"], kind)?;
        if kind == Kind::Segmentation {
            refuse_without_part(given, &["batch"], kind)?;
            return self.run_segmentation();
        }
        refuse_without_part(given, &MASK_FLAGS, kind)?;
        refuse_without_part(given, &["objects"], kind)?;
        refuse_without_part(given, &SEGMENT_FLAGS, kind)?;
        let network = self.network.load(DType::F32)?;
        let images = self.images()?;
        let batch = self.batch.into();
        let figures = match images.unseen() {
            None => Figures {
                of_all: inference::measure(&network, &images.dataset, batch)?,
                mixed: None,
            },
            Some(unseen) => {
                let trained_on = unseen.iter().filter(|unseen| !**unseen).count();
                let MeasuredWithPart {
                    whole: of_all,
                    part: of_unseen,
                } = inference::measure_with_part(&network, &images.dataset, batch, &unseen)?;
                Figures {
                    of_all,
                    mixed: Some(Mixed {
                        trained_on,
                        of_unseen,
                    }),
                }
            }
        };
        let names = cnn_transfer::class_names(&network);
        if let Some(path) = &self.csv {
            let part = |index| images.part_name(index);
            predictions::write(path, &figures.of_all, images.dataset.as_ref(), part, &names)?;
        }
        if self.json {
            let mut report = report(&figures, &images, &names)?;
            report["weights"] = self.network.weights().into();
            report["notes"] = json!(figures.of_all.notes);
            return output::json(&report);
        }
        print(&figures, &images, &names)?;
        let split = self.split.map(Split::name);
        next_steps::print(&next_steps::after_measuring(
            self.data.as_deref(),
            split,
            &self.network,
        ));
        Ok(())
    }

    fn run_segmentation(&self) -> Result<()> {
        let options = self.segment.options()?;
        let network = self.network.load_sized::<dyn Segmenter>(DType::F32, None)?;
        let images = self.images()?;
        let unseen = images.unseen().unwrap_or_default();
        segmentation::evaluate(&Evaluation {
            network: &network,
            dataset: images.dataset.as_ref(),
            options: &options,
            objects: self.objects.as_deref(),
            trained_on: unseen.iter().filter(|unseen| !**unseen).count(),
            csv: self.csv.as_deref(),
            part: &|index| images.part_name(index),
            weights: self.network.weights(),
            json: self.json,
        })
    }

    fn run_detection(&self) -> Result<()> {
        let network = self.network.load_sized::<dyn Detector>(DType::F32, None)?;
        let images = self.images()?;
        let unseen = images.unseen().unwrap_or_default();
        detection::evaluate(&BoxEvaluation {
            limits: self.detect.to_measure(network.model().limits()),
            network: &network,
            dataset: &images.dataset,
            batch: self.batch.into(),
            trained_on: unseen.iter().filter(|unseen| !**unseen).count(),
            predictions: self.predictions.as_deref(),
            weights: self.network.weights(),
            json: self.json,
        })
    }

    fn images(&self) -> Result<Images> {
        let Some(data) = &self.data else {
            let weights = self.network.weights();
            let RunPart { dataset, part, .. } = RunImages::instead_of_data(weights, self.split)?;
            return Ok(Images {
                dataset,
                parts: None,
                part: Some(part),
            });
        };
        let source = self.masks.source(data)?;
        let run = RunImages::of(self.network.weights())?;
        if let (Some(run), Some(part)) = (&run, self.split)
            && source.splits()?.is_empty()
        {
            return Ok(Images {
                dataset: part_of_run(run, part, source.open(None)?, data)?,
                parts: None,
                part: Some(part),
            });
        }
        inference::print_notes(&source.notes()?);
        let dataset = source.open(self.split)?;
        Ok(Images {
            parts: run.map(|run| run.record.parts_of(dataset.as_ref())),
            dataset,
            part: self.split,
        })
    }
}

/// The images of a dataset in one piece that were a part of the run, which knows them by content.
fn part_of_run(
    run: &RunImages,
    part: Split,
    whole: Arc<dyn Dataset>,
    data: &str,
) -> Result<Arc<dyn Dataset>> {
    let parts = run.record.parts_of(whole.as_ref());
    let indices: Vec<usize> = (0..whole.len())
        .filter(|&index| parts[index] == Some(part))
        .collect();
    if indices.is_empty() {
        bail!(
            "{data} is in one piece, and none of its images is one of the run's {part} images; leave --split out"
        );
    }
    Ok(Arc::new(Subset::new(whole, indices)?))
}

fn report(figures: &Figures, images: &Images, names: &[String]) -> Result<Value> {
    let measured = &figures.of_all;
    let occurring = measured
        .result
        .per_class
        .iter()
        .zip(names)
        .filter(|(scores, _)| scores.samples > 0);
    let per_class = occurring.map(|(scores, name)| {
        json!({
            "label": name,
            "samples": scores.samples,
            "precision": scores.precision,
            "recall": scores.recall,
            "f1": scores.f1,
        })
    });
    let mut report = totals(measured)?;
    report["per_class"] = per_class.collect();
    report["skipped"] = json!(measured.skipped);
    if let Some(part) = images.part {
        report["part"] = json!(part);
    }
    if let Some(mixed) = &figures.mixed {
        report["trained_on"] = json!(mixed.trained_on);
        report["not_trained_on"] = mixed.of_unseen.as_ref().map(totals).transpose()?.into();
    }
    Ok(report)
}

fn totals(measured: &Measured) -> Result<Value> {
    let result = &measured.result;
    let interval = measured.top1_interval()?;
    Ok(json!({
        "samples": result.samples,
        "loss": result.loss,
        "top1": result.top1,
        "top1_interval": [interval.low, interval.high],
        "top5": result.top5,
    }))
}

fn print(figures: &Figures, images: &Images, names: &[String]) -> Result<()> {
    let measured = &figures.of_all;
    let columns = [
        ("class", false),
        ("samples", true),
        ("precision", true),
        ("recall", true),
        ("F1", true),
    ];
    let occurring = measured
        .result
        .per_class
        .iter()
        .zip(names)
        .filter(|(scores, _)| scores.samples > 0);
    let share = |share: f64| format!("{share:.3}");
    let rows = occurring.map(|(scores, name)| {
        vec![
            name.clone(),
            scores.samples.to_string(),
            share(scores.precision),
            share(scores.recall),
            share(scores.f1),
        ]
    });
    output::table(&columns, &rows.collect::<Vec<_>>())?;
    println!();
    print_totals(measured)?;
    for note in &measured.notes {
        println!("Note: {note}.");
    }
    if images.part == Some(Split::Val) {
        println!("Validation images choose a run's epoch: expect somewhat less on new images.");
    }
    match &figures.mixed {
        None => {}
        Some(Mixed {
            trained_on,
            of_unseen: None,
        }) => {
            println!();
            println!(
                "The run was trained on all of these {trained_on} images: this says nothing about new ones."
            );
        }
        Some(Mixed {
            trained_on,
            of_unseen: Some(measured),
        }) => {
            println!();
            println!(
                "The run was trained on {trained_on} of these images, which flatters the figures above. Of the others:"
            );
            print_totals(measured)?;
        }
    }
    inference::print_skipped(&figures.of_all.skipped);
    Ok(())
}

fn print_totals(measured: &Measured) -> Result<()> {
    let result = &measured.result;
    let interval = measured.top1_interval()?;
    println!("samples  {}", result.samples);
    println!("loss     {:.4}", result.loss);
    println!(
        "top-1    {:.2} % (95 % interval {:.2} to {:.2})",
        100. * result.top1,
        100. * interval.low,
        100. * interval.high
    );
    if result.per_class.len() > 5 {
        println!("top-5    {:.2} %", 100. * result.top5);
    }
    Ok(())
}
