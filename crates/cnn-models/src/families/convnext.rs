//! ConvNeXt (Liu et al. 2022, "A ConvNet for the 2020s"), names and stages as in timm; the sizes
//! below tiny are timm's own. torchvision's names are translated on loading.

use candle_core::{Result as CandleResult, Tensor};
use cnn_core::Preprocessing;
use cnn_layers::{
    Activation, Builder, Context, Conv2d, Conv2dConfig, ConvLayerScale, ConvLayerScaleConfig,
    Dropout, FeatureMap, Flatten, GlobalAvgPool2d, Head, Init, Layer, LayerNorm2d,
    LayerNorm2dConfig, LayerNormConv, LayerNormConvConfig, LayerScaleConfig, Linear, LinearConfig,
    Padding, ResidualSum, Sequential, StagedBuilder, StagedClassifier,
};

use crate::config::check_shortcut;
use crate::{Build, Error, ModelConfig, ModelSpec, Naming, preset};

/// Section 3 of the paper: blocks and channels of the four stages.
struct Variant {
    depths: [usize; 4],
    widths: [usize; 4],
    /// Whether the two layers behind the depthwise convolution are stored as convolutions, timm's
    /// `conv_mlp`, or as the linear layers of each pixel that the paper has; they compute the same.
    stores_convolutions: bool,
    eps: f64,
    activation: Activation,
}

const SMALLEST: Variant = Variant {
    depths: [2, 2, 6, 2],
    widths: [40, 80, 160, 320],
    stores_convolutions: true,
    ..PAPER
};

const PAPER: Variant = Variant {
    depths: [3, 3, 9, 3],
    widths: [96, 192, 384, 768],
    stores_convolutions: false,
    eps: 1e-6,
    activation: Activation::Gelu,
};

const TEST: Variant = Variant {
    depths: [1, 2, 4, 2],
    widths: [24, 32, 48, 64],
    eps: 1e-5,
    activation: Activation::GeluTanh,
    ..PAPER
};
const ATTO: Variant = SMALLEST;
const FEMTO: Variant = Variant {
    widths: [48, 96, 192, 384],
    ..SMALLEST
};
const PICO: Variant = Variant {
    widths: [64, 128, 256, 512],
    ..SMALLEST
};
const NANO: Variant = Variant {
    depths: [2, 2, 8, 2],
    widths: [80, 160, 320, 640],
    ..SMALLEST
};
const TINY: Variant = PAPER;
const SMALL: Variant = Variant {
    depths: [3, 3, 27, 3],
    ..PAPER
};
const BASE_SIZE: Variant = Variant {
    depths: [3, 3, 27, 3],
    widths: [128, 256, 512, 1024],
    ..PAPER
};

/// With counts for 1000 classes and images of the default size.
pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "test_convnext",
        build: Build::Staged(|config, root| build(&TEST, config, root)),
        parameters: 272_128,
        multiply_adds: 31_228_800,
        preset: of_test,
        ..BASE
    },
    ModelSpec {
        name: "convnext_atto",
        build: Build::Staged(|config, root| build(&ATTO, config, root)),
        parameters: 3_695_520,
        multiply_adds: 547_332_480,
        ..BASE
    },
    ModelSpec {
        name: "convnext_femto",
        build: Build::Staged(|config, root| build(&FEMTO, config, root)),
        parameters: 5_217_784,
        multiply_adds: 779_629_824,
        ..BASE
    },
    ModelSpec {
        name: "convnext_pico",
        build: Build::Staged(|config, root| build(&PICO, config, root)),
        parameters: 9_045_672,
        multiply_adds: 1_367_055_360,
        ..BASE
    },
    ModelSpec {
        name: "convnext_nano",
        build: Build::Staged(|config, root| build(&NANO, config, root)),
        parameters: 15_593_560,
        multiply_adds: 2_445_528_320,
        preset: of_wide_crop,
        ..BASE
    },
    ModelSpec {
        name: "convnext_tiny",
        build: Build::Staged(|config, root| build(&TINY, config, root)),
        parameters: 28_589_128,
        multiply_adds: 4_455_531_264,
        preset: of_wide_crop,
        ..BASE
    },
    ModelSpec {
        name: "convnext_small",
        build: Build::Staged(|config, root| build(&SMALL, config, root)),
        parameters: 50_223_688,
        multiply_adds: 8_683_712_256,
        preset: of_wide_crop,
        ..BASE
    },
    ModelSpec {
        name: "convnext_base",
        build: Build::Staged(|config, root| build(&BASE_SIZE, config, root)),
        parameters: 88_591_464,
        multiply_adds: 15_354_729_472,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "convnext",
    paper: "Liu et al. 2022, arXiv:2201.03545",
    preset: preset::imagenet,
    first_conv: "stem.0",
    classifier: "head.fc",
    namings: &[Naming {
        library: "torchvision",
        rename: from_torchvision,
        args: &[],
    }],
    ..ModelSpec::OWN
};

/// ImageNet's with a crop of 0.95.
fn of_wide_crop() -> Preprocessing {
    Preprocessing {
        crop_pct: 0.95,
        ..preset::imagenet()
    }
}

