//! Everything but convolution: pooling, sums, concatenation, gates, tables, and the way from numbers
//! to bytes and back.

use cnn_kernels::int8::{
    ActivationTable, Quantization, QuantizedMap, add, avg_pool, concat, global_avg_pool, max_pool,
    requantize, scale_channels,
};
use cnn_kernels::{Activation, Padding, Window};

use crate::common::Numbers;
use crate::on_threads;
use crate::plain::{byte, map, pairs, places, quantization, requantized, whole};

fn scale(quantization: Quantization) -> f64 {
    f64::from(quantization.scale())
}

/// The place of a byte above the zero point.
fn steps(map: &QuantizedMap, index: usize) -> i64 {
    i64::from(map.values()[index]) - i64::from(map.quantization().zero_point())
}

/// One byte's share of a sum.
fn term(map: &QuantizedMap, index: usize, output: Quantization) -> f32 {
    steps(map, index) as f32 * (scale(map.quantization()) / scale(output)) as f32
}

const BOUNDS: [Activation; 3] = [Activation::Identity, Activation::Relu, Activation::Relu6];

/// Shapes with few and many channels, over several tasks.
const SHAPES: [[usize; 4]; 4] = [[2, 5, 7, 3], [1, 37, 41, 70], [3, 9, 1, 257], [0, 4, 4, 4]];

#[test]
fn pooling_equals_plain_loops() {
    let mut numbers = Numbers::new(11);
    for dims in [[2, 7, 9, 5], [1, 13, 6, 67], [2, 112, 9, 16]] {
        for (kernel, stride, padding) in [(3, 2, 1), (2, 2, 0), (3, 1, 1), (5, 3, 2)] {
            for ceil_mode in [false, true] {
                let window = Window {
                    stride: [stride, stride + 1],
                    padding: Padding::symmetric(padding, padding / 2),
                    ceil_mode,
                    ..Window::new([kernel, kernel])
                };
                let xs = map(&mut numbers, dims);
                check_pooling(&xs, &window, quantization(&mut numbers));
            }
        }
    }
}

fn check_pooling(xs: &QuantizedMap, window: &Window, output: Quantization) {
    let [batch, height, width, channels] = xs.dims();
    let geometry = window.place("test", [height, width]).unwrap();
    let [rows, columns] = geometry.output();
    let largest = max_pool(xs, window).unwrap();
    assert_eq!(largest.quantization(), xs.quantization());
    let means = [true, false].map(|padded| avg_pool(xs, window, padded, output).unwrap());
    let dims = [batch, rows, columns, channels];
    assert!(largest.dims() == dims && means.iter().all(|map| map.dims() == dims));
    let factor = scale(xs.quantization()) / scale(output);
    for (index, (n, y, x, c)) in places(dims).enumerate() {
        let mut inside = Vec::new();
        let mut with_padding = 0;
        for (i, j) in pairs(window.kernel_size[0], window.kernel_size[1]) {
            let row = (y * window.stride[0] + i) as isize - geometry.rows.before as isize;
            let column = (x * window.stride[1] + j) as isize - geometry.columns.before as isize;
            let after = [
                geometry.rows.after as isize,
                geometry.columns.after as isize,
            ];
            if row < height as isize + after[0] && column < width as isize + after[1] {
                with_padding += 1;
            }
            if (0..height as isize).contains(&row) && (0..width as isize).contains(&column) {
                let pixel = (n * height + row as usize) * width + column as usize;
                inside.push(pixel * channels + c);
            }
        }
        let byte = inside.iter().map(|&place| xs.values()[place]).max();
        assert_eq!(largest.values()[index], byte.unwrap(), "{window:?}");
        let sum: i64 = inside.iter().map(|&place| steps(xs, place)).sum();
        for (mean, count) in means.iter().zip([with_padding, inside.len()]) {
            let expected = sum as f32 * (factor / count as f64) as f32;
            let expected = requantized(expected, output, Activation::Identity);
            assert_eq!(mean.values()[index], expected, "{window:?}, {count} places");
        }
    }
}

