//! Networks that find objects, explained by every method.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor};
use cnn_layers::detection::{BoxEdges, iou};
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_models::{DetectionNetwork, ModelConfig, find};
use cnn_viz::{Explainer, Method, Place, Smoothing, Target, TrustChecks};

fn network(name: &str, args: &[(&str, serde_json::Value)]) -> DetectionNetwork {
    let config = ModelConfig {
        num_classes: Some(3),
        ..ModelConfig::default()
    };
    let with = |config: ModelConfig, (name, value): &(&str, serde_json::Value)| {
        config.with_arg(*name, value.clone())
    };
    let config = args.iter().fold(config, with);
    DetectionNetwork::with_dtype(*find(name).unwrap(), &config, 3, DType::F64).unwrap()
}

fn networks() -> [DetectionNetwork; 4] {
    let backbone = ("backbone", "test_resnet".into());
    let narrow = [backbone.clone(), ("fpn_channels", 8.into())];
    let few = [
        &narrow[..],
        &[
            ("box_features", 16.into()),
            ("rpn_post_nms_top_n_test", 20.into()),
        ],
    ];
    [
        network("yolox_nano", &[("width", 0.125.into())]),
        network("ssdlite", &[backbone]),
        network("retinanet_fpn", &narrow),
        network("fasterrcnn_fpn", &few.concat()),
    ]
}

fn image() -> FeatureMap {
    let count = 64 * 96 * 3;
    let values = (0..count).map(|at| 20. * (at as f64 * 0.37).sin());
    let values: Vec<f64> = values.collect();
    let values = Tensor::from_vec(values, (1, 64, 96, 3), &Device::Cpu).unwrap();
    FeatureMap::from_nhwc(&values).unwrap()
}

#[test]
fn every_method_gives_a_map_of_the_images_size() {
    for network in networks() {
        let scorer = network.build(Mode::Inference).unwrap();
        let explainer = Explainer::new(network.model())
            .with_scorer(scorer.as_ref())
            .with_samples(2, 0.1)
            .with_steps(4);
        let mut told = 0;
        for method in Method::ALL {
            let explanation = explainer.explain(method, &image(), &[Target::class(1)]);
            let explanation = explanation.unwrap();
            let map = &explanation.maps[0];
            let name = network.spec().name;
            assert_eq!([map.height(), map.width()], [64, 96], "{name} {method:?}");
            let is_finite = map.values().iter().all(|value| value.is_finite());
            assert!(is_finite, "{name} {method:?}");
            assert!(explanation.scores[0].edges.is_some());
            // Attributions say something anyway; a class activation map of fresh weights may be negative
            // everywhere, of which nothing is left.
            told += usize::from(map.values().iter().any(|value| *value != 0.));
        }
        assert!(told > 8, "{}: {told} of 16", network.spec().name);
    }
}

/// What the network says of the box of a class that is nearest to these edges, by its score and its
/// overlap with them.
fn logit(network: &DetectionNetwork, image: &FeatureMap, class: usize, edges: &BoxEdges) -> f64 {
    let cx = Context::eval();
    let maps = network.model().forward_stages(image, &cx).unwrap();
    let boxes = network.model().forward_from(image, maps, &cx).unwrap();
    let boxes = &boxes[0];
    let logits = boxes.logits.to_vec2::<f64>().unwrap();
    let fit = |row: &usize| iou(boxes.edges(*row, class), edges) * boxes.scores[3 * row + class];
    let best = (0..logits.len()).max_by(|a, b| fit(a).total_cmp(&fit(b)));
    logits[best.unwrap()][class]
}

