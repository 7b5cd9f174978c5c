//! Every instruction set's f32 paths against the f64 reference, and at several numbers of threads.
//!
//! `CNN_ISA` is read once per process, so this program runs itself again for each set. The other
//! tests here use the set of their process.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Tensor, Var};
use cnn_kernels::{
    Activation, BackwardRule, ChannelRange, FeatureMap, InstructionSet, Interpolation, MeasuredMap,
    Padding, ResizeTo, Window, activate, adaptive_avg_pool, adaptive_max_pool, add, avg_pool,
    batch_norm_running, batch_norm_train, channel_slice, concat, concat_norm_train, conv2d,
    global_avg_pool, global_max_pool, group_norm, interleave, layer_norm, layer_norm_plain,
    layer_scale, max_pool, resize, scale_channels,
};
use common::{ConvCase, Numbers, large_convolutions, network_convolutions, small_convolutions};

/// Largest `‖f32 − f64‖ / ‖f64‖` of an output or a gradient, and largest single difference relative
/// to the largest element.
const TOLERANCES: [f64; 2] = [2e-6, 8e-6];

fn cases() -> Vec<ConvCase> {
    [
        small_convolutions(),
        large_convolutions(),
        network_convolutions(),
    ]
    .concat()
}

/// The output and the gradients of all inputs.
fn forward_and_backward(case: &ConvCase, tensors: &[Tensor], dtype: DType) -> Vec<Tensor> {
    let vars: Vec<Var> = tensors
        .iter()
        .map(|tensor| Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap())
        .collect();
    let xs = FeatureMap::from_nchw(&vars[0]).unwrap();
    let ys = conv2d(&xs, &vars[1], vars.get(2).map(Var::as_tensor), &case.spec)
        .unwrap()
        .to_nchw()
        .unwrap();
    let upstream = Numbers::new(7).tensor(ys.dims()).to_dtype(dtype).unwrap();
    let grads = (&ys * upstream)
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    [ys].into_iter()
        .chain(vars.iter().map(|var| grads.get(var).unwrap().clone()))
        .collect()
}

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor
        .to_dtype(DType::F64)
        .unwrap()
        .flatten_all()
        .unwrap()
        .to_vec1()
        .unwrap()
}

fn assert_close(what: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    let found = values(found);
    let expected = values(expected);
    let norm = |values: &mut dyn Iterator<Item = f64>| {
        values.map(|value| value * value).sum::<f64>().sqrt()
    };
    let largest = |values: &mut dyn Iterator<Item = f64>| {
        values.fold(0., |largest: f64, value| largest.max(value.abs()))
    };
    let mut differences = found
        .iter()
        .zip(&expected)
        .map(|(found, expected)| found - expected);
    assert!(differences.clone().all(f64::is_finite), "{what}");
    let relative =
        norm(&mut differences.clone()) / norm(&mut expected.iter().copied()).max(f64::MIN_POSITIVE);
    let single =
        largest(&mut differences) / largest(&mut expected.iter().copied()).max(f64::MIN_POSITIVE);
    assert!(
        relative <= TOLERANCES[0] && single <= TOLERANCES[1],
        "{what}: {relative:e}, {single:e}"
    );
}

#[test]
fn convolutions_and_their_gradients_equal_f64() {
    for (seed, case) in cases().iter().enumerate() {
        // Numbers that f32 holds, so that both types compute the same sum.
        let tensors: Vec<Tensor> = case.tensors(&mut Numbers::new(seed as u64));
        let tensors: Vec<Tensor> = tensors
            .iter()
            .map(|tensor| tensor.to_dtype(DType::F32).unwrap())
            .collect();
        let expected = forward_and_backward(case, &tensors, DType::F64);
        let found = forward_and_backward(case, &tensors, DType::F32);
        for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
            let what = [
                "output",
                "gradient of the input",
                "gradient of the weight",
                "gradient of the bias",
            ][which];
            assert_close(
                &format!("{} on {:?}: {what}", case.name, InstructionSet::current()),
                found,
                expected,
            );
        }
    }
}

