//! Aligned Xception-41, -65 and -71 (Chen et al. 2018, "Encoder-Decoder with Atrous Separable
//! Convolution for Semantic Image Segmentation"): deeper than Xception, with a norm after every
//! depthwise convolution and strided separable convolutions in place of pooling. Names as in timm.
//!
//! timm's maps of the first stages lie within the strided blocks, whose shortcuts go around them.
//! Here a stage ends before the block that halves the resolution, at the last map from which alone
//! the network can go on.

use cnn_core::Preprocessing;
use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormActConfig, Padding,
    Residual, ResidualSum, Sequential, StagedBuilder, StagedClassifier,
};

use crate::config::check_shortcut;
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

struct Variant {
    entry: &'static [Row],
    /// Blocks of the middle flow.
    middle: usize,
}

/// A block of the paper's figure 4.
#[derive(Clone, Copy)]
struct Row {
    /// Channels that its three separable convolutions give.
    widths: [usize; 3],
    stride: usize,
    kind: Block,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    /// A ReLU before each separable convolution, and a shortcut around them.
    Residual,
    /// A ReLU after each depthwise and each pointwise convolution, and no shortcut.
    Plain,
}

const fn row(width: usize, stride: usize) -> Row {
    Row {
        widths: [width; 3],
        stride,
        kind: Block::Residual,
    }
}

const MIDDLE: Row = row(728, 1);
const EXIT: [Row; 2] = [
    Row {
        widths: [728, 1024, 1024],
        stride: 2,
        kind: Block::Residual,
    },
    Row {
        widths: [1536, 1536, 2048],
        stride: 1,
        kind: Block::Plain,
    },
];

const XCEPTION41: Variant = Variant {
    entry: &[row(128, 2), row(256, 2), row(728, 2)],
    middle: 8,
};
const XCEPTION65: Variant = Variant {
    middle: 16,
    ..XCEPTION41
};
const XCEPTION71: Variant = Variant {
    entry: &[
        row(128, 2),
        row(256, 1),
        row(256, 2),
        row(728, 1),
        row(728, 2),
    ],
    middle: 16,
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "xception41",
        build: Build::Staged(|config, root| build(&XCEPTION41, config, root)),
        parameters: 26_969_560,
        multiply_adds: 9_204_134_312,
        ..BASE
    },
    ModelSpec {
        name: "xception65",
        build: Build::Staged(|config, root| build(&XCEPTION65, config, root)),
        parameters: 39_916_312,
        multiply_adds: 13_852_682_216,
        preset: || Preprocessing {
            crop_pct: 0.94,
            ..preprocessing()
        },
        ..BASE
    },
    ModelSpec {
        name: "xception71",
        build: Build::Staged(|config, root| build(&XCEPTION71, config, root)),
        parameters: 42_338_736,
        multiply_adds: 17_946_553_928,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "xception_aligned",
    paper: "Chen et al. 2018, arXiv:1802.02611",
    preset: preprocessing,
    first_conv: "stem.0.conv",
    classifier: "head.fc",
    ..ModelSpec::OWN
};

/// 299×299, bicubic, crop 0.903, mean and standard deviation 0.5.
fn preprocessing() -> Preprocessing {
    Preprocessing {
        input_size: [3, 299, 299],
        crop_pct: 0.903,
        ..preset::inception()
    }
}

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
    let middle = vec![MIDDLE; variant.middle];
    let rows = [variant.entry, &middle[..], &EXIT[..]].concat();
    // As in timm, the last block has the full rate, although it has no branch to drop.
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        .with_drop_path(drop_path_rate.unwrap_or(0.), rows.len() - 1);

    net.group("stem", &["stem.0", "stem.1"]);
    for (index, width, stride) in [(0, 32, 2), (1, 64, 1)] {
        let at = net.at("stem").pp(index);
        let channels = at.pp("conv").width(width);
        let conv = Conv2dConfig::new(net.channels(), channels, 3)
            .with_stride(stride)
            .with_padding(Padding::all(1));
        let unit = with_norm(conv, channels, Activation::Relu);
        net.add(unit.build(&at.pp("conv"), &at.pp("bn"))?)
            .set_channels(channels)
            .add_stride(stride);
    }
    net.end_stage("stem.1");

    let mut stage = 1;
    let mut modules: Vec<String> = Vec::new();
    // By the paper's table; a plan of widths may have changed what the block reads.
    let mut designed = 64;
    for (index, row) in rows.iter().enumerate() {
        let name = format!("blocks.{index}");
        let drop_path = net.next_drop_path();
        let projects = row.stride != 1 || designed != row.widths[2];
        let channels = row.add_to(&mut net, &name, drop_path, projects)?;
        designed = row.widths[2];
        net.set_channels(channels).add_stride(row.stride);
        modules.push(name);
        if rows.get(index + 1).is_none_or(|next| next.stride == 2) {
            let names: Vec<&str> = modules.iter().map(String::as_str).collect();
            net.group(&format!("stage{stage}"), &names);
            net.end_stage(names[names.len() - 1]);
            modules.clear();
            stage += 1;
        }
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    Ok(net.linear_classifier(BASE.classifier, num_classes, drop_rate.unwrap_or(0.))?)
}

