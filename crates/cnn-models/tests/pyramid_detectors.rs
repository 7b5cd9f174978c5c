//! Detectors over a feature pyramid: their files, their backbones, and what a step draws.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use cnn_core::{Key, LetterboxFill};
use cnn_layers::{
    BatchNormPolicy, Context, DetectionTargets, Detector, FeatureMap, ImageObjects, Mode,
    NamedLoss, Store, TensorKind,
};
use cnn_models::{
    DetectionNetwork, Kind, LoadOptions, ModelConfig, ModelSpec, Network, find, kind_of, models_of,
};
use cnn_weights::{TensorFile, save_safetensors};

use common::formula::formula;

const CLASSES: usize = 4;

fn over_pyramids() -> impl Iterator<Item = &'static ModelSpec> {
    let families = ["fasterrcnn", "retinanet", "fcos"];
    models_of(Kind::Detection).filter(move |spec| families.contains(&spec.family))
}

/// Channels of a narrow pyramid; FCOS divides them into 32 groups.
fn channels(spec: &ModelSpec) -> usize {
    if spec.family == "fcos" { 32 } else { 16 }
}

/// A network that is fast to make.
fn narrow(spec: &ModelSpec) -> ModelConfig {
    let config = ModelConfig {
        num_classes: Some(CLASSES),
        ..ModelConfig::default()
    };
    let config = config.with_arg("fpn_channels", channels(spec));
    let config = match spec.family {
        "fasterrcnn" => config.with_arg("box_features", 16),
        _ => config,
    };
    match spec.body {
        Some(body) => config.with_arg(body.arg, "mobilenetv2_035"),
        None => config,
    }
}

fn input() -> FeatureMap {
    FeatureMap::from_nchw(&formula("input", &[2, 3, 64, 96], DType::F32)).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.detach().flatten_all().unwrap();
    flat.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

/// All that the heads say.
fn raw(model: &dyn Detector) -> Vec<f32> {
    let outputs = model.forward_raw(&input(), &Context::eval()).unwrap();
    let values = outputs.iter().map(|output| flat(&output.values));
    values.collect::<Vec<_>>().concat()
}

/// Every tensor of torchvision's `state_dict`, and no other, with its shape.
#[test]
fn names_and_shapes_are_torchvisions() {
    let mut compared = 0;
    for spec in over_pyramids() {
        let store = Store::blank();
        let config = ModelConfig::default();
        let model: Box<dyn Detector> = spec.build(&config, &store.builder(Mode::Eval)).unwrap();
        for name in store.names() {
            let groups = model.layer_groups().iter();
            let found = groups.filter(|group| group.contains(&name)).count();
            assert_eq!(found, 1, "{}: {name}", spec.name);
        }
        let classifier = format!("{}.weight", spec.classifier);
        assert!(model.layer_groups().last().unwrap().contains(&classifier));
        let outputs = store.get(&classifier).unwrap().dims()[0];
        assert_eq!(spec.class_outputs.classes(outputs), Some(spec.num_classes));
        let entries = store.entries();
        let parameters = entries
            .iter()
            .filter(|entry| entry.kind == TensorKind::Parameter);
        let count: usize = parameters
            .map(|entry| entry.shape.iter().product::<usize>())
            .sum();
        assert_eq!(count, spec.parameters, "{}", spec.name);

        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let file = TensorFile::open(format!("{directory}/{}.objects.safetensors", spec.name));
        let file = file.unwrap();
        let Some(theirs) = file.metadata().get("state_dict") else {
            assert!(spec.body.is_some(), "{}", spec.name);
            continue;
        };
        let theirs: BTreeMap<String, Vec<usize>> = serde_json::from_str(theirs).unwrap();
        let ours = entries.into_iter().map(|entry| {
            // A number is a vector of one here, and a scalar in PyTorch's files.
            let is_counter = entry.name.ends_with("num_batches_tracked");
            let shape = if is_counter { vec![] } else { entry.shape };
            (entry.name, shape)
        });
        assert_eq!(ours.collect::<BTreeMap<_, _>>(), theirs, "{}", spec.name);
        compared += 1;
    }
    assert_eq!(compared, 5);
}

/// torchvision's own files: earlier names of some convolutions, no counters, and norms that add
/// nothing to the variance in those with a ResNet.
#[test]
fn the_first_files_load() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("weights.safetensors");
    for spec in over_pyramids().filter(|spec| spec.body.is_none()) {
        let has_eps = !spec.name.contains("mobilenet") && spec.family != "fcos";
        let config = narrow(spec);
        let config = if has_eps {
            config.with_arg("bn_eps", 0.)
        } else {
            config
        };
        let network = DetectionNetwork::of(*spec, &config, 3).unwrap();
        let mut tensors = network.store().tensors();
        tensors.retain(|(name, _)| !name.ends_with("num_batches_tracked"));
        let mut renamed = 0;
        for (name, _) in &mut tensors {
            let earlier = earlier_name(spec, name);
            renamed += usize::from(earlier != *name);
            *name = earlier;
        }
        assert!(renamed > 8, "{}: {renamed}", spec.name);
        save_safetensors(&path, &tensors, &BTreeMap::new()).unwrap();
        let json = network.config_json();
        let json = json.replace("\"bn_eps\": 0.0", "\"fpn_channels\": 16");
        std::fs::write(scratch.path().join("config.json"), json).unwrap();
        let loaded = DetectionNetwork::load(scratch.path(), &LoadOptions::default()).unwrap();
        assert_eq!(raw(loaded.model()), raw(network.model()), "{}", spec.name);
        let said = loaded.config().model.args.get("bn_eps");
        assert_eq!(said.and_then(|eps| eps.as_f64()), has_eps.then_some(0.));
    }
}

