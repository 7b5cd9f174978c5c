//! The gradients that `backward` collects are those of candle's own backward pass.
#![allow(clippy::unwrap_used)]

use candle_core::{DType, Device, Tensor, Var};
use cnn_kernels::{Conv2dSpec, FeatureMap, backward, conv2d, global_avg_pool};

fn values(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

/// A loss in which one weight is read by two convolutions and by an operation of candle's, another
/// by one convolution, and a third, a linear layer's, as a matrix.
fn loss(image: &Var, shared: &Var, once: &Var, matrix: &Var) -> Tensor {
    let spec = Conv2dSpec::default();
    let xs = FeatureMap::from_nhwc(image).unwrap();
    let ys = conv2d(
        &conv2d(&xs, shared, None, &spec).unwrap(),
        shared,
        None,
        &spec,
    )
    .unwrap();
    let ys = global_avg_pool(&conv2d(&ys, once, None, &spec).unwrap()).unwrap();
    let ys = conv2d(&ys, matrix, None, &spec).unwrap().flatten().unwrap();
    (ys.sqr().unwrap().sum_all().unwrap() + shared.sqr().unwrap().sum_all().unwrap()).unwrap()
}

#[test]
fn collected_gradients_equal_candles() {
    let var = |from: f64, shape: &[usize]| {
        let count = shape.iter().product::<usize>() as f64;
        let values = Tensor::arange(0., count, &Device::Cpu)
            .unwrap()
            .affine(0.1, from)
            .unwrap()
            .sin()
            .unwrap();
        Var::from_tensor(&values.reshape(shape).unwrap().to_dtype(DType::F64).unwrap()).unwrap()
    };
    let image = var(0., &[2, 7, 9, 3]);
    let shared = var(1., &[3, 3, 2, 3]);
    let once = var(2., &[4, 3, 3, 3]);
    let matrix = var(3., &[5, 4]);
    let elsewhere = var(4., &[2]);
    let loss = || loss(&image, &shared, &once, &matrix);
    let ours = backward(&loss()).unwrap();
    let candles = loss().backward().unwrap();
    for (name, variable) in [
        ("image", &image),
        ("shared", &shared),
        ("once", &once),
        ("matrix", &matrix),
    ] {
        let ours = values(ours.get(variable).unwrap());
        let candles = values(candles.get(variable).unwrap());
        assert!(candles.iter().any(|value| value.abs() > 1e-3), "{name}");
        let close =
            |(ours, candles): (&f64, &f64)| (ours - candles).abs() <= 1e-12 * candles.abs().max(1.);
        assert!(
            ours.iter().zip(&candles).all(close),
            "{name}: {ours:?} {candles:?}"
        );
    }
    assert!(ours.get(&elsewhere).is_none());
    assert_eq!(ours.get_ids().count(), candles.get_ids().count());
}

#[test]
fn a_backward_pass_that_fails_leaves_candles_as_it_was() {
    let image = Var::ones((1, 2, 2, 1), DType::F64, &Device::Cpu).unwrap();
    let weight = Var::ones((1, 1, 1, 1), DType::F64, &Device::Cpu).unwrap();
    let map = |weight: &Var| {
        conv2d(
            &FeatureMap::from_nhwc(&image).unwrap(),
            weight,
            None,
            &Conv2dSpec::default(),
        )
        .unwrap()
    };
    // candle has no gradient of this operation.
    let broken = map(&weight)
        .to_nchw()
        .unwrap()
        .upsample_bilinear2d(4, 4, false)
        .unwrap()
        .sum_all()
        .unwrap();
    assert!(backward(&broken).is_err());
    let gradients = map(&weight)
        .flatten()
        .unwrap()
        .sum_all()
        .unwrap()
        .backward()
        .unwrap();
    assert_eq!(values(gradients.get(&weight).unwrap()), [4.]);
}