fn of_test() -> Preprocessing {
    Preprocessing {
        input_size: [3, 160, 160],
        crop_pct: 0.95,
        ..preset::inception()
    }
}

fn build(
    variant: &Variant,
    config: &ModelConfig,
    root: &Builder,
) -> Result<StagedClassifier, Error> {
    let args = config.read_args(BASE.family, |args| {
        Ok(Args {
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
            drop_path_rate: args.probability("drop_path_rate")?.unwrap_or(0.),
            ls_init_value: args.number("ls_init_value", 0.0..=1e3)?.unwrap_or(1e-6),
            norm_eps: args.number("norm_eps", 0.0..=1.)?.unwrap_or(variant.eps),
        })
    })?;
    let blocks: usize = variant.depths.iter().sum();
    // As in timm, the last block has the full rate.
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        .with_drop_path(args.drop_path_rate, blocks - 1);

    net.group("stem", &["stem.0", "stem.1"]);
    let at = net.at("stem");
    let channels = at.pp(0).width(variant.widths[0]);
    let patches = conv(net.channels(), channels, PATCH).with_stride(PATCH);
    let stem = Sequential::new()
        .add(patches.build(&at.pp(0))?)
        .add(args.norm(channels).build(&at.pp(1))?);
    net.add(stem).set_channels(channels).add_stride(PATCH);

    for (stage, (depth, width)) in variant.depths.into_iter().zip(variant.widths).enumerate() {
        let name = format!("stages.{stage}");
        net.group(&format!("stage{}", stage + 1), &[&name]);
        if stage > 0 {
            let at = net.at(&name).pp("downsample");
            let channels = at.pp(1).width(width);
            let halving = conv(net.channels(), channels, 2).with_stride(2);
            let halving = LayerNormConvConfig::new(args.norm(net.channels()), halving);
            let halving = halving.build(&at.pp(0), &at.pp(1), &at)?;
            net.add(halving).set_channels(channels).add_stride(2);
        }
        for index in 0..depth {
            let block = BlockConfig {
                variant,
                args: &args,
                table_channels: width,
                drop_path: net.next_drop_path(),
            };
            let at = net.at(&name).pp("blocks").pp(index);
            let block = block.build(net.channels(), &at)?;
            net.add(block);
        }
        net.end_stage(&name);
    }

    net.head_group("norm", &["head.norm"]);
    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    let head = NormHead::build(net.channels(), num_classes, &args, &net.at("head"))?;
    Ok(net.classifier(num_classes, &[BASE.classifier], head))
}

/// Side of the stem's patches, and how far they are apart.
const PATCH: usize = 4;
/// Channels between the two layers behind the depthwise convolution, for one of the block.
const EXPANSION: usize = 4;
/// timm's and torchvision's: normal, cut at ±2, which is 100 standard deviations.
const WEIGHT_INIT: Init = Init::TruncatedNormal {
    std: 0.02,
    bound: 100.,
};

/// What the family knows: timm's `drop_rate`, `drop_path_rate`, `ls_init_value` (what the factors of
/// the branches start as) and `norm_eps`.
struct Args {
    drop_rate: f64,
    drop_path_rate: f64,
    ls_init_value: f64,
    norm_eps: f64,
}

impl Args {
    fn norm(&self, channels: usize) -> LayerNorm2dConfig {
        LayerNorm2dConfig::new(channels).with_eps(self.norm_eps)
    }
}

/// A convolution that starts as all of this family do.
fn conv(in_channels: usize, out_channels: usize, kernel_size: usize) -> Conv2dConfig {
    Conv2dConfig::new(in_channels, out_channels, kernel_size)
        .with_init(WEIGHT_INIT)
        .with_bias_init(Init::ZEROS)
}

struct BlockConfig<'a> {
    variant: &'a Variant,
    args: &'a Args,
    /// Channels of the output by the paper's table.
    table_channels: usize,
    drop_path: f64,
}

impl BlockConfig<'_> {
    fn build(&self, channels: usize, at: &Builder) -> Result<Block, Error> {
        let depthwise = conv(channels, channels, 7)
            .with_padding(Padding::all(3))
            .with_groups(channels);
        let at_expand = at.pp("mlp").pp("fc1");
        let at_project = at.pp("mlp").pp("fc2");
        let hidden = at_expand.width(EXPANSION * self.table_channels);
        let output = at_project.width(self.table_channels);
        check_shortcut(BASE.family, channels, output, at)?;
        let expand =
            LayerNormConvConfig::new(self.args.norm(channels), self.per_pixel(channels, hidden))
                .with_activation(self.variant.activation);
        let scale = LayerScaleConfig::new(output).with_init(self.args.ls_init_value);
        let project = ConvLayerScaleConfig::new(self.per_pixel(hidden, output), scale);
        Ok(Block {
            depthwise: depthwise.build(&at.pp("conv_dw"))?,
            expand: expand.build(&at.pp("norm"), &at_expand, &at.pp("mlp").pp("act"))?,
            project: project.build(&at_project, at)?,
            sum: ResidualSum::new(self.drop_path, None, at)?,
        })
    }

    fn per_pixel(&self, from: usize, to: usize) -> Conv2dConfig {
        let conv = conv(from, to, 1);
        if self.variant.stores_convolutions {
            conv
        } else {
            conv.with_linear_weight()
        }
    }
}

