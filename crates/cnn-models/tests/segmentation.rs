//! Networks that tell the class of every pixel: the contract, for every registered one.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Tensor};
use cnn_core::Key;
use cnn_layers::{Context, FeatureMap, Mode, Segmenter, Store};
use cnn_models::{
    Error, Kind, LoadOptions, ModelConfig, ModelSpec, Network, SegmentationNetwork, find, kind_of,
    models_of,
};

use cnn_weights::save_safetensors;
use common::smallest_of_each_family;

const CLASSES: usize = 4;

fn images(height: usize, width: usize) -> FeatureMap {
    let mut values = vec![0f32; height * width * 3];
    Key::new(7).rng().fill_uniform(&mut values, -1., 1.);
    let shape = (1, height, width, 3);
    FeatureMap::from_nhwc(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
}

fn values(maps: &FeatureMap) -> Vec<f32> {
    let flat = maps.to_nhwc().detach().flatten_all().unwrap();
    flat.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

fn largest_difference(a: &FeatureMap, b: &FeatureMap) -> f32 {
    assert_eq!(a.dims(), b.dims());
    let a = values(a);
    let b = values(b);
    let scale = a
        .iter()
        .fold(1e-6f32, |scale, value| scale.max(value.abs()));
    let differences = a.iter().zip(&b).map(|(a, b)| (a - b).abs());
    differences.fold(0f32, f32::max) / scale
}

fn config() -> ModelConfig {
    ModelConfig {
        num_classes: Some(CLASSES),
        ..ModelConfig::default()
    }
}

fn segmenters() -> impl Iterator<Item = &'static ModelSpec> {
    models_of(Kind::Segmentation)
}

#[test]
fn scores_have_the_images_size_and_inference_gives_the_same() {
    for spec in segmenters() {
        let network = SegmentationNetwork::of(*spec, &config(), 1).unwrap();
        let fast = network.build(Mode::Inference).unwrap();
        for (height, width) in [(64, 96), (71, 93)] {
            let xs = images(height, width);
            let cx = Context::eval();
            let logits = network.model().forward(&xs, &cx).unwrap();
            assert_eq!(logits.dims(), [1, height, width, CLASSES], "{}", spec.name);
            let difference = largest_difference(&logits, &fast.forward(&xs, &cx).unwrap());
            assert!(difference < 1e-3, "{}: {difference:.1e}", spec.name);
        }
    }
}

#[test]
fn going_on_from_any_stage_gives_the_same() {
    for spec in segmenters() {
        let store = Store::new(1);
        let model: Box<dyn Segmenter> = spec.build(&config(), &store.builder(Mode::Eval)).unwrap();
        let xs = images(64, 96);
        let cx = Context::eval();
        let logits = model.forward(&xs, &cx).unwrap();
        let maps = model.forward_stages(&xs, &cx).unwrap();
        assert_eq!(maps.len(), model.stages().len(), "{}", spec.name);
        for (map, stage) in maps.iter().zip(model.stages()) {
            assert_eq!(map.channels(), stage.channels, "{}", spec.name);
        }
        for given in 1..=maps.len() {
            let begun = maps[..given].to_vec();
            let again = model.forward_from(&xs, begun, &cx).unwrap();
            assert_eq!(values(&again), values(&logits), "{} {given}", spec.name);
        }
        assert!(model.forward_from(&xs, Vec::new(), &cx).is_err());
    }
}

#[test]
fn every_tensor_is_in_one_group_and_the_count_is_the_published_one() {
    for spec in segmenters() {
        let store = Store::blank();
        let config = ModelConfig::default();
        let model: Box<dyn Segmenter> = spec.build(&config, &store.builder(Mode::Eval)).unwrap();
        for name in store.names() {
            let groups = model.layer_groups().iter();
            let found = groups.filter(|group| group.contains(&name)).count();
            assert_eq!(found, 1, "{}: {name}", spec.name);
        }
        let is_auxiliary = |name: &str| {
            let mut modules = spec.auxiliary.iter();
            modules.any(|module| name.starts_with(module))
        };
        let entries = store.entries().into_iter();
        let parameters = entries
            .filter(|entry| entry.kind == cnn_layers::TensorKind::Parameter)
            .filter(|entry| !is_auxiliary(&entry.name));
        let count: usize = parameters
            .map(|entry| entry.shape.iter().product::<usize>())
            .sum();
        assert_eq!(count, spec.parameters, "{}", spec.name);
        let head = model.layer_groups().last().unwrap();
        assert!(head.contains(&format!("{}.weight", spec.classifier)));
        for module in spec.first_convs(&config) {
            assert!(store.get(&format!("{module}.weight")).is_ok(), "{module}");
        }
    }
}

#[test]
fn a_saved_network_is_loaded_with_its_kind_and_with_a_new_head() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["unet", "smp_unet", "lraspp_mobilenet_v3_large"] {
        let at = directory.path().join(name);
        let config = match name {
            "unet" => config().with_arg("width", 4).with_arg("depth", 2),
            "smp_unet" => config().with_arg("backbone", "test_resnet"),
            _ => config(),
        };
        let mut network = SegmentationNetwork::new(name, &config, 3).unwrap();
        let names = ["a", "b", "c", "d"].map(String::from);
        network.set_label_names(names.to_vec()).unwrap();
        network.save(&at).unwrap();
        assert_eq!(kind_of(&at).unwrap(), Some(Kind::Segmentation));

        let options = LoadOptions::default();
        let again = SegmentationNetwork::load(&at, &options).unwrap();
        assert_eq!(again.label_names().unwrap(), names);
        let xs = images(64, 64);
        let cx = Context::eval();
        let logits = |network: &SegmentationNetwork| network.model().forward(&xs, &cx).unwrap();
        assert_eq!(values(&logits(&network)), values(&logits(&again)), "{name}");

        let options = LoadOptions {
            num_classes: Some(7),
            ..LoadOptions::default()
        };
        let other = SegmentationNetwork::load(&at, &options).unwrap();
        assert_eq!(logits(&other).channels(), 7);

        // Who asks for a classifier is told what it is.
        let error = Network::load(&at, &LoadOptions::default()).unwrap_err();
        assert!(matches!(error, Error::OtherKind { .. }), "{error}");
        let message = error.to_string();
        assert!(
            message.ends_with("is a model for segmentation, expected one for classification"),
            "{message}"
        );
    }
}

