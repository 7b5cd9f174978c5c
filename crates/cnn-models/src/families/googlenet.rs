//! GoogLeNet (Szegedy et al. 2014, "Going Deeper with Convolutions"), with batch normalisation and
//! names as in torchvision, where the branch of 5×5 convolutions has 3×3 ones, as the published weights
//! do. Not in timm: a stage ends before each max-pooling.

use candle_core::Tensor;
use cnn_layers::{
    Activate, Activation, AdaptiveAvgPool2d, Builder, Context, ConvNormAct, Dropout, FeatureMap,
    Flatten, Head, Init, Layer, Linear, LinearConfig, LinearHead, MaxPool2d, StagedBuilder,
    StagedClassifier,
};

use crate::inception_module::{Branch, Conv, Pool, Units};
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

/// Channels of a module: a row of the paper's table 1.
struct Row {
    name: &'static str,
    branch1: usize,
    /// The 1×1 convolution that narrows the map, and the 3×3 after it.
    branch2: [usize; 2],
    branch3: [usize; 2],
    /// The 1×1 convolution after the pooling.
    branch4: usize,
}

/// The modules between two poolings.
const STAGES: [&[Row]; 3] = [
    &[
        row("inception3a", 64, [96, 128], [16, 32], 32),
        row("inception3b", 128, [128, 192], [32, 96], 64),
    ],
    &[
        row("inception4a", 192, [96, 208], [16, 48], 64),
        row("inception4b", 160, [112, 224], [24, 64], 64),
        row("inception4c", 128, [128, 256], [24, 64], 64),
        row("inception4d", 112, [144, 288], [32, 64], 64),
        row("inception4e", 256, [160, 320], [32, 128], 128),
    ],
    &[
        row("inception5a", 256, [160, 320], [32, 128], 128),
        row("inception5b", 384, [192, 384], [48, 128], 128),
    ],
];

const fn row(
    name: &'static str,
    branch1: usize,
    branch2: [usize; 2],
    branch3: [usize; 2],
    branch4: usize,
) -> Row {
    Row {
        name,
        branch1,
        branch2,
        branch3,
        branch4,
    }
}

impl Row {
    fn branches(&self) -> Vec<Branch> {
        let [narrow3, wide3] = self.branch2;
        let [narrow5, wide5] = self.branch3;
        vec![
            Branch::of([Conv::new("branch1", self.branch1, 1)]),
            Branch::of([
                Conv::new("branch2.0", narrow3, 1),
                Conv::new("branch2.1", wide3, 3),
            ]),
            Branch::of([
                Conv::new("branch3.0", narrow5, 1),
                Conv::new("branch3.1", wide5, 3),
            ]),
            Branch::of([Conv::new("branch4.1", self.branch4, 1)]).after(Pool::Max {
                name: "branch4.0",
                stride: 1,
            }),
        ]
    }
}

/// Each auxiliary head, and the module whose output it reads.
const AUXILIARY: [(&str, &str); 2] = [("aux1", "inception4a"), ("aux2", "inception4d")];

/// How much the loss of each auxiliary head counts (section 5 of the paper).
const AUXILIARY_WEIGHT: f64 = 0.3;

/// Normal with this deviation: torchvision cuts it off so far out that nothing is cut.
const INIT: Init = Init::Normal { std: 0.01 };

/// With counts for 1000 classes and images of 3×224×224.
pub(crate) const MODELS: &[ModelSpec] = &[ModelSpec {
    name: "googlenet",
    family: "googlenet",
    paper: "Szegedy et al. 2014, arXiv:1409.4842",
    build: Build::Staged(build),
    parameters: 6_624_904,
    multiply_adds: 1_498_376_192,
    // torchvision's `transform_input`, with which its weights were published, gives these numbers.
    preset: preset::inception_bilinear,
    first_conv: "conv1.conv",
    classifier: CLASSIFIER,
    auxiliary: &["aux1", "aux2"],
    ..ModelSpec::OWN
}];

const CLASSIFIER: &str = "fc";

/// What the family knows: `drop_rate`, torchvision's `dropout_aux` (that of the auxiliary heads) and
/// `aux_logits` (whether it has these).
struct Args {
    drop_rate: f64,
    dropout_aux: f64,
    aux_logits: bool,
}