#[test]
fn convolutions_do_not_depend_on_the_number_of_threads() {
    for (seed, case) in cases().iter().enumerate() {
        let tensors = case.tensors(&mut Numbers::new(seed as u64));
        let bits = |threads: usize| -> Vec<Vec<u32>> {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                forward_and_backward(case, &tensors, DType::F32)
                    .iter()
                    .map(bits_of)
                    .collect()
            })
        };
        let one = bits(1);
        for threads in [2, 3] {
            assert!(
                bits(threads) == one,
                "{}: {threads} threads compute other bits than one",
                case.name
            );
        }
    }
}

/// An operation other than a convolution, on two maps and two vectors of one value per channel.
type Operation = fn(&[FeatureMap; 2], &[Tensor; 2]) -> candle_core::Result<FeatureMap>;

fn operations() -> Vec<(&'static str, Operation)> {
    fn overlapping() -> Window {
        Window {
            stride: [2, 2],
            padding: Padding::all(1),
            ..Window::new([3, 3])
        }
    }
    fn bilinear(align_corners: bool) -> Interpolation {
        Interpolation::Bilinear { align_corners }
    }
    fn activated(
        [xs, _]: &[FeatureMap; 2],
        activation: Activation,
    ) -> candle_core::Result<FeatureMap> {
        // Wide enough for both ends of every activation.
        activate(
            &FeatureMap::from_nhwc(&xs.to_nhwc().affine(5., 0.)?)?,
            activation,
            BackwardRule::Standard,
        )
    }
    vec![
        ("batch_norm_train", |[xs, _], [weight, bias]| {
            Ok(batch_norm_train(xs, weight, bias, 1e-5, None, Activation::Identity)?.0)
        }),
        ("batch_norm_train and relu6", |[xs, _], [weight, bias]| {
            Ok(batch_norm_train(xs, weight, bias, 1e-5, None, Activation::Relu6)?.0)
        }),
        (
            "batch_norm_train and leaky_relu",
            |[xs, _], [weight, bias]| {
                Ok(batch_norm_train(xs, weight, bias, 1e-5, None, Activation::LeakyRelu(0.1))?.0)
            },
        ),
        ("batch_norm_train and silu", |[xs, _], [weight, bias]| {
            Ok(batch_norm_train(xs, weight, bias, 1e-5, None, Activation::Silu)?.0)
        }),
        (
            "batch_norm_train and hard_swish",
            |[xs, _], [weight, bias]| {
                Ok(batch_norm_train(xs, weight, bias, 1e-5, None, Activation::HardSwish)?.0)
            },
        ),
        ("channel_scale", |[xs, ys], _| {
            scale_channels(xs, &global_avg_pool(ys)?)
        }),
        ("batch_norm_train, mean 100", |[xs, _], [weight, bias]| {
            Ok(batch_norm_train(
                &FeatureMap::from_nhwc(&xs.to_nhwc().affine(0.25, 100.)?)?,
                weight,
                bias,
                1e-5,
                None,
                Activation::Identity,
            )?
            .0)
        }),
        ("batch_norm_running", |[xs, _], [weight, bias]| {
            batch_norm_running(
                xs,
                weight,
                bias,
                &weight.detach(),
                &bias.detach().sqr()?,
                1e-5,
                None,
                Activation::Relu,
            )
        }),
        ("batch_norm_train of a sum", |[xs, ys], [weight, bias]| {
            Ok(batch_norm_train(xs, weight, bias, 1e-5, Some(ys), Activation::Identity)?.0)
        }),
        (
            "batch_norm_train of a sum and relu",
            |[xs, ys], [weight, bias]| {
                Ok(batch_norm_train(xs, weight, bias, 1e-5, Some(ys), Activation::Relu)?.0)
            },
        ),
        (
            "batch_norm_running of a sum and leaky_relu",
            |[xs, ys], [weight, bias]| {
                let mean = weight.detach();
                let var = bias.detach().sqr()?;
                batch_norm_running(
                    xs,
                    weight,
                    bias,
                    &mean,
                    &var,
                    1e-5,
                    Some(ys),
                    Activation::LeakyRelu(0.1),
                )
            },
        ),
        ("layer_norm", |[xs, _], [weight, bias]| {
            layer_norm(xs, weight, bias, 1e-5)
        }),
        ("layer_norm_plain", |[xs, _], _| layer_norm_plain(xs, 1e-5)),
        ("group_norm", |[xs, _], [weight, bias]| {
            let groups = if xs.channels() % 4 == 0 { 4 } else { 1 };
            group_norm(xs, groups, Some([weight, bias]), 1e-5)
        }),
        ("group_norm of each channel", |[xs, _], _| {
            group_norm(xs, xs.channels(), None, 1e-5)
        }),
        ("layer_scale", |[xs, _], [weight, _]| {
            layer_scale(xs, weight, None)
        }),
        ("layer_scale and a sum", |[xs, ys], [weight, _]| {
            layer_scale(xs, weight, Some(ys))
        }),
        ("max_pool", |[xs, _], _| max_pool(xs, &overlapping())),
        ("max_pool of every row", |[xs, _], _| {
            max_pool(xs, &Window::new([2, 3]))
        }),
        ("max_pool, dilated", |[xs, _], _| {
            max_pool(
                xs,
                &Window {
                    dilation: [2, 2],
                    ..Window::new([3, 2])
                },
            )
        }),
        // More than 256 taps for the large maps.
        ("global_max_pool", |[xs, _], _| global_max_pool(xs)),
        ("adaptive_max_pool", |[xs, _], _| {
            adaptive_max_pool(xs, [3, 2])
        }),
        ("adaptive_avg_pool", |[xs, _], _| {
            adaptive_avg_pool(xs, [3, 4])
        }),
        ("resize to the nearest", |[xs, _], _| {
            resize(xs, ResizeTo::Size([41, 11]), Interpolation::Nearest)
        }),
        ("resize", |[xs, _], _| {
            resize(xs, ResizeTo::Factor([2.3, 4.]), bilinear(false))
        }),
        ("resize with aligned corners", |[xs, _], _| {
            resize(xs, ResizeTo::Size([61, 23]), bilinear(true))
        }),
        ("resize of one channel", |[xs, _], _| {
            resize(
                &channel_slice(xs, 1..2)?,
                ResizeTo::Size([90, 171]),
                bilinear(false),
            )
        }),
        ("avg_pool", |[xs, _], _| avg_pool(xs, &overlapping(), true)),
        ("global_avg_pool", |[xs, _], _| global_avg_pool(xs)),
        ("add", |[xs, ys], _| add(&add(xs, ys)?, xs)),
        ("concat", |[xs, ys], _| concat(&[xs, ys, xs])),
        ("channel_slice", |[xs, _], _| {
            channel_slice(xs, 1..xs.channels())
        }),
        ("interleave", |[xs, ys], _| {
            let parts = [xs, ys].map(|map| ChannelRange {
                map,
                channels: 2..map.channels(),
            });
            interleave(&parts)
        }),
        ("interleave of three", |[xs, ys], _| {
            let parts = [xs, ys, xs].map(|map| ChannelRange {
                map,
                channels: 0..map.channels(),
            });
            interleave(&parts)
        }),
        ("concat_norm", |[xs, ys], [weight, bias]| {
            let maps = [xs, ys].map(|map| MeasuredMap::new(map.clone()));
            let [weight, bias] = [weight, bias].map(|vector| Tensor::cat(&[vector, vector], 0));
            Ok(concat_norm_train(&maps, &weight?, &bias?, 1e-5, Activation::Relu)?.0)
        }),
        ("relu", |maps, _| activated(maps, Activation::Relu)),
        ("leaky_relu", |maps, _| {
            activated(maps, Activation::LeakyRelu(0.1))
        }),
        ("relu6", |maps, _| activated(maps, Activation::Relu6)),
        ("sigmoid", |maps, _| activated(maps, Activation::Sigmoid)),
        ("silu", |maps, _| activated(maps, Activation::Silu)),
        ("hard_swish", |maps, _| {
            activated(maps, Activation::HardSwish)
        }),
        ("hard_sigmoid", |maps, _| {
            activated(maps, Activation::HardSigmoid)
        }),
        ("tanh", |maps, _| activated(maps, Activation::Tanh)),
        ("gelu", |maps, _| activated(maps, Activation::Gelu)),
        ("gelu_tanh", |maps, _| activated(maps, Activation::GeluTanh)),
    ]
}

