//! SSD (Liu et al. 2016, "SSD: Single Shot MultiBox Detector"): classes and boxes straight from maps
//! of six sizes, for default boxes around each place. SSDLite (Sandler et al. 2018, "MobileNetV2")
//! is SSD of depthwise-separable convolutions. Names of tensors as in torchvision.
//!
//! In torchvision class 0 is the background, and the others count from 1; here the background is
//! the first of the scores and no class.

mod lite;
mod network;
mod vgg;

use candle_core::Result as LayerResult;
use cnn_core::{CropMode, Interpolation, Preprocessing};
use cnn_layers::detection::{DefaultBoxGenerator, DefaultBoxScales};
use cnn_layers::{
    Backbone, Builder, Conv2dConfig, DetectionLimits, Detector, Init, L2Norm2dConfig, Padding,
    Sequential,
};

use self::network::{Parts, Ssd};
use crate::families::mobilenetv3::SSDLITE_BODY;
use crate::model_spec::{Body, ClassOutputs};
use crate::segmentation::BackboneArgs;
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "ssd300_vgg16",
        family: "ssd",
        paper: "Liu et al. 2016, arXiv:1512.02325",
        build: Build::Detector(ssd300),
        parameters: 35_641_826,
        multiply_adds: 34_858_153_472,
        preset: ssd300_images,
        first_conv: "backbone.features.0",
        classifier: "head.classification_head.module_list.0",
        class_outputs: ClassOutputs::of_boxes(4),
        reduced: narrow_ssd300,
        ..TORCHVISION
    },
    ModelSpec {
        name: "ssdlite320_mobilenet_v3_large",
        build: Build::Detector(ssdlite320),
        parameters: 3_440_060,
        multiply_adds: 583_171_904,
        preset: || ssdlite_images(preset::inception_bilinear()),
        first_conv: "backbone.features.0.0.0",
        ..SSDLITE
    },
    ModelSpec {
        name: "ssdlite",
        build: Build::Detector(ssdlite),
        parameters: 2_983_412,
        multiply_adds: 656_873_856,
        preset: || ssdlite_images(preset::imagenet_bilinear()),
        num_classes: 80,
        labels: &cnn_core::COCO_CLASSES,
        body: Some(Body {
            arg: "backbone",
            default: "mobilenetv2_100",
            path: "backbone.body",
        }),
        ..SSDLITE
    },
];

/// Feature maps of an SSDLite.
const MAPS: usize = 6;

/// With the classes of torchvision's files.
const TORCHVISION: ModelSpec = ModelSpec {
    num_classes: 90,
    labels: &cnn_core::COCO_CATEGORIES,
    ..ModelSpec::OWN
};

const SSDLITE: ModelSpec = ModelSpec {
    family: "ssdlite",
    paper: "Sandler et al. 2018, arXiv:1801.04381",
    classifier: "head.classification_head.module_list.0.1",
    class_outputs: ClassOutputs::of_boxes(6),
    ..TORCHVISION
};

/// Squeezed to 300×300, less the mean colour, from 0 to 255.
fn ssd300_images() -> Preprocessing {
    Preprocessing {
        input_size: [3, 300, 300],
        mean: vec![0.48235, 0.45882, 0.40784],
        std: vec![1. / 255.; 3],
        ..squeezed()
    }
}

/// Squeezed to 320×320, normalised as other images are.
fn ssdlite_images(like: Preprocessing) -> Preprocessing {
    Preprocessing {
        input_size: [3, 320, 320],
        mean: like.mean,
        std: like.std,
        ..squeezed()
    }
}

fn squeezed() -> Preprocessing {
    Preprocessing {
        interpolation: Interpolation::Bilinear,
        crop_pct: 1.,
        crop_mode: CropMode::Squash,
        ..Preprocessing::default()
    }
}

fn ssd300(config: &ModelConfig, root: &Builder) -> Result<Box<dyn Detector>, Error> {
    config.read_args("ssd", |_| Ok(()))?;
    let at = root.pp("backbone");
    let backbone = vgg::body(config.in_channels.unwrap_or(TORCHVISION.in_channels), &at)?;
    let [early, late] = [0, 1].map(|map: usize| backbone.stages()[map].channels);
    let parts = Parts {
        rescale: Some(L2Norm2dConfig::new(early).build(&at)?),
        extra: vgg::extra(late, &at)?,
        backbone: Box::new(backbone),
        anchors: DefaultBoxGenerator::ssd300(),
        limits: DetectionLimits {
            score: 0.01,
            iou: 0.45,
            count: 200,
        },
        candidates: 400,
    };
    let num_classes = config.num_classes.unwrap_or(TORCHVISION.num_classes);
    Ok(Box::new(Ssd::build(parts, num_classes, plain, "", root)?))
}

