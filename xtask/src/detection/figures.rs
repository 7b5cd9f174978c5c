//! The figures of networks that find objects, for programs and in words.

use anyhow::Result;
use cnn_metrics::{CocoResult, DetectionMetrics, ErrorThresholds};
use serde_json::{Value, json};

/// COCO's figures, those of each class that has objects, and the kinds of errors.
pub(super) fn figures(
    metrics: &DetectionMetrics,
    coco: &CocoResult,
    names: &[String],
) -> Result<Value> {
    let per_class = coco.per_class.iter().filter(|class| class.objects > 0);
    let per_class: Vec<Value> = per_class
        .map(|class| {
            json!({
                "label": names[class.class],
                "ap": class.ap,
                "ap50": class.ap50,
                "boxes": class.objects,
            })
        })
        .collect();
    let errors = metrics.errors(&ErrorThresholds::default())?;
    Ok(json!({
        "samples": metrics.samples(),
        "ap": coco.ap,
        "ap50": coco.ap50,
        "ap75": coco.ap75,
        "ap_small": coco.ap_small,
        "ap_medium": coco.ap_medium,
        "ap_large": coco.ap_large,
        "ar1": coco.ar1,
        "ar10": coco.ar10,
        "ar100": coco.ar100,
        "per_class": per_class,
        "errors": errors,
    }))
}

/// With three decimals; a dash where there is nothing to measure.
pub(super) fn share(value: Option<f64>) -> String {
    value.map_or("–".to_string(), |value| format!("{value:.3}"))
}
