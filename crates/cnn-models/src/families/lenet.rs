//! LeNet-5 (LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition"), with
//! ReLU and max-pooling as it is taught today, or with the paper's tanh and average pooling. The
//! first convolution pads by 2, so that 28×28 digits give the paper's maps. Not in timm: `stage0`
//! and `stage1` are the outputs of the two poolings. `channel_multiplier` widens all layers but the
//! last, as networks that are trained under attack need it.

use candle_core::Tensor;
use cnn_layers::{
    Activate, Activation, AvgPool2d, Builder, Context, Conv2dConfig, ConvAct, Dropout, FeatureMap,
    Flatten, Head, Linear, LinearConfig, MaxPool2d, Padding, StagedBuilder, StagedClassifier,
};

use crate::{Build, Error, ModelConfig, ModelSpec, preset};

struct Variant {
    name: &'static str,
    activation: Activation,
    max_pool: bool,
}

const LENET5: Variant = Variant {
    name: "lenet5",
    activation: Activation::Relu,
    max_pool: true,
};
const LENET5_TANH: Variant = Variant {
    name: "lenet5_tanh",
    activation: Activation::Tanh,
    max_pool: false,
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: LENET5.name,
        build: Build::Staged(|config, root| build(&LENET5, config, root)),
        ..BASE
    },
    ModelSpec {
        name: LENET5_TANH.name,
        build: Build::Staged(|config, root| build(&LENET5_TANH, config, root)),
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "lenet",
    paper: "LeCun et al. 1998, doi:10.1109/5.726791",
    parameters: 61_706,
    multiply_adds: 416_520,
    preset: preset::mnist,
    num_classes: 10,
    labels: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    in_channels: 1,
    first_conv: "conv1",
    classifier: "fc3",
    ..ModelSpec::OWN
};

fn build(
    variant: &Variant,
    config: &ModelConfig,
    root: &Builder,
) -> Result<StagedClassifier, Error> {
    let [height, width] = config.input_size.unwrap_or([28, 28]);
    if height.min(width) < 12 {
        let found = format!("{height}×{width}");
        let expected = "at least 12×12".to_string();
        return Err(Error::Argument {
            model: variant.name,
            what: "input_size",
            found,
            expected,
        });
    }
    let args = config.read_args(BASE.family, |args| {
        Ok(Args {
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
            channel_multiplier: args.number("channel_multiplier", 0.1..=32.)?.unwrap_or(1.),
        })
    })?;
    let wide = |channels: usize| {
        let channels = channels as f64 * args.channel_multiplier;
        (channels.round() as usize).max(1)
    };
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels));
    for (number, channels, padding) in [(1, 6, 2), (2, 16, 0)] {
        let at = net.at(format!("conv{number}"));
        let channels = at.width(wide(channels));
        net.group(&format!("stage{number}"), &[&format!("conv{number}")]);
        let conv =
            Conv2dConfig::new(net.channels(), channels, 5).with_padding(Padding::all(padding));
        let act = Activate::new(variant.activation, &net.at(format!("act{number}")));
        let conv = ConvAct::build(&conv, act, &at)?;
        let pool = net.at(format!("pool{number}"));
        net.add(conv).set_channels(channels).add_stride(2);
        if variant.max_pool {
            net.add(MaxPool2d::new(2, 2).at(&pool));
        } else {
            net.add(AvgPool2d::new(2, 2).at(&pool));
        }
        net.end_stage(&format!("pool{number}"));
    }
    net.head_group("fc1", &["fc1"]);
    net.head_group("fc2", &["fc2"]);

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    let pixels = (height / 2 - 4) / 2 * ((width / 2 - 4) / 2);
    let fc1 = root.pp("fc1").width(wide(120));
    let fc2 = root.pp("fc2").width(wide(84));
    let head = LeNetHead {
        flatten: Flatten::new(&root.pp("flatten")),
        fc1: LinearConfig::new(net.channels() * pixels, fc1).build(&root.pp("fc1"))?,
        act3: Activate::new(variant.activation, &root.pp("act3")),
        fc2: LinearConfig::new(fc1, fc2).build(&root.pp("fc2"))?,
        act4: Activate::new(variant.activation, &root.pp("act4")),
        dropout: Dropout::new(args.drop_rate, &root.pp("head_drop"))?,
        fc3: LinearConfig::new(fc2, num_classes).build(&root.pp("fc3"))?,
    };
    Ok(net.classifier(num_classes, &[BASE.classifier], head))
}

/// What the family knows.
struct Args {
    drop_rate: f64,
    /// The width of all layers but the last, relative to the paper's.
    channel_multiplier: f64,
}

/// Three linear layers over the flattened maps.
struct LeNetHead {
    flatten: Flatten,
    fc1: Linear,
    act3: Activate,
    fc2: Linear,
    act4: Activate,
    dropout: Dropout,
    fc3: Linear,
}

impl Head for LeNetHead {
    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<Tensor> {
        let xs = self.flatten.forward(features, cx)?;
        let xs = self.act3.forward_vectors(&self.fc1.forward(&xs, cx)?, cx)?;
        let xs = self.act4.forward_vectors(&self.fc2.forward(&xs, cx)?, cx)?;
        self.fc3
            .forward(&self.dropout.forward_vectors(&xs, cx)?, cx)
    }
}
