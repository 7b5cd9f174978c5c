//! Strategies on a small network: what moves, what stays, interruption, the feature cache.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cnn_data::{Augmentation, Dataset, RandomHorizontalFlip, Shapes, ShapesConfig, Split};
use cnn_models::{LoadOptions, ModelConfig, Network};
use cnn_train::Notice;
use cnn_transfer::{
    Error, FeatureCache, FineTune, FineTuneConfig, FineTuneNotice, FreezeProof, Strategy,
};

fn shapes(split: Split, samples: usize, seed: u64) -> Arc<dyn Dataset> {
    let config = ShapesConfig::default()
        .with_samples(samples)
        .with_split(split)
        .with_seed(seed);
    Arc::new(Shapes::new(config.with_size(20, 24)).unwrap())
}

/// A ResNet-8 with weights of its own, saved, and loaded from there with a new head.
fn network(directory: &Path) -> Network {
    if !directory.join("model.safetensors").exists() {
        let config = ModelConfig {
            num_classes: Some(10),
            input_size: Some([20, 24]),
            ..ModelConfig::default()
        };
        Network::new("resnet8_cifar10", &config, 3)
            .unwrap()
            .save(directory)
            .unwrap();
    }
    let options = LoadOptions {
        num_classes: Some(10),
        new_head: true,
        seed: 1,
        ..LoadOptions::default()
    };
    Network::load(directory, &options).unwrap()
}

fn config(strategy: Strategy) -> FineTuneConfig {
    FineTuneConfig {
        strategy,
        head_epochs: 2,
        epochs: 2,
        batch_size: 8,
        ..FineTuneConfig::default()
    }
}

fn tuning(source: &Path, strategy: Strategy) -> FineTune<'static> {
    let train = shapes(Split::Train, 20, 0);
    let val = shapes(Split::Val, 10, 0);
    FineTune::new(network(source), train, val).with_config(config(strategy))
}

fn bytes(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("last/model.safetensors")).unwrap()
}

/// What knows airplanes and ships knows circles and squares after it was tuned on them: nobody has
/// to say so.
#[test]
fn the_tuned_network_has_the_names_of_the_datas_classes() {
    let root = tempfile::tempdir().unwrap();
    let run = root.path().join("run");
    let mut tuning = tuning(&root.path().join("source"), Strategy::Head);
    assert_eq!(tuning.network().label_names().unwrap()[0], "airplane");
    tuning.run(&run).unwrap();
    let tuned = Network::load(&run.join("best"), &LoadOptions::default()).unwrap();
    assert_eq!(
        tuned.label_names().unwrap(),
        shapes(Split::Train, 20, 0).classes()
    );
}

#[test]
fn each_phase_changes_what_it_names_and_nothing_else() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    let all = ["stem", "stage1", "stage2", "stage3", "head"];
    let cases: [(Strategy, &[usize]); 4] = [
        (Strategy::Head, &[1]),
        (Strategy::Full, &[5]),
        (Strategy::TwoPhase, &[1, 5]),
        (Strategy::Gradual, &[1, 2, 3, 4, 5]),
    ];
    for (strategy, groups) in cases {
        let run = root.path().join(strategy.to_string());
        let summary = tuning(&source, strategy)
            .with_augmentation(flip())
            .run(&run)
            .unwrap();
        assert!(!summary.interrupted);
        assert_eq!(summary.phases.len(), groups.len(), "{strategy}");
        for (phase, &groups) in summary.phases.iter().zip(groups) {
            assert_eq!(
                phase.trained,
                all[5 - groups..],
                "{strategy} {}",
                phase.name
            );
            assert_eq!(phase.changed, phase.trained, "{strategy} {}", phase.name);
        }
        let saved = run.join("last/model.safetensors");
        let backbone = FreezeProof::of(network(&source).store(), &saved, |name| {
            !name.starts_with("linear.")
        })
        .unwrap();
        let statistics = FreezeProof::of(network(&source).store(), &saved, |name| {
            name.contains("running_")
        })
        .unwrap();
        assert_eq!(
            backbone.tensors == backbone.unchanged,
            strategy == Strategy::Head,
            "{strategy} {backbone:?}"
        );
        assert_eq!(
            (statistics.tensors, statistics.unchanged),
            (14, 14),
            "{strategy}"
        );
    }
}

fn flip() -> Augmentation {
    Augmentation::new().then(RandomHorizontalFlip::new(0.5).unwrap())
}

#[test]
fn statistics_move_where_asked() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    let config = FineTuneConfig {
        frozen_statistics: false,
        ..config(Strategy::TwoPhase)
    };
    tuning(&source, Strategy::TwoPhase)
        .with_config(config)
        .run(root.path())
        .unwrap();
    let saved = root.path().join("last/model.safetensors");
    let proof = FreezeProof::of(network(&source).store(), &saved, |name| {
        name.contains("running_")
    })
    .unwrap();
    assert_eq!((proof.tensors, proof.unchanged), (14, 0));
}