/// `xs + gamma · fc2(gelu(fc1(norm(conv_dw(xs)))))`: figure 4 of the paper.
struct Block {
    depthwise: Conv2d,
    expand: LayerNormConv,
    project: ConvLayerScale,
    sum: ResidualSum,
}

impl Layer for Block {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> CandleResult<FeatureMap> {
        let ys = self.depthwise.forward(xs, cx)?;
        let ys = self.expand.forward(&ys, cx)?;
        self.sum.forward(&self.project, &ys, xs, cx)
    }
}

/// Global average pooling, layer norm, dropout and one linear layer.
struct NormHead {
    pool: GlobalAvgPool2d,
    norm: LayerNorm2d,
    flatten: Flatten,
    dropout: Dropout,
    linear: Linear,
}

impl NormHead {
    fn build(features: usize, classes: usize, args: &Args, at: &Builder) -> CandleResult<Self> {
        let linear = LinearConfig::new(features, classes)
            .with_init(WEIGHT_INIT)
            .with_bias_init(Init::ZEROS);
        Ok(Self {
            pool: GlobalAvgPool2d::new().at(&at.pp("global_pool")),
            norm: args.norm(features).build(&at.pp("norm"))?,
            flatten: Flatten::new(&at.pp("flatten")),
            dropout: Dropout::new(args.drop_rate, &at.pp("drop"))?,
            linear: linear.build(&at.pp("fc"))?,
        })
    }
}

impl Head for NormHead {
    fn input(&self, features: &FeatureMap, cx: &Context<'_>) -> CandleResult<FeatureMap> {
        self.pool.forward(features, cx)
    }

    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> CandleResult<Tensor> {
        let pooled = self.norm.forward(&self.pool.forward(features, cx)?, cx)?;
        let pooled = self.flatten.forward(&pooled, cx)?;
        self.linear
            .forward(&self.dropout.forward_vectors(&pooled, cx)?, cx)
    }
}

/// The name here of a tensor that torchvision names: `features.1.0.block.3.weight` is
/// `stages.0.blocks.0.mlp.fc1.weight`.
fn from_torchvision(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("classifier.") {
        let (part, tensor) = rest.split_once('.')?;
        return match part {
            "0" => Some(format!("head.norm.{tensor}")),
            "2" => Some(format!("head.fc.{tensor}")),
            _ => None,
        };
    }
    let (place, rest) = name.strip_prefix("features.")?.split_once('.')?;
    let place = place.parse::<usize>().ok()?;
    let (index, rest) = rest.split_once('.')?;
    let index = index.parse::<usize>().ok()?;
    // Stages stand at odd places, what leads to each of them before it.
    let stage = place / 2;
    match place {
        0 => Some(format!("stem.{index}.{rest}")),
        _ if place % 2 == 0 => Some(format!("stages.{stage}.downsample.{index}.{rest}")),
        _ => {
            let at = format!("stages.{stage}.blocks.{index}");
            if rest == "layer_scale" {
                return Some(format!("{at}.gamma"));
            }
            let (layer, tensor) = rest.strip_prefix("block.")?.split_once('.')?;
            let layer = match layer {
                "0" => "conv_dw",
                "2" => "norm",
                "3" => "mlp.fc1",
                "5" => "mlp.fc2",
                _ => return None,
            };
            Some(format!("{at}.{layer}.{tensor}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_names_are_translated() {
        for (theirs, ours) in [
            ("features.0.0.weight", Some("stem.0.weight")),
            ("features.0.1.bias", Some("stem.1.bias")),
            ("features.1.2.layer_scale", Some("stages.0.blocks.2.gamma")),
            (
                "features.1.0.block.0.weight",
                Some("stages.0.blocks.0.conv_dw.weight"),
            ),
            ("features.2.0.bias", Some("stages.1.downsample.0.bias")),
            ("features.6.1.weight", Some("stages.3.downsample.1.weight")),
            (
                "features.5.26.block.2.bias",
                Some("stages.2.blocks.26.norm.bias"),
            ),
            (
                "features.7.1.block.3.weight",
                Some("stages.3.blocks.1.mlp.fc1.weight"),
            ),
            (
                "features.7.1.block.5.bias",
                Some("stages.3.blocks.1.mlp.fc2.bias"),
            ),
            ("classifier.0.weight", Some("head.norm.weight")),
            ("classifier.2.weight", Some("head.fc.weight")),
            ("classifier.1.weight", None),
            ("stages.0.blocks.0.gamma", None),
            ("head.fc.weight", None),
            ("features.1.0.block.1.weight", None),
            ("features.99999999999999999999.0.bias", None),
        ] {
            assert_eq!(from_torchvision(theirs).as_deref(), ours, "{theirs}");
        }
    }
}
