//! The decoupled head of YOLOX: classes on one path, boxes and whether there is an object on
//! another.

use candle_core::{Result, Tensor};
use cnn_layers::{Builder, Context, Conv2d, Conv2dConfig, ConvNormAct, FeatureMap, Init, Layer};

use super::units::{Parts, Unit, UnitStyle};

/// The probability of an object, and of each class, that a new head begins with.
const PRIOR: f64 = 0.01;

pub(super) struct Head {
    levels: Vec<Level>,
}

/// The head of one level.
struct Level {
    stem: ConvNormAct,
    of_classes: [Parts; 2],
    of_boxes: [Parts; 2],
    classes: Conv2d,
    boxes: Conv2d,
    objectness: Conv2d,
}

/// What the head says of all anchors of a batch.
pub(super) struct HeadOutputs {
    /// `(N, anchors, 4)`: offsets of the centre in cells, and logarithms of the sides in cells.
    pub(super) boxes: Tensor,
    /// `(N, anchors, 1)`: logits.
    pub(super) objectness: Tensor,
    /// `(N, anchors, classes)`: logits.
    pub(super) classes: Tensor,
    /// Height and width of each level.
    pub(super) levels: Vec<[usize; 2]>,
}

impl Head {
    /// Over maps with these channels, from the finest on; its layers are designed to have `width`.
    pub(super) fn build(
        maps: &[usize],
        width: usize,
        num_classes: usize,
        style: UnitStyle,
        root: &Builder,
    ) -> Result<Self> {
        let level = |(number, &channels): (usize, &usize)| -> Result<Level> {
            let at = |name: &str| root.pp(name).pp(number);
            let stem = Unit::pointwise(channels, width).build(style, &at("stems"))?;
            let pair = |name: &str| -> Result<[Parts; 2]> {
                let part = |from, place: usize| {
                    Unit::spatial(from, width, 1).build_parts(style, &at(name).pp(place))
                };
                let first = part(stem.out_channels(), 0)?;
                let second = part(first.out_channels(), 1)?;
                Ok([first, second])
            };
            let [of_classes, of_boxes] = [pair("cls_convs")?, pair("reg_convs")?];
            let scores = |[_, last]: &[Parts; 2], outputs| {
                Conv2dConfig::new(last.out_channels(), outputs, 1)
            };
            let rare = Init::Constant(-((1. - PRIOR) / PRIOR).ln());
            let classes = scores(&of_classes, num_classes).with_bias_init(rare);
            let objectness = scores(&of_boxes, 1).with_bias_init(rare);
            Ok(Level {
                classes: classes.build(&at("cls_preds"))?,
                boxes: scores(&of_boxes, 4).build(&at("reg_preds"))?,
                objectness: objectness.build(&at("obj_preds"))?,
                stem,
                of_classes,
                of_boxes,
            })
        };
        let levels = maps.iter().enumerate().map(level);
        Ok(Self {
            levels: levels.collect::<Result<_>>()?,
        })
    }

    pub(super) fn forward(&self, maps: &[FeatureMap], cx: &Context<'_>) -> Result<HeadOutputs> {
        let mut parts = [const { Vec::new() }; 3];
        for (level, xs) in self.levels.iter().zip(maps) {
            for (part, map) in parts.iter_mut().zip(level.forward(xs, cx)?) {
                part.push(rows_of(&map)?);
            }
        }
        let [boxes, objectness, classes] = parts;
        Ok(HeadOutputs {
            boxes: Tensor::cat(&boxes, 1)?,
            objectness: Tensor::cat(&objectness, 1)?,
            classes: Tensor::cat(&classes, 1)?,
            levels: maps.iter().map(|map| [map.height(), map.width()]).collect(),
        })
    }
}

impl Level {
    /// Boxes, objectness and classes.
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<[FeatureMap; 3]> {
        let xs = self.stem.forward(xs, cx)?;
        let through = |[first, second]: &[Parts; 2]| second.forward(&first.forward(&xs, cx)?, cx);
        let of_classes = through(&self.of_classes)?;
        let of_boxes = through(&self.of_boxes)?;
        Ok([
            self.boxes.forward(&of_boxes, cx)?,
            self.objectness.forward(&of_boxes, cx)?,
            self.classes.forward(&of_classes, cx)?,
        ])
    }
}

/// `(N, H, W, C)` to `(N, H · W, C)`.
fn rows_of(map: &FeatureMap) -> Result<Tensor> {
    let places = map.height() * map.width();
    map.to_nhwc().reshape((map.batch(), places, map.channels()))
}
