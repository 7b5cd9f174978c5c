//! ResNet (He et al. 2015, "Deep Residual Learning for Image Recognition"), in torchvision's v1.5
//! form: a bottleneck's stride sits on its 3×3 convolution. Names and stages are timm's.

use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormActConfig, Init,
    MaxPool2d, Padding, Residual, ResidualSum, StagedBuilder, StagedClassifier,
};

use crate::config::check_shortcut;
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

/// Table 1 of the paper: the blocks of conv2_x to conv5_x.
struct Variant {
    block: Block,
    blocks: [usize; 4],
}

#[derive(Clone, Copy, PartialEq)]
enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1, four times as wide at the end.
    Bottleneck,
}

const RESNET18: Variant = Variant {
    block: Block::Basic,
    blocks: [2, 2, 2, 2],
};
const RESNET34: Variant = Variant {
    block: Block::Basic,
    blocks: [3, 4, 6, 3],
};
const RESNET50: Variant = Variant {
    block: Block::Bottleneck,
    blocks: [3, 4, 6, 3],
};
const RESNET101: Variant = Variant {
    block: Block::Bottleneck,
    blocks: [3, 4, 23, 3],
};
const RESNET152: Variant = Variant {
    block: Block::Bottleneck,
    blocks: [3, 8, 36, 3],
};

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
];

const BASE: ModelSpec = ModelSpec {
    family: "resnet",
    paper: "He et al. 2015, arXiv:1512.03385",
    preset: preset::imagenet,
    first_conv: "conv1",
    classifier: "fc",
    ..ModelSpec::OWN
};

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
    let blocks = variant.blocks.iter().sum();
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        .with_drop_path(drop_path_rate.unwrap_or(0.), blocks);

    net.group("stem", &["conv1", "bn1"]);
    let width = net.at("conv1").width(64);
    let stem = ConvNormActConfig::new(
        conv(net.channels(), width, 7, 2),
        BatchNorm2dConfig::new(width),
        Activation::Relu,
    );
    let stem = stem.build(&net.at("conv1"), &net.at("bn1"))?;
    net.add(stem).to_channels(width).by_stride(2);
    net.end_stage("act1");

    let maxpool = MaxPool2d::new(3, 2)
        .at(&net.at("maxpool"))
        .with_padding(Padding::all(1));
    net.add(maxpool).by_stride(2);
    for (stage, &blocks) in variant.blocks.iter().enumerate() {
        let name = format!("layer{}", stage + 1);
        net.group(&format!("stage{}", stage + 1), &[&name]);
        for number in 0..blocks {
            let block = BlockConfig {
                kind: variant.block,
                width: 64 << stage,
                stride: if stage > 0 && number == 0 { 2 } else { 1 },
                // The first block of a stage changes the channels, except that of basic blocks in
                // the first stage.
                has_downsample: number == 0 && (stage > 0 || variant.block == Block::Bottleneck),
                drop_path: net.drop_path(),
            };
            let (layer, channels) = block.build(net.channels(), &net.at(&name).pp(number))?;
            net.add(layer).to_channels(channels).by_stride(block.stride);
        }
        net.end_stage(&name);
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    Ok(net.linear_classifier(BASE.classifier, num_classes, drop_rate.unwrap_or(0.))?)
}

impl Block {
    fn expansion(self) -> usize {
        if self == Self::Basic { 1 } else { 4 }
    }
}

/// Bias-free and padded to keep the size, initialised for the ReLU behind it.
fn conv(from: usize, to: usize, kernel_size: usize, stride: usize) -> Conv2dConfig {
    Conv2dConfig::new(from, to, kernel_size)
        .with_stride(stride)
        .with_padding(Padding::all(kernel_size / 2))
        .with_init(Init::KAIMING_NORMAL_OUT)
}

struct BlockConfig {
    kind: Block,
    /// Channels of the convolutions inside.
    width: usize,
    stride: usize,
    /// Whether a 1×1 convolution brings the input to the output's shape.
    has_downsample: bool,
    drop_path: f64,
}

impl BlockConfig {
    /// The block and the channels of its output.
    fn build(&self, input: usize, at: &Builder) -> Result<(Residual, usize), Error> {
        let Self { width, stride, .. } = *self;
        let output = self.kind.expansion() * width;
        // Kernel, channels and stride of each convolution.
        let convolutions = match self.kind {
            Block::Basic => vec![(3, width, stride), (3, output, 1)],
            Block::Bottleneck => vec![(1, width, 1), (3, width, stride), (1, output, 1)],
        };
        let count = convolutions.len();
        let mut units = Vec::with_capacity(count);
        let mut channels = input;
        for (number, (kernel_size, width, stride)) in (1..).zip(convolutions) {
            let at_conv = at.pp(format!("conv{number}"));
            let width = at_conv.width(width);
            // The branch ends without an activation and, as in timm, starts as zero: each block
            // begins as the identity.
            let (activation, weight_init) = if number == count {
                (Activation::Identity, Init::ZEROS)
            } else {
                (Activation::Relu, Init::ONES)
            };
            let unit = ConvNormActConfig::new(
                conv(channels, width, kernel_size, stride),
                BatchNorm2dConfig::new(width).with_weight_init(weight_init),
                activation,
            );
            units.push(unit.build(&at_conv, &at.pp(format!("bn{number}")))?);
            channels = width;
        }
        let last = units.pop().expect("a block has convolutions");
        let act = Activate::new(Activation::Relu, &at.pp(format!("act{count}")));
        let sum = ResidualSum::new(self.drop_path, Some(act), at)?;
        let block = Residual::with_sum(units.into_iter().collect(), last, sum);
        if !self.has_downsample {
            check_shortcut(BASE.family, input, channels, at)?;
            return Ok((block, channels));
        }
        let at = at.pp("downsample");
        let width = at.pp(0).width(output);
        check_shortcut(BASE.family, width, channels, &at)?;
        let unit = ConvNormActConfig::new(
            conv(input, width, 1, stride),
            BatchNorm2dConfig::new(width),
            Activation::Identity,
        );
        let downsample = unit.build(&at.pp(0), &at.pp(1))?;
        Ok((block.with_shortcut(downsample), channels))
    }
}
