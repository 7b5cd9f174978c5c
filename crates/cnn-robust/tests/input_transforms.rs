//! Input transforms: scipy's numbers, their derivatives, and what attackers who know of them leave.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{Device, Tensor};
use cnn_core::Key;
use cnn_robust::attack::Pgd;
use cnn_robust::defence::{
    Averaged, BitDepth, GaussianSmoothing, InputTransform, Jpeg, Median, Transformed,
    parse_transform,
};
use cnn_robust::{
    AttackedModel, Draw, Draws, Error, ImageGradient, Images, JudgedAttack, LogitLoss, Logits,
    RobustnessMeter, Threat,
};
use common::{Trained, photos};
use std::cell::Cell;

const SIZE: [usize; 3] = [4, 5, 2];

/// `((i * 7) % 23) / 23` for `i` in 0..40, as an array of 4x5x2.
fn image() -> Images {
    let values = (0..40).map(|place| f64::from((place * 7) % 23) / 23.);
    Images::new(1, SIZE, values.collect()).unwrap()
}

fn random(seed: u64) -> Images {
    let values = Key::new(seed).uniform(Draw::new("random", 0), 40).unwrap();
    Images::new(1, SIZE, values).unwrap()
}

/// scipy.ndimage.median_filter(x[..., k], size=s, mode='reflect') and gaussian_filter(x[..., k],
/// 1.0) for each channel.
#[test]
fn smoothing_is_that_of_scipy() {
    let medians = [
        (
            2,
            [
                0, 7, 14, 21, 14, 21, 19, 12, 19, 17, 1, 8, 14, 21, 14, 21, 19, 12, 19, 17, 2, 9,
                15, 9, 15, 14, 20, 13, 20, 18, 3, 10, 16, 9, 16, 14, 21, 14, 21, 19,
            ],
        ),
        (
            3,
            [
                1, 8, 5, 12, 14, 12, 10, 12, 11, 17, 2, 8, 6, 12, 15, 12, 11, 13, 12, 17, 3, 9, 7,
                10, 16, 6, 12, 14, 13, 18, 3, 9, 8, 10, 17, 6, 13, 15, 13, 19,
            ],
        ),
    ];
    for (size, expected) in medians {
        let found = Median::new(size).unwrap().apply(&image()).unwrap();
        let found: Vec<u32> = found
            .values()
            .iter()
            .map(|x| (23. * x).round() as u32)
            .collect();
        assert_eq!(found, expected, "{size}");
    }
    let blurred = GaussianSmoothing::new(1.).unwrap().apply(&image()).unwrap();
    let expected = [
        0.215242806388997,
        0.49634303918732214,
        0.36331202079470815,
        0.5882066553272208,
        0.47805775974932674,
        0.5250180163695338,
        0.5659594045383478,
        0.4635238440655279,
    ];
    for (found, expected) in blurred.values().iter().zip(expected) {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}

#[test]
fn levels_are_those_of_the_bits() {
    let values = vec![-0.1, 0.1, 0.2, 0.49, 0.5, 0.6, 0.9, 1.2];
    let images = Images::new(1, [2, 4, 1], values).unwrap();
    let of = |bits| BitDepth::new(bits).unwrap().apply(&images).unwrap();
    assert_eq!(of(1).values(), [0., 0., 0., 0., 1., 1., 1., 1.]);
    let third = 1. / 3.;
    let expected = [0., 0., third, third, 2. * third, 2. * third, 1., 1.];
    assert_eq!(of(2).values(), expected);
    // Pictures of bytes have no more than eight bits.
    let bytes = Images::new(1, [1, 3, 1], [0., 77., 255.].map(|x| x / 255.).to_vec()).unwrap();
    assert_eq!(BitDepth::new(8).unwrap().apply(&bytes).unwrap(), bytes);
}

/// What goes back through smoothing is its derivative: along a direction `d` it is `⟨J d, g⟩ = ⟨d,
/// Jᵀ g⟩`, and a step that is small beside the distances of values changes no median.
#[test]
fn smoothing_goes_back_by_its_derivative() {
    let transforms: [Box<dyn InputTransform>; 4] = [
        Box::new(GaussianSmoothing::new(0.7).unwrap()),
        Box::new(GaussianSmoothing::new(5.).unwrap()),
        Box::new(Median::new(2).unwrap()),
        Box::new(Median::new(3).unwrap()),
    ];
    let [images, direction, gradient] = [1, 2, 3].map(random);
    let dot = |a: &Images, b: &Images| -> f64 {
        a.values().iter().zip(b.values()).map(|(a, b)| a * b).sum()
    };
    for transform in &transforms {
        let step = 1e-7;
        let moved = transform.apply(&images.plus(&direction, step)).unwrap();
        let change = moved.minus(&transform.apply(&images).unwrap());
        let forward = dot(&change, &gradient) / step;
        let back = transform.backward(&images, gradient.clone()).unwrap();
        let name = transform.name();
        assert!((forward - dot(&direction, &back)).abs() < 1e-6, "{name}");
    }
    // What has no derivative lets the gradient through.
    for transform in ["jpeg:50", "bits:3"].map(|name| parse_transform(name).unwrap()) {
        assert_eq!(
            transform.backward(&images, gradient.clone()).unwrap(),
            gradient
        );
    }
}

#[test]
fn a_name_says_what_is_done() {
    for name in ["jpeg:75", "bits:3", "median:3", "gaussian:1.5"] {
        assert_eq!(parse_transform(name).unwrap().name(), name);
    }
    for name in [
        "jpeg",
        "jpeg:0",
        "jpeg:101",
        "bits:9",
        "median:1",
        "gaussian:0",
        "gaussian:nan",
        "blur:1",
    ] {
        let error = parse_transform(name).map(|_| ()).unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("`defence`: found {name}, expected jpeg:QUALITY")),
            "{error}"
        );
    }
    assert!(Jpeg::new(0).is_err() && BitDepth::new(0).is_err());
    assert!(Median::new(16).is_err() && GaussianSmoothing::new(f64::INFINITY).is_err());
}

