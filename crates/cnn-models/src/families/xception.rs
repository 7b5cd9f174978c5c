//! Xception (Chollet 2016, "Xception: Deep Learning with Depthwise Separable Convolutions"), names
//! as in timm's `legacy_xception`.
//!
//! Stages are as in timm but for one thing: timm's maps of the middle stages are the ReLU at the
//! start of the next block, whose shortcut reads the map before it. Here they are that map, from
//! which alone the network can go on.

use cnn_core::Preprocessing;
use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormActConfig, Init,
    MaxPool2d, Padding, Residual, ResidualSum, Sequential, StagedBuilder, StagedClassifier,
};

use crate::config::check_shortcut;
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

/// A block of the paper's figure 5.
struct Row {
    /// Channels that its separable convolutions give.
    widths: &'static [usize],
    stride: usize,
    /// Whether a ReLU comes before the first of them.
    starts_with_relu: bool,
    /// Whether a stage ends after it.
    ends_stage: bool,
}

const fn entry(widths: &'static [usize]) -> Row {
    Row {
        widths,
        stride: 2,
        starts_with_relu: true,
        ends_stage: true,
    }
}

const MIDDLE: Row = Row {
    widths: &[728, 728, 728],
    stride: 1,
    starts_with_relu: true,
    ends_stage: false,
};

/// Entry flow, middle flow and the one block of the exit flow.
const ROWS: [Row; 12] = [
    Row {
        starts_with_relu: false,
        ..entry(&[128, 128])
    },
    entry(&[256, 256]),
    Row {
        ends_stage: false,
        ..entry(&[728, 728])
    },
    MIDDLE,
    MIDDLE,
    MIDDLE,
    MIDDLE,
    MIDDLE,
    MIDDLE,
    MIDDLE,
    Row {
        ends_stage: true,
        ..MIDDLE
    },
    Row {
        ends_stage: false,
        ..entry(&[728, 1024])
    },
];

pub(crate) const MODELS: &[ModelSpec] = &[ModelSpec {
    name: "legacy_xception",
    family: "xception",
    paper: "Chollet 2016, arXiv:1610.02357",
    build: Build::Staged(build),
    parameters: 22_855_952,
    multiply_adds: 8_357_403_496,
    preset: preprocessing,
    first_conv: "conv1",
    classifier: CLASSIFIER,
    ..ModelSpec::OWN
}];

const FAMILY: &str = "xception";
const CLASSIFIER: &str = "fc";

/// 299×299, bicubic, crop 0.8975, mean and standard deviation 0.5.
fn preprocessing() -> Preprocessing {
    Preprocessing {
        input_size: [3, 299, 299],
        crop_pct: 0.8975,
        ..preset::inception()
    }
}

fn build(config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
    let drop_rate = config.read_args(FAMILY, |args| args.probability("drop_rate"))?;
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(3));

    net.group("stem", &["conv1", "bn1", "conv2", "bn2"]);
    for (number, width, stride) in [(1, 32, 2), (2, 64, 1)] {
        let at = net.at(format!("conv{number}"));
        let channels = at.width(width);
        let conv = conv(net.channels(), channels, 3).with_stride(stride);
        let unit = with_norm(conv, channels, Activation::Relu);
        net.add(unit.build(&at, &net.at(format!("bn{number}")))?)
            .set_channels(channels)
            .add_stride(stride);
    }
    net.end_stage("act2");

    let mut stage = 1;
    let mut modules = Vec::new();
    for (number, row) in (1..).zip(&ROWS) {
        let name = format!("block{number}");
        let (block, channels) = row.build(net.channels(), &net.at(&name))?;
        net.add(block).set_channels(channels).add_stride(row.stride);
        modules.push(name);
        if row.ends_stage {
            let modules: Vec<String> = std::mem::take(&mut modules);
            let names: Vec<&str> = modules.iter().map(String::as_str).collect();
            net.group(&format!("stage{stage}"), &names);
            stage += 1;
            net.end_stage(&modules[modules.len() - 1]);
        }
    }

    let names = modules.iter().map(String::as_str);
    let names: Vec<&str> = names.chain(["conv3", "bn3", "conv4", "bn4"]).collect();
    net.group(&format!("stage{stage}"), &names);
    for (number, width) in [(3, 1536), (4, 2048)] {
        let at = net.at(format!("conv{number}"));
        let norm = net.at(format!("bn{number}"));
        let separable = Separable::new(net.channels(), width, &at);
        let channels = separable.out_channels;
        let depthwise = separable.depthwise.build(&at.pp("conv1"))?;
        let pointwise = with_norm(separable.pointwise, channels, Activation::Relu)
            .build(&at.pp("pointwise"), &norm)?;
        net.add(depthwise).add(pointwise).set_channels(channels);
    }
    net.end_stage("act4");

    let num_classes = config.num_classes.unwrap_or(1000);
    Ok(net.linear_classifier(CLASSIFIER, num_classes, drop_rate.unwrap_or(0.))?)
}

