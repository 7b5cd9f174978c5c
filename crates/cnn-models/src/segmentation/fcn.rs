//! FCN (Long et al. 2014, "Fully Convolutional Networks for Semantic Segmentation") in torchvision's
//! form: a ResNet whose maps stay at an eighth of the image's size by dilation, two convolutions,
//! and bilinear resizing; names of tensors are torchvision's.

use candle_core::Result;
use cnn_layers::{
    Builder, Context, Conv2dConfig, ConvNormAct, Decoder, DecoderModules, Dropout, EncoderDecoder,
    FeatureMap, Init, Layer, ResizeLike, Segmenter,
};

use super::encoder::Encoder;
use super::units::{self, BILINEAR, ScoreHead};
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "fcn_resnet50",
        build: Build::Segmenter(|config, root| build("resnet50", config, root)),
        parameters: 32_957_013,
        multiply_adds: 142_725_772_800,
        ..BASE
    },
    ModelSpec {
        name: "fcn_resnet101",
        build: Build::Segmenter(|config, root| build("resnet101", config, root)),
        parameters: 51_949_141,
        multiply_adds: 222_746_867_200,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "fcn",
    paper: "Long et al. 2014, arXiv:1411.4038",
    preset: preset::torchvision_segmentation,
    num_classes: 21,
    labels: &cnn_core::PASCAL_VOC_CLASSES,
    first_conv: "backbone.conv1",
    classifier: "classifier.4",
    auxiliary: &["aux_classifier"],
    ..ModelSpec::OWN
};

fn build(
    backbone: &'static str,
    config: &ModelConfig,
    root: &Builder,
) -> std::result::Result<Box<dyn Segmenter>, Error> {
    let args = HeadArgs::read(&BASE, config)?;
    let encoder = Encoder::torchvision_resnet(backbone, config, root)?;
    let [_, last] = encoder.channels();
    let head = FcnHead::build(last, 1, &args, &root.pp("classifier"))?;
    let modules = ["classifier.0", "classifier.1"];
    args.finish(encoder, head, &modules, root)
}

/// What torchvision's networks for pixels know: `aux_logits` (whether there is an auxiliary head,
/// default true) and `drop_rate` (the probability of dropping a value in the heads in training).
pub(super) struct HeadArgs {
    has_auxiliary: bool,
    pub(super) drop_rate: Option<f64>,
    pub(super) classes: usize,
}

impl HeadArgs {
    pub(super) fn read(base: &ModelSpec, config: &ModelConfig) -> std::result::Result<Self, Error> {
        config.read_args(base.family, |args| {
            Ok(Self {
                has_auxiliary: args.flag("aux_logits")?.unwrap_or(true),
                drop_rate: args.probability("drop_rate")?,
                classes: config.num_classes.unwrap_or(base.num_classes),
            })
        })
    }

    /// The network of these parts, with the auxiliary head that reads the first map.
    pub(super) fn finish(
        &self,
        encoder: Encoder,
        head: impl Decoder + 'static,
        of_decoder: &[&str],
        root: &Builder,
    ) -> std::result::Result<Box<dyn Segmenter>, Error> {
        // What its loss counts in torchvision's reference training.
        const AUXILIARY_WEIGHT: f64 = 0.5;
        let [middle, _] = encoder.channels();
        let at = root.pp("aux_classifier");
        let of_decoder = of_decoder.iter().map(|module| path(root, module));
        let mut modules = DecoderModules {
            decoder: of_decoder.collect(),
            head: vec![path(root, "classifier.4")],
        };
        if !self.has_auxiliary {
            let network = EncoderDecoder::new(encoder.backbone, head, modules, self.classes);
            return Ok(Box::new(network));
        }
        modules.head.push(at.path().to_string());
        let auxiliary = FcnHead::build(middle, 0, self, &at)?;
        let network = EncoderDecoder::new(encoder.backbone, head, modules, self.classes);
        Ok(Box::new(network.with_auxiliary(
            "aux_classifier",
            AUXILIARY_WEIGHT,
            auxiliary,
        )))
    }
}

/// The full path of a module.
pub(super) fn path(root: &Builder, module: &str) -> String {
    root.pp(module).path().to_string()
}

/// A 3×3 convolution to a quarter of the channels, dropout, and a 1×1 convolution that gives the
/// scores.
pub(super) struct FcnHead {
    /// Which of the maps it reads.
    map: usize,
    unit: ConvNormAct,
    dropout: Dropout,
    scores: ScoreHead,
}

impl FcnHead {
    /// Of the map with this number.
    pub(super) fn build(
        map_channels: usize,
        map: usize,
        args: &HeadArgs,
        at: &Builder,
    ) -> Result<Self> {
        let hidden = at.pp(0).width(map_channels / 4);
        Ok(Self {
            map,
            unit: units::conv_norm_relu([map_channels, hidden], 3, Init::PYTORCH_DEFAULT, at)?,
            dropout: Dropout::new(args.drop_rate.unwrap_or(0.1), &at.pp(3))?,
            scores: ScoreHead {
                conv: Conv2dConfig::new(hidden, args.classes, 1).build(&at.pp(4))?,
                resize: ResizeLike::new(BILINEAR, &at.pp("resize")),
            },
        })
    }
}

impl Decoder for FcnHead {
    fn forward(
        &self,
        image: &FeatureMap,
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let xs = self.unit.forward(&maps[self.map], cx)?;
        self.scores
            .forward(&self.dropout.forward(&xs, cx)?, image, cx)
    }
}
