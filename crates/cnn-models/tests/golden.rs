//! Every registered model against PyTorch: outputs, stages, gradients and running statistics for
//! weights that a formula gives.
//!
//! The golden files hold outputs and inner products only; `python tools/goldens/models.py` makes
//! them (see `tools/goldens/README.md`). `GOLDEN_MODELS=vgg` in the environment compares only the
//! models in whose name that occurs.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Tensor, Var};
use cnn_core::Key;
use cnn_layers::{Context, FeatureMap, Mode, Store, TensorKind, Value};
use cnn_models::{Kind, LoadOptions, Model, ModelConfig, Network, find, models};
use cnn_weights::{TensorFile, save_safetensors};

use common::add_args;
use common::formula::{formula, formula_values};
use common::forward::forward;

const CLASSES: usize = 11;

struct Case {
    model: &'static str,
    config: ModelConfig,
    golden: Golden,
}

fn cases() -> Vec<Case> {
    let case = |golden: &str, model: &'static str, config: ModelConfig| {
        let golden = Golden::open(golden);
        let [_, channels, height, width] = golden.input("input");
        assert_ne!(
            height, width,
            "{model}: a square input hides exchanged axes"
        );
        let input_size = (find(model).unwrap().family == "lenet").then_some([height, width]);
        let mut config = ModelConfig {
            num_classes: Some(CLASSES),
            in_channels: Some(channels),
            input_size,
            ..config
        };
        if find(model).unwrap().kind() == Kind::Classification {
            config = config.with_arg("drop_rate", 0.);
        }
        golden.complete(&mut config);
        let reduced = find(model).unwrap().reduced_config();
        let is_said = |(name, value): (&String, _)| config.args.get(name) == Some(value);
        assert!(
            reduced.args.iter().all(is_said) && reduced.widths == config.widths,
            "{model}: the golden file holds its reduced form"
        );
        Case {
            model,
            config,
            golden,
        }
    };
    let same = ModelConfig::default()
        .with_arg("pad_type", "same")
        .with_arg("bn_eps", 1e-3);
    let narrow = same.clone().with_arg("channel_multiplier", 0.75);
    let variants = [
        ("mobilenetv1_100.same", "mobilenetv1_100", narrow),
        ("mobilenetv2_100.same", "mobilenetv2_100", same),
        ("resnet18.in1", "resnet18", ModelConfig::default()),
        ("unet.bilinear", "unet", ModelConfig::default()),
        ("unet.plain", "unet", ModelConfig::default()),
        (
            "smp_unet.mobilenetv2_100",
            "smp_unet",
            ModelConfig::default(),
        ),
        ("smp_unet.convnext_atto", "smp_unet", ModelConfig::default()),
        ("smp_unet.vgg11_bn", "smp_unet", ModelConfig::default()),
        ("ssdlite.resnet18", "ssdlite", ModelConfig::default()),
        (
            "bottleneck.mobilenetv2_035",
            "bottleneck",
            ModelConfig::default(),
        ),
        (
            "smp_deeplabv3plus.mobilenetv2_100",
            "smp_deeplabv3plus",
            ModelConfig::default(),
        ),
        (
            "fasterrcnn_fpn.mobilenetv2_100",
            "fasterrcnn_fpn",
            ModelConfig::default(),
        ),
    ];
    // Every registered model is held against PyTorch: one without a golden file fails.
    models()
        .map(|spec| (spec.name, spec.name, ModelConfig::default()))
        .chain(variants)
        .filter(|(golden, ..)| is_wanted(golden))
        .map(|(golden, model, config)| case(golden, model, config))
        .collect()
}

fn is_wanted(golden: &str) -> bool {
    std::env::var("GOLDEN_MODELS").map_or(true, |wanted| golden.contains(&wanted))
}