impl Row {
    /// The block, and the channels of its output.
    fn build(&self, in_channels: usize, at: &Builder) -> Result<(Residual, usize), Error> {
        let rep = at.pp("rep");
        let mut branch = Sequential::new();
        let mut index = 0;
        if self.starts_with_relu {
            branch.push(Activate::new(Activation::Relu, &rep.pp(index)));
            index += 1;
        }
        let mut channels = in_channels;
        let mut last = None;
        for (number, &width) in self.widths.iter().enumerate() {
            let is_last = number + 1 == self.widths.len();
            let separable = Separable::new(channels, width, &rep.pp(index));
            channels = separable.out_channels;
            branch.push(separable.depthwise.build(&rep.pp(index).pp("conv1"))?);
            let activation = if is_last {
                Activation::Identity
            } else {
                Activation::Relu
            };
            let pointwise = with_norm(separable.pointwise, channels, activation)
                .build(&rep.pp(index).pp("pointwise"), &rep.pp(index + 1))?;
            // Separable convolution, norm, and the ReLU of the next.
            index += 3;
            if is_last {
                last = Some(pointwise);
            } else {
                branch.push(pointwise);
            }
        }
        let last = last.expect("a block has separable convolutions");
        let sum = ResidualSum::new(0., None, at)?;
        if self.stride == 1 {
            check_shortcut(FAMILY, in_channels, channels, at)?;
            return Ok((Residual::with_sum(branch, last, sum), channels));
        }
        // The branch ends in a pooling, so that the sum is computed in the pass of the shortcut's
        // norm.
        branch.push(last);
        let pool = MaxPool2d::new(3, self.stride).with_padding(Padding::all(1));
        branch.push(pool.at(&rep.pp(index - 1)));
        let at_skip = at.pp("skip");
        let width = at_skip.width(self.widths[self.widths.len() - 1]);
        check_shortcut(FAMILY, width, channels, &at_skip)?;
        let skip = conv(in_channels, width, 1).with_stride(self.stride);
        let skip =
            with_norm(skip, width, Activation::Identity).build(&at_skip, &at.pp("skipbn"))?;
        let block = Residual::with_sum(Sequential::new(), skip, sum).with_shortcut(branch);
        Ok((block, channels))
    }
}

/// A depthwise-separable convolution of the paper: nothing lies between the depthwise convolution,
/// called `conv1`, and the pointwise one.
struct Separable {
    depthwise: Conv2dConfig,
    pointwise: Conv2dConfig,
    out_channels: usize,
}

impl Separable {
    fn new(in_channels: usize, out_channels: usize, at: &Builder) -> Self {
        let out_channels = at.pp("pointwise").width(out_channels);
        // As in timm, whose rule counts the outputs of a depthwise convolution as those of others.
        let std = (2. / (9 * in_channels) as f64).sqrt();
        Self {
            depthwise: conv(in_channels, in_channels, 3)
                .with_padding(Padding::all(1))
                .with_groups(in_channels)
                .with_init(Init::Normal { std }),
            pointwise: conv(in_channels, out_channels, 1),
            out_channels,
        }
    }
}

fn conv(in_channels: usize, out_channels: usize, kernel_size: usize) -> Conv2dConfig {
    Conv2dConfig::new(in_channels, out_channels, kernel_size)
        .with_init(Init::KAIMING_NORMAL_OUT)
        .without_bias()
}

fn with_norm(conv: Conv2dConfig, channels: usize, activation: Activation) -> ConvNormActConfig {
    ConvNormActConfig::new(conv, BatchNorm2dConfig::new(channels), activation)
}
