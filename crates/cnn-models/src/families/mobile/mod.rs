//! Mobile networks: a stem, stages of inverted residuals and their relatives, a 1×1 convolution
//! before or after the global pooling, and a linear layer. Families differ in their tables, so one
//! builder reads them all. Names of tensors, widths and depths are those of timm's
//! `EfficientNetBuilder`.

mod head;
mod table;
pub(crate) mod torchvision;

use cnn_core::Preprocessing;
use cnn_layers::{
    Activation, BatchNorm2dConfig, BlockOptions, Builder, Conv2dConfig, ConvNormActConfig,
    DepthwiseSeparableConfig, FusedInvertedResidualConfig, Init, InvertedResidualConfig, Residual,
    ResidualSum, Sequential, SqueezeExciteConfig, StagedBuilder, StagedClassifier, Step,
    UniversalInvertedResidualConfig,
};

use self::table::Block;
pub(crate) use self::table::{Row, conv, fused, inverted, separable, universal};
use crate::config::{PadType, check_shortcut, make_divisible, round_channels};
use crate::{Error, ModelConfig, ModelSpec};

/// What a network is built from.
#[derive(Clone, Copy)]
pub(crate) struct MobileNet {
    /// The table: the rows of each stage. Only the first block of a stage may have a stride.
    pub(crate) stages: &'static [&'static [Row]],
    /// Channels of the first convolution, a 3×3 one with stride 2.
    pub(crate) stem: Width,
    pub(crate) activation: Activation,
    pub(crate) squeeze: SqueezeRule,
    pub(crate) head: Head,
    /// Channels that the linear layer reads.
    pub(crate) features: Width,
    /// How many times as many channels as in the table.
    pub(crate) width: f64,
    /// How many times as many blocks as in the table, rounded up.
    pub(crate) depth: f64,
    /// Whether the first and the last stage keep their depth.
    pub(crate) fixed_ends: bool,
    /// Scaled channels are rounded to a multiple of 8, but not below this share of them.
    pub(crate) round_limit: f64,
    pub(crate) pad_type: PadType,
    pub(crate) bn_eps: f64,
    pub(crate) bn_momentum: f64,
    /// How the convolutions before the head start.
    pub(crate) init: Init,
    pub(crate) form: Form,
}

/// In which library's form the body of the network is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// timm's names. A stage ends before a block that halves the resolution; with an output stride,
    /// the block whose stride is taken away is not dilated yet.
    Timm,
    /// torchvision's names of a body without its head, whose blocks are numbered through. A stage
    /// ends with the block that halves the resolution, so that what a network reads of it is one
    /// block deep; with an output stride, all blocks of a stage are dilated.
    Torchvision,
    /// torchvision's names within SSDLite, which reads what the first block of the last stage that
    /// moves widens its input to, and the last map: the only stages. That block is taken apart: its
    /// first convolution ends `features.0`, and the rest begins `features.1`.
    SsdLite,
}

/// The reduced form of a deep network: so many times as many blocks as in the table.
pub(crate) fn shallow(depth: f64) -> ModelConfig {
    ModelConfig::default().with_arg("depth_multiplier", depth)
}

/// A number of channels that the network's width scales or not.
#[derive(Clone, Copy)]
pub(crate) enum Width {
    Fixed(usize),
    Scaled(usize),
}

/// How many channels squeeze-and-excitation keeps, and its activations.
#[derive(Clone, Copy)]
pub(crate) enum SqueezeRule {
    /// A share of the block's input, with the block's activation and a sigmoid.
    OfInput,
    /// A share of the hidden channels, rounded as widths are, with ReLU and a hard sigmoid.
    OfHidden,
}

/// Where the last 1×1 convolution, `conv_head`, stands.
#[derive(Clone, Copy)]
pub(crate) enum Head {
    /// Before the pooling, with a norm.
    BeforePool,
    /// After the pooling, where it reads one pixel, with a bias.
    AfterPool,
    /// After the pooling, with a norm.
    AfterPoolNormed,
}

