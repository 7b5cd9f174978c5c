//! No label of the target has a way into training, or into the choice of an epoch.
#![allow(clippy::unwrap_used, clippy::panic)]

mod adaptation;

use std::sync::Arc;

use adaptation::{Outcome, Relabelled, config, learnt, outcome, source, source_validation};
use cnn_data::Dataset;
use cnn_transfer::adapt::{
    Adaptation, AdaptationConfig, AdaptationMethod, METHODS, Unlabelled, VALIDATORS,
};

fn relabelled(images: Arc<dyn Dataset>) -> Arc<dyn Dataset> {
    Arc::new(Relabelled::new(images))
}

/// A run on the target's images that notes what it says of its test, with the labels that they have
/// or others.
fn with_labels(
    config: AdaptationConfig,
    change: fn(Arc<dyn Dataset>) -> Arc<dyn Dataset>,
) -> Outcome {
    let target = change(adaptation::target());
    let test = Unlabelled::new(change(adaptation::target_test()));
    let run = adaptation::adaptation(config, target);
    outcome(run.with_test_images(test).unwrap())
}

#[test]
fn every_method_gives_the_same_bytes_for_other_labels_of_the_target() {
    for info in METHODS {
        let of = |change| with_labels(config(info.method), change);
        let [right, wrong] = [of(|images| images), of(relabelled)];
        let differences = right.differences(&wrong);
        assert!(differences.is_empty(), "{}: {differences:?}", info.name);
        let epochs = right.predicted.iter();
        assert!(epochs.len() > 0, "{}", info.name);
        for epoch in epochs {
            assert!(
                epoch.iter().all(Option::is_some) && epoch.len() == 12,
                "{}",
                info.name
            );
        }
    }
}

#[test]
fn every_validator_chooses_the_same_epoch_for_other_labels_of_the_target() {
    for (validator, name) in VALIDATORS {
        let config = AdaptationConfig {
            epochs: 3,
            updates: Some(2),
            validator,
            ..config(AdaptationMethod::Coral)
        };
        let [right, wrong] = [
            with_labels(config.clone(), |images| images),
            with_labels(config, relabelled),
        ];
        let differences = right.differences(&wrong);
        assert!(differences.is_empty(), "{name}: {differences:?}");
    }
}

/// What the comparison would show if a label were read: those of the source are.
#[test]
fn other_labels_of_the_source_do_change_the_bytes() {
    let with_source = |source: Arc<dyn Dataset>| {
        let target = Unlabelled::new(adaptation::target());
        let config = config(AdaptationMethod::SourceOnly);
        let run = Adaptation::new(learnt(), source, source_validation(), target, config).unwrap();
        let test = Unlabelled::new(adaptation::target_test());
        outcome(run.with_test_images(test).unwrap())
    };
    let [own, others] = [
        with_source(source()),
        with_source(Arc::new(Relabelled::keeping_names(source()))),
    ];
    let differences = own.differences(&others);
    for file in [
        "best/model.safetensors",
        "last/model.safetensors",
        "metrics.csv",
    ] {
        assert!(
            differences.iter().any(|name| name == file),
            "{differences:?}"
        );
    }
}

#[test]
fn what_is_unlabelled_has_no_label_to_read() {
    let labelled = adaptation::target_test();
    assert!(labelled.label(1).is_some() && labelled.read(1).unwrap().label.is_some());
    let hidden = Unlabelled::new(labelled.clone());
    let images = hidden.images();
    assert!(images.classes().is_empty() && images.mask_classes().is_empty());
    for index in 0..hidden.len() {
        assert_eq!(images.label(index), None);
        let sample = images.read(index).unwrap();
        assert_eq!(sample.label, None);
        assert_eq!(sample.image, labelled.read(index).unwrap().image);
        assert_eq!(hidden.id(index), labelled.id(index));
    }
    assert_eq!((hidden.len(), hidden.is_empty()), (12, false));
}
