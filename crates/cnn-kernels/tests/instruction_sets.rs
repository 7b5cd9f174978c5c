//! Every instruction set's f32 paths against the f64 reference, and at several numbers of threads.
//!
//! `CNN_ISA` is read once per process, so this program runs itself again for each set. The other tests here use the set of their process.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Tensor, Var};
use cnn_kernels::{FeatureMap, InstructionSet, conv2d};
use common::{ConvCase, Numbers, large_convolutions, network_convolutions, small_convolutions};

/// Largest `‖f32 − f64‖ / ‖f64‖` of an output or a gradient, and largest single difference relative to the largest element.
const TOLERANCES: [f64; 2] = [2e-6, 8e-6];

fn cases() -> Vec<ConvCase> {
    [small_convolutions(), large_convolutions(), network_convolutions()].concat()
}

/// The output and the gradients of all inputs.
fn forward_and_backward(case: &ConvCase, tensors: &[Tensor], dtype: DType) -> Vec<Tensor> {
    let vars: Vec<Var> =
        tensors.iter().map(|tensor| Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap()).collect();
    let xs = FeatureMap::from_nchw(&vars[0]).unwrap();
    let ys = conv2d(&xs, &vars[1], vars.get(2).map(Var::as_tensor), &case.spec).unwrap().to_nchw().unwrap();
    let upstream = Numbers::new(7).tensor(ys.dims()).to_dtype(dtype).unwrap();
    let grads = (&ys * upstream).unwrap().sum_all().unwrap().backward().unwrap();
    [ys].into_iter().chain(vars.iter().map(|var| grads.get(var).unwrap().clone())).collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.to_dtype(DType::F64).unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let (found, expected) = (values(found), values(expected));
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>().sqrt();
    let largest =
        |values: &mut dyn Iterator<Item = f64>| values.fold(0., |largest: f64, value| largest.max(value.abs()));
    let mut differences = found.iter().zip(&expected).map(|(found, expected)| found - expected);
    assert!(differences.clone().all(f64::is_finite), "{what}");
    let relative = norm(&mut differences.clone()) / norm(&mut expected.iter().copied()).max(f64::MIN_POSITIVE);
    let single = largest(&mut differences) / largest(&mut expected.iter().copied()).max(f64::MIN_POSITIVE);
    assert!(relative <= TOLERANCES[0] && single <= TOLERANCES[1], "{what}: {relative:e}, {single:e}");
}

#[test]
fn convolutions_and_their_gradients_equal_f64() {
    for (seed, case) in cases().iter().enumerate() {
        // Numbers that f32 holds, so that both types compute the same sum.
        let tensors: Vec<Tensor> = case.tensors(&mut Numbers::new(seed as u64));
        let tensors: Vec<Tensor> = tensors.iter().map(|tensor| tensor.to_dtype(DType::F32).unwrap()).collect();
        let expected = forward_and_backward(case, &tensors, DType::F64);
        let found = forward_and_backward(case, &tensors, DType::F32);
        for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let what = ["output", "gradient of the input", "gradient of the weight", "gradient of the bias"][which];
            assert_close(&format!("{} on {:?}: {what}", case.name, InstructionSet::current()), found, expected);
        }
    }
}

#[test]
fn convolutions_do_not_depend_on_the_number_of_threads() {
    for (seed, case) in cases().iter().enumerate() {
        let tensors = case.tensors(&mut Numbers::new(seed as u64));
        let bits = |threads: usize| -> Vec<Vec<u32>> {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let bits = |tensor: &Tensor| {
                tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect()
            };
            pool.install(|| forward_and_backward(case, &tensors, DType::F32).iter().map(bits).collect())
        };
        let one = bits(1);
        for threads in [2, 3] {
            assert!(bits(threads) == one, "{}: {threads} threads compute other bits than one", case.name);
        }
    }
}

#[test]
fn every_instruction_set_passes() {
    common::run_again_with_every_instruction_set("every_instruction_set_passes");
}

#[test]
fn an_unknown_instruction_set_is_said_and_ignored() {
    if std::env::var_os("CNN_ISA").is_some() {
        return;
    }
    let test = "convolutions_do_not_depend_on_the_number_of_threads";
    let program = std::env::current_exe().unwrap();
    let output = std::process::Command::new(program)
        .args(["--exact", "--nocapture", test])
        .env("CNN_ISA", "sse9")
        .output()
        .unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said.matches("warning: CNN_ISA=sse9 is none of avx512, avx2, portable, using").count(), 1, "{said}");
}
