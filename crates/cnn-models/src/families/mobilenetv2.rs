//! MobileNetV2 (Sandler et al. 2018, "Inverted Residuals and Linear Bottlenecks"), names and stages
//! as in timm; torchvision's names are translated on loading.

use cnn_layers::{
    Activation, BatchNorm2dConfig, BlockOptions, Builder, Conv2dConfig, ConvNormActConfig,
    DepthwiseSeparableConfig, Init, InvertedResidualConfig, StagedBuilder, StagedClassifier, Step,
};

use crate::config::{PadType, make_divisible};
use crate::{Build, Error, ModelConfig, ModelSpec, Naming, preset};

/// A row of the paper's table 2.
struct Row {
    expansion: usize,
    channels: usize,
    blocks: usize,
    /// Of the row's first block.
    stride: usize,
}

const fn row(expansion: usize, channels: usize, blocks: usize, stride: usize) -> Row {
    Row {
        expansion,
        channels,
        blocks,
        stride,
    }
}

/// Table 2 of the paper: t, c, n, s.
const ROWS: [Row; 7] = [
    row(1, 16, 1, 1),
    row(6, 24, 2, 2),
    row(6, 32, 3, 2),
    row(6, 64, 4, 2),
    row(6, 96, 3, 1),
    row(6, 160, 3, 2),
    row(6, 320, 1, 1),
];

struct Variant {
    width: f64,
    depth: f64,
    /// Whether stem, head and the depth of the first and last row stay as in the paper (timm's `d`
    /// variants).
    fix_stem_head: bool,
}

const fn plain(width: f64) -> Variant {
    Variant {
        width,
        depth: 1.,
        fix_stem_head: false,
    }
}

const MOBILENETV2_110D: Variant = Variant {
    width: 1.1,
    depth: 1.2,
    fix_stem_head: true,
};
const MOBILENETV2_120D: Variant = Variant {
    width: 1.2,
    depth: 1.4,
    fix_stem_head: true,
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "mobilenetv2_035",
        build: Build::Staged(|config, root| build(&plain(0.35), config, root)),
        parameters: 1_677_128,
        multiply_adds: 59_285_808,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_050",
        build: Build::Staged(|config, root| build(&plain(0.5), config, root)),
        parameters: 1_968_680,
        multiply_adds: 97_131_840,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_075",
        build: Build::Staged(|config, root| build(&plain(0.75), config, root)),
        parameters: 2_636_424,
        multiply_adds: 209_069_792,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_100",
        build: Build::Staged(|config, root| build(&plain(1.), config, root)),
        parameters: 3_504_872,
        multiply_adds: 300_774_272,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_110d",
        build: Build::Staged(|config, root| build(&MOBILENETV2_110D, config, root)),
        parameters: 4_516_520,
        multiply_adds: 430_516_080,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_120d",
        build: Build::Staged(|config, root| build(&MOBILENETV2_120D, config, root)),
        parameters: 5_831_144,
        multiply_adds: 668_857_568,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_140",
        build: Build::Staged(|config, root| build(&plain(1.4), config, root)),
        parameters: 6_108_776,
        multiply_adds: 582_195_824,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "mobilenetv2",
    paper: "Sandler et al. 2018, arXiv:1801.04381",
    preset: preset::imagenet,
    first_conv: "conv_stem",
    classifier: "classifier",
    namings: &[Naming {
        library: "torchvision",
        rename: from_torchvision,
        args: &[],
    }],
    ..ModelSpec::OWN
};

fn build(
    variant: &Variant,
    config: &ModelConfig,
    root: &Builder,
) -> Result<StagedClassifier, Error> {
    let args = config.read_args(BASE.family, |args| {
        Ok(Args {
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
            drop_path_rate: args.probability("drop_path_rate")?.unwrap_or(0.),
            channel_multiplier: args
                .number("channel_multiplier", 0.01..=4.)?
                .unwrap_or(variant.width),
            pad_type: PadType::read(args)?.unwrap_or(PadType::Symmetric),
            bn_eps: args.number("bn_eps", 0.0..=1.)?.unwrap_or(1e-5),
            output_stride: args.output_stride()?,
        })
    })?;
    let width = |channels: usize| make_divisible(channels as f64 * args.channel_multiplier);
    let (stem_width, num_features) = if variant.fix_stem_head {
        (32, 1280)
    } else {
        (width(32), width(1280).max(1280))
    };
    let depths: Vec<usize> = (0..ROWS.len()).map(|row| variant.depth(row)).collect();
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        // As in timm, the rate is that of a block after the last.
        .with_drop_path(args.drop_path_rate, depths.iter().sum())
        .with_output_stride(args.output_stride);

    net.group("stem", &["conv_stem", "bn1"]);
    let channels = net.at("conv_stem").width(stem_width);
    let stem = args.conv(net.channels(), channels, 3, 2);
    let stem = stem.build(&net.at("conv_stem"), &net.at("bn1"))?;
    net.add(stem).set_channels(channels).add_stride(2);

    let mut designed = stem_width;
    for (
        row,
        (
            &Row {
                expansion,
                channels,
                stride,
                ..
            },
            depth,
        ),
    ) in ROWS.iter().zip(depths).enumerate()
    {
        let name = format!("blocks.{row}");
        net.group(&format!("stage{}", row + 1), &[&name]);
        let output = width(channels);
        for number in 0..depth {
            let step = net.next_step(if number == 0 { stride } else { 1 });
            let options = BlockOptions::new()
                .with_kernel(3, args.pad_type.padding(3, step))
                .with_dilation(step.dilation)
                .with_eps(args.bn_eps)
                .with_drop_path(net.next_drop_path());
            let at = net.at(&name).pp(number);
            let channels = if expansion == 1 {
                let block = DepthwiseSeparableConfig::new(designed, output, step.stride)
                    .with_input(net.channels())
                    .with_activations(Activation::Relu6, Activation::Identity)
                    .with_residual()
                    .with_options(options)
                    .build(&at)?;
                let channels = block.out_channels();
                net.add(block);
                channels
            } else {
                let hidden = expansion * designed;
                let block = InvertedResidualConfig::new(designed, hidden, output, step.stride)
                    .with_input(net.channels())
                    .with_options(options)
                    .build(&at)?;
                let channels = block.out_channels();
                net.add(block);
                channels
            };
            net.set_channels(channels).add_stride(step.stride);
            designed = output;
        }
        // A stage ends where the next row halves the resolution, and at the end.
        if ROWS.get(row + 1).is_none_or(|next| next.stride == 2) {
            net.end_stage(&name);
        }
    }

    net.group("tail", &["conv_head", "bn2"]);
    let channels = net.at("conv_head").width(num_features);
    let conv_head = args.conv(net.channels(), channels, 1, 1);
    let conv_head = conv_head.build(&net.at("conv_head"), &net.at("bn2"))?;
    net.add(conv_head).set_channels(channels);

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    Ok(net.linear_classifier(BASE.classifier, num_classes, args.drop_rate)?)
}

