//! FCOS (Tian et al. 2019, "FCOS: Fully Convolutional One-Stage Object Detection") over a feature
//! pyramid, in the form of torchvision, with its names of tensors; and the same over any registered
//! backbone.
//!
//! torchvision's head scores its class 0, the background, too, though nothing is ever learned for it;
//! here classes count from 0 without it, class `k` is the head's `k + 1`, and its class 0 is not found.

mod assignment;
mod head;

use std::ops::Range;

use candle_core::{Result, Tensor};
use cnn_layers::detection::losses::{
    BinaryCrossEntropy, BinaryTargets, BoxLoss, BoxLossKind, Reduction, SigmoidFocalLoss,
};
use cnn_layers::detection::{AnchorGenerator, BoxEdges, BoxLinearCoder, clip_box};
use cnn_layers::{
    Builder, Context, DetectedObject, DetectionLimits, DetectionTargets, Detector, ExtraLevels,
    FeatureMap, ImageObjects, LayerGroup, NamedLoss, PyramidSource, RawOutput, ScoredBoxes,
    StageInfo,
};
use rayon::iter::{IntoParallelIterator, ParallelIterator};

use self::assignment::{assign, centreness};
use self::head::{GROUPS, Head, HeadOutputs};
use super::places::{
    Candidate, check_size, detections_of_levels, four, numbers, scored_boxes, sigmoid,
};
use super::pyramid_backbone::{BODY, HeadChannels, OneStageForm, PyramidBackbone, grids};
use super::{check_targets, torchvision_files};
use crate::{Build, ClassOutputs, Error, ModelConfig, ModelSpec, preset};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "fcos_resnet50_fpn",
        build: Build::Detector(|config, root| build(OneStageForm::Resnet50, config, root)),
        parameters: 32_322_720,
        multiply_adds: 236_948_111_360,
        first_conv: "backbone.body.conv1",
        namings: &[torchvision_files::FIRST],
        ..BASE
    },
    ModelSpec {
        name: "fcos_fpn",
        build: Build::Detector(|config, root| build(OneStageForm::Chosen, config, root)),
        parameters: 19_280_022,
        multiply_adds: 39_753_605_120,
        preset: preset::pyramid_detection_middle,
        num_classes: 80,
        labels: &cnn_core::COCO_CLASSES,
        body: Some(BODY),
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "fcos",
    paper: "Tian et al. 2019, arXiv:1904.01355",
    preset: preset::pyramid_detection_large,
    num_classes: 90,
    labels: &cnn_core::COCO_CATEGORIES,
    classifier: "head.classification_head.cls_logits",
    class_outputs: ClassOutputs::of_boxes(1),
    ..ModelSpec::OWN
};

/// Arguments: `fpn_channels` (channels of the pyramid and of the head, a multiple of 32, default 256);
/// `bn_eps` with ResNet-50; `backbone` and `backbone_args` where the backbone is chosen.
fn build(
    form: OneStageForm,
    config: &ModelConfig,
    root: &Builder,
) -> std::result::Result<Box<dyn Detector>, Error> {
    let (body, channels) = config.read_args(BASE.family, |args| {
        let channels = args.count("fpn_channels", 1..=4096)?.unwrap_or(256);
        if !channels.is_multiple_of(GROUPS) {
            return Err(Error::Argument {
                model: BASE.family,
                what: "fpn_channels",
                found: channels.to_string(),
                expected: format!("a multiple of {GROUPS}, the groups of its norms"),
            });
        }
        Ok((form.body(args)?, channels))
    })?;
    let num_classes = config.num_classes.unwrap_or(form.default_classes());
    let extra = ExtraLevels::P6P7(PyramidSource::Pyramid);
    let backbone = body.build(channels, extra, config, root)?;
    let sides: Vec<f32> = backbone.strides().iter().map(|&side| side as f32).collect();
    let anchors = AnchorGenerator::pyramid(&sides, &[1.])?;
    let at_classes = root.pp("head").pp("classification_head");
    let at_boxes = root.pp("head").pp("regression_head");
    let channels = HeadChannels {
        read: backbone.channels(),
        designed: channels,
    };
    let head = Head::build(channels, num_classes + 1, [&at_classes, &at_boxes])?;
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
    Ok(Box::new(Fcos {
        backbone,
        head,
        anchors,
        groups,
        num_classes,
    }))
}

