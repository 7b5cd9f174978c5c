//! ResNet (He et al. 2015, "Deep Residual Learning for Image Recognition"), in torchvision's v1.5
//! form: a bottleneck's stride sits on its 3×3 convolution. Beside it the networks that change one
//! thing of it each: ResNet-D (deep stem, averages in the shortcuts), ResNeXt (groups), Wide-ResNet
//! (wider bottlenecks), SE-ResNet (squeeze-and-excitation). Names of tensors are those of torchvision
//! and timm; the stages are timm's.

mod block;
mod stem;
mod transformers_names;

use cnn_core::{Interpolation, Preprocessing};
use cnn_layers::{
    Builder, Conv2dConfig, Init, MaxPool2d, Padding, StagedBuilder, StagedClassifier,
};

use crate::{Build, Error, ModelConfig, ModelSpec, Naming, preset};
use block::BlockConfig;
use stem::Stem;
use transformers_names::from_transformers;

/// Table 1 of the paper, and what the later ones changed.
struct Variant {
    /// The blocks of conv2_x to conv5_x, here `layer1` to `layer4`.
    kinds: [Block; 4],
    depths: [usize; 4],
    /// Channels inside the blocks of each stage.
    channels: [usize; 4],
    stem: Stem,
    /// Whether the shortcut of a block with a stride is an average of 2×2 pixels before its 1×1
    /// convolution (He et al. 2018, ResNet-D), which then sees all pixels.
    averages_shortcut: bool,
    /// Groups of a bottleneck's 3×3 convolution (Xie et al. 2016, ResNeXt).
    groups: usize,
    /// Channels of a group of it in `layer1`, of the table's 64: others for ResNeXt and Wide-ResNet.
    group_width: usize,
    squeezes: bool,
}

#[derive(Clone, Copy)]
enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1, four times as wide at the end.
    Bottleneck,
}

const RESNET18: Variant = Variant {
    kinds: [Block::Basic; 4],
    depths: [2, 2, 2, 2],
    channels: [64, 128, 256, 512],
    stem: Stem::Plain,
    averages_shortcut: false,
    groups: 1,
    group_width: 64,
    squeezes: false,
};
const RESNET34: Variant = Variant {
    depths: [3, 4, 6, 3],
    ..RESNET18
};
const RESNET26: Variant = Variant {
    kinds: [Block::Bottleneck; 4],
    ..RESNET18
};
const RESNET50: Variant = Variant {
    depths: [3, 4, 6, 3],
    ..RESNET26
};
const RESNET101: Variant = Variant {
    depths: [3, 4, 23, 3],
    ..RESNET26
};
const RESNET152: Variant = Variant {
    depths: [3, 8, 36, 3],
    ..RESNET26
};
/// timm's, for fast tests.
const TEST_RESNET: Variant = Variant {
    kinds: [Block::Basic, Block::Basic, Block::Bottleneck, Block::Basic],
    depths: [1, 1, 1, 1],
    channels: [32, 48, 48, 96],
    stem: Stem::Deep(16),
    averages_shortcut: true,
    ..RESNET18
};

impl Variant {
    /// ResNet-D of the same blocks.
    const fn d(self) -> Self {
        Self {
            stem: Stem::Deep(32),
            averages_shortcut: true,
            ..self
        }
    }

    /// ResNeXt of the same depth.
    const fn grouped(self, groups: usize, group_width: usize) -> Self {
        Self {
            groups,
            group_width,
            ..self
        }
    }

    /// Wide-ResNet of the same depth: twice the channels inside the bottlenecks.
    const fn wide(self) -> Self {
        self.grouped(1, 128)
    }

    /// SE-ResNet of the same blocks.
    const fn squeezed(self) -> Self {
        Self {
            squeezes: true,
            ..self
        }
    }
}

