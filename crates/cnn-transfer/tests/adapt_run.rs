//! A run of domain adaptation: what each method trains and logs, and what chooses its epoch.
#![allow(clippy::unwrap_used, clippy::panic)]

mod adaptation;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use adaptation::{
    BATCH, SIDE, adaptation, config, learnt, load, shapes, source_validation, target,
};
use candle_core::{DType, Tensor};
use cnn_data::{BatchPlan, Dataset, ShapesDomain, Split};
use cnn_kernels::{Conv2dSpec, FeatureMap, Padding, conv2d};
use cnn_models::{ModelConfig, Network};
use cnn_train::Notice;
use cnn_transfer::adapt::{
    Adaptation, AdaptationConfig, AdaptationMethod, AdaptationSummary, METHODS, Unlabelled,
    VALIDATORS, Validator,
};

/// The averages that an epoch logs, by name.
type Logged = BTreeMap<String, f64>;

/// A whole run, with what each epoch logs of training and of validation.
struct Watched {
    summary: AdaptationSummary,
    train: Vec<Logged>,
    val: Vec<Logged>,
}

fn watched(run: Adaptation<'_>, directory: &Path) -> Watched {
    let mut train = Vec::new();
    let mut val = Vec::new();
    let mut run = run.with_listener(|notice| {
        if let Notice::Epoch { record, .. } = notice {
            train.push(record.train.iter().cloned().collect());
            val.push(record.val.iter().cloned().collect());
        }
    });
    let summary = run.run(directory).unwrap();
    drop(run);
    Watched {
        summary,
        train,
        val,
    }
}

#[test]
fn every_method_runs_and_says_what_it_minimises() {
    for info in METHODS {
        let name = info.name;
        let directory = tempfile::tempdir().unwrap();
        let config = AdaptationConfig {
            epochs: 1,
            ..config(info.method)
        };
        let found = watched(adaptation(config, target()), directory.path());
        assert_eq!(found.summary.train.best.unwrap().score_name, "im", "{name}");
        let logged = &found.train[0];
        // What is logged is not nothing: sure predictions are found where a method looks for them.
        let transferred = logged.get("transfer_loss");
        assert_eq!(
            transferred.is_some(),
            info.trade_off > 0.,
            "{name}: {logged:?}"
        );
        assert!(
            transferred.is_none_or(|loss| loss.abs() > 1e-6),
            "{name}: {logged:?}"
        );
        let judges = ["dann", "bsp", "cdan", "cdan+e", "adda"].contains(&name);
        assert_eq!(logged.contains_key("domain_top1"), judges, "{name}");
        assert_eq!(
            logged.contains_key("discriminator_loss"),
            name == "adda",
            "{name}"
        );
        let reverses = judges && name != "adda";
        assert_eq!(logged.contains_key("lambda"), reverses, "{name}");
        // Those without a source do not say how right they are there.
        let knows_source = !info.method.is_source_free() && name != "adda";
        assert_eq!(logged.contains_key("top1"), knows_source, "{name}");
        assert_eq!(logged.contains_key("loss"), name != "adabn", "{name}");
        // What is left is a network as any other.
        let best = load(directory.path(), "best");
        assert_eq!(best.spec().name, "bottleneck");
    }
}

/// The tensors of two networks that differ, without the counts of batches.
fn changed(before: &Network, after: &Network) -> Vec<String> {
    let values = |tensor: &Tensor| -> Vec<f32> {
        let values = tensor.to_dtype(DType::F32).unwrap();
        values.flatten_all().unwrap().to_vec1().unwrap()
    };
    let differs = |(name, tensor): (String, Tensor)| {
        let other = before.store().get(&name).unwrap();
        (values(&tensor) != values(&other)).then_some(name)
    };
    let all = after.store().tensors().into_iter().filter_map(differs);
    all.filter(|name| !name.ends_with("num_batches_tracked"))
        .collect()
}

fn is_statistic(name: &str) -> bool {
    name.ends_with(".running_mean") || name.ends_with(".running_var")
}

