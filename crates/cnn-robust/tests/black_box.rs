//! Attacks that ask for scores or predictions alone, on a trained network: they succeed, within
//! their queries, and never ask for a gradient.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_robust::attack::{
    Attack, AttackBatch, DeepFool, Fill, HopSkipJump, MarginLoss, MinimalSize, Motion, OnePixel,
    Pgd, Spatial, SpatialSearch, Spsa,
};
use cnn_robust::{AttackedModel, Counted, Images, LogitLoss, Norm, Threat};

use common::{PredictionsAlone, ScoresAlone, Trained, count, photos, right};

fn sizes(norm: Norm, images: &Images, clean: &Images) -> Vec<f64> {
    let change = images.minus(clean);
    let sizes = (0..clean.len()).map(|index| norm.size(change.image(index)));
    sizes.collect()
}

#[test]
fn spsa_succeeds_in_the_ball() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..8)) else {
        return;
    };
    let model = trained.model();
    let batch = right(&model, &batch);
    let counted = Counted::new(&model);
    let attack = Spsa::new(8. / 255.).unwrap().with_steps(20);
    let attack = attack.with_directions(16).unwrap();
    let found = attack.run(&ScoresAlone(&counted), &batch).unwrap();
    let queries = counted.queries();
    let successes = count(&model, &batch, &found);
    println!("spsa: {successes} of {}, {queries:?}", batch.len());
    assert!(queries.forward <= batch.len() * 20 * 33);
    let sizes = sizes(Norm::Linf, &found, batch.images());
    assert!(sizes.iter().all(|size| *size <= 8. / 255. + 1e-12));
    assert!(successes * 4 >= batch.len() * 3);
}

#[test]
fn one_pixel_changes_as_many_as_it_may() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..8)) else {
        return;
    };
    let model = trained.model();
    let batch = right(&model, &batch);
    let counted = Counted::new(&model);
    let attack = OnePixel::new().with_pixels(5).unwrap();
    let attack = attack.with_population(40).unwrap().with_generations(10);
    let found = attack.run(&ScoresAlone(&counted), &batch).unwrap();
    let successes = count(&model, &batch, &found);
    println!(
        "one pixel: {successes} of {}, {:?}",
        batch.len(),
        counted.queries()
    );
    assert!(counted.queries().forward <= batch.len() * (40 * 11 + 1));
    let change = found.minus(batch.images());
    for index in 0..batch.len() {
        let pixels = change.image(index).chunks_exact(3);
        let changed = pixels.filter(|pixel| pixel.iter().any(|value| *value != 0.));
        assert!((1..=5).contains(&changed.count()));
    }
    assert!(successes >= 2);
    // A later generation is fitter, until one succeeds.
    let mut earlier = vec![1.; batch.len()];
    for generations in [0, 2, 5, 10] {
        let attack = attack.with_generations(generations);
        let found = attack.run(&model, &batch).unwrap();
        let logits = model.logits(&found).unwrap();
        for (index, &label) in batch.labels().iter().enumerate() {
            let scores = logits.row(index);
            let of_label = scores[label as usize];
            let sum: f64 = scores.iter().map(|score| (score - of_label).exp()).sum();
            let is_fitter = 1. / sum <= earlier[index] + 1e-4;
            assert!(is_fitter || batch.is_success(index, scores));
            earlier[index] = 1. / sum;
        }
    }
}

#[test]
fn hop_skip_jump_comes_near_the_smallest_change() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..3)) else {
        return;
    };
    let model = trained.model();
    let batch = right(&model, &batch);
    let clean = batch.images();
    let smallest = DeepFool::new().run(&model, &batch).unwrap();
    assert_eq!(count(&model, &batch, &smallest), batch.len());
    let smallest = sizes(Norm::L2, &smallest, clean);
    let mut earlier = vec![f64::INFINITY; batch.len()];
    for steps in [0, 3, 12] {
        let attack = HopSkipJump::new(Norm::L2).unwrap().with_steps(steps);
        let attack = attack.with_directions(50).unwrap();
        let found = attack.run(&PredictionsAlone(&model), &batch).unwrap();
        assert_eq!(count(&model, &batch, &found), batch.len());
        let sizes = sizes(Norm::L2, &found, clean);
        println!("hopskipjump l2, {steps} steps: {sizes:?} of {smallest:?}");
        assert!(
            sizes
                .iter()
                .zip(&earlier)
                .all(|(now, earlier)| now < earlier)
        );
        earlier = sizes;
    }
    let near = |(found, smallest): (&f64, &f64)| *found < 5. * smallest;
    assert!(earlier.iter().zip(&smallest).all(near));
}

