//! Integer convolutions beside our own f32 on the shapes of ResNet-18, ResNet-50 and MobileNetV2.
//!
//! `cargo run -p cnn-kernels --example int8 -- [resnet18|resnet50|mobilenetv2]… [batch=N] [threads=N]`
//! prints a line per shape: milliseconds in f32 and in int8, the ratio, and the share of the int8
//! peak, a loop of dot products in registers. Both take turns and the ratio is the median of the
//! turns' ratios, because a machine's speed changes from one moment to the next; so is the share.
//! Both have a bias and ReLU, weights laid out once, and batch and threads of 1 where none are given.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use candle_core::{Device, Tensor};
use cnn_kernels::int8::{
    Quantization, QuantizedConv2d, QuantizedConv2dConfig, QuantizedMap, QuantizedWeight,
    peak_int8_ops,
};
use cnn_kernels::{Activation, Conv2dSpec, FeatureMap, InstructionSet, PackedConv2d, Padding};

/// `[C_in, size, C_out, kernel, stride, groups, how often]`.
type Shape = [usize; 7];

const RESNET18: &[Shape] = &[
    [3, 224, 64, 7, 2, 1, 1],
    [64, 56, 64, 3, 1, 1, 4],
    [64, 56, 128, 3, 2, 1, 1],
    [64, 56, 128, 1, 2, 1, 1],
    [128, 28, 128, 3, 1, 1, 3],
    [128, 28, 256, 3, 2, 1, 1],
    [128, 28, 256, 1, 2, 1, 1],
    [256, 14, 256, 3, 1, 1, 3],
    [256, 14, 512, 3, 2, 1, 1],
    [256, 14, 512, 1, 2, 1, 1],
    [512, 7, 512, 3, 1, 1, 3],
    [512, 1, 1000, 1, 1, 1, 1],
];
const RESNET50: &[Shape] = &[
    [3, 224, 64, 7, 2, 1, 1],
    [64, 56, 64, 1, 1, 1, 1],
    [64, 56, 64, 3, 1, 1, 3],
    [64, 56, 256, 1, 1, 1, 4],
    [256, 56, 64, 1, 1, 1, 2],
    [256, 56, 128, 1, 1, 1, 1],
    [128, 56, 128, 3, 2, 1, 1],
    [128, 28, 512, 1, 1, 1, 4],
    [256, 56, 512, 1, 2, 1, 1],
    [512, 28, 128, 1, 1, 1, 3],
    [128, 28, 128, 3, 1, 1, 3],
    [512, 28, 256, 1, 1, 1, 1],
    [256, 28, 256, 3, 2, 1, 1],
    [256, 14, 1024, 1, 1, 1, 6],
    [512, 28, 1024, 1, 2, 1, 1],
    [1024, 14, 256, 1, 1, 1, 5],
    [256, 14, 256, 3, 1, 1, 5],
    [1024, 14, 512, 1, 1, 1, 1],
    [512, 14, 512, 3, 2, 1, 1],
    [512, 7, 2048, 1, 1, 1, 3],
    [1024, 14, 2048, 1, 2, 1, 1],
    [2048, 7, 512, 1, 1, 1, 2],
    [512, 7, 512, 3, 1, 1, 2],
    [2048, 1, 1000, 1, 1, 1, 1],
];
const MOBILENETV2: &[Shape] = &[
    [3, 224, 32, 3, 2, 1, 1],
    [32, 112, 32, 3, 1, 32, 1],
    [32, 112, 16, 1, 1, 1, 1],
    [16, 112, 96, 1, 1, 1, 1],
    [96, 112, 96, 3, 2, 96, 1],
    [96, 56, 24, 1, 1, 1, 1],
    [24, 56, 144, 1, 1, 1, 2],
    [144, 56, 144, 3, 1, 144, 1],
    [144, 56, 24, 1, 1, 1, 1],
    [144, 56, 144, 3, 2, 144, 1],
    [144, 28, 32, 1, 1, 1, 1],
    [32, 28, 192, 1, 1, 1, 3],
    [192, 28, 192, 3, 1, 192, 2],
    [192, 28, 32, 1, 1, 1, 2],
    [192, 28, 192, 3, 2, 192, 1],
    [192, 14, 64, 1, 1, 1, 1],
    [64, 14, 384, 1, 1, 1, 4],
    [384, 14, 384, 3, 1, 384, 4],
    [384, 14, 64, 1, 1, 1, 3],
    [384, 14, 96, 1, 1, 1, 1],
    [96, 14, 576, 1, 1, 1, 3],
    [576, 14, 576, 3, 1, 576, 2],
    [576, 14, 96, 1, 1, 1, 2],
    [576, 14, 576, 3, 2, 576, 1],
    [576, 7, 160, 1, 1, 1, 1],
    [160, 7, 960, 1, 1, 1, 3],
    [960, 7, 960, 3, 1, 960, 3],
    [960, 7, 160, 1, 1, 1, 2],
    [960, 7, 320, 1, 1, 1, 1],
    [320, 7, 1280, 1, 1, 1, 1],
    [1280, 1, 1000, 1, 1, 1, 1],
];

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// A convolution in both kinds of numbers, with an input.
struct Pair {
    floats: PackedConv2d,
    map: FeatureMap,
    bytes: QuantizedConv2d,
    quantized: QuantizedMap,
}

