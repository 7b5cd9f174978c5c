//! A run of domain adaptation: what it reads, that labels of the target change nothing, that it
//! resumes to the same bytes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cnn_data::{Content, Dataset, Sample, Shapes, ShapesConfig, Split};
use cnn_models::{LoadOptions, ModelConfig, Network};
use cnn_train::Notice;
use cnn_transfer::adapt::{
    Adaptation, AdaptationConfig, AdaptationMethod, METHODS, Unlabelled, VALIDATORS, Validator,
};

fn shapes(samples: usize, split: Split) -> Arc<dyn Dataset> {
    let config = ShapesConfig::default().with_samples(samples);
    Arc::new(Shapes::new(config.with_split(split)).unwrap())
}

fn network() -> Network {
    Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap()
}

fn config(method: AdaptationMethod) -> AdaptationConfig {
    AdaptationConfig {
        method,
        epochs: 2,
        updates: Some(3),
        batch_size: 8,
        ..AdaptationConfig::default()
    }
}

fn adaptation<'a>(config: AdaptationConfig, target: Arc<dyn Dataset>) -> Adaptation<'a> {
    let source = shapes(24, Split::Train);
    let validation = shapes(20, Split::Val);
    Adaptation::new(
        network(),
        source,
        validation,
        Unlabelled::new(target),
        config,
    )
    .unwrap()
}

fn files(directory: &Path) -> Vec<Vec<u8>> {
    [
        "best/model.safetensors",
        "last/model.safetensors",
        "metrics.csv",
    ]
    .map(|file| std::fs::read(directory.join(file)).unwrap())
    .map(|bytes| without_seconds(&bytes))
    .into()
}

/// The rows of a CSV without their last column, which is a time.
fn without_seconds(bytes: &[u8]) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return bytes.to_vec();
    };
    let rows = text.lines().map(|row| row.rsplit_once(',').unwrap().0);
    rows.collect::<Vec<_>>().join("\n").into_bytes()
}

/// The images of a dataset with other labels.
struct Relabelled(Arc<dyn Dataset>);

impl Dataset for Relabelled {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn classes(&self) -> &[String] {
        self.0.classes()
    }

