//! LR-ASPP (Howard et al. 2019, "Searching for MobileNetV3", section 6.4) in torchvision's form,
//! with its names of tensors: pyramid pooling reduced to a gate, and scores at two resolutions.

use candle_core::Result;
use cnn_layers::{
    Activate, Activation, Add, Builder, Context, Conv2d, Conv2dConfig, ConvNormAct, Decoder,
    DecoderModules, EncoderDecoder, FeatureMap, GlobalAvgPool2d, Init, Layer, ResizeLike,
    ScaleChannels, Segmenter,
};

use super::encoder::Encoder;
use super::fcn::path;
use super::smp_unet::no_maps;
use super::units::{BILINEAR, conv_norm_relu};
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

pub(crate) const MODELS: &[ModelSpec] = &[ModelSpec {
    name: "lraspp_mobilenet_v3_large",
    family: "lraspp",
    paper: "Howard et al. 2019, arXiv:1905.02244",
    build: Build::Segmenter(build),
    parameters: 3_221_538,
    multiply_adds: 2_086_219_688,
    preset: preset::torchvision_segmentation,
    num_classes: 21,
    labels: &cnn_core::PASCAL_VOC_CLASSES,
    first_conv: "backbone.0.0",
    classifier: "classifier.high_classifier",
    ..ModelSpec::OWN
}];

/// Channels of the deep branch.
const HIDDEN: usize = 128;

fn build(config: &ModelConfig, root: &Builder) -> std::result::Result<Box<dyn Segmenter>, Error> {
    config.read_args("lraspp", |_| Ok(()))?;
    let encoder = Encoder::torchvision_mobilenetv3(config, root)?;
    let [low, high] = encoder.channels();
    let classes = config.num_classes.unwrap_or(21);
    let at = root.pp("classifier");
    let hidden = at.pp("cbr").pp(0).width(HIDDEN);
    let gates = at.pp("scale").pp(1).width(hidden);
    if gates != hidden {
        return Err(Error::Argument {
            model: "lraspp",
            what: "the planned width of `classifier.scale.1`",
            found: gates.to_string(),
            expected: format!("that of `classifier.cbr.0`, {hidden}"),
        });
    }
    let gate = Conv2dConfig::new(high, hidden, 1).without_bias();
    let scores = |from: usize, name: &str| Conv2dConfig::new(from, classes, 1).build(&at.pp(name));
    let decoder = LrAspp {
        cbr: conv_norm_relu([high, hidden], 1, Init::PYTORCH_DEFAULT, &at.pp("cbr"))?,
        pool: GlobalAvgPool2d::new().at(&at.pp("scale").pp(0)),
        gate: gate.build(&at.pp("scale").pp(1))?,
        sigmoid: Activate::new(Activation::Sigmoid, &at.pp("scale").pp(2)),
        scale: ScaleChannels::new(&at.pp("mul")),
        up: ResizeLike::new(BILINEAR, &at.pp("up")),
        low_scores: scores(low, "low_classifier")?,
        high_scores: scores(hidden, "high_classifier")?,
        add: Add::new(&at.pp("add")),
        resize: ResizeLike::new(BILINEAR, &at.pp("resize")),
    };
    let modules = DecoderModules {
        decoder: vec![path(root, "classifier.cbr"), path(root, "classifier.scale")],
        head: vec![
            path(root, "classifier.low_classifier"),
            path(root, "classifier.high_classifier"),
        ],
    };
    Ok(Box::new(EncoderDecoder::new(
        encoder.backbone,
        decoder,
        modules,
        classes,
    )))
}

struct LrAspp {
    cbr: ConvNormAct,
    pool: GlobalAvgPool2d,
    gate: Conv2d,
    sigmoid: Activate,
    scale: ScaleChannels,
    up: ResizeLike,
    low_scores: Conv2d,
    high_scores: Conv2d,
    add: Add,
    resize: ResizeLike,
}

impl Decoder for LrAspp {
    fn forward(
        &self,
        image: &FeatureMap,
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let [low, high] = maps else {
            return Err(no_maps());
        };
        let gate = self.gate.forward(&self.pool.forward(high, cx)?, cx)?;
        let gate = self.sigmoid.forward(&gate, cx)?;
        let deep = self
            .scale
            .forward(&self.cbr.forward(high, cx)?, &gate, cx)?;
        let deep = self.up.forward(&deep, low, cx)?;
        let scores = self.add.forward(
            &self.low_scores.forward(low, cx)?,
            &self.high_scores.forward(&deep, cx)?,
            cx,
        )?;
        self.resize.forward(&scores, image, cx)
    }
}
