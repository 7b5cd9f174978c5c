//! Measures without labels against numpy and scikit-learn: `tools/goldens/unlabelled.py` makes the
//! numbers, and the logits and features by the same formula.
#![allow(clippy::unwrap_used, clippy::panic)]

use cnn_metrics::{
    ADistance, DomainClassifier, DomainClassifierConfig, DomainFeatures, SND_TEMPERATURE,
    a_distance, batch_nuclear_norm, deep_embedded_validation, information_maximization,
    largest_eigenpairs, mean_entropy, singular_values, soft_neighborhood_density,
};
use serde_json::Value;

mod formula;

use formula::uniform;

const GOLDEN: &str = include_str!("golden/unlabelled.json");
const CLASSES: usize = 5;
const SAMPLES: usize = 40;
const COLUMNS: usize = 6;

fn golden() -> Value {
    serde_json::from_str(GOLDEN).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|number| number.as_f64().unwrap()).collect()
}

fn drawn(name: &str, count: usize) -> Vec<f32> {
    let values = uniform(name, count).into_iter();
    values.map(|u| (2.0 * u - 1.0) as f32).collect()
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

fn logits() -> Vec<f32> {
    let values = drawn("unlabelled.logits", SAMPLES * CLASSES).into_iter();
    values.map(|x| x * 12.0).collect()
}

fn features(name: &str, rows: usize) -> Vec<f32> {
    let mut values = drawn(name, rows * COLUMNS);
    for row in values.chunks_exact_mut(COLUMNS) {
        if name == "unlabelled.source" {
            row[0] += 1.25;
        }
        row[1] = 0.1;
        row[2] += 50.0;
    }
    values
}

#[track_caller]
fn close(found: f64, expected: &Value, tolerance: f64) {
    let expected = expected.as_f64().unwrap();
    let far = (found - expected).abs();
    assert!(
        far <= tolerance * expected.abs().max(1.0),
        "{found} and {expected}"
    );
}

#[test]
fn measures_are_those_of_numpy() {
    let golden = golden();
    let logits = logits();
    let density = |t| soft_neighborhood_density(&logits, CLASSES, t).unwrap();
    for (name, found) in [
        ("mean_entropy", mean_entropy(&logits, CLASSES).unwrap()),
        (
            "information_maximization",
            information_maximization(&logits, CLASSES).unwrap(),
        ),
        (
            "batch_nuclear_norm",
            batch_nuclear_norm(&logits, CLASSES).unwrap(),
        ),
        ("soft_neighborhood_density", density(SND_TEMPERATURE)),
        ("soft_neighborhood_density 0.5", density(0.5)),
    ] {
        close(found, &golden[name], 1e-12);
    }
    let scaled = |name, scale| {
        uniform(name, 50)
            .into_iter()
            .map(|u| u * scale)
            .collect::<Vec<f64>>()
    };
    let [losses, ratios] = [
        scaled("unlabelled.losses", 3.0),
        scaled("unlabelled.ratios", 2.0),
    ];
    let risk = deep_embedded_validation(&losses, &ratios).unwrap();
    close(risk, &golden["deep_embedded_validation"], 1e-12);
}

#[test]
fn the_risk_of_equal_ratios_is_the_weighted_mean() {
    assert_eq!(deep_embedded_validation(&[1.0, 3.0], &[1.0, 1.0]), Ok(2.0));
}

#[test]
fn the_classifier_is_that_of_scikit_learn() {
    let [source, target] = [
        features("unlabelled.source", 31),
        features("unlabelled.target", 24),
    ];
    let both = DomainFeatures {
        source: &source,
        target: &target,
        columns: COLUMNS,
    };
    for expected in golden()["classifiers"].as_array().unwrap() {
        let penalty = expected["penalty"].as_f64().unwrap();
        let classifier = DomainClassifier::fit(both, &DomainClassifierConfig { penalty }).unwrap();
        let of_target = classifier.source_probabilities(&target).unwrap();
        let ratios = classifier.density_ratios(&source).unwrap();
        for (found, expected) in [
            (of_target, &expected["target"]),
            (ratios, &expected["ratios"]),
        ] {
            let expected = numbers(expected);
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(expected) {
                assert!(
                    (found - expected).abs() < 1e-8,
                    "{penalty}: {found} and {expected}"
                );
            }
        }
    }
    let found = a_distance(both, &DomainClassifierConfig::default()).unwrap();
    let expected = &golden()["a_distance"];
    close(found.error, &expected["error"], 1e-12);
    close(found.distance, &expected["distance"], 1e-12);
}

#[test]
fn domains_that_a_plane_divides_have_distance_two() {
    let rows = |shift: f32| -> Vec<f32> {
        let values = drawn("unlabelled.apart", 2000 * 3);
        values
            .chunks_exact(3)
            .flat_map(|row| [row[0] + shift, row[1], row[2]])
            .collect()
    };
    let [source, target] = [rows(0.0), rows(5.0)];
    let both = DomainFeatures {
        source: &source,
        target: &target,
        columns: 3,
    };
    // The smaller the penalty, the longer the weights of a problem without a minimum of its own.
    for penalty in [1e-9, 1e-3, 1.0] {
        let found = a_distance(both, &DomainClassifierConfig { penalty }).unwrap();
        let expected = ADistance {
            distance: 2.0,
            error: 0.0,
        };
        assert_eq!(found, expected);
    }
}

#[test]
fn singular_values_are_those_of_lapack() {
    let matrix = wide(&drawn("unlabelled.matrix", 7 * 12));
    let expected = numbers(&golden()["singular_values"]);
    let transposed: Vec<f64> = (0..7 * 12).map(|at| matrix[at % 7 * 12 + at / 7]).collect();
    for found in [
        singular_values(&matrix, 12),
        singular_values(&transposed, 7),
    ] {
        let found = found.unwrap();
        assert_eq!(found.len(), 7);
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-13, "{found} and {expected}");
        }
    }
    // Columns of very different sizes keep the digits of the small ones.
    let found = singular_values(&[1e150, 0.0, 0.0, 1e-150], 2).unwrap();
    assert_eq!(found, [1e150, 1e-150]);
    assert!(singular_values(&[], 3).unwrap().is_empty());
}

