//! The residual blocks of ResNets.

use cnn_layers::{
    Activate, Activation, AvgPool2d, BatchNorm2dConfig, Builder, ConvNormActConfig, Init, Padding,
    Residual, ResidualSum, Sequential, SqueezeExciteConfig, Step, Window,
};

use super::{BASE, Block, Variant, conv};
use crate::Error;
use crate::config::check_shortcut;

/// One residual block.
pub(super) struct BlockConfig<'a> {
    pub(super) variant: &'a Variant,
    pub(super) kind: Block,
    /// Channels of the table, of which a bottleneck has others inside where it has groups or is
    /// wide.
    pub(super) channels: usize,
    pub(super) step: Step,
    /// Dilation of the layers behind it.
    pub(super) later_dilation: usize,
    /// Channels of the input by the table.
    pub(super) input: usize,
    pub(super) drop_path: f64,
    /// What the norms add to the variance.
    pub(super) bn_eps: f64,
}

/// A convolution of a block's branch.
struct BranchConv {
    kernel_size: usize,
    /// By the table.
    channels: usize,
    stride: usize,
    dilation: usize,
    groups: usize,
}

impl BlockConfig<'_> {
    /// Channels of the output by the table.
    pub(super) fn output(&self) -> usize {
        self.kind.expansion() * self.channels
    }

    fn branch(&self) -> Vec<BranchConv> {
        let Self { variant, step, .. } = *self;
        let pointwise = |channels: usize| BranchConv {
            kernel_size: 1,
            channels,
            stride: 1,
            dilation: 1,
            groups: 1,
        };
        let moving = |channels: usize| BranchConv {
            kernel_size: 3,
            stride: step.stride,
            dilation: step.dilation,
            ..pointwise(channels)
        };
        match self.kind {
            Block::Basic => vec![
                moving(self.channels),
                BranchConv {
                    kernel_size: 3,
                    dilation: self.later_dilation,
                    ..pointwise(self.output())
                },
            ],
            Block::Bottleneck => {
                let groups = variant.groups;
                let inside = self.channels * variant.group_width / 64 * groups;
                vec![
                    pointwise(inside),
                    BranchConv {
                        groups,
                        ..moving(inside)
                    },
                    pointwise(self.output()),
                ]
            }
        }
    }

    /// The block, and the channels of its output: those of the paper's table, or others where the
    /// configuration plans other widths.
    pub(super) fn build(
        &self,
        in_channels: usize,
        at: &Builder,
    ) -> Result<(Residual, usize), Error> {
        let convolutions = self.branch();
        let count = convolutions.len();
        let mut units = Vec::with_capacity(count);
        let mut channels = in_channels;
        for (number, branch) in (1..).zip(convolutions) {
            let at_conv = at.pp(format!("conv{number}"));
            let width = at_conv.width(branch.channels);
            // The branch ends without an activation. As in timm its last norm's weight starts at
            // zero, so that at first the shortcut alone contributes.
            let (activation, weight_init) = if number == count {
                (Activation::Identity, Init::ZEROS)
            } else {
                (Activation::Relu, Init::ONES)
            };
            let mut conv = conv(channels, width, branch.kernel_size, branch.stride)
                .with_dilation(branch.dilation)
                .with_padding(Padding::all(branch.kernel_size / 2 * branch.dilation));
            if branch.groups > 1 {
                // PyTorch's rule, which timm follows here, counts the outputs of all groups.
                let fan_out = width * branch.kernel_size * branch.kernel_size;
                let std = (2. / fan_out as f64).sqrt();
                conv = conv
                    .with_groups(branch.groups)
                    .with_init(Init::Normal { std });
            }
            let unit = ConvNormActConfig::new(
                conv,
                BatchNorm2dConfig::new(width)
                    .with_eps(self.bn_eps)
                    .with_weight_init(weight_init),
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
        let mut block = Residual::with_sum(units.into_iter().collect(), last, sum);
        if self.variant.squeezes {
            let squeeze_excite = SqueezeExciteConfig::new(channels, reduced(self.output()))
                .with_names("fc1", "fc2")
                .with_init(Init::KAIMING_NORMAL_OUT)
                .build(&at.pp("se"))?;
            block = block.with_squeeze_excite(squeeze_excite);
        }
        if self.step.stride == 1 && self.input == self.output() {
            check_shortcut(BASE.family, in_channels, channels, at)?;
            return Ok((block, channels));
        }
        let (shortcut, width) = self.shortcut(in_channels, &at.pp("downsample"))?;
        check_shortcut(BASE.family, width, channels, &at.pp("downsample"))?;
        Ok((block.with_shortcut(shortcut), channels))
    }

    /// What brings the input to the output's shape, and its channels.
    fn shortcut(&self, in_channels: usize, at: &Builder) -> Result<(Sequential, usize), Error> {
        let mut layers = Sequential::new();
        let averages = self.variant.averages_shortcut;
        // timm counts the average, even where it would change nothing.
        let first = usize::from(averages);
        if averages && self.step.stride > 1 {
            // What reaches beyond the border counts the pixels that there are.
            let window = Window {
                stride: [self.step.stride; 2],
                ceil_mode: true,
                ..Window::new([2; 2])
            };
            layers.push(AvgPool2d::with_window(window, false).at(&at.pp(0)));
        }
        let width = at.pp(first).width(self.output());
        let stride = if averages { 1 } else { self.step.stride };
        let unit = ConvNormActConfig::new(
            conv(in_channels, width, 1, stride),
            BatchNorm2dConfig::new(width).with_eps(self.bn_eps),
            Activation::Identity,
        );
        layers.push(unit.build(&at.pp(first), &at.pp(first + 1))?);
        Ok((layers, width))
    }
}

/// Hidden channels of squeeze-and-excitation: a sixteenth, to the nearest multiple of 8.
fn reduced(channels: usize) -> usize {
    ((channels / 16 + 4) / 8 * 8).max(8)
}
