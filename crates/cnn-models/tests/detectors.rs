//! What detectors minimise and find, against PyTorch: `python tools/goldens/detectors.py` makes the
//! golden files. Outputs and stages are compared with those of all models (`golden.rs`).
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use cnn_core::Key;
use cnn_layers::{
    Context, DetectionLimits, DetectionTargets, Detector, FeatureMap, ImageObjects, Mode,
    NamedLoss, Store, TensorKind, backward,
};
use cnn_models::{DetectionNetwork, Kind, LoadOptions, ModelConfig, models_of};
use cnn_weights::TensorFile;

use common::add_args;
use common::formula::{formula, formula_values};

/// Networks over other backbones than their default.
const VARIANTS: [(&str, &str); 1] = [("fasterrcnn_fpn.mobilenetv2_100", "fasterrcnn_fpn")];

struct Case {
    name: &'static str,
    config: ModelConfig,
    model_name: &'static str,
    file: TensorFile,
    store: Store,
    model: Box<dyn Detector>,
    input: FeatureMap,
}

impl Case {
    fn all(dtype: DType, mode: Mode) -> impl Iterator<Item = Self> {
        let registered = models_of(Kind::Detection).map(|spec| (spec.name, spec.name));
        let names = registered.chain(VARIANTS);
        let wanted = |name: &str| {
            std::env::var("GOLDEN_MODELS").map_or(true, |wanted| name.contains(&wanted))
        };
        names
            .filter(move |(name, _)| wanted(name))
            .map(move |(name, model_name)| Self::new(name, model_name, dtype, mode))
    }

    fn new(name: &'static str, model_name: &'static str, dtype: DType, mode: Mode) -> Self {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        let path = format!("{directory}/{name}.objects.safetensors");
        let file = TensorFile::open(&path).unwrap();
        let mut config = ModelConfig {
            num_classes: Some(file.metadata()["classes"].parse().unwrap()),
            ..ModelConfig::default()
        };
        if let Some(args) = file.metadata().get("model_args") {
            add_args(&mut config, args);
        }
        let store = Store::with_dtype(0, dtype, &Device::Cpu);
        store.set_blank(true);
        let spec = cnn_models::find(model_name).unwrap();
        let build = |mode| {
            let root = store.builder(mode);
            spec.build::<dyn Detector>(&config, &root).unwrap()
        };
        build(mode);
        let scaled = file.metadata().get("scaled");
        let scaled: BTreeMap<String, f64> = scaled.map_or_else(BTreeMap::new, |scaled| {
            serde_json::from_str(scaled).unwrap()
        });
        for entry in store.entries() {
            let mut values = formula(&entry.name, &entry.shape, dtype);
            for (module, factor) in &scaled {
                if entry.name.starts_with(&format!("{module}.")) {
                    values = (values * *factor).unwrap();
                }
            }
            store.set(&entry.name, &values).unwrap();
        }
        let shape = file.metadata()["input"].split(',');
        let shape: Vec<usize> = shape.map(|number| number.parse().unwrap()).collect();
        let input = formula("input", &shape, dtype);
        Self {
            name,
            model_name,
            // What is built for inference copies the weights.
            model: build(mode),
            config: config.clone(),
            file,
            store,
            input: FeatureMap::from_nchw(&input).unwrap(),
        }
    }

    fn targets(&self, is_late: bool) -> DetectionTargets {
        let (boxes, classes) = serde_json::from_str(&self.file.metadata()["objects"]).unwrap();
        DetectionTargets {
            images: vec![ImageObjects { boxes, classes }, ImageObjects::default()],
            is_late,
        }
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.file.tensor(name).unwrap()
    }

    fn losses(&self, targets: &DetectionTargets, key: u64) -> Vec<NamedLoss> {
        let cx = Context::train(Key::new(key));
        self.model.losses(&self.input, targets, &cx).unwrap()
    }
}

fn sum_of(losses: &[NamedLoss]) -> Tensor {
    let values = losses.iter().map(|loss| loss.value.clone());
    values.reduce(|sum, value| (sum + value).unwrap()).unwrap()
}