#[test]
fn eigenvectors_are_found_from_products_alone() {
    const SIZE: usize = 300;
    let mut rows = wide(&drawn("unlabelled.large", SIZE * SIZE));
    for row in rows.chunks_exact_mut(SIZE) {
        let columns = row.iter_mut().enumerate();
        columns.for_each(|(at, x)| *x *= (-(at as f64) / 60.0).exp());
    }
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let product = |xs: &[f64]| {
        let mut image = vec![0.0; SIZE];
        for row in rows.chunks_exact(SIZE) {
            let share = dot(row, xs);
            image
                .iter_mut()
                .zip(row)
                .for_each(|(sum, x)| *sum += share * x);
        }
        image
    };
    let pairs = largest_eigenpairs(SIZE, 5, product).unwrap();
    let expected = numbers(&golden()["eigenvalues"]);
    for (at, (pair, expected)) in pairs.iter().zip(&expected).enumerate() {
        assert!(
            (pair.value / expected - 1.0).abs() < 1e-12,
            "{} and {expected}",
            pair.value
        );
        let image = product(&pair.vector);
        let residual = image
            .iter()
            .zip(&pair.vector)
            .map(|(a, v)| (a - pair.value * v).abs());
        assert!(residual.fold(0.0, f64::max) < 1e-12 * expected);
        for other in &pairs[..at] {
            assert!(dot(&pair.vector, &other.vector).abs() < 1e-12);
        }
        assert!((dot(&pair.vector, &pair.vector) - 1.0).abs() < 1e-12);
    }
}

