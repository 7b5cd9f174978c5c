//! Every registered model by every method, on an input that is not square; frozen ones too.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{Device, Result, Tensor};
use cnn_core::Key;
use cnn_layers::{Backbone, Classifier, Context, FeatureMap, LayerGroup, Mode, StageInfo};
use cnn_models::{Kind, ModelConfig, ModelSpec, Network, families, find, models_of};
use cnn_viz::{Explainer, Method, Place, Target, feature_maps};

const CLASSES: usize = 5;

fn network(name: &str, family: &str) -> (Network, [usize; 3]) {
    let (size, channels) = match family {
        "lenet" => ([32, 44], 1),
        "resnet_cifar" => ([32, 44], 3),
        // The last map has several pixels.
        "inception_v3" | "inception_v4" => ([112, 144], 3),
        _ => ([64, 96], 3),
    };
    let input_size = (family == "lenet").then_some(size);
    let config = ModelConfig {
        num_classes: Some(CLASSES),
        input_size,
        ..find(name).unwrap().reduced_config()
    };
    let network = Network::new(name, &config, 1).unwrap();
    let size = [size[0], size[1], channels];
    awaken(&network, size);
    (network, size)
}

/// A fresh network whose weights are small gives the same scores for all images, since its norms
/// have the statistics of no image yet: those of one are given to it.
fn awaken(network: &Network, size: [usize; 3]) {
    let images = images(size);
    let scores = |images: &FeatureMap| -> Vec<f32> {
        let scores = network.model().forward(images, &Context::eval()).unwrap();
        scores.flatten_all().unwrap().to_vec1().unwrap()
    };
    let blank = FeatureMap::from_nhwc(&images.to_nhwc().zeros_like().unwrap()).unwrap();
    let [seen, unseen] = [scores(&images), scores(&blank)];
    let largest = seen
        .iter()
        .fold(0f32, |largest, score| largest.max(score.abs()));
    let moves = seen
        .iter()
        .zip(&unseen)
        .any(|(a, b)| (a - b).abs() > 1e-3 * largest);
    if moves {
        return;
    }
    let training = network.build(Mode::Train).unwrap();
    // Two images: a norm behind the pooling has one value of each.
    let first = images.to_nhwc();
    let second = (&first * 0.5).unwrap();
    let pair = FeatureMap::from_nhwc(&Tensor::cat(&[&first, &second], 0).unwrap()).unwrap();
    for _ in 0..30 {
        training
            .forward(&pair, &Context::train(Key::new(0)))
            .unwrap();
    }
}

/// The classifier of each family that has the fewest parameters.
fn smallest() -> Vec<&'static ModelSpec> {
    let families = families().into_iter();
    let smallest =
        families.filter_map(|(_, members)| members.into_iter().min_by_key(|spec| spec.parameters));
    smallest
        .filter(|spec| spec.kind() == Kind::Classification)
        .collect()
}

fn images([height, width, channels]: [usize; 3]) -> FeatureMap {
    let mut values = vec![0f32; height * width * channels];
    Key::new(7).rng().fill_normal(&mut values, 0., 1.);
    FeatureMap::from_nhwc(
        &Tensor::from_vec(values, (1, height, width, channels), &Device::Cpu).unwrap(),
    )
    .unwrap()
}

fn is_constant(values: &[f32]) -> bool {
    values.iter().all(|value| *value == values[0])
}

