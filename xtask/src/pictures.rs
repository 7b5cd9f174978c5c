//! The pictures of a run's report: mistakes and right examples, each with what the network looked
//! at.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Result;
use cnn_data::{BatchPlan, Dataset, Image};
use cnn_layers::FeatureMap;
use cnn_models::Network;
use cnn_transfer::{BestEpoch, Judged};
use cnn_viz::{
    Explainer, Heatmap, ImagePrediction, Method, PictureGroup, Target, overlay, thumbnail,
};

use crate::conclusion::Run;

/// Pictures in a group of mistakes, and right examples.
const MISTAKES: usize = 12;
const EXAMPLES: usize = 24;
/// Images explained in one pass.
const BATCH: usize = 8;
/// The longer side of a picture that is kept for the page at most.
const SIDE: usize = 384;

/// Worst mistakes, most confident mistakes and one right example per class.
pub(crate) fn groups(run: &Run<'_>, best: &BestEpoch) -> Result<Vec<PictureGroup>> {
    let dataset = &run.data.measured_on().images;
    let by = |key: fn(&Judged) -> f64| {
        let mut sorted: Vec<Judged> = best.measured.mistakes().copied().collect();
        sorted.sort_by(|a, b| key(a).total_cmp(&key(b)).then(a.index.cmp(&b.index)));
        sorted
    };
    let worst: Vec<Judged> = by(|judged| judged.label_probability)
        .into_iter()
        .take(MISTAKES)
        .collect();
    let is_shown = |judged: &Judged| worst.iter().any(|shown| shown.index == judged.index);
    let others = by(|judged| -judged.probability)
        .into_iter()
        .filter(|judged| !is_shown(judged));
    let confident: Vec<Judged> = others.take(MISTAKES).collect();
    let right: Vec<Judged> = best
        .measured
        .surest_right()
        .into_iter()
        .flatten()
        .take(EXAMPLES)
        .collect();

    let all: Vec<(usize, Target)> = [&worst, &confident, &right]
        .into_iter()
        .flatten()
        .map(|judged| (judged.index, Target::class(judged.prediction)))
        .collect();
    let maps = grad_cams(&best.network, dataset, &all)?;
    let names = cnn_transfer::class_names(&best.network);
    let picture = |judged: &Judged| {
        // One whose image has become unreadable meanwhile is left out.
        let image = dataset
            .content(judged.index)
            .and_then(|content| content.into_image())
            .ok()?;
        let path = dataset.id(judged.index);
        Some(
            explained(&image, maps.get(&judged.index), &best.network).map(
                |(image, explanation)| ImagePrediction {
                    image,
                    path: short(&path, run.data_name),
                    label: names[judged.label].clone(),
                    prediction: names[judged.prediction].clone(),
                    probability: judged.probability,
                    explanation,
                },
            ),
        )
    };
    let group = |title: &str, note: &str, judged: &[Judged]| {
        let pictures = judged
            .iter()
            .filter_map(picture)
            .collect::<Result<Vec<_>>>()?;
        Ok::<_, anyhow::Error>(PictureGroup {
            title: title.to_string(),
            note: Some(note.to_string()),
            pictures,
        })
    };
    Ok(vec![
        group(
            "Worst mistakes",
            "The images whose true class the network held least probable. Right of each: Grad-CAM, what spoke for the class that it predicted.",
            &worst,
        )?,
        group(
            "Most confident mistakes",
            "Of the others, those where it was surest of the wrong class.",
            &confident,
        )?,
        group(
            "One right example per class",
            "The image of each class that it recognised most surely.",
            &right,
        )?,
    ])
}

/// Grad-CAM of samples of a dataset, by their number; of those that can be read.
pub(crate) fn grad_cams(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    targets: &[(usize, Target)],
) -> Result<BTreeMap<usize, Heatmap>> {
    let target_of: BTreeMap<usize, Target> = targets.iter().cloned().collect();
    let mut maps = BTreeMap::new();
    if target_of.is_empty() {
        return Ok(maps);
    }
    let explainer = Explainer::new(network.model());
    let plan = BatchPlan::new(dataset.clone(), network.preprocessing().clone())
        .with_order(target_of.keys().copied().collect())
        .with_batch_size(BATCH);
    for batch in plan.start()? {
        let batch = batch?;
        let targets: Vec<Target> = batch
            .indices
            .iter()
            .map(|index| target_of[index].clone())
            .collect();
        let images = FeatureMap::from_nhwc(&batch.images)?;
        let explanation = explainer.explain(Method::GradCam, &images, &targets)?;
        maps.extend(batch.indices.into_iter().zip(explanation.maps));
    }
    Ok(maps)
}

/// The image and its map over it, small enough to be kept for the page.
fn explained(
    image: &Image,
    map: Option<&Heatmap>,
    network: &Network,
) -> Result<(Image, Option<Image>)> {
    let image = thumbnail(image, SIDE)?;
    let explanation = map
        .map(|map| overlay(&image, map, network.preprocessing()))
        .transpose()?;
    Ok((image, explanation))
}

/// The name within the data's folder, which the page names already.
pub(crate) fn short(id: &str, data_name: &str) -> String {
    Path::new(id)
        .strip_prefix(data_name)
        .map_or(id, |path| path.to_str().unwrap_or(id))
        .to_string()
}
