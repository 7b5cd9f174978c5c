//! RepVGG (Ding et al. 2021, "RepVGG: Making VGG-style ConvNets Great Again"), names and stages as in
//! timm. It is trained with three branches in each block; built for inference, a block is one 3×3
//! convolution, so that the whole network is a chain of these.
//!
//! Files whose branches were summed already (timm's `reparameterize_model`, names with
//! `reparam_conv`) load too: as the network that has these convolutions in every mode.

use cnn_core::{Interpolation, Preprocessing};
use cnn_layers::{
    Builder, Init, LinearConfig, LinearHead, RepVggBlockConfig, StagedBuilder, StagedClassifier,
};

use crate::{Build, Error, ModelConfig, ModelSpec, Naming, preset};

/// A row of the paper's table 2.
struct Variant {
    stem: usize,
    channels: [usize; 4],
    depths: [usize; 4],
}

const A0: Variant = Variant {
    stem: 48,
    channels: [48, 96, 192, 1280],
    depths: [2, 4, 14, 1],
};
const A1: Variant = Variant {
    stem: 64,
    channels: [64, 128, 256, 1280],
    ..A0
};
const A2: Variant = Variant {
    stem: 64,
    channels: [96, 192, 384, 1408],
    ..A0
};
const B0: Variant = Variant {
    depths: [4, 6, 16, 1],
    ..A1
};
const B1: Variant = Variant {
    channels: [128, 256, 512, 2048],
    ..B0
};

/// With counts for 1000 classes, images of 3×224×224 and all branches.
pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "repvgg_a0",
        build: Build::Staged(|config, root| build(&A0, config, root)),
        parameters: 9_108_968,
        multiply_adds: 1_512_581_120,
        ..BASE
    },
    ModelSpec {
        name: "repvgg_a1",
        build: Build::Staged(|config, root| build(&A1, config, root)),
        parameters: 14_092_264,
        multiply_adds: 2_626_488_320,
        ..BASE
    },
    ModelSpec {
        name: "repvgg_a2",
        build: Build::Staged(|config, root| build(&A2, config, root)),
        parameters: 28_210_600,
        multiply_adds: 5_685_345_280,
        ..BASE
    },
    ModelSpec {
        name: "repvgg_b0",
        build: Build::Staged(|config, root| build(&B0, config, root)),
        parameters: 15_817_960,
        multiply_adds: 3_397_191_680,
        ..BASE
    },
    ModelSpec {
        name: "repvgg_b1",
        build: Build::Staged(|config, root| build(&B1, config, root)),
        parameters: 57_415_016,
        multiply_adds: 13_128_089_600,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "repvgg",
    paper: "Ding et al. 2021, arXiv:2101.03697",
    preset: bilinear,
    first_conv: "stem.conv_kxk.conv",
    other_first_convs: &["stem.conv_1x1.conv", "stem.reparam_conv"],
    classifier: "head.fc",
    namings: &[Naming {
        library: "timm, re-parameterised",
        rename: of_summed_branches,
        args: &[(REPARAMETERISED, 1.)],
    }],
    ..ModelSpec::OWN
};

/// The argument that says that the branches were summed.
const REPARAMETERISED: &str = "reparameterised";

fn bilinear() -> Preprocessing {
    Preprocessing {
        interpolation: Interpolation::Bilinear,
        ..preset::imagenet()
    }
}

/// What the family knows: timm's `drop_rate` and `drop_path_rate`, and whether the weights are those
/// of summed branches.
struct Args {
    drop_rate: f64,
    drop_path_rate: f64,
    is_reparameterised: bool,
}

fn build(
    variant: &Variant,
    config: &ModelConfig,
    root: &Builder,
) -> Result<StagedClassifier, Error> {
    let args = config.read_args(BASE.family, |args| {
        Ok(Args {
            drop_rate: args.probability("drop_rate")?.unwrap_or(0.),
            drop_path_rate: args.probability("drop_path_rate")?.unwrap_or(0.),
            is_reparameterised: args.flag(REPARAMETERISED)?.unwrap_or(false),
        })
    })?;
    let blocks: usize = variant.depths.iter().sum();
    // As in timm, the last block would have the full rate; it has no identity, so nothing is dropped
    // there.
    let mut net = StagedBuilder::new(root, config.in_channels.unwrap_or(BASE.in_channels))
        .with_drop_path(args.drop_path_rate, blocks - 1);
    let add = |net: &mut StagedBuilder, block: RepVggBlockConfig, stride: usize, at: &Builder| {
        let block = block.with_input(net.channels());
        let block = if args.is_reparameterised {
            block.plain()
        } else {
            block
        };
        let block = block.build(at)?;
        let channels = block.out_channels();
        net.add(block).set_channels(channels).add_stride(stride);
        Ok::<_, Error>(())
    };

    net.group("stem", &["stem"]);
    let at = net.at("stem");
    let stem = RepVggBlockConfig::new(net.channels(), variant.stem, 2);
    add(&mut net, stem, 2, &at)?;
    net.end_stage("stem");

    let mut designed = variant.stem;
    let rows = variant.channels.iter().zip(variant.depths);
    for (index, (&channels, depth)) in rows.enumerate() {
        let name = format!("stages.{index}");
        net.group(&format!("stage{}", index + 1), &[&name]);
        for number in 0..depth {
            let stride = if number == 0 { 2 } else { 1 };
            let block = RepVggBlockConfig::new(designed, channels, stride)
                .with_drop_path(net.next_drop_path());
            let at = net.at(&name).pp(number);
            add(&mut net, block, stride, &at)?;
            designed = channels;
        }
        // timm's name for the output of the last stage.
        let is_last = index + 1 == variant.channels.len();
        net.end_stage(if is_last { "final_conv" } else { &name });
    }

    let num_classes = config.num_classes.unwrap_or(BASE.num_classes);
    let linear = LinearConfig::new(net.channels(), num_classes)
        .with_init(Init::Normal { std: 0.01 })
        .with_bias_init(Init::ZEROS)
        .build(&net.at(BASE.classifier))?;
    let head = LinearHead::of(linear, root, args.drop_rate)?;
    Ok(net.classifier(num_classes, &[BASE.classifier], head))
}

/// The names of summed branches, which stay; they tell that a file holds such.
fn of_summed_branches(name: &str) -> Option<String> {
    let (block, tensor) = name.split_once(".reparam_conv.")?;
    let is_block = block == "stem" || block.starts_with("stages.");
    (is_block && matches!(tensor, "weight" | "bias")).then(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_summed_branches_are_told_by_their_names() {
        for name in ["stem.reparam_conv.weight", "stages.2.13.reparam_conv.bias"] {
            assert_eq!(of_summed_branches(name).as_deref(), Some(name));
        }
        for name in [
            "stem.conv_kxk.conv.weight",
            "head.fc.weight",
            "backbone.stem.reparam_conv.weight",
            "stages.0.0.reparam_conv.running_mean",
        ] {
            assert_eq!(of_summed_branches(name), None, "{name}");
        }
    }
}
