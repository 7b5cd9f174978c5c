//! What `evaluate` prints of a network for pixels.

use std::path::Path;

use anyhow::{Context as _, Result};
use cnn_data::Dataset;
use cnn_metrics::{SegmentationIntervals, SplitMerge};
use cnn_models::SegmentationNetwork;
use cnn_train::SegmentOptions;
use serde_json::{Value, json};

use super::measure::{AtThreshold, Measured, measure};
use crate::args::Unusable;
use crate::{inference, output};

/// What is to be measured, and how.
pub(crate) struct Evaluation<'a> {
    pub(crate) network: &'a SegmentationNetwork,
    pub(crate) dataset: &'a dyn Dataset,
    pub(crate) options: &'a SegmentOptions,
    /// The name of the class whose connected regions are objects.
    pub(crate) objects: Option<&'a str>,
    /// How many of the images the network was trained on, where that is no part of the question.
    pub(crate) trained_on: usize,
    /// Where a row is written for each photo, and the part that a photo is of.
    pub(crate) csv: Option<&'a Path>,
    pub(crate) part: &'a dyn Fn(usize) -> &'static str,
    pub(crate) weights: &'a str,
    pub(crate) json: bool,
}

/// Measures a network for pixels and prints what came of it.
pub(crate) fn evaluate(evaluation: &Evaluation<'_>) -> Result<()> {
    let Evaluation {
        network, dataset, ..
    } = *evaluation;
    let objects = evaluation
        .objects
        .map(|name| class_of(name, dataset.mask_classes()))
        .transpose()?;
    let measured = measure(network, dataset, evaluation.options, objects)?;
    let intervals = measured.of_all.intervals()?;
    if let Some(path) = evaluation.csv {
        measured.write_csv(path, dataset, evaluation.part)?;
    }
    if evaluation.json {
        return output::json(&report(evaluation, &measured, &intervals));
    }
    print(evaluation, &measured, &intervals)
}

/// The number of a class.
fn class_of(name: &str, classes: &[String]) -> Result<u8> {
    let found = classes
        .iter()
        .position(|class| class.to_lowercase() == name.to_lowercase());
    let class = found.and_then(|class| u8::try_from(class).ok());
    class
        .with_context(|| {
            let known = classes.join(", ");
            format!("--objects: there is no class {name}; the masks have {known}")
        })
        .context(Unusable)
}

fn report(
    evaluation: &Evaluation<'_>,
    measured: &Measured,
    intervals: &SegmentationIntervals,
) -> Value {
    let result = &measured.of_all.measured.result;
    let mut json = measured.totals();
    let interval = &intervals.mean_iou;
    json["miou_interval"] = json!([interval.low, interval.high]);
    json["mean_accuracy"] = json!(result.mean_accuracy);
    json["frequency_weighted_iou"] = json!(result.frequency_weighted_iou);
    json["mean_iou_per_image"] = json!(result.mean_iou_per_image);
    let per_class = result
        .per_class
        .iter()
        .zip(evaluation.dataset.mask_classes());
    let per_class = per_class.map(|(class, label)| {
        json!({"label": label, "iou": class.iou, "dice": class.dice, "pixels": class.pixels})
    });
    json["per_class"] = per_class.collect();
    if let (Some(name), Some(means)) = (evaluation.objects, measured.objects()) {
        json["objects"] = json!({
            "label": name,
            "rand": means.rand,
            "information": means.information,
            "best_rand": means.best_rand,
            "best_information": means.best_information,
        });
    }
    if evaluation.trained_on > 0 {
        json["trained_on"] = evaluation.trained_on.into();
    }
    json["skipped"] = json!(measured.of_all.skipped);
    json["weights"] = evaluation.weights.into();
    json
}

fn print(
    evaluation: &Evaluation<'_>,
    measured: &Measured,
    intervals: &SegmentationIntervals,
) -> Result<()> {
    let result = &measured.of_all.measured.result;
    let names = evaluation.dataset.mask_classes();
    let columns = [
        ("class", false),
        ("pixels", true),
        ("IoU", true),
        ("95 % interval", true),
        ("Dice", true),
        ("recall", true),
    ];
    let share = |share: Option<f64>| share.map_or(String::new(), |share| format!("{share:.3}"));
    let classes = result.per_class.iter().zip(names);
    let rows = classes.zip(&intervals.per_class_iou);
    let rows = rows.map(|((class, name), interval)| {
        let interval = interval.as_ref();
        vec![
            name.clone(),
            class.pixels.to_string(),
            share(class.iou),
            interval.map_or(String::new(), |interval| {
                format!("{:.3} to {:.3}", interval.low, interval.high)
            }),
            share(class.dice),
            share(class.accuracy),
        ]
    });
    output::table(&columns, &rows.collect::<Vec<_>>())?;
    println!();
    println!("samples         {}", result.samples);
    println!("loss            {:.4}", measured.of_all.measured.loss);
    println!(
        "mIoU            {:.4} (95 % interval {:.4} to {:.4}, by bootstrap over the images)",
        result.mean_iou, intervals.mean_iou.low, intervals.mean_iou.high
    );
    println!("pixel accuracy  {:.2} %", 100. * result.pixel_accuracy);
    println!("mean accuracy   {:.2} %", 100. * result.mean_accuracy);
    println!(
        "of each image   mIoU {:.4} on average",
        result.mean_iou_per_image
    );
    if let (Some(name), Some(means)) = (evaluation.objects, measured.objects()) {
        let halves = |score: SplitMerge| {
            format!(
                "{:.4} (split {:.4}, merge {:.4})",
                score.f_score, score.split, score.merge
            )
        };
        println!("objects         connected regions of {name}, as in the ISBI 2012 challenge:");
        let best = |AtThreshold { threshold, score }: &AtThreshold| {
            format!("{} from a probability of {threshold} on", halves(*score))
        };
        println!("  V-Rand        {}", halves(means.rand));
        println!("    at its best {}", best(&means.best_rand));
        println!("  V-Info        {}", halves(means.information));
        println!("    at its best {}", best(&means.best_information));
    }
    inference::print_skipped(&measured.of_all.skipped);
    if evaluation.trained_on > 0 {
        eprintln!(
            "note: the run was trained on {} of these images, so this says little of new ones; its own test or validation images are measured without --data",
            evaluation.trained_on
        );
    }
    Ok(())
}
