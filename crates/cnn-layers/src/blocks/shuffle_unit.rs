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
    /// A unit that reads `in_channels` and is designed to give `out_channels`; one of stride 1 gives
    /// as many as it reads.
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
    /// If the channels are not even, if a plan of widths makes the branches differ or the halves not
    /// the whole, and those of the layers.
    pub fn build(&self, builder: &Builder) -> Result<ShuffleUnit> {
        self.check(builder)?;
        let branch2 = builder.pp("branch2");
        let Beside {
            shortcut,
            given,
            read,
        } = if self.stride == 1 {
            self.split(builder)?
        } else {
            self.beside(&builder.pp("branch1"))?
        };
        let hidden = branch2.pp(0).width(self.out_channels / 2);
        let output = branch2.pp(5).width(given);
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

    /// The slices of the channels that pass and of those that are read: halves, unless a plan of
    /// widths has others.
    fn split(&self, builder: &Builder) -> Result<Beside> {
        let [at_left, at_right] = ["left", "right"].map(|name| builder.pp(name));
        let given = at_left.width(self.in_channels / 2);
        let read = at_right.width(self.in_channels.saturating_sub(given));
        // Where the plan has the second alone, the first is what that leaves.
        let given = at_left.width(self.in_channels.saturating_sub(read));
        if given + read != self.in_channels {
            let expected = format!("as many as it reads, {}", self.in_channels);
            let found = given + read;
            return Err(refuse(
                builder,
                "the channels of its halves",
                found,
                expected,
            ));
        }
        Ok(Beside {
            shortcut: Shortcut::Split {
                left: ChannelSlice::new(0..given, &at_left),
                right: ChannelSlice::new(given..self.in_channels, &at_right),
            },
            given,
            read,
        })
    }

    /// A branch of its own.
    fn beside(&self, branch1: &Builder) -> Result<Beside> {
        let given = branch1.pp(2).width(self.out_channels / 2);
        let filters = depthwise(self.in_channels, self.stride);
        let mixes = ConvNormActConfig::relu(self.in_channels, given, 1);
        let branch = Sequential::new()
            .add(filters.build(&branch1.pp(0), &branch1.pp(1))?)
            .add(mixes.build(&branch1.pp(2), &branch1.pp(3))?);
        Ok(Beside {
            shortcut: Shortcut::Branch(branch),
            given,
            read: self.in_channels,
        })
    }

    fn check(&self, builder: &Builder) -> Result<()> {
        if self.out_channels.is_multiple_of(2) {
            return Ok(());
        }
        let expected = "an even number: half of them from each branch".to_string();
        Err(refuse(builder, "out_channels", self.out_channels, expected))
    }
}

/// What lies beside the second branch.
struct Beside {
    shortcut: Shortcut,
    /// Channels that it gives.
    given: usize,
    /// Channels that the second branch reads.
    read: usize,
}

fn refuse(
    builder: &Builder,
    what: &'static str,
    found: usize,
    expected: String,
) -> candle_core::Error {
    Error::Config {
        layer: builder.path().to_string(),
        what,
        found: found.to_string(),
        expected,
    }
    .into()
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
