//! One change or one patch for many images of a trained network, and images apart from those that
//! it was found with.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_core::Key;
use cnn_robust::attack::{Attack, PatchPlace, PatchTraining, Universal};
use cnn_robust::{Images, Norm, Threat};

use common::{Trained, count, photos, right};

#[test]
fn a_universal_change_fools_more_images_than_a_random_one() {
    let Some((trained, seen)) = Trained::load().zip(photos(0..96)) else {
        return;
    };
    let model = trained.model();
    let others = right(&model, &photos(200..296).unwrap());
    let halves = [0..48, 48..96].map(|half| seen.select(&half.collect::<Vec<_>>()));
    for threat in [Threat::linf(10. / 255.), Threat::new(Norm::L2, 2.)] {
        let threat = threat.unwrap();
        let universal = Universal::new(threat);
        let universal = universal.find(&model, &halves).unwrap();
        let size = threat.norm.size(universal.change().image(0));
        assert!(size <= threat.eps + 1e-12 && size > 0.9 * threat.eps);
        let found = universal.run(&model, &others).unwrap();
        let fooled = count(&model, &others, &found);
        let mut rng = Key::new(3).rng();
        let signs = (0..3072).map(|_| f64::from(rng.below(2) as u32) * 2. - 1.);
        let mut random = Images::new(1, [32, 32, 3], signs.collect()).unwrap();
        let scale = threat.eps / threat.norm.size(random.image(0));
        random = random
            .map(|value| value * scale)
            .select(&vec![0; others.len()]);
        let random = others.images().plus(&random, 1.).within_unit();
        let random = count(&model, &others, &random);
        println!(
            "universal {threat}: {fooled}, random {random} of {}",
            others.len()
        );
        assert!(fooled > 2 * random && fooled * 3 > others.len());
        let change = found.minus(others.images());
        let mut sizes = (0..others.len()).map(|index| threat.norm.size(change.image(index)));
        assert!(sizes.all(|size| size <= threat.eps + 1e-12));
    }
}

#[test]
fn a_patch_changes_its_pixels_alone() {
    let Some((trained, seen)) = Trained::load().zip(photos(0..64)) else {
        return;
    };
    let model = trained.model();
    let others = right(&model, &photos(200..264).unwrap());
    let training = PatchTraining::new(0.06).unwrap().with_rounds(12).unwrap();
    let seen = std::slice::from_ref(&seen);
    let patch = training.train(&model, seen).unwrap();
    assert_eq!(patch.pixels().size(), [8, 8, 3]);
    assert!(
        patch
            .pixels()
            .values()
            .iter()
            .all(|value| (0. ..=1.).contains(value))
    );
    let fooled = count(&model, &others, &patch.run(&model, &others).unwrap());
    let grey = training
        .with_step_size(1e-9)
        .unwrap()
        .train(&model, seen)
        .unwrap();
    let grey = count(&model, &others, &grey.run(&model, &others).unwrap());
    println!("patch: {fooled}, grey {grey} of {}", others.len());
    assert!(fooled > grey + others.len() / 10);

    let place = PatchPlace { row: 24, column: 3 };
    let patched = patch
        .clone()
        .with_place(place)
        .run(&model, &others)
        .unwrap();
    for index in 0..others.len() {
        let pixels = patched.image(index).chunks_exact(3);
        let before = others.images().image(index).chunks_exact(3);
        for (at, (pixel, before)) in pixels.zip(before).enumerate() {
            let (row, column) = (at / 32, at % 32);
            let expected = if row >= 24 && (3..11).contains(&column) {
                &patch.pixels().image(0)[((row - 24) * 8 + column - 3) * 3..][..3]
            } else {
                before
            };
            assert_eq!(pixel, expected);
        }
    }
    let over = patch.with_place(PatchPlace { row: 25, column: 3 });
    let message = over.run(&model, &others).unwrap_err().to_string();
    assert!(message.contains("patch at 25, 3"), "{message}");
}

#[test]
fn a_patch_brings_images_to_a_target() {
    let Some((trained, batch)) = Trained::load().zip(photos(0..48)) else {
        return;
    };
    let model = trained.model();
    let targets = vec![3; batch.len()];
    let batch = batch.with_targets(targets).unwrap();
    let before = count(&model, &batch, batch.images());
    let training = PatchTraining::new(0.1).unwrap().with_rounds(12).unwrap();
    let patch = training
        .train(&model, std::slice::from_ref(&batch))
        .unwrap();
    let after = count(&model, &batch, &patch.run(&model, &batch).unwrap());
    println!(
        "patch to a target: {after}, before {before} of {}",
        batch.len()
    );
    assert!(after > before + batch.len() / 4);
}
