//! ShuffleNetV2 (Ma et al. 2018, "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture
//! Design"), names as in torchvision. Not in timm: a stage ends where the resolution is halved next,
//! so that `maxpool` is one; `conv5` follows the last.

use cnn_core::{Interpolation, Preprocessing};
use cnn_layers::Builder;
use cnn_layers::{
    ConvNormActConfig, MaxPool2d, Padding, ShuffleUnitConfig, StagedBuilder, StagedClassifier,
};

use crate::{Build, Error, ModelConfig, ModelSpec, preset};

/// A column of the paper's table 5.
struct Variant {
    /// Channels of `stage2` to `stage4`.
    stages: [usize; 3],
    /// Channels of the last convolution.
    last: usize,
}

const SHUFFLENET_V2_X0_5: Variant = Variant {
    stages: [48, 96, 192],
    last: 1024,
};
const SHUFFLENET_V2_X1_0: Variant = Variant {
    stages: [116, 232, 464],
    last: 1024,
};
const SHUFFLENET_V2_X1_5: Variant = Variant {
    stages: [176, 352, 704],
    last: 1024,
};
const SHUFFLENET_V2_X2_0: Variant = Variant {
    stages: [244, 488, 976],
    last: 2048,
};

/// Units of `stage2` to `stage4`.
const DEPTHS: [usize; 3] = [4, 8, 4];
/// Channels of the first convolution.
const STEM_WIDTH: usize = 24;

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "shufflenet_v2_x0_5",
        build: Build::Staged(|config, root| build(&SHUFFLENET_V2_X0_5, config, root)),
        parameters: 1_366_792,
        multiply_adds: 40_476_448,
        ..BASE
    },
    ModelSpec {
        name: "shufflenet_v2_x1_0",
        build: Build::Staged(|config, root| build(&SHUFFLENET_V2_X1_0, config, root)),
        parameters: 2_278_604,
        multiply_adds: 144_907_992,
        ..BASE
    },
    ModelSpec {
        name: "shufflenet_v2_x1_5",
        build: Build::Staged(|config, root| build(&SHUFFLENET_V2_X1_5, config, root)),
        parameters: 3_503_624,
        multiply_adds: 295_759_392,
        preset: resized_to_232,
        ..BASE
    },
    ModelSpec {
        name: "shufflenet_v2_x2_0",
        build: Build::Staged(|config, root| build(&SHUFFLENET_V2_X2_0, config, root)),
        parameters: 7_393_996,
        multiply_adds: 583_253_464,
        preset: resized_to_232,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "shufflenetv2",
    paper: "Ma et al. 2018, arXiv:1807.11164",
    preset: resized_to_256,
    first_conv: "conv1.0",
    classifier: "fc",
    ..ModelSpec::OWN
};

/// 224×224 of images that were resized to 256: torchvision's first recipe.
fn resized_to_256() -> Preprocessing {
    Preprocessing {
        interpolation: Interpolation::Bilinear,
        ..preset::imagenet()
    }
}

/// 224×224 of images that were resized to 232: torchvision's second recipe.
fn resized_to_232() -> Preprocessing {
    Preprocessing {
        crop_pct: 224. / 232.,
        ..resized_to_256()
    }
}

fn build(
    variant: &Variant,
    config: &ModelConfig,
    root: &Builder,
) -> Result<StagedClassifier, Error> {
    let drop_rate = config.read_args(BASE.family, |args| args.probability("drop_rate"))?;
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels));

    net.group("stem", &["conv1"]);
    let at = net.at("conv1");
    let channels = at.pp(0).width(STEM_WIDTH);
    let stem = ConvNormActConfig::relu(net.channels(), channels, 3).with_stride(2);
    net.add(stem.build(&at.pp(0), &at.pp(1))?)
        .set_channels(channels)
        .add_stride(2);
    net.end_stage("conv1");
    let pool = MaxPool2d::new(3, 2)
        .with_padding(Padding::all(1))
        .at(&net.at("maxpool"));
    net.add(pool).add_stride(2);
    net.end_stage("maxpool");

    for ((stage, width), depth) in (2..).zip(variant.stages).zip(DEPTHS) {
        let name = format!("stage{stage}");
        net.group(&name, &[&name]);
        for index in 0..depth {
            let channels = net.channels();
            let unit = match index {
                0 => ShuffleUnitConfig::new(channels, width, 2),
                _ => ShuffleUnitConfig::new(channels, width, 1),
            };
            let unit = unit.build(&net.at(&name).pp(index))?;
            let channels = unit.out_channels();
            net.add(unit)
                .set_channels(channels)
                .add_stride(if index == 0 { 2 } else { 1 });
        }
        net.end_stage(&name);
    }

    net.group("tail", &["conv5"]);
    let at = net.at("conv5");
    let channels = at.pp(0).width(variant.last);
    let last = ConvNormActConfig::relu(net.channels(), channels, 1);
    net.add(last.build(&at.pp(0), &at.pp(1))?)
        .set_channels(channels);

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    Ok(net.linear_classifier(BASE.classifier, num_classes, drop_rate.unwrap_or(0.))?)
}
