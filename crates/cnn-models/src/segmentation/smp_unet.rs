//! A U-Net (Ronneberger et al. 2015) whose contracting half is any registered network:
//! segmentation_models.pytorch's `Unet` over its encoders `tu-…`, with its names of tensors.

use candle_core::Result;
use cnn_layers::{
    Builder, Concat, Context, Conv2dConfig, ConvNormAct, Decoder, DecoderModules, EncoderDecoder,
    FeatureMap, Init, Interpolation, Layer, Padding, Resize2d, ResizeLike, ResizeTo, Segmenter,
};

use super::encoder::{BACKBONE_PATH, BackboneArgs};
use super::fcn::path;
use super::units::{DECODER_INIT, HEAD_INIT, conv_norm_relu};
use crate::model_spec::Body;
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

pub(crate) const MODELS: &[ModelSpec] = &[ModelSpec {
    name: "smp_unet",
    build: Build::Segmenter(build),
    parameters: 24_439_269,
    multiply_adds: 32_010_928_128,
    ..BASE
}];

pub(super) const BASE: ModelSpec = ModelSpec {
    family: "smp_unet",
    paper: "Ronneberger et al. 2015, arXiv:1505.04597",
    preset: preset::segmentation,
    num_classes: 21,
    labels: &cnn_core::PASCAL_VOC_CLASSES,
    body: Some(Body {
        arg: "backbone",
        default: super::encoder::DEFAULT_BACKBONE,
        path: BACKBONE_PATH,
    }),
    classifier: "segmentation_head.0",
    namings: &[super::encoder::OWN_ENCODER],
    ..ModelSpec::OWN
};

/// Channels of the decoder's blocks over five halvings; a backbone with fewer has the last of them.
const CHANNELS: [usize; 5] = [256, 128, 64, 32, 16];

fn build(config: &ModelConfig, root: &Builder) -> std::result::Result<Box<dyn Segmenter>, Error> {
    let backbone = config.read_args(BASE.family, BackboneArgs::read)?;
    let pyramid = backbone.pyramid(config, root)?;
    let classes = config.num_classes.unwrap_or(BASE.num_classes);
    let depth = pyramid.channels.len();
    let mut from_below = pyramid.channels.clone();
    let mut channels = from_below.pop().unwrap_or(0);
    let at_blocks = root.pp("decoder").pp("blocks");
    let mut blocks = Vec::with_capacity(depth);
    for (number, designed) in CHANNELS[CHANNELS.len() - depth..].iter().enumerate() {
        let at = at_blocks.pp(number);
        let skip = from_below.pop().unwrap_or(0);
        let hidden = at.pp("conv1").pp(0).width(*designed);
        let output = at.pp("conv2").pp(0).width(*designed);
        blocks.push(Block {
            join: match (skip, number + 1 == depth) {
                (0, false) => {
                    let twice = ResizeTo::Factor([2.; 2]);
                    let resize = Resize2d::new(twice, Interpolation::Nearest);
                    Join::Double(resize.at(&at.pp("resize")))
                }
                (0, true) => Join::Image(nearest(&at)),
                _ => Join::Skip(nearest(&at), Concat::new(&at.pp("concat"))),
            },
            conv1: conv_norm_relu([channels + skip, hidden], 3, DECODER_INIT, &at.pp("conv1"))?,
            conv2: conv_norm_relu([hidden, output], 3, DECODER_INIT, &at.pp("conv2"))?,
        });
        channels = output;
    }
    let scores = Conv2dConfig::new(channels, classes, 3)
        .with_padding(Padding::all(1))
        .with_init(HEAD_INIT)
        .with_bias_init(Init::ZEROS);
    let decoder = UnetDecoder {
        blocks,
        scores: scores.build(&root.pp("segmentation_head").pp(0))?,
    };
    let modules = DecoderModules {
        decoder: vec![path(root, "decoder")],
        head: vec![path(root, "segmentation_head")],
    };
    let backbone = pyramid.encoder.backbone;
    Ok(Box::new(EncoderDecoder::new(
        backbone, decoder, modules, classes,
    )))
}

/// Resizing to the nearest pixel, to another map's size.
fn nearest(block: &Builder) -> ResizeLike {
    ResizeLike::new(Interpolation::Nearest, &block.pp("resize"))
}

/// How a block's input becomes larger.
enum Join {
    /// To the size of the encoder's map, which is put beside it.
    Skip(ResizeLike, Concat),
    /// To twice the size, where the encoder has no map.
    Double(Resize2d),
    /// To the image's size, at the end.
    Image(ResizeLike),
}

/// Enlarges a map and convolves it twice.
struct Block {
    join: Join,
    conv1: ConvNormAct,
    conv2: ConvNormAct,
}

/// The expanding half.
struct UnetDecoder {
    /// From the deepest map up to the image's size.
    blocks: Vec<Block>,
    scores: cnn_layers::Conv2d,
}

impl Decoder for UnetDecoder {
    fn forward(
        &self,
        image: &FeatureMap,
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let mut maps = maps.iter().rev();
        let mut xs = maps.next().cloned().ok_or_else(no_maps)?;
        for block in &self.blocks {
            let conv1 = &block.conv1;
            xs = match &block.join {
                Join::Skip(resize, concat) => {
                    let skip = maps.next().ok_or_else(no_maps)?;
                    conv1.forward_skip(&xs, skip, resize, concat, cx)?
                }
                Join::Double(resize) => conv1.forward(&resize.forward(&xs, cx)?, cx)?,
                Join::Image(resize) => conv1.forward(&resize.forward(&xs, image, cx)?, cx)?,
            };
            xs = block.conv2.forward(&xs, cx)?;
        }
        self.scores.forward(&xs, cx)
    }
}

/// A decoder without maps to read, which no backbone gives.
pub(super) fn no_maps() -> candle_core::Error {
    candle_core::Error::Msg("a decoder reads at least one map".to_string())
}