#[test]
fn features_give_the_same_head_as_images() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    tuning(&source, Strategy::Head)
        .run(&root.path().join("features"))
        .unwrap();
    let nothing = Augmentation::new();
    tuning(&source, Strategy::Head)
        .with_head_augmentation(nothing)
        .run(&root.path().join("images"))
        .unwrap();
    let losses = |run: &str| -> Vec<f64> {
        let text = std::fs::read_to_string(root.path().join(run).join("metrics.csv")).unwrap();
        text.lines()
            .skip(1)
            .map(|line| line.split(',').nth(2).unwrap().parse().unwrap())
            .collect()
    };
    let features = losses("features");
    let images = losses("images");
    assert_eq!(features.len(), 2);
    for (a, b) in features.iter().zip(&images) {
        assert!((a - b).abs() < 1e-5, "{features:?} {images:?}");
    }
}

#[test]
fn interrupted_anywhere_it_ends_in_the_same_bytes() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    let whole = root.path().join("whole");
    let updates = std::cell::Cell::new(0);
    let count = |notice: &FineTuneNotice<'_>| {
        if let FineTuneNotice::Train(Notice::Update { .. }) = notice {
            updates.set(updates.get() + 1);
        }
    };
    let train = shapes(Split::Train, 20, 0);
    let val = shapes(Split::Val, 10, 0);
    FineTune::new(network(&source), train, val)
        .with_config(config(Strategy::Gradual))
        .with_listener(count)
        .run(&whole)
        .unwrap();
    assert!(updates.get() >= 10, "{}", updates.get());
    for stop in 0..updates.get() {
        let run = root.path().join(format!("stopped-{stop}"));
        let mut sittings = 0;
        loop {
            let flag = Arc::new(AtomicBool::new(false));
            let raise = flag.clone();
            let mut seen = 0;
            let listener = move |notice: &FineTuneNotice<'_>| {
                if let FineTuneNotice::Train(Notice::Update { .. }) = notice {
                    seen += 1;
                    // The first sitting stops after `stop` updates, the next ones four updates
                    // later each.
                    if seen > if sittings == 0 { stop } else { 3 } {
                        raise.store(true, Ordering::Relaxed);
                    }
                }
            };
            let summary = tuning(&source, Strategy::Gradual)
                .with_interrupt(flag)
                .with_listener(listener)
                .run(&run);
            if !summary.unwrap().interrupted {
                break;
            }
            sittings += 1;
        }
        assert!(
            bytes(&run) == bytes(&whole),
            "stopped after {stop} updates, {sittings} times"
        );
    }
}

#[test]
fn an_interruption_before_anything_leaves_nothing_to_trip_over() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    let run = root.path().join("run");
    let raised = Arc::new(AtomicBool::new(true));
    assert!(
        tuning(&source, Strategy::TwoPhase)
            .with_interrupt(raised)
            .run(&run)
            .unwrap()
            .interrupted
    );
    assert!(
        !tuning(&source, Strategy::TwoPhase)
            .run(&run)
            .unwrap()
            .interrupted
    );
    let whole = root.path().join("whole");
    tuning(&source, Strategy::TwoPhase).run(&whole).unwrap();
    assert!(bytes(&run) == bytes(&whole));
}

#[test]
fn cached_features_are_used_only_where_they_belong() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    let directory = root.path().join("cache");
    let cache = FeatureCache::in_directory(&directory);
    let never = AtomicBool::new(false);
    let features = |network: &Network, data: &Arc<dyn Dataset>| {
        cache
            .features(network, data, &never, |_| ())
            .unwrap()
            .unwrap()
    };
    let files = || std::fs::read_dir(&directory).unwrap().count();
    let first = network(&source);
    let data = shapes(Split::Train, 9, 0);
    let fresh = features(&first, &data);
    assert_eq!(
        (fresh.from_file, files(), fresh.maps.dims()),
        (false, 1, [9, 1, 1, 64].as_slice())
    );
    let again = features(&first, &data);
    assert!(again.from_file && again.indices == fresh.indices);
    assert_eq!(
        again.maps.flatten_all().unwrap().to_vec1::<f32>().unwrap(),
        fresh.maps.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    );

    // Another head is no other backbone; another weight, other images or another size of them are.
    first
        .store()
        .set(
            "linear.bias",
            &candle_core::Tensor::ones(10, candle_core::DType::F32, &candle_core::Device::Cpu)
                .unwrap(),
        )
        .unwrap();
    assert!(features(&first, &data).from_file);
    assert!(!features(&first, &shapes(Split::Train, 9, 1)).from_file);
    let weight = first.store().get("bn1.bias").unwrap();
    first
        .store()
        .set("bn1.bias", &(weight + 1e-3).unwrap())
        .unwrap();
    assert!(!features(&first, &data).from_file);
    assert_eq!(files(), 3);

    // A damaged file is computed again.
    for file in std::fs::read_dir(&directory).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    }
    assert!(!features(&network(&source), &data).from_file);
    assert!(features(&network(&source), &data).from_file);
    let raised = AtomicBool::new(true);
    assert!(
        FeatureCache::default()
            .features(&first, &data, &raised, |_| ())
            .unwrap()
            .is_none()
    );
}