#[test]
fn every_method_gives_a_map_of_the_inputs_size() {
    let smallest: Vec<&str> = smallest().iter().map(|spec| spec.name).collect();
    let is_smallest = |spec: &ModelSpec| smallest.contains(&spec.name);
    for spec in models_of(Kind::Classification) {
        let (network, size) = network(spec.name, spec.family);
        let inference = network.build(Mode::Inference).unwrap();
        let images = images(size);
        let explainer = Explainer::new(network.model())
            .with_scorer(inference.as_ref())
            .with_steps(2)
            .with_samples(2, 0.1)
            .with_window([size[0] / 4, size[1] / 3], [size[0] / 8, size[1] / 3]);
        // The methods know nothing of variants: the smallest of each family takes them all.
        let methods = if is_smallest(spec) {
            &Method::ALL[..]
        } else {
            &[Method::GradCam, Method::Gradient]
        };
        for &method in methods {
            // Hundreds of channels at the last map, each a pass through the whole network, would
            // take minutes.
            let place = match method {
                Method::ScoreCam | Method::AblationCam => Place::Stage(0),
                _ => Place::Last,
            };
            let map = |target| {
                let explained =
                    explainer
                        .clone()
                        .with_places(vec![place])
                        .explain(method, &images, &[target]);
                let explanation =
                    explained.unwrap_or_else(|error| panic!("{} {method}: {error}", spec.name));
                let [map] = explanation.maps.try_into().unwrap();
                assert_eq!(
                    [map.height(), map.width()],
                    size[..2],
                    "{} {method}",
                    spec.name
                );
                assert!(
                    map.values().iter().all(|value| value.is_finite()),
                    "{} {method}",
                    spec.name
                );
                map
            };
            // What speaks against a class leaves its map empty; some class of an untrained network
            // has something to show.
            let targets =
                (0..CLASSES).map(|class| Target::class(class).against((class + 1) % CLASSES));
            let mut maps = targets.map(map);
            assert!(
                maps.any(|map| !is_constant(map.values())),
                "{} {method}",
                spec.name
            );
            if method == Method::EigenCam {
                assert_eq!(
                    map(Target::class(0)),
                    map(Target::class(1)),
                    "it knows no class"
                );
            }
        }
    }
}

#[test]
fn every_stage_of_every_family_can_be_read() {
    for spec in smallest() {
        let (network, size) = network(spec.name, spec.family);
        let images = images(size);
        for (index, stage) in network.model().stages().iter().enumerate() {
            let place = Place::find(&stage.module, network.model()).unwrap();
            assert_eq!(
                place,
                Place::find(&format!("stage{index}"), network.model()).unwrap()
            );
            let explainer = Explainer::new(network.model()).with_places(vec![place]);
            let map = &explainer
                .explain(Method::LayerCam, &images, &[Target::class(2)])
                .unwrap()
                .maps[0];
            assert!(
                map.values().iter().all(|value| value.is_finite()),
                "{} {place}",
                spec.name
            );
            let maps = feature_maps(network.model(), &images, &[&format!("stage{index}")]).unwrap();
            assert_eq!(maps[0].dims()[1], stage.channels, "{} {place}", spec.name);
        }
        let message = Place::find("layer9.9", network.model())
            .unwrap_err()
            .to_string();
        assert!(message.contains("expected last, 0 to"), "{message}");
    }
}

#[test]
fn frozen_models_are_explained_as_others() {
    for name in [
        "resnet8_cifar10",
        "mobilenetv2_050",
        "squeezenet1_1",
        "lenet5",
    ] {
        let Ok(spec) = cnn_models::find(name) else {
            continue;
        };
        let (mut network, size) = network(name, spec.family);
        let images = images(size);
        let methods = [Method::GradCam, Method::Gradient, Method::GuidedBackprop];
        let maps = |network: &Network| {
            let explainer = Explainer::new(network.model());
            methods.map(|method| {
                explainer
                    .explain(method, &images, &[Target::class(3)])
                    .unwrap()
                    .maps
            })
        };
        let before = maps(&network);
        network.store().set_trainable(false, |_| true);
        for mode in [Mode::Eval, Mode::Train] {
            network.rebuild(mode).unwrap();
            assert!(maps(&network) == before, "{name} {mode:?}");
        }
    }
}

#[test]
fn a_model_built_for_inference_says_so() {
    let (mut network, size) = network("resnet8_cifar10", "resnet_cifar");
    network.rebuild(Mode::Inference).unwrap();
    let explainer = Explainer::new(network.model());
    for method in [Method::GradCam, Method::SmoothGrad] {
        let error = explainer
            .explain(method, &images(size), &[Target::PREDICTED])
            .unwrap_err();
        assert!(error.to_string().contains("Mode::Eval"), "{error}");
    }
    assert!(
        explainer
            .explain(Method::EigenCam, &images(size), &[Target::PREDICTED])
            .is_ok()
    );
}

