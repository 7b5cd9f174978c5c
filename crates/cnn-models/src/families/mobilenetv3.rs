//! MobileNetV3 (Howard et al. 2019, "Searching for MobileNetV3"), names and stages as in timm;
//! torchvision's names are translated on loading.

use cnn_core::{Interpolation, Preprocessing};
use cnn_layers::{Activation, Init};

use super::mobile::{
    Form, Head, MobileNet, Row, SqueezeRule, Width, conv, inverted, separable, torchvision,
};
use crate::{Build, ModelSpec, Naming, preset};

/// Table 1 of the paper.
const LARGE: MobileNet = MobileNet {
    stages: &[
        &[separable(16).relu()],
        &[inverted(24, 4.).stride(2).relu(), inverted(24, 3.).relu()],
        &[inverted(40, 3.)
            .kernel(5)
            .stride(2)
            .squeeze()
            .relu()
            .times(3)],
        &[
            inverted(80, 6.).stride(2),
            inverted(80, 2.5),
            inverted(80, 2.3).times(2),
        ],
        &[inverted(112, 6.).squeeze().times(2)],
        &[inverted(160, 6.).kernel(5).stride(2).squeeze().times(3)],
        &[conv(960).kernel(1)],
    ],
    features: Width::Fixed(1280),
    ..COMMON
};

/// Table 2 of the paper.
const SMALL: MobileNet = MobileNet {
    stages: &[
        &[separable(16).stride(2).squeeze().relu()],
        &[
            inverted(24, 4.5).stride(2).relu(),
            inverted(24, 3.67).relu(),
        ],
        &[
            inverted(40, 4.).kernel(5).stride(2).squeeze(),
            inverted(40, 6.).kernel(5).squeeze().times(2),
        ],
        &[inverted(48, 3.).kernel(5).squeeze().times(2)],
        &[inverted(96, 6.).kernel(5).stride(2).squeeze().times(3)],
        &[conv(576).kernel(1)],
    ],
    features: Width::Fixed(1024),
    ..COMMON
};

/// At half the width the stem keeps its 16 channels.
const SMALL_050: MobileNet = MobileNet {
    stem: Width::Fixed(16),
    ..SMALL.wide(0.5)
};

/// What every accelerator has fast: 3×3 kernels and ReLU, no squeeze-and-excitation.
const LARGE_MINIMAL: MobileNet = MobileNet {
    stages: &[
        &[separable(16)],
        &[inverted(24, 4.).stride(2), inverted(24, 3.)],
        &[inverted(40, 3.).stride(2).times(3)],
        &[
            inverted(80, 6.).stride(2),
            inverted(80, 2.5),
            inverted(80, 2.3).times(2),
        ],
        &[inverted(112, 6.).times(2)],
        &[inverted(160, 6.).stride(2).times(3)],
        &[conv(960).kernel(1)],
    ],
    activation: Activation::Relu,
    ..LARGE
};

const SMALL_MINIMAL: MobileNet = MobileNet {
    stages: &[
        &[separable(16).stride(2)],
        &[inverted(24, 4.5).stride(2), inverted(24, 3.67)],
        &[inverted(40, 4.).stride(2), inverted(40, 6.).times(2)],
        &[inverted(48, 3.).times(2)],
        &[inverted(96, 6.).stride(2).times(3)],
        &[conv(576).kernel(1)],
    ],
    activation: Activation::Relu,
    ..SMALL
};

const COMMON: MobileNet = MobileNet {
    stem: Width::Scaled(16),
    activation: Activation::HardSwish,
    squeeze: SqueezeRule::OfHidden,
    head: Head::AfterPool,
    ..MobileNet::BASE
};

/// torchvision's body of a network for pixels, which stands on the large one.
pub(crate) const TORCHVISION_BODY: ModelSpec = ModelSpec {
    name: "mobilenetv3_large_100",
    build: Build::Staged(|config, root| {
        let net = MobileNet {
            form: Form::Torchvision,
            bn_eps: 1e-3,
            bn_momentum: 0.01,
            ..LARGE
        };
        net.build(&BASE, config, root)
    }),
    ..BASE
};

