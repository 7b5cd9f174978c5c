//! What detectors minimise and find, against PyTorch: `python tools/goldens/detectors.py` makes the
//! golden files. Outputs and stages are compared with those of all models (`golden.rs`).
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use cnn_core::Key;
use cnn_layers::{
    Context, DetectionLimits, DetectionTargets, Detector, FeatureMap, ImageObjects, Mode,
    NamedLoss, Store, backward,
};
use cnn_models::{Kind, ModelConfig, models_of};
use cnn_weights::TensorFile;

use common::add_args;
use common::formula::{formula, formula_values};

struct Case {
    name: &'static str,
    file: TensorFile,
    store: Store,
    model: Box<dyn Detector>,
    input: FeatureMap,
}

/// Golden files of other forms of registered models.
const VARIANTS: [(&str, &str); 2] = [
    ("ssdlite.resnet18", "ssdlite"),
    ("fasterrcnn_fpn.mobilenetv2_100", "fasterrcnn_fpn"),
];

impl Case {
    /// With the images of `input`, which for training may be larger ones.
    fn all(dtype: DType, mode: Mode, input: &'static str) -> impl Iterator<Item = Self> {
        let registered = models_of(Kind::Detection).map(|spec| (spec.name, spec.name));
        let names = registered.chain(VARIANTS);
        let wanted = |name: &str| {
            std::env::var("GOLDEN_MODELS").map_or(true, |wanted| name.contains(&wanted))
        };
        names
            .filter(move |(name, _)| wanted(name))
            .map(move |(name, model_name)| Self::new(name, model_name, dtype, mode, input))
    }

    fn new(
        name: &'static str,
        model_name: &'static str,
        dtype: DType,
        mode: Mode,
        input: &str,
    ) -> Self {
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
            // Rounded to f32, as in the golden file's program.
            let mut values = formula(&entry.name, &entry.shape, DType::F32);
            for (module, factor) in &scaled {
                if entry.name.starts_with(&format!("{module}.")) {
                    values = (values * *factor).unwrap();
                }
            }
            store.set(&entry.name, &values).unwrap();
        }
        let shape = file.metadata()[input].split(',');
        let shape: Vec<usize> = shape.map(|number| number.parse().unwrap()).collect();
        let input = formula("input", &shape, dtype);
        Self {
            name,
            // What is built for inference copies the weights.
            model: build(mode),
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
        for case in Case::all(DType::F32, mode, "input") {
            let limits = &case.file.metadata()["limits"];
            let (score, iou, count) = serde_json::from_str(limits).unwrap();
            let limits = DetectionLimits { score, iou, count };
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
        for case in Case::all(DType::F64, Mode::Train, "input.train") {
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
    for case in Case::all(DType::F32, Mode::Train, "input") {
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
