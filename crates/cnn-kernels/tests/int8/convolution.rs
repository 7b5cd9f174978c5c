//! Convolutions of all shapes and of extreme values, their errors.

use cnn_kernels::int8::{
    Quantization, QuantizedConv2d, QuantizedConv2dConfig, QuantizedMap, QuantizedWeight,
};
use cnn_kernels::{Activation, Conv2dSpec, Padding};

use crate::common::Numbers;
use crate::on_threads;
use crate::plain::{Case, map, padding, whole};

impl Case {
    fn packed(&self) -> QuantizedConv2d {
        QuantizedConv2d::new(&QuantizedConv2dConfig {
            weight: QuantizedWeight {
                dims: self.dims,
                values: &self.weight,
                scales: &self.scales,
                bias: Some(&self.bias),
            },
            spec: self.spec,
            input: self.xs.quantization(),
            output: self.output,
            activation: self.activation,
        })
        .unwrap()
    }

    /// Sums and bytes, with and without a residual.
    fn check(&self, numbers: &mut Numbers, what: &str) {
        let packed = self.packed();
        let sums = self.sums();
        let found = packed.forward_sums(&self.xs).unwrap();
        let found: Vec<i64> = found.into_iter().map(i64::from).collect();
        assert!(found == sums, "{what}: sums differ");
        let residual = map(numbers, self.output_dims());
        for residual in [None, Some(&residual)] {
            let ys = packed.forward(&self.xs, residual).unwrap();
            assert_eq!(ys.dims(), self.output_dims(), "{what}");
            assert_eq!(ys.quantization(), self.output, "{what}");
            let expected = self.bytes(&sums, residual);
            let differences = ys.values().iter().zip(&expected).filter(|(a, b)| a != b);
            let different = differences.count();
            assert!(
                different == 0,
                "{what}, residual {}: {different} of {} bytes differ",
                residual.is_some(),
                expected.len()
            );
        }
    }
}

/// A convolution of up to a few thousand multiply-adds for each output.
fn random(numbers: &mut Numbers) -> Case {
    let mut number = |low, high| whole(numbers, low, high) as usize;
    let kernel = [number(1, 5), number(1, 5)];
    let dilation = [number(1, 3), number(1, 3)].map(|dilation| if dilation < 3 { 1 } else { 2 });
    let stride = [number(1, 3), number(1, 3)];
    let extent = [0, 1].map(|axis| (kernel[axis] - 1) * dilation[axis] + 1);
    let size = extent.map(|extent| number(extent as i64, extent as i64 + 14));
    let batch = number(1, 3);
    let (groups, group_in, group_out) = match number(0, 3) {
        // Depthwise, dense, and grouped.
        0 => (number(2, 90), 1, 1),
        1 => (number(2, 5), number(1, 9), number(1, 40)),
        _ => (1, number(1, 70), number(1, 110)),
    };
    let spec = Conv2dSpec {
        stride,
        padding: padding(numbers, extent[0].max(extent[1])),
        dilation,
        groups,
    };
    let xs = [batch, size[0], size[1], groups * group_in];
    let dims = [groups * group_out, group_in, kernel[0], kernel[1]];
    Case::new(numbers, xs, dims, spec)
}

#[test]
fn random_convolutions_equal_plain_loops() {
    let mut numbers = Numbers::new(1);
    for number in 0..150 {
        let case = random(&mut numbers);
        let what = format!(
            "{number}: {:?} with {:?}, {:?}",
            case.xs.dims(),
            case.dims,
            case.spec
        );
        case.check(&mut numbers, &what);
    }
}

/// Rows `[C_in, size, C_out, kernel, stride, groups]` of networks; the first sizes are not square.
const OF_NETWORKS: [[usize; 6]; 14] = [
    [3, 37, 64, 7, 2, 1],
    [3, 30, 32, 3, 2, 1],
    [64, 19, 64, 3, 1, 1],
    [256, 15, 64, 1, 1, 1],
    [64, 13, 128, 1, 2, 1],
    [128, 14, 128, 3, 2, 1],
    [512, 7, 24, 3, 1, 1],
    [16, 17, 96, 1, 1, 1],
    [24, 9, 144, 1, 1, 1],
    [96, 21, 96, 3, 2, 96],
    [144, 16, 144, 3, 1, 144],
    [130, 9, 130, 5, 1, 130],
    [72, 11, 72, 5, 2, 72],
    [1024, 1, 100, 1, 1, 1],
];