/// Evaluation mode in f32 at the tolerances of a port: outputs to 1e-4, gradients to 1e-4 in norm
/// and 1e-5 in inner products.
#[test]
fn evaluation_in_f32_equals_pytorch() {
    for case in cases() {
        let golden = &case.golden;
        let label = &case.golden.name;
        let run = Run::new(&case, "input", DType::F32, &Context::eval());
        for (index, stage) in run.stages.iter().enumerate() {
            let shape = golden
                .tensor(&format!("stage{index}.shape"))
                .to_vec1::<i64>()
                .unwrap();
            let dims: Vec<i64> = stage.dims().iter().map(|&dim| dim as i64).collect();
            assert_eq!(dims, shape, "{label} stage {index}");
            let ours = fingerprint(stage, &format!("stage{index}"), 4);
            let theirs = golden.row(&format!("stage{index}"), 0);
            check(
                &format!("{label} stage {index}"),
                &ours,
                &theirs,
                stage.elem_count(),
                1e-4,
                1e-4,
                0.,
            );
        }
        golden.check_logits("logits", &run.logits, 1e-4);
        golden.check_gradients("grad.eval", &run, 1e-4, 1e-5);
    }
}

/// Training mode (and evaluation once more) in f64 to 1e-8, where rounding hides nothing.
#[test]
fn training_and_evaluation_in_f64_equal_pytorch() {
    for case in cases() {
        let golden = &case.golden;
        for (mode, input, cx) in [
            ("eval64", "input", Context::eval()),
            ("train64", "input.train", Context::train(Key::new(0))),
        ] {
            let run = Run::new(&case, input, DType::F64, &cx);
            golden.check_auxiliary(mode, &run);
            golden.check_logits(&format!("logits.{mode}"), &run.logits, 1e-8);
            golden.check_gradients(&format!("grad.{mode}"), &run, 1e-8, 1e-8);
            if mode == "train64" && golden.file.names().any(|name| name == "running.train64") {
                golden.check_running_statistics(&run.store);
            }
        }
    }
}

/// Files with the names of other libraries, loaded as a user loads them, give the logits of the
/// library's own network.
#[test]
fn the_names_of_other_libraries_mean_the_same_network() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
    let files = std::fs::read_dir(directory).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        Golden::open(name)
    });
    let mut compared: Vec<(&str, String)> = Vec::new();
    let scratch = tempfile::tempdir().unwrap();
    for golden in files {
        let Some(names) = golden.file.metadata().get("names") else {
            continue;
        };
        if !is_wanted(&golden.name) {
            continue;
        }
        let shapes: BTreeMap<String, Vec<usize>> = serde_json::from_str(names).unwrap();
        let weights: Vec<(String, Tensor)> = shapes
            .iter()
            .map(|(name, shape)| (name.clone(), formula(name, shape, DType::F32)))
            .collect();
        let path = scratch.path().join("weights.safetensors");
        save_safetensors(&path, &weights, &BTreeMap::new()).unwrap();
        let (model, library) = golden.name.rsplit_once('.').unwrap();
        let spec = *find(model).unwrap();
        // What a file is built with that is no default stands beside it.
        let config = scratch.path().join("config.json");
        match golden.file.metadata().get("model_args") {
            Some(args) => {
                let args = format!(
                    r#"{{"architecture": "{model}", "num_classes": {CLASSES}, "model_args": {args}}}"#
                );
                std::fs::write(&config, args).unwrap();
            }
            None => drop(std::fs::remove_file(&config)),
        }
        for (dtype, logits, tolerance) in [
            (DType::F32, "logits", 1e-4),
            (DType::F64, "logits.eval64", 1e-8),
        ] {
            let options = LoadOptions {
                dtype: Some(dtype),
                ..LoadOptions::of(spec)
            };
            let network = Network::load(&path, &options).unwrap();
            assert!(
                network.report().is_exact(),
                "{}: {}",
                golden.name,
                network.report()
            );
            let input = formula("input", &golden.input("input"), dtype);
            let ours = network
                .model()
                .forward(&FeatureMap::from_nchw(&input).unwrap(), &Context::eval())
                .unwrap();
            let error = relative_error(&values(&ours), &values(&golden.tensor(logits)));
            assert!(
                error <= tolerance,
                "{}: {logits} differ by {error:.2e}",
                golden.name
            );
        }
        compared.push((spec.family, library.to_string()));
    }
    if std::env::var_os("GOLDEN_MODELS").is_some() {
        return;
    }
    for spec in models() {
        for naming in spec
            .namings
            .iter()
            .filter(|naming| naming.library == "torchvision")
        {
            let pair = (spec.family, naming.library.to_string());
            assert!(compared.contains(&pair), "{pair:?} has no golden file");
        }
    }
}