/// torchvision's body of its SSDLite, with the reduced tail of the paper's table 6: half as many
/// channels behind the last halving of the resolution.
pub(crate) const SSDLITE_BODY: ModelSpec = ModelSpec {
    name: "mobilenetv3_large_100",
    build: Build::Staged(|config, root| {
        let net = MobileNet {
            stages: LARGE_REDUCED,
            form: Form::SsdLite,
            bn_eps: 1e-3,
            bn_momentum: 0.03,
            init: Init::Normal { std: 0.03 },
            ..LARGE
        };
        net.build(&BASE, config, root)
    }),
    ..BASE
};

const LARGE_REDUCED: &[&[Row]] = &[
    LARGE.stages[0],
    LARGE.stages[1],
    LARGE.stages[2],
    LARGE.stages[3],
    LARGE.stages[4],
    &[inverted(80, 6.).kernel(5).stride(2).squeeze().times(3)],
    &[conv(480).kernel(1)],
];

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "mobilenetv3_small_050",
        build: Build::Staged(|config, root| SMALL_050.build(&BASE, config, root)),
        parameters: 1_593_224,
        multiply_adds: 24_188_688,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv3_small_075",
        build: Build::Staged(|config, root| SMALL.wide(0.75).build(&BASE, config, root)),
        parameters: 2_041_872,
        multiply_adds: 43_399_344,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv3_small_100",
        build: Build::Staged(|config, root| SMALL.build(&BASE, config, root)),
        parameters: 2_542_856,
        multiply_adds: 56_510_400,
        namings: &[torchvision(small_from_torchvision)],
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv3_large_075",
        build: Build::Staged(|config, root| LARGE.wide(0.75).build(&BASE, config, root)),
        parameters: 3_993_528,
        multiply_adds: 154_560_624,
        preset: || bilinear(preset::imagenet),
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv3_large_100",
        build: Build::Staged(|config, root| LARGE.build(&BASE, config, root)),
        parameters: 5_483_032,
        multiply_adds: 216_589_760,
        namings: &[torchvision(large_from_torchvision)],
        ..BASE
    },
    ModelSpec {
        name: "tf_mobilenetv3_small_075",
        build: Build::Staged(|config, root| {
            SMALL.wide(0.75).tensorflow().build(&BASE, config, root)
        }),
        parameters: 2_041_872,
        multiply_adds: 43_399_344,
        ..TENSORFLOW
    },
    ModelSpec {
        name: "tf_mobilenetv3_small_100",
        build: Build::Staged(|config, root| SMALL.tensorflow().build(&BASE, config, root)),
        parameters: 2_542_856,
        multiply_adds: 56_510_400,
        ..TENSORFLOW
    },
    ModelSpec {
        name: "tf_mobilenetv3_small_minimal_100",
        build: Build::Staged(|config, root| SMALL_MINIMAL.tensorflow().build(&BASE, config, root)),
        parameters: 2_044_736,
        multiply_adds: 52_288_448,
        ..TENSORFLOW
    },
    ModelSpec {
        name: "tf_mobilenetv3_large_075",
        build: Build::Staged(|config, root| {
            LARGE.wide(0.75).tensorflow().build(&BASE, config, root)
        }),
        parameters: 3_993_528,
        multiply_adds: 154_560_624,
        ..TENSORFLOW
    },
    ModelSpec {
        name: "tf_mobilenetv3_large_100",
        build: Build::Staged(|config, root| LARGE.tensorflow().build(&BASE, config, root)),
        parameters: 5_483_032,
        multiply_adds: 216_589_760,
        ..TENSORFLOW
    },
    ModelSpec {
        name: "tf_mobilenetv3_large_minimal_100",
        build: Build::Staged(|config, root| LARGE_MINIMAL.tensorflow().build(&BASE, config, root)),
        parameters: 3_924_288,
        multiply_adds: 209_136_704,
        ..TENSORFLOW
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "mobilenetv3",
    paper: "Howard et al. 2019, arXiv:1905.02244",
    preset: preset::imagenet,
    first_conv: "conv_stem",
    classifier: "classifier",
    ..ModelSpec::OWN
};

