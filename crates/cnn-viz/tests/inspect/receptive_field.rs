//! Receptive fields by experiment: which rows and columns of the image change a stage's middle
//! pixel.

use candle_core::{DType, Device, Tensor};
use cnn_layers::{Context, FeatureMap, Mode, TensorKind};
use cnn_models::{ModelConfig, Network, find};
use cnn_viz::{FilterGraph, ReceptiveField};

/// A network that passes on whatever it sees: its convolutions take means, its norms change
/// nothing.
fn transparent(model: &str, [height, width]: [usize; 2]) -> Network {
    let config = ModelConfig {
        input_size: Some([height, width]),
        ..ModelConfig::default()
    };
    // f64: the means of hundreds of layers' edges stay far from underflow, and its convolutions add
    // only what they read.
    let network = Network::with_dtype(*find(model).unwrap(), &config, 0, DType::F64).unwrap();
    for entry in network
        .store()
        .entries()
        .into_iter()
        .filter(|entry| entry.kind == TensorKind::Parameter)
    {
        let value = match (entry.shape.len(), entry.name.ends_with("weight")) {
            (4, _) => 1. / entry.shape[1..].iter().product::<usize>() as f64,
            (1, true) => 1.,
            _ => 0.,
        };
        let tensor = Tensor::full(value, entry.shape.as_slice(), &Device::Cpu).unwrap();
        network.store().set(&entry.name, &tensor).unwrap();
    }
    network
}

/// The number of rows (axis 0) or columns (axis 1) of the image that change the middle pixel of a
/// stage's output, found by bisection: on a black image that pixel is 0.
fn extent(model: &str, stage: usize, axis: usize, length: usize, other: usize) -> usize {
    let size = if axis == 0 {
        [length, other]
    } else {
        [other, length]
    };
    let network = transparent(model, size);
    let model = network.build(Mode::Eval).unwrap();
    let channels = network.preprocessing().input_size[0];
    let changes = |lit: std::ops::Range<usize>| {
        let pixel = |place: usize| {
            let along = if axis == 0 {
                place / size[1]
            } else {
                place % size[1]
            };
            if lit.contains(&along) { 1e6 } else { 0. }
        };
        let values: Vec<f64> = (0..size[0] * size[1])
            .flat_map(|place| std::iter::repeat_n(pixel(place), channels))
            .collect();
        let image =
            Tensor::from_vec(values, (1, size[0], size[1], channels), &Device::Cpu).unwrap();
        let maps = model
            .forward_stages(&FeatureMap::from_nhwc(&image).unwrap(), &Context::eval())
            .unwrap();
        let map = maps[stage].to_nchw().unwrap();
        let (_, _, rows, columns) = map.dims4().unwrap();
        let middle = map
            .get(0)
            .unwrap()
            .narrow(1, rows / 2, 1)
            .unwrap()
            .narrow(2, columns / 2, 1)
            .unwrap();
        middle.max_all().unwrap().to_scalar::<f64>().unwrap() > 0.
    };
    let first = partition(length, |end| changes(0..end)) - 1;
    let last = length - partition(length, |count| changes(length - count..length));
    assert!(
        first > 0 && last + 1 < length,
        "the image is smaller than the field"
    );
    last - first + 1
}

/// The least count for which `holds`, which holds for all larger ones.
fn partition(length: usize, holds: impl Fn(usize) -> bool) -> usize {
    let mut fails = 0;
    let mut works = length;
    while works - fails > 1 {
        let middle = usize::midpoint(fails, works);
        if holds(middle) {
            works = middle
        } else {
            fails = middle
        }
    }
    works
}

fn fields(model: &str) -> Vec<ReceptiveField> {
    let network = Network::new(model, &ModelConfig::default(), 0).unwrap();
    FilterGraph::of(&network)
        .unwrap()
        .stages
        .iter()
        .map(|stage| stage.receptive_field.unwrap())
        .collect()
}

/// Compares stages with the experiment, along both axes.
fn check(model: &str, stages: &[usize], length: usize, other: usize) {
    let fields = fields(model);
    for &stage in stages {
        let ReceptiveField::Pixels { size, .. } = fields[stage] else {
            panic!("{model}: {:?}", fields[stage])
        };
        let measured = [0, 1].map(|axis| extent(model, stage, axis, length, other));
        assert_eq!(size, measured, "{model}, stage {stage}");
    }
}

#[test]
fn fields_are_what_changes_a_pixel() {
    check("lenet5", &[0, 1], 64, 16);
    check("resnet20_cifar10", &[0, 1, 3], 160, 8);
    check("squeezenet1_1", &[1, 3], 480, 40);
    check("resnet18", &[1, 2], 256, 32);
    check("mobilenetv2_035", &[1, 2], 128, 32);
}

#[test]
fn the_deepest_fields_are_what_changes_a_pixel() {
    check("resnet18", &[3], 480, 32);
    check("mobilenetv2_035", &[4], 1024, 32);
}

#[test]
fn fields_and_jumps_are_the_published_ones() {
    // Araujo et al., Distill 2019: ResNet-50 483 with the stride in the first 1×1 convolution; in
    // the 3×3 one, as here, 427 by the same arithmetic.
    let pixels = |side: usize, jump: usize| ReceptiveField::Pixels {
        size: [side; 2],
        jump: [jump; 2],
    };
    assert_eq!(fields("resnet50").last(), Some(&pixels(427, 32)));
    assert_eq!(fields("resnet18").last(), Some(&pixels(435, 32)));
    assert_eq!(fields("mobilenetv2_100").last(), Some(&pixels(491, 32)));
    // 5×5, 2×2 by 2, 5×5, 2×2 by 2: 5 + 1 = 6, 6 + 4·2 = 14, 14 + 2 = 16.
    assert_eq!(fields("lenet5"), [pixels(6, 2), pixels(16, 4)]);
    // 3×3 by 2: 3; pooling 3×3 by 2: 7; two Fire modules of 3×3 each: 15, 23.
    assert_eq!(fields("squeezenet1_1")[..2], [pixels(3, 2), pixels(23, 4)]);
}
