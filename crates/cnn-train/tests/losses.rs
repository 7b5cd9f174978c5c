//! Losses against PyTorch's values and gradients, against finite differences, and their named
//! errors.

#![allow(clippy::unwrap_used, clippy::panic)]

use candle_core::{DType, Device, Tensor, Var};
use cnn_train::{CrossEntropy, Targets, binary_cross_entropy_with_logits, mean_squared_error};
use serde_json::Value;

const GOLDEN: &str = include_str!("golden/losses.json");

fn numbers(value: &Value) -> Option<Vec<f64>> {
    Some(
        value
            .as_array()?
            .iter()
            .map(|number| number.as_f64().unwrap())
            .collect(),
    )
}

fn tensor(values: Vec<f64>, shape: &[usize]) -> Tensor {
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f64> {
    tensor
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

/// One case of the golden file.
struct Case {
    name: String,
    value: Value,
    shape: Vec<usize>,
}

impl Case {
    fn all() -> Vec<Self> {
        let golden: serde_json::Map<String, Value> = serde_json::from_str(GOLDEN).unwrap();
        let shape = |value: &Value| {
            numbers(&value["shape"])
                .unwrap()
                .iter()
                .map(|&size| size as usize)
                .collect()
        };
        golden
            .into_iter()
            .map(|(name, value)| Self {
                name,
                shape: shape(&value),
                value,
            })
            .collect()
    }

    fn inputs(&self) -> Tensor {
        tensor(numbers(&self.value["inputs"]).unwrap(), &self.shape)
    }

    fn loss(&self, inputs: &Tensor) -> Tensor {
        let of_shape =
            |key: &str| numbers(&self.value[key]).map(|values| tensor(values, &self.shape));
        match self.value["kind"].as_str().unwrap() {
            "cross_entropy" => {
                let loss = CrossEntropy {
                    label_smoothing: self.value["label_smoothing"].as_f64().unwrap_or(0.),
                    class_weights: numbers(&self.value["weight"]),
                };
                let classes =
                    |labels: Vec<f64>| labels.into_iter().map(|label| label as u32).collect();
                let targets = match numbers(&self.value["labels"]) {
                    Some(labels) => Targets::Classes(classes(labels)),
                    None => Targets::Soft(of_shape("soft").unwrap()),
                };
                loss.loss(inputs, &targets).unwrap()
            }
            "binary" => {
                let weight = numbers(&self.value["pos_weight"])
                    .map(|weights| tensor(weights, &self.shape[1..]));
                binary_cross_entropy_with_logits(
                    inputs,
                    &of_shape("targets").unwrap(),
                    weight.as_ref(),
                )
                .unwrap()
            }
            _ => mean_squared_error(inputs, &of_shape("targets").unwrap()).unwrap(),
        }
    }
}

/// Relative to the magnitude, and to `scale` where that is smaller.
fn assert_close(found: &[f64], expected: &[f64], tolerance: f64, scale: f64, name: &str) {
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        let bound = tolerance * expected.abs().max(scale);
        assert!(
            (found - expected).abs() <= bound,
            "{name}: found {found}, expected {expected}"
        );
    }
}

#[test]
fn values_and_gradients_equal_pytorchs() {
    let cases = Case::all();
    assert_eq!(cases.len(), 12);
    for case in cases {
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let inputs = Var::from_tensor(&case.inputs().to_dtype(dtype).unwrap()).unwrap();
            let loss = case.loss(&inputs);
            assert_eq!(
                (loss.dtype(), loss.dims()),
                (dtype, &[][..]),
                "{}",
                case.name
            );
            assert_close(
                &flat(&loss),
                &[case.value["loss"].as_f64().unwrap()],
                tolerance,
                0.,
                &case.name,
            );
            let gradients = loss.backward().unwrap();
            let gradient = flat(gradients.get(&inputs).unwrap());
            assert_close(
                &gradient,
                &numbers(&case.value["grad"]).unwrap(),
                tolerance,
                1e-2,
                &case.name,
            );
        }
    }
}

#[test]
fn gradients_equal_finite_differences() {
    const STEP: f64 = 1e-5;
    // At ±10⁴ a difference of 1e-5 drowns in the loss.
    for case in Case::all()
        .into_iter()
        .filter(|case| !flat(&case.inputs()).iter().any(|x| x.abs() > 100.))
    {
        let inputs = Var::from_tensor(&case.inputs()).unwrap();
        let gradients = case.loss(&inputs).backward().unwrap();
        let gradient = flat(gradients.get(&inputs).unwrap());
        let start = flat(&inputs);
        let at = |position: usize, change: f64| {
            let mut moved = start.clone();
            moved[position] += change;
            flat(&case.loss(&tensor(moved, &case.shape)))[0]
        };
        let differences: Vec<f64> = (0..start.len())
            .map(|position| (at(position, STEP) - at(position, -STEP)) / (2. * STEP))
            .collect();
        assert_close(&gradient, &differences, 1e-7, 1e-2, &case.name);
    }
}

