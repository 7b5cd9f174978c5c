//! The gradients of every operation, for every input, against central differences in f64.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Result, Tensor, Var};
use cnn_kernels::{
    Activation, BackwardRule, ChannelRange, Conv2dSpec, FeatureMap, MeasuredMap, Padding, Window,
    activate, activate_tensor, adaptive_avg_pool, adaptive_max_pool, add, avg_pool,
    batch_norm_running, batch_norm_train, channel_shuffle, channel_slice, concat,
    concat_norm_running, concat_norm_train, conv2d, global_avg_pool, global_max_pool, interleave,
    layer_norm, layer_norm_plain, layer_scale, max_pool, scale_channels, softmax, upsample_nearest,
};
use common::{Numbers, large_convolutions, small_convolutions};

/// Half the distance of the two points of a central difference.
const STEP: f64 = 1e-5;
/// Largest `‖gradient − differences‖ / ‖differences‖`.
const TOLERANCE: f64 = 1e-6;

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `Σ upstream · ys`, with an upstream that depends on nothing but the shape of `ys`.
fn upstream(ys: &Tensor) -> Tensor {
    Numbers::new(7).tensor(ys.dims())
}

/// The gradients of `Σ upstream · f(inputs)` by autograd, one per input.
fn gradients(inputs: &[Tensor], f: &dyn Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Vec<f64>> {
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
fn check(name: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
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
fn check_along_direction(name: &str, inputs: &[Tensor], f: impl Fn(&[Tensor]) -> Result<Tensor>) {
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

fn nchw(map: Result<FeatureMap>) -> Result<Tensor> {
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

/// Windows for pooling on inputs of 7×8.
fn pooling_windows() -> Vec<(&'static str, Window)> {
    let window = |kernel_size, stride| Window {
        stride,
        ..Window::new(kernel_size)
    };
    let asymmetric = Padding::Explicit {
        top: 0,
        bottom: 1,
        left: 1,
        right: 2,
    };
    vec![
        ("2x2", window([2, 2], [2, 2])),
        ("overlapping", window([3, 2], [1, 1])),
        ("stride beyond the kernel", window([2, 1], [3, 2])),
        (
            "padded",
            Window {
                padding: Padding::all(1),
                ..window([3, 3], [2, 2])
            },
        ),
        (
            "padded differently",
            Window {
                padding: asymmetric,
                ..window([2, 4], [2, 3])
            },
        ),
        (
            "ceil",
            Window {
                ceil_mode: true,
                ..window([2, 3], [2, 3])
            },
        ),
        (
            "ceil, padded",
            Window {
                ceil_mode: true,
                padding: Padding::symmetric(1, 0),
                ..window([3, 3], [3, 2])
            },
        ),
        (
            "dilated",
            Window {
                dilation: [2, 3],
                ..window([3, 2], [2, 1])
            },
        ),
        (
            "ceil, padded, dilated",
            Window {
                ceil_mode: true,
                padding: Padding::symmetric(2, 1),
                dilation: [2, 2],
                ..window([3, 2], [2, 3])
            },
        ),
        (
            "same",
            Window {
                padding: Padding::Same,
                ..window([3, 3], [2, 2])
            },
        ),
        ("everything", window([7, 8], [1, 1])),
    ]
}

/// Values at least 0.01 apart, so that no step changes which is the largest.
fn distinct(numbers: &mut Numbers, shape: &[usize]) -> Tensor {
    let mut order: Vec<(f64, usize)> = (0..shape.iter().product())
        .map(|i| (numbers.uniform(0., 1.), i))
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    let values: Vec<f64> = order
        .iter()
        .map(|&(_, rank)| 0.01 * rank as f64 - 1.)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

#[test]
fn pooling() {
    let xs = [distinct(&mut Numbers::new(1), &[2, 7, 8, 3])];
    for (name, window) in pooling_windows() {
        check(&format!("max, {name}"), &xs, |xs| {
            nchw(max_pool(&FeatureMap::from_nhwc(&xs[0])?, &window))
        });
        for count_include_pad in [true, false] {
            check(
                &format!("average, {name}, {count_include_pad}"),
                &xs,
                |xs| {
                    nchw(avg_pool(
                        &FeatureMap::from_nhwc(&xs[0])?,
                        &window,
                        count_include_pad,
                    ))
                },
            );
        }
    }
}

type Resize = fn(&FeatureMap, [usize; 2]) -> Result<FeatureMap>;

#[test]
fn adaptive_pooling_and_upsampling() {
    let xs = [distinct(&mut Numbers::new(2), &[2, 5, 7, 3])];
    let sizes = [[1, 1], [5, 7], [2, 3], [3, 2], [4, 5], [7, 9], [10, 21]];
    let operations: [(&str, Resize); 3] = [
        ("adaptive average", adaptive_avg_pool),
        ("adaptive maximum", adaptive_max_pool),
        ("upsampling", upsample_nearest),
    ];
    for (name, resize) in operations {
        for size in sizes {
            check(&format!("{name} to {size:?}"), &xs, |xs| {
                nchw(resize(&FeatureMap::from_nhwc(&xs[0])?, size))
            });
        }
    }
    check("global average", &xs, |xs| {
        nchw(global_avg_pool(&FeatureMap::from_nhwc(&xs[0])?))
    });
    check("global maximum", &xs, |xs| {
        nchw(global_max_pool(&FeatureMap::from_nhwc(&xs[0])?))
    });
}

/// A map `(N, H, W, C)` with a weight and a bias per channel.
fn with_affine(seed: u64, shape: [usize; 4]) -> Vec<Tensor> {
    let mut numbers = Numbers::new(seed);
    [&shape[..], &shape[3..], &shape[3..]]
        .iter()
        .map(|shape| numbers.tensor(shape))
        .collect()
}

fn batch_norm_of_batch(inputs: &[Tensor], eps: f64) -> Result<Tensor> {
    Ok(batch_norm_train(
        &FeatureMap::from_nhwc(&inputs[0])?,
        &inputs[1],
        &inputs[2],
        eps,
        None,
        Activation::Identity,
    )?
    .0
    .to_nhwc())
}

#[test]
fn batch_norm() {
    // With two values per channel the output hardly depends on the input: a large eps keeps the
    // gradient measurable.
    for (shape, eps) in [
        ([2, 5, 4, 3], 1e-5),
        ([4, 1, 1, 5], 1e-3),
        ([1, 2, 3, 1], 1e-3),
        ([2, 1, 1, 4], 0.5),
    ] {
        check(&format!("{shape:?}"), &with_affine(3, shape), |inputs| {
            batch_norm_of_batch(inputs, eps)
        });
    }
    check_along_direction(
        "several blocks of pixels",
        &with_affine(4, [3, 29, 31, 7]),
        |inputs| batch_norm_of_batch(inputs, 1e-5),
    );
}

#[test]
fn batch_norm_with_running_statistics() {
    let mut numbers = Numbers::new(5);
    let mean = numbers.tensor(&[3]);
    let var = numbers.tensor(&[3]).abs().unwrap();
    let f = |inputs: &[Tensor]| {
        let xs = FeatureMap::from_nhwc(&inputs[0])?;
        Ok(batch_norm_running(
            &xs,
            &inputs[1],
            &inputs[2],
            &mean,
            &var,
            1e-3,
            None,
            Activation::Identity,
        )?
        .to_nhwc())
    };
    check("running", &with_affine(6, [2, 4, 5, 3]), f);
    check("one value per channel", &with_affine(6, [1, 1, 1, 3]), f);
    check_along_direction(
        "several blocks of pixels",
        &with_affine(6, [3, 29, 31, 3]),
        f,
    );
}

#[test]
fn what_is_computed_in_the_norms_pass_is_what_comes_after_it() {
    let mut numbers = Numbers::new(12);
    let shape = [2, 5, 4, 19];
    let mean = numbers.tensor(&[19]);
    let var = (numbers.tensor(&[19]).abs().unwrap() + 0.1).unwrap();
    let tensors = [&shape[..], &shape[..], &[19], &[19]].map(|shape| numbers.tensor(shape));
    let upstream = numbers.tensor(&shape);
    let rectifiers = [
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu(0.1),
        Activation::LeakyRelu(-0.1),
    ];
    let others = [
        Activation::Identity,
        Activation::Silu,
        Activation::HardSwish,
        Activation::Tanh,
    ];
    for activation in [&others[..], &rectifiers].concat() {
        for (has_residual, running) in [(false, false), (false, true), (true, false), (true, true)]
        {
            let norm = |xs: &FeatureMap,
                        parameters: &[Var],
                        residual: Option<&FeatureMap>,
                        activation| {
                let weight = parameters[0].as_tensor();
                let bias = parameters[1].as_tensor();
                if running {
                    batch_norm_running(xs, weight, bias, &mean, &var, 1e-3, residual, activation)
                } else {
                    Ok(batch_norm_train(xs, weight, bias, 1e-3, residual, activation)?.0)
                }
            };
            let run = |fused: bool| -> Vec<Vec<f64>> {
                let vars = tensors
                    .each_ref()
                    .map(|tensor| Var::from_tensor(tensor).unwrap());
                let [xs, residual] =
                    [0, 1].map(|map: usize| FeatureMap::from_nhwc(&vars[map]).unwrap());
                let ys = if fused {
                    let residual = Some(&residual).filter(|_| has_residual);
                    norm(&xs, &vars[2..], residual, activation).unwrap()
                } else {
                    let mut ys = norm(&xs, &vars[2..], None, Activation::Identity).unwrap();
                    if has_residual {
                        ys = add(&ys, &residual).unwrap();
                    }
                    activate(&ys, activation, BackwardRule::Standard).unwrap()
                };
                let ys = ys.to_nhwc();
                let grads = (&ys * &upstream)
                    .unwrap()
                    .sum_all()
                    .unwrap()
                    .backward()
                    .unwrap();
                let grads = vars.iter().filter_map(|var| grads.get(var).cloned());
                [ys].into_iter()
                    .chain(grads)
                    .map(|xs| xs.flatten_all().unwrap().to_vec1().unwrap())
                    .collect()
            };
            for (found, expected) in run(true)
                .into_iter()
                .flatten()
                .zip(run(false).into_iter().flatten())
            {
                assert!(
                    (found - expected).abs() <= 1e-12 * (1. + expected.abs()),
                    "{activation:?} residual {has_residual} running {running}"
                );
            }
        }
    }
    let xs = numbers.tensor(&[1, 2, 2, 3]);
    let other = numbers.tensor(&[1, 2, 1, 3]);
    let [xs, other] = [xs, other].map(|map| FeatureMap::from_nhwc(&map).unwrap());
    let vector = numbers.tensor(&[3]);
    let message =
        batch_norm_train(&xs, &vector, &vector, 1e-3, Some(&other), Activation::Relu).unwrap_err();
    assert!(
        message
            .to_string()
            .contains("the residual has shape [1, 2, 1, 3], expected [1, 2, 2, 3]"),
        "{message}"
    );
}

#[test]
fn layer_norm_over_channels() {
    let f = |inputs: &[Tensor]| {
        Ok(layer_norm(
            &FeatureMap::from_nhwc(&inputs[0])?,
            &inputs[1],
            &inputs[2],
            1e-3,
        )?
        .to_nhwc())
    };
    check("layer norm", &with_affine(8, [2, 3, 4, 5]), f);
    check("one pixel", &with_affine(8, [1, 1, 1, 7]), f);
    check_along_direction(
        "several blocks of pixels",
        &with_affine(8, [2, 17, 19, 5]),
        f,
    );
    check(
        "more channels than registers side by side",
        &with_affine(8, [1, 1, 3, 75]),
        f,
    );
    check_along_direction(
        "several tasks of several short sums",
        &with_affine(8, [1, 20, 30, 41]),
        f,
    );
    let plain = |inputs: &[Tensor]| {
        Ok(layer_norm_plain(&FeatureMap::from_nhwc(&inputs[0])?, 1e-3)?.to_nhwc())
    };
    for shape in [[2, 3, 4, 5], [1, 1, 2, 19]] {
        let xs = Numbers::new(8).tensor(&shape);
        check("layer norm without weights", &[xs], plain);
    }
}

#[test]
fn layer_scale_with_and_without_a_residual() {
    for shape in [[2, 3, 4, 5], [1, 1, 2, 19]] {
        let mut numbers = Numbers::new(9);
        let [xs, residual] = [numbers.tensor(&shape), numbers.tensor(&shape)];
        let inputs = [xs, numbers.tensor(&shape[3..]), residual];
        check("layer scale", &inputs[..2], |inputs| {
            let xs = FeatureMap::from_nhwc(&inputs[0])?;
            Ok(layer_scale(&xs, &inputs[1], None)?.to_nhwc())
        });
        check("layer scale and residual", &inputs, |inputs| {
            let [xs, residual] = [&inputs[0], &inputs[2]].map(FeatureMap::from_nhwc);
            Ok(layer_scale(&xs?, &inputs[1], Some(&residual?))?.to_nhwc())
        });
        check("a residual that is the input", &inputs[..2], |inputs| {
            let xs = FeatureMap::from_nhwc(&inputs[0])?;
            Ok(layer_scale(&xs, &inputs[1], Some(&xs))?.to_nhwc())
        });
    }
}

/// Uniform in `[-5, 8)`, away from where a slope jumps.
fn away_from_kinks(numbers: &mut Numbers, shape: &[usize]) -> Tensor {
    let smooth = |x: &f64| [-3., 0., 3., 6.].iter().all(|kink| (x - kink).abs() > 0.01);
    let values = std::iter::repeat_with(|| numbers.uniform(-5., 8.)).filter(smooth);
    Tensor::from_vec(
        values.take(shape.iter().product()).collect::<Vec<_>>(),
        shape,
        &Device::Cpu,
    )
    .unwrap()
}

#[test]
fn activations() {
    let mut numbers = Numbers::new(9);
    let small = [away_from_kinks(&mut numbers, &[3, 37])];
    let large = [away_from_kinks(&mut numbers, &[2, 61, 67, 5])];
    for activation in [
        Activation::Identity,
        Activation::Relu,
        Activation::LeakyRelu(0.01),
        Activation::LeakyRelu(0.3),
        Activation::Relu6,
        Activation::Sigmoid,
        Activation::Silu,
        Activation::HardSwish,
        Activation::HardSigmoid,
        Activation::Tanh,
        Activation::Gelu,
        Activation::GeluTanh,
    ] {
        let f = |xs: &[Tensor]| activate_tensor(&xs[0], activation, BackwardRule::Standard);
        check(&format!("{activation:?}"), &small, f);
        check_along_direction(&format!("{activation:?}, several blocks"), &large, f);
    }
}

#[test]
fn softmax_over_the_last_dimension() {
    let mut numbers = Numbers::new(10);
    for shape in [&[5][..], &[3, 7], &[2, 3, 4]] {
        check(&format!("{shape:?}"), &[numbers.tensor(shape)], |xs| {
            softmax(&xs[0])
        });
    }
}

#[test]
fn addition_and_concatenation() {
    let mut numbers = Numbers::new(12);
    let map = FeatureMap::from_nhwc;
    let pair = [numbers.tensor(&[2, 3, 4, 5]), numbers.tensor(&[2, 3, 4, 5])];
    check("add", &pair, |xs| nchw(add(&map(&xs[0])?, &map(&xs[1])?)));
    check("add to itself", &pair[..1], |xs| {
        nchw(add(&map(&xs[0])?, &map(&xs[0])?))
    });
    let three = [1, 4, 2].map(|channels| numbers.tensor(&[2, 3, 5, channels]));
    check("concat", &three, |xs| {
        nchw(concat(&[&map(&xs[0])?, &map(&xs[1])?, &map(&xs[2])?]))
    });
    check("concat, twice the same", &pair, |xs| {
        nchw(concat(&[&map(&xs[0])?, &map(&xs[1])?, &map(&xs[0])?]))
    });
    check("concat of one", &three[..1], |xs| {
        nchw(concat(&[&map(&xs[0])?]))
    });
}

#[test]
fn scaled_channels() {
    let mut numbers = Numbers::new(14);
    let map = FeatureMap::from_nhwc;
    for shape in [[2, 3, 4, 5], [3, 1, 1, 2], [1, 5, 7, 19]] {
        let factors = [shape[0], 1, 1, shape[3]];
        let pair = [numbers.tensor(&shape), numbers.tensor(&factors)];
        check(&format!("{shape:?}"), &pair, |xs| {
            nchw(scale_channels(&map(&xs[0])?, &map(&xs[1])?))
        });
    }
    let pair = [[3, 29, 31, 7], [3, 1, 1, 7]].map(|shape| numbers.tensor(&shape));
    check_along_direction("several tasks", &pair, |xs| {
        nchw(scale_channels(&map(&xs[0])?, &map(&xs[1])?))
    });
    let [xs, factors] = pair.map(|tensor| map(&tensor).unwrap());
    let message = scale_channels(&factors, &xs).unwrap_err().to_string();
    assert!(
        message.contains("the factors has shape [3, 29, 31, 7], expected [3, 1, 1, 7]"),
        "{message}"
    );
}

#[test]
fn slices_and_shuffles_of_channels() {
    let mut numbers = Numbers::new(14);
    let map = FeatureMap::from_nhwc;
    let xs = [numbers.tensor(&[2, 3, 5, 6])];
    for channels in [0..6, 0..2, 1..4, 5..6] {
        check(&format!("slice {channels:?}"), &xs, |xs| {
            nchw(channel_slice(&map(&xs[0])?, channels.clone()))
        });
    }
    for groups in [1, 2, 3, 6] {
        check(&format!("shuffle of {groups} groups"), &xs, |xs| {
            nchw(channel_shuffle(&map(&xs[0])?, groups))
        });
    }
    let pair = [numbers.tensor(&[2, 3, 5, 6]), numbers.tensor(&[2, 3, 5, 3])];
    check("interleave with a part of a map", &pair, |xs| {
        let [wide, narrow] = [map(&xs[0])?, map(&xs[1])?];
        let part = |map, channels| ChannelRange { map, channels };
        nchw(interleave(&[part(&wide, 2..5), part(&narrow, 0..3)]))
    });
    check("interleave, three parts of one map", &xs, |xs| {
        let xs = map(&xs[0])?;
        let part = |channels| ChannelRange { map: &xs, channels };
        nchw(interleave(&[part(4..6), part(0..2), part(1..3)]))
    });
    check_along_direction("several tasks", &[numbers.tensor(&[3, 23, 29, 38])], |xs| {
        let xs = map(&xs[0])?;
        let left = channel_slice(&channel_shuffle(&xs, 2)?, 0..19)?;
        let part = |map, channels| ChannelRange { map, channels };
        nchw(interleave(&[part(&xs, 3..22), part(&left, 0..19)]))
    });
}

/// Maps of some channels each, a weight and a bias of all of them.
fn parts_with_affine(seed: u64, outer: [usize; 3], channels: &[usize]) -> Vec<Tensor> {
    let mut numbers = Numbers::new(seed);
    let all = channels.iter().sum();
    let mut tensors: Vec<Tensor> = channels
        .iter()
        .map(|&channels| numbers.tensor(&[&outer[..], &[channels]].concat()))
        .collect();
    tensors.extend([numbers.tensor(&[all]), numbers.tensor(&[all])]);
    tensors
}

fn map_of(xs: &Tensor) -> Result<FeatureMap> {
    FeatureMap::from_nhwc(xs)
}

/// The norm of all inputs but the last two, which are its weight and its bias.
fn concat_norm(inputs: &[Tensor], activation: Activation) -> Result<Tensor> {
    let (maps, parameters) = inputs.split_at(inputs.len() - 2);
    let maps = maps.iter().map(|xs| Ok(MeasuredMap::new(map_of(xs)?)));
    let maps = maps.collect::<Result<Vec<_>>>()?;
    let [weight, bias] = parameters else {
        unreachable!("two are split off")
    };
    Ok(concat_norm_train(&maps, weight, bias, 1e-3, activation)?
        .0
        .to_nhwc())
}

#[test]
fn a_norm_over_maps_side_by_side() {
    let silu = |inputs: &[Tensor]| concat_norm(inputs, Activation::Silu);
    for channels in [&[3][..], &[1, 4, 2], &[2, 2]] {
        let inputs = parts_with_affine(15, [2, 3, 4], channels);
        check(&format!("{channels:?}"), &inputs, silu);
    }
    let large = parts_with_affine(16, [3, 29, 31], &[7, 33, 16]);
    check_along_direction("several blocks of pixels", &large, silu);
}

#[test]
fn a_norm_over_maps_side_by_side_is_that_of_their_concatenation() {
    let mut numbers = Numbers::new(17);
    let rectifiers = [
        Activation::Identity,
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu(0.1),
        Activation::Gelu,
    ];
    for (outer, channels) in [([2, 5, 4], &[19, 3, 32][..]), ([3, 17, 23], &[64, 32, 5])] {
        let inputs = parts_with_affine(18, outer, channels);
        let count = channels.len();
        let all = channels.iter().sum();
        let mean = numbers.tensor(&[all]);
        let var = (numbers.tensor(&[all]).abs().unwrap() + 0.1).unwrap();
        for activation in rectifiers {
            for running in [false, true] {
                let joined = |inputs: &[Tensor], at_once: bool| -> Result<Tensor> {
                    let maps = inputs[..count].iter().map(map_of);
                    let maps = maps.collect::<Result<Vec<_>>>()?;
                    let references: Vec<&FeatureMap> = maps.iter().collect();
                    let [weight, bias] = [&inputs[count], &inputs[count + 1]];
                    let ys = match (at_once, running) {
                        (true, true) => concat_norm_running(
                            &references,
                            [weight, bias],
                            [&mean, &var],
                            1e-3,
                            activation,
                        )?,
                        (true, false) => {
                            let maps: Vec<_> = maps.into_iter().map(MeasuredMap::new).collect();
                            // The second norm of the maps uses what the first one measured.
                            concat_norm_train(
                                &maps[1..],
                                &weight.narrow(0, channels[0], all - channels[0])?,
                                &bias.narrow(0, channels[0], all - channels[0])?,
                                1e-3,
                                activation,
                            )?;
                            concat_norm_train(&maps, weight, bias, 1e-3, activation)?.0
                        }
                        (false, true) => batch_norm_running(
                            &concat(&references)?,
                            weight,
                            bias,
                            &mean,
                            &var,
                            1e-3,
                            None,
                            activation,
                        )?,
                        (false, false) => {
                            batch_norm_train(
                                &concat(&references)?,
                                weight,
                                bias,
                                1e-3,
                                None,
                                activation,
                            )?
                            .0
                        }
                    };
                    Ok(ys.to_nhwc())
                };
                let found = joined(&inputs, true).unwrap();
                let expected = joined(&inputs, false).unwrap();
                let pairs = [(values(&found), values(&expected))].into_iter().chain(
                    gradients(&inputs, &|inputs| joined(inputs, true))
                        .into_iter()
                        .zip(gradients(&inputs, &|inputs| joined(inputs, false))),
                );
                for (found, expected) in pairs {
                    let errors: Vec<f64> = found
                        .iter()
                        .zip(&expected)
                        .map(|(found, expected)| found - expected)
                        .collect();
                    assert!(
                        norm(&errors) <= 1e-12 * (1. + norm(&expected)),
                        "{channels:?} {activation:?} {running}"
                    );
                }
            }
        }
    }
}

#[test]
fn statistics_of_maps_side_by_side_are_the_batchs_and_errors_name_the_map() {
    let inputs = parts_with_affine(19, [2, 3, 4], &[3, 2]);
    let maps = [&inputs[0], &inputs[1]].map(|xs| MeasuredMap::new(map_of(xs).unwrap()));
    let [weight, bias] = [&inputs[2], &inputs[3]];
    let identity = Activation::Identity;
    let (_, found) = concat_norm_train(&maps, weight, bias, 1e-3, identity).unwrap();
    let joined = concat(&[maps[0].map(), maps[1].map()]).unwrap();
    let (_, expected) = batch_norm_train(&joined, weight, bias, 1e-3, None, identity).unwrap();
    assert_eq!(found.count, expected.count);
    for (found, expected) in [
        (&found.mean, &expected.mean),
        (&found.unbiased_var, &expected.unbiased_var),
    ] {
        for (found, expected) in values(found).iter().zip(values(expected)) {
            assert!((found - expected).abs() < 1e-12);
        }
    }
    let other = Numbers::new(1).tensor(&[2, 3, 5, 2]);
    let other = MeasuredMap::new(map_of(&other).unwrap());
    let wrong = [maps[0].clone(), other];
    for (maps, weight, expected) in [
        (
            &wrong[..],
            weight,
            "a map has shape [2, 3, 5, 2], expected [2, 3, 4]",
        ),
        (&[], weight, "number of maps is 0"),
        (&maps[..1], weight, "the weight has shape [5], expected [3]"),
    ] {
        let error = concat_norm_train(maps, weight, bias, 1e-3, identity).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn layouts() {
    let mut numbers = Numbers::new(13);
    for shape in [[2, 3, 4, 5], [2, 3, 1, 1], [3, 1, 4, 2], [1, 4, 1, 3]] {
        let xs = [numbers.tensor(&shape)];
        check("nchw to nhwc", &xs, |xs| {
            Ok(FeatureMap::from_nchw(&xs[0])?.to_nhwc())
        });
        check("nhwc to nchw", &xs, |xs| {
            FeatureMap::from_nhwc(&xs[0])?.to_nchw()
        });
        check("flatten", &xs, |xs| {
            FeatureMap::from_nhwc(&xs[0])?.flatten()
        });
    }
}

#[test]
fn views_as_inputs() {
    let mut numbers = Numbers::new(14);
    let xs = numbers.tensor(&[2, 7, 6, 5]);
    let inputs = [xs, numbers.tensor(&[3, 5, 2, 3]), numbers.tensor(&[5])];
    let spec = Conv2dSpec::default();
    check("narrowed and transposed", &inputs, |inputs| {
        let xs = FeatureMap::from_nhwc(&inputs[0].narrow(2, 1, 4)?.narrow(3, 2, 3)?)?;
        let weight = inputs[1]
            .transpose(0, 1)?
            .narrow(1, 0, 3)?
            .narrow(0, 1, 4)?;
        nchw(conv2d(
            &xs,
            &weight,
            Some(&inputs[2].narrow(0, 1, 4)?),
            &spec,
        ))
    });
    check("an offset into the storage", &inputs[..1], |inputs| {
        let xs = FeatureMap::from_nhwc(&inputs[0].narrow(0, 1, 1)?)?;
        nchw(max_pool(&xs, &Window::new([2, 3])))
    });
    let scalar_weight = [
        numbers.tensor(&[2, 3, 4, 5]),
        numbers.tensor(&[1]),
        numbers.tensor(&[1]),
    ];
    check("broadcast parameters", &scalar_weight, |inputs| {
        let weight = inputs[1].broadcast_as(5)?;
        let bias = inputs[2].broadcast_as(5)?;
        Ok(layer_norm(&FeatureMap::from_nhwc(&inputs[0])?, &weight, &bias, 1e-3)?.to_nhwc())
    });
}

/// A small network of most kinds of operations, in which many maps have two consumers; its inputs
/// are [`network_inputs`].
fn network(inputs: &[Tensor]) -> Result<Tensor> {
    let [
        image,
        stem,
        bn_weight,
        bn_bias,
        depthwise,
        ln_weight,
        ln_bias,
        grouped,
        bias,
        pointwise,
    ] = inputs
    else {
        panic!("{} inputs", inputs.len());
    };
    let activate = |xs: FeatureMap, f| activate(&xs, f, BackwardRule::Standard);
    let padded = |groups| Conv2dSpec {
        groups,
        padding: Padding::all(1),
        ..Conv2dSpec::default()
    };
    let window = Window {
        stride: [2, 2],
        padding: Padding::all(1),
        ..Window::new([3, 3])
    };

    let xs = conv2d(&FeatureMap::from_nchw(image)?, stem, None, &padded(1))?;
    let xs = batch_norm_train(&xs, bn_weight, bn_bias, 1e-3, None, Activation::Silu)?.0;
    let xs = add(&conv2d(&xs, depthwise, None, &padded(4))?, &xs)?;
    let size = [xs.height(), xs.width()];
    let largest = upsample_nearest(&max_pool(&xs, &window)?, size)?;
    let mean = upsample_nearest(&avg_pool(&xs, &window, false)?, size)?;
    let xs = layer_norm(&concat(&[&largest, &xs, &mean])?, ln_weight, ln_bias, 1e-3)?;
    let xs = activate(
        conv2d(&xs, grouped, Some(bias), &padded(2))?,
        Activation::Relu,
    )?;
    let xs = conv2d(&xs, pointwise, None, &Conv2dSpec::default())?;
    softmax(&Tensor::cat(
        &[
            global_avg_pool(&xs)?.flatten()?,
            global_max_pool(&xs)?.flatten()?,
        ],
        1,
    )?)
}

fn network_inputs(seed: u64, [batch, height, width]: [usize; 3]) -> Vec<Tensor> {
    let image = [batch, 2, height, width];
    let shapes: [&[usize]; 10] = [
        &image,
        &[4, 2, 3, 3],
        &[4],
        &[4],
        &[4, 1, 3, 3],
        &[12],
        &[12],
        &[6, 6, 3, 3],
        &[6],
        &[5, 6, 1, 1],
    ];
    let mut numbers = Numbers::new(seed);
    shapes.iter().map(|shape| numbers.tensor(shape)).collect()
}

#[test]
fn maps_with_two_consumers() {
    check("network", &network_inputs(15, [2, 5, 7]), network);
}

#[test]
fn what_is_not_tracked_gets_no_gradient() {
    let inputs = network_inputs(16, [2, 5, 7]);
    let vars: Vec<Var> = inputs
        .iter()
        .map(|input| Var::from_tensor(input).unwrap())
        .collect();
    let frozen = [0, 2, 4, 7];
    let mixed: Vec<Tensor> = (0..inputs.len())
        .map(|i| {
            if frozen.contains(&i) {
                vars[i].as_detached_tensor()
            } else {
                vars[i].as_tensor().clone()
            }
        })
        .collect();
    let all = gradients(&inputs, &network);
    let ys = network(&mixed).unwrap();
    let grads = (&ys * upstream(&ys))
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    for (index, var) in vars.iter().enumerate() {
        assert!(
            grads
                .get(&mixed[index])
                .is_none_or(|_| !frozen.contains(&index)),
            "input {index} is frozen"
        );
        match grads.get(var) {
            None => assert!(frozen.contains(&index), "input {index} is tracked"),
            Some(grad) => assert_eq!(values(grad), all[index], "input {index}"),
        }
    }
    let constants: Vec<Tensor> = inputs.iter().map(Tensor::detach).collect();
    assert!(!network(&constants).unwrap().track_op());
}

/// The bits of the output and of all gradients of the network, computed by so many threads. In f64,
/// where sums over many pixels are not rounded once more, each change of their order shows.
fn bits(dtype: DType, threads: usize) -> Vec<Vec<u64>> {
    let inputs = network_inputs(17, [3, 89, 97]);
    let bits = |tensor: &Tensor| -> Vec<u64> {
        values(&tensor.to_dtype(DType::F64).unwrap())
            .into_iter()
            .map(f64::to_bits)
            .collect()
    };
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .unwrap();
    pool.install(|| {
        assert_eq!(rayon::current_num_threads(), threads);
        let vars: Vec<Var> = inputs
            .iter()
            .map(|input| Var::from_tensor(&input.to_dtype(dtype).unwrap()).unwrap())
            .collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let ys = network(&tensors).unwrap();
        let upstream = upstream(&ys).to_dtype(dtype).unwrap();
        let grads = (&ys * upstream)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        [bits(&ys)]
            .into_iter()
            .chain(vars.iter().map(|var| bits(grads.get(var).unwrap())))
            .collect()
    })
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for dtype in [DType::F32, DType::F64] {
        let one = bits(dtype, 1);
        assert!(one[1].len() > 10_000 && one.iter().all(|bits| bits.iter().any(|&bit| bit != 0)));
        for threads in [2, 3] {
            assert!(
                bits(dtype, threads) == one,
                "{threads} threads compute other bits than one in {dtype:?}"
            );
        }
    }
}
