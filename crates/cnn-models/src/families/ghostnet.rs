//! GhostNet (Han et al. 2019, "GhostNet: More Features from Cheap Operations"), names and stages as
//! in timm.

use candle_core::{Result as CandleResult, Tensor};
use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Builder, Concat, Context, Conv2dConfig, ConvAct,
    ConvNormAct, ConvNormActConfig, Dropout, FeatureMap, Flatten, GlobalAvgPool2d, Head, Layer,
    Linear, LinearConfig, Padding, ResidualSum, Sequential, SqueezeExcite, SqueezeExciteConfig,
    StagedBuilder, StagedClassifier,
};

use crate::config::check_shortcut;
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

/// A bottleneck of the paper's table 1.
struct Row {
    /// Of its depthwise convolutions.
    kernel_size: usize,
    /// Channels between its two ghost modules.
    hidden: usize,
    channels: usize,
    squeezes: bool,
    stride: usize,
}

const fn row(
    kernel_size: usize,
    hidden: usize,
    channels: usize,
    squeezes: bool,
    stride: usize,
) -> Row {
    Row {
        kernel_size,
        hidden,
        channels,
        squeezes,
        stride,
    }
}

/// Table 1 of the paper, in timm's groups: kernel, expansion, channels, squeeze-and-excitation,
/// stride.
const STAGES: [&[Row]; 9] = [
    &[row(3, 16, 16, false, 1)],
    &[row(3, 48, 24, false, 2)],
    &[row(3, 72, 24, false, 1)],
    &[row(5, 72, 40, true, 2)],
    &[row(5, 120, 40, true, 1)],
    &[row(3, 240, 80, false, 2)],
    &[
        row(3, 200, 80, false, 1),
        row(3, 184, 80, false, 1),
        row(3, 184, 80, false, 1),
        row(3, 480, 112, true, 1),
        row(3, 672, 112, true, 1),
    ],
    &[row(5, 672, 160, true, 2)],
    &[
        row(5, 960, 160, false, 1),
        row(5, 960, 160, true, 1),
        row(5, 960, 160, false, 1),
        row(5, 960, 160, true, 1),
    ],
];
/// Channels of the stem.
const STEM: usize = 16;
/// Channels of the last map.
const LAST: usize = 960;
/// Features that the classifier reads, whatever the width.
const FEATURES: usize = 1280;

/// With counts for 1000 classes and images of 3×224×224.
pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "ghostnet_050",
        build: Build::Staged(|config, root| build(0.5, config, root)),
        parameters: 2_587_292,
        multiply_adds: 42_328_152,
        ..BASE
    },
    ModelSpec {
        name: "ghostnet_100",
        build: Build::Staged(|config, root| build(1., config, root)),
        parameters: 5_182_508,
        multiply_adds: 141_150_512,
        ..BASE
    },
    ModelSpec {
        name: "ghostnet_130",
        build: Build::Staged(|config, root| build(1.3, config, root)),
        parameters: 7_358_820,
        multiply_adds: 227_003_256,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "ghostnet",
    paper: "Han et al. 2019, arXiv:1911.11907",
    preset: preset::imagenet,
    first_conv: "conv_stem",
    classifier: "classifier",
    ..ModelSpec::OWN
};

/// Builds it at a width relative to the paper's.
fn build(width: f64, config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
    // timm's default.
    let drop_rate = config.read_args(BASE.family, |args| args.probability("drop_rate"))?;
    let scaled = |channels: usize| divisible_by_4(channels as f64 * width);
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels));

    net.group("stem", &["conv_stem", "bn1"]);
    let at = net.at("conv_stem");
    let channels = at.width(scaled(STEM));
    let stem = conv(net.channels(), channels, 3).with_stride(2);
    net.add(stem.without_bias().build(&at)?)
        .set_channels(channels)
        .add_stride(2);
    // As in timm, the first stage is what the convolution gives, before its norm.
    net.end_stage("conv_stem");
    let norm = BatchNorm2dConfig::new(channels).build(&net.at("bn1"))?;
    let relu = Activate::new(Activation::Relu, &net.at("act1"));
    net.add(norm).add(relu);

    let mut designed = scaled(STEM);
    for (stage, rows) in STAGES.iter().enumerate() {
        let name = format!("blocks.{stage}");
        net.group(&format!("stage{}", stage + 1), &[&name]);
        for (index, row) in rows.iter().enumerate() {
            let block = BottleneckConfig {
                row,
                designed,
                hidden: scaled(row.hidden),
                output: scaled(row.channels),
            };
            designed = block.output;
            let (block, channels) = block.build(net.channels(), &net.at(&name).pp(index))?;
            net.add(block).set_channels(channels).add_stride(row.stride);
        }
        // timm's stages are those that halve the resolution.
        if rows.iter().any(|row| row.stride > 1) {
            net.end_stage(&name);
        }
    }

    let name = format!("blocks.{}", STAGES.len());
    net.group("tail", &[&name]);
    let at = net.at(&name).pp(0);
    let channels = at.pp("conv").width(scaled(LAST));
    let last = unit(
        conv(net.channels(), channels, 1),
        channels,
        Activation::Relu,
    );
    let last = last.build(&at.pp("conv"), &at.pp("bn1"))?;
    net.add(last).set_channels(channels);

    net.head_group("features", &["conv_head"]);
    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    let head = FeatureHead::build(root, channels, num_classes, drop_rate.unwrap_or(0.2))?;
    Ok(net.classifier(num_classes, &[BASE.classifier], head))
}

