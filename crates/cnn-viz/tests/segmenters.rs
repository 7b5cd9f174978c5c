//! Networks for pixels, explained by every method.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use cnn_layers::{FeatureMap, Mode};
use cnn_models::{ModelConfig, SegmentationNetwork, find};
use cnn_viz::{Explainer, Method, Place, Region, Smoothing, Target, TrustChecks};

fn network(name: &str, args: &[(&str, serde_json::Value)]) -> SegmentationNetwork {
    let config = ModelConfig {
        num_classes: Some(4),
        ..ModelConfig::default()
    };
    let with = |config: ModelConfig, (name, value): &(&str, serde_json::Value)| {
        config.with_arg(*name, value.clone())
    };
    let config = args.iter().fold(config, with);
    SegmentationNetwork::with_dtype(*find(name).unwrap(), &config, 3, DType::F64).unwrap()
}

fn unet() -> SegmentationNetwork {
    network("unet", &[("width", 4.into()), ("depth", 2.into())])
}

fn image(height: usize, width: usize) -> FeatureMap {
    let count = height * width * 3;
    let values: Vec<f64> = (0..count).map(|at| (at as f64 * 0.37).sin()).collect();
    let values = Tensor::from_vec(values, (1, height, width, 3), &Device::Cpu).unwrap();
    FeatureMap::from_nhwc(&values).unwrap()
}

#[test]
fn every_method_gives_a_map_of_the_images_size() {
    let networks = [
        (unet(), image(16, 24)),
        (
            network("smp_unet", &[("backbone", "test_resnet".into())]),
            image(32, 64),
        ),
        (
            network("smp_deeplabv3plus", &[("backbone", "resnet18".into())]),
            image(32, 32),
        ),
        (network("lraspp_mobilenet_v3_large", &[]), image(32, 64)),
    ];
    for (network, image) in networks {
        let scorer = network.build(Mode::Inference).unwrap();
        let explainer = Explainer::new(network.model())
            .with_scorer(scorer.as_ref())
            .with_samples(2, 0.1)
            .with_steps(4);
        let mut told = 0;
        for method in Method::ALL {
            let explanation = explainer.explain(method, &image, &[Target::class(1)]);
            let explanation = explanation.unwrap();
            let map = &explanation.maps[0];
            let name = network.spec().name;
            assert_eq!([map.height(), map.width()], [image.height(), image.width()]);
            assert!(
                map.values().iter().all(|value| value.is_finite()),
                "{name} {method:?}"
            );
            // A map of fresh weights may be negative everywhere, of which nothing is left.
            told += usize::from(map.values().iter().any(|value| *value != 0.));
        }
        assert!(told > 10, "{}: {told} of 16", network.spec().name);
    }
}

// Central differences of the score itself.
#[test]
fn the_gradient_is_that_of_the_mean_score() {
    let network = unet();
    let image = image(16, 24);
    let mask: Vec<bool> = (0..16 * 24).map(|at| at % 5 == 0).collect();
    let target = Target::class(2).against(0).over(mask.clone());
    let explainer = Explainer::new(network.model());
    let explanation = explainer
        .explain(Method::Gradient, &image, &[target])
        .unwrap();
    let gradient = explanation.attribution.unwrap();
    let gradient = gradient.flatten_all().unwrap().to_vec1::<f64>().unwrap();
    let score = |values: &[f64]| {
        let image = Tensor::from_slice(values, (1, 16, 24, 3), &Device::Cpu).unwrap();
        let image = FeatureMap::from_nhwc(&image).unwrap();
        let logits = network
            .model()
            .forward(&image, &cnn_layers::Context::eval());
        let logits = logits.unwrap().to_nhwc().flatten_all().unwrap();
        let logits = logits.to_vec1::<f64>().unwrap();
        let pixels = mask.iter().enumerate().filter(|(_, counts)| **counts);
        let sum: f64 = pixels
            .map(|(at, _)| logits[4 * at + 2] - logits[4 * at])
            .sum();
        sum / mask.iter().filter(|counts| **counts).count() as f64
    };
    let values = image
        .to_nhwc()
        .flatten_all()
        .unwrap()
        .to_vec1::<f64>()
        .unwrap();
    for at in (0..values.len()).step_by(97) {
        let moved = |by: f64| {
            let mut values = values.clone();
            values[at] += by;
            score(&values)
        };
        let expected = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        // The attribution is (C, H, W).
        let found = gradient[at % 3 * 16 * 24 + at / 3];
        assert!(
            (found - expected).abs() < 1e-6 * expected.abs().max(1.),
            "{found} {expected}"
        );
    }
}

