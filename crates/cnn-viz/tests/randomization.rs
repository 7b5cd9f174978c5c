//! Maps fall apart as layers lose what they learnt.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use cnn_data::{Dataset, PhotoList};
use cnn_layers::{FeatureMap, LayerGroup};
use cnn_viz::{Explainer, Heatmap, Method, Target, randomized, rank_correlation};
use common::{batch, published, shared};

const PHOTOS: usize = 10;

fn maps(network: &cnn_models::Network, images: &FeatureMap, targets: &[Target]) -> Vec<Heatmap> {
    Explainer::new(network.model())
        .explain(Method::GradCam, images, targets)
        .unwrap()
        .maps
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    (values[(values.len() - 1) / 2] + values[values.len() / 2]) / 2.
}

#[test]
fn random_weights_in_the_top_stage_of_mobilenet_change_grad_cam() {
    let (Some(network), Some(folder)) =
        (published("mobilenetv2_100"), shared("data/imagenet_photos"))
    else {
        return;
    };
    let photos = PhotoList::open(&[folder]).unwrap();
    let order = (0..PHOTOS)
        .map(|photo| photo * photos.len() / PHOTOS)
        .collect();
    let images = batch(Arc::new(photos), order, network.preprocessing());
    let explanation = Explainer::new(network.model())
        .explain(Method::GradCam, &images, &[Target::PREDICTED])
        .unwrap();
    let targets: Vec<Target> = (0..PHOTOS)
        .map(|image| explanation.target(image).unwrap())
        .collect();
    let groups = network.model().layer_groups();
    let named = |names: &[&str]| -> Vec<LayerGroup> {
        groups
            .iter()
            .filter(|group| names.contains(&group.name.as_str()))
            .cloned()
            .collect()
    };
    // The backbone's last stage (blocks.5 and blocks.6), what lies between it and the head, both,
    // and that with the head as the checks of trust take it.
    for top in [
        &["stage6", "stage7"][..],
        &["tail"],
        &["stage6", "stage7", "tail"],
        &["tail", "head"],
    ] {
        assert_eq!(named(top).len(), top.len());
        for seed in 0..3 {
            let copy = randomized(&network, &named(top), seed).unwrap();
            let after = maps(&copy, &images, &targets);
            let pairs = explanation.maps.iter().zip(&after);
            let correlations =
                pairs.map(|(before, after)| rank_correlation(before.values(), after.values()));
            let median = median(correlations.collect());
            println!("{top:?} random, seed {seed}: {median:.2}");
            assert!(median < 0.3, "{top:?}, seed {seed}: {median}");
        }
    }
}

#[test]
fn only_what_is_named_becomes_random() {
    let Some(network) = published("resnet20_cifar10") else {
        return;
    };
    let groups = network.model().layer_groups();
    let copy = randomized(&network, &groups[groups.len() - 2..groups.len() - 1], 0).unwrap();
    let bytes = |network: &cnn_models::Network, name: &str| -> Vec<f32> {
        network
            .store()
            .get(name)
            .unwrap()
            .flatten_all()
            .unwrap()
            .to_dtype(candle_core::DType::F32)
            .unwrap()
            .to_vec1()
            .unwrap()
    };
    for name in network.store().names() {
        let changed = bytes(&network, &name) != bytes(&copy, &name);
        // The published file counts no batches, so there is nothing to lose.
        let expected = name.starts_with("layer3.") && !name.ends_with("num_batches_tracked");
        assert_eq!(changed, expected, "{name}");
    }
}
