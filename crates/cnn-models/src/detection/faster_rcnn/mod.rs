//! Faster R-CNN (Ren et al. 2015, "Faster R-CNN: Towards Real-Time Object Detection with Region
//! Proposal Networks") over a feature pyramid (Lin et al. 2017), in the form of torchvision's first
//! versions, with its names of tensors; and the same over any registered backbone.
//!
//! A file of torchvision's counts the background as class 0 of its predictor; here classes count
//! from 0 without it, and class `k` is the predictor's `k + 1`.

mod proposals;
mod regions;

use candle_core::{Result, Tensor};
use cnn_core::Preprocessing;
use cnn_layers::detection::{AnchorGenerator, AnchorLevel, BoxEdges, clip_box};
use cnn_layers::{
    Builder, Context, DetectedObject, DetectionLimits, DetectionTargets, Detector, ExtraLevels,
    FeatureMap, LayerGroup, NamedLoss, RawOutput, ScoredBoxes, StageInfo,
};

use self::proposals::{Counts, ProposalOutputs, ProposalSettings, RegionProposals};
use self::regions::{RegionConfig, RegionHead};
use super::check_targets;
use super::places::check_size;
use super::pyramid_backbone::{BODY, HeadChannels, PyramidBackbone, PyramidBody};
use super::torchvision_files;
use crate::{ArgReader, Build, ClassOutputs, Error, ModelConfig, ModelSpec, Naming, preset};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "fasterrcnn_resnet50_fpn",
        build: Build::Detector(|config, root| build(Form::Resnet50, config, root)),
        parameters: 41_808_406,
        multiply_adds: 234_425_036_544,
        first_conv: "backbone.body.conv1",
        namings: &[Naming {
            args: &[("bn_eps", 0.)],
            ..torchvision_files::FIRST
        }],
        ..BASE
    },
    ModelSpec {
        name: "fasterrcnn_mobilenet_v3_large_fpn",
        build: Build::Detector(|config, root| build(Form::MobilenetV3(MANY), config, root)),
        parameters: 19_410_754,
        multiply_adds: 22_655_257_472,
        first_conv: "backbone.body.0.0",
        namings: &[torchvision_files::FIRST],
        ..BASE
    },
    ModelSpec {
        name: "fasterrcnn_mobilenet_v3_large_320_fpn",
        build: Build::Detector(|config, root| build(Form::MobilenetV3(FEW), config, root)),
        parameters: 19_410_754,
        multiply_adds: 3_561_722_752,
        preset: small,
        first_conv: "backbone.body.0.0",
        namings: &[torchvision_files::FIRST],
        ..BASE
    },
    ModelSpec {
        name: "fasterrcnn_fpn",
        build: Build::Detector(|config, root| build(Form::Chosen, config, root)),
        parameters: 28_688_356,
        multiply_adds: 38_516_146_176,
        preset: preset::pyramid_detection_middle,
        num_classes: 80,
        labels: &cnn_core::COCO_CLASSES,
        body: Some(BODY),
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "fasterrcnn",
    paper: "Ren et al. 2015, arXiv:1506.01497",
    preset: preset::pyramid_detection_large,
    num_classes: 90,
    labels: &cnn_core::COCO_CATEGORIES,
    classifier: "roi_heads.box_predictor.cls_score",
    class_outputs: ClassOutputs::of_boxes(1),
    ..ModelSpec::OWN
};

/// 448×448: photos of 4:3 and 3:4 have their short side at 336, torchvision's at 320.
fn small() -> Preprocessing {
    preset::pyramid_detection(448)
}

/// Where the differences between smooth L1 and L1 begin.
const BETA: f64 = 1. / 9.;

/// Proposals in use, torchvision's.
const MANY: Counts = Counts {
    of_level: 1000,
    of_image: 1000,
};
/// The same of the small network.
const FEW: Counts = Counts {
    of_level: 150,
    of_image: 150,
};

/// Heights over widths of anchors.
const RATIOS: [f32; 3] = [0.5, 1., 2.];
/// Sides of anchors over the distance of places, where each level has one size.
const ANCHOR_SCALE: usize = 8;

/// Over which maps a network stands, and what goes with them.
#[derive(Clone, Copy)]
enum Form {
    /// Maps from a quarter to a 32nd of the image's size.
    Resnet50,
    /// Two maps at a 32nd, with anchors of all sizes at each place.
    MobilenetV3(Counts),
    /// Those of a backbone that the configuration names, as with ResNet-50.
    Chosen,
}

