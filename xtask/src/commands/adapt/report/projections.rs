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

/// Principal components and t-SNE of the source alone beside the first methods; none where there are
/// too few images.
pub(super) fn sections(findings: &Findings<'_>) -> Result<Vec<ReportSection>> {
    let labels = Labels::of(findings)?;
    let mut components = Vec::new();
    let mut embeddings = Vec::new();
    let methods = findings.outcomes.methods.iter();
    for (outcome, method) in methods.zip(&findings.analysis.methods).take(1 + DRAWN) {
        let features = &method.features;
        let images = features.source.images.len() + features.target.images.len();
        if images >= LEAST && features.are_finite() {
            let seed = findings.command.seed;
            components.push(labels.principal_components(&outcome.name, features)?);
            embeddings.push(labels.tsne(&outcome.name, features, seed)?);
        }
    }
    if components.is_empty() {
        return Ok(Vec::new());
    }
    let methods = findings.outcomes.methods.len() - 1;
    let left_out = (methods > DRAWN)
        .then(|| format!("Drawn are the source alone and the first {DRAWN} of {methods} methods."));
    let section = |title: &str, note: &str, clouds: Vec<PointCloud>| ReportSection {
        title: title.to_string(),
        notes: std::iter::once(note.to_string())
            .chain(left_out.clone())
            .collect(),
        points: Some(PointClouds {
            classes: findings.data.classes.clone(),
            kinds: ["source", "target"].map(str::to_string),
            clouds,
        }),
        ..ReportSection::default()
    };
    Ok(vec![
        section(
            "Features: principal components",
            "Each point is an image, placed by the features behind the bottleneck in the plane in \
             which these spread most. The labels of the target colour its points here, after the \
             end, and nothing else.",
            components,
        ),
        section(
            "Features: t-SNE",
            "The same features, so placed that neighbours are neighbours; directions and far \
             distances mean nothing.",
            embeddings,
        ),
    ])
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
            source: sample.source.as_deref().map_or_else(Vec::new, all),
            target,
        })
    }

    fn principal_components(&self, name: &str, features: &Features) -> Result<PointCloud> {
        let components = principal_components(&features.joined(), features.columns)?;
        let [first, second] = components.explained.map(|share| 100. * share);
        Ok(PointCloud {
            title: name.to_string(),
            note: Some(format!(
                "{first:.0} % of the variance across, {second:.0} % upwards."
            )),
            points: self.points(features, &components.points),
        })
    }

    fn tsne(&self, name: &str, features: &Features, seed: u64) -> Result<PointCloud> {
        let values = features.joined();
        let others = values.len() / features.columns - 1;
        let usual = TsneConfig::default();
        let config = TsneConfig {
            perplexity: usual.perplexity.min(others as f64 / 3.),
            ..usual
        };
        let key = Key::new(seed).stream("t-SNE");
        let embedded = tsne(&values, features.columns, &config, key)?;
        Ok(PointCloud {
            title: name.to_string(),
            note: None,
            points: self.points(features, &embedded.points),
        })
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
