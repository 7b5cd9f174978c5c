//! SqueezeNet (Iandola et al. 2016, "AlexNet-level accuracy with 50x fewer parameters"), names as
//! in torchvision. Not in timm: a stage ends before each max-pooling, so `stage0` is the first ReLU
//! and the others are the last Fire module at their resolution.

use candle_core::{Result, Tensor};
use cnn_layers::{
    Activate, Activation, Builder, Context, Conv2dConfig, ConvAct, Dropout, Fan, FeatureMap,
    GlobalAvgPool2d, Init, Layer, MaxPool2d, Padding, Sequential,
};

use crate::ModelConfig;
use crate::registry::{Built, ModelSpec, Preset, WeightSource};
use crate::staged::{Head, StagedBuilder};

/// Table 1 of the paper; version 1.1 moves the poolings forward and narrows the first convolution.
struct Variant {
    /// Channels and kernel of the first convolution.
    stem: (usize, usize),
    /// Squeeze channels of the Fire modules of each stage after the first; they expand to eight
    /// times as many.
    stages: [&'static [usize]; 3],
}

const SQUEEZENET1_0: Variant = Variant {
    stem: (96, 7),
    stages: [&[16, 16, 32], &[32, 48, 48, 64], &[64]],
};
const SQUEEZENET1_1: Variant = Variant {
    stem: (64, 3),
    stages: [&[16, 16], &[32, 32], &[48, 48, 64, 64]],
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "squeezenet1_0",
        build: |config, root| build(&SQUEEZENET1_0, config, root),
        parameters: 1_248_424,
        multiply_adds: 818_924_576,
        weights: &[WeightSource::torchvision(
            "IMAGENET1K_V1",
            "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth",
            "b66bff10",
            58.092,
        )],
        ..BASE
    },
    ModelSpec {
        name: "squeezenet1_1",
        build: |config, root| build(&SQUEEZENET1_1, config, root),
        parameters: 1_235_496,
        multiply_adds: 349_151_936,
        weights: &[WeightSource::torchvision(
            "IMAGENET1K_V1",
            "https://download.pytorch.org/models/squeezenet1_1-b8a52dc0.pth",
            "b8a52dc0",
            58.178,
        )],
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "squeezenet",
    paper: "Iandola et al. 2016, arXiv:1602.07360",
    preset: Preset::ImageNet,
    first_conv: "features.0",
    classifier: "classifier.1",
    ..ModelSpec::IMAGENET
};

fn build(variant: &Variant, config: &ModelConfig, root: &Builder) -> Built {
    let num_classes = config.num_classes.unwrap_or(1000);
    let features = root.pp("features");
    let mut model = StagedBuilder::default();

    let (mut channels, kernel_size) = variant.stem;
    let stem = conv(config.in_channels.unwrap_or(3), channels, kernel_size).with_stride(2);
    let stem = ConvAct::build(
        &stem,
        Activate::new(Activation::Relu, &features.pp(1)),
        &features.pp(0),
    )?;
    model.stage("features.1", channels, 2, Sequential::new().add(stem));
    model.group("stem", &["features.0"]);

    let mut index = 2;
    for (stage, squeezes) in variant.stages.iter().enumerate() {
        let pool = MaxPool2d::new(3, 2, &features.pp(index)).with_ceil_mode();
        let mut layers = Sequential::new().add(pool);
        let mut modules = Vec::new();
        for &squeeze in *squeezes {
            index += 1;
            layers = layers.add(Fire::build(channels, squeeze, &features.pp(index))?);
            channels = 8 * squeeze;
            modules.push(format!("features.{index}"));
        }
        model.stage(format!("features.{index}"), channels, 4 << stage, layers);
        model.group(
            &format!("stage{}", stage + 1),
            &modules.iter().map(String::as_str).collect::<Vec<_>>(),
        );
        index += 1;
    }

    model.group("head", &["classifier.1"]);
    let classifier = root.pp("classifier");
    let head = ConvHead {
        dropout: Dropout::new(config.drop_rate.unwrap_or(0.5), &classifier.pp(0))?,
        conv: ConvAct::build(
            &conv(channels, num_classes, 1).with_init(Init::Normal { std: 0.01 }),
            Activate::new(Activation::Relu, &classifier.pp(2)),
            &classifier.pp(1),
        )?,
        pool: GlobalAvgPool2d::new(&classifier.pp(3)),
    };
    Ok(model.finish(channels, num_classes, head))
}

fn conv(from: usize, to: usize, kernel_size: usize) -> Conv2dConfig {
    let init = Init::KaimingUniform {
        fan: Fan::In,
        gain: std::f64::consts::SQRT_2,
    };
    Conv2dConfig::new(from, to, kernel_size)
        .with_init(init)
        .with_bias_init(Init::ZEROS)
}

/// A 1×1 convolution that squeezes, then 1×1 and 3×3 convolutions side by side that expand four
/// times each.
struct Fire {
    squeeze: ConvAct,
    expand1x1: ConvAct,
    expand3x3: ConvAct,
    path: String,
}

impl Fire {
    fn build(channels: usize, squeeze: usize, at: &Builder) -> Result<Self> {
        let unit = |name: &str, conv: Conv2dConfig| {
            let activation = Activate::new(Activation::Relu, &at.pp(format!("{name}_activation")));
            ConvAct::build(&conv, activation, &at.pp(name))
        };
        Ok(Self {
            squeeze: unit("squeeze", conv(channels, squeeze, 1))?,
            expand1x1: unit("expand1x1", conv(squeeze, 4 * squeeze, 1))?,
            expand3x3: unit(
                "expand3x3",
                conv(squeeze, 4 * squeeze, 3).with_padding(Padding::all(1)),
            )?,
            path: at.path().to_string(),
        })
    }
}

impl Layer for Fire {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let squeezed = self.squeeze.forward(xs, cx)?;
        ConvAct::concat(
            &[(&self.expand1x1, &squeezed), (&self.expand3x3, &squeezed)],
            &self.path,
            cx,
        )
    }
}

/// Dropout, a 1×1 convolution to one map per class, ReLU, and the mean of each map.
struct ConvHead {
    dropout: Dropout,
    conv: ConvAct,
    pool: GlobalAvgPool2d,
}

impl Head for ConvHead {
    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        let chain: [&dyn Layer; 3] = [&self.dropout, &self.conv, &self.pool];
        chain
            .iter()
            .try_fold(features.clone(), |xs, layer| layer.forward(&xs, cx))?
            .flatten()
    }
}
