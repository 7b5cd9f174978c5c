//! The methods as a list, and what a run of one can be told: how much its loss counts, runs without
//! a source, augmentation, test images.
#![allow(clippy::unwrap_used, clippy::panic)]

mod adaptation;

use std::collections::BTreeSet;
use std::sync::Arc;

use adaptation::{
    Outcome, adaptation, config, learnt, load, outcome, over, source, source_validation, target,
    target_test,
};
use cnn_data::{Augmentation, BatchPlan, Content, Dataset, RandomErasing, Sample};
use cnn_layers::{Context, FeatureMap};
use cnn_models::Network;
use cnn_train::Notice;
use cnn_transfer::adapt::{
    Adaptation, AdaptationConfig, AdaptationMethod, Beginning, METHODS, MethodInfo, Unlabelled,
    VALIDATORS, Validator,
};

#[test]
fn the_list_of_methods_is_whole() {
    assert_eq!(METHODS.len(), 22);
    let names: BTreeSet<&str> = METHODS.iter().map(|info| info.name).collect();
    let abouts: BTreeSet<&str> = METHODS.iter().map(|info| info.about).collect();
    assert_eq!((names.len(), abouts.len()), (METHODS.len(), METHODS.len()));
    for info in METHODS {
        let name = info.name;
        assert_eq!(info.method.info().name, name);
        assert_eq!(name.parse::<AdaptationMethod>().unwrap(), info.method);
        assert_eq!(info.method.to_string(), name);
        let is_name = |c: char| c.is_ascii_lowercase() || c == '-' || c == '+';
        assert!(name.chars().all(is_name), "{name}");
        assert!(
            !info.about.is_empty() && !info.about.ends_with('.'),
            "{name}"
        );
        assert!(info.trade_off.is_finite() && info.trade_off >= 0., "{name}");
        let is_free = info.beginning == Beginning::Learnt;
        assert_eq!(info.method.is_source_free(), is_free, "{name}");
        assert_eq!(
            info.about.contains("without the source"),
            is_free && name != "adabn",
            "{name}"
        );
    }
    // What others are compared with comes first, and does nothing but learn from the source.
    assert_eq!(METHODS[0].method, AdaptationMethod::SourceOnly);
    let message = "dan+e".parse::<AdaptationMethod>().unwrap_err().to_string();
    assert!(message.contains("did you mean"), "{message}");
    let listed = METHODS.iter().map(|info| info.name).collect::<Vec<_>>();
    assert!(message.contains(&listed.join(", ")), "{message}");
    let message = "top1".parse::<Validator>().unwrap_err().to_string();
    let listed = "im, entropy, snd, bnm, dev, source_top1";
    assert!(message.contains(listed), "{message}");
}

/// Two updates.
fn short(method: AdaptationMethod) -> AdaptationConfig {
    AdaptationConfig {
        epochs: 1,
        updates: Some(2),
        ..config(method)
    }
}

#[test]
fn a_loss_counts_as_much_as_it_is_told_to() {
    for info in METHODS {
        let of = |trade_off: Option<f64>| {
            let config = AdaptationConfig {
                trade_off,
                ..short(info.method)
            };
            outcome(adaptation(config, target()))
        };
        let own = of(None);
        let same = own.differences(&of(Some(info.trade_off)));
        assert!(same.is_empty(), "{}: {same:?}", info.name);
        let more = own.differences(&of(Some(info.trade_off * 1.5 + 0.1)));
        assert_eq!(
            !more.is_empty(),
            info.trade_off > 0.,
            "{}: {more:?}",
            info.name
        );
    }
}

fn without_source(info: &MethodInfo, validator: Validator) -> Result<Adaptation<'static>, String> {
    let config = AdaptationConfig {
        validator,
        ..config(info.method)
    };
    let run = Adaptation::without_source(learnt(), Unlabelled::new(target()), config);
    run.map_err(|error| error.to_string())
}

#[test]
fn only_methods_and_validators_that_do_without_a_source_run_without_one() {
    for info in METHODS {
        let run = without_source(info, Validator::Entropy);
        assert_eq!(run.is_ok(), info.method.is_source_free(), "{}", info.name);
        let Err(message) = run else { continue };
        let words = [
            info.name,
            "one of adabn, tent, shot where there is no source",
        ];
        let is_told = words.iter().all(|word| message.contains(word));
        assert!(message.starts_with("`method`") && is_told, "{message}");
    }
    let shot = AdaptationMethod::Shot.info();
    for (validator, name) in VALIDATORS {
        let run = without_source(shot, validator);
        assert_eq!(run.is_ok(), validator.is_possible(false), "{name}");
        assert!(validator.is_possible(true), "{name}");
        let Err(message) = run else { continue };
        let words = [
            name,
            "one of im, entropy, snd, bnm where there is no source",
        ];
        let is_told = words.iter().all(|word| message.contains(word));
        assert!(message.starts_with("`validator`") && is_told, "{message}");
    }
}