impl MobileNet {
    /// What most have in common, for `..`; the table is still to be said.
    pub(crate) const BASE: Self = Self {
        stages: &[],
        stem: Width::Scaled(32),
        activation: Activation::Relu,
        squeeze: SqueezeRule::OfInput,
        head: Head::BeforePool,
        features: Width::Fixed(1280),
        width: 1.,
        depth: 1.,
        fixed_ends: false,
        round_limit: 0.9,
        pad_type: PadType::Symmetric,
        bn_eps: 1e-5,
        bn_momentum: 0.1,
        init: Init::KAIMING_NORMAL_OUT,
        form: Form::Timm,
    };

    /// As TensorFlow computes it: padding `same` and eps 1e-3.
    pub(crate) const fn tensorflow(mut self) -> Self {
        self.pad_type = PadType::Same;
        self.bn_eps = 1e-3;
        self
    }

    /// Another width.
    pub(crate) const fn wide(mut self, width: f64) -> Self {
        self.width = width;
        self
    }

    /// Another depth.
    pub(crate) const fn deep(mut self, depth: f64) -> Self {
        self.depth = depth;
        self
    }

    /// The network over a store, with what the configuration says otherwise.
    pub(crate) fn build(
        &self,
        base: &ModelSpec,
        config: &ModelConfig,
        root: &Builder,
    ) -> Result<StagedClassifier, Error> {
        let args = config.read_args(base.family, |args| {
            Ok(Args {
                drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
                drop_path_rate: args.probability("drop_path_rate")?.unwrap_or(0.),
                width: args.number("channel_multiplier", 0.01..=4.)?,
                depth: args.number("depth_multiplier", 0.01..=4.)?,
                pad_type: PadType::read(args)?,
                bn_eps: args.number("bn_eps", 0.0..=1.)?,
                bn_momentum: args.number("bn_momentum", 0.0..=1.)?,
                output_stride: args.output_stride()?,
            })
        })?;
        let net = Self {
            width: args.width.unwrap_or(self.width),
            depth: args.depth.unwrap_or(self.depth),
            pad_type: args.pad_type.unwrap_or(self.pad_type),
            bn_eps: args.bn_eps.unwrap_or(self.bn_eps),
            bn_momentum: args.bn_momentum.unwrap_or(self.bn_momentum),
            ..*self
        };
        let mut staged = StagedBuilder::new(root, config.in_channels.unwrap_or(base.in_channels))
            // As in timm, the rate is that of a block after the last.
            .with_drop_path(args.drop_path_rate, net.blocks())
            .with_output_stride(args.output_stride);
        let mut designed = net.build_stem(&mut staged)?;
        for stage in 0..net.stages.len() {
            designed = net.build_stage(stage, designed, base.family, &mut staged)?;
        }
        let num_classes = config.num_classes.unwrap_or(base.num_classes);
        let head = head::Config {
            num_classes,
            drop_rate: args.drop_rate,
            classifier: base.classifier,
        };
        net.build_head(&head, root, staged)
    }

    /// The first convolution; gives its designed channels.
    fn build_stem(&self, net: &mut StagedBuilder) -> Result<usize, Error> {
        let [conv, norm] = match self.form {
            Form::Timm => ["conv_stem", "bn1"],
            Form::Torchvision => ["0.0", "0.1"],
            Form::SsdLite => ["features.0.0.0", "features.0.0.1"],
        };
        net.group("stem", &[conv, norm]);
        let designed = self.channels(self.stem);
        let at = net.at(conv);
        let channels = at.width(designed);
        let conv = Conv2dConfig::new(net.channels(), channels, 3)
            .with_stride(2)
            .with_padding(self.pad_type.padding(3, Step::of_stride(2)));
        let unit = self.unit(conv, channels, self.activation);
        net.add(unit.build(&at, &net.at(norm))?)
            .set_channels(channels)
            .add_stride(2);
        // The stem is a stage where the next block halves the resolution again.
        if self.form == Form::Timm && self.first_stride(0) > 1 {
            net.end_stage(norm);
        }
        Ok(designed)
    }

