//! Time, rate and share of the processor's peak of every convolution of ResNet-50, ResNet-20,
//! MobileNetV2 and LeNet-5, and of convolutions with few channels at the ends of networks.
//!
//! `cargo run -p cnn-kernels --example convolutions -- [resnet50|resnet20|mobilenetv2|lenet5|ends]… [number of a shape]…`
//! prints a line per shape: milliseconds, GFLOP/s and share of the peak for the output, the
//! gradient of the input and that of the weight, each alone and again and again;
//! `cargo xtask bench --ops` has them where they stand in a network. The peak is measured before
//! and after each call; all numbers are medians.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::Instant;

use candle_core::{Device, Tensor};
use cnn_kernels::{
    Conv2dSpec, FeatureMap, InstructionSet, Padding, conv2d, conv2d_gradients, peak_flops,
};

/// One convolution and how often the network has it.
struct Shape {
    c_in: usize,
    size: usize,
    c_out: usize,
    kernel: usize,
    stride: usize,
    groups: usize,
    times: usize,
}

fn shape([c_in, size, c_out, kernel, stride, times]: [usize; 6]) -> Shape {
    Shape {
        c_in,
        size,
        c_out,
        kernel,
        stride,
        groups: 1,
        times,
    }
}

fn depthwise([channels, size, stride, times]: [usize; 4]) -> Shape {
    Shape {
        c_in: channels,
        size,
        c_out: channels,
        kernel: 3,
        stride,
        groups: channels,
        times,
    }
}