#[test]
fn hop_skip_jump_has_its_form_in_linf() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..2)) else {
        return;
    };
    let model = trained.model();
    let batch = right(&model, &batch);
    let pgd = |eps| -> Result<Box<dyn Attack>, _> {
        Ok(Box::new(Pgd::new(Threat::linf(eps)?).with_steps(10)))
    };
    let smallest = MinimalSize::up_to(0.1).unwrap().find(&model, &batch, pgd);
    let smallest = smallest.unwrap().sizes;
    let attack = HopSkipJump::new(Norm::Linf).unwrap();
    let attack = attack.with_directions(50).unwrap();
    let [first, last] = [0, 12].map(|steps| {
        let attack = attack.clone().with_steps(steps);
        let found = attack.run(&ScoresAlone(&model), &batch).unwrap();
        assert_eq!(count(&model, &batch, &found), batch.len());
        sizes(Norm::Linf, &found, batch.images())
    });
    println!("hopskipjump linf: {last:?}, from {first:?}, of {smallest:?}");
    for (index, least) in smallest.iter().enumerate() {
        assert!(last[index] < 10. * least && last[index] < first[index] / 4.);
    }
}

#[test]
fn hop_skip_jump_keeps_to_its_queries_and_goes_to_targets() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..6)) else {
        return;
    };
    let model = trained.model();
    let batch = right(&model, &batch);
    let one = batch.select(&[0]);
    for budget in [0, 1, 2, 20, 150, 400] {
        let counted = Counted::new(&model);
        let attack = HopSkipJump::new(Norm::L2).unwrap().with_max_queries(budget);
        let found = attack.run(&ScoresAlone(&counted), &one).unwrap();
        assert!(counted.queries().forward <= budget);
        assert_eq!(
            count(&model, &one, &found),
            usize::from(budget >= 3),
            "{budget}"
        );
    }
    let target = batch
        .labels()
        .iter()
        .position(|label| *label != batch.labels()[0]);
    let target = target.unwrap();
    let targeted = one.with_targets(vec![batch.labels()[target]]).unwrap();
    let attack = HopSkipJump::new(Norm::L2).unwrap().with_steps(3);
    let message = attack.run(&model, &targeted).unwrap_err().to_string();
    assert!(message.contains("with_starts"), "{message}");
    let attack = attack.with_starts(batch.images().clone());
    let found = attack.run(&ScoresAlone(&model), &targeted).unwrap();
    assert_eq!(count(&model, &targeted, &found), 1);
    let start = batch.images().select(&[target]);
    let [near, far] = [&found, &start].map(|to| sizes(Norm::L2, to, targeted.images())[0]);
    println!("hopskipjump to a target: {near} of {far}");
    assert!(near < far / 2.);
}

fn grid(rotations: usize, shifts: usize) -> SpatialSearch {
    SpatialSearch::Grid { rotations, shifts }
}

#[test]
fn a_motion_is_found_among_those_tried() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..8)) else {
        return;
    };
    let model = trained.model();
    let batch = right(&model, &batch);
    let limits = Motion {
        degrees: 30.,
        down: 3.,
        right: 3.,
    };
    let spatial = Spatial::new(limits).unwrap();
    let run = |search, batch: &AttackBatch<'_>| {
        let attack = spatial.with_search(search).unwrap();
        attack.run(&ScoresAlone(&model), batch).unwrap()
    };
    assert_eq!(run(grid(1, 1), &batch), *batch.images());
    // Each of these grids holds the one before, so its worst is no better for the network.
    let mut earlier = vec![f64::NEG_INFINITY; batch.len()];
    for search in [grid(1, 1), grid(3, 1), grid(5, 1), grid(5, 3)] {
        let logits = model.logits(&run(search, &batch)).unwrap();
        let margin = |(index, scores): (usize, &[f64])| {
            MarginLoss(&batch).loss(index, scores, &mut [0.; 10])
        };
        let margins: Vec<f64> = logits.rows().enumerate().map(margin).collect();
        assert!(
            margins
                .iter()
                .zip(&earlier)
                .all(|(now, earlier)| *now >= earlier - 1e-4)
        );
        earlier = margins;
    }
    let several = count(&model, &batch, &run(grid(5, 3), &batch));
    let random = count(
        &model,
        &batch,
        &run(SpatialSearch::Random { tries: 10 }, &batch),
    );
    println!(
        "spatial: grid {several}, random {random} of {}",
        batch.len()
    );
    assert!(several >= random && random >= 1);
    let edge = spatial
        .with_search(grid(5, 3))
        .unwrap()
        .with_fill(Fill::Edge);
    let edge = edge.run(&model, &batch).unwrap();
    assert!(edge.values().iter().all(|value| (0. ..=1.).contains(value)));
    assert!(count(&model, &batch, &edge) >= 1);
}