/// The networks as they are used find PyTorch's boxes to 0.01 pixels and scores to 1e-5, whichever
/// way they were built.
#[test]
fn detections_equal_pytorchs() {
    for mode in [Mode::Eval, Mode::Inference] {
        for case in Case::all(DType::F32, mode) {
            let limits = DetectionLimits {
                score: 0.05,
                iou: 0.05,
                count: 1000,
            };
            let found = case
                .model
                .detect(&case.input, &limits, &Context::eval())
                .unwrap();
            for (image, found) in found.iter().enumerate() {
                let label = format!("{} image {image}", case.name);
                let scores = case.tensor(&format!("scores.{image}"));
                let scores = scores.to_vec1::<f32>().unwrap();
                let boxes = case.tensor(&format!("boxes.{image}"));
                let boxes = boxes.to_vec2::<f32>().unwrap();
                let classes = case.tensor(&format!("classes.{image}"));
                let classes = classes.to_vec1::<i64>().unwrap();
                assert_eq!(found.len(), scores.len(), "{label}");
                for (place, found) in found.iter().enumerate() {
                    assert_eq!(found.class as i64, classes[place], "{label} {place}");
                    let difference = (found.score - scores[place]).abs();
                    assert!(difference < 1e-5, "{label} {place}: {difference}");
                    for (ours, theirs) in found.edges.iter().zip(&boxes[place]) {
                        assert!(
                            (ours - theirs).abs() < 0.01,
                            "{label} {place}: {ours} {theirs}"
                        );
                    }
                }
            }
        }
    }
}

/// Each named loss, and the gradient of their sum, in f64 to 1e-5: targets are f32.
#[test]
fn losses_and_their_gradients_equal_pytorchs() {
    for (phase, is_late) in [("early", false), ("late", true)] {
        for case in Case::all(DType::F64, Mode::Train) {
            let names: Vec<String> = case
                .file
                .names()
                .filter_map(|name| name.strip_prefix(phase)?.strip_prefix('.'))
                .filter(|name| *name != "grad")
                .map(str::to_string)
                .collect();
            // Most networks have no other losses in the last epochs.
            if is_late && names.is_empty() {
                continue;
            }
            let losses = case.losses(&case.targets(is_late), 0);
            for name in &names {
                assert!(losses.iter().any(|loss| loss.name == name), "{name}");
            }
            for loss in &losses {
                // What counts in the last epochs only is 0 before.
                let theirs = if names.iter().any(|name| name == loss.name) {
                    let theirs = case.tensor(&format!("{phase}.{}", loss.name));
                    theirs.to_scalar::<f64>().unwrap()
                } else {
                    0.
                };
                let ours = loss.value.to_scalar::<f64>().unwrap();
                let label = format!("{} {phase} {}", case.name, loss.name);
                assert!(
                    (ours - theirs).abs() <= 1e-5 * theirs.abs(),
                    "{label}: {ours} instead of {theirs}"
                );
            }
            compare_gradients(&case, phase, &sum_of(&losses));
        }
    }
}

fn compare_gradients(case: &Case, phase: &str, sum: &Tensor) {
    let gradients = backward(sum).unwrap();
    let mut trained = case.store.trainable();
    trained.sort_by(|a, b| a.0.cmp(&b.0));
    let theirs = case.tensor(&format!("{phase}.grad"));
    let theirs = theirs.to_vec2::<f64>().unwrap();
    assert_eq!(theirs.len(), trained.len(), "{}", case.name);
    let largest = theirs.iter().map(|row| row[0]).fold(0., f64::max);
    for ((name, var), theirs) in trained.iter().zip(theirs) {
        let gradient = gradients.get(var).unwrap();
        let gradient: Vec<f64> = gradient.flatten_all().unwrap().to_vec1().unwrap();
        let norm = gradient.iter().map(|x| x * x).sum::<f64>().sqrt();
        let probe = formula_values(&format!("probe.0.grad.{name}"), &[gradient.len()]);
        let inner: f64 = gradient
            .iter()
            .zip(probe)
            .map(|(x, v)| x * f64::from(v))
            .sum();
        let scale = theirs[0].max(1e-6 * largest);
        let label = format!("{} {phase} {name}", case.name);
        assert!(
            (norm - theirs[0]).abs() <= 1e-5 * scale,
            "{label}: {norm} {theirs:?}"
        );
        let bound = 1e-5 * scale * (gradient.len() as f64 / 3.).sqrt();
        assert!(
            (inner - theirs[1]).abs() <= bound,
            "{label}: {inner} {theirs:?}"
        );
    }
}

