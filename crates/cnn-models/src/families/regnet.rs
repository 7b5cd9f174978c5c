//! RegNetX and RegNetY (Radosavovic et al. 2020, "Designing Network Design Spaces"), names and stages
//! as in timm; torchvision's names are translated on loading.

mod torchvision_names;
mod widths;

use cnn_core::Preprocessing;
use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormAct, ConvNormActConfig,
    Init, LinearConfig, LinearHead, Padding, Residual, ResidualSum, Sequential,
    SqueezeExciteConfig, StagedBuilder, StagedClassifier,
};

use crate::config::check_shortcut;
use crate::{Build, Error, ModelConfig, ModelSpec, Naming, preset};
use torchvision_names::from_torchvision;
use widths::{Rounding, Widths};

/// A row of the paper's tables 1 and 2 of its appendix: a RegNet is its widths, the channels of a
/// group, and whether it has squeeze-and-excitation.
struct Variant {
    widths: Widths,
    /// Hidden channels of squeeze-and-excitation as a share of the block's input; `None` without
    /// it. RegNetY has 1/4.
    squeeze: Option<f64>,
}

const fn x(depth: usize, initial: usize, slope: f64, step: f64, group_width: usize) -> Variant {
    Variant {
        widths: Widths {
            depth,
            initial,
            slope,
            step,
            group_width,
            rounding: Rounding::Nearest,
        },
        squeeze: None,
    }
}

const fn y(depth: usize, initial: usize, slope: f64, step: f64, group_width: usize) -> Variant {
    Variant {
        squeeze: Some(0.25),
        ..x(depth, initial, slope, step, group_width)
    }
}

impl Variant {
    /// The same with widths rounded as torchvision does.
    const fn torchvision(self) -> Self {
        Self {
            widths: Widths {
                rounding: Rounding::Torchvision,
                ..self.widths
            },
            ..self
        }
    }
}

const X_002: Variant = x(13, 24, 36.44, 2.49, 8);
const X_004: Variant = x(22, 24, 24.48, 2.54, 16);
const X_006: Variant = x(16, 48, 36.97, 2.24, 24);
const X_008: Variant = x(16, 56, 35.73, 2.28, 16);
const X_016: Variant = x(18, 80, 34.01, 2.25, 24);
const X_032: Variant = x(25, 88, 26.31, 2.25, 48);
const Y_002: Variant = y(13, 24, 36.44, 2.49, 8);
const Y_004: Variant = y(16, 48, 27.89, 2.09, 8);
const Y_006: Variant = y(15, 48, 32.54, 2.32, 16);
const Y_008: Variant = y(14, 56, 38.84, 2.4, 16);
const Y_016: Variant = y(27, 48, 20.71, 2.65, 24);
const Y_032: Variant = y(21, 80, 42.63, 2.66, 24);

