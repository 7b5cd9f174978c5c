//! Detectors of images under attack.
#![allow(clippy::unwrap_used)]

mod common;

use candle_core::{Device, Tensor};
use cnn_robust::attack::{AttackBatch, Pgd};
use cnn_robust::defence::{
    BitDepth, DetectorMeter, FeatureSqueezing, InputDetector, InputTransform, Median,
};
use cnn_robust::{
    AttackedModel, Error, ImageGradient, Images, JudgedAttack, LogitLoss, Logits, RobustnessMeter,
    Threat,
};
use common::{ScoresAlone, Trained, photos};

/// Scores `[0, ln(x / (1 - x))]` of the first value, so that the second class has the probability
/// `x`.
struct Probability;

impl AttackedModel for Probability {
    fn num_classes(&self) -> usize {
        2
    }

    fn logits(&self, images: &Images) -> Result<Logits, Error> {
        let row = |at| {
            let x = images.image(at)[0].clamp(1e-9, 1. - 1e-9);
            [0., (x / (1. - x)).ln()]
        };
        let rows: Vec<f64> = (0..images.len()).flat_map(row).collect();
        Logits::from_tensor(&Tensor::from_vec(rows, (images.len(), 2), &Device::Cpu)?)
    }

    fn gradient(&self, _: &Images, _: &dyn LogitLoss) -> Result<ImageGradient, Error> {
        Err(Error::Other("no gradient".into()))
    }
}

#[test]
fn the_score_is_how_far_the_prediction_moves() {
    let images = Images::new(3, [1, 2, 1], vec![0.6, 0.9, 0.1, 0.3, 1., 1.]).unwrap();
    let scores = |squeezers: Vec<Box<dyn InputTransform>>| {
        let squeezing = FeatureSqueezing::new(squeezers).unwrap();
        squeezing.scores(&Probability, &images).unwrap()
    };
    let bits = || Box::new(BitDepth::new(1).unwrap());
    let median = || Box::new(Median::new(2).unwrap());
    // 0.6 becomes 1 and 0.1 becomes 0: both probabilities move by 0.4 and 0.1.
    for (found, expected) in scores(vec![bits()]).into_iter().zip([0.8, 0.2, 0.]) {
        assert!((found - expected).abs() < 1e-6, "{found} {expected}");
    }
    // The window of the first pixel mirrors it: its median is its own value.
    for found in scores(vec![median()]) {
        assert!(found.abs() < 1e-6, "{found}");
    }
    assert_eq!(scores(vec![median(), bits()]), scores(vec![bits()]));
    assert!(FeatureSqueezing::new(Vec::new()).is_err());
    // A score is asked of the model, never a gradient.
    let of_grey = FeatureSqueezing::of_channels(1).unwrap();
    assert_eq!(
        of_grey.scores(&Probability, &images).unwrap(),
        scores(vec![bits()])
    );
}

#[test]
fn squeezing_finds_strong_changes_of_an_attack_that_does_not_know_of_it() {
    let (Some(trained), Some(batch)) = (Trained::load(), photos(0..60)) else {
        return;
    };
    let model = trained.model();
    let weak = Pgd::new(Threat::linf(0.).unwrap()).with_steps(1);
    let pgd = Pgd::new(Threat::linf(2. / 255.).unwrap())
        .with_steps(3)
        .with_early_stop(true);
    let attacks = vec![
        JudgedAttack::new(Box::new(pgd)),
        JudgedAttack::new(Box::new(weak)),
    ];
    let mut meter = RobustnessMeter::new(attacks);
    let of_color = || Box::new(FeatureSqueezing::of_channels(3).unwrap());
    let mut whole = DetectorMeter::new(of_color(), 2);
    let mut parts = DetectorMeter::new(of_color(), 2);
    let attacked = meter.add(&model, &batch).unwrap();
    whole.add(&ScoresAlone(&model), &batch, &attacked).unwrap();
    for places in [(0..25).collect::<Vec<_>>(), (25..60).collect()] {
        let part: AttackBatch<'_> = batch.select(&places);
        let mut meter = RobustnessMeter::new(vec![
            JudgedAttack::new(Box::new(pgd)),
            JudgedAttack::new(Box::new(weak)),
        ]);
        let attacked = meter.add(&model, &part).unwrap();
        parts.add(&model, &part, &attacked).unwrap();
    }
    let curves = whole.curves().unwrap();
    let pgd = curves[0].as_ref().unwrap();
    assert!(pgd.auc() > 0.6, "{}", pgd.auc());
    // An attack that may change nothing fools nothing.
    assert_eq!(curves[1], None);
    let in_parts = parts.curves().unwrap();
    assert!((in_parts[0].as_ref().unwrap().auc() - pgd.auc()).abs() < 0.02);
    let other = DetectorMeter::new(of_color(), 1).add(&model, &batch, &attacked);
    assert!(
        other
            .unwrap_err()
            .to_string()
            .starts_with("`attacks`: found 2, expected 1")
    );
}