    /// The blocks of a stage, whose input has `designed` channels by the table; gives those of its
    /// output.
    fn build_stage(
        &self,
        stage: usize,
        mut designed: usize,
        family: &'static str,
        net: &mut StagedBuilder,
    ) -> Result<usize, Error> {
        let repeats = self.repeats(stage);
        let names = self.block_names(stage);
        let expansion = self.expansion_apart(stage);
        let modules = expansion.iter().chain(&names);
        let modules: Vec<&str> = modules.map(String::as_str).collect();
        net.group(&format!("stage{}", stage + 1), &modules);
        let mut number = 0;
        for (row, repeats) in self.stages[stage].iter().zip(repeats) {
            for _ in 0..repeats {
                let stride = if number == 0 { row.stride } else { 1 };
                let mut step = net.next_step(stride);
                let is_apart = number == 0 && expansion.is_some();
                let at = match self.form {
                    Form::Timm => net.at(&names[0]).pp(number),
                    Form::SsdLite if is_apart => {
                        let features = net.at("features");
                        torchvision::block_apart(&features, row, self.first_index(stage))
                    }
                    Form::Torchvision | Form::SsdLite => {
                        step.dilation = net.dilation();
                        torchvision::block_at(&net.at(&names[number]), row)
                    }
                };
                let block = BlockConfig {
                    net: self,
                    row,
                    designed,
                    input: net.channels(),
                    output: self.channels(Width::Scaled(row.channels)),
                    step,
                    drop_path: net.next_drop_path(),
                    is_apart,
                };
                let channels = block.add(family, &at, net)?;
                net.set_channels(channels).add_stride(step.stride);
                designed = block.output;
                if self.form == Form::Torchvision && stride > 1 {
                    net.end_stage(&names[number]);
                }
                number += 1;
            }
        }
        let ends = match self.form {
            // Where the next stage halves the resolution, and at the end.
            Form::Timm => self.first_stride(stage + 1) != 1,
            Form::Torchvision | Form::SsdLite => stage + 1 == self.stages.len(),
        };
        if let Some(last) = names.last().filter(|_| ends) {
            match self.form {
                Form::SsdLite => net.end_stage("features.1"),
                _ => net.end_stage(last),
            }
        }
        Ok(designed)
    }

    /// The stride of a stage; 0 behind the last.
    fn first_stride(&self, stage: usize) -> usize {
        let rows = self.stages.get(stage).copied().unwrap_or_default();
        rows.first().map_or(0, |row| row.stride)
    }

    /// Blocks of each row of a stage: those of the whole stage are scaled and rounded up, then shared
    /// out from the last row on, so that the first one, which moves, is the least repeated.
    fn repeats(&self, stage: usize) -> Vec<usize> {
        let rows = self.stages[stage];
        let of_table = rows.iter().map(|row| row.repeats);
        if self.fixed_ends && (stage == 0 || stage + 1 == self.stages.len()) {
            return of_table.collect();
        }
        let mut table = of_table.clone().sum::<usize>() as f64;
        let mut scaled = (table * self.depth).ceil();
        let mut repeats: Vec<usize> = of_table
            .rev()
            .map(|of_row| {
                let of_row = of_row as f64;
                let given = (of_row / table * scaled).round_ties_even().max(1.);
                table -= of_row;
                scaled -= given;
                given as usize
            })
            .collect();
        repeats.reverse();
        repeats
    }

    /// Blocks of the network.
    fn blocks(&self) -> usize {
        let stages = 0..self.stages.len();
        stages.flat_map(|stage| self.repeats(stage)).sum()
    }

    fn channels(&self, width: Width) -> usize {
        match width {
            Width::Fixed(channels) => channels,
            Width::Scaled(channels) => {
                round_channels(channels as f64 * self.width, self.round_limit)
            }
        }
    }

    /// A convolution with its norm and activation.
    fn unit(
        &self,
        conv: Conv2dConfig,
        channels: usize,
        activation: Activation,
    ) -> ConvNormActConfig {
        let norm = BatchNorm2dConfig::new(channels)
            .with_eps(self.bn_eps)
            .with_momentum(self.bn_momentum);
        ConvNormActConfig::new(conv.with_init(self.init), norm, activation)
    }
}

