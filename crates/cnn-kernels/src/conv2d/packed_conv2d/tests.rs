//! One pass computes what the operations do one after the other.
#![allow(clippy::unwrap_used)]
use super::*;
use crate::Padding;
use candle_core::Device;

fn random(shape: &[usize]) -> Tensor {
    Tensor::rand(-1f32, 1., shape, &Device::Cpu).unwrap()
}

fn map(shape: [usize; 4]) -> FeatureMap {
    FeatureMap::from_nhwc(&random(&shape)).unwrap()
}

fn assert_close(found: &FeatureMap, expected: &FeatureMap) {
    assert_eq!(found.dims(), expected.dims());
    let difference = (found.to_nhwc() - expected.to_nhwc())
        .unwrap()
        .abs()
        .unwrap()
        .flatten_all()
        .unwrap();
    let largest = difference
        .max(0)
        .unwrap()
        .to_dtype(DType::F64)
        .unwrap()
        .to_scalar::<f64>()
        .unwrap();
    assert!(largest < 2e-5, "{largest}");
}

#[test]
fn one_pass_computes_what_the_operations_do() {
    let huge = Padding::symmetric(0, 1 << 20);
    let cases = [
        // input, weight, spec
        (
            [2, 9, 7, 5],
            [19, 5, 3, 3],
            Conv2dSpec {
                padding: Padding::all(1),
                ..Conv2dSpec::default()
            },
        ),
        (
            [1, 30, 31, 16],
            [24, 16, 3, 3],
            Conv2dSpec {
                padding: Padding::all(1),
                ..Conv2dSpec::default()
            },
        ),
        (
            [2, 9, 7, 6],
            [12, 2, 3, 1],
            Conv2dSpec {
                stride: [2, 1],
                groups: 3,
                ..Conv2dSpec::default()
            },
        ),
        (
            [2, 9, 7, 21],
            [21, 1, 3, 3],
            Conv2dSpec {
                groups: 21,
                ..Conv2dSpec::default()
            },
        ),
        (
            [1, 1, 3, 40],
            [3, 40, 1, 1],
            Conv2dSpec {
                stride: [1, 1 << 19],
                padding: huge,
                ..Conv2dSpec::default()
            },
        ),
    ];
    let activations = [
        Activation::Identity,
        Activation::Relu,
        Activation::Relu6,
        Activation::LeakyRelu(0.1),
        Activation::Silu,
        Activation::HardSwish,
        Activation::Gelu,
    ];
    for (input, weight, spec) in cases {
        let xs = map(input);
        let bias = random(&weight[..1]);
        let weight = random(&weight);
        let packed = PackedConv2d::new(&weight, Some(&bias), &spec).unwrap();
        let sum = conv2d(&xs, &weight, Some(&bias), &spec).unwrap();
        let residual = map(sum.dims());
        for activation in activations {
            let after = |ys: &FeatureMap| activate(ys, activation, BackwardRule::Standard).unwrap();
            assert_close(
                &packed.forward(&xs, None, activation).unwrap(),
                &after(&sum),
            );
            let expected = after(&add(&sum, &residual).unwrap());
            assert_close(
                &packed.forward(&xs, Some(&residual), activation).unwrap(),
                &expected,
            );
        }
    }
}

#[test]
fn convolutions_side_by_side_are_a_concatenation() {
    let xs = map([2, 13, 11, 16]);
    let conv = |c_out: usize, kernel: usize, groups: usize| {
        let spec = Conv2dSpec {
            padding: Padding::all(kernel / 2),
            groups,
            ..Conv2dSpec::default()
        };
        PackedConv2d::new(
            &random(&[c_out, 16 / groups, kernel, kernel]),
            Some(&random(&[c_out])),
            &spec,
        )
        .unwrap()
    };
    let small = conv(24, 1, 1);
    let large = conv(40, 3, 1);
    let depthwise = conv(16, 3, 16);
    for last in [
        (&large, Activation::Relu6),
        (&depthwise, Activation::Relu),
        (&large, Activation::Tanh),
    ] {
        let parts = [(&small, &xs, Activation::Relu), (last.0, &xs, last.1)];
        let outputs =
            parts.map(|(conv, xs, activation)| conv.forward(xs, None, activation).unwrap());
        let found = PackedConv2d::forward_concat(&parts).unwrap();
        assert_close(&found, &concat(&[&outputs[0], &outputs[1]]).unwrap());
    }
    assert!(PackedConv2d::forward_concat(&[]).is_err());
    let other = map([2, 13, 12, 16]);
    let different = [
        (&small, &xs, Activation::Relu),
        (&large, &other, Activation::Relu),
    ];
    assert!(
        PackedConv2d::forward_concat(&different)
            .unwrap_err()
            .to_string()
            .contains("a map has shape")
    );
}