/// Name, batch and shapes.
fn networks() -> Vec<(&'static str, usize, Vec<Shape>)> {
    let resnet50 = [
        [3, 224, 64, 7, 2, 1],
        [64, 56, 64, 1, 1, 1],
        [64, 56, 64, 3, 1, 3],
        [64, 56, 256, 1, 1, 4],
        [256, 56, 64, 1, 1, 2],
        [256, 56, 128, 1, 1, 1],
        [128, 56, 128, 3, 2, 1],
        [128, 28, 512, 1, 1, 4],
        [256, 56, 512, 1, 2, 1],
        [512, 28, 128, 1, 1, 3],
        [128, 28, 128, 3, 1, 3],
        [512, 28, 256, 1, 1, 1],
        [256, 28, 256, 3, 2, 1],
        [256, 14, 1024, 1, 1, 6],
        [512, 28, 1024, 1, 2, 1],
        [1024, 14, 256, 1, 1, 5],
        [256, 14, 256, 3, 1, 5],
        [1024, 14, 512, 1, 1, 1],
        [512, 14, 512, 3, 2, 1],
        [512, 7, 2048, 1, 1, 3],
        [1024, 14, 2048, 1, 2, 1],
        [2048, 7, 512, 1, 1, 2],
        [512, 7, 512, 3, 1, 2],
        [2048, 1, 1000, 1, 1, 1],
    ];
    let resnet20 = [
        [3, 32, 16, 3, 1, 1],
        [16, 32, 16, 3, 1, 6],
        [16, 32, 32, 3, 2, 1],
        [32, 16, 32, 3, 1, 5],
        [32, 16, 64, 3, 2, 1],
        [64, 8, 64, 3, 1, 5],
    ];
    let pointwise = [
        [3, 224, 32, 3, 2, 1],
        [32, 112, 16, 1, 1, 1],
        [16, 112, 96, 1, 1, 1],
        [96, 56, 24, 1, 1, 1],
        [24, 56, 144, 1, 1, 2],
        [144, 56, 24, 1, 1, 1],
        [144, 28, 32, 1, 1, 1],
        [32, 28, 192, 1, 1, 3],
        [192, 28, 32, 1, 1, 2],
        [192, 14, 64, 1, 1, 1],
        [64, 14, 384, 1, 1, 4],
        [384, 14, 64, 1, 1, 3],
        [384, 14, 96, 1, 1, 1],
        [96, 14, 576, 1, 1, 3],
        [576, 14, 96, 1, 1, 2],
        [576, 7, 160, 1, 1, 1],
        [160, 7, 960, 1, 1, 3],
        [960, 7, 160, 1, 1, 2],
        [960, 7, 320, 1, 1, 1],
        [320, 7, 1280, 1, 1, 1],
    ];
    let of_channels = [
        [32, 112, 1, 1],
        [96, 112, 2, 1],
        [144, 56, 1, 1],
        [144, 56, 2, 1],
        [192, 28, 1, 2],
        [192, 28, 2, 1],
        [384, 14, 1, 4],
        [576, 14, 1, 2],
        [576, 14, 2, 1],
        [960, 7, 1, 3],
    ];
    let mobilenet = pointwise
        .into_iter()
        .map(shape)
        .chain(of_channels.into_iter().map(depthwise))
        .collect();
    let lenet5 = [
        [1, 28, 6, 5, 1, 1],
        [6, 14, 16, 5, 1, 1],
        [400, 1, 120, 1, 1, 1],
    ];
    // The first convolutions of VGG, ResNet, MobileNet and AlexNet, and the last one of a U-Net with
    // two classes.
    let ends = [
        [3, 224, 64, 3, 1, 1],
        [3, 224, 64, 7, 2, 1],
        [3, 224, 32, 3, 2, 1],
        [3, 224, 64, 11, 4, 1],
        [16, 224, 2, 3, 1, 1],
    ];
    vec![
        ("resnet50", 8, resnet50.map(shape).into()),
        ("resnet20", 128, resnet20.map(shape).into()),
        ("mobilenetv2", 8, mobilenet),
        ("lenet5", 64, lenet5.map(shape).into()),
        ("ends", 8, ends.map(shape).into()),
    ]
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Median seconds of a call, and the median of (peak during the call) · seconds: multiply-adds that
/// would have been possible, in GFLOP. The peak is measured before and after each call, because the
/// machine's speed changes from one moment to the next.
fn time(mut call: impl FnMut()) -> [f64; 2] {
    call();
    let start = Instant::now();
    let mut seconds = Vec::new();
    let mut possible = Vec::new();
    let mut before = 1e-9 * peak_flops();
    while seconds.len() < 7 || start.elapsed().as_secs_f64() < 0.3 && seconds.len() < 200 {
        let call_start = Instant::now();
        call();
        seconds.push(call_start.elapsed().as_secs_f64());
        let after = 1e-9 * peak_flops();
        possible.push(seconds[seconds.len() - 1] * f64::midpoint(before, after));
        before = after;
    }
    [median(seconds), median(possible)]
}

/// [`time`] of the output and of both gradients.
fn times(batch: usize, shape: &Shape) -> [[f64; 2]; 3] {
    let random = |dims: [usize; 4]| Tensor::rand(-1f32, 1., &dims[..], &Device::Cpu).unwrap();
    let xs = FeatureMap::from_nhwc(&random([batch, shape.size, shape.size, shape.c_in])).unwrap();
    let weight = random([
        shape.c_out,
        shape.c_in / shape.groups,
        shape.kernel,
        shape.kernel,
    ]);
    let padding = Padding::all(shape.kernel / 2);
    let spec = Conv2dSpec {
        stride: [shape.stride; 2],
        padding,
        groups: shape.groups,
        ..Conv2dSpec::default()
    };
    let ys = conv2d(&xs, &weight, None, &spec).unwrap();
    let gradients = |wanted| drop(conv2d_gradients(&xs, &weight, &ys, &spec, wanted).unwrap());
    let forward = || drop(conv2d(&xs, &weight, None, &spec).unwrap());
    [
        time(forward),
        time(|| gradients([true, false])),
        time(|| gradients([false, true])),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (numbers, names): (Vec<_>, Vec<_>) = arguments
        .iter()
        .partition(|argument| argument.parse::<usize>().is_ok());
    println!(
        "{:?}, {} threads",
        InstructionSet::current(),
        rayon::current_num_threads()
    );
    for (name, batch, shapes) in networks() {
        if !names.is_empty() && !names.iter().any(|wanted| *wanted == name) {
            continue;
        }
        println!(
            "\n{name}, batch {batch}: ms, GFLOP/s, share of the peak for output | input gradient | weight gradient"
        );
        let mut all = 0.;
        let mut spent = [0.; 3];
        let mut possible = [0.; 3];
        for (index, shape) in shapes.iter().enumerate() {
            if !numbers.is_empty() && !numbers.iter().any(|number| number.parse() == Ok(index)) {
                continue;
            }
            let times = times(batch, shape);
            let out = (shape.size - 1) / shape.stride + 1;
            let taps = shape.kernel * shape.kernel * shape.c_in / shape.groups;
            let gflop = 2e-9 * (batch * out * out * shape.c_out * taps) as f64;
            let rates = times.map(|[seconds, possible]| {
                format!(
                    "{:8.3} {:6.1} {:3.0} %",
                    1e3 * seconds,
                    gflop / seconds,
                    100. * gflop / possible
                )
            });
            let Shape {
                c_in,
                size,
                c_out,
                kernel,
                stride,
                times: count,
                groups,
            } = shape;
            let kind = if *groups > 1 { "dw" } else { "" };
            println!(
                "{index:2} {c_in:5} {size:3} {c_out:5} {kernel}x{kernel}/{stride} {kind:2} x{count} | {}",
                rates.join(" | ")
            );
            let count = *count as f64;
            all += count * gflop;
            for (which, [seconds, gflop]) in times.into_iter().enumerate() {
                spent[which] += count * seconds;
                possible[which] += count * gflop;
            }
        }
        let line = |which: usize| {
            let spent = spent[which];
            let possible = possible[which];
            format!(
                "{:8.2} {:6.1} {:3.0} %",
                1e3 * spent,
                all / spent,
                100. * all / possible
            )
        };
        println!("all: {}", [line(0), line(1), line(2)].join(" | "));
    }
}
