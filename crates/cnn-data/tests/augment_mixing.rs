//! What holds for the mixing of a batch's images.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use cnn_core::{Key, Rng};
use cnn_data::{BatchMix, CutMix, Mask, Mixing, Mixup};

use common::extent;

fn rng(seed: u64) -> Rng {
    Key::new(seed).stream("augment").rng()
}

/// Images whose values are `number·1000 + position`.
fn batch(count: usize, each: usize) -> Vec<f32> {
    (0..count)
        .flat_map(|number| (0..each).map(move |position| (number * 1000 + position) as f32))
        .collect()
}

#[test]
fn mixup_adds_partners() {
    for (count, seed) in [(4, 0), (5, 1), (1, 2), (0, 3)] {
        let dims = [count, 3, 4, 2];
        let each = 24;
        let before = batch(count, each);
        let mut after = before.clone();
        let Mixing { lambda, partners } = Mixup::new(0.8)
            .unwrap()
            .apply(&mut after, dims, &mut rng(seed))
            .unwrap();
        assert_eq!(partners, (0..count).rev().collect::<Vec<_>>());
        for (index, value) in after.iter().enumerate() {
            let own = index / each;
            let position = index % each;
            let other = before[partners[own] * each + position];
            let expected = lambda * f64::from(before[index]) + (1.0 - lambda) * f64::from(other);
            assert!(
                (f64::from(*value) - expected).abs() < 1e-2,
                "{count} {index}: {value} {expected}"
            );
        }
    }
}

#[test]
fn cutmix_pastes_one_rectangle_and_says_its_share() {
    let count = 5;
    let height = 9;
    let width = 14;
    let channels = 3;
    let each = height * width * channels;
    let mut lambdas = Vec::new();
    for seed in 0..300 {
        let before = batch(count, each);
        let mut after = before.clone();
        let mixing = CutMix::new(1.0)
            .unwrap()
            .apply(&mut after, [count, height, width, channels], &mut rng(seed))
            .unwrap();
        let pasted = |image: usize, pixel: usize| {
            let place = image * each + pixel * channels;
            let partner = mixing.partners[image] * each + pixel * channels;
            let part = &after[place..place + channels];
            assert!(
                part == &before[place..place + channels]
                    || part == &before[partner..partner + channels]
            );
            u8::from(part != &before[place..place + channels])
        };
        let masks: Vec<Vec<u8>> = (0..count)
            .map(|image| {
                (0..height * width)
                    .map(|pixel| pasted(image, pixel))
                    .collect()
            })
            .collect();
        // Every image but the middle one has the same rectangle.
        assert!(
            masks[1..]
                .iter()
                .enumerate()
                .all(|(index, mask)| index + 1 == 2 || *mask == masks[0])
        );
        assert!(masks[2].iter().all(|&pasted| pasted == 0));
        let mask = Mask::new(height, width, masks[0].clone()).unwrap();
        let area = extent(&mask, 1).map_or(0.0, |([left, top, right, bottom], count)| {
            assert_eq!(((right - left) * (bottom - top)) as usize, count);
            count as f64
        });
        assert!(
            (mixing.lambda - (1.0 - area / (height * width) as f64)).abs() < 1e-12,
            "{seed}"
        );
        lambdas.push(mixing.lambda);
    }
    let mean = lambdas.iter().sum::<f64>() / lambdas.len() as f64;
    // E[1 − λ] is 0.5 before the part outside the image is cut off.
    assert!((0.58..0.75).contains(&mean), "{mean}");
}

#[test]
fn batches_are_mixed_with_their_probabilities() {
    let either = || BatchMix::either(Mixup::new(1.0).unwrap(), CutMix::new(1.0).unwrap());
    // Probability of mixing, of CutMix then; expected shares of unmixed, mixup and CutMix.
    let cases = [
        (either(), 1.0, 0.5, [0.0, 0.5, 0.5]),
        (either(), 0.5, 0.2, [0.5, 0.4, 0.1]),
        (either(), 0.0, 0.5, [1.0, 0.0, 0.0]),
        (
            BatchMix::mixup(Mixup::new(1.0).unwrap()),
            1.0,
            0.5,
            [0.0, 1.0, 0.0],
        ),
        (
            BatchMix::cutmix(CutMix::new(1.0).unwrap()),
            1.0,
            0.5,
            [0.0, 0.0, 1.0],
        ),
    ];
    for (mix, prob, switch_prob, expected) in cases {
        let mix = mix
            .with_prob(prob)
            .unwrap()
            .with_switch_prob(switch_prob)
            .unwrap();
        let mut counts = [0u32; 3];
        for seed in 0..500 {
            let mut images = [vec![0f32; 400], vec![1.0; 400]].concat();
            let mixing = mix
                .apply(&mut images, [2, 20, 20, 1], &mut rng(seed))
                .unwrap();
            let mixed = mixing.partners == [1, 0];
            let fractional = images.iter().any(|value| *value != 0.0 && *value != 1.0);
            counts[if !mixed {
                0
            } else if fractional {
                1
            } else {
                2
            }] += 1;
        }
        for (count, expected) in counts.iter().zip(expected) {
            assert!(
                (f64::from(*count) / 500.0 - expected).abs() < 0.08,
                "{mix:?}: {counts:?}"
            );
        }
    }
}