/// The nearest multiple of 4 that is not more than 10 % below `channels`.
fn divisible_by_4(channels: f64) -> usize {
    let rounded = ((channels + 2.) as usize / 4 * 4).max(4);
    if (rounded as f64) < 0.9 * channels {
        rounded + 4
    } else {
        rounded
    }
}

/// A convolution that is padded by half its kernel.
fn conv(in_channels: usize, out_channels: usize, kernel_size: usize) -> Conv2dConfig {
    Conv2dConfig::new(in_channels, out_channels, kernel_size)
        .with_padding(Padding::all(kernel_size / 2))
}

fn depthwise(channels: usize, kernel_size: usize, stride: usize) -> Conv2dConfig {
    conv(channels, channels, kernel_size)
        .with_stride(stride)
        .with_groups(channels)
}

fn unit(conv: Conv2dConfig, channels: usize, activation: Activation) -> ConvNormActConfig {
    ConvNormActConfig::new(conv, BatchNorm2dConfig::new(channels), activation)
}

/// Half of the channels from a 1×1 convolution, the other half, the ghosts, from a depthwise 3×3
/// convolution of these: figure 1b of the paper with its ratio 2.
struct GhostModule {
    primary: ConvNormAct,
    cheap: ConvNormAct,
    concat: Concat,
}

impl GhostModule {
    /// The module, and the channels of its output: twice those of its 1×1 convolution.
    fn build(
        in_channels: usize,
        out_channels: usize,
        activation: Activation,
        at: &Builder,
    ) -> CandleResult<(Self, usize)> {
        let at_primary = at.pp("primary_conv");
        let at_cheap = at.pp("cheap_operation");
        let half = at_primary.pp(0).width(out_channels / 2);
        let primary = unit(conv(in_channels, half, 1), half, activation);
        let cheap = unit(depthwise(half, 3, 1), half, activation);
        let module = Self {
            primary: primary.build(&at_primary.pp(0), &at_primary.pp(1))?,
            cheap: cheap.build(&at_cheap.pp(0), &at_cheap.pp(1))?,
            concat: Concat::new(at),
        };
        Ok((module, 2 * half))
    }
}

impl Layer for GhostModule {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> CandleResult<FeatureMap> {
        let primary = self.primary.forward(xs, cx)?;
        let ghosts = self.cheap.forward(&primary, cx)?;
        self.concat.forward(&[&primary, &ghosts], cx)
    }
}

struct BottleneckConfig<'a> {
    row: &'a Row,
    /// Channels of the input by the table: whether there is a projection depends on these.
    designed: usize,
    hidden: usize,
    output: usize,
}

