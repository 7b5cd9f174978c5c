//! ResNet (He et al. 2015, "Deep Residual Learning for Image Recognition"), in torchvision's v1.5
//! form: a bottleneck's stride sits on its 3×3 convolution. Names of tensors are those of torchvision
//! and timm; the stages are timm's.

use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormActConfig, Init,
    MaxPool2d, Padding, Residual, ResidualSum, StagedBuilder, StagedClassifier,
};

use crate::config::check_shortcut;
use crate::{Build, Error, ModelConfig, ModelSpec, Naming, preset};

/// Table 1 of the paper: the blocks of conv2_x to conv5_x, here `layer1` to `layer4`.
struct Variant {
    kind: Block,
    depths: [usize; 4],
}

#[derive(Clone, Copy)]
enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1, four times as wide at the end.
    Bottleneck,
}

const RESNET18: Variant = Variant {
    kind: Block::Basic,
    depths: [2, 2, 2, 2],
};
const RESNET34: Variant = Variant {
    kind: Block::Basic,
    depths: [3, 4, 6, 3],
};
const RESNET50: Variant = Variant {
    kind: Block::Bottleneck,
    depths: [3, 4, 6, 3],
};
const RESNET101: Variant = Variant {
    kind: Block::Bottleneck,
    depths: [3, 4, 23, 3],
};
const RESNET152: Variant = Variant {
    kind: Block::Bottleneck,
    depths: [3, 8, 36, 3],
};

/// With counts for 1000 classes and images of 3×224×224.
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
    namings: &[Naming {
        library: "transformers",
        rename: from_transformers,
        args: &[],
    }],
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
    let blocks: usize = variant.depths.iter().sum();
    // As in timm, the last block has the full rate.
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        .with_drop_path(drop_path_rate.unwrap_or(0.), blocks - 1);

    net.group("stem", &["conv1", "bn1"]);
    let width = net.at("conv1").width(STEM_WIDTH);
    let stem = ConvNormActConfig::new(
        conv(net.channels(), width, 7, 2),
        BatchNorm2dConfig::new(width),
        Activation::Relu,
    );
    let stem = stem.build(&net.at("conv1"), &net.at("bn1"))?;
    net.add(stem).set_channels(width).add_stride(2);
    // timm's name for the output of the stem's activation.
    net.end_stage("act1");

    // The pooling belongs to the stage that it leads to.
    let maxpool = MaxPool2d::new(3, 2)
        .with_padding(Padding::all(1))
        .at(&net.at("maxpool"));
    net.add(maxpool).add_stride(2);
    for (stage, depth) in (1..).zip(variant.depths) {
        let name = format!("layer{stage}");
        net.group(&format!("stage{stage}"), &[&name]);
        for index in 0..depth {
            let stride = if stage > 1 && index == 0 { 2 } else { 1 };
            let drop_path = net.next_drop_path();
            let block = BlockConfig {
                kind: variant.kind,
                width: STEM_WIDTH << (stage - 1),
                stride,
                // The first block of a stage changes channels or resolution. In the first stage of
                // networks with basic blocks it changes neither.
                projects_shortcut: index == 0 && (stage > 1 || variant.kind.expansion() > 1),
                drop_path,
            };
            let (layer, channels) = block.build(net.channels(), &net.at(&name).pp(index))?;
            net.add(layer).set_channels(channels).add_stride(stride);
        }
        net.end_stage(&name);
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    Ok(net.linear_classifier(BASE.classifier, num_classes, drop_rate.unwrap_or(0.))?)
}

/// Channels of the stem; those inside the blocks begin with as many and double from stage to stage.
const STEM_WIDTH: usize = 64;

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

struct BlockConfig {
    kind: Block,
    /// Channels of the convolutions inside.
    width: usize,
    stride: usize,
    /// Whether a 1×1 convolution, called `downsample`, brings the input to the output's shape.
    projects_shortcut: bool,
    drop_path: f64,
}

