//! Networks whose gradients are hidden on purpose raise an alarm, honestly trained ones raise none.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
mod digits;
mod masked;

use std::cell::Cell;

use cnn_data::Split;
use cnn_robust::attack::{Attack, AttackBatch, Pgd};
use cnn_robust::defence::{AdversarialConfig, AdversarialMethod};
use cnn_robust::{AlarmKind, AttackedModel, Diagnosis, Norm, Threat, diagnose};

use common::{Trained, count, photos};
use masked::{Quantised, Saturated, Shattered, Stochastic};

/// How many images are looked at.
const PHOTOS: usize = 48;

fn linf() -> Threat {
    Threat::linf(8. / 255.).unwrap()
}

fn looked_at(
    name: &str,
    model: &dyn AttackedModel,
    batch: &AttackBatch<'_>,
    threat: Threat,
) -> Diagnosis {
    let found = diagnose(model, std::slice::from_ref(batch), threat).unwrap();
    println!("{name}, {threat}: {found:?}");
    found
}

fn kinds(diagnosis: &Diagnosis) -> Vec<AlarmKind> {
    diagnosis.alarms.iter().map(|alarm| alarm.kind).collect()
}

/// The alarms of a model, of which all these have to be.
fn raises(name: &str, model: &dyn AttackedModel, expected: &[AlarmKind]) {
    let batch = photos(0..PHOTOS).unwrap();
    let found = looked_at(name, model, &batch, linf());
    for kind in expected {
        let told = kinds(&found);
        assert!(told.contains(kind), "{name}: {} in {told:?}", kind.name());
    }
    for alarm in &found.alarms {
        assert!(alarm.evidence.ends_with('.'), "{}", alarm.evidence);
    }
    // All of them lose what the network below loses to an attacker who goes around the mask.
    assert!(found.samples > PHOTOS * 3 / 4);
}

#[test]
fn a_quantised_input_is_told() {
    let Some(trained) = Trained::load() else {
        return;
    };
    let model = trained.model();
    let quantised = Quantised {
        model: &model,
        levels: 15.,
    };
    raises(
        "quantised",
        &quantised,
        &[
            AlarmKind::GradientsVanish,
            AlarmKind::UnlimitedSizeLeavesAccuracy,
        ],
    );
}

#[test]
fn a_saturated_loss_is_told() {
    let Some(trained) = Trained::load() else {
        return;
    };
    let model = trained.model();
    let saturated = Saturated {
        model: &model,
        factor: 1000.,
    };
    raises(
        "saturated",
        &saturated,
        &[
            AlarmKind::GradientsVanish,
            AlarmKind::UnlimitedSizeLeavesAccuracy,
        ],
    );
}

#[test]
fn a_stochastic_input_is_told() {
    let Some(trained) = Trained::load() else {
        return;
    };
    let model = trained.model();
    let stochastic = Stochastic {
        model: &model,
        noise: 0.02,
        calls: Cell::new(0),
    };
    raises("stochastic", &stochastic, &[AlarmKind::ScoresAreRandom]);
}

#[test]
fn a_shattered_gradient_is_told() {
    let Some(trained) = Trained::load() else {
        return;
    };
    let model = trained.model();
    for (name, steepness, period, expected) in [
        ("shattered", 20., 1e-3, AlarmKind::LossIgnoresGradient),
        ("shattered coarsely", 20., 1e-2, AlarmKind::LossIgnoresGradient),
    ] {
        let shattered = Shattered {
            model: &model,
            steepness,
            period,
        };
        raises(name, &shattered, &[expected]);
    }
}

#[test]
fn a_published_network_raises_none() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..PHOTOS)) else {
        return;
    };
    let model = trained.model();
    let threats = [
        linf(),
        Threat::linf(0.5 / 255.).unwrap(),
        Threat::new(Norm::L2, 0.25).unwrap(),
    ];
    for threat in threats {
        let found = looked_at("resnet20", &model, &batch, threat);
        assert_eq!(kinds(&found), [], "{threat}");
    }
}

#[test]
fn networks_that_learnt_as_they_are_and_under_attack_raise_none() {
    let threat = Threat::linf(0.3).unwrap();
    let Some(train) = digits::digits(Split::Train, 1000) else {
        return;
    };
    let test = digits::digits(Split::Test, 100).unwrap();
    let adversarial = AdversarialConfig::new(AdversarialMethod::Pgd, threat).unwrap();
    let cases = [("plain", 4, None), ("adversarial", 30, Some(adversarial))];
    for (name, epochs, config) in cases {
        let network = digits::trained(&train, epochs, config);
        let model = digits::model(&network);
        let batch = digits::batch(&test, &network);
        let found = looked_at(name, &model, &batch, threat);
        assert_eq!(kinds(&found), [], "{name}");
        assert!(found.samples > 75, "{name}");
        let pgd = Pgd::new(threat).with_steps(20);
        let fooled = count(&model, &batch, &pgd.run(&model, &batch).unwrap());
        println!("{name}: {fooled} of {} under PGD", batch.len());
        // The alarms are quiet where there is something to be quiet about.
        assert_eq!(fooled < 60, config.is_some(), "{name}");
    }
}
