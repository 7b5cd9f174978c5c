//! MobileNetV1 (Howard et al. 2017, "Efficient Convolutional Neural Networks for Mobile Vision
//! Applications"), names and stages as in timm.

use cnn_layers::{
    Activation, BatchNorm2dConfig, BlockOptions, Builder, Conv2dConfig, ConvNormActConfig,
    DepthwiseSeparableConfig, Init, Sequential,
};

use crate::ModelConfig;
use crate::config::make_divisible;
use crate::registry::{Built, ModelSpec, Preset, WeightSource};
use crate::staged::{LinearHead, StagedBuilder};

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
        build: |config, root| build(1.0, config, root),
        parameters: 4_231_976,
        multiply_adds: 568_740_352,
        weights: &[WeightSource::hub(
            "ra4_e3600_r224_in1k",
            "hf:timm/mobilenetv1_100.ra4_e3600_r224_in1k",
            "apache-2.0",
        )],
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv1_125",
        build: |config, root| build(1.25, config, root),
        parameters: 6_270_840,
        multiply_adds: 879_516_800,
        weights: &[WeightSource::hub(
            "ra4_e3600_r224_in1k",
            "hf:timm/mobilenetv1_125.ra4_e3600_r224_in1k",
            "apache-2.0",
        )],
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "mobilenetv1",
    paper: "Howard et al. 2017, arXiv:1704.04861",
    preset: Preset::Inception,
    first_conv: "conv_stem",
    classifier: "classifier",
    ..ModelSpec::IMAGENET
};

fn build(multiplier: f64, config: &ModelConfig, root: &Builder) -> Built {
    let num_classes = config.num_classes.unwrap_or(1000);
    let multiplier = config.channel_multiplier.unwrap_or(multiplier);
    let width = |channels: usize| make_divisible(channels as f64 * multiplier);
    let mut model = StagedBuilder::default();

    let mut channels = width(32);
    let conv_stem = Conv2dConfig::new(config.in_channels.unwrap_or(3), channels, 3)
        .with_stride(2)
        .with_padding(config.padding(3, 2))
        .with_init(Init::KAIMING_NORMAL_OUT);
    let norm = BatchNorm2dConfig::new(channels).with_eps(config.bn_eps());
    let stem = ConvNormActConfig::new(conv_stem, norm, Activation::Relu6);
    let mut layers = Sequential::new().add(stem.build(&root.pp("conv_stem"), &root.pp("bn1"))?);
    model.group("stem", &["conv_stem", "bn1"]);

    for (stage, (blocks, stride, base)) in STAGES.into_iter().enumerate() {
        let name = format!("blocks.{stage}");
        for number in 0..blocks {
            let stride = if number == 0 { stride } else { 1 };
            let options = BlockOptions::new()
                .with_kernel(3, config.padding(3, stride))
                .with_eps(config.bn_eps());
            let block =
                DepthwiseSeparableConfig::new(channels, width(base), stride).with_options(options);
            layers = layers.add(block.build(&root.pp(&name).pp(number))?);
            channels = width(base);
        }
        model.stage(
            name.as_str(),
            channels,
            2 << stage,
            std::mem::take(&mut layers),
        );
        model.group(&format!("stage{}", stage + 1), &[&name]);
    }

    model.group("head", &["classifier"]);
    let head = LinearHead::build(
        root,
        "classifier",
        channels,
        num_classes,
        config.drop_rate.unwrap_or(0.),
    )?;
    Ok(model.finish(channels, num_classes, head))
}