/// Shapes `(N, C, H, W)` with few and many channels, that are and are not whole registers, over
/// several parallel tasks.
const SHAPES: [[usize; 4]; 4] = [
    [3, 16, 37, 41],
    [2, 5, 53, 67],
    [2, 96, 19, 23],
    [5, 523, 7, 5],
];

/// The output and the gradients of all inputs.
fn operate(operation: Operation, tensors: &[Tensor], dtype: DType) -> Vec<Tensor> {
    let vars: Vec<Var> = tensors
        .iter()
        .map(|tensor| Var::from_tensor(&tensor.to_dtype(dtype).unwrap()).unwrap())
        .collect();
    let maps = [0, 1].map(|index: usize| FeatureMap::from_nchw(&vars[index]).unwrap());
    let vectors = [2, 3].map(|index: usize| vars[index].as_tensor().clone());
    let ys = operation(&maps, &vectors).unwrap().to_nchw().unwrap();
    let upstream = Numbers::new(7).tensor(ys.dims()).to_dtype(dtype).unwrap();
    let grads = (&ys * upstream)
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    [ys].into_iter()
        .chain(vars.iter().filter_map(|var| grads.get(var).cloned()))
        .collect()
}

fn inputs([n, c, h, w]: [usize; 4]) -> Vec<Tensor> {
    let mut numbers = Numbers::new((c * h) as u64);
    let shapes: [&[usize]; 4] = [&[n, c, h, w], &[n, c, h, w], &[c], &[c]];
    // Multiples of 2⁻¹⁰, so that a mean of 100 rounds nothing away.
    let rounded = |tensor: Tensor| {
        tensor
            .affine(1024., 0.)?
            .round()?
            .affine(1. / 1024., 0.)?
            .to_dtype(DType::F32)
    };
    shapes
        .map(|shape| rounded(numbers.tensor(shape)).unwrap())
        .into()
}

