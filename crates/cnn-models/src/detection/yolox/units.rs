//! The units that backbone, neck and head are made of.

use candle_core::Result;
use cnn_layers::{
    Activation, BatchNorm2dConfig, Builder, Concat, Context, Conv2dConfig, ConvNormAct,
    ConvNormActConfig, Error, FeatureMap, Layer, MaxPool2d, Padding, Residual, ResidualSum,
    Sequential,
};

/// What all units of a network share.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnitStyle {
    /// Whether convolutions that see neighbours are depthwise-separable ones.
    pub(super) depthwise: bool,
    /// What the norms add to the variance.
    pub(super) bn_eps: f64,
}

/// A convolution with its norm and SiLU, at `conv` and `bn`: how many channels it reads, how many it
/// gives, and how it moves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
}

impl Unit {
    pub(super) fn pointwise(from: usize, to: usize) -> Self {
        Self {
            from,
            to,
            kernel: 1,
            stride: 1,
        }
    }

    pub(super) fn spatial(from: usize, to: usize, stride: usize) -> Self {
        Self {
            from,
            to,
            kernel: 3,
            stride,
        }
    }

    /// The plain unit.
    pub(super) fn build(self, style: UnitStyle, at: &Builder) -> Result<ConvNormAct> {
        self.grouped(1, style, at)
    }

    fn grouped(self, groups: usize, style: UnitStyle, at: &Builder) -> Result<ConvNormAct> {
        // A depthwise convolution has the channels of what it reads.
        let to = match groups {
            1 => at.pp("conv").width(self.to),
            _ => self.to,
        };
        let conv = Conv2dConfig::new(self.from, to, self.kernel)
            .with_stride(self.stride)
            .with_padding(Padding::all(self.kernel / 2))
            .with_groups(groups);
        let norm = BatchNorm2dConfig::new(to)
            .with_eps(style.bn_eps)
            .with_momentum(0.03);
        ConvNormActConfig::new(conv, norm, Activation::Silu).build(&at.pp("conv"), &at.pp("bn"))
    }

    /// The unit as the style has it: plain, or a depthwise one before a pointwise one.
    pub(super) fn build_parts(self, style: UnitStyle, at: &Builder) -> Result<Parts> {
        if !style.depthwise {
            return Ok(Parts {
                depthwise: None,
                last: self.build(style, at)?,
            });
        }
        let filter = Self {
            to: self.from,
            ..self
        };
        let mix = Self::pointwise(self.from, self.to);
        Ok(Parts {
            depthwise: Some(filter.grouped(self.from, style, &at.pp("dconv"))?),
            last: mix.build(style, &at.pp("pconv"))?,
        })
    }
}

/// One convolution, or a depthwise and a pointwise one.
pub(super) struct Parts {
    depthwise: Option<ConvNormAct>,
    last: ConvNormAct,
}

impl Parts {
    /// Channels of the output.
    pub(super) fn out_channels(&self) -> usize {
        self.last.out_channels()
    }
}

impl Layer for Parts {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        match &self.depthwise {
            Some(depthwise) => self.last.forward(&depthwise.forward(xs, cx)?, cx),
            None => self.last.forward(xs, cx),
        }
    }
}

/// A cross-stage partial layer (Wang et al. 2019, "CSPNet"): half of the channels goes through
/// bottlenecks, the other half past them.
#[derive(Debug, Clone, Copy)]
pub(super) struct CspConfig {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Bottlenecks.
    pub(super) depth: usize,
    /// Whether bottlenecks are residual.
    pub(super) shortcut: bool,
}

impl CspConfig {
    pub(super) fn build(self, style: UnitStyle, at: &Builder) -> Result<CspLayer> {
        let hidden = self.to / 2;
        let unit = |from, to, name: &str| Unit::pointwise(from, to).build(style, &at.pp(name));
        let first = unit(self.from, hidden, "conv1")?;
        let mut channels = first.out_channels();
        let mut through = Sequential::new();
        through.push(first);
        for number in 0..self.depth {
            let block = at.pp("m").pp(number);
            let first = Unit::pointwise(channels, hidden).build(style, &block.pp("conv1"))?;
            let second = Unit::spatial(first.out_channels(), hidden, 1);
            let second = second.build_parts(style, &block.pp("conv2"))?;
            let given = second.out_channels();
            if self.shortcut && given != channels {
                let expected = format!("as many as its shortcut, {channels}");
                return Err(Error::argument("channels of a branch", given, expected).into());
            }
            channels = given;
            let mut branch = Sequential::new();
            branch.push(first);
            if self.shortcut {
                if let Some(depthwise) = second.depthwise {
                    branch.push(depthwise);
                }
                let sum = ResidualSum::new(0., None, &block)?;
                through.push(Residual::with_sum(branch, second.last, sum));
            } else {
                branch.push(second);
                through.push(branch);
            }
        }
        let past = unit(self.from, hidden, "conv2")?;
        Ok(CspLayer {
            through,
            concat: Concat::new(&at.pp("concat")),
            last: unit(channels + past.out_channels(), self.to, "conv3")?,
            past,
        })
    }
}

pub(super) struct CspLayer {
    through: Sequential,
    past: ConvNormAct,
    concat: Concat,
    last: ConvNormAct,
}

impl CspLayer {
    /// Channels of the output.
    pub(super) fn out_channels(&self) -> usize {
        self.last.out_channels()
    }
}

impl Layer for CspLayer {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let through = self.through.forward(xs, cx)?;
        let past = self.past.forward(xs, cx)?;
        self.last
            .forward_concat(&[&through, &past], &self.concat, cx)
    }
}

/// Spatial pyramid pooling (He et al. 2014): the map beside its maxima over 5, 9 and 13 pixels.
pub(super) struct SpatialPyramid {
    first: ConvNormAct,
    pools: Vec<MaxPool2d>,
    concat: Concat,
    last: ConvNormAct,
}

impl SpatialPyramid {
    /// It reads `from` channels, and is designed to give `to`.
    pub(super) fn build(from: usize, to: usize, style: UnitStyle, at: &Builder) -> Result<Self> {
        let pool = |(number, side): (usize, usize)| {
            MaxPool2d::new(side, 1)
                .with_padding(Padding::all(side / 2))
                .at(&at.pp("m").pp(number))
        };
        let first = Unit::pointwise(from, to / 2).build(style, &at.pp("conv1"))?;
        let beside = 4 * first.out_channels();
        Ok(Self {
            first,
            pools: [5, 9, 13].into_iter().enumerate().map(pool).collect(),
            concat: Concat::new(&at.pp("concat")),
            last: Unit::pointwise(beside, to).build(style, &at.pp("conv2"))?,
        })
    }
}

impl SpatialPyramid {
    /// Channels of the output.
    pub(super) fn out_channels(&self) -> usize {
        self.last.out_channels()
    }
}

impl Layer for SpatialPyramid {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let first = self.first.forward(xs, cx)?;
        let pooled = self.pools.iter().map(|pool| pool.forward(&first, cx));
        let pooled = pooled.collect::<Result<Vec<_>>>()?;
        let maps: Vec<&FeatureMap> = std::iter::once(&first).chain(&pooled).collect();
        self.last.forward_concat(&maps, &self.concat, cx)
    }
}
