//! The CIFAR-10 ResNets of He et al. 2015, section 4.2: 6n + 2 layers, three stages of 16, 32 and
//! 64 channels, shortcuts without parameters (option A). Names are those of the published
//! `pytorch_resnet_cifar10` files. Not in timm: `stage0` is the map after the first convolution's
//! ReLU, `stage1` to `stage3` the outputs of `layer1` to `layer3`.

use candle_core::{Result, Tensor};
use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Builder, Context, Conv2dConfig, ConvNormActConfig,
    Fan, FeatureMap, Init, Layer, MaxPool2d, Padding, ResidualSum, Sequential, concat,
};

use crate::ModelConfig;
use crate::registry::{Built, ModelSpec, Preset};
use crate::residual::Residual;
use crate::staged::{LinearHead, StagedBuilder};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "resnet8_cifar10",
        build: |config, root| build(1, config, root),
        parameters: 75_290,
        multiply_adds: 12_239_488,
        ..BASE
    },
    ModelSpec {
        name: "resnet20_cifar10",
        build: |config, root| build(3, config, root),
        parameters: 269_722,
        multiply_adds: 40_551_040,
        ..BASE
    },
    ModelSpec {
        name: "resnet32_cifar10",
        build: |config, root| build(5, config, root),
        parameters: 464_154,
        multiply_adds: 68_862_592,
        ..BASE
    },
    ModelSpec {
        name: "resnet44_cifar10",
        build: |config, root| build(7, config, root),
        parameters: 658_586,
        multiply_adds: 97_174_144,
        ..BASE
    },
    ModelSpec {
        name: "resnet56_cifar10",
        build: |config, root| build(9, config, root),
        parameters: 853_018,
        multiply_adds: 125_485_696,
        ..BASE
    },
    ModelSpec {
        name: "resnet110_cifar10",
        build: |config, root| build(18, config, root),
        parameters: 1_727_962,
        multiply_adds: 252_887_680,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "resnet_cifar",
    paper: "He et al. 2015, arXiv:1512.03385, section 4.2",
    preset: Preset::Cifar10,
    num_classes: 10,
    labels: &[
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ],
    first_conv: "conv1",
    classifier: "linear",
    ..ModelSpec::IMAGENET
};

/// `n` blocks in each of the three stages.
fn build(n: usize, config: &ModelConfig, root: &Builder) -> Built {
    let num_classes = config.num_classes.unwrap_or(10);
    let mut model = StagedBuilder::default();

    let stem = ConvNormActConfig::new(
        conv(config.in_channels.unwrap_or(3), 16, 1),
        BatchNorm2dConfig::new(16),
        Activation::Relu,
    );
    model.stage(
        "bn1",
        16,
        1,
        Sequential::new().add(stem.build(&root.pp("conv1"), &root.pp("bn1"))?),
    );
    model.group("stem", &["conv1", "bn1"]);

    let mut channels = 16;
    for stage in 0..3 {
        let name = format!("layer{}", stage + 1);
        let width = 16 << stage;
        let mut layers = Sequential::new();
        for number in 0..n {
            let stride = if stage > 0 && number == 0 { 2 } else { 1 };
            let drop_path = config.drop_path(stage * n + number, 3 * n);
            layers = layers.add(block(
                channels,
                width,
                stride,
                drop_path,
                &root.pp(&name).pp(number),
            )?);
            channels = width;
        }
        model.stage(name.as_str(), channels, 1 << stage, layers);
        model.group(&format!("stage{}", stage + 1), &[&name]);
    }

    model.group("head", &["linear"]);
    let head = LinearHead::build(
        root,
        "linear",
        channels,
        num_classes,
        config.drop_rate.unwrap_or(0.),
    )?;
    Ok(model.finish(channels, num_classes, head))
}

fn conv(from: usize, to: usize, stride: usize) -> Conv2dConfig {
    let init = Init::KaimingNormal {
        fan: Fan::In,
        gain: std::f64::consts::SQRT_2,
    };
    Conv2dConfig::new(from, to, 3)
        .with_stride(stride)
        .with_padding(Padding::all(1))
        .with_init(init)
}

fn block(
    input: usize,
    output: usize,
    stride: usize,
    drop_path: f64,
    at: &Builder,
) -> Result<Residual> {
    let norm = BatchNorm2dConfig::new(output);
    let first = ConvNormActConfig::new(conv(input, output, stride), norm, Activation::Relu);
    let second = ConvNormActConfig::new(conv(output, output, 1), norm, Activation::Identity);
    let shortcut = PadShortcut {
        pick: MaxPool2d::new(1, stride, &at.pp("shortcut")),
        pad: (output - input) / 2,
    };
    Ok(Residual {
        branch: Sequential::new().add(first.build(&at.pp("conv1"), &at.pp("bn1"))?),
        last: second.build(&at.pp("conv2"), &at.pp("bn2"))?,
        shortcut: (input != output).then(|| Box::new(shortcut) as Box<dyn Layer>),
        sum: ResidualSum::new(
            drop_path,
            Some(Activate::new(Activation::Relu, &at.pp("act2"))),
            at,
        )?,
    })
}

/// Option A: every second pixel, and zeros for the new channels on both sides.
struct PadShortcut {
    /// A window of one pixel: its maximum is the pixel.
    pick: MaxPool2d,
    pad: usize,
}

impl Layer for PadShortcut {
    fn forward(&self, xs: &FeatureMap, cx: &Context<'_>) -> Result<FeatureMap> {
        let picked = self.pick.forward(xs, cx)?;
        let shape = (picked.batch(), picked.height(), picked.width(), self.pad);
        let zeros = FeatureMap::from_nhwc(&Tensor::zeros(shape, picked.dtype(), picked.device())?)?;
        concat(&[&zeros, &picked, &zeros])
    }
}
