//! The graph of every registered model computes what the model computes.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Tensor};
use cnn_graph::{Graph, OwnedValue};
use cnn_layers::{Context, Detector, FeatureMap, Mode, Segmenter, Store};
use cnn_models::{Kind, ModelConfig, ModelSpec, Network, SegmentationNetwork, models_of};

use common::{apart, images, stir};

/// The network with random weights and statistics, in f64.
fn network(spec: &ModelSpec, input_size: [usize; 2]) -> Network {
    let config = ModelConfig {
        num_classes: Some(7),
        input_size: Some(input_size),
        ..spec.reduced_config()
    };
    let network = Network::with_dtype(*spec, &config, 0, DType::F64).unwrap();
    stir(network.store());
    network
}

/// Sides that differ, and are odd where the model allows it.
fn input_size(spec: &ModelSpec) -> [usize; 2] {
    match spec.family {
        "lenet" => [21, 18],
        "resnet_cifar" => [23, 17],
        "inception_v3" | "inception_v4" => [97, 79],
        _ => [67, 65],
    }
}

#[test]
fn the_interpreter_gives_every_models_stages_and_logits() {
    for spec in models_of(Kind::Classification) {
        let [height, width] = input_size(spec);
        let network = network(spec, [height, width]);
        let model = network.build(Mode::Eval).unwrap();
        // Made from one image of zeros, run on two others.
        let shape = (1, spec.in_channels, height, width);
        let blank = Tensor::zeros(shape, DType::F64, &Device::Cpu).unwrap();
        let graph =
            Graph::of_classifier(model.as_ref(), &FeatureMap::from_nchw(&blank).unwrap()).unwrap();
        let images = images([2, spec.in_channels, height, width]);
        let found = graph.run(network.store(), &images).unwrap();
        let cx = Context::eval();
        let stages = model.forward_stages(&images, &cx).unwrap();
        assert_eq!(found.len(), stages.len() + 1, "{}", spec.name);
        for (stage, maps) in stages.into_iter().enumerate() {
            let difference = apart(&found[&format!("stage{stage}")], &maps.into());
            assert!(
                difference < 1e-12,
                "{} stage{stage}: {difference}",
                spec.name
            );
        }
        let logits: OwnedValue = model.forward(&images, &cx).unwrap().into();
        let difference = apart(&found["logits"], &logits);
        assert!(difference < 1e-12, "{} logits: {difference}", spec.name);
    }
}

#[test]
fn the_interpreter_gives_the_scores_of_every_pixel() {
    for spec in models_of(Kind::Segmentation) {
        let config = ModelConfig {
            num_classes: Some(5),
            ..ModelConfig::default()
        };
        let network = SegmentationNetwork::with_dtype(*spec, &config, 0, DType::F64).unwrap();
        stir(network.store());
        let model = network.build(Mode::Eval).unwrap();
        let shape = (1, spec.in_channels, 65, 70);
        let blank = Tensor::zeros(shape, DType::F64, &Device::Cpu).unwrap();
        let graph =
            Graph::of_segmenter(model.as_ref(), &FeatureMap::from_nchw(&blank).unwrap()).unwrap();
        let images = images([2, spec.in_channels, 65, 70]);
        let found = graph.run(network.store(), &images).unwrap();
        let logits: OwnedValue = model.forward(&images, &Context::eval()).unwrap().into();
        let difference = apart(&found["logits"], &logits);
        assert!(difference < 1e-12, "{} logits: {difference}", spec.name);

        let [channels, height, width] = spec.preprocessing().input_size;
        let blank = Tensor::zeros((1, channels, height, width), DType::F32, &Device::Cpu).unwrap();
        let store = Store::blank();
        let model: Box<dyn Segmenter> = spec
            .build(&ModelConfig::default(), &store.builder(Mode::Eval))
            .unwrap();
        let graph =
            Graph::of_segmenter(model.as_ref(), &FeatureMap::from_nchw(&blank).unwrap()).unwrap();
        let counts = (
            graph.parameter_count().unwrap(),
            graph.multiply_adds().unwrap(),
        );
        let published = (spec.parameters, spec.multiply_adds);
        assert_eq!(counts, published, "{}", spec.name);
    }
}

#[test]
fn parameters_and_multiply_adds_are_the_registrys() {
    for spec in models_of(Kind::Classification) {
        let [channels, height, width] = spec.preprocessing().input_size;
        let shape = (1, channels, height, width);
        let blank = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let store = Store::blank();
        let model = spec
            .build_classifier(&ModelConfig::default(), &store.builder(Mode::Eval))
            .unwrap();
        let graph =
            Graph::of_classifier(model.as_ref(), &FeatureMap::from_nchw(&blank).unwrap()).unwrap();
        let counts = (
            graph.parameter_count().unwrap(),
            graph.multiply_adds().unwrap(),
        );
        assert_eq!(
            counts,
            (spec.parameters, spec.multiply_adds),
            "{}",
            spec.name
        );
        // Every tensor of the store is some node's, with the shape that the node says; but for those
        // of the auxiliary heads, which are for training alone.
        let is_of_head = |name: &str| {
            let mut heads = spec.auxiliary.iter();
            heads.any(|head| name.starts_with(&format!("{head}.")))
        };
        let mut tensors: Vec<_> = graph
            .nodes()
            .iter()
            .flat_map(|node| node.tensors().unwrap())
            .map(|tensor| (tensor.name, tensor.shape))
            .collect();
        let mut stored: Vec<_> = store
            .entries()
            .into_iter()
            .filter(|entry| entry.dtype != DType::I64 && !is_of_head(&entry.name))
            .map(|entry| (entry.name, entry.shape))
            .collect();
        tensors.sort();
        stored.sort();
        assert_eq!(tensors, stored, "{}", spec.name);
    }
}

#[test]
fn counts_of_detectors_are_the_registrys() {
    let mut wrong = Vec::new();
    for spec in models_of(Kind::Detection) {
        let [channels, height, width] = spec.preprocessing().input_size;
        let shape = (1, channels, height, width);
        let blank = Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
        let store = Store::blank();
        let model: Box<dyn Detector> = spec
            .build(&ModelConfig::default(), &store.builder(Mode::Eval))
            .unwrap();
        let graph =
            Graph::of_detector(model.as_ref(), &FeatureMap::from_nchw(&blank).unwrap()).unwrap();
        let counts = (
            graph.parameter_count().unwrap(),
            graph.multiply_adds().unwrap(),
        );
        let published = (spec.parameters, spec.multiply_adds);
        if counts != published {
            wrong.push(format!("{}: {counts:?}, not {published:?}", spec.name));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