#[test]
fn other_operations_and_their_gradients_equal_f64() {
    for (name, operation) in operations() {
        for shape in SHAPES {
            let found = operate(operation, &inputs(shape), DType::F32);
            let expected = operate(operation, &inputs(shape), DType::F64);
            assert!(found.len() == expected.len() && found.len() > 1, "{name}");
            for (which, (found, expected)) in found.iter().zip(&expected).enumerate() {
                assert_close(
                    &format!(
                        "{name} of {shape:?} on {:?}: {which}",
                        InstructionSet::current()
                    ),
                    found,
                    expected,
                );
            }
        }
    }
}

#[test]
fn other_operations_do_not_depend_on_the_number_of_threads() {
    for (name, operation) in operations() {
        for shape in SHAPES {
            let bits = |threads: usize| -> Vec<Vec<u32>> {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(threads)
                    .build()
                    .unwrap();
                pool.install(|| {
                    operate(operation, &inputs(shape), DType::F32)
                        .iter()
                        .map(bits_of)
                        .collect()
                })
            };
            let one = bits(1);
            assert!(
                [2, 3].into_iter().all(|threads| bits(threads) == one),
                "{name} of {shape:?}"
            );
        }
    }
}

fn bits_of(tensor: &Tensor) -> Vec<u32> {
    tensor
        .flatten_all()
        .unwrap()
        .to_vec1::<f32>()
        .unwrap()
        .into_iter()
        .map(f32::to_bits)
        .collect()
}

#[test]
fn every_instruction_set_passes() {
    common::run_again_with(&common::FLOAT_SETS, "every_instruction_set_passes");
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
    assert_eq!(
        said.matches("warning: CNN_ISA=sse9 is none of avx512, avxvnni, avx2, portable, using")
            .count(),
        1,
        "{said}"
    );
}
