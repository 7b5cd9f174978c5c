//! The gradients of every operation, for every input, against central differences in f64.
#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "../common/mod.rs"]
mod common;
mod graphs;
mod norms;
mod pointwise;
mod pooling;
mod regions;
mod resizing;

use candle_core::{Device, Result, Tensor, Var};
use cnn_kernels::{FeatureMap, conv_transpose2d, conv2d};
use common::transposed::{decoder_transposed, small_transposed};
use common::{Numbers, large_convolutions, small_convolutions};

/// Half the distance of the two points of a central difference.
const STEP: f64 = 1e-5;
/// Largest `‖gradient − differences‖ / ‖differences‖`.
const TOLERANCE: f64 = 1e-6;

pub(crate) fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

pub(crate) fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `Σ upstream · ys`, with an upstream that depends on nothing but the shape of `ys`.
pub(crate) fn upstream(ys: &Tensor) -> Tensor {
    Numbers::new(7).tensor(ys.dims())
}

/// The gradients of `Σ upstream · f(inputs)` by autograd, one per input.
pub(crate) fn gradients(
    inputs: &[Tensor],
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> Vec<Vec<f64>> {
    let vars: Vec<Var> = inputs
        .iter()
        .map(|input| Var::from_tensor(input).unwrap())
        .collect();
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
    let ys = f(&tensors).unwrap();
    let grads = (&ys * upstream(&ys))
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    vars.iter()
        .map(|var| values(grads.get(var).expect("a tracked input has a gradient")))
        .collect()
}

/// `Σ upstream · f(inputs)` with the values of one input replaced.
fn loss(
    inputs: &[Tensor],
    which: usize,
    replaced: &[f64],
    f: &dyn Fn(&[Tensor]) -> Result<Tensor>,
) -> f64 {
    let mut inputs = inputs.to_vec();
    inputs[which] = Tensor::from_slice(replaced, inputs[which].shape(), &Device::Cpu).unwrap();
    let ys = f(&inputs).unwrap();
    dot(&values(&ys), &values(&upstream(&ys)))
}

/// Holds each element of each gradient against its central difference.
pub(crate) fn check(name: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
    for (which, gradient) in gradients(inputs, &f).into_iter().enumerate() {
        let mut moved = values(&inputs[which]);
        let mut differences = Vec::new();
        for element in 0..moved.len() {
            let mut at = |value: f64| {
                let kept = std::mem::replace(&mut moved[element], value);
                let loss = loss(inputs, which, &moved, &f);
                moved[element] = kept;
                loss
            };
            let low = values(&inputs[which])[element] - STEP;
            let high = values(&inputs[which])[element] + STEP;
            differences.push((at(high) - at(low)) / (high - low));
        }
        let errors: Vec<f64> = gradient
            .iter()
            .zip(&differences)
            .map(|(found, expected)| found - expected)
            .collect();
        let error = norm(&errors) / norm(&differences);
        assert!(
            error <= TOLERANCE,
            "{name}, input {which}: {error:e}, {gradient:?} but {differences:?}"
        );
    }
}

/// Holds each gradient against the central difference along one random direction: for inputs too
/// large for [`check`].
pub(crate) fn check_along_direction(
    name: &str,
    inputs: &[Tensor],
    f: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    for (which, gradient) in gradients(inputs, &f).into_iter().enumerate() {
        let direction = values(&Numbers::new(11).tensor(inputs[which].dims()));
        let at = |step: f64| {
            let moved = values(&inputs[which]);
            let moved: Vec<f64> = moved
                .iter()
                .zip(&direction)
                .map(|(x, direction)| x + step * direction)
                .collect();
            loss(inputs, which, &moved, &f)
        };
        let difference = (at(STEP) - at(-STEP)) / (2. * STEP);
        let error =
            (dot(&gradient, &direction) - difference).abs() / (norm(&gradient) * norm(&direction));
        assert!(error <= 1e-8, "{name}, input {which}: {error:e}");
    }
}

pub(crate) fn nchw(map: Result<FeatureMap>) -> Result<Tensor> {
    map?.to_nchw()
}

#[test]
fn convolution() {
    let f = |spec| {
        move |inputs: &[Tensor]| {
            nchw(conv2d(
                &FeatureMap::from_nchw(&inputs[0])?,
                &inputs[1],
                inputs.get(2),
                &spec,
            ))
        }
    };
    for (seed, case) in small_convolutions().iter().enumerate() {
        check(
            case.name,
            &case.tensors(&mut Numbers::new(seed as u64)),
            f(case.spec),
        );
    }
    for (seed, case) in large_convolutions().iter().enumerate() {
        check_along_direction(
            case.name,
            &case.tensors(&mut Numbers::new(seed as u64)),
            f(case.spec),
        );
    }
}

#[test]
fn transposed_convolution() {
    let f = |spec| {
        move |inputs: &[Tensor]| {
            nchw(conv_transpose2d(
                &FeatureMap::from_nchw(&inputs[0])?,
                &inputs[1],
                inputs.get(2),
                &spec,
            ))
        }
    };
    for (seed, case) in small_transposed().iter().enumerate() {
        let tensors = case.tensors(&mut Numbers::new(seed as u64));
        check(case.name, &tensors, f(case.spec));
        // Without the bias.
        check(case.name, &tensors[..2], f(case.spec));
    }
    for (seed, case) in decoder_transposed().iter().enumerate() {
        let tensors = case.tensors(&mut Numbers::new(seed as u64));
        check_along_direction(case.name, &tensors, f(case.spec));
    }
}