fn earlier_name(spec: &ModelSpec, name: &str) -> String {
    let pyramid = [
        ("backbone.fpn.inner_blocks.", 1),
        ("backbone.fpn.layer_blocks.", 1),
    ];
    let head = [
        ("head.classification_head.conv.", 2),
        ("head.regression_head.conv.", 2),
    ];
    // FCOS's head was the same from the first on.
    let head = head.into_iter().filter(|_| spec.family == "retinanet");
    for (list, places) in pyramid.into_iter().chain(head) {
        if let Some(rest) = name.strip_prefix(list) {
            let (place, tensor) = rest.split_once(".0.").unwrap();
            let place: usize = place.parse().unwrap();
            return format!("{list}{}.{tensor}", place * places);
        }
    }
    name.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
}

#[test]
fn a_saved_network_is_loaded_with_its_kind_and_with_a_new_head() {
    let scratch = tempfile::tempdir().unwrap();
    for spec in over_pyramids() {
        let network = DetectionNetwork::of(*spec, &narrow(spec), 3).unwrap();
        network.save(scratch.path()).unwrap();
        assert_eq!(kind_of(scratch.path()).unwrap(), Some(Kind::Detection));
        let load = |options| DetectionNetwork::load(scratch.path(), &options).unwrap();
        let again = load(LoadOptions::default());
        assert!(again.report().is_exact(), "{}", again.report());
        assert_eq!(raw(network.model()), raw(again.model()), "{}", spec.name);
        assert_eq!(
            again.preprocessing().letterbox_fill,
            Some(LetterboxFill::MEAN)
        );
        let other = load(LoadOptions {
            num_classes: Some(7),
            ..LoadOptions::default()
        });
        assert_eq!(other.model().num_classes(), 7);
        let head = other.model().layer_groups().last().unwrap();
        for (name, tensor) in network.store().tensors() {
            let now = other.store().get(&name).unwrap();
            let is_same = now.dims() == tensor.dims() && flat(&now) == flat(&tensor);
            assert_eq!(is_same, !head.contains(&name), "{}: {name}", spec.name);
        }
    }
}

