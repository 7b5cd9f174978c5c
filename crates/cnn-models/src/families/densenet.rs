//! DenseNet (Huang et al. 2016, "Densely Connected Convolutional Networks"), the compressed form
//! with bottlenecks (DenseNet-BC). Names and stages as in timm, which are torchvision's; the dots of
//! torchvision's published files are translated.

use cnn_layers::{
    Activation, AvgPool2d, BatchNorm2dConfig, Builder, Context, Conv2d, Conv2dConfig,
    ConvNormActConfig, DenseBlockConfig, Fan, FeatureMap, Init, Layer, LinearConfig, LinearHead,
    MaxPool2d, Mode, NormAct, NormActConfig, Padding, StagedBuilder, StagedClassifier,
};

use crate::{Build, Error, ModelConfig, ModelSpec, Naming, preset};

/// Table 1 of the paper.
struct Variant {
    /// Channels that each layer adds, k; the stem has twice as many.
    growth: usize,
    /// Layers of each dense block.
    layers: [usize; 4],
}

const DENSENET121: Variant = Variant {
    growth: 32,
    layers: [6, 12, 24, 16],
};
const DENSENET161: Variant = Variant {
    growth: 48,
    layers: [6, 12, 36, 24],
};
const DENSENET169: Variant = Variant {
    growth: 32,
    layers: [6, 12, 32, 32],
};
const DENSENET201: Variant = Variant {
    growth: 32,
    layers: [6, 12, 48, 32],
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "densenet121",
        build: Build::Staged(|config, root| build(&DENSENET121, config, root)),
        parameters: 7_978_856,
        multiply_adds: 2_834_161_664,
        ..BASE
    },
    ModelSpec {
        name: "densenet161",
        build: Build::Staged(|config, root| build(&DENSENET161, config, root)),
        parameters: 28_681_000,
        multiply_adds: 7_727_907_072,
        ..BASE
    },
    ModelSpec {
        name: "densenet169",
        build: Build::Staged(|config, root| build(&DENSENET169, config, root)),
        parameters: 14_149_480,
        multiply_adds: 3_359_843_328,
        ..BASE
    },
    ModelSpec {
        name: "densenet201",
        build: Build::Staged(|config, root| build(&DENSENET201, config, root)),
        parameters: 20_013_928,
        multiply_adds: 4_291_365_888,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "densenet",
    paper: "Huang et al. 2016, arXiv:1608.06993",
    preset: preset::imagenet,
    first_conv: "features.conv0",
    classifier: "classifier",
    namings: &[Naming {
        library: "torchvision",
        rename: from_torchvision,
        args: &[],
    }],
    ..ModelSpec::OWN
};

/// He et al.'s rule over the inputs, as timm and torchvision start all convolutions.
const INIT: Init = Init::KaimingNormal {
    fan: Fan::In,
    gain: std::f64::consts::SQRT_2,
};

fn build(
    variant: &Variant,
    config: &ModelConfig,
    root: &Builder,
) -> Result<StagedClassifier, Error> {
    let args = config.read_args(BASE.family, |args| {
        Ok(Args {
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
            proj_drop_rate: args.probability("proj_drop_rate")?.unwrap_or(0.),
        })
    })?;
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels));
    let features = root.pp("features");

    net.group("stem", &["features.conv0", "features.norm0"]);
    let channels = features.pp("conv0").width(2 * variant.growth);
    let conv = Conv2dConfig::new(net.channels(), channels, 7)
        .with_stride(2)
        .with_padding(Padding::all(3))
        .with_init(INIT);
    let stem = ConvNormActConfig::new(conv, BatchNorm2dConfig::new(channels), Activation::Relu)
        .build(&features.pp("conv0"), &features.pp("norm0"))?;
    net.add(stem).set_channels(channels).add_stride(2);
    net.end_stage("features.norm0");

    let pool = MaxPool2d::new(3, 2)
        .with_padding(Padding::all(1))
        .at(&features.pp("pool0"));
    net.add(pool).add_stride(2);
    for (number, layers) in (1..).zip(variant.layers) {
        let name = format!("features.denseblock{number}");
        let transition = format!("features.transition{}", number - 1);
        let is_first = number == 1;
        let is_last = number == variant.layers.len();
        // What leads to a resolution belongs to its stage.
        let before = (!is_first).then_some(transition.as_str());
        let after = is_last.then_some("features.norm5");
        let modules: Vec<&str> = before
            .into_iter()
            .chain([name.as_str()])
            .chain(after)
            .collect();
        net.group(&format!("stage{number}"), &modules);
        if !is_first {
            // The paper's compression by half.
            let [from, to] = [net.channels(), net.channels() / 2];
            let transition = Transition::build(from, to, &net.at(&transition))?;
            let channels = transition.out_channels;
            net.add(transition).set_channels(channels).add_stride(2);
        }
        let block = DenseBlockConfig::new(net.channels(), layers, variant.growth)
            .with_drop_rate(args.proj_drop_rate)
            .with_init(INIT)
            .build(&net.at(&name))?;
        let channels = block.out_channels();
        net.add(block).set_channels(channels);
        if is_last {
            let norm = NormActConfig::new(BatchNorm2dConfig::new(channels), Activation::Relu);
            net.add(norm.build(&features.pp("norm5"))?);
        }
        net.end_stage(after.unwrap_or(&name));
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    let linear = LinearConfig::new(net.channels(), num_classes).with_bias_init(Init::ZEROS);
    let linear = linear.build(&net.at(BASE.classifier))?;
    let head = LinearHead::of(linear, root, args.drop_rate)?;
    Ok(net.classifier(num_classes, &[BASE.classifier], head))
}

