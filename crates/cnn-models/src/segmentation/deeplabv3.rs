//! DeepLabV3 (Chen et al. 2017, "Rethinking Atrous Convolution for Semantic Image Segmentation") in
//! torchvision's form, with its names of tensors: a backbone whose last maps are dilated, atrous
//! spatial pyramid pooling, and bilinear resizing.

use candle_core::Result;
use cnn_layers::{
    Builder, Context, Conv2dConfig, ConvNormAct, Decoder, FeatureMap, Init, Layer, Padding,
    ResizeLike, Segmenter,
};

use super::aspp::{Aspp, AsppConfig};
use super::encoder::Encoder;
use super::fcn::HeadArgs;
use super::units::{BILINEAR, ScoreHead, unit};
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "deeplabv3_resnet50",
        build: Build::Segmenter(|config, root| {
            let encoder = Encoder::torchvision_resnet("resnet50", config, root)?;
            build(encoder, config, root)
        }),
        parameters: 39_638_869,
        multiply_adds: 168_731_205_888,
        ..BASE
    },
    ModelSpec {
        name: "deeplabv3_resnet101",
        build: Build::Segmenter(|config, root| {
            let encoder = Encoder::torchvision_resnet("resnet101", config, root)?;
            build(encoder, config, root)
        }),
        parameters: 58_630_997,
        multiply_adds: 248_752_300_288,
        ..BASE
    },
    ModelSpec {
        name: "deeplabv3_mobilenet_v3_large",
        build: Build::Segmenter(|config, root| {
            let encoder = Encoder::torchvision_mobilenetv3(config, root)?;
            build(encoder, config, root)
        }),
        parameters: 11_025_477,
        multiply_adds: 10_436_350_688,
        first_conv: "backbone.0.0",
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "deeplabv3",
    paper: "Chen et al. 2017, arXiv:1706.05587",
    preset: preset::torchvision_segmentation,
    num_classes: 21,
    labels: &cnn_core::PASCAL_VOC_CLASSES,
    first_conv: "backbone.conv1",
    classifier: "classifier.4",
    auxiliary: &["aux_classifier"],
    ..ModelSpec::OWN
};

fn build(
    encoder: Encoder,
    config: &ModelConfig,
    root: &Builder,
) -> std::result::Result<Box<dyn Segmenter>, Error> {
    let args = HeadArgs::read(&BASE, config)?;
    let [_, last] = encoder.channels();
    let head = DeepLabHead::build(last, &args, &root.pp("classifier"))?;
    let modules = ["classifier.0", "classifier.1", "classifier.2"];
    args.finish(encoder, head, &modules, root)
}

/// The pyramid pooling of the last map, a 3×3 convolution, and the scores.
struct DeepLabHead {
    aspp: Aspp,
    unit: ConvNormAct,
    scores: ScoreHead,
}

impl DeepLabHead {
    /// Channels between its layers.
    const HIDDEN: usize = 256;

    fn build(in_channels: usize, args: &HeadArgs, at: &Builder) -> Result<Self> {
        let aspp = AsppConfig {
            in_channels,
            out_channels: Self::HIDDEN,
            rates: [12, 24, 36],
            separable: false,
            drop_rate: args.drop_rate.unwrap_or(0.5),
            init: Init::PYTORCH_DEFAULT,
        };
        let aspp = aspp.build(&at.pp(0))?;
        let hidden = at.pp(1).width(Self::HIDDEN);
        let conv = Conv2dConfig::new(aspp.out_channels(), hidden, 3).with_padding(Padding::all(1));
        Ok(Self {
            aspp,
            unit: unit(conv, hidden).build(&at.pp(1), &at.pp(2))?,
            scores: ScoreHead {
                conv: Conv2dConfig::new(hidden, args.classes, 1).build(&at.pp(4))?,
                resize: ResizeLike::new(BILINEAR, &at.pp("resize")),
            },
        })
    }
}

impl Decoder for DeepLabHead {
    fn forward(
        &self,
        image: &FeatureMap,
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let last = &maps[maps.len() - 1];
        let xs = self.unit.forward(&self.aspp.forward(last, cx)?, cx)?;
        self.scores.forward(&xs, image, cx)
    }
}
