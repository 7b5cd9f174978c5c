//! MobileNetV1 (Howard et al. 2017, "Efficient Convolutional Neural Networks for Mobile Vision
//! Applications"), names and stages as in timm.

use cnn_layers::{
    Activation, BatchNorm2dConfig, BlockOptions, Builder, Conv2dConfig, ConvNormActConfig,
    DepthwiseSeparableConfig, Init, StagedBuilder, StagedClassifier, Step,
};

use crate::config::{PadType, make_divisible};
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

/// Table 1 of the paper: (blocks, stride of the first, channels) of each stage.
const STAGES: [(usize, usize, usize); 5] = [
    (1, 1, 64),
    (2, 2, 128),
    (2, 2, 256),
    (6, 2, 512),
    (2, 2, 1024),
];

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "mobilenetv1_100",
        build: Build::Staged(|config, root| build(1.0, config, root)),
        parameters: 4_231_976,
        multiply_adds: 568_740_352,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv1_125",
        build: Build::Staged(|config, root| build(1.25, config, root)),
        parameters: 6_270_840,
        multiply_adds: 879_516_800,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "mobilenetv1",
    paper: "Howard et al. 2017, arXiv:1704.04861",
    preset: preset::inception,
    first_conv: "conv_stem",
    classifier: "classifier",
    ..ModelSpec::OWN
};

fn build(multiplier: f64, config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
    let args = config.read_args(BASE.family, |args| {
        Ok(Args {
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
            channel_multiplier: args
                .number("channel_multiplier", 0.01..=4.)?
                .unwrap_or(multiplier),
            pad_type: PadType::read(args)?.unwrap_or(PadType::Symmetric),
            bn_eps: args.number("bn_eps", 0.0..=1.)?.unwrap_or(1e-5),
            output_stride: args.output_stride()?,
        })
    })?;
    let width = |channels: usize| make_divisible(channels as f64 * args.channel_multiplier);
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        .with_output_stride(args.output_stride);

    net.group("stem", &["conv_stem", "bn1"]);
    let stem_width = net.at("conv_stem").width(width(32));
    let conv_stem = Conv2dConfig::new(net.channels(), stem_width, 3)
        .with_stride(2)
        .with_padding(args.pad_type.padding(3, Step::of_stride(2)))
        .with_init(Init::KAIMING_NORMAL_OUT);
    let norm = BatchNorm2dConfig::new(stem_width).with_eps(args.bn_eps);
    let stem = ConvNormActConfig::new(conv_stem, norm, Activation::Relu6);
    let stem = stem.build(&net.at("conv_stem"), &net.at("bn1"))?;
    net.add(stem).set_channels(stem_width).add_stride(2);

    let mut designed = width(32);
    for (stage, (blocks, stride, base)) in STAGES.into_iter().enumerate() {
        let name = format!("blocks.{stage}");
        net.group(&format!("stage{}", stage + 1), &[&name]);
        for number in 0..blocks {
            let step = net.next_step(if number == 0 { stride } else { 1 });
            let options = BlockOptions::new()
                .with_kernel(3, args.pad_type.padding(3, step))
                .with_dilation(step.dilation)
                .with_eps(args.bn_eps);
            let block = DepthwiseSeparableConfig::new(designed, width(base), step.stride)
                .with_input(net.channels())
                .with_options(options)
                .build(&net.at(&name).pp(number))?;
            let channels = block.out_channels();
            net.add(block)
                .set_channels(channels)
                .add_stride(step.stride);
            designed = width(base);
        }
        net.end_stage(&name);
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    Ok(net.linear_classifier(BASE.classifier, num_classes, args.drop_rate)?)
}

/// What the family knows: timm's `drop_rate`, `channel_multiplier` (the width relative to the
/// paper's), `pad_type`, `bn_eps` and `output_stride`.
struct Args {
    drop_rate: f64,
    channel_multiplier: f64,
    pad_type: PadType,
    bn_eps: f64,
    output_stride: usize,
}