    fn id(&self, index: usize) -> String {
        self.0.id(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        Some((self.0.label(index)? + 1) % self.classes().len())
    }

    fn content(&self, index: usize) -> Result<Content, cnn_data::Error> {
        self.0.content(index)
    }

    fn read(&self, index: usize) -> Result<Sample, cnn_data::Error> {
        let sample = self.0.read(index)?;
        Ok(Sample::new(sample.image, self.label(index)))
    }
}

#[test]
fn no_label_of_the_target_reaches_training_or_choice() {
    let target = shapes(20, Split::Test);
    let ends = [
        target.clone(),
        Arc::new(Relabelled(target)) as Arc<dyn Dataset>,
    ]
    .map(|target| {
        let directory = tempfile::tempdir().unwrap();
        let config = config(AdaptationMethod::CdanE);
        adaptation(config, target).run(directory.path()).unwrap();
        files(directory.path())
    });
    assert_eq!(ends[0], ends[1]);
    let hidden = Unlabelled::new(shapes(3, Split::Test));
    assert!(hidden.images().classes().is_empty());
    assert!((0..3).all(|index| hidden.images().label(index).is_none()));
    assert_eq!(hidden.images().read(1).unwrap().label, None);
    assert_eq!((hidden.len(), hidden.is_empty()), (3, false));
}

#[test]
fn every_method_runs_and_says_what_it_minimises() {
    for info in METHODS {
        let directory = tempfile::tempdir().unwrap();
        let config = AdaptationConfig {
            epochs: 1,
            ..config(info.method)
        };
        let mut logged = Vec::new();
        let mut run = adaptation(config, shapes(20, Split::Test)).with_listener(|notice| {
            if let Notice::Epoch { record, .. } = notice {
                logged = record.train.iter().map(|(name, _)| name.clone()).collect();
            }
        });
        let summary = run.run(directory.path()).unwrap();
        drop(run);
        assert_eq!(
            summary.train.best.unwrap().score_name,
            "im",
            "{}",
            info.name
        );
        let has_loss = logged.iter().any(|name| name == "transfer_loss");
        assert_eq!(has_loss, info.trade_off > 0., "{}", info.name);
        let judges = ["dann", "bsp", "cdan", "cdan+e"].contains(&info.name);
        let has_judge = logged.iter().any(|name| name == "domain_top1");
        assert_eq!(has_judge, judges, "{}", info.name);
        assert_eq!(info.name.parse::<AdaptationMethod>().unwrap(), info.method);
        // What is left is a network as any other.
        let best = Network::load(&directory.path().join("best"), &LoadOptions::default());
        assert_eq!(best.unwrap().spec().name, "bottleneck");
    }
}

#[test]
fn an_interrupted_run_ends_in_the_same_bytes() {
    for method in [AdaptationMethod::Dann, AdaptationMethod::AdaBn] {
        let target = shapes(20, Split::Test);
        let whole = tempfile::tempdir().unwrap();
        let mut run = adaptation(config(method), target.clone());
        run.run(whole.path()).unwrap();
        // Again where it had ended: nothing changes.
        let ended = files(whole.path());
        drop(run);
        adaptation(config(method), target.clone())
            .run(whole.path())
            .unwrap();
        assert_eq!(files(whole.path()), ended);

        let broken = tempfile::tempdir().unwrap();
        for updates in [2, 2, usize::MAX] {
            let interrupt = Arc::new(AtomicBool::new(false));
            let flag = interrupt.clone();
            let mut seen = 0;
            let mut run = adaptation(config(method), target.clone())
                .with_interrupt(interrupt)
                .with_listener(move |notice| {
                    seen += usize::from(matches!(notice, Notice::Update { .. }));
                    flag.store(seen >= updates, Ordering::Relaxed);
                });
            let summary = run.run(broken.path()).unwrap();
            let last = updates == usize::MAX;
            assert_eq!(summary.train.interrupted, !last, "{updates}");
        }
        assert_eq!(files(broken.path()), ended, "{method}");
    }
}

#[test]
fn statistics_of_the_target_are_all_that_adabn_changes() {
    let target = shapes(20, Split::Test);
    let directory = tempfile::tempdir().unwrap();
    let config = AdaptationConfig {
        epochs: 1,
        ..config(AdaptationMethod::AdaBn)
    };
    adaptation(config, target).run(directory.path()).unwrap();
    let load = |which: &str| Network::load(&directory.path().join(which), &LoadOptions::default());
    let [best, last] = ["best", "last"].map(|which| load(which).unwrap());
    for (name, tensor) in last.store().tensors() {
        let values = |tensor: &candle_core::Tensor| {
            let values = tensor.to_dtype(candle_core::DType::F64).unwrap();
            values.flatten_all().unwrap().to_vec1::<f64>().unwrap()
        };
        let same = values(&tensor) == values(&best.store().get(&name).unwrap());
        let is_statistic = ["running_mean", "running_var", "num_batches_tracked"]
            .iter()
            .any(|statistic| name.ends_with(statistic));
        assert_eq!(same, !is_statistic, "{name}");
    }
}

#[test]
fn a_validator_chooses_the_epoch_by_its_own_score() {
    for (validator, name) in VALIDATORS {
        assert_eq!(name.parse::<Validator>().unwrap(), validator);
        let directory = tempfile::tempdir().unwrap();
        let config = AdaptationConfig {
            validator,
            ..config(AdaptationMethod::Coral)
        };
        let mut scores = Vec::new();
        let mut run = adaptation(config, shapes(20, Split::Test)).with_listener(|notice| {
            if let Notice::Epoch { record, .. } = notice {
                let found = record.val.iter().find(|(known, _)| known == name);
                scores.push(found.unwrap().1);
            }
        });
        let best = run.run(directory.path()).unwrap().train.best.unwrap();
        drop(run);
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert_eq!(best.score, highest, "{name}: {scores:?}");
        assert_eq!(scores[best.epoch - 1], highest, "{name}");
    }
}

#[test]
fn what_does_not_fit_is_told() {
    let target = || Unlabelled::new(shapes(20, Split::Test));
    let of = |network: Network, target: Unlabelled, config: AdaptationConfig| {
        let source = shapes(24, Split::Train);
        let validation = shapes(20, Split::Val);
        match Adaptation::new(network, source, validation, target, config) {
            Ok(_) => panic!("it fits"),
            Err(error) => error.to_string(),
        }
    };
    let few_classes = ModelConfig {
        num_classes: Some(3),
        ..ModelConfig::default()
    };
    let other = Network::new("resnet8_cifar10", &few_classes, 0).unwrap();
    let plain = || config(AdaptationMethod::Dann);
    assert!(of(other, target(), plain()).contains("3 classes"));
    let large = AdaptationConfig {
        batch_size: 21,
        ..plain()
    };
    assert!(of(network(), target(), large).contains("at least 21, a batch"));
    let message = "dan+e".parse::<AdaptationMethod>().unwrap_err().to_string();
    assert!(
        message.contains("did you mean") && message.contains("adabn"),
        "{message}"
    );
    let message = "top1".parse::<Validator>().unwrap_err().to_string();
    assert!(
        message.contains("im, entropy, snd, bnm, dev, source_top1"),
        "{message}"
    );
}

/// The discriminator knows nothing at first, so that little of its gradient is reversed.
#[test]
fn more_of_the_gradient_is_reversed_as_the_run_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let mut reversed = Vec::new();
    let target = shapes(20, Split::Test);
    let mut run = adaptation(config(AdaptationMethod::Dann), target).with_listener(|notice| {
        if let Notice::Epoch { record, .. } = notice {
            let found = record.train.iter().find(|(name, _)| name == "lambda");
            reversed.push(found.unwrap().1);
        }
    });
    run.run(directory.path()).unwrap();
    drop(run);
    // 2 / (1 + e^(-10 p)) - 1 at the updates 0, 1, 2 and 3, 4, 5 of 6.
    let mean = |updates: [f64; 3]| {
        let of = updates.map(|update| 2. / (1. + (-10. * update / 6.).exp()) - 1.);
        of.iter().sum::<f64>() / 3.
    };
    for (found, expected) in reversed
        .iter()
        .zip([mean([0., 1., 2.]), mean([3., 4., 5.])])
    {
        assert!((found - expected).abs() < 1e-12, "{reversed:?}");
    }
    assert_eq!(reversed.len(), 2);
}