// What decides over a region lies around it.
#[test]
fn a_region_is_explained_by_what_is_near() {
    let network = unet();
    let image = image(64, 64);
    let explainer = Explainer::new(network.model()).with_places(vec![Place::Stage(0)]);
    let region = Region::new(0., 0., 0.25, 0.25).unwrap();
    for method in [Method::HiResCam, Method::Gradient] {
        let explanation = explainer.explain(method, &image, &[Target::class(1).within(region)]);
        let map = &explanation.unwrap().maps[0];
        let far = (0..64 * 64).filter(|at| at / 64 >= 48 && at % 64 >= 48);
        assert!(
            far.map(|at| map.values()[at]).all(|value| value == 0.),
            "{method:?}"
        );
        let near = (0..64 * 64).filter(|at| at / 64 < 16 && at % 64 < 16);
        assert!(near.map(|at| map.values()[at]).any(|value| value != 0.));
    }
}

// The mean over an image and its mirror image knows neither left nor right, if the pixels whose
// score it is do not.
#[test]
fn smoothing_mirrors_the_pixels_with_the_image() {
    let network = unet();
    let (height, width) = (16, 24);
    let explained = |image: &FeatureMap, mask: Vec<bool>| {
        let explainer = Explainer::new(network.model()).with_smoothing(Smoothing {
            augment: true,
            eigen: false,
        });
        let target = Target::class(1).over(mask);
        let explanation = explainer.explain(Method::HiResCam, image, &[target]);
        explanation.unwrap().maps[0].values().to_vec()
    };
    let mirrored = |values: &[f64], channels: usize| -> Vec<f64> {
        let rows = values.chunks_exact(width * channels);
        rows.flat_map(|row| row.rchunks_exact(channels).flatten().copied())
            .collect()
    };
    let image = image(height, width);
    let values = image
        .to_nhwc()
        .flatten_all()
        .unwrap()
        .to_vec1::<f64>()
        .unwrap();
    let shape = (1, height, width, 3);
    let flipped = Tensor::from_vec(mirrored(&values, 3), shape, &Device::Cpu).unwrap();
    let flipped = FeatureMap::from_nhwc(&flipped).unwrap();
    let left = (0..height * width).map(|at| at % width < 8).collect();
    let right = (0..height * width)
        .map(|at| at % width >= width - 8)
        .collect();
    let plain = explained(&image, left);
    let other: Vec<f64> = explained(&flipped, right)
        .iter()
        .map(|&value| value.into())
        .collect();
    for (one, other) in plain.iter().zip(mirrored(&other, 1)) {
        assert!((f64::from(*one) - other).abs() < 1e-5, "{one} {other}");
    }
}

#[test]
fn the_checks_of_trust_hold_for_pixels_too() {
    let network = unet();
    let image = image(16, 24);
    let explainer = Explainer::new(network.model());
    let explanation = explainer
        .explain(Method::GradCam, &image, &[Target::PREDICTED])
        .unwrap();
    let checks = TrustChecks::new(&network, 0).unwrap();
    let trust = checks.check(&explainer, &image, &explanation).unwrap();
    assert!((0. ..=1.).contains(&trust.insertion_auc) && (0. ..=1.).contains(&trust.deletion_auc));
    let names: Vec<&str> = trust
        .randomization
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(names.last(), Some(&"all layers"));
}
