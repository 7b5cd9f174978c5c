//! VGG (Simonyan & Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image
//! Recognition"), with and without batch normalisation; names and stages as in timm, whose first two
//! linear layers are convolutions over the map. Files with torchvision's names load too.

use candle_core::Tensor;
use cnn_layers::{
    Activate, Activation, AdaptiveAvgPool2d, BatchNorm2dConfig, Builder, Context, Conv2dConfig,
    ConvAct, ConvNormActConfig, Dropout, FeatureMap, Head, Init, Layer, LinearConfig, LinearHead,
    MaxPool2d, Padding, StagedBuilder, StagedClassifier,
};

use crate::{Build, Error, ModelConfig, ModelSpec, Naming, preset};

/// Table 1 of the paper: how many 3×3 convolutions stand before each of the five poolings.
struct Variant {
    depths: [usize; 5],
    has_norm: bool,
}

/// Channels of the convolutions before each pooling.
const WIDTHS: [usize; 5] = [64, 128, 256, 512, 512];

/// Rows and columns of the map that the first layer of the head reads at once.
const HEAD_WINDOW: usize = 7;

/// Features of the head's layers before the last.
const HIDDEN: usize = 4096;

const A: Variant = plain([1, 1, 2, 2, 2]);
const B: Variant = plain([2, 2, 2, 2, 2]);
const D: Variant = plain([2, 2, 3, 3, 3]);
const E: Variant = plain([2, 2, 4, 4, 4]);

const fn plain(depths: [usize; 5]) -> Variant {
    Variant {
        depths,
        has_norm: false,
    }
}

impl Variant {
    const fn with_norm(self) -> Self {
        Self {
            has_norm: true,
            ..self
        }
    }
}

/// With counts for 1000 classes and images of 3×224×224.
pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "vgg11",
        build: Build::Staged(|config, root| build(&A, config, root)),
        parameters: 132_863_336,
        multiply_adds: 7_609_090_048,
        ..BASE
    },
    ModelSpec {
        name: "vgg11_bn",
        build: Build::Staged(|config, root| build(&A.with_norm(), config, root)),
        parameters: 132_868_840,
        multiply_adds: 7_609_090_048,
        ..BASE
    },
    ModelSpec {
        name: "vgg13",
        build: Build::Staged(|config, root| build(&B, config, root)),
        parameters: 133_047_848,
        multiply_adds: 11_308_466_176,
        ..BASE
    },
    ModelSpec {
        name: "vgg13_bn",
        build: Build::Staged(|config, root| build(&B.with_norm(), config, root)),
        parameters: 133_053_736,
        multiply_adds: 11_308_466_176,
        ..BASE
    },
    ModelSpec {
        name: "vgg16",
        build: Build::Staged(|config, root| build(&D, config, root)),
        parameters: 138_357_544,
        multiply_adds: 15_470_264_320,
        ..BASE
    },
    ModelSpec {
        name: "vgg16_bn",
        build: Build::Staged(|config, root| build(&D.with_norm(), config, root)),
        parameters: 138_365_992,
        multiply_adds: 15_470_264_320,
        ..BASE
    },
    ModelSpec {
        name: "vgg19",
        build: Build::Staged(|config, root| build(&E, config, root)),
        parameters: 143_667_240,
        multiply_adds: 19_632_062_464,
        ..BASE
    },
    ModelSpec {
        name: "vgg19_bn",
        build: Build::Staged(|config, root| build(&E.with_norm(), config, root)),
        parameters: 143_678_248,
        multiply_adds: 19_632_062_464,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "vgg",
    paper: "Simonyan & Zisserman 2014, arXiv:1409.1556",
    preset: preset::imagenet_bilinear,
    first_conv: "features.0",
    classifier: "head.fc",
    namings: &[Naming {
        library: "torchvision",
        rename: from_torchvision,
        args: &[],
    }],
    // Of 133 to 144 million weights, the head's first layer has 103.
    reduced: || ModelConfig::default().with_arg("mlp_ratio", 1. / 64.),
    ..ModelSpec::OWN
};

/// What the family knows: timm's `drop_rate` and `mlp_ratio` (the width of the head's first layer
/// relative to the paper's).
struct Args {
    drop_rate: f64,
    mlp_ratio: f64,
}

