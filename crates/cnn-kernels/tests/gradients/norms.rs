//! Normalisation, its statistics, and layer scale.

use candle_core::{Result, Tensor, Var};
use cnn_kernels::{
    Activation, BackwardRule, FeatureMap, MeasuredMap, activate, add, batch_norm_running,
    batch_norm_train, concat, concat_norm_running, concat_norm_train, group_norm, l2_norm,
    layer_norm, layer_norm_plain, layer_scale,
};

use crate::common::Numbers;
use crate::{check, check_along_direction, gradients, norm, values};

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
fn group_norm_over_channels_of_an_image() {
    let affine = |groups: usize| {
        move |inputs: &[Tensor]| {
            let xs = FeatureMap::from_nhwc(&inputs[0])?;
            let parameters = Some([&inputs[1], &inputs[2]]);
            Ok(group_norm(&xs, groups, parameters, 1e-3)?.to_nhwc())
        }
    };
    for (shape, groups) in [
        ([2, 3, 4, 6], 3),
        ([2, 3, 2, 5], 1),
        ([1, 2, 3, 4], 4),
        ([3, 1, 1, 6], 2),
    ] {
        let inputs = with_affine(8, shape);
        check(&format!("{shape:?} in {groups}"), &inputs, affine(groups));
    }
    // A task has pixels of several images, an image several tasks of several short sums.
    for (shape, groups) in [([5, 7, 9, 10], 5), ([2, 39, 43, 22], 11)] {
        let inputs = with_affine(8, shape);
        check_along_direction(&format!("{shape:?} in {groups}"), &inputs, affine(groups));
    }
    let plain = |inputs: &[Tensor]| {
        Ok(group_norm(&FeatureMap::from_nhwc(&inputs[0])?, 2, None, 1e-3)?.to_nhwc())
    };
    let xs = Numbers::new(8).tensor(&[2, 3, 2, 4]);
    check("group norm without weights", &[xs], plain);
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
fn pixels_of_one_length() {
    // With a large eps some pixels are shorter than it, and their lengths are constants.
    for (shape, eps) in [
        ([2, 5, 4, 3], 1e-12),
        ([2, 3, 4, 35], 1e-12),
        ([2, 3, 4, 1], 1e-12),
        ([2, 3, 4, 5], 1.3),
    ] {
        let mut numbers = Numbers::new(31);
        let inputs = [&shape[..], &shape[3..]].map(|shape| numbers.tensor(shape));
        let f = |inputs: &[Tensor]| {
            let xs = FeatureMap::from_nhwc(&inputs[0])?;
            Ok(l2_norm(&xs, &inputs[1], eps)?.to_nhwc())
        };
        if shape[3] > 1 {
            check(&format!("{shape:?}, {eps}"), &inputs, f);
            continue;
        }
        // A number over its absolute value does not depend on it.
        let of_input = &gradients(&inputs, &f)[0];
        assert!(norm(of_input) < 1e-12, "{of_input:?}");
    }
    let mut numbers = Numbers::new(32);
    let inputs = [&[3, 29, 31, 37][..], &[37]].map(|shape| numbers.tensor(shape));
    check_along_direction("several blocks of pixels", &inputs, |inputs| {
        let xs = FeatureMap::from_nhwc(&inputs[0])?;
        Ok(l2_norm(&xs, &inputs[1], 1e-12)?.to_nhwc())
    });
}