/// The predictor of SSD, a 3×3 convolution.
fn plain(channels: usize, outputs: usize, at: &Builder) -> LayerResult<Sequential> {
    let conv = Conv2dConfig::new(channels, outputs, 3)
        .with_padding(Padding::all(1))
        .with_init(vgg::NEW)
        .with_bias_init(Init::ZEROS);
    let mut layers = Sequential::new();
    layers.push(conv.build(at)?);
    Ok(layers)
}

fn ssdlite320(config: &ModelConfig, root: &Builder) -> Result<Box<dyn Detector>, Error> {
    config.read_args(SSDLITE.family, |_| Ok(()))?;
    let of_body = ModelConfig {
        in_channels: config.in_channels,
        ..ModelConfig::default()
    };
    let at = root.pp("backbone");
    let backbone = SSDLITE_BODY.build_backbone(&of_body, &at, Some(&[0, 1]))?;
    let num_classes = config.num_classes.unwrap_or(TORCHVISION.num_classes);
    lite_over(
        backbone,
        DefaultBoxGenerator::ssdlite320(),
        num_classes,
        root,
    )
}

/// Over the last maps of any registered network at some shares of the image's size.
/// Arguments: `backbone` (its name, default `mobilenetv2_100`), `backbone_args` (its own),
/// `backbone_maps` (how many of its maps at an eighth, a sixteenth and a 32nd are read, from the last
/// on, default 3), `min_ratio` and `max_ratio` (sides of the default boxes of the first and the last
/// map as shares of the image's, default 0.07 and 0.95).
fn ssdlite(config: &ModelConfig, root: &Builder) -> Result<Box<dyn Detector>, Error> {
    let (backbone, reductions, scales) = config.read_args(SSDLITE.family, |args| {
        let backbone = BackboneArgs::read_at(args, "mobilenetv2_100", "backbone.body")?;
        let maps = args.count("backbone_maps", 1..=3)?.unwrap_or(3);
        let reductions = &[8, 16, 32][3 - maps..];
        // As SSD300's, whose first map is at an eighth, too.
        let least = args.number("min_ratio", 0.01..=0.95)?.unwrap_or(0.07);
        let largest = args.number("max_ratio", least..=1.)?.unwrap_or(0.95);
        let scales = DefaultBoxScales::Between { least, largest };
        Ok((backbone, reductions, scales))
    })?;
    let backbone = backbone.at_reductions(reductions, config, root)?;
    let anchors = DefaultBoxGenerator::new(&vec![vec![2., 3.]; MAPS], &scales)?;
    let num_classes = config.num_classes.unwrap_or(cnn_core::COCO_CLASSES.len());
    lite_over(backbone, anchors, num_classes, root)
}

/// With as many further maps as are lacking.
fn lite_over(
    backbone: Box<dyn Backbone>,
    anchors: DefaultBoxGenerator,
    num_classes: usize,
    root: &Builder,
) -> Result<Box<dyn Detector>, Error> {
    let channels = backbone.stages().iter().map(|stage| stage.channels);
    let channels: Vec<usize> = channels.collect();
    let last = channels[channels.len() - 1];
    let parts = Parts {
        rescale: None,
        extra: lite::extra(last, MAPS - channels.len(), &root.pp("backbone"))?,
        backbone,
        anchors,
        limits: DetectionLimits {
            score: 0.001,
            iou: 0.55,
            count: 300,
        },
        candidates: 300,
    };
    let ssd = Ssd::build(parts, num_classes, lite::predictor, ".1", root)?;
    Ok(Box::new(ssd))
}

/// A 32nd of the channels or more: the smallest image that six maps exist of has 268 pixels.
fn narrow_ssd300() -> ModelConfig {
    let mut config = ModelConfig::default();
    let mut plan = |path: &str, width: usize| {
        config.widths.insert(format!("backbone.{path}"), width);
    };
    for (indices, width) in [
        (&[0, 2][..], 2),
        (&[5, 7], 4),
        (&[10, 12, 14], 8),
        (&[17, 19, 21], 16),
    ] {
        for index in indices {
            plan(&format!("features.{index}"), width);
        }
    }
    for index in [1, 3, 5] {
        plan(&format!("extra.0.{index}"), 16);
    }
    for index in [1, 3] {
        plan(&format!("extra.0.7.{index}"), 32);
    }
    for (number, [hidden, output]) in (1..).zip([[16, 32], [8, 16], [8, 16], [8, 16]]) {
        plan(&format!("extra.{number}.0"), hidden);
        plan(&format!("extra.{number}.2"), output);
    }
    config
}
