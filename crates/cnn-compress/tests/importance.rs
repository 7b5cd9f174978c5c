//! How much units matter, against Torch-Pruning and PyTorch.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::Path;

use candle_core::DType;
use cnn_compress::{
    ActivationScores, Criterion, Error, Groups, Importance, Needs, Normalization, Reduction,
    TaylorScores,
};
use cnn_kernels::backward;
use cnn_layers::{Context, Mode, Store};
use cnn_weights::TensorFile;

use common::formula::formula;
use common::small::{Small, input};

/// Torch-Pruning adds up in f32.
const LIMIT: f64 = 2e-6;

fn of_layer(groups: &Groups, importance: &Importance, layer: &str) -> Vec<f64> {
    let units = groups.units_along(&format!("{layer}.weight"), 0).unwrap();
    let score = |unit: &Option<usize>| importance.scores()[unit.unwrap()];
    units.iter().map(score).collect()
}

fn taylor(store: &Store, groups: &Groups) -> Importance {
    let small = Small::new(store, Mode::Train);
    let mut scores = TaylorScores::new(groups);
    for batch in 0..2 {
        let images = input(&format!("input.{batch}"));
        let logits = small.forward(&images, &Context::eval()).unwrap();
        let upstream = formula("upstream", &[2, 4], DType::F64);
        let loss = (logits * upstream).unwrap().sum_all().unwrap();
        scores.add(store, &backward(&loss).unwrap()).unwrap();
    }
    scores.scores().importance(groups)
}

#[test]
fn importances_equal_torch_prunings_and_the_papers() {
    let (store, groups) = Small::of_formula();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/importance.safetensors");
    let golden = TensorFile::open(&path).unwrap();
    let small = Small::new(&store, Mode::Eval);
    let logits = small.forward(&input("input.1"), &Context::eval()).unwrap();
    let logits: Vec<f64> = logits.flatten_all().unwrap().to_vec1().unwrap();
    let expected: Vec<f64> = golden.tensor("logits").unwrap().to_vec1().unwrap();
    for (found, expected) in logits.iter().zip(&expected) {
        assert!(
            (found - expected).abs() < 1e-12,
            "logits: {found}, expected {expected}"
        );
    }
    let l2 = Criterion::L2.scores(&groups, &store).unwrap();
    let of_weights = |criterion: Criterion| {
        criterion
            .scores(&groups, &store)
            .unwrap()
            .importance(&groups)
    };
    let found = [
        ("l1", of_weights(Criterion::L1)),
        ("l2", of_weights(Criterion::L2)),
        ("lamp", of_weights(Criterion::Lamp)),
        ("norm_scale", of_weights(Criterion::NormScale)),
        ("fpgm", of_weights(Criterion::Fpgm)),
        ("taylor", taylor(&store, &groups)),
        (
            "sum",
            l2.with_reduction(Reduction::Sum)
                .with_normalization(Normalization::Max)
                .importance(&groups),
        ),
    ];
    let mut compared = 0;
    for name in golden.names() {
        let Some((criterion, layer)) = name.split_once('.') else {
            continue;
        };
        let expected: Vec<f64> = golden.tensor(name).unwrap().to_vec1().unwrap();
        let importance = &found.iter().find(|(name, _)| *name == criterion).unwrap().1;
        let found = of_layer(&groups, importance, layer);
        for (found, expected) in found.iter().zip(&expected) {
            let difference = (found - expected).abs();
            assert!(difference < LIMIT, "{name}: {found}, expected {expected}");
        }
        compared += expected.len();
    }
    assert_eq!(compared, 6 * 55 + 28);
}

#[test]
fn what_a_criterion_does_not_see_goes_last() {
    let (store, groups) = Small::of_formula();
    let scales = Criterion::NormScale.scores(&groups, &store).unwrap();
    let importance = scales.importance(&groups);
    let of_layer = |layer| of_layer(&groups, &importance, layer);
    assert!(of_layer("conv1").iter().all(|score| score.is_finite()));
    assert!(of_layer("conv4").iter().all(|score| score.is_infinite()));
}

#[test]
fn random_numbers_depend_on_the_seed_alone() {
    let (store, groups) = Small::of_formula();
    let drawn = |seed| {
        let scores = Criterion::Random { seed }.scores(&groups, &store).unwrap();
        scores.importance(&groups).scores().to_vec()
    };
    assert_eq!(drawn(1), drawn(1));
    let (one, other) = (drawn(1), drawn(2));
    assert!(one.iter().zip(&other).all(|(one, other)| one != other));
    let mean = one.iter().sum::<f64>() / one.len() as f64;
    assert!((0.3..0.7).contains(&mean), "{mean}");
}

#[test]
fn activations_are_those_that_readers_see() {
    let (store, groups) = Small::of_formula();
    let small = Small::new(&store, Mode::Eval);
    let activation = ActivationScores::new(&groups);
    let cx = Context::eval().with_observer(&activation);
    for batch in ["input.0", "input.1"] {
        small.forward(&input(batch), &cx).unwrap();
    }
    let scores = activation.scores().with_normalization(Normalization::None);
    let found = of_layer(&groups, &scores.importance(&groups), "conv2");
    // By the interpreter: what `conv3` reads.
    let graph = small.graph();
    let mut sums = vec![0.; 12];
    for batch in ["input.0", "input.1"] {
        let images = input(batch);
        let mut read = None;
        graph
            .interpret(cnn_graph::OwnedValue::Maps(images), |node, inputs| {
                if node.path == "conv3" {
                    read = Some(inputs[0].to_tensor().unwrap());
                }
                node.compute(inputs, &|name| store.get(name))
            })
            .unwrap();
        let means = read.unwrap().abs().unwrap().mean((0, 2, 3)).unwrap();
        let means: Vec<f64> = means.to_vec1().unwrap();
        for (sum, mean) in sums.iter_mut().zip(means) {
            *sum += mean / 2.;
        }
    }
    for (found, expected) in found.iter().zip(&sums) {
        assert!(
            (found - expected).abs() < 1e-12,
            "{found}, expected {expected}"
        );
    }
}

#[test]
fn criteria_say_what_they_need() {
    let (store, groups) = Small::of_formula();
    for criterion in Criterion::ALL {
        let scores = criterion.scores(&groups, &store);
        match criterion.needs() {
            Needs::Weights => drop(scores.unwrap()),
            Needs::Images | Needs::Gradients => {
                let error = scores.unwrap_err();
                assert!(matches!(error, Error::NeedsMore { .. }), "{error}");
                assert!(error.to_string().contains(criterion.name()), "{error}");
            }
        }
    }
}
