//! YOLOX (Ge et al. 2021, "YOLOX: Exceeding YOLO Series in 2021"): CSPDarknet, a path aggregation
//! network and a head without anchor boxes, whose places are assigned to objects by what they cost.
//! Names of tensors as in the published files.

mod anchors;
mod assignment;
mod backbone;
mod head;
mod losses;
mod neck;
mod units;

use candle_core::Result;
use cnn_core::{ColorOrder, Preprocessing};
use cnn_layers::{
    Backbone, Builder, Context, DetectedObject, DetectionLimits, DetectionTargets, Detector,
    FeatureMap, LayerGroup, NamedLoss, RawOutput, ScoredBoxes, StageInfo, StagedBackbone,
};

use self::anchors::{Anchor, STRIDES};
use self::backbone::Scale;
use self::head::{Head, HeadOutputs};
use self::neck::PathAggregation;
use self::units::UnitStyle;
use crate::detection::places::{check_size, numbers, scored_boxes, sigmoid};
use crate::detection::{check_targets, suppress};
use crate::{Build, Error, ModelConfig, ModelSpec};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "yolox_nano",
        build: Build::Detector(|config, root| build(Scale::NANO, true, config, root)),
        parameters: 912_159,
        multiply_adds: 522_553_408,
        ..BASE
    },
    ModelSpec {
        name: "yolox_tiny",
        build: Build::Detector(|config, root| build(Scale::TINY, false, config, root)),
        parameters: 5_055_855,
        multiply_adds: 3_206_268_000,
        ..BASE
    },
    ModelSpec {
        name: "yolox_s",
        build: Build::Detector(|config, root| build(Scale::SMALL, false, config, root)),
        parameters: 8_968_255,
        multiply_adds: 13_342_771_200,
        preset: large,
        ..BASE
    },
    ModelSpec {
        name: "yolox_m",
        build: Build::Detector(|config, root| build(Scale::MEDIUM, false, config, root)),
        parameters: 25_326_495,
        multiply_adds: 36_765_158_400,
        preset: large,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "yolox",
    paper: "Ge et al. 2021, arXiv:2107.08430",
    preset: small,
    num_classes: 80,
    labels: &cnn_core::COCO_CLASSES,
    first_conv: "backbone.backbone.stem.conv.conv",
    pixels_per_channel: 4,
    classifier: "head.cls_preds.0",
    ..ModelSpec::OWN
};

/// Fitted into 416×416 beside a grey of 114, colours in BGR from 0 to 255.
fn small() -> Preprocessing {
    Preprocessing {
        input_size: [3, 416, 416],
        mean: vec![0.; 3],
        std: vec![1.; 3],
        color_order: ColorOrder::Bgr,
        value_range: [0., 255.],
        ..Preprocessing::letterbox(114)
    }
}

/// The same at 640×640.
fn large() -> Preprocessing {
    Preprocessing {
        input_size: [3, 640, 640],
        ..small()
    }
}

/// Arguments: `depth` and `width` (shares of YOLOX-L's), `depthwise` (whether convolutions that see
/// neighbours are depthwise-separable), `bn_eps` (default 1e-3).
fn build(
    scale: Scale,
    depthwise: bool,
    config: &ModelConfig,
    root: &Builder,
) -> std::result::Result<Box<dyn Detector>, Error> {
    let (scale, style) = config.read_args(BASE.family, |args| {
        let scale = Scale {
            depth: args.number("depth", 0.01..=4.)?.unwrap_or(scale.depth),
            // Of 256 channels some have to be left.
            width: args.number("width", 0.0625..=4.)?.unwrap_or(scale.width),
        };
        let style = UnitStyle {
            depthwise: args.flag("depthwise")?.unwrap_or(depthwise),
            bn_eps: args.number("bn_eps", 0.0..=1.)?.unwrap_or(1e-3),
        };
        Ok((scale, style))
    })?;
    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    let in_channels = config.in_channels.unwrap_or(BASE.in_channels);
    let at_neck = root.pp("backbone");
    let backbone = backbone::build(scale, in_channels, style, &at_neck.pp("backbone"))?;
    let channels = [256, 512, 1024].map(|of_large| scale.channels(of_large));
    let read = backbone.stages().iter().map(|stage| stage.channels);
    let read: Vec<usize> = read.collect();
    let &[fine, middle, coarse] = &read[..] else {
        return Err(argument("maps of the backbone", read.len(), "3").into());
    };
    let read = [fine, middle, coarse];
    let neck = PathAggregation::build(read, channels, scale.blocks(), style, &at_neck)?;
    let at_head = root.pp("head");
    let head = Head::build(
        &neck.out_channels(),
        channels[0],
        num_classes,
        style,
        &at_head,
    )?;

    let path = |at: &Builder, name: &str| at.pp(name).path().to_string();
    let paths = |at: &Builder, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| path(at, name)).collect()
    };
    let of_neck = [
        "lateral_conv0",
        "C3_p4",
        "reduce_conv1",
        "C3_p3",
        "bu_conv2",
        "C3_n3",
        "bu_conv1",
        "C3_n4",
    ];
    let of_tower = ["stems", "cls_convs", "reg_convs", "reg_preds", "obj_preds"];
    let mut groups = backbone.layer_groups().to_vec();
    groups.push(LayerGroup::new("neck", paths(&at_neck, &of_neck)));
    groups.push(LayerGroup::new("tower", paths(&at_head, &of_tower)));
    groups.push(LayerGroup::new("head", paths(&at_head, &["cls_preds"])));
    Ok(Box::new(Yolox {
        backbone,
        neck,
        head,
        groups,
        num_classes,
    }))
}

