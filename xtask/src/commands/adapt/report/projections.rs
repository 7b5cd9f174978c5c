//! The features of both domains as points of a plane.

use anyhow::Result;
use cnn_core::Key;
use cnn_data::Dataset;
use cnn_transfer::match_classes;
use cnn_viz::{
    CloudPoint, PointCloud, PointClouds, ReportSection, TsneConfig, principal_components, tsne,
};

use super::{DRAWN, Findings};
use crate::commands::adapt::analysis::{Features, ImageFeatures};

/// Images of both domains together at least: fewer make no picture.
const LEAST: usize = 8;

/// Principal components and t-SNE of the source alone and of the first methods; `None` where there
/// are too few images.
pub(super) fn section(findings: &Findings<'_>) -> Result<Option<ReportSection>> {
    let labels = Labels::of(findings)?;
    let mut clouds = Vec::new();
    let methods = findings.outcomes.methods.iter();
    for (outcome, method) in methods.zip(&findings.analysis.methods).take(1 + DRAWN) {
        let features = &method.features;
        let images = features.source.images.len() + features.target.images.len();
        if images >= LEAST && features.are_finite() {
            clouds.extend(labels.clouds(&outcome.name, features, findings.command.seed)?);
        }
    }
    if clouds.is_empty() {
        return Ok(None);
    }
    let mut notes = vec![
        "Each point is an image, placed by the features behind the bottleneck. The labels of the \
         target colour its points here, after the end, and nothing else."
            .to_string(),
    ];
    let methods = findings.outcomes.methods.len() - 1;
    if methods > DRAWN {
        notes.push(format!(
            "Drawn are the source alone and the first {DRAWN} of {methods} methods."
        ));
    }
    Ok(Some(ReportSection {
        title: "Features".to_string(),
        notes,
        points: Some(PointClouds {
            classes: findings.data.source.classes().to_vec(),
            kinds: ["source", "target"].map(str::to_string),
            clouds,
        }),
        ..ReportSection::default()
    }))
}

/// The classes of the images that are drawn, as the networks number them.
struct Labels {
    source: Vec<Option<usize>>,
    target: Vec<Option<usize>>,
}

impl Labels {
    fn of(findings: &Findings<'_>) -> Result<Self> {
        let sample = &findings.analysis.sample;
        let all = |images: &dyn Dataset| {
            let labels = (0..images.len()).map(|image| images.label(image));
            labels.collect::<Vec<_>>()
        };
        let mut target = all(sample.target.as_ref());
        if let Some(test) = &findings.data.test {
            let network = &findings.analysis.methods[0].network;
            let numbers = match_classes(network, test.as_ref())?.numbers;
            for label in &mut target {
                *label = label.and_then(|class| numbers.get(class).copied().flatten());
            }
        }
        Ok(Self {
            source: all(sample.source.as_ref()),
            target,
        })
    }

    /// Both pictures of a network.
    fn clouds(&self, name: &str, features: &Features, seed: u64) -> Result<[PointCloud; 2]> {
        let columns = features.columns;
        let values = [&features.source.values[..], &features.target.values].concat();
        let components = principal_components(&values, columns)?;
        let neighbours = (values.len() / columns - 1) as f64 / 3.;
        let config = TsneConfig {
            perplexity: TsneConfig::default().perplexity.min(neighbours),
            ..TsneConfig::default()
        };
        let embedded = tsne(&values, columns, &config, Key::new(seed).stream("t-SNE"))?;
        let [first, second] = components.explained.map(|share| 100. * share);
        Ok([
            PointCloud {
                title: format!("{name}, principal components"),
                note: Some(format!(
                    "{first:.0} % of the variance across, {second:.0} % upwards."
                )),
                points: self.points(features, &components.points),
            },
            PointCloud {
                title: format!("{name}, t-SNE"),
                note: Some(format!(
                    "Neighbours are neighbours, by a perplexity of {:.0}; far distances mean nothing.",
                    config.perplexity
                )),
                points: self.points(features, &embedded.points),
            },
        ])
    }

    fn points(&self, features: &Features, places: &[[f64; 2]]) -> Vec<CloudPoint> {
        let of = |domain: &ImageFeatures, labels: &[Option<usize>], is_cross: bool| {
            let classes = domain.images.iter().map(|&image| labels[image]);
            classes.map(|class| (class, is_cross)).collect::<Vec<_>>()
        };
        let source = of(&features.source, &self.source, false);
        let target = of(&features.target, &self.target, true);
        let points = source.into_iter().chain(target).zip(places);
        points
            .map(|((class, is_cross), &at)| CloudPoint {
                at,
                class,
                is_cross,
            })
            .collect()
    }
}
