//! The reversed gradient against central differences, how it grows over a run, and the
//! discriminator behind it.
#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Device, Tensor, Var};
use cnn_core::Key;
use cnn_layers::{Context, LinearConfig, Mode, Store, backward};
use cnn_transfer::adapt::losses::domain_adversarial;
use cnn_transfer::adapt::{DomainDiscriminatorConfig, Domains, WarmStart, reverse_gradient};

#[path = "../../cnn-models/tests/common/formula.rs"]
mod formula;

use formula::formula;

/// Half the distance of the two points of a central difference.
const STEP: f64 = 1e-5;
/// Largest `‖gradient + λ differences‖ / ‖λ differences‖`, as in the kernels' suite.
const TOLERANCE: f64 = 1e-6;

type Function<'a> = &'a dyn Fn(&Tensor) -> Tensor;

fn features(name: &str) -> Tensor {
    formula(name, &[6, 4], DType::F64)
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|x| x * x).sum::<f64>().sqrt()
}

/// The slopes of a scalar function, element by element.
fn differences(at: &Tensor, function: Function<'_>) -> Vec<f64> {
    let xs = flat(at);
    let value = |element: usize, step: f64| {
        let mut moved = xs.clone();
        moved[element] += step;
        let moved = Tensor::from_vec(moved, at.dims(), &Device::Cpu).unwrap();
        function(&moved).to_scalar::<f64>().unwrap()
    };
    let slope = |element| (value(element, STEP) - value(element, -STEP)) / (2. * STEP);
    (0..xs.len()).map(slope).collect()
}

/// Of six logits of the source, and six of the target behind them.
fn loss_of_both(logits: &Tensor) -> Tensor {
    let halves = Domains {
        source: &logits.narrow(0, 0, 6).unwrap(),
        target: &logits.narrow(0, 6, 6).unwrap(),
    };
    domain_adversarial(halves, None).unwrap()
}

/// Holds the gradient behind a reversal against −λ times the slopes of what is behind it.
fn check(name: &str, at: &Tensor, function: Function<'_>) {
    let slopes = differences(at, function);
    assert!(norm(slopes.iter().copied()) > 1e-3, "{name}");
    for lambda in [1., 0.25, 3., 0., -0.5] {
        let var = Var::from_tensor(at).unwrap();
        let reversed = reverse_gradient(&var, lambda).unwrap();
        assert_eq!(flat(&reversed), flat(at), "{name}");
        let gradients = backward(&function(&reversed)).unwrap();
        let found = flat(gradients.get(&var).unwrap());
        let expected = slopes.iter().map(|slope| -lambda * slope);
        let far = norm(found.iter().zip(expected.clone()).map(|(a, b)| a - b));
        let scale = norm(expected);
        assert!(
            far <= TOLERANCE * scale,
            "{name}, λ {lambda}: {far:e} of {scale:e}"
        );
    }
}

#[test]
fn the_gradient_is_minus_lambda_times_the_differences() {
    let at = features("features.source");
    check("a polynomial", &at, &|xs| {
        let upstream = formula("probe.map", xs.dims(), DType::F64);
        let cubes = (xs.powf(3.).unwrap() + xs).unwrap();
        (cubes * upstream).unwrap().sum_all().unwrap()
    });
    check("a part that is turned", &at, &|xs| {
        let part = xs.t().unwrap().narrow(0, 1, 2).unwrap();
        part.exp().unwrap().mean_all().unwrap()
    });

    let store = Store::with_dtype(3, DType::F64, &Device::Cpu);
    let root = store.builder(Mode::Train);
    let discriminator = DomainDiscriminatorConfig::new(4, 7).build(&root).unwrap();
    let target = features("features.target");
    check("a discriminator", &at, &|xs| {
        let both = Domains {
            source: xs,
            target: &target,
        };
        let cx = Context::train(Key::new(0));
        let logits = discriminator.forward(&both.joined().unwrap(), &cx).unwrap();
        loss_of_both(&logits)
    });
}

#[test]
fn what_is_no_contiguous_part_is_reversed_too() {
    let var = Var::from_tensor(&features("features.source")).unwrap();
    let part = var.t().unwrap().narrow(1, 2, 3).unwrap();
    let reversed = reverse_gradient(&part, 2.).unwrap();
    assert_eq!(
        reversed.to_vec2::<f64>().unwrap(),
        part.to_vec2::<f64>().unwrap()
    );
    let found = backward(&reversed.sum_all().unwrap()).unwrap();
    let found = found.get(&var).unwrap().to_vec2::<f64>().unwrap();
    for (row, values) in found.iter().enumerate() {
        let expected = if (2..5).contains(&row) { -2. } else { 0. };
        assert_eq!(values, &[expected; 4], "row {row}");
    }
}