fn build(
    variant: &Variant,
    config: &ModelConfig,
    root: &Builder,
) -> Result<StagedClassifier, Error> {
    let args = config.read_args(BASE.family, |args| {
        Ok(Args {
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
            mlp_ratio: args
                .number("mlp_ratio", 1. / HIDDEN as f64..=16.)?
                .unwrap_or(1.),
        })
    })?;
    let features = root.pp("features");
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels));
    // Where the next layer lies in `features`.
    let mut index = 0;
    for (stage, (depth, width)) in (1..).zip(variant.depths.into_iter().zip(WIDTHS)) {
        let first = index;
        for _ in 0..depth {
            let at = features.pp(index);
            let channels = at.width(width);
            let conv = conv(net.channels(), channels, 3).with_padding(Padding::all(1));
            if variant.has_norm {
                let norm = BatchNorm2dConfig::new(channels);
                let unit = ConvNormActConfig::new(conv, norm, Activation::Relu).with_conv_bias();
                net.add(unit.build(&at, &features.pp(index + 1))?);
                index += 3;
            } else {
                let relu = Activate::new(Activation::Relu, &features.pp(index + 1));
                net.add(ConvAct::build(&conv, relu, &at)?);
                index += 2;
            }
            net.set_channels(channels);
        }
        let modules: Vec<String> = (first..index).map(|at| format!("features.{at}")).collect();
        let modules: Vec<&str> = modules.iter().map(String::as_str).collect();
        net.group(&format!("stage{stage}"), &modules);
        net.end_stage(&format!("features.{}", index - 1));
        // The pooling belongs to the stage that it leads to, and the last one is a stage of its own.
        let pool = MaxPool2d::new(2, 2).at(&features.pp(index));
        net.add(pool).add_stride(2);
        index += 1;
    }
    net.end_stage(&format!("features.{}", index - 1));

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    let head = VggHead::build(&args, net.channels(), num_classes, root)?;
    net.head_group("fc1", &["pre_logits.fc1"]);
    net.head_group("fc2", &["pre_logits.fc2"]);
    Ok(net.classifier(num_classes, &["head"], head))
}

/// A convolution as the family initialises it.
fn conv(in_channels: usize, out_channels: usize, kernel_size: usize) -> Conv2dConfig {
    Conv2dConfig::new(in_channels, out_channels, kernel_size)
        .with_init(Init::KAIMING_NORMAL_OUT)
        .with_bias_init(Init::ZEROS)
}

/// The paper's three linear layers as convolutions, so that larger images have several windows, whose
/// features are averaged. A map that is smaller than the window is brought to its size.
struct VggHead {
    at_pool: Builder,
    fc1: ConvAct,
    dropout: Dropout,
    fc2: ConvAct,
    scores: LinearHead,
}

impl VggHead {
    fn build(
        args: &Args,
        channels: usize,
        num_classes: usize,
        root: &Builder,
    ) -> candle_core::Result<Self> {
        let at = root.pp("pre_logits");
        let unit = |name: &str, act: &str, conv: Conv2dConfig| {
            let relu = Activate::new(Activation::Relu, &at.pp(act));
            ConvAct::build(&conv, relu, &at.pp(name))
        };
        let fc1 = at
            .pp("fc1")
            .width((HIDDEN as f64 * args.mlp_ratio) as usize);
        let fc2 = at.pp("fc2").width(HIDDEN);
        let linear = LinearConfig::new(fc2, num_classes)
            .with_init(Init::Normal { std: 0.01 })
            .with_bias_init(Init::ZEROS)
            .build(&root.pp(BASE.classifier))?;
        Ok(Self {
            at_pool: at.pp("pool"),
            fc1: unit("fc1", "act1", conv(channels, fc1, HEAD_WINDOW))?,
            dropout: Dropout::new(args.drop_rate, &at.pp("drop"))?,
            fc2: unit("fc2", "act2", conv(fc1, fc2, 1))?,
            scores: LinearHead::of(linear, &root.pp("head"), args.drop_rate)?,
        })
    }
}

impl Head for VggHead {
    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<Tensor> {
        let [rows, columns] = [features.height(), features.width()];
        let xs = if rows.min(columns) < HEAD_WINDOW {
            let size = [rows.max(HEAD_WINDOW), columns.max(HEAD_WINDOW)];
            let pool = AdaptiveAvgPool2d::new(size).at(&self.at_pool);
            pool.forward(features, cx)?
        } else {
            features.clone()
        };
        let layers: [&dyn Layer; 3] = [&self.fc1, &self.dropout, &self.fc2];
        let xs = layers
            .iter()
            .try_fold(xs, |xs, layer| layer.forward(&xs, cx))?;
        self.scores.forward(&xs, cx)
    }
}

/// Translates torchvision's name of a tensor of the head (`classifier.0.weight`), whose linear layers
/// are convolutions here; the others have the same names.
fn from_torchvision(name: &str) -> Option<String> {
    let (index, tensor) = name.strip_prefix("classifier.")?.split_once('.')?;
    let module = match index {
        "0" => "pre_logits.fc1",
        "3" => "pre_logits.fc2",
        "6" => BASE.classifier,
        _ => return None,
    };
    Some(format!("{module}.{tensor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_names_are_translated() {
        for (theirs, ours) in [
            ("classifier.0.weight", Some("pre_logits.fc1.weight")),
            ("classifier.3.bias", Some("pre_logits.fc2.bias")),
            ("classifier.6.weight", Some("head.fc.weight")),
            ("classifier.1.weight", None),
            ("features.0.weight", None),
            ("head.fc.weight", None),
        ] {
            assert_eq!(from_torchvision(theirs).as_deref(), ours, "{theirs}");
        }
    }
}
