//! Convolution held against a plain reference, written from the definition over `(N, C, H, W)`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use candle_core::{DType, Device, Tensor};
use cnn_kernels::{Conv2dSpec, FeatureMap, Padding, conv2d};
use common::{ConvCase, Numbers, large_convolutions, small_convolutions};

/// How the windows lie along one axis.
struct Placement {
    /// Zeros before the input.
    before: usize,
    /// Number of windows.
    output: usize,
}

/// Counts the starts of windows that end inside the padded input.
fn windows(padded: usize, extent: usize, stride: usize) -> usize {
    (0..padded)
        .step_by(stride)
        .filter(|start| start + extent <= padded)
        .count()
}

fn place(case: &ConvCase, axis: usize) -> Placement {
    let input = case.xs[2 + axis];
    let stride = case.spec.stride[axis];
    let extent = case.spec.dilation[axis] * (case.weight[2 + axis] - 1) + 1;
    let (before, after) = match case.spec.padding {
        Padding::Valid => (0, 0),
        Padding::Explicit {
            top,
            bottom,
            left,
            right,
        } => [(top, bottom), (left, right)][axis],
        Padding::Same => {
            let wanted = (0..input).step_by(stride).count();
            let total = (0..)
                .find(|total| windows(input + total, extent, stride) >= wanted)
                .unwrap();
            (total / 2, total - total / 2)
        }
    };
    Placement {
        before,
        output: windows(before + input + after, extent, stride),
    }
}

/// The sum of the definition, one output after the other.
fn reference(
    case: &ConvCase,
    xs: &[f64],
    weight: &[f64],
    bias: Option<&[f64]>,
) -> (Vec<f64>, [usize; 4]) {
    let ([batch, c_in, height, width], [c_out, group_in, k_rows, k_columns]) =
        (case.xs, case.weight);
    let rows = place(case, 0);
    let columns = place(case, 1);
    let ([stride_y, stride_x], [dilation_y, dilation_x]) = (case.spec.stride, case.spec.dilation);
    let mut ys = Vec::new();
    for n in 0..batch {
        for o in 0..c_out {
            let group = o * case.spec.groups / c_out;
            for y in 0..rows.output {
                for x in 0..columns.output {
                    let mut sum = bias.map_or(0., |bias| bias[o]);
                    for c in 0..group_in {
                        for i in 0..k_rows {
                            for j in 0..k_columns {
                                let row =
                                    (y * stride_y + i * dilation_y) as isize - rows.before as isize;
                                let column = (x * stride_x + j * dilation_x) as isize
                                    - columns.before as isize;
                                if (0..height as isize).contains(&row)
                                    && (0..width as isize).contains(&column)
                                {
                                    let channel = n * c_in + group * group_in + c;
                                    let pixel =
                                        (channel * height + row as usize) * width + column as usize;
                                    let tap = ((o * group_in + c) * k_rows + i) * k_columns + j;
                                    sum += xs[pixel] * weight[tap];
                                }
                            }
                        }
                    }
                    ys.push(sum);
                }
            }
        }
    }
    (ys, [batch, c_out, rows.output, columns.output])
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

fn convolve(case: &ConvCase, tensors: &[Tensor], dtype: DType) -> Tensor {
    let tensors: Vec<Tensor> = tensors
        .iter()
        .map(|tensor| tensor.to_dtype(dtype).unwrap())
        .collect();
    let xs = FeatureMap::from_nchw(&tensors[0]).unwrap();
    conv2d(&xs, &tensors[1], tensors.get(2), &case.spec)
        .unwrap()
        .to_nchw()
        .unwrap()
}

/// `‖found − expected‖ / ‖expected‖` and the largest single difference.
fn errors(found: &[f64], expected: &[f64]) -> (f64, f64) {
    assert_eq!(found.len(), expected.len());
    let squares =
        |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let mut differences = found
        .iter()
        .zip(expected)
        .map(|(found, expected)| found - expected);
    let largest = differences
        .clone()
        .fold(0., |largest: f64, difference| largest.max(difference.abs()));
    assert!(differences.clone().all(f64::is_finite));
    (
        (squares(&mut differences) / squares(&mut expected.iter().copied())).sqrt(),
        largest,
    )
}

fn hold_against_reference(cases: &[ConvCase]) {
    for (seed, case) in cases.iter().enumerate() {
        let tensors = case.tensors(&mut Numbers::new(seed as u64));
        let inputs: Vec<Vec<f64>> = tensors.iter().map(values).collect();
        let (expected, shape) = reference(
            case,
            &inputs[0],
            &inputs[1],
            inputs.get(2).map(Vec::as_slice),
        );
        for (dtype, tolerance) in [(DType::F64, 1e-12), (DType::F32, 1e-5)] {
            let ys = convolve(case, &tensors, dtype);
            assert_eq!(ys.dims(), shape, "{}", case.name);
            assert_eq!(ys.dtype(), dtype);
            let (relative, largest) = errors(&values(&ys), &expected);
            assert!(
                relative <= tolerance && largest <= 10. * tolerance,
                "{}: {relative:e}, {largest:e}",
                case.name
            );
        }
    }
}

#[test]
fn small_convolutions_equal_the_definition() {
    hold_against_reference(&small_convolutions());
}

#[test]
fn convolutions_across_blocks_equal_the_definition() {
    hold_against_reference(&large_convolutions());
}

/// torch.nn.functional.conv2d(torch.arange(24.).reshape(1, 2, 3, 4), torch.arange(8.).reshape(1, 2,
/// 2, 2), torch.tensor([0.5]), stride=(1, 2), padding=(0, 1))
#[test]
fn the_definition_is_pytorchs() {
    let numbers = |count: usize, shape: &[usize]| {
        Tensor::arange(0f64, count as f64, &Device::Cpu)
            .unwrap()
            .reshape(shape)
            .unwrap()
    };
    let xs = numbers(24, &[1, 2, 3, 4]);
    let weight = numbers(8, &[1, 2, 2, 2]);
    let bias = Tensor::new(&[0.5f64], &Device::Cpu).unwrap();
    let spec = Conv2dSpec {
        stride: [1, 2],
        padding: Padding::symmetric(0, 1),
        ..Conv2dSpec::default()
    };
    let case = ConvCase {
        name: "arange",
        xs: [1, 2, 3, 4],
        weight: [1, 2, 2, 2],
        spec,
        bias: true,
    };
    let expected = [184.5, 380.5, 188.5, 248.5, 492.5, 236.5];
    assert_eq!(
        reference(&case, &values(&xs), &values(&weight), Some(&[0.5])).0,
        expected
    );
    assert_eq!(
        values(&convolve(&case, &[xs, weight, bias], DType::F64)),
        expected
    );
}
