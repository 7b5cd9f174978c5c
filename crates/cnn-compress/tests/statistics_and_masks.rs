//! Batch-norm statistics measured anew, and single weights that stay zero.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Tensor};
use cnn_compress::{Error, Masks, Scope, recalibrate};
use cnn_core::Key;
use cnn_layers::{BatchNormPolicy, Context, FeatureMap, Mode, Store};
use cnn_models::{ModelConfig, Network, find};

use common::{apart, images, stir};

fn network() -> Network {
    let spec = find("resnet8_cifar10").unwrap();
    let network = Network::with_dtype(*spec, &ModelConfig::default(), 0, DType::F64).unwrap();
    stir(network.store());
    network
}

/// The first `count` images from one on.
fn part(images: &FeatureMap, from: usize, count: usize) -> FeatureMap {
    FeatureMap::from_nhwc(&images.to_nhwc().narrow(0, from, count).unwrap()).unwrap()
}

#[test]
fn statistics_are_those_of_the_images() {
    let network = network();
    let all = images([6, 3, 13, 11]);
    assert_eq!(recalibrate(&network, [Ok(all.clone())]).unwrap(), 7);
    // Of one batch they are those that it is normalised with in training, but for the divisor of
    // the variance.
    let logits = |policy| {
        let cx = Context::eval().with_batch_norm(policy);
        network.model().forward(&all, &cx).unwrap()
    };
    let difference = apart(
        &logits(BatchNormPolicy::Running),
        &logits(BatchNormPolicy::BatchOnly),
    );
    assert!(difference < 0.02, "{difference}");
    let values =
        |store: &Store, name: &str| -> Vec<f64> { store.get(name).unwrap().to_vec1().unwrap() };
    let names = ["bn1.running_mean", "bn1.running_var"];
    let whole = names.map(|name| values(network.store(), name));
    // The first norm reads the same, however the images are cut.
    recalibrate(&network, [Ok(part(&all, 0, 5)), Ok(part(&all, 5, 1))]).unwrap();
    for (name, whole) in names.iter().zip(&whole) {
        for (found, whole) in values(network.store(), name).iter().zip(whole) {
            assert!(
                (found - whole).abs() < 1e-12,
                "{name}: {found}, not {whole}"
            );
        }
    }
    // By the definition.
    let conv = network.store().get("conv1.weight").unwrap();
    let maps = all.to_nchw().unwrap().conv2d(&conv, 1, 1, 1, 1).unwrap();
    let maps = maps.transpose(0, 1).unwrap().flatten_from(1).unwrap();
    let variances: Vec<f64> = maps.var(1).unwrap().to_vec1().unwrap();
    for (found, expected) in whole[1].iter().zip(variances) {
        assert!((found - expected).abs() < 1e-12, "{found}, not {expected}");
    }
}

#[test]
fn without_images_the_statistics_stay() {
    let network = network();
    let before = network
        .store()
        .get("bn1.running_mean")
        .unwrap()
        .copy()
        .unwrap();
    assert_eq!(recalibrate(&network, []).unwrap(), 0);
    // The first batch could be measured, the second one not.
    let one_pixel = images([1, 3, 1, 1]);
    let error = recalibrate(&network, [Ok(images([2, 3, 9, 9])), Ok(one_pixel)]).unwrap_err();
    assert!(error.to_string().contains("expected at least 2"), "{error}");
    let after = network.store().get("bn1.running_mean").unwrap();
    assert_eq!(apart(&after, &before), 0.);
}

#[test]
fn the_smallest_weights_go() {
    let network = network();
    let store = network.store();
    let weights = |store: &Store| -> Vec<Vec<f64>> {
        let weights = store
            .tensors()
            .into_iter()
            .filter(|(_, tensor)| tensor.dims().len() > 1);
        weights
            .map(|(_, tensor)| tensor.flatten_all().unwrap().to_vec1().unwrap())
            .collect()
    };
    let whole = weights(store);
    for scope in [Scope::Global, Scope::PerGroup] {
        let masks = Masks::by_magnitude(store, 0.6, scope).unwrap();
        let network = self::network();
        masks.apply(network.store()).unwrap();
        let masked = weights(network.store());
        let mut largest_gone = 0f64;
        let mut least_left = f64::INFINITY;
        for (whole, masked) in whole.iter().zip(&masked) {
            if scope == Scope::PerGroup {
                (largest_gone, least_left) = (0., f64::INFINITY);
            }
            for (&whole, &masked) in whole.iter().zip(masked) {
                match masked {
                    0. => largest_gone = largest_gone.max(whole.abs()),
                    _ => least_left = least_left.min(whole.abs()),
                }
            }
            assert!(scope == Scope::Global || largest_gone <= least_left);
        }
        assert!(largest_gone <= least_left);
        assert!((masks.zeros() - 0.6).abs() < 1e-3, "{}", masks.zeros());
    }
    let error = Masks::by_magnitude(store, 1.2, Scope::Global).unwrap_err();
    assert!(matches!(error, Error::Share { .. }), "{error}");
}