/// The square preprocessing of another size and crop.
pub(crate) fn sized(size: usize, crop_pct: f64, base: fn() -> Preprocessing) -> Preprocessing {
    Preprocessing {
        input_size: [3, size, size],
        crop_pct,
        ..base()
    }
}

/// What the families know: timm's `drop_rate`, `drop_path_rate`, `channel_multiplier`,
/// `depth_multiplier`, `pad_type`, `bn_eps`, `bn_momentum` and `output_stride`.
struct Args {
    drop_rate: f64,
    drop_path_rate: f64,
    width: Option<f64>,
    depth: Option<f64>,
    pad_type: Option<PadType>,
    bn_eps: Option<f64>,
    bn_momentum: Option<f64>,
    output_stride: usize,
}

/// One block.
struct BlockConfig<'a> {
    net: &'a MobileNet,
    row: &'a Row,
    /// Channels of its input by the table, which decide its hidden channels and whether it is
    /// residual.
    designed: usize,
    /// Channels of its input, others where the configuration plans other widths.
    input: usize,
    /// Channels of its output by the table.
    output: usize,
    step: Step,
    drop_path: f64,
    /// Whether its first convolution ends a stage of its own.
    is_apart: bool,
}

impl BlockConfig<'_> {
    /// Adds the block; gives the channels of its output.
    fn add(
        &self,
        family: &'static str,
        at: &Builder,
        staged: &mut StagedBuilder,
    ) -> Result<usize, Error> {
        let Self {
            row,
            designed,
            input,
            output,
            step,
            ..
        } = *self;
        let stride = step.stride;
        let padding = |kernel_size, step| self.net.pad_type.padding(kernel_size, step);
        let hidden = make_divisible(designed as f64 * row.expansion);
        let activation = row.activation.unwrap_or(self.net.activation);
        Ok(match row.block {
            Block::Conv => self.add_conv(activation, family, at, staged)?,
            Block::Separable => {
                let config = DepthwiseSeparableConfig::new(designed, output, stride)
                    .with_activations(activation, Activation::Identity)
                    .with_input(input)
                    .with_options(self.options(hidden, input, activation));
                let config = if row.residual {
                    config.with_residual()
                } else {
                    config
                };
                let block = config.build(at)?;
                let channels = block.out_channels();
                staged.add(block);
                channels
            }
            Block::Inverted => {
                let options = self.options(hidden, at.pp("conv_pw").width(hidden), activation);
                let block = InvertedResidualConfig::new(designed, hidden, output, stride)
                    .with_activation(activation)
                    .with_input(input)
                    .with_options(options)
                    .build(at)?;
                let channels = block.out_channels();
                if self.is_apart {
                    let (expand, rest) = block
                        .split_first()
                        .expect("a block that halves the resolution is not residual");
                    let hidden = at.pp("conv_pw").width(hidden);
                    staged.add(expand).set_channels(hidden);
                    staged.end_stage("features.0");
                    staged.add(rest);
                } else {
                    staged.add(block);
                }
                channels
            }
            Block::Fused => {
                let options = self.options(hidden, at.pp("conv_exp").width(hidden), activation);
                let block = FusedInvertedResidualConfig::new(designed, hidden, output, stride)
                    .with_activation(activation)
                    .with_input(input)
                    .with_options(options)
                    .build(at)?;
                let channels = block.out_channels();
                staged.add(block);
                channels
            }
            Block::Universal { start } => {
                let options =
                    self.options(hidden, at.pp("pw_exp").pp("conv").width(hidden), activation);
                let mut config =
                    UniversalInvertedResidualConfig::new(designed, hidden, output, stride)
                        .with_activation(activation)
                        .with_input(input)
                        .with_options(options);
                let middle = row.kernel_size;
                if start > 0 {
                    let stride = if middle > 0 { 1 } else { stride };
                    config = config.with_start(start, padding(start, Step { stride, ..step }));
                }
                if middle > 0 {
                    config = config.with_middle(middle, padding(middle, step));
                }
                let block = config.build(at)?;
                let channels = block.out_channels();
                staged.add(block);
                channels
            }
        })
    }

    /// A convolution with norm and activation, whose input may be added.
    fn add_conv(
        &self,
        activation: Activation,
        family: &'static str,
        at: &Builder,
        staged: &mut StagedBuilder,
    ) -> Result<usize, Error> {
        let Self { row, net, .. } = self;
        let at_conv = at.pp("conv");
        let channels = at_conv.width(self.output);
        let conv = Conv2dConfig::new(self.input, channels, row.kernel_size)
            .with_stride(self.step.stride)
            .with_padding(net.pad_type.padding(row.kernel_size, self.step));
        // One pixel has no neighbours that could lie further apart.
        let conv = if row.kernel_size > 1 {
            conv.with_dilation(self.step.dilation)
        } else {
            conv
        };
        let unit = net.unit(conv, channels, activation);
        let unit = unit.build(&at_conv, &at.pp("bn1"))?;
        let residual = row.residual && self.step.stride == 1 && self.designed == self.output;
        if !residual {
            staged.add(unit);
            return Ok(channels);
        }
        check_shortcut(family, self.input, channels, at)?;
        let sum = ResidualSum::new(self.drop_path, None, at)?;
        staged.add(Residual::with_sum(Sequential::new(), unit, sum));
        Ok(channels)
    }

    /// What the blocks share. Squeeze-and-excitation weighs the channels before the last convolution:
    /// `hidden` by the table, `weighed` where the configuration plans other widths.
    fn options(&self, hidden: usize, weighed: usize, activation: Activation) -> BlockOptions {
        let Self { row, net, .. } = self;
        let mut options = BlockOptions::new()
            .with_eps(net.bn_eps)
            .with_momentum(net.bn_momentum)
            .with_init(net.init)
            .with_dilation(self.step.dilation)
            .with_drop_path(self.drop_path);
        let size = row.kernel_size;
        if size > 0 {
            options = options.with_kernel(size, net.pad_type.padding(size, self.step));
        }
        if row.squeeze == 0. {
            return options;
        }
        let hidden = hidden as f64;
        let config = match net.squeeze {
            SqueezeRule::OfInput => {
                let reduced = hidden * (row.squeeze / row.expansion);
                SqueezeExciteConfig::new(weighed, reduced.round_ties_even().max(1.) as usize)
                    .with_activation(activation)
            }
            SqueezeRule::OfHidden => {
                SqueezeExciteConfig::new(weighed, make_divisible(hidden * row.squeeze))
                    .with_gate(Activation::HardSigmoid)
            }
        };
        let config = config.with_init(net.init).with_bias_init(Init::ZEROS);
        options.with_squeeze_excite(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The numbers of timm 1.0.31's `_scale_stage_depth`.
    #[test]
    fn depth_is_shared_out_as_in_timm() {
        const STAGES: &[&[Row]] = &[
            &[conv(8).times(2)],
            &[
                inverted(80, 6.),
                inverted(80, 2.5),
                inverted(80, 2.3).times(2),
            ],
            &[separable(8).times(5)],
        ];
        let net = MobileNet {
            stages: STAGES,
            ..MobileNet::BASE
        };
        for (depth, expected) in [
            (1., [vec![2], vec![1, 1, 2], vec![5]]),
            (1.4, [vec![3], vec![1, 2, 3], vec![7]]),
            (2.6, [vec![6], vec![3, 2, 6], vec![13]]),
            (0.3, [vec![1], vec![1, 1, 1], vec![2]]),
        ] {
            let found = [0, 1, 2].map(|stage| net.deep(depth).repeats(stage));
            assert_eq!(found, expected, "{depth}");
        }
        let ends = MobileNet {
            fixed_ends: true,
            ..net.deep(1.4)
        };
        assert_eq!(
            [0, 1, 2].map(|stage| ends.repeats(stage)),
            [vec![2], vec![1, 2, 3], vec![5]]
        );
        assert_eq!(ends.blocks(), 13);
    }
}