#[test]
fn global_means_are_exact() {
    let mut numbers = Numbers::new(12);
    for dims in [[2, 7, 7, 130], [1, 200, 311, 3], [2, 1, 1, 9]] {
        let xs = map(&mut numbers, dims);
        let output = quantization(&mut numbers);
        let ys = global_avg_pool(&xs, output).unwrap();
        let pixels = dims[1] * dims[2];
        assert_eq!(ys.dims(), [dims[0], 1, 1, dims[3]]);
        for (n, c) in pairs(dims[0], dims[3]) {
            let places = (0..pixels).map(|pixel| (n * pixels + pixel) * dims[3] + c);
            let sum: i64 = places.map(|place| steps(&xs, place)).sum();
            let factor = scale(xs.quantization()) / (scale(output) * pixels as f64);
            let expected = requantized(sum as f32 * factor as f32, output, Activation::Identity);
            assert_eq!(ys.values()[n * dims[3] + c], expected);
        }
    }
}

#[test]
fn sums_bring_two_scales_to_one() {
    let mut numbers = Numbers::new(13);
    for dims in SHAPES {
        for activation in BOUNDS {
            let xs = [map(&mut numbers, dims), map(&mut numbers, dims)];
            let output = quantization(&mut numbers);
            let ys = add([&xs[0], &xs[1]], output, activation).unwrap();
            assert_eq!((ys.dims(), ys.quantization()), (dims, output));
            for (index, &y) in ys.values().iter().enumerate() {
                let steps = term(&xs[0], index, output) + term(&xs[1], index, output);
                assert_eq!(y, requantized(steps, output, activation));
            }
        }
    }
}

#[test]
fn concatenation_brings_all_scales_to_one() {
    let mut numbers = Numbers::new(14);
    for [batch, height, width, channels] in SHAPES {
        let maps = [channels, 1, 33].map(|own| map(&mut numbers, [batch, height, width, own]));
        // One of them has the output's scale already.
        let output = maps[1].quantization();
        let ys = concat(&[&maps[0], &maps[1], &maps[2]], output).unwrap();
        let all = channels + 34;
        assert_eq!(ys.dims(), [batch, height, width, all]);
        for (index, &y) in ys.values().iter().enumerate() {
            let channel = index % all;
            let starts = [0, channels, channels + 1, all];
            let which = (0..3).find(|&which| channel < starts[which + 1]).unwrap();
            let own = maps[which].dims()[3];
            let place = index / all * own + channel - starts[which];
            let steps = term(&maps[which], place, output);
            assert_eq!(y, requantized(steps, output, Activation::Identity));
        }
        let alone = requantize(&maps[2], output).unwrap();
        let same = requantize(&alone, output).unwrap();
        assert_eq!(alone.values(), same.values());
    }
}

#[test]
fn gates_scale_the_channels_of_their_image() {
    let mut numbers = Numbers::new(15);
    for dims in SHAPES {
        let xs = map(&mut numbers, dims);
        let gates = map(&mut numbers, [dims[0], 1, 1, dims[3]]);
        let output = Quantization::new(0.1, byte(&mut numbers)).unwrap();
        let ys = scale_channels(&xs, &gates, output).unwrap();
        let product = scale(xs.quantization()) * scale(gates.quantization());
        let factor = (product / scale(output)) as f32;
        for (index, (n, _, _, c)) in places(dims).enumerate() {
            let steps = steps(&xs, index) * steps(&gates, n * dims[3] + c);
            let expected = requantized(steps as f32 * factor, output, Activation::Identity);
            assert_eq!(ys.values()[index], expected);
        }
    }
}

#[test]
fn tables_hold_the_nearest_byte_of_every_activation() {
    let mut numbers = Numbers::new(16);
    type Function = fn(f64) -> f64;
    let functions: [(Activation, Function); 8] = [
        (Activation::Relu, |x| x.max(0.)),
        (Activation::Relu6, |x| x.clamp(0., 6.)),
        (
            Activation::LeakyRelu(0.1),
            |x| if x > 0. { x } else { 0.1 * x },
        ),
        (Activation::Sigmoid, |x| 1. / (1. + (-x).exp())),
        (Activation::Silu, |x| x / (1. + (-x).exp())),
        (Activation::HardSwish, |x| x * (x + 3.).clamp(0., 6.) / 6.),
        (Activation::HardSigmoid, |x| (x + 3.).clamp(0., 6.) / 6.),
        (Activation::Tanh, f64::tanh),
    ];
    for (activation, function) in functions {
        let input = quantization(&mut numbers);
        let output = quantization(&mut numbers);
        let values: Vec<u8> = (0..=255).cycle().take(70_001).collect();
        let xs = QuantizedMap::new([1, 1, 70_001, 1], values, input).unwrap();
        let ys = ActivationTable::new(activation, input, output)
            .apply(&xs)
            .unwrap();
        assert_eq!(ys.quantization(), output);
        for (index, &y) in ys.values().iter().enumerate() {
            let exact = function(scale(input) * steps(&xs, index) as f64) / scale(output);
            let exact = (exact + f64::from(output.zero_point())).clamp(0., 255.);
            let away = (f64::from(y) - exact).abs();
            assert!(
                away <= 0.5 + 1e-9,
                "{activation:?} of {index}: {y}, {exact}"
            );
        }
    }
}

