//! Findings one by one: what they are, what they save, and what is none.

use std::sync::Arc;

use cnn_data::Dataset;
use cnn_models::{ModelConfig, Network, find};
use cnn_viz::{FilterKind, Finding, Inspection, Removal};

use crate::common::Noise;
use crate::support::{change_row, copy, inspected, largest_change, logits, remove, row};

fn noise(images: usize, side: usize) -> Arc<dyn Dataset> {
    Arc::new(Noise {
        images,
        side,
        faint: 0..0,
    })
}

fn fresh(model: &str, seed: u64) -> Network {
    Network::new(model, &ModelConfig::default(), seed).unwrap()
}

fn only(inspection: &Inspection) -> &Finding {
    assert_eq!(inspection.findings.len(), 1, "{:?}", inspection.findings);
    &inspection.findings[0]
}

fn set(network: &Network, name: &str, channel: usize, value: f32) {
    change_row(network, name, channel, |row| row.fill(value));
}

/// Lets every filter of a network without norms fire, whatever it sees.
fn make_positive(network: &Network) {
    for (name, tensor) in network.store().tensors() {
        let least = if name.ends_with("bias") { 2. } else { 0. };
        network
            .store()
            .set(&name, &(tensor.abs().unwrap() + least).unwrap())
            .unwrap();
    }
}

#[test]
fn in_a_network_with_nothing_wrong_nothing_is_found() {
    for seed in 0..3 {
        let inspection = inspected(&fresh("resnet8_cifar10", seed), &noise(32, 32), 0);
        assert!(
            inspection.findings.is_empty(),
            "seed {seed}: {:?}",
            inspection.findings
        );
        assert_eq!((inspection.images, inspection.totals.removable), (32, 0));
    }
}

#[test]
fn in_a_fresh_deep_network_only_filters_that_chance_has_killed_are_found() {
    let (images, dataset) = ((0..32).collect::<Vec<_>>(), noise(32, 32));
    for seed in 0..2 {
        let network = fresh("resnet20_cifar10", seed);
        let before = logits(&network, &dataset, &images);
        let inspection = inspected(&network, &dataset, 0);
        assert!(inspection.findings.len() < 20, "{:?}", inspection.findings);
        for finding in &inspection.findings {
            let without = copy(&network);
            remove(&without, &[finding]);
            let change = largest_change(&before, &logits(&without, &dataset, &images));
            assert!(
                finding.kind == FilterKind::NeverActive && change == 0.,
                "{finding:?}: {change}"
            );
        }
    }
}

#[test]
fn a_copy_of_a_filter_is_merged_into_the_first() {
    let network = fresh("resnet8_cifar10", 0);
    for name in [
        "layer2.0.conv1.weight",
        "layer2.0.bn1.weight",
        "layer2.0.bn1.bias",
    ] {
        let original = row(&network, name, 5);
        change_row(&network, name, 19, |row| row.copy_from_slice(&original));
    }
    let inspection = inspected(&network, &noise(16, 32), 0);
    let finding = only(&inspection);
    assert_eq!(
        (finding.layer.as_str(), finding.channel, finding.kind),
        ("layer2.0.conv1", 19, FilterKind::Duplicate)
    );
    assert_eq!(
        (finding.removal, finding.max_logit_change),
        (Removal::Merge { into: 5 }, 0.)
    );
    // Its 16·3·3 weights with scale and shift, and what reads it: 32 filters' 3·3 weights.
    assert_eq!(finding.parameters, 16 * 9 + 2 + 32 * 9);
    assert_eq!(finding.multiply_adds, (16 * 9 + 32 * 9) * 256);
}

#[test]
fn a_filter_that_does_the_same_with_other_weights_is_a_duplicate() {
    let network = fresh("resnet8_cifar10", 0);
    let original = row(&network, "layer3.0.conv1.weight", 7);
    change_row(&network, "layer3.0.conv1.weight", 40, |row| {
        row.iter_mut().zip(&original).for_each(|(w, o)| *w = 2. * o)
    });
    // (2x − 0) / √(v + ε) · ½
    set(&network, "layer3.0.bn1.weight", 40, 0.5);
    let inspection = inspected(&network, &noise(16, 32), 0);
    let finding = only(&inspection);
    assert_eq!(
        (finding.channel, finding.removal),
        (40, Removal::Merge { into: 7 })
    );
}

#[test]
fn filters_of_different_groups_are_no_duplicates() {
    let network = fresh("mobilenetv2_035", 0);
    let original = row(&network, "blocks.1.0.conv_dw.weight", 0);
    change_row(&network, "blocks.1.0.conv_dw.weight", 1, |row| {
        row.copy_from_slice(&original)
    });
    // The two channels that they read are the same, so they are, but not by their weights.
    for name in ["blocks.1.0.conv_pw.weight", "blocks.1.0.bn1.weight"] {
        let original = row(&network, name, 0);
        change_row(&network, name, 1, |row| row.copy_from_slice(&original));
    }
    let inspection = inspected(&network, &noise(4, 64), 0);
    let found = |layer: &str| {
        inspection
            .findings_of(layer)
            .any(|finding| finding.kind == FilterKind::Duplicate)
    };
    assert!(found("blocks.1.0.conv_pw") && !found("blocks.1.0.conv_dw"));
}

