//! Networks that find objects: the contract, for every registered one.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Tensor};
use cnn_core::{CropMode, Key};
use cnn_layers::{Context, DetectionLimits, Detector, FeatureMap, Mode, Store, TensorKind};
use cnn_models::{
    DetectionNetwork, Error, Kind, LoadOptions, ModelConfig, ModelSpec, Network, find, kind_of,
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

fn flat(tensor: &Tensor) -> Vec<f32> {
    let flat = tensor.detach().flatten_all().unwrap();
    flat.to_dtype(DType::F32).unwrap().to_vec1().unwrap()
}

fn small(spec: &ModelSpec) -> ModelConfig {
    ModelConfig {
        num_classes: Some(CLASSES),
        ..spec.reduced_config()
    }
}

/// The smallest sides of an image that differ and that every network takes.
fn fitting(spec: &ModelSpec) -> FeatureMap {
    match spec.family {
        "ssd" => images(268, 332),
        _ => images(64, 96),
    }
}

/// All that the heads say.
fn raw(model: &dyn Detector, xs: &FeatureMap) -> Vec<f32> {
    let outputs = model.forward_raw(xs, &Context::eval()).unwrap();
    let values = outputs.iter().map(|output| flat(&output.values));
    values.collect::<Vec<_>>().concat()
}

#[test]
fn every_tensor_is_in_one_group_and_the_count_is_the_published_one() {
    for spec in models_of(Kind::Detection) {
        let store = Store::blank();
        let config = ModelConfig::default();
        let model: Box<dyn Detector> = spec.build(&config, &store.builder(Mode::Eval)).unwrap();
        for name in store.names() {
            let groups = model.layer_groups().iter();
            let found = groups.filter(|group| group.contains(&name)).count();
            assert_eq!(found, 1, "{}: {name}", spec.name);
        }
        let entries = store.entries().into_iter();
        let parameters = entries.filter(|entry| entry.kind == TensorKind::Parameter);
        let count: usize = parameters
            .map(|entry| entry.shape.iter().product::<usize>())
            .sum();
        assert_eq!(count, spec.parameters, "{}", spec.name);
        let classifier = format!("{}.weight", spec.classifier);
        let head = model.layer_groups().last().unwrap();
        assert!(head.name == "head" && head.contains(&classifier));
        let outputs = store.get(&classifier).unwrap().dims()[0];
        assert_eq!(spec.class_outputs.classes(outputs), Some(spec.num_classes));
        for module in spec.first_convs(&config) {
            assert!(store.get(&format!("{module}.weight")).is_ok(), "{module}");
        }
        assert_eq!(spec.labels.len(), spec.num_classes, "{}", spec.name);
    }
}

#[test]
fn inference_says_the_same_of_every_place() {
    for spec in models_of(Kind::Detection) {
        let network = DetectionNetwork::of(*spec, &small(spec), 1).unwrap();
        let fast = network.build(Mode::Inference).unwrap();
        let xs = fitting(spec);
        let expected = raw(network.model(), &xs);
        let found = raw(fast.as_ref(), &xs);
        let scale = expected.iter().fold(1e-6f32, |most, x| most.max(x.abs()));
        assert_eq!(found.len(), expected.len(), "{}", spec.name);
        for (found, expected) in found.iter().zip(&expected) {
            let difference = (found - expected).abs() / scale;
            assert!(difference < 1e-3, "{}: {found} {expected}", spec.name);
        }
    }
}

#[test]
fn scored_boxes_go_on_from_every_stage_and_the_best_one_is_found() {
    let cx = Context::eval();
    for spec in models_of(Kind::Detection) {
        let network = DetectionNetwork::of(*spec, &small(spec), 1).unwrap();
        let model = network.model();
        let xs = fitting(spec);
        let scored = |count: usize| {
            let mut maps = model.forward_stages(&xs, &cx).unwrap();
            maps.truncate(count);
            model.forward_from(&xs, maps, &cx)
        };
        let stages = model.stages().len();
        let whole = scored(stages).unwrap().remove(0);
        let (rows, classes) = whole.logits.dims2().unwrap();
        assert_eq!(classes, CLASSES, "{}", spec.name);
        assert_eq!(whole.scores.len(), rows * classes, "{}", spec.name);
        for count in 1..stages {
            let other = scored(count).unwrap().remove(0);
            assert_eq!(other.boxes, whole.boxes, "{}", spec.name);
            assert_eq!(flat(&other.logits), flat(&whole.logits), "{}", spec.name);
        }
        assert!(scored(0).is_err(), "{}", spec.name);

        // Only what depends on the last stage changes with it.
        let mut maps = model.forward_stages(&xs, &cx).unwrap();
        let last = maps.pop().unwrap().to_nhwc().affine(1.5, 0.5).unwrap();
        maps.push(FeatureMap::from_nhwc(&last).unwrap());
        let changed = model.forward_from(&xs, maps, &cx).unwrap().remove(0);
        // The proposals of a second stage are others then.
        if !spec.name.starts_with("fasterrcnn") {
            let [before, after] = [&whole, &changed].map(|boxes| flat(&boxes.logits));
            let rows = before.chunks(classes).zip(after.chunks(classes));
            let mut changed = 0;
            for ((before, after), stage) in rows.zip(&whole.stages) {
                assert!(before == after || *stage == stages - 1, "{}", spec.name);
                changed += usize::from(before != after);
            }
            assert!(changed > 0, "{}", spec.name);
        }
        assert_eq!(whole.stages.len(), rows, "{}", spec.name);

        let limits = DetectionLimits {
            score: 0.,
            iou: 0.5,
            count: 1,
        };
        let found = model.detect(&xs, &limits, &cx).unwrap()[0][0];
        // The first of equals.
        let scores = whole.scores.iter().enumerate().rev();
        let (at, score) = scores.max_by(|(_, a), (_, b)| a.total_cmp(b)).unwrap();
        assert!((score - found.score).abs() < 1e-6, "{}", spec.name);
        assert_eq!(at % classes, found.class, "{}", spec.name);
        let edges = whole.edges(at / classes, found.class);
        let pairs = edges.iter().zip(&found.edges);
        let differ = pairs.map(|(edge, found)| (edge - found).abs());
        assert!(differ.fold(0., f32::max) < 1e-3, "{}", spec.name);
    }
}

#[test]
fn a_saved_network_is_loaded_with_its_kind_and_with_a_new_head() {
    let directory = tempfile::tempdir().unwrap();
    for spec in models_of(Kind::Detection).filter(|spec| spec.parameters < 4_000_000) {
        let at = directory.path().join(spec.name);
        let network = DetectionNetwork::of(*spec, &small(spec), 3).unwrap();
        network.save(&at).unwrap();
        assert_eq!(kind_of(&at).unwrap(), Some(Kind::Detection));
        let again = DetectionNetwork::load(&at, &LoadOptions::default()).unwrap();
        assert!(again.report().is_exact(), "{}", again.report());
        let xs = fitting(spec);
        assert_eq!(raw(network.model(), &xs), raw(again.model(), &xs));

        // The weights alone say how many classes they tell.
        let bare = LoadOptions::of(*spec);
        let again = DetectionNetwork::load(&at.join("model.safetensors"), &bare).unwrap();
        assert_eq!(again.model().num_classes(), CLASSES, "{}", spec.name);

        let other = LoadOptions {
            num_classes: Some(7),
            ..LoadOptions::default()
        };
        let other = DetectionNetwork::load(&at, &other).unwrap();
        assert_eq!(other.model().num_classes(), 7);
        let head = other.model().layer_groups().last().unwrap();
        for (name, tensor) in network.store().tensors() {
            let is_kept = !head.contains(&name);
            let now = other.store().get(&name).unwrap();
            let is_same = now.dims() == tensor.dims() && flat(&now) == flat(&tensor);
            assert_eq!(is_same, is_kept, "{}: {name}", spec.name);
        }
    }
}

/// Files without the counters that batch norms have, as those of torchvision's frozen ones.
#[test]
fn files_without_counters_of_batches_load() {
    let scratch = tempfile::tempdir().unwrap();
    let spec = *find("ssdlite320_mobilenet_v3_large").unwrap();
    let network = DetectionNetwork::of(spec, &small(&spec), 3).unwrap();
    let mut tensors = network.store().tensors();
    tensors.retain(|(name, _)| !name.ends_with("num_batches_tracked"));
    assert!(tensors.len() < network.store().names().len());
    let path = scratch.path().join("weights.safetensors");
    save_safetensors(&path, &tensors, &Default::default()).unwrap();
    let loaded = DetectionNetwork::load(&path, &LoadOptions::of(spec)).unwrap();
    let xs = images(64, 96);
    assert_eq!(raw(loaded.model(), &xs), raw(network.model(), &xs));
}

/// The weights of a classifier of every family that has maps of both sizes become those of the
/// backbone.
#[test]
fn every_backbone_takes_its_weights_along() {
    let cx = Context::eval();
    let ssdlite = *find("ssdlite").unwrap();
    let mut built = 0;
    for spec in smallest_of_each_family() {
        if spec.in_channels != 3 {
            continue;
        }
        let classifier = Network::of(*spec, &spec.reduced_config(), 5).unwrap();
        let network = match DetectionNetwork::over(ssdlite, &classifier, &small(&ssdlite), 0) {
            Ok(network) => network,
            Err(error) => {
                let message = error.to_string();
                let expected = message.contains("maps of the backbone");
                assert!(expected, "{}: {message}", spec.name);
                continue;
            }
        };
        built += 1;
        let xs = images(96, 128);
        let ours = network.model().forward_stages(&xs, &cx).unwrap();
        let theirs = classifier.model().forward_stages(&xs, &cx).unwrap();
        let reductions = network.model().stages().iter();
        assert!(reductions.map(|stage| stage.reduction).eq([8, 16, 32]));
        for map in &ours {
            let is_same = |other: &&FeatureMap| flat(&other.to_nhwc()) == flat(&map.to_nhwc());
            assert!(theirs.iter().any(|other| is_same(&other)), "{}", spec.name);
        }
        let preprocessing = network.preprocessing();
        assert_eq!(preprocessing.input_size, [3, 320, 320]);
        assert_eq!(preprocessing.crop_mode, CropMode::Squash);
        assert_eq!(preprocessing.mean, classifier.preprocessing().mean);
    }
    assert!(built > 10, "{built}");
    // A whole detector has no other one to stand on.
    let classifier = Network::new("test_resnet", &ModelConfig::default(), 5).unwrap();
    let yolox = *find("yolox_nano").unwrap();
    let error = DetectionNetwork::over(yolox, &classifier, &ModelConfig::default(), 0).unwrap_err();
    assert!(matches!(error, Error::NoBackbone { .. }), "{error}");
}

/// Of each class the best candidates are compared, 400 in SSD: where suppression drops none, they
/// are what is found, within the image.
#[test]
fn ssd_compares_the_best_candidates_of_each_class() {
    let spec = find("ssd300_vgg16").unwrap();
    let network = DetectionNetwork::of(*spec, &small(spec), 1).unwrap();
    let xs = images(268, 332);
    let limits = DetectionLimits {
        score: 0.,
        iou: 1.,
        count: usize::MAX,
    };
    let cx = Context::eval();
    let found = network.model().detect(&xs, &limits, &cx).unwrap();
    assert_eq!(found[0].len(), 400 * CLASSES);
    for class in 0..CLASSES {
        assert_eq!(found[0].iter().filter(|of| of.class == class).count(), 400);
    }
    assert!(found[0].is_sorted_by(|a, b| a.score >= b.score));
    let is_inside = |[x1, y1, x2, y2]: [f32; 4]| x1 >= 0. && y1 >= 0. && x2 <= 332. && y2 <= 268.;
    assert!(found[0].iter().all(|of| is_inside(of.edges)));
    let few = DetectionLimits { count: 7, ..limits };
    let few = network.model().detect(&xs, &few, &cx).unwrap();
    assert_eq!(few[0], found[0][..7]);
    let defaults = network.model().limits();
    assert_eq!(
        (defaults.score, defaults.iou, defaults.count),
        (0.01, 0.45, 200)
    );
}

#[test]
fn what_cannot_be_built_or_run_is_an_error() {
    let build = |name: &str, arg: (&str, &str)| {
        let config = ModelConfig::default().with_arg(arg.0, arg.1);
        let error = DetectionNetwork::new(name, &config, 0).unwrap_err();
        error.to_string()
    };
    let message = build("ssdlite", ("backbone", "resnet-18"));
    assert!(message.contains("did you mean `resnet18`"), "{message}");
    let message = build("ssdlite", ("backbone", "ssdlite"));
    assert!(message.contains("no backbone"), "{message}");
    let message = build("ssdlite", ("backbone", "resnet20_cifar10"));
    assert!(message.contains("some at 1/[8, 16, 32]"), "{message}");
    let config = ModelConfig::default().with_arg("min_ratio", 0.5);
    let config = config.with_arg("max_ratio", 0.4);
    let message = DetectionNetwork::new("ssdlite", &config, 0).unwrap_err();
    let message = message.to_string();
    assert!(message.contains("max_ratio is 0.4, expected"), "{message}");
    let message = build("ssd300_vgg16", ("backbone", "vgg16"));
    assert!(message.contains("is not known"), "{message}");

    // Six maps do not exist of such an image.
    let spec = find("ssd300_vgg16").unwrap();
    let network = DetectionNetwork::of(*spec, &small(spec), 1).unwrap();
    let limits = network.model().limits();
    let found = network
        .model()
        .detect(&images(96, 128), &limits, &Context::eval());
    assert!(found.is_err());
    let limits = DetectionLimits { iou: 2., ..limits };
    let xs = images(268, 332);
    let found = network.model().detect(&xs, &limits, &Context::eval());
    assert!(found.unwrap_err().to_string().contains("0 to 1"));
}
