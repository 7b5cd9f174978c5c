//! Features as points of a plane, against scikit-learn: `tools/goldens/projections.py` makes the
//! numbers, and the features by the same formula.
#![allow(clippy::unwrap_used, clippy::panic)]

use cnn_core::Key;
use cnn_viz::{Error, MOST_TSNE_POINTS, Tsne, TsneConfig, principal_components, tsne};
use serde_json::Value;

#[path = "../../cnn-metrics/tests/formula/mod.rs"]
mod formula;

use formula::uniform;

const GOLDEN: &str = include_str!("golden/projections.json");
const CLUSTERS: usize = 4;
const PER_CLUSTER: usize = 30;
const COLUMNS: usize = 12;

fn golden() -> Value {
    serde_json::from_str(GOLDEN).unwrap()
}

fn drawn(name: &str, count: usize) -> Vec<f64> {
    uniform(name, count)
        .into_iter()
        .map(|u| 2. * u - 1.)
        .collect()
}

/// Four groups around corners, which overlap a little.
fn clusters() -> Vec<f32> {
    let corners = drawn("projection.corners", CLUSTERS * COLUMNS);
    let spread = drawn("projection.spread", CLUSTERS * PER_CLUSTER * COLUMNS);
    let value = |(at, spread): (usize, &f64)| {
        let cluster = at / (PER_CLUSTER * COLUMNS);
        (1.5 * corners[cluster * COLUMNS + at % COLUMNS] + spread) as f32
    };
    spread.iter().enumerate().map(value).collect()
}

fn with(perplexity: f64) -> TsneConfig {
    TsneConfig {
        perplexity,
        ..TsneConfig::default()
    }
}

fn found(perplexity: f64, seed: u64) -> Tsne {
    tsne(&clusters(), COLUMNS, &with(perplexity), Key::new(seed)).unwrap()
}

#[test]
fn principal_components_are_those_of_scikit_learn() {
    let golden = golden();
    let found = principal_components(&clusters(), COLUMNS).unwrap();
    let expected = golden["points"].as_array().unwrap();
    assert_eq!(found.points.len(), expected.len());
    for (found, expected) in found.points.iter().zip(expected) {
        for axis in 0..2 {
            let far = (found[axis] - expected[axis].as_f64().unwrap()).abs();
            assert!(far < 1e-9, "{found:?} and {expected}");
        }
    }
    for axis in 0..2 {
        let expected = golden["explained"][axis].as_f64().unwrap();
        assert!((found.explained[axis] - expected).abs() < 1e-12);
    }
}

#[test]
fn many_columns_are_projected_as_few_that_say_the_same() {
    // Each feature 100 times over: coordinates are ten times as large.
    let few = clusters();
    let repeat = |row: &[f32]| row.iter().flat_map(|&x| [x; 100]).collect::<Vec<f32>>();
    let many: Vec<f32> = few.chunks_exact(COLUMNS).flat_map(repeat).collect();
    let [few, many] = [(few, COLUMNS), (many, 100 * COLUMNS)]
        .map(|(features, columns)| principal_components(&features, columns).unwrap().points);
    for (few, many) in few.iter().zip(&many) {
        for axis in 0..2 {
            assert!((10. * few[axis] - many[axis]).abs() < 1e-9);
        }
    }
}

#[test]
fn nothing_that_varies_is_one_point() {
    let found = principal_components(&[3.; 8], 4).unwrap();
    assert_eq!(found.points, [[0.; 2]; 2]);
    assert_eq!(found.explained, [0.; 2]);
}

#[test]
fn tsne_ends_where_scikit_learn_does() {
    let golden = golden();
    for perplexity in [5., 20., 30.] {
        let expected = golden["divergences"][perplexity.to_string()]
            .as_f64()
            .unwrap();
        // Either side's ends lie a few percent apart by where it starts.
        let ends = [0, 1, 2].map(|seed| found(perplexity, seed).divergence);
        let found = ends.iter().sum::<f64>() / 3.;
        let far = (found / expected - 1.).abs();
        assert!(far < 0.025, "{perplexity}: {ends:?} and {expected}");
    }
}

#[test]
fn neighbours_are_of_the_same_group() {
    let points = found(15., 1).points;
    let distance = |a: &[f64; 2], b: &[f64; 2]| (a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2);
    let is_right = |&at: &usize| {
        let others = (0..points.len()).filter(|&other| other != at);
        let nearest = others.min_by(|&a, &b| {
            distance(&points[a], &points[at]).total_cmp(&distance(&points[b], &points[at]))
        });
        nearest.unwrap() / PER_CLUSTER == at / PER_CLUSTER
    };
    let right = (0..points.len()).filter(is_right).count();
    assert!(right >= 114, "{right} of 120");
}

#[test]
fn the_picture_is_the_same_at_any_number_of_threads() {
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| found(10., 3))
    };
    assert_eq!(on(1), on(3));
    assert_ne!(on(1).points, found(10., 4).points);
}

#[test]
fn rows_that_are_the_same_lie_together() {
    let mut features = clusters();
    let (first, rest) = features.split_at_mut(COLUMNS);
    rest.chunks_exact_mut(COLUMNS)
        .take(8)
        .for_each(|row| row.copy_from_slice(first));
    let all_same = tsne(&[1.; 20], 2, &with(2.), Key::new(0)).unwrap();
    assert!(all_same.points.iter().flatten().all(|x| x.is_finite()));
    let points = tsne(&features, COLUMNS, &with(5.), Key::new(0))
        .unwrap()
        .points;
    assert!(points.iter().flatten().all(|x| x.is_finite()));
    let largest = points
        .iter()
        .flatten()
        .fold(0., |most: f64, x| most.max(x.abs()));
    let spread = points[..9]
        .iter()
        .map(|p| (p[0] - points[0][0]).hypot(p[1] - points[0][1]));
    assert!(spread.fold(0., f64::max) < 0.2 * largest);
}

#[test]
fn what_does_not_fit_is_a_named_error() {
    let features = clusters();
    let config = TsneConfig::default();
    let with_config =
        |config: &TsneConfig| tsne(&features, COLUMNS, config, Key::new(0)).map(|_| ());
    let of = |features: &[f32], columns| tsne(features, columns, &config, Key::new(0)).map(|_| ());
    let cases: [(&str, Result<(), Error>); 10] = [
        ("columns", principal_components(&features, 0).map(|_| ())),
        ("columns", principal_components(&features, 7).map(|_| ())),
        (
            "features",
            principal_components(&[0., f32::NAN], 1).map(|_| ()),
        ),
        ("features", principal_components(&[0., 1.], 2).map(|_| ())),
        ("features", of(&[0.; 3], 1)),
        ("features", of(&vec![0.; MOST_TSNE_POINTS + 1], 1)),
        ("perplexity", with_config(&with(119.))),
        ("steps", with_config(&TsneConfig { steps: 0, ..config })),
        (
            "exaggeration",
            with_config(&TsneConfig {
                exaggeration: 0.5,
                ..config
            }),
        ),
        (
            "learning_rate",
            with_config(&TsneConfig {
                learning_rate: Some(0.),
                ..config
            }),
        ),
    ];
    for (name, result) in cases {
        let message = result.unwrap_err().to_string();
        assert!(
            message.starts_with(&format!("`{name}`")),
            "{name}: {message}"
        );
    }
}
