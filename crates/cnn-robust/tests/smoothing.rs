//! Randomised smoothing against a classifier whose smoothed form is known: a linear one, which
//! changes its class at a plane and nowhere else.
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{Device, Tensor};
use cnn_core::Key;
use cnn_robust::certify::{Certificate, CertifiedImages, Smoothing};
use cnn_robust::{AttackedModel, Error, ImageGradient, Images, LogitLoss, Logits};

const SIZE: [usize; 3] = [2, 3, 1];
const WEIGHTS: [f64; 6] = [0.5, -1., 0.25, 2., -0.5, 1.];
const BIAS: f64 = -1.;

/// Class 1 where `w·x + b > 0`; class 2 is never given.
struct Linear;

fn score(image: &[f64]) -> f64 {
    image.iter().zip(WEIGHTS).map(|(x, w)| x * w).sum::<f64>() + BIAS
}

/// How far the plane is away.
fn distance(image: &[f64]) -> f64 {
    score(image).abs() / WEIGHTS.iter().map(|w| w * w).sum::<f64>().sqrt()
}

impl AttackedModel for Linear {
    fn num_classes(&self) -> usize {
        3
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        let row = |index| [0., score(images.image(index)), -1e3];
        let rows: Vec<f64> = (0..images.len()).flat_map(row).collect();
        Logits::from_tensor(&Tensor::from_vec(rows, (images.len(), 3), &Device::Cpu)?)
    }

    fn gradient(&self, _: &Images, _: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        panic!("smoothing asks for scores only")
    }
}

fn image(seed: u64) -> Images {
    let mut rng = Key::new(seed).stream("image").rng();
    let values = (0..6).map(|_| rng.uniform()).collect();
    Images::new(1, SIZE, values).unwrap()
}

fn smoothing() -> Smoothing {
    Smoothing::new(0.25)
        .unwrap()
        .with_samples(50, 2000)
        .unwrap()
}

#[test]
fn a_certificate_never_reaches_beyond_the_nearest_other_class() {
    let mut abstained = 0;
    let mut certified = CertifiedImages::default();
    for seed in 0..60 {
        let image = image(seed);
        let label = u32::from(score(image.values()) > 0.);
        let away = distance(image.values());
        let draws = Key::new(7);
        let certificate = smoothing().certify(&Linear, &image, seed, &draws).unwrap();
        match certificate {
            // The probability that has to be told from a half is Φ(distance / σ).
            Certificate::Abstained => {
                assert!(away < 0.05, "{away}");
                abstained += 1;
            }
            Certificate::Class(certified) => {
                assert_eq!(certified.class, label);
                assert!(certified.radius < away, "{} {away}", certified.radius);
                // What 2000 samples and α = 0.001 leave; the largest radius is σ Φ⁻¹(α^(1/n)).
                let reach = away.min(0.25 * 2.70);
                assert!(
                    certified.radius > reach - 0.14,
                    "{} {away}",
                    certified.radius
                );
            }
        }
        certified.add(label, certificate);
    }
    assert!(abstained < 10, "{abstained}");
    let curve = [0., 0.1, 0.3, 0.7].map(|radius| certified.certified_top1(radius));
    assert!(curve.windows(2).all(|pair| pair[1] <= pair[0]));
    assert!(curve[0] > 0.8 && curve[3] == 0., "{curve:?}");
    let sum = certified.smoothed_top1() + certified.abstained() + certified.share_of_wrong();
    assert!((sum - 1.).abs() < 1e-12, "{sum}");
}