struct Yolox {
    backbone: StagedBackbone,
    neck: PathAggregation,
    head: Head,
    groups: Vec<LayerGroup>,
    num_classes: usize,
}

impl Yolox {
    fn outputs(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<HeadOutputs> {
        self.outputs_of(&self.forward_stages(xs, cx)?, cx)
    }

    fn outputs_of(&self, maps: &[FeatureMap], cx: &Context<'_>) -> Result<HeadOutputs> {
        let [fine, middle, coarse] = maps else {
            return Err(argument("maps of the backbone", maps.len(), "3"));
        };
        let maps = self.neck.forward([fine, middle, coarse], cx)?;
        self.head.forward(&maps, cx)
    }
}

impl Detector for Yolox {
    fn num_classes(&self) -> usize {
        self.num_classes
    }

    fn stages(&self) -> &[StageInfo] {
        self.backbone.stages()
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        &self.groups
    }

    fn limits(&self) -> DetectionLimits {
        DetectionLimits {
            score: 0.001,
            iou: 0.65,
            count: 1000,
        }
    }

    fn size_step(&self) -> usize {
        STRIDES[2]
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        check_size("YOLOX", self.size_step(), xs)?;
        self.backbone.forward_stages(xs, cx)
    }

    fn forward_from(
        &self,
        _: &FeatureMap,
        maps: Vec<FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<Vec<ScoredBoxes>> {
        let maps = self.backbone.complete_stages(maps, cx)?;
        let outputs = self.outputs_of(&maps, cx)?;
        let anchors = Anchor::all(&outputs.levels);
        let boxes = numbers(&outputs.boxes)?;
        let decode = |(row, code): (usize, &[f32])| anchors[row % anchors.len()].decode(code);
        let boxes = boxes.chunks_exact(4).enumerate().map(decode).collect();
        let objectness = numbers(&outputs.objectness)?;
        let of_class =
            |(at, logit): (usize, f32)| sigmoid(objectness[at / self.num_classes]) * sigmoid(logit);
        let classes = numbers(&outputs.classes)?.into_iter().enumerate();
        let scores = classes.map(of_class).collect();
        let logits = outputs.classes.broadcast_add(&outputs.objectness)?;
        // The levels are mixed, from the coarsest on.
        let stages = vec![self.stages().len() - 1; anchors.len()];
        scored_boxes(boxes, &logits, scores, &stages)
    }

    fn forward_raw(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<RawOutput>> {
        let HeadOutputs {
            boxes,
            objectness,
            classes,
            ..
        } = self.outputs(xs, cx)?;
        Ok(vec![
            RawOutput::new("boxes", boxes),
            RawOutput::new("objectness", objectness),
            RawOutput::new("classes", classes),
        ])
    }

    fn losses(
        &self,
        xs: &FeatureMap,
        targets: &DetectionTargets,
        cx: &Context<'_>,
    ) -> Result<Vec<NamedLoss>> {
        check_targets(targets, xs.batch(), self.num_classes)?;
        losses::losses(&self.outputs(xs, cx)?, targets)
    }

    fn detect(
        &self,
        xs: &FeatureMap,
        limits: &DetectionLimits,
        cx: &Context<'_>,
    ) -> Result<Vec<Vec<DetectedObject>>> {
        let outputs = self.outputs(xs, cx)?;
        let anchors = Anchor::all(&outputs.levels);
        let boxes = numbers(&outputs.boxes)?;
        let objectness = numbers(&outputs.objectness)?;
        let classes = numbers(&outputs.classes)?;
        let places = anchors.len();
        let image = |number: usize| {
            let of = |place: usize| number * places + place;
            let found = (0..places).filter_map(|place| {
                let row = of(place);
                let logits = &classes[row * self.num_classes..][..self.num_classes];
                let (class, score) = best_class(logits, objectness[row]);
                (score >= limits.score).then(|| DetectedObject {
                    edges: anchors[place].decode(&boxes[4 * row..][..4]),
                    class,
                    score,
                })
            });
            suppress(&found.collect::<Vec<_>>(), limits)
        };
        (0..xs.batch()).map(image).collect()
    }
}

fn argument(
    name: &'static str,
    found: impl ToString,
    expected: impl Into<String>,
) -> candle_core::Error {
    cnn_layers::Error::argument(name, found, expected).into()
}

/// The class with the greatest score, the first among equal ones, and its score times that of there
/// being an object.
fn best_class(logits: &[f32], objectness: f32) -> (usize, f32) {
    let mut best = 0;
    for (class, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = class;
        }
    }
    (best, sigmoid(objectness) * sigmoid(logits[best]))
}
