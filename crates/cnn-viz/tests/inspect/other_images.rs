//! How far findings hold on images from which they were not made, and which images are taken.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cnn_data::{Content, Dataset, DatasetFormat, Error, Subset};
use cnn_models::{ModelConfig, Network};
use cnn_viz::{Finding, InspectConfig, Inspection, RarefactionPoint};

use crate::common::Noise;
use crate::support::{change_row, copy, inspect_with, inspected, largest_change, logits, remove};

const LAYER: &str = "layer1.0.conv1";
const NORM: &str = "layer1.0.bn1";
const CHANNEL: usize = 4;

/// Forty images of which the last, which is held out, has thirty times the contrast of the others.
fn one_strong() -> Arc<dyn Dataset> {
    Arc::new(Noise {
        images: 40,
        side: 32,
        faint: 0..39,
    })
}

fn part(
    dataset: &Arc<dyn Dataset>,
    wanted: impl Fn(&usize) -> bool,
) -> (Vec<usize>, Arc<dyn Dataset>) {
    let indices: Vec<usize> = (0..dataset.len()).filter(wanted).collect();
    (
        indices.clone(),
        Arc::new(Subset::new(dataset.clone(), indices).unwrap()),
    )
}

fn found(inspection: &Inspection) -> BTreeSet<(String, usize)> {
    inspection
        .findings
        .iter()
        .map(|finding| (finding.layer.clone(), finding.channel))
        .collect()
}

/// A network with a filter that fires on the last image alone.
fn with_a_rare_filter(dataset: &Arc<dyn Dataset>) -> Network {
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    let (_, faint) = part(dataset, |index| *index < 39);
    let largest = |dataset| {
        let inspection = inspected(&network, dataset, 0);
        inspection
            .layers
            .iter()
            .find(|layer| layer.unit.conv == LAYER)
            .unwrap()
            .per_channel[CHANNEL]
            .max
    };
    let faint = largest(&faint);
    let all = largest(dataset);
    assert!(faint < all, "{faint} {all}");
    change_row(&network, &format!("{NORM}.bias"), CHANNEL, |row| {
        row.fill(-f64::midpoint(faint, all) as f32)
    });
    network
}

#[test]
fn a_filter_that_only_a_held_out_image_needs_is_contradicted() {
    let dataset = one_strong();
    let network = with_a_rare_filter(&dataset);
    let inspection = inspected(&network, &dataset, 0);
    let held_out = inspection.held_out.unwrap();
    assert_eq!((held_out.made_from, held_out.images), (32, 8));
    // The claim is what the images that are not held out say by themselves.
    let (_, kept) = part(&dataset, |index| index % 5 != 4);
    let claim = inspected(&network, &kept, 0);
    assert!(found(&claim).contains(&(LAYER.to_string(), CHANNEL)));
    assert!(!found(&inspection).contains(&(LAYER.to_string(), CHANNEL)));
    assert_eq!(held_out.claimed, claim.findings.len());
    let contradicted = found(&claim).difference(&found(&inspection)).count();
    assert!(
        held_out.contradicted == contradicted && contradicted > 0,
        "{held_out:?}, expected {contradicted}"
    );
    // And that is what the others' logits make of it.
    let (others, _) = part(&dataset, |index| index % 5 == 4);
    let without = copy(&network);
    remove(&without, &claim.findings.iter().collect::<Vec<&Finding>>());
    let change = largest_change(
        &logits(&network, &dataset, &others),
        &logits(&without, &dataset, &others),
    );
    assert!(
        change > 1e-3
            && (held_out.max_logit_change - f64::from(change)).abs() < 1e-4 * f64::from(change),
        "{held_out:?}, expected {change}"
    );
}

#[test]
fn a_claim_that_holds_is_not_contradicted() {
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    change_row(&network, &format!("{NORM}.bias"), CHANNEL, |row| {
        row.fill(-1e3)
    });
    let dataset: Arc<dyn Dataset> = Arc::new(Noise {
        images: 20,
        side: 32,
        faint: 0..0,
    });
    let held_out = inspected(&network, &dataset, 0).held_out.unwrap();
    assert_eq!((held_out.made_from, held_out.images), (16, 4));
    assert_eq!(
        (
            held_out.claimed,
            held_out.contradicted,
            held_out.max_logit_change
        ),
        (1, 0, 0.)
    );
    assert_eq!(
        inspected(&network, &dataset, 10).held_out.unwrap().images,
        2
    );
    assert_eq!(inspected(&network, &dataset, 9).held_out, None);
}

#[test]
fn the_curve_ends_in_the_findings_and_falls_to_them() {
    let dataset = one_strong();
    let network = with_a_rare_filter(&dataset);
    let inspection = inspected(&network, &dataset, 0);
    let layer = inspection
        .layers
        .iter()
        .find(|layer| layer.unit.conv == LAYER)
        .unwrap();
    assert_eq!(layer.active_images[CHANNEL], 1);
    let curve = &inspection.rarefaction.counted;
    let images: Vec<usize> = curve.iter().map(|point| point.images).collect();
    assert_eq!(images, [16, 32, 40]);
    let exact = inspection
        .findings
        .iter()
        .filter(|finding| finding.exact)
        .count();
    assert_eq!(
        curve[2],
        RarefactionPoint {
            images: 40,
            filters: exact as f64
        }
    );
    // One that a single image of 40 contradicts is alive in 16 of them with probability 16 / 40.
    assert!(
        curve[0].filters >= curve[1].filters + 0.4 - 1e-9
            && curve[1].filters >= curve[2].filters + 0.2 - 1e-9,
        "{curve:?}"
    );
}

/// Images that cannot be read.
struct Unreadable(usize);

impl Dataset for Unreadable {
    fn format(&self) -> DatasetFormat {
        DatasetFormat::Photos
    }

    fn len(&self) -> usize {
        self.0
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn id(&self, index: usize) -> String {
        format!("unreadable #{index}")
    }

    fn label(&self, _index: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        Err(Error::NoSuchSample { index, len: 0 })
    }
}

#[test]
fn images_are_taken_as_time_allows_and_those_of_the_first_dataset_first() {
    let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
    let noise = |images| -> Arc<dyn Dataset> {
        Arc::new(Noise {
            images,
            side: 32,
            faint: 0..0,
        })
    };
    let taken = |datasets: &[Arc<dyn Dataset>], images, seconds| {
        let time = Some(Duration::from_secs(seconds));
        let inspection = inspect_with(
            &network,
            datasets,
            InspectConfig {
                images,
                time,
                ..InspectConfig::default()
            },
        );
        (inspection.images, inspection.skipped.len())
    };
    assert_eq!(taken(&[noise(100)], 0, 0), (32, 0));
    assert_eq!(taken(&[noise(40), noise(60)], 0, 100_000), (100, 0));
    assert_eq!(taken(&[noise(40), noise(60)], 50, 100_000), (50, 0));
    assert_eq!(taken(&[noise(20)], 0, 0), (20, 0));
    // Nothing is left of the first dataset before the second is begun, even where the first batch,
    // which is timed, holds nothing.
    assert_eq!(
        taken(&[Arc::new(Unreadable(18)), noise(60)], 0, 0),
        (14, 18)
    );
    assert_eq!(taken(&[noise(40), Arc::new(Unreadable(60))], 0, 0), (32, 0));
}
