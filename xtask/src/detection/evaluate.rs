//! What `evaluate` prints of a network that finds objects, and of predictions in a file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use cnn_data::{Dataset, PredictedBox, Skipped, read_predictions, write_predictions};
use cnn_layers::{DetectedObject, DetectionLimits};
use cnn_metrics::{CocoResult, DetectionErrors, DetectionMetrics, ErrorShare, ErrorThresholds};
use cnn_models::DetectionNetwork;
use cnn_train::DetectionScores;
use cnn_transfer::{DetectionMeasured, measure_detection};
use serde_json::{Value, json};

use super::figures::{figures, share};
use crate::memory::{self, Workload};
use crate::{inference, output};

/// What is to be measured, and how.
pub(crate) struct BoxEvaluation<'a> {
    pub(crate) network: &'a DetectionNetwork,
    pub(crate) dataset: &'a Arc<dyn Dataset>,
    pub(crate) limits: DetectionLimits,
    pub(crate) batch: usize,
    /// How many of the images the network was trained on, where that is no part of the question.
    pub(crate) trained_on: usize,
    /// Where the predictions are written as COCO's JSON.
    pub(crate) predictions: Option<&'a Path>,
    pub(crate) weights: &'a str,
    pub(crate) json: bool,
}

/// What was measured, of a network or of a file.
struct Figures<'a> {
    dataset: &'a dyn Dataset,
    metrics: DetectionMetrics,
    limits: Option<DetectionLimits>,
    trained_on: usize,
    skipped: Vec<Skipped>,
    notes: Vec<String>,
    /// The weights, or the file of predictions.
    source: (&'static str, String),
}

/// Measures a network that finds objects and prints what came of it.
pub(crate) fn evaluate(evaluation: &BoxEvaluation<'_>) -> Result<()> {
    let BoxEvaluation {
        network,
        dataset,
        limits,
        batch,
        ..
    } = *evaluation;
    memory::check(network, batch.min(dataset.len()), Workload::Forward)?;
    let name = network.spec().name;
    let measured = inference::with_progress(name, dataset.len(), |progress| {
        measure_detection(network, dataset, &limits, batch, progress)
    })?;
    let DetectionMeasured {
        metrics,
        photos,
        skipped,
        notes,
    } = measured;
    if let Some(path) = evaluation.predictions {
        let of_photo = photos.iter().flat_map(|photo| {
            let boxed = |object: &DetectedObject| predicted_box(photo.index, object);
            photo.found.iter().map(boxed)
        });
        let all: Vec<PredictedBox> = of_photo.collect();
        write_predictions(path, dataset.as_ref(), &all)?;
    }
    let figures = Figures {
        dataset: dataset.as_ref(),
        metrics,
        limits: Some(limits),
        trained_on: evaluation.trained_on,
        skipped,
        notes,
        source: ("weights", evaluation.weights.to_string()),
    };
    figures.tell(evaluation.json)
}

fn predicted_box(image: usize, object: &DetectedObject) -> PredictedBox {
    let [x_min, y_min, x_max, y_max] = object.edges.map(f64::from);
    PredictedBox {
        image,
        class: object.class,
        xywh: [x_min, y_min, x_max - x_min, y_max - y_min],
        score: object.score.into(),
    }
}

/// Measures predictions of a stranger, from a file in COCO's format, and prints what came of it.
pub(crate) fn evaluate_file(path: &Path, dataset: &dyn Dataset, as_json: bool) -> Result<()> {
    if !dataset.has_boxes() {
        return Err(cnn_transfer::Error::NoBoxes.into());
    }
    let predictions = read_predictions(path, dataset)?;
    let mut by_image: BTreeMap<usize, Vec<&PredictedBox>> = BTreeMap::new();
    for found in &predictions {
        by_image.entry(found.image).or_default().push(found);
    }
    let mut scores = DetectionScores::new(dataset.classes().len())?;
    let mut skipped = Vec::new();
    for index in 0..dataset.len() {
        let truth = match dataset.objects(index) {
            Ok(truth) => truth,
            Err(error) => {
                skipped.push(Skipped {
                    path: dataset.id(index),
                    reason: error.to_string(),
                });
                continue;
            }
        };
        let found = by_image.remove(&index).unwrap_or_default();
        scores
            .add_predicted(&truth, &found)
            .with_context(|| path.display().to_string())?;
    }
    let figures = Figures {
        dataset,
        metrics: scores.into_metrics(),
        limits: None,
        trained_on: 0,
        skipped,
        notes: Vec::new(),
        source: ("predictions", path.display().to_string()),
    };
    figures.tell(as_json)
}