#[test]
fn binary_gradients_keep_their_digits_far_out() {
    for (x, t) in [
        (40f64, 1f64),
        (700., 1.),
        (-40., 0.),
        (-700., 0.),
        (800., 0.),
        (-800., 1.),
        (0., 1.),
        (0., 0.),
    ] {
        let inputs = Var::new(&[x], &Device::Cpu).unwrap();
        let loss = binary_cross_entropy_with_logits(&inputs, &tensor(vec![t], &[1]), None).unwrap();
        let gradients = loss.backward().unwrap();
        let gradient = flat(gradients.get(&inputs).unwrap())[0];
        // σ(x) − t, written without cancellation.
        let expected = if t == 1. {
            -1. / (1. + x.exp())
        } else {
            1. / (1. + (-x).exp())
        };
        assert_close(
            &[gradient],
            &[expected],
            1e-14,
            0.,
            &format!("x = {x}, t = {t}"),
        );
        // ln(1 + e^z), where e^z does not overflow.
        let z = if t == 1. { -x } else { x };
        let expected = if z > 700. { z } else { z.exp().ln_1p() };
        assert_close(
            &flat(&loss),
            &[expected],
            1e-14,
            0.,
            &format!("loss at x = {x}, t = {t}"),
        );
    }
}

#[test]
fn soft_targets_of_one_class_equal_class_indices() {
    let logits = tensor((0..12).map(|i| f64::from(i * i % 7)).collect(), &[3, 4]);
    let one_hot = tensor(
        vec![0., 0., 1., 0., 1., 0., 0., 0., 0., 0., 0., 1.],
        &[3, 4],
    );
    for smoothing in [0., 0.1, 1.] {
        let loss = CrossEntropy::default().with_label_smoothing(smoothing);
        let hard = flat(
            &loss
                .loss(&logits, &Targets::Classes(vec![2, 0, 3]))
                .unwrap(),
        );
        let soft = flat(&loss.loss(&logits, &Targets::Soft(one_hot.clone())).unwrap());
        assert_close(&soft, &hard, 1e-14, 0., &format!("smoothing {smoothing}"));
    }
}

#[test]
fn bad_input_is_named() {
    let logits = tensor(vec![0.; 6], &[2, 3]);
    let classes = |labels: &[u32]| Targets::Classes(labels.to_vec());
    let plain = CrossEntropy::default;
    let weighted = |weights: &[f64]| plain().with_class_weights(weights.to_vec());
    let cases = [
        (
            plain(),
            logits.clone(),
            classes(&[0, 3]),
            "`targets`: found class 3, expected a class below 3",
        ),
        (
            plain(),
            logits.clone(),
            classes(&[0]),
            "`targets`: found 1 class indices, expected 2, one per row",
        ),
        (
            plain(),
            tensor(vec![0.; 6], &[6]),
            classes(&[0]),
            "`logits`: found shape [6], expected shape (samples,",
        ),
        (
            plain(),
            tensor(vec![], &[0, 3]),
            classes(&[]),
            "`logits`: found shape [0, 3]",
        ),
        (
            plain(),
            logits.clone(),
            Targets::Soft(tensor(vec![0.; 6], &[3, 2])),
            "`targets`: found shape [3, 2], expected shape [2, 3]",
        ),
        (
            plain().with_label_smoothing(1.5),
            logits.clone(),
            classes(&[0, 1]),
            "`label_smoothing`: found 1.5",
        ),
        (
            weighted(&[1., 2.]),
            logits.clone(),
            classes(&[0, 1]),
            "`class_weights`: found 2 weights, expected 3",
        ),
        (
            weighted(&[1., -2., 0.]),
            logits.clone(),
            classes(&[0, 1]),
            "`class_weights`: found -2",
        ),
        (
            weighted(&[0., 0., 1.]),
            logits.clone(),
            classes(&[0, 1]),
            "`class_weights`: found weight 0 for every",
        ),
    ];
    for (loss, logits, targets, expected) in cases {
        let message = loss.loss(&logits, &targets).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    let message = mean_squared_error(&logits, &tensor(vec![0.; 3], &[1, 3]))
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("found shape [1, 3], expected shape [2, 3]"),
        "{message}"
    );
    let weight = tensor(vec![1.; 2], &[2]);
    let message = binary_cross_entropy_with_logits(&logits, &logits, Some(&weight))
        .unwrap_err()
        .to_string();
    assert!(
        message.starts_with("`pos_weight`: found shape [2]"),
        "{message}"
    );
}
