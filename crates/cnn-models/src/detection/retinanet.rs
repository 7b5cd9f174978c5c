//! RetinaNet (Lin et al. 2017, "Focal Loss for Dense Object Detection") over a feature pyramid, in the
//! form of torchvision's first version, with its names of tensors; and the same over any registered
//! backbone.
//!
//! torchvision's head scores its class 0, the background, too, though nothing is ever learned for it;
//! here classes count from 0 without it, class `k` is the head's `k + 1`, and its class 0 is not found.

use std::ops::Range;

use candle_core::{Result, Tensor};
use cnn_layers::detection::losses::{BinaryTargets, Reduction, SigmoidFocalLoss, SmoothL1Loss};
use cnn_layers::detection::{
    AnchorGenerator, AnchorLevel, BoxCoder, BoxEdges, LowQuality, Match, Matcher, clip_box,
    iou_matrix,
};
use cnn_layers::{
    Activate, Activation, Builder, Context, Conv2d, Conv2dConfig, ConvAct, DetectedObject,
    DetectionLimits, DetectionTargets, Detector, ExtraLevels, FeatureMap, ImageObjects, Init,
    Layer, LayerGroup, NamedLoss, Padding, PyramidSource, RawOutput, ScoredBoxes, StageInfo,
};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::places::{
    Candidate, check_size, detections_of_levels, four, numbers, rows_of, scored_boxes, sigmoid,
};
use super::pyramid_backbone::{BODY, HeadChannels, OneStageForm, PyramidBackbone, grids};
use super::{check_targets, torchvision_files};
use crate::{Build, ClassOutputs, Error, ModelConfig, ModelSpec, Naming, preset};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "retinanet_resnet50_fpn",
        build: Build::Detector(|config, root| build(OneStageForm::Resnet50, config, root)),
        parameters: 34_068_119,
        multiply_adds: 280_047_458_816,
        first_conv: "backbone.body.conv1",
        namings: &[Naming {
            args: &[("bn_eps", 0.)],
            ..torchvision_files::FIRST_OF_RETINANET
        }],
        ..BASE
    },
    ModelSpec {
        name: "retinanet_fpn",
        build: Build::Detector(|config, root| build(OneStageForm::Chosen, config, root)),
        parameters: 20_841_021,
        multiply_adds: 48_289_058_816,
        preset: preset::pyramid_detection_middle,
        num_classes: 80,
        labels: &cnn_core::COCO_CLASSES,
        body: Some(BODY),
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "retinanet",
    paper: "Lin et al. 2017, arXiv:1708.02002",
    preset: preset::pyramid_detection_large,
    num_classes: 90,
    labels: &cnn_core::COCO_CATEGORIES,
    classifier: "head.classification_head.cls_logits",
    class_outputs: ClassOutputs::of_boxes(ANCHORS),
    ..ModelSpec::OWN
};

/// Anchors of a place: three sizes with three ratios.
const ANCHORS: usize = 9;
/// Heights over widths of anchors.
const RATIOS: [f32; 3] = [0.5, 1., 2.];
/// The least side of a level's anchors over the distance of its places.
const ANCHOR_SCALE: usize = 4;
/// An anchor is an object's from the first overlap on, and background below the second.
const OVERLAPS: [f32; 2] = [0.5, 0.4];
/// The probability of each class that a new head begins with.
const PRIOR: f64 = 0.01;
/// Convolutions before the last one of a head.
const DEPTH: usize = 4;

/// Arguments: `fpn_channels` (channels of the pyramid and of the heads, default 256); `bn_eps` with
/// ResNet-50; `backbone` and `backbone_args` where the backbone is chosen.
fn build(
    form: OneStageForm,
    config: &ModelConfig,
    root: &Builder,
) -> std::result::Result<Box<dyn Detector>, Error> {
    let (body, channels) = config.read_args(BASE.family, |args| {
        let channels = args.count("fpn_channels", 1..=4096)?.unwrap_or(256);
        Ok((form.body(args)?, channels))
    })?;
    let num_classes = config.num_classes.unwrap_or(form.default_classes());
    let extra = ExtraLevels::P6P7(PyramidSource::Pyramid);
    let backbone = body.build(channels, extra, config, root)?;
    let levels: Vec<AnchorLevel> = backbone.strides().into_iter().map(anchors_of).collect();
    let anchors = AnchorGenerator::new(&levels)?;
    let at_classes = root.pp("head").pp("classification_head");
    let at_boxes = root.pp("head").pp("regression_head");
    let rare = Init::Constant(-((1. - PRIOR) / PRIOR).ln());
    let scores = num_classes + 1;
    let tower = [
        at_classes.pp("conv").path().to_string(),
        at_boxes.path().to_string(),
    ];
    let mut groups = backbone.layer_groups().to_vec();
    groups.push(LayerGroup::new("tower", tower));
    groups.push(LayerGroup::new(
        "head",
        [at_classes.pp("cls_logits").path()],
    ));
    let channels = HeadChannels {
        read: backbone.channels(),
        designed: channels,
    };
    Ok(Box::new(RetinaNet {
        backbone,
        classes: Head::build(channels, ANCHORS * scores, rare, "cls_logits", &at_classes)?,
        codes: Head::build(channels, ANCHORS * 4, Init::ZEROS, "bbox_reg", &at_boxes)?,
        anchors,
        groups,
        num_classes,
    }))
}