impl BottleneckConfig<'_> {
    /// The block, and the channels of its output: those of the paper's table, or others where the
    /// configuration plans other widths.
    fn build(&self, in_channels: usize, at: &Builder) -> Result<(Bottleneck, usize), Error> {
        let Row {
            kernel_size,
            squeezes,
            stride,
            ..
        } = *self.row;
        let (expand, hidden) =
            GhostModule::build(in_channels, self.hidden, Activation::Relu, &at.pp("ghost1"))?;
        let strided = unit(
            depthwise(hidden, kernel_size, stride),
            hidden,
            Activation::Identity,
        );
        let strided = (stride > 1)
            .then(|| strided.build(&at.pp("conv_dw"), &at.pp("bn_dw")))
            .transpose()?;
        let reduced = divisible_by_4(self.hidden as f64 / 4.);
        let squeeze_excite =
            SqueezeExciteConfig::new(hidden, reduced).with_gate(Activation::HardSigmoid);
        let squeeze_excite = squeezes
            .then(|| squeeze_excite.build(&at.pp("se")))
            .transpose()?;
        let (project, channels) =
            GhostModule::build(hidden, self.output, Activation::Identity, &at.pp("ghost2"))?;
        let keeps_shape = stride == 1 && self.designed == self.output;
        let shortcut = if keeps_shape {
            check_shortcut(BASE.family, in_channels, channels, at)?;
            None
        } else {
            let at = at.pp("shortcut");
            let width = at.pp(2).width(self.output);
            check_shortcut(BASE.family, width, channels, &at)?;
            let filter = depthwise(in_channels, kernel_size, stride);
            let filter = unit(filter, in_channels, Activation::Identity);
            let mix = unit(conv(in_channels, width, 1), width, Activation::Identity);
            Some([
                filter.build(&at.pp(0), &at.pp(1))?,
                mix.build(&at.pp(2), &at.pp(3))?,
            ])
        };
        let block = Bottleneck {
            expand,
            strided,
            squeeze_excite,
            project,
            shortcut: shortcut.map(|units| units.into_iter().collect()),
            sum: ResidualSum::new(0., None, at)?,
        };
        Ok((block, channels))
    }
}

/// Two ghost modules, the first of which widens; between them a depthwise convolution where the
/// block moves by two pixels, and squeeze-and-excitation where the table has it: figure 3 of the
/// paper.
struct Bottleneck {
    expand: GhostModule,
    strided: Option<ConvNormAct>,
    squeeze_excite: Option<SqueezeExcite>,
    project: GhostModule,
    /// What brings the input to the output's shape.
    shortcut: Option<Sequential>,
    sum: ResidualSum,
}

impl Layer for Bottleneck {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> CandleResult<FeatureMap> {
        let mut ys = self.expand.forward(xs, cx)?;
        if let Some(strided) = &self.strided {
            ys = strided.forward(&ys, cx)?;
        }
        if let Some(squeeze_excite) = &self.squeeze_excite {
            ys = squeeze_excite.forward(&ys, cx)?;
        }
        let branch = self.project.forward(&ys, cx)?;
        match &self.shortcut {
            Some(shortcut) => self.sum.join(&branch, &shortcut.forward(xs, cx)?, cx),
            None => self.sum.join(&branch, xs, cx),
        }
    }
}

/// Global average pooling, a 1×1 convolution with ReLU on the one pixel that it leaves, dropout and
/// one linear layer.
struct FeatureHead {
    pool: GlobalAvgPool2d,
    features: ConvAct,
    flatten: Flatten,
    dropout: Dropout,
    linear: Linear,
}

impl FeatureHead {
    fn build(
        root: &Builder,
        in_channels: usize,
        classes: usize,
        drop_rate: f64,
    ) -> CandleResult<Self> {
        let at = root.pp("conv_head");
        let width = at.width(FEATURES);
        let relu = Activate::new(Activation::Relu, &root.pp("act2"));
        Ok(Self {
            pool: GlobalAvgPool2d::new().at(&root.pp("global_pool")),
            features: ConvAct::build(&Conv2dConfig::new(in_channels, width, 1), relu, &at)?,
            flatten: Flatten::new(&root.pp("flatten")),
            dropout: Dropout::new(drop_rate, &root.pp("head_drop"))?,
            linear: LinearConfig::new(width, classes).build(&root.pp(BASE.classifier))?,
        })
    }
}

impl Head for FeatureHead {
    fn input(&self, features: &FeatureMap, cx: &Context<'_>) -> CandleResult<FeatureMap> {
        self.pool.forward(features, cx)
    }

    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> CandleResult<Tensor> {
        let pooled = self.pool.forward(features, cx)?;
        let pooled = self.features.forward(&pooled, cx)?;
        let features = self.flatten.forward(&pooled, cx)?;
        self.linear
            .forward(&self.dropout.forward_vectors(&features, cx)?, cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // timm's `make_divisible(v, 4)`.
    #[test]
    fn widths_round_as_in_timm() {
        for (channels, rounded) in [
            (16. * 0.5, 8),
            (72. * 1.3, 92),
            (48. * 1.3, 64),
            (72. / 4., 20),
            (200. * 0.5 / 4., 24),
            (1., 4),
            (5.9, 8),
        ] {
            assert_eq!(divisible_by_4(channels), rounded, "{channels}");
        }
    }
}
