//! Training under attack: the loss falls, a killed run ends in the bytes of a whole one, and the
//! attack leaves no trace in the network but what it learns.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use candle_core::{DType, Tensor};
use cnn_core::{Key, Preprocessing};
use cnn_data::{Batch, BatchPlan, Image, Sample, Shapes, ShapesConfig, Split};
use cnn_layers::{Backbone, Classifier, Context, FeatureMap, LayerGroup, Mode, StageInfo, Store};
use cnn_models::{ModelConfig, Network};
use cnn_robust::defence::{AdversarialConfig, AdversarialMethod, AdversarialStep, IntervalStep};
use cnn_robust::{Error, Norm, Threat};
use cnn_train::{
    Classification, GradientStep, Notice, Optimizer, OptimizerConfig, Progress, Rates, Step,
    StepReport, TrainConfig, Trainer, Update, decay_groups,
};

const BATCH: usize = 8;
const EPOCHS: usize = 9;
const EPS: f64 = 2. / 255.;

fn record() -> Preprocessing {
    Preprocessing {
        input_size: [3, 16, 16],
        crop_pct: 1.,
        mean: vec![0.; 3],
        std: vec![1.; 3],
        ..Preprocessing::default()
    }
}

fn shapes(samples: usize, split: Split) -> Arc<Shapes> {
    let config = ShapesConfig::default().with_samples(samples);
    Arc::new(Shapes::new(config.with_split(split)).unwrap())
}

fn network() -> Network {
    Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap()
}

fn task(network: &Network) -> Classification {
    let [train, val] = [(48, Split::Train), (10, Split::Val)].map(|(n, split)| shapes(n, split));
    let task = Classification::new(train, val, record(), |mode| network.build(mode)).unwrap();
    task.with_batch_size(BATCH).unwrap()
}

/// A small network that has bounds: one without batch-norm.
fn bounded_network() -> Network {
    let config = ModelConfig {
        in_channels: Some(3),
        input_size: Some([16, 16]),
        ..ModelConfig::default()
    };
    Network::new("lenet5", &config, 0).unwrap()
}

fn is_interval(config: &AdversarialConfig) -> bool {
    matches!(config.method, AdversarialMethod::Interval { .. })
}

fn config(method: AdversarialMethod) -> AdversarialConfig {
    let config = AdversarialConfig::new(method, Threat::linf(EPS).unwrap()).unwrap();
    config.with_steps(2)
}

/// All methods that attack, and one whose weights are moved against the training.
fn configs() -> Vec<AdversarialConfig> {
    let moved = config(AdversarialMethod::Pgd).with_weight_perturbation(0.005);
    let methods = AdversarialMethod::ALL.map(config).into_iter();
    let attacking = methods.filter(|config| !is_interval(config));
    attacking.chain([moved.unwrap()]).collect()
}

/// Those, and one with bounds whose size grows from the first update to the last.
fn all_configs() -> Vec<AdversarialConfig> {
    let bounds = config(AdversarialMethod::Interval { ramp: 1. });
    configs().into_iter().chain([bounds]).collect()
}

/// A network for a method, and its step.
fn defence(config: AdversarialConfig) -> (Network, Box<dyn Step<Classification>>) {
    let AdversarialMethod::Interval { ramp } = config.method else {
        let network = network();
        let step = step(config, &network);
        return (network, Box::new(step));
    };
    let network = bounded_network();
    let (model, store) = (network.model(), network.store());
    let step = IntervalStep::new(config.threat.eps, ramp, model, store, &record()).unwrap();
    (network, Box::new(step))
}

fn step(config: AdversarialConfig, network: &Network) -> AdversarialStep {
    let attacked = network.build(Mode::Eval).unwrap();
    AdversarialStep::new(config, attacked, &record(), BATCH).unwrap()
}

fn trainer<'a>(network: &Network, epochs: usize, directory: &Path) -> Trainer<'a> {
    let config = TrainConfig {
        optimizer: OptimizerConfig::adam(),
        learning_rate: 0.003,
        ..TrainConfig::new(epochs)
    };
    Trainer::new(config, network.store(), directory)
}