impl Form {
    fn body(self, args: &mut ArgReader<'_>) -> std::result::Result<PyramidBody, Error> {
        match self {
            Self::Resnet50 => PyramidBody::torchvision_resnet50(&[1, 2, 3, 4], args),
            Self::MobilenetV3(_) => Ok(PyramidBody::torchvision_mobilenetv3()),
            Self::Chosen => PyramidBody::chosen(&[4, 8, 16, 32], args),
        }
    }

    fn anchors(self, strides: &[usize]) -> Result<AnchorGenerator> {
        let levels: Vec<AnchorLevel> = strides
            .iter()
            .map(|stride| AnchorLevel {
                sizes: match self {
                    Self::MobilenetV3(_) => vec![32., 64., 128., 256., 512.],
                    _ => vec![(ANCHOR_SCALE * stride) as f32],
                },
                aspect_ratios: RATIOS.to_vec(),
            })
            .collect();
        Ok(AnchorGenerator::new(&levels)?)
    }

    fn testing(self) -> Counts {
        match self {
            Self::MobilenetV3(counts) => counts,
            _ => MANY,
        }
    }

    fn least_score(self) -> f64 {
        match self {
            Self::MobilenetV3(_) => 0.05,
            _ => 0.,
        }
    }
}

/// What a configuration says beside the backbone.
struct Args {
    body: PyramidBody,
    /// `fpn_channels`.
    channels: usize,
    /// `box_features`.
    features: usize,
    proposals: ProposalSettings,
    /// `box_batch_size_per_image`.
    sampled: usize,
}

impl Args {
    fn read(form: Form, args: &mut ArgReader<'_>) -> std::result::Result<Self, Error> {
        const MOST: usize = 1 << 20;
        let mut count = |name, default| -> std::result::Result<usize, Error> {
            Ok(args.count(name, 1..=MOST)?.unwrap_or(default))
        };
        let testing = form.testing();
        let training = Counts {
            of_level: count("rpn_pre_nms_top_n_train", 2000)?,
            of_image: count("rpn_post_nms_top_n_train", 2000)?,
        };
        let testing = Counts {
            of_level: count("rpn_pre_nms_top_n_test", testing.of_level)?,
            of_image: count("rpn_post_nms_top_n_test", testing.of_image)?,
        };
        let of_proposals = count("rpn_batch_size_per_image", 256)?;
        let sampled = count("box_batch_size_per_image", 512)?;
        let least_score = args.probability("rpn_score_thresh")?;
        Ok(Self {
            body: form.body(args)?,
            channels: args.count("fpn_channels", 1..=4096)?.unwrap_or(256),
            features: args.count("box_features", 1..=1 << 16)?.unwrap_or(1024),
            proposals: ProposalSettings {
                training,
                testing,
                least_score: least_score.unwrap_or(form.least_score()) as f32,
                sampled: of_proposals,
            },
            sampled,
        })
    }
}

/// Arguments: `fpn_channels` (channels of the pyramid, default 256), `box_features` (of a region,
/// default 1024), torchvision's `rpn_pre_nms_top_n_train`, `rpn_post_nms_top_n_train`,
/// `rpn_pre_nms_top_n_test`, `rpn_post_nms_top_n_test`, `rpn_score_thresh`,
/// `rpn_batch_size_per_image` and `box_batch_size_per_image` with its defaults; `bn_eps` with
/// ResNet-50; `backbone` and `backbone_args` where the backbone is chosen.
fn build(
    form: Form,
    config: &ModelConfig,
    root: &Builder,
) -> std::result::Result<Box<dyn Detector>, Error> {
    let args = config.read_args(BASE.family, |args| Args::read(form, args))?;
    let default = match form {
        Form::Chosen => cnn_core::COCO_CLASSES.len(),
        _ => BASE.num_classes,
    };
    let num_classes = config.num_classes.unwrap_or(default);
    let pool = ExtraLevels::Pool;
    let backbone = args.body.build(args.channels, pool, config, root)?;
    let anchors = form.anchors(&backbone.strides())?;
    let at_proposals = root.pp("rpn");
    let settings = args.proposals;
    let channels = HeadChannels {
        read: backbone.channels(),
        designed: args.channels,
    };
    let proposals = RegionProposals::build(channels, anchors, settings, &at_proposals)?;
    let at_regions = root.pp("roi_heads");
    let regions = RegionConfig {
        channels: backbone.channels(),
        features: args.features,
        num_classes,
        sampled: args.sampled,
    };
    let regions = regions.build(&at_regions)?;
    let at_box_head = at_regions.pp("box_head");
    let at_predictor = at_regions.pp("box_predictor");
    let mut groups = backbone.layer_groups().to_vec();
    let tower = [at_proposals.path(), at_box_head.path()];
    groups.push(LayerGroup::new("tower", tower));
    groups.push(LayerGroup::new("head", [at_predictor.path()]));
    Ok(Box::new(FasterRcnn {
        backbone,
        proposals,
        regions,
        groups,
        num_classes,
    }))
}

