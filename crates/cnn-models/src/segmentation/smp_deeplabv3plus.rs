//! DeepLabV3+ (Chen et al. 2018, "Encoder-Decoder with Atrous Separable Convolution for Semantic
//! Image Segmentation") over any registered network that can be dilated: segmentation_models.pytorch's
//! `DeepLabV3Plus` over its encoders `tu-…`, with its names of tensors.

use candle_core::Result;
use cnn_layers::{
    Builder, Concat, Context, Conv2d, Conv2dConfig, ConvNormAct, Decoder, DecoderModules,
    EncoderDecoder, FeatureMap, Init, Interpolation, Layer, Padding, ResizeLike, Segmenter,
};

use super::aspp::{Aspp, AsppConfig};
use super::encoder::BackboneArgs;
use super::fcn::path;
use super::smp_unet;
use super::units::{DECODER_INIT, HEAD_INIT, ScoreHead, conv_norm_relu, unit};
use crate::{Build, Error, ModelConfig, ModelSpec};

pub(crate) const MODELS: &[ModelSpec] = &[ModelSpec {
    name: "smp_deeplabv3plus",
    family: "smp_deeplabv3plus",
    paper: "Chen et al. 2018, arXiv:1802.02611",
    build: Build::Segmenter(build),
    parameters: 22_442_597,
    multiply_adds: 31_619_416_064,
    ..smp_unet::BASE
}];

/// Channels between the decoder's layers.
const HIDDEN: usize = 256;

/// Channels of the map at a quarter of the image's size, once it is narrowed.
const NARROW: usize = 48;

/// Resizing whose corner pixels stay, as the library resizes here.
const CORNERS: Interpolation = Interpolation::Bilinear {
    align_corners: true,
};

fn build(config: &ModelConfig, root: &Builder) -> std::result::Result<Box<dyn Segmenter>, Error> {
    let (backbone, stride, drop_rate) = config.read_args("smp_deeplabv3plus", |args| {
        Ok((
            BackboneArgs::read(args)?,
            args.output_stride()?,
            args.probability("drop_rate")?.unwrap_or(0.5),
        ))
    })?;
    let encoder = backbone.dilated(stride.min(16), config, root)?;
    let [near, last] = encoder.channels();
    let classes = config.num_classes.unwrap_or(smp_unet::BASE.num_classes);
    let at = root.pp("decoder");
    let aspp = AsppConfig {
        in_channels: last,
        out_channels: HIDDEN,
        rates: [12, 24, 36],
        separable: true,
        drop_rate,
        init: DECODER_INIT,
    };
    let aspp = aspp.build(&at.pp("aspp").pp(0))?;
    let at_aspp = at.pp("aspp");
    let after_aspp = Separable::build(aspp.out_channels(), &at_aspp.pp(1), &at_aspp.pp(2))?;
    let narrow = conv_norm_relu([near, NARROW], 1, DECODER_INIT, &at.pp("block1"))?;
    let at_joined = at.pp("block2");
    let beside = after_aspp.unit.out_channels() + narrow.out_channels();
    let joined = Separable::build(beside, &at_joined.pp(0), &at_joined.pp(1))?;
    let scores = Conv2dConfig::new(joined.unit.out_channels(), classes, 1)
        .with_init(HEAD_INIT)
        .with_bias_init(Init::ZEROS);
    let head = root.pp("segmentation_head");
    let decoder = DeepLabDecoder {
        aspp,
        after_aspp,
        up: ResizeLike::new(CORNERS, &at.pp("up")),
        narrow,
        concat: Concat::new(&at.pp("concat")),
        joined,
        scores: ScoreHead {
            conv: scores.build(&head.pp(0))?,
            resize: ResizeLike::new(CORNERS, &head.pp(1)),
        },
    };
    let modules = DecoderModules {
        decoder: vec![path(root, "decoder")],
        head: vec![path(root, "segmentation_head")],
    };
    Ok(Box::new(EncoderDecoder::new(
        encoder.backbone,
        decoder,
        modules,
        classes,
    )))
}

/// A depthwise 3×3 convolution and a 1×1 one with norm and ReLU.
struct Separable {
    depthwise: Conv2d,
    unit: ConvNormAct,
}

impl Separable {
    /// To [`HIDDEN`] channels unless a plan of widths has others, at `conv.0`, `conv.1` and `norm`.
    fn build(from: usize, conv: &Builder, norm: &Builder) -> Result<Self> {
        let depthwise = Conv2dConfig::new(from, from, 3)
            .with_padding(Padding::all(1))
            .with_groups(from)
            .without_bias()
            .with_init(DECODER_INIT);
        let to = conv.pp(1).width(HIDDEN);
        let pointwise = Conv2dConfig::new(from, to, 1).with_init(DECODER_INIT);
        Ok(Self {
            depthwise: depthwise.build(&conv.pp(0))?,
            unit: unit(pointwise, to).build(&conv.pp(1), norm)?,
        })
    }

    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        self.unit.forward(&self.depthwise.forward(xs, cx)?, cx)
    }
}

/// The pyramid pooling of the last map, brought to the map at a quarter of the image's size, which
/// has the outlines.
struct DeepLabDecoder {
    aspp: Aspp,
    after_aspp: Separable,
    up: ResizeLike,
    narrow: ConvNormAct,
    concat: Concat,
    joined: Separable,
    scores: ScoreHead,
}

impl Decoder for DeepLabDecoder {
    fn forward(
        &self,
        image: &FeatureMap,
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let [near, last] = maps else {
            return Err(smp_unet::no_maps());
        };
        let xs = self.after_aspp.forward(&self.aspp.forward(last, cx)?, cx)?;
        let xs = self.up.forward(&xs, near, cx)?;
        let near = self.narrow.forward(near, cx)?;
        let xs = self.concat.forward(&[&xs, &near], cx)?;
        self.scores
            .forward(&self.joined.forward(&xs, cx)?, image, cx)
    }
}