fn build(config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
    let args = config.read_args("googlenet", |args| {
        Ok(Args {
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.2),
            dropout_aux: args.probability("dropout_aux")?.unwrap_or(0.7),
            aux_logits: args.flag("aux_logits")?.unwrap_or(true),
        })
    })?;
    let num_classes = config.num_classes.unwrap_or(1000);
    let units = Units::new(1e-3, INIT);
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(3));
    net.group("stem", &["conv1", "conv2", "conv3"]);
    units.add(&mut net, &Conv::new("conv1", 64, 7).with_stride(2, 3))?;
    net.end_stage("conv1");
    pool(&mut net, "maxpool1", 3);
    units.add(&mut net, &Conv::new("conv2", 64, 1))?;
    units.add(&mut net, &Conv::new("conv3", 192, 3))?;
    net.end_stage("conv3");
    for (number, rows) in (1..).zip(STAGES) {
        // The pooling belongs to the stage that it leads to.
        let window = if number == 3 { 2 } else { 3 };
        pool(&mut net, &format!("maxpool{}", number + 1), window);
        let names: Vec<&str> = rows.iter().map(|row| row.name).collect();
        net.group(&format!("stage{number}"), &names);
        for row in rows {
            units.add_module(&mut net, row.name, &row.branches())?;
            let head = AUXILIARY.iter().find(|(_, module)| *module == row.name);
            if let Some((name, _)) = head.filter(|_| args.aux_logits) {
                let at = net.at(name);
                let head = AuxiliaryHead::build(&units, net.channels(), num_classes, &args, &at)?;
                net.auxiliary(name, AUXILIARY_WEIGHT, head);
            }
        }
        net.end_stage(names[names.len() - 1]);
    }
    let linear = LinearConfig::new(net.channels(), num_classes).with_init(INIT);
    let head = LinearHead::of(linear.build(&root.pp(CLASSIFIER))?, root, args.drop_rate)?;
    Ok(net.classifier(num_classes, &[CLASSIFIER], head))
}

/// A max-pooling that halves the resolution and counts windows that reach beyond the map.
fn pool(net: &mut StagedBuilder, name: &str, window: usize) {
    let pool = MaxPool2d::new(window, 2).at(&net.at(name)).with_ceil_mode();
    net.add(pool).add_stride(2);
}

/// The mean of 4×4 bins, a 1×1 convolution and two linear layers.
struct AuxiliaryHead {
    pool: AdaptiveAvgPool2d,
    conv: ConvNormAct,
    flatten: Flatten,
    fc1: Linear,
    act: Activate,
    dropout: Dropout,
    fc2: Linear,
}

impl AuxiliaryHead {
    fn build(
        units: &Units,
        channels: usize,
        num_classes: usize,
        args: &Args,
        at: &Builder,
    ) -> candle_core::Result<Self> {
        let bins = [4, 4];
        let (conv, width) = units.build(&Conv::new("conv", 128, 1), channels, at)?;
        let inputs = width * bins.iter().product::<usize>();
        let fc1 = at.pp("fc1").width(1024);
        Ok(Self {
            pool: AdaptiveAvgPool2d::new(bins).at(&at.pp("pool")),
            conv,
            flatten: Flatten::new(&at.pp("flatten")),
            fc1: LinearConfig::new(inputs, fc1)
                .with_init(INIT)
                .build(&at.pp("fc1"))?,
            act: Activate::new(Activation::Relu, &at.pp("act")),
            dropout: Dropout::new(args.dropout_aux, &at.pp("dropout"))?,
            fc2: LinearConfig::new(fc1, num_classes)
                .with_init(INIT)
                .build(&at.pp("fc2"))?,
        })
    }
}

impl Head for AuxiliaryHead {
    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<Tensor> {
        let xs = self.pool.forward(features, cx)?;
        let xs = self.flatten.forward(&self.conv.forward(&xs, cx)?, cx)?;
        let xs = self.act.forward_vectors(&self.fc1.forward(&xs, cx)?, cx)?;
        self.fc2
            .forward(&self.dropout.forward_vectors(&xs, cx)?, cx)
    }
}