const TENSORFLOW: ModelSpec = ModelSpec {
    preset: || bilinear(preset::inception),
    ..BASE
};

fn bilinear(preset: fn() -> Preprocessing) -> Preprocessing {
    Preprocessing {
        interpolation: Interpolation::Bilinear,
        ..preset()
    }
}

const fn torchvision(rename: fn(&str) -> Option<String>) -> Naming {
    Naming {
        library: "torchvision",
        rename,
        args: &[("bn_eps", 1e-3)],
    }
}

fn large_from_torchvision(name: &str) -> Option<String> {
    from_torchvision(name, LARGE.stages)
}

fn small_from_torchvision(name: &str) -> Option<String> {
    from_torchvision(name, SMALL.stages)
}

/// Translates torchvision's name of a tensor (`features.4.block.2.fc1.weight`); `None` for any other
/// name.
fn from_torchvision(name: &str, stages: &[&[Row]]) -> Option<String> {
    for (theirs, ours) in [
        ("classifier.0.", "conv_head"),
        ("classifier.3.", "classifier"),
    ] {
        if let Some(tensor) = name.strip_prefix(theirs) {
            return Some(format!("{ours}.{tensor}"));
        }
    }
    torchvision::numbered_through(name, stages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_names_are_translated() {
        for (theirs, ours) in [
            ("features.0.0.weight", "conv_stem.weight"),
            ("features.0.1.running_var", "bn1.running_var"),
            ("features.1.block.0.0.weight", "blocks.0.0.conv_dw.weight"),
            ("features.1.block.1.1.bias", "blocks.0.0.bn2.bias"),
            ("features.3.block.0.0.weight", "blocks.1.1.conv_pw.weight"),
            ("features.6.block.1.1.weight", "blocks.2.2.bn2.weight"),
            (
                "features.4.block.2.fc1.bias",
                "blocks.2.0.se.conv_reduce.bias",
            ),
            (
                "features.4.block.2.fc2.weight",
                "blocks.2.0.se.conv_expand.weight",
            ),
            ("features.4.block.3.0.weight", "blocks.2.0.conv_pwl.weight"),
            ("features.7.block.2.1.weight", "blocks.3.0.bn3.weight"),
            (
                "features.15.block.3.1.running_mean",
                "blocks.5.2.bn3.running_mean",
            ),
            ("features.16.0.weight", "blocks.6.0.conv.weight"),
            ("features.16.1.weight", "blocks.6.0.bn1.weight"),
            ("classifier.0.weight", "conv_head.weight"),
            ("classifier.3.bias", "classifier.bias"),
        ] {
            assert_eq!(
                large_from_torchvision(theirs).as_deref(),
                Some(ours),
                "{theirs}"
            );
            assert_eq!(large_from_torchvision(ours), None, "timm's own names stay");
        }
        for (theirs, ours) in [
            (
                "features.1.block.1.fc1.weight",
                Some("blocks.0.0.se.conv_reduce.weight"),
            ),
            (
                "features.4.block.3.0.weight",
                Some("blocks.2.0.conv_pwl.weight"),
            ),
            ("features.12.0.weight", Some("blocks.5.0.conv.weight")),
            ("features.13.0.weight", None),
            ("features.4.block.4.0.weight", None),
            ("features.18446744073709551615.block.0.0.weight", None),
        ] {
            assert_eq!(small_from_torchvision(theirs).as_deref(), ours, "{theirs}");
        }
    }
}