#[test]
fn every_method_learns() {
    for config in configs() {
        let network = network();
        let task = task(&network);
        let directory = tempfile::tempdir().unwrap();
        let mut losses = Vec::new();
        let mut robust = Vec::new();
        // 54 updates: of `fast` the watch has looked once and said nothing.
        trainer(&network, EPOCHS, directory.path())
            .with_listener(|notice| {
                if let Notice::Epoch { record, .. } = notice {
                    losses.push(record.metric("train_loss").unwrap());
                    robust.extend(record.metric("train_robust_top1"));
                }
            })
            .run(&task, &mut step(config, &network))
            .unwrap();
        println!("{}: {losses:?} {robust:?}", config.method);
        assert!(losses[EPOCHS - 1] < 0.9 * losses[0], "{}", config.method);
        let is_free = matches!(config.method, AdversarialMethod::Free { .. });
        assert_eq!(robust.len(), if is_free { 0 } else { EPOCHS });
    }
}

/// One update by hand, at a learning rate of 0.
struct Scene {
    network: Network,
    task: Classification,
    optimizer: Optimizer,
}

impl Scene {
    fn new() -> Self {
        let network = network();
        let task = task(&network);
        let groups = decay_groups(network.store().trainable(), 0.);
        Self {
            optimizer: Optimizer::new(OptimizerConfig::sgd(), groups).unwrap(),
            task,
            network,
        }
    }

    fn step(
        &mut self,
        step: &mut dyn Step<Classification>,
        batches: &[Batch],
    ) -> Result<StepReport, cnn_train::Error> {
        let mut update = Update {
            optimizer: &mut self.optimizer,
            rates: Rates {
                lr: 0.,
                momentum: None,
            },
            progress: Progress {
                epoch: 0.,
                epochs: 1.,
            },
            key: Key::new(4),
            further: Vec::new(),
            average: None,
        };
        step.step(&self.task, batches, &mut update)
    }

    /// The tensors whose names end so, as bits.
    fn tensors(&self, end: &str) -> Vec<(String, Vec<u64>)> {
        let tensors = self.network.store().tensors().into_iter();
        let tensors = tensors.filter(|(name, _)| name.ends_with(end));
        tensors
            .map(|(name, tensor)| (name, bits(&tensor)))
            .collect()
    }
}

fn bits(tensor: &Tensor) -> Vec<u64> {
    let values = tensor.to_dtype(DType::F64).unwrap();
    let values = values.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    values.into_iter().map(f64::to_bits).collect()
}

fn batch() -> Batch {
    batch_of(BATCH)
}

fn batch_of(images: usize) -> Batch {
    let plan = BatchPlan::new(shapes(images, Split::Train), record()).with_batch_size(images);
    plan.start().unwrap().next().unwrap().unwrap()
}

#[test]
fn an_attack_moves_no_statistics() {
    let batch = [batch()];
    let plain = {
        let mut scene = Scene::new();
        scene.step(&mut GradientStep::default(), &batch).unwrap();
        scene.tensors("running_mean")
    };
    for config in configs() {
        let passes = match config.method {
            AdversarialMethod::Trades { .. } | AdversarialMethod::Mart { .. } => 2,
            AdversarialMethod::Free { replays } => replays as i64,
            _ => 1,
        };
        let mut scene = Scene::new();
        // Without a size an attack is a search that finds the images themselves.
        let still = AdversarialConfig {
            threat: Threat::linf(0.).unwrap(),
            ..config
        };
        let mut step = step(still, &scene.network);
        scene.step(&mut step, &batch).unwrap();
        let counts = scene.tensors("num_batches_tracked");
        assert!(!counts.is_empty());
        for (name, count) in counts {
            let expected = (passes as f64).to_bits();
            assert_eq!(count, [expected], "{} {name}", config.method);
        }
        if passes > 1 || config.weight_perturbation > 0. {
            continue;
        }
        for ((name, found), (_, plain)) in scene.tensors("running_mean").iter().zip(&plain) {
            for (found, plain) in found.iter().zip(plain) {
                let [found, plain] = [found, plain].map(|bits| f64::from_bits(*bits));
                let what = format!("{} {name}", config.method);
                assert!((found - plain).abs() < 1e-5, "{what}: {found} {plain}");
            }
        }
    }
}

