//! Atrous spatial pyramid pooling (Chen et al. 2017, "Rethinking Atrous Convolution for Semantic
//! Image Segmentation"): what a map shows around each place, near and far at once.

use candle_core::Result;
use cnn_layers::{
    Builder, Concat, Context, Conv2d, Conv2dConfig, ConvNormAct, Dropout, FeatureMap,
    GlobalAvgPool2d, Init, Layer, Padding, ResizeLike,
};

use super::units::{BILINEAR, conv_norm_relu, unit};

/// What [`Aspp`] is built from.
pub(super) struct AsppConfig {
    pub(super) in_channels: usize,
    pub(super) out_channels: usize,
    /// How far apart the pixels lie that the 3×3 convolutions read.
    pub(super) rates: [usize; 3],
    /// Whether those are depthwise ones with a 1×1 convolution behind.
    pub(super) separable: bool,
    pub(super) drop_rate: f64,
    /// How the weights are drawn.
    pub(super) init: Init,
}

/// A 1×1 convolution, three dilated 3×3 ones and the map's mean beside each other, joined by a 1×1
/// convolution.
pub(super) struct Aspp {
    near: ConvNormAct,
    dilated: Vec<Dilated>,
    pool: GlobalAvgPool2d,
    pooled: ConvNormAct,
    spread: ResizeLike,
    concat: Concat,
    project: ConvNormAct,
    dropout: Dropout,
}

/// A dilated convolution, which a depthwise one may come before.
struct Dilated {
    depthwise: Option<Conv2d>,
    unit: ConvNormAct,
}

impl AsppConfig {
    /// Takes `convs.0` to `convs.4` and `project` from the builder's place.
    pub(super) fn build(&self, at: &Builder) -> Result<Aspp> {
        let convs = at.pp("convs");
        let [from, to] = [self.in_channels, self.out_channels];
        let init = self.init;
        let near = conv_norm_relu([from, to], 1, init, &convs.pp(0))?;
        let dilated = (1..).zip(self.rates);
        let dilated: Vec<Dilated> = dilated
            .map(|(index, rate)| self.build_dilated(rate, &convs.pp(index)))
            .collect::<Result<_>>()?;
        let at_pooled = convs.pp(4);
        let of_pooled = at_pooled.pp(1).width(to);
        let pooled = unit(
            Conv2dConfig::new(from, of_pooled, 1).with_init(init),
            of_pooled,
        );
        let of_dilated = dilated.iter().map(|branch| branch.unit.out_channels());
        let beside = near.out_channels() + of_dilated.sum::<usize>() + of_pooled;
        Ok(Aspp {
            near,
            dilated,
            pool: GlobalAvgPool2d::new().at(&at_pooled.pp(0)),
            pooled: pooled.build(&at_pooled.pp(1), &at_pooled.pp(2))?,
            spread: ResizeLike::new(BILINEAR, &at_pooled.pp("resize")),
            concat: Concat::new(&at.pp("concat")),
            project: conv_norm_relu([beside, to], 1, init, &at.pp("project"))?,
            dropout: Dropout::new(self.drop_rate, &at.pp("project").pp(3))?,
        })
    }

    fn build_dilated(&self, rate: usize, at: &Builder) -> Result<Dilated> {
        let from = self.in_channels;
        let at_mixing = if self.separable {
            at.pp(0).pp(1)
        } else {
            at.pp(0)
        };
        let to = at_mixing.width(self.out_channels);
        let conv = Conv2dConfig::new(from, if self.separable { from } else { to }, 3)
            .with_padding(Padding::all(rate))
            .with_dilation(rate)
            .with_init(self.init);
        if !self.separable {
            return Ok(Dilated {
                depthwise: None,
                unit: unit(conv, to).build(&at_mixing, &at.pp(1))?,
            });
        }
        let depthwise = conv.with_groups(from).without_bias();
        Ok(Dilated {
            depthwise: Some(depthwise.build(&at.pp(0).pp(0))?),
            unit: unit(Conv2dConfig::new(from, to, 1).with_init(self.init), to)
                .build(&at_mixing, &at.pp(1))?,
        })
    }
}

impl Aspp {
    /// Channels of the output.
    pub(super) fn out_channels(&self) -> usize {
        self.project.out_channels()
    }
}

impl Layer for Aspp {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let mut branches = vec![self.near.forward(xs, cx)?];
        for branch in &self.dilated {
            let filtered = match &branch.depthwise {
                Some(conv) => Some(conv.forward(xs, cx)?),
                None => None,
            };
            branches.push(branch.unit.forward(filtered.as_ref().unwrap_or(xs), cx)?);
        }
        let pooled = self.pooled.forward(&self.pool.forward(xs, cx)?, cx)?;
        branches.push(self.spread.forward(&pooled, xs, cx)?);
        let branches: Vec<&FeatureMap> = branches.iter().collect();
        let joined = self.concat.forward(&branches, cx)?;
        self.dropout
            .forward(&self.project.forward(&joined, cx)?, cx)
    }
}