struct Fcos {
    backbone: PyramidBackbone,
    head: Head,
    /// One of each place, a square around it.
    anchors: AnchorGenerator,
    groups: Vec<LayerGroup>,
    num_classes: usize,
}

/// What is known of all places of a batch.
struct Outputs {
    head: HeadOutputs,
    /// The anchors of each level, which are the same for all images.
    anchors: Vec<Vec<BoxEdges>>,
    /// Rows and columns of the images.
    image: [usize; 2],
}

/// What the head says of the places of an image.
struct OfImage<'a> {
    classes: &'a [f32],
    codes: &'a [f32],
    centres: &'a [f32],
}

impl Fcos {
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
            head: self.head.forward(&maps, cx)?,
            anchors: self.anchors.generate(image, &grids(&maps))?,
            image,
        })
    }

    fn detections(
        &self,
        outputs: &Outputs,
        said: &OfImage<'_>,
        limits: &DetectionLimits,
    ) -> Result<Vec<DetectedObject>> {
        detections_of_levels(
            &outputs.anchors,
            outputs.image,
            limits,
            |places| self.likely(places, said, limits.score),
            |place, anchor| BoxLinearCoder::default().decode(&four(said.codes, place), anchor),
        )
    }

    /// The classes of these places whose score is above the least: the root of the product of the
    /// probabilities of the class and of the place's nearness to the centre.
    fn likely(&self, places: Range<usize>, said: &OfImage<'_>, least: f32) -> Vec<Candidate> {
        let scores = self.num_classes + 1;
        let mut likely = Vec::new();
        for place in places {
            let centre = sigmoid(said.centres[place]);
            // No probability of a class is above 1.
            if centre.sqrt() <= least {
                continue;
            }
            let logits = &said.classes[scores * place..][1..scores];
            likely.extend(logits.iter().enumerate().filter_map(|(class, &logit)| {
                let score = (sigmoid(logit) * centre).sqrt();
                (score > least).then_some(Candidate {
                    place,
                    class,
                    score,
                })
            }));
        }
        likely
    }
}