/// One forward and backward pass with the formula's weights, input and upstream gradient.
struct Run {
    store: Store,
    logits: Tensor,
    /// Those of the auxiliary heads, which are computed in train mode.
    auxiliary: Vec<(String, Tensor)>,
    stages: Vec<Tensor>,
    gradients: Vec<(String, Tensor)>,
}

impl Run {
    fn new(case: &Case, input: &str, dtype: DType, cx: &Context<'_>) -> Self {
        let (store, model) = build(case, dtype);
        let spec = find(case.model).unwrap();
        let is_training = input == "input.train";
        let input = Var::from_tensor(&formula("input", &case.golden.input(input), dtype)).unwrap();
        let xs = FeatureMap::from_nchw(&input).unwrap();
        let (stages, logits, auxiliary) = forward(&model, &xs, is_training, cx);
        let weighed = |name: &str, logits: &Tensor| {
            let upstream = formula(name, logits.dims(), dtype);
            (logits * upstream).unwrap().sum_all().unwrap()
        };
        let sum = auxiliary
            .iter()
            .fold(weighed("upstream", &logits), |sum, (head, logits)| {
                (sum + weighed(&format!("upstream.{head}"), logits)).unwrap()
            });
        let grads = sum.backward().unwrap();
        let is_of_head = |name: &str| {
            let mut heads = spec.auxiliary.iter();
            heads.any(|head| name.starts_with(&format!("{head}.")))
        };
        let gradient = |name: &str, var: &Var| match grads.get(var) {
            Some(gradient) => gradient.detach(),
            // In evaluation nothing reads what an auxiliary head gives.
            None if is_of_head(name) && !is_training => var.zeros_like().unwrap(),
            None => panic!("{}: {name} has no gradient", case.golden.name),
        };
        let mut gradients: Vec<(String, Tensor)> = store
            .trainable()
            .iter()
            .map(|(name, var)| (name.clone(), gradient(name, var)))
            .collect();
        gradients.sort_by(|a, b| a.0.cmp(&b.0));
        gradients.insert(
            0,
            ("input".to_string(), grads.get(&input).unwrap().detach()),
        );
        let stages = stages
            .iter()
            .map(|stage| stage.to_nchw().unwrap().detach())
            .collect();
        Self {
            store,
            logits: logits.detach(),
            auxiliary,
            stages,
            gradients,
        }
    }
}

fn build(case: &Case, dtype: DType) -> (Store, Model) {
    let store = Store::with_dtype(0, dtype, &Device::Cpu);
    store.set_blank(true);
    let model = find(case.model)
        .unwrap()
        .build_any(&case.config, &store.builder(Mode::Train))
        .unwrap();
    for entry in store.entries() {
        store
            .set(&entry.name, &formula(&entry.name, &entry.shape, dtype))
            .unwrap();
    }
    (store, model)
}

struct Golden {
    name: String,
    file: TensorFile,
}

impl Golden {
    fn open(name: &str) -> Self {
        let path = format!(
            "{}/tests/golden/{name}.safetensors",
            env!("CARGO_MANIFEST_DIR")
        );
        Self {
            name: name.to_string(),
            file: TensorFile::open(PathBuf::from(path)).unwrap(),
        }
    }

