//! AlexNet (Krizhevsky et al. 2012), in the form of "One weird trick for parallelizing convolutional
//! neural networks" (Krizhevsky 2014) for one processor, names as in torchvision. Not in timm: a stage
//! ends before each max-pooling, and the last pooling is a stage of its own, as in timm's VGG.

use candle_core::Tensor;
use cnn_layers::{
    Activate, Activation, AdaptiveAvgPool2d, Builder, Context, Conv2dConfig, ConvAct, Dropout,
    FeatureMap, Flatten, Head, Layer, Linear, LinearConfig, MaxPool2d, Padding, StagedBuilder,
    StagedClassifier,
};

use crate::{Build, Error, ModelConfig, ModelSpec, preset};

/// A convolution with a ReLU, and whether a max-pooling follows.
struct Row {
    channels: usize,
    kernel_size: usize,
    stride: usize,
    padding: usize,
    is_pooled: bool,
}

/// The convolutions of the paper's figure 2, as wide as in the paper of 2014.
const ROWS: [Row; 5] = [
    row(64, 11, 4, 2, true),
    row(192, 5, 1, 2, true),
    row(384, 3, 1, 1, false),
    row(256, 3, 1, 1, false),
    row(256, 3, 1, 1, true),
];

/// Rows and columns of the map that the linear layers read.
const HEAD_WINDOW: [usize; 2] = [6, 6];

/// Features of the linear layers before the last.
const HIDDEN: usize = 4096;

/// With counts for 1000 classes and images of 3×224×224.
pub(crate) const MODELS: &[ModelSpec] = &[ModelSpec {
    name: "alexnet",
    family: "alexnet",
    paper: "Krizhevsky et al. 2012, \"ImageNet Classification with Deep Convolutional Neural \
        Networks\"; Krizhevsky 2014, arXiv:1404.5997",
    build: Build::Staged(build),
    parameters: 61_100_840,
    multiply_adds: 714_188_480,
    preset: preset::imagenet_bilinear,
    first_conv: "features.0",
    classifier: CLASSIFIER,
    reduced,
    ..ModelSpec::OWN
}];

/// Of the 61 million weights, the first two linear layers have 55: they are narrower.
fn reduced() -> ModelConfig {
    let widths = [("classifier.1", 96), ("classifier.4", 80)];
    ModelConfig {
        widths: widths
            .map(|(layer, width)| (layer.to_string(), width))
            .into(),
        ..ModelConfig::default()
    }
}

const CLASSIFIER: &str = "classifier.6";

const fn row(
    channels: usize,
    kernel_size: usize,
    stride: usize,
    padding: usize,
    is_pooled: bool,
) -> Row {
    Row {
        channels,
        kernel_size,
        stride,
        padding,
        is_pooled,
    }
}

fn build(config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
    let drop_rate = config.read_args("alexnet", |args| args.probability("drop_rate"))?;
    let drop_rate = drop_rate.unwrap_or(0.5);
    let features = root.pp("features");
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(3));
    // Where the next layer lies in `features`, and the modules and the number of the stage so far.
    let mut index = 0;
    let mut modules = Vec::new();
    let mut stage = 0;
    for row in ROWS {
        let at = features.pp(index);
        let channels = at.width(row.channels);
        let conv = Conv2dConfig::new(net.channels(), channels, row.kernel_size)
            .with_stride(row.stride)
            .with_padding(Padding::all(row.padding));
        let relu = Activate::new(Activation::Relu, &features.pp(index + 1));
        net.add(ConvAct::build(&conv, relu, &at)?)
            .set_channels(channels)
            .add_stride(row.stride);
        modules.push(format!("features.{index}"));
        index += 2;
        if row.is_pooled {
            stage += 1;
            let modules: Vec<String> = std::mem::take(&mut modules);
            let modules: Vec<&str> = modules.iter().map(String::as_str).collect();
            net.group(&format!("stage{stage}"), &modules);
            net.end_stage(&format!("features.{}", index - 1));
            let pool = MaxPool2d::new(3, 2).at(&features.pp(index));
            net.add(pool).add_stride(2);
            index += 1;
        }
    }
    net.end_stage(&format!("features.{}", index - 1));

    let num_classes = config.num_classes.unwrap_or(1000);
    let at = root.pp("classifier");
    let fc1 = at.pp(1).width(HIDDEN);
    let fc2 = at.pp(4).width(HIDDEN);
    let inputs = net.channels() * HEAD_WINDOW.iter().product::<usize>();
    let head = AlexNetHead {
        pool: AdaptiveAvgPool2d::new(HEAD_WINDOW).at(&root.pp("avgpool")),
        flatten: Flatten::new(&root.pp("flatten")),
        drop1: Dropout::new(drop_rate, &at.pp(0))?,
        fc1: LinearConfig::new(inputs, fc1).build(&at.pp(1))?,
        act1: Activate::new(Activation::Relu, &at.pp(2)),
        drop2: Dropout::new(drop_rate, &at.pp(3))?,
        fc2: LinearConfig::new(fc1, fc2).build(&at.pp(4))?,
        act2: Activate::new(Activation::Relu, &at.pp(5)),
        fc3: LinearConfig::new(fc2, num_classes).build(&root.pp(CLASSIFIER))?,
    };
    net.head_group("fc1", &["classifier.1"]);
    net.head_group("fc2", &["classifier.4"]);
    Ok(net.classifier(num_classes, &[CLASSIFIER], head))
}

/// Three linear layers over the maps, which are brought to 6×6 pixels where they have others.
struct AlexNetHead {
    pool: AdaptiveAvgPool2d,
    flatten: Flatten,
    drop1: Dropout,
    fc1: Linear,
    act1: Activate,
    drop2: Dropout,
    fc2: Linear,
    act2: Activate,
    fc3: Linear,
}

impl Head for AlexNetHead {
    fn input(&self, features: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<FeatureMap> {
        self.pool.forward(features, cx)
    }

    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<Tensor> {
        let xs = self
            .flatten
            .forward(&self.pool.forward(features, cx)?, cx)?;
        let xs = self.drop1.forward_vectors(&xs, cx)?;
        let xs = self.act1.forward_vectors(&self.fc1.forward(&xs, cx)?, cx)?;
        let xs = self.drop2.forward_vectors(&xs, cx)?;
        let xs = self.act2.forward_vectors(&self.fc2.forward(&xs, cx)?, cx)?;
        self.fc3.forward(&xs, cx)
    }
}