#[test]
fn a_scale_next_to_zero_is_found_where_no_logit_depends_on_it() {
    let network = fresh("resnet8_cifar10", 0);
    let norm = "layer2.0.bn1";
    for (channel, scale) in [(3, 1e-9), (4, 5e-3), (5, 5e-3)] {
        set(&network, &format!("{norm}.weight"), channel, scale);
        set(&network, &format!("{norm}.bias"), channel, 0.25);
    }
    // Nobody reads the last one.
    let weights = network.store().get("layer2.0.conv2.weight").unwrap();
    for filter in 0..weights.dims()[0] {
        change_row(&network, "layer2.0.conv2.weight", filter, |row| {
            row[5 * 9..6 * 9].fill(0.)
        });
    }
    let dataset = noise(16, 32);
    let inspection = inspected(&network, &dataset, 0);
    let of_layer: Vec<&Finding> = inspection.findings_of("layer2.0.conv1").collect();
    let kinds: Vec<_> = of_layer
        .iter()
        .map(|finding| (finding.channel, finding.kind))
        .collect();
    assert_eq!(
        kinds,
        [(3, FilterKind::Constant), (5, FilterKind::NearZeroScale)]
    );
    for finding in of_layer {
        let Removal::Fold { value } = finding.removal else {
            panic!("{finding:?}")
        };
        assert!((value - 0.25).abs() < 1e-2, "{finding:?}");
        assert!(finding.max_logit_change <= Inspection::LIMIT);
    }
    let without = copy(&network);
    remove(&without, &inspection.findings.iter().collect::<Vec<_>>());
    let images: Vec<usize> = (0..16).collect();
    let change = largest_change(
        &logits(&network, &dataset, &images),
        &logits(&without, &dataset, &images),
    );
    assert!(change <= 1e-5, "{change}");
}

#[test]
fn a_filter_that_one_image_needs_is_none() {
    let network = fresh("resnet8_cifar10", 0);
    let norm = "layer2.0.bn1";
    let dataset = |images, faint| -> Arc<dyn Dataset> {
        Arc::new(Noise {
            images,
            side: 32,
            faint,
        })
    };
    // The last image, which comes in the third batch, shows fifty times the contrast of the others.
    let all = dataset(40, 0..39);
    let faint = dataset(39, 0..39);
    let last = 39;
    for channel in [4, 5] {
        set(&network, &format!("{norm}.weight"), channel, 1e-3);
        set(&network, &format!("{norm}.bias"), channel, 0.25);
    }
    for filter in 0..32 {
        change_row(&network, "layer2.0.conv2.weight", filter, |row| {
            row[5 * 9..6 * 9].fill(0.)
        });
    }
    // The scale with which the last image's logits depend on the filter by five times what is
    // allowed.
    let without = copy(&network);
    set(&without, &format!("{norm}.weight"), 4, 0.);
    let change = largest_change(
        &logits(&network, &all, &[last]),
        &logits(&without, &all, &[last]),
    );
    set(&network, &format!("{norm}.weight"), 4, 1e-3 * 5e-5 / change);
    let found = |dataset| -> Vec<usize> {
        let inspection = inspected(&network, dataset, 0);
        let channels = inspection
            .findings_of("layer2.0.conv1")
            .map(|finding| finding.channel);
        channels
            .filter(|channel| [4, 5].contains(channel))
            .collect()
    };
    assert_eq!(found(&faint), [4, 5]);
    assert_eq!(found(&all), [5]);
}

#[test]
fn what_a_finding_saves_is_counted_once_in_the_totals() {
    let network = fresh("squeezenet1_1", 0);
    make_positive(&network);
    // A squeeze filter and the filters that read it: 1×1 and 3×3, each of which is read by 32
    // filters of the next squeeze layer behind the concatenation.
    let dead = [
        ("features.4.squeeze", 2),
        ("features.4.expand1x1", 3),
        ("features.4.expand3x3", 9),
    ];
    for (layer, channel) in dead {
        set(&network, &format!("{layer}.weight"), channel, 0.);
        set(&network, &format!("{layer}.bias"), channel, 0.);
    }
    let inspection = inspected(&network, &noise(2, 64), 0);
    let finding = |(layer, channel): (&str, usize)| {
        inspection
            .findings
            .iter()
            .find(|finding| (finding.layer.as_str(), finding.channel) == (layer, channel))
            .unwrap()
    };
    let parameters = dead.map(|filter| finding(filter).parameters);
    let squeeze = 128 + 1 + 64 + 64 * 9;
    let expand1x1 = 16 + 1 + 32;
    let expand3x3 = 16 * 9 + 1 + 32;
    assert_eq!(parameters, [squeeze, expand1x1, expand3x3]);
    assert_eq!(inspection.findings.len(), 3, "{:?}", inspection.findings);
    // Both weights between the squeeze filter and the others would be counted twice.
    assert_eq!(
        inspection.totals.saves.parameters,
        squeeze + expand1x1 + expand3x3 - 1 - 9
    );
    assert_eq!(inspection.totals.parameters, network.spec().parameters);
    assert_eq!(
        inspection.totals.multiply_adds,
        network.spec().multiply_adds
    );
}

