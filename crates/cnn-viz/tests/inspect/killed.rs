//! A fifth of all filters is killed by hand.

use std::collections::BTreeSet;
use std::sync::Arc;

use cnn_core::Key;
use cnn_data::{Dataset, PhotoList, Split, open_dataset};
use cnn_models::Network;
use cnn_viz::{FilterGraph, FilterKind, FilterUnit, Finding, Inspection};

use crate::common::shared;
use crate::support::{
    activation, change_row, copy, inspected, largest_change, logits, published, remove,
};

const LIMIT: f32 = 1e-5;
/// Findings that are removed one at a time.
const ALONE: usize = 12;

/// Ways in which training kills a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    /// Weight decay has taken its weights, its scale and its shift, or its bias.
    Everything,
    /// Its weights are 0, the norm gives its constant.
    Weights,
    /// The norm's shift, or the bias, keeps the rectifier from firing.
    Shift,
    /// The norm's scale is 0.
    Scale,
}

impl Death {
    /// One that the unit can die.
    fn of(unit: &FilterUnit, number: usize) -> Self {
        let rectified = activation(unit).is_some();
        let ways: &[Self] = match (&unit.norm, rectified) {
            (Some(_), true) => &[Self::Everything, Self::Weights, Self::Shift, Self::Scale],
            (Some(_), false) => &[Self::Everything, Self::Weights, Self::Scale],
            (None, _) => &[Self::Everything, Self::Shift],
        };
        ways[number % ways.len()]
    }

    fn kill(self, network: &Network, unit: &FilterUnit, channel: usize) {
        let weight = format!("{}.weight", unit.conv);
        let shift = format!("{}.bias", unit.norm.as_ref().unwrap_or(&unit.conv));
        let set =
            |name: &str, value: f32| change_row(network, name, channel, |row| row.fill(value));
        if matches!(self, Self::Everything | Self::Weights) {
            set(&weight, 0.);
        }
        if let (Some(norm), Self::Everything | Self::Scale) = (&unit.norm, self) {
            set(&format!("{norm}.weight"), 0.);
        }
        match self {
            Self::Everything => set(&shift, 0.),
            Self::Shift => set(&shift, -1e3),
            Self::Weights | Self::Scale => {}
        }
    }
}

/// Kills a fifth of all filters and returns which.
fn kill_a_fifth(network: &Network, seed: u64) -> BTreeSet<(String, usize)> {
    let units = FilterGraph::of(network).unwrap().units;
    let filters: Vec<(usize, usize)> = units
        .iter()
        .enumerate()
        .flat_map(|(unit, found)| (0..found.channels).map(move |channel| (unit, channel)))
        .collect();
    let chosen = Key::new(seed)
        .stream("killed")
        .rng()
        .choice(filters.len(), filters.len() / 5)
        .unwrap();
    let kill = |(number, &place): (usize, &usize)| {
        let unit = &units[filters[place].0];
        let channel = filters[place].1;
        Death::of(unit, number).kill(network, unit, channel);
        (unit.conv.clone(), channel)
    };
    chosen.iter().enumerate().map(kill).collect()
}

fn found(inspection: &Inspection) -> BTreeSet<(String, usize)> {
    inspection
        .findings
        .iter()
        .map(|finding| (finding.layer.clone(), finding.channel))
        .collect()
}

/// Every finding can be removed: all together, and some of them alone, those that were not killed
/// first.
fn check_removal(
    network: &Network,
    inspection: &Inspection,
    dataset: &Arc<dyn Dataset>,
    killed: &BTreeSet<(String, usize)>,
) {
    let images: Vec<usize> = (0..inspection.images)
        .map(|place| place * dataset.len() / inspection.images)
        .collect();
    let before = logits(network, dataset, &images);
    let without = |findings: &[&Finding]| {
        let copy = copy(network);
        remove(&copy, findings);
        largest_change(&before, &logits(&copy, dataset, &images))
    };
    let change = without(&inspection.findings.iter().collect::<Vec<_>>());
    assert!(
        change <= LIMIT,
        "all findings together change a logit by {change}"
    );
    let was_killed =
        |finding: &&Finding| killed.contains(&(finding.layer.clone(), finding.channel));
    let (of_killed, others): (Vec<&Finding>, Vec<&Finding>) =
        inspection.findings.iter().partition(was_killed);
    for findings in [others, of_killed] {
        for place in Key::new(3)
            .rng()
            .choice(findings.len(), (ALONE / 2).min(findings.len()))
            .unwrap()
        {
            let change = without(&[findings[place]]);
            assert!(
                change <= LIMIT,
                "{:?} changes a logit by {change}",
                findings[place]
            );
        }
    }
}

