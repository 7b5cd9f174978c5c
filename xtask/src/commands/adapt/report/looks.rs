//! Where the networks look in the same images of the target.

use std::sync::Arc;

use anyhow::Result;
use cnn_data::{Dataset, Image, Subset};
use cnn_metrics::top_k;
use cnn_models::Network;
use cnn_transfer::for_each_batch;
use cnn_viz::{ImageStrip, StripRow, Target, overlay, thumbnail};

use super::{DRAWN, Findings};
use crate::pictures::grad_cams;

const IMAGES: usize = 6;
/// The longer side of a picture at most.
const SIDE: usize = 128;

/// Grad-CAM of the source alone and of the first methods; `None` where no image can be read.
pub(super) fn strip(findings: &Findings<'_>) -> Result<Option<ImageStrip>> {
    let sample = findings.analysis.sample.target.clone();
    let images: Arc<dyn Dataset> = Arc::new(Subset::spread(sample, IMAGES)?);
    let mut rows: Vec<Option<StripRow>> = (0..images.len())
        .map(|index| row(images.as_ref(), index))
        .collect();
    let methods = findings.outcomes.methods.iter();
    let mut columns = Vec::new();
    for (outcome, method) in methods.zip(&findings.analysis.methods).take(1 + DRAWN) {
        if !method.features.are_finite() {
            continue;
        }
        columns.push(outcome.name.clone());
        let classes = &findings.data.classes;
        add(&mut rows, &images, &method.network, classes)?;
    }
    let complete = |row: &StripRow| row.cells.len() == columns.len();
    let rows: Vec<StripRow> = rows.into_iter().flatten().filter(complete).collect();
    let is_shown = !rows.is_empty() && !columns.is_empty();
    Ok(is_shown.then(|| ImageStrip {
        title: "Where the networks look".to_string(),
        note: Some(
            "The same images of the target. Over each Grad-CAM of the class that the network \
             predicted, with its probability."
                .to_string(),
        ),
        columns,
        rows,
    }))
}

/// An image with its class where that is known; `None` where it cannot be read.
fn row(images: &dyn Dataset, index: usize) -> Option<StripRow> {
    let content = images
        .content(index)
        .and_then(|content| content.into_image());
    let image = thumbnail(&content.ok()?, SIDE).ok()?;
    let label = images
        .label(index)
        .and_then(|class| images.classes().get(class));
    Some(StripRow {
        image,
        label: label.cloned().unwrap_or_default(),
        cells: Vec::new(),
    })
}

/// Adds what a network sees.
fn add(
    rows: &mut [Option<StripRow>],
    images: &Arc<dyn Dataset>,
    network: &Network,
    classes: &[String],
) -> Result<()> {
    let all = (0..images.len()).map(|index| (index, Target::PREDICTED));
    let maps = grad_cams(network, images, &all.collect::<Vec<_>>())?;
    let mut captions = vec![String::new(); images.len()];
    for_each_batch(network, images, IMAGES, &mut |_| (), |batch| {
        let scores = batch.values.chunks_exact(classes.len());
        for (&index, scores) in batch.indices.iter().zip(scores) {
            let best = top_k(scores, 1)?[0];
            let probability = 100. * best.probability;
            captions[index] = format!("{} {probability:.0} %", classes[best.index]);
        }
        Ok(())
    })?;
    for (index, (row, caption)) in rows.iter_mut().zip(captions).enumerate() {
        if let (Some(row), Some(map)) = (row, maps.get(&index)) {
            let seen: Image = overlay(&row.image, map, network.preprocessing())?;
            row.cells.push((seen, caption));
        }
    }
    Ok(())
}