impl Figures<'_> {
    fn tell(&self, as_json: bool) -> Result<()> {
        let coco = self.metrics.coco()?;
        if as_json {
            return output::json(&self.report(&coco)?);
        }
        self.print(&coco)
    }

    fn report(&self, coco: &CocoResult) -> Result<Value> {
        let mut report = figures(&self.metrics, coco, self.dataset.classes())?;
        report["skipped"] = json!(self.skipped);
        report["notes"] = json!(self.notes);
        if let Some(limits) = self.limits {
            report["score"] = number(limits.score).into();
            report["iou"] = limits.iou.into();
        }
        if self.trained_on > 0 {
            report["trained_on"] = self.trained_on.into();
        }
        let (name, source) = &self.source;
        report[name] = source.as_str().into();
        Ok(report)
    }

    fn print(&self, coco: &CocoResult) -> Result<()> {
        let columns = [
            ("class", false),
            ("boxes", true),
            ("AP", true),
            ("AP50", true),
        ];
        let names = self.dataset.classes();
        let per_class = coco.per_class.iter().filter(|class| class.objects > 0);
        let rows: Vec<Vec<String>> = per_class
            .map(|class| {
                vec![
                    names[class.class].clone(),
                    class.objects.to_string(),
                    share(class.ap),
                    share(class.ap50),
                ]
            })
            .collect();
        output::table(&columns, &rows)?;
        println!();
        println!("samples     {}", self.metrics.samples());
        println!(
            "AP          {} (mean over IoU 0.5 to 0.95), AP50 {}, AP75 {}",
            share(coco.ap),
            share(coco.ap50),
            share(coco.ap75)
        );
        println!(
            "by size     small {}, medium {}, large {} (areas below 32² and 96² pixels, and above)",
            share(coco.ap_small),
            share(coco.ap_medium),
            share(coco.ap_large)
        );
        println!(
            "AR          {} with 1 detection an image and class, {} with 10, {} with 100",
            share(coco.ar1),
            share(coco.ar10),
            share(coco.ar100)
        );
        print_errors(&self.metrics.errors(&ErrorThresholds::default())?);
        if let Some(limits) = self.limits {
            println!(
                "limits      score {} and more, IoU {} (predict shows objects from 0.25 on)",
                number(limits.score),
                limits.iou
            );
        }
        for note in &self.notes {
            println!("Note: {note}.");
        }
        inference::print_skipped(&self.skipped);
        if self.trained_on > 0 {
            eprintln!(
                "note: the run was trained on {} of these images, so this says little of new ones; \
                 its own test or validation images are measured without --data",
                self.trained_on
            );
        }
        Ok(())
    }
}

fn print_errors(errors: &DetectionErrors) {
    let kinds = [
        ("wrong class", &errors.classification),
        ("wrong place", &errors.location),
        ("both wrong", &errors.both),
        ("found twice", &errors.duplicate),
        ("nothing there", &errors.background),
        ("missed", &errors.missed),
    ];
    let said = kinds
        .iter()
        .map(|(name, ErrorShare { count, ap_gain, .. })| {
            format!("{name} {count} (costs {} AP50)", share(*ap_gain))
        });
    println!("errors      {}", said.collect::<Vec<_>>().join(", "));
}

/// An f32 as it is written, without digits that it does not have.
fn number(value: f32) -> f64 {
    value.to_string().parse().unwrap_or(f64::from(value))
}