impl Row {
    /// Adds the block; gives the channels of its output. Where it `projects`, a 1×1 convolution
    /// brings its input to the output's shape.
    fn add_to(
        &self,
        net: &mut StagedBuilder,
        name: &str,
        drop_path: f64,
        projects: bool,
    ) -> Result<usize, Error> {
        let at = net.at(name);
        let stack = at.pp("stack");
        let in_channels = net.channels();
        let mut branch = Sequential::new();
        if self.kind == Block::Residual {
            branch.push(Activate::new(Activation::Relu, &stack.pp("act1")));
        }
        let mut channels = in_channels;
        let mut last = None;
        for (number, width) in (1..).zip(self.widths) {
            let is_last = number == self.widths.len();
            let at = stack.pp(format!("conv{number}"));
            let width = at.pp("conv_pw").width(width);
            // The ReLU before a separable convolution is that after the one before it.
            let (after_depthwise, after_pointwise) = match self.kind {
                Block::Plain => (Activation::Relu, Activation::Relu),
                Block::Residual if is_last => (Activation::Identity, Activation::Identity),
                Block::Residual => (Activation::Identity, Activation::Relu),
            };
            let stride = if is_last { self.stride } else { 1 };
            let depthwise = Conv2dConfig::new(channels, channels, 3)
                .with_stride(stride)
                .with_padding(Padding::all(1))
                .with_groups(channels);
            branch.push(
                with_norm(depthwise, channels, after_depthwise)
                    .build(&at.pp("conv_dw"), &at.pp("bn_dw"))?,
            );
            let pointwise = Conv2dConfig::new(channels, width, 1);
            let pointwise = with_norm(pointwise, width, after_pointwise)
                .build(&at.pp("conv_pw"), &at.pp("bn_pw"))?;
            channels = width;
            // A residual block's sum is computed in the pass of its last unit, which is told apart.
            if is_last && self.kind == Block::Residual {
                last = Some(pointwise);
            } else {
                branch.push(pointwise);
            }
        }
        let Some(last) = last else {
            net.add(branch);
            return Ok(channels);
        };
        let sum = ResidualSum::new(drop_path, None, &at)?;
        let block = Residual::with_sum(branch, last, sum);
        if !projects {
            check_shortcut(BASE.family, in_channels, channels, &at)?;
            net.add(block);
            return Ok(channels);
        }
        let at_shortcut = at.pp("shortcut");
        let width = at_shortcut.pp("conv").width(self.widths[2]);
        check_shortcut(BASE.family, width, channels, &at_shortcut)?;
        let conv = Conv2dConfig::new(in_channels, width, 1).with_stride(self.stride);
        let shortcut = with_norm(conv, width, Activation::Identity)
            .build(&at_shortcut.pp("conv"), &at_shortcut.pp("bn"))?;
        net.add(block.with_shortcut(shortcut));
        Ok(channels)
    }
}

/// With TensorFlow's eps, 1e-3.
fn with_norm(conv: Conv2dConfig, channels: usize, activation: Activation) -> ConvNormActConfig {
    let norm = BatchNorm2dConfig::new(channels).with_eps(1e-3);
    ConvNormActConfig::new(conv, norm, activation)
}
