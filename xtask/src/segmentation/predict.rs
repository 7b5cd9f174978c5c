//! What `predict` makes of photos with a network for pixels.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use cnn_data::{Dataset, MaskOverlay, MaskPalette};
use cnn_layers::Mode;
use cnn_models::SegmentationNetwork;
use cnn_train::{SegmentImage as _, SegmentOptions};
use serde_json::{Value, json};

use crate::{inference, output};

/// Segments photos: for each an index PNG, an overlay, and the shares of the classes.
pub(crate) fn predict(
    network: &SegmentationNetwork,
    photos: &dyn Dataset,
    options: &SegmentOptions,
    out: &Path,
    weights: &str,
    as_json: bool,
) -> Result<()> {
    let model = network.build(Mode::Inference)?;
    let names = cnn_transfer::class_names(network);
    let overlay = MaskOverlay::new().for_classes(&names);
    std::fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut predictions = Vec::new();
    let name = network.spec().name;
    let skipped = inference::for_each_photo(name, photos, |index, path, image| {
        let segmented = model.segment_image(&image, network.preprocessing(), options)?;
        let stem = inference::picture_stem(index, path);
        let mask_path = out.join(format!("{stem}.png"));
        let overlay_path = out.join(format!("{stem}-overlay.png"));
        segmented
            .mask
            .write_png(&mask_path, &MaskPalette::distinct())?;
        overlay
            .draw(&image, &segmented.mask)?
            .write_png(&overlay_path)?;
        let mut counts = vec![0usize; names.len()];
        for &class in segmented.mask.bytes() {
            counts[usize::from(class)] += 1;
        }
        let pixels = segmented.mask.bytes().len();
        let mut shares: Vec<(usize, f64)> = counts
            .iter()
            .map(|&count| count as f64 / pixels as f64)
            .enumerate()
            .filter(|(_, share)| *share > 0.)
            .collect();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        let shares: Vec<Value> = shares
            .into_iter()
            .map(|(class, share)| json!({"index": class, "label": names[class], "share": share}))
            .collect();
        predictions.push(json!({
            "path": path,
            "mask": mask_path,
            "overlay": overlay_path,
            "confidence": segmented.confidence,
            "classes": shares,
        }));
        Ok(())
    })?;
    if predictions.is_empty() {
        inference::print_skipped(&skipped);
        bail!("no photo could be read");
    }
    if as_json {
        return output::json(
            &json!({"weights": weights, "predictions": predictions, "skipped": skipped}),
        );
    }
    for prediction in &predictions {
        let classes = prediction["classes"].as_array().into_iter().flatten();
        let said = classes.take(5).map(|class| {
            let share = class["share"].as_f64().unwrap_or(0.);
            format!(
                "{} {:.1} %",
                class["label"].as_str().unwrap_or(""),
                100. * share
            )
        });
        let overlay = prediction["overlay"].as_str().unwrap_or("");
        println!(
            "{}: {}; {overlay}",
            prediction["path"].as_str().unwrap_or(""),
            said.collect::<Vec<_>>().join("; ")
        );
    }
    inference::print_skipped(&skipped);
    Ok(())
}