/// Three sizes in whole pixels, a third of an octave apart.
fn anchors_of(stride: usize) -> AnchorLevel {
    let side = (ANCHOR_SCALE * stride) as f64;
    let size = |third: f64| (side * (third / 3.).exp2()).floor() as f32;
    AnchorLevel {
        sizes: vec![size(0.), size(1.), size(2.)],
        aspect_ratios: RATIOS.to_vec(),
    }
}

/// Convolutions that all levels share.
struct Head {
    convs: Vec<ConvAct>,
    last: Conv2d,
}

impl Head {
    fn build(
        channels: HeadChannels,
        outputs: usize,
        bias: Init,
        name: &str,
        at: &Builder,
    ) -> Result<Self> {
        let conv = |channels: usize, outputs: usize, bias: Init| {
            Conv2dConfig::new(channels, outputs, 3)
                .with_padding(Padding::all(1))
                .with_init(Init::Normal { std: 0.01 })
                .with_bias_init(bias)
        };
        let mut convs = Vec::with_capacity(DEPTH);
        let mut read = channels.read;
        for number in 0..DEPTH {
            let at = at.pp("conv").pp(number);
            let relu = Activate::new(Activation::Relu, &at.pp(1));
            let hidden = at.pp(0).width(channels.designed);
            convs.push(ConvAct::build(
                &conv(read, hidden, Init::ZEROS),
                relu,
                &at.pp(0),
            )?);
            read = hidden;
        }
        Ok(Self {
            convs,
            last: conv(read, outputs, bias).build(&at.pp(name))?,
        })
    }

    /// `(N, anchors, values)` of all levels.
    fn forward(&self, maps: &[FeatureMap], values: usize, cx: &Context<'_>) -> Result<Tensor> {
        let of_level = |map: &FeatureMap| {
            let hidden = self.convs.iter();
            let xs = hidden
                .clone()
                .try_fold(map.clone(), |xs, conv| conv.forward(&xs, cx))?;
            rows_of(&self.last.forward(&xs, cx)?, values)
        };
        let levels = maps.iter().map(of_level).collect::<Result<Vec<_>>>()?;
        Tensor::cat(&levels, 1)
    }
}

struct RetinaNet {
    backbone: PyramidBackbone,
    classes: Head,
    codes: Head,
    anchors: AnchorGenerator,
    groups: Vec<LayerGroup>,
    num_classes: usize,
}

/// What the heads say of all anchors of a batch.
struct Outputs {
    /// `(N, anchors, classes + 1)`: logits.
    classes: Tensor,
    /// `(N, anchors, 4)`: shifts and scales of the anchors.
    codes: Tensor,
    /// Those of each level, which are the same for all images.
    anchors: Vec<Vec<BoxEdges>>,
    /// Rows and columns of the images.
    image: [usize; 2],
}

impl RetinaNet {
    fn outputs(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Outputs> {
        let image = [xs.height(), xs.width()];
        self.outputs_of(image, &self.forward_stages(xs, cx)?, cx)
    }

    /// From the maps of the backbone for images of these rows and columns.
    fn outputs_of(
        &self,
        image: [usize; 2],
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<Outputs> {
        let maps = self.backbone.levels(maps, cx)?;
        Ok(Outputs {
            classes: self.classes.forward(&maps, self.num_classes + 1, cx)?,
            codes: self.codes.forward(&maps, 4, cx)?,
            anchors: self.anchors.generate(image, &grids(&maps))?,
            image,
        })
    }

    /// The detections of an image, of whose anchors these are the logits and codes.
    fn detections(
        &self,
        outputs: &Outputs,
        logits: &[f32],
        codes: &[f32],
        limits: &DetectionLimits,
    ) -> Result<Vec<DetectedObject>> {
        let scores = self.num_classes + 1;
        let likely = |places: Range<usize>| {
            let of_place = |place: usize| {
                let logits = &logits[scores * place..][1..scores];
                logits
                    .iter()
                    .enumerate()
                    .filter_map(move |(class, &logit)| {
                        let score = sigmoid(logit);
                        (score > limits.score).then_some(Candidate {
                            place,
                            class,
                            score,
                        })
                    })
            };
            places.flat_map(of_place).collect()
        };
        let decode = |place: usize, anchor: &BoxEdges| {
            BoxCoder::default().decode(&four(codes, place), anchor)
        };
        detections_of_levels(&outputs.anchors, outputs.image, limits, likely, decode)
    }
}

impl Detector for RetinaNet {
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
            score: 0.05,
            iou: 0.5,
            count: 300,
        }
    }

    fn size_step(&self) -> usize {
        32
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        check_size("RetinaNet", self.size_step(), xs)?;
        self.backbone.forward_stages(xs, cx)
    }

