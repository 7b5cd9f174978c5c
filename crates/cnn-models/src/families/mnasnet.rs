//! MnasNet-B1, without squeeze-and-excitation (Tan et al. 2018, "MnasNet: Platform-Aware Neural
//! Architecture Search for Mobile"), names and stages as in timm; torchvision's names are translated
//! on loading.

use super::mobile::{MobileNet, inverted, separable};
use crate::{Build, ModelSpec, Naming, preset};

/// The B1 network of the authors' code.
const B1: MobileNet = MobileNet {
    stages: &[
        &[separable(16).not_residual()],
        &[inverted(24, 3.).stride(2).times(3)],
        &[inverted(40, 3.).kernel(5).stride(2).times(3)],
        &[inverted(80, 6.).kernel(5).stride(2).times(3)],
        &[inverted(96, 6.).times(2)],
        &[inverted(192, 6.).kernel(5).stride(2).times(4)],
        &[inverted(320, 6.)],
    ],
    ..MobileNet::BASE
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "mnasnet_050",
        build: Build::Staged(|config, root| B1.wide(0.5).build(&BASE, config, root)),
        parameters: 2_218_512,
        multiply_adds: 104_455_968,
        ..BASE
    },
    ModelSpec {
        name: "mnasnet_075",
        build: Build::Staged(|config, root| B1.wide(0.75).build(&BASE, config, root)),
        parameters: 3_170_208,
        multiply_adds: 215_493_104,
        ..BASE
    },
    ModelSpec {
        name: "mnasnet_100",
        build: Build::Staged(|config, root| B1.build(&BASE, config, root)),
        parameters: 4_383_312,
        multiply_adds: 314_415_872,
        ..BASE
    },
    ModelSpec {
        name: "mnasnet_130",
        build: Build::Staged(|config, root| B1.wide(1.3).build(&BASE, config, root)),
        parameters: 6_282_256,
        multiply_adds: 526_362_432,
        ..BASE
    },
    ModelSpec {
        name: "mnasnet_140",
        build: Build::Staged(|config, root| B1.wide(1.4).build(&BASE, config, root)),
        parameters: 7_115_728,
        multiply_adds: 588_799_408,
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "mnasnet",
    paper: "Tan et al. 2018, arXiv:1807.11626",
    preset: preset::imagenet,
    first_conv: "conv_stem",
    classifier: "classifier",
    namings: &[Naming {
        library: "torchvision",
        rename: from_torchvision,
        args: &[],
    }],
    ..ModelSpec::OWN
};

/// Translates torchvision's name of a tensor (`layers.8.0.layers.1.weight`); `None` for any other
/// name.
fn from_torchvision(name: &str) -> Option<String> {
    if let Some(tensor) = name.strip_prefix("classifier.1.") {
        return Some(format!("classifier.{tensor}"));
    }
    let (index, rest) = name.strip_prefix("layers.")?.split_once('.')?;
    let index = index.parse::<usize>().ok()?;
    let layer = match index {
        0 => "conv_stem",
        1 => "bn1",
        3 => "blocks.0.0.conv_dw",
        4 => "blocks.0.0.bn1",
        6 => "blocks.0.0.conv_pw",
        7 => "blocks.0.0.bn2",
        14 => "conv_head",
        15 => "bn2",
        8..=13 => {
            let (block, rest) = rest.split_once('.')?;
            let block = block.parse::<usize>().ok()?;
            let (layer, tensor) = rest.strip_prefix("layers.")?.split_once('.')?;
            let layer = match layer {
                "0" => "conv_pw",
                "1" => "bn1",
                "3" => "conv_dw",
                "4" => "bn2",
                "6" => "conv_pwl",
                "7" => "bn3",
                _ => return None,
            };
            return Some(format!("blocks.{}.{block}.{layer}.{tensor}", index - 7));
        }
        _ => return None,
    };
    Some(format!("{layer}.{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_names_are_translated() {
        for (theirs, ours) in [
            ("layers.0.weight", "conv_stem.weight"),
            ("layers.1.running_mean", "bn1.running_mean"),
            ("layers.3.weight", "blocks.0.0.conv_dw.weight"),
            ("layers.7.bias", "blocks.0.0.bn2.bias"),
            ("layers.8.0.layers.0.weight", "blocks.1.0.conv_pw.weight"),
            (
                "layers.12.3.layers.4.running_var",
                "blocks.5.3.bn2.running_var",
            ),
            ("layers.13.0.layers.7.weight", "blocks.6.0.bn3.weight"),
            ("layers.14.weight", "conv_head.weight"),
            ("layers.15.weight", "bn2.weight"),
            ("classifier.1.weight", "classifier.weight"),
        ] {
            assert_eq!(from_torchvision(theirs).as_deref(), Some(ours), "{theirs}");
            assert_eq!(from_torchvision(ours), None, "timm's own names stay");
        }
        assert_eq!(from_torchvision("layers.8.0.layers.2.weight"), None);
        assert_eq!(from_torchvision("layers.16.weight"), None);
    }
}
