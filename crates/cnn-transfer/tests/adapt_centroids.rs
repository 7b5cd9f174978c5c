//! Labels that features suggest, against SHOT's own program in numpy
//! (`tools/goldens/adapt_losses.py`).
#![allow(clippy::unwrap_used)]

use cnn_transfer::adapt::{FeaturesAndLogits, centroid_labels};
use serde_json::Value;

#[path = "../../cnn-models/tests/common/formula.rs"]
#[allow(dead_code, reason = "tensors are other tests'")]
mod formula;

use formula::formula_values;

const GOLDEN: &str = include_str!("golden/centroid_labels.json");

/// Features and predictions of images.
struct Case {
    images: usize,
    classes: usize,
    features: Vec<f32>,
    logits: Vec<f32>,
}

impl Case {
    /// Features around a centre for each class, the last of which no prediction names, and
    /// predictions that are often wrong; as the Python program has them.
    fn new(images: usize, columns: usize, classes: usize) -> Self {
        let drawn = |what: &str, columns: usize, rows: usize| -> Vec<f32> {
            formula_values(&format!("suggested.{images}.{what}"), &[rows, columns]).collect()
        };
        let kind = |image: usize| image % (classes - 1);
        let centres = drawn("centres", columns, classes);
        let mut features = drawn("features", columns, images);
        for (at, x) in features.iter_mut().enumerate() {
            *x += centres[kind(at / columns) * columns + at % columns];
        }
        let mut logits = drawn("logits", classes, images);
        for (at, z) in logits.iter_mut().enumerate() {
            let class = at % classes;
            *z *= 2.;
            *z += f32::from(u8::from(class == kind(at / classes)));
            *z -= 4. * f32::from(u8::from(class == classes - 1));
        }
        Self {
            images,
            classes,
            features,
            logits,
        }
    }

    fn judged(&self) -> FeaturesAndLogits<'_> {
        FeaturesAndLogits {
            features: &self.features,
            logits: &self.logits,
            images: self.images,
        }
    }
}

#[test]
fn suggested_labels_are_those_of_shots_program() {
    let cases: Vec<Value> = serde_json::from_str(GOLDEN).unwrap();
    assert_eq!(cases.len(), 3);
    for case in cases {
        let number = |name: &str| case[name].as_u64().unwrap() as usize;
        let made = Case::new(number("images"), number("columns"), number("classes"));
        let expected = case["labels"].as_array().unwrap().iter();
        let expected: Vec<u32> = expected
            .map(|label| label.as_u64().unwrap() as u32)
            .collect();
        assert_eq!(centroid_labels(made.judged()).unwrap(), expected);
    }
}

/// A class that loses all its images in the first round has no centroid in the second; the
/// authors' program takes the first such class for all images, since its distances are no numbers.
#[test]
fn a_class_that_loses_its_images_gets_none() {
    // The third image alone is taken for class 0, and lies with the first and the second.
    let features = [3f32, 0., 3., 0.1, 3., 0.05, 0., 3., 0.1, 3.];
    let logits = [
        0f32, 5., 0., 0., 5., 0., 0.5, 0.4, 0., 0., 0., 5., 0., 0., 5.,
    ];
    let labels = centroid_labels(FeaturesAndLogits {
        features: &features,
        logits: &logits,
        images: 5,
    });
    assert_eq!(labels.unwrap(), [1, 1, 1, 2, 2]);
}

#[test]
fn images_in_another_order_get_the_same_labels() {
    let case = Case::new(40, 5, 4);
    let turned = |values: &[f32], columns: usize| -> Vec<f32> {
        values
            .chunks_exact(columns)
            .rev()
            .flatten()
            .copied()
            .collect()
    };
    let other = Case {
        images: case.images,
        classes: case.classes,
        features: turned(&case.features, 5),
        logits: turned(&case.logits, case.classes),
    };
    let mut labels = centroid_labels(other.judged()).unwrap();
    labels.reverse();
    assert_eq!(labels, centroid_labels(case.judged()).unwrap());
}

#[test]
fn what_does_not_fit_is_a_named_error() {
    let numbers = [0f32; 6];
    for (name, features, logits, images) in [
        ("features", &numbers[..5], &numbers[..], 2),
        ("logits", &numbers[..], &numbers[..5], 2),
        ("features", &numbers[..], &numbers[..], 0),
        ("features", &numbers[..0], &numbers[..], 2),
        ("logits", &numbers[..], &numbers[..0], 2),
    ] {
        let judged = FeaturesAndLogits {
            features,
            logits,
            images,
        };
        let error = centroid_labels(judged).unwrap_err().to_string();
        assert!(error.starts_with(&format!("`{name}`")), "{error}");
        assert!(error.contains("equally many for each image"), "{error}");
    }
}
