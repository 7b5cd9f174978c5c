//! What the end of a run says where its task was to tell classes apart.

use anyhow::Result;
use cnn_data::Split;
use cnn_transfer::{BestEpoch, Measured};
use cnn_viz::{ClassResults, Fact};
use serde_json::{Value, json};

use crate::conclusion::Run;

/// The figures for programs.
pub(crate) fn figures(measured: &Measured) -> Result<Value> {
    let result = &measured.result;
    let interval = measured.top1_interval()?;
    Ok(json!({
        "samples": result.samples, "loss": result.loss, "top1": result.top1, "top5": result.top5,
        "top1_interval": [interval.low, interval.high],
    }))
}

/// The figures in a line.
pub(crate) fn said(best: &BestEpoch) -> Result<String> {
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
pub(crate) fn facts(run: &Run<'_>, best: &BestEpoch) -> Result<Vec<Fact>> {
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
pub(crate) fn class_results(best: &BestEpoch) -> ClassResults {
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