#[test]
fn a_head_of_other_classes_is_an_error() {
    let root = tempfile::tempdir().unwrap();
    let config = ModelConfig {
        num_classes: Some(7),
        input_size: Some([20, 24]),
        ..ModelConfig::default()
    };
    let network = Network::new("resnet8_cifar10", &config, 3).unwrap();
    let train = shapes(Split::Train, 20, 0);
    let val = shapes(Split::Val, 10, 0);
    let error = FineTune::new(network, train, val)
        .run(root.path())
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Classes {
                network: 7,
                data: 10
            }
        ),
        "{error}"
    );
    assert_eq!(std::fs::read_dir(root.path()).unwrap().count(), 0);
}

/// The rates of a run's updates, phase by phase, and the epochs of each phase.
fn rates(config: FineTuneConfig, run: &Path, source: &Path) -> Vec<(usize, Vec<f64>)> {
    let mut phases: Vec<(usize, Vec<f64>)> = Vec::new();
    let listener = |notice: &FineTuneNotice<'_>| match notice {
        FineTuneNotice::Phase { .. } => phases.push((0, Vec::new())),
        FineTuneNotice::Train(Notice::Update { rates, .. }) => {
            phases.last_mut().unwrap().1.push(rates.lr)
        }
        FineTuneNotice::Train(Notice::Epoch { .. }) => phases.last_mut().unwrap().0 += 1,
        _ => {}
    };
    let train = shapes(Split::Train, 20, 0);
    let val = shapes(Split::Val, 10, 0);
    let mut tuning = FineTune::new(network(source), train, val)
        .with_config(config)
        .with_listener(listener);
    tuning.run(run).unwrap();
    drop(tuning);
    phases
}

#[test]
fn each_phase_runs_through_schedule_and_warm_up() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    let config = FineTuneConfig {
        head_epochs: 3,
        ..config(Strategy::TwoPhase)
    };
    let head = config.head_learning_rate;
    let body = config.learning_rate;
    // Two updates in each epoch.
    let step = FineTuneConfig {
        schedule: "step:every=1,gamma=0.5".parse().unwrap(),
        warmup: Some(0.),
        ..config.clone()
    };
    let expected = vec![
        (
            3,
            [1., 1., 0.5, 0.5, 0.25, 0.25]
                .map(|factor| factor * head)
                .to_vec(),
        ),
        (2, [1., 1., 0.5, 0.5].map(|factor| factor * body).to_vec()),
    ];
    assert_eq!(rates(step, &root.path().join("step"), &source), expected);
    // By default half a cosine wave behind a warm-up of a tenth of the phase.
    for (phase, (epochs, lrs)) in rates(config, &root.path().join("usual"), &source)
        .into_iter()
        .enumerate()
    {
        let peak = [head, body][phase];
        let warmup = 0.1 * epochs as f64;
        assert!((lrs[0] - 0.01 * peak).abs() < 1e-12, "{lrs:?}");
        let done = (0.5 - warmup) / (epochs as f64 - warmup);
        let second = peak * (1. + (std::f64::consts::PI * done).cos()) / 2.;
        assert!((lrs[1] - second).abs() < 1e-12, "{lrs:?}");
    }
}

#[test]
fn patience_ends_a_phase_and_not_the_run() {
    let root = tempfile::tempdir().unwrap();
    let source = root.path().join("source");
    // A rate at which nothing is learnt: the first epoch stays the best, and the first phase ends
    // two epochs after it, the second after two.
    let still = FineTuneConfig {
        head_learning_rate: 1e-30,
        learning_rate: 1e-30,
        ..config(Strategy::TwoPhase)
    };
    let still = FineTuneConfig {
        head_epochs: 9,
        epochs: 8,
        ..still
    };
    let epochs = |config: FineTuneConfig, run: &str| -> Vec<usize> {
        rates(config, &root.path().join(run), &source)
            .into_iter()
            .map(|(epochs, _)| epochs)
            .collect()
    };
    assert_eq!(
        epochs(
            FineTuneConfig {
                patience: Some(2),
                ..still.clone()
            },
            "patient"
        ),
        [3, 2]
    );
    assert_eq!(epochs(still, "without"), [9, 8]);
}