#[test]
fn each_method_changes_what_it_trains_and_nothing_else() {
    let norms: Vec<String> = learnt()
        .store()
        .names()
        .into_iter()
        .filter_map(|name| name.strip_suffix("running_mean").map(str::to_string))
        .collect();
    for info in METHODS {
        let directory = tempfile::tempdir().unwrap();
        let run = adaptation(config(info.method), target());
        run.with_listener(|_| ()).run(directory.path()).unwrap();
        let after = load(directory.path(), "last");
        let found = changed(&learnt(), &after);
        let all: Vec<String> = after
            .store()
            .names()
            .into_iter()
            .filter(|name| !name.ends_with("num_batches_tracked"))
            .collect();
        let is_norm = |name: &str| norms.iter().any(|norm| name.starts_with(norm.as_str()));
        let trains = |name: &str| match info.name {
            "adabn" => is_statistic(name),
            "tent" => is_norm(name),
            "shot" | "adda" => !name.starts_with("head."),
            _ => true,
        };
        // A bias before a norm has no effect, and no gradient but rounding.
        let expected = all
            .iter()
            .filter(|name| trains(name) && *name != "bottleneck.0.bias");
        let found = found.iter().filter(|name| *name != "bottleneck.0.bias");
        assert!(found.eq(expected), "{}", info.name);
    }
}

/// The target is one batch, of which each update sees the same.
#[test]
fn adabn_takes_the_mean_and_the_variance_of_the_target() {
    let target = shapes(ShapesDomain::Sketch, BATCH, Split::Train);
    let directory = tempfile::tempdir().unwrap();
    let before = learnt();
    let run = |network: Network, directory: &Path| {
        let target = Unlabelled::new(target.clone());
        let config = config(AdaptationMethod::AdaBn);
        let mut run = Adaptation::without_source(network, target, config).unwrap();
        assert_eq!(run.updates(), 70);
        run.run(directory).unwrap();
        load(directory, "best")
    };
    let after = run(learnt(), directory.path());

    let plan = BatchPlan::new(target.clone(), before.preprocessing().clone());
    let batch = plan
        .with_batch_size(BATCH)
        .start()
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let weight = before.store().get("backbone.conv1.weight").unwrap();
    let spec = Conv2dSpec {
        padding: Padding::all(1),
        ..Conv2dSpec::default()
    };
    let images = FeatureMap::from_nhwc(&batch.images).unwrap();
    let maps = conv2d(&images, &weight.detach(), None, &spec).unwrap();
    let pixels = maps.to_nhwc().reshape((BATCH * SIDE * SIDE, 16)).unwrap();
    let pixels = pixels.to_vec2::<f32>().unwrap();
    let statistic = |name: &str| -> Vec<f32> {
        let tensor = after.store().get(&format!("backbone.bn1.{name}")).unwrap();
        tensor.to_vec1().unwrap()
    };
    let [means, variances] = ["running_mean", "running_var"].map(statistic);
    let count = pixels.len() as f64;
    for (channel, (found_mean, found_variance)) in means.iter().zip(variances).enumerate() {
        let values = || pixels.iter().map(|row| f64::from(row[channel]));
        let mean = values().sum::<f64>() / count;
        let squares = values().map(|x| (x - mean).powi(2)).sum::<f64>();
        // Of a fresh network's 0 and 1, 0.9 to the 70th is left.
        let left = 0.9f64.powi(70);
        let expected = (1. - left) * mean;
        let spread = (squares / count).sqrt();
        let far = (f64::from(*found_mean) - expected).abs();
        assert!(
            far < 1e-4 * (spread + mean.abs()),
            "{channel}: {found_mean}, {expected}"
        );
        let expected = left + (1. - left) * squares / (count - 1.);
        let far = (f64::from(found_variance) - expected).abs();
        assert!(
            far < 1e-4 * expected,
            "{channel}: {found_variance}, {expected}"
        );
    }

    // What the network had before is forgotten.
    let other = learnt();
    for (name, tensor) in other.store().tensors() {
        if is_statistic(&name) {
            let moved = (tensor.detach() + 3.).unwrap();
            other.store().set(&name, &moved).unwrap();
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let other = run(other, directory.path());
    assert!(changed(&after, &other).is_empty());
}

#[test]
fn a_validator_chooses_the_epoch_by_its_own_score() {
    for (validator, name) in VALIDATORS {
        assert_eq!(name.parse::<Validator>().unwrap(), validator);
        assert_eq!(validator.to_string(), name);
        let directory = tempfile::tempdir().unwrap();
        let config = AdaptationConfig {
            validator,
            epochs: 3,
            learning_rate: 0.1,
            ..config(AdaptationMethod::Coral)
        };
        let found = watched(adaptation(config, target()), directory.path());
        let best = found.summary.train.best.unwrap();
        let scores: Vec<f64> = found.val.iter().map(|epoch| epoch[name]).collect();
        let highest = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert_eq!(best.score_name, name);
        assert_eq!(best.score, highest, "{name}: {scores:?}");
        assert_eq!(scores[best.epoch - 1], highest, "{name}");
    }
}

/// The discriminator knows nothing at first, so that little of its gradient is reversed.
#[test]
fn more_of_the_gradient_is_reversed_as_the_run_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let run = adaptation(config(AdaptationMethod::Dann), target());
    let found = watched(run, directory.path());
    let reversed: Vec<f64> = found.train.iter().map(|epoch| epoch["lambda"]).collect();
    // 2 / (1 + e^(-10 p)) - 1 at the updates 0, 1, 2 and 3, 4, 5 of 6.
    let mean = |updates: [f64; 3]| {
        let of = updates.map(|update| 2. / (1. + (-10. * update / 6.).exp()) - 1.);
        of.iter().sum::<f64>() / 3.
    };
    let expected = [mean([0., 1., 2.]), mean([3., 4., 5.])];
    assert_eq!(reversed.len(), expected.len());
    for (found, expected) in reversed.iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{reversed:?}");
    }
}

