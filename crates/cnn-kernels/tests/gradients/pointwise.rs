//! Activations, softmax, joins, slices and shuffles.

use candle_core::{Device, Tensor};
use cnn_kernels::{
    Activation, BackwardRule, ChannelRange, FeatureMap, activate_tensor, add, channel_shuffle,
    channel_slice, concat, interleave, scale_channels, softmax,
};

use crate::common::Numbers;
use crate::{check, check_along_direction, nchw};

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
