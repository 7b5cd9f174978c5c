//! The CIFAR-10 ResNets of He et al. 2015, section 4.2: 6n + 2 layers, three stages of 16, 32 and
//! 64 channels, shortcuts without parameters (option A). Names are those of the published
//! `pytorch_resnet_cifar10` files. Not in timm: `stage0` is the map after the first convolution's
//! ReLU, `stage1` to `stage3` the outputs of `layer1` to `layer3`.

use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormActConfig, Fan, Init,
    MaxPool2d, PadChannels, Padding, Residual, ResidualSum, Sequential, StagedBuilder,
    StagedClassifier,
};

use crate::config::check_shortcut;
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "resnet8_cifar10",
        build: Build::Staged(|config, root| build(1, config, root)),
        parameters: 75_290,
        multiply_adds: 12_239_488,
        ..BASE
    },
    ModelSpec {
        name: "resnet20_cifar10",
        build: Build::Staged(|config, root| build(3, config, root)),
        parameters: 269_722,
        multiply_adds: 40_551_040,
        ..BASE
    },
    ModelSpec {
        name: "resnet32_cifar10",
        build: Build::Staged(|config, root| build(5, config, root)),
        parameters: 464_154,
        multiply_adds: 68_862_592,
        ..BASE
    },
    ModelSpec {
        name: "resnet44_cifar10",
        build: Build::Staged(|config, root| build(7, config, root)),
        parameters: 658_586,
        multiply_adds: 97_174_144,
        ..BASE
    },
    ModelSpec {
        name: "resnet56_cifar10",
        build: Build::Staged(|config, root| build(9, config, root)),
        parameters: 853_018,
        multiply_adds: 125_485_696,
        ..BASE
    },
    ModelSpec {
        name: "resnet110_cifar10",
        build: Build::Staged(|config, root| build(18, config, root)),
        parameters: 1_727_962,
        multiply_adds: 252_887_680,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "resnet_cifar",
    paper: "He et al. 2015, arXiv:1512.03385, section 4.2",
    preset: preset::cifar10,
    num_classes: 10,
    labels: &[
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ],
    first_conv: "conv1",
    classifier: "linear",
    ..ModelSpec::OWN
};

/// `n` blocks in each of the three stages.
fn build(n: usize, config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
    let (drop_rate, drop_path_rate) = config.read_args(BASE.family, |args| {
        Ok((
            args.probability("drop_rate")?,
            args.probability("drop_path_rate")?,
        ))
    })?;
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        .with_drop_path(drop_path_rate.unwrap_or(0.), 3 * n - 1);

    net.group("stem", &["conv1", "bn1"]);
    let width = net.at("conv1").width(16);
    let stem = ConvNormActConfig::new(
        conv(net.channels(), width, 1),
        BatchNorm2dConfig::new(width),
        Activation::Relu,
    );
    let stem = stem.build(&net.at("conv1"), &net.at("bn1"))?;
    net.add(stem).set_channels(width);
    net.end_stage("bn1");

    for stage in 0..3 {
        let name = format!("layer{}", stage + 1);
        net.group(&format!("stage{}", stage + 1), &[&name]);
        for number in 0..n {
            let halves = stage > 0 && number == 0;
            let stride = if halves { 2 } else { 1 };
            let drop_path = net.next_drop_path();
            let at = net.at(&name).pp(number);
            let designed = 16 << stage;
            let width = at.pp("conv2").width(designed);
            let block = block([net.channels(), width], designed, stride, drop_path, &at)?;
            net.add(block).set_channels(width).add_stride(stride);
        }
        net.end_stage(&name);
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    Ok(net.linear_classifier(BASE.classifier, num_classes, drop_rate.unwrap_or(0.))?)
}

fn conv(from: usize, to: usize, stride: usize) -> Conv2dConfig {
    let init = Init::KaimingNormal {
        fan: Fan::In,
        gain: std::f64::consts::SQRT_2,
    };
    Conv2dConfig::new(from, to, 3)
        .with_stride(stride)
        .with_padding(Padding::all(1))
        .with_init(init)
}

/// A block from and to so many channels, whose first convolution is designed to have others.
fn block(
    [input, output]: [usize; 2],
    designed: usize,
    stride: usize,
    drop_path: f64,
    at: &Builder,
) -> Result<Residual, Error> {
    let inner = at.pp("conv1").width(designed);
    let first = ConvNormActConfig::new(
        conv(input, inner, stride),
        BatchNorm2dConfig::new(inner),
        Activation::Relu,
    );
    let second = ConvNormActConfig::new(
        conv(inner, output, 1),
        BatchNorm2dConfig::new(output),
        Activation::Identity,
    );
    let branch = Sequential::new().add(first.build(&at.pp("conv1"), &at.pp("bn1"))?);
    let last = second.build(&at.pp("conv2"), &at.pp("bn2"))?;
    let act = Activate::new(Activation::Relu, &at.pp("act2"));
    let sum = ResidualSum::new(drop_path, Some(act), at)?;
    let block = Residual::with_sum(branch, last, sum);
    if stride == 1 {
        check_shortcut(BASE.family, input, output, at)?;
        return Ok(block);
    }
    let new = output.saturating_sub(input);
    check_shortcut(BASE.family, input + new, output, at)?;
    // Option A: every second pixel, and zeros for the new channels on both sides. A window of one
    // pixel picks them: its maximum is the pixel.
    let shortcut = at.pp("shortcut");
    let pad = PadChannels::new(new / 2, new - new / 2, &shortcut.pp("pad"));
    Ok(block.with_shortcut(
        Sequential::new()
            .add(MaxPool2d::new(1, stride).at(&shortcut))
            .add(pad),
    ))
}