/// Scores `[0, w·x]` with another `w` at each call.
struct Random {
    calls: Cell<u64>,
}

impl Random {
    fn weights(&self) -> f64 {
        self.calls.set(self.calls.get() + 1);
        self.calls.get() as f64
    }
}

impl AttackedModel for Random {
    fn num_classes(&self) -> usize {
        2
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        let weight = self.weights();
        let rows =
            (0..images.len()).flat_map(|at| [0., weight * images.image(at).iter().sum::<f64>()]);
        let rows: Vec<f64> = rows.collect();
        Logits::from_tensor(&Tensor::from_vec(rows, (images.len(), 2), &Device::Cpu)?)
    }

    fn gradient(&self, images: &Images, loss: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        let weight = self.calls.get() as f64 + 1.;
        let logits = self.logits(images)?;
        let mut upstream = logits.zeros_like();
        let row = |at| loss.loss(at, logits.row(at), upstream.row_mut(at));
        let losses = (0..images.len()).map(row).collect();
        let mut gradient = images.zeros_like();
        for at in 0..images.len() {
            gradient.image_mut(at).fill(weight * upstream.row(at)[1]);
        }
        Ok(ImageGradient {
            logits,
            losses,
            images: gradient,
        })
    }
}

#[test]
fn the_mean_gradient_is_that_of_all_calls() {
    let loss = |_: usize, logits: &[f64], gradient: &mut [f64]| {
        gradient[1] = 1.;
        logits[1]
    };
    let model = Random {
        calls: Cell::new(0),
    };
    let images = Images::new(2, [1, 1, 2], vec![1., 2., 0., 0.5]).unwrap();
    let found = Averaged::new(&model, 4)
        .unwrap()
        .gradient(&images, &loss)
        .unwrap();
    // Weights 1, 2, 3, 4.
    assert_eq!(found.images.values(), [2.5; 4]);
    assert_eq!(found.losses, [7.5, 1.25]);
    assert_eq!(model.calls.get(), 4);
    assert!(Averaged::new(&model, 0).is_err());
}

/// The gradient behind a blur is that of the blurred network, by finite differences.
#[test]
fn a_transformed_network_is_differentiated_as_a_whole() {
    let (Some(trained), Some(batch)) = (Trained::load(), photos(0..1)) else {
        return;
    };
    let bare = trained.model();
    let transforms = ["median:3", "gaussian:0.8"].map(|name| parse_transform(name).unwrap());
    let model = Transformed::new(&bare, &transforms);
    let loss = |_: usize, logits: &[f64], gradient: &mut [f64]| {
        gradient[3] = 1.;
        logits[3]
    };
    // Bytes are often equal, and then a step changes which of them is the median.
    let draw = Draw::new("unequal", 0);
    let unequal = Key::new(0).uniform(draw, batch.images().values().len());
    let unequal = Images::new(1, batch.images().size(), unequal.unwrap()).unwrap();
    let images = batch.images().plus(&unequal, 0.02);
    let found = model.gradient(&images, &loss).unwrap();
    assert_eq!(found.losses[0], found.logits.row(0)[3]);
    let direction = found.images.map(f64::signum);
    let at = |step: f64| {
        let moved = images.plus(&direction, step);
        model.gradient(&moved, &loss).unwrap().losses[0]
    };
    let step = 2e-5;
    let slope = (at(step) - at(-step)) / (2. * step);
    let expected: f64 = found.images.values().iter().map(|value| value.abs()).sum();
    assert!((slope / expected - 1.).abs() < 0.05, "{slope} {expected}");
    let nothing = Transformed::new(&bare, &[]);
    assert_eq!(
        nothing.logits(&images).unwrap(),
        bare.logits(&images).unwrap()
    );
}

/// JPEG seems to help against whoever does not know of it.
#[test]
fn an_attacker_who_knows_of_a_transform_leaves_less() {
    let (Some(trained), Some(batch)) = (Trained::load(), photos(0..40)) else {
        return;
    };
    let bare = trained.model();
    let transforms = [parse_transform("jpeg:60").unwrap()];
    let defended = Transformed::new(&bare, &transforms);
    let pgd = Pgd::new(Threat::linf(2. / 255.).unwrap()).with_steps(10);
    let mut meter = RobustnessMeter::new(vec![JudgedAttack::new(Box::new(pgd))]);
    meter.add_defended(&defended, &bare, &batch).unwrap();
    let result = meter.result();
    let pgd = &result.attacks[0];
    let unaware = pgd.transferred_top1().unwrap();
    assert!(
        pgd.robust_top1() + 0.2 < unaware,
        "{} {unaware}",
        pgd.robust_top1()
    );
    assert!(result.worst_top1() <= pgd.robust_top1());

    let mut plain = RobustnessMeter::new(vec![JudgedAttack::new(Box::new(
        Pgd::new(Threat::linf(2. / 255.).unwrap()).with_steps(10),
    ))]);
    plain.add(&defended, &batch).unwrap();
    assert_eq!(plain.result().attacks[0].fooled, pgd.fooled);
    assert_eq!(plain.result().attacks[0].transferred_top1(), None);
}