#[test]
fn a_class_that_never_occurs_is_not_saved() {
    let network = fresh("squeezenet1_1", 0);
    set(&network, "classifier.1.bias", 17, -1e3);
    let inspection = inspected(&network, &noise(2, 64), 0);
    let of_classes: Vec<&Finding> = inspection.findings_of("classifier.1").collect();
    assert!(of_classes.iter().any(|finding| finding.channel == 17));
    assert_eq!(inspection.totals.class_filters, of_classes.len());
    let others: usize = inspection
        .findings
        .iter()
        .filter(|finding| finding.layer != "classifier.1")
        .map(|finding| finding.parameters)
        .sum();
    assert!(inspection.totals.saves.parameters <= others);
}

#[test]
fn statistics_are_those_of_the_values() {
    let network = fresh("lenet5", 0);
    make_positive(&network);
    // Channel 2 is 0.75 everywhere.
    set(&network, "conv1.weight", 2, 0.);
    set(&network, "conv1.bias", 2, 0.75);
    let inspection = inspected(&network, &noise(3, 28), 0);
    let first = &inspection.layers[0];
    assert_eq!(
        (
            first.unit.conv.as_str(),
            first.unit.output,
            first.per_channel.len()
        ),
        ("conv1", [28, 28], 6)
    );
    let constant = first.per_channel[2];
    assert_eq!(
        (
            constant.min,
            constant.max,
            constant.mean,
            constant.variance,
            constant.zeros
        ),
        (0.75, 0.75, 0.75, 0., 0.)
    );
    let mean = first
        .per_channel
        .iter()
        .map(|channel| channel.mean)
        .sum::<f64>()
        / 6.;
    assert!((first.activations.mean - mean).abs() < 1e-12);
    assert!(
        (0. ..0.5).contains(&first.activations.zeros) && first.activations.min >= 0.,
        "{:?}",
        first.activations
    );
    assert_eq!(first.weights.zeros, 1. / 6.);
    let others: Vec<(&str, &str)> = inspection
        .other_layers
        .iter()
        .map(|layer| (layer.layer.as_str(), layer.kind.name()))
        .collect();
    assert_eq!(
        others,
        [
            ("fc1", "linear"),
            ("act3", "relu"),
            ("fc2", "linear"),
            ("act4", "relu"),
            ("fc3", "linear")
        ]
    );
    let finding = only(&inspection);
    assert_eq!(finding.removal, Removal::Fold { value: 0.75 });
}

#[test]
fn f64_networks_are_inspected_likewise() {
    let config = ModelConfig::default();
    let network = Network::with_dtype(
        *find("resnet8_cifar10").unwrap(),
        &config,
        0,
        candle_core::DType::F64,
    )
    .unwrap();
    let single = fresh("resnet8_cifar10", 0);
    for name in network.store().names() {
        network
            .store()
            .set(&name, &single.store().get(&name).unwrap())
            .unwrap();
    }
    let weight = network.store().get("layer1.0.bn1.bias").unwrap();
    let mut values = weight.to_vec1::<f64>().unwrap();
    values[3] = -1e3;
    network
        .store()
        .set(
            "layer1.0.bn1.bias",
            &candle_core::Tensor::new(values, weight.device()).unwrap(),
        )
        .unwrap();
    let inspection = inspected(&network, &noise(4, 32), 0);
    let finding = only(&inspection);
    assert_eq!(
        (finding.layer.as_str(), finding.channel, finding.removal),
        ("layer1.0.conv1", 3, Removal::Drop)
    );
}

#[test]
fn a_network_that_gives_no_numbers_is_inspected_too() {
    let network = fresh("resnet8_cifar10", 0);
    set(&network, "layer2.0.conv1.weight", 3, f32::NAN);
    set(&network, "layer1.0.bn1.bias", 3, f32::INFINITY);
    let inspection = inspected(&network, &noise(2, 32), 0);
    assert!(serde_json::to_string(&inspection).unwrap().contains("null"));
    #[cfg(feature = "report")]
    {
        let filters = Some(inspection.report("noise", None));
        let report = cnn_viz::Report {
            filters,
            ..cnn_viz::Report::default()
        };
        assert!(report.to_html().unwrap().ends_with("</html>"));
    }
}