/// The weights of a classifier become those of the backbone, which gives the same maps.
#[test]
fn classifiers_become_backbones() {
    let cx = Context::eval();
    for spec in over_pyramids().filter(|spec| spec.body.is_some()) {
        for name in ["mobilenetv2_035", "test_resnet", "convnext_atto"] {
            let classifier = Network::new(name, &ModelConfig::default(), 5).unwrap();
            let config = narrow(spec);
            let network = DetectionNetwork::over(*spec, &classifier, &config, 0).unwrap();
            let ours = network.model().forward_stages(&input(), &cx).unwrap();
            let theirs = classifier.model().forward_stages(&input(), &cx).unwrap();
            let theirs: Vec<Vec<f32>> = theirs.iter().map(|map| flat(&map.to_nhwc())).collect();
            assert!(ours.len() >= 3, "{name}");
            for map in &ours {
                assert!(theirs.contains(&flat(&map.to_nhwc())), "{name}");
            }
            let preprocessing = network.preprocessing();
            assert_eq!(preprocessing.input_size, [3, 512, 512]);
            assert_eq!(preprocessing.mean, classifier.preprocessing().mean);
        }
        // Its maps end at a quarter of the image's size.
        let config = narrow(spec).with_arg("backbone", "resnet20_cifar10");
        let error = DetectionNetwork::of(*spec, &config, 0).unwrap_err();
        assert!(
            error.to_string().contains("maps of the backbone"),
            "{error}"
        );
    }
}

/// Multiples of 32 of any proportions; what is found lies within the image.
#[test]
fn images_of_other_sizes_are_refused_by_name() {
    for spec in over_pyramids() {
        let network = DetectionNetwork::of(*spec, &narrow(spec), 3).unwrap();
        let model = network.model();
        let limits = cnn_layers::DetectionLimits {
            score: 0.,
            ..model.limits()
        };
        let cx = Context::eval();
        for size in [[32, 32], [32, 160], [96, 64]] {
            let shape = [1, 3, size[0], size[1]];
            let xs = FeatureMap::from_nchw(&formula("input", &shape, DType::F32)).unwrap();
            let found = model.detect(&xs, &limits, &cx).unwrap();
            let [rows, columns] = size.map(|side| side as f32);
            for of in &found[0] {
                let [x1, y1, x2, y2] = of.edges;
                assert!(x1 >= 0. && y1 >= 0. && x2 <= columns && y2 <= rows);
                assert!(of.class < CLASSES);
            }
            assert!(found[0].len() <= limits.count);
        }
        let xs = FeatureMap::from_nchw(&formula("input", &[1, 3, 64, 100], DType::F32)).unwrap();
        let error = model.detect(&xs, &limits, &cx).unwrap_err().to_string();
        assert!(
            error.contains("multiples of 32 pixels, found 64×100"),
            "{error}"
        );
    }
}

/// FCOS's norms have torchvision's 32 groups, whatever the width.
#[test]
fn a_width_that_does_not_fit_fcos_is_named() {
    let spec = find("fcos_fpn").unwrap();
    let config = narrow(spec).with_arg("fpn_channels", 48);
    let error = DetectionNetwork::of(*spec, &config, 0).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains("fpn_channels is 48, expected a multiple of 32"),
        "{message}"
    );
}

/// What is drawn depends on the key of the step alone, and the losses are the same to the bit
/// whatever ran before.
#[test]
fn what_a_step_draws_comes_from_its_key() {
    let spec = find("fasterrcnn_fpn").unwrap();
    let config = ModelConfig {
        num_classes: Some(11),
        ..ModelConfig::default()
    };
    let config = config
        .with_arg("fpn_channels", 16)
        .with_arg("box_features", 16)
        .with_arg("rpn_batch_size_per_image", 24)
        .with_arg("box_batch_size_per_image", 16);
    let network = DetectionNetwork::of(*spec, &config, 3).unwrap();
    let input = FeatureMap::from_nchw(&formula("input", &[2, 3, 64, 96], DType::F32)).unwrap();
    let targets = DetectionTargets {
        images: vec![
            ImageObjects {
                boxes: vec![[10., 12., 44., 50.], [20., 14., 52., 58.]],
                classes: vec![3, 10],
            },
            ImageObjects::default(),
        ],
        is_late: false,
    };
    let values = |key: u64| -> Vec<u32> {
        let cx = Context::train(Key::new(key));
        let cx = cx.with_batch_norm(BatchNormPolicy::BatchOnly);
        let losses = network.model().losses(&input, &targets, &cx).unwrap();
        let bits = |loss: &NamedLoss| loss.value.to_scalar::<f32>().unwrap().to_bits();
        losses.iter().map(bits).collect()
    };
    let first = values(1);
    assert_ne!(first, values(2));
    assert_eq!(first, values(1));
}