/// With counts for 1000 classes and images of the preset's size.
pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "resnet18",
        build: Build::Staged(|config, root| build(&RESNET18, config, root)),
        parameters: 11_689_512,
        multiply_adds: 1_814_073_344,
        ..BASE
    },
    ModelSpec {
        name: "resnet34",
        build: Build::Staged(|config, root| build(&RESNET34, config, root)),
        parameters: 21_797_672,
        multiply_adds: 3_663_761_408,
        ..BASE
    },
    ModelSpec {
        name: "resnet50",
        build: Build::Staged(|config, root| build(&RESNET50, config, root)),
        parameters: 25_557_032,
        multiply_adds: 4_089_184_256,
        ..BASE
    },
    ModelSpec {
        name: "resnet101",
        build: Build::Staged(|config, root| build(&RESNET101, config, root)),
        parameters: 44_549_160,
        multiply_adds: 7_801_405_440,
        ..BASE
    },
    ModelSpec {
        name: "resnet152",
        build: Build::Staged(|config, root| build(&RESNET152, config, root)),
        parameters: 60_192_808,
        multiply_adds: 11_513_626_624,
        ..BASE
    },
    ModelSpec {
        name: "resnet18d",
        build: Build::Staged(|config, root| build(&RESNET18.d(), config, root)),
        parameters: 11_708_744,
        multiply_adds: 2_053_713_920,
        ..RESNET_D
    },
    ModelSpec {
        name: "resnet26d",
        build: Build::Staged(|config, root| build(&RESNET26.d(), config, root)),
        parameters: 16_014_408,
        multiply_adds: 2_581_897_216,
        ..RESNET_D
    },
    ModelSpec {
        name: "resnet34d",
        build: Build::Staged(|config, root| build(&RESNET34.d(), config, root)),
        parameters: 21_816_904,
        multiply_adds: 3_903_401_984,
        ..RESNET_D
    },
    ModelSpec {
        name: "resnet50d",
        build: Build::Staged(|config, root| build(&RESNET50.d(), config, root)),
        parameters: 25_576_264,
        multiply_adds: 4_328_824_832,
        ..RESNET_D
    },
    ModelSpec {
        name: "resnet101d",
        build: Build::Staged(|config, root| build(&RESNET101.d(), config, root)),
        parameters: 44_568_392,
        multiply_adds: 10_501_963_776,
        preset: tight_256,
        ..RESNET_D
    },
    ModelSpec {
        name: "resnet152d",
        build: Build::Staged(|config, root| build(&RESNET152.d(), config, root)),
        parameters: 60_212_040,
        multiply_adds: 15_350_579_200,
        preset: tight_256,
        ..RESNET_D
    },
    ModelSpec {
        name: "resnext50_32x4d",
        build: Build::Staged(|config, root| build(&RESNET50.grouped(32, 4), config, root)),
        parameters: 25_028_904,
        multiply_adds: 4_230_479_872,
        preset: tight,
        ..RESNEXT
    },
    ModelSpec {
        name: "resnext101_32x4d",
        build: Build::Staged(|config, root| build(&RESNET101.grouped(32, 4), config, root)),
        parameters: 44_177_704,
        multiply_adds: 7_969_996_800,
        preset: bilinear,
        ..RESNEXT
    },
    ModelSpec {
        name: "resnext101_32x8d",
        build: Build::Staged(|config, root| build(&RESNET101.grouped(32, 8), config, root)),
        parameters: 88_791_336,
        multiply_adds: 16_414_015_488,
        preset: bilinear,
        ..RESNEXT
    },
    ModelSpec {
        name: "resnext101_64x4d",
        build: Build::Staged(|config, root| build(&RESNET101.grouped(64, 4), config, root)),
        parameters: 83_455_272,
        multiply_adds: 15_460_270_080,
        preset: tight,
        ..RESNEXT
    },
    ModelSpec {
        name: "wide_resnet50_2",
        build: Build::Staged(|config, root| build(&RESNET50.wide(), config, root)),
        parameters: 68_883_240,
        multiply_adds: 11_398_021_120,
        ..WIDE_RESNET
    },
    ModelSpec {
        name: "wide_resnet101_2",
        build: Build::Staged(|config, root| build(&RESNET101.wide(), config, root)),
        parameters: 126_886_696,
        multiply_adds: 22_753_050_624,
        preset: bilinear,
        ..WIDE_RESNET
    },
    ModelSpec {
        name: "seresnet50",
        build: Build::Staged(|config, root| build(&RESNET50.squeezed(), config, root)),
        parameters: 28_088_024,
        multiply_adds: 4_091_699_200,
        preset: tight,
        ..SE_RESNET
    },
    ModelSpec {
        name: "seresnext50_32x4d",
        build: Build::Staged(|config, root| {
            build(&RESNET50.grouped(32, 4).squeezed(), config, root)
        }),
        parameters: 27_559_896,
        multiply_adds: 4_232_994_816,
        ..SE_RESNET
    },
    ModelSpec {
        name: "test_resnet",
        build: Build::Staged(|config, root| build(&TEST_RESNET, config, root)),
        parameters: 469_688,
        multiply_adds: 102_547_200,
        preset: tiny,
        ..RESNET_D
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "resnet",
    paper: "He et al. 2015, arXiv:1512.03385",
    preset: preset::imagenet,
    first_conv: "conv1",
    classifier: "fc",
    namings: &[Naming {
        library: "transformers",
        rename: from_transformers,
        args: &[],
    }],
    ..ModelSpec::OWN
};