struct FasterRcnn {
    backbone: PyramidBackbone,
    proposals: RegionProposals,
    regions: RegionHead,
    groups: Vec<LayerGroup>,
    num_classes: usize,
}

/// What both stages read.
struct FirstStage {
    /// The levels that regions are taken from.
    maps: Vec<FeatureMap>,
    outputs: ProposalOutputs,
    image: [usize; 2],
}

impl FasterRcnn {
    fn first_stage(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FirstStage> {
        let image = [xs.height(), xs.width()];
        self.first_stage_of(image, &self.forward_stages(xs, cx)?, cx)
    }

    /// From the maps of the backbone for images of these rows and columns.
    fn first_stage_of(
        &self,
        image: [usize; 2],
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<FirstStage> {
        let mut maps = self.backbone.levels(maps, cx)?;
        let outputs = self.proposals.forward(&maps, image, cx)?;
        maps.truncate(self.backbone.levels_of_body());
        Ok(FirstStage {
            maps,
            outputs,
            image,
        })
    }
}

impl Detector for FasterRcnn {
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
            count: 100,
        }
    }

    fn size_step(&self) -> usize {
        32
    }

    fn forward_stages(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<FeatureMap>> {
        check_size("Faster R-CNN", self.size_step(), xs)?;
        self.backbone.forward_stages(xs, cx)
    }

    /// The boxes are those of the proposals.
    fn forward_from(
        &self,
        image: &FeatureMap,
        maps: Vec<FeatureMap>,
        cx: &Context<'_>,
    ) -> Result<Vec<ScoredBoxes>> {
        let image = [image.height(), image.width()];
        let maps = self.backbone.complete_stages(maps, cx)?;
        let first = self.first_stage_of(image, &maps, cx)?;
        let proposals = self.proposals.for_testing(&first.outputs)?;
        let stage = self.stages().len() - 1;
        self.regions
            .scored_boxes(&first.maps, image, &proposals, stage, cx)
    }

    /// `objectness` and `codes` of all anchors; and, in place of proposals, which depend on these,
    /// `classes` and `class_codes` of the first anchors of the coarsest level, at most as many as
    /// there are proposals.
    fn forward_raw(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<Vec<RawOutput>> {
        let first = self.first_stage(xs, cx)?;
        let coarsest = first.outputs.anchors.last().into_iter().flatten();
        let regions: Vec<BoxEdges> = coarsest
            .take(self.proposals.most())
            .map(|edges| clip_box(edges, first.image))
            .collect();
        let count = regions.len();
        let regions = vec![regions; xs.batch()];
        let outputs = self
            .regions
            .forward(&first.maps, first.image, &regions, cx)?;
        let of_regions = |values: Tensor| -> Result<Tensor> {
            let width = values.dim(1)?;
            values.reshape((xs.batch(), count, width))
        };
        Ok(vec![
            RawOutput::new("objectness", first.outputs.objectness),
            RawOutput::new("codes", first.outputs.codes),
            RawOutput::new("classes", of_regions(outputs.classes)?),
            RawOutput::new("class_codes", of_regions(outputs.codes)?),
        ])
    }

    fn losses(
        &self,
        xs: &FeatureMap,
        targets: &DetectionTargets,
        cx: &Context<'_>,
    ) -> Result<Vec<NamedLoss>> {
        check_targets(targets, xs.batch(), self.num_classes)?;
        let first = self.first_stage(xs, cx)?;
        let FirstStage {
            maps,
            outputs,
            image,
        } = &first;
        let [objectness, proposal_boxes] = self.proposals.losses(outputs, targets, cx)?;
        let proposals = self.proposals.for_training(outputs)?;
        let of_regions = self.regions.losses(maps, *image, &proposals, targets, cx)?;
        let [classes, boxes] = match of_regions {
            Some(losses) => losses,
            None => [objectness.zeros_like()?, objectness.zeros_like()?],
        };
        Ok(vec![
            NamedLoss::new("objectness", objectness),
            NamedLoss::new("rpn_box_reg", proposal_boxes),
            NamedLoss::new("classifier", classes),
            NamedLoss::new("box_reg", boxes),
        ])
    }

    fn detect(
        &self,
        xs: &FeatureMap,
        limits: &DetectionLimits,
        cx: &Context<'_>,
    ) -> Result<Vec<Vec<DetectedObject>>> {
        let first = self.first_stage(xs, cx)?;
        let proposals = self.proposals.for_testing(&first.outputs)?;
        self.regions
            .detections(&first.maps, first.image, &proposals, limits, cx)
    }
}
