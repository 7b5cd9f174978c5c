//! ResNet (He et al. 2015, "Deep Residual Learning for Image Recognition"), in torchvision's v1.5
//! form: a bottleneck's stride sits on its 3×3 convolution. Names and stages are timm's.

use candle_core::Result;
use cnn_layers::{
    Activate, Activation, BatchNorm2dConfig, Builder, Conv2dConfig, ConvNormActConfig, Init, Layer,
    MaxPool2d, Padding, ResidualSum, Sequential,
};

use crate::ModelConfig;
use crate::registry::{Built, ModelSpec, Preset, WeightSource};
use crate::residual::Residual;
use crate::staged::{LinearHead, StagedBuilder};

/// Table 1 of the paper: the blocks of conv2_x to conv5_x.
struct Variant {
    block: Block,
    blocks: [usize; 4],
}

#[derive(Clone, Copy, PartialEq)]
enum Block {
    /// Two 3×3 convolutions.
    Basic,
    /// 1×1, 3×3, 1×1, four times as wide at the end.
    Bottleneck,
}

const RESNET18: Variant = Variant {
    block: Block::Basic,
    blocks: [2, 2, 2, 2],
};
const RESNET34: Variant = Variant {
    block: Block::Basic,
    blocks: [3, 4, 6, 3],
};
const RESNET50: Variant = Variant {
    block: Block::Bottleneck,
    blocks: [3, 4, 6, 3],
};
const RESNET101: Variant = Variant {
    block: Block::Bottleneck,
    blocks: [3, 4, 23, 3],
};
const RESNET152: Variant = Variant {
    block: Block::Bottleneck,
    blocks: [3, 8, 36, 3],
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "resnet18",
        build: |config, root| build(&RESNET18, config, root),
        parameters: 11_689_512,
        multiply_adds: 1_814_073_344,
        weights: &[
            WeightSource::torchvision(
                "IMAGENET1K_V1",
                "https://download.pytorch.org/models/resnet18-f37072fd.pth",
                "f37072fd",
                69.758,
            ),
            WeightSource::hub("a1_in1k", "hf:timm/resnet18.a1_in1k", "apache-2.0"),
            WeightSource::hub("tv_in1k", "hf:timm/resnet18.tv_in1k", "bsd-3-clause"),
        ],
        ..BASE
    },
    ModelSpec {
        name: "resnet34",
        build: |config, root| build(&RESNET34, config, root),
        parameters: 21_797_672,
        multiply_adds: 3_663_761_408,
        weights: &[
            WeightSource::torchvision(
                "IMAGENET1K_V1",
                "https://download.pytorch.org/models/resnet34-b627a593.pth",
                "b627a593",
                73.314,
            ),
            WeightSource::hub("a1_in1k", "hf:timm/resnet34.a1_in1k", "apache-2.0"),
            WeightSource::hub("tv_in1k", "hf:timm/resnet34.tv_in1k", "bsd-3-clause"),
        ],
        ..BASE
    },
    ModelSpec {
        name: "resnet50",
        build: |config, root| build(&RESNET50, config, root),
        parameters: 25_557_032,
        multiply_adds: 4_089_184_256,
        weights: &[
            WeightSource::torchvision(
                "IMAGENET1K_V1",
                "https://download.pytorch.org/models/resnet50-0676ba61.pth",
                "0676ba61",
                76.13,
            ),
            WeightSource::torchvision(
                "IMAGENET1K_V2",
                "https://download.pytorch.org/models/resnet50-11ad3fa6.pth",
                "11ad3fa6",
                80.858,
            ),
            WeightSource::hub("a1_in1k", "hf:timm/resnet50.a1_in1k", "apache-2.0"),
            WeightSource::hub("tv2_in1k", "hf:timm/resnet50.tv2_in1k", "bsd-3-clause"),
        ],
        ..BASE
    },
    ModelSpec {
        name: "resnet101",
        build: |config, root| build(&RESNET101, config, root),
        parameters: 44_549_160,
        multiply_adds: 7_801_405_440,
        weights: &[
            WeightSource::torchvision(
                "IMAGENET1K_V1",
                "https://download.pytorch.org/models/resnet101-63fe2227.pth",
                "63fe2227",
                77.374,
            ),
            WeightSource::torchvision(
                "IMAGENET1K_V2",
                "https://download.pytorch.org/models/resnet101-cd907fc2.pth",
                "cd907fc2",
                81.886,
            ),
            WeightSource::hub("a1_in1k", "hf:timm/resnet101.a1_in1k", "apache-2.0"),
        ],
        ..BASE
    },
    ModelSpec {
        name: "resnet152",
        build: |config, root| build(&RESNET152, config, root),
        parameters: 60_192_808,
        multiply_adds: 11_513_626_624,
        weights: &[
            WeightSource::torchvision(
                "IMAGENET1K_V1",
                "https://download.pytorch.org/models/resnet152-394f9c45.pth",
                "394f9c45",
                78.312,
            ),
            WeightSource::torchvision(
                "IMAGENET1K_V2",
                "https://download.pytorch.org/models/resnet152-f82ba261.pth",
                "f82ba261",
                82.284,
            ),
            WeightSource::hub("a1_in1k", "hf:timm/resnet152.a1_in1k", "apache-2.0"),
        ],
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "resnet",
    paper: "He et al. 2015, arXiv:1512.03385",
    preset: Preset::ImageNet,
    first_conv: "conv1",
    classifier: "fc",
    ..ModelSpec::IMAGENET
};