/// The source is not read: with it and without it, the same network comes out.
#[test]
fn without_a_source_nothing_is_said_of_one() {
    for info in METHODS.iter().filter(|info| info.method.is_source_free()) {
        let directory = tempfile::tempdir().unwrap();
        let mut columns = Vec::new();
        let run = without_source(info, Validator::InformationMaximization).unwrap();
        let mut run = run.with_listener(|notice| {
            if let Notice::Epoch { record, .. } = notice {
                columns = record.val.iter().map(|(name, _)| name.clone()).collect();
            }
        });
        let summary = run.run(directory.path()).unwrap();
        drop(run);
        assert_eq!(columns, ["im", "entropy", "snd", "bnm"], "{}", info.name);
        let alone = Outcome::of(&summary, directory.path());
        let beside = outcome(adaptation(config(info.method), target()));
        // The names of the classes are the source's.
        let differences = alone.differences(&beside);
        let networks = ["best/model.safetensors", "last/model.safetensors"];
        assert!(
            !differences
                .iter()
                .any(|name| networks.contains(&name.as_str())),
            "{}: {differences:?}",
            info.name
        );
    }
}

#[test]
fn augmentation_is_done_to_what_is_read() {
    let erasing = || Augmentation::new().then(RandomErasing::new(1.).unwrap());
    for info in METHODS {
        let of = |both: Augmentation, stronger: Augmentation| {
            let run = adaptation(short(info.method), target());
            outcome(run.with_augmentation(both, stronger))
        };
        let strong = || cnn_transfer::adapt::strong_augmentation().unwrap();
        let default = outcome(adaptation(short(info.method), target()));
        let same = default.differences(&of(Augmentation::new(), strong()));
        assert!(same.is_empty(), "{}: {same:?}", info.name);
        let other = default.differences(&of(erasing(), strong()));
        assert!(
            other.iter().any(|name| name == "last/model.safetensors"),
            "{}",
            info.name
        );
        let has_second_view = ["fixmatch", "mean-teacher"].contains(&info.name);
        let weaker = default.differences(&of(Augmentation::new(), Augmentation::new()));
        assert_eq!(
            !weaker.is_empty(),
            has_second_view,
            "{}: {weaker:?}",
            info.name
        );
    }
}

/// Images of which one cannot be read.
struct Damaged {
    name: &'static str,
    images: Arc<dyn Dataset>,
    index: usize,
}

impl Dataset for Damaged {
    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> &[String] {
        self.images.classes()
    }

    fn id(&self, index: usize) -> String {
        format!("{} {index}", self.name)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.images.label(index)
    }

    fn content(&self, index: usize) -> Result<Content, cnn_data::Error> {
        self.images.content(index)
    }

    fn read(&self, index: usize) -> Result<Sample, cnn_data::Error> {
        if index == self.index {
            return Err(cnn_data::Error::NotAPhoto);
        }
        self.images.read(index)
    }
}

fn predicted(network: &Network, images: &Arc<dyn Dataset>) -> Vec<Option<u32>> {
    let plan = BatchPlan::new(images.clone(), network.preprocessing().clone());
    let mut classes = vec![None; images.len()];
    for batch in plan.start().unwrap() {
        let batch = batch.unwrap();
        let xs = FeatureMap::from_nhwc(&batch.images).unwrap();
        let logits = network.model().forward(&xs, &Context::eval()).unwrap();
        let found = logits.argmax(1).unwrap().to_vec1::<u32>().unwrap();
        for (index, class) in batch.indices.iter().zip(found) {
            classes[*index] = Some(class);
        }
    }
    classes
}

#[test]
fn test_images_are_predicted_after_each_epoch_and_decide_nothing() {
    for method in [AdaptationMethod::Coral, AdaptationMethod::MeanTeacher] {
        let test: Arc<dyn Dataset> = Arc::new(Damaged {
            name: "test",
            images: target_test(),
            index: 4,
        });
        let run = || {
            let config = AdaptationConfig {
                epochs: 3,
                learning_rate: 0.05,
                ..config(method)
            };
            over(learnt(), config, target())
        };
        let without = outcome(run());
        assert!(without.predicted.is_empty());
        let directory = tempfile::tempdir().unwrap();
        let mut run = run()
            .with_test_images(Unlabelled::new(test.clone()))
            .unwrap();
        let summary = run.run(directory.path()).unwrap();
        drop(run);
        let with = Outcome::of(&summary, directory.path());
        assert_eq!(with.differences(&without), ["predictions"], "{method}");

        assert_eq!(with.predicted.len(), 3);
        for epoch in &with.predicted {
            let unread = epoch.iter().map(Option::is_none);
            let expected = (0..test.len()).map(|index| index == 4);
            assert!(unread.eq(expected), "{method}: {epoch:?}");
        }
        // They are those of the network that is evaluated, which is kept where it is the best.
        let best = summary.train.best.unwrap().epoch;
        let kept = predicted(&load(directory.path(), "best"), &test);
        assert_eq!(with.predicted[best - 1], kept, "{method}");
    }
}

#[test]
fn images_that_cannot_be_read_are_left_out_and_named_once() {
    for info in METHODS {
        let damaged = |name, images, index| -> Arc<dyn Dataset> {
            Arc::new(Damaged {
                name,
                images,
                index,
            })
        };
        let target = Unlabelled::new(damaged("target", target(), 7));
        let source = damaged("source", source(), 2);
        let config = config(info.method);
        let mut run =
            Adaptation::new(learnt(), source, source_validation(), target, config).unwrap();
        let directory = tempfile::tempdir().unwrap();
        let summary = run.run(directory.path()).unwrap();
        let skipped: Vec<&str> = summary
            .skipped
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        let expected: &[&str] = match info.beginning {
            _ if info.method == AdaptationMethod::SourceOnly => &["source 2"],
            Beginning::Learnt => &["target 7"],
            Beginning::Any | Beginning::LearntWithSource => &["source 2", "target 7"],
        };
        assert_eq!(skipped, expected, "{}", info.name);
    }
}