impl BlockConfig {
    /// The block, and the channels of its output: those of the paper's table, or others where the
    /// configuration plans other widths.
    fn build(&self, in_channels: usize, at: &Builder) -> Result<(Residual, usize), Error> {
        let Self { width, stride, .. } = *self;
        let table_channels = self.kind.expansion() * width;
        // Kernel, channels by the table, and stride of each convolution.
        let convolutions = match self.kind {
            Block::Basic => vec![(3, width, stride), (3, table_channels, 1)],
            Block::Bottleneck => vec![(1, width, 1), (3, width, stride), (1, table_channels, 1)],
        };
        let count = convolutions.len();
        let mut units = Vec::with_capacity(count);
        let mut channels = in_channels;
        for (number, (kernel_size, of_table, stride)) in (1..).zip(convolutions) {
            let at_conv = at.pp(format!("conv{number}"));
            let width = at_conv.width(of_table);
            // The branch ends without an activation. As in timm its last norm's weight starts at
            // zero, so that at first the shortcut alone contributes.
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
        // The sum is computed in the pass of the last unit, which is therefore told apart.
        let last = units.pop().expect("a block has convolutions");
        // timm's names: `act2` in a basic block, `act3` in a bottleneck.
        let act = Activate::new(Activation::Relu, &at.pp(format!("act{count}")));
        let sum = ResidualSum::new(self.drop_path, Some(act), at)?;
        let block = Residual::with_sum(units.into_iter().collect(), last, sum);
        if !self.projects_shortcut {
            check_shortcut(BASE.family, in_channels, channels, at)?;
            return Ok((block, channels));
        }
        let at_downsample = at.pp("downsample");
        let width = at_downsample.pp(0).width(table_channels);
        check_shortcut(BASE.family, width, channels, &at_downsample)?;
        let unit = ConvNormActConfig::new(
            conv(in_channels, width, 1, stride),
            BatchNorm2dConfig::new(width),
            Activation::Identity,
        );
        let downsample = unit.build(&at_downsample.pp(0), &at_downsample.pp(1))?;
        Ok((block.with_shortcut(downsample), channels))
    }
}

/// The name here of a tensor that transformers names: `resnet.encoder.stages.0.layers.1.layer.0.…`
/// is `layer1.1.conv1.…`. Its `ResNetModel` has no `resnet.` before them.
fn from_transformers(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("classifier.1.") {
        return Some(format!("fc.{rest}"));
    }
    let name = name.strip_prefix("resnet.").unwrap_or(name);
    if let Some(rest) = name.strip_prefix("embedder.embedder.") {
        return unit(rest, "conv1", "bn1");
    }
    let (stage, rest) = name.strip_prefix("encoder.stages.")?.split_once('.')?;
    let (block, rest) = rest.strip_prefix("layers.")?.split_once('.')?;
    let stage = stage.parse::<usize>().ok()?.checked_add(1)?;
    let at = format!("layer{stage}.{}", block.parse::<usize>().ok()?);
    if let Some(rest) = rest.strip_prefix("shortcut.") {
        return unit(
            rest,
            &format!("{at}.downsample.0"),
            &format!("{at}.downsample.1"),
        );
    }
    let (index, rest) = rest.strip_prefix("layer.")?.split_once('.')?;
    let number = index.parse::<usize>().ok()?.checked_add(1)?;
    unit(
        rest,
        &format!("{at}.conv{number}"),
        &format!("{at}.bn{number}"),
    )
}

/// A tensor of transformers' unit of convolution and norm.
fn unit(rest: &str, conv: &str, norm: &str) -> Option<String> {
    let (part, tensor) = rest.split_once('.')?;
    match part {
        "convolution" => Some(format!("{conv}.{tensor}")),
        "normalization" => Some(format!("{norm}.{tensor}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The names of transformers 5.24's ResNetForImageClassification.
    #[test]
    fn transformers_names_are_ours() {
        for (theirs, ours) in [
            (
                "resnet.embedder.embedder.convolution.weight",
                Some("conv1.weight"),
            ),
            (
                "resnet.embedder.embedder.normalization.running_mean",
                Some("bn1.running_mean"),
            ),
            (
                "resnet.encoder.stages.0.layers.0.shortcut.convolution.weight",
                Some("layer1.0.downsample.0.weight"),
            ),
            (
                "resnet.encoder.stages.3.layers.10.shortcut.normalization.bias",
                Some("layer4.10.downsample.1.bias"),
            ),
            (
                "encoder.stages.1.layers.2.layer.2.convolution.weight",
                Some("layer2.2.conv3.weight"),
            ),
            (
                "resnet.encoder.stages.1.layers.2.layer.0.normalization.running_var",
                Some("layer2.2.bn1.running_var"),
            ),
            ("classifier.1.weight", Some("fc.weight")),
            ("layer1.0.conv1.weight", None),
            (
                "encoder.stages.18446744073709551615.layers.0.layer.0.convolution.weight",
                None,
            ),
            ("encoder.stages.x.layers.0.layer.0.convolution.weight", None),
            ("encoder.stages.0.layers.0.layer.0.activation.weight", None),
        ] {
            assert_eq!(from_transformers(theirs).as_deref(), ours, "{theirs}");
        }
    }
}
