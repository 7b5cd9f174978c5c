//! U-Net (Ronneberger et al. 2015, "U-Net: Convolutional Networks for Biomedical Image
//! Segmentation"), padded, so that the scores have the image's size, and by default with batch
//! normalisation, as everybody uses it. Names of tensors are those of the PyTorch implementation
//! that most others follow (milesial/Pytorch-UNet).

use candle_core::Result;
use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Builder, Concat, Context, Conv2d, Conv2dConfig,
    ConvAct, ConvNormAct, ConvNormActConfig, ConvTranspose2d, ConvTranspose2dConfig, Decoder,
    DecoderModules, Dropout2d, EncoderDecoder, FeatureMap, Interpolation, Layer, MaxPool2d,
    PadLike, Padding, Resize2d, ResizeTo, Segmenter, StagedBuilder,
};

use super::fcn::path;
use super::smp_unet::no_maps;
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

pub(crate) const MODELS: &[ModelSpec] = &[ModelSpec {
    build: Build::Segmenter(build),
    parameters: 31_037_698,
    multiply_adds: 192_686_325_760,
    ..BASE
}];

const BASE: ModelSpec = ModelSpec {
    name: "unet",
    family: "unet",
    paper: "Ronneberger et al. 2015, arXiv:1505.04597",
    preset: preset::segmentation,
    num_classes: 2,
    first_conv: "inc.double_conv.0",
    classifier: "outc.conv",
    ..ModelSpec::OWN
};

/// What the family knows: `depth` (how often the image is halved, default 4), `width` (channels at
/// full size, default 64, doubled at each halving), `batch_norm` (default true), `bilinear` (default
/// false: transposed convolutions bring maps to twice their size), `drop_rate` (the probability of
/// dropping a channel of the deepest map in training, default 0).
struct Args {
    depth: usize,
    width: usize,
    batch_norm: bool,
    bilinear: bool,
    drop_rate: f64,
}

fn build(config: &ModelConfig, root: &Builder) -> std::result::Result<Box<dyn Segmenter>, Error> {
    let args = config.read_args(BASE.family, |args| {
        Ok(Args {
            depth: args.count("depth", 1..=8)?.unwrap_or(4),
            width: args.count("width", 1..=1024)?.unwrap_or(64),
            batch_norm: args.flag("batch_norm")?.unwrap_or(true),
            bilinear: args.flag("bilinear")?.unwrap_or(false),
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
        })
    })?;
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels));
    // Bilinear resizing keeps the channels, so that the deepest map has half as many.
    let deepest_share = if args.bilinear { 2 } else { 1 };
    for level in 0..=args.depth {
        let name = match level {
            0 => "inc".to_string(),
            level => format!("down{level}"),
        };
        net.group(&format!("stage{level}"), &[&name]);
        let mut at = net.at(&name);
        if level > 0 {
            at = at.pp("maxpool_conv");
            net.add(MaxPool2d::new(2, 2).at(&at.pp(0))).add_stride(2);
            at = at.pp(1);
        }
        let share = if level == args.depth {
            deepest_share
        } else {
            1
        };
        let channels = (args.width << level) / share;
        let from = net.channels();
        let (convolutions, to) = args.double_conv([from, channels, channels], &at)?;
        for unit in convolutions {
            net.add(unit);
        }
        net.set_channels(to);
        if level == args.depth && args.drop_rate > 0. {
            net.add(Dropout2d::new(args.drop_rate, &at.pp("drop"))?);
        }
        net.end_stage(&name);
    }
    let backbone = net.backbone();
    let stages: Vec<usize> = cnn_layers::Backbone::stages(&backbone)
        .iter()
        .map(|stage| stage.channels)
        .collect();
    let mut channels = stages[args.depth];
    let mut ups = Vec::with_capacity(args.depth);
    for number in 1..=args.depth {
        let level = args.depth - number;
        let at = root.pp(format!("up{number}"));
        let designed = args.width << level;
        let skip = stages[level];
        let (enlarge, enlarged) = args.enlarge(channels, designed, &at)?;
        let share = if args.bilinear && level > 0 { 2 } else { 1 };
        let hidden = if args.bilinear {
            designed
        } else {
            designed / share
        };
        let widths = [skip + enlarged, hidden, designed / share];
        let (convolutions, to) = args.double_conv(widths, &at.pp("conv"))?;
        ups.push(Up {
            enlarge,
            pad: PadLike::new(&at.pp("pad")),
            concat: Concat::new(&at.pp("concat")),
            convolutions,
        });
        channels = to;
    }
    let classes = config.num_classes.unwrap_or(BASE.num_classes);
    let decoder = UnetDecoder {
        ups,
        scores: Conv2dConfig::new(channels, classes, 1).build(&root.pp("outc").pp("conv"))?,
    };
    let modules = DecoderModules {
        decoder: (1..=args.depth)
            .map(|number| path(root, &format!("up{number}")))
            .collect(),
        head: vec![path(root, "outc")],
    };
    Ok(Box::new(EncoderDecoder::new(
        Box::new(backbone),
        decoder,
        modules,
        classes,
    )))
}