impl Detector for Fcos {
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
            score: 0.2,
            iou: 0.6,
            count: 100,
        }
    }

    fn size_step(&self) -> usize {
        32
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        check_size("FCOS", self.size_step(), xs)?;
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
        let codes = numbers(&outputs.head.codes)?;
        let decode = |row: usize| {
            let anchor = &anchors[row % anchors.len()];
            let edges = BoxLinearCoder::default().decode(&four(&codes, row), anchor);
            clip_box(&edges, image)
        };
        let boxes = (0..codes.len() / 4).map(decode).collect();
        let classes = outputs.head.classes.narrow(2, 1, self.num_classes)?;
        let centres = numbers(&outputs.head.centres)?;
        let score = |(at, logit): (usize, f32)| {
            (sigmoid(logit) * sigmoid(centres[at / self.num_classes])).sqrt()
        };
        let scores = numbers(&classes)?.into_iter().enumerate().map(score);
        let logits = classes.broadcast_add(&outputs.head.centres)?;
        // The levels are mixed, from the coarsest on.
        let stages = vec![self.stages().len() - 1; anchors.len()];
        scored_boxes(boxes, &logits, scores.collect(), &stages)
    }

    /// `codes`, `centres` and `classes` of all places, of these the background's first.
    fn forward_raw(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<RawOutput>> {
        let HeadOutputs {
            classes,
            codes,
            centres,
        } = self.outputs(xs, cx)?.head;
        Ok(vec![
            RawOutput::new("codes", codes),
            RawOutput::new("centres", centres),
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
        let learned = Learned::of(&outputs.anchors, targets);
        let [classes, boxes, centres] = learned.losses(&outputs.head)?;
        Ok(vec![
            NamedLoss::new("classification", classes),
            NamedLoss::new("bbox_regression", boxes),
            NamedLoss::new("bbox_ctrness", centres),
        ])
    }

    fn detect(
        &self,
        xs: &FeatureMap,
        limits: &DetectionLimits,
        cx: &Context<'_>,
    ) -> Result<Vec<Vec<DetectedObject>>> {
        let outputs = self.outputs(xs, cx)?;
        let (images, _, _) = outputs.head.codes.dims3()?;
        let classes = numbers(&outputs.head.classes)?;
        let codes = numbers(&outputs.head.codes)?;
        let centres = numbers(&outputs.head.centres)?;
        let of_image = |image: usize| {
            let own = |values: usize| image * values / images..(image + 1) * values / images;
            let said = OfImage {
                classes: &classes[own(classes.len())],
                codes: &codes[own(codes.len())],
                centres: &centres[own(centres.len())],
            };
            self.detections(&outputs, &said, limits)
        };
        (0..images).into_par_iter().map(of_image).collect()
    }
}

/// What the places of a batch are to learn.
struct Learned {
    /// The head's class of each place; `None` for background.
    classes: Vec<Option<u32>>,
    /// Places of objects, counted through the batch.
    rows: Vec<u32>,
    /// The anchor of each of them.
    anchors: Vec<BoxEdges>,
    /// The object of each.
    boxes: Vec<BoxEdges>,
    /// How near each is to its object's centre.
    centres: Vec<f32>,
}

impl Learned {
    fn of(levels: &[Vec<BoxEdges>], targets: &DetectionTargets) -> Self {
        let assign = |objects: &ImageObjects| assign(levels, objects);
        let assigned: Vec<Vec<Option<usize>>> =
            (&targets.images).into_par_iter().map(assign).collect();
        let mut learned = Self {
            classes: Vec::new(),
            rows: Vec::new(),
            anchors: Vec::new(),
            boxes: Vec::new(),
            centres: Vec::new(),
        };
        for (objects, assigned) in targets.images.iter().zip(assigned) {
            for (anchor, object) in levels.iter().flatten().zip(assigned) {
                let Some(object) = object else {
                    learned.classes.push(None);
                    continue;
                };
                let edges = objects.boxes[object];
                learned.rows.push(learned.classes.len() as u32);
                learned.anchors.push(*anchor);
                learned.boxes.push(edges);
                learned.centres.push(centreness(&edges, anchor));
                let class = objects.classes[object] as u32 + 1;
                learned.classes.push(Some(class));
            }
        }
        learned
    }

    /// Those of the classes, of the boxes and of the nearness to the centre, over the places of
    /// objects in the batch.
    fn losses(self, outputs: &HeadOutputs) -> Result<[Tensor; 3]> {
        let count = self.rows.len();
        let each = Reduction::over(count.max(1) as f64);
        let targets = BinaryTargets::Classes(self.classes);
        let classes = SigmoidFocalLoss::default().loss(&outputs.classes, &targets, &each)?;
        let rows = Tensor::from_vec(self.rows, count, outputs.codes.device())?;
        let of_objects = |values: &Tensor| {
            let all = values.flatten(0, 1)?.contiguous()?;
            all.index_select(&rows, 0)
        };
        let codes = of_objects(&outputs.codes)?;
        let boxes = BoxLinearCoder::default().decode_tensor(&codes, &self.anchors)?;
        let boxes = BoxLoss::new(BoxLossKind::Giou).loss(&boxes, &self.boxes, &each)?;
        let centres = of_objects(&outputs.centres)?;
        let targets = BinaryTargets::Numbers(self.centres);
        let centres = BinaryCrossEntropy::default().loss(&centres, &targets, &each)?;
        Ok([classes, boxes, centres])
    }
}
