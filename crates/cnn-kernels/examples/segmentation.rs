//! Time of the operations that segmentation networks add to a backbone: resizing, transposed and
//! dilated convolution.
//!
//! `cargo run -p cnn-kernels --example segmentation -- [part of a name]` prints a line per
//! operation: the least milliseconds of many runs for the output and for all gradients.
#![allow(clippy::unwrap_used, missing_docs)]

use std::time::{Duration, Instant};

use candle_core::{Device, Result, Tensor, Var};
use cnn_kernels::{
    Conv2dSpec, ConvTranspose2dSpec, FeatureMap, InstructionSet, Interpolation, Padding, Pass,
    ResizeTo, backward, conv_transpose2d, conv2d, profile, resize,
};

/// How long each time is measured.
const LONG: Duration = Duration::from_millis(1500);

type Operation = Box<dyn Fn(&FeatureMap, &Tensor) -> Result<FeatureMap>>;

/// An operation on an input `(N, H, W, C)` with a weight, of which a resizing reads nothing.
struct Case {
    name: String,
    xs: [usize; 4],
    weight: [usize; 4],
    run: Operation,
}

fn resized(side: usize, channels: usize, to: usize, align_corners: bool) -> Case {
    let size = ResizeTo::Size([to, to]);
    let interpolation = Interpolation::Bilinear { align_corners };
    Case {
        name: format!("bilinear {side}x{side}x{channels} to {to}x{to}"),
        xs: [1, side, side, channels],
        weight: [1; 4],
        run: Box::new(move |xs, _| resize(xs, size, interpolation)),
    }
}

fn transposed(side: usize, from: usize, to: usize, kernel: usize) -> Case {
    let spec = ConvTranspose2dSpec {
        stride: [2, 2],
        padding: [kernel / 2 - 1; 2],
        ..ConvTranspose2dSpec::default()
    };
    Case {
        name: format!("transposed {kernel}x{kernel}/2 {from} to {to} at {side}x{side}"),
        xs: [1, side, side, from],
        weight: [from, to, kernel, kernel],
        run: Box::new(move |xs, weight| conv_transpose2d(xs, weight, None, &spec)),
    }
}

fn dilated(side: usize, [from, to]: [usize; 2], kernel: usize, dilation: usize) -> Case {
    let groups = if to == 1 { from } else { 1 };
    let to = to.max(groups);
    let spec = Conv2dSpec {
        padding: Padding::all(dilation * (kernel / 2)),
        dilation: [dilation; 2],
        groups,
        ..Conv2dSpec::default()
    };
    let kind = if groups > 1 { " depthwise" } else { "" };
    Case {
        name: format!(
            "{kernel}x{kernel}{kind} dilated by {dilation}, {from} to {to} at {side}x{side}"
        ),
        xs: [1, side, side, from],
        weight: [to, from / groups, kernel, kernel],
        run: Box::new(move |xs, weight| conv2d(xs, weight, None, &spec)),
    }
}

/// The least milliseconds of the passes that are `wanted`, of many runs.
fn least(run: impl Fn(), wanted: fn(Pass) -> bool) -> f64 {
    let start = Instant::now();
    let mut least = f64::INFINITY;
    while start.elapsed() < LONG {
        let ((), times) = profile(&run);
        let times = times.iter().filter(|time| wanted(time.pass));
        least = least.min(times.map(|time| time.seconds).sum());
    }
    1e3 * least
}

fn main() {
    let part = std::env::args().nth(1).unwrap_or_default();
    let set = InstructionSet::current();
    println!("{set:?}, {} threads", rayon::current_num_threads());
    let cases = [
        resized(65, 21, 513, false),
        resized(65, 21, 513, true),
        resized(65, 1, 513, false),
        resized(64, 256, 128, false),
        transposed(64, 256, 128, 2),
        transposed(64, 256, 128, 4),
        dilated(33, [256, 256], 3, 1),
        dilated(33, [256, 256], 3, 2),
        dilated(33, [256, 256], 3, 12),
        dilated(33, [2048, 256], 3, 12),
        dilated(33, [2048, 256], 3, 36),
        dilated(65, [256, 256], 3, 4),
        dilated(33, [672, 1], 5, 2),
        dilated(33, [256, 1], 3, 12),
        dilated(33, [256, 1], 3, 1),
    ];
    for case in cases.iter().filter(|case| case.name.contains(&part)) {
        let var = |shape: [usize; 4]| Var::rand(-1f32, 1., &shape[..], &Device::Cpu).unwrap();
        let xs = var(case.xs);
        let weight = var(case.weight);
        let map = FeatureMap::from_nhwc(&xs.detach()).unwrap();
        let output = least(
            || drop((case.run)(&map, &weight.detach()).unwrap()),
            |pass| pass == Pass::Forward,
        );
        let gradients = least(
            || {
                let ys = (case.run)(&FeatureMap::from_nhwc(&xs).unwrap(), &weight).unwrap();
                drop(backward(&ys.to_nhwc().sum_all().unwrap()).unwrap());
            },
            |pass| pass != Pass::Forward,
        );
        println!(
            "{:55} {output:8.2} ms, gradients {gradients:8.2} ms",
            case.name
        );
    }
}