/// Cohen's formula for all of n: `σ Φ⁻¹(α^(1/n))`; scipy.stats.norm.ppf(0.001 ** (1 / n)) * 0.25.
#[test]
fn the_largest_radius_is_that_of_the_formula() {
    let far = Images::new(1, SIZE, vec![0., -9., 0., 9., 0., 9.]).unwrap();
    for (samples, radius) in [(100, 0.3751187560301591), (1000, 0.6158156536952029)] {
        let smoothing = smoothing().with_samples(10, samples).unwrap();
        let certificate = smoothing.certify(&Linear, &far, 0, &Key::new(0)).unwrap();
        let Certificate::Class(certified) = certificate else {
            panic!("{certificate:?}")
        };
        assert!(
            (certified.radius - radius).abs() < 1e-9,
            "{}",
            certified.radius
        );
        assert_eq!(smoothing.reach().unwrap(), certified.radius);
    }
    // One image in favour is no majority at this confidence.
    assert_eq!(smoothing().with_samples(1, 5).unwrap().reach().unwrap(), 0.);
}

/// Clipping decides what the classifier sees: of an image at the upper end noise can only lower
/// values.
#[test]
fn clipped_noise_stays_in_the_range_of_images() {
    struct Within;
    impl AttackedModel for Within {
        fn num_classes(&self) -> usize {
            2
        }
        fn logits(&self, images: &Images) -> Result<Logits, Error> {
            let is_within = |value: &f64| (0. ..=1.).contains(value);
            let row = |index| [0.5, f64::from(images.image(index).iter().all(is_within))];
            let rows: Vec<f64> = (0..images.len()).flat_map(row).collect();
            Logits::from_tensor(&Tensor::from_vec(rows, (images.len(), 2), &Device::Cpu)?)
        }
        fn gradient(&self, _: &Images, _: &dyn LogitLoss) -> Result<ImageGradient, Error> {
            panic!("smoothing asks for scores only")
        }
    }
    let bright = Images::new(1, SIZE, vec![1.; 6]).unwrap();
    for (clip, expected) in [(false, 0), (true, 1)] {
        let smoothing = smoothing().with_clipping(clip);
        let found = smoothing.predict(&Within, &bright, 0, &Key::new(0));
        assert_eq!(found.unwrap(), Some(expected));
    }
}

#[test]
fn a_prediction_is_certain_or_none() {
    // On the plane both classes are equally likely.
    let on_plane = Images::new(1, SIZE, vec![0., 0., 0., 0.5, 0., 0.]).unwrap();
    let smoothing = smoothing();
    let of = |image: &Images, draws: &Key| smoothing.predict(&Linear, image, 0, draws).unwrap();
    let wrong = (0..40).filter(|seed| of(&on_plane, &Key::new(*seed)).is_some());
    assert_eq!(wrong.count(), 0);
    let beside = Images::new(1, SIZE, vec![0., 0., 0., 0.7, 0., 0.]).unwrap();
    assert_eq!(of(&beside, &Key::new(0)), Some(1));
    // The same counts, whatever the batch.
    for batch in [1, 7, 5000] {
        let other = smoothing.with_batch(batch).unwrap();
        let [found, expected] = [other, smoothing].map(|smoothing| {
            smoothing
                .certify(&Linear, &beside, 3, &Key::new(2))
                .unwrap()
        });
        assert_eq!(found, expected);
    }
}

#[test]
fn unusable_arguments_are_named() {
    let smoothing = smoothing();
    let two = Images::new(2, SIZE, vec![0.; 12]).unwrap();
    let errors = [
        (Smoothing::new(0.).err(), "`sigma`: found 0"),
        (Smoothing::new(f64::NAN).err(), "`sigma`: found NaN"),
        (smoothing.with_samples(0, 1).err(), "`selection`: found 0"),
        (smoothing.with_samples(1, 0).err(), "`estimation`: found 0"),
        (smoothing.with_alpha(1.).err(), "`alpha`: found 1"),
        (smoothing.with_batch(0).err(), "`batch`: found 0"),
        (
            smoothing.certify(&Linear, &two, 0, &Key::new(0)).err(),
            "`image`: found 2 images",
        ),
    ];
    for (error, expected) in errors {
        let said = error.unwrap().to_string();
        assert!(said.starts_with(expected), "{said}");
    }
}
