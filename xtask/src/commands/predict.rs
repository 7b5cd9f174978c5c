//! `cargo xtask predict`: which classes a network sees in photos.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use cnn_data::{Dataset, PhotoList, Skipped};
use cnn_layers::{Detector, Segmenter};
use cnn_models::Kind;
use cnn_transfer::{Predict as _, PredictedClass};
use serde::Serialize;
use serde_json::json;

use crate::args::{DType, refuse_without_part};
use crate::detection::{self, BoxPrediction, DETECT_FLAGS, DetectArgs};
use crate::memory::{self, Workload};
use crate::network_args::NetworkArgs;
use crate::segmentation::{self, SEGMENT_FLAGS, SegmentArgs};
use crate::{inference, next_steps, output};

/// Classify photos, segment them, or find the objects in them, as the network does
#[derive(Debug, Args)]
pub(crate) struct Predict {
    /// Image files, and folders that are searched for them
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    network: NetworkArgs,

    /// How many classes to name for each file
    #[arg(long, value_name = "K", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=10000))]
    top: u16,

    /// Images per forward pass
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=4096))]
    batch: u16,

    /// Also write a CSV file with the columns path, rank, index, label, probability
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,

    #[command(flatten)]
    segment: SegmentArgs,

    #[command(flatten)]
    detect: DetectArgs,

    /// Where pictures are written, a folder: masks and overlays of networks for pixels, photos with
    /// boxes of networks that find objects; default `masks` or `boxes`
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,

    /// Of networks that find objects: also write what is within each box
    #[arg(long)]
    crops: bool,

    /// Print one JSON object on standard output
    #[arg(long)]
    json: bool,
}

/// What the network sees in one file.
#[derive(Debug, Serialize)]
struct Prediction {
    path: String,
    top: Vec<Class>,
}

#[derive(Debug, Serialize)]
struct Class {
    index: usize,
    label: String,
    probability: f64,
}

/// A class without a name is called by its number.
impl From<PredictedClass> for Class {
    fn from(class: PredictedClass) -> Self {
        Self {
            index: class.index,
            label: class.name.unwrap_or_else(|| class.index.to_string()),
            probability: class.probability,
        }
    }
}

impl Predict {
    /// Runs with these arguments, of which `given` are those that the command line names.
    pub(crate) fn run(&self, given: &[String]) -> Result<()> {
        let kind = self.network.kind()?;
        let out = |default: &str| self.out.clone().unwrap_or_else(|| default.into());
        if kind == Kind::Detection {
            refuse_without_part(given, &["top", "batch", "csv"], kind)?;
            refuse_without_part(given, &SEGMENT_FLAGS, kind)?;
            let network = self.network.load_sized::<dyn Detector>(DType::F32, None)?;
            let photos = PhotoList::open(&self.paths)?;
            return detection::predict(&BoxPrediction {
                limits: self.detect.to_show(network.model().limits()),
                network: &network,
                photos: &photos,
                out: &out("boxes"),
                crops: self.crops,
                weights: self.network.weights(),
                json: self.json,
            });
        }
        refuse_without_part(given, &DETECT_FLAGS, kind)?;
        refuse_without_part(given, &["crops"], kind)?;
        if kind == Kind::Segmentation {
            refuse_without_part(given, &["top", "batch", "csv"], kind)?;
            let options = self.segment.options()?;
            let network = self.network.load_sized::<dyn Segmenter>(DType::F32, None)?;
            let photos = PhotoList::open(&self.paths)?;
            let weights = self.network.weights();
            let out = out("masks");
            return segmentation::predict(&network, &photos, &options, &out, weights, self.json);
        }
        refuse_without_part(given, &SEGMENT_FLAGS, kind)?;
        refuse_without_part(given, &["out"], kind)?;
        let network = self.network.load(DType::F32)?;
        memory::check(&network, self.batch.into(), Workload::Forward)?;
        let photos: Arc<dyn Dataset> = Arc::new(PhotoList::open(&self.paths)?);
        let seen = inference::with_progress(network.spec().name, photos.len(), |progress| {
            network.predict_dataset(&photos, self.batch.into(), self.top.into(), progress)
        })?;
        let skipped = seen.skipped;
        let predictions: Vec<Prediction> = seen
            .images
            .into_iter()
            .map(|image| Prediction {
                path: photos.id(image.index),
                top: image.classes.into_iter().map(Class::from).collect(),
            })
            .collect();
        if let Some(path) = &self.csv {
            cnn_core::write_atomic(path, |file| write_csv(file, &predictions))?;
        }
        if self.json {
            let weights = self.network.weights();
            return output::json(
                &json!({ "weights": weights, "predictions": predictions, "skipped": skipped }),
            );
        }
        print(&predictions, &skipped)?;
        next_steps::print(&next_steps::after_predictions(
            Path::new(&predictions[0].path),
            &self.network,
        ));
        Ok(())
    }
}

fn write_csv(file: &mut dyn std::io::Write, predictions: &[Prediction]) -> std::io::Result<()> {
    let mut csv = csv::Writer::from_writer(file);
    csv.write_record(["path", "rank", "index", "label", "probability"])?;
    for prediction in predictions {
        for (rank, class) in (1..).zip(&prediction.top) {
            let fields = [
                rank.to_string(),
                class.index.to_string(),
                class.label.clone(),
                class.probability.to_string(),
            ];
            csv.write_record(std::iter::once(prediction.path.clone()).chain(fields))?;
        }
    }
    csv.flush()
}

fn print(predictions: &[Prediction], skipped: &[Skipped]) -> Result<()> {
    for prediction in predictions {
        let class = |class: &Class| format!("{} {:.1} %", class.label, 100. * class.probability);
        println!(
            "{}: {}",
            prediction.path,
            prediction
                .top
                .iter()
                .map(class)
                .collect::<Vec<_>>()
                .join("; ")
        );
    }
    inference::print_skipped(skipped);
    Ok(())
}