#[test]
fn convolutions_of_networks_equal_plain_loops() {
    let mut numbers = Numbers::new(2);
    for [c_in, size, c_out, kernel, stride, groups] in OF_NETWORKS {
        let spec = Conv2dSpec {
            stride: [stride; 2],
            padding: Padding::all(kernel / 2),
            groups,
            ..Conv2dSpec::default()
        };
        let width = if size > 1 { size + 3 } else { 1 };
        let dims = [c_out, c_in / groups, kernel, kernel];
        let case = Case::new(&mut numbers, [2, size, width, c_in], dims, spec);
        case.check(
            &mut numbers,
            &format!("{c_in} to {c_out}, {kernel}x{kernel}"),
        );
    }
}

#[test]
fn extreme_bytes_do_not_saturate_on_the_way() {
    let mut numbers = Numbers::new(3);
    for (groups, c_in) in [(1, 70), (33, 33)] {
        for (q, weight) in [(255, -127), (255, 127), (255, -128), (0, 127)] {
            for zero_point in [0, 1, 128, 255] {
                let spec = Conv2dSpec {
                    padding: Padding::all(1),
                    groups,
                    ..Conv2dSpec::default()
                };
                let dims = [33, c_in / groups, 3, 3];
                let mut case = Case::new(&mut numbers, [1, 5, 6, c_in], dims, spec);
                let quantization = Quantization::new(0.05, zero_point).unwrap();
                case.xs =
                    QuantizedMap::new(case.xs.dims(), vec![q; 30 * c_in], quantization).unwrap();
                case.weight.fill(weight);
                case.check(&mut numbers, &format!("{q} · {weight}, zero {zero_point}"));
            }
        }
    }
}

#[test]
fn sums_far_beyond_the_outputs_range_end_at_its_bounds() {
    let mut numbers = Numbers::new(8);
    for (scale, of_residual) in [(1e-9, 0.05), (1e-20, 0.05), (0.05, 1e9), (1e-9, 1e9)] {
        for (groups, c_in) in [(1, 8), (40, 40)] {
            let spec = Conv2dSpec {
                groups,
                ..Conv2dSpec::default()
            };
            let dims = [40, c_in / groups, 3, 3];
            let mut case = Case::new(&mut numbers, [1, 5, 6, c_in], dims, spec);
            case.output = Quantization::new(scale, 77).unwrap();
            let sums = case.sums();
            let residual = map(&mut numbers, case.output_dims());
            let quantization = Quantization::new(of_residual, 9).unwrap();
            let residual =
                QuantizedMap::new(residual.dims(), residual.values().to_vec(), quantization);
            let residual = residual.unwrap();
            for residual in [None, Some(&residual)] {
                let ys = case.packed().forward(&case.xs, residual).unwrap();
                assert_eq!(ys.values(), case.bytes(&sums, residual), "{scale}");
            }
        }
    }
}

#[test]
fn every_zero_point_is_exact_at_the_borders() {
    let mut numbers = Numbers::new(4);
    for zero_point in 0..=255 {
        for (groups, c_in) in [(1, 5), (6, 6)] {
            let spec = Conv2dSpec {
                padding: Padding::all(2),
                groups,
                ..Conv2dSpec::default()
            };
            let dims = [6, c_in / groups, 3, 3];
            let mut case = Case::new(&mut numbers, [1, 3, 4, c_in], dims, spec);
            let quantization = Quantization::new(0.05, zero_point).unwrap();
            let values = case.xs.values().to_vec();
            case.xs = QuantizedMap::new(case.xs.dims(), values, quantization).unwrap();
            case.check(&mut numbers, &format!("zero point {zero_point}"));
        }
    }
}

#[test]
fn absurd_dilation_and_padding_need_no_absurd_memory() {
    let mut numbers = Numbers::new(5);
    let spec = |padding: usize, dilation: usize| Conv2dSpec {
        padding: Padding::all(padding),
        dilation: [dilation; 2],
        ..Conv2dSpec::default()
    };
    for (c_in, padding, dilation) in [(5, 100_000, 100_000), (4, 30_000, 30_001)] {
        let dims = [7, c_in, 3, 3];
        let case = Case::new(&mut numbers, [1, 3, 4, c_in], dims, spec(padding, dilation));
        case.check(&mut numbers, &format!("dilation {dilation}"));
    }
}

