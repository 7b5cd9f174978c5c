//! How well objects are found.

use std::sync::Arc;

use cnn_core::Preprocessing;
use cnn_data::{AnnotatedObject, BatchPlan, Dataset, PredictedBox, Skipped};
use cnn_layers::{DetectedObject, DetectionLimits, Detector};
use cnn_metrics::{CocoResult, DetectedBox, DetectionMetrics, GroundTruthBox, Rect};

use super::detect_images::detect_batch;
use crate::{Error, Evaluation};

/// How well objects are found, gathered photo by photo.
pub struct DetectionScores {
    metrics: DetectionMetrics,
}

/// What was found in a photo of a dataset, and what is in it, in pixels of the photo.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PhotoObjects {
    /// Its number in the dataset.
    pub index: usize,
    /// What is in it.
    pub truth: Vec<AnnotatedObject>,
    /// What was found, by score.
    pub found: Vec<DetectedObject>,
}

impl PhotoObjects {
    /// What is in the photo of this number, and what was found, by score.
    pub fn new(index: usize, truth: Vec<AnnotatedObject>, found: Vec<DetectedObject>) -> Self {
        Self {
            index,
            truth,
            found,
        }
    }
}

impl DetectionScores {
    /// For objects of so many classes.
    ///
    /// # Errors
    /// [`Error::Metrics`] if there is none, or more than 65,536.
    pub fn new(classes: usize) -> Result<Self, Error> {
        Ok(Self {
            metrics: DetectionMetrics::new(classes)?,
        })
    }

    /// Adds a photo.
    ///
    /// # Errors
    /// [`Error::Metrics`] if a class is none of those, or a number is not finite.
    pub fn add(
        &mut self,
        truth: &[AnnotatedObject],
        found: &[DetectedObject],
    ) -> Result<(), Error> {
        let truth: Vec<GroundTruthBox> = truth.iter().map(ground_truth).collect();
        let found: Vec<DetectedBox> = found.iter().map(detected).collect();
        Ok(self.metrics.update(&truth, &found)?)
    }

    /// Adds a photo whose detections come from a file.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub fn add_predicted(
        &mut self,
        truth: &[AnnotatedObject],
        found: &[&PredictedBox],
    ) -> Result<(), Error> {
        let truth: Vec<GroundTruthBox> = truth.iter().map(ground_truth).collect();
        let found = found.iter().map(|found| {
            let [x, y, width, height] = found.xywh;
            let rect = Rect::new(x, y, width, height);
            DetectedBox::new(rect, found.class, found.score)
        });
        Ok(self.metrics.update(&truth, &found.collect::<Vec<_>>())?)
    }

    /// What was gathered.
    pub fn metrics(&self) -> &DetectionMetrics {
        &self.metrics
    }

    /// The same, for keeps.
    pub fn into_metrics(self) -> DetectionMetrics {
        self.metrics
    }
}

fn ground_truth(object: &AnnotatedObject) -> GroundTruthBox {
    let [x, y, width, height] = object.xywh;
    GroundTruthBox::new(Rect::new(x, y, width, height), object.class)
        .with_area(object.area)
        .with_crowd(object.is_crowd)
        .with_difficult(object.is_difficult)
}

fn detected(object: &DetectedObject) -> DetectedBox {
    let edges = Rect::from_edges(object.edges.map(f64::from));
    DetectedBox::new(edges, object.class, object.score.into())
}

/// Finds the objects in all photos of a dataset and compares with what its files say. `class_of`
/// gives the dataset's number of a class of the network, without which an object is left out. `each`
/// gets every photo that could be read, in the dataset's order; the others are given back.
///
/// # Errors
/// As [`DetectImages::detect_images`](super::DetectImages::detect_images) and
/// [`DetectionScores::add`]; not for a photo that cannot be read.
pub fn score_detections(
    model: &dyn Detector,
    dataset: &Arc<dyn Dataset>,
    preprocessing: &Preprocessing,
    limits: &DetectionLimits,
    batch_size: usize,
    class_of: &dyn Fn(usize) -> Option<usize>,
    each: &mut dyn FnMut(PhotoObjects),
) -> Result<(DetectionScores, Vec<Skipped>), Error> {
    let mut scores = DetectionScores::new(dataset.classes().len())?;
    let mut skipped = Vec::new();
    let plan = BatchPlan::new(dataset.clone(), preprocessing.clone()).with_batch_size(batch_size);
    for batch in plan.start()? {
        let batch = batch?;
        let found = detect_batch(model, &batch, limits)?;
        for (&index, found) in batch.indices.iter().zip(found) {
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
            let of_dataset = |object: DetectedObject| {
                let class = class_of(object.class)?;
                Some(DetectedObject { class, ..object })
            };
            let found: Vec<DetectedObject> = found.into_iter().filter_map(of_dataset).collect();
            scores.add(&truth, &found)?;
            each(PhotoObjects::new(index, truth, found));
        }
        skipped.extend(batch.skipped);
    }
    Ok((scores, skipped))
}

/// Scored by AP, the mean over IoU from 0.5 to 0.95 and over classes; 0 where there is no object.
impl From<&CocoResult> for Evaluation {
    fn from(result: &CocoResult) -> Self {
        let metrics = [("ap", result.ap), ("ap50", result.ap50)];
        Self {
            score: result.ap.unwrap_or(0.),
            metrics: metrics
                .map(|(name, value)| (name.to_string(), value.unwrap_or(0.)))
                .into(),
        }
    }
}
