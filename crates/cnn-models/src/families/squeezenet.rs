//! SqueezeNet (Iandola et al. 2016, "AlexNet-level accuracy with 50x fewer parameters"), names as
//! in torchvision. Not in timm: a stage ends before each max-pooling, so `stage0` is the first ReLU
//! and the others are the last Fire module at their resolution.

use candle_core::Tensor;
use cnn_layers::{
    Activate, Activation, Builder, Concat, Context, Conv2dConfig, ConvAct, Dropout, Fan,
    FeatureMap, Flatten, GlobalAvgPool2d, Head, Init, Layer, MaxPool2d, Padding, StagedBuilder,
    StagedClassifier,
};

use crate::{Build, Error, ModelConfig, ModelSpec, preset};

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
        build: Build::Staged(|config, root| build(&SQUEEZENET1_0, config, root)),
        parameters: 1_248_424,
        multiply_adds: 818_924_576,
        ..BASE
    },
    ModelSpec {
        name: "squeezenet1_1",
        build: Build::Staged(|config, root| build(&SQUEEZENET1_1, config, root)),
        parameters: 1_235_496,
        multiply_adds: 349_151_936,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "squeezenet",
    paper: "Iandola et al. 2016, arXiv:1602.07360",
    preset: preset::imagenet,
    first_conv: "features.0",
    classifier: "classifier.1",
    ..ModelSpec::OWN
};

fn build(
    variant: &Variant,
    config: &ModelConfig,
    root: &Builder,
) -> Result<StagedClassifier, Error> {
    let drop_rate = config.read_args(BASE.family, |args| args.probability("drop_rate"))?;
    let features = root.pp("features");
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels));

    net.group("stem", &["features.0"]);
    let (channels, kernel_size) = variant.stem;
    let channels = features.pp(0).width(channels);
    let stem = conv(net.channels(), channels, kernel_size).with_stride(2);
    let act = Activate::new(Activation::Relu, &features.pp(1));
    let stem = ConvAct::build(&stem, act, &features.pp(0))?;
    net.add(stem).to_channels(channels).by_stride(2);
    net.end_stage("features.1");

    let mut index = 2;
    for (stage, squeezes) in variant.stages.iter().enumerate() {
        let first = index + 1;
        let pool = MaxPool2d::new(3, 2)
            .at(&features.pp(index))
            .with_ceil_mode();
        net.add(pool).by_stride(2);
        for &squeeze in *squeezes {
            index += 1;
            let fire = Fire::build(net.channels(), squeeze, &features.pp(index))?;
            let channels = fire.out_channels;
            net.add(fire).to_channels(channels);
        }
        let modules: Vec<String> = (first..=index).map(|at| format!("features.{at}")).collect();
        let modules: Vec<&str> = modules.iter().map(String::as_str).collect();
        net.group(&format!("stage{}", stage + 1), &modules);
        net.end_stage(&format!("features.{index}"));
        index += 1;
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    let classifier = root.pp("classifier");
    let head = ConvHead {
        dropout: Dropout::new(drop_rate.unwrap_or(0.5), &classifier.pp(0))?,
        conv: ConvAct::build(
            &conv(net.channels(), num_classes, 1).with_init(Init::Normal { std: 0.01 }),
            Activate::new(Activation::Relu, &classifier.pp(2)),
            &classifier.pp(1),
        )?,
        pool: GlobalAvgPool2d::new().at(&classifier.pp(3)),
        flatten: Flatten::new(&root.pp("flatten")),
    };
    Ok(net.classifier(num_classes, &[BASE.classifier], head))
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
    out_channels: usize,
    squeeze: ConvAct,
    expand1x1: ConvAct,
    expand3x3: ConvAct,
    concat: Concat,
}

impl Fire {
    fn build(channels: usize, squeeze: usize, at: &Builder) -> candle_core::Result<Self> {
        let unit = |name: &str, conv: Conv2dConfig| {
            let activation = Activate::new(Activation::Relu, &at.pp(format!("{name}_activation")));
            ConvAct::build(&conv, activation, &at.pp(name))
        };
        let width = |name: &str, default| at.pp(name).width(default);
        let expand1x1 = width("expand1x1", 4 * squeeze);
        let expand3x3 = width("expand3x3", 4 * squeeze);
        let squeeze = width("squeeze", squeeze);
        let padded = conv(squeeze, expand3x3, 3).with_padding(Padding::all(1));
        Ok(Self {
            out_channels: expand1x1 + expand3x3,
            squeeze: unit("squeeze", conv(channels, squeeze, 1))?,
            expand1x1: unit("expand1x1", conv(squeeze, expand1x1, 1))?,
            expand3x3: unit("expand3x3", padded)?,
            concat: Concat::new(at),
        })
    }
}

impl Layer for Fire {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<FeatureMap> {
        let squeezed = self.squeeze.forward(xs, cx)?;
        ConvAct::concat(
            &[(&self.expand1x1, &squeezed), (&self.expand3x3, &squeezed)],
            &self.concat,
            cx,
        )
    }
}

/// Dropout, a 1×1 convolution to one map per class, ReLU, and the mean of each map.
struct ConvHead {
    dropout: Dropout,
    conv: ConvAct,
    pool: GlobalAvgPool2d,
    flatten: Flatten,
}

impl Head for ConvHead {
    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<Tensor> {
        let chain: [&dyn Layer; 3] = [&self.dropout, &self.conv, &self.pool];
        let scores = chain
            .iter()
            .try_fold(features.clone(), |xs, layer| layer.forward(&xs, cx))?;
        self.flatten.forward(&scores, cx)
    }
}