/// A training step's graph: a linear layer and a discriminator between the loss and the features.
#[test]
fn a_reversed_gradient_moves_features_against_the_discriminator() {
    let store = Store::with_dtype(1, DType::F64, &Device::Cpu);
    let root = store.builder(Mode::Train);
    let before = LinearConfig::new(4, 5).build(&root.pp("before")).unwrap();
    let discriminator = DomainDiscriminatorConfig::new(5, 7)
        .build(&root.pp("discriminator"))
        .unwrap();
    let [source, target] = ["features.source", "features.target"].map(features);
    let both = Domains {
        source: &source,
        target: &target,
    };
    let gradients = |lambda: Option<f64>| {
        let cx = Context::train(Key::new(0));
        let features = before.forward(&both.joined().unwrap(), &cx).unwrap();
        let reversed = match lambda {
            Some(lambda) => reverse_gradient(&features, lambda).unwrap(),
            None => features,
        };
        let logits = discriminator.forward(&reversed, &cx).unwrap();
        let found = backward(&loss_of_both(&logits)).unwrap();
        let gradient = |(name, var): (String, Var)| (name, flat(found.get(&var).unwrap()));
        store
            .trainable()
            .into_iter()
            .map(gradient)
            .collect::<Vec<_>>()
    };
    let plain = gradients(None);
    let reversed = gradients(Some(0.25));
    assert_eq!(plain.len(), 2 + 10);
    for ((name, plain), (_, reversed)) in plain.iter().zip(&reversed) {
        let factor = if name.starts_with("before") {
            -0.25
        } else {
            1.
        };
        let pairs = plain.iter().zip(reversed);
        let far = norm(pairs.map(|(plain, reversed)| plain * factor - reversed));
        assert!(far < 1e-12, "{name}: {far:e}");
        // The bias before a norm has no effect.
        let is_free = [
            "before.bias",
            "discriminator.0.bias",
            "discriminator.3.bias",
        ]
        .contains(&name.as_str());
        assert!(is_free || plain.iter().any(|x| x.abs() > 1e-6), "{name}");
    }
}

#[test]
fn a_warm_start_is_that_of_the_library() {
    // 2 (hi − lo) / (1 + exp(−α i / N)) − (hi − lo) + lo
    let warm_start = WarmStart {
        alpha: 3.,
        low: 0.1,
        high: 0.9,
        iterations: 40,
    };
    for iteration in [0, 1, 20, 40, 4000] {
        let progress = iteration as f64 / 40.;
        let expected = 2. * 0.8 / (1. + (-3. * progress).exp()) - 0.8 + 0.1;
        assert!((warm_start.lambda(iteration).unwrap() - expected).abs() < 1e-15);
    }
    for wrong in [
        WarmStart {
            iterations: 0,
            ..warm_start
        },
        WarmStart {
            alpha: 0.,
            ..warm_start
        },
        WarmStart {
            high: 0.,
            ..warm_start
        },
        WarmStart {
            low: f64::NAN,
            ..warm_start
        },
    ] {
        assert!(wrong.lambda(1).is_err(), "{wrong:?}");
    }
}

#[test]
fn layers_are_called_as_in_the_library() {
    let names = |build: &dyn Fn(&cnn_layers::Builder)| {
        let store = Store::new(0);
        build(&store.builder(Mode::Train));
        let parameters = store.trainable().into_iter().map(|(name, _)| name);
        parameters.collect::<Vec<_>>().join(" ")
    };
    let config = DomainDiscriminatorConfig::new(4, 5);
    assert_eq!(
        names(&|root| drop(config.build(root).unwrap())),
        "0.weight 0.bias 1.weight 1.bias 3.weight 3.bias 4.weight 4.bias 6.0.weight 6.0.bias"
    );
    assert_eq!(
        names(&|root| drop(config.without_batch_norm().build(root).unwrap())),
        "0.weight 0.bias 3.weight 3.bias 6.0.weight 6.0.bias"
    );
    let store = Store::new(0);
    let _ = config.build(&store.builder(Mode::Train)).unwrap();
    assert_eq!(store.get("3.weight").unwrap().dims(), [5, 5]);
    assert_eq!(store.get("6.0.weight").unwrap().dims(), [1, 5]);
}
