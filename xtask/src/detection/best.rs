//! The best epoch of a run that learnt to find objects.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use cnn_core::write_atomic;
use cnn_data::Split;
use cnn_metrics::CocoResult;
use cnn_models::{DetectionNetwork, LoadOptions};
use cnn_transfer::{DetectionMeasured, measure_detection};
use cnn_viz::{DetectionResults, Fact, Report};
use serde_json::Value;

use super::figures::{figures, share};
use super::photo::PhotoResult;
use super::{explained, pictures};
use crate::conclusion::{MeasuredEpoch, Run};
use crate::inference;

/// The network with the best epoch's weights, and how good it is.
pub(crate) struct BestDetection {
    network: DetectionNetwork,
    part: Split,
    measured: DetectionMeasured,
    coco: CocoResult,
    seconds: f64,
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
        Ok(Self {
            coco: measured.metrics.coco()?,
            seconds: start.elapsed().as_secs_f64(),
            part: part.part,
            network,
            measured,
        })
    }

    fn results(&self) -> impl Iterator<Item = PhotoResult<'_>> {
        self.measured.photos.iter().map(PhotoResult::of)
    }

    /// The photos with faults, those with the most first.
    fn worst(&self) -> Vec<PhotoResult<'_>> {
        let with_faults = self.results().filter(|photo| photo.faults() > 0);
        let mut photos: Vec<PhotoResult<'_>> = with_faults.collect();
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

    /// `path`, `part`, and of boxes as they are shown to people: `objects`, `found`,
    /// `missed`, `false`.
    fn write_predictions(&self, run: &Run<'_>, path: &Path) -> Result<()> {
        let images = run.data.measured_on().images;
        Ok(write_atomic(path, |file| {
            let mut table = csv::Writer::from_writer(file);
            table.write_record(["path", "part", "objects", "found", "missed", "false"])?;
            for photo in self.results() {
                let counts = [
                    photo.objects.len(),
                    photo.found(),
                    photo.missed(),
                    photo.false_boxes(),
                ];
                let id = images.id(photo.index);
                let names = [id, self.part.name().to_string()];
                let counts = counts.map(|count| count.to_string());
                table.write_record(names.iter().chain(&counts))?;
            }
            table.flush()
        })?)
    }

    fn show(&self, run: &Run<'_>, report: &mut Report) -> Result<()> {
        let chose = match self.part {
            Split::Test => "",
            _ => ", which also chose the epoch",
        };
        let names = run.data.train().classes();
        report.boxes = vec![pictures::worst(run, &self.worst(), names)?];
        let photos: Vec<PhotoResult<'_>> = self.results().collect();
        report.pictures = explained::groups(run, &self.network, &photos, names)?;
        report.detections = Some(DetectionResults {
            evaluated_on: format!("{} images{chose}; weights of the best epoch", self.part),
            names: names.to_vec(),
            result: self.measured.metrics.result()?,
        });
        Ok(())
    }

    fn mistakes(&self, run: &Run<'_>) -> Vec<String> {
        let images = run.data.measured_on().images;
        let worst = self.worst().into_iter();
        worst.map(|photo| images.id(photo.index)).collect()
    }
}