/// Any registered chain of stages gets a bottleneck, of which the fresh part is trained, too.
#[test]
fn a_network_without_a_bottleneck_gets_one() {
    let model = ModelConfig {
        input_size: Some([SIDE, SIDE]),
        ..ModelConfig::default()
    };
    for (name, side) in [("resnet8_cifar10", SIDE), ("mobilenetv3_small_050", 32)] {
        let model = ModelConfig {
            num_classes: Some(10),
            input_size: Some([side, side]),
            ..model.clone()
        };
        let network = Network::new(name, &model, 0).unwrap();
        let preprocessing = network.preprocessing().clone();
        let source = shapes(ShapesDomain::Day, 16, Split::Train);
        let target = Unlabelled::new(target());
        let config = AdaptationConfig {
            epochs: 1,
            updates: Some(1),
            ..config(AdaptationMethod::CdanE)
        };
        let validation = source_validation();
        let mut run = Adaptation::new(network, source.clone(), validation, target, config).unwrap();
        assert_eq!(run.network().spec().name, "bottleneck");
        assert_eq!(run.network().preprocessing(), &preprocessing);
        assert_eq!(run.network().label_names().unwrap(), source.classes());
        let directory = tempfile::tempdir().unwrap();
        run.run(directory.path()).unwrap();
        let [best, last] = ["best", "last"].map(|which| load(directory.path(), which));
        assert!(changed(&best, &last).is_empty(), "{name}");
        let width = best.store().get("head.weight").unwrap().dims().to_vec();
        assert_eq!(width, [10, 256], "{name}");
    }
}

fn refused(network: Network, target: Arc<dyn Dataset>, config: AdaptationConfig) -> String {
    let [source, validation] = [adaptation::source(), source_validation()];
    let target = Unlabelled::new(target);
    match Adaptation::new(network, source, validation, target, config) {
        Ok(_) => panic!("it fits"),
        Err(error) => error.to_string(),
    }
}

fn plain(name: &str, classes: usize) -> Network {
    let config = ModelConfig {
        num_classes: Some(classes),
        ..ModelConfig::default()
    };
    Network::new(name, &config, 0).unwrap()
}

#[test]
fn what_does_not_fit_is_told() {
    let of = |change: fn(AdaptationConfig) -> AdaptationConfig| {
        refused(learnt(), target(), change(config(AdaptationMethod::Dann)))
    };
    let other = plain("resnet8_cifar10", 3);
    let message = refused(other, target(), config(AdaptationMethod::Dann));
    assert!(message.contains("3 classes"), "{message}");
    let message = of(|config| AdaptationConfig {
        batch_size: 33,
        ..config
    });
    assert!(message.contains("at least 33, a batch"), "{message}");
    let message = of(|config| AdaptationConfig {
        batch_size: 0,
        ..config
    });
    assert!(message.starts_with("`batch size`"), "{message}");
    for trade_off in [f64::NAN, f64::INFINITY, -1.] {
        let config = AdaptationConfig {
            trade_off: Some(trade_off),
            ..config(AdaptationMethod::Dann)
        };
        let message = refused(learnt(), target(), config);
        assert!(message.starts_with("`trade-off`"), "{message}");
    }
    let adda = config(AdaptationMethod::Adda);
    let message = refused(plain("resnet8_cifar10", 10), target(), adda);
    assert!(message.contains("one with a bottleneck"), "{message}");
    let message = refused(
        plain("squeezenet1_1", 10),
        target(),
        config(AdaptationMethod::Tent),
    );
    assert!(message.contains("has no batch-norm"), "{message}");
}