#[test]
fn moved_weights_come_back_in_every_bit() {
    let batch = [batch()];
    let gradient = |share: f64| {
        let mut scene = Scene::new();
        let config = config(AdversarialMethod::Trades { beta: 6. });
        let config = config.with_weight_perturbation(share).unwrap();
        let mut step = step(config, &scene.network);
        let before = scene.tensors("weight");
        let report = scene.step(&mut step, &batch);
        assert!(before.len() > 10 && before == scene.tensors("weight"));
        report.map(|report| report.gradient_norm)
    };
    let [still, moved] = [gradient(0.).unwrap(), gradient(0.05).unwrap()];
    println!("gradient {still}, with moved weights {moved}");
    assert!((still - moved).abs() > 1e-3 * still);
    // So far that the loss is no number: the update fails, and the weights are what they were.
    let error = gradient(1e60).unwrap_err().to_string();
    assert!(error.contains("the loss"), "{error}");
}

/// Says class 0 as long as its images are, on average, far from a ring halfway to the border of the
/// ball around grey: one step jumps over the ring, many steps fall into it.
struct Ring {
    stages: [StageInfo; 1],
    groups: [LayerGroup; 1],
    eps: f64,
}

impl Ring {
    const GREY: f64 = 128. / 255.;
    /// The distance, in sizes of the ball, from which on class 0 is said.
    const FAR: f64 = 0.225;

    fn new(eps: f64) -> Self {
        Self {
            stages: [StageInfo {
                module: "ring".to_string(),
                channels: 3,
                reduction: 1,
            }],
            groups: [LayerGroup::new("ring", ["ring"])],
            eps,
        }
    }
}

impl Backbone for Ring {
    fn stages(&self) -> &[StageInfo] {
        &self.stages
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    fn forward_stages(
        &self,
        xs: &FeatureMap,
        _: &Context<'_>,
    ) -> candle_core::Result<Vec<FeatureMap>> {
        Ok(vec![xs.clone()])
    }

    fn forward_from(
        &self,
        _: usize,
        xs: &FeatureMap,
        _: &Context<'_>,
    ) -> candle_core::Result<FeatureMap> {
        Ok(xs.clone())
    }
}

impl Classifier for Ring {
    fn num_classes(&self) -> usize {
        10
    }

    fn num_features(&self) -> usize {
        3
    }

    fn forward_head(&self, xs: &FeatureMap, _: &Context<'_>) -> candle_core::Result<Tensor> {
        let change = ((xs.to_nhwc() - Self::GREY)? / self.eps)?;
        let distance = (change.abs()? - 0.5)?.abs()?.flatten_from(1)?;
        let score = (distance.mean_keepdim(1)? - Self::FAR)?;
        let others = score.zeros_like()?.repeat((1, 9))?;
        Tensor::cat(&[score, others], 1)
    }
}

/// Grey images of class 0.
fn grey() -> Batch {
    let image = Image::from_pixels(16, 16, 3, vec![128; 768]).unwrap();
    let samples = vec![Sample::new(image, Some(0)); BATCH];
    Batch::of_samples(samples, &record()).unwrap()
}

/// What the watch keeps of a step.
fn watch(step: &AdversarialStep) -> Store {
    let kept = step.kept();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].0, "watch");
    kept[0].1.clone()
}

fn set_updates(step: &AdversarialStep, updates: i64) {
    set_count(step, "updates", updates);
}

fn set_count(step: &AdversarialStep, name: &str, count: i64) {
    let count = Tensor::new(count, &candle_core::Device::Cpu).unwrap();
    watch(step).set(name, &count).unwrap();
}

