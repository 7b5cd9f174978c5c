//! Measuring a network for pixels, photo by photo.

use std::path::Path;

use anyhow::Result;
use cnn_core::write_atomic;
use cnn_data::{Dataset, Mask};
use cnn_metrics::{
    SegmentationMetrics, SplitMerge, connected_components, information_f_score, rand_f_score,
    thin_borders,
};
use cnn_models::SegmentationNetwork;
use cnn_train::SegmentOptions;
use cnn_transfer::{MeasuredPhoto, SegmentationMeasured, measure_segmentation};
use serde_json::{Value, json};

use crate::inference;

/// What was measured.
pub(super) struct Measured {
    pub(super) of_all: SegmentationMeasured,
    /// Each photo that could be read and has pixels that count.
    pub(super) photos: Vec<PhotoScores>,
}

/// How well one photo was segmented.
pub(super) struct PhotoScores {
    /// Its number in the dataset.
    pub(super) index: usize,
    pub(super) mean_iou: f64,
    pub(super) pixel_accuracy: f64,
    /// How well the objects of the class that was asked for are kept apart.
    pub(super) objects: Option<ObjectScores>,
}

/// Of regions that are objects, the scores of the ISBI 2012 challenge.
#[derive(Clone, Copy)]
pub(super) struct ObjectScores {
    pub(super) rand: SplitMerge,
    pub(super) information: SplitMerge,
}

/// Segments all photos of a dataset and compares with their masks. Where the number of a class is
/// given, its connected regions are objects.
pub(super) fn measure(
    network: &SegmentationNetwork,
    dataset: &dyn Dataset,
    options: &SegmentOptions,
    objects: Option<u8>,
) -> Result<Measured> {
    let name = network.spec().name;
    let classes = dataset.mask_classes().len();
    let mut photos = Vec::new();
    let mut failed = None;
    let of_all = inference::with_progress(name, dataset.len(), |progress| {
        measure_segmentation(network, dataset, options, &mut |index, photo| {
            progress(1);
            let Some(photo) = photo else { return };
            match scores(index, photo, classes, objects) {
                Ok(scores) => photos.extend(scores),
                Err(error) => failed = Some(error),
            }
        })
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(Measured { of_all, photos }),
    }
}

/// `None` where no pixel counts.
fn scores(
    index: usize,
    photo: MeasuredPhoto<'_>,
    classes: usize,
    objects: Option<u8>,
) -> Result<Option<PhotoScores>> {
    let mut metrics = SegmentationMetrics::new(classes)?;
    metrics.update(photo.predicted.bytes(), photo.truth.bytes())?;
    if metrics.confusion().samples() == 0 {
        return Ok(None);
    }
    let result = metrics.result()?;
    let has_objects = |class: &u8| photo.truth.bytes().contains(class);
    let objects = objects.filter(has_objects);
    Ok(Some(PhotoScores {
        index,
        mean_iou: result.mean_iou,
        pixel_accuracy: result.pixel_accuracy,
        objects: objects
            .map(|class| object_scores(photo, class))
            .transpose()?,
    }))
}

fn object_scores(photo: MeasuredPhoto<'_>, class: u8) -> Result<ObjectScores> {
    let height = photo.truth.height();
    let width = photo.truth.width();
    let objects = |mask: &Mask| connected_components(mask.bytes(), height, width, class);
    let truth = objects(photo.truth)?;
    let predicted = thin_borders(&objects(photo.predicted)?, height, width)?;
    Ok(ObjectScores {
        rand: rand_f_score(&truth, &predicted)?,
        information: information_f_score(&truth, &predicted)?,
    })
}

impl Measured {
    /// The figures over all classes, for programs.
    pub(super) fn totals(&self) -> Value {
        let result = &self.of_all.measured.result;
        json!({
            "samples": result.samples,
            "loss": self.of_all.measured.loss,
            "miou": result.mean_iou,
            "pixel_accuracy": result.pixel_accuracy,
        })
    }

    /// The means over the photos that have objects.
    pub(super) fn objects(&self) -> Option<ObjectScores> {
        let scores: Vec<ObjectScores> = self
            .photos
            .iter()
            .filter_map(|photo| photo.objects)
            .collect();
        if scores.is_empty() {
            return None;
        }
        let mean = |of: fn(&ObjectScores) -> SplitMerge| {
            let mean = |value: fn(SplitMerge) -> f64| {
                let values = scores.iter().map(|score| value(of(score)));
                values.sum::<f64>() / scores.len() as f64
            };
            SplitMerge {
                f_score: mean(|score| score.f_score),
                split: mean(|score| score.split),
                merge: mean(|score| score.merge),
            }
        };
        Some(ObjectScores {
            rand: mean(|score| score.rand),
            information: mean(|score| score.information),
        })
    }

    /// Writes a row per photo: `path`, `part` (train, val or test; empty where it is not known),
    /// `miou` and `pixel_accuracy`.
    pub(super) fn write_csv(
        &self,
        path: &Path,
        dataset: &dyn Dataset,
        part: impl Fn(usize) -> &'static str,
    ) -> Result<()> {
        Ok(write_atomic(path, |file| {
            let mut table = csv::Writer::from_writer(file);
            table.write_record(["path", "part", "miou", "pixel_accuracy"])?;
            for photo in &self.photos {
                table.write_record([
                    dataset.id(photo.index),
                    part(photo.index).to_string(),
                    photo.mean_iou.to_string(),
                    photo.pixel_accuracy.to_string(),
                ])?;
            }
            table.flush()
        })?)
    }
}