fn check_killed(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    images: usize,
    seeds: std::ops::Range<u64>,
) {
    for seed in seeds {
        let network = copy(network);
        let killed = kill_a_fifth(&network, seed);
        let inspection = inspected(&network, dataset, images);
        let missing: Vec<_> = killed.difference(&found(&inspection)).cloned().collect();
        assert!(
            missing.is_empty(),
            "of {} killed filters {} were not found: {missing:?}",
            killed.len(),
            missing.len()
        );
        println!(
            "{}: {} of {} filters killed, {} found, change {:e}",
            network.spec().name,
            killed.len(),
            inspection.totals.filters,
            inspection.findings.len(),
            inspection.totals.max_logit_change
        );
        check_removal(&network, &inspection, dataset, &killed);
    }
}

fn photos() -> Option<Arc<dyn Dataset>> {
    Some(Arc::new(
        PhotoList::open(&[shared("data/imagenet_photos")?]).unwrap(),
    ))
}

#[test]
fn all_killed_filters_of_a_resnet_are_found() {
    let weights = "hub/resnet20_cifar10/resnet20-12fca82f.th";
    let Some(network) = published(weights, "resnet20_cifar10", None) else {
        return;
    };
    let dataset = open_dataset(&shared("data/cifar10").unwrap(), Split::Test).unwrap();
    check_killed(&network, &dataset, 128, 0..2);
}

#[test]
fn all_killed_filters_of_a_mobilenet_are_found() {
    let Some(network) = published(
        "hub/mobilenetv2_100.tf_in1k",
        "mobilenetv2_100",
        Some([96, 96]),
    ) else {
        return;
    };
    check_killed(&network, &photos().unwrap(), 40, 0..1);
}

#[test]
fn all_killed_filters_of_a_squeezenet_are_found() {
    let Some(network) = published(
        "hub/squeezenet1_1.caffe_in1k",
        "squeezenet1_1",
        Some([96, 96]),
    ) else {
        return;
    };
    check_killed(&network, &photos().unwrap(), 40, 0..1);
}

#[test]
fn the_kinds_are_those_of_the_deaths() {
    let network = Network::new("resnet8_cifar10", &cnn_models::ModelConfig::default(), 0).unwrap();
    let units = FilterGraph::of(&network).unwrap().units;
    let unit = &units[1];
    let norm = format!("{}.bias", unit.norm.as_ref().unwrap());
    for (channel, death) in [
        Death::Everything,
        Death::Weights,
        Death::Shift,
        Death::Scale,
    ]
    .into_iter()
    .enumerate()
    {
        change_row(&network, &norm, channel, |row| row.fill(0.5));
        death.kill(&network, unit, channel);
    }
    let dataset: Arc<dyn Dataset> = Arc::new(crate::common::Noise {
        images: 8,
        side: 32,
        faint: 0..0,
    });
    let inspection = inspected(&network, &dataset, 0);
    let kinds: Vec<_> = inspection
        .findings_of(&unit.conv)
        .map(|finding| (finding.channel, finding.kind))
        .collect();
    let never = FilterKind::NeverActive;
    let constant = FilterKind::Constant;
    assert_eq!(
        kinds,
        [(0, never), (1, constant), (2, never), (3, constant)]
    );
    assert!(
        inspection
            .findings
            .iter()
            .all(|finding| finding.exact && finding.max_logit_change == 0.)
    );
    let layer = inspection
        .layers
        .iter()
        .find(|layer| layer.unit.conv == unit.conv)
        .unwrap();
    assert_eq!((layer.counts.never_active, layer.counts.constant), (2, 2));
    assert_eq!(layer.dead_relus, Some(2. / 16.));
}