    /// Shape of the input, `(N, C, H, W)`; training has a larger one (`input.train`).
    fn input(&self, which: &str) -> [usize; 4] {
        let numbers = self.file.metadata()[which]
            .split(',')
            .map(|number| number.parse().unwrap());
        numbers.collect::<Vec<_>>().try_into().unwrap()
    }

    /// Adds what the network is built with beside the defaults (`model_args`, as a `config.json` has
    /// it): the reduced form of a large one.
    fn complete(&self, config: &mut ModelConfig) {
        if let Some(args) = self.file.metadata().get("model_args") {
            add_args(config, args);
        }
    }

    fn check_auxiliary(&self, mode: &str, run: &Run) {
        let heads = run.auxiliary.iter().map(|(head, _)| head.as_str());
        let prefix = format!("logits.{mode}.");
        let mut expected: Vec<&str> = self
            .file
            .names()
            .filter_map(|name| name.strip_prefix(&prefix))
            .collect();
        expected.sort_unstable();
        assert_eq!(heads.collect::<Vec<_>>(), expected, "{}", self.name);
        for (head, logits) in &run.auxiliary {
            self.check_logits(&format!("{prefix}{head}"), logits, 1e-8);
        }
    }

    /// Class scores one by one; those of pixels by their fingerprint.
    fn check_logits(&self, key: &str, logits: &Tensor, tolerance: f64) {
        let label = format!("{} {key}", self.name);
        if logits.rank() == 2 {
            let error = relative_error(&values(logits), &values(&self.tensor(key)));
            assert!(error <= tolerance, "{label} differ by {error:.2e}");
            return;
        }
        let ours = fingerprint(logits, "logits", 4);
        let count = logits.elem_count();
        check(
            &label,
            &ours,
            &self.row(key, 0),
            count,
            tolerance,
            tolerance,
            0.,
        );
    }

    fn tensor(&self, name: &str) -> Tensor {
        self.file.tensor(name).unwrap()
    }

    fn row(&self, name: &str, row: usize) -> Vec<f64> {
        let tensor = self.tensor(name);
        if tensor.rank() == 1 {
            tensor.to_vec1().unwrap()
        } else {
            tensor.to_vec2::<f64>().unwrap()[row].clone()
        }
    }

    fn check_gradients(&self, key: &str, run: &Run, norm: f64, inner: f64) {
        let rows = self.tensor(key).dims()[0];
        assert_eq!(
            rows,
            run.gradients.len(),
            "{} {key}: number of gradients",
            self.name
        );
        let largest = (0..rows)
            .map(|row| self.row(key, row)[0])
            .fold(0., f64::max);
        for (row, (name, gradient)) in run.gradients.iter().enumerate() {
            let ours = fingerprint(gradient, &format!("grad.{name}"), 1);
            let label = format!("{} {key} {name}", self.name);
            // A gradient that is zero but for rounding is compared on the scale of the others.
            check(
                &label,
                &ours,
                &self.row(key, row),
                gradient.elem_count(),
                norm,
                inner,
                1e-6 * largest,
            );
        }
    }

    fn check_running_statistics(&self, store: &Store) {
        let is_statistic =
            |name: &str| name.ends_with("running_mean") || name.ends_with("running_var");
        let mut buffers: Vec<String> = store
            .entries()
            .into_iter()
            .filter(|e| e.kind == TensorKind::Buffer && is_statistic(&e.name))
            .map(|e| e.name)
            .collect();
        buffers.sort();
        assert_eq!(
            self.tensor("running.train64").dims()[0],
            buffers.len(),
            "{}: number of running statistics",
            self.name
        );
        for (row, name) in buffers.iter().enumerate() {
            let buffer = store.get(name).unwrap();
            let ours = fingerprint(&buffer, name, 1);
            let label = format!("{} {name}", self.name);
            check(
                &label,
                &ours,
                &self.row("running.train64", row),
                buffer.elem_count(),
                1e-8,
                1e-8,
                0.,
            );
        }
    }
}