impl Pair {
    fn new(batch: usize, [c_in, size, c_out, kernel, stride, groups, _]: Shape) -> Self {
        let random = |dims: &[usize]| Tensor::rand(-1f32, 1., dims, &Device::Cpu).unwrap();
        let dims = [c_out, c_in / groups, kernel, kernel];
        let weight = random(&dims);
        let bias = random(&[c_out]);
        let map = random(&[batch, size, size, c_in]);
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let spec = Conv2dSpec {
            stride: [stride; 2],
            padding: Padding::all(kernel / 2),
            groups,
            ..Conv2dSpec::default()
        };
        let input = Quantization::of_range(-1., 1.).unwrap();
        let depth = (dims[1] * kernel * kernel) as f32;
        let bytes = values(&weight)
            .iter()
            .map(|w| (127. * w) as i8)
            .collect::<Vec<_>>();
        let steps = values(&bias)
            .iter()
            .map(|b| (10_000. * b) as i32)
            .collect::<Vec<_>>();
        Self {
            floats: PackedConv2d::new(&weight, Some(&bias), &spec).unwrap(),
            bytes: QuantizedConv2d::new(&QuantizedConv2dConfig {
                weight: QuantizedWeight {
                    dims,
                    values: &bytes,
                    scales: &vec![1. / 127.; c_out],
                    bias: Some(&steps),
                },
                spec,
                input,
                output: Quantization::of_range(0., depth.sqrt()).unwrap(),
                activation: Activation::Relu,
            })
            .unwrap(),
            quantized: QuantizedMap::quantize([batch, size, size, c_in], &values(&map), input)
                .unwrap(),
            map: FeatureMap::from_nhwc(&map).unwrap(),
        }
    }

    /// Medians: seconds in f32, seconds in int8, ratio, operations that the peak allows in the time.
    fn measured(&self) -> [f64; 4] {
        let in_floats = || {
            drop(
                self.floats
                    .forward(&self.map, None, Activation::Relu)
                    .unwrap(),
            )
        };
        let in_bytes = || drop(self.bytes.forward(&self.quantized, None).unwrap());
        in_floats();
        in_bytes();
        let mut turns: [Vec<f64>; 4] = Default::default();
        let start = Instant::now();
        let mut before = peak_int8_ops();
        while turns[0].len() < 9 || start.elapsed().as_secs_f64() < 0.4 && turns[0].len() < 400 {
            let floats = seconds(in_floats);
            let bytes = seconds(in_bytes);
            let after = peak_int8_ops();
            let possible = bytes * f64::midpoint(before, after);
            before = after;
            for (values, value) in turns
                .iter_mut()
                .zip([floats, bytes, floats / bytes, possible])
            {
                values.push(value);
            }
        }
        turns.map(|mut values| median(&mut values))
    }
}

fn measure(name: &str, shapes: &[Shape], batch: usize) {
    println!("\n{name}, batch {batch}: ms in f32, ms in int8, ratio, share of the int8 peak");
    let mut all = [0.; 2];
    let mut possible = [0.; 2];
    for shape in shapes {
        let [c_in, size, c_out, kernel, stride, groups, times] = *shape;
        let [floats, bytes, ratio, most] = Pair::new(batch, *shape).measured();
        let out = (size - 1) / stride + 1;
        let depth = kernel * kernel * c_in / groups;
        let operations = 2. * (batch * out * out * c_out * depth) as f64;
        let kind = if groups > 1 { "dw" } else { "" };
        println!(
            "{c_in:5} {size:3} {c_out:5} {kernel}x{kernel}/{stride} {kind:2} x{times} | {:8.3} {:8.3} {ratio:5.2} {:3.0} %",
            1e3 * floats,
            1e3 * bytes,
            100. * operations / most
        );
        let times = times as f64;
        // What f32 takes follows from the ratio, which both measured at one speed of the machine.
        for (sum, value) in all.iter_mut().zip([times * bytes * ratio, times * bytes]) {
            *sum += value;
        }
        for (sum, value) in possible.iter_mut().zip([times * operations, times * most]) {
            *sum += value;
        }
    }
    println!(
        "all: {:.2} ms, {:.2} ms, {:.2} times as fast, {:.0} % of the peak",
        1e3 * all[0],
        1e3 * all[1],
        all[0] / all[1],
        100. * possible[0] / possible[1]
    );
}

fn main() {
    let mut names = Vec::new();
    let mut batch = 1;
    let mut threads = 1;
    for argument in std::env::args().skip(1) {
        match argument.split_once('=') {
            Some(("batch", number)) => batch = number.parse().unwrap(),
            Some(("threads", number)) => threads = number.parse().unwrap(),
            _ => names.push(argument),
        }
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    pool.unwrap().install(|| {
        println!("{:?}, {threads} threads", InstructionSet::current());
        for (name, shapes) in [
            ("resnet18", RESNET18),
            ("resnet50", RESNET50),
            ("mobilenetv2", MOBILENETV2),
        ] {
            if names.is_empty() || names.iter().any(|wanted| wanted == name) {
                measure(name, shapes, batch);
            }
        }
    });
}