#[test]
fn what_does_not_fit_is_named() {
    let packed = PackedConv2d::new(&random(&[4, 3, 1, 1]), None, &Conv2dSpec::default()).unwrap();
    let xs = map([1, 2, 2, 3]);
    let message = packed
        .forward(&xs, Some(&map([1, 2, 2, 3])), Activation::Relu)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("the residual has shape [1, 2, 2, 3], expected [1, 2, 2, 4]"),
        "{message}"
    );
    assert!(
        packed
            .forward(&map([1, 2, 2, 5]), None, Activation::Relu)
            .is_err()
    );
    let double = FeatureMap::from_nhwc(&xs.to_nhwc().to_dtype(DType::F64).unwrap()).unwrap();
    let message = packed
        .forward(&double, None, Activation::Relu)
        .unwrap_err()
        .to_string();
    assert!(message.contains("expected F32"), "{message}");
    assert!(PackedConv2d::new(&random(&[4, 3, 1]), None, &Conv2dSpec::default()).is_err());
    assert!(
        PackedConv2d::new(
            &random(&[4, 3, 1, 1]),
            Some(&random(&[3])),
            &Conv2dSpec::default()
        )
        .is_err()
    );
    let spec = Conv2dSpec {
        dilation: [1 << 40, 1],
        ..Conv2dSpec::default()
    };
    assert!(PackedConv2d::new(&random(&[4, 3, 3, 1]), None, &spec).is_err());
}

#[test]
fn a_map_that_is_not_written_between_changes_no_bit() {
    // With many threads, maps of so few rows are computed in two passes.
    let two = rayon::ThreadPoolBuilder::new().num_threads(2).build();
    two.unwrap().install(expanded_equals_two_passes);
}

fn expanded_equals_two_passes() {
    let table = [
        // batch, size, channels, kernel, stride, padding
        ([1, 60, 61], [5, 48], 3, 1, Padding::all(1)),
        ([2, 57, 56], [16, 40], 3, 2, Padding::all(1)),
        ([3, 29, 31], [24, 72], 5, 2, Padding::all(2)),
        ([1, 43, 47], [8, 70], 5, 1, Padding::all(2)),
        ([2, 33, 35], [3, 96], 7, 1, Padding::all(3)),
        ([2, 40, 44], [7, 64], 3, 1, Padding::Valid),
        ([9, 14, 14], [4, 96], 3, 1, Padding::all(1)),
        // Rows so long that a task goes on several times, with rows that it has already.
        ([1, 160, 128], [3, 96], 3, 1, Padding::all(1)),
        ([1, 200, 130], [3, 96], 5, 2, Padding::all(2)),
        ([3, 48, 180], [2, 96], 3, 1, Padding::all(1)),
    ];
    let after = [Activation::Silu, Activation::HardSwish];
    for ([batch, height, width], [c_in, wide], kernel, stride, padding) in table {
        let pointwise = PackedConv2d::new(
            &random(&[wide, c_in, 1, 1]),
            Some(&random(&[wide])),
            &Conv2dSpec::default(),
        )
        .unwrap();
        let spec = Conv2dSpec {
            stride: [stride; 2],
            padding,
            groups: wide,
            ..Conv2dSpec::default()
        };
        let depthwise =
            PackedConv2d::new(&random(&[wide, 1, kernel, kernel]), None, &spec).unwrap();
        let xs = map([batch, height, width, c_in]);
        let together = pointwise.forward_expanded(&depthwise, &xs, after);
        let together = together.unwrap().expect("the map is wide");
        let between = pointwise.forward(&xs, None, after[0]).unwrap();
        let apart = depthwise.forward(&between, None, after[1]).unwrap();
        let bits = |ys: &FeatureMap| {
            ys.to_nhwc()
                .flatten_all()
                .unwrap()
                .to_vec1::<f32>()
                .unwrap()
        };
        assert_eq!(together.dims(), apart.dims());
        assert!(
            bits(&together) == bits(&apart),
            "{height}x{width} {kernel}/{stride}"
        );
        let narrow = map([1, 8, 8, c_in]);
        let spared = pointwise.forward_expanded(&depthwise, &narrow, after);
        assert!(spared.unwrap().is_none());
    }
}
