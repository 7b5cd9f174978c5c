//! The best epoch of a run that learnt to tell pixels apart.

use std::path::Path;
use std::time::Instant;

use anyhow::Result;
use cnn_data::Split;
use cnn_metrics::SegmentationIntervals;
use cnn_models::{LoadOptions, SegmentationNetwork};
use cnn_train::SegmentOptions;
use cnn_viz::{Fact, RegionResults, Report};
use serde_json::{Value, json};

use super::measure::{Measured, PhotoScores, measure};
use super::pictures;
use crate::conclusion::{MeasuredEpoch, Run};

/// The network with the best epoch's weights, and how good it is.
pub(crate) struct BestSegmentation {
    network: SegmentationNetwork,
    part: Split,
    measured: Measured,
    intervals: SegmentationIntervals,
    seconds: f64,
}

impl BestSegmentation {
    /// Loads the best epoch of a run and measures it on what it is measured on.
    pub(crate) fn measure(run: &Run<'_>) -> Result<Self> {
        let best = run.directory.join("best");
        let network = SegmentationNetwork::load(&best, &LoadOptions::default())?;
        let part = run.data.measured_on();
        let start = Instant::now();
        let options = SegmentOptions::default();
        let measured = measure(&network, part.images.as_ref(), &options, None)?;
        Ok(Self {
            intervals: measured.of_all.intervals()?,
            seconds: start.elapsed().as_secs_f64(),
            part: part.part,
            network,
            measured,
        })
    }

    /// The photos, those with the lowest mean IoU first.
    fn worst(&self) -> Vec<&PhotoScores> {
        let mut photos: Vec<&PhotoScores> = self.measured.photos.iter().collect();
        photos.sort_by(|a, b| {
            let by_iou = a.mean_iou.total_cmp(&b.mean_iou);
            by_iou.then(a.index.cmp(&b.index))
        });
        photos
    }

    fn names(&self, run: &Run<'_>) -> Vec<String> {
        run.data.train().mask_classes().to_vec()
    }
}

impl MeasuredEpoch for BestSegmentation {
    fn part(&self) -> Split {
        self.part
    }

    fn samples(&self) -> u64 {
        self.measured.of_all.measured.result.samples
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn network(&self) -> (&'static str, usize) {
        let parameters = self.network.store().parameter_count();
        (self.network.spec().name, parameters)
    }

    fn notes(&self) -> &[String] {
        &[]
    }

    fn figures(&self, _: &Run<'_>) -> Result<Value> {
        let mut figures = self.measured.totals();
        let interval = &self.intervals.mean_iou;
        figures["miou_interval"] = json!([interval.low, interval.high]);
        Ok(figures)
    }

    fn said(&self) -> Result<String> {
        let result = &self.measured.of_all.measured.result;
        let interval = &self.intervals.mean_iou;
        Ok(format!(
            "{}: mIoU {:.4} (95 % interval {:.4} to {:.4}), pixel accuracy {:.2} % of {} images",
            self.part,
            result.mean_iou,
            interval.low,
            interval.high,
            100. * result.pixel_accuracy,
            result.samples
        ))
    }

    fn facts(&self, run: &Run<'_>) -> Result<Vec<Fact>> {
        let result = &self.measured.of_all.measured.result;
        let percent = |share: f64| format!("{:.2} %", 100. * share);
        let interval = &self.intervals.mean_iou;
        let images = format!(
            "95 % interval {:.2} to {:.2}, {} images",
            100. * interval.low,
            100. * interval.high,
            result.samples
        );
        let is_test = self.part == Split::Test;
        let about = if is_test {
            "that had no part in the training"
        } else {
            "that also chose the epoch, so expect somewhat less on new ones"
        };
        let part = if is_test { "test" } else { "validation" };
        let mut facts = vec![
            Fact::new(format!("{part} mIoU"), percent(result.mean_iou))
                .with_note(format!("{images} {about}")),
            Fact::new("pixels right", percent(result.pixel_accuracy))
                .with_note(format!("of the {part} images")),
        ];
        let of_val = run.summary.best.as_ref().filter(|_| is_test);
        if let Some(best) = of_val {
            let note = "these images chose the epoch, so it flatters a little";
            facts.push(Fact::new("validation mIoU", percent(best.score)).with_note(note));
        }
        Ok(facts)
    }

    fn write_predictions(&self, run: &Run<'_>, path: &Path) -> Result<()> {
        let part = self.part.name();
        let images = run.data.measured_on().images;
        self.measured.write_csv(path, images.as_ref(), |_| part)
    }

    fn show(&self, run: &Run<'_>, report: &mut Report) -> Result<()> {
        let chose = match self.part {
            Split::Test => "",
            _ => ", which also chose the epoch",
        };
        let names = self.names(run);
        report.masks = vec![pictures::worst(run, &self.network, &self.worst(), &names)?];
        report.regions = Some(RegionResults {
            evaluated_on: format!("{} images{chose}; weights of the best epoch", self.part),
            names,
            result: self.measured.of_all.measured.result.clone(),
            intervals: self.intervals.clone(),
        });
        Ok(())
    }

    fn mistakes(&self, run: &Run<'_>) -> Vec<String> {
        let images = run.data.measured_on().images;
        let worst = self.worst().into_iter();
        worst.map(|photo| images.id(photo.index)).collect()
    }
}
