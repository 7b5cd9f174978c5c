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

/// Holds that all these are among the alarms of a model with a mask before the network behind it.
fn raises(
    name: &str,
    model: &dyn AttackedModel,
    behind: &dyn AttackedModel,
    expected: &[AlarmKind],
) {
    let batch = photos(0..PHOTOS).unwrap();
    let found = looked_at(name, model, &batch, linf());
    for kind in expected {
        let told = kinds(&found);
        assert!(told.contains(kind), "{name}: {} in {told:?}", kind.name());
    }
    for alarm in &found.alarms {
        assert!(alarm.evidence.ends_with('.'), "{}", alarm.evidence);
    }
    // The mask leaves a network that is of use, and does not make it robust: what fools the network
    // behind it fools most of what it was right about.
    assert!(found.samples > PHOTOS / 2);
    let attack = Pgd::new(linf()).with_steps(20).run(behind, &batch).unwrap();
    let fooled = count(model, &batch, &attack) - (PHOTOS - found.samples);
    println!(
        "{name}: {fooled} of {} by the network behind",
        found.samples
    );
    assert!(2 * fooled > found.samples);
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
        &model,
        &[AlarmKind::GradientsVanish, AlarmKind::BlackBoxBeatsWhiteBox],
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
    let expected = [AlarmKind::GradientsVanish];
    raises("saturated", &saturated, &model, &expected);
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
    let expected = [AlarmKind::ScoresAreRandom];
    raises("stochastic", &stochastic, &model, &expected);
}

#[test]
fn a_shattered_gradient_is_told() {
    let Some(trained) = Trained::load() else {
        return;
    };
    let model = trained.model();
    let shattered = Shattered {
        model: &model,
        steepness: 20.,
        period: 1e-3,
    };
    raises(
        "shattered",
        &shattered,
        &model,
        &[AlarmKind::LossIgnoresGradient, AlarmKind::OneStepBeatsMany],
    );
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
    let plain = digits::network();
    digits::learn(&plain, &train, 4, None);
    let adversarial = digits::network();
    digits::learn(&adversarial, &train, 4, None);
    // Under the whole attack at once it would learn to say one class of all images.
    for (eps, epochs) in [(0.1, 4), (0.2, 4), (0.3, 12)] {
        let threat = Threat::linf(eps).unwrap();
        let config = AdversarialConfig::new(AdversarialMethod::Pgd, threat).unwrap();
        digits::learn(&adversarial, &train, epochs, Some(config));
    }
    for (name, network) in [("plain", plain), ("adversarial", adversarial)] {
        let model = digits::model(&network);
        let batch = digits::batch(&test, &network);
        let found = looked_at(name, &model, &batch, threat);
        assert_eq!(kinds(&found), [], "{name}");
        assert!(found.samples > 75, "{name}");
        // The alarms are quiet where there is something to be quiet about.
        let is_robust = 3 * found.white_box > found.samples;
        assert_eq!(is_robust, name == "adversarial", "{name}");
    }
}
