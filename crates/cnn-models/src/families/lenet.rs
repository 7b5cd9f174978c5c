//! LeNet-5 (LeCun et al. 1998, "Gradient-Based Learning Applied to Document Recognition"), with
//! ReLU and max-pooling as it is taught today, or with the paper's tanh and average pooling. The
//! first convolution pads by 2, so that 28×28 digits give the paper's maps. Not in timm: `stage0`
//! and `stage1` are the outputs of the two poolings.

use candle_core::{Result, Tensor};
use cnn_layers::{
    Activate, Activation, AvgPool2d, Builder, Context, Conv2dConfig, ConvAct, Dropout, FeatureMap,
    Linear, LinearConfig, MaxPool2d, Padding, Sequential,
};

use crate::registry::{Built, ModelSpec, Preset};
use crate::staged::{Head, StagedBuilder};
use crate::{Error, ModelConfig};

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
        build: |config, root| build(&LENET5, config, root),
        ..BASE
    },
    ModelSpec {
        name: LENET5_TANH.name,
        build: |config, root| build(&LENET5_TANH, config, root),
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "lenet",
    paper: "LeCun et al. 1998, doi:10.1109/5.726791",
    parameters: 61_706,
    multiply_adds: 416_520,
    preset: Preset::Mnist,
    num_classes: 10,
    labels: &["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    in_channels: 1,
    first_conv: "conv1",
    classifier: "fc3",
    ..ModelSpec::IMAGENET
};

fn build(variant: &Variant, config: &ModelConfig, root: &Builder) -> Built {
    let num_classes = config.num_classes.unwrap_or(10);
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
    let mut model = StagedBuilder::default();
    let conv1 =
        Conv2dConfig::new(config.in_channels.unwrap_or(1), 6, 5).with_padding(Padding::all(2));
    model.stage("pool1", 6, 2, stage(variant, conv1, 1, root)?);
    model.stage(
        "pool2",
        16,
        4,
        stage(variant, Conv2dConfig::new(6, 16, 5), 2, root)?,
    );
    model.group("stage1", &["conv1"]);
    model.group("stage2", &["conv2"]);
    model.group("fc1", &["fc1"]);
    model.group("fc2", &["fc2"]);
    model.group("head", &["fc3"]);

    let pixels = (height / 2 - 4) / 2 * ((width / 2 - 4) / 2);
    let head = LeNetHead {
        fc1: LinearConfig::new(16 * pixels, 120).build(&root.pp("fc1"))?,
        act3: Activate::new(variant.activation, &root.pp("act3")),
        fc2: LinearConfig::new(120, 84).build(&root.pp("fc2"))?,
        act4: Activate::new(variant.activation, &root.pp("act4")),
        dropout: Dropout::new(config.drop_rate.unwrap_or(0.), &root.pp("head_drop"))?,
        fc3: LinearConfig::new(84, num_classes).build(&root.pp("fc3"))?,
    };
    Ok(model.finish(16, num_classes, head))
}

fn stage(
    variant: &Variant,
    conv: Conv2dConfig,
    number: usize,
    root: &Builder,
) -> Result<Sequential> {
    let pool = root.pp(format!("pool{number}"));
    let activation = Activate::new(variant.activation, &root.pp(format!("act{number}")));
    let layers = Sequential::new().add(ConvAct::build(
        &conv,
        activation,
        &root.pp(format!("conv{number}")),
    )?);
    Ok(if variant.max_pool {
        layers.add(MaxPool2d::new(2, 2, &pool))
    } else {
        layers.add(AvgPool2d::new(2, 2, &pool))
    })
}

/// Three linear layers over the flattened maps.
struct LeNetHead {
    fc1: Linear,
    act3: Activate,
    fc2: Linear,
    act4: Activate,
    dropout: Dropout,
    fc3: Linear,
}

impl Head for LeNetHead {
    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> Result<Tensor> {
        let xs = self
            .act3
            .forward_vectors(&self.fc1.forward(&features.flatten()?, cx)?, cx)?;
        let xs = self.act4.forward_vectors(&self.fc2.forward(&xs, cx)?, cx)?;
        self.fc3
            .forward(&self.dropout.forward_vectors(&xs, cx)?, cx)
    }
}
