//! Transposed convolution in f32: against f64 on every instruction set, at several numbers of
//! threads, and as what its name says.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Tensor, Var};
use cnn_kernels::{
    Activation, BackwardRule, Conv2dSpec, FeatureMap, InstructionSet, PackedConvTranspose2d,
    Padding, activate, conv_transpose2d, conv2d,
};
use common::Numbers;
use common::transposed::{TransposedCase, decoder_transposed, small_transposed};

/// Largest `‖f32 − f64‖ / ‖f64‖`.
const TOLERANCE: f64 = 2e-6;

fn cases() -> Vec<TransposedCase> {
    [small_transposed(), decoder_transposed()].concat()
}

/// Tensors that f32 holds.
fn tensors(case: &TransposedCase, seed: usize) -> Vec<Tensor> {
    let tensors = case.tensors(&mut Numbers::new(seed as u64)).into_iter();
    let rounded = |tensor: Tensor| tensor.to_dtype(DType::F32).unwrap();
    tensors.map(rounded).collect()
}

/// The output and the gradients of input, weight and bias.
fn forward_and_backward(case: &TransposedCase, tensors: &[Tensor], dtype: DType) -> Vec<Tensor> {
    let var = |tensor: &Tensor| Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap();
    let vars: Vec<Var> = tensors.iter().map(var).collect();
    let xs = FeatureMap::from_nchw(&vars[0]).unwrap();
    let ys = conv_transpose2d(&xs, &vars[1], Some(&vars[2]), &case.spec).unwrap();
    let ys = ys.to_nchw().unwrap();
    let upstream = Numbers::new(7).tensor(ys.dims()).to_dtype(dtype).unwrap();
    let loss = (&ys * upstream).unwrap().sum_all().unwrap();
    let grads = loss.backward().unwrap();
    let grads = vars.iter().map(|var| grads.get(var).unwrap().clone());
    [ys].into_iter().chain(grads).collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    let tensor = tensor.to_dtype(DType::F64).unwrap();
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn dot(a: &Tensor, b: &Tensor) -> f64 {
    values(a).iter().zip(values(b)).map(|(a, b)| a * b).sum()
}

#[test]
fn outputs_and_gradients_equal_f64() {
    for (seed, case) in cases().iter().enumerate() {
        let tensors = tensors(case, seed);
        let expected = forward_and_backward(case, &tensors, DType::F64);
        let found = forward_and_backward(case, &tensors, DType::F32);
        for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found.dims(), expected.dims());
            let expected = values(expected);
            let differences = values(found).into_iter().zip(&expected);
            let differences: Vec<f64> = differences.map(|(a, b)| a - b).collect();
            let error = norm(&differences) / norm(&expected);
            assert!(
                error <= TOLERANCE,
                "{} on {:?}: {which} is {error:e} apart",
                case.name,
                InstructionSet::current()
            );
        }
    }
}

#[test]
fn they_do_not_depend_on_the_number_of_threads() {
    for (seed, case) in cases().iter().enumerate() {
        let tensors = tensors(case, seed);
        let bits = |threads: usize| -> Vec<Vec<u32>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            let tensors = pool.install(|| forward_and_backward(case, &tensors, DType::F32));
            let bits = |tensor: &Tensor| -> Vec<u32> {
                let values = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                values.into_iter().map(f32::to_bits).collect()
            };
            tensors.iter().map(bits).collect()
        };
        let one = bits(1);
        assert!([2, 3].into_iter().all(|threads| bits(threads) == one));
    }
}

/// `⟨conv2d(a), b⟩ = ⟨a, conv_transpose2d(b)⟩`.
#[test]
fn it_is_the_transpose_of_the_convolution_with_the_same_weight() {
    for (seed, case) in small_transposed().iter().enumerate() {
        let mut numbers = Numbers::new(seed as u64);
        let input = numbers.tensor(&case.xs);
        let weight = numbers.tensor(&case.weight);
        let map = FeatureMap::from_nchw(&input).unwrap();
        let transposed = conv_transpose2d(&map, &weight, None, &case.spec).unwrap();
        let transposed = transposed.to_nchw().unwrap();
        let other = numbers.tensor(transposed.dims());
        let [rows, columns] = case.spec.padding;
        let spec = Conv2dSpec {
            stride: case.spec.stride,
            padding: Padding::symmetric(rows, columns),
            dilation: case.spec.dilation,
            groups: case.spec.groups,
        };
        let map = FeatureMap::from_nchw(&other).unwrap();
        let convolved = conv2d(&map, &weight, None, &spec).unwrap();
        let found = dot(&other, &transposed);
        let expected = dot(&convolved.to_nchw().unwrap(), &input);
        assert!((found - expected).abs() < 1e-10, "{}", case.name);
    }
}

#[test]
fn packed_weights_compute_the_same() {
    for (seed, case) in cases().iter().enumerate() {
        let tensors = tensors(case, seed);
        let xs = FeatureMap::from_nchw(&tensors[0]).unwrap();
        let packed = PackedConvTranspose2d::new(&tensors[1], Some(&tensors[2]), &case.spec);
        let found = packed.unwrap().forward(&xs, Activation::HardSwish).unwrap();
        let ys = conv_transpose2d(&xs, &tensors[1], Some(&tensors[2]), &case.spec).unwrap();
        let expected = activate(&ys, Activation::HardSwish, BackwardRule::Standard).unwrap();
        let expected = values(&expected.to_nhwc());
        let found = values(&found.to_nhwc());
        assert_eq!(found.len(), expected.len(), "{}", case.name);
        let scale = norm(&expected) / (expected.len() as f64).sqrt();
        let near = |(a, b): (&f64, &f64)| (a - b).abs() < 1e-4 * scale;
        assert!(found.iter().zip(&expected).all(near), "{}", case.name);
    }
}

#[test]
fn every_instruction_set_passes() {
    common::run_again_with(&common::FLOAT_SETS, "every_instruction_set_passes");
}