fn build(variant: &Variant, config: &ModelConfig, root: &Builder) -> Built {
    let num_classes = config.num_classes.unwrap_or(1000);
    let mut model = StagedBuilder::default();

    let conv1 = conv(config.in_channels.unwrap_or(3), 64, 7, 2);
    let stem = ConvNormActConfig::new(conv1, BatchNorm2dConfig::new(64), Activation::Relu);
    model.stage(
        "act1",
        64,
        2,
        Sequential::new().add(stem.build(&root.pp("conv1"), &root.pp("bn1"))?),
    );
    model.group("stem", &["conv1", "bn1"]);

    let mut channels = 64;
    let mut index = 0;
    let block_count = variant.blocks.iter().sum();
    for (stage, &blocks) in variant.blocks.iter().enumerate() {
        let name = format!("layer{}", stage + 1);
        let width = 64 << stage;
        let mut layers = Sequential::new();
        if stage == 0 {
            layers =
                layers.add(MaxPool2d::new(3, 2, &root.pp("maxpool")).with_padding(Padding::all(1)));
        }
        for number in 0..blocks {
            let stride = if stage > 0 && number == 0 { 2 } else { 1 };
            let drop_path = config.drop_path(index, block_count);
            layers = layers.add(block(
                variant.block,
                channels,
                width,
                stride,
                drop_path,
                &root.pp(&name).pp(number),
            )?);
            channels = variant.block.expansion() * width;
            index += 1;
        }
        model.stage(name.as_str(), channels, 4 << stage, layers);
        model.group(&format!("stage{}", stage + 1), &[&name]);
    }

    model.group("head", &["fc"]);
    let head = LinearHead::build(
        root,
        "fc",
        channels,
        num_classes,
        config.drop_rate.unwrap_or(0.),
    )?;
    Ok(model.finish(channels, num_classes, head))
}

impl Block {
    fn expansion(self) -> usize {
        if self == Self::Basic { 1 } else { 4 }
    }
}

/// Bias-free and padded to keep the size, initialised for the ReLU behind it.
fn conv(from: usize, to: usize, kernel_size: usize, stride: usize) -> Conv2dConfig {
    Conv2dConfig::new(from, to, kernel_size)
        .with_stride(stride)
        .with_padding(Padding::all(kernel_size / 2))
        .with_init(Init::KAIMING_NORMAL_OUT)
}

fn block(
    kind: Block,
    input: usize,
    width: usize,
    stride: usize,
    drop_path: f64,
    at: &Builder,
) -> Result<Residual> {
    let output = kind.expansion() * width;
    let convolutions = match kind {
        Block::Basic => vec![conv(input, width, 3, stride), conv(width, output, 3, 1)],
        Block::Bottleneck => vec![
            conv(input, width, 1, 1),
            conv(width, width, 3, stride),
            conv(width, output, 1, 1),
        ],
    };
    let count = convolutions.len();
    // The branch ends without an activation and, as in timm, starts as zero: each block begins as
    // the identity.
    let units = (1..).zip(convolutions).map(|(number, convolution)| {
        let (channels, activation, weight_init) = if number == count {
            (output, Activation::Identity, Init::ZEROS)
        } else {
            (width, Activation::Relu, Init::ONES)
        };
        let norm = BatchNorm2dConfig::new(channels).with_weight_init(weight_init);
        let unit = ConvNormActConfig::new(convolution, norm, activation);
        unit.build(
            &at.pp(format!("conv{number}")),
            &at.pp(format!("bn{number}")),
        )
    });
    let mut units = units.collect::<Result<Vec<_>>>()?;
    let last = units.pop().expect("a block has convolutions");
    let shortcut = if stride != 1 || input != output {
        let unit = ConvNormActConfig::new(
            conv(input, output, 1, stride),
            BatchNorm2dConfig::new(output),
            Activation::Identity,
        );
        Some(
            Box::new(unit.build(&at.pp("downsample").pp(0), &at.pp("downsample").pp(1))?)
                as Box<dyn Layer>,
        )
    } else {
        None
    };
    Ok(Residual {
        branch: units.into_iter().collect(),
        last,
        shortcut,
        sum: ResidualSum::new(
            drop_path,
            Some(Activate::new(
                Activation::Relu,
                &at.pp(format!("act{count}")),
            )),
            at,
        )?,
    })
}
