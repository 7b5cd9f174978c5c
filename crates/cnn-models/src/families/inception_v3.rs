//! Inception-v3 (Szegedy et al. 2015, "Rethinking the Inception Architecture for Computer Vision"),
//! names and stages as in timm, which are torchvision's too.

use candle_core::Tensor;
use cnn_layers::{
    AdaptiveAvgPool2d, AvgPool2d, Builder, Context, ConvNormAct, FeatureMap, Head, Init, Layer,
    LinearConfig, LinearHead, MaxPool2d, StagedBuilder, StagedClassifier,
};

use crate::inception_module::{Branch, Conv, Pool, Units};
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

/// The modules of table 1, between two halvings of the resolution.
const STAGES: [&[(&str, Module)]; 3] = [
    &[
        ("Mixed_5b", Module::A { pooled: 32 }),
        ("Mixed_5c", Module::A { pooled: 64 }),
        ("Mixed_5d", Module::A { pooled: 64 }),
    ],
    &[
        ("Mixed_6a", Module::B),
        ("Mixed_6b", Module::C { width: 128 }),
        ("Mixed_6c", Module::C { width: 160 }),
        ("Mixed_6d", Module::C { width: 160 }),
        ("Mixed_6e", Module::C { width: 192 }),
    ],
    &[
        ("Mixed_7a", Module::D),
        ("Mixed_7b", Module::E),
        ("Mixed_7c", Module::E),
    ],
];

/// The auxiliary head, and the module whose output it reads.
const AUXILIARY: &str = "AuxLogits";
const AUXILIARY_AT: &str = "Mixed_6e";

/// How much the loss of the auxiliary head counts, as in the authors' own training.
const AUXILIARY_WEIGHT: f64 = 0.4;

#[derive(Clone, Copy)]
enum Module {
    /// Figure 5: 3×3 kernels in place of 5×5 ones. The pooling's branch gives `pooled` channels.
    A { pooled: usize },
    /// Halves the resolution of the first stage.
    B,
    /// Figure 6: 1×7 and 7×1 kernels, `width` channels between them.
    C { width: usize },
    /// Halves the resolution of the second stage.
    D,
    /// Figure 7: branches that fork into 1×3 and 3×1 kernels.
    E,
}

impl Module {
    fn branches(self) -> Vec<Branch> {
        let row = |name, channels| Conv::with_kernel(name, channels, [1, 7]);
        let column = |name, channels| Conv::with_kernel(name, channels, [7, 1]);
        let fork = |row, column| {
            [
                Conv::with_kernel(row, 384, [1, 3]),
                Conv::with_kernel(column, 384, [3, 1]),
            ]
        };
        let mean = Pool::Mean {
            name: "pool",
            count_include_pad: true,
        };
        let maximum = Pool::Max {
            name: "pool",
            stride: 2,
        };
        match self {
            Self::A { pooled } => vec![
                Branch::of([Conv::new("branch1x1", 64, 1)]),
                Branch::of([
                    Conv::new("branch5x5_1", 48, 1),
                    Conv::new("branch5x5_2", 64, 5),
                ]),
                Branch::of([
                    Conv::new("branch3x3dbl_1", 64, 1),
                    Conv::new("branch3x3dbl_2", 96, 3),
                    Conv::new("branch3x3dbl_3", 96, 3),
                ]),
                Branch::of([Conv::new("branch_pool", pooled, 1)]).after(mean),
            ],
            Self::B => vec![
                Branch::of([Conv::new("branch3x3", 384, 3).valid(2)]),
                Branch::of([
                    Conv::new("branch3x3dbl_1", 64, 1),
                    Conv::new("branch3x3dbl_2", 96, 3),
                    Conv::new("branch3x3dbl_3", 96, 3).valid(2),
                ]),
                Branch::pooling(maximum),
            ],
            Self::C { width } => vec![
                Branch::of([Conv::new("branch1x1", 192, 1)]),
                Branch::of([
                    Conv::new("branch7x7_1", width, 1),
                    row("branch7x7_2", width),
                    column("branch7x7_3", 192),
                ]),
                Branch::of([
                    Conv::new("branch7x7dbl_1", width, 1),
                    column("branch7x7dbl_2", width),
                    row("branch7x7dbl_3", width),
                    column("branch7x7dbl_4", width),
                    row("branch7x7dbl_5", 192),
                ]),
                Branch::of([Conv::new("branch_pool", 192, 1)]).after(mean),
            ],
            Self::D => vec![
                Branch::of([
                    Conv::new("branch3x3_1", 192, 1),
                    Conv::new("branch3x3_2", 320, 3).valid(2),
                ]),
                Branch::of([
                    Conv::new("branch7x7x3_1", 192, 1),
                    row("branch7x7x3_2", 192),
                    column("branch7x7x3_3", 192),
                    Conv::new("branch7x7x3_4", 192, 3).valid(2),
                ]),
                Branch::pooling(maximum),
            ],
            Self::E => vec![
                Branch::of([Conv::new("branch1x1", 320, 1)]),
                Branch::of([Conv::new("branch3x3_1", 384, 1)])
                    .forked(fork("branch3x3_2a", "branch3x3_2b")),
                Branch::of([
                    Conv::new("branch3x3dbl_1", 448, 1),
                    Conv::new("branch3x3dbl_2", 384, 3),
                ])
                .forked(fork("branch3x3dbl_3a", "branch3x3dbl_3b")),
                Branch::of([Conv::new("branch_pool", 192, 1)]).after(mean),
            ],
        }
    }
}