/// With counts for 1000 classes and images of 3×224×224. The numbers in the names are hundreds of
/// millions of multiply-adds.
pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "regnetx_002",
        build: Build::Staged(|config, root| build(&X_002, config, root)),
        parameters: 2_684_792,
        multiply_adds: 199_039_872,
        ..BASE
    },
    ModelSpec {
        name: "regnetx_004",
        build: Build::Staged(|config, root| build(&X_004, config, root)),
        parameters: 5_157_512,
        multiply_adds: 397_677_568,
        ..BASE
    },
    ModelSpec {
        name: "regnetx_004_tv",
        build: Build::Staged(|config, root| build(&X_004.torchvision(), config, root)),
        parameters: 5_495_976,
        multiply_adds: 413_812_608,
        preset: wide_crop,
        ..BASE
    },
    ModelSpec {
        name: "regnetx_006",
        build: Build::Staged(|config, root| build(&X_006, config, root)),
        parameters: 6_196_040,
        multiply_adds: 600_890_112,
        ..BASE
    },
    ModelSpec {
        name: "regnetx_008",
        build: Build::Staged(|config, root| build(&X_008, config, root)),
        parameters: 7_259_656,
        multiply_adds: 799_699_712,
        preset: wide_crop,
        ..BASE
    },
    ModelSpec {
        name: "regnetx_016",
        build: Build::Staged(|config, root| build(&X_016, config, root)),
        parameters: 9_190_136,
        multiply_adds: 1_602_849_792,
        preset: wide_crop,
        ..BASE
    },
    ModelSpec {
        name: "regnetx_032",
        build: Build::Staged(|config, root| build(&X_032, config, root)),
        parameters: 15_296_552,
        multiply_adds: 3_176_621_952,
        preset: wide_crop,
        ..BASE
    },
    ModelSpec {
        name: "regnety_002",
        build: Build::Staged(|config, root| build(&Y_002, config, root)),
        parameters: 3_162_996,
        multiply_adds: 199_514_080,
        ..BASE
    },
    ModelSpec {
        name: "regnety_004",
        build: Build::Staged(|config, root| build(&Y_004, config, root)),
        parameters: 4_344_144,
        multiply_adds: 401_842_848,
        preset: wide_crop,
        ..BASE
    },
    ModelSpec {
        name: "regnety_006",
        build: Build::Staged(|config, root| build(&Y_006, config, root)),
        parameters: 6_055_160,
        multiply_adds: 601_220_992,
        ..BASE
    },
    ModelSpec {
        name: "regnety_008",
        build: Build::Staged(|config, root| build(&Y_008, config, root)),
        parameters: 6_263_168,
        multiply_adds: 797_176_832,
        ..BASE
    },
    ModelSpec {
        name: "regnety_008_tv",
        build: Build::Staged(|config, root| build(&Y_008.torchvision(), config, root)),
        parameters: 6_432_512,
        multiply_adds: 833_856_256,
        preset: wide_crop,
        ..BASE
    },
    ModelSpec {
        name: "regnety_016",
        build: Build::Staged(|config, root| build(&Y_016, config, root)),
        parameters: 11_202_430,
        multiply_adds: 1_612_076_160,
        preset: wide_crop,
        ..BASE
    },
    ModelSpec {
        name: "regnety_032",
        build: Build::Staged(|config, root| build(&Y_032, config, root)),
        parameters: 19_436_338,
        multiply_adds: 3_176_482_752,
        preset: tight,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "regnet",
    paper: "Radosavovic et al. 2020, arXiv:2003.13678",
    preset: preset::imagenet,
    first_conv: "stem.conv",
    classifier: "head.fc",
    namings: &[Naming {
        library: "torchvision",
        rename: from_torchvision,
        args: &[],
    }],
    ..ModelSpec::OWN
};

/// With crop 0.965, as torchvision's second weights were measured.
fn wide_crop() -> Preprocessing {
    Preprocessing {
        crop_pct: 0.965,
        ..preset::imagenet()
    }
}

/// With crop 0.95.
fn tight() -> Preprocessing {
    Preprocessing {
        crop_pct: 0.95,
        ..preset::imagenet()
    }
}

const STEM_WIDTH: usize = 32;

