//! Attacks that look for the smallest change of a trained network's images agree with each other.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_robust::attack::{Attack, AttackBatch, CarliniWagner, DeepFool, MinimalSize, Pgd};
use cnn_robust::{AttackedModel, Error, Images, Norm, Threat};

use common::{Trained, count, photos, right};

fn l2(images: &Images, clean: &Images) -> Vec<f64> {
    let change = images.minus(clean);
    let sizes = (0..clean.len()).map(|index| Norm::L2.size(change.image(index)));
    sizes.collect()
}

fn mean(sizes: &[f64]) -> f64 {
    sizes.iter().sum::<f64>() / sizes.len() as f64
}

fn pgd_l2(eps: f64) -> Result<Box<dyn Attack>, Error> {
    let pgd = Pgd::new(Threat::new(Norm::L2, eps)?).with_random_start(false);
    Ok(Box::new(pgd.with_steps(20)))
}

#[test]
fn a_search_over_weights_finds_smaller_changes() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..6)) else {
        return;
    };
    let model = trained.model();
    let batch = right(&model, &batch);
    let clean = batch.images();
    let attack = CarliniWagner::new().with_steps(100);
    let attack = attack.with_step_size(0.002).unwrap();
    let of = |attack: CarliniWagner| {
        let found = attack.run(&model, &batch).unwrap();
        assert_eq!(count(&model, &batch, &found), batch.len());
        mean(&l2(&found, clean))
    };
    let one = of(attack.with_search_steps(1).unwrap());
    let searched = of(attack.with_search_steps(5).unwrap());
    let deep_fool = DeepFool::new().run(&model, &batch).unwrap();
    assert_eq!(count(&model, &batch, &deep_fool), batch.len());
    let deep_fool = mean(&l2(&deep_fool, clean));
    let search = MinimalSize::up_to(1.).unwrap().with_steps(6);
    let pgd = mean(&search.find(&model, &batch, pgd_l2).unwrap().sizes);
    println!("cw {one}, searched {searched}, deepfool {deep_fool}, pgd {pgd}");
    assert!(searched < 0.95 * one);
    assert!(searched < deep_fool && searched < 1.1 * pgd && deep_fool < 2. * searched);
    let sure = attack.with_confidence(5.).unwrap();
    let sure = sure.with_search_steps(2).unwrap();
    let found = sure.run(&model, &batch).unwrap();
    let logits = model.logits(&found).unwrap();
    for (row, label) in logits.rows().zip(batch.labels()) {
        let best = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        assert!(best - row[*label as usize] >= 5. - 1e-3);
    }
}

#[test]
fn a_target_is_reached_and_deep_fool_has_none() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..6)) else {
        return;
    };
    let model = trained.model();
    let targets = batch.labels().iter().map(|label| (label + 1) % 10);
    let targets: Vec<u32> = targets.collect();
    let batch = batch.with_targets(targets).unwrap();
    let attack = CarliniWagner::new().with_search_steps(2).unwrap();
    let attack = attack.with_steps(50);
    let found = attack.run(&model, &batch).unwrap();
    assert_eq!(count(&model, &batch, &found), batch.len());
    let message = DeepFool::new().run(&model, &batch).unwrap_err().to_string();
    assert!(message.contains("targets"), "{message}");
}

#[test]
fn deep_fool_needs_no_more_than_the_likely_classes() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..12)) else {
        return;
    };
    let model = trained.model();
    let batch = right(&model, &batch);
    let of = |candidates| {
        let attack = DeepFool::new().with_candidates(candidates).unwrap();
        let found = attack.run(&model, &batch).unwrap();
        assert_eq!(count(&model, &batch, &found), batch.len());
        mean(&l2(&found, batch.images()))
    };
    let [all, five, two] = [10, 5, 2].map(of);
    println!("deepfool: {all}, {five} with five classes, {two} with two");
    assert!(five < 1.1 * all && two < 2. * all);
    assert!(DeepFool::new().with_candidates(1).is_err());
}

#[test]
fn a_smaller_ball_than_the_smallest_fails() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..12)) else {
        return;
    };
    let model = trained.model();
    let search = MinimalSize::up_to(0.5).unwrap().with_steps(5);
    let found = search.find(&model, &batch, pgd_l2).unwrap();
    let clean = batch.successes(&model.logits(batch.images()).unwrap());
    let success = |index: usize, eps: f64| {
        let one: AttackBatch<'_> = batch.select(&[index]);
        let images = pgd_l2(eps).unwrap().run(&model, &one).unwrap();
        count(&model, &one, &images) == 1
    };
    let precision = 0.5 / 32.;
    for (index, &size) in found.sizes.iter().enumerate() {
        assert_eq!(size == 0., clean[index]);
        if size.is_infinite() {
            assert!(!success(index, 0.5));
        } else if size > 0. {
            assert!(success(index, size));
            assert!(size == precision || !success(index, size - precision));
            assert!(l2(&found.images, batch.images())[index] <= size + 1e-12);
        }
    }
    let sizes = &found.sizes;
    println!("{sizes:?}");
    assert!(sizes.iter().any(|size| size.is_finite() && *size > 0.));
}
