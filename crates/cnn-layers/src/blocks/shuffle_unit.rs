//! The unit of ShuffleNetV2 (Ma et al. 2018).

use candle_core::Result;
use cnn_kernels::{ChannelRange, interleave};

use super::residual_sum::check_residual;
use crate::{
    Activation, BatchNorm2dConfig, Builder, ChannelShuffle, ChannelSlice, Concat, Context,
    Conv2dConfig, ConvNormActConfig, Error, FeatureMap, Layer, Padding, Sequential,
};

/// What a [`ShuffleUnit`] is built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShuffleUnitConfig {
    in_channels: usize,
    out_channels: usize,
    stride: usize,
}

impl ShuffleUnitConfig {
    /// A unit; one of stride 1 gives as many channels as it reads.
    pub const fn new(in_channels: usize, out_channels: usize, stride: usize) -> Self {
        Self {
            in_channels,
            out_channels,
            stride,
        }
    }

    /// Takes `branch1` (where the stride is not 1) and `branch2` from the builder's place, chains of
    /// convolutions and norms that are numbered as in torchvision.
    ///
    /// # Errors
    /// If the channels are not even, if a unit of stride 1 would change them, if a plan of widths
    /// makes the branches differ, and those of the layers.
    pub fn build(&self, builder: &Builder) -> Result<ShuffleUnit> {
        self.check(builder)?;
        let branch2 = builder.pp("branch2");
        let half = self.in_channels / 2;
        let (read, shortcut, given) = if self.stride == 1 {
            let shortcut = Shortcut::Split {
                left: ChannelSlice::new(0..half, &builder.pp("left")),
                right: ChannelSlice::new(half..self.in_channels, &builder.pp("right")),
            };
            (half, shortcut, half)
        } else {
            let branch1 = builder.pp("branch1");
            let output = branch1.pp(2).width(self.out_channels / 2);
            let branch = Sequential::new()
                .add(
                    depthwise(self.in_channels, self.stride)
                        .build(&branch1.pp(0), &branch1.pp(1))?,
                )
                .add(
                    ConvNormActConfig::relu(self.in_channels, output, 1)
                        .build(&branch1.pp(2), &branch1.pp(3))?,
                );
            (self.in_channels, Shortcut::Branch(branch), output)
        };
        let hidden = branch2.pp(0).width(self.out_channels / 2);
        let output = branch2.pp(5).width(self.out_channels / 2);
        check_residual(given, output, builder)?;
        Ok(ShuffleUnit {
            out_channels: given + output,
            shortcut,
            branch: Sequential::new()
                .add(
                    ConvNormActConfig::relu(read, hidden, 1)
                        .build(&branch2.pp(0), &branch2.pp(1))?,
                )
                .add(depthwise(hidden, self.stride).build(&branch2.pp(3), &branch2.pp(4))?)
                .add(
                    ConvNormActConfig::relu(hidden, output, 1)
                        .build(&branch2.pp(5), &branch2.pp(6))?,
                ),
            concat: Concat::new(&builder.pp("concat")),
            shuffle: ChannelShuffle::new(2, &builder.pp("shuffle")),
        })
    }

    fn check(&self, builder: &Builder) -> Result<()> {
        let refuse = |what, found: usize, expected: String| {
            Err(Error::Config {
                layer: builder.path().to_string(),
                what,
                found: found.to_string(),
                expected,
            }
            .into())
        };
        if !self.out_channels.is_multiple_of(2) {
            let expected = "an even number: half of them from each branch".to_string();
            return refuse("out_channels", self.out_channels, expected);
        }
        if self.stride == 1 && self.in_channels != self.out_channels {
            let expected = format!("its in_channels, {}, at stride 1", self.in_channels);
            return refuse("out_channels", self.out_channels, expected);
        }
        Ok(())
    }
}

/// A 3×3 convolution of each channel alone, with a norm and no activation.
fn depthwise(channels: usize, stride: usize) -> ConvNormActConfig {
    let conv = Conv2dConfig::new(channels, channels, 3)
        .with_stride(stride)
        .with_padding(Padding::all(1))
        .with_groups(channels);
    ConvNormActConfig::new(conv, BatchNorm2dConfig::new(channels), Activation::Identity)
}

/// Half of the channels pass unchanged, or at a stride through a branch of their own, the other half
/// through 1×1, depthwise 3×3 and 1×1 convolutions; then the channels of both halves are shuffled,
/// so that the next unit's halves have some of each. No map is added and none is widened, since
/// both cost memory traffic; a unit of stride 1 computes on half of the channels.
///
/// Unless an observer watches, the channels that pass are never copied by themselves: concatenation
/// and shuffle are one pass, which reads them from the input.
///
/// # Shapes
/// `(N, H, W, in_channels)` to `(N, ⌈H / stride⌉, ⌈W / stride⌉, out_channels)`.
pub struct ShuffleUnit {
    out_channels: usize,
    shortcut: Shortcut,
    branch: Sequential,
    concat: Concat,
    shuffle: ChannelShuffle,
}

/// What the branch is shuffled with.
enum Shortcut {
    /// The first half of the channels; the branch reads the second.
    Split {
        left: ChannelSlice,
        right: ChannelSlice,
    },
    /// A branch that reads all channels, as the other one then does.
    Branch(Sequential),
}

impl ShuffleUnit {
    /// Channels of its output.
    pub fn out_channels(&self) -> usize {
        self.out_channels
    }

    /// The same values, layer by layer.
    fn forward_observed(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let [first, read] = match &self.shortcut {
            Shortcut::Split { left, right } => [left.forward(xs, cx)?, right.forward(xs, cx)?],
            Shortcut::Branch(branch) => [branch.forward(xs, cx)?, xs.clone()],
        };
        let second = self.branch.forward(&read, cx)?;
        let joined = self.concat.forward(&[&first, &second], cx)?;
        self.shuffle.forward(&joined, cx)
    }

    /// The channels of a part of a map and of the other branch in turn.
    fn shuffled(
        &self,
        first: ChannelRange<'_>,
        second: &FeatureMap,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let inputs = [first.map.into(), second.into()];
        let second = whole(second);
        cx.layer(self.shuffle.path(), self.shuffle.kind(), &inputs, || {
            interleave(&[first, second])
        })
    }
}

fn whole(map: &FeatureMap) -> ChannelRange<'_> {
    ChannelRange {
        map,
        channels: 0..map.channels(),
    }
}

impl Layer for ShuffleUnit {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        if cx.is_observed() {
            return self.forward_observed(xs, cx);
        }
        match &self.shortcut {
            Shortcut::Split { left, right } => {
                let second = self.branch.forward(&right.forward(xs, cx)?, cx)?;
                let first = ChannelRange {
                    map: xs,
                    channels: left.channels(),
                };
                self.shuffled(first, &second, cx)
            }
            Shortcut::Branch(branch) => {
                let first = branch.forward(xs, cx)?;
                let second = self.branch.forward(xs, cx)?;
                self.shuffled(whole(&first), &second, cx)
            }
        }
    }
}
