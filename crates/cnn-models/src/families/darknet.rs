//! Darknet-17, -21 and -53 (Redmon & Farhadi 2018, "YOLOv3: An Incremental Improvement"), the
//! backbone of YOLOv3: bottlenecks of a 1×1 and a 3×3 convolution between strided convolutions that
//! take the place of pooling. Names as in timm, as its leaky ReLU's slope of 0.01 is (the paper's
//! code has 0.1).

use cnn_core::{Interpolation, Preprocessing};
use cnn_layers::{
    Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormActConfig, Init, Padding,
    Residual, ResidualSum, Sequential, StagedBuilder, StagedClassifier,
};

use crate::config::check_shortcut;
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

/// Blocks of each stage.
type Depths = [usize; 5];

/// Channels of each stage.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 1024];

const LEAKY: Activation = Activation::LeakyRelu(0.01);

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "darknet17",
        build: Build::Staged(|config, root| build([1, 1, 1, 1, 1], config, root)),
        parameters: 14_304_840,
        multiply_adds: 3_245_318_144,
        ..BASE
    },
    ModelSpec {
        name: "darknet21",
        build: Build::Staged(|config, root| build([1, 1, 1, 2, 2], config, root)),
        parameters: 20_863_048,
        multiply_adds: 3_916_406_784,
        ..BASE
    },
    ModelSpec {
        name: "darknet53",
        build: Build::Staged(|config, root| build([1, 2, 8, 8, 4], config, root)),
        parameters: 41_609_928,
        multiply_adds: 9_285_115_904,
        preset: || Preprocessing {
            interpolation: Interpolation::Bicubic,
            ..preprocessing()
        },
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "darknet",
    paper: "Redmon & Farhadi 2018, arXiv:1804.02767",
    preset: preprocessing,
    first_conv: "stem.conv1.conv",
    classifier: "head.fc",
    ..ModelSpec::OWN
};

/// 256×256, bilinear, crop 0.887, ImageNet's mean and standard deviation.
fn preprocessing() -> Preprocessing {
    Preprocessing {
        input_size: [3, 256, 256],
        crop_pct: 0.887,
        ..preset::imagenet_bilinear()
    }
}

fn build(depths: Depths, config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
    let (drop_rate, drop_path_rate) = config.read_args(BASE.family, |args| {
        Ok((
            args.probability("drop_rate")?,
            args.probability("drop_path_rate")?,
        ))
    })?;
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        .with_drop_path(drop_path_rate.unwrap_or(0.), depths.iter().sum());

    net.group("stem", &["stem.conv1"]);
    add_unit(&mut net, "stem.conv1", 32, 1)?;
    net.end_stage("stem.conv1");

    for (index, (depth, width)) in depths.into_iter().zip(WIDTHS).enumerate() {
        let stage = format!("stages.{index}");
        net.group(&stage, &[&stage]);
        add_unit(&mut net, &format!("{stage}.conv_down"), width, 2)?;
        for block in 0..depth {
            add_block(&mut net, &format!("{stage}.blocks.{block}"), width)?;
        }
        net.end_stage(&stage);
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    Ok(net.linear_classifier(BASE.classifier, num_classes, drop_rate.unwrap_or(0.))?)
}

/// A 3×3 convolution between stages.
fn add_unit(net: &mut StagedBuilder, name: &str, width: usize, stride: usize) -> Result<(), Error> {
    let at = net.at(name);
    let width = at.pp("conv").width(width);
    let norm = BatchNorm2dConfig::new(width);
    let unit = unit(net.channels(), 3, norm, width).with_stride(stride);
    net.add(unit.build(&at.pp("conv"), &at.pp("bn"))?)
        .set_channels(width)
        .add_stride(stride);
    Ok(())
}

/// A bottleneck: half the channels by a 1×1 convolution, all of them by a 3×3 one, and the input
/// added after its activation.
fn add_block(net: &mut StagedBuilder, name: &str, width: usize) -> Result<(), Error> {
    let at = net.at(name);
    let [narrow, wide] = ["conv1", "conv2"].map(|name| at.pp(name));
    let middle = narrow.pp("conv").width(width / 2);
    let output = wide.pp("conv").width(width);
    check_shortcut(BASE.family, net.channels(), output, &at)?;
    let first = unit(net.channels(), 1, BatchNorm2dConfig::new(middle), middle);
    // At first the shortcut alone contributes.
    let norm = BatchNorm2dConfig::new(output).with_weight_init(Init::ZEROS);
    let second = unit(middle, 3, norm, output);
    let mut branch = Sequential::new();
    branch.push(first.build(&narrow.pp("conv"), &narrow.pp("bn"))?);
    let last = second.build(&wide.pp("conv"), &wide.pp("bn"))?;
    let sum = ResidualSum::new(net.next_drop_path(), None, &at)?;
    net.add(Residual::with_sum(branch, last, sum));
    Ok(())
}

fn unit(from: usize, kernel_size: usize, norm: BatchNorm2dConfig, to: usize) -> ConvNormActConfig {
    let conv = Conv2dConfig::new(from, to, kernel_size).with_padding(Padding::all(kernel_size / 2));
    ConvNormActConfig::new(conv, norm, LEAKY)
}
