//! The best epoch of a run that learnt to find objects.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use cnn_core::write_atomic;
use cnn_data::Split;
use cnn_metrics::{CocoResult, ConfusionThresholds};
use cnn_models::{DetectionNetwork, LoadOptions};
use cnn_train::{DetectionScores, PhotoObjects};
use cnn_transfer::{DetectionMeasured, measure_detection};
use cnn_viz::{Fact, Report};
use serde_json::Value;

use super::SHOWN;
use super::figures::{figures, share};
use crate::conclusion::{MeasuredEpoch, Run};
use crate::inference;

/// The network with the best epoch's weights, and how good it is.
pub(crate) struct BestDetection {
    network: DetectionNetwork,
    part: Split,
    measured: DetectionMeasured,
    coco: CocoResult,
    photos: Vec<PhotoScores>,
    seconds: f64,
}

/// What came of a photo where objects are shown from [`SHOWN`] on.
#[derive(Debug, Clone, Copy)]
pub(super) struct PhotoScores {
    /// Its number in the dataset.
    pub(super) index: usize,
    pub(super) objects: u64,
    /// Objects that were found, by IoU 0.5 and their class.
    pub(super) found: u64,
    /// What was found and is not there, or is of another class.
    pub(super) false_boxes: u64,
}

impl PhotoScores {
    fn of(photo: &PhotoObjects, classes: usize) -> Result<Self> {
        let mut scores = DetectionScores::new(classes)?;
        scores.add(&photo.truth, &photo.found)?;
        let thresholds = ConfusionThresholds {
            min_score: SHOWN.into(),
            min_iou: 0.5,
        };
        let confusion = scores.metrics().confusion(&thresholds)?;
        let matrix = &confusion.matrix;
        let of_row = |row: usize| (0..=classes).map(move |column| matrix.count(row, column));
        let found = (0..classes).map(|class| matrix.count(class, class)).sum();
        let objects = (0..classes).flat_map(of_row).sum();
        let shown: u64 = (0..=classes)
            .flat_map(|row| (0..classes).map(move |column| matrix.count(row, column)))
            .sum();
        Ok(Self {
            index: photo.index,
            objects,
            found,
            false_boxes: shown - found,
        })
    }

    /// Objects that were not found.
    pub(super) fn missed(&self) -> u64 {
        self.objects - self.found
    }

    /// What is wrong with it.
    fn faults(&self) -> u64 {
        self.missed() + self.false_boxes
    }
}

impl BestDetection {
    /// Loads the best epoch of a run and measures it on what it is measured on.
    pub(crate) fn measure(run: &Run<'_>) -> Result<Self> {
        let best = run.directory.join("best");
        let network = DetectionNetwork::load(&best, &LoadOptions::default())?;
        let part = run.data.measured_on();
        let start = Instant::now();
        let limits = network.model().limits();
        let measured = inference::with_progress("best epoch", part.images.len(), |progress| {
            measure_detection(&network, &part.images, &limits, run.batch, progress)
        })?;
        let classes = run.data.train().classes().len();
        let photos = measured.photos.iter();
        Ok(Self {
            coco: measured.metrics.coco()?,
            photos: photos
                .map(|photo| PhotoScores::of(photo, classes))
                .collect::<Result<_>>()?,
            seconds: start.elapsed().as_secs_f64(),
            part: part.part,
            network,
            measured,
        })
    }

    /// The photos, those with the most faults first.
    fn worst(&self) -> Vec<&PhotoScores> {
        let mut photos: Vec<&PhotoScores> = self.photos.iter().collect();
        photos.sort_by_key(|photo| (std::cmp::Reverse(photo.faults()), photo.index));
        photos
    }
}

impl MeasuredEpoch for BestDetection {
    fn part(&self) -> Split {
        self.part
    }

    fn samples(&self) -> u64 {
        self.measured.metrics.samples()
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn network(&self) -> (&'static str, usize) {
        let parameters = self.network.store().parameter_count();
        (self.network.spec().name, parameters)
    }

    fn notes(&self) -> &[String] {
        &self.measured.notes
    }

    fn figures(&self, run: &Run<'_>) -> Result<Value> {
        let names = run.data.train().classes();
        figures(&self.measured.metrics, &self.coco, names)
    }

    fn said(&self) -> Result<String> {
        Ok(format!(
            "{}: AP {} (mean over IoU 0.5 to 0.95), AP50 {}, AP75 {} of {} images",
            self.part,
            share(self.coco.ap),
            share(self.coco.ap50),
            share(self.coco.ap75),
            self.samples()
        ))
    }

    fn facts(&self, run: &Run<'_>) -> Result<Vec<Fact>> {
        let percent = |value: Option<f64>| {
            value.map_or("–".to_string(), |value| format!("{:.1} %", 100. * value))
        };
        let is_test = self.part == Split::Test;
        let about = if is_test {
            "that had no part in the training"
        } else {
            "that also chose the epoch, so expect somewhat less on new ones"
        };
        let part = if is_test { "test" } else { "validation" };
        let images = self.samples();
        let mut facts = vec![
            Fact::new(format!("{part} AP"), percent(self.coco.ap)).with_note(format!(
                "mean over IoU 0.5 to 0.95 and classes, {images} images {about}"
            )),
            Fact::new(format!("{part} AP50"), percent(self.coco.ap50))
                .with_note("boxes that overlap an object by half count as right"),
        ];
        let of_val = run.summary.best.as_ref().filter(|_| is_test);
        if let Some(best) = of_val {
            let note = "these images chose the epoch, so it flatters a little";
            facts.push(Fact::new("validation AP", percent(Some(best.score))).with_note(note));
        }
        Ok(facts)
    }

    /// `path`, `part`, and of boxes with a score of at least [`SHOWN`]: `objects`, `found`,
    /// `missed`, `false`.
    fn write_predictions(&self, run: &Run<'_>, path: &Path) -> Result<()> {
        let images = run.data.measured_on().images;
        Ok(write_atomic(path, |file| {
            let mut table = csv::Writer::from_writer(file);
            table.write_record(["path", "part", "objects", "found", "missed", "false"])?;
            for photo in &self.photos {
                let counts = [
                    photo.objects,
                    photo.found,
                    photo.missed(),
                    photo.false_boxes,
                ];
                let id = images.id(photo.index);
                let names = [id, self.part.name().to_string()];
                let counts = counts.map(|count| count.to_string());
                table.write_record(names.iter().chain(&counts))?;
            }
            table.flush()
        })?)
    }

    fn show(&self, _: &Run<'_>, _: &mut Report) -> Result<()> {
        Ok(())
    }

    fn mistakes(&self, run: &Run<'_>) -> Vec<String> {
        let images = run.data.measured_on().images;
        let worst = self.worst().into_iter().filter(|photo| photo.faults() > 0);
        worst.map(|photo| images.id(photo.index)).collect()
    }
}