/// Normal with this deviation: timm cuts it off so far out that nothing is cut.
const INIT: Init = Init::Normal { std: 0.1 };

/// With counts for 1000 classes and images of 3×299×299.
pub(crate) const MODELS: &[ModelSpec] = &[ModelSpec {
    name: "inception_v3",
    family: "inception_v3",
    paper: "Szegedy et al. 2015, arXiv:1512.00567",
    build: Build::Staged(build),
    parameters: 23_834_568,
    multiply_adds: 5_713_216_096,
    preset: preset::inception_299,
    first_conv: "Conv2d_1a_3x3.conv",
    classifier: CLASSIFIER,
    auxiliary: &[AUXILIARY],
    ..ModelSpec::OWN
}];

const CLASSIFIER: &str = "fc";

/// What the family knows: timm's `drop_rate`, `norm_eps` and `aux_logits` (whether it has the auxiliary
/// head).
struct Args {
    drop_rate: f64,
    norm_eps: f64,
    aux_logits: bool,
}

fn build(config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
    let args = config.read_args("inception_v3", |args| {
        Ok(Args {
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
            norm_eps: args.number("norm_eps", 0.0..=1.)?.unwrap_or(1e-3),
            aux_logits: args.flag("aux_logits")?.unwrap_or(true),
        })
    })?;
    let num_classes = config.num_classes.unwrap_or(1000);
    let units = Units::new(args.norm_eps, INIT);
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(3));

    net.group("stem", &["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"]);
    units.add(&mut net, &Conv::new("Conv2d_1a_3x3", 32, 3).valid(2))?;
    units.add(&mut net, &Conv::new("Conv2d_2a_3x3", 32, 3).valid(1))?;
    units.add(&mut net, &Conv::new("Conv2d_2b_3x3", 64, 3))?;
    net.end_stage("Conv2d_2b_3x3");
    net.group("stage1", &["Conv2d_3b_1x1", "Conv2d_4a_3x3"]);
    pool(&mut net, "Pool1");
    units.add(&mut net, &Conv::new("Conv2d_3b_1x1", 80, 1))?;
    units.add(&mut net, &Conv::new("Conv2d_4a_3x3", 192, 3).valid(1))?;
    net.end_stage("Conv2d_4a_3x3");
    pool(&mut net, "Pool2");
    for (number, modules) in (2..).zip(STAGES) {
        let names: Vec<&str> = modules.iter().map(|(name, _)| *name).collect();
        net.group(&format!("stage{number}"), &names);
        for (name, module) in modules {
            units.add_module(&mut net, name, &module.branches())?;
            if *name == AUXILIARY_AT && args.aux_logits {
                let at = net.at(AUXILIARY);
                let head = AuxiliaryHead::build(&units, net.channels(), num_classes, &at)?;
                net.auxiliary(AUXILIARY, AUXILIARY_WEIGHT, head);
            }
        }
        net.end_stage(names[names.len() - 1]);
    }
    let linear = LinearConfig::new(net.channels(), num_classes).with_init(INIT);
    let head = LinearHead::of(linear.build(&root.pp(CLASSIFIER))?, root, args.drop_rate)?;
    Ok(net.classifier(num_classes, &[CLASSIFIER], head))
}

/// A max-pooling that halves the resolution.
fn pool(net: &mut StagedBuilder, name: &str) {
    let pool = MaxPool2d::new(3, 2).at(&net.at(name));
    net.add(pool).add_stride(2);
}

/// The mean under 5×5 windows, a 1×1 and a 5×5 convolution, and a linear layer over the mean.
///
/// The 5×5 convolution needs as many means, which a map of 17×17 pixels has, that of an image of
/// 299×299. A smaller map, which timm and torchvision refuse, is brought to 5×5 bins.
struct AuxiliaryHead {
    at_pool: Builder,
    conv0: ConvNormAct,
    conv1: ConvNormAct,
    scores: LinearHead,
}

impl AuxiliaryHead {
    fn build(
        units: &Units,
        channels: usize,
        num_classes: usize,
        at: &Builder,
    ) -> candle_core::Result<Self> {
        let conv0 = Conv::new("conv0", 128, 1);
        let (conv0, channels) = units.build(&conv0, channels, at)?;
        let conv1 = Conv::new("conv1", 768, 5).valid(1);
        let (conv1, channels) = units.build(&conv1, channels, at)?;
        let linear =
            LinearConfig::new(channels, num_classes).with_init(Init::Normal { std: 0.001 });
        Ok(Self {
            at_pool: at.pp("pool"),
            conv0,
            conv1,
            scores: LinearHead::of(linear.build(&at.pp("fc"))?, at, 0.)?,
        })
    }
}

impl Head for AuxiliaryHead {
    fn forward(&self, features: &FeatureMap, cx: &Context<'_>) -> candle_core::Result<Tensor> {
        let size = [features.height(), features.width()];
        let xs = if size.iter().any(|&pixels| pixels < 17) {
            let bins = size.map(|pixels| if pixels < 17 { 5 } else { (pixels - 5) / 3 + 1 });
            let pool = AdaptiveAvgPool2d::new(bins).at(&self.at_pool);
            pool.forward(features, cx)
        } else {
            let pool = AvgPool2d::new(5, 3).at(&self.at_pool);
            pool.forward(features, cx)
        }?;
        let xs = self.conv1.forward(&self.conv0.forward(&xs, cx)?, cx)?;
        self.scores.forward(&xs, cx)
    }
}