/// `[‖x‖, ⟨x, v₀⟩, ⟨x, v₁⟩, …]` with the formula's probes.
fn fingerprint(xs: &Tensor, name: &str, probes: usize) -> Vec<f64> {
    let xs = values(xs);
    let norm = xs.iter().map(|x| x * x).sum::<f64>().sqrt();
    let inner = |k: usize| {
        // The probe is drawn on the way: as a tensor it would be as large as the weights.
        let probe = formula_values(&format!("probe.{k}.{name}"), &[xs.len()]);
        xs.iter().zip(probe).map(|(x, v)| x * f64::from(v)).sum()
    };
    std::iter::once(norm)
        .chain((0..probes).map(inner))
        .collect()
}

/// Norms to a relative tolerance, inner products to a share of `‖x‖‖v‖`; norms below `floor` count
/// as `floor`.
fn check(
    label: &str,
    ours: &[f64],
    theirs: &[f64],
    count: usize,
    norm: f64,
    inner: f64,
    floor: f64,
) {
    assert_eq!(ours.len(), theirs.len(), "{label}");
    let scale = theirs[0].max(floor);
    assert!(
        (ours[0] - theirs[0]).abs() <= norm * scale,
        "{label}: norm {} instead of {}",
        ours[0],
        theirs[0]
    );
    // A probe is uniform in ±1, its norm √(count / 3) but for chance.
    let bound = inner * scale * (count as f64 / 3.).sqrt();
    for (ours, theirs) in ours[1..].iter().zip(&theirs[1..]) {
        assert!(
            (ours - theirs).abs() <= bound,
            "{label}: inner product {ours} instead of {theirs}, bound {bound:.2e}"
        );
    }
}

fn values(xs: &Tensor) -> Vec<f64> {
    xs.to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn relative_error(ours: &[f64], theirs: &[f64]) -> f64 {
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|x| x * x).sum::<f64>().sqrt();
    assert_eq!(ours.len(), theirs.len());
    norm(&mut ours.iter().zip(theirs).map(|(a, b)| a - b)) / norm(&mut theirs.iter().copied())
}

/// Values see maps in PyTorch's order, whatever the layout inside.
#[test]
fn observers_see_pytorchs_shapes() {
    struct Shapes(std::sync::Mutex<Vec<(String, Vec<usize>)>>);
    impl cnn_layers::Observer for Shapes {
        fn exit(&self, event: &cnn_layers::Event<'_>) -> candle_core::Result<()> {
            self.0
                .lock()
                .unwrap()
                .push((event.path.to_string(), event.output.dims()));
            Ok(())
        }
    }
    let case = cases()
        .into_iter()
        .find(|case| case.golden.name == "resnet18");
    // Only where others are asked for it is not among them.
    let Some(case) = case else { return };
    let (_, Model::Classifier(model)) = build(&case, DType::F32) else {
        panic!("resnet18 is no classifier");
    };
    let shapes = Shapes(Default::default());
    let xs =
        FeatureMap::from_nchw(&formula("input", &case.golden.input("input"), DType::F32)).unwrap();
    let logits = model
        .forward(&xs, &Context::eval().with_observer(&shapes))
        .unwrap();
    assert_eq!(Value::from(&logits).dims(), [2, CLASSES]);
    let seen = shapes.0.into_inner().unwrap();
    let [_, _, height, width] = case.golden.input("input");
    let halved = |times| {
        [height, width].map(|size| (0..times).fold(size, |size: usize, _| size.div_ceil(2)))
    };
    let maps = |[height, width]: [usize; 2]| vec![2, 64, height, width];
    assert_eq!(seen[0], ("conv1".to_string(), maps(halved(1))));
    assert!(seen.contains(&("layer1.0.act2".to_string(), maps(halved(2)))));
    assert_eq!(seen.last().unwrap(), &("fc".to_string(), vec![2, CLASSES]));
}