/// What the family knows: timm's `drop_rate` (of features before the classifier) and
/// `proj_drop_rate` (of what each dense layer adds).
struct Args {
    drop_rate: f64,
    proj_drop_rate: f64,
}

/// What lies between dense blocks: norm, ReLU, a 1×1 convolution and 2×2 average pooling.
///
/// A 1×1 convolution and an average exchange places, so that built for inference the pooling comes
/// first and the convolution has a quarter of the pixels.
struct Transition {
    out_channels: usize,
    norm: NormAct,
    conv: Conv2d,
    pool: AvgPool2d,
    pools_first: bool,
}

impl Transition {
    fn build(in_channels: usize, out_channels: usize, at: &Builder) -> candle_core::Result<Self> {
        let norm = BatchNorm2dConfig::new(in_channels);
        let out_channels = at.pp("conv").width(out_channels);
        let conv = Conv2dConfig::new(in_channels, out_channels, 1)
            .with_init(INIT)
            .without_bias();
        Ok(Self {
            out_channels,
            norm: NormActConfig::new(norm, Activation::Relu).build(&at.pp("norm"))?,
            conv: conv.build(&at.pp("conv"))?,
            pool: AvgPool2d::new(2, 2).at(&at.pp("pool")),
            pools_first: at.mode() == Mode::Inference,
        })
    }
}

impl Layer for Transition {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<FeatureMap> {
        let xs = self.norm.forward(xs, cx)?;
        if self.pools_first {
            return self.conv.forward(&self.pool.forward(&xs, cx)?, cx);
        }
        self.pool.forward(&self.conv.forward(&xs, cx)?, cx)
    }
}

/// Takes out the dots of torchvision's published files: `…denselayer1.norm.1.weight` is
/// `…denselayer1.norm1.weight`. `None` for any other name.
fn from_torchvision(name: &str) -> Option<String> {
    let (before, rest) = name.split_once(".denselayer")?;
    let (number, rest) = rest.split_once('.')?;
    let (kind, rest) = rest.split_once('.')?;
    let (index, tensor) = rest.split_once('.')?;
    let is_theirs = matches!(kind, "norm" | "conv") && matches!(index, "1" | "2");
    is_theirs.then(|| format!("{before}.denselayer{number}.{kind}{index}.{tensor}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dots_of_torchvisions_files_are_taken_out() {
        let at = "features.denseblock2.denselayer12";
        for (theirs, ours) in [
            ("norm.1.weight", "norm1.weight"),
            ("norm.2.running_var", "norm2.running_var"),
            ("conv.1.weight", "conv1.weight"),
            ("conv.2.weight", "conv2.weight"),
        ] {
            let theirs = format!("{at}.{theirs}");
            let ours = format!("{at}.{ours}");
            assert_eq!(from_torchvision(&theirs), Some(ours.clone()));
            assert_eq!(from_torchvision(&ours), None, "the model's own names stay");
        }
        for name in [
            "features.norm0.weight",
            "features.transition1.norm.weight",
            "features.denseblock1.denselayer1.norm.3.weight",
            "features.denseblock1.denselayer1",
        ] {
            assert_eq!(from_torchvision(name), None, "{name}");
        }
    }
}