mod training {
    use super::*;
    use cnn_compress::MaskedStep;
    use cnn_layers::Classifier;
    use cnn_train::{
        Epoch, Error as TrainError, Evaluation, GradientStep, Losses, OptimizerConfig, Task,
        TaskBatches, TrainConfig, Trainer,
    };

    /// Brings all logits to 1.
    struct Ones {
        model: Box<dyn Classifier>,
        images: FeatureMap,
    }

    impl Task for Ones {
        type Batch = FeatureMap;

        fn batches_per_epoch(&self) -> usize {
            2
        }

        fn batches<'a>(&'a self, epoch: &Epoch) -> Result<TaskBatches<'a, FeatureMap>, TrainError> {
            let batch = || Ok(self.images.clone());
            Ok(Box::new(
                std::iter::repeat_with(batch).take(2).skip(epoch.start),
            ))
        }

        fn samples(&self, batch: &FeatureMap) -> usize {
            batch.batch()
        }

        fn loss(&self, batch: &FeatureMap, cx: &Context<'_>) -> Result<Losses, TrainError> {
            let apart = (self.model.forward(batch, cx)? - 1.)?;
            Ok(Losses::new(apart.sqr()?.mean_all()?))
        }

        fn evaluate(&self) -> Result<Evaluation, TrainError> {
            Ok(Evaluation {
                score: 0.,
                metrics: Vec::new(),
            })
        }
    }

    #[test]
    fn masked_weights_stay_zero_and_the_others_learn() {
        let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0).unwrap();
        let masks = Masks::by_magnitude(network.store(), 0.7, Scope::Global).unwrap();
        let mut values = vec![0f32; 2 * 13 * 11 * 3];
        Key::new(7).rng().fill_uniform(&mut values, -1., 1.);
        let images = Tensor::from_vec(values, (2, 13, 11, 3), &Device::Cpu).unwrap();
        let task = Ones {
            model: network.build(Mode::Train).unwrap(),
            images: FeatureMap::from_nhwc(&images).unwrap(),
        };
        let zeros = |store: &Store| -> Vec<Vec<bool>> {
            let weight = |(_, tensor): (String, Tensor)| -> Vec<bool> {
                let values: Vec<f32> = tensor.flatten_all().unwrap().to_vec1().unwrap();
                values.into_iter().map(|value| value == 0.).collect()
            };
            let tensors = store.tensors().into_iter();
            tensors
                .filter(|(_, tensor)| tensor.dims().len() > 1)
                .map(weight)
                .collect()
        };
        let mut step = MaskedStep::new(GradientStep::default(), masks, network.store()).unwrap();
        let before = zeros(network.store());
        let first = network.store().get("conv1.weight").unwrap().copy().unwrap();
        let config = TrainConfig {
            // Its momentum would move weights without a gradient.
            optimizer: OptimizerConfig::Sgd {
                momentum: 0.9,
                nesterov: false,
            },
            ..TrainConfig::new(2)
        };
        let directory = tempfile::tempdir().unwrap();
        Trainer::new(config, network.store(), directory.path())
            .run(&task, &mut step)
            .unwrap();
        assert!(zeros(network.store()) == before);
        let count: usize = before.iter().flatten().filter(|&&zero| zero).count();
        assert!(count > 50_000, "{count}");
        let moved = (network.store().get("conv1.weight").unwrap() - first).unwrap();
        assert!(
            moved
                .abs()
                .unwrap()
                .sum_all()
                .unwrap()
                .to_scalar::<f32>()
                .unwrap()
                > 0.
        );
    }
}
