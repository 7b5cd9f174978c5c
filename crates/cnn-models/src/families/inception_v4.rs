//! Inception-v4 (Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual
//! Connections on Learning"), names and stages as in timm.

use cnn_layers::{Builder, Init, StagedBuilder, StagedClassifier};

use crate::inception_module::{Branch, Conv, Pool, Units};
use crate::{Build, Error, ModelConfig, ModelSpec, preset};

/// The modules of figures 3 to 9, of which `features.3` is the first; a list for each stage.
const STAGES: [&[Module]; 4] = [
    &[Module::Stem3a],
    &[
        Module::Stem4a,
        Module::Stem5a,
        Module::A,
        Module::A,
        Module::A,
        Module::A,
    ],
    &[
        Module::ReductionA,
        Module::B,
        Module::B,
        Module::B,
        Module::B,
        Module::B,
        Module::B,
        Module::B,
    ],
    &[Module::ReductionB, Module::C, Module::C, Module::C],
];

#[derive(Clone, Copy)]
enum Module {
    Stem3a,
    Stem4a,
    Stem5a,
    A,
    ReductionA,
    B,
    ReductionB,
    C,
}

impl Module {
    fn branches(self) -> Vec<Branch> {
        let row = |name, channels| Conv::with_kernel(name, channels, [1, 7]);
        let column = |name, channels| Conv::with_kernel(name, channels, [7, 1]);
        let short_row = |name, channels| Conv::with_kernel(name, channels, [1, 3]);
        let short_column = |name, channels| Conv::with_kernel(name, channels, [3, 1]);
        let mean = Pool::Mean {
            name: "branch3.0",
            count_include_pad: false,
        };
        let maximum = |name| Branch::pooling(Pool::Max { name, stride: 2 });
        match self {
            Self::Stem3a => vec![
                maximum("maxpool"),
                Branch::of([Conv::new("conv", 96, 3).valid(2)]),
            ],
            Self::Stem4a => vec![
                Branch::of([
                    Conv::new("branch0.0", 64, 1),
                    Conv::new("branch0.1", 96, 3).valid(1),
                ]),
                Branch::of([
                    Conv::new("branch1.0", 64, 1),
                    row("branch1.1", 64),
                    column("branch1.2", 64),
                    Conv::new("branch1.3", 96, 3).valid(1),
                ]),
            ],
            Self::Stem5a => vec![
                Branch::of([Conv::new("conv", 192, 3).valid(2)]),
                maximum("maxpool"),
            ],
            Self::A => vec![
                Branch::of([Conv::new("branch0", 96, 1)]),
                Branch::of([Conv::new("branch1.0", 64, 1), Conv::new("branch1.1", 96, 3)]),
                Branch::of([
                    Conv::new("branch2.0", 64, 1),
                    Conv::new("branch2.1", 96, 3),
                    Conv::new("branch2.2", 96, 3),
                ]),
                Branch::of([Conv::new("branch3.1", 96, 1)]).after(mean),
            ],
            Self::ReductionA => vec![
                Branch::of([Conv::new("branch0", 384, 3).valid(2)]),
                Branch::of([
                    Conv::new("branch1.0", 192, 1),
                    Conv::new("branch1.1", 224, 3),
                    Conv::new("branch1.2", 256, 3).valid(2),
                ]),
                maximum("branch2"),
            ],
            Self::B => vec![
                Branch::of([Conv::new("branch0", 384, 1)]),
                Branch::of([
                    Conv::new("branch1.0", 192, 1),
                    row("branch1.1", 224),
                    column("branch1.2", 256),
                ]),
                Branch::of([
                    Conv::new("branch2.0", 192, 1),
                    column("branch2.1", 192),
                    row("branch2.2", 224),
                    column("branch2.3", 224),
                    row("branch2.4", 256),
                ]),
                Branch::of([Conv::new("branch3.1", 128, 1)]).after(mean),
            ],
            Self::ReductionB => vec![
                Branch::of([
                    Conv::new("branch0.0", 192, 1),
                    Conv::new("branch0.1", 192, 3).valid(2),
                ]),
                Branch::of([
                    Conv::new("branch1.0", 256, 1),
                    row("branch1.1", 256),
                    column("branch1.2", 320),
                    Conv::new("branch1.3", 320, 3).valid(2),
                ]),
                maximum("branch2"),
            ],
            Self::C => vec![
                Branch::of([Conv::new("branch0", 256, 1)]),
                Branch::of([Conv::new("branch1_0", 384, 1)]).forked([
                    short_row("branch1_1a", 256),
                    short_column("branch1_1b", 256),
                ]),
                Branch::of([
                    Conv::new("branch2_0", 384, 1),
                    short_column("branch2_1", 448),
                    short_row("branch2_2", 512),
                ])
                .forked([
                    short_row("branch2_3a", 256),
                    short_column("branch2_3b", 256),
                ]),
                Branch::of([Conv::new("branch3.1", 256, 1)]).after(mean),
            ],
        }
    }
}

/// With counts for 1000 classes and images of 3×299×299.
pub(crate) const MODELS: &[ModelSpec] = &[ModelSpec {
    name: "inception_v4",
    family: "inception_v4",
    paper: "Szegedy et al. 2016, arXiv:1602.07261",
    build: Build::Staged(build),
    parameters: 42_679_816,
    multiply_adds: 12_253_974_624,
    preset: preset::inception_299,
    first_conv: "features.0.conv",
    classifier: CLASSIFIER,
    ..ModelSpec::OWN
}];

const CLASSIFIER: &str = "last_linear";

/// What the family knows: timm's `drop_rate` and `norm_eps`.
struct Args {
    drop_rate: f64,
    norm_eps: f64,
}

fn build(config: &ModelConfig, root: &Builder) -> Result<StagedClassifier, Error> {
    let args = config.read_args("inception_v4", |args| {
        Ok(Args {
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
            norm_eps: args.number("norm_eps", 0.0..=1.)?.unwrap_or(1e-3),
        })
    })?;
    let units = Units::new(args.norm_eps, Init::PYTORCH_DEFAULT);
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(3));
    net.group("stem", &["features.0", "features.1", "features.2"]);
    units.add(&mut net, &Conv::new("features.0", 32, 3).valid(2))?;
    units.add(&mut net, &Conv::new("features.1", 32, 3).valid(1))?;
    units.add(&mut net, &Conv::new("features.2", 64, 3))?;
    net.end_stage("features.2");
    let mut index = 3;
    for (number, modules) in (1..).zip(STAGES) {
        let end = index + modules.len();
        let names: Vec<String> = (index..end).map(|at| format!("features.{at}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        net.group(&format!("stage{number}"), &names);
        for (name, module) in names.iter().zip(modules) {
            units.add_module(&mut net, name, &module.branches())?;
        }
        net.end_stage(names[names.len() - 1]);
        index = end;
    }
    let num_classes = config.num_classes.unwrap_or(1000);
    Ok(net.linear_classifier(CLASSIFIER, num_classes, args.drop_rate)?)
}