#[test]
fn overfitting_to_one_step_stops_the_run() {
    let eps = 8. / 255.;
    let mut scene = Scene::new();
    let threat = Threat::linf(eps).unwrap();
    let fast = AdversarialConfig::new(AdversarialMethod::Fast, threat).unwrap();
    let new = |attacked| AdversarialStep::new(fast, attacked, &record(), BATCH).unwrap();
    assert_eq!((fast.steps, fast.step_size), (1, 1.25 * eps));
    let mut masked = new(Box::new(Ring::new(eps)));
    // It looks at every fiftieth update, wherever the run was interrupted.
    set_updates(&masked, 48);
    scene.step(&mut masked, &[grey()]).unwrap();
    // A network that stood many steps before, of a hundred images 21, has overfitted.
    set_count(&masked, "most", 21);
    let error = scene.step(&mut masked, &[grey()]).unwrap_err();
    let cnn_train::Error::Other(inner) = &error else {
        panic!("{error}");
    };
    match inner.downcast_ref::<Error>() {
        Some(Error::CatastrophicOverfitting {
            updates: 50,
            images: BATCH,
            one_step: BATCH,
            many_steps: 0,
        }) => {}
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().contains("such as pgd"), "{error}");
    // One that never stood them may still learn to, for twenty looks.
    let mut young = new(Box::new(Ring::new(eps)));
    for (gaps, ends) in [(0, false), (18, false), (19, true)] {
        set_updates(&young, 49);
        set_count(&young, "most", 20);
        set_count(&young, "gaps", gaps);
        assert_eq!(scene.step(&mut young, &[grey()]).is_err(), ends, "{gaps}");
        let found = watch(&young).get("gaps").unwrap();
        assert_eq!(found.to_scalar::<i64>().unwrap(), gaps + 1);
    }
    // A network that is as wrong under one step as under many is let alone.
    let mut honest = new(scene.network.build(Mode::Eval).unwrap());
    set_updates(&honest, 49);
    scene.step(&mut honest, &[batch()]).unwrap();
    let updates = watch(&honest).get("updates").unwrap();
    assert_eq!(updates.to_scalar::<i64>().unwrap(), 50);
}

