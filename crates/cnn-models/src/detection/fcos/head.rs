//! What FCOS says of each place of a pyramid.

use candle_core::{Result, Tensor};
use cnn_layers::{
    Activate, Activation, Builder, Context, Conv2d, Conv2dConfig, ConvAct, FeatureMap,
    GroupNormConfig, Init, Layer, Padding, Sequential,
};

use crate::detection::places::rows_of;
use crate::detection::pyramid_backbone::HeadChannels;

/// The probability of each class that a new head begins with.
const PRIOR: f64 = 0.01;
/// Convolutions before the last ones.
const DEPTH: usize = 4;
/// Groups of the norms behind them.
pub(super) const GROUPS: usize = 32;

/// Two towers of convolutions that all levels share.
pub(super) struct Head {
    of_classes: Sequential,
    classes: Conv2d,
    of_boxes: Sequential,
    codes: ConvAct,
    centres: Conv2d,
    scores: usize,
}

/// What the head says of all places of a batch, level by level.
pub(super) struct HeadOutputs {
    /// `(N, places, scores)`: logits.
    pub(super) classes: Tensor,
    /// `(N, places, 4)`: distances to the edges of a box, from 0 on, in sides of the anchors.
    pub(super) codes: Tensor,
    /// `(N, places, 1)`: logits of how near a place is to the centre of its object.
    pub(super) centres: Tensor,
}

impl Head {
    /// So many `scores` of each place.
    pub(super) fn build(
        channels: HeadChannels,
        scores: usize,
        [at_classes, at_boxes]: [&Builder; 2],
    ) -> Result<Self> {
        let rare = Init::Constant(-((1. - PRIOR) / PRIOR).ln());
        let (of_classes, class_channels) = tower(channels, at_classes)?;
        let (of_boxes, box_channels) = tower(channels, at_boxes)?;
        let classes = conv(class_channels, scores).with_bias_init(rare);
        // A distance is not negative.
        let relu = Activate::new(Activation::Relu, &at_boxes.pp("bbox_relu"));
        Ok(Self {
            of_classes,
            classes: classes.build(&at_classes.pp("cls_logits"))?,
            of_boxes,
            codes: ConvAct::build(&conv(box_channels, 4), relu, &at_boxes.pp("bbox_reg"))?,
            centres: conv(box_channels, 1).build(&at_boxes.pp("bbox_ctrness"))?,
            scores,
        })
    }

    pub(super) fn forward(&self, maps: &[FeatureMap], cx: &Context<'_>) -> Result<HeadOutputs> {
        let of_level = |map: &FeatureMap| {
            let hidden = self.of_classes.forward(map, cx)?;
            let classes = rows_of(&self.classes.forward(&hidden, cx)?, self.scores)?;
            let hidden = self.of_boxes.forward(map, cx)?;
            let codes = rows_of(&self.codes.forward(&hidden, cx)?, 4)?;
            let centres = rows_of(&self.centres.forward(&hidden, cx)?, 1)?;
            Ok([classes, codes, centres])
        };
        let levels = maps.iter().map(of_level).collect::<Result<Vec<_>>>()?;
        let joined = |output: usize| {
            let of_levels: Vec<&Tensor> = levels.iter().map(|level| &level[output]).collect();
            Tensor::cat(&of_levels, 1)
        };
        Ok(HeadOutputs {
            classes: joined(0)?,
            codes: joined(1)?,
            centres: joined(2)?,
        })
    }
}

fn conv(channels: usize, outputs: usize) -> Conv2dConfig {
    Conv2dConfig::new(channels, outputs, 3)
        .with_padding(Padding::all(1))
        .with_init(Init::Normal { std: 0.01 })
        .with_bias_init(Init::ZEROS)
}

/// A tower over the levels, and the channels that it gives.
fn tower(channels: HeadChannels, head: &Builder) -> Result<(Sequential, usize)> {
    let mut tower = Sequential::new();
    let mut read = channels.read;
    for unit in 0..DEPTH {
        let at = |layer: usize| head.pp("conv").pp(3 * unit + layer);
        let hidden = at(0).width(channels.designed);
        tower.push(conv(read, hidden).build(&at(0))?);
        tower.push(GroupNormConfig::new(GROUPS, hidden).build(&at(1))?);
        tower.push(Activate::new(Activation::Relu, &at(2)));
        read = hidden;
    }
    Ok((tower, read))
}
