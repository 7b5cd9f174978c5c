//! Units that do nothing go, and no output changes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Tensor};
use cnn_compress::{Groups, IdleReason, IdleUnits, KnownConstant, largest_change, without};
use cnn_models::{ModelConfig, Network, find};

use common::{images, stir};

fn network(model: &str) -> Network {
    let config = ModelConfig::default();
    let network = Network::with_dtype(*find(model).unwrap(), &config, 0, DType::F64).unwrap();
    stir(network.store());
    network
}

/// Changes single numbers of a vector.
fn set(network: &Network, tensor: &str, numbers: &[(usize, f64)]) {
    let mut values: Vec<f64> = network.store().get(tensor).unwrap().to_vec1().unwrap();
    for &(at, value) in numbers {
        values[at] = value;
    }
    let values = Tensor::new(values, &Device::Cpu).unwrap();
    network.store().set(tensor, &values).unwrap();
}

fn unit_of(groups: &Groups, layer: &str, channel: usize) -> usize {
    let units = groups.units_along(&format!("{layer}.weight"), 0).unwrap();
    units[channel].unwrap()
}

#[test]
fn filters_that_never_fire_go_exactly() {
    let network = network("resnet8_cifar10");
    // Below the rectifier, at it, and above it.
    set(
        &network,
        "layer1.0.bn1.weight",
        &[(3, 0.), (9, 0.), (12, 0.)],
    );
    set(
        &network,
        "layer1.0.bn1.bias",
        &[(3, -1.), (9, 0.), (12, 0.5)],
    );
    let groups = Groups::at_size(&network, [16, 20]).unwrap();
    let idle = IdleUnits::find(&groups, network.store(), &[]).unwrap();
    let unit = |channel| unit_of(&groups, "layer1.0.conv1", channel);
    let gone: Vec<usize> = idle.selection().removed().collect();
    assert_eq!(gone, [unit(3), unit(9)]);
    // The constant one is read through a border.
    let [kept] = idle.kept() else {
        panic!("{:?}", idle.kept());
    };
    assert_eq!((kept.unit, kept.reason), (unit(12), IdleReason::Padded));
    assert_eq!(kept.layer, "layer1.0.conv2");

    let smaller = idle.without(&network, &groups).unwrap();
    assert_eq!(smaller.config().model.widths["layer1.0.conv1"], 14);
    let images = images([2, 3, 16, 20]);
    assert!(largest_change(&network, &smaller, &images).unwrap() < 1e-12);
}

#[test]
fn constants_go_into_biases_and_means() {
    // A bottleneck's last convolution is 1×1, with a norm behind it.
    let network = network("resnet26d");
    set(&network, "layer2.1.bn2.weight", &[(5, 0.), (77, 0.)]);
    set(&network, "layer2.1.bn2.bias", &[(5, 0.75), (77, 2.)]);
    let groups = Groups::at_size(&network, [40, 33]).unwrap();
    let idle = IdleUnits::find(&groups, network.store(), &[]).unwrap();
    let gone: Vec<usize> = idle.selection().removed().collect();
    let expected = [5, 77].map(|channel| unit_of(&groups, "layer2.1.conv2", channel));
    assert_eq!(gone, expected);
    let smaller = idle.without(&network, &groups).unwrap();
    let images = images([2, 3, 40, 33]);
    let change = largest_change(&network, &smaller, &images).unwrap();
    assert!(change < 1e-11, "{change}");
    // Without what they added, it would be another network.
    let unfolded = without(&network, &groups, idle.selection()).unwrap();
    assert!(largest_change(&network, &unfolded, &images).unwrap() > 1e-6);
}

#[test]
fn a_linear_layer_takes_constants_of_a_flattened_map() {
    let network = network("lenet5");
    // A filter without weights gives its bias; the map behind it is read without a border.
    let weight = network.store().get("conv2.weight").unwrap();
    let mut filters: Vec<Tensor> = (0..weight.dims()[0])
        .map(|filter| weight.narrow(0, filter, 1).unwrap())
        .collect();
    filters[7] = filters[7].zeros_like().unwrap();
    let weight = Tensor::cat(&filters, 0).unwrap();
    network.store().set("conv2.weight", &weight).unwrap();
    set(&network, "conv2.bias", &[(7, 1.25)]);
    let groups = Groups::of(&network).unwrap();
    let idle = IdleUnits::find(&groups, network.store(), &[]).unwrap();
    let gone: Vec<usize> = idle.selection().removed().collect();
    assert_eq!(gone, [unit_of(&groups, "conv2", 7)]);
    let smaller = idle.without(&network, &groups).unwrap();
    let images = images([2, 1, 28, 28]);
    let change = largest_change(&network, &smaller, &images).unwrap();
    assert!(change < 1e-12, "{change}");
    let unfolded = without(&network, &groups, idle.selection()).unwrap();
    assert!(largest_change(&network, &unfolded, &images).unwrap() > 1e-3);
}

#[test]
fn what_images_show_counts_too_and_a_group_keeps_one() {
    let network = network("resnet8_cifar10");
    let groups = Groups::at_size(&network, [16, 20]).unwrap();
    let known = |channel| KnownConstant {
        layer: "layer2.0.bn1".to_string(),
        channel,
        value: -0.5,
    };
    let all: Vec<KnownConstant> = (0..32).map(known).collect();
    let idle = IdleUnits::find(&groups, network.store(), &all[..2]).unwrap();
    assert_eq!(idle.selection().removed().count(), 2);
    let idle = IdleUnits::find(&groups, network.store(), &all).unwrap();
    assert_eq!(idle.selection().removed().count(), 31);
    assert_eq!(idle.kept()[0].reason, IdleReason::LastOfGroup);
    assert!(
        IdleUnits::find(&groups, network.store(), &[])
            .unwrap()
            .kept()
            .is_empty()
    );
}