/// The weights of a classifier of every family that has stages become those of the backbone.
#[test]
fn every_backbone_takes_its_weights_along() {
    let cx = Context::eval();
    for spec in smallest_of_each_family() {
        if spec.in_channels != 3 {
            continue;
        }
        let classifier = Network::of(*spec, &spec.reduced_config(), 5).unwrap();
        let unet = *find("smp_unet").unwrap();
        let network = match SegmentationNetwork::over(unet, &classifier, &config(), 0) {
            Ok(network) => network,
            Err(error) => {
                let message = error.to_string();
                assert!(
                    message.contains("maps of the backbone"),
                    "{}: {message}",
                    spec.name
                );
                continue;
            }
        };
        let xs = images(96, 128);
        let ours = network.model().forward_stages(&xs, &cx).unwrap();
        let theirs = classifier.model().forward_stages(&xs, &cx).unwrap();
        for (stage, map) in network.model().stages().iter().zip(&ours) {
            let is_same = |other: &&FeatureMap| other.dims() == map.dims();
            let mut candidates = theirs.iter().filter(is_same);
            let found = candidates.any(|other| values(other) == values(map));
            assert!(found, "{} {}", spec.name, stage.module);
        }
        let logits = network.model().forward(&xs, &cx).unwrap();
        assert_eq!(logits.dims(), [1, 96, 128, CLASSES], "{}", spec.name);
    }
}

/// What `Unet("resnet34")` of segmentation_models.pytorch saves differs from `Unet("tu-resnet34")` in
/// where the encoder lies.
#[test]
fn the_librarys_own_resnets_load_too() {
    let scratch = tempfile::tempdir().unwrap();
    for name in ["smp_unet", "smp_deeplabv3plus"] {
        let network = SegmentationNetwork::new(name, &config(), 3).unwrap();
        let theirs =
            |(name, tensor): (String, Tensor)| (name.replace("encoder.model.", "encoder."), tensor);
        let tensors: Vec<(String, Tensor)> =
            network.store().tensors().into_iter().map(theirs).collect();
        let names = || tensors.iter().map(|(name, _)| name.as_str());
        assert!(names().any(|name| name == "encoder.layer4.2.conv1.weight"));
        let path = scratch.path().join(format!("{name}.safetensors"));
        save_safetensors(&path, &tensors, &Default::default()).unwrap();
        let options = LoadOptions {
            num_classes: Some(CLASSES),
            ..LoadOptions::of(*find(name).unwrap())
        };
        let loaded = SegmentationNetwork::load(&path, &options).unwrap();
        let images = images(32, 64);
        let scores = |network: &SegmentationNetwork| {
            let model = network.model();
            values(&model.forward(&images, &Context::eval()).unwrap())
        };
        assert_eq!(scores(&loaded), scores(&network), "{name}");
    }
}

/// What a classifier was built with stays: the channels of its images, and what is left of its own.
#[test]
fn a_backbone_is_built_as_the_classifier_was() {
    let grey = ModelConfig {
        in_channels: Some(1),
        widths: [("layer1.0.conv1".to_string(), 9)].into(),
        ..ModelConfig::default()
    };
    let classifier = Network::new("test_resnet", &grey, 5).unwrap();
    let unet = *find("smp_unet").unwrap();
    let network = SegmentationNetwork::over(unet, &classifier, &config(), 0).unwrap();
    let stem = network.store().get("encoder.model.conv1.0.weight").unwrap();
    assert_eq!(stem.dims()[1], 1);
    let pruned = network.store().get("encoder.model.layer1.0.conv1.weight");
    assert_eq!(pruned.unwrap().dims()[0], 9);
    let own = classifier.store().get("conv1.0.weight").unwrap();
    let flat = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert_eq!(flat(&stem), flat(&own));
}

#[test]
fn what_cannot_be_built_says_what_would_be_accepted() {
    let build = |name: &str, config: ModelConfig| {
        let error = SegmentationNetwork::new(name, &config, 0).unwrap_err();
        error.to_string()
    };
    let message = build("smp_unet", config().with_arg("backbone", "resnet-34"));
    assert!(message.contains("did you mean `resnet34`"), "{message}");
    let message = build("smp_unet", config().with_arg("backbone", "unet"));
    assert!(message.contains("no backbone"), "{message}");
    let message = build("unet", config().with_arg("depth", 0));
    assert!(message.contains("a whole number from 1 to 8"), "{message}");
    let message = build("unet", config().with_arg("backbone", "resnet18"));
    assert!(message.contains("is not known"), "{message}");
    let message = build(
        "smp_deeplabv3plus",
        config().with_arg("backbone", "vgg11_bn"),
    );
    assert!(message.contains("one that can be dilated"), "{message}");
    let message = build(
        "smp_deeplabv3plus",
        config().with_arg("backbone", "resnet18d"),
    );
    assert!(message.contains("cannot be dilated"), "{message}");
    let message = SegmentationNetwork::new("resnet18", &config(), 0)
        .unwrap_err()
        .to_string();
    assert_eq!(
        message,
        "`resnet18` is a model for classification, expected one for segmentation"
    );
}