fn build(
    variant: &Variant,
    config: &ModelConfig,
    root: &Builder,
) -> Result<StagedClassifier, Error> {
    let (drop_rate, drop_path_rate) = config.read_args(BASE.family, |args| {
        Ok((
            args.probability("drop_rate")?,
            args.probability("drop_path_rate")?,
        ))
    })?;
    let stages = variant.widths.stages();
    // As in timm, the last block has the full rate.
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        .with_drop_path(drop_path_rate.unwrap_or(0.), variant.widths.depth - 1);

    net.group("stem", &["stem"]);
    let at = net.at("stem");
    let width = at.pp("conv").width(STEM_WIDTH);
    let stem = Unit {
        stride: 2,
        ..Unit::new(net.channels(), width, 3)
    };
    net.add(stem.build(&at)?).set_channels(width).add_stride(2);
    net.end_stage("stem");

    let mut designed = STEM_WIDTH;
    for (index, stage) in stages.iter().enumerate() {
        let name = format!("s{}", index + 1);
        net.group(&format!("stage{}", index + 1), &[&name]);
        for number in 0..stage.depth {
            let stride = if number == 0 { 2 } else { 1 };
            let block = BlockConfig {
                input: designed,
                channels: stage.channels,
                stride,
                group_width: stage.group_width,
                squeeze: variant.squeeze,
                drop_path: net.next_drop_path(),
            };
            let at = net.at(&name).pp(format!("b{}", number + 1));
            let (layer, channels) = block.build(net.channels(), &at)?;
            net.add(layer).set_channels(channels).add_stride(stride);
            designed = stage.channels;
        }
        net.end_stage(&name);
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    let linear = LinearConfig::new(net.channels(), num_classes)
        .with_init(Init::Normal { std: 0.01 })
        .with_bias_init(Init::ZEROS)
        .build(&net.at(BASE.classifier))?;
    let head = LinearHead::of(linear, root, drop_rate.unwrap_or(0.))?;
    Ok(net.classifier(num_classes, &[BASE.classifier], head))
}

/// Convolution, norm and activation, called `conv` and `bn`.
struct Unit {
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    stride: usize,
    groups: usize,
    activation: Activation,
    norm_init: Init,
}

impl Unit {
    /// With ReLU, padded to keep the size.
    fn new(in_channels: usize, out_channels: usize, kernel_size: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            kernel_size,
            stride: 1,
            groups: 1,
            activation: Activation::Relu,
            norm_init: Init::ONES,
        }
    }

    fn build(&self, at: &Builder) -> Result<ConvNormAct, Error> {
        let conv = Conv2dConfig::new(self.in_channels, self.out_channels, self.kernel_size)
            .with_stride(self.stride)
            .with_padding(Padding::all(self.kernel_size / 2))
            .with_groups(self.groups)
            .with_init(Init::KAIMING_NORMAL_OUT);
        let norm = BatchNorm2dConfig::new(self.out_channels).with_weight_init(self.norm_init);
        let unit = ConvNormActConfig::new(conv, norm, self.activation);
        Ok(unit.build(&at.pp("conv"), &at.pp("bn"))?)
    }
}

/// ResNet's block whose three convolutions all have the channels of the stage: 1×1, grouped 3×3,
/// 1×1. Squeeze-and-excitation is before the last.
struct BlockConfig {
    /// Channels of the input, by the table.
    input: usize,
    /// Channels of the stage, by the table.
    channels: usize,
    stride: usize,
    /// Channels of a group of the 3×3 convolution, by the table.
    group_width: usize,
    squeeze: Option<f64>,
    drop_path: f64,
}

impl BlockConfig {
    /// The block, and the channels of its output: those of the stage, or others where the
    /// configuration plans other widths.
    fn build(&self, in_channels: usize, at: &Builder) -> Result<(Residual, usize), Error> {
        let [at1, at2, at3] = ["conv1", "conv2", "conv3"].map(|name| at.pp(name));
        let [width1, width2, width3] =
            [&at1, &at2, &at3].map(|place| place.pp("conv").width(self.channels));
        let mut branch = Sequential::new();
        branch.push(Unit::new(in_channels, width1, 1).build(&at1)?);
        let grouped = Unit {
            stride: self.stride,
            groups: self.channels / self.group_width,
            ..Unit::new(width1, width2, 3)
        };
        branch.push(grouped.build(&at2)?);
        if let Some(share) = self.squeeze {
            let reduced = (self.input as f64 * share).round_ties_even() as usize;
            let squeeze_excite = SqueezeExciteConfig::new(width2, reduced)
                .with_names("fc1", "fc2")
                .with_init(Init::KAIMING_NORMAL_OUT)
                .with_bias_init(Init::ZEROS);
            branch.push(squeeze_excite.build(&at.pp("se"))?);
        }
        // As in timm the last norm's weight starts at zero, so that at first the shortcut alone
        // contributes.
        let last = Unit {
            activation: Activation::Identity,
            norm_init: Init::ZEROS,
            ..Unit::new(width2, width3, 1)
        };
        let act = Activate::new(Activation::Relu, &at.pp("act3"));
        let sum = ResidualSum::new(self.drop_path, Some(act), at)?;
        let block = Residual::with_sum(branch, last.build(&at3)?, sum);
        if self.stride == 1 && self.input == self.channels {
            check_shortcut(BASE.family, in_channels, width3, at)?;
            return Ok((block, width3));
        }
        let at = at.pp("downsample");
        let width = at.pp("conv").width(self.channels);
        check_shortcut(BASE.family, width, width3, &at)?;
        let shortcut = Unit {
            stride: self.stride,
            activation: Activation::Identity,
            ..Unit::new(in_channels, width, 1)
        };
        Ok((block.with_shortcut(shortcut.build(&at)?), width3))
    }
}