impl Args {
    /// Two 3×3 convolutions at `double_conv`, with norms or biases, and the channels of the output.
    fn double_conv(&self, channels: [usize; 3], at: &Builder) -> Result<([Unit; 2], usize)> {
        let at = at.pp("double_conv");
        let [from, hidden, to] = channels;
        // Where the second convolution lies, behind the first one's norm and activation.
        let second = if self.batch_norm { 3 } else { 2 };
        let hidden = at.pp(0).width(hidden);
        let to = at.pp(second).width(to);
        let units = [
            self.unit([from, hidden], &at, 0)?,
            self.unit([hidden, to], &at, second)?,
        ];
        Ok((units, to))
    }

    /// A 3×3 convolution at `index`, with what lies behind it.
    fn unit(&self, [from, to]: [usize; 2], at: &Builder, index: usize) -> Result<Unit> {
        let conv = Conv2dConfig::new(from, to, 3).with_padding(Padding::all(1));
        if self.batch_norm {
            let unit = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(to), Activation::Relu);
            return Ok(Unit::Norm(unit.build(&at.pp(index), &at.pp(index + 1))?));
        }
        let relu = Activate::new(Activation::Relu, &at.pp(index + 1));
        Ok(Unit::Bias(ConvAct::build(&conv, relu, &at.pp(index))?))
    }

    /// What brings a map to twice its size, at `up`, and the channels of its output.
    fn enlarge(&self, from: usize, designed: usize, at: &Builder) -> Result<(Enlarge, usize)> {
        let at = at.pp("up");
        if self.bilinear {
            let interpolation = Interpolation::Bilinear {
                align_corners: true,
            };
            let resize = Resize2d::new(ResizeTo::Factor([2.; 2]), interpolation).at(&at);
            return Ok((Enlarge::Resize(resize), from));
        }
        let width = at.width(designed);
        let conv = ConvTranspose2dConfig::new(from, width, 2).with_stride(2);
        Ok((Enlarge::Conv(conv.build(&at)?), width))
    }
}

/// A convolution with a norm or a bias, and ReLU.
enum Unit {
    Norm(ConvNormAct),
    Bias(ConvAct),
}

impl Unit {
    /// Of the channels of several maps.
    fn forward_concat(
        &self,
        maps: &[&FeatureMap],
        concat: &Concat,
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        match self {
            Self::Norm(unit) => unit.forward_concat(maps, concat, cx),
            Self::Bias(unit) => unit.forward(&concat.forward(maps, cx)?, cx),
        }
    }
}

impl Layer for Unit {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        match self {
            Self::Norm(unit) => unit.forward(xs, cx),
            Self::Bias(unit) => unit.forward(xs, cx),
        }
    }
}

/// Brings a map to twice its size.
enum Enlarge {
    Conv(ConvTranspose2d),
    Resize(Resize2d),
}

impl Enlarge {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        match self {
            Self::Conv(conv) => conv.forward(xs, cx),
            Self::Resize(resize) => resize.forward(xs, cx),
        }
    }
}

/// A step of the expanding half.
struct Up {
    enlarge: Enlarge,
    /// Where the map beside it has an odd size: zeros, as the implementation has them.
    pad: PadLike,
    concat: Concat,
    convolutions: [Unit; 2],
}

/// The expanding half.
struct UnetDecoder {
    ups: Vec<Up>,
    scores: Conv2d,
}

impl Decoder for UnetDecoder {
    fn forward(
        &self,
        _image: &FeatureMap,
        maps: &[FeatureMap],
        cx: &Context<'_>,
    ) -> Result<FeatureMap> {
        let mut maps = maps.iter().rev();
        let mut xs = maps.next().cloned().ok_or_else(no_maps)?;
        for (up, skip) in self.ups.iter().zip(maps) {
            xs = up.enlarge.forward(&xs, cx)?;
            if [xs.height(), xs.width()] != [skip.height(), skip.width()] {
                xs = up.pad.forward(&xs, skip, cx)?;
            }
            let [first, second] = &up.convolutions;
            xs = first.forward_concat(&[skip, &xs], &up.concat, cx)?;
            xs = second.forward(&xs, cx)?;
        }
        self.scores.forward(&xs, cx)
    }
}
