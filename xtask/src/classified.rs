//! What the end of a run says where its task was to tell classes apart.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use cnn_data::Split;
use cnn_transfer::{BestEpoch, Measured};
use cnn_viz::{
    ClassResults, Fact, FilterReport, InspectConfig, Report, Timing, filter_grid, inspect,
};
use serde_json::{Value, json};

use crate::adversarial::BestUnderAttack;
use crate::commands::attack::Attacked;
use crate::conclusion::{MeasuredEpoch, Run};
use crate::{pictures, predictions};

/// Dead filters are looked for during this share of the run's time, but so many seconds in any
/// case.
const INSPECTION_SHARE: f64 = 0.1;
const LEAST_INSPECTION: Duration = Duration::from_secs(2);

impl MeasuredEpoch for BestEpoch {
    fn part(&self) -> Split {
        self.part
    }

    fn samples(&self) -> u64 {
        self.measured.result.samples
    }

    fn seconds(&self) -> f64 {
        self.seconds
    }

    fn network(&self) -> (&'static str, usize) {
        (
            self.network.spec().name,
            self.network.store().parameter_count(),
        )
    }

    fn notes(&self) -> &[String] {
        &self.measured.notes
    }

    fn figures(&self, _: &Run<'_>) -> Result<Value> {
        figures(&self.measured)
    }

    fn said(&self) -> Result<String> {
        said(self)
    }

    fn facts(&self, run: &Run<'_>) -> Result<Vec<Fact>> {
        facts(run, self)
    }

    fn write_predictions(&self, run: &Run<'_>, path: &Path) -> Result<()> {
        let dataset = run.data.measured_on().images;
        let names = cnn_transfer::class_names(&self.network);
        let part = self.part.name();
        predictions::write(path, &self.measured, dataset.as_ref(), |_| part, &names)
    }

    fn show(&self, run: &Run<'_>, report: &mut Report) -> Result<()> {
        report.classes = vec![class_results(self)];
        report.calibration = Some(self.measured.reliability.clone());
        report.pictures = pictures::groups(run, self)?;
        let start = Instant::now();
        report.filters = Some(filters(run, self)?);
        report.timings.push(Timing {
            name: "looking for dead filters".to_string(),
            seconds: start.elapsed().as_secs_f64(),
            ..Timing::default()
        });
        Ok(())
    }

    fn attack(&self, run: &Run<'_>, attack: &BestUnderAttack) -> Result<Option<Attacked>> {
        let data = format!("{}, {}", run.data_name, self.part.name());
        let images = run.data.measured_on().images;
        attack.run(&self.network, data, images).map(Some)
    }

    fn mistakes(&self, run: &Run<'_>) -> Vec<String> {
        let dataset = run.data.measured_on().images;
        let mut mistakes: Vec<_> = self.measured.mistakes().collect();
        mistakes.sort_by(|a, b| {
            a.label_probability
                .total_cmp(&b.label_probability)
                .then(a.index.cmp(&b.index))
        });
        let files = mistakes.iter().map(|judged| dataset.id(judged.index));
        files.collect()
    }
}

/// The figures for programs.
fn figures(measured: &Measured) -> Result<Value> {
    let result = &measured.result;
    let interval = measured.top1_interval()?;
    Ok(json!({
        "samples": result.samples, "loss": result.loss, "top1": result.top1, "top5": result.top5,
        "top1_interval": [interval.low, interval.high],
    }))
}

/// The figures in a line.
fn said(best: &BestEpoch) -> Result<String> {
    let result = &best.measured.result;
    let interval = best.measured.top1_interval()?;
    Ok(format!(
        "{}: top-1 {:.2} % (95 % interval {:.2} to {:.2}) of {} images",
        best.part,
        100. * result.top1,
        100. * interval.low,
        100. * interval.high,
        result.samples
    ))
}

/// The figures at the head of a report: of test images where there are such, and of the validation
/// images that chose the epoch.
fn facts(run: &Run<'_>, best: &BestEpoch) -> Result<Vec<Fact>> {
    let result = &best.measured.result;
    let interval = best.measured.top1_interval()?;
    let percent = |share: f64| format!("{:.2} %", 100. * share);
    let [low, high] = [interval.low, interval.high].map(|share| format!("{:.2}", 100. * share));
    let images = format!("95 % interval {low} to {high}, {} images", result.samples);
    if best.part != Split::Test {
        let note = format!(
            "{images}; these images also chose the epoch, so expect somewhat less on new ones"
        );
        return Ok(vec![
            Fact::new("validation accuracy", percent(result.top1)).with_note(note),
        ]);
    }
    let note = format!("{images} that had no part in the training");
    let mut facts = vec![Fact::new("test accuracy", percent(result.top1)).with_note(note)];
    let of_val = run.summary.best.as_ref();
    if let Some(top1) = of_val.and_then(|best| best.metrics.get("top1")) {
        let note = "these images chose the epoch, so it flatters a little";
        facts.push(Fact::new("validation accuracy", percent(*top1)).with_note(note));
    }
    Ok(facts)
}

/// Who was taken for whom.
fn class_results(best: &BestEpoch) -> ClassResults {
    let chose = match best.part {
        Split::Test => "",
        _ => ", which also chose the epoch",
    };
    ClassResults {
        evaluated_on: format!("{} images{chose}; weights of the best epoch", best.part),
        names: cnn_transfer::class_names(&best.network),
        confusion: best.measured.confusion.clone(),
    }
}

/// Dead filters of the best epoch, on as many images as a share of the run's time allows: first
/// those that it was measured on, then training images.
fn filters(run: &Run<'_>, best: &BestEpoch) -> Result<FilterReport> {
    let network = &best.network;
    let measured_on = run.data.measured_on().images;
    let datasets = [measured_on.clone(), run.data.train().clone()];
    let share =
        Duration::try_from_secs_f64(INSPECTION_SHARE * run.summary.seconds).unwrap_or_default();
    let time = Some(share.max(LEAST_INSPECTION));
    let config = InspectConfig {
        images: 0,
        time,
        ..InspectConfig::default()
    };
    let inspection = inspect(network, &datasets, &config, &mut |_| ())?;
    let kinds = if inspection.images > measured_on.len() {
        format!("{} and training images", best.part)
    } else {
        format!("{} images", best.part)
    };
    Ok(inspection.report(
        format!("{kinds}, weights of the best epoch"),
        Some(filter_grid(network)?),
    ))
}