/// Batches without any object, and of classes and counts that do not fit.
#[test]
fn batches_without_objects_have_finite_losses_and_wrong_ones_are_named() {
    for case in Case::all(DType::F32, Mode::Train) {
        let cx = Context::train(Key::new(0));
        let empty = DetectionTargets {
            images: vec![ImageObjects::default(); 2],
            is_late: true,
        };
        let losses = case.losses(&empty, 0);
        for loss in &losses {
            let value = loss.value.to_scalar::<f32>().unwrap();
            assert!(value.is_finite(), "{}: {} is {value}", case.name, loss.name);
        }
        let gradients = backward(&sum_of(&losses)).unwrap();
        for (name, var) in case.store.trainable() {
            if let Some(gradient) = gradients.get(&var) {
                let total = gradient.sqr().unwrap().sum_all().unwrap();
                let total = total.to_scalar::<f32>().unwrap();
                assert!(total.is_finite(), "{}: {name}", case.name);
            }
        }
        let mut targets = case.targets(false);
        targets.images.pop();
        let error = case.model.losses(&case.input, &targets, &cx).unwrap_err();
        assert!(error.to_string().contains("`targets`: found 1"), "{error}");
        let mut targets = case.targets(false);
        targets.images[0].classes[1] = 11;
        let error = case.model.losses(&case.input, &targets, &cx).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("found 11, expected a number below 11"),
            "{error}"
        );
    }
}

/// What is drawn depends on the key of the step alone, and the losses are the same to the bit
/// whatever ran before.
#[test]
fn what_a_step_draws_comes_from_its_key() {
    let spec = cnn_models::find("fasterrcnn_fpn").unwrap();
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
        let cx = cx.with_batch_norm(cnn_layers::BatchNormPolicy::BatchOnly);
        let losses = network.model().losses(&input, &targets, &cx).unwrap();
        let bits = |loss: &NamedLoss| loss.value.to_scalar::<f32>().unwrap().to_bits();
        losses.iter().map(bits).collect()
    };
    let first = values(1);
    assert_ne!(first, values(2));
    assert_eq!(first, values(1));
}

/// Names and shapes, groups, counts; and what is saved is loaded, with its classes and with others.
#[test]
fn tensors_are_in_one_group_and_a_new_head_leaves_the_rest() {
    for spec in models_of(Kind::Detection) {
        let store = Store::blank();
        let config = ModelConfig::default();
        let model: Box<dyn Detector> = spec.build(&config, &store.builder(Mode::Eval)).unwrap();
        assert_eq!(model.num_classes(), spec.num_classes, "{}", spec.name);
        assert!(
            spec.label_names(spec.num_classes).is_some(),
            "{}",
            spec.name
        );
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
    }
    let directory = tempfile::tempdir().unwrap();
    for case in Case::all(DType::F32, Mode::Eval) {
        let spec = *cnn_models::find(case.model_name).unwrap();
        if spec.parameters > 20_000_000 && !case.name.contains('.') {
            continue;
        }
        let network = DetectionNetwork::of(spec, &case.config, 0).unwrap();
        network.save(directory.path()).unwrap();
        let load = |options: &LoadOptions| {
            let network = DetectionNetwork::load(directory.path(), options).unwrap();
            assert!(network.report().is_exact() || options.num_classes.is_some());
            network
        };
        let same = load(&LoadOptions::default());
        assert_eq!(same.model().num_classes(), 11, "{}", case.name);
        let other = load(&LoadOptions {
            num_classes: Some(2),
            ..LoadOptions::default()
        });
        assert_eq!(other.model().num_classes(), 2, "{}", case.name);
        let head = other.model().layer_groups().last().unwrap();
        for name in network.store().names() {
            let [ours, theirs] = [&network, &other].map(|network| {
                let tensor = network.store().get(&name).unwrap();
                let tensor = tensor.to_dtype(DType::F32).unwrap();
                tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap()
            });
            let has_changed = ours != theirs;
            assert_eq!(has_changed && !head.contains(&name), false, "{name}");
        }
    }
}