const RESNET_D: ModelSpec = ModelSpec {
    paper: "He et al. 2018, arXiv:1812.01187",
    first_conv: "conv1.0",
    namings: &[],
    ..BASE
};

const RESNEXT: ModelSpec = ModelSpec {
    paper: "Xie et al. 2016, arXiv:1611.05431",
    namings: &[],
    ..BASE
};

const WIDE_RESNET: ModelSpec = ModelSpec {
    paper: "Zagoruyko & Komodakis 2016, arXiv:1605.07146",
    namings: &[],
    ..BASE
};

const SE_RESNET: ModelSpec = ModelSpec {
    paper: "Hu et al. 2017, arXiv:1709.01507",
    namings: &[],
    ..BASE
};

/// 224×224 with crop 0.95, as newer recipes were measured.
fn tight() -> Preprocessing {
    Preprocessing {
        crop_pct: 0.95,
        ..preset::imagenet()
    }
}

/// [`tight`] at 256×256.
fn tight_256() -> Preprocessing {
    Preprocessing {
        input_size: [3, 256, 256],
        ..tight()
    }
}

fn bilinear() -> Preprocessing {
    Preprocessing {
        interpolation: Interpolation::Bilinear,
        ..preset::imagenet()
    }
}

/// 160×160, bilinear, crop 0.95, mean and standard deviation 0.5.
fn tiny() -> Preprocessing {
    Preprocessing {
        input_size: [3, 160, 160],
        interpolation: Interpolation::Bilinear,
        crop_pct: 0.95,
        ..preset::inception()
    }
}

/// What the family knows: timm's `drop_rate`, `drop_path_rate` and `output_stride`, and `bn_eps`, what
/// the norms add to the variance.
struct Args {
    drop_rate: f64,
    drop_path_rate: f64,
    output_stride: usize,
    bn_eps: f64,
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
            output_stride: args.output_stride()?,
            bn_eps: args.number("bn_eps", 0.0..=1.)?.unwrap_or(1e-5),
        })
    })?;
    if variant.averages_shortcut && args.output_stride < 32 {
        return Err(Error::Argument {
            model: BASE.family,
            what: "output_stride",
            found: args.output_stride.to_string(),
            expected: "32: the averages in ResNet-D's shortcuts cannot be dilated".to_string(),
        });
    }
    let blocks: usize = variant.depths.iter().sum();
    // As in timm, the last block has the full rate.
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        .with_drop_path(args.drop_path_rate, blocks - 1)
        .with_output_stride(args.output_stride);

    net.group("stem", &["conv1", "bn1"]);
    variant.stem.build(args.bn_eps, &mut net)?;
    // timm's name for the output of the stem's activation.
    net.end_stage("act1");

    // The pooling belongs to the stage that it leads to.
    let maxpool = MaxPool2d::new(3, 2)
        .with_padding(Padding::all(1))
        .at(&net.at("maxpool"));
    net.add(maxpool).add_stride(2);
    let mut designed = variant.stem.channels();
    for (index, (&kind, depth)) in variant.kinds.iter().zip(variant.depths).enumerate() {
        let stage = index + 1;
        let name = format!("layer{stage}");
        net.group(&format!("stage{stage}"), &[&name]);
        for number in 0..depth {
            let step = net.next_step(if stage > 1 && number == 0 { 2 } else { 1 });
            let block = BlockConfig {
                variant,
                kind,
                channels: variant.channels[index],
                step,
                later_dilation: net.dilation(),
                input: designed,
                drop_path: net.next_drop_path(),
                bn_eps: args.bn_eps,
            };
            let (layer, channels) = block.build(net.channels(), &net.at(&name).pp(number))?;
            net.add(layer)
                .set_channels(channels)
                .add_stride(step.stride);
            designed = block.output();
        }
        net.end_stage(&name);
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    Ok(net.linear_classifier(BASE.classifier, num_classes, args.drop_rate)?)
}

impl Block {
    /// Channels of the output for one inside.
    fn expansion(self) -> usize {
        match self {
            Self::Basic => 1,
            Self::Bottleneck => 4,
        }
    }
}

/// A convolution that is padded by half its kernel, initialised as before a ReLU. A
/// [`ConvNormActConfig`] drops its bias.
fn conv(
    in_channels: usize,
    out_channels: usize,
    kernel_size: usize,
    stride: usize,
) -> Conv2dConfig {
    Conv2dConfig::new(in_channels, out_channels, kernel_size)
        .with_stride(stride)
        .with_padding(Padding::all(kernel_size / 2))
        .with_init(Init::KAIMING_NORMAL_OUT)
}
