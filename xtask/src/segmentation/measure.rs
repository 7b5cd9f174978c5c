//! Measuring a network for pixels, photo by photo.

use std::path::Path;

use anyhow::Result;
use cnn_core::write_atomic;
use cnn_data::{Dataset, Mask};
use cnn_layers::{Mode, Segmenter};
use cnn_metrics::{
    SegmentationMetrics, SplitMerge, connected_components, information_f_score, rand_f_score,
    thin_borders,
};
use cnn_models::SegmentationNetwork;
use cnn_train::{SegmentImage as _, SegmentOptions};
use cnn_transfer::{MeasuredPhoto, SegmentationMeasured, measure_segmentation};
use serde::Serialize;
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
    /// How well the objects of the class that was asked for are kept apart: where pixels are of it
    /// by the network's decision, and by each of [`THRESHOLDS`].
    objects: Option<(ObjectScores, Vec<ObjectScores>)>,
}

/// The least probabilities of the class from which on a pixel is of an object: closer to each other
/// where a network is nearly sure, as it is of most pixels.
const THRESHOLDS: [f64; 12] = [
    0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99,
];

/// Of regions that are objects, the scores of the ISBI 2012 challenge.
#[derive(Clone, Copy)]
struct ObjectScores {
    rand: SplitMerge,
    information: SplitMerge,
}

/// The means of the scores over photos.
pub(super) struct ObjectMeans {
    /// By the network's own decision.
    pub(super) rand: SplitMerge,
    pub(super) information: SplitMerge,
    /// With the threshold at which each is best, as the challenge has it.
    pub(super) best_rand: AtThreshold,
    pub(super) best_information: AtThreshold,
}

/// A score where pixels are of objects from a probability on.
#[derive(Serialize)]
pub(super) struct AtThreshold {
    pub(super) threshold: f64,
    pub(super) score: SplitMerge,
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
    let model = network.build(Mode::Inference)?;
    let objects = objects.map(|class| Objects {
        class,
        model: model.as_ref(),
        network,
        options,
    });
    let mut photos = Vec::new();
    let mut failed = None;
    let of_all = inference::with_progress(name, dataset.len(), |progress| {
        measure_segmentation(network, dataset, options, &mut |index, photo| {
            progress(1);
            let Some(photo) = photo else { return };
            match scores(index, photo, classes, objects.as_ref()) {
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

/// What it takes to tell objects of a class apart.
struct Objects<'a> {
    class: u8,
    model: &'a dyn Segmenter,
    network: &'a SegmentationNetwork,
    options: &'a SegmentOptions,
}

/// `None` where no pixel counts.
fn scores(
    index: usize,
    photo: MeasuredPhoto<'_>,
    classes: usize,
    objects: Option<&Objects<'_>>,
) -> Result<Option<PhotoScores>> {
    let mut metrics = SegmentationMetrics::new(classes)?;
    metrics.update(photo.predicted.bytes(), photo.truth.bytes())?;
    if metrics.confusion().samples() == 0 {
        return Ok(None);
    }
    let result = metrics.result()?;
    let has_objects = |objects: &&Objects<'_>| photo.truth.bytes().contains(&objects.class);
    let objects = objects.filter(has_objects);
    Ok(Some(PhotoScores {
        index,
        mean_iou: result.mean_iou,
        pixel_accuracy: result.pixel_accuracy,
        objects: objects.map(|objects| objects.scores(photo)).transpose()?,
    }))
}

impl Objects<'_> {
    fn scores(&self, photo: MeasuredPhoto<'_>) -> Result<(ObjectScores, Vec<ObjectScores>)> {
        let regions = |bytes: &[u8]| self.regions(bytes, photo.truth);
        let truth = regions(photo.truth.bytes())?;
        let against = |bytes: &[u8]| -> Result<ObjectScores> {
            let [height, width] = [photo.truth.height(), photo.truth.width()];
            let predicted = thin_borders(&regions(bytes)?, height, width)?;
            Ok(ObjectScores {
                rand: rand_f_score(&truth, &predicted)?,
                information: information_f_score(&truth, &predicted)?,
            })
        };
        let probabilities = self.probabilities(photo)?;
        let other = u8::from(self.class == 0);
        let at = THRESHOLDS.map(|threshold| {
            let is_object = |&probability: &f32| f64::from(probability) >= threshold;
            let classes = probabilities.iter().map(|probability| {
                if is_object(probability) {
                    self.class
                } else {
                    other
                }
            });
            against(&classes.collect::<Vec<u8>>())
        });
        let at: Result<Vec<ObjectScores>> = at.into_iter().collect();
        Ok((against(photo.predicted.bytes())?, at?))
    }

    fn regions(&self, bytes: &[u8], of: &Mask) -> Result<Vec<u32>> {
        let [height, width] = [of.height(), of.width()];
        Ok(connected_components(bytes, height, width, self.class)?)
    }

    /// Of the class, for every pixel.
    fn probabilities(&self, photo: MeasuredPhoto<'_>) -> Result<Vec<f32>> {
        let classes = self.model.num_classes().max(2);
        let class = usize::from(self.class);
        let mut all = Vec::with_capacity(photo.truth.bytes().len());
        let record = self.network.preprocessing();
        let mut visit = |_: usize, rows: &[f32]| {
            all.extend(rows.chunks_exact(classes).map(|pixel| pixel[class]));
            Ok(())
        };
        self.model
            .segment_rows(photo.image, record, self.options, &mut visit)?;
        Ok(all)
    }
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
    pub(super) fn objects(&self) -> Option<ObjectMeans> {
        let photos = self.photos.iter();
        let photos: Vec<_> = photos.filter_map(|photo| photo.objects.as_ref()).collect();
        if photos.is_empty() {
            return None;
        }
        let best = |of: fn(&ObjectScores) -> SplitMerge| {
            let at = THRESHOLDS.iter().enumerate().map(|(place, &threshold)| {
                let scores = photos.iter().map(|(_, at)| of(&at[place]));
                let score = mean(scores);
                AtThreshold { threshold, score }
            });
            // Of equal ones the first.
            at.reduce(|best, other| {
                if other.score.f_score > best.score.f_score {
                    other
                } else {
                    best
                }
            })
        };
        let decided = |of: fn(&ObjectScores) -> SplitMerge| {
            mean(photos.iter().map(|(decided, _)| of(decided)))
        };
        Some(ObjectMeans {
            rand: decided(|scores| scores.rand),
            information: decided(|scores| scores.information),
            best_rand: best(|scores| scores.rand)?,
            best_information: best(|scores| scores.information)?,
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

/// Each part's mean.
fn mean(scores: impl ExactSizeIterator<Item = SplitMerge>) -> SplitMerge {
    let count = scores.len() as f64;
    let none = SplitMerge {
        f_score: 0.,
        split: 0.,
        merge: 0.,
    };
    let sum = scores.fold(none, |sum, score| SplitMerge {
        f_score: sum.f_score + score.f_score,
        split: sum.split + score.split,
        merge: sum.merge + score.merge,
    });
    SplitMerge {
        f_score: sum.f_score / count,
        split: sum.split / count,
        merge: sum.merge / count,
    }
}