#[test]
fn numbers_become_bytes_and_numbers_again() {
    let mut numbers = Numbers::new(17);
    for dims in SHAPES {
        let quantization = quantization(&mut numbers);
        let values: Vec<f32> = (0..dims.iter().product())
            .map(|_| numbers.uniform(-30., 30.) as f32)
            .collect();
        let map = QuantizedMap::quantize(dims, &values, quantization).unwrap();
        let back = map.dequantize();
        for ((&value, &q), &back) in values.iter().zip(map.values()).zip(&back) {
            let steps = value / quantization.scale();
            assert_eq!(q, requantized(steps, quantization, Activation::Identity));
            assert_eq!(back, quantization.dequantize(q));
            let away = (back - value).abs() / quantization.scale();
            assert!(away <= 0.501 || q == 0 || q == 255, "{value} became {back}");
        }
    }
    let extreme = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 1e38];
    let quantization = Quantization::new(0.1, 7).unwrap();
    let map = QuantizedMap::quantize([1, 1, 1, 4], &extreme, quantization).unwrap();
    assert_eq!(map.values(), [7, 255, 0, 255]);
}

#[test]
fn operations_do_not_depend_on_the_number_of_threads() {
    let mut numbers = Numbers::new(18);
    let xs = map(&mut numbers, [2, 61, 67, 24]);
    let others = map(&mut numbers, [2, 61, 67, 24]);
    let output = quantization(&mut numbers);
    let window = Window::new([3, 3]);
    let all = || {
        [
            max_pool(&xs, &window),
            avg_pool(&xs, &window, true, output),
            add([&xs, &others], output, Activation::Relu),
            concat(&[&xs, &others], output),
            ActivationTable::new(Activation::Silu, xs.quantization(), output).apply(&xs),
        ]
        .map(|map| map.unwrap().values().to_vec())
    };
    let one = on_threads(1, all);
    assert!(
        [2, 3]
            .into_iter()
            .all(|threads| on_threads(threads, all) == one)
    );
}

#[test]
fn maps_that_do_not_fit_are_named() {
    let mut numbers = Numbers::new(19);
    let xs = map(&mut numbers, [2, 3, 4, 5]);
    let narrow = map(&mut numbers, [2, 3, 4, 6]);
    let flat = map(&mut numbers, [2, 2, 4, 5]);
    let output = Quantization::new(0.1, whole(&mut numbers, 0, 9) as u8).unwrap();
    let table = ActivationTable::new(Activation::Silu, output, output);
    for (result, expected) in [
        (
            add([&xs, &narrow], output, Activation::Identity),
            "quantized_add: the second map has shape [2, 3, 4, 6], expected [2, 3, 4, 5]",
        ),
        (
            add([&xs, &xs], output, Activation::Silu),
            "quantized_add: the activation is Silu, expected Identity, Relu or Relu6",
        ),
        (
            concat(&[], output),
            "quantized_concat: the number of maps is 0",
        ),
        (
            concat(&[&xs, &flat], output),
            "quantized_concat: a map has shape [2, 2, 4, 5], expected (2, 3, 4, channels)",
        ),
        (
            scale_channels(&xs, &narrow, output),
            "the gates has shape [2, 3, 4, 6], expected [2, 1, 1, 5]",
        ),
        (
            table.apply(&xs),
            "quantized_activation: the input's quantisation is",
        ),
        (
            max_pool(&xs, &Window::new([4, 1])),
            "quantized_max_pool: a window of 4 along the height does not fit",
        ),
        (
            QuantizedMap::new([1, 2, 3, 4], vec![0; 23], output),
            "the buffer has shape [23], expected a value for each place of [1, 2, 3, 4]",
        ),
        (
            QuantizedMap::new([usize::MAX, 2, 3, 4], vec![0; 24], output),
            "the buffer has shape [24]",
        ),
    ] {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