#[test]
fn bytes_do_not_depend_on_the_number_of_threads() {
    let mut numbers = Numbers::new(6);
    for (c_in, c_out, kernel, groups) in [(64, 130, 3, 1), (256, 70, 1, 1), (160, 160, 3, 160)] {
        let spec = Conv2dSpec {
            padding: Padding::all(kernel / 2),
            groups,
            ..Conv2dSpec::default()
        };
        let dims = [c_out, c_in / groups, kernel, kernel];
        let case = Case::new(&mut numbers, [2, 29, 31, c_in], dims, spec);
        let packed = case.packed();
        let bytes = |threads| {
            on_threads(threads, || {
                packed.forward(&case.xs, None).unwrap().values().to_vec()
            })
        };
        let one = bytes(1);
        assert!([2, 3].into_iter().all(|threads| bytes(threads) == one));
    }
}

#[test]
fn an_empty_batch_is_an_empty_map() {
    let mut numbers = Numbers::new(7);
    for groups in [1, 6] {
        let spec = Conv2dSpec {
            groups,
            ..Conv2dSpec::default()
        };
        let case = Case::new(&mut numbers, [0, 5, 5, 6], [6, 6 / groups, 3, 3], spec);
        let ys = case.packed().forward(&case.xs, None).unwrap();
        assert_eq!((ys.dims(), ys.values().len()), ([0, 3, 3, 6], 0));
    }
}

#[test]
fn what_cannot_work_is_named() {
    let quantization = Quantization::new(0.1, 3).unwrap();
    let values = vec![127i8; 4 * 300_000];
    let scales = [0.1f32; 4];
    let weight = QuantizedWeight {
        dims: [4, 3, 2, 2],
        values: &values[..48],
        scales: &scales,
        bias: None,
    };
    let config = QuantizedConv2dConfig {
        weight,
        spec: Conv2dSpec::default(),
        input: quantization,
        output: quantization,
        activation: Activation::Identity,
    };
    let with = |weight: QuantizedWeight<'static>| QuantizedConv2dConfig { weight, ..config };
    let leaked: &'static [i8] = values.clone().leak();
    let base = QuantizedWeight {
        values: &leaked[..48],
        scales: &[0.1; 4],
        bias: None,
        dims: weight.dims,
    };
    let short = QuantizedWeight {
        values: &leaked[..47],
        ..base
    };
    let few_scales = QuantizedWeight {
        scales: &[0.1; 3],
        ..base
    };
    let negative = QuantizedWeight {
        scales: &[0.1, -0.1, 0.1, 0.1],
        ..base
    };
    let bias = QuantizedWeight {
        bias: Some(&[1; 5]),
        ..base
    };
    let heavy = QuantizedWeight {
        values: leaked,
        dims: [4, 300_000, 1, 1],
        ..base
    };
    let silu = QuantizedConv2dConfig {
        activation: Activation::Silu,
        ..config
    };
    let table = [
        (
            with(short),
            "the weight's buffer has shape [47], expected a value",
        ),
        (
            with(few_scales),
            "the weight's scales has shape [3], expected [4]",
        ),
        (
            with(negative),
            "a scale of the weight is -0.1, expected a finite",
        ),
        (with(bias), "the bias has shape [5], expected [4]"),
        (
            with(heavy),
            "the largest sum of a channel is 9715500000 in channel 0",
        ),
        (
            silu,
            "the activation is Silu, expected Identity, Relu or Relu6",
        ),
    ];
    for (config, expected) in table {
        let message = match QuantizedConv2d::new(&config) {
            Ok(_) => panic!("accepted, expected: {expected}"),
            Err(error) => error.to_string(),
        };
        assert!(message.contains(expected), "{message}");
    }
    let packed = QuantizedConv2d::new(&config).unwrap();
    let other = Quantization::new(0.2, 3).unwrap();
    let zeros = |dims: [usize; 4], quantization| {
        QuantizedMap::new(dims, vec![0; dims.iter().product()], quantization).unwrap()
    };
    let good = zeros([1, 4, 5, 3], quantization);
    let residual = zeros([1, 3, 5, 4], quantization);
    for (result, expected) in [
        (
            packed.forward(&zeros([1, 4, 5, 3], other), None),
            "the input's quantisation is",
        ),
        (
            packed.forward(&zeros([1, 4, 5, 4], quantization), None),
            "the weight has shape",
        ),
        (
            packed.forward(&good, Some(&residual)),
            "the residual has shape [1, 3, 5, 4]",
        ),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
