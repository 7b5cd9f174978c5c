//! Certificates against attacks: what is certified within a radius no attack changes within it.
#![allow(clippy::unwrap_used)]

mod common;

use std::cell::Cell;

use cnn_core::Key;
use cnn_robust::attack::{Attack, AttackBatch, Pgd};
use cnn_robust::certify::{Certificate, Smoothing};
use cnn_robust::defence::Averaged;
use cnn_robust::{
    AttackedModel, Draw, Draws, Error, ImageGradient, Images, LogitLoss, Logits, Norm, Threat,
};
use common::{Trained, photos};

/// Little noise, since the network has not learnt from any.
const SIGMA: f64 = 0.06;
/// Noisy images of each step of the attack.
const DRAWS: usize = 8;
const STEPS: usize = 5;

/// A classifier under noise that is another one at each call.
struct UnderNoise<'a> {
    model: &'a dyn AttackedModel,
    key: Key,
    calls: Cell<usize>,
}

impl UnderNoise<'_> {
    fn noisy(&self, images: &Images) -> Result<Images, Error> {
        let call = self.calls.replace(self.calls.get() + 1);
        let draw = Draw::new("attacker", 0).in_step(call);
        let noise = self.key.normal(draw, images.values().len())?;
        let noise = Images::new(images.len(), images.size(), noise)?;
        Ok(images.plus(&noise, SIGMA))
    }
}

impl AttackedModel for UnderNoise<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        self.model.logits(&self.noisy(images)?)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        self.model.gradient(&self.noisy(images)?, loss)
    }
}

#[test]
fn no_attack_within_a_certified_radius_changes_the_class() {
    let (Some(trained), Some(batch)) = (Trained::load(), photos(0..16)) else {
        return;
    };
    let model = trained.model();
    let smoothing = Smoothing::new(SIGMA)
        .unwrap()
        .with_samples(32, 200)
        .unwrap();
    let key = Key::new(5);
    let noisy = UnderNoise {
        model: &model,
        key,
        calls: Cell::new(0),
    };
    let attacked = Averaged::new(&noisy, DRAWS).unwrap();
    let mut certified = 0;
    let mut changed_beyond = 0;
    for place in 0..batch.len() {
        let sample = batch.samples()[place];
        let image = batch.images().select(&[place]);
        let certificate = smoothing.certify(&model, &image, sample, &key).unwrap();
        let Certificate::Class(found) = certificate else {
            continue;
        };
        certified += 1;
        let under_attack = |radius: f64| {
            let batch = AttackBatch::new(image.clone(), vec![found.class]).unwrap();
            let threat = Threat::new(Norm::L2, radius).unwrap();
            let attack = Pgd::new(threat).with_steps(STEPS).with_random_start(false);
            let changed = attack.run(&attacked, &batch).unwrap();
            let size = Norm::L2.size(changed.minus(&image).image(0));
            assert!(
                size <= radius + 1e-9 && size > 0.8 * radius,
                "{size} {radius}"
            );
            let other = Key::new(77);
            smoothing.predict(&model, &changed, sample, &other).unwrap()
        };
        // It may abstain at the edge, but no other class can be certain there.
        let within = under_attack(found.radius);
        assert!(
            within.is_none_or(|class| class == found.class),
            "image {sample}: {found:?}, under attack {within:?}"
        );
        let beyond = under_attack(10. * found.radius);
        changed_beyond += usize::from(beyond.is_some_and(|class| class != found.class));
    }
    // The attack is one: where nothing is certified it changes most answers.
    assert!(certified >= 8, "{certified}");
    assert!(
        changed_beyond * 2 > certified,
        "{changed_beyond} of {certified}"
    );
}