#[test]
fn noise_depends_on_the_key_and_batches_on_nothing_else() {
    let (network, size) = network("resnet8_cifar10", "resnet_cifar");
    let one = images(size);
    let two = FeatureMap::from_nhwc(
        &Tensor::cat(&[one.to_nhwc(), one.to_nhwc().neg().unwrap()], 0).unwrap(),
    )
    .unwrap();
    let explainer = Explainer::new(network.model()).with_samples(3, 0.2);
    let map = |explainer: &Explainer<'_>, images, method| {
        explainer
            .explain(method, images, &[Target::class(1)])
            .unwrap()
            .maps
            .remove(0)
    };
    let smooth = map(&explainer, &one, Method::SmoothGrad);
    assert_eq!(smooth, map(&explainer, &one, Method::SmoothGrad));
    assert_ne!(
        smooth,
        map(
            &explainer.clone().with_key(Key::new(1)),
            &one,
            Method::SmoothGrad
        )
    );
    for method in [
        Method::GradCam,
        Method::ScoreCam,
        Method::Occlusion,
        Method::Gradient,
        Method::EigenCam,
    ] {
        let alone = map(&explainer, &one, method);
        let batched = map(&explainer.clone().with_batch_size(3), &two, method);
        let scale = alone
            .values()
            .iter()
            .fold(0f32, |most, value| most.max(value.abs()));
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= 2e-4 * scale;
        assert!(
            alone.values().iter().zip(batched.values()).all(close),
            "{method}"
        );
    }
}

/// A model that remembers the largest batch it was given.
struct Counting<'a> {
    model: &'a dyn Classifier,
    largest: AtomicUsize,
}

impl Counting<'_> {
    fn count(&self, maps: &FeatureMap) {
        self.largest.fetch_max(maps.batch(), Ordering::Relaxed);
    }
}

impl Backbone for Counting<'_> {
    fn layer_groups(&self) -> &[LayerGroup] {
        self.model.layer_groups()
    }

    fn stages(&self) -> &[StageInfo] {
        self.model.stages()
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        self.count(xs);
        self.model.forward_stages(xs, cx)
    }

    fn forward_from(&self, stage: usize, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.count(xs);
        self.model.forward_from(stage, xs, cx)
    }
}

impl Classifier for Counting<'_> {
    fn num_classes(&self) -> usize {
        self.model.num_classes()
    }

    fn num_features(&self) -> usize {
        self.model.num_features()
    }

    fn forward_head(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        self.count(features);
        self.model.forward_head(features, cx)
    }
}

/// It implements no more than the contract demands: explanations work on any network that does.
#[test]
fn methods_of_many_passes_keep_to_the_batch_size_and_tell_their_progress() {
    let (network, size) = network("resnet8_cifar10", "resnet_cifar");
    let model = Counting {
        model: network.model(),
        largest: AtomicUsize::new(0),
    };
    let images = images(size);
    for method in [
        Method::ScoreCam,
        Method::AblationCam,
        Method::Occlusion,
        Method::IntegratedGradients,
    ] {
        model.largest.store(0, Ordering::Relaxed);
        let told = RefCell::new(Vec::new());
        let progress = |done, total| told.borrow_mut().push((done, total));
        let explainer = Explainer::new(&model as &dyn Classifier)
            .with_batch_size(7)
            .with_progress(&progress);
        explainer
            .explain(method, &images, &[Target::class(3)])
            .unwrap();
        assert_eq!(model.largest.load(Ordering::Relaxed), 7, "{method}");
        let told = told.into_inner();
        assert!(
            told.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "{method}: {told:?}"
        );
        assert!(
            told.iter().all(|(done, total)| done <= total),
            "{method}: {told:?}"
        );
        if method != Method::IntegratedGradients {
            assert!(
                told.last().is_some_and(|(done, total)| done == total),
                "{method}: {told:?}"
            );
        }
    }
}