#[test]
fn equal_eigenvalues_and_empty_directions_are_found() {
    // The identity on three of five axes.
    let product = |xs: &[f64]| vec![xs[0], xs[1], xs[2], 0.0, 0.0];
    let pairs = largest_eigenpairs(5, 4, product).unwrap();
    let values: Vec<f64> = pairs.iter().map(|pair| pair.value).collect();
    for (found, expected) in values.iter().zip([1.0, 1.0, 1.0, 0.0]) {
        assert!((found - expected).abs() < 1e-12, "{values:?}");
    }
    let nothing = largest_eigenpairs(3, 1, |_| vec![0.0; 3]).unwrap();
    assert_eq!(nothing[0].value, 0.0);
    assert!(nothing[0].vector.iter().all(|x| x.is_finite()));
}

#[test]
fn what_does_not_fit_is_a_named_error() {
    let message = |error: cnn_metrics::Error| error.to_string();
    let features = DomainFeatures {
        source: &[0.0; 6],
        target: &[0.0; 4],
        columns: 2,
    };
    let config = DomainClassifierConfig::default();
    let fit = |features, penalty| {
        message(DomainClassifier::fit(features, &DomainClassifierConfig { penalty }).unwrap_err())
    };
    let cases = [
        ("5 logits", message(mean_entropy(&[0.0; 5], 2).unwrap_err())),
        (
            "classes is 0",
            message(mean_entropy(&[0.0; 5], 0).unwrap_err()),
        ),
        (
            "no samples",
            message(information_maximization(&[], 2).unwrap_err()),
        ),
        (
            "logit NaN",
            message(batch_nuclear_norm(&[0.0, f32::NAN], 2).unwrap_err()),
        ),
        (
            "samples is 1",
            message(soft_neighborhood_density(&[0.0; 2], 2, 0.1).unwrap_err()),
        ),
        (
            "temperature is 0",
            message(soft_neighborhood_density(&[0.0; 4], 2, 0.0).unwrap_err()),
        ),
        (
            "ratios is 1 ratios",
            message(deep_embedded_validation(&[0.0; 2], &[1.0]).unwrap_err()),
        ),
        (
            "ratios is -1",
            message(deep_embedded_validation(&[0.0; 2], &[1.0, -1.0]).unwrap_err()),
        ),
        (
            "losses is NaN",
            message(deep_embedded_validation(&[0.0, f64::NAN], &[1.0; 2]).unwrap_err()),
        ),
        ("penalty is 0", fit(features, 0.0)),
        (
            "columns is 0",
            fit(
                DomainFeatures {
                    columns: 0,
                    ..features
                },
                1.0,
            ),
        ),
        (
            "source is 6 numbers",
            fit(
                DomainFeatures {
                    columns: 4,
                    ..features
                },
                1.0,
            ),
        ),
        (
            "target is inf",
            fit(
                DomainFeatures {
                    target: &[0.0, f32::INFINITY],
                    ..features
                },
                1.0,
            ),
        ),
        (
            "source is 0 images",
            fit(
                DomainFeatures {
                    source: &[],
                    ..features
                },
                1.0,
            ),
        ),
        (
            "target is 1 images",
            message(
                a_distance(
                    DomainFeatures {
                        target: &[0.0; 2],
                        ..features
                    },
                    &config,
                )
                .unwrap_err(),
            ),
        ),
        (
            "columns is 3",
            message(singular_values(&[0.0; 4], 3).unwrap_err()),
        ),
        (
            "matrix is NaN",
            message(singular_values(&[f64::NAN], 1).unwrap_err()),
        ),
        (
            "count is 3",
            message(largest_eigenpairs(2, 3, <[f64]>::to_vec).unwrap_err()),
        ),
        (
            "product is 1 numbers",
            message(largest_eigenpairs(2, 1, |_| vec![1.0]).unwrap_err()),
        ),
    ];
    for (expected, found) in cases {
        assert!(found.starts_with(expected), "{expected}: {found}");
    }
    let classifier = DomainClassifier::fit(features, &config).unwrap();
    assert!(classifier.density_ratios(&[0.0; 3]).is_err());
}