/// What the family knows: timm's `drop_rate`, `drop_path_rate`, `channel_multiplier` (the width
/// relative to the paper's), `pad_type`, `bn_eps` and `output_stride`.
struct Args {
    drop_rate: f64,
    drop_path_rate: f64,
    channel_multiplier: f64,
    pad_type: PadType,
    bn_eps: f64,
    output_stride: usize,
}

impl Args {
    /// A convolution with norm and ReLU6.
    fn conv(&self, from: usize, to: usize, kernel_size: usize, stride: usize) -> ConvNormActConfig {
        let conv = Conv2dConfig::new(from, to, kernel_size)
            .with_stride(stride)
            .with_padding(self.pad_type.padding(kernel_size, Step::of_stride(stride)))
            .with_init(Init::KAIMING_NORMAL_OUT);
        let norm = BatchNorm2dConfig::new(to).with_eps(self.bn_eps);
        ConvNormActConfig::new(conv, norm, Activation::Relu6)
    }
}

impl Variant {
    /// Blocks of a row.
    fn depth(&self, row: usize) -> usize {
        let blocks = ROWS[row].blocks;
        let fixed = self.fix_stem_head && (row == 0 || row == ROWS.len() - 1);
        if fixed {
            blocks
        } else {
            (blocks as f64 * self.depth).ceil() as usize
        }
    }
}

/// Translates torchvision's name of a tensor (`features.2.conv.1.0.weight`); `None` for any other
/// name.
fn from_torchvision(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("classifier.1.") {
        return Some(format!("classifier.{rest}"));
    }
    let (index, rest) = name.strip_prefix("features.")?.split_once('.')?;
    match index.parse::<usize>().ok()? {
        0 => translate(rest, "", &[("0.", "conv_stem."), ("1.", "bn1.")]),
        1 => translate(
            rest,
            "blocks.0.0.",
            &[
                ("conv.0.0.", "conv_dw."),
                ("conv.0.1.", "bn1."),
                ("conv.1.", "conv_pw."),
                ("conv.2.", "bn2."),
            ],
        ),
        18 => translate(rest, "", &[("0.", "conv_head."), ("1.", "bn2.")]),
        index => {
            let mut number = index.checked_sub(1)?;
            let row = ROWS
                .iter()
                .position(|row| match number.checked_sub(row.blocks) {
                    Some(rest) => {
                        number = rest;
                        false
                    }
                    None => true,
                })?;
            let table = [
                ("conv.0.0.", "conv_pw."),
                ("conv.0.1.", "bn1."),
                ("conv.1.0.", "conv_dw."),
                ("conv.1.1.", "bn2."),
                ("conv.2.", "conv_pwl."),
                ("conv.3.", "bn3."),
            ];
            translate(rest, &format!("blocks.{row}.{number}."), &table)
        }
    }
}

fn translate(rest: &str, place: &str, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(from, to)| {
        rest.strip_prefix(from)
            .map(|tensor| format!("{place}{to}{tensor}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_names_are_translated() {
        let table = [
            ("features.0.0.weight", "conv_stem.weight"),
            ("features.0.1.running_var", "bn1.running_var"),
            ("features.1.conv.0.0.weight", "blocks.0.0.conv_dw.weight"),
            ("features.1.conv.2.bias", "blocks.0.0.bn2.bias"),
            ("features.2.conv.0.0.weight", "blocks.1.0.conv_pw.weight"),
            ("features.3.conv.3.weight", "blocks.1.1.bn3.weight"),
            (
                "features.17.conv.1.1.num_batches_tracked",
                "blocks.6.0.bn2.num_batches_tracked",
            ),
            ("features.18.1.bias", "bn2.bias"),
            ("classifier.1.weight", "classifier.weight"),
        ];
        for (theirs, ours) in table {
            assert_eq!(from_torchvision(theirs).as_deref(), Some(ours));
            assert_eq!(from_torchvision(ours), None, "timm's own names stay");
        }
        assert_eq!(from_torchvision("features.99.conv.0.0.weight"), None);
    }
}