fn refused<T>(result: Result<T, Error>, name: &str, accepted: &str) {
    match result.map(|_| ()) {
        Err(Error::Argument(error)) => {
            let message = error.to_string();
            assert!(
                message.contains(name) && message.contains(accepted),
                "{message}"
            );
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn wrong_settings_name_what_is_accepted() {
    let linf = Threat::linf(EPS).unwrap();
    let l2 = Threat::new(Norm::L2, 0.5).unwrap();
    let free = AdversarialMethod::Free { replays: 4 };
    let interval = AdversarialMethod::Interval { ramp: 0.2 };
    for method in [AdversarialMethod::Fast, free, interval] {
        refused(AdversarialConfig::new(method, l2), "norm", "linf for");
    }
    for method in AdversarialMethod::ALL {
        let l1 = Threat::new(Norm::L1, 5.).unwrap();
        refused(AdversarialConfig::new(method, l1), "norm", "linf");
        let not_finite = Threat {
            eps: f64::NAN,
            ..linf
        };
        refused(AdversarialConfig::new(method, not_finite), "eps", "8/255");
        let text = method.to_string();
        assert_eq!(text.parse::<AdversarialMethod>().unwrap(), method);
    }
    assert!(AdversarialConfig::new(AdversarialMethod::Trades { beta: 6. }, l2).is_ok());
    let of_free = AdversarialConfig::new(free, linf).unwrap();
    refused(of_free.with_weight_perturbation(0.1), "awp", "0 for free");
    let of_pgd = config(AdversarialMethod::Pgd);
    for share in [-1., f64::NAN, f64::INFINITY] {
        refused(of_pgd.with_weight_perturbation(share), "awp", "0 or more");
    }
    let none = AdversarialMethod::Free { replays: 0 };
    refused(AdversarialConfig::new(none, linf), "replays", "at least 1");
    for beta in [-1., f64::NAN] {
        let trades = AdversarialMethod::Trades { beta };
        refused(AdversarialConfig::new(trades, linf), "beta", "at least 0");
    }
    for text in [
        "",
        "madry",
        "pgd:3",
        "fast:1",
        "trades:x",
        "trades:0",
        "free:0",
        "free:1.5",
        "interval:0",
        "interval:1.5",
        "interval:x",
    ] {
        refused(
            text.parse::<AdversarialMethod>(),
            "adversarial",
            "mart[:BETA]",
        );
    }
    // What was written past the builder is looked at, too.
    let network = network();
    let attacked = network.build(Mode::Eval).unwrap();
    let past = AdversarialConfig {
        weight_perturbation: 0.1,
        ..of_free
    };
    let refused = AdversarialStep::new(past, attacked, &record(), BATCH);
    assert!(refused.is_err_and(|error| error.to_string().contains("0 for free")));
}

#[test]
fn batches_that_a_step_cannot_take_are_errors() {
    let mut scene = Scene::new();
    let mut free = step(
        config(AdversarialMethod::Free { replays: 2 }),
        &scene.network,
    );
    let error = scene.step(&mut free, &[batch(), batch()]).unwrap_err();
    assert!(
        error.to_string().contains("one, for free training"),
        "{error}"
    );
    let large = [batch_of(BATCH + 1)];
    let error = scene.step(&mut free, &large).unwrap_err().to_string();
    assert!(error.contains("at most 8"), "{error}");
    for config in configs() {
        let mut scene = Scene::new();
        let mut step = step(config, &scene.network);
        let mut unlabelled = batch();
        unlabelled.labels[1] = None;
        let error = scene.step(&mut step, &[unlabelled]).unwrap_err();
        assert!(error.to_string().contains("labels"), "{error}");
        let mut strange = batch();
        strange.labels[1] = Some(10);
        let error = scene.step(&mut step, &[strange]).unwrap_err().to_string();
        assert!(error.contains("10"), "{}: {error}", config.method);
    }
}

const DIRECTORY: &str = "DEFENCES_TEST_DIRECTORY";
const PLACE: &str = "DEFENCES_TEST_PLACE";
const UPDATES: &str = "DEFENCES_TEST_UPDATES";

/// Few epochs by the method of a place; the process dies after so many updates. Gives how many it
/// made.
fn run(place: usize, directory: &Path, updates: Option<usize>) -> usize {
    let (network, mut step) = defence(all_configs()[place]);
    let task = task(&network);
    let mut done = 0;
    trainer(&network, 3, directory)
        .with_save_every(Duration::ZERO)
        .with_listener(|notice| {
            done += usize::from(matches!(notice, Notice::Update { .. }));
            if updates == Some(done) {
                std::process::abort();
            }
        })
        .run(&task, step.as_mut())
        .unwrap();
    done
}

/// The process that `a_killed_run_ends_in_the_same_bytes` starts; alone it does nothing.
#[test]
fn process_that_dies() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let number = |name| std::env::var(name).unwrap().parse().unwrap();
    run(number(PLACE), Path::new(&directory), Some(number(UPDATES)));
}

/// Weights and what was kept.
fn outcome(directory: &Path) -> Vec<(String, Vec<u64>)> {
    let files = ["last/model.safetensors", "resume.safetensors"];
    let tensors = files.iter().flat_map(|file| {
        let file = cnn_weights::TensorFile::open(directory.join(file)).unwrap();
        let names: Vec<String> = file.names().map(ToString::to_string).collect();
        let tensor = |name: String| {
            let tensor = file.tensor(&name).unwrap();
            // The text of the state holds seconds.
            let is_number = tensor.dtype() != DType::U8;
            is_number.then(|| (name, bits(&tensor)))
        };
        names.into_iter().filter_map(tensor).collect::<Vec<_>>()
    });
    tensors.collect()
}

#[test]
fn a_killed_run_ends_in_the_same_bytes() {
    for (place, config) in all_configs().into_iter().enumerate() {
        let [whole, parts] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let all = run(place, whole.path(), None);
        for updates in [4, 5] {
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "process_that_dies"])
                .env(DIRECTORY, parts.path())
                .env(PLACE, place.to_string())
                .env(UPDATES, updates.to_string())
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .status()
                .unwrap();
            assert_eq!(status.code(), None, "it was to die by a signal: {status}");
        }
        let rest = run(place, parts.path(), None);
        assert!(all == 18 && rest < all - 4, "{rest} of {all} updates");
        let [expected, found] = [whole.path(), parts.path()].map(outcome);
        let kept = match config.method {
            AdversarialMethod::Free { .. } => Some("kept.free.change"),
            AdversarialMethod::Fast => Some("kept.watch.updates"),
            _ => None,
        };
        if let Some(kept) = kept {
            let kept = expected.iter().find(|(name, _)| name == kept).unwrap();
            assert!(kept.1.iter().any(|bits| *bits != 0), "{}", kept.0);
        }
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!(found.0, expected.0);
            assert!(found.1 == expected.1, "{}: {}", config.method, found.0);
        }
    }
}