    fn forward_from(
        &self,
        image: &FeatureMap,
        maps: Vec<FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<Vec<ScoredBoxes>> {
        let image = [image.height(), image.width()];
        let maps = self.backbone.complete_stages(maps, cx)?;
        let outputs = self.outputs_of(image, &maps, cx)?;
        let anchors = outputs.anchors.concat();
        let codes = numbers(&outputs.codes)?;
        let decode = |row: usize| {
            let edges =
                BoxCoder::default().decode(&four(&codes, row), &anchors[row % anchors.len()]);
            clip_box(&edges, image)
        };
        let boxes = (0..codes.len() / 4).map(decode).collect();
        let logits = outputs.classes.narrow(2, 1, self.num_classes)?;
        let scores = numbers(&logits)?.into_iter().map(sigmoid).collect();
        // The levels are mixed, from the coarsest on.
        let stages = vec![self.stages().len() - 1; anchors.len()];
        scored_boxes(boxes, &logits, scores, &stages)
    }

    /// `codes` and `classes` of all anchors, of these the background's first.
    fn forward_raw(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<RawOutput>> {
        let Outputs { classes, codes, .. } = self.outputs(xs, cx)?;
        Ok(vec![
            RawOutput::new("codes", codes),
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
        let outputs = self.outputs(xs, cx)?;
        let learned = Learned::of(&outputs.anchors.concat(), targets)?;
        let [classes, boxes] = learned.losses(&outputs)?;
        Ok(vec![
            NamedLoss::new("classification", classes),
            NamedLoss::new("bbox_regression", boxes),
        ])
    }

    fn detect(
        &self,
        xs: &FeatureMap,
        limits: &DetectionLimits,
        cx: &Context<'_>,
    ) -> Result<Vec<Vec<DetectedObject>>> {
        let outputs = self.outputs(xs, cx)?;
        let logits = numbers(&outputs.classes)?;
        let codes = numbers(&outputs.codes)?;
        let (images, _, _) = outputs.codes.dims3()?;
        let of_image = |image: usize| {
            let own = |values: usize| image * values / images..(image + 1) * values / images;
            let logits = &logits[own(logits.len())];
            let codes = &codes[own(codes.len())];
            self.detections(&outputs, logits, codes, limits)
        };
        (0..images).into_par_iter().map(of_image).collect()
    }
}

/// What the anchors of a batch are to learn.
struct Learned {
    /// The head's class of each anchor; `None` for background.
    classes: Vec<Option<u32>>,
    /// What each anchor counts for the classes: 0 where it is neither an object's nor background.
    weights: Vec<f32>,
    /// Anchors of objects, counted through the batch.
    rows: Vec<u32>,
    /// What each of them counts.
    row_weights: Vec<f32>,
    /// Four numbers of each.
    codes: Vec<f32>,
}

impl Learned {
    fn of(anchors: &[BoxEdges], targets: &DetectionTargets) -> Result<Self> {
        let matcher = Matcher::new(OVERLAPS[0], OVERLAPS[1])?.with_low_quality(LowQuality::Ties);
        let assign = |objects: &ImageObjects| matcher.assign(&iou_matrix(&objects.boxes, anchors));
        let assigned: Vec<Vec<Match>> = (&targets.images).into_par_iter().map(assign).collect();
        let count = anchors.len() * targets.images.len();
        let mut learned = Self {
            classes: Vec::with_capacity(count),
            weights: Vec::with_capacity(count),
            rows: Vec::new(),
            row_weights: Vec::new(),
            codes: Vec::new(),
        };
        for (objects, matches) in targets.images.iter().zip(assigned) {
            // Each image counts alike, however many anchors its objects have.
            let found = matches.iter().filter(|found| found.object().is_some());
            let weight = 1. / found.count().max(1) as f32;
            for (anchor, found) in anchors.iter().zip(matches) {
                let is_ignored = found == Match::Ignored;
                learned.weights.push(if is_ignored { 0. } else { weight });
                let Some(object) = found.object() else {
                    learned.classes.push(None);
                    continue;
                };
                learned.rows.push(learned.classes.len() as u32);
                learned.row_weights.push(weight);
                let code = BoxCoder::default().encode(&objects.boxes[object], anchor);
                learned.codes.extend(code);
                let class = objects.classes[object] as u32 + 1;
                learned.classes.push(Some(class));
            }
        }
        Ok(learned)
    }

    /// The focal loss of the classes and the differences of the boxes' codes.
    fn losses(self, outputs: &Outputs) -> Result<[Tensor; 2]> {
        let images = outputs.codes.dim(0)?.max(1) as f64;
        let over = |weights: Vec<f32>| Reduction::over(images).with_weights(weights);
        let targets = BinaryTargets::Classes(self.classes);
        let weights = over(self.weights);
        let classes = SigmoidFocalLoss::default().loss(&outputs.classes, &targets, &weights)?;
        let count = self.rows.len();
        let rows = Tensor::from_vec(self.rows, count, outputs.codes.device())?;
        let codes = outputs.codes.flatten(0, 1)?.contiguous()?;
        let codes = codes.index_select(&rows, 0)?;
        let boxes = SmoothL1Loss::l1().loss(&codes, &self.codes, &over(self.row_weights))?;
        Ok([classes, boxes])
    }
}