// Central differences of the score itself, along the image.
#[test]
fn the_gradient_is_that_of_the_objects_score() {
    for network in networks() {
        let name = network.spec().name;
        let image = image();
        let explainer = Explainer::new(network.model());
        let explanation = explainer
            .explain(Method::GradientXInput, &image, &[Target::class(2)])
            .unwrap();
        let slope = explanation.attribution.unwrap().sum_all().unwrap();
        let slope = slope.to_scalar::<f64>().unwrap();
        let edges = explanation.scores[0].edges.unwrap();
        let at = |factor: f64| {
            let changed = FeatureMap::from_nhwc(&(image.to_nhwc() * factor).unwrap()).unwrap();
            logit(&network, &changed, 2, &edges)
        };
        let expected = (at(1. + 1e-4) - at(1. - 1e-4)) / 2e-4;
        assert!(expected != 0., "{name}");
        // The regions of Faster R-CNN's second stage are constants to the gradient, as in training,
        // but move with the image.
        let tolerance = match name {
            "fasterrcnn_fpn" => 0.1,
            _ => 1e-3,
        };
        let difference = (slope - expected).abs();
        assert!(
            difference < tolerance * expected.abs(),
            "{name}: {slope} {expected}"
        );
    }
}

// The mean over an image and its mirror image knows neither left nor right, if the place of the
// object does not.
#[test]
fn smoothing_mirrors_the_object_with_the_image() {
    let [network, ..] = networks();
    let explained = |image: &FeatureMap, edges: BoxEdges| {
        let explainer = Explainer::new(network.model()).with_smoothing(Smoothing {
            augment: true,
            eigen: false,
        });
        let target = Target::class(1).at(edges);
        let explanation = explainer.explain(Method::HiResCam, image, &[target]);
        explanation.unwrap().to_tensor().unwrap()
    };
    let columns: Vec<u32> = (0..96).rev().collect();
    let columns = Tensor::new(columns, &Device::Cpu).unwrap();
    let flipped = image().to_nhwc().index_select(&columns, 2).unwrap();
    let flipped = FeatureMap::from_nhwc(&flipped).unwrap();
    let plain = explained(&image(), [8., 10., 30., 40.]);
    let other = explained(&flipped, [66., 10., 88., 40.]);
    let other = other.index_select(&columns, 2).unwrap();
    let difference = (plain - other).unwrap().abs().unwrap();
    let most = difference.max_all().unwrap().to_scalar::<f32>().unwrap();
    assert!(most < 1e-4, "{most}");
}

#[test]
fn places_and_checks_of_trust_hold_for_objects_too() {
    for network in networks() {
        let image = image();
        let explainer =
            Explainer::new(network.model()).with_places(vec![Place::Stage(0), Place::Last]);
        let explanation = explainer
            .explain(Method::HiResCam, &image, &[Target::PREDICTED])
            .unwrap();
        let checks = TrustChecks::new(&network, 0).unwrap();
        let trust = checks.check(&explainer, &image, &explanation).unwrap();
        let areas = [trust.insertion_auc, trust.deletion_auc];
        assert!(areas.iter().all(|area| (0. ..=1.).contains(area)));
        let last = trust.randomization.last().unwrap();
        assert_eq!(last.0, "all layers");
        assert!(last.1.is_finite());
    }
}

// An object of SSD's first map does not depend on the later ones.
#[test]
fn an_object_is_explained_at_the_deepest_stage_that_it_depends_on() {
    let [_, ssd, ..] = networks();
    let explained = |places: Vec<Place>, target: Target| {
        let explainer = Explainer::new(ssd.model()).with_places(places);
        let explanation = explainer.explain(Method::GradCam, &image(), &[target]);
        let explanation = explanation.unwrap();
        (explanation.scores[0].clone(), explanation.maps[0].clone())
    };
    let mut stages = Vec::new();
    for edges in [[28., 28., 36., 36.], [0., 0., 96., 64.]] {
        let target = Target::class(1).at(edges);
        let (score, last) = explained(vec![Place::Last], target.clone());
        let stage = score.stage.unwrap();
        let (_, own) = explained(vec![Place::Stage(stage)], target);
        assert_eq!(last.values(), own.values());
        stages.push(stage);
    }
    assert_eq!(stages, [0, 2]);
    let small = Target::class(1).at([28., 28., 36., 36.]);
    let (_, later) = explained(vec![Place::Stage(1)], small);
    assert!(later.values().iter().all(|value| *value == 0.));
}
